// Parker: where one thread waits until others have something for it. Spinning, yielding or asleep in the kernel, by
// WaitMode; whoever wakes pays a fence and a load unless the thread really sleeps.
#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {

class Parker {
 public:
  explicit Parker(WaitMode mode) : mode_(mode) {}

  // Any thread, after what it made `ready` true by.
  void wake() {
    if (mode_ != WaitMode::kFutex) return;
    // Between the caller's store and this load; wait() has its fence between its own store and ready(). One of the two
    // sees the other.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_relaxed) == 0) return;
    if (asleep_.exchange(0, std::memory_order_acq_rel) != 0)
      ::syscall(SYS_futex, &asleep_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

  // The thread that owns this: returns when ready() or after a while, so it is called in a loop.
  template <class Ready>
  void wait(Ready ready, uint64_t timeout_ns) {
    // A pause takes up to 140 cycles: a few microseconds of spinning, less than being woken costs.
    for (int i = 0; i < 64; ++i) {
      if (ready()) return;
      pause();
    }
    if (mode_ == WaitMode::kSpin) return;
    if (mode_ == WaitMode::kYield) {
      ::sched_yield();
      return;
    }
    asleep_.store(1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!ready()) {
      const timespec limit{static_cast<time_t>(timeout_ns / 1'000'000'000),
                           static_cast<long>(timeout_ns % 1'000'000'000)};
      ::syscall(SYS_futex, &asleep_, FUTEX_WAIT_PRIVATE, 1, &limit, nullptr, 0);
    }
    asleep_.store(0, std::memory_order_relaxed);
  }

 private:
  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  const WaitMode mode_;
  alignas(128) std::atomic<uint32_t> asleep_{0};
};

}  // namespace polis::exchange
