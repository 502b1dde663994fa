// Renaming: rows move, bytes stay.
#include <algorithm>

#include "kernel/io/shard.h"
#include "systems/object/engine.h"
#include "systems/object/lock.h"

namespace polis::object {
namespace {

constexpr size_t kRenamePage = 1000;
constexpr size_t kKeysBetweenTurns = 64;  // about 2 ms; then others on the shard have theirs

// Hours since 1970, and at least one.
uint64_t hour_of(WallTime now) {
  return static_cast<uint64_t>(
      std::max<int64_t>(1, std::chrono::floor<std::chrono::hours>(now.time_since_epoch()).count()));
}

// Of the source or the target of a rename; `current` is null or a delete marker if there is nothing.
Answer<void> check_renamed(const Conditions& conditions, const ObjectVersion* current) {
  const bool exists = current && !current->delete_marker;
  ASK(check_write(conditions, current));
  if (!exists) return {};
  Conditions dates;
  dates.modified_since = conditions.modified_since;
  // If-Match decides where both stand, as for reads.
  if (!conditions.if_match) dates.unmodified_since = conditions.unmodified_since;
  if (conditions.if_none_match) dates.modified_since.reset();
  return check_read(dates, *current, ErrorCode::kPreconditionFailed);
}

}  // namespace

// Takes `version` out of the front of `from` and puts it in front of `to`.
Task<Answer<ObjectVersion>> Engine::move_version(Write& write, const Bucket& bucket, std::string_view from,
                                                 std::string_view to, const ObjectVersion& version,
                                                 const std::optional<ObjectVersion>& target,
                                                 const Owner& caller) const {
  // A version under lock is promised to stay where it is.
  CO_ASK(check_unlocked(version, false, write.now));
  std::string bytes;
  if (version.inlined) {
    bytes = CO_ASK(co_await inlined_bytes(write.txn, bucket.id, from, version.sequence));
    CO_ASK(write.txn.erase(keyspace_, inline_key(bucket.id, from, version.sequence)));
  }
  const std::string front_key = newest_key(bucket.id, from);
  CO_ASK(write.txn.erase(keyspace_, front_key));
  Usage delta{.objects = -1};
  delta.count(version, -1);
  if (auto older = CO_ASK(co_await next_older(write.txn, bucket.id, from))) {
    CO_ASK(write.txn.erase(keyspace_, older_key(bucket.id, from, older->sequence)));
    older->null_sequence = older->null_version ? 0 : version.null_sequence;
    CO_ASK(write.txn.put(keyspace_, front_key, encode(*older)));
    if (!older->delete_marker) {
      // What is behind stays hidden, as behind a DELETE. The marker sorts before whatever was moved, too.
      ++delta.objects;
      Row<ObjectVersion> hidden = CO_ASK(co_await read_version(write.txn, front_key, true));
      ObjectVersion marker;
      marker.delete_marker = true;
      marker.owner = caller;
      CO_ASK(co_await install(write, bucket, from, marker, "", hidden));
    } else {
      CO_ASK(remind(write, bucket, from));
    }
  }
  CO_ASK(co_await count(write, bucket.id, delta));

  ObjectVersion moved = version;
  moved.retention = {};  // what it had is over; the bucket may give it a new one
  CO_ASK(co_await install(write, bucket, to, moved, bytes, target));
  // A rename is no change of the object: its date stays, and so does the age that lifecycle rules count.
  moved.modified_at = version.modified_at;
  CO_ASK(write.txn.put(keyspace_, newest_key(bucket.id, to), encode(moved)));
  CO_ASK(remind(write, bucket, to));
  co_return moved;
}

Task<Answer<PutOutcome>> Engine::rename(Write& write, const Bucket& bucket, const RenameObject& rename,
                                        const Owner& caller) const {
  if (rename.from == rename.to)
    co_return refuse(ErrorCode::kInvalidRequest, "The source and the target of a rename are the same key");
  auto source = CO_ASK(co_await read_version(write.txn, newest_key(bucket.id, rename.from), true));
  if (!source || source->delete_marker) co_return refuse(Failure(ErrorCode::kNoSuchKey).detail("Key", rename.from));
  CO_ASK(check_renamed(rename.from_conditions, &*source));
  auto target = CO_ASK(co_await read_version(write.txn, newest_key(bucket.id, rename.to), true));
  CO_ASK(check_renamed(rename.to_conditions, target ? &*target : nullptr));
  co_return PutOutcome{CO_ASK(co_await move_version(write, bucket, rename.from, rename.to, *source, target, caller))};
}

Task<Answer<uint64_t>> Engine::rename_prefix(Write& write, const Bucket& bucket, const RenamePrefix& rename,
                                             const Owner& caller, const RenameCheck& check) const {
  if (rename.from.starts_with(rename.to) || rename.to.starts_with(rename.from))
    co_return refuse(ErrorCode::kInvalidRequest, "Neither of the two prefixes of a rename may begin with the other");
  std::vector<ListEntry> entries;
  ListQuery query{.prefix = rename.from, .delimiter = {}, .after = {}, .limit = kRenamePage};
  for (bool more = true; more;) {
    Listing page = CO_ASK(co_await list(write.txn, bucket.id, query));
    if (entries.size() + page.entries.size() > rename.keys_max)
      co_return refuse(Failure(ErrorCode::kInvalidRequest, "A rename moves at most " + std::to_string(rename.keys_max) +
                                                               " keys at once; this prefix has more"));
    std::ranges::move(page.entries, std::back_inserter(entries));
    more = page.truncated;
    query.after = page.last;
  }
  if (entries.empty()) co_return refuse(Failure(ErrorCode::kNoSuchKey).detail("Key", rename.from));
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i % kKeysBetweenTurns == kKeysBetweenTurns - 1) co_await io::yield();
    const ListEntry& entry = entries[i];
    const std::string to = rename.to + entry.key.substr(rename.from.size());
    CO_ASK(check_key(to));
    auto source = CO_ASK(co_await read_version(write.txn, newest_key(bucket.id, entry.key), true));
    if (!source || source->delete_marker) continue;
    CO_ASK(check(entry.key, to, *source));
    auto target = CO_ASK(co_await read_version(write.txn, newest_key(bucket.id, to), true));
    if (target && !target->delete_marker)
      co_return refuse(Failure(ErrorCode::kPreconditionFailed, "An object of the new name exists: " + to)
                           .detail("Condition", "If-None-Match")
                           .detail("Key", to));
    CO_ASK(co_await move_version(write, bucket, entry.key, to, *source, target, caller));
  }
  co_return entries.size();
}

// --- tokens

Task<Answer<std::optional<Renamed>>> Engine::renamed_before(Write& write, BucketId bucket, std::string_view token,
                                                            const Renamed& asked) const {
  const uint64_t hour = hour_of(write.now);
  for (const uint64_t one : {hour, hour - 1}) {
    auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, renamed_key(one, bucket, token)));
    if (!row) continue;
    Renamed renamed = CO_ASK(decode_renamed(row->value));
    if (renamed.from != asked.from || renamed.to != asked.to || renamed.prefix != asked.prefix)
      co_return refuse(ErrorCode::kIdempotencyParameterMismatch);
    co_return std::optional(std::move(renamed));
  }
  co_return std::optional<Renamed>();
}

Answer<void> Engine::remember_rename(Write& write, BucketId bucket, std::string_view token,
                                     const Renamed& renamed) const {
  ASK(write.txn.put(keyspace_, renamed_key(hour_of(write.now), bucket, token), encode(renamed)));
  return {};
}

Task<Answer<bool>> Engine::forget_renames(Write& write, size_t limit) const {
  const uint64_t hour = hour_of(write.now);
  store::KeyRange range{renamed_from(0), renamed_from(hour - 1)};
  auto scan = CO_ASK(co_await write.txn.scan(keyspace_, range, {.limit = limit, .keys_only = true}));
  for (const store::Row& row : scan.rows) CO_ASK(write.txn.erase(keyspace_, row.key));
  co_return !scan.more;
}

}  // namespace polis::object
