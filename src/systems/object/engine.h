// The rules of the object store: rows read become rows written, inside one transaction of the Store. No sockets, no
// clock, no randomness: time and random bytes arrive in the commands. Every function that takes a Write changes rows
// through its transaction and nothing else; what it released (blobs that no row refers to any more) it leaves in the
// Write, for the caller to hand to the Blob once the commit has succeeded. A transaction that loses a race is run again
// from its start by store::transact.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernel/store/store.h"
#include "systems/object/conditions.h"
#include "systems/object/lifecycle.h"
#include "systems/object/rows.h"
#include "systems/object/types.h"

namespace polis::object {

// One try at one change.
struct Write {
  store::Txn& txn;
  WallTime now{};
  // Which part of the usage sum this change adds to. Changes that run at the same time have different slots, so that
  // counting never makes two PUTs of one bucket meet on a row.
  uint16_t slot = 0;

  std::vector<blob::Receipt> released;
  bool made_garbage = false;  // rows under "g" wait for the reaper
};

inline constexpr uint16_t kUsageSlots = 256;  // also the number of changes in flight at once

// --- what comes in and goes out

struct BucketPage {
  std::vector<Bucket> buckets;
  bool more = false;
};

// A version whose bytes are durable already. The engine sets sequence, null_version and modified_at.
struct PutVersion {
  std::string key;
  ObjectVersion version;
  std::string inlined_bytes;  // when version.inlined
  Conditions conditions;
};
struct PutOutcome {
  ObjectVersion version;  // as stored
};

struct DeleteVersion {
  std::string key;
  std::optional<VersionId> version;
  Conditions conditions;
  Owner owner;                     // of a delete marker
  bool bypass_governance = false;  // the caller may, and wants to, remove what GOVERNANCE protects
};
struct DeleteOutcome {
  bool existed = false;        // something was there and is gone, or is covered by a marker now
  bool delete_marker = false;  // a marker was made, or a marker was what was deleted
  std::string version_id;      // of the marker or of what was deleted; empty for an unversioned bucket
};

struct ListQuery {
  std::string prefix;
  std::string delimiter;        // empty: none
  std::string after;            // keys (and common prefixes) up to and including this are passed over
  size_t limit = kListKeysMax;  // entries and common prefixes together
};
struct ListEntry {
  std::string key;
  ObjectVersion version;
};
struct Listing {
  std::vector<ListEntry> entries;
  std::vector<std::string> common_prefixes;
  bool truncated = false;
  std::string last;  // the last key or common prefix given out, in the order of the listing
};

struct VersionListQuery {
  std::string prefix;
  std::string delimiter;
  std::string key_after;  // with `version_after`: that key's versions older than it, then later keys
  std::optional<VersionId> version_after;
  size_t limit = kListKeysMax;
};
struct VersionListEntry {
  std::string key;
  ObjectVersion version;
  bool latest = false;
};
struct VersionListing {
  std::vector<VersionListEntry> entries;
  std::vector<std::string> common_prefixes;
  bool truncated = false;
  std::string last_key;         // key or common prefix
  std::string last_version_id;  // empty after a common prefix
};

struct UploadListQuery {
  std::string prefix;
  std::string delimiter;
  std::string key_after;
  UploadId upload_after;  // of key_after; empty: the whole key is passed over
  size_t limit = 1000;
};
struct UploadListing {
  std::vector<Upload> uploads;
  std::vector<std::string> common_prefixes;
  bool truncated = false;
  std::string last_key;
  UploadId last_upload;
};

struct PartListing {
  std::vector<Part> parts;
  bool truncated = false;
};

struct CompletedPart {
  uint32_t number = 0;
  std::string etag;   // with or without quotes
  Checksum checksum;  // of kNone if the client named none
};
struct CompleteUpload {
  std::string key;
  UploadId upload;
  std::vector<CompletedPart> parts;  // as sent
  Conditions conditions;
  Checksum checksum;  // of the whole, if the client named one
  std::optional<ChecksumType> checksum_type;
  std::optional<uint64_t> size_bytes;  // x-amz-mp-object-size
};

// What obeying the rules for one key came to.
struct LifecycleOutcome {
  uint64_t expired = 0, removed = 0;  // current versions; noncurrent ones and delete markers
  LifecycleOutcome& operator+=(const LifecycleOutcome& other) {
    expired += other.expired;
    removed += other.removed;
    return *this;
  }
};

struct RenameObject {
  std::string from, to;
  Conditions from_conditions, to_conditions;
};
struct RenamePrefix {
  std::string from, to;
  size_t keys_max = 0;
};
// Asked for every key that a rename moves; a refusal refuses the whole.
using RenameCheck = std::function<Answer<void>(std::string_view from, std::string_view to, const ObjectVersion&)>;

// --- the engine

class Engine {
 public:
  explicit Engine(store::Keyspace keyspace, LifecycleCalendar calendar = {})
      : keyspace_(keyspace), calendar_(calendar) {}

  // Buckets. Names are global.
  Task<Answer<Bucket>> bucket(store::Txn& txn, std::string_view name) const;
  // As bucket(), and the transaction fails if the bucket changes or goes before it commits.
  Task<Answer<Bucket>> bucket_for_change(store::Txn& txn, std::string_view name) const;
  // kBucketAlreadyExists, kBucketAlreadyOwnedByYou, kTooManyBuckets. Sets the id.
  Task<Answer<Bucket>> create_bucket(Write& write, Bucket bucket) const;
  Task<Answer<Bucket>> update_bucket(Write& write, std::string_view name,
                                     std::function<Answer<void>(Bucket&)> change) const;
  // kBucketNotEmpty while it has any version or delete marker; uploads in progress are aborted with it.
  Task<Answer<void>> delete_bucket(Write& write, std::string_view name) const;
  // Of one owner, or of all with a null owner; by name.
  Task<Answer<BucketPage>> list_buckets(store::Txn& txn, const Owner* owner, std::string_view prefix,
                                        std::string_view after, size_t limit) const;
  Task<Answer<Usage>> usage(store::Txn& txn, BucketId bucket) const;

  // Versions. Without an id the newest, which may be a delete marker; kNoSuchKey or kNoSuchVersion.
  Task<Answer<ObjectVersion>> version(store::Txn& txn, BucketId bucket, std::string_view key,
                                      const std::optional<VersionId>& id) const;
  Task<Answer<std::string>> inlined_bytes(store::Txn& txn, BucketId bucket, std::string_view key,
                                          Sequence sequence) const;
  Task<Answer<PutOutcome>> put(Write& write, const Bucket& bucket, PutVersion put) const;
  Task<Answer<DeleteOutcome>> remove(Write& write, const Bucket& bucket, DeleteVersion remove) const;
  // Changes what hangs on a version (tags, ACL); its bytes and its place stay.
  Task<Answer<ObjectVersion>> update_version(Write& write, BucketId bucket, std::string_view key,
                                             const std::optional<VersionId>& id,
                                             std::function<Answer<void>(ObjectVersion&)> change) const;

  // Cost: proportional to the results, not to the keys under a common prefix.
  Task<Answer<Listing>> list(store::Txn& txn, BucketId bucket, const ListQuery& query) const;
  Task<Answer<VersionListing>> list_versions(store::Txn& txn, BucketId bucket, const VersionListQuery& query) const;

  // Multipart.
  Task<Answer<void>> create_upload(Write& write, const Bucket& bucket, Upload upload) const;
  Task<Answer<Upload>> upload(store::Txn& txn, BucketId bucket, std::string_view key, const UploadId& id) const;
  Task<Answer<void>> put_part(Write& write, BucketId bucket, std::string_view key, const UploadId& id, Part part) const;
  // Runs alone among the changes of this upload: the caller keeps put_part, complete and abort of one upload apart,
  // because checking 10,000 part rows for a concurrent change one by one would cost more than the rest.
  Task<Answer<PutOutcome>> complete(Write& write, const Bucket& bucket, CompleteUpload complete) const;
  Task<Answer<void>> abort(Write& write, BucketId bucket, std::string_view key, const UploadId& id) const;
  // Parts numbered above `number_after`; also of a completed object.
  Task<Answer<PartListing>> list_parts(store::Txn& txn, const UploadId& id, uint32_t number_after, size_t limit) const;
  Task<Answer<UploadListing>> list_uploads(store::Txn& txn, BucketId bucket, const UploadListQuery& query) const;

  // Erases up to `limit` part rows of one upload that is garbage; true when it is all gone.
  Task<Answer<bool>> reap(Write& write, const UploadId& id, size_t limit) const;
  // Whether the parts of a completed object are all there and no reaper has begun with them.
  Task<Answer<bool>> parts_stay(store::Txn& txn, const UploadId& id) const;
  // Uploads that are garbage, by id, from the first behind `after` (empty: from the start).
  Task<Answer<std::vector<UploadId>>> garbage(store::Txn& txn, size_t limit, const UploadId& after = {}) const;

  // Lifecycle (reminders.cc). Whoever changes what rules may speak of, other than through put, remove, create_upload
  // and complete, leaves a reminder: the worker looks at the key within a second or so.
  Answer<void> remind(Write& write, const Bucket& bucket, std::string_view key) const;
  Answer<void> remind_at(Write& write, const Bucket& bucket, std::string_view key, WallTime at) const;
  // Reminders that are over, the oldest first.
  Task<Answer<std::vector<Reminder>>> reminders(store::Txn& txn, WallTime now, size_t limit) const;
  // Lets the reading see the key's versions and uploads; true if it stopped at `due_max` with more to see.
  Task<Answer<bool>> read_lifecycle(store::Txn& txn, BucketId bucket, std::string_view key, LifecycleReading& reading,
                                    size_t due_max) const;
  // Does for one key what takes rows alone, at most `due_max` actions, and puts the next reminder in this one's place.
  // What takes more than rows (transitions, uploads) was the caller's to do before; if some of it is still due, the
  // next reminder is at `retry_at`.
  Task<Answer<LifecycleOutcome>> obey(Write& write, const Reminder& reminder, size_t due_max, WallTime retry_at) const;
  // Gives the reminder up until `at`.
  Answer<void> postpone(Write& write, const Reminder& reminder, WallTime at) const;
  // After the bucket's rules were changed: its keys get their reminders in the background, slice by slice.
  Answer<void> index_lifecycle(Write& write, const Bucket& bucket) const;
  Task<Answer<std::vector<BucketId>>> unindexed(store::Txn& txn) const;
  // At most `rows_max` rows are looked at; true when the bucket is through.
  Task<Answer<bool>> index_slice(Write& write, BucketId bucket, size_t rows_max) const;
  LifecycleCalendar calendar() const { return calendar_; }

  // The bytes of a version now lie at `to` in this class, `from` is released; without a `to` the class alone changes.
  // kOperationAborted if the version is not what it was when its bytes were copied.
  Task<Answer<void>> change_class(Write& write, const Bucket& bucket, std::string_view key, const ObjectVersion& was,
                                  const blob::Receipt* to, std::string_view storage_class) const;
  // The same for one part of an object.
  Task<Answer<void>> replace_part(Write& write, const UploadId& upload, const Part& was,
                                  const blob::Receipt& to) const;

  // Renaming (rename.cc). The current version goes from one key to another with all that hangs on it, its date and its
  // bytes too, in this transaction; a bucket that keeps versions gets a delete marker in its place.
  Task<Answer<PutOutcome>> rename(Write& write, const Bucket& bucket, const RenameObject& rename,
                                  const Owner& caller) const;
  // Every current object whose key begins with `from`, to the same key with `to` in its place. kPreconditionFailed if
  // one of these is taken, kInvalidRequest for more than keys_max. Returns how many went.
  Task<Answer<uint64_t>> rename_prefix(Write& write, const Bucket& bucket, const RenamePrefix& rename,
                                       const Owner& caller, const RenameCheck& check) const;

  // A client that lost the answer asks again with the same token: what was done under it within the last hour or so, and
  // until the transaction commits nobody else does something under it. kIdempotencyParameterMismatch if it was another
  // rename.
  Task<Answer<std::optional<Renamed>>> renamed_before(Write& write, BucketId bucket, std::string_view token,
                                                      const Renamed& asked) const;
  Answer<void> remember_rename(Write& write, BucketId bucket, std::string_view token, const Renamed& renamed) const;
  // Forgets the older ones, `limit` at a time; true when none are left.
  Task<Answer<bool>> forget_renames(Write& write, size_t limit) const;

  // For compaction (blob::Owner).
  Task<Answer<bool>> referenced(store::Txn& txn, const blob::BlobId& id) const;
  Task<Answer<void>> moved(Write& write, const blob::BlobId& from, const blob::BlobId& to) const;

 private:
  struct Newest;
  template <class T>
  using Row = std::optional<T>;
  Task<Answer<Row<ObjectVersion>>> read_version(store::Txn& txn, std::string row_key, bool for_change) const;
  // The one way in which a version goes for good; kAccessDenied, with nothing written, while object lock forbids it.
  Task<Answer<void>> erase_version(Write& write, BucketId bucket, std::string_view key, const ObjectVersion& version,
                                   std::string row_key, Usage& delta, bool bypass_governance) const;
  Task<Answer<void>> install(Write& write, const Bucket& bucket, std::string_view key, ObjectVersion& version,
                             std::string_view inlined_bytes, const std::optional<ObjectVersion>& newest) const;
  Task<Answer<Row<ObjectVersion>>> next_older(store::Txn& txn, BucketId bucket, std::string_view key) const;
  Answer<void> refer(Write& write, const blob::Receipt& receipt, const BackReference& reference) const;
  Answer<void> release(Write& write, const blob::Receipt& receipt) const;
  Task<Answer<void>> count(Write& write, BucketId bucket, Usage delta) const;

  Task<Answer<ObjectVersion>> move_version(Write& write, const Bucket& bucket, std::string_view from,
                                           std::string_view to, const ObjectVersion& version,
                                           const std::optional<ObjectVersion>& target, const Owner& caller) const;

  const store::Keyspace keyspace_;
  const LifecycleCalendar calendar_;
};

// ETag of a completed upload: MD5 of the parts' MD5s, "-", their number.
std::string multipart_etag(std::span<const std::string> part_md5s);

}  // namespace polis::object
