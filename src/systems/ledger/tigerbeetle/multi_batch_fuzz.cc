// Hostile trailers: what is decoded covers the body exactly, and encodes to the same bytes again.
#include <algorithm>

#include "systems/ledger/tigerbeetle/multi_batch.h"

using namespace polis;
using namespace polis::ledger::tigerbeetle;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const size_t element_bytes = size_t{8} << data[0] % 5;
  const BytesView body(reinterpret_cast<const std::byte*>(data + 1), size - 1);
  const auto decoded = MultiBatch::decode(body, element_bytes);
  if (!decoded) {
    POLIS_ASSERT(decoded.error().code() == Code::kInvalid);
    return 0;
  }
  std::vector<uint16_t> counts;
  size_t elements = 0;
  for (size_t i = 0; i < decoded->batches(); ++i) {
    counts.push_back(decoded->count(i));
    elements += counts.back();
  }
  POLIS_ASSERT(elements == decoded->elements() && elements * element_bytes == decoded->payload().size());
  Bytes again(decoded->payload().begin(), decoded->payload().end());
  append_trailer(again, counts, element_bytes);
  POLIS_ASSERT(std::ranges::equal(again, body));
  return 0;
}
