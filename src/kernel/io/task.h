// Task<T>: a lazy coroutine that runs on one shard. It starts when awaited, hands control back by symmetric transfer,
// and owns its frame. A task never moves to another shard; on() (shard.h) runs work elsewhere and brings the value
// back.
//
// Stop and deadline travel in the promise: an awaited task inherits the Scope of whoever awaits it, and every leaf
// operation links itself there. Exceptions do not cross a task: an escaped one ends the process.
#pragma once

#include <coroutine>
#include <cstdlib>
#include <optional>
#include <utility>

#include "kernel/base/result.h"
#include "kernel/io/frame.h"
#include "kernel/io/scope.h"

namespace polis::io {

template <class T = void>
class [[nodiscard]] Task;

namespace detail {

struct PromiseBase {
  std::coroutine_handle<> continuation;
  Scope* scope = nullptr;

  static void* operator new(std::size_t size_bytes) { return frame_allocate(size_bytes); }
  static void operator delete(void* frame, std::size_t size_bytes) noexcept { frame_release(frame, size_bytes); }

  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) const noexcept {
      return done.promise().continuation;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }
};

template <class T>
struct Promise final : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object() noexcept;
  template <class U = T>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() { return std::move(*value); }
};

template <>
struct Promise<void> final : PromiseBase {
  Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using value_type = T;

  Task() = default;
  Task(Task&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (frame_) frame_.destroy();
      frame_ = std::exchange(other.frame_, {});
    }
    return *this;
  }
  ~Task() {
    if (frame_) frame_.destroy();
  }

  explicit operator bool() const { return static_cast<bool>(frame_); }

  struct Awaiter {
    std::coroutine_handle<promise_type> frame;
    bool await_ready() const noexcept { return false; }
    template <class Parent>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Parent> parent) const noexcept {
      frame.promise().continuation = parent;
      if (!frame.promise().scope) frame.promise().scope = parent.promise().scope;
      return frame;
    }
    T await_resume() const { return frame.promise().take(); }
  };
  // The task stays the owner of its frame while awaited, so keep it alive until the value arrives.
  Awaiter operator co_await() const noexcept { return {frame_}; }

  // Runs the task inside a scope of its own choice instead of the awaiter's; before it is awaited.
  Task&& within(Scope& scope) && {
    frame_.promise().scope = &scope;
    return std::move(*this);
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}
  std::coroutine_handle<promise_type> frame_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> detail::Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

// The Scope of the running coroutine: `Scope* scope = co_await this_scope();` Null only in a root task without one.
struct ThisScope {
  Scope* scope = nullptr;
  bool await_ready() const noexcept { return false; }
  template <class Parent>
  bool await_suspend(std::coroutine_handle<Parent> parent) noexcept {
    scope = parent.promise().scope;
    return false;
  }
  Scope* await_resume() const noexcept { return scope; }
};
inline ThisScope this_scope() {
  return {};
}

}  // namespace polis::io

namespace polis {
using io::Task;
}  // namespace polis
