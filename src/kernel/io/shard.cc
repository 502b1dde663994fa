#include "kernel/io/shard.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "kernel/io/poller.h"
#include "kernel/io/timer_wheel.h"

namespace polis::io {
namespace {

thread_local Shard* current_shard = nullptr;

class FunctionJob final : public Job {
 public:
  explicit FunctionJob(std::move_only_function<void()> work) : work_(std::move(work)) {}
  void run() override {
    auto work = std::move(work_);
    delete this;
    work();
  }

 private:
  std::move_only_function<void()> work_;
};

}  // namespace

// --- Timer

void Timer::arm(SteadyTime at) {
  Shard::current().timers().arm(*this, at);
}
void Timer::disarm() {
  if (wheel_) wheel_->disarm(*this);
}

// --- Shard

Shard::Shard(unsigned index, const Clock& clock, BlockingPool* pool, bool poll)
    : index_(index),
      clock_(clock),
      pool_(pool),
      now_(clock.steady()),
      timers_(std::make_unique<TimerWheel>(now_)),
      poller_(poll ? std::make_unique<Poller>() : nullptr) {}

Shard::~Shard() = default;

Shard& Shard::current() {
  POLIS_ASSERT(current_shard != nullptr);
  return *current_shard;
}
Shard* Shard::current_or_null() {
  return current_shard;
}

ShardBinding::ShardBinding(Shard& shard) : previous(current_shard) {
  current_shard = &shard;
}
ShardBinding::~ShardBinding() {
  current_shard = previous;
}

void Shard::schedule(std::coroutine_handle<> handle) {
  ready_.push_back(handle);
}

void Shard::post(Job& job) {
  Job* head = inbox_.load(std::memory_order_relaxed);
  do {
    job.next_ = head;
  } while (!inbox_.compare_exchange_weak(head, &job, std::memory_order_seq_cst, std::memory_order_relaxed));
  // Only the first job after the shard fell asleep pays for the wake-up.
  if (poller_ && asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false)) poller_->wake();
}

void Shard::post(std::move_only_function<void()> work) {
  post(*new FunctionJob(std::move(work)));
}

size_t Shard::drain_inbox() {
  Job* job = inbox_.exchange(nullptr, std::memory_order_acquire);
  if (!job) return 0;
  Job* in_order = nullptr;  // the inbox is a stack: turn it round
  while (job) {
    Job* next = job->next_;
    job->next_ = in_order;
    in_order = job;
    job = next;
  }
  size_t count = 0;
  while (in_order) {
    Job* next = in_order->next_;  // a job may be gone once it ran
    in_order->run();
    in_order = next;
    ++count;
  }
  posted_.fetch_add(count, std::memory_order_relaxed);
  return count;
}

size_t Shard::drain_queue(size_t most) {
  size_t count = 0;
  while (!ready_.empty() && count < most) {
    running_.swap(ready_);
    for (auto handle : running_) handle.resume();
    count += running_.size();
    running_.clear();
  }
  // Written by this thread alone.
  resumed_.store(resumed_.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  return count;
}

void Shard::run() {
  // Between two looks at the sockets: bounds how long a busy queue can starve them (a turn of 1,024 small resumptions
  // is about 1 ms).
  constexpr size_t kResumedPerTurn = 1024;
  ShardBinding binding(*this);
  while (true) {
    const SteadyTime woken = now_ = clock_.steady();
    drain_inbox();
    timers_->advance(now_);
    // What other threads have finished meanwhile (a sync, a call to another shard) does not wait for the turn's end.
    for (size_t resumed = 0; resumed < kResumedPerTurn && !ready_.empty();) {
      resumed += drain_queue(1);
      if (inbox_.load(std::memory_order_relaxed) != nullptr) drain_inbox();
    }
    loops_.fetch_add(1, std::memory_order_relaxed);

    Duration timeout{0};
    if (ready_.empty()) {
      if (stopping_.load(std::memory_order_relaxed)) break;
      const SteadyTime idle_from = clock_.steady();
      busy_ns_.fetch_add(static_cast<uint64_t>((idle_from - woken).count()), std::memory_order_relaxed);
      const auto next = timers_->next();
      timeout = next ? std::max(*next - idle_from, Duration{0}) : Duration{-1};
      asleep_.store(true, std::memory_order_seq_cst);
      if (inbox_.load(std::memory_order_seq_cst) || stopping_.load(std::memory_order_seq_cst)) timeout = Duration{0};
    } else {
      busy_ns_.fetch_add(static_cast<uint64_t>((clock_.steady() - woken).count()), std::memory_order_relaxed);
    }
    poller_->wait(timeout);
    asleep_.store(false, std::memory_order_relaxed);
  }
}

void Shard::stop() {
  stopping_.store(true, std::memory_order_seq_cst);
  if (poller_) poller_->wake();
}

size_t Shard::run_ready() {
  ShardBinding binding(*this);
  size_t total = 0;
  while (true) {
    now_ = clock_.steady();
    const size_t count = drain_inbox() + drain_queue(SIZE_MAX);
    if (count == 0) return total;
    total += count;
  }
}

std::optional<SteadyTime> Shard::next_timer() const {
  return timers_->next();
}

void Shard::fire_timers() {
  ShardBinding binding(*this);
  now_ = clock_.steady();
  timers_->advance(now_);
}

ShardStatistics Shard::statistics() const {
  return {.loops = loops_.load(std::memory_order_relaxed),
          .resumed = resumed_.load(std::memory_order_relaxed),
          .posted = posted_.load(std::memory_order_relaxed),
          .busy_ns = busy_ns_.load(std::memory_order_relaxed)};
}

// --- waiting

namespace {

Error stopped(Code code) {
  return Error(code, code == Code::kTimeout ? "the deadline passed" : "the operation was stopped");
}

class Sleep final : public Operation {
 public:
  explicit Sleep(SteadyTime until) : until_(until) {}
  bool await_ready() const noexcept { return false; }
  template <class Parent>
  bool await_suspend(std::coroutine_handle<Parent> parent) {
    if (!begin(parent)) return false;
    alarm_.arm(until_);
    return true;
  }
  Result<void> await_resume() const {
    if (cancelled_) return fail(stopped(code_));
    return {};
  }

 private:
  struct Alarm final : Timer {
    explicit Alarm(Sleep& s) : sleep(s) {}
    void fired() override {
      sleep.unlink();
      sleep.finish();
    }
    Sleep& sleep;
  };
  void cancel(Code reason) override {
    cancelled_ = true;
    code_ = reason;
    alarm_.disarm();
    finish();
  }
  SteadyTime until_;
  Alarm alarm_{*this};
};

}  // namespace

Task<Result<void>> sleep_for(Duration duration) {
  co_return co_await Sleep(Shard::current().clock().steady() + duration);
}
Task<Result<void>> sleep_until(SteadyTime time) {
  co_return co_await Sleep(time);
}

// --- TaskGroup

namespace detail {

Detached start_root(Task<void> task) {
  co_await task;
}

}  // namespace detail

// Runs one task of a group and counts it out.
struct GroupDriver {
  struct Start {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) const { Shard::current().schedule(handle); }
    void await_resume() const noexcept {}
  };
  static detail::Detached drive(TaskGroup& group, Task<void> task) {
    co_await Start{};
    {
      Task<void> inside = std::move(task).within(group.scope_);
      co_await inside;
    }
    if (--group.running_ == 0 && group.joiner_) Shard::current().schedule(std::exchange(group.joiner_, {}));
  }
};

void TaskGroup::spawn(Task<void> task) {
  ++running_;
  GroupDriver::drive(*this, std::move(task));
}

Task<void> TaskGroup::join() {
  struct Join {
    TaskGroup& group;
    bool await_ready() const noexcept { return group.running_ == 0; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      POLIS_ASSERT(!group.joiner_);
      group.joiner_ = waiter;
    }
    void await_resume() const noexcept {}
  };
  while (running_ != 0) co_await Join{*this};
}

// --- Event

struct Event::Waiter final : Operation {
  explicit Waiter(Event& e) : event(e) {}
  bool await_ready() const noexcept { return event.set_; }
  template <class Parent>
  bool await_suspend(std::coroutine_handle<Parent> parent) {
    if (!begin(parent)) return false;
    next = event.first_;
    event.first_ = this;
    return true;
  }
  Result<void> await_resume() const {
    if (cancelled_) return fail(stopped(code_));
    return {};
  }
  void cancel(Code reason) override {
    cancelled_ = true;
    code_ = reason;
    for (Waiter** place = &event.first_; *place; place = &(*place)->next)
      if (*place == this) {
        *place = next;
        break;
      }
    finish();
  }
  Event& event;
  Waiter* next = nullptr;
};

void Event::set() {
  set_ = true;
  Waiter* in_order = nullptr;  // first come, first served: the list is a stack
  while (first_) {
    Waiter* waiter = first_;
    first_ = waiter->next;
    waiter->next = in_order;
    in_order = waiter;
  }
  while (in_order) {
    Waiter* next = in_order->next;
    in_order->unlink();
    in_order->finish();
    in_order = next;
  }
}

Task<Result<void>> Event::wait() {
  Waiter waiter(*this);
  co_return co_await waiter;
}

// --- Semaphore

struct Semaphore::Waiter final : Operation {
  explicit Waiter(Semaphore& s) : semaphore(s) {}
  bool await_ready() const noexcept { return semaphore.try_acquire(); }
  template <class Parent>
  bool await_suspend(std::coroutine_handle<Parent> parent) {
    if (!begin(parent)) return false;
    (semaphore.last_ ? semaphore.last_->next : semaphore.first_) = this;
    previous = semaphore.last_;
    semaphore.last_ = this;
    return true;
  }
  Result<void> await_resume() const {
    if (cancelled_) return fail(stopped(code_));
    return {};
  }
  void leave() {
    (previous ? previous->next : semaphore.first_) = next;
    (next ? next->previous : semaphore.last_) = previous;
  }
  void cancel(Code reason) override {
    cancelled_ = true;
    code_ = reason;
    leave();
    finish();
  }
  Semaphore& semaphore;
  Waiter* previous = nullptr;
  Waiter* next = nullptr;
};

bool Semaphore::try_acquire() {
  if (permits_ == 0 || first_) return false;
  --permits_;
  return true;
}

void Semaphore::release() {
  if (!first_) {
    ++permits_;
    return;
  }
  Waiter* waiter = first_;  // the permit passes on directly
  waiter->leave();
  waiter->unlink();
  waiter->finish();
}

Task<Result<void>> Semaphore::acquire() {
  Waiter waiter(*this);
  co_return co_await waiter;
}

// --- BlockingPool and Runtime

namespace {

// Threads that mostly wait for the disk ask for the shortest slices: woken on the CPU of a busy loop they then run at
// once, where they otherwise wait for the loop's slice to end (seen: 4 ms, and a sync and all who wait for it with it).
// Best effort: kernels before 6.12 take no wish for a slice.
void ask_for_short_slices() {
  struct {                                 // sched_attr of sched_setattr(2), which no header of the C library has
    uint32_t size_bytes = 48, policy = 0;  // SCHED_OTHER
    uint64_t flags = 0;
    int32_t nice = ::getpriority(PRIO_PROCESS, 0);
    uint32_t priority = 0;
    uint64_t runtime_ns = 100'000, deadline_ns = 0, period_ns = 0;  // the shortest slice that there is
  } wish;
  static_assert(sizeof wish == 48);
  (void)::syscall(SYS_sched_setattr, 0, &wish, 0);
}

}  // namespace

class BlockingPool {
 public:
  explicit BlockingPool(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  }
  ~BlockingPool() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& thread : threads_) thread.join();
  }
  void add(std::move_only_function<void()> work) {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
    }
    wake_.notify_one();
  }

 private:
  void work() {
    ask_for_short_slices();
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;  // stopping, and everything handed over is done
      auto job = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::move_only_function<void()>> queue_;
  std::vector<std::thread> threads_;
  bool stopping_ = false;
};

void run_on_pool(BlockingPool& pool, std::move_only_function<void()> work) {
  pool.add(std::move(work));
}

namespace {
const Clock& system_clock() {
  static const base::SystemClock clock;  // stateless
  return clock;
}
}  // namespace

Runtime::Runtime(RuntimeOptions options)
    : pool_(std::make_unique<BlockingPool>(std::max(1u, options.blocking_threads))) {
  const unsigned count = options.shards ? options.shards : std::max(1u, std::thread::hardware_concurrency());
  const Clock& clock = options.clock ? *options.clock : system_clock();
  for (unsigned i = 0; i < count; ++i) shards_.push_back(std::make_unique<Shard>(i, clock, pool_.get()));
}

Runtime::~Runtime() {
  stop();
  pool_.reset();  // what it still runs posts to the shards
}

void Runtime::start() {
  POLIS_ASSERT(threads_.empty());
  for (auto& shard : shards_) threads_.emplace_back([&shard] { shard->run(); });
}

void Runtime::stop() {
  if (threads_.empty()) return;
  for (auto& shard : shards_) shard->stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace polis::io
