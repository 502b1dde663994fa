// Multipart uploads over HTTP.
#include <algorithm>

#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

std::string hex(const UploadId& id) {
  return base::hex_encode(as_bytes(id));
}
std::string quoted_md5(const std::string& md5) {
  return "\"" + base::hex_encode(as_bytes(md5)) + "\"";
}

void write_checksum(XmlWriter& xml, const Checksum& checksum, uint32_t part_count = 0) {
  if (!checksum) return;
  std::string element = "Checksum" + std::string(name(checksum.algorithm));
  xml.element(element, text(checksum, part_count));
}

Answer<ChecksumType> checksum_type_named(std::string_view text) {
  if (text == "COMPOSITE") return ChecksumType::kComposite;
  if (text == "FULL_OBJECT") return ChecksumType::kFullObject;
  return refuse(ErrorCode::kInvalidRequest, "Value for x-amz-checksum-type header is invalid.");
}

// That the drives offer it was looked at when the upload began.
blob::Scheme scheme_of(const Upload& upload) {
  return scheme_of(storage_class_named(upload.metadata.storage_class).value_or(StorageClass::kStandard));
}

// The upload id with the time in front, so that ids of one key sort by the time they began.
UploadId make_upload_id(WallTime now, Random& random) {
  UploadId id(16, '\0');
  random.fill(as_writable_bytes(id).subspan(8));
  auto time = static_cast<uint64_t>(now.time_since_epoch().count());
  for (size_t i = 8; i-- > 0; time >>= 8) id[i] = static_cast<char>(time);
  return id;
}

}  // namespace

Service::Done Service::create_upload(Call& call) {
  CO_ASK(refuse_unsupported_headers(call));
  Upload upload{.key = call.key};
  upload.metadata = CO_ASK(metadata_of(call));
  upload.tags = CO_ASK(tags_of(call));
  if (call.has_header("x-amz-checksum-algorithm")) {
    auto algorithm = checksum_algorithm_named(call.header("x-amz-checksum-algorithm"));
    if (!algorithm)
      co_return refuse(ErrorCode::kInvalidRequest,
                       "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
                       "[CRC32, CRC32C, CRC64NVME, SHA1, SHA256]");
    upload.checksum = {.algorithm = *algorithm, .type = default_type(*algorithm)};
  }
  if (call.has_header("x-amz-checksum-type")) {
    if (!upload.checksum)
      co_return refuse(ErrorCode::kInvalidRequest,
                       "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.");
    upload.checksum.type = CO_ASK(checksum_type_named(call.header("x-amz-checksum-type")));
    if (!type_allowed(upload.checksum.algorithm, upload.checksum.type))
      co_return refuse(ErrorCode::kInvalidRequest,
                       "The " + std::string(name(upload.checksum.type)) + " checksum type cannot be used with the " +
                           std::string(name(upload.checksum.algorithm)) + " checksum algorithm.");
  }
  Bucket bucket = CO_ASK(co_await load_bucket(call));
  CO_ASK(require(call, bucket, call.key, "s3:PutObject", nullptr, {.request_tags = &upload.tags}));
  if (!upload.tags.empty())
    CO_ASK(require(call, bucket, call.key, "s3:PutObjectTagging", nullptr, {.request_tags = &upload.tags}));
  AclChoice choice = CO_ASK(co_await choose_acl(call, bucket));
  CO_ASK(scheme_for(upload.metadata.storage_class));
  upload.owner = std::move(choice.owner);
  upload.acl = std::move(choice.acl);
  LockRequest lock = CO_ASK(lock_of(call, bucket, {.request_tags = &upload.tags}));
  upload.retention = lock.retention;
  upload.legal_hold = lock.legal_hold.value_or(false);
  upload.encryption = (CO_ASK(co_await choose_encryption(call, bucket, encryption_fields(call)))).encryption;
  upload.initiator = call.principal->anonymous() ? bucket.owner : call.caller();
  upload.id = make_upload_id(call.now, random_);
  upload.initiated_at = call.now;
  CO_ASK(co_await change([&](Write& write) -> Task<Answer<bool>> {
    Bucket now = CO_ASK(co_await bucket_for_change(write, call));
    CO_ASK(co_await engine_.create_upload(write, now, upload));
    co_return true;
  }));
  set_abort_headers(call, bucket, upload);
  if (upload.checksum) {
    call.response.set("x-amz-checksum-algorithm", name(upload.checksum.algorithm));
    call.response.set("x-amz-checksum-type", name(upload.checksum.type));
  }
  set_encryption_headers(call, upload.encryption, true);
  XmlWriter xml("InitiateMultipartUploadResult");
  xml.element("Bucket", call.bucket).element("Key", call.key).element("UploadId", hex(upload.id));
  co_return co_await send_xml(call, 200, xml.finish());
}

Task<Answer<void>> Service::keep_part(BucketId bucket, const std::string& key, const UploadId& id, Part& part,
                                      const Stored& stored) {
  part.size_bytes = stored.size_bytes;
  part.md5 = stored.md5;
  part.checksum = stored.checksum;
  part.inlined = stored.inlined;
  part.bytes = stored.inlined ? stored.inlined_bytes : "";
  part.blob = stored.blob;
  part.seal = stored.seal;
  auto gate = CO_ASK(co_await home_.share(id));
  auto put = co_await change([&](Write& write) -> Task<Answer<bool>> {
    CO_ASK(co_await engine_.put_part(write, bucket, key, id, part));
    co_return true;
  });
  if (!put) {
    discard(stored);
    co_return refuse(std::move(put).error());
  }
  co_return Answer<void>();
}

Service::Done Service::upload_part(Call& call) {
  if (!call.copy_source().empty()) co_return co_await upload_part_copy(call);
  CO_ASK(refuse_unsupported_headers(call));
  Part part;
  part.number = static_cast<uint32_t>(CO_ASK(number_of("partNumber", call.query.get("partNumber"), 1, kPartNumberMax)));
  UploadId id = CO_ASK(upload_id_of(call.query.get("uploadId")));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(require(call, bucket, call.key, "s3:PutObject"));
  Upload upload = CO_ASK(co_await engine_.upload(*txn, bucket.id, call.key, id));
  txn.reset();
  const Envelope envelope =
      CO_ASK(co_await envelope_of(call, bucket.id, upload.encryption, encryption_fields(call)));

  auto body = CO_ASK(Body::of(call, kPutBytesMax, upload.checksum.algorithm));
  ChecksumAlgorithm sent = body->checksum_request().algorithm;
  if (upload.checksum && sent != upload.checksum.algorithm)
    co_return refuse(ErrorCode::kInvalidRequest, "Checksum Type mismatch occurred, expected checksum Type: " +
                                                     std::string(name(upload.checksum.algorithm)) +
                                                     ", actual checksum Type: " + std::string(name(sent)));
  Stored stored = CO_ASK(co_await store_body(*body, envelope, scheme_of(upload)));
  CO_ASK(co_await keep_part(bucket.id, call.key, id, part, stored));
  call.response.set("ETag", quoted_md5(part.md5));
  set_encryption_headers(call, upload.encryption);
  if (part.checksum) call.response.set(header_name(part.checksum.algorithm), text(part.checksum));
  co_return co_await send_empty(call, 200);
}

Service::Done Service::upload_part_copy(Call& call) {
  CO_ASK(refuse_unsupported_headers(call));
  Part part;
  part.number = static_cast<uint32_t>(CO_ASK(number_of("partNumber", call.query.get("partNumber"), 1, kPartNumberMax)));
  UploadId id = CO_ASK(upload_id_of(call.query.get("uploadId")));
  CopySource source = CO_ASK(copy_source_of(call.copy_source()));
  auto txn = CO_ASK(co_await begin());
  Bucket from = CO_ASK(co_await engine_.bucket(*txn, source.bucket));
  CO_ASK(check_expected_owner(call, from, "x-amz-source-expected-bucket-owner"));
  CO_ASK(check_payer(call, from));
  Bucket to = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(require(call, to, call.key, "s3:PutObject", nullptr, {.copy_source = source.text}));
  Upload upload = CO_ASK(co_await engine_.upload(*txn, to.id, call.key, id));
  ObjectVersion original = CO_ASK(co_await find_for_read(call, *txn, from, source.key, source.version,
                                                         source.version ? "s3:GetObjectVersion" : "s3:GetObject"));
  std::string inlined = CO_ASK(co_await inlined_bytes(*txn, from.id, source.key, original));
  txn.reset();
  if (original.delete_marker) co_return refuse(Failure(ErrorCode::kNoSuchKey).detail("Key", source.key));
  CO_ASK(check_read(conditions_of(call, "x-amz-copy-source-"), original, ErrorCode::kPreconditionFailed));
  blob::Range range{0, original.size_bytes};
  if (call.has_header("x-amz-copy-source-range"))
    range = CO_ASK(copy_range_of(call.header("x-amz-copy-source-range"), original.size_bytes));
  if (range.size > kPutBytesMax) co_return refuse(ErrorCode::kEntityTooLarge);

  const Envelope envelope = CO_ASK(
      co_await envelope_of(call, from.id, original.encryption, copy_source_encryption_fields(call)));
  const Envelope sealing = CO_ASK(co_await envelope_of(call, to.id, upload.encryption, encryption_fields(call)));

  Stored stored = CO_ASK(
      co_await store_copy(original, std::move(inlined), range, upload.checksum.algorithm, envelope, sealing,
                          scheme_of(upload)));
  CO_ASK(co_await keep_part(to.id, call.key, id, part, stored));
  if (from.versioning != Versioning::kUnversioned)
    call.response.set("x-amz-copy-source-version-id", original.version_id());
  set_encryption_headers(call, upload.encryption);
  XmlWriter xml("CopyPartResult");
  xml.element("ETag", quoted_md5(part.md5)).element("LastModified", base::format_rfc3339(call.now));
  write_checksum(xml, part.checksum);
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::complete_upload(Call& call) {
  CO_ASK(refuse_unsupported_headers(call));
  CompleteUpload complete{.key = call.key};
  complete.upload = CO_ASK(upload_id_of(call.query.get("uploadId")));
  complete.conditions.if_match = conditions_of(call).if_match;
  complete.conditions.if_none_match = conditions_of(call).if_none_match;
  for (ChecksumAlgorithm algorithm : kChecksumAlgorithms) {
    auto value = call.field(header_name(algorithm));
    if (!value) continue;
    std::string_view whole = *value;
    // A composite checksum may carry its number of parts.
    if (size_t dash = whole.rfind('-'); dash != whole.npos) whole = whole.substr(0, dash);
    complete.checksum = CO_ASK(parse_checksum(algorithm, whole));
  }
  if (call.has_header("x-amz-checksum-type"))
    complete.checksum_type = CO_ASK(checksum_type_named(call.header("x-amz-checksum-type")));
  if (call.has_header("x-amz-mp-object-size"))
    complete.size_bytes = CO_ASK(number_of("x-amz-mp-object-size", call.header("x-amz-mp-object-size"), 0, UINT64_MAX));

  Bucket bucket = CO_ASK(co_await load_bucket(call));
  CO_ASK(require(call, bucket, call.key, "s3:PutObject"));
  // The x-amz-checksum-* headers here are about the object, not about this body.
  if (!call.request.has_body()) co_return refuse(ErrorCode::kMalformedXml);
  std::string body_text = CO_ASK(co_await read_text(call, 4u << 20, Body::Checksums::kIgnored));
  XmlElement document = CO_ASK(parse_xml(body_text));
  if (document.name != "CompleteMultipartUpload") co_return refuse(ErrorCode::kMalformedXml);
  for (const XmlElement& element : document.children) {
    if (element.name != "Part") continue;
    if (complete.parts.size() > kPartNumberMax) co_return refuse(ErrorCode::kMalformedXml);
    CompletedPart& part = complete.parts.emplace_back();
    auto number = number_of("PartNumber", element.text_of("PartNumber"), 1, kPartNumberMax);
    if (!number) co_return refuse(element.child("PartNumber") ? ErrorCode::kInvalidPart : ErrorCode::kMalformedXml);
    part.number = static_cast<uint32_t>(*number);
    if (!element.child("ETag")) co_return refuse(ErrorCode::kMalformedXml);
    part.etag = element.text_of("ETag");
    constexpr std::string_view kChecksum = "Checksum";
    for (const XmlElement& value : element.children) {
      if (!value.name.starts_with(kChecksum) || value.text.empty()) continue;
      for (ChecksumAlgorithm algorithm : kChecksumAlgorithms)
        if (std::string_view(value.name).substr(kChecksum.size()) == name(algorithm))
          part.checksum = CO_ASK(parse_checksum(algorithm, value.text));
    }
  }

  CO_ASK(co_await check_completion_key(call, bucket, complete.upload));
  auto gate = CO_ASK(co_await home_.own(complete.upload));
  PutOutcome outcome = CO_ASK(co_await change([&](Write& write) -> Task<Answer<PutOutcome>> {
    bucket = CO_ASK(co_await bucket_for_change(write, call));
    co_return co_await engine_.complete(write, bucket, complete);
  }));
  const ObjectVersion& version = outcome.version;
  if (bucket.versioning == Versioning::kEnabled) call.response.set("x-amz-version-id", version.version_id());
  set_encryption_headers(call, version.encryption);
  set_expiration_header(call, bucket, call.key, version);
  XmlWriter xml("CompleteMultipartUploadResult");
  std::string host(call.request.authority());
  std::string location = (call.request.encrypted() ? "https://" : "http://") + host +
                         (call.virtual_host ? "/" : "/" + call.bucket + "/") +
                         base::url_encode(call.key, base::Slash::kKeep);
  xml.element("Location", location)
      .element("Bucket", call.bucket)
      .element("Key", call.key)
      .element("ETag", "\"" + version.etag + "\"");
  write_checksum(xml, version.checksum, version.part_count());
  if (version.checksum) xml.element("ChecksumType", name(version.checksum.type));
  co_return co_await send_xml(call, 200, xml.finish());
}

// Whoever began an upload, and may still write, may look at it and end it.
Task<Answer<void>> Service::require_for_upload(Call& call, store::Txn& txn, const Bucket& bucket, const UploadId& id,
                                               std::string_view action) {
  if (CO_ASK(may(call, bucket, call.key, action))) co_return Answer<void>();
  auto upload = co_await engine_.upload(txn, bucket.id, call.key, id);
  if (upload && !call.principal->anonymous() && upload->initiator == call.caller() &&
      CO_ASK(may(call, bucket, call.key, "s3:PutObject")))
    co_return Answer<void>();
  co_return refuse(ErrorCode::kAccessDenied);
}

Service::Done Service::abort_upload(Call& call) {
  UploadId id = CO_ASK(upload_id_of(call.query.get("uploadId")));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(co_await require_for_upload(call, *txn, bucket, id, "s3:AbortMultipartUpload"));
  txn.reset();
  auto gate = CO_ASK(co_await home_.own(id));
  CO_ASK(co_await change([&](Write& write) -> Task<Answer<bool>> {
    CO_ASK(co_await engine_.abort(write, bucket.id, call.key, id));
    co_return true;
  }));
  co_return co_await send_empty(call, 204);
}

Service::Done Service::list_parts(Call& call) {
  UploadId id = CO_ASK(upload_id_of(call.query.get("uploadId")));
  uint64_t limit = 1000, marker = 0;
  if (auto text = call.query.find_value("max-parts"))
    limit = std::min<uint64_t>(1000, CO_ASK(number_of("max-parts", *text, 0, INT32_MAX)));
  if (auto text = call.query.find_value("part-number-marker"); text && !text->empty())
    marker = CO_ASK(number_of("part-number-marker", *text, 0, INT32_MAX));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(co_await require_for_upload(call, *txn, bucket, id, "s3:ListMultipartUploadParts"));
  Upload upload = CO_ASK(co_await engine_.upload(*txn, bucket.id, call.key, id));
  PartListing listing;
  if (limit > 0)
    listing = CO_ASK(co_await engine_.list_parts(
        *txn, id, static_cast<uint32_t>(std::min<uint64_t>(marker, kPartNumberMax)), limit));
  txn.reset();
  set_abort_headers(call, bucket, upload);
  XmlWriter xml("ListPartsResult");
  xml.element("Bucket", call.bucket).element("Key", call.key).element("UploadId", hex(id));
  std::string initiator = co_await display_name(upload.initiator.canonical_id),
              owner = co_await display_name(upload.owner.canonical_id);
  xml.open("Initiator").element("ID", upload.initiator.canonical_id).element("DisplayName", initiator).close();
  xml.open("Owner").element("ID", upload.owner.canonical_id).element("DisplayName", owner).close();
  xml.element("StorageClass", upload.metadata.storage_class.empty() ? "STANDARD" : upload.metadata.storage_class);
  xml.element("PartNumberMarker", marker);
  xml.element("NextPartNumberMarker", listing.parts.empty() ? marker : uint64_t{listing.parts.back().number});
  xml.element("MaxParts", limit).element("IsTruncated", listing.truncated);
  if (upload.checksum)
    xml.element("ChecksumAlgorithm", name(upload.checksum.algorithm))
        .element("ChecksumType", name(upload.checksum.type));
  for (const Part& part : listing.parts) {
    xml.open("Part").element("PartNumber", part.number).element("LastModified", base::format_rfc3339(part.modified_at));
    xml.element("ETag", quoted_md5(part.md5)).element("Size", part.size_bytes);
    write_checksum(xml, part.checksum);
    xml.close();
  }
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::list_uploads(Call& call) {
  auto encoding = call.query.find_value("encoding-type");
  if (encoding && *encoding != "url")
    co_return refuse(ErrorCode::kInvalidArgument, "Invalid Encoding Method specified in Request");
  auto form = [&](std::string_view value) {
    return encoding ? base::url_encode(value, base::Slash::kKeep) : std::string(value);
  };
  uint64_t asked = 1000;
  if (auto text = call.query.find_value("max-uploads")) asked = CO_ASK(number_of("max-uploads", *text, 0, INT32_MAX));
  UploadListQuery query{.prefix = std::string(call.query.get("prefix")),
                        .delimiter = std::string(call.query.get("delimiter")),
                        .key_after = std::string(call.query.get("key-marker")),
                        .limit = std::min<uint64_t>(asked, 1000)};
  std::string_view marker = call.query.get("upload-id-marker");
  if (!marker.empty() && !query.key_after.empty()) {
    auto id = upload_id_of(marker);
    if (!id) co_return refuse(ErrorCode::kInvalidArgument, "Invalid upload-id-marker");
    query.upload_after = std::move(*id);
  }
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(require(call, bucket, "", "s3:ListBucketMultipartUploads"));
  UploadListing listing = CO_ASK(co_await engine_.list_uploads(*txn, bucket.id, query));
  txn.reset();
  XmlWriter xml("ListMultipartUploadsResult");
  xml.element("Bucket", call.bucket).element("KeyMarker", form(query.key_after)).element("UploadIdMarker", marker);
  if (!query.prefix.empty()) xml.element("Prefix", form(query.prefix));
  if (!query.delimiter.empty()) xml.element("Delimiter", form(query.delimiter));
  if (encoding) xml.element("EncodingType", "url");
  if (listing.truncated) {
    xml.element("NextKeyMarker", form(listing.last_key));
    xml.element("NextUploadIdMarker", listing.last_upload.empty() ? "" : hex(listing.last_upload));
  }
  xml.element("MaxUploads", asked).element("IsTruncated", listing.truncated);
  for (const Upload& upload : listing.uploads) {
    std::string initiator = co_await display_name(upload.initiator.canonical_id),
                owner = co_await display_name(upload.owner.canonical_id);
    xml.open("Upload").element("Key", form(upload.key)).element("UploadId", hex(upload.id));
    xml.open("Initiator").element("ID", upload.initiator.canonical_id).element("DisplayName", initiator).close();
    xml.open("Owner").element("ID", upload.owner.canonical_id).element("DisplayName", owner).close();
    xml.element("StorageClass", upload.metadata.storage_class.empty() ? "STANDARD" : upload.metadata.storage_class);
    xml.element("Initiated", base::format_rfc3339(upload.initiated_at));
    if (upload.checksum)
      xml.element("ChecksumAlgorithm", name(upload.checksum.algorithm))
          .element("ChecksumType", name(upload.checksum.type));
    xml.close();
  }
  for (const std::string& prefix : listing.common_prefixes)
    xml.open("CommonPrefixes").element("Prefix", form(prefix)).close();
  co_return co_await send_xml(call, 200, xml.finish());
}

}  // namespace polis::object
