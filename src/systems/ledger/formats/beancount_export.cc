// beancount 2.3 (its "Language Syntax" document). Names are narrower than anywhere else: a part of an account begins
// with a capital letter or a digit and holds letters, digits and '-'; a currency is 1 to 24 capital letters, digits and
// ' . _ -, a letter first. What the file cannot say in a name stands in the metadata of the `open` directive.
//
//     2026-11-22 open Assets:Alice USD
//       name: "alice"
//       polis_id: "17"
//
//     2026-11-22 * "reference"
//       transfer: "4711"
//       Assets:Alice  12.34 USD
//       Liabilities:Bob  -12.34 USD
//
// beancount computes with 28 digits (Python's decimal context): sums beyond that are its to round.
#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "systems/ledger/formats/books_exporter.h"
#include "systems/ledger/formats/roots.h"

namespace polis::ledger::formats {
namespace {

constexpr size_t kCurrencyBytesMax = 24;
constexpr size_t kTextBytesMax = 512;
// The scanner takes these words for values.
constexpr std::array<std::string_view, 3> kReserved = {"TRUE", "FALSE", "NULL"};

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
}

// Characters outside ASCII become "U" and their number, so that different names stay different ones.
std::string beancount_label_part(std::string_view part) {
  std::string label;
  while (!part.empty()) {
    const char32_t c = take_character(part);
    if (c >= 0x80)
      label += fmt::format("U{:X}", static_cast<uint32_t>(c));
    else if (is_letter(static_cast<char>(c)) || is_digit(static_cast<char>(c)))
      label += static_cast<char>(c);
    else
      label += '-';
  }
  if (label.empty() || label[0] == '-') label.insert(0, "X");
  label[0] = upper(label[0]);
  return label;
}

void append_quoted(std::string_view text, std::string& out) {
  out += '"';
  for (char c : one_line(text, kTextBytesMax)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

class BeancountExporter : public BooksExporter {
 public:
  void begin(std::string& out) override {
    out += kJournalBegin;
    out += '\n';
  }
  void finish(std::string& out) override { out += journal_end(counts()); }

 protected:
  std::string commodity_label(std::string_view asset, std::string_view suffix) const override {
    std::string label;
    while (!asset.empty() && label.size() + suffix.size() < kCurrencyBytesMax - 2) {
      const char32_t c = take_character(asset);
      const char plain = c < 0x80 ? upper(static_cast<char>(c)) : '-';
      const bool allowed = is_letter(plain) || is_digit(plain) || plain == '.' || plain == '_' || plain == '\'';
      label += allowed ? plain : '-';
    }
    label += suffix;
    if (label.empty() || !is_letter(label[0])) label.insert(0, "X");
    if (!is_letter(label.back()) && !is_digit(label.back())) label += 'X';
    // One letter is a currency to some of its tools only.
    if (label.size() == 1 || std::ranges::find(kReserved, label) != kReserved.end()) label += "-X";
    return label;
  }
  std::string account_label(const NamedAccount& account, std::string_view suffix) const override {
    std::string label(root_of(account.kind));
    for_each_part(account, [&](std::string_view part) {
      label += ':';
      label += beancount_label_part(part);
    });
    label += suffix;
    return label;
  }

  void write_commodity(const KnownLedger& ledger, std::string& out) override {
    out += fmt::format("1970-01-01 commodity {}\n  asset: ", ledger.commodity);
    append_quoted(ledger.given.asset, out);
    out += "\n\n";
  }
  void write_account(const KnownAccount& account, std::string& out) override {
    out += calendar_.date(account.given.timestamp);
    out += fmt::format(" open {} {}\n", account.label, account.ledger->commodity);
    if (!account.given.name.empty()) {
      out += "  name: ";
      append_quoted(account.given.name, out);
      out += '\n';
    }
    out += fmt::format("  polis_id: \"{}\"\n\n", to_decimal(account.given.id));
  }
  bool write_transfer(const NamedTransfer& transfer, const KnownAccount& debit, const KnownAccount& credit,
                      std::string& out) override {
    const Transfer& record = transfer.record;
    if (!is_posted(record)) return false;
    out += calendar_.date(record.timestamp);
    out += " * ";
    append_quoted(transfer.reference, out);
    for_each_note(record, [&](std::string_view name, u128 value) { append_metadata(name, value, out); });
    append_posting(debit, record.amount, "  ", out);
    append_posting(credit, record.amount, "  -", out);
    out += "\n\n";
    return true;
  }

 private:
  // As text: its numbers have 28 digits.
  static void append_metadata(std::string_view key, u128 value, std::string& out) {
    out += "\n  ";
    out += key;
    out += ": \"";
    append_number(out, value);
    out += '"';
  }
  static void append_posting(const KnownAccount& account, u128 amount, std::string_view between, std::string& out) {
    out += "\n  ";
    out += account.label;
    out += between;
    append_amount(out, amount, account.ledger->given.scale);
    out += ' ';
    out += account.ledger->commodity;
  }
};

}  // namespace

std::unique_ptr<Exporter> make_beancount_exporter() {
  return std::make_unique<BeancountExporter>();
}

}  // namespace polis::ledger::formats
