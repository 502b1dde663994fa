// The values of rows; their keys are in row_keys.cc.
#include "systems/object/rows.h"

#include <limits>
#include <type_traits>

#include "kernel/base/binary.h"

namespace polis::object {
namespace {

using base::Reader;
using base::Writer;

// 1: without encryption, object lock and lifecycle.
constexpr uint8_t kFormat = 2;

class RowWriter : public Writer {
 public:
  RowWriter() : Writer(bytes_) { u8(kFormat); }
  std::string take() {
    POLIS_ASSERT(ok());
    return std::string(as_text(bytes_));
  }

 private:
  Bytes bytes_;
};

void write(Writer& out, WallTime time) {
  out.zigzag(time.time_since_epoch().count());
}
void write(Writer& out, const Owner& owner) {
  out.sized(owner.account_id);
  out.sized(owner.canonical_id);
}
void write(Writer& out, const HeaderList& pairs) {
  out.varint(pairs.size());
  for (const auto& [first, second] : pairs) {
    out.sized(first);
    out.sized(second);
  }
}
void write(Writer& out, const Acl& acl) {
  out.varint(acl.grants.size());
  for (const Grant& grant : acl.grants) {
    out.u8(static_cast<uint8_t>(grant.kind));
    out.u8(static_cast<uint8_t>(grant.permission));
    out.sized(grant.canonical_id);
  }
}
void write(Writer& out, const Checksum& checksum) {
  out.u8(static_cast<uint8_t>(checksum.algorithm));
  out.u8(static_cast<uint8_t>(checksum.type));
  out.sized(checksum.raw);
}
void write(Writer& out, const Metadata& metadata) {
  for (const std::string* field :
       {&metadata.content_type, &metadata.cache_control, &metadata.content_disposition, &metadata.content_encoding,
        &metadata.content_language, &metadata.expires, &metadata.website_redirect_location, &metadata.storage_class})
    out.sized(*field);
  write(out, metadata.user);
}
void write(Writer& out, const blob::Receipt& receipt) {
  out.sized(receipt.location);
  out.varint(receipt.size_bytes);
}
void write(Writer& out, const Encryption& encryption) {
  out.u8(static_cast<uint8_t>(encryption.kind));
  if (!encryption) return;
  out.sized(encryption.customer_key_md5);
  out.sized(encryption.kms_key_id);
  out.sized(encryption.kms_context);
  out.boolean(encryption.bucket_key);
}
void write(Writer& out, const Seal& seal) {
  out.sized(seal.wrapped_key);
  out.sized(seal.nonce);
}
void write(Writer& out, const Retention& retention, bool legal_hold) {
  out.u8(static_cast<uint8_t>(retention.mode));
  if (retention) write(out, retention.until);
  out.boolean(legal_hold);
}
template <class T>
void write_optional(Writer& out, const std::optional<T>& value) {
  out.boolean(value.has_value());
  if (!value) return;
  if constexpr (std::is_same_v<T, WallTime>)
    write(out, *value);
  else
    out.varint(*value);
}
void write(Writer& out, const std::vector<LifecycleRule::Transition>& transitions) {
  out.varint(transitions.size());
  for (const LifecycleRule::Transition& transition : transitions) {
    write_optional(out, transition.days);
    write_optional(out, transition.date);
    write_optional(out, transition.newer_versions);
    out.sized(transition.storage_class);
  }
}
void write(Writer& out, const LifecycleRule& rule) {
  out.sized(rule.id);
  out.boolean(rule.enabled);
  out.boolean(rule.filter_given);
  out.boolean(rule.filter_and);
  out.sized(rule.prefix);
  write(out, rule.tags);
  write_optional(out, rule.size_above_bytes);
  write_optional(out, rule.size_below_bytes);
  write_optional(out, rule.expiration_days);
  write_optional(out, rule.expiration_date);
  out.boolean(rule.expire_delete_marker);
  write_optional(out, rule.noncurrent_days);
  write_optional(out, rule.newer_noncurrent_versions);
  write_optional(out, rule.abort_upload_days);
  write(out, rule.transitions);
  write(out, rule.noncurrent_transitions);
}
void write(Writer& out, const std::vector<std::string>& texts) {
  out.varint(texts.size());
  for (const std::string& text : texts) out.sized(text);
}

uint8_t read_format(Reader& in) {
  uint8_t format = in.u8();
  if (format == 0 || format > kFormat) in.reject("a row of an unknown format");
  return format;
}
std::string text(Reader& in) {
  return std::string(in.sized_text());
}
WallTime time(Reader& in) {
  return WallTime(Duration(in.zigzag()));
}
template <class E>
E enumerator(Reader& in, E last) {
  uint8_t value = in.u8();
  if (value > static_cast<uint8_t>(last)) in.reject("an enumerator out of range");
  return static_cast<E>(value);
}
Owner owner(Reader& in) {
  Owner value;
  value.account_id = text(in);
  value.canonical_id = text(in);
  return value;
}
HeaderList pairs(Reader& in) {
  HeaderList value(in.count(2));
  for (auto& [first, second] : value) {
    first = text(in);
    second = text(in);
  }
  return value;
}
Acl acl(Reader& in) {
  Acl value;
  value.grants.resize(in.count(3));
  for (Grant& grant : value.grants) {
    grant.kind = enumerator(in, Grant::Kind::kLogDelivery);
    grant.permission = enumerator(in, Permission::kFullControl);
    grant.canonical_id = text(in);
  }
  return value;
}
Checksum checksum(Reader& in) {
  Checksum value;
  value.algorithm = enumerator(in, ChecksumAlgorithm::kSha256);
  value.type = enumerator(in, ChecksumType::kComposite);
  value.raw = text(in);
  return value;
}
Metadata metadata(Reader& in) {
  Metadata value;
  for (std::string* field :
       {&value.content_type, &value.cache_control, &value.content_disposition, &value.content_encoding,
        &value.content_language, &value.expires, &value.website_redirect_location, &value.storage_class})
    *field = text(in);
  value.user = pairs(in);
  return value;
}
blob::Receipt receipt(Reader& in) {
  blob::Receipt value;
  value.location = text(in);
  value.size_bytes = in.varint();
  return value;
}
Encryption encryption(Reader& in) {
  Encryption value;
  value.kind = enumerator(in, EncryptionKind::kKms);
  if (!value) return value;
  value.customer_key_md5 = text(in);
  value.kms_key_id = text(in);
  value.kms_context = text(in);
  value.bucket_key = in.boolean();
  return value;
}
Seal seal(Reader& in) {
  Seal value;
  value.wrapped_key = text(in);
  value.nonce = text(in);
  return value;
}
void read_lock(Reader& in, Retention& retention, bool& legal_hold) {
  retention.mode = enumerator(in, RetentionMode::kCompliance);
  if (retention) retention.until = time(in);
  legal_hold = in.boolean();
}
template <class T>
std::optional<T> optional(Reader& in) {
  if (!in.boolean()) return std::nullopt;
  if constexpr (std::is_same_v<T, WallTime>)
    return time(in);
  else
    return static_cast<T>(in.varint_up_to(std::numeric_limits<T>::max()));
}
std::vector<LifecycleRule::Transition> transitions(Reader& in) {
  std::vector<LifecycleRule::Transition> value(in.count(4));
  for (LifecycleRule::Transition& transition : value) {
    transition.days = optional<uint32_t>(in);
    transition.date = optional<WallTime>(in);
    transition.newer_versions = optional<uint32_t>(in);
    transition.storage_class = text(in);
  }
  return value;
}
LifecycleRule lifecycle_rule(Reader& in) {
  LifecycleRule rule;
  rule.id = text(in);
  rule.enabled = in.boolean();
  rule.filter_given = in.boolean();
  rule.filter_and = in.boolean();
  rule.prefix = text(in);
  rule.tags = pairs(in);
  rule.size_above_bytes = optional<uint64_t>(in);
  rule.size_below_bytes = optional<uint64_t>(in);
  rule.expiration_days = optional<uint32_t>(in);
  rule.expiration_date = optional<WallTime>(in);
  rule.expire_delete_marker = in.boolean();
  rule.noncurrent_days = optional<uint32_t>(in);
  rule.newer_noncurrent_versions = optional<uint32_t>(in);
  rule.abort_upload_days = optional<uint32_t>(in);
  rule.transitions = transitions(in);
  rule.noncurrent_transitions = transitions(in);
  return rule;
}
std::vector<std::string> texts(Reader& in) {
  std::vector<std::string> value(in.count(1));
  for (std::string& one : value) one = text(in);
  return value;
}

enum VersionFlag : uint8_t { kNullVersion = 1, kDeleteMarker = 2, kInlined = 4 };

}  // namespace

void Usage::count(const ObjectVersion& version, int by) {
  if (version.delete_marker) {
    delete_markers += by;
    return;
  }
  const int64_t bytes = static_cast<int64_t>(version.size_bytes) * by;
  versions += by;
  size_bytes += bytes;
  const auto in = storage_class_named(version.metadata.storage_class).value_or(StorageClass::kStandard);
  if (in == StorageClass::kStandard) return;
  others[static_cast<size_t>(in)].versions += by;
  others[static_cast<size_t>(in)].size_bytes += bytes;
}

Usage::OfClass Usage::of_class(StorageClass storage_class) const {
  if (storage_class != StorageClass::kStandard) return others[static_cast<size_t>(storage_class)];
  OfClass rest{.versions = versions, .size_bytes = size_bytes};
  for (const OfClass& other : others) {
    rest.versions -= other.versions;
    rest.size_bytes -= other.size_bytes;
  }
  return rest;
}

std::string encode(const Bucket& bucket) {
  RowWriter out;
  out.varint(bucket.id);
  out.sized(bucket.name);
  write(out, bucket.owner);
  write(out, bucket.created_at);
  out.sized(bucket.region);
  out.u8(static_cast<uint8_t>(bucket.versioning));
  out.u8(static_cast<uint8_t>(bucket.ownership));
  write(out, bucket.acl);
  out.sized(bucket.policy);
  out.varint(bucket.cors.size());
  for (const CorsRule& rule : bucket.cors) {
    out.sized(rule.id);
    write(out, rule.methods);
    write(out, rule.origins);
    write(out, rule.headers);
    write(out, rule.expose);
    out.varint(rule.max_age_s ? *rule.max_age_s + uint64_t{1} : 0);
  }
  write(out, bucket.tags);
  out.boolean(bucket.public_access_block.has_value());
  if (const auto& block = bucket.public_access_block) {
    out.boolean(block->block_acls);
    out.boolean(block->ignore_acls);
    out.boolean(block->block_policy);
    out.boolean(block->restrict_buckets);
  }
  out.boolean(bucket.requester_pays);
  write(out, bucket.encryption);
  out.boolean(bucket.object_lock);
  out.boolean(bucket.default_retention.has_value());
  if (const auto& retention = bucket.default_retention) {
    out.u8(static_cast<uint8_t>(retention->mode));
    out.varint(retention->days);
    out.varint(retention->years);
  }
  out.boolean(bucket.policy_binds_root);
  out.varint(bucket.lifecycle.size());
  for (const LifecycleRule& rule : bucket.lifecycle) write(out, rule);
  return out.take();
}

Result<Bucket> decode_bucket(std::string_view row) {
  Reader in(as_bytes(row));
  const uint8_t format = read_format(in);
  Bucket bucket;
  bucket.id = in.varint();
  bucket.name = text(in);
  bucket.owner = owner(in);
  bucket.created_at = time(in);
  bucket.region = text(in);
  bucket.versioning = enumerator(in, Versioning::kSuspended);
  bucket.ownership = enumerator(in, Ownership::kObjectWriter);
  bucket.acl = acl(in);
  bucket.policy = text(in);
  bucket.cors.resize(in.count(6));
  for (CorsRule& rule : bucket.cors) {
    rule.id = text(in);
    rule.methods = texts(in);
    rule.origins = texts(in);
    rule.headers = texts(in);
    rule.expose = texts(in);
    if (uint64_t age = in.varint_up_to(uint64_t{1} << 32)) rule.max_age_s = static_cast<uint32_t>(age - 1);
  }
  bucket.tags = pairs(in);
  if (in.boolean()) {
    PublicAccessBlock block;
    block.block_acls = in.boolean();
    block.ignore_acls = in.boolean();
    block.block_policy = in.boolean();
    block.restrict_buckets = in.boolean();
    bucket.public_access_block = block;
  }
  bucket.requester_pays = in.boolean();
  if (format >= 2) {
    bucket.encryption = encryption(in);
    bucket.object_lock = in.boolean();
    if (in.boolean()) {
      DefaultRetention& retention = bucket.default_retention.emplace();
      retention.mode = enumerator(in, RetentionMode::kCompliance);
      retention.days = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
      retention.years = static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
    }
    bucket.policy_binds_root = in.boolean();
    bucket.lifecycle.resize(in.count(16));
    for (LifecycleRule& rule : bucket.lifecycle) rule = lifecycle_rule(in);
  }
  TRY(in.finish());
  return bucket;
}

std::string encode(const ObjectVersion& version) {
  RowWriter out;
  out.u64(version.sequence);
  out.u8(static_cast<uint8_t>((version.null_version ? kNullVersion : 0) | (version.delete_marker ? kDeleteMarker : 0) |
                              (version.inlined ? kInlined : 0)));
  out.u64(version.null_sequence);
  write(out, version.modified_at);
  write(out, version.owner);
  out.varint(version.size_bytes);
  out.sized(version.etag);
  write(out, version.checksum);
  write(out, version.metadata);
  write(out, version.tags);
  write(out, version.acl);
  write(out, version.blob);
  out.sized(version.upload);
  out.varint(version.parts.size());
  for (const PartRun& run : version.parts) {
    out.varint(run.first_number);
    out.varint(run.count);
    out.varint(run.size_bytes);
  }
  write(out, version.encryption);
  if (version.encryption) write(out, version.seal);
  write(out, version.retention, version.legal_hold);
  return out.take();
}

Result<ObjectVersion> decode_version(std::string_view row) {
  Reader in(as_bytes(row));
  const uint8_t format = read_format(in);
  ObjectVersion version;
  version.sequence = in.u64();
  uint8_t flags = in.u8();
  if (flags > (kNullVersion | kDeleteMarker | kInlined)) in.reject("a flag of an unknown kind");
  version.null_version = flags & kNullVersion;
  version.delete_marker = flags & kDeleteMarker;
  version.inlined = flags & kInlined;
  version.null_sequence = in.u64();
  version.modified_at = time(in);
  version.owner = owner(in);
  version.size_bytes = in.varint();
  version.etag = text(in);
  version.checksum = checksum(in);
  version.metadata = metadata(in);
  version.tags = pairs(in);
  version.acl = acl(in);
  version.blob = receipt(in);
  version.upload = text(in);
  version.parts.resize(in.count(3));
  for (PartRun& run : version.parts) {
    run.first_number = static_cast<uint32_t>(in.varint_up_to(kPartNumberMax));
    run.count = static_cast<uint32_t>(in.varint_up_to(kPartNumberMax));
    run.size_bytes = in.varint();
  }
  if (format >= 2) {
    version.encryption = encryption(in);
    if (version.encryption) version.seal = seal(in);
    read_lock(in, version.retention, version.legal_hold);
  }
  TRY(in.finish());
  return version;
}

std::string encode(const Upload& upload) {
  RowWriter out;
  out.sized(upload.id);
  out.sized(upload.key);
  write(out, upload.initiated_at);
  write(out, upload.owner);
  write(out, upload.initiator);
  write(out, upload.metadata);
  write(out, upload.tags);
  write(out, upload.acl);
  write(out, upload.checksum);
  write(out, upload.encryption);
  write(out, upload.retention, upload.legal_hold);
  return out.take();
}

Result<Upload> decode_upload(std::string_view row) {
  Reader in(as_bytes(row));
  const uint8_t format = read_format(in);
  Upload upload;
  upload.id = text(in);
  upload.key = text(in);
  upload.initiated_at = time(in);
  upload.owner = owner(in);
  upload.initiator = owner(in);
  upload.metadata = metadata(in);
  upload.tags = pairs(in);
  upload.acl = acl(in);
  upload.checksum = checksum(in);
  if (format >= 2) {
    upload.encryption = encryption(in);
    read_lock(in, upload.retention, upload.legal_hold);
  }
  TRY(in.finish());
  return upload;
}

std::string encode(const Part& part) {
  RowWriter out;
  out.varint(part.number);
  out.varint(part.size_bytes);
  out.sized(part.md5);
  write(out, part.modified_at);
  write(out, part.checksum);
  out.boolean(part.inlined);
  out.sized(part.bytes);
  write(out, part.blob);
  write(out, part.seal);
  return out.take();
}

Result<Part> decode_part(std::string_view row) {
  Reader in(as_bytes(row));
  const uint8_t format = read_format(in);
  Part part;
  part.number = static_cast<uint32_t>(in.varint_up_to(kPartNumberMax));
  part.size_bytes = in.varint();
  part.md5 = text(in);
  part.modified_at = time(in);
  part.checksum = checksum(in);
  part.inlined = in.boolean();
  part.bytes = text(in);
  part.blob = receipt(in);
  if (format >= 2) part.seal = seal(in);
  TRY(in.finish());
  return part;
}

std::string encode(const Usage& usage) {
  RowWriter out;
  out.zigzag(usage.objects);
  out.zigzag(usage.versions);
  out.zigzag(usage.delete_markers);
  out.zigzag(usage.size_bytes);
  for (size_t i = 0; i < usage.others.size(); ++i) {
    const Usage::OfClass& one = usage.others[i];
    if (one == Usage::OfClass{}) continue;
    out.u8(static_cast<uint8_t>(i));
    out.zigzag(one.versions);
    out.zigzag(one.size_bytes);
  }
  return out.take();
}

Result<Usage> decode_usage(std::string_view row) {
  Reader in(as_bytes(row));
  read_format(in);
  Usage usage;
  usage.objects = in.zigzag();
  usage.versions = in.zigzag();
  usage.delete_markers = in.zigzag();
  usage.size_bytes = in.zigzag();
  // Classes in rising order, those that are zero left out; STANDARD is never there.
  for (uint8_t last = 0; in.remaining_bytes() > 0;) {
    const uint8_t index = in.u8();
    if (index <= last || index >= kStorageClasses) {
      in.reject("a storage class out of order");
      break;
    }
    last = index;
    usage.others[index].versions = in.zigzag();
    usage.others[index].size_bytes = in.zigzag();
    if (in.ok() && usage.others[index] == Usage::OfClass{}) in.reject("a storage class without versions");
  }
  TRY(in.finish());
  return usage;
}

std::string encode(const Indexing& indexing) {
  RowWriter out;
  out.sized(indexing.bucket_name);
  out.sized(indexing.next);
  out.boolean(indexing.uploads);
  return out.take();
}

std::string encode(const Renamed& renamed) {
  RowWriter out;
  out.sized(renamed.from);
  out.sized(renamed.to);
  out.boolean(renamed.prefix);
  out.varint(renamed.keys);
  return out.take();
}

Result<Renamed> decode_renamed(std::string_view row) {
  Reader in(as_bytes(row));
  read_format(in);
  Renamed renamed;
  renamed.from = text(in);
  renamed.to = text(in);
  renamed.prefix = in.boolean();
  renamed.keys = in.varint();
  TRY(in.finish());
  return renamed;
}

Result<Indexing> decode_indexing(std::string_view row) {
  Reader in(as_bytes(row));
  read_format(in);
  Indexing indexing;
  indexing.bucket_name = text(in);
  indexing.next = text(in);
  indexing.uploads = in.boolean();
  TRY(in.finish());
  return indexing;
}

std::string encode(const BackReference& reference) {
  RowWriter out;
  out.u8(static_cast<uint8_t>(reference.kind));
  if (reference.kind == BackReference::Kind::kVersion) {
    out.varint(reference.bucket);
    out.sized(reference.key);
    out.u64(reference.sequence);
  } else {
    out.sized(reference.upload);
    out.varint(reference.part_number);
  }
  return out.take();
}

Result<BackReference> decode_reference(std::string_view row) {
  Reader in(as_bytes(row));
  read_format(in);
  BackReference reference;
  reference.kind = enumerator(in, BackReference::Kind::kPart);
  if (reference.kind == BackReference::Kind::kVersion) {
    reference.bucket = in.varint();
    reference.key = text(in);
    reference.sequence = in.u64();
  } else {
    reference.upload = text(in);
    reference.part_number = static_cast<uint32_t>(in.varint_up_to(kPartNumberMax));
  }
  TRY(in.finish());
  return reference;
}

}  // namespace polis::object
