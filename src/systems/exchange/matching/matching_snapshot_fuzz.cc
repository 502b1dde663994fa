// Snapshots that nobody wrote: refused, or a state that goes on without harm. Input: pieces, each behind two bytes of
// its length.
#include "systems/exchange/matching/matching.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  using namespace polis::exchange;
  BytesView input(reinterpret_cast<const std::byte*>(data), size);
  const auto piece = [&]() -> BytesView {
    if (input.size() < 2) return {};
    const size_t length =
        std::min<size_t>(static_cast<size_t>(input[0]) << 8 | static_cast<size_t>(input[1]), input.size() - 2);
    const BytesView one = input.subspan(2, length);
    input = input.subspan(2 + length);
    return one;
  };
  auto matching = Matching::load_first(piece());
  if (!matching || (*matching)->orders().slots() > 1 << 16) return 0;
  while (!(*matching)->loaded())
    if (input.empty() || !(*matching)->load(piece())) return 0;
  Events events;
  (*matching)->submit(1, {.side = Side::kBuy, .price = 1000, .quantity = 100}, events);
  (*matching)->set_phase(2, Phase::kPreOpen, events);
  (*matching)->set_phase(3, Phase::kContinuous, events);
  (*matching)->set_phase(4, Phase::kClosed, events);
  return 0;
}
