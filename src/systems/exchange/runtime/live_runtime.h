// LiveRuntime: the VenueRuntime. One core that handles requests (core.h), one reader of the bus on the home shard that
// journals and tells (journaler.cc), one shadow behind it.
//
//     submit ─► Core ─► bus ─► pump ─┬─► batch ─► Journal ─► durable_ ─► shadow
//                                    └─► EgressBatch ─► now, or when its record is durable ─► listeners, ask()
//
// Slots of the ring are let go when the page cache has their record, so a killed process finds in ring and journal
// together everything that it ever told anybody.
#pragma once

#include <atomic>
#include <coroutine>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "kernel/io/shard.h"
#include "kernel/log/journal.h"
#include "kernel/log/sync_scheduler.h"
#include "systems/exchange/runtime/core.h"
#include "systems/exchange/runtime/egress.h"
#include "systems/exchange/runtime/journal_format.h"
#include "systems/exchange/runtime/recovery.h"
#include "systems/exchange/runtime/runtime.h"
#include "systems/exchange/runtime/shadow.h"

namespace polis::exchange {

// Of requests that ask() submits.
inline constexpr uint64_t kAskTag = uint64_t{1} << 63;

// Wakes one coroutine of one shard; a set() without a waiter is kept. Allocates nothing.
class Signal {
 public:
  void set() {
    set_ = true;
    if (waiter_) io::Shard::current().schedule(std::exchange(waiter_, {}));
  }
  struct Awaiter {
    Signal& signal;
    bool await_ready() const noexcept { return signal.set_; }
    void await_suspend(std::coroutine_handle<> waiter) const { signal.waiter_ = waiter; }
    void await_resume() const { signal.set_ = false; }
  };
  Awaiter wait() { return {*this}; }

 private:
  bool set_ = false;
  std::coroutine_handle<> waiter_;
};

class LiveRuntime final : public VenueRuntime {
 public:
  using Recovered = std::function<void(Sequence, VenueTime, const Report&)>;

  LiveRuntime(io::Disk& disk, const Clock& clock, Random& random, RuntimeOptions options,
              std::vector<Follower*> followers);
  ~LiveRuntime() override;
  // Once, first of all. After a failure close() is still needed.
  Task<Result<void>> begin(const Recovered& recovered);

  Result<void> submit(const Request& request) override;
  void prefetch(const Request& request, unsigned stage) const override {
    if (core_) core_->prefetch(request, stage);
  }
  Task<Result<Report>> ask(Request request) override;
  void subscribe(EgressListener& listener) override { egress_.subscribe(listener); }
  void unsubscribe(EgressListener& listener) override { egress_.unsubscribe(listener); }
  Task<Result<void>> inspect(std::function<void(const Venue&)> look) override;
  Task<Result<void>> inspect_shadow(std::function<void(const Venue&)> look) override;
  Result<void> status() const override;
  Task<Result<void>> wait_durable(Sequence sequence) override;
  Task<Result<Sequence>> snapshot() override;
  RuntimeStatistics statistics() const override;
  Bus& bus() override { return *bus_; }
  Task<Result<void>> close() override;

 private:
  // --- recovery (live_recovery.cc)
  Task<Result<void>> recover(const Recovered& recovered);
  Task<Result<void>> redo_journal(const Recovered& recovered);
  Result<void> take_ring_steps(BusReader& reader, const Recovered& recovered);
  // A step of the recovery itself, straight into the journal. `request` null: the answer that is due.
  Result<void> step_in_recovery(const Request* request, const Recovered& recovered);

  // --- journaler and egress (journaler.cc), home shard
  struct PumpJob final : io::Job {
    explicit PumpJob(LiveRuntime& r) : runtime(r) {}
    void run() override;
    LiveRuntime& runtime;
  };
  void written();  // any thread
  Task<void> pump_when_written();
  void pump();
  void begin_step(const BusRecord& record, const std::byte* payload);
  void end_step(Sequence next);
  Result<bool> append_batch();  // false: not now
  void deliver(const std::shared_ptr<EgressBatch>& batch);
  std::shared_ptr<EgressBatch> take_egress_batch();
  Task<void> make_durable();
  Task<void> relieve_ring();
  void let_slots_go();
  Task<void> keep_house();
  void fail_with(Error error);
  void halt(std::string why);
  void note_durable(log::Position position);

  Task<Result<Report>> ask_here(Request& request);
  Task<Result<void>> wait_durable_here(Sequence sequence);

  io::Disk& disk_;
  const Clock& clock_;
  Random& random_;
  const RuntimeOptions options_;
  io::Shard& home_;
  log::SyncScheduler scheduler_;
  std::unique_ptr<log::Journal> journal_;
  std::unique_ptr<Venue> venue_;
  std::unique_ptr<Bus> bus_;
  std::unique_ptr<BusReader> reader_;
  std::unique_ptr<Core> core_;
  std::unique_ptr<Shadow> shadow_;
  Egress egress_;
  bool fused_ = true;
  JournalRecordHead last_record_;  // before this life
  bool shadow_started_ = false;
  io::TaskGroup tasks_;

  // --- the pump
  PumpJob pump_job_{*this};
  std::atomic<bool> pump_posted_{false};
  Signal pump_now_, append_done_, ring_tight_;
  ReplayPlace place_;  // behind the last whole step that was read
  JournalStep step_;
  bool in_step_ = false;
  Outputs outputs_;
  JournalBatch batch_;
  std::shared_ptr<EgressBatch> egress_batch_;
  std::vector<std::shared_ptr<EgressBatch>> spare_;
  size_t spare_bytes_ = 0;
  // Records that are not on disk yet, and what is told when they are.
  struct Held {
    log::Position record = 0;
    Sequence next = 0;
    std::shared_ptr<EgressBatch> batch;  // null: told already, or nobody listens
  };
  std::deque<Held> held_;
  // Records whose slots are still in the ring.
  struct Unreleased {
    log::Position record = 0;
    Sequence next = 0;
  };
  std::deque<Unreleased> unreleased_;
  Sequence released_ = 0;
  log::Position durable_record_ = 0;
  io::Event durable_changed_;

  // --- ask()
  struct Asked {
    std::optional<Result<Report>> answer;
    io::Event done;
  };
  std::unordered_map<uint64_t, Asked*> asked_;
  uint64_t next_tag_ = 0;

  bool stopping_ = false;  // the loops end
  bool closed_ = false;
  std::atomic<bool> closing_{false};
  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  std::optional<Error> failure_;
  std::string halted_why_;
  std::atomic<bool> halted_{false};
  std::atomic<Sequence> next_{1}, durable_{1};
  std::atomic<uint64_t> requests_{0}, reports_{0}, trades_{0}, replayed_{0}, journal_bytes_{0}, syncs_{0};
};

}  // namespace polis::exchange
