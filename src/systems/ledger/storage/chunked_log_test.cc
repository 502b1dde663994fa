#include "systems/ledger/storage/chunked_log.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::ledger {
namespace {

// A row of 32 bytes: four small numbers, of which 0 means "carries no value".
struct Row {
  uint64_t debit = 0, credit = 0, code = 0, note = 0;
};
enum : uint8_t { kDebit, kCredit, kCode, kFields };

size_t index_row(const std::byte* bytes, FieldValue* values) {
  Row row;
  std::memcpy(&row, bytes, sizeof row);
  size_t count = 0;
  if (row.debit) values[count++] = {kDebit, row.debit};
  if (row.credit) values[count++] = {kCredit, row.credit};
  if (row.code) values[count++] = {kCode, row.code};
  return count;
}
uint64_t key_of(const std::byte* bytes, uint64_t seed) {
  Row row;
  std::memcpy(&row, bytes, sizeof row);
  return row.note * 31 + seed;
}

ChunkedLogOptions small(uint32_t rows_per_run = 4, uint32_t rows_per_chunk = 16) {
  return {.name = "rows",
          .row_bytes = sizeof(Row),
          .rows_per_chunk = rows_per_chunk,
          .rows_per_run = rows_per_run,
          .fields = kFields,
          .index = index_row,
          .key = key_of,
          .key_seed = 7};
}

const std::byte* bytes_of(const Row& row) {
  return reinterpret_cast<const std::byte*>(&row);
}

Row random_row(base::Random& random, uint64_t note) {
  return {.debit = random.below(5), .credit = random.below(5), .code = random.below(3), .note = note};
}

bool has(const Row& row, const FieldValue& wanted) {
  FieldValue values[kFields];
  const size_t count = index_row(bytes_of(row), values);
  for (size_t i = 0; i < count; ++i)
    if (values[i].field == wanted.field && values[i].value == wanted.value) return true;
  return false;
}

struct Question {
  std::vector<FieldValue> either, all;
  uint64_t begin = 0, end = 0;
  bool descending = false;
  size_t limit = SIZE_MAX;
};

std::vector<uint64_t> full_scan(const std::vector<Row>& rows, const Question& q) {
  std::vector<uint64_t> found;
  for (uint64_t slot = q.begin; slot < std::min<uint64_t>(q.end, rows.size()); ++slot) {
    const auto carries = [&](const FieldValue& wanted) { return has(rows[slot], wanted); };
    if ((q.either.empty() || std::ranges::any_of(q.either, carries)) && std::ranges::all_of(q.all, carries))
      found.push_back(slot);
  }
  if (q.descending) std::ranges::reverse(found);
  if (found.size() > q.limit) found.resize(q.limit);
  return found;
}

std::vector<uint64_t> ask(const ChunkedLog& log, const std::vector<Row>& rows, const Question& q) {
  std::vector<uint64_t> found;
  log.search(q.either, q.all, q.begin, q.end, q.descending, [&](uint64_t slot, const std::byte* row) {
    EXPECT_EQ(std::memcmp(row, &rows[slot], sizeof(Row)), 0);
    found.push_back(slot);
    return found.size() < q.limit;
  });
  return found;
}

Question random_question(base::Random& random, uint64_t size) {
  Question q;
  if (random.chance(1, 2)) {
    const uint64_t account = random.below(6);
    if (random.chance(3, 4)) q.either.push_back({kDebit, account});
    if (q.either.empty() || random.chance(3, 4)) q.either.push_back({kCredit, account});
  }
  for (uint8_t field = 0; field < kFields; ++field)
    if (random.chance(1, 3)) q.all.push_back({field, 1 + random.below(5)});
  q.begin = random.chance(1, 3) ? 0 : random.below(size + 2);
  q.end = random.chance(1, 3) ? UINT64_MAX : q.begin + random.below(size + 2);
  q.descending = random.chance(1, 2);
  q.limit = random.chance(1, 2) ? SIZE_MAX : 1 + random.below(10);
  return q;
}

void check_questions(const ChunkedLog& log, const std::vector<Row>& rows, base::Random& random, size_t count) {
  ASSERT_EQ(log.size(), rows.size());
  for (size_t i = 0; i < count; ++i) {
    const Question q = random_question(random, rows.size());
    ASSERT_EQ(ask(log, rows, q), full_scan(rows, q));
  }
}

TEST(ChunkedLog, search_finds_what_a_full_scan_finds) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    base::SeededRandom random(seed);
    ChunkedLog log(small(), nullptr);
    std::vector<Row> rows;
    for (int command = 0; command < 30; ++command) {
      const uint64_t before = rows.size();
      for (uint64_t n = random.below(9); n > 0; --n) {
        rows.push_back(random_row(random, rows.size()));
        ASSERT_EQ(log.append(bytes_of(rows.back())), rows.size() - 1);
      }
      if (random.chance(1, 4)) {  // the command is undone, in part
        rows.resize(before + random.below(rows.size() - before + 1));
        log.truncate(rows.size());
      }
      check_questions(log, rows, random, 4);
      if (random.chance(3, 4)) log.seal();
      check_questions(log, rows, random, 8);
    }
  }
}

TEST(ChunkedLog, every_subset_of_predicates_in_both_directions_and_all_ranges) {
  base::SeededRandom random(99);
  ChunkedLog log(small(), nullptr);
  std::vector<Row> rows;
  for (int i = 0; i < 39; ++i) {
    rows.push_back(random_row(random, rows.size()));
    log.append(bytes_of(rows.back()));
  }
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

TEST(ChunkedLog, rows_are_where_they_were_appended_and_lower_bound_finds_them) {
  ChunkedLog log(small(), nullptr);
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
  ChunkedLog log(small(), nullptr);
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

std::vector<Bytes> saved_parts(ChunkedLog::Saver& saver, size_t size_bytes_max) {
  std::vector<Bytes> parts;
  while (true) {
    Bytes bytes;
    base::Writer writer(bytes);
    if (!saver.next(writer, size_bytes_max)) return parts;
    EXPECT_LE(bytes.size(), size_bytes_max);
    parts.push_back(std::move(bytes));
  }
}

Result<void> load_parts(ChunkedLog& log, const std::vector<Bytes>& parts) {
  for (const Bytes& part : parts) {
    base::Reader reader(part);
    TRY(log.load(reader));
    TRY(reader.finish());
  }
  return {};
}

TEST(ChunkedLog, a_saved_log_is_the_state_at_construction_though_appends_go_on) {
  base::SeededRandom random(5);
  ChunkedLog log(small(), nullptr);
  std::vector<Row> rows;
  const auto append = [&](int count) {
    for (int i = 0; i < count; ++i) {
      rows.push_back(random_row(random, rows.size()));
      log.append(bytes_of(rows.back()));
    }
    log.seal();
  };
  append(45);
  ChunkedLog::Saver saver(log);
  append(60);
  const auto parts = saved_parts(saver, 256);
  rows.resize(45);

  ChunkedLog loaded(small(), nullptr);
  ASSERT_TRUE(load_parts(loaded, parts));
  std::vector<uint64_t> keys;
  ASSERT_TRUE(loaded.finish_load([&](uint64_t slot, uint64_t hash) {
    EXPECT_EQ(slot, keys.size());
    keys.push_back(hash);
  }));
  ASSERT_EQ(keys.size(), 45u);
  for (uint64_t i = 0; i < 45; ++i) EXPECT_EQ(keys[i], i * 31 + 7);
  check_questions(loaded, rows, random, 200);
}

TEST(ChunkedLog, parts_that_are_damaged_missing_or_of_another_log_are_refused) {
  ChunkedLog log(small(), nullptr);
  for (uint64_t i = 0; i < 45; ++i) log.append(bytes_of({.note = i}));
  ChunkedLog::Saver saver(log);
  const auto parts = saved_parts(saver, 256);
  ASSERT_GE(parts.size(), 4u);
  {
    ChunkedLog loaded(small(), nullptr);
    ASSERT_TRUE(load_parts(loaded, {parts.begin(), parts.end() - 1}));
    EXPECT_EQ(loaded.finish_load({}).error().code(), Code::kCorrupt);
  }
  {
    ChunkedLog loaded(small(), nullptr);
    EXPECT_EQ(load_parts(loaded, {parts[0], parts[2]}).error().code(), Code::kCorrupt);
  }
  {
    ChunkedLog loaded(small(), nullptr);
    EXPECT_EQ(load_parts(loaded, {parts[0], parts[0]}).error().code(), Code::kCorrupt);
  }
  {
    ChunkedLog loaded(small(4, 32), nullptr);
    EXPECT_EQ(load_parts(loaded, parts).error().code(), Code::kCorrupt);
  }
  for (const Bytes& part : parts)
    for (size_t size = 0; size < std::min<size_t>(part.size(), 40); ++size) {
      ChunkedLog loaded(small(), nullptr);
      if (&part != &parts[0]) ASSERT_TRUE(load_parts(loaded, {parts[0]}));
      base::Reader reader(BytesView(part).first(size));
      EXPECT_FALSE(loaded.load(reader)) << size;
    }
}

TEST(RunIndex, sorting_agrees_with_the_library_whatever_the_values) {
  base::SeededRandom random(3);
  std::vector<uint64_t> scratch;
  for (size_t count : {0, 1, 2, 31, 33, 65, 100, 1000, 5000, 40000})
    for (int kind = 0; kind < 5; ++kind) {
      std::vector<uint64_t> entries(count);
      for (size_t i = 0; i < count; ++i) {
        const uint64_t value = kind == 0   ? random.next()
                               : kind == 1 ? 42
                               : kind == 2 ? random.below(3) << 62
                               : kind == 3 ? random.next() >> 20  // all in one bucket
                                           : ~random.next() | uint64_t{0xFFF} << 52;
        entries[i] = value << 16 | (i & 0xFFFF);
      }
      auto expected = entries;
      std::ranges::sort(expected);
      sort_entries(entries, scratch);
      ASSERT_EQ(entries, expected) << count << " " << kind;
    }
}

}  // namespace
}  // namespace polis::ledger
