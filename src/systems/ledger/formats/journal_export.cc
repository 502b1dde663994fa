// ledger-cli 3 (ledger manual, "Journal Format") and hledger 1.25 (hledger manual, "Journal format"): the same shape,
// two dialects of directives.
//
//     2026-11-22 * (4711) reference
//         ; transfer: 4711
//         ; timestamp: 1795315088123456789
//         Assets:alice  12.34 USD
//         Liabilities:bob  -12.34 USD
#include <algorithm>
#include <fmt/format.h>

#include "systems/ledger/formats/books_exporter.h"
#include "systems/ledger/formats/roots.h"

namespace polis::ledger::formats {
namespace {

constexpr size_t kReferenceBytesMax = 512;
constexpr size_t kCommodityBytesMax = 64;

bool is_ascii_letter(char32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_ascii_digit(char32_t c) {
  return c >= '0' && c <= '9';
}

// One part of an account's name. Two spaces, a tab and ';' end a name; brackets and quotes have meanings: only what has
// none stays.
std::string journal_label_part(std::string_view part) {
  std::string label;
  while (!part.empty()) {
    char32_t c = take_character(part);
    const bool plain = is_ascii_letter(c) || is_ascii_digit(c) || c == '-' || c == '_' || c == '.' || c == '/' ||
                       c == '@' || c == '+' || c == '&' || (c >= 0x80 && is_visible(c) && c != kReplacement);
    const bool space = c == ' ' && !label.empty() && label.back() != ' ' && !part.empty();
    append_character(label, plain || space ? c : U'_');
  }
  if (label.ends_with(' ')) label.back() = '_';
  return label.empty() ? "_" : label;
}

class JournalExporter : public BooksExporter {
 public:
  explicit JournalExporter(bool hledger) : hledger_(hledger) {}

  void begin(std::string& out) override {
    out += kJournalBegin;
    // A point, whatever the reader's locale; ledger-cli has no other default.
    if (hledger_) out += "decimal-mark .\n";
    // ledger-cli --pedantic wants every tag declared.
    if (!hledger_)
      for (std::string_view tag : {"transfer", "timestamp", "code", "transaction", "pending"})
        out.append("tag ").append(tag) += '\n';
    out += '\n';
  }
  void finish(std::string& out) override { out += journal_end(counts()); }

 protected:
  // Letters as they are, everything else between quotes; a quote itself cannot be in there. ledger-cli takes the names
  // s, m and h for units of time, and words such as "and" for operators: lower case is quoted, one letter never alone.
  std::string commodity_label(std::string_view asset, std::string_view suffix) const override {
    std::string label;
    while (!asset.empty() && label.size() + suffix.size() < kCommodityBytesMax) {
      const char32_t c = take_character(asset);
      const bool plain = is_ascii_letter(c) || is_ascii_digit(c) || c == '-' || c == '_' || c == '.' ||
                         (c >= 0x80 && is_visible(c) && c != kReplacement);
      append_character(label, plain ? c : U'_');
    }
    label += suffix;
    if (label.empty() || (label.size() == 1 && !(label[0] >= 'A' && label[0] <= 'Z'))) label += "_unit";
    if (std::ranges::all_of(label, [](char c) { return c >= 'A' && c <= 'Z'; })) return label;
    return '"' + label + '"';
  }
  std::string account_label(const NamedAccount& account, std::string_view suffix) const override {
    std::string label(root_of(account.kind));
    for_each_part(account, [&](std::string_view part) {
      label += ':';
      label += journal_label_part(part);
    });
    label += suffix;
    return label;
  }

  void write_commodity(const KnownLedger& ledger, std::string& out) override {
    std::string sample;
    append_amount(sample, 0, ledger.given.scale);
    sample.insert(0, "100");
    // hledger wants a point in it even where nothing follows.
    if (hledger_ && ledger.given.scale == 0) sample += '.';
    if (hledger_)
      out += fmt::format("commodity {} {}\n\n", sample, ledger.commodity);
    else
      out += fmt::format("commodity {}\n    format {} {}\n\n", ledger.commodity, sample, ledger.commodity);
  }
  void write_account(const KnownAccount& account, std::string& out) override {
    constexpr std::string_view kTypes = "ALERX";  // of hledger, in the order of AccountKind
    if (hledger_)
      out += fmt::format("account {}  ; type:{}, polis_id:{}\n\n", account.label,
                         kTypes[static_cast<size_t>(account.given.kind) - 1], to_decimal(account.given.id));
    else
      out += fmt::format("account {}\n    note polis account {}\n\n", account.label, to_decimal(account.given.id));
  }
  bool write_transfer(const NamedTransfer& transfer, const KnownAccount& debit, const KnownAccount& credit,
                      std::string& out) override {
    const Transfer& record = transfer.record;
    if (!is_posted(record)) return false;
    out += calendar_.date(record.timestamp);
    out += " * (";
    append_number(out, record.id);
    out += ") ";
    append_payee(transfer.reference, out);
    for_each_note(record, [&](std::string_view name, u128 value) { append_tag(name, value, out); });
    append_posting(debit, record.amount, "  ", out);
    append_posting(credit, record.amount, record.amount == 0 ? "  " : "  -", out);
    out += '\n';
    return true;
  }

 private:
  // hledger splits a description at '|', both begin a comment at ';'.
  static void append_payee(std::string_view reference, std::string& out) {
    std::string payee = reference.empty() ? "transfer" : one_line(reference, kReferenceBytesMax);
    std::ranges::replace(payee, ';', ',');
    std::ranges::replace(payee, '|', '/');
    out += payee.empty() ? "transfer" : payee;
    out += '\n';
  }
  static void append_tag(std::string_view tag, u128 value, std::string& out) {
    out += "    ; ";
    out += tag;
    out += ": ";
    append_number(out, value);
    out += '\n';
  }
  static void append_posting(const KnownAccount& account, u128 amount, std::string_view between, std::string& out) {
    out += "    ";
    out += account.label;
    out += between;
    append_amount(out, amount, account.ledger->given.scale);
    out += ' ';
    out += account.ledger->commodity;
    out += '\n';
  }

  const bool hledger_;
};

}  // namespace

std::unique_ptr<Exporter> make_ledger_exporter() {
  return std::make_unique<JournalExporter>(false);
}
std::unique_ptr<Exporter> make_hledger_exporter() {
  return std::make_unique<JournalExporter>(true);
}

}  // namespace polis::ledger::formats
