// GET, HEAD, PUT, copy, DELETE, DeleteObjects and GetObjectAttributes.
#include <algorithm>

#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "kernel/http/date.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

class ResponseSink final : public blob::ByteSink {
 public:
  ResponseSink(http::Response& response, uint64_t& sent_bytes) : response_(response), sent_bytes_(sent_bytes) {}
  Task<Result<void>> write(BytesView bytes) override {
    sent_bytes_ += bytes.size();
    return response_.write(bytes);
  }

 private:
  http::Response& response_;
  uint64_t& sent_bytes_;
};

std::string quoted_etag(std::string_view etag) {
  return "\"" + std::string(etag) + "\"";
}

// The byte range of one part, by its position in the object: what ?partNumber= means.
Answer<blob::Range> part_range(const ObjectVersion& version, uint64_t position) {
  if (version.upload.empty()) {
    if (position == 1) return blob::Range{0, version.size_bytes};
    return refuse(ErrorCode::kInvalidPart, "The requested partnumber is not satisfiable");
  }
  uint64_t offset = 0;
  for (const PartRun& run : version.parts) {
    if (position <= run.count) return blob::Range{offset + (position - 1) * run.size_bytes, run.size_bytes};
    position -= run.count;
    offset += run.count * run.size_bytes;
  }
  return refuse(ErrorCode::kInvalidPart, "The requested partnumber is not satisfiable");
}

}  // namespace

void Service::set_version_headers(Call& call, const ObjectVersion& version, const Bucket& bucket) {
  http::Response& out = call.response;
  out.set("ETag", quoted_etag(version.etag));
  out.set("Last-Modified", http::format_date(version.modified_at));
  if (bucket.versioning != Versioning::kUnversioned) out.set("x-amz-version-id", version.version_id());
}

Answer<void> Service::refuse_unsupported_headers(const Call& call) const {
  for (std::string_view name :
       {"x-amz-write-offset-bytes"}) {
    if (!call.has_header(name)) continue;
    return refuse(ErrorCode::kNotImplemented,
                  "The header " + std::string(name) + " asks for something that is not offered here");
  }
  return {};
}

// --- reading

Service::Done Service::get_object(Call& call) {
  bool head = call.request.method() == http::Method::kHead;
  CO_ASK(refuse_unsupported_headers(call));
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  auto found = co_await find_for_read(call, *txn, bucket, call.key, id, id ? "s3:GetObjectVersion" : "s3:GetObject");
  if (!found) {
    Failure failure = std::move(found).error();
    if (failure.code() == ErrorCode::kNoSuchKey) failure.header("x-amz-delete-marker", "false");
    co_return refuse(std::move(failure));
  }
  ObjectVersion version = std::move(*found);
  std::string inlined;
  if (!head) inlined = CO_ASK(co_await inlined_bytes(*txn, bucket.id, call.key, version));
  txn.reset();

  if (version.delete_marker) {
    Failure failure = id ? Failure(ErrorCode::kMethodNotAllowed)
                               .header("Allow", "DELETE")
                               .detail("Method", "GET")
                               .detail("ResourceType", "DeleteMarker")
                         : Failure(ErrorCode::kNoSuchKey).detail("Key", call.key);
    if (id) failure.header("Last-Modified", http::format_date(version.modified_at));
    co_return refuse(
        std::move(failure).header("x-amz-delete-marker", "true").header("x-amz-version-id", version.version_id()));
  }
  uint64_t part_position = 0;
  std::optional<blob::Range> part;
  if (auto number = call.query.find_value("partNumber")) {
    part_position = CO_ASK(number_of("partNumber", *number, 1, kPartNumberMax));
    part = CO_ASK(part_range(version, part_position));
  }
  const EncryptionFields encryption = encryption_fields(call);
  if (encryption.any() && !encryption.customer())
    co_return refuse(ErrorCode::kInvalidArgument,
                     "x-amz-server-side-encryption headers are not supported for this operation.");
  Envelope envelope;
  // A HEAD reads nothing: of the keys only the customer's is looked at.
  if (!head || version.encryption.kind == EncryptionKind::kCustomer || encryption.any())
    envelope = CO_ASK(co_await envelope_of(call, bucket.id, version.encryption, encryption));
  set_version_headers(call, version, bucket);
  CO_ASK(check_read(conditions_of(call), version, ErrorCode::kNotModified));
  set_encryption_headers(call, version.encryption);

  http::Response& out = call.response;
  blob::Range range{0, version.size_bytes};
  bool partial = false;
  Checksum part_checksum;
  if (part) {
    range = *part;
    if (version.checksum && !version.upload.empty())
      part_checksum = CO_ASK(co_await checksum_of_part(version, part_position));
    partial = !version.upload.empty() || version.size_bytes > 0;
    out.set("x-amz-mp-parts-count", std::to_string(std::max(version.part_count(), 1u)));
  } else if (auto wanted = CO_ASK(range_of(call.header("range"), version.size_bytes))) {
    range = *wanted;
    partial = true;
  }

  const Metadata& metadata = version.metadata;
  // A signed request may say what a few headers of its answer shall be; an anonymous one could mislead others with
  // that.
  static constexpr std::pair<std::string_view, std::string_view> kOverrides[] = {
      {"response-content-type", "Content-Type"},
      {"response-cache-control", "Cache-Control"},
      {"response-content-disposition", "Content-Disposition"},
      {"response-content-encoding", "Content-Encoding"},
      {"response-content-language", "Content-Language"},
      {"response-expires", "Expires"},
  };
  const std::string* values[] = {&metadata.content_type,     &metadata.cache_control,    &metadata.content_disposition,
                                 &metadata.content_encoding, &metadata.content_language, &metadata.expires};
  for (size_t i = 0; i < std::size(kOverrides); ++i) {
    auto override_value = call.query.find_value(kOverrides[i].first);
    if (override_value) {
      if (call.scheme == AuthScheme::kAnonymous)
        co_return refuse(ErrorCode::kInvalidRequest,
                         "Request specific response headers cannot be used for anonymous GET requests.");
      out.set(kOverrides[i].second, *override_value);
    } else if (!values[i]->empty()) {
      out.set(kOverrides[i].second, *values[i]);
    } else if (i == 0) {
      out.set("Content-Type", "binary/octet-stream");
    }
  }
  for (const auto& [name, value] : metadata.user) out.set("x-amz-meta-" + name, value);
  if (!metadata.storage_class.empty()) out.set("x-amz-storage-class", metadata.storage_class);
  if (!metadata.website_redirect_location.empty())
    out.set("x-amz-website-redirect-location", metadata.website_redirect_location);
  if (!version.tags.empty()) out.set("x-amz-tagging-count", std::to_string(version.tags.size()));
  CO_ASK(set_lock_headers(call, version, bucket));
  // A version that is asked for by its id may be no current one, of which the header speaks.
  if (!id) set_expiration_header(call, bucket, call.key, version);
  out.set("Accept-Ranges", "bytes");
  bool whole = range.size == version.size_bytes;
  if (part_checksum) {
    // Who asks for one part wants to hold it against what was uploaded.
    out.set(header_name(part_checksum.algorithm), text(part_checksum));
    out.set("x-amz-checksum-type", name(version.checksum.type));
  } else if (version.checksum && whole && http::equal_ignoring_case(call.header("x-amz-checksum-mode"), "ENABLED")) {
    out.set(header_name(version.checksum.algorithm), text(version.checksum, version.part_count()));
    out.set("x-amz-checksum-type", name(version.checksum.type));
  }
  out.status(200);
  if (partial) {
    out.status(206);
    if (range.size > 0)
      out.set("Content-Range", "bytes " + std::to_string(range.offset) + "-" +
                                   std::to_string(range.offset + range.size - 1) + "/" +
                                   std::to_string(version.size_bytes));
  }
  out.content_length(range.size);
  if (head || range.size == 0) {
    CO_ASK(co_await out.send());
    co_return Answer<void>();
  }
  Home::Hold pin = CO_ASK(co_await pin_parts(version, call.now));
  ResponseSink sink(out, statistics_.sent_bytes);
  CO_ASK(co_await send_range(version, inlined, range, envelope, sink));
  CO_ASK(co_await out.finish());
  co_return Answer<void>();
}

// Of the part at this position; none if it has none, or if the object went meanwhile and took its parts with it.
Task<Answer<Checksum>> Service::checksum_of_part(const ObjectVersion& version, uint64_t position) {
  for (const PartRun& run : version.parts) {
    if (position > run.count) {
      position -= run.count;
      continue;
    }
    auto number = static_cast<uint32_t>(run.first_number + position - 1);
    auto txn = CO_ASK(co_await begin());
    PartListing page = CO_ASK(co_await engine_.list_parts(*txn, version.upload, number - 1, 1));
    if (!page.parts.empty() && page.parts.front().number == number) co_return page.parts.front().checksum;
    break;
  }
  co_return Checksum{};
}

Service::Done Service::get_object_attributes(Call& call) {
  auto id = CO_ASK(version_of(call));
  std::string_view wanted = call.header("x-amz-object-attributes"), one;
  bool etag = false, checksum = false, parts = false, storage_class = false, size = false;
  for (std::string_view list = wanted; http::next_list_element(list, one);) {
    if (one == "ETag")
      etag = true;
    else if (one == "Checksum")
      checksum = true;
    else if (one == "ObjectParts")
      parts = true;
    else if (one == "StorageClass")
      storage_class = true;
    else if (one == "ObjectSize")
      size = true;
    else
      co_return refuse(ErrorCode::kInvalidArgument, "Invalid attribute name specified.");
  }
  if (wanted.empty()) co_return refuse(ErrorCode::kInvalidRequest, "The x-amz-object-attributes header is missing");
  uint64_t parts_max = 1000, marker = 0;
  if (call.has_header("x-amz-max-parts"))
    parts_max = std::min<uint64_t>(1000, CO_ASK(number_of("max-parts", call.header("x-amz-max-parts"), 0, INT32_MAX)));
  if (call.has_header("x-amz-part-number-marker"))
    marker = CO_ASK(number_of("part-number-marker", call.header("x-amz-part-number-marker"), 0, INT32_MAX));

  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  ObjectVersion version =
      CO_ASK(co_await find_for_read(call, *txn, bucket, call.key, id, id ? "s3:GetObjectVersion" : "s3:GetObject"));
  CO_ASK(require(call, bucket, call.key, id ? "s3:GetObjectVersionAttributes" : "s3:GetObjectAttributes", &version));
  if (version.delete_marker)
    co_return refuse(
        Failure(id ? ErrorCode::kMethodNotAllowed : ErrorCode::kNoSuchKey).header("x-amz-delete-marker", "true"));
  // Like a HEAD: the customer's key must come, though nothing is opened with it.
  const EncryptionFields encryption = encryption_fields(call);
  if (version.encryption.kind == EncryptionKind::kCustomer || encryption.customer())
    CO_ASK(co_await envelope_of(call, bucket.id, version.encryption, encryption));
  CO_ASK(check_read(conditions_of(call), version, ErrorCode::kNotModified));

  XmlWriter xml("GetObjectAttributesResponse");
  auto write_checksum = [&](const Checksum& value, uint32_t part_count) {
    std::string element = "Checksum" + std::string(name(value.algorithm));
    xml.element(element, text(value, part_count));
  };
  if (etag) xml.element("ETag", version.etag);
  if (checksum && version.checksum) {
    xml.open("Checksum");
    write_checksum(version.checksum, version.part_count());
    xml.element("ChecksumType", name(version.checksum.type));
    xml.close();
  }
  if (parts && !version.upload.empty()) {
    xml.open("ObjectParts");
    xml.element("PartsCount", version.part_count());
    xml.element("PartNumberMarker", marker).element("MaxParts", parts_max);
    PartListing page;
    if (parts_max > 0)
      page = CO_ASK(co_await engine_.list_parts(
          *txn, version.upload, static_cast<uint32_t>(std::min<uint64_t>(marker, kPartNumberMax)), parts_max));
    xml.element("NextPartNumberMarker", page.parts.empty() ? marker : uint64_t{page.parts.back().number});
    xml.element("IsTruncated", page.truncated);
    for (const Part& part : page.parts) {
      xml.open("Part").element("PartNumber", part.number).element("Size", part.size_bytes);
      if (part.checksum && version.checksum) write_checksum(part.checksum, 0);
      xml.close();
    }
    xml.close();
  }
  if (storage_class)
    xml.element("StorageClass", version.metadata.storage_class.empty() ? "STANDARD" : version.metadata.storage_class);
  if (size) xml.element("ObjectSize", version.size_bytes);
  set_version_headers(call, version, bucket);
  call.response.remove("ETag");
  co_return co_await send_xml(call, 200, xml.finish());
}

// --- writing

Answer<void> Service::require_acl_right(const Call& call, const Bucket& bucket, const Owner& owner,
                                        const MoreContext& more) {
  // An ACL is its object's owner's to give: the right is asked for the object that is about to be.
  ObjectVersion coming;
  coming.owner = owner;
  coming.acl = *canned_acl("private", owner, bucket.owner);
  // Whom the bucket's ACL lets write may say who reads it. Nobody in particular has no account that could hold the
  // right.
  bool ignore_acls = bucket.public_access_block && bucket.public_access_block->ignore_acls;
  if (call.principal->anonymous() && grants(bucket.acl, *call.principal, Permission::kWrite, ignore_acls))
    coming.acl.grants.push_back({Grant::Kind::kAllUsers, "", Permission::kWriteAcp});
  return require(call, bucket, call.key, "s3:PutObjectAcl", &coming, more);
}

Task<Answer<Service::AclChoice>> Service::choose_acl(Call& call, const Bucket& bucket) {
  // What an anonymous caller may write belongs to the bucket's owner: nobody else could ever manage it.
  Owner owner = call.principal->anonymous() ? bucket.owner : call.caller();
  auto asked = CO_ASK(co_await acl_of_headers(call, owner, bucket.owner));
  if (asked) CO_ASK(require_acl_right(call, bucket, owner));
  PublicAccessBlock block = bucket.public_access_block.value_or(PublicAccessBlock{});
  if (asked && block.block_acls && is_public(*asked))
    co_return refuse(ErrorCode::kAccessDenied, "The public access block refuses public ACLs");
  if (bucket.ownership == Ownership::kBucketOwnerEnforced) {
    std::string_view canned = call.header("x-amz-acl");
    bool harmless = !asked || canned == "bucket-owner-full-control";
    if (!harmless) co_return refuse(ErrorCode::kAccessControlListNotSupported);
    co_return AclChoice{bucket.owner, *canned_acl("private", bucket.owner, bucket.owner)};
  }
  if (bucket.ownership == Ownership::kBucketOwnerPreferred && call.header("x-amz-acl") == "bucket-owner-full-control")
    co_return AclChoice{bucket.owner, *canned_acl("private", bucket.owner, bucket.owner)};
  co_return AclChoice{owner, asked ? std::move(*asked) : *canned_acl("private", owner, bucket.owner)};
}

Service::Done Service::put_object(Call& call) {
  if (!call.copy_source().empty()) co_return co_await copy_object(call);
  CO_ASK(refuse_unsupported_headers(call));
  SteadyTime begun = clock_.steady();
  PutTimes times{.bucket = call.bucket, .key = call.key, .request_id = call.request_id, .at = call.now};

  PutVersion put{.key = call.key};
  put.version.metadata = CO_ASK(metadata_of(call));
  put.version.tags = CO_ASK(tags_of(call));
  put.conditions = conditions_of(call);
  put.conditions.modified_since.reset();
  put.conditions.unmodified_since.reset();
  Bucket bucket = CO_ASK(co_await load_bucket(call));
  CO_ASK(require(call, bucket, call.key, "s3:PutObject", nullptr, {.request_tags = &put.version.tags}));
  if (!put.version.tags.empty())
    CO_ASK(require(call, bucket, call.key, "s3:PutObjectTagging", nullptr, {.request_tags = &put.version.tags}));
  AclChoice choice = CO_ASK(co_await choose_acl(call, bucket));
  put.version.owner = std::move(choice.owner);
  put.version.acl = std::move(choice.acl);
  LockRequest lock = CO_ASK(lock_of(call, bucket, {.request_tags = &put.version.tags}));
  put.version.retention = lock.retention;
  put.version.legal_hold = lock.legal_hold.value_or(false);
  const Protection protection = CO_ASK(co_await choose_encryption(call, bucket, encryption_fields(call)));
  put.version.encryption = protection.encryption;
  const blob::Scheme scheme = CO_ASK(scheme_for(put.version.metadata.storage_class));
  if (put.conditions.any()) {
    // Before gigabytes are taken in vain; the commit looks again.
    auto txn = CO_ASK(co_await begin());
    auto current = co_await engine_.version(*txn, bucket.id, call.key, std::nullopt);
    if (!current && current.error().code() != ErrorCode::kNoSuchKey) co_return refuse(std::move(current).error());
    CO_ASK(check_write(put.conditions, current ? &*current : nullptr));
  }
  auto body = CO_ASK(Body::of(call, kPutBytesMax));
  times.authenticate = call.authenticating;
  times.authorize = clock_.steady() - begun;

  SteadyTime bytes_begun = clock_.steady();
  Stored stored = CO_ASK(co_await store_body(*body, protection.envelope, scheme));
  times.bytes = clock_.steady() - bytes_begun;
  put.version.size_bytes = stored.size_bytes;
  put.version.etag = base::hex_encode(as_bytes(stored.md5));
  put.version.checksum = stored.checksum;
  put.version.inlined = stored.inlined;
  put.version.blob = stored.blob;
  put.version.seal = stored.seal;
  put.inlined_bytes = stored.inlined_bytes;

  SteadyTime metadata_begun = clock_.steady();
  auto outcome = co_await change([&](Write& write) -> Task<Answer<PutOutcome>> {
    bucket = CO_ASK(co_await bucket_for_change(write, call));
    co_return co_await engine_.put(write, bucket, put);
  });
  if (!outcome) {
    discard(stored);
    co_return refuse(std::move(outcome).error());
  }
  times.metadata = clock_.steady() - metadata_begun;
  times.total = times.authenticate + (clock_.steady() - begun);
  times.size_bytes = stored.size_bytes;
  if (recent_puts_.size() >= 32) recent_puts_.erase(recent_puts_.begin());
  recent_puts_.push_back(std::move(times));

  const ObjectVersion& version = outcome->version;
  call.response.set("ETag", quoted_etag(version.etag));
  // While versioning is suspended S3 does not name the null version that it made.
  if (bucket.versioning == Versioning::kEnabled) call.response.set("x-amz-version-id", version.version_id());
  set_encryption_headers(call, version.encryption, true);
  set_expiration_header(call, bucket, call.key, version);
  if (version.checksum) {
    call.response.set(header_name(version.checksum.algorithm), text(version.checksum));
    call.response.set("x-amz-checksum-type", name(version.checksum.type));
  }
  co_return co_await send_empty(call, 200);
}

Service::Done Service::copy_object(Call& call) {
  CO_ASK(refuse_unsupported_headers(call));
  CopySource source = CO_ASK(copy_source_of(call.copy_source()));
  std::string_view directive = call.header("x-amz-metadata-directive"),
                   tagging_directive = call.header("x-amz-tagging-directive");
  for (std::string_view one : {directive, tagging_directive})
    if (!one.empty() && one != "COPY" && one != "REPLACE")
      co_return refuse(ErrorCode::kInvalidArgument, "Unknown directive " + std::string(one));
  bool replace = directive == "REPLACE", replace_tags = tagging_directive == "REPLACE";
  Metadata asked_metadata = CO_ASK(metadata_of(call));
  Tags asked_tags = CO_ASK(tags_of(call));

  auto txn = CO_ASK(co_await begin());
  Bucket from = CO_ASK(co_await engine_.bucket(*txn, source.bucket));
  CO_ASK(check_expected_owner(call, from, "x-amz-source-expected-bucket-owner"));
  CO_ASK(check_payer(call, from));
  Bucket to = CO_ASK(co_await load_bucket(call, *txn));
  CO_ASK(require(call, to, call.key, "s3:PutObject", nullptr,
                 {.request_tags = replace_tags ? &asked_tags : nullptr, .copy_source = source.text}));
  ObjectVersion original = CO_ASK(co_await find_for_read(call, *txn, from, source.key, source.version,
                                                         source.version ? "s3:GetObjectVersion" : "s3:GetObject"));
  std::string inlined = CO_ASK(co_await inlined_bytes(*txn, from.id, source.key, original));
  txn.reset();
  // Tags are not part of what s3:GetObject shows: a copy that takes them along, and sets them, needs the rights to
  // both.
  const Tags& tags = replace_tags ? asked_tags : original.tags;
  if (!replace_tags && !tags.empty())
    CO_ASK(require(call, from, source.key, source.version ? "s3:GetObjectVersionTagging" : "s3:GetObjectTagging",
                   &original));
  if (!tags.empty()) CO_ASK(require(call, to, call.key, "s3:PutObjectTagging", nullptr, {.request_tags = &tags}));
  if (original.delete_marker) {
    if (source.version)
      co_return refuse(ErrorCode::kInvalidRequest,
                       "The source of a copy request may not specifically refer to a delete marker by version id.");
    co_return refuse(Failure(ErrorCode::kNoSuchKey).detail("Key", source.key));
  }
  CO_ASK(check_read(conditions_of(call, "x-amz-copy-source-"), original, ErrorCode::kPreconditionFailed));
  bool to_itself = from.id == to.id && source.key == call.key && !source.version;
  bool changes_something = replace || call.has_header("x-amz-storage-class") ||
                           call.has_header("x-amz-website-redirect-location") || encryption_fields(call).any();
  if (to_itself && !changes_something)
    co_return refuse(
        ErrorCode::kInvalidRequest,
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
        "metadata, storage class, website redirect location or encryption attributes.");
  if (original.size_bytes > kPutBytesMax)
    co_return refuse(
        ErrorCode::kInvalidRequest,
        "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120");

  PutVersion put{.key = call.key};
  put.conditions.if_match = conditions_of(call).if_match;
  put.conditions.if_none_match = conditions_of(call).if_none_match;
  put.version.metadata = replace ? std::move(asked_metadata) : original.metadata;
  if (!replace) {
    put.version.metadata.storage_class = asked_metadata.storage_class;
    put.version.metadata.website_redirect_location = asked_metadata.website_redirect_location;
  }
  put.version.tags = tags;
  AclChoice choice = CO_ASK(co_await choose_acl(call, to));
  put.version.owner = std::move(choice.owner);
  put.version.acl = std::move(choice.acl);
  // Nor is its encryption.
  const Envelope envelope = CO_ASK(
      co_await envelope_of(call, from.id, original.encryption, copy_source_encryption_fields(call)));
  const Protection protection = CO_ASK(co_await choose_encryption(call, to, encryption_fields(call)));
  put.version.encryption = protection.encryption;
  // What protects the source is not copied: the copy has what the request or its bucket says.
  LockRequest lock = CO_ASK(lock_of(call, to, {.request_tags = &tags, .copy_source = source.text}));
  put.version.retention = lock.retention;
  put.version.legal_hold = lock.legal_hold.value_or(false);

  ChecksumAlgorithm algorithm = original.checksum.algorithm;
  if (call.has_header("x-amz-checksum-algorithm")) {
    auto named = checksum_algorithm_named(call.header("x-amz-checksum-algorithm"));
    if (!named) co_return refuse(ErrorCode::kInvalidRequest, "Checksum algorithm provided is unsupported.");
    algorithm = *named;
  }
  Stored stored = CO_ASK(co_await store_copy(original, std::move(inlined), {0, original.size_bytes}, algorithm,
                                             envelope, protection.envelope,
                                             CO_ASK(scheme_for(put.version.metadata.storage_class))));
  put.version.size_bytes = stored.size_bytes;
  put.version.etag = base::hex_encode(as_bytes(stored.md5));
  put.version.checksum = stored.checksum;
  put.version.inlined = stored.inlined;
  put.version.blob = stored.blob;
  put.version.seal = stored.seal;
  put.inlined_bytes = stored.inlined_bytes;
  auto outcome = co_await change([&](Write& write) -> Task<Answer<PutOutcome>> {
    to = CO_ASK(co_await bucket_for_change(write, call));
    co_return co_await engine_.put(write, to, put);
  });
  if (!outcome) {
    discard(stored);
    co_return refuse(std::move(outcome).error());
  }
  const ObjectVersion& version = outcome->version;
  if (to.versioning == Versioning::kEnabled) call.response.set("x-amz-version-id", version.version_id());
  if (from.versioning != Versioning::kUnversioned)
    call.response.set("x-amz-copy-source-version-id", original.version_id());
  set_encryption_headers(call, version.encryption, true);
  set_expiration_header(call, to, call.key, version);
  XmlWriter xml("CopyObjectResult");
  xml.element("ETag", quoted_etag(version.etag)).element("LastModified", base::format_rfc3339(version.modified_at));
  if (version.checksum) {
    std::string element = "Checksum" + std::string(name(version.checksum.algorithm));
    xml.element(element, text(version.checksum)).element("ChecksumType", name(version.checksum.type));
  }
  co_return co_await send_xml(call, 200, xml.finish());
}

// --- deleting

Service::Done Service::delete_object(Call& call) {
  DeleteVersion remove{.key = call.key};
  remove.version = CO_ASK(version_of(call));
  remove.conditions = CO_ASK(delete_conditions_of(call));
  Bucket bucket = CO_ASK(co_await load_bucket(call));
  CO_ASK(require(call, bucket, call.key, remove.version ? "s3:DeleteObjectVersion" : "s3:DeleteObject"));
  remove.owner = call.principal->anonymous() ? bucket.owner : call.caller();
  remove.bypass_governance = CO_ASK(bypasses_governance(call, bucket, call.key));
  DeleteOutcome outcome = CO_ASK(co_await change([&](Write& write) -> Task<Answer<DeleteOutcome>> {
    bucket = CO_ASK(co_await bucket_for_change(write, call));
    co_return co_await engine_.remove(write, bucket, remove);
  }));
  if (outcome.delete_marker) call.response.set("x-amz-delete-marker", "true");
  if (!outcome.version_id.empty() && bucket.versioning != Versioning::kUnversioned)
    call.response.set("x-amz-version-id", outcome.version_id);
  co_return co_await send_empty(call, 204);
}

Service::Done Service::delete_objects(Call& call) {
  if (!call.has_header("content-md5") && !CO_ASK(checksum_of(call)).expected && !CO_ASK(checksum_of(call)).trailer &&
      call.verified.payload != PayloadMode::kHash)
    co_return refuse(ErrorCode::kInvalidRequest,
                     "Missing required header for this request: Content-MD5 OR x-amz-checksum-*");
  XmlElement document = CO_ASK(co_await read_xml(call, 8u << 20));
  if (document.name != "Delete") co_return refuse(ErrorCode::kMalformedXml);
  bool quiet = document.text_of("Quiet") == "true";

  struct Item {
    std::string key, version_text;
    DeleteVersion remove;
    std::optional<Failure> failure;  // found before the change
    std::optional<Failure> refused;  // by the change
    DeleteOutcome outcome;
  };
  std::vector<Item> items;
  for (const XmlElement& element : document.children) {
    if (element.name != "Object") continue;
    if (items.size() == kDeleteObjectsMax)
      co_return refuse(ErrorCode::kMalformedXml, "A delete names at most 1000 objects");
    Item& item = items.emplace_back();
    item.key = element.text_of("Key");
    item.version_text = element.text_of("VersionId");
    item.remove.key = item.key;
    auto checked = check_key(item.key);
    if (!checked) item.failure = std::move(checked).error();
    if (!item.version_text.empty()) {
      auto id = VersionId::parse(item.version_text);
      if (id)
        item.remove.version = *id;
      else
        item.failure = Failure(ErrorCode::kNoSuchVersion);
    }
    if (const XmlElement* etag = element.child("ETag")) item.remove.conditions.if_match = etag->text;
    if (const XmlElement* time = element.child("LastModifiedTime")) {
      auto parsed = base::parse_rfc3339(time->text);
      item.remove.conditions.if_match_modified_at = parsed ? std::optional(*parsed) : http::parse_date(time->text);
      if (!item.remove.conditions.if_match_modified_at) co_return refuse(ErrorCode::kMalformedXml);
    }
    if (const XmlElement* size = element.child("Size"))
      item.remove.conditions.if_match_size_bytes = CO_ASK(number_of("Size", size->text, 0, UINT64_MAX));
  }
  if (items.empty()) co_return refuse(ErrorCode::kMalformedXml);

  Bucket bucket = CO_ASK(co_await load_bucket(call));
  Owner owner = call.principal->anonymous() ? bucket.owner : call.caller();
  for (Item& item : items) {
    item.remove.owner = owner;
    if (item.failure) continue;
    auto right = require(call, bucket, item.key, item.remove.version ? "s3:DeleteObjectVersion" : "s3:DeleteObject");
    if (!right) item.failure = std::move(right).error();
    item.remove.bypass_governance = CO_ASK(bypasses_governance(call, bucket, item.key));
  }
  // One transaction, one sync, whatever the number of keys.
  CO_ASK(co_await change([&](Write& write) -> Task<Answer<bool>> {
    bucket = CO_ASK(co_await bucket_for_change(write, call));
    for (Item& item : items) {
      if (item.failure) continue;
      item.refused.reset();  // of an earlier try
      auto outcome = co_await engine_.remove(write, bucket, item.remove);
      if (outcome) {
        item.outcome = std::move(*outcome);
      } else if (outcome.error().code() == ErrorCode::kPreconditionFailed ||
                 outcome.error().code() == ErrorCode::kAccessDenied) {
        // Refused before anything was written: the others go all the same.
        item.refused = std::move(outcome).error();
      } else {
        co_return refuse(std::move(outcome).error());
      }
    }
    co_return true;
  }));

  XmlWriter xml("DeleteResult");
  bool versioned = bucket.versioning != Versioning::kUnversioned;
  for (const Item& item : items) {
    if (const auto& failure = item.failure ? item.failure : item.refused) {
      xml.open("Error").element("Key", item.key);
      if (!item.version_text.empty()) xml.element("VersionId", item.version_text);
      xml.element("Code", shape(failure->code()).name).element("Message", failure->message()).close();
    } else if (!quiet) {
      xml.open("Deleted").element("Key", item.key);
      if (!item.version_text.empty()) xml.element("VersionId", item.version_text);
      if (item.outcome.delete_marker) {
        xml.element("DeleteMarker", true);
        if (versioned) xml.element("DeleteMarkerVersionId", item.outcome.version_id);
      }
      xml.close();
    }
  }
  co_return co_await send_xml(call, 200, xml.finish());
}

}  // namespace polis::object
