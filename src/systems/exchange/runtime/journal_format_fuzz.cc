// Whatever is accepted is written again: the same steps come out.
#include <cstdlib>

#include "systems/exchange/runtime/journal_format.h"

using namespace polis::exchange;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto reader = JournalBatchReader::open({reinterpret_cast<const std::byte*>(data), size});
  if (!reader) return 0;
  JournalBatch batch;
  std::vector<JournalStep> steps;
  JournalStep step;
  while (true) {
    const auto more = reader->next(step);
    if (!more) return 0;
    if (!*more) break;
    batch.add(step);
    steps.push_back(step);
  }
  if (steps.empty()) return 0;
  const auto parts = batch.parts(reader->head().acknowledged_from_bus);
  polis::Bytes again(parts[0].begin(), parts[0].end());
  again.insert(again.end(), parts[1].begin(), parts[1].end());
  auto second = JournalBatchReader::open(again);
  if (!second) std::abort();
  for (const JournalStep& wanted : steps) {
    const auto more = second->next(step);
    if (!more || !*more) std::abort();
    if (step.stamp.sequence != wanted.stamp.sequence || step.stamp.now != wanted.stamp.now ||
        step.digest != wanted.digest || step.slots != wanted.slots || step.turn != wanted.turn ||
        (!step.turn && std::memcmp(&step.request, &wanted.request, sizeof step.request) != 0))
      std::abort();
  }
  return 0;
}
