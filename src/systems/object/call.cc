#include "systems/object/call.h"

#include <algorithm>
#include <charconv>

#include "kernel/base/ascii.h"
#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "kernel/http/date.h"
#include "kernel/http/uri.h"
#include "systems/object/storage_class.h"

namespace polis::object {
namespace {

// "aws-chunked" describes the transfer, not the object: what is left of the list is stored.
std::string without_aws_chunked(std::string_view list) {
  std::string out;
  std::string_view element, rest = list;
  bool found = false;
  while (!found && http::next_list_element(rest, element)) found = http::equal_ignoring_case(element, "aws-chunked");
  if (!found) return std::string(list);
  while (http::next_list_element(list, element)) {
    if (http::equal_ignoring_case(element, "aws-chunked")) continue;
    if (!out.empty()) out += ", ";
    out += element;
  }
  return out;
}

std::optional<uint64_t> decimal(std::string_view text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

// --- query

Answer<Query> Query::parse(std::string_view raw) {
  Query query;
  http::QueryParameter parameter;
  while (http::next_query_parameter(raw, parameter)) {
    if (query.parameters_.size() == kQueryParametersMax)
      return refuse(ErrorCode::kInvalidUri, "The query has too many parameters");
    auto name = base::url_decode(parameter.name, base::Plus::kSpace);
    auto value = base::url_decode(parameter.value, base::Plus::kSpace);
    if (!name || !value) return refuse(ErrorCode::kInvalidUri, "The query has broken percent-encoding");
    query.parameters_.emplace_back(std::move(*name), std::move(*value));
  }
  return query;
}

const std::string* Query::find(std::string_view name) const {
  for (const auto& [one, value] : parameters_)
    if (one == name) return &value;
  return nullptr;
}

std::string_view Query::get(std::string_view name) const {
  const std::string* value = find(name);
  return value ? std::string_view(*value) : std::string_view();
}

std::optional<std::string_view> Query::find_value(std::string_view name) const {
  const std::string* value = find(name);
  if (!value) return std::nullopt;
  return std::string_view(*value);
}

// --- target

Answer<void> take_apart(Call& call, const std::vector<std::string>& domains) {
  call.query = ASK(Query::parse(call.request.query()));
  std::string_view path = call.request.path();
  if (path == "*") return {};  // OPTIONS *
  if (path.empty() || path.front() != '/') return refuse(ErrorCode::kInvalidUri);
  path.remove_prefix(1);

  std::string host = base::lower(call.request.authority());
  if (size_t colon = host.rfind(':'); colon != host.npos && host.find(']', colon) == host.npos) host.resize(colon);
  for (const std::string& domain : domains) {
    if (call.proved) break;  // the main port's host says nothing about buckets
    if (host.size() > domain.size() + 1 && host.ends_with(domain) && host[host.size() - domain.size() - 1] == '.') {
      call.bucket = host.substr(0, host.size() - domain.size() - 1);
      call.virtual_host = true;
      break;
    }
  }
  if (!call.virtual_host) {
    size_t slash = std::min(path.find('/'), path.size());
    auto bucket = base::url_decode(path.substr(0, slash));
    if (!bucket) return refuse(ErrorCode::kInvalidUri);
    call.bucket = std::move(*bucket);
    // Names of buckets are global here, whatever tenant they are said to be of.
    if (size_t colon = call.bucket.find(':'); colon != call.bucket.npos) {
      call.bucket.erase(0, colon + 1);
      call.tenanted = true;
    }
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  auto key = base::url_decode(path);
  if (!key) return refuse(ErrorCode::kInvalidUri);
  call.key = std::move(*key);
  if (call.bucket.empty() && !call.key.empty())
    return refuse(ErrorCode::kInvalidUri, "The path names a key but no bucket");
  if (!call.key.empty()) ASK(check_key(call.key));
  return {};
}

// --- headers

bool Call::hoisted(std::string_view name) const {
  if (scheme != AuthScheme::kV4Query && !proved) return false;
  // The signature itself is no header.
  static constexpr std::string_view kOwn[] = {"algorithm", "content-sha256", "credential", "date",
                                              "expires",   "security-token", "signature",  "signedheaders"};
  constexpr std::string_view kPrefix = "x-amz-";
  if (name.size() <= kPrefix.size() || !base::equal_ignoring_case(name.substr(0, kPrefix.size()), kPrefix))
    return false;
  return std::ranges::none_of(
      kOwn, [&](std::string_view own) { return base::equal_ignoring_case(name.substr(kPrefix.size()), own); });
}

std::optional<std::string_view> Call::field(std::string_view name) const {
  if (auto sent = request.field(name)) return sent;
  if (!hoisted(name)) return std::nullopt;
  for (const auto& [parameter, value] : query.all())
    if (base::equal_ignoring_case(parameter, name)) return value;
  return std::nullopt;
}

Answer<Metadata> metadata_of(const Call& call) {
  Metadata metadata;
  metadata.content_type = call.header("content-type");
  metadata.cache_control = call.header("cache-control");
  metadata.content_disposition = call.header("content-disposition");
  metadata.content_encoding = without_aws_chunked(call.header("content-encoding"));
  metadata.content_language = call.header("content-language");
  metadata.expires = call.header("expires");
  metadata.website_redirect_location = call.header("x-amz-website-redirect-location");
  auto storage_class = storage_class_named(call.header("x-amz-storage-class"));
  if (!storage_class) return refuse(ErrorCode::kInvalidStorageClass);
  metadata.storage_class = stored_name(*storage_class);
  constexpr std::string_view kPrefix = "x-amz-meta-";
  auto add = [&](std::string_view line_name, std::string_view value) {
    std::string name = base::lower(line_name);
    if (!name.starts_with(kPrefix)) return;
    name.erase(0, kPrefix.size());
    if (name.empty()) return;
    auto same =
        std::find_if(metadata.user.begin(), metadata.user.end(), [&](const auto& pair) { return pair.first == name; });
    if (same == metadata.user.end()) {
      metadata.user.emplace_back(std::move(name), value);
    } else {
      same->second.append(",").append(value);
    }
  };
  for (http::FieldLine line : call.request.fields()) add(line.name, line.value);
  for (const auto& [name, value] : call.query.all())
    if (call.hoisted(name) && !call.request.field(name)) add(name, value);
  ASK(check_metadata(metadata));
  return metadata;
}

Answer<Tags> tags_of(const Call& call) {
  std::string_view header = call.header("x-amz-tagging");
  if (header.empty()) return Tags{};
  return parse_tagging_header(header);
}

Conditions conditions_of(const Call& call, std::string_view prefix) {
  auto text = [&](std::string_view name) -> std::optional<std::string> {
    auto value = call.field(std::string(prefix) + std::string(name));
    if (!value) return std::nullopt;
    return std::string(*value);
  };
  Conditions conditions;
  conditions.if_match = text("if-match");
  conditions.if_none_match = text("if-none-match");
  if (auto date = text("if-modified-since")) conditions.modified_since = http::parse_date(*date);
  if (auto date = text("if-unmodified-since")) conditions.unmodified_since = http::parse_date(*date);
  return conditions;
}

Answer<Conditions> delete_conditions_of(const Call& call) {
  Conditions conditions;
  if (call.has_header("if-match")) conditions.if_match = std::string(call.header("if-match"));
  if (call.has_header("x-amz-if-match-last-modified-time")) {
    std::string_view text = call.header("x-amz-if-match-last-modified-time");
    conditions.if_match_modified_at = http::parse_date(text);
    if (!conditions.if_match_modified_at) {
      auto iso = base::parse_rfc3339(text);
      if (!iso) return refuse(ErrorCode::kInvalidArgument, "x-amz-if-match-last-modified-time is not a date");
      conditions.if_match_modified_at = *iso;
    }
  }
  if (call.has_header("x-amz-if-match-size"))
    conditions.if_match_size_bytes =
        ASK(number_of("x-amz-if-match-size", call.header("x-amz-if-match-size"), 0, UINT64_MAX));
  return conditions;
}

Answer<std::optional<VersionId>> version_of(const Call& call) {
  auto text = call.query.find_value("versionId");
  if (!text) return std::nullopt;
  if (text->empty()) return refuse(ErrorCode::kInvalidArgument, "Version id cannot be the empty string");
  return ASK(VersionId::parse(*text));
}

Answer<uint64_t> number_of(std::string_view name, std::string_view text, uint64_t min, uint64_t max) {
  auto value = decimal(text);
  if (!value || *value < min || *value > max)
    return refuse(Failure(ErrorCode::kInvalidArgument, "Argument " + std::string(name) +
                                                           " must be an integer between " + std::to_string(min) +
                                                           " and " + std::to_string(max))
                      .detail("ArgumentName", std::string(name))
                      .detail("ArgumentValue", std::string(text.substr(0, 128))));
  return *value;
}

Answer<UploadId> upload_id_of(std::string_view text) {
  auto raw = base::hex_decode(text);
  if (!raw || raw->size() != 16)
    return refuse(Failure(ErrorCode::kNoSuchUpload).detail("UploadId", std::string(text.substr(0, 128))));
  return UploadId(as_text(*raw));
}

Answer<ChecksumRequest> checksum_of(const Call& call) {
  ChecksumRequest found;
  for (ChecksumAlgorithm algorithm : kChecksumAlgorithms) {
    auto value = call.field(header_name(algorithm));
    if (!value) continue;
    if (found.expected) return refuse(ErrorCode::kInvalidRequest, "Expecting a single x-amz-checksum- header");
    found.algorithm = algorithm;
    found.expected = ASK(parse_checksum(algorithm, *value));
  }
  std::string_view trailers = call.header("x-amz-trailer"), trailer;
  while (http::next_list_element(trailers, trailer)) {
    if (auto algorithm = checksum_algorithm_of_header(trailer)) {
      if (found.expected) return refuse(ErrorCode::kInvalidRequest, "Expecting a single x-amz-checksum- header");
      found.algorithm = *algorithm;
      found.trailer = true;
    }
  }
  for (std::string_view header : {"x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"}) {
    std::string_view named = call.header(header);
    if (named.empty()) continue;
    auto algorithm = checksum_algorithm_named(named);
    if (!algorithm)
      return refuse(ErrorCode::kInvalidRequest,
                    "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, "
                    "CRC32C, CRC64NVME, SHA1, SHA256]");
    if (found.algorithm == ChecksumAlgorithm::kNone) found.algorithm = *algorithm;
    if (found.algorithm != *algorithm)
      return refuse(ErrorCode::kInvalidRequest,
                    "Value for " + std::string(header) + " does not match the checksum that was sent");
  }
  return found;
}

Answer<CopySource> copy_source_of(std::string_view header) {
  CopySource source;
  auto invalid = [] {
    return refuse(ErrorCode::kInvalidArgument,
                  "Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
  };
  constexpr std::string_view kVersion = "?versionId=";
  if (size_t at = header.rfind(kVersion); at != header.npos) {
    source.version = ASK(VersionId::parse(header.substr(at + kVersion.size())));
    header = header.substr(0, at);
  }
  // Some clients encode the slash between bucket and key too, so decoding comes before splitting.
  auto decoded = base::url_decode(header);
  if (!decoded) return invalid();
  std::string_view text = *decoded;
  if (text.starts_with('/')) text.remove_prefix(1);
  size_t slash = text.find('/');
  if (slash == text.npos || slash == 0 || slash + 1 == text.size()) return invalid();
  source.bucket = text.substr(0, slash);
  source.key = text.substr(slash + 1);
  source.text = text;
  ASK(check_key(source.key));
  return source;
}

// --- ranges

Answer<std::optional<blob::Range>> range_of(std::string_view header, uint64_t size_bytes) {
  constexpr std::string_view kUnit = "bytes=";
  if (!header.starts_with(kUnit)) return std::nullopt;
  header.remove_prefix(kUnit.size());
  if (header.find(',') != header.npos) return std::nullopt;
  header = http::trim_blanks(header);
  size_t dash = header.find('-');
  if (dash == header.npos) return std::nullopt;
  std::string_view first_text = header.substr(0, dash), last_text = header.substr(dash + 1);
  auto first = decimal(first_text), last = decimal(last_text);
  if ((!first && !first_text.empty()) || (!last && !last_text.empty()) || (!first && !last)) return std::nullopt;
  auto outside = [&] {
    return refuse(Failure(ErrorCode::kInvalidRange)
                      .header("Content-Range", "bytes */" + std::to_string(size_bytes))
                      .detail("RangeRequested", "bytes=" + std::string(header.substr(0, 64)))
                      .detail("ActualObjectSize", std::to_string(size_bytes)));
  };
  if (!first) {  // the last N bytes
    uint64_t count = std::min(*last, size_bytes);
    if (count == 0) return outside();
    return blob::Range{size_bytes - count, count};
  }
  if (last && *last < *first) return std::nullopt;
  if (*first >= size_bytes) return outside();
  uint64_t end = last ? std::min(*last, size_bytes - 1) : size_bytes - 1;
  return blob::Range{*first, end - *first + 1};
}

Answer<blob::Range> copy_range_of(std::string_view header, uint64_t size_bytes) {
  constexpr std::string_view kUnit = "bytes=";
  auto malformed = [] {
    return refuse(ErrorCode::kInvalidArgument,
                  "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
                  "zero-based "
                  "offsets of the first and last bytes to copy");
  };
  if (!header.starts_with(kUnit)) return malformed();
  header.remove_prefix(kUnit.size());
  size_t dash = std::min(header.find('-'), header.size());
  auto first = decimal(header.substr(0, dash)), last = decimal(dash < header.size() ? header.substr(dash + 1) : "");
  if (!first || !last || *last < *first) return malformed();
  if (*last >= size_bytes)
    return refuse(ErrorCode::kInvalidRange,
                  "Range specified is not valid for source object of size: " + std::to_string(size_bytes));
  return blob::Range{*first, *last - *first + 1};
}

}  // namespace polis::object
