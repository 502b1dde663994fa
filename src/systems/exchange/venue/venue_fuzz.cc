// Hostile pieces of snapshots: whatever they say, loading ends with an answer, and what was believed can be looked at.
// The input is either pieces, each behind its length in two bytes, or changes to those of a small venue: piece, place
// in it (two bytes), new byte.
#include <vector>

#include "systems/exchange/venue/venue_test_support.h"

namespace polis::exchange {
namespace {

const VenueLimits kFuzzLimits{.assets_max = 8, .instruments_max = 8, .accounts_max = 8, .sessions_max = 8};

const std::vector<Bytes>& small_venue() {
  static const std::vector<Bytes> pieces = [] {
    testing_venue::TestVenue it(kFuzzLimits);
    it.prepare();
    for (int i = 0; i < 30; ++i)
      it.send(testing_venue::order(1 + i % 2, 1, "c" + std::to_string(i), i % 3 == 0 ? Side::kSell : Side::kBuy,
                                   1 + i % 7, 95 + i % 9));
    Outputs outputs;
    it.venue.request({it.sequence, it.now}, testing_venue::cancel(1, "x", "c2"), outputs);
    std::vector<Bytes> made;
    const auto saver = it.venue.save();
    for (;;) {
      Bytes piece;
      base::Writer writer(piece);
      if (!saver->next(writer)) return made;
      made.push_back(std::move(piece));
    }
  }();
  return pieces;
}

void look_at(const Venue& venue) {
  (void)venue.next_time();
  (void)venue.orders().check_sums(true);
  for (AccountId account = 0; account <= venue.orders().accounts(); ++account) {
    for (const OrderState& order : venue.orders().open_orders(account, 100)) (void)venue.orders().order(order.order);
    (void)venue.orders().balances(account);
  }
  for (SessionId session = 0; session <= venue.orders().sessions(); ++session)
    (void)venue.sessions().ordinal(session, venue.sessions().numbers(session).next_out - 1);
}

}  // namespace
}  // namespace polis::exchange

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using polis::Bytes;
  if (size == 0) return 0;
  const polis::BytesView input(reinterpret_cast<const std::byte*>(data), size);
  std::vector<Bytes> pieces;
  if (data[0] % 2 == 0) {
    for (auto rest = input.subspan(1); rest.size() >= 2;) {
      const size_t length =
          std::min<size_t>(static_cast<size_t>(rest[0]) | static_cast<size_t>(rest[1]) << 8, rest.size() - 2);
      pieces.emplace_back(rest.begin() + 2, rest.begin() + 2 + static_cast<ptrdiff_t>(length));
      rest = rest.subspan(2 + length);
    }
  } else {
    pieces = polis::exchange::small_venue();
    for (size_t at = 1; at + 4 <= size; at += 4) {
      Bytes& piece = pieces[data[at] % pieces.size()];
      piece[(data[at + 1] | size_t{data[at + 2]} << 8) % piece.size()] = static_cast<std::byte>(data[at + 3]);
    }
  }
  polis::exchange::Venue venue(polis::exchange::kFuzzLimits);
  for (const Bytes& piece : pieces)
    if (!venue.load(piece).has_value()) return 0;
  polis::exchange::look_at(venue);
  return 0;
}
