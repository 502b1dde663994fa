#include "systems/object/lifecycle_worker.h"

#include <algorithm>
#include <utility>

#include "kernel/obs/log.h"

namespace polis::object {
namespace {

constexpr size_t kIndexRows = 500;     // a slice: some 10 ms, one sync
constexpr size_t kBatchKeys = 64;      // one transaction and one sync
constexpr size_t kActionsMax = 1000;   // of one transaction, but for those of one key
constexpr size_t kActionsOfKey = 256;  // what is left comes a second later
constexpr size_t kPartsPage = 64;
constexpr Duration kPauseMin = std::chrono::milliseconds(250), kPauseMax = std::chrono::seconds(30);
constexpr Duration kForgetInterval = std::chrono::hours(1);
constexpr size_t kForgottenRows = 1000;
constexpr Duration kFollowUp = std::chrono::milliseconds(1100);  // reminders are by whole seconds
constexpr Duration kRetry = std::chrono::hours(1);

// Reads a stored blob in the pieces that a put asks for.
class BlobSource final : public blob::ByteSource {
 public:
  BlobSource(blob::Blob& blob, const blob::Receipt& receipt) : blob_(blob), receipt_(receipt) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    const size_t count = std::min<uint64_t>(into.size(), receipt_.size_bytes - offset_);
    if (count == 0) co_return size_t{0};
    class Sink final : public blob::ByteSink {
     public:
      explicit Sink(MutableBytes rest) : rest_(rest) {}
      Task<Result<void>> write(BytesView bytes) override {
        if (bytes.size() > rest_.size()) co_return fail(Code::kOutOfRange, "more bytes than were asked for");
        std::memcpy(rest_.data(), bytes.data(), bytes.size());
        rest_ = rest_.subspan(bytes.size());
        co_return Result<void>();
      }
      bool full() const { return rest_.empty(); }

     private:
      MutableBytes rest_;
    };
    Sink sink(into.first(count));
    CO_TRY(co_await blob_.get(receipt_, {offset_, count}, sink));
    if (!sink.full()) co_return fail(Code::kCorrupt, "a stored blob is shorter than its receipt says");
    offset_ += count;
    co_return count;
  }

 private:
  blob::Blob& blob_;
  const blob::Receipt& receipt_;
  uint64_t offset_ = 0;
};

}  // namespace

WallTime LifecycleWorker::retry_at() const {
  return service_.clock_.wall() + std::min(kRetry, service_.engine_.calendar().day);
}

Task<void> LifecycleWorker::run() {
  // A real day ends at midnight: nobody waits for the minute. A short one is watched closely.
  const Duration pause = std::clamp<Duration>(service_.engine_.calendar().day / 40, kPauseMin, kPauseMax);
  SteadyTime forgot = service_.clock_.steady();
  while (co_await io::sleep_for(pause)) {
    if (service_.clock_.steady() - forgot >= kForgetInterval) {
      forgot = service_.clock_.steady();
      // Rows that stay are in nobody's way: the next hour tries again.
      for (bool done = false; !done;) {
        auto round = co_await service_.change(
            [&](Write& write) { return service_.engine_.forget_renames(write, kForgottenRows); });
        done = !round || *round;
      }
    }
    if (auto indexed = co_await index(); !indexed)
      obs::log_warning("lifecycle reminders could not be written; it is tried again",
                       {{"error", indexed.error().message()}});
    if (auto worked = co_await work(); !worked)
      obs::log_warning("lifecycle rules could not be obeyed; it is tried again", {{"error", worked.error().message()}});
  }
}

Task<Answer<void>> LifecycleWorker::index() {
  auto txn = CO_ASK(co_await service_.begin());
  const std::vector<BucketId> buckets = CO_ASK(co_await service_.engine_.unindexed(*txn));
  txn.reset();
  for (const BucketId bucket : buckets) {
    for (bool done = false; !done;) {
      done = CO_ASK(co_await service_.change(
          [&](Write& write) { return service_.engine_.index_slice(write, bucket, kIndexRows); }));
      if (!co_await io::sleep_for(std::chrono::milliseconds(1))) co_return Answer<void>();
    }
  }
  co_return Answer<void>();
}

Task<Answer<void>> LifecycleWorker::work() {
  for (;;) {
    auto txn = CO_ASK(co_await service_.begin());
    const std::vector<Reminder> due =
        CO_ASK(co_await service_.engine_.reminders(*txn, service_.clock_.wall(), kBatchKeys));
    txn.reset();
    if (due.empty()) {
      if (!std::exchange(followed_, false)) co_return Answer<void>();
      // What went may have been what others waited for: the rest of many versions, a marker with nothing behind it.
      if (!co_await io::sleep_for(kFollowUp)) co_return Answer<void>();
      continue;
    }
    co_await prepare(due);
    if (auto obeyed = co_await obey(due); !obeyed) {
      if (obeyed.error().code() == ErrorCode::kServiceUnavailable) co_return refuse(std::move(obeyed).error());
      // One of them must not hold up the others.
      for (const Reminder& one : due) {
        auto alone = co_await obey({one});
        if (alone) continue;
        obs::log_warning("lifecycle rules could not be obeyed for a key; it is tried again in an hour",
                         {{"bucket", one.bucket_name}, {"error", alone.error().message()}});
        CO_ASK(co_await service_.change([&](Write& write) -> Task<Answer<bool>> {
          CO_ASK(service_.engine_.postpone(write, one, retry_at()));
          co_return true;
        }));
      }
    }
    // Others on this shard have their turn between batches.
    if (!co_await io::sleep_for(std::chrono::milliseconds(1))) co_return Answer<void>();
  }
}

Task<Answer<void>> LifecycleWorker::obey(const std::vector<Reminder>& reminders) {
  LifecycleOutcome outcome = CO_ASK(co_await service_.change([&](Write& write) -> Task<Answer<LifecycleOutcome>> {
    LifecycleOutcome sum;
    for (const Reminder& one : reminders) {
      sum += CO_ASK(co_await service_.engine_.obey(write, one, kActionsOfKey, retry_at()));
      if (sum.expired + sum.removed >= kActionsMax) break;  // the others are still due
      co_await io::yield();
    }
    co_return sum;
  }));
  service_.statistics_.lifecycle_expired += outcome.expired;
  service_.statistics_.lifecycle_removed += outcome.removed;
  followed_ = followed_ || outcome.expired + outcome.removed > 0;
  co_return Answer<void>();
}

Task<void> LifecycleWorker::prepare(const std::vector<Reminder>& reminders) {
  // With a drive too few, all of them fail: one line says so. What failed stays due, and its reminder comes again.
  size_t failed = 0;
  for (const Reminder& one : reminders) {
    auto prepared = co_await prepare_one(one);
    if (prepared || failed++ > 0) continue;
    obs::log_warning("a lifecycle action failed; it is tried again in an hour, like those that fail with it",
                     {{"bucket", one.bucket_name}, {"error", prepared.error().message()}});
  }
}

Task<Answer<void>> LifecycleWorker::prepare_one(const Reminder& reminder) {
  auto txn = CO_ASK(co_await service_.begin());
  auto found = co_await service_.engine_.bucket(*txn, reminder.bucket_name);
  if (!found && found.error().code() == ErrorCode::kNoSuchBucket) co_return Answer<void>();
  const Bucket bucket = CO_ASK(std::move(found));
  if (bucket.id != reminder.bucket) co_return Answer<void>();
  LifecycleReading reading(bucket, reminder.key, service_.clock_.wall(), service_.engine_.calendar());
  CO_ASK(co_await service_.engine_.read_lifecycle(*txn, bucket.id, reminder.key, reading, kActionsOfKey));
  txn.reset();
  for (const LifecycleAction& action : reading.due()) {
    if (action.kind == LifecycleAction::Kind::kTransition)
      CO_ASK(co_await transition(bucket, reminder.key, action));
    else if (action.kind == LifecycleAction::Kind::kAbort)
      CO_ASK(co_await abort(bucket, reminder.key, action.upload));
  }
  co_return Answer<void>();
}

Task<Answer<void>> LifecycleWorker::abort(const Bucket& bucket, const std::string& key, const UploadId& id) {
  auto gate = CO_ASK(co_await service_.home_.own(id));
  auto aborted = co_await service_.change([&](Write& write) -> Task<Answer<bool>> {
    CO_ASK(co_await service_.engine_.abort(write, bucket.id, key, id));
    co_return true;
  });
  if (aborted) {
    ++service_.statistics_.lifecycle_aborted;
    co_return Answer<void>();
  }
  // Completed or aborted by its owner in the last moment.
  if (aborted.error().code() == ErrorCode::kNoSuchUpload) co_return Answer<void>();
  co_return refuse(std::move(aborted).error());
}

Task<Answer<blob::Receipt>> LifecycleWorker::copy_of(const blob::Receipt& receipt, blob::Scheme scheme) {
  auto held = service_.blob_.hold(receipt);
  BlobSource source(service_.blob_, receipt);
  co_return CO_ASK(co_await service_.blob_.put(source, receipt.size_bytes, scheme));
}

Task<Answer<void>> LifecycleWorker::transition(const Bucket& bucket, const std::string& key,
                                               const LifecycleAction& action) {
  auto txn = CO_ASK(co_await service_.begin());
  auto found = co_await service_.engine_.version(*txn, bucket.id, key, action.version);
  txn.reset();
  if (!found) co_return Answer<void>();  // gone meanwhile
  const ObjectVersion version = std::move(*found);
  const blob::Scheme scheme = CO_ASK(service_.scheme_for(action.storage_class));
  const blob::Scheme before =
      scheme_of(storage_class_named(version.metadata.storage_class).value_or(StorageClass::kStandard));

  std::optional<blob::Receipt> moved;
  if (scheme != before) {
    Home::Hold pin;
    if (!version.upload.empty()) {
      pin = CO_ASK(co_await service_.home_.pin(version.upload));
      CO_ASK(co_await transition_parts(version, scheme));
    }
    if (!version.blob.location.empty()) moved = CO_ASK(co_await copy_of(version.blob, scheme));
  }
  auto changed = co_await service_.change([&](Write& write) -> Task<Answer<bool>> {
    CO_ASK(co_await service_.engine_.change_class(write, bucket, key, version, moved ? &*moved : nullptr,
                                                  action.storage_class));
    co_return true;
  });
  if (!changed) {
    if (moved) service_.blob_.erase(*moved);
    // Replaced, or moved by compaction: what it is now is looked at with the next reminder.
    co_return refuse(std::move(changed).error());
  }
  ++service_.statistics_.lifecycle_transitions;
  co_return Answer<void>();
}

// One by one, each in a transaction of its own: a crash leaves some parts here and some there, all of them readable,
// and the class says so only when all have moved.
Task<Answer<void>> LifecycleWorker::transition_parts(const ObjectVersion& version, blob::Scheme scheme) {
  for (uint32_t after = 0;;) {
    auto txn = CO_ASK(co_await service_.begin());
    const PartListing page = CO_ASK(co_await service_.engine_.list_parts(*txn, version.upload, after, kPartsPage));
    txn.reset();
    for (const Part& listed : page.parts) {
      after = listed.number;
      if (listed.inlined || listed.blob.location.empty()) continue;
      // Compaction may have moved it since the page was read.
      auto now_txn = CO_ASK(co_await service_.begin());
      const PartListing now =
          CO_ASK(co_await service_.engine_.list_parts(*now_txn, version.upload, listed.number - 1, 1));
      now_txn.reset();
      if (now.parts.empty() || now.parts.front().number != listed.number)
        co_return refuse(ErrorCode::kOperationAborted, "A part went while its object was moved");
      const Part& part = now.parts.front();
      const blob::Receipt copy = CO_ASK(co_await copy_of(part.blob, scheme));
      auto replaced = co_await service_.change([&](Write& write) -> Task<Answer<bool>> {
        CO_ASK(co_await service_.engine_.replace_part(write, version.upload, part, copy));
        co_return true;
      });
      if (!replaced) {
        service_.blob_.erase(copy);
        co_return refuse(std::move(replaced).error());
      }
    }
    if (!page.truncated) co_return Answer<void>();
  }
}

}  // namespace polis::object
