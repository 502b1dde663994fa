#include "systems/stream/server/append_turns.h"

namespace polis::stream {

AppendTurns::OneShard& AppendTurns::here() {
  const unsigned index = io::Shard::current().index();
  POLIS_ASSERT(index < shards_.size());
  return shards_[index];
}

namespace {

bool behind(const AppendResult& result) {
  return result.refusal.code == ErrorCode::kThrottlingQuotaExceeded;
}

}  // namespace

std::optional<AppendResult> AppendTurns::append(Partition& partition, BytesView batch) {
  auto& queues = here().queues;
  if (queues.empty() || !queues.contains(&partition)) [[likely]] {
    AppendResult result = partition.append(batch, AppendOrigin::kClient);
    if (!behind(result)) return result;
  }
  ++queues[&partition].places;
  return std::nullopt;
}

Task<AppendResult> AppendTurns::append_in_turn(Partition& partition, BytesView batch) {
  auto& queues = here().queues;
  const auto queue = queues.find(&partition);
  POLIS_ASSERT(queue != queues.end());
  AppendResult result;
  if (const auto turn = co_await queue->second.turn.acquire(); !turn) {
    result.refusal = {ErrorCode::kRequestTimedOut, turn.error().text()};
  } else {
    while (true) {
      result = partition.append(batch, AppendOrigin::kClient);
      if (!behind(result)) break;
      // Until everything that stands in the buffer now has left it.
      if (const auto written = co_await partition.wait(partition.end_offset()); !written) {
        result.refusal = {error_code(written.error()), written.error().text()};
        break;
      }
    }
    queue->second.turn.release();
  }
  if (--queue->second.places == 0) queues.erase(queue);
  co_return result;
}

}  // namespace polis::stream
