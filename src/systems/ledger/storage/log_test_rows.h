// Rows for the tests of logs and chunks, and the search that they are compared with: a full scan.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernel/base/random.h"
#include "systems/ledger/storage/chunked_log.h"

namespace polis::ledger::test {

// A row of 32 bytes: four small numbers, of which 0 means "carries no value".
struct Row {
  uint64_t debit = 0, credit = 0, code = 0, note = 0;
};
enum : uint8_t { kDebit, kCredit, kCode, kFields };

inline size_t index_row(const std::byte* bytes, FieldValue* values) {
  Row row;
  std::memcpy(&row, bytes, sizeof row);
  size_t count = 0;
  if (row.debit) values[count++] = {kDebit, row.debit};
  if (row.credit) values[count++] = {kCredit, row.credit};
  if (row.code) values[count++] = {kCode, row.code};
  return count;
}
inline uint64_t key_of(const std::byte* bytes, uint64_t seed) {
  Row row;
  std::memcpy(&row, bytes, sizeof row);
  return row.note * 31 + seed;
}

inline ChunkedLogOptions small_log(uint32_t rows_per_run = 4, uint32_t rows_per_chunk = 16) {
  return {.name = "rows",
          .row_bytes = sizeof(Row),
          .rows_per_chunk = rows_per_chunk,
          .rows_per_run = rows_per_run,
          .fields = kFields,
          .index = index_row,
          .key = key_of,
          .key_seed = 7};
}

inline const std::byte* bytes_of(const Row& row) {
  return reinterpret_cast<const std::byte*>(&row);
}

inline Row random_row(base::Random& random, uint64_t note) {
  return {.debit = random.below(5), .credit = random.below(5), .code = random.below(3), .note = note};
}

struct Question {
  std::vector<FieldValue> either, all;
  uint64_t begin = 0, end = 0;
  bool descending = false;
  size_t limit = SIZE_MAX;
};

inline std::vector<uint64_t> full_scan(const std::vector<Row>& rows, const Question& q) {
  std::vector<uint64_t> found;
  for (uint64_t slot = q.begin; slot < std::min<uint64_t>(q.end, rows.size()); ++slot) {
    FieldValue values[kFields];
    const size_t count = index_row(bytes_of(rows[slot]), values);
    const auto carries = [&](const FieldValue& wanted) {
      return std::any_of(values, values + count,
                         [&](const FieldValue& has) { return has.field == wanted.field && has.value == wanted.value; });
    };
    if ((q.either.empty() || std::any_of(q.either.begin(), q.either.end(), carries)) &&
        std::all_of(q.all.begin(), q.all.end(), carries))
      found.push_back(slot);
  }
  if (q.descending) std::reverse(found.begin(), found.end());
  if (found.size() > q.limit) found.resize(q.limit);
  return found;
}

// What the log finds; a row that is not the model's ends the process.
inline std::vector<uint64_t> ask(const ChunkedLog& log, const std::vector<Row>& rows, const Question& q) {
  std::vector<uint64_t> found;
  log.search(q.either, q.all, q.begin, q.end, q.descending, [&](uint64_t slot, const std::byte* row) {
    POLIS_ASSERT(std::memcmp(row, &rows[slot], sizeof(Row)) == 0);
    found.push_back(slot);
    return found.size() < q.limit;
  });
  return found;
}

inline Question random_question(base::Random& random, uint64_t size) {
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

// Whether the log answers `count` random questions as a full scan does.
inline bool agrees(const ChunkedLog& log, const std::vector<Row>& rows, base::Random& random, size_t count) {
  if (log.size() != rows.size()) return false;
  for (size_t i = 0; i < count; ++i) {
    const Question q = random_question(random, rows.size());
    if (ask(log, rows, q) != full_scan(rows, q)) return false;
  }
  return true;
}

inline std::vector<Bytes> saved_parts(ChunkedLog::Saver& saver, size_t size_bytes_max) {
  std::vector<Bytes> parts;
  while (true) {
    Bytes bytes;
    base::Writer writer(bytes);
    if (!saver.next(writer, size_bytes_max)) return parts;
    POLIS_ASSERT(bytes.size() <= size_bytes_max);
    parts.push_back(std::move(bytes));
  }
}

inline Result<void> load_parts(ChunkedLog& log, const std::vector<Bytes>& parts) {
  for (const Bytes& part : parts) {
    base::Reader reader(part);
    TRY(log.load(reader));
    TRY(reader.finish());
  }
  return {};
}

}  // namespace polis::ledger::test
