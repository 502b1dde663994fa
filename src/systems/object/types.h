// The nouns of the object store: buckets, versions of objects, uploads and their parts, and what hangs on them. Values
// with no behaviour beyond checking themselves; limits are Amazon S3's documented ones, so that what works here works
// there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/blob/blob.h"
#include "systems/object/error.h"

namespace polis::object {

// --- limits

inline constexpr size_t kKeyBytesMax = 1024;
inline constexpr size_t kUserMetadataBytesMax = 2048;  // names and values together
inline constexpr size_t kSystemMetadataBytesMax =
    8192;                               // Content-Type and its like together: S3's limit on a request's headers
inline constexpr size_t kTagsMax = 10;  // of an object; 50 of a bucket
inline constexpr size_t kBucketTagsMax = 50;
inline constexpr size_t kTagKeyCharactersMax = 128;
inline constexpr size_t kTagValueCharactersMax = 256;
inline constexpr size_t kGrantsMax = 100;
inline constexpr size_t kCorsRulesMax = 100;
inline constexpr size_t kPolicyBytesMax = 20 * 1024;
inline constexpr size_t kDeleteObjectsMax = 1000;
inline constexpr size_t kListKeysMax = 1000;
inline constexpr size_t kBucketsPerOwnerMax =
    1000;  // S3's default quota is 10,000 since 2024, 100 before; listing stays one page
inline constexpr uint32_t kPartNumberMax = 10'000;
inline constexpr uint64_t kPartBytesMin = uint64_t{5} << 20;  // except the last
inline constexpr uint64_t kPutBytesMax = uint64_t{5} << 30;   // one PUT or one part
inline constexpr size_t kInlineBytesMax = 2048;               // bytes that live in the metadata store itself

// --- small parts

// Who owns a bucket or an object: the account by both of its ids. Display names are looked up when they are shown.
struct Owner {
  std::string account_id;
  std::string canonical_id;
  friend bool operator==(const Owner&, const Owner&) = default;
};

enum class Permission : unsigned char { kRead, kWrite, kReadAcp, kWriteAcp, kFullControl };

struct Grant {
  enum class Kind : unsigned char { kUser, kAllUsers, kAuthenticatedUsers, kLogDelivery };
  Kind kind = Kind::kUser;
  std::string canonical_id;  // of kUser
  Permission permission = Permission::kRead;
  friend bool operator==(const Grant&, const Grant&) = default;
};

struct Acl {
  std::vector<Grant> grants;
  friend bool operator==(const Acl&, const Acl&) = default;
};

using Tags = std::vector<std::pair<std::string, std::string>>;

enum class ChecksumAlgorithm : unsigned char { kNone, kCrc32, kCrc32c, kCrc64Nvme, kSha1, kSha256 };
enum class ChecksumType : unsigned char { kFullObject, kComposite };
struct Checksum {
  ChecksumAlgorithm algorithm = ChecksumAlgorithm::kNone;
  ChecksumType type = ChecksumType::kFullObject;
  std::string raw;  // as its bytes, most significant first; base64 on the wire
  explicit operator bool() const { return algorithm != ChecksumAlgorithm::kNone; }
  friend bool operator==(const Checksum&, const Checksum&) = default;
};

// What a client said about an object besides its bytes; given back as it was.
struct Metadata {
  std::string content_type;
  std::string cache_control;
  std::string content_disposition;
  std::string content_encoding;
  std::string content_language;
  std::string expires;
  std::string website_redirect_location;
  std::string storage_class;  // empty: STANDARD
  HeaderList user;            // x-amz-meta-*: lower-case names without the prefix
  friend bool operator==(const Metadata&, const Metadata&) = default;
};

enum class Versioning : unsigned char { kUnversioned, kEnabled, kSuspended };
enum class Ownership : unsigned char { kUnset, kBucketOwnerEnforced, kBucketOwnerPreferred, kObjectWriter };

struct CorsRule {
  std::string id;
  std::vector<std::string> methods, origins, headers, expose;
  std::optional<uint32_t> max_age_s;
};

struct PublicAccessBlock {
  bool block_acls = false, ignore_acls = false, block_policy = false, restrict_buckets = false;
};

// --- server-side encryption

enum class EncryptionKind : unsigned char {
  kNone,
  kS3,        // SSE-S3: under a key of this installation
  kCustomer,  // SSE-C: under a key that comes with every request and is never kept
  kKms,       // SSE-KMS: under a named key of the local key ring
};

// How a version or an upload is encrypted: what clients are told of it. The keys of the bytes lie beside them (Seal).
struct Encryption {
  EncryptionKind kind = EncryptionKind::kNone;
  std::string customer_key_md5;  // of kCustomer: 16 raw bytes
  std::string kms_key_id;        // of kKms
  std::string kms_context;       // of kKms: x-amz-server-side-encryption-context as it was sent; empty: none
  bool bucket_key = false;       // of kKms: x-amz-server-side-encryption-bucket-key-enabled, given back as it was
  explicit operator bool() const { return kind != EncryptionKind::kNone; }
  friend bool operator==(const Encryption&, const Encryption&) = default;
};

// What opens one run of encrypted bytes: a version's own, or those of one part. Empty: the bytes lie as they are.
struct Seal {
  std::string wrapped_key;  // the run's own data key, sealed by the key that Encryption names
  std::string nonce;        // 8 random bytes; packet n has nonce ++ big-endian n
  explicit operator bool() const { return !wrapped_key.empty(); }
  friend bool operator==(const Seal&, const Seal&) = default;
};

// --- object lock

enum class RetentionMode : unsigned char { kNone, kGovernance, kCompliance };
// Until when a version may not be deleted.
struct Retention {
  RetentionMode mode = RetentionMode::kNone;
  WallTime until{};
  explicit operator bool() const { return mode != RetentionMode::kNone; }
  friend bool operator==(const Retention&, const Retention&) = default;
};
// What a bucket gives versions that name no retention of their own. Either days or years.
struct DefaultRetention {
  RetentionMode mode = RetentionMode::kGovernance;
  uint32_t days = 0, years = 0;
};

// --- lifecycle

struct LifecycleRule {
  std::string id;
  bool enabled = true;
  bool filter_given = true;  // <Filter>; false: the older <Prefix> beside the rule
  bool filter_and = false;   // the filter was written with <And>
  std::string prefix;
  Tags tags;
  std::optional<uint64_t> size_above_bytes, size_below_bytes;

  struct Transition {
    std::optional<uint32_t> days;
    std::optional<WallTime> date;
    std::optional<uint32_t> newer_versions;  // of noncurrent ones: how many of them stay
    std::string storage_class;
  };
  std::optional<uint32_t> expiration_days;
  std::optional<WallTime> expiration_date;
  bool expire_delete_marker = false;
  std::optional<uint32_t> noncurrent_days;
  std::optional<uint32_t> newer_noncurrent_versions;
  std::optional<uint32_t> abort_upload_days;
  std::vector<Transition> transitions, noncurrent_transitions;
};

// --- bucket

using BucketId = uint64_t;

struct Bucket {
  BucketId id = 0;
  std::string name;
  Owner owner;
  WallTime created_at{};
  std::string region;  // LocationConstraint as it was asked for; empty: us-east-1
  Versioning versioning = Versioning::kUnversioned;
  Ownership ownership = Ownership::kUnset;
  Acl acl;
  std::string policy;  // JSON; empty: none
  // The policy binds the account's root user too where it denies access to itself.
  bool policy_binds_root = false;
  std::vector<CorsRule> cors;
  Tags tags;
  std::optional<PublicAccessBlock> public_access_block;
  bool requester_pays = false;
  Encryption encryption;     // of new versions that name none
  bool object_lock = false;  // once on, it stays on, and so does versioning
  std::optional<DefaultRetention> default_retention;
  std::vector<LifecycleRule> lifecycle;
};

// --- versions

// Orders the versions of one key; also the version id that clients see, in 16 hex digits. Nanoseconds since 1970 or one
// more than the sequence before, whichever is later: a later PUT always sorts first, whatever the clock does.
using Sequence = uint64_t;

// 16 raw bytes: 8 of time (so that uploads of one key list in the order they began), 8 random. Hex on the wire.
using UploadId = std::string;

// `count` parts in a row, numbered from `first_number` without gaps, each of `size_bytes`.
struct PartRun {
  uint32_t first_number = 1;
  uint32_t count = 1;
  uint64_t size_bytes = 0;
  friend bool operator==(const PartRun&, const PartRun&) = default;
};

// One version of one key, or a delete marker. Its bytes are in exactly one place: in the row beside it (inlined), in
// `blob`, or in the parts of `upload`.
struct ObjectVersion {
  Sequence sequence = 0;
  bool null_version = false;  // made while versioning was not enabled; clients name it "null"
  bool delete_marker = false;
  // In the newest version alone: where the null version lies, if it is an older one. 0: there is none.
  Sequence null_sequence = 0;

  WallTime modified_at{};
  Owner owner;
  uint64_t size_bytes = 0;  // as clients see it; what is stored of an encrypted one is longer
  std::string etag;         // without quotes: 32 hex digits, or 32 hex digits-N
  Checksum checksum;
  Metadata metadata;
  Tags tags;
  Acl acl;

  Encryption encryption;
  Seal seal;  // of the inlined bytes or of `blob`; parts have their own
  Retention retention;
  bool legal_hold = false;

  bool inlined = false;
  blob::Receipt blob;
  UploadId upload;
  std::vector<PartRun> parts;  // of `upload`; in ascending order

  uint32_t part_count() const {
    uint32_t count = 0;
    for (const PartRun& run : parts) count += run.count;
    return count;
  }
  std::string version_id() const;
};

// "null", or 16 hex digits. kInvalidArgument for anything else.
struct VersionId {
  bool null_version = false;
  Sequence sequence = 0;
  static Answer<VersionId> parse(std::string_view text);
};

// --- multipart uploads

struct Upload {
  UploadId id;
  std::string key;
  WallTime initiated_at{};
  Owner owner, initiator;
  Metadata metadata;
  Tags tags;
  Acl acl;
  Checksum checksum;  // algorithm and type alone
  Encryption encryption;
  Retention retention;
  bool legal_hold = false;
};

struct Part {
  uint32_t number = 0;
  uint64_t size_bytes = 0;
  std::string md5;  // 16 raw bytes
  WallTime modified_at{};
  Checksum checksum;
  bool inlined = false;
  std::string bytes;  // when inlined
  blob::Receipt blob;
  Seal seal;
};

// --- checks

// 3..63 of [a-z0-9.-], no IP address, no "..", not xn--… nor …-s3alias: S3's bucket naming rules.
Answer<void> check_bucket_name(std::string_view name);
// 1..1024 bytes of UTF-8.
Answer<void> check_key(std::string_view key);
Answer<void> check_metadata(const Metadata& metadata);
// Unique keys, lengths in characters, characters that S3 allows, no "aws:" prefix.
Answer<void> check_tags(const Tags& tags, size_t count_max = kTagsMax);
// "k=v&k2=v2" as x-amz-tagging has it.
Answer<Tags> parse_tagging_header(std::string_view header);

std::string_view name(Permission permission);
std::string_view name(Ownership ownership);

}  // namespace polis::object
