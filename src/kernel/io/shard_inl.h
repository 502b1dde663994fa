// Templates of shard.h; included by it only.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace polis::io {

// --- with_timeout

namespace detail {

class ScopeTimer final : public Timer {
 public:
  explicit ScopeTimer(Scope& scope) : scope_(scope) {}

 private:
  void fired() override { scope_.stop(Code::kTimeout); }
  Scope& scope_;
};

}  // namespace detail

template <class T>
Task<T> with_timeout(Duration limit, Task<T> task) {
  Scope scope(co_await this_scope());
  detail::ScopeTimer timer(scope);
  timer.arm(Shard::current().clock().steady() + limit);
  Task<T> inside = std::move(task).within(scope);
  T value = co_await inside;
  co_return std::move(value);
}

// --- blocking

namespace detail {

struct Nothing {};
template <class T>
using StoredValue = std::conditional_t<std::is_void_v<T>, Nothing, T>;

}  // namespace detail

template <class F>
auto blocking(F work) -> Task<std::invoke_result_t<F&>> {
  using Value = std::invoke_result_t<F&>;
  BlockingPool* pool = Shard::current().pool();
  if constexpr (std::is_void_v<Value>) {
    if (!pool) {
      work();
      co_return;
    }
    Completion<detail::Nothing> done;
    run_on_pool(*pool, [&] {
      work();
      done.set({});
    });
    co_await done;
  } else {
    if (!pool) co_return work();  // simulation: there is nothing real to wait for
    Completion<Value> done;
    run_on_pool(*pool, [&] { done.set(work()); });
    co_return co_await done;
  }
}

// --- on

namespace detail {

// A coroutine that starts eagerly and frees itself at its end; only the drivers below use it.
struct Detached {
  struct promise_type {
    Scope* scope = nullptr;
    static void* operator new(std::size_t size_bytes) { return frame_allocate(size_bytes); }
    static void operator delete(void* frame, std::size_t size_bytes) noexcept { frame_release(frame, size_bytes); }
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }
  };
};

// One call to another shard. Lives in the frame of the caller, who waits until the answer is back; `start_`, `stop_`
// and `back_` are the three messages that pass between the shards.
template <class F>
class RemoteCall final : public Cancellable {
 public:
  using T = typename std::invoke_result_t<F&>::value_type;

  RemoteCall(Shard& target, F work) : home_(Shard::current()), target_(target), work_(std::move(work)) {}

  bool await_ready() const noexcept { return false; }
  template <class Parent>
  void await_suspend(std::coroutine_handle<Parent> parent) {
    waiter_ = parent;
    if (Scope* scope = parent.promise().scope; scope && !scope->link(*this)) {
      stop_reason_ = scope->reason();
      stop_at_start_ = true;
    }
    target_.post(start_);
  }
  T await_resume() {
    if constexpr (!std::is_void_v<T>) return std::move(*value_);
  }

 private:
  struct Start final : Job {
    explicit Start(RemoteCall& c) : call(c) {}
    void run() override { call.drive(); }
    RemoteCall& call;
  };
  struct Stop final : Job {
    explicit Stop(RemoteCall& c) : call(c) {}
    void run() override {
      if (call.scope_) call.scope_->stop(call.stop_reason_);
      call.home_.post(call.stopped_);
    }
    RemoteCall& call;
  };
  struct Stopped final : Job {
    explicit Stopped(RemoteCall& c) : call(c) {}
    void run() override {
      call.stop_pending_ = false;
      call.resume_when_complete();
    }
    RemoteCall& call;
  };
  struct Back final : Job {
    explicit Back(RemoteCall& c) : call(c) {}
    void run() override {
      call.unlink();
      call.answered_ = true;
      call.resume_when_complete();
    }
    RemoteCall& call;
  };

  // On the target shard.
  Detached drive() {
    scope_.emplace(nullptr);
    if (stop_at_start_) scope_->stop(stop_reason_);
    {
      auto task = work_();
      task = std::move(task).within(*scope_);
      if constexpr (std::is_void_v<T>) {
        co_await task;
        value_.emplace();
      } else {
        value_.emplace(co_await task);
      }
    }
    scope_.reset();
    home_.post(back_);  // the last touch: the caller may be gone from here on
  }
  // On the home shard: both messages to the target must have been answered before the caller's frame may go on.
  void resume_when_complete() {
    if (answered_ && !stop_pending_) home_.schedule(waiter_);
  }
  void cancel(Code reason) override {
    stop_reason_ = reason;
    stop_pending_ = true;
    target_.post(stop_);
  }

  Shard& home_;
  Shard& target_;
  F work_;
  std::coroutine_handle<> waiter_;
  std::optional<Scope> scope_;
  std::optional<StoredValue<T>> value_;
  Code stop_reason_ = Code::kCancelled;
  bool stop_at_start_ = false;  // set before the first message, read by the target
  bool stop_pending_ = false;   // home shard only, like answered_
  bool answered_ = false;
  Start start_{*this};
  Stop stop_{*this};
  Stopped stopped_{*this};
  Back back_{*this};
};

// Awaits `call` in place, so that the frame of on() is the only allocation.
template <class Awaitable>
struct AwaitInPlace {
  Awaitable& awaitable;
  bool await_ready() const noexcept { return false; }
  template <class Parent>
  void await_suspend(std::coroutine_handle<Parent> parent) {
    awaitable.await_suspend(parent);
  }
  decltype(auto) await_resume() { return awaitable.await_resume(); }
};

}  // namespace detail

template <class F>
auto on(Shard& target, F work) -> std::invoke_result_t<F&> {
  if (&target == &Shard::current()) {
    auto task = work();
    co_return co_await task;
  }
  detail::RemoteCall<F> call(target, std::move(work));
  co_return co_await detail::AwaitInPlace<detail::RemoteCall<F>>{call};
}

// --- Runtime::call, run

namespace detail {

// A value handed from a shard to a blocked thread that is no shard.
template <class T>
class Handover {
 public:
  void set(StoredValue<T> value) {
    // Notified under the lock: the waiter destroys this object as soon as it can take it.
    std::lock_guard lock(mutex_);
    value_.emplace(std::move(value));
    ready_.notify_one();
  }
  T wait() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return value_.has_value(); });
    if constexpr (!std::is_void_v<T>) return std::move(*value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::optional<StoredValue<T>> value_;
};

template <class F, class T>
Task<void> call_and_hand_over(F& work, Handover<T>& handover) {
  auto task = work();
  if constexpr (std::is_void_v<T>) {
    co_await task;
    handover.set({});
  } else {
    handover.set(co_await task);
  }
}

// Starts a root task with no scope on the current shard; it frees itself.
Detached start_root(Task<void> task);

}  // namespace detail

template <class F>
auto Runtime::call(unsigned index, F work) -> typename std::invoke_result_t<F&>::value_type {
  using T = typename std::invoke_result_t<F&>::value_type;
  detail::Handover<T> handover;
  shard(index).post([&] { detail::start_root(detail::call_and_hand_over<F, T>(work, handover)); });
  return handover.wait();
}

template <class F>
auto run(F work) -> typename std::invoke_result_t<F&>::value_type {
  Runtime runtime({.shards = 1, .blocking_threads = 2});
  runtime.start();
  return runtime.call(0, std::move(work));
}

}  // namespace polis::io
