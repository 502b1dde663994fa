#include "systems/object/types.h"

#include <algorithm>
#include <charconv>

#include "kernel/base/text_encoding.h"

namespace polis::object {
namespace {

bool lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// Four decimal numbers with dots: clients would take the name for an address.
bool looks_like_ipv4(std::string_view name) {
  int dots = 0;
  for (char c : name) {
    if (c == '.') {
      ++dots;
    } else if (c < '0' || c > '9') {
      return false;
    }
  }
  return dots == 3;
}

size_t characters(std::string_view utf8) {
  return static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// RFC 9110 §5.1 and §5.5: what is stored comes back as a header. Forms can hold other bytes than headers could have
// brought.
bool field_name_sound(std::string_view name) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return lower_or_digit(c) || (c >= 'A' && c <= 'Z') || kOthers.find(c) != kOthers.npos;
  });
}
bool field_value_sound(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
  });
}

}  // namespace

std::string ObjectVersion::version_id() const {
  if (null_version) return "null";
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (size_t i = 0; i < 16; ++i) text[15 - i] = kDigits[(sequence >> (4 * i)) & 15];
  return text;
}

Answer<VersionId> VersionId::parse(std::string_view text) {
  if (text == "null") return VersionId{.null_version = true};
  VersionId id;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id.sequence, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size())
    return refuse(ErrorCode::kInvalidArgument, "Invalid version id specified");
  return id;
}

// No part between dots begins or ends with '-' either, because no name of the DNS does.
Answer<void> check_bucket_name(std::string_view name) {
  bool sound =
      name.size() >= 3 && name.size() <= 63 && lower_or_digit(name.front()) && lower_or_digit(name.back()) &&
      std::all_of(name.begin(), name.end(), [](char c) { return lower_or_digit(c) || c == '.' || c == '-'; }) &&
      name.find("..") == name.npos && name.find(".-") == name.npos && name.find("-.") == name.npos &&
      !looks_like_ipv4(name) && !name.starts_with("xn--") &&
      !name.starts_with("sthree-") && !name.ends_with("-s3alias") && !name.ends_with("--ol-s3");
  if (!sound)
    return refuse(Failure(ErrorCode::kInvalidBucketName,
                          "A bucket name has 3 to 63 characters of a-z, 0-9, '.' and '-', begins and ends with a "
                          "letter or digit, as does each part between dots, and is "
                          "neither an IP address nor reserved")
                      .detail("BucketName", std::string(name.substr(0, 256))));
  return {};
}

Answer<void> check_key(std::string_view key) {
  if (key.size() > kKeyBytesMax)
    return refuse(Failure(ErrorCode::kKeyTooLong)
                      .detail("Size", std::to_string(key.size()))
                      .detail("MaxSizeAllowed", std::to_string(kKeyBytesMax)));
  if (key.empty()) return refuse(ErrorCode::kInvalidArgument, "An object key must not be empty");
  if (!base::utf8_valid(key)) return refuse(ErrorCode::kInvalidUri, "An object key must be UTF-8");
  return {};
}

Answer<void> check_metadata(const Metadata& metadata) {
  size_t user_bytes = 0;
  for (const auto& [name, value] : metadata.user) user_bytes += name.size() + value.size();
  if (user_bytes > kUserMetadataBytesMax)
    return refuse(Failure(ErrorCode::kMetadataTooLarge)
                      .detail("Size", std::to_string(user_bytes))
                      .detail("MaxSizeAllowed", std::to_string(kUserMetadataBytesMax)));
  for (const auto& [name, value] : metadata.user)
    if (!field_name_sound(name) || !field_value_sound(value))
      return refuse(
          ErrorCode::kInvalidArgument,
          "User metadata becomes headers: names of letters, digits and '-', values without control characters");
  for (const std::string* value :
       {&metadata.content_type, &metadata.cache_control, &metadata.content_disposition, &metadata.content_encoding,
        &metadata.content_language, &metadata.expires, &metadata.website_redirect_location})
    if (!field_value_sound(*value))
      return refuse(ErrorCode::kInvalidArgument, "Metadata becomes headers and cannot hold control characters");
  size_t system_bytes = metadata.content_type.size() + metadata.cache_control.size() +
                        metadata.content_disposition.size() + metadata.content_encoding.size() +
                        metadata.content_language.size() + metadata.expires.size() +
                        metadata.website_redirect_location.size();
  if (system_bytes > kSystemMetadataBytesMax) return refuse(ErrorCode::kMetadataTooLarge);
  return {};
}

Answer<void> check_tags(const Tags& tags, size_t count_max) {
  if (tags.size() > count_max) {
    return refuse(ErrorCode::kInvalidTag, "There can be at most " + std::to_string(count_max) + " tags");
  }
  for (const auto& [key, value] : tags) {
    if (key.empty() || characters(key) > kTagKeyCharactersMax || !base::utf8_valid(key))
      return refuse(ErrorCode::kInvalidTag, "The TagKey you have provided is invalid: 1 to 128 characters");
    if (characters(value) > kTagValueCharactersMax || !base::utf8_valid(value))
      return refuse(ErrorCode::kInvalidTag, "The TagValue you have provided is invalid: at most 256 characters");
    if (key.starts_with("aws:")) return refuse(ErrorCode::kInvalidTag, "Tag keys that begin with aws: are reserved");
  }
  std::vector<std::string_view> keys;
  for (const auto& [key, value] : tags) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  if (std::adjacent_find(keys.begin(), keys.end()) != keys.end())
    return refuse(ErrorCode::kInvalidTag, "Cannot provide multiple tags with the same key");
  return {};
}

Answer<Tags> parse_tagging_header(std::string_view header) {
  Tags tags;
  while (!header.empty()) {
    size_t end = std::min(header.find('&'), header.size());
    std::string_view pair = header.substr(0, end);
    header.remove_prefix(std::min(end + 1, header.size()));
    if (pair.empty()) continue;
    size_t equals = std::min(pair.find('='), pair.size());
    auto key = base::url_decode(pair.substr(0, equals), base::Plus::kSpace);
    auto value = base::url_decode(equals < pair.size() ? pair.substr(equals + 1) : "", base::Plus::kSpace);
    if (!key || !value)
      return refuse(ErrorCode::kInvalidArgument,
                    "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters");
    tags.emplace_back(std::move(*key), std::move(*value));
    if (tags.size() > kBucketTagsMax) break;
  }
  ASK(check_tags(tags));
  std::sort(tags.begin(), tags.end());
  return tags;
}

std::string_view name(Permission permission) {
  switch (permission) {
    case Permission::kRead:
      return "READ";
    case Permission::kWrite:
      return "WRITE";
    case Permission::kReadAcp:
      return "READ_ACP";
    case Permission::kWriteAcp:
      return "WRITE_ACP";
    case Permission::kFullControl:
      return "FULL_CONTROL";
  }
  return "";
}

std::string_view name(Ownership ownership) {
  switch (ownership) {
    case Ownership::kUnset:
      return "";
    case Ownership::kBucketOwnerEnforced:
      return "BucketOwnerEnforced";
    case Ownership::kBucketOwnerPreferred:
      return "BucketOwnerPreferred";
    case Ownership::kObjectWriter:
      return "ObjectWriter";
  }
  return "";
}

}  // namespace polis::object
