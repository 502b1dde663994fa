// MT940, SWIFT's customer statement message (SWIFT User Handbook, Category 9): the text block of each message, without
// the envelope of the network, as banks put it into files. Lines end with CR LF, a message with "-".
//
//     :20:  reference of the message           :61:  entry: date, C or D, amount, type, reference
//     :25:  account                            :86:  who, what for, and the transfer's id; 6 lines of 65
//     :28C: statement number / page            :62F: closing balance (62M: the next page goes on)
//     :60F: opening balance (60M: of a page)   :86:  the account's name
//
// A message has at most 2,000 characters, so a statement is as many pages as it takes. Only the characters of SWIFT's
// set x appear; others become '.'.
#include <algorithm>
#include <fmt/format.h>

#include "systems/ledger/formats/statement_writer.h"

namespace polis::ledger::formats {
namespace {

constexpr size_t kMessageCharactersMax = 2000;
// ":62M:" with its balance, ":86:" with 35 characters, "-", and their line ends.
constexpr size_t kEndCharactersMax = 40 + 4 + 65 + 2 + 3;
constexpr size_t kAmountCharactersMax = 15;  // "15d": digits and the comma
constexpr uint32_t kPagesMax = 99'999;       // ":28C:" has five digits
constexpr size_t kInformationLinesMax = 6;
constexpr size_t kInformationLineMax = 65;
constexpr size_t kReferenceMax = 16;

bool in_set_x(char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return c < 0x80 && std::string_view("/-?:().,'+ ").find(static_cast<char>(c)) != std::string_view::npos;
}

// One line of SWIFT's set x.
std::string swift_text(std::string_view text, size_t characters_max) {
  const std::string line = one_line(text, 4 * characters_max);
  std::string swift;
  for (std::string_view rest = line; !rest.empty() && swift.size() < characters_max;) {
    const char32_t c = take_character(rest);
    swift += in_set_x(c) ? static_cast<char>(c) : '.';
  }
  return swift;
}

// Fields of "16x" must not begin or end with '/' nor hold "//" (rule T26).
std::string swift_reference(std::string_view text) {
  std::string reference = swift_text(text, kReferenceMax);
  std::ranges::replace(reference, '/', '.');
  return reference.empty() ? "NONREF" : reference;
}

class Mt940Writer : public BalancedWriter {
 protected:
  Result<void> check_limits(const StatementHead& head) const override {
    TRY(check_currency(head.ledger.asset, "MT940"));
    TRY(check_length(balance_of(head.opening).amount, head.ledger.scale));
    return check_length(balance_of(head.closing).amount, head.ledger.scale);
  }
  // A balance in between may be too long where both ends are not: the page that needs it says so.
  Result<void> check_amount(u128 amount) const override {
    if (page_ == kPagesMax)
      return fail(Code::kTooLarge, "an MT940 statement has at most 99,999 pages; ask for a shorter period");
    TRY(check_length(amount, head().ledger.scale));
    return check_length(balance_of(running()).amount, head().ledger.scale);
  }

  void write_head(std::string& out) override {
    page_ = 1;
    used_ = 0;
    begin_page('F', head().opening, head().from, out);
  }

  void write_line(const Line& line, std::string& out) override {
    const Transfer& record = line.transfer.record;
    std::string text = ":61:";
    text += calendar_.short_date(record.timestamp);
    const Calendar::Day& day = calendar_.day(record.timestamp);
    text += fmt::format("{:02}{:02}", day.month, day.day);
    text += line.credit ? 'C' : 'D';
    append_swift_amount(record.amount, text);
    text += "NTRF";
    text += swift_reference(line.transfer.reference);
    text += "\r\n";
    append_information(line, text);

    if (used_ + text.size() + kEndCharactersMax > kMessageCharactersMax) {
      end_page('M', before_, date_before_, out);
      ++page_;
      used_ = 0;
      begin_page('M', before_, date_before_, out);
    }
    out += text;
    used_ += text.size();
    before_ = running();
    date_before_ = record.timestamp;
  }

  void write_end(std::string& out) override { end_page('F', head().closing, head().to, out); }

 private:
  static Result<void> check_length(u128 amount, uint8_t scale) {
    std::string text;
    append_amount(text, amount, scale, ',');
    if (scale == 0) text += ',';
    if (text.size() <= kAmountCharactersMax) return {};
    return fail(Code::kTooLarge, fmt::format("MT940 holds amounts of {} characters, {} has {}; use json",
                                             kAmountCharactersMax, text, text.size()));
  }
  void append_swift_amount(u128 amount, std::string& out) const {
    append_amount(out, amount, head().ledger.scale, ',');
    if (head().ledger.scale == 0) out += ',';
  }
  void append_balance(const PostedSums& sums, uint64_t timestamp, std::string& out) {
    const Balance balance = balance_of(sums);
    out += balance.credit ? 'C' : 'D';
    out += calendar_.short_date(timestamp);
    out += head().ledger.asset;
    append_swift_amount(balance.amount, out);
    out += "\r\n";
  }

  void begin_page(char mark, const PostedSums& sums, uint64_t timestamp, std::string& out) {
    const size_t begin = out.size();
    out += fmt::format(":20:ST{:05}P{:05}\r\n:25:{}\r\n:28C:{:05}/{:05}\r\n:60{}:", head().number, page_,
                       short_id(head().account.id), head().number, page_, mark);
    append_balance(sums, timestamp, out);
    used_ = out.size() - begin;
    before_ = sums;
    date_before_ = timestamp;
  }
  void end_page(char mark, const PostedSums& sums, uint64_t timestamp, std::string& out) {
    out += fmt::format(":62{}:", mark);
    append_balance(sums, timestamp, out);
    const std::string holder = swift_text(head().account.name, kInformationLineMax);
    if (!holder.empty()) {
      out += ":86:";
      out += holder;
      out += "\r\n";
    }
    out += "-\r\n";
  }

  // Six lines of 65: the counterparty, the reference, the transfer. A line that began with ':' or '-' would be taken
  // for the next field or the end.
  static void append_information(const Line& line, std::string& out) {
    const Transfer& record = line.transfer.record;
    std::string text = line.counterparty_name.empty() ? to_decimal(line.counterparty)
                                                      : swift_text(line.counterparty_name, 2 * kInformationLineMax);
    if (!line.transfer.reference.empty()) {
      text += ' ';
      text += swift_text(line.transfer.reference, 2 * kInformationLineMax);
    }
    std::string_view rest = text;
    out += ":86:";
    for (size_t i = 0; i + 1 < kInformationLinesMax && !rest.empty(); ++i) {
      if (rest[0] == ':' || rest[0] == '-') {
        out += ' ';
        out += rest.substr(0, kInformationLineMax - 1);
        rest.remove_prefix(std::min(rest.size(), kInformationLineMax - 1));
      } else {
        out += rest.substr(0, kInformationLineMax);
        rest.remove_prefix(std::min(rest.size(), kInformationLineMax));
      }
      out += "\r\n";
    }
    out += "TRANSFER ";
    append_number(out, record.id);
    out += "\r\n";
  }

  uint32_t page_ = 1;
  size_t used_ = 0;  // characters of the page so far
  PostedSums before_;
  uint64_t date_before_ = 0;
};

}  // namespace

std::unique_ptr<StatementWriter> make_mt940_writer() {
  return std::make_unique<Mt940Writer>();
}

}  // namespace polis::ledger::formats
