// Pieces of a venue that were damaged on their way: refused, never believed and never fatal.
#include <gtest/gtest.h>

#include "systems/exchange/venue/naive_comparison_test.h"

namespace polis::exchange::testing_venue {
namespace {

const VenueLimits kSmall{.assets_max = 10, .instruments_max = 10, .accounts_max = 100, .sessions_max = 100};

std::vector<Bytes> pieces_of(const Venue& venue) {
  std::vector<Bytes> pieces;
  const auto saver = venue.save();
  for (;;) {
    Bytes piece;
    base::Writer writer(piece);
    if (!saver->next(writer)) return pieces;
    pieces.push_back(std::move(piece));
  }
}

Result<void> load_all(const std::vector<Bytes>& pieces) {
  Venue venue(kSmall);
  for (const Bytes& piece : pieces) TRY(venue.load(piece));
  return {};
}

std::unique_ptr<Venue> busy_venue(uint64_t seed, int requests, bool pending) {
  auto venue = std::make_unique<Venue>(kSmall);
  RandomRequests random(seed);
  Outputs outputs;
  Sequence sequence = 1;
  VenueTime now = 1'700'000'000'000'000'000;
  for (const Request& request : random.beginning()) sequence += venue->step({sequence, now}, request, outputs);
  for (int i = 0; i < requests; ++i) {
    now += 100'000'000;
    sequence += venue->step({sequence, now}, random.next(now), outputs);
    random.learn(outputs);
  }
  for (int i = 0; pending && i < 20; ++i) sequence += venue->request({sequence, now}, random.next(now), outputs);
  return venue;
}

TEST(VenueSnapshot, what_was_loaded_saves_the_same_pieces_again) {
  for (const bool pending : {false, true}) {
    const auto venue = busy_venue(5, 5000, pending);
    EXPECT_EQ(venue->pending(), pending);
    const auto first = pieces_of(*venue);
    const auto second = pieces_of(*reloaded(*venue, kSmall));
    ASSERT_EQ(first.size(), second.size());
    for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i], second[i]) << i;
  }
}

TEST(VenueSnapshot, an_empty_venue_comes_back_too) {
  Venue venue(kSmall);
  EXPECT_TRUE(load_all(pieces_of(venue)).has_value());
}

TEST(VenueSnapshot, pieces_that_are_cut_off_or_missing_or_strange_are_refused) {
  const auto pieces = pieces_of(*busy_venue(6, 3000, true));
  EXPECT_TRUE(load_all(pieces).has_value());
  Venue venue(kSmall);
  EXPECT_FALSE(venue.load({}).has_value());
  const Bytes strange(10, std::byte{77});
  EXPECT_FALSE(venue.load(strange).has_value());
  base::SeededRandom random(8);
  for (size_t i = 0; i < pieces.size(); ++i) {
    auto damaged = pieces;
    damaged[i].resize(damaged[i].size() / 2);
    EXPECT_FALSE(load_all(damaged).has_value() && damaged[i].size() > 1) << "half of piece " << i;
    damaged = pieces;
    damaged.insert(damaged.begin() + static_cast<ptrdiff_t>(i), damaged[i]);
    // Twice the same: only what may stand any number of times may pass, which is nothing but the end.
    if (i + 1 < pieces.size() && pieces[i].size() > 2) {
      EXPECT_FALSE(load_all(damaged).has_value()) << "piece " << i << " twice";
    }
  }
}

TEST(VenueSnapshot, a_flipped_bit_is_refused_or_makes_a_venue_that_can_be_asked) {
  const auto pieces = pieces_of(*busy_venue(7, 2000, false));
  base::SeededRandom random(9);
  size_t refused = 0;
  for (int round = 0; round < 300; ++round) {
    auto damaged = pieces;
    Bytes& piece = damaged[random.below(damaged.size())];
    piece[random.below(piece.size())] ^= static_cast<std::byte>(1 << random.below(8));
    if (!load_all(damaged).has_value()) ++refused;
  }
  // Names and prices may be anything; what refers to something may not.
  EXPECT_GT(refused, 100u);
}

}  // namespace
}  // namespace polis::exchange::testing_venue
