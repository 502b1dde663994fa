// Lifecycle at the engine's level: an index of keys by the next moment at which a rule may ask something of them. One
// row a key and moment, so a bucket's keys are never walked to find what is due; and a reminder is a hint alone, so
// nothing is lost or done twice whatever becomes of it: what is due is read from the rules and the versions when it is
// over.
#include <algorithm>

#include "kernel/io/shard.h"
#include "systems/object/engine.h"

namespace polis::object {
namespace {

constexpr size_t kVersionsPage = 256;
constexpr size_t kKeysBetweenYields = 64;  // about 2 ms of one shard
constexpr size_t kUploadsPage = 100;

uint64_t whole_seconds(WallTime at) {
  return static_cast<uint64_t>(std::max<int64_t>(
      0, std::chrono::ceil<std::chrono::seconds>(std::min(at, WallTime::max() - std::chrono::seconds(1)))
             .time_since_epoch()
             .count()));
}

}  // namespace

Answer<void> Engine::remind_at(Write& write, const Bucket& bucket, std::string_view key, WallTime at) const {
  // Not before this change: the worker that looks must see it.
  ASK(write.txn.put(keyspace_, reminder_key(whole_seconds(std::max(at, write.now)), bucket.id, key), bucket.name));
  return {};
}

Answer<void> Engine::remind(Write& write, const Bucket& bucket, std::string_view key) const {
  if (!has_lifecycle_rule_for(bucket, key)) return {};
  return remind_at(write, bucket, key, write.now);
}

Task<Answer<std::vector<Reminder>>> Engine::reminders(store::Txn& txn, WallTime now, size_t limit) const {
  const int64_t now_s = std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count();
  std::vector<Reminder> out;
  if (now_s < 0) co_return out;
  store::KeyRange range{reminders_prefix(), reminders_behind(static_cast<uint64_t>(now_s))};
  auto scan = CO_ASK(co_await txn.scan(keyspace_, range, {.limit = limit}));
  out.reserve(scan.rows.size());
  for (store::Row& row : scan.rows) {
    Reminder& one = out.emplace_back(CO_ASK(parse_reminder_key(row.key)));
    one.bucket_name = std::move(row.value);
  }
  co_return out;
}

Task<Answer<bool>> Engine::read_lifecycle(store::Txn& txn, BucketId bucket, std::string_view key,
                                          LifecycleReading& reading, size_t due_max) const {
  bool first = true;
  store::KeyRange range{newest_key(bucket, key), behind_key(bucket, key)};
  for (bool more = true; more;) {
    auto scan = CO_ASK(co_await txn.scan(keyspace_, range, {.limit = kVersionsPage}));
    more = scan.more;
    for (size_t i = 0; i < scan.rows.size(); ++i) {
      const bool last = i + 1 == scan.rows.size() && !more;
      ObjectVersion version = CO_ASK(decode_version(scan.rows[i].value));
      reading.version(version, first && last);
      first = false;
      if (reading.due().size() >= due_max && !last) co_return true;
    }
    if (more) range.begin = scan.rows.back().key + '\0';
  }
  range = {upload_key(bucket, key, UploadId()), upload_behind_key(bucket, key)};
  for (bool more = true; more;) {
    auto scan = CO_ASK(co_await txn.scan(keyspace_, range, {.limit = kUploadsPage}));
    more = scan.more;
    for (size_t i = 0; i < scan.rows.size(); ++i) {
      if (reading.due().size() >= due_max) co_return true;
      Upload upload = CO_ASK(decode_upload(scan.rows[i].value));
      reading.upload(upload);
    }
    if (more) range.begin = scan.rows.back().key + '\0';
  }
  co_return false;
}

Task<Answer<LifecycleOutcome>> Engine::obey(Write& write, const Reminder& reminder, size_t due_max,
                                            WallTime retry_at) const {
  LifecycleOutcome outcome;
  // First: what follows may write the same row again.
  CO_ASK(write.txn.erase(keyspace_, reminder_key(reminder.at_s, reminder.bucket, reminder.key)));
  auto found = co_await bucket_for_change(write.txn, reminder.bucket_name);
  if (!found && found.error().code() == ErrorCode::kNoSuchBucket) co_return outcome;
  const Bucket bucket = CO_ASK(std::move(found));
  if (bucket.id != reminder.bucket) co_return outcome;

  LifecycleReading reading(bucket, reminder.key, write.now, calendar_);
  const bool more = CO_ASK(co_await read_lifecycle(write.txn, bucket.id, reminder.key, reading, due_max));
  std::optional<WallTime> next = reading.next();
  auto no_later = [&](WallTime at) { next = next ? std::min(*next, at) : at; };
  for (const LifecycleAction& action : reading.due()) {
    switch (action.kind) {
      case LifecycleAction::Kind::kExpire: {
        CO_ASK(co_await remove(write, bucket,
                               {.key = reminder.key, .version = {}, .conditions = {}, .owner = bucket.owner}));
        ++outcome.expired;
        break;
      }
      case LifecycleAction::Kind::kRemove: {
        CO_ASK(co_await remove(write, bucket,
                               {.key = reminder.key, .version = action.version, .conditions = {}, .owner = {}}));
        ++outcome.removed;
        break;
      }
      case LifecycleAction::Kind::kTransition:
      case LifecycleAction::Kind::kAbort:
        no_later(retry_at);
        break;
    }
  }
  if (more) no_later(write.now);
  if (next) CO_ASK(remind_at(write, bucket, reminder.key, *next));
  co_return outcome;
}

Answer<void> Engine::postpone(Write& write, const Reminder& reminder, WallTime at) const {
  ASK(write.txn.erase(keyspace_, reminder_key(reminder.at_s, reminder.bucket, reminder.key)));
  ASK(write.txn.put(keyspace_, reminder_key(whole_seconds(at), reminder.bucket, reminder.key), reminder.bucket_name));
  return {};
}

// --- indexing

Answer<void> Engine::index_lifecycle(Write& write, const Bucket& bucket) const {
  const std::string row_key = indexing_key(bucket.id);
  if (lifecycle_prefixes(bucket).empty()) {
    ASK(write.txn.erase(keyspace_, row_key));
    return {};
  }
  ASK(write.txn.put(keyspace_, row_key, encode(Indexing{.bucket_name = bucket.name, .next = {}})));
  return {};
}

Task<Answer<std::vector<BucketId>>> Engine::unindexed(store::Txn& txn) const {
  auto scan = CO_ASK(co_await txn.scan(keyspace_, store::prefix_range(indexing_prefix()), {.keys_only = true}));
  std::vector<BucketId> out;
  for (const store::Row& row : scan.rows) out.push_back(CO_ASK(parse_indexing_key(row.key)));
  co_return out;
}

Task<Answer<bool>> Engine::index_slice(Write& write, BucketId bucket_id, size_t rows_max) const {
  const std::string state_key = indexing_key(bucket_id);
  auto state_row = CO_ASK(co_await write.txn.get_for_update(keyspace_, state_key));
  if (!state_row) co_return true;
  Indexing state = CO_ASK(decode_indexing(state_row->value));
  auto found = co_await bucket_for_change(write.txn, state.bucket_name);
  if ((!found && found.error().code() == ErrorCode::kNoSuchBucket) || (found && found->id != bucket_id)) {
    CO_ASK(write.txn.erase(keyspace_, state_key));
    co_return true;
  }
  const Bucket bucket = CO_ASK(std::move(found));

  // The keys under the rules' prefixes, versions first, then uploads, from where the slice before ended.
  for (const bool uploads : {false, true}) {
    if (state.uploads && !uploads) continue;
    if (uploads && !state.uploads) {
      state.uploads = true;
      state.next.clear();
    }
    for (const std::string& prefix : lifecycle_prefixes(bucket)) {
      store::KeyRange range{uploads ? upload_seek_key(bucket.id, prefix) : seek_key(bucket.id, prefix),
                            uploads ? upload_behind_prefix(bucket.id, prefix) : behind_prefix(bucket.id, prefix)};
      range.begin = std::max(range.begin, state.next);
      if (!range.end.empty() && range.begin >= range.end) continue;
      auto scan = CO_ASK(co_await write.txn.scan(keyspace_, range, {.limit = rows_max, .keys_only = true}));
      std::string last;
      for (size_t i = 0; i < scan.rows.size(); ++i) {
        if (i % kKeysBetweenYields == kKeysBetweenYields - 1) co_await io::yield();
        const store::Row& row = scan.rows[i];
        std::string key;
        if (uploads)
          key = CO_ASK(parse_upload_key(row.key)).key;
        else
          key = CO_ASK(parse_version_key(row.key)).key;
        if (key == last) continue;
        LifecycleReading reading(bucket, key, write.now, calendar_);
        CO_ASK(co_await read_lifecycle(write.txn, bucket.id, key, reading, 1));
        if (!reading.due().empty())
          CO_ASK(remind_at(write, bucket, key, write.now));
        else if (reading.next())
          CO_ASK(remind_at(write, bucket, key, *reading.next()));
        last = std::move(key);
      }
      if (!scan.more) {
        state.next = range.end;
        continue;
      }
      // Behind the key that was looked at last, however many versions it has.
      state.next = uploads ? upload_behind_key(bucket.id, last) : behind_key(bucket.id, last);
      CO_ASK(write.txn.put(keyspace_, state_key, encode(state)));
      co_return false;
    }
  }
  CO_ASK(write.txn.erase(keyspace_, state_key));
  co_return true;
}

// --- transitions

Task<Answer<void>> Engine::change_class(Write& write, const Bucket& bucket, std::string_view key,
                                        const ObjectVersion& was, const blob::Receipt* to,
                                        std::string_view storage_class) const {
  const std::string front_key = newest_key(bucket.id, key);
  std::string row_key = front_key;
  auto now = CO_ASK(co_await read_version(write.txn, front_key, true));
  if (now && now->sequence != was.sequence) {
    row_key = older_key(bucket.id, key, was.sequence);
    now = CO_ASK(co_await read_version(write.txn, row_key, true));
  }
  const bool same = now && now->sequence == was.sequence && now->inlined == was.inlined &&
                    now->blob.location == was.blob.location && now->upload == was.upload;
  if (!same) co_return refuse(ErrorCode::kOperationAborted, "The version changed while its bytes were copied");
  Usage delta;
  delta.count(*now, -1);
  now->metadata.storage_class = storage_class;
  delta.count(*now, 1);
  if (to) {
    CO_ASK(release(write, now->blob));
    now->blob = *to;
    CO_ASK(refer(write, now->blob,
                 {.kind = BackReference::Kind::kVersion,
                  .bucket = bucket.id,
                  .key = std::string(key),
                  .sequence = now->sequence}));
  }
  CO_ASK(write.txn.put(keyspace_, row_key, encode(*now)));
  CO_ASK(co_await count(write, bucket.id, delta));
  co_return Answer<void>();
}

Task<Answer<void>> Engine::replace_part(Write& write, const UploadId& upload, const Part& was,
                                        const blob::Receipt& to) const {
  const std::string row_key = part_key(upload, was.number);
  auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, row_key));
  auto changed = [] { return refuse(ErrorCode::kOperationAborted, "The part changed while its bytes were copied"); };
  if (!row) co_return changed();
  Part part = CO_ASK(decode_part(row->value));
  if (part.inlined || part.blob.location != was.blob.location) co_return changed();
  CO_ASK(release(write, part.blob));
  part.blob = to;
  CO_ASK(refer(write, part.blob, {.kind = BackReference::Kind::kPart, .upload = upload, .part_number = part.number}));
  CO_ASK(write.txn.put(keyspace_, row_key, encode(part)));
  co_return Answer<void>();
}

}  // namespace polis::object
