// Shard: one event loop on one core, and the only thread that touches what lives on it. Coroutines, descriptors and
// timers belong to the shard they began on; other threads reach a shard only through post(), on() and Completion.
//
//     run queue ──► coroutines ──► epoll (edge-triggered) / timer wheel / inbox from other threads ──► run queue
//
// A Runtime is the process's shards plus a small pool of threads for calls that block (file reads that miss the page
// cache, fdatasync, RocksDB misses, Argon2).
#pragma once

#include <atomic>
#include <concepts>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::io {

class Shard;
class Runtime;
class BlockingPool;
class TimerWheel;
class Poller;

// A piece of work handed to a shard from any thread. Intrusive: posting allocates nothing.
class Job {
 public:
  virtual void run() = 0;  // on the target shard

 protected:
  ~Job() = default;

 private:
  friend class Shard;
  Job* next_ = nullptr;
};

// Base of every leaf operation: remembers who waits and links into the scope. Lives in the awaiting coroutine's frame.
class Operation : public Cancellable {
 public:
  template <class Parent>
  bool begin(std::coroutine_handle<Parent> parent) {
    waiter_ = parent;
    if (Scope* scope = parent.promise().scope; scope && !scope->link(*this)) {
      code_ = scope->reason();
      cancelled_ = true;
      return false;
    }
    return true;
  }
  // Schedules the waiter on the current shard. Call exactly once, after unlinking.
  void finish();

 protected:
  std::coroutine_handle<> waiter_;
  Code code_ = Code::kCancelled;
  bool cancelled_ = false;
};

// A timer: fires once on the shard that armed it. Granularity 1 ms, rounded up.
class Timer {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer() { disarm(); }
  void arm(SteadyTime at);
  void disarm();
  bool armed() const { return wheel_ != nullptr; }

 protected:
  virtual void fired() = 0;

 private:
  friend class TimerWheel;
  TimerWheel* wheel_ = nullptr;
  Timer* previous_ = nullptr;
  Timer* next_ = nullptr;
  uint64_t tick_ = 0;
  uint32_t slot_ = 0;
};

struct ShardStatistics {
  uint64_t loops = 0;
  uint64_t resumed = 0;  // coroutines resumed
  uint64_t posted = 0;   // jobs from other threads
  uint64_t busy_ns = 0;  // time not spent waiting in epoll
};

class Shard {
 public:
  // `poll` false makes a shard without descriptors, for simulation: idle time is skipped by `advance` (sim/).
  Shard(unsigned index, const Clock& clock, BlockingPool* pool, bool poll = true);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // The shard of the calling thread. current() asserts that there is one.
  static Shard& current();
  static Shard* current_or_null();

  unsigned index() const { return index_; }
  const Clock& clock() const { return clock_; }
  // Steady time read once per loop turn: cheap, at most one turn old.
  SteadyTime now() const { return now_; }

  // Appends to the run queue. This shard's thread only.
  void schedule(std::coroutine_handle<> handle);
  // Runs the job on this shard soon. Any thread; wakes the shard at most once per batch.
  void post(Job& job);
  void post(std::move_only_function<void()> work);

  // Runs until stop(). The calling thread becomes the shard's.
  void run();
  // Any thread.
  void stop();
  // Runs what is runnable now, then what becomes runnable, until only timers and descriptors are left. For simulation
  // and tests. Returns the number of coroutines and jobs that ran.
  size_t run_ready();
  // When the next timer fires; empty without timers.
  std::optional<SteadyTime> next_timer() const;
  // Fires the timers due at the clock's present time.
  void fire_timers();

  TimerWheel& timers() { return *timers_; }
  Poller& poller() { return *poller_; }
  BlockingPool* pool() { return pool_; }
  ShardStatistics statistics() const;

 private:
  friend class Runtime;
  friend struct ShardBinding;
  size_t drain_inbox();
  size_t drain_queue(size_t most);

  const unsigned index_;
  const Clock& clock_;
  BlockingPool* pool_;
  SteadyTime now_;
  std::unique_ptr<TimerWheel> timers_;
  std::unique_ptr<Poller> poller_;
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> running_;
  std::atomic<Job*> inbox_{nullptr};
  std::atomic<bool> asleep_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> loops_{0}, resumed_{0}, posted_{0}, busy_ns_{0};
};

// Makes a shard the current one of this thread for the lifetime of the binding; for simulation and tests.
struct ShardBinding {
  explicit ShardBinding(Shard& shard);
  ~ShardBinding();
  Shard* previous;
};

inline void Operation::finish() {
  Shard::current().schedule(waiter_);
}

// --- waiting

// Suspends for a duration of the shard's clock. kCancelled or kTimeout when the scope stops first.
Task<Result<void>> sleep_for(Duration duration);
Task<Result<void>> sleep_until(SteadyTime time);

// Lets everything else that is ready run first. Long loops call it every 256 KiB or 1 ms of work.
struct Yield {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { Shard::current().schedule(handle); }
  void await_resume() const noexcept {}
};
inline Yield yield() {
  return {};
}

// A set of tasks that are waited for together. Nothing is detached: a group is joined before it is destroyed.
class TaskGroup {
 public:
  // Stops with `parent` (usually `co_await this_scope()`); null makes a root.
  explicit TaskGroup(Scope* parent = nullptr) : scope_(parent) {}
  ~TaskGroup() { POLIS_ASSERT(running_ == 0); }

  // Starts the task at the next turn of this shard. A coroutine lambda's closure must outlive the task: pass state as
  // parameters of a free or member coroutine.
  void spawn(Task<void> task);
  // Cancels what the tasks wait for; join() afterwards.
  void stop(Code reason = Code::kCancelled) { scope_.stop(reason); }
  // Waits until no task runs. Not cancellable: it is what makes cancellation complete. Tasks may be spawned while it
  // waits.
  Task<void> join();
  Scope& scope() { return scope_; }
  size_t running() const { return running_; }

 private:
  friend struct GroupDriver;
  Scope scope_;
  size_t running_ = 0;
  std::coroutine_handle<> joiner_;
};

// Runs a task with a deadline of its own: after `limit` everything it waits for is cancelled with kTimeout. T is a
// Result.
template <class T>
Task<T> with_timeout(Duration limit, Task<T> task);

// A one-shot value made on one shard and set from any thread; the bridge from committer and pool threads to coroutines.
// Awaited once, on the shard that made it, and not cancellable: the setter holds a pointer to it.
template <class T>
class Completion final : private Job {
 public:
  Completion() : home_(&Shard::current()) {}
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  // Any thread, exactly once. The Completion may be gone when this returns.
  void set(T value) {
    value_.emplace(std::move(value));
    home_->post(*this);
  }

  bool await_ready() const noexcept { return done_; }
  void await_suspend(std::coroutine_handle<> waiter) { waiter_ = waiter; }
  T await_resume() { return std::move(*value_); }

 private:
  void run() override {
    done_ = true;
    if (waiter_) home_->schedule(waiter_);
  }
  Shard* home_;
  std::optional<T> value_;
  std::coroutine_handle<> waiter_;
  bool done_ = false;
};

// Wakes every waiter of one shard; stays set until reset.
class Event {
 public:
  void set();
  void reset() { set_ = false; }
  bool is_set() const { return set_; }
  Task<Result<void>> wait();

 private:
  struct Waiter;
  Waiter* first_ = nullptr;
  bool set_ = false;
};

// Counts permits on one shard, first come first served.
class Semaphore {
 public:
  explicit Semaphore(size_t permits) : permits_(permits) {}
  Task<Result<void>> acquire();
  bool try_acquire();
  void release();
  size_t available() const { return permits_; }

 private:
  struct Waiter;
  size_t permits_;
  Waiter* first_ = nullptr;
  Waiter* last_ = nullptr;
};

// --- other shards and blocking calls

// Runs `work` on the blocking pool; it must not touch shard state. Not cancellable: work that was handed over finishes.
void run_on_pool(BlockingPool& pool, std::move_only_function<void()> work);
template <class F>
auto blocking(F work) -> Task<std::invoke_result_t<F&>>;

// Calls `work` (a function returning Task<T>) on the target shard and awaits its value here. Stopping the caller's
// scope stops the task over there; the value still arrives.
template <class F>
auto on(Shard& target, F work) -> std::invoke_result_t<F&>;

struct RuntimeOptions {
  unsigned shards = 0;            // 0: one a core
  unsigned blocking_threads = 8;  // they wait for the disk, not for the CPU
  const Clock* clock = nullptr;   // null: the system's
};

class Runtime {
 public:
  explicit Runtime(RuntimeOptions options = {});
  ~Runtime();  // stops and joins

  unsigned size() const { return static_cast<unsigned>(shards_.size()); }
  Shard& shard(unsigned index) { return *shards_.at(index); }
  BlockingPool& pool() { return *pool_; }

  // Starts a thread for every shard.
  void start();
  // Ends the loops and joins the threads. Whoever owns tasks joins them before.
  void stop();

  // Runs the task (made by `work`, on shard `index`) and blocks the calling thread, which is no shard, until it is
  // done.
  template <class F>
  auto call(unsigned index, F work) -> typename std::invoke_result_t<F&>::value_type;

 private:
  std::unique_ptr<BlockingPool> pool_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::thread> threads_;
};

// A runtime of one shard for tests and small tools: runs the task that `work` makes, on a fresh thread, and returns its
// value.
template <class F>
auto run(F work) -> typename std::invoke_result_t<F&>::value_type;

}  // namespace polis::io

#include "kernel/io/shard_inl.h"
