// CSV (RFC 4180): every transfer with every field, in lines that end with CR LF. csv_import.h reads it back.
#include "systems/ledger/formats/books_exporter.h"
#include "systems/ledger/formats/csv.h"

namespace polis::ledger::formats {
namespace {

constexpr std::string_view kTransferHeading =
    "timestamp,time,id,ledger,asset,debit_account,debit_name,credit_account,credit_name,amount,amount_minor,code,flags,"
    "state,pending_id,timeout,user_data_128,user_data_64,user_data_32,reference\r\n";
constexpr std::string_view kAccountHeading =
    "timestamp,time,id,ledger,asset,name,kind,code,flags,user_data_128,user_data_64,user_data_32\r\n";

void append_number_cell(u128 value, std::string& out) {
  append_number(out, value);
  out += ',';
}
void append_text_cell(std::string_view text, std::string& out) {
  append_csv_text(text, out);
  out += ',';
}

class CsvExporter : public BooksExporter {
 public:
  void begin(std::string& out) override { out += kTransferHeading; }
  void finish(std::string&) override {}

 protected:
  // Names stand beside the ids here: nothing must be unique, so nothing is changed.
  std::string commodity_label(std::string_view asset, std::string_view suffix) const override {
    return std::string(asset).append(suffix);
  }
  std::string account_label(const NamedAccount& account, std::string_view) const override {
    return to_decimal(account.id);
  }
  void write_commodity(const KnownLedger&, std::string&) override {}
  void write_account(const KnownAccount&, std::string&) override {}
  bool write_transfer(const NamedTransfer& transfer, const KnownAccount& debit, const KnownAccount& credit,
                      std::string& out) override {
    const Transfer& record = transfer.record;
    append_number_cell(record.timestamp, out);
    append_time(out, record.timestamp);
    out += ',';
    append_number_cell(record.id, out);
    append_number_cell(record.ledger, out);
    append_text_cell(debit.ledger->given.asset, out);
    append_number_cell(debit.given.id, out);
    append_text_cell(debit.given.name, out);
    append_number_cell(credit.given.id, out);
    append_text_cell(credit.given.name, out);
    append_amount(out, record.amount, debit.ledger->given.scale);
    out += ',';
    append_number_cell(record.amount, out);
    append_number_cell(record.code, out);
    append_number_cell(record.flags, out);
    out += state_name(transfer.state);
    out += ',';
    append_number_cell(record.pending_id, out);
    append_number_cell(record.timeout, out);
    append_number_cell(record.user_data_128, out);
    append_number_cell(record.user_data_64, out);
    append_number_cell(record.user_data_32, out);
    append_csv_text(transfer.reference, out);
    out += "\r\n";
    return is_posted(record);
  }
};

}  // namespace

std::string_view state_name(PendingState state) {
  switch (state) {
    case PendingState::kNone:
      return "";
    case PendingState::kPending:
      return "pending";
    case PendingState::kPosted:
      return "posted";
    case PendingState::kVoided:
      return "voided";
    case PendingState::kExpired:
      return "expired";
  }
  return "";
}

void append_csv_text(std::string_view text, std::string& out) {
  // NUL is the one character that readers of CSV stumble over even between quotes.
  const bool formula = !text.empty() && kFormulaStarts.find(text[0]) != std::string_view::npos;
  if (!formula && text.find_first_of(std::string_view(",\"\r\n\0", 5)) == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  if (formula) out += '\'';
  for (char c : text) {
    if (c == '"') out += '"';
    out += c == '\0' ? ' ' : c;
  }
  out += '"';
}

std::unique_ptr<Exporter> make_csv_exporter() {
  return std::make_unique<CsvExporter>();
}

void begin_accounts_csv(std::string& out) {
  out += kAccountHeading;
}

void append_account_csv(const Account& account, std::string_view asset, std::string_view account_name,
                        std::string& out) {
  append_number_cell(account.timestamp, out);
  append_time(out, account.timestamp);
  out += ',';
  append_number_cell(account.id, out);
  append_number_cell(account.ledger, out);
  append_text_cell(asset, out);
  append_text_cell(account_name, out);
  out += name(kind_of(account));
  out += ',';
  append_number_cell(account.code, out);
  append_number_cell(account.flags, out);
  append_number_cell(account.user_data_128, out);
  append_number_cell(account.user_data_64, out);
  append_number(out, account.user_data_32);
  out += "\r\n";
}

}  // namespace polis::ledger::formats
