// The load of bench/run stream: the same work for three servers, over each one's own protocol. It is a program of its
// own, built by bench/stream.py, since only it needs the clients of the peers (packaging/bench.txt).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

namespace load {

struct Options {
  std::string protocol;  // kafka, kafka-fetch, jetstream, rabbitmq
  std::string work;      // produce, consume, latency
  std::string host = "127.0.0.1";
  int port = 0;
  std::string topic = "bench";  // a topic, a JetStream stream, a RabbitMQ stream
  int partitions = 1;
  int clients = 1;        // connections, each with a thread
  double seconds = 5;     // of producing
  uint64_t messages = 0;  // of all clients together, at most; 0: as many as can be in `seconds`
  size_t size_bytes = 1024;
  int acks = 1;
  double linger_ms = 5;
  double rate = 20'000;  // messages a second, of latency
  int pending_max = 10'000;
};

// How many messages one client may send.
inline uint64_t share_of(const Options& options) {
  return options.messages == 0 ? UINT64_MAX : options.messages / static_cast<uint64_t>(options.clients);
}

inline uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// Latencies by buckets 1/16 of a power of two wide: what it says is at most 6 % too much.
class Histogram {
 public:
  void add(uint64_t microseconds) {
    ++buckets_[bucket_of(microseconds)];
    ++count_;
  }
  uint64_t percentile(double share) const {
    const auto wanted = static_cast<uint64_t>(static_cast<double>(count_) * share);
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i)
      if ((seen += buckets_[i]) > wanted) return upper(i);
    return 0;
  }
  uint64_t count() const { return count_; }

 private:
  static constexpr unsigned kSteps = 16;
  static size_t bucket_of(uint64_t value) {
    if (value < kSteps) return value;
    const unsigned power = 63 - static_cast<unsigned>(__builtin_clzll(value));
    return (power - 3) * kSteps + ((value >> (power - 4)) & (kSteps - 1));
  }
  static uint64_t upper(size_t bucket) {
    if (bucket < kSteps) return bucket;
    const auto power = static_cast<unsigned>(bucket / kSteps + 3);
    return (uint64_t{1} << power) + (((bucket % kSteps) + 1) << (power - 4)) - 1;
  }
  std::array<uint64_t, 64 * kSteps> buckets_{};
  uint64_t count_ = 0;
};

struct Report {
  uint64_t messages = 0;  // acknowledged, or received
  uint64_t failed = 0;
  double seconds = 0;
  Histogram latency_us;
};

Report run_kafka(const Options& options);
Report run_kafka_fetch(const Options& options);
Report run_jetstream(const Options& options);
Report run_rabbitmq(const Options& options);

[[noreturn]] void give_up(const std::string& what);

}  // namespace load
