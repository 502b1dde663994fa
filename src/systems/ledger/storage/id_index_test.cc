#include "systems/ledger/storage/id_index.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <unordered_map>

#include "kernel/base/random.h"

namespace polis::ledger {
namespace {

struct Model {
  // A hash that puts everything into few tables and few tags, so that runs wrap around and bits agree.
  static uint64_t narrow(uint64_t id, unsigned spread) {
    return (id * 0x9E3779B97F4A7C15) >> (64 - spread) << (64 - spread);
  }

  IdIndex index;
  std::unordered_map<uint64_t, uint64_t> reference_of;  // by id
  std::vector<uint64_t> id_of;                          // by reference
  unsigned spread = 64;

  uint64_t hash(uint64_t id) const { return spread == 64 ? index.hash(id) : narrow(id, spread); }
  uint64_t find(uint64_t id) const {
    return index.find(hash(id), [&](uint64_t reference) { return id_of[reference] == id; });
  }
  void insert(uint64_t id) {
    index.insert(hash(id), id_of.size());
    reference_of[id] = id_of.size();
    id_of.push_back(id);
  }
  void erase(uint64_t id) {
    index.erase(hash(id), reference_of.at(id));
    reference_of.erase(id);
  }
};

void check_against_map(unsigned spread, uint64_t seed, size_t steps, uint64_t ids) {
  SCOPED_TRACE("spread " + std::to_string(spread) + " seed " + std::to_string(seed));
  base::SeededRandom random(seed);
  Model model;
  model.spread = spread;
  for (size_t step = 0; step < steps; ++step) {
    const uint64_t id = random.below(ids);
    const auto known = model.reference_of.find(id);
    ASSERT_EQ(model.find(id), known == model.reference_of.end() ? IdIndex::kNone : known->second);
    if (known == model.reference_of.end()) {
      model.insert(id);
    } else if (random.chance(1, 2)) {
      model.erase(id);
    }
    ASSERT_EQ(model.index.size(), model.reference_of.size());
  }
  for (uint64_t id = 0; id < ids; ++id) {
    const auto known = model.reference_of.find(id);
    ASSERT_EQ(model.find(id), known == model.reference_of.end() ? IdIndex::kNone : known->second);
  }
}

TEST(IdIndex, agrees_with_a_map_under_random_inserts_and_erases) {
  for (uint64_t seed = 0; seed < 2; ++seed) check_against_map(64, seed, 50'000, 20'000);
}

TEST(IdIndex, agrees_with_a_map_when_all_ids_meet_in_one_table) {
  // 12 bits choose the table and are all equal; 4 of the 24 behind them differ.
  for (unsigned spread : {13u, 14u, 16u, 20u, 36u})
    for (uint64_t seed = 0; seed < 2; ++seed) check_against_map(spread, seed, 4'000, 300);
}

TEST(IdIndex, tells_apart_ids_whose_bits_are_all_the_same) {
  IdIndex index;
  for (uint64_t reference = 0; reference < 100; ++reference) index.insert(42, reference);
  for (uint64_t wanted = 0; wanted < 100; ++wanted)
    EXPECT_EQ(index.find(42, [&](uint64_t reference) { return reference == wanted; }), wanted);
  EXPECT_EQ(index.find(42, [](uint64_t) { return false; }), IdIndex::kNone);
  for (uint64_t reference = 0; reference < 100; reference += 2) index.erase(42, reference);
  EXPECT_EQ(index.size(), 50u);
  for (uint64_t wanted = 0; wanted < 100; ++wanted)
    EXPECT_EQ(index.find(42, [&](uint64_t reference) { return reference == wanted; }),
              wanted % 2 ? wanted : IdIndex::kNone);
}

TEST(IdIndex, holds_the_highest_tag_and_the_largest_reference) {
  IdIndex index;
  const uint64_t hash = ~uint64_t{0};
  index.insert(hash, IdIndex::kReferenceMax);
  index.insert(hash, 0);
  for (uint64_t wanted : {uint64_t{0}, IdIndex::kReferenceMax})
    EXPECT_EQ(index.find(hash, [&](uint64_t reference) { return reference == wanted; }), wanted);
}

TEST(IdIndex, takes_at_most_16_bytes_an_id_whatever_their_number) {
  IdIndex index;
  base::SeededRandom random(1);
  double worst = 0;
  for (uint64_t i = 0; i < 1'200'000; ++i) {
    index.insert(index.hash(Id{random.next()} << 64 | i), i);
    if (i >= 300'000 && i % 50'000 == 0)
      worst = std::max(worst, static_cast<double>(index.memory_bytes()) / static_cast<double>(i));
  }
  EXPECT_LE(worst, 16.5);
  EXPECT_GE(worst, 10.0);
}

TEST(IdIndex, reserved_room_is_enough_and_not_twice_as_much) {
  IdIndex index;
  index.reserve(1'000'000);
  const uint64_t before = index.memory_bytes();
  for (uint64_t i = 0; i < 1'000'000; ++i) index.insert(index.hash(i), i);
  EXPECT_LE(index.memory_bytes(), before * 110 / 100);
  EXPECT_LE(before, 20'000'000u);
}

TEST(SlotArena, blocks_are_zero_apart_from_each_other_and_used_again) {
  base::SeededRandom random(7);
  SlotArena arena;
  struct Block {
    uint64_t* begin;
    uint64_t slots, mark;
  };
  std::vector<Block> blocks;
  uint64_t used = 0, used_max = 0;
  for (uint64_t step = 1; step < 5'000; ++step) {
    if (!blocks.empty() && random.chance(9, 20)) {
      const size_t i = random.below(blocks.size());
      for (uint64_t slot = 0; slot < blocks[i].slots; ++slot) ASSERT_EQ(blocks[i].begin[slot], blocks[i].mark);
      arena.release(blocks[i].begin, blocks[i].slots);
      used -= blocks[i].slots * 8;
      blocks.erase(blocks.begin() + static_cast<ptrdiff_t>(i));
    } else {
      const uint64_t slots = 8 * (1 + random.below(200));
      uint64_t* begin = arena.allocate(slots);
      ASSERT_EQ(reinterpret_cast<uintptr_t>(begin) % 64, 0u);
      for (uint64_t slot = 0; slot < slots; ++slot) ASSERT_EQ(std::exchange(begin[slot], step), 0u);
      blocks.push_back({begin, slots, step});
      used += slots * 8;
      used_max = std::max(used_max, used);
    }
  }
  EXPECT_LE(arena.memory_bytes(), used_max * 5 / 4 + (512 << 10));
}

TEST(IdIndex, hashes_of_consecutive_and_time_ordered_ids_spread) {
  // Of 2^20 ids over the 2^16 values of the top bits, chi-squared is 65,535 +- 362 for an even spread.
  const auto spread = [](auto id_of, uint64_t key) {
    const IdHash hash(key);
    std::vector<uint32_t> counts(1 << 16);
    for (uint64_t i = 0; i < 1 << 20; ++i) ++counts[hash(id_of(i)) >> 48];
    double chi_squared = 0;
    for (uint32_t count : counts) chi_squared += (count - 16.0) * (count - 16.0) / 16;
    return chi_squared;
  };
  for (uint64_t key : {0, 1, 12345}) {
    EXPECT_LT(spread([](uint64_t i) { return Id{i}; }, key), 68'000);
    EXPECT_LT(spread([](uint64_t i) { return Id{i} << 64; }, key), 68'000);
    EXPECT_LT(spread([](uint64_t i) { return Id{i} << 32; }, key), 68'000);
    EXPECT_LT(spread([](uint64_t i) { return Id{1'700'000'000'000 + i / 100} << 80 | Id{i} * 77; }, key), 68'000);
  }
}

TEST(IdIndex, the_hash_depends_on_every_bit_of_the_id_and_on_the_key) {
  const IdHash one(1), two(2);
  const Id id = Id{0x0123456789abcdef} << 64 | 0xfedcba9876543210;
  for (int bit = 0; bit < 128; ++bit) EXPECT_NE(one(id) >> 28, one(id ^ Id{1} << bit) >> 28) << bit;
  EXPECT_NE(one(id), two(id));
  EXPECT_EQ(one(id), IdHash(1)(id));
}

}  // namespace
}  // namespace polis::ledger
