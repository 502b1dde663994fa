// Open-loop measurement: when each piece of work is due is fixed before the run, and its latency counts from then, so
// a stall is paid by all that should have happened meanwhile. Beside it, on another processor and on the same schedule,
// a control that has no work to do: what it sees is the machine (stolen time, interrupts), not what is measured.
//
// Time is the processor's time stamp counter, which must be constant; samples are kept as they come and counted into a
// histogram afterwards.
#pragma once

#include <atomic>
#include <chrono>
#include <cmath>
#include <emmintrin.h>
#include <pthread.h>
#include <sched.h>
#include <thread>
#include <vector>
#include <x86intrin.h>

#include "kernel/base/histogram.h"
#include "kernel/base/random.h"

namespace polis::bench {

// Not before all that stands before it is done.
inline uint64_t ticks() {
  unsigned processor;
  const uint64_t now = __rdtscp(&processor);
  _mm_lfence();
  return now;
}

inline double ticks_per_ns() {
  static const double rate = [] {
    const auto clock = [] { return std::chrono::steady_clock::now(); };
    const auto begin = clock();
    const uint64_t first = ticks();
    while (clock() - begin < std::chrono::milliseconds(200)) {
    }
    const uint64_t last = ticks();
    return static_cast<double>(last - first) / std::chrono::duration<double, std::nano>(clock() - begin).count();
  }();
  return rate;
}

inline void run_on(unsigned processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor % std::thread::hardware_concurrency(), &set);
  (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

enum class Arrivals { kConstant, kPoisson };

// Ticks from the begin of the run at which each piece is due.
inline std::vector<uint64_t> schedule(Arrivals arrivals, size_t count, double rate_per_second, uint64_t seed) {
  base::SeededRandom random(seed);
  const double mean = 1e9 / rate_per_second * ticks_per_ns();
  std::vector<uint64_t> due(count);
  double at = 0;
  for (uint64_t& one : due) {
    const double uniform = (static_cast<double>(random.next() >> 11) + 1) * 0x1p-53;
    at += arrivals == Arrivals::kConstant ? mean : -std::log(uniform) * mean;
    one = static_cast<uint64_t>(at);
  }
  return due;
}

struct OpenLoop {
  base::Histogram latency{60'000'000'000, 3};  // ns
  base::Histogram control{60'000'000'000, 3};
  double seconds = 0;  // that the measured part took
};

// Does work(i) for each i when it is due; the first `warm_up` are not counted.
template <class Work>
OpenLoop open_loop(const std::vector<uint64_t>& due, size_t warm_up, Work work) {
  std::vector<uint32_t> latencies(due.size()), gaps(due.size());  // ns, at most 4 s
  std::atomic<uint64_t> begin{0};
  const auto sample = [](uint64_t now, uint64_t then) {
    return static_cast<uint32_t>(std::min(static_cast<double>(now - then) / ticks_per_ns(), 4e9));
  };
  (void)ticks_per_ns();
  std::thread control([&] {
    run_on(1);
    uint64_t first;
    while ((first = begin.load(std::memory_order_acquire)) == 0) _mm_pause();
    for (size_t i = 0; i < due.size(); ++i) {
      const uint64_t then = first + due[i];
      uint64_t now;
      while ((now = ticks()) < then) {
      }
      gaps[i] = sample(now, then);
    }
  });
  run_on(0);
  const uint64_t first = ticks() + static_cast<uint64_t>(1e6 * ticks_per_ns());
  begin.store(first, std::memory_order_release);
  uint64_t measured_from = 0, now = 0;
  for (size_t i = 0; i < due.size(); ++i) {
    const uint64_t then = first + due[i];
    while ((now = ticks()) < then) {
    }
    if (i == warm_up) measured_from = now;
    work(i);
    now = ticks();
    latencies[i] = sample(now, then);
  }
  control.join();
  OpenLoop result;
  for (size_t i = warm_up; i < due.size(); ++i) {
    result.latency.record(latencies[i]);
    result.control.record(gaps[i]);
  }
  result.seconds = static_cast<double>(now - measured_from) / ticks_per_ns() / 1e9;
  return result;
}

}  // namespace polis::bench
