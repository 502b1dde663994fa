// Meter: what producing and fetching cost, counted where it happens; read by /metrics and by the console's pictures.
// One in a process; every call is a few nanoseconds on a cell of the calling thread.
#pragma once

#include <array>
#include <cstdint>

#include "kernel/base/clock.h"
#include "kernel/obs/metrics.h"
#include "systems/stream/types.h"

namespace polis::stream {

// How long a produce request waited for its answer depends on what "the leader has it" means to it.
enum class AckLevel : uint8_t { kNone, kOs, kFsync };  // acks=0; acks=1 or -1 of a topic that asks for os, or fsync
inline constexpr size_t kAckLevels = 3;
std::string_view name(AckLevel level);  // "none", "os", "fsync"

class Meter {
 public:
  explicit Meter(obs::Registry& registry);

  // A produce request has its answer (acks=0: was appended) after so long.
  void produced(AckLevel level, Duration latency) { latency_[static_cast<size_t>(level)]->observe(latency); }
  // A client's batch was appended.
  void appended(uint64_t bytes, uint64_t records) {
    produced_bytes_->add(bytes);
    produced_records_->add(records);
  }
  // So many bytes of a log went to a client, by sendfile or through memory.
  void fetched(ReadPath path, uint64_t bytes) { fetched_bytes_[static_cast<size_t>(path)]->add(bytes); }
  void refused() { refused_->add(); }  // a batch, for whatever reason

  struct Counts {
    uint64_t produced_bytes = 0, produced_records = 0, refused = 0;
    uint64_t sendfile_bytes = 0, copied_bytes = 0;
    std::array<obs::BucketHistogram::Snapshot, kAckLevels> latency;  // seconds
  };
  Counts counts() const;

 private:
  obs::Counter* produced_bytes_;
  obs::Counter* produced_records_;
  obs::Counter* refused_;
  std::array<obs::Counter*, 2> fetched_bytes_{};
  std::array<obs::BucketHistogram*, kAckLevels> latency_{};
};

}  // namespace polis::stream
