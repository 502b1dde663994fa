// A statement as one JSON object, written in pieces. Amounts and ids are strings: they exceed what JSON numbers hold.
#include "systems/ledger/formats/json_text.h"
#include "systems/ledger/formats/statement_writer.h"

namespace polis::ledger::formats {
namespace {

class JsonStatementWriter : public BalancedWriter {
 protected:
  Result<void> check_limits(const StatementHead&) const override { return {}; }
  Result<void> check_amount(u128) const override { return {}; }

  void write_head(std::string& out) override {
    out += "{\"account\":{\"id\":";
    append_json_number(head().account.id, out);
    out += ",\"name\":";
    append_json_string(head().account.name, out);
    out += ",\"kind\":";
    append_json_string(name(head().account.kind), out);
    out += ",\"ledger\":";
    append_number(out, head().ledger.id);
    out += ",\"asset\":";
    append_json_string(head().ledger.asset, out);
    out += ",\"scale\":";
    append_number(out, head().ledger.scale);
    out += "},\"number\":";
    append_number(out, head().number);
    append_time_field("from", head().from, out);
    append_time_field("to", head().to, out);
    append_time_field("created_at", head().created_at, out);
    append_balance("opening", head().opening, out);
    append_balance("closing", head().closing, out);
    out += ",\"entries\":[";
  }

  void write_line(const Line& line, std::string& out) override {
    const Transfer& record = line.transfer.record;
    out += lines() == 1 ? "\n{\"transfer\":" : ",\n{\"transfer\":";
    append_json_number(record.id, out);
    out += ",\"timestamp\":";
    append_json_number(record.timestamp, out);
    append_time_field("time", record.timestamp, out);
    out += line.credit ? ",\"side\":\"credit\",\"amount\":\"" : ",\"side\":\"debit\",\"amount\":\"";
    append_amount(out, record.amount, head().ledger.scale);
    out += "\",\"counterparty\":";
    append_json_number(line.counterparty, out);
    out += ",\"counterparty_name\":";
    append_json_string(line.counterparty_name, out);
    out += ",\"reference\":";
    append_json_string(line.transfer.reference, out);
    out += ",\"transaction\":";
    append_json_number(record.user_data_128, out);
    out += ",\"code\":";
    append_number(out, record.code);
    append_balance("balance", running(), out);
    out += '}';
  }

  void write_end(std::string& out) override {
    out += "\n],\"count\":";
    append_number(out, lines());
    out += "}\n";
  }

 private:
  static void append_time_field(std::string_view key, uint64_t timestamp, std::string& out) {
    out.append(",\"").append(key) += "\":\"";
    append_time(out, timestamp);
    out += '"';
  }
  void append_balance(std::string_view key, const PostedSums& sums, std::string& out) const {
    const Balance balance = balance_of(sums);
    out.append(",\"").append(key) += "\":{\"side\":\"";
    out += balance.credit ? "credit\",\"amount\":\"" : "debit\",\"amount\":\"";
    append_amount(out, balance.amount, head().ledger.scale);
    out += "\",\"debits\":\"";
    append_amount(out, sums.debits, head().ledger.scale);
    out += "\",\"credits\":\"";
    append_amount(out, sums.credits, head().ledger.scale);
    out += "\"}";
  }
};

}  // namespace

std::unique_ptr<StatementWriter> make_json_statement_writer() {
  return std::make_unique<JsonStatementWriter>();
}

}  // namespace polis::ledger::formats
