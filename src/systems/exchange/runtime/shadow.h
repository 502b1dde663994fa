// Shadow: a second venue, fed with what is on disk, on a shard and thread of its own with low priority (in simulation:
// on the home shard). It does every step again and compares, adds all balances up now and then, tells the followers,
// and writes the snapshots. Nobody waits for it; when it is behind, the journal's files wait.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kernel/io/shard.h"
#include "systems/exchange/runtime/recovery.h"
#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {

class Shadow {
 public:
  struct Parts {
    io::Disk& disk;
    const Clock& clock;
    const RuntimeOptions& options;
    std::vector<Follower*> followers;
    // Any thread. What it recomputed differs, or the journal cannot be read: the venue must stop.
    std::function<void(Error)> broken;
    // Any thread. Balances do not add up: the venue must halt.
    std::function<void(Error)> doubted;
  };
  explicit Shadow(Parts parts);
  ~Shadow();

  // Home shard. Begins behind the newest snapshot that every follower has committed.
  void start();
  // Any thread: records up to this one are on disk.
  void advance(log::Position durable);
  // Home shard: takes what is on disk and commits; ends uncommitted if a second is too short for that. Before the
  // shadow is destroyed, if it was started.
  Task<void> stop();

  // Any shard. kBusy until it has found its place, kClosed behind stop().
  Task<Result<void>> inspect(std::function<void(const Venue&)> look);
  // Any shard: a snapshot of everything below `least`, which is on disk; answers what the newest one holds.
  Task<Result<Sequence>> snapshot(Sequence least);

  Sequence next() const { return next_.load(std::memory_order_acquire); }
  Sequence snapshot_next() const { return snapshot_next_.load(std::memory_order_acquire); }
  std::string follower_failure() const;

 private:
  // On its shard.
  Task<void> run();
  Task<Result<void>> follow();
  Task<bool> commit();
  Task<void> write();
  Task<Result<void>> look_here(std::function<void(const Venue&)>& look);
  Task<Result<Sequence>> snapshot_here(Sequence least);
  void check();
  bool stopping() const { return stopping_.load(std::memory_order_acquire); }

  struct Wake final : io::Job {
    explicit Wake(Shadow& s) : shadow(s) {}
    void run() override;
    Shadow& shadow;
  };

  Parts parts_;
  io::Shard& home_;
  std::unique_ptr<io::Shard> own_;  // null in simulation
  std::thread thread_;
  io::Shard* shard_;
  io::TaskGroup tasks_;  // of the home shard
  Wake wake_{*this};
  std::atomic<bool> woken_{false};  // the wake is posted, and was not run yet
  SteadyTime stop_at_{};            // before stopping_
  std::atomic<bool> stopping_{false};
  std::atomic<log::Position> durable_{0};
  std::atomic<Sequence> next_{0}, snapshot_next_{0};

  // On its shard alone.
  std::unique_ptr<Venue> venue_;
  ReplayPlace place_;
  Outputs outputs_;
  StepsAhead steps_;
  std::vector<Sequence> committed_;  // of each follower
  io::Event changed_;
  io::Event snapshot_done_;
  Sequence snapshot_wanted_ = 0;
  std::optional<Error> snapshot_failure_;
  bool ended_ = false;
  SteadyTime committed_at_{}, checked_at_{}, snapshot_tried_at_{};
  Sequence committed_next_ = 0, checked_next_ = 0;

  mutable std::mutex mutex_;
  std::string follower_failure_;
};

}  // namespace polis::exchange
