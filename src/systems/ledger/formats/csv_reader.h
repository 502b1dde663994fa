// Rows of CSV (RFC 4180) out of bytes that come in pieces: quoted cells, CR LF or LF, a byte order mark, empty lines
// left out. Sans I/O; memory is one row of at most kCsvRowBytesMax.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"

namespace polis::ledger::formats {

class CsvReader {
 public:
  // The cells live until the visitor returns; `line` is where the row begins, from 1.
  using Visitor = std::function<Result<void>(uint64_t line, const std::vector<std::string_view>& cells)>;
  explicit CsvReader(Visitor visit) : visit_(std::move(visit)) {}

  // kInvalid with the line: a quote inside a bare cell or behind a closed one, a row too long or of too many cells.
  // What the visitor refuses ends it, too.
  Result<void> feed(std::string_view bytes);
  Result<void> finish();

 private:
  enum class At : uint8_t { kCellBegin, kBare, kQuoted, kQuoteInQuoted, kCarriageReturn };
  Result<void> take(char c);
  Result<void> push(char c);
  Result<void> end_cell();
  Result<void> end_row();
  std::unexpected<Error> refuse(std::string_view why) const;

  Visitor visit_;
  At at_ = At::kCellBegin;
  std::string row_;           // the cells' characters, one behind the other
  std::vector<size_t> ends_;  // of the cells in row_
  uint64_t line_ = 1, row_line_ = 1;
  size_t mark_seen_ = 0;  // bytes of the byte order mark so far; 3: it is behind us
  bool quoted_ = false;   // the row has a quoted cell, so that an empty one counts
};

}  // namespace polis::ledger::formats
