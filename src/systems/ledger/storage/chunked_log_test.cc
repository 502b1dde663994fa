#include "systems/ledger/storage/chunked_log.h"

#include <gtest/gtest.h>

#include "systems/ledger/storage/chunk_memory.h"
#include "systems/ledger/storage/log_test_rows.h"

namespace polis::ledger {
namespace {

using namespace test;

// Where the full chunks of a log go.
enum class Place { kNowhere, kAtOnce, kLater };
std::unique_ptr<MemoryChunks> make_chunks(Place place) {
  return place == Place::kNowhere ? nullptr : std::make_unique<MemoryChunks>(place == Place::kAtOnce);
}

std::string name_of(const testing::TestParamInfo<Place>& place) {
  const char* names[] = {"nowhere", "at_once", "later"};
  return names[static_cast<size_t>(place.param)];
}

class Places : public testing::TestWithParam<Place> {};
INSTANTIATE_TEST_SUITE_P(ChunkedLog, Places, testing::Values(Place::kNowhere, Place::kAtOnce, Place::kLater), name_of);

TEST_P(Places, search_finds_what_a_full_scan_finds) {
  for (uint64_t seed = 0; seed < 16; ++seed) {
    SCOPED_TRACE(seed);
    base::SeededRandom random(seed);
    const auto chunks = make_chunks(GetParam());
    ChunkedLog log(small_log(seed % 2 ? 4 : 8, seed % 3 ? 16 : 64), chunks.get());
    std::vector<Row> rows;
    for (int command = 0; command < 40; ++command) {
      const uint64_t before = rows.size();
      for (uint64_t n = random.below(9); n > 0; --n) {
        rows.push_back(random_row(random, rows.size()));
        ASSERT_EQ(log.append(bytes_of(rows.back())), rows.size() - 1);
      }
      if (random.chance(1, 4)) {  // the command is undone, in part
        rows.resize(before + random.below(rows.size() - before + 1));
        log.truncate(rows.size());
      }
      ASSERT_TRUE(agrees(log, rows, random, 4));
      if (random.chance(3, 4)) log.seal();
      if (chunks && random.chance(1, 3)) chunks->finish(1 + random.below(2));
      ASSERT_TRUE(agrees(log, rows, random, 8));
    }
  }
}

TEST_P(Places, every_subset_of_predicates_in_both_directions_and_all_ranges) {
  base::SeededRandom random(99);
  const auto chunks = make_chunks(GetParam());
  ChunkedLog log(small_log(), chunks.get());
  std::vector<Row> rows;
  for (int i = 0; i < 39; ++i) {
    rows.push_back(random_row(random, rows.size()));
    log.append(bytes_of(rows.back()));
  }
  log.seal();
  if (chunks) chunks->finish(1);
  log.seal();
  for (uint64_t begin = 0; begin <= 40; begin += 3)
    for (uint64_t end = begin; end <= 40; end += 4)
      for (int subset = 0; subset < 1 << kFields; ++subset)
        for (int either = 0; either < 4; ++either)
          for (bool descending : {false, true}) {
            Question q{.begin = begin, .end = end, .descending = descending};
            for (uint8_t field = 0; field < kFields; ++field)
              if (subset >> field & 1) q.all.push_back({field, 1});
            if (either & 1) q.either.push_back({kDebit, 2});
            if (either & 2) q.either.push_back({kCredit, 2});
            ASSERT_EQ(ask(log, rows, q), full_scan(rows, q));
          }
}

// All forms that an index has for the rows of a value: one, a list, a bitmap, all; with chunks of 2^10 rows.
TEST_P(Places, values_that_are_rare_common_and_everywhere) {
  base::SeededRandom random(8);
  const auto chunks = make_chunks(GetParam());
  ChunkedLog log(small_log(128, 1024), chunks.get());
  std::vector<Row> rows;
  for (int i = 0; i < 5000; ++i) {
    rows.push_back({.debit = 1 + random.below(400), .credit = 1 + random.below(4), .code = 1, .note = rows.size()});
    if (i % 1000 == 999) rows.back().debit = 7777;
    log.append(bytes_of(rows.back()));
    if (i % 100 == 0) log.seal();
    if (chunks && i % 1500 == 0) chunks->finish(1);
  }
  log.seal();
  for (int i = 0; i < 500; ++i) {
    Question q{.begin = random.below(5000), .descending = random.chance(1, 2)};
    q.end = q.begin + random.below(5000);
    if (random.chance(1, 2)) q.all.push_back({kDebit, random.chance(1, 8) ? 7777 : random.below(402)});
    if (random.chance(1, 2)) q.all.push_back({kCredit, random.below(6)});
    if (random.chance(1, 2)) q.all.push_back({kCode, 1 + random.below(8) / 7});
    if (random.chance(1, 3)) q.either = {{kDebit, random.below(402)}, {kCredit, random.below(6)}};
    if (random.chance(1, 4)) q.limit = 1 + random.below(20);
    ASSERT_EQ(ask(log, rows, q), full_scan(rows, q)) << i;
  }
}

// Behind the last run more rows than are scanned get an index of their own; undo takes it away.
TEST(ChunkedLog, many_unfinished_rows_are_found_and_undone) {
  base::SeededRandom random(12);
  ChunkedLog log(small_log(1 << 14, 1 << 14), nullptr);
  std::vector<Row> rows;
  for (int step = 0; step < 8; ++step) {
    for (int i = 0; i < 1800; ++i) {
      rows.push_back(random_row(random, rows.size()));
      log.append(bytes_of(rows.back()));
    }
    ASSERT_TRUE(agrees(log, rows, random, 10));
    rows.resize(rows.size() - random.below(2000));
    log.truncate(rows.size());
    ASSERT_TRUE(agrees(log, rows, random, 10));
  }
}

TEST(ChunkedLog, rows_are_where_they_were_appended_and_lower_bound_finds_them) {
  ChunkedLog log(small_log(), nullptr);
  EXPECT_EQ(log.lower_bound([](const std::byte*) { return true; }), 0u);
  for (uint64_t i = 0; i < 100; ++i) {
    log.append(bytes_of({.note = i * 10}));
    log.seal();
  }
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(key_of(log.row(i), 0), i * 310);
  for (uint64_t bound = 0; bound <= 1000; bound += 5)
    EXPECT_EQ(log.lower_bound([&](const std::byte* row) { return key_of(row, 0) < bound * 31; }),
              std::min<uint64_t>((bound + 9) / 10, 100));
}

TEST(ChunkedLog, truncating_over_the_border_of_a_chunk_and_appending_again) {
  ChunkedLog log(small_log(), nullptr);
  for (uint64_t i = 0; i < 14; ++i) log.append(bytes_of({.note = i}));
  log.seal();
  for (uint64_t i = 0; i < 40; ++i) log.append(bytes_of({.note = 1000}));
  for (uint64_t to : {33u, 32u, 31u, 16u, 15u, 12u}) {
    log.truncate(to);
    EXPECT_EQ(log.size(), to);
  }
  for (uint64_t i = 12; i < 50; ++i) log.append(bytes_of({.note = i}));
  log.seal();
  for (uint64_t i = 0; i < 50; ++i) EXPECT_EQ(key_of(log.row(i), 0), i * 31);
}

TEST(ChunkedLog, a_log_without_fields_is_an_array) {
  ChunkedLog log({.name = "plain", .row_bytes = 8, .rows_per_chunk = 8, .rows_per_run = 2}, nullptr);
  for (uint64_t i = 0; i < 30; ++i) {
    log.append(reinterpret_cast<const std::byte*>(&i));
    log.seal();
  }
  std::vector<uint64_t> seen;
  log.search({}, 5, 25, true, [&](uint64_t slot, const std::byte*) {
    seen.push_back(slot);
    return seen.size() < 3;
  });
  EXPECT_EQ(seen, (std::vector<uint64_t>{24, 23, 22}));
}

TEST_P(Places, a_saved_log_is_the_state_at_construction_though_appends_go_on) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    SCOPED_TRACE(seed);
    base::SeededRandom random(seed);
    const auto chunks = make_chunks(GetParam());
    ChunkedLog log(small_log(), chunks.get());
    std::vector<Row> rows;
    const auto append = [&](uint64_t count) {
      for (uint64_t i = 0; i < count; ++i) {
        rows.push_back(random_row(random, rows.size()));
        log.append(bytes_of(rows.back()));
      }
      if (random.chance(3, 4)) log.seal();
    };
    append(random.below(200));
    if (chunks) chunks->finish(random.below(4));
    ChunkedLog::Saver saver(log);
    const uint64_t size = rows.size();
    append(60);
    if (chunks) chunks->finish(random.below(4));
    append(5);
    const auto parts = saved_parts(saver, 256);
    if (chunks) chunks->finish(100);
    rows.resize(size);

    ChunkedLog loaded(small_log(), chunks.get());
    ASSERT_TRUE(load_parts(loaded, parts));
    std::vector<uint64_t> keys;
    ASSERT_TRUE(loaded.finish_load([&](uint64_t slot, uint64_t hash) {
      EXPECT_EQ(slot, keys.size());
      keys.push_back(hash);
    }));
    ASSERT_EQ(keys.size(), size);
    for (uint64_t i = 0; i < size; ++i) EXPECT_EQ(keys[i], i * 31 + 7);
    ASSERT_TRUE(agrees(loaded, rows, random, 50));
    // The loaded log goes on, over what the first left behind.
    for (int i = 0; i < 50; ++i) {
      rows.push_back(random_row(random, rows.size()));
      loaded.append(bytes_of(rows.back()));
      loaded.seal();
      if (chunks && i % 7 == 0) chunks->finish(1);
    }
    ASSERT_TRUE(agrees(loaded, rows, random, 50));
  }
}

struct SavedWithChunks {
  MemoryChunks chunks;
  std::vector<Bytes> parts;
};
std::unique_ptr<SavedWithChunks> save_with_chunks(uint64_t first_note) {
  auto saved = std::make_unique<SavedWithChunks>();
  ChunkedLog log(small_log(), &saved->chunks);
  for (uint64_t i = 0; i < 40; ++i) log.append(bytes_of({.note = first_note + i}));
  log.seal();
  ChunkedLog::Saver saver(log);
  saved->parts = saved_parts(saver, 256);
  return saved;
}

TEST(ChunkedLog, a_saved_log_whose_chunks_are_missing_is_refused) {
  auto saved = save_with_chunks(0);
  saved->chunks.drop_from("rows", 1);
  ChunkedLog loaded(small_log(), &saved->chunks);
  const auto result = load_parts(loaded, saved->parts);
  ASSERT_EQ(result.error().code(), Code::kCorrupt);
  EXPECT_NE(result.error().text().find("chunk 1 is missing"), std::string::npos) << result.error().text();
  ChunkedLog nowhere(small_log(), nullptr);
  EXPECT_EQ(load_parts(nowhere, saved->parts).error().code(), Code::kCorrupt);
}

TEST(ChunkedLog, a_saved_log_whose_chunks_are_of_another_history_is_refused) {
  auto one = save_with_chunks(0), two = save_with_chunks(1000);
  ChunkedLog loaded(small_log(), &two->chunks);
  const auto result = load_parts(loaded, one->parts);
  ASSERT_EQ(result.error().code(), Code::kCorrupt);
  EXPECT_NE(result.error().text().find("another history"), std::string::npos) << result.error().text();
}

TEST(ChunkedLog, keys_that_were_made_with_another_seed_are_made_again) {
  auto saved = save_with_chunks(0);
  auto options = small_log();
  options.key_seed = 1'000'000;
  ChunkedLog loaded(options, &saved->chunks);
  ASSERT_TRUE(load_parts(loaded, saved->parts));
  uint64_t count = 0;
  ASSERT_TRUE(loaded.finish_load([&](uint64_t slot, uint64_t hash) {
    EXPECT_EQ(hash, slot * 31 + 1'000'000);
    ++count;
  }));
  EXPECT_EQ(count, 40u);
}

TEST(ChunkedLog, chunks_leave_memory_once_the_store_has_them) {
  MemoryChunks chunks(false);
  ChunkedLog log(small_log(), &chunks);
  for (uint64_t i = 0; i < 1000; ++i) {
    log.append(bytes_of({.debit = 1, .note = i}));
    log.seal();
  }
  const uint64_t before = log.memory_bytes();
  EXPECT_GE(before, 1000 * sizeof(Row));
  chunks.finish(100);
  log.seal();
  EXPECT_LE(log.memory_bytes(), before / 3);
  for (uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(key_of(log.row(i), 0), i * 31);
}

TEST(ChunkedLog, parts_that_are_damaged_missing_or_of_another_log_are_refused) {
  ChunkedLog log(small_log(), nullptr);
  for (uint64_t i = 0; i < 45; ++i) log.append(bytes_of({.note = i}));
  ChunkedLog::Saver saver(log);
  const auto parts = saved_parts(saver, 256);
  ASSERT_GE(parts.size(), 4u);
  {
    ChunkedLog loaded(small_log(), nullptr);
    ASSERT_TRUE(load_parts(loaded, {parts.begin(), parts.end() - 1}));
    EXPECT_EQ(loaded.finish_load({}).error().code(), Code::kCorrupt);
  }
  {
    ChunkedLog loaded(small_log(), nullptr);
    EXPECT_EQ(load_parts(loaded, {parts[0], parts[2]}).error().code(), Code::kCorrupt);
  }
  {
    ChunkedLog loaded(small_log(), nullptr);
    EXPECT_EQ(load_parts(loaded, {parts[0], parts[0]}).error().code(), Code::kCorrupt);
  }
  {
    ChunkedLog loaded(small_log(4, 32), nullptr);
    EXPECT_EQ(load_parts(loaded, parts).error().code(), Code::kCorrupt);
  }
  for (const Bytes& part : parts)
    for (size_t size = 0; size < std::min<size_t>(part.size(), 40); ++size) {
      ChunkedLog loaded(small_log(), nullptr);
      if (&part != &parts[0]) ASSERT_TRUE(load_parts(loaded, {parts[0]}));
      base::Reader reader(BytesView(part).first(size));
      EXPECT_FALSE(loaded.load(reader)) << size;
    }
}

// A row may carry one field several times, and one value twice.
size_t index_bits(const std::byte* row, FieldValue* values) {
  uint64_t bits = 0;
  std::memcpy(&bits, row, sizeof bits);
  for (size_t i = 0; i < 4; ++i) values[i] = {0, bits >> (8 * i) & 3};
  return 4;
}

TEST_P(Places, a_field_with_several_values_a_row_finds_the_row_by_each_and_once) {
  base::SeededRandom random(2);
  const auto chunks = make_chunks(GetParam());
  ChunkedLog log(
      {.name = "bits", .row_bytes = 8, .rows_per_chunk = 64, .rows_per_run = 16, .fields = 4, .index = index_bits},
      chunks.get());
  std::vector<uint64_t> rows;
  for (int i = 0; i < 300; ++i) {
    rows.push_back(random.next());
    log.append(reinterpret_cast<const std::byte*>(&rows.back()));
    log.seal();
    if (chunks && i == 200) chunks->finish(2);
  }
  for (uint64_t one = 0; one < 4; ++one)
    for (uint64_t two = 0; two < 4; ++two)
      for (bool descending : {false, true}) {
        std::vector<uint64_t> expected, found;
        for (uint64_t slot = 0; slot < rows.size(); ++slot) {
          bool has_one = false, has_two = false;
          for (int i = 0; i < 4; ++i) {
            has_one |= (rows[slot] >> (8 * i) & 3) == one;
            has_two |= (rows[slot] >> (8 * i) & 3) == two;
          }
          if (has_one && has_two) expected.push_back(slot);
        }
        if (descending) std::reverse(expected.begin(), expected.end());
        const FieldValue both[] = {{0, one}, {0, two}};
        log.search(both, 0, UINT64_MAX, descending, [&](uint64_t slot, const std::byte*) {
          found.push_back(slot);
          return true;
        });
        ASSERT_EQ(found, expected);
      }
}

}  // namespace
}  // namespace polis::ledger
