// World: one simulated machine room, driven by one seed on one thread. It owns the clock, the shards (without epoll), a
// disk and a network, and moves time from event to event: a second of simulated waiting costs nothing. The same seed
// and the same test give the same run, event by event, which trace_hash() proves.
//
//     run(task) ──► shards run what is ready ──► nothing ready: the clock jumps to the next event or timer ──► ...
//
// For tests only. Constructing a World makes its shard 0 the current shard of the thread until the World is destroyed;
// worlds of one thread nest like scopes.
#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/io/task.h"
#include "kernel/sim/disk.h"
#include "kernel/sim/network.h"

namespace polis::sim {

struct WorldOptions {
  unsigned shards = 1;
  // A run that needs more is taken for one that hangs. A day: longer than any timeout of polis.
  Duration time_max = std::chrono::hours(24);
  // Clock jumps of one run. Ten million take about ten seconds.
  uint64_t steps_max = 10'000'000;
  DiskOptions disk;
  NetworkOptions network;
};

class World {
 public:
  explicit World(uint64_t seed, WorldOptions options = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  uint64_t seed() const { return seed_; }
  base::ManualClock& clock() { return clock_; }
  // For the test's own choices; disk and network have generators of their own, so that a test that draws once more does
  // not change the faults.
  Random& random() { return random_; }
  Disk& disk() { return *disk_; }
  Network& network() { return *network_; }
  io::Shard& shard(unsigned index = 0) { return *shards_.at(index); }
  unsigned shard_count() const { return static_cast<unsigned>(shards_.size()); }

  // Runs the task on shard 0 until it is done and returns its value. What else is scheduled runs along, and may be left
  // unfinished. A deadlock (nothing ready, no event, no timer) and a run past the limits end the process with a message
  // that names the seed.
  template <class T>
  T run(Task<T> task) {
    std::optional<io::detail::StoredValue<T>> value;
    io::detail::start_root(deliver(std::move(task), value));
    drive([&] { return value.has_value(); });
    if constexpr (!std::is_void_v<T>) return std::move(*value);
  }
  // Runs until nothing is ready and nothing is due within `duration`, and leaves the clock there.
  void run_for(Duration duration);

  // How far the simulated clock has gone since the World began.
  Duration elapsed() const { return clock_.steady().time_since_epoch(); }
  // A digest of everything that happened so far: equal for equal seeds, or something in the test is not deterministic.
  uint64_t trace_hash() const { return trace_hash_; }
  // Adds an observation to the trace.
  void trace(uint64_t observation) {
    trace_hash_ = (trace_hash_ ^ observation) * 0x9fb21c651e98df25;
    trace_hash_ ^= trace_hash_ >> 28;
  }
  void trace(BytesView observation);

  // Calls `work` on the current shard after `delay`. The cheap building block of disk and network.
  void after(Duration delay, std::move_only_function<void()> work);
  // Suspends the awaiting coroutine for `duration`, to the nanosecond and not cancellable (io::sleep_for is both the
  // other way).
  struct Pause {
    World& world;
    Duration duration;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) const { world.resume_after(duration, waiter); }
    void await_resume() const noexcept {}
  };
  Pause pause(Duration duration) { return {*this, duration}; }

 private:
  struct Occurrence {
    SteadyTime at;
    uint64_t sequence;  // orders what happens at the same instant
    io::Shard* shard;
    std::coroutine_handle<> waiter;  // resumed, or null
    std::move_only_function<void()> work;
    friend bool operator>(const Occurrence& a, const Occurrence& b) {
      return a.at != b.at ? a.at > b.at : a.sequence > b.sequence;
    }
  };

  template <class T>
  static Task<void> deliver(Task<T> task, std::optional<io::detail::StoredValue<T>>& value) {
    Task<T> inside = std::move(task);
    if constexpr (std::is_void_v<T>) {
      co_await inside;
      value.emplace();
    } else {
      value.emplace(co_await inside);
    }
  }
  void drive(const std::function<bool()>& done);
  bool run_ready();
  std::optional<SteadyTime> next_moment() const;
  void happen(SteadyTime now);
  void push(Occurrence occurrence);
  void resume_after(Duration delay, std::coroutine_handle<> waiter);
  [[noreturn]] void give_up(std::string_view why) const;

  const uint64_t seed_;
  const WorldOptions options_;
  base::ManualClock clock_;
  base::SeededRandom random_;
  uint64_t trace_hash_;
  uint64_t sequence_ = 0;
  std::vector<std::unique_ptr<io::Shard>> shards_;
  std::unique_ptr<io::ShardBinding> binding_;
  std::vector<Occurrence> occurrences_;  // a heap, the earliest first
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<Network> network_;
};

}  // namespace polis::sim
