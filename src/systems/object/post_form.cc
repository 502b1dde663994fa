// Uploads by HTML form (multipart/form-data, RFC 7578): the fields first, the file last, as S3 demands.
#include <algorithm>
#include <charconv>

#include "kernel/base/ascii.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/post_policy.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

constexpr size_t kFieldsBytesMax = 64 * 1024;  // a policy of 20 KiB in base64, and room for the others
constexpr size_t kFieldsMax = 100;
constexpr size_t kPieceBytes = 64 * 1024;

// `name="value"` out of a header's parameters; quoted-string escapes are resolved as browsers write them (\" and %22).
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  std::string wanted = std::string(name) + "=";
  size_t at = 0;
  while ((at = header.find(wanted, at)) != header.npos) {
    bool starts = at == 0 || header[at - 1] == ' ' || header[at - 1] == ';' || header[at - 1] == '\t';
    if (starts) break;
    at += wanted.size();
  }
  if (at == header.npos) return std::nullopt;
  std::string_view rest = header.substr(at + wanted.size());
  if (!rest.starts_with('"')) return std::string(http::trim_blanks(rest.substr(0, rest.find(';'))));
  std::string value;
  for (size_t i = 1; i < rest.size() && rest[i] != '"'; ++i) {
    if (rest[i] == '\\' && i + 1 < rest.size()) ++i;
    value.push_back(rest[i]);
  }
  return value;
}

std::unexpected<Failure> malformed(std::string why) {
  return refuse(ErrorCode::kMalformedPostRequest, std::move(why));
}

// Reads the parts of a form one after another. The file's bytes are a source that ends at the boundary.
class FormReader final : public blob::ByteSource {
 public:
  FormReader(http::Request& request, std::string_view boundary)
      : request_(request), delimiter_("\r\n--" + std::string(boundary)) {
    // The first boundary may stand at the very beginning.
    buffer_ = "\r\n";
  }

  // Takes everything up to the next boundary and the line that follows it. False behind the last part.
  Task<Answer<bool>> next_part() {
    for (;;) {
      size_t at = buffer_.find(delimiter_);
      if (at != buffer_.npos) {
        size_t after = at + delimiter_.size();
        if (buffer_.size() >= after + 2) {
          bool last = buffer_.compare(after, 2, "--") == 0;
          buffer_.erase(0, after + 2);
          co_return !last;
        }
      } else if (buffer_.size() > kFieldsBytesMax) {
        co_return malformed("The form has no boundary where one must be");
      }
      if (!CO_ASK(co_await fill())) co_return malformed("The form ends in the middle");
    }
  }
  // The header lines of the part, up to the empty line.
  Task<Answer<std::string>> headers() {
    for (;;) {
      size_t at = buffer_.find("\r\n\r\n");
      if (at != buffer_.npos) {
        std::string text = buffer_.substr(0, at);
        buffer_.erase(0, at + 4);
        co_return text;
      }
      if (buffer_.size() > 8192) co_return malformed("The headers of a form field are too long");
      if (!CO_ASK(co_await fill())) co_return malformed("The form ends in the middle");
    }
  }
  // The value of a field that is no file.
  Task<Answer<std::string>> value() {
    for (;;) {
      size_t at = buffer_.find(delimiter_);
      if (at != buffer_.npos) {
        std::string text = buffer_.substr(0, at);
        buffer_.erase(0, at);
        co_return text;
      }
      if (buffer_.size() > kFieldsBytesMax)
        co_return refuse(ErrorCode::kMaxMessageLengthExceeded, "The fields of the form are too long");
      if (!CO_ASK(co_await fill())) co_return malformed("The form ends in the middle");
    }
  }

  void hash_with(ChecksumAlgorithm algorithm) {
    if (algorithm != ChecksumAlgorithm::kNone) checksummer_.emplace(algorithm);
  }
  void limit(uint64_t size_bytes_max) { size_bytes_max_ = size_bytes_max; }

  Task<Result<size_t>> read(MutableBytes into) override {
    size_t filled = 0;
    while (filled < into.size() && !file_ended_) {
      size_t at = buffer_.find(delimiter_);
      size_t ready = at != buffer_.npos ? at : buffer_.size() - std::min(buffer_.size(), delimiter_.size() - 1);
      size_t count = std::min(ready, into.size() - filled);
      std::memcpy(into.data() + filled, buffer_.data(), count);
      buffer_.erase(0, count);
      filled += count;
      if (at != buffer_.npos && count == at) {
        file_ended_ = true;
        break;
      }
      if (count > 0) continue;
      auto more = co_await fill();
      if (!more || !*more) {
        failure_ = more ? Failure(ErrorCode::kMalformedPostRequest, "The form ends in the middle of its file")
                        : std::move(more).error();
        co_return fail(Code::kInvalid, failure_->message());
      }
    }
    passed_bytes_ += filled;
    if (passed_bytes_ > size_bytes_max_) {
      failure_ = Failure(ErrorCode::kEntityTooLarge).detail("MaxSizeAllowed", std::to_string(size_bytes_max_));
      co_return fail(Code::kInvalid, failure_->message());
    }
    MutableBytes piece = into.first(filled);
    co_await io::blocking([&] {
      md5_.update(piece);
      if (checksummer_) checksummer_->update(piece);
      return true;
    });
    co_return filled;
  }

  const std::optional<Failure>& failure() const { return failure_; }
  std::string md5() {
    auto digest = md5_.finish();
    return std::string(as_text(digest));
  }
  Checksum checksum() { return checksummer_ ? checksummer_->finish() : Checksum{}; }
  // Reads a bounded rest of the form, so that the client hears the answer before the connection closes.
  Task<void> drain() {
    for (size_t read = 0; read < 256 * 1024;) {
      buffer_.clear();
      auto more = co_await fill();
      if (!more || !*more) co_return;
      read += buffer_.size();
    }
  }

 private:
  Task<Answer<bool>> fill() {
    size_t before = buffer_.size();
    buffer_.resize(before + kPieceBytes);
    auto count = co_await request_.read(as_writable_bytes(buffer_).subspan(before));
    buffer_.resize(before + count.value_or(0));
    if (!count) co_return refuse(ErrorCode::kIncompleteBody);
    co_return *count > 0;
  }

  http::Request& request_;
  const std::string delimiter_;
  std::string buffer_;
  bool file_ended_ = false;
  uint64_t passed_bytes_ = 0;
  uint64_t size_bytes_max_ = kPutBytesMax;
  base::Md5 md5_;
  std::optional<Checksummer> checksummer_;
  std::optional<Failure> failure_;
};

std::string_view field(const FormFields& fields, std::string_view name) {
  auto found = fields.find(name);
  return found == fields.end() ? std::string_view() : std::string_view(found->second);
}

Answer<Metadata> metadata_of_form(const FormFields& fields) {
  Metadata metadata;
  metadata.content_type = field(fields, "content-type");
  metadata.cache_control = field(fields, "cache-control");
  metadata.content_disposition = field(fields, "content-disposition");
  metadata.content_encoding = field(fields, "content-encoding");
  metadata.expires = field(fields, "expires");
  metadata.website_redirect_location = field(fields, "x-amz-website-redirect-location");
  auto storage_class = storage_class_named(field(fields, "x-amz-storage-class"));
  if (!storage_class) return refuse(ErrorCode::kInvalidStorageClass);
  metadata.storage_class = stored_name(*storage_class);
  constexpr std::string_view kPrefix = "x-amz-meta-";
  for (const auto& [name, value] : fields)
    if (name.starts_with(kPrefix)) metadata.user.emplace_back(name.substr(kPrefix.size()), value);
  ASK(check_metadata(metadata));
  return metadata;
}

EncryptionFields encryption_of_form(const FormFields& fields) {
  auto one = [&](std::string_view rest) -> EncryptionFields::Field {
    auto found = fields.find("x-amz-server-side-encryption" + std::string(rest));
    if (found == fields.end()) return std::nullopt;
    return found->second;
  };
  return {.method = one(""),
          .kms_key_id = one("-aws-kms-key-id"),
          .kms_context = one("-context"),
          .bucket_key = one("-bucket-key-enabled"),
          .customer_algorithm = one("-customer-algorithm"),
          .customer_key = one("-customer-key"),
          .customer_key_md5 = one("-customer-key-md5")};
}

Answer<Tags> tags_of_form(const FormFields& fields) {
  std::string_view text = field(fields, "tagging");
  Tags tags;
  if (text.empty()) return tags;
  XmlElement xml = ASK(parse_xml(text));
  const XmlElement* set = xml.child("TagSet");
  if (xml.name != "Tagging" || !set) return refuse(ErrorCode::kMalformedXml);
  for (const XmlElement& tag : set->children) tags.emplace_back(tag.text_of("Key"), tag.text_of("Value"));
  ASK(check_tags(tags));
  return tags;
}

}  // namespace

Service::Done Service::post_form(Call& call) {
  std::string_view type = call.header("content-type");
  auto boundary = parameter(type, "boundary");
  if (!base::lower(type).starts_with("multipart/form-data") || !boundary || boundary->empty() || boundary->size() > 70)
    co_return refuse(ErrorCode::kMethodNotAllowed,
                     "A POST to a bucket is a form upload: multipart/form-data with a boundary");
  call.request.limit_body(kPutBytesMax + kFieldsBytesMax * 2);
  // Who asks, and so who pays, is known once the form is read.
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await engine_.bucket(*txn, call.bucket));
  CO_ASK(check_expected_owner(call, bucket, "x-amz-expected-bucket-owner"));
  call.bucket_id = bucket.id;
  txn.reset();

  FormReader form(call.request, *boundary);
  FormFields fields;
  std::string filename;
  bool has_file = false;
  size_t bytes = 0;
  while (!has_file && CO_ASK(co_await form.next_part())) {
    std::string headers = CO_ASK(co_await form.headers());
    std::string_view disposition;
    for (std::string_view rest = headers; !rest.empty();) {
      size_t end = std::min(rest.find("\r\n"), rest.size());
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 2, rest.size()));
      if (base::lower(line).starts_with("content-disposition:")) disposition = line;
    }
    auto name = parameter(disposition, "name");
    if (!name) co_return malformed("A part of the form has no name");
    *name = base::lower(*name);
    if (*name == "file") {
      filename = parameter(disposition, "filename").value_or("");
      has_file = true;
      break;
    }
    std::string value = CO_ASK(co_await form.value());
    bytes += name->size() + value.size();
    if (bytes > kFieldsBytesMax || fields.size() >= kFieldsMax) co_return refuse(ErrorCode::kMaxMessageLengthExceeded);
    fields[std::move(*name)] = std::move(value);
  }
  if (!has_file) co_return refuse(ErrorCode::kInvalidArgument, "POST requires exactly one file upload per request.");
  if (!fields.contains("key"))
    co_return refuse(ErrorCode::kInvalidArgument, "Bucket POST must contain a field named 'key'.");
  std::string key = fields["key"];
  constexpr std::string_view kFilename = "${filename}";
  if (size_t slash = filename.find_last_of("/\\"); slash != filename.npos) filename.erase(0, slash + 1);
  for (auto& [name, value] : fields)
    if (size_t at = value.find(kFilename); at != value.npos && name == "key")
      value.replace(at, kFilename.size(), filename);
  key = fields["key"];
  CO_ASK(check_key(key));
  fields["bucket"] = bucket.name;

  uint64_t size_min = 0, size_max = kPutBytesMax;
  if (fields.contains("policy")) {
    PostFields signed_fields{.policy = field(fields, "policy"),
                             .algorithm = field(fields, "x-amz-algorithm"),
                             .credential = field(fields, "x-amz-credential"),
                             .date = field(fields, "x-amz-date"),
                             .signature = field(fields, "x-amz-signature"),
                             .security_token = field(fields, "x-amz-security-token"),
                             .v2_access_key = field(fields, "awsaccesskeyid"),
                             .v2_signature = field(fields, "signature")};
    auto credentials = find_post_credentials(signed_fields, signing_);
    if (!credentials) co_return refuse(failure_of(credentials.error()));
    auth::AccessKeyPtr access_key = CO_ASK(co_await key_of(*credentials));
    auto verified = verify_post(signed_fields, *credentials, access_key->secret, signing_keys_);
    if (!verified) co_return refuse(failure_of(verified.error()));
    auto json = base::base64_decode(fields["policy"]);
    if (!json) co_return refuse(ErrorCode::kInvalidPolicyDocument, "Invalid Policy: not base64");
    PostPolicy policy = CO_ASK(PostPolicy::parse(as_text(*json)));
    CO_ASK(policy.check(fields, call.now));
    size_min = policy.size_bytes_min;
    size_max = std::min(size_max, policy.size_bytes_max);
    call.principal = access_key->principal;
  }
  if (call.principal->anonymous() || field(fields, "x-amz-request-payer") != "requester")
    CO_ASK(check_payer(call, bucket));
  call.key = key;
  PutVersion put{.key = key};
  put.version.metadata = CO_ASK(metadata_of_form(fields));
  put.version.tags = CO_ASK(tags_of_form(fields));
  std::string_view canned = field(fields, "acl");
  const EncryptionFields encryption = encryption_of_form(fields);
  MoreContext more{.request_tags = &put.version.tags, .acl = canned, .encryption = &encryption};
  CO_ASK(require(call, bucket, key, "s3:PutObject", nullptr, more));
  Owner owner =
      call.principal->anonymous() || bucket.ownership == Ownership::kBucketOwnerEnforced ? bucket.owner : call.caller();
  if (!canned.empty()) CO_ASK(require_acl_right(call, bucket, owner, more));
  auto acl = canned_acl(canned.empty() ? "private" : canned, owner, bucket.owner);
  if (!acl) co_return refuse(ErrorCode::kInvalidArgument, "The canned ACL is unknown");
  if (is_public(*acl) && bucket.public_access_block && bucket.public_access_block->block_acls)
    co_return refuse(ErrorCode::kAccessDenied);
  if (bucket.ownership == Ownership::kBucketOwnerEnforced) acl = canned_acl("private", owner, bucket.owner);
  put.version.owner = owner;
  put.version.acl = std::move(*acl);
  LockRequest lock =
      CO_ASK(parse_lock_request(field(fields, "x-amz-object-lock-mode"), field(fields, "x-amz-object-lock-retain-until-date"),
                                field(fields, "x-amz-object-lock-legal-hold"), call.now));
  MoreContext more_lock = more;
  more_lock.retention = &lock.retention;
  more_lock.legal_hold = lock.legal_hold;
  CO_ASK(require_lock_rights(call, bucket, lock, more_lock));
  put.version.retention = lock.retention;
  put.version.legal_hold = lock.legal_hold.value_or(false);
  const Protection protection = CO_ASK(co_await choose_encryption(call, bucket, encryption));
  put.version.encryption = protection.encryption;
  const blob::Scheme scheme = CO_ASK(scheme_for(put.version.metadata.storage_class));

  std::optional<Checksum> expected;
  for (ChecksumAlgorithm algorithm : kChecksumAlgorithms) {
    std::string_view value = field(fields, header_name(algorithm));
    if (value.empty()) continue;
    expected = CO_ASK(parse_checksum(algorithm, value));
    form.hash_with(algorithm);
  }
  form.limit(size_max);
  auto stored = co_await store_bytes(form, std::nullopt, protection.envelope, scheme);
  if (!stored) co_return refuse(form.failure() ? *form.failure() : std::move(stored).error());
  stored->md5 = form.md5();
  stored->checksum = form.checksum();
  std::optional<Failure> refused;
  if (stored->size_bytes < size_min)
    refused = Failure(ErrorCode::kEntityTooSmall).detail("MinSizeAllowed", std::to_string(size_min));
  if (expected && expected->raw != stored->checksum.raw) refused = Failure(ErrorCode::kBadDigest);
  if (refused) {
    discard(*stored);
    co_return refuse(std::move(*refused));
  }
  put.version.size_bytes = stored->size_bytes;
  put.version.etag = base::hex_encode(as_bytes(stored->md5));
  put.version.checksum = stored->checksum;
  put.version.inlined = stored->inlined;
  put.version.blob = stored->blob;
  put.version.seal = stored->seal;
  put.inlined_bytes = stored->inlined_bytes;
  auto outcome = co_await change([&](Write& write) -> Task<Answer<PutOutcome>> {
    bucket = CO_ASK(co_await bucket_for_change(write, call));
    co_return co_await engine_.put(write, bucket, put);
  });
  if (!outcome) {
    discard(*stored);
    co_return refuse(std::move(outcome).error());
  }
  co_await form.drain();

  std::string etag = "\"" + outcome->version.etag + "\"";
  std::string location = (call.request.encrypted() ? "https://" : "http://") + std::string(call.request.authority()) +
                         (call.virtual_host ? "/" : "/" + call.bucket + "/") +
                         base::url_encode(key, base::Slash::kKeep);
  call.response.set("ETag", etag);
  set_encryption_headers(call, outcome->version.encryption, true);
  if (bucket.versioning == Versioning::kEnabled) call.response.set("x-amz-version-id", outcome->version.version_id());
  if (outcome->version.checksum)
    call.response.set(header_name(outcome->version.checksum.algorithm), text(outcome->version.checksum));
  std::string_view redirect = field(fields, "success_action_redirect");
  if (redirect.empty()) redirect = field(fields, "redirect");
  if (redirect.starts_with("http://") || redirect.starts_with("https://")) {
    std::string target(redirect);
    target += target.find('?') == target.npos ? "?" : "&";
    target +=
        "bucket=" + base::url_encode(call.bucket) + "&key=" + base::url_encode(key) + "&etag=" + base::url_encode(etag);
    call.response.set("Location", target);
    co_return co_await send_empty(call, 303);
  }
  call.response.set("Location", location);
  std::string_view status = field(fields, "success_action_status");
  if (status == "201") {
    XmlWriter xml("PostResponse", XmlWriter::Plain{});
    xml.element("Location", location).element("Bucket", call.bucket).element("Key", key).element("ETag", etag);
    co_return co_await send_xml(call, 201, xml.finish());
  }
  co_return co_await send_empty(call, status == "200" ? 200 : 204);
}

}  // namespace polis::object
