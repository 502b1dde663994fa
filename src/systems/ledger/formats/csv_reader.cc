#include "systems/ledger/formats/csv_reader.h"

#include <fmt/format.h>

#include "systems/ledger/formats/csv_import.h"

namespace polis::ledger::formats {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

std::unexpected<Error> CsvReader::refuse(std::string_view why) const {
  return fail(Code::kInvalid, fmt::format("line {}: {}", line_, why));
}

Result<void> CsvReader::push(char c) {
  if (row_.size() == kCsvRowBytesMax) return refuse(fmt::format("a row has at most {} bytes", kCsvRowBytesMax));
  row_ += c;
  return {};
}

Result<void> CsvReader::end_cell() {
  if (ends_.size() == kCsvColumnsMax) return refuse(fmt::format("a row has at most {} cells", kCsvColumnsMax));
  ends_.push_back(row_.size());
  at_ = At::kCellBegin;
  return {};
}

Result<void> CsvReader::end_row() {
  TRY(end_cell());
  const bool empty = row_.empty() && ends_.size() == 1 && !quoted_;
  std::vector<std::string_view> cells;
  cells.reserve(ends_.size());
  size_t begin = 0;
  for (size_t end : ends_) {
    cells.push_back(std::string_view(row_).substr(begin, end - begin));
    begin = end;
  }
  const uint64_t line = row_line_;
  row_line_ = line_ + 1;
  if (!empty) TRY(visit_(line, cells));
  row_.clear();
  ends_.clear();
  quoted_ = false;
  return {};
}

Result<void> CsvReader::take(char c) {
  switch (at_) {
    case At::kCarriageReturn:
      if (c != '\n') return refuse("a carriage return stands alone; lines end with LF or CR LF");
      at_ = At::kCellBegin;
      return end_row();
    case At::kQuoted:
      if (c != '"') return push(c);
      at_ = At::kQuoteInQuoted;
      return {};
    case At::kQuoteInQuoted:
      if (c == '"') {
        at_ = At::kQuoted;
        return push(c);
      }
      if (c != ',' && c != '\r' && c != '\n')
        return refuse("behind a closing quote, ',' or the end of the line must come");
      break;
    case At::kCellBegin:
      if (c == '"') {
        at_ = At::kQuoted;
        quoted_ = true;
        return {};
      }
      break;
    case At::kBare:
      if (c == '"') return refuse("a quote inside a cell: put the cell between quotes and write \"\" for it");
      break;
  }
  if (c == ',') return end_cell();
  if (c == '\n') return end_row();
  if (c == '\r') {
    at_ = At::kCarriageReturn;
    return {};
  }
  at_ = At::kBare;
  return push(c);
}

Result<void> CsvReader::feed(std::string_view bytes) {
  for (char c : bytes) {
    if (mark_seen_ < kByteOrderMark.size()) {
      if (c == kByteOrderMark[mark_seen_]) {
        ++mark_seen_;
        continue;
      }
      // What looked like the beginning of a mark was text.
      const size_t begun = std::exchange(mark_seen_, kByteOrderMark.size());
      for (size_t i = 0; i < begun; ++i) TRY(take(kByteOrderMark[i]));
    }
    TRY(take(c));
    if (c == '\n') ++line_;
  }
  return {};
}

Result<void> CsvReader::finish() {
  if (at_ == At::kQuoted)
    return refuse(fmt::format("the quote that was opened in the row of line {} is not closed", row_line_));
  if (mark_seen_ > 0 && mark_seen_ < kByteOrderMark.size()) return refuse("the text ends inside a byte order mark");
  if (at_ == At::kCarriageReturn) return end_row();
  if (at_ != At::kCellBegin || !ends_.empty()) return end_row();
  return {};
}

}  // namespace polis::ledger::formats
