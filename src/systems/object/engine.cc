// Buckets, versions and what refers to their bytes. Listings are in listing.cc, multipart uploads in multipart.cc.
#include "systems/object/engine.h"

#include <algorithm>
#include <charconv>

#include "systems/object/lock.h"

namespace polis::object {

// --- rows

Task<Answer<Engine::Row<ObjectVersion>>> Engine::read_version(store::Txn& txn, std::string row_key,
                                                              bool for_change) const {
  auto row = for_change ? CO_ASK(co_await txn.get_for_update(keyspace_, row_key))
                        : CO_ASK(co_await txn.get(keyspace_, row_key));
  if (!row) co_return Row<ObjectVersion>();
  co_return Row<ObjectVersion>(CO_ASK(decode_version(row->value)));
}

Task<Answer<Engine::Row<ObjectVersion>>> Engine::next_older(store::Txn& txn, BucketId bucket,
                                                            std::string_view key) const {
  store::KeyRange range{newest_key(bucket, key) + '\0', behind_key(bucket, key)};
  auto scan = CO_ASK(co_await txn.scan(keyspace_, range, {.limit = 1}));
  if (scan.rows.empty()) co_return Row<ObjectVersion>();
  co_return Row<ObjectVersion>(CO_ASK(decode_version(scan.rows.front().value)));
}

Answer<void> Engine::refer(Write& write, const blob::Receipt& receipt, const BackReference& reference) const {
  for (const blob::BlobId& id : blob::segments(receipt))
    ASK(write.txn.put(keyspace_, reference_key(id), encode(reference)));
  return {};
}

Answer<void> Engine::release(Write& write, const blob::Receipt& receipt) const {
  for (const blob::BlobId& id : blob::segments(receipt)) ASK(write.txn.erase(keyspace_, reference_key(id)));
  write.released.push_back(receipt);
  return {};
}

// Adds to this change's own part of the sum: no other change in flight touches the row. An empty delta is written too,
// so that a concurrent DeleteBucket, which locks every part, sees that something happened.
Task<Answer<void>> Engine::count(Write& write, BucketId bucket, Usage delta) const {
  std::string key = usage_key(bucket, write.slot);
  auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, key));
  Usage sum = row ? CO_ASK(decode_usage(row->value)) : Usage{};
  sum += delta;
  CO_ASK(write.txn.put(keyspace_, key, encode(sum)));
  co_return Answer<void>();
}

// --- buckets

Task<Answer<Bucket>> Engine::bucket(store::Txn& txn, std::string_view name) const {
  auto row = CO_ASK(co_await txn.get(keyspace_, bucket_key(name)));
  if (!row) co_return refuse(Failure(ErrorCode::kNoSuchBucket).detail("BucketName", std::string(name)));
  co_return CO_ASK(decode_bucket(row->value));
}

Task<Answer<Bucket>> Engine::bucket_for_change(store::Txn& txn, std::string_view name) const {
  auto row = CO_ASK(co_await txn.get_for_update(keyspace_, bucket_key(name)));
  if (!row) co_return refuse(Failure(ErrorCode::kNoSuchBucket).detail("BucketName", std::string(name)));
  co_return CO_ASK(decode_bucket(row->value));
}

Task<Answer<Bucket>> Engine::create_bucket(Write& write, Bucket bucket) const {
  if (auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, bucket_key(bucket.name)))) {
    Bucket existing = CO_ASK(decode_bucket(row->value));
    co_return refuse(existing.owner == bucket.owner ? ErrorCode::kBucketAlreadyOwnedByYou
                                                    : ErrorCode::kBucketAlreadyExists);
  }
  size_t owned = 0;
  std::string after;
  for (bool more = true; more;) {
    BucketPage page = CO_ASK(co_await list_buckets(write.txn, &bucket.owner, "", after, kListKeysMax));
    owned += page.buckets.size();
    more = page.more;
    if (more) after = page.buckets.back().name;
  }
  if (owned >= kBucketsPerOwnerMax) co_return refuse(ErrorCode::kTooManyBuckets);

  BucketId last = 0;
  if (auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, last_bucket_id_key()))) {
    std::from_chars(row->value.data(), row->value.data() + row->value.size(), last);
  }
  bucket.id = last + 1;
  bucket.created_at = write.now;
  CO_ASK(write.txn.put(keyspace_, last_bucket_id_key(), std::to_string(bucket.id)));
  CO_ASK(write.txn.insert(keyspace_, bucket_key(bucket.name), encode(bucket)));
  co_return bucket;
}

Task<Answer<Bucket>> Engine::update_bucket(Write& write, std::string_view name,
                                           std::function<Answer<void>(Bucket&)> change) const {
  Bucket bucket = CO_ASK(co_await bucket_for_change(write.txn, name));
  CO_ASK(change(bucket));
  CO_ASK(write.txn.put(keyspace_, bucket_key(name), encode(bucket)));
  co_return bucket;
}

Task<Answer<void>> Engine::delete_bucket(Write& write, std::string_view name) const {
  Bucket bucket = CO_ASK(co_await bucket_for_change(write.txn, name));
  // Every change of a version touches one part of the usage: locking all of them makes this transaction lose against a
  // PUT that commits after our look at the rows, and the PUT, which holds the bucket's row, lose against us.
  for (uint16_t slot = 0; slot < kUsageSlots; ++slot) {
    std::string key = usage_key(bucket.id, slot);
    auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, key));
    if (row) CO_ASK(write.txn.erase(keyspace_, key));
  }
  auto versions = CO_ASK(co_await write.txn.scan(keyspace_, store::prefix_range(versions_key_prefix(bucket.id)),
                                                 {.limit = 1, .keys_only = true}));
  if (!versions.rows.empty()) co_return refuse(Failure(ErrorCode::kBucketNotEmpty).detail("BucketName", bucket.name));
  for (bool more = true; more;) {
    auto uploads = CO_ASK(co_await write.txn.scan(keyspace_, store::prefix_range(uploads_key_prefix(bucket.id)),
                                                  {.limit = 1000, .keys_only = true}));
    for (const store::Row& row : uploads.rows) {
      UploadKey upload = CO_ASK(parse_upload_key(row.key));
      CO_ASK(write.txn.erase(keyspace_, row.key));
      CO_ASK(write.txn.put(keyspace_, garbage_key(upload.id), ""));
      write.made_garbage = true;
    }
    more = uploads.more;
  }
  CO_ASK(write.txn.erase(keyspace_, bucket_key(name)));
  co_return Answer<void>();
}

Task<Answer<BucketPage>> Engine::list_buckets(store::Txn& txn, const Owner* owner, std::string_view prefix,
                                              std::string_view after, size_t limit) const {
  BucketPage page;
  store::KeyRange range = store::prefix_range(bucket_key(prefix));
  if (!after.empty()) range.begin = std::max(range.begin, bucket_key(after) + '\0');
  for (;;) {
    auto scan = CO_ASK(co_await txn.scan(keyspace_, range, {.limit = 1000}));
    for (const store::Row& row : scan.rows) {
      Bucket bucket = CO_ASK(decode_bucket(row.value));
      if (owner && bucket.owner != *owner) continue;
      if (page.buckets.size() == limit) {
        page.more = true;
        co_return page;
      }
      page.buckets.push_back(std::move(bucket));
    }
    if (!scan.more) co_return page;
    range.begin = scan.rows.back().key + '\0';
  }
}

Task<Answer<Usage>> Engine::usage(store::Txn& txn, BucketId bucket) const {
  auto scan = CO_ASK(co_await txn.scan(keyspace_, store::prefix_range(usage_prefix(bucket)), {.limit = kUsageSlots}));
  Usage sum;
  for (const store::Row& row : scan.rows) sum += CO_ASK(decode_usage(row.value));
  co_return sum;
}

// --- reading versions

Task<Answer<ObjectVersion>> Engine::version(store::Txn& txn, BucketId bucket, std::string_view key,
                                            const std::optional<VersionId>& id) const {
  auto newest = CO_ASK(co_await read_version(txn, newest_key(bucket, key), false));
  if (!id) {
    if (!newest) co_return refuse(Failure(ErrorCode::kNoSuchKey).detail("Key", std::string(key)));
    co_return std::move(*newest);
  }
  ErrorCode missing = ErrorCode::kNoSuchVersion;
  if (!newest) co_return refuse(Failure(missing).detail("Key", std::string(key)));
  if (id->null_version ? newest->null_version : newest->sequence == id->sequence && !newest->null_version)
    co_return std::move(*newest);
  Sequence sequence = id->null_version ? newest->null_sequence : id->sequence;
  auto older = CO_ASK(co_await read_version(txn, older_key(bucket, key, sequence), false));
  if (!older || older->null_version != id->null_version)
    co_return refuse(Failure(missing).detail("Key", std::string(key)));
  co_return std::move(*older);
}

Task<Answer<std::string>> Engine::inlined_bytes(store::Txn& txn, BucketId bucket, std::string_view key,
                                                Sequence sequence) const {
  auto row = CO_ASK(co_await txn.get(keyspace_, inline_key(bucket, key, sequence)));
  if (!row) co_return refuse(Failure(Error(Code::kCorrupt, "the inlined bytes of a version are missing")));
  co_return std::move(row->value);
}

// --- changing versions

Task<Answer<void>> Engine::erase_version(Write& write, BucketId bucket, std::string_view key,
                                         const ObjectVersion& version, std::string row_key, Usage& delta,
                                         bool bypass_governance) const {
  CO_ASK(check_unlocked(version, bypass_governance, write.now));
  delta.count(version, -1);
  if (version.inlined) CO_ASK(write.txn.erase(keyspace_, inline_key(bucket, key, version.sequence)));
  if (!version.blob.location.empty()) CO_ASK(release(write, version.blob));
  if (!version.upload.empty()) {
    CO_ASK(write.txn.put(keyspace_, garbage_key(version.upload), ""));
    write.made_garbage = true;
  }
  CO_ASK(write.txn.erase(keyspace_, row_key));
  co_return Answer<void>();
}

// Puts `version` in front of `newest`, which moves back, or goes if the bucket keeps only one version without an id.
Task<Answer<void>> Engine::install(Write& write, const Bucket& bucket, std::string_view key, ObjectVersion& version,
                                   std::string_view inlined_bytes, const std::optional<ObjectVersion>& newest) const {
  auto now = static_cast<Sequence>(write.now.time_since_epoch().count());
  version.sequence = newest ? std::max(now, newest->sequence + 1) : now;
  version.null_version = bucket.versioning != Versioning::kEnabled;
  version.modified_at = write.now;
  version.null_sequence = 0;
  if (bucket.default_retention && !version.retention && !version.delete_marker)
    version.retention = retention_from(*bucket.default_retention, write.now);

  Usage delta;
  if (newest) {
    if (!newest->delete_marker) --delta.objects;
    bool replaced = version.null_version && newest->null_version;
    if (replaced) {
      CO_ASK(co_await erase_version(write, bucket.id, key, *newest, newest_key(bucket.id, key), delta, false));
    } else {
      if (version.null_version && newest->null_sequence != 0) {
        std::string row_key = older_key(bucket.id, key, newest->null_sequence);
        auto null = CO_ASK(co_await read_version(write.txn, row_key, true));
        if (null) CO_ASK(co_await erase_version(write, bucket.id, key, *null, row_key, delta, false));
      } else if (!version.null_version) {
        version.null_sequence = newest->null_version ? newest->sequence : newest->null_sequence;
      }
      ObjectVersion older = *newest;
      older.null_sequence = 0;
      CO_ASK(write.txn.put(keyspace_, older_key(bucket.id, key, older.sequence), encode(older)));
    }
  }
  if (!version.delete_marker) ++delta.objects;
  delta.count(version, 1);
  CO_ASK(write.txn.put(keyspace_, newest_key(bucket.id, key), encode(version)));
  if (version.inlined) CO_ASK(write.txn.put(keyspace_, inline_key(bucket.id, key, version.sequence), inlined_bytes));
  if (!version.blob.location.empty())
    CO_ASK(refer(write, version.blob,
                 {.kind = BackReference::Kind::kVersion,
                  .bucket = bucket.id,
                  .key = std::string(key),
                  .sequence = version.sequence}));
  CO_ASK(co_await count(write, bucket.id, delta));
  const bool previous_stays = newest && !(version.null_version && newest->null_version);
  if (auto at = lifecycle_reminder(bucket, key, version, previous_stays ? &*newest : nullptr, write.now, calendar_))
    CO_ASK(remind_at(write, bucket, key, *at));
  co_return Answer<void>();
}

Task<Answer<PutOutcome>> Engine::put(Write& write, const Bucket& bucket, PutVersion put) const {
  auto newest = CO_ASK(co_await read_version(write.txn, newest_key(bucket.id, put.key), true));
  CO_ASK(check_write(put.conditions, newest ? &*newest : nullptr));
  CO_ASK(co_await install(write, bucket, put.key, put.version, put.inlined_bytes, newest));
  co_return PutOutcome{std::move(put.version)};
}

Task<Answer<DeleteOutcome>> Engine::remove(Write& write, const Bucket& bucket, DeleteVersion remove) const {
  std::string front_key = newest_key(bucket.id, remove.key);
  auto newest = CO_ASK(co_await read_version(write.txn, front_key, true));
  DeleteOutcome outcome;

  if (!remove.version) {
    CO_ASK(check_delete(remove.conditions, newest ? &*newest : nullptr));
    // Who names what he deletes deletes nothing where nothing is: no marker comes of it.
    if (!newest && remove.conditions.any()) co_return outcome;
    outcome.existed = newest && !newest->delete_marker;
    if (bucket.versioning == Versioning::kUnversioned) {
      if (!newest) co_return outcome;
      Usage delta{.objects = newest->delete_marker ? 0 : -1};
      CO_ASK(co_await erase_version(write, bucket.id, remove.key, *newest, front_key, delta, remove.bypass_governance));
      CO_ASK(co_await count(write, bucket.id, delta));
      co_return outcome;
    }
    ObjectVersion marker{.delete_marker = true, .owner = std::move(remove.owner)};
    CO_ASK(co_await install(write, bucket, remove.key, marker, "", newest));
    outcome.delete_marker = true;
    outcome.version_id = marker.version_id();
    co_return outcome;
  }

  const VersionId& id = *remove.version;
  if (newest && (id.null_version ? newest->null_version : newest->sequence == id.sequence && !newest->null_version)) {
    CO_ASK(check_delete(remove.conditions, &*newest));
    outcome = {.existed = true, .delete_marker = newest->delete_marker, .version_id = newest->version_id()};
    Usage delta{.objects = newest->delete_marker ? 0 : -1};
    CO_ASK(co_await erase_version(write, bucket.id, remove.key, *newest, front_key, delta, remove.bypass_governance));
    // The next older one comes to the front.
    if (auto older = CO_ASK(co_await next_older(write.txn, bucket.id, remove.key))) {
      CO_ASK(write.txn.erase(keyspace_, older_key(bucket.id, remove.key, older->sequence)));
      older->null_sequence = older->null_version ? 0 : newest->null_sequence;
      if (!older->delete_marker) ++delta.objects;
      CO_ASK(write.txn.put(keyspace_, front_key, encode(*older)));
      CO_ASK(remind(write, bucket, remove.key));
    }
    CO_ASK(co_await count(write, bucket.id, delta));
    co_return outcome;
  }

  outcome.version_id = ObjectVersion{.sequence = id.sequence, .null_version = id.null_version}.version_id();
  Sequence sequence = id.null_version ? (newest ? newest->null_sequence : 0) : id.sequence;
  std::string row_key = older_key(bucket.id, remove.key, sequence);
  Row<ObjectVersion> older;
  if (newest) older = CO_ASK(co_await read_version(write.txn, row_key, true));
  if (older && older->null_version != id.null_version) older.reset();
  CO_ASK(check_delete(remove.conditions, older ? &*older : nullptr));
  if (!older) co_return outcome;
  outcome.existed = true;
  outcome.delete_marker = older->delete_marker;
  Usage delta;
  CO_ASK(co_await erase_version(write, bucket.id, remove.key, *older, row_key, delta, remove.bypass_governance));
  if (older->null_version) {
    newest->null_sequence = 0;
    CO_ASK(write.txn.put(keyspace_, front_key, encode(*newest)));
  }
  CO_ASK(remind(write, bucket, remove.key));
  CO_ASK(co_await count(write, bucket.id, delta));
  co_return outcome;
}

Task<Answer<ObjectVersion>> Engine::update_version(Write& write, BucketId bucket, std::string_view key,
                                                   const std::optional<VersionId>& id,
                                                   std::function<Answer<void>(ObjectVersion&)> change) const {
  std::string front_key = newest_key(bucket, key);
  auto newest = CO_ASK(co_await read_version(write.txn, front_key, true));
  ObjectVersion found = CO_ASK(co_await version(write.txn, bucket, key, id));
  CO_ASK(change(found));
  bool front = newest && newest->sequence == found.sequence;
  CO_ASK(write.txn.put(keyspace_, front ? front_key : older_key(bucket, key, found.sequence), encode(found)));
  co_return found;
}

// --- compaction

Task<Answer<bool>> Engine::referenced(store::Txn& txn, const blob::BlobId& id) const {
  auto row = CO_ASK(co_await txn.get(keyspace_, reference_key(id)));
  co_return row.has_value();
}

Task<Answer<void>> Engine::moved(Write& write, const blob::BlobId& from, const blob::BlobId& to) const {
  auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, reference_key(from)));
  if (!row) co_return refuse(Failure(Error(Code::kNotFound, "nobody refers to this piece of a blob")));
  BackReference reference = CO_ASK(decode_reference(row->value));
  // A location is its segments, each behind one byte of length.
  auto replace = [&](blob::Receipt& receipt) {
    for (size_t at = 0; at < receipt.location.size();) {
      size_t length = static_cast<uint8_t>(receipt.location[at]);
      if (receipt.location.compare(at + 1, length, from) == 0) {
        receipt.location.replace(at, length + 1, static_cast<char>(to.size()) + to);
        return true;
      }
      at += 1 + length;
    }
    return false;
  };
  auto gone =
      refuse(Failure(Error(Code::kNotFound, "the row that a back reference names does not hold this piece of a blob")));
  if (reference.kind == BackReference::Kind::kPart) {
    std::string key = part_key(reference.upload, reference.part_number);
    auto part_row = CO_ASK(co_await write.txn.get_for_update(keyspace_, key));
    if (!part_row) co_return gone;
    Part part = CO_ASK(decode_part(part_row->value));
    if (!replace(part.blob)) co_return gone;
    CO_ASK(write.txn.put(keyspace_, key, encode(part)));
  } else {
    std::string front_key = newest_key(reference.bucket, reference.key);
    auto version = CO_ASK(co_await read_version(write.txn, front_key, true));
    std::string key = front_key;
    if (version && version->sequence != reference.sequence) {
      key = older_key(reference.bucket, reference.key, reference.sequence);
      version = CO_ASK(co_await read_version(write.txn, key, true));
    }
    if (!version || !replace(version->blob)) co_return gone;
    CO_ASK(write.txn.put(keyspace_, key, encode(*version)));
  }
  CO_ASK(write.txn.erase(keyspace_, reference_key(from)));
  CO_ASK(write.txn.put(keyspace_, reference_key(to), encode(reference)));
  co_return Answer<void>();
}

}  // namespace polis::object
