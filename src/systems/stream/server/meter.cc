#include "systems/stream/server/meter.h"

namespace polis::stream {

std::string_view name(AckLevel level) {
  static constexpr std::string_view kNames[] = {"none", "os", "fsync"};
  return kNames[static_cast<size_t>(level)];
}

Meter::Meter(obs::Registry& registry)
    : produced_bytes_(
          &registry.counter("polis_stream_produced_bytes", "Bytes of record batches that clients appended")),
      produced_records_(&registry.counter("polis_stream_produced_records", "Records that clients appended")),
      refused_(&registry.counter("polis_stream_refused_batches", "Record batches of clients that were refused")) {
  const auto fetched = [&](std::string_view path) {
    return &registry.counter("polis_stream_fetched_bytes", "Bytes of record batches sent to clients, by read path",
                             {{"path", std::string(path)}});
  };
  fetched_bytes_[static_cast<size_t>(ReadPath::kSendfile)] = fetched("sendfile");
  fetched_bytes_[static_cast<size_t>(ReadPath::kCopy)] = fetched("copy");
  for (size_t level = 0; level < kAckLevels; ++level)
    latency_[level] = &registry.histogram(
        "polis_stream_produce_seconds", "Time from a produce request to its answer, by what the answer means",
        obs::latency_bounds_seconds(), {{"level", std::string(name(static_cast<AckLevel>(level)))}});
}

Meter::Counts Meter::counts() const {
  Counts counts{.produced_bytes = produced_bytes_->value(),
                .produced_records = produced_records_->value(),
                .refused = refused_->value(),
                .sendfile_bytes = fetched_bytes_[static_cast<size_t>(ReadPath::kSendfile)]->value(),
                .copied_bytes = fetched_bytes_[static_cast<size_t>(ReadPath::kCopy)]->value(),
                .latency = {}};
  for (size_t level = 0; level < kAckLevels; ++level) counts.latency[level] = latency_[level]->snapshot();
  return counts;
}

}  // namespace polis::stream
