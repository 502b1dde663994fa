// How the nouns lie in the Store: keys and values of the keyspace "object". Written down as a grammar because it is a
// promise: a later polis opens what this one wrote.
//
// clang-format off
//   b <name>                                      -> Bucket
//   o <bucket id> <key> 00 01                     -> ObjectVersion, the newest of the key
//   o <bucket id> <key> 00 01 <~sequence>         -> ObjectVersion, an older one; ~ is bitwise not, so newer sorts first
//   i <bucket id> <key> 00 01 <sequence>          -> the bytes of an inlined version (<= 2 KiB)
//   u <bucket id> <key> 00 01 <upload id>         -> Upload in progress
//   p <upload id> <part number, 4 bytes>          -> Part, of an upload in progress or of a completed object
//   x <blob id>                                   -> BackReference: which row refers to this piece of a blob
//   g <upload id>                                 -> empty: the parts of this upload are garbage, a reaper erases them in slices
//   c <bucket id> <slot, 2 bytes>                 -> Usage, a part of the bucket's sum
//   n                                             -> the last bucket id that was given out
//   k <name>                                      -> KmsKey (key_ring.h)
//   s                                             -> ScrubState (care.h): when a scrub began, how far it is
//   l <second, 8 bytes> <bucket id> <key> 00 01   -> the bucket's name: lifecycle rules may ask something of the key then
//   y <hour, 8 bytes> <bucket id> <token>         -> Renamed: what a client's rename of that hour was, should it ask again
//   j <bucket id>                                 -> Indexing: the keys of this bucket get such reminders in the background
// clang-format on
//
// Numbers in keys are big endian, <key> is escaped as base::append_key_bytes does (00 -> 00 FF, end 00 01), so rows lie
// in the order in which S3 lists. Newest at the bare key: a GET is one point read, and two writers of one key always
// meet on one row. Values begin with a format number; decoders answer kCorrupt for what they do not understand.
#pragma once

#include <string>

#include "systems/object/storage_class.h"
#include "systems/object/types.h"

namespace polis::object {

// What a bucket holds. The sum over its slots; a slot alone may be negative.
struct Usage {
  int64_t objects = 0;   // keys whose newest version is no delete marker
  int64_t versions = 0;  // of all keys, without delete markers
  int64_t delete_markers = 0;
  int64_t size_bytes = 0;  // of all versions
  // Of the versions in one storage class. STANDARD is what the others leave of the whole, so that rows from before
  // classes were counted stay right.
  struct OfClass {
    int64_t versions = 0, size_bytes = 0;
    friend bool operator==(const OfClass&, const OfClass&) = default;
  };
  std::array<OfClass, kStorageClasses> others{};  // by StorageClass; that of STANDARD stays zero

  // One version or delete marker more (by = 1) or less (by = -1); `objects` is the caller's.
  void count(const ObjectVersion& version, int by);
  OfClass of_class(StorageClass storage_class) const;

  Usage& operator+=(const Usage& other) {
    objects += other.objects;
    versions += other.versions;
    delete_markers += other.delete_markers;
    size_bytes += other.size_bytes;
    for (size_t i = 0; i < others.size(); ++i) {
      others[i].versions += other.others[i].versions;
      others[i].size_bytes += other.others[i].size_bytes;
    }
    return *this;
  }
  friend bool operator==(const Usage&, const Usage&) = default;
};

struct BackReference {
  enum class Kind : unsigned char { kVersion, kPart };
  Kind kind = Kind::kVersion;
  BucketId bucket = 0;  // of kVersion
  std::string key;
  Sequence sequence = 0;
  UploadId upload;  // of kPart
  uint32_t part_number = 0;
};

// A moment at which lifecycle rules may ask something of a key. A reminder is a hint: what is due is found in the rules
// and the versions themselves, so one too many costs a look and nothing else.
struct Reminder {
  uint64_t at_s = 0;  // seconds since 1970
  BucketId bucket = 0;
  std::string key;
  std::string bucket_name;
};

// How far the keys of a bucket have got their reminders after its rules were changed.
struct Indexing {
  std::string bucket_name;
  std::string next;  // the row key to go on at; empty: the beginning
  bool uploads = false;  // versions are through, uploads are next
};

// A rename that was done, under the token that its client gave it.
struct Renamed {
  std::string from, to;
  bool prefix = false;
  uint64_t keys = 0;
};

std::string bucket_key(std::string_view name);
std::string bucket_keys();  // prefix of all

std::string versions_key_prefix(BucketId bucket);
std::string newest_key(BucketId bucket, std::string_view key);
std::string older_key(BucketId bucket, std::string_view key, Sequence sequence);
// The first row key at or after which every row of `key` and of later keys lies; `key` may be any bytes.
std::string seek_key(BucketId bucket, std::string_view key);
// The first row key behind every row of `key`.
std::string behind_key(BucketId bucket, std::string_view key);
// The first row key behind every row whose key begins with `prefix`; behind the whole bucket for a prefix without
// successor.
std::string behind_prefix(BucketId bucket, std::string_view prefix);

struct VersionKey {
  std::string key;
  bool newest = true;
  Sequence sequence = 0;  // of an older one
};
Result<VersionKey> parse_version_key(std::string_view row_key);

std::string inline_key(BucketId bucket, std::string_view key, Sequence sequence);

std::string uploads_key_prefix(BucketId bucket);
std::string upload_key(BucketId bucket, std::string_view key, const UploadId& id);
std::string upload_seek_key(BucketId bucket, std::string_view key);
std::string upload_behind_key(BucketId bucket, std::string_view key);
std::string upload_behind_prefix(BucketId bucket, std::string_view prefix);
struct UploadKey {
  std::string key;
  UploadId id;
};
Result<UploadKey> parse_upload_key(std::string_view row_key);

std::string part_key(const UploadId& upload, uint32_t number);
std::string parts_prefix(const UploadId& upload);
Result<uint32_t> parse_part_number(std::string_view row_key);

std::string reference_key(const blob::BlobId& id);
std::string garbage_key(const UploadId& upload);
std::string garbage_prefix();
std::string usage_key(BucketId bucket, uint16_t slot);
std::string usage_prefix(BucketId bucket);
std::string last_bucket_id_key();
std::string scrub_key();
std::string reminder_key(uint64_t at_s, BucketId bucket, std::string_view key);
std::string reminders_prefix();
// The first row key behind every reminder of this second and those before.
std::string reminders_behind(uint64_t at_s);
// Without the bucket's name, which is the row's value.
Result<Reminder> parse_reminder_key(std::string_view row_key);
std::string renamed_key(uint64_t hour, BucketId bucket, std::string_view token);
// The first row key of the renames of this hour and later.
std::string renamed_from(uint64_t hour);
std::string indexing_key(BucketId bucket);
std::string indexing_prefix();
Result<BucketId> parse_indexing_key(std::string_view row_key);
std::string kms_key_key(std::string_view name);
std::string kms_keys_prefix();

std::string encode(const Bucket& bucket);
std::string encode(const ObjectVersion& version);
std::string encode(const Upload& upload);
std::string encode(const Part& part);
std::string encode(const Usage& usage);
std::string encode(const BackReference& reference);
std::string encode(const Indexing& indexing);
std::string encode(const Renamed& renamed);

Result<Bucket> decode_bucket(std::string_view row);
Result<ObjectVersion> decode_version(std::string_view row);
Result<Upload> decode_upload(std::string_view row);
Result<Part> decode_part(std::string_view row);
Result<Usage> decode_usage(std::string_view row);
Result<BackReference> decode_reference(std::string_view row);
Result<Indexing> decode_indexing(std::string_view row);
Result<Renamed> decode_renamed(std::string_view row);

}  // namespace polis::object
