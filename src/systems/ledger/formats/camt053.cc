// camt.053.001.08, ISO 20022's bank to customer statement: one document with one statement. Elements stand in the order
// that the message definition demands; texts are cut to its lengths.
//
//     Document/BkToCstmrStmt/GrpHdr
//                           /Stmt  Id, number, period, Acct, Bal OPBD, Bal CLBD, Ntry ...
#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/xml_text.h"
#include "systems/ledger/formats/statement_writer.h"

namespace polis::ledger::formats {
namespace {

// ActiveOrHistoricCurrencyAndAmount: 18 digits in all, 5 of them behind the point.
constexpr uint8_t kFractionDigitsMax = 5;
constexpr size_t kDigitsMax = 18;

// Max35Text and its like count characters, not bytes.
std::string cut(std::string_view text, size_t characters_max) {
  const std::string line = one_line(text, 4 * characters_max);
  std::string_view rest = line;
  for (size_t i = 0; i < characters_max && !rest.empty(); ++i) (void)take_character(rest);
  return line.substr(0, line.size() - rest.size());
}

class Camt053Writer : public BalancedWriter {
 protected:
  Result<void> check_limits(const StatementHead& head) const override {
    TRY(check_currency(head.ledger.asset, "camt.053"));
    if (head.ledger.scale > kFractionDigitsMax)
      return fail(Code::kUnsupported,
                  fmt::format("camt.053 holds {} digits behind the point, ledger {} has {}; use json",
                              kFractionDigitsMax, head.ledger.id, head.ledger.scale));
    TRY(check_length(balance_of(head.opening).amount, head.ledger.scale));
    return check_length(balance_of(head.closing).amount, head.ledger.scale);
  }
  Result<void> check_amount(u128 amount) const override { return check_length(amount, head().ledger.scale); }

  void write_head(std::string& out) override {
    const std::string id = short_id(head().account.id);
    const std::string created = seconds(head().created_at);
    out +=
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\">\n<BkToCstmrStmt>\n";
    out += fmt::format("<GrpHdr><MsgId>POLIS-{}-{:05}</MsgId><CreDtTm>{}</CreDtTm></GrpHdr>\n", head().created_at,
                       head().number, created);
    out += fmt::format("<Stmt>\n<Id>{}-{:05}</Id><ElctrncSeqNb>{}</ElctrncSeqNb><CreDtTm>{}</CreDtTm>\n",
                       statement_id(), head().number, head().number, created);
    out += fmt::format("<FrToDt><FrDtTm>{}</FrDtTm><ToDtTm>{}</ToDtTm></FrToDt>\n", seconds(head().from),
                       seconds(head().to));
    out += fmt::format("<Acct><Id><Othr><Id>{}</Id></Othr></Id><Ccy>{}</Ccy>", id, head().ledger.asset);
    append_element("Nm", cut(head().account.name, 70), out);
    out += "</Acct>\n";
    append_balance("OPBD", head().opening, head().from, out);
    append_balance("CLBD", head().closing, head().to, out);
  }

  void write_line(const Line& line, std::string& out) override {
    const Transfer& record = line.transfer.record;
    const std::string id = short_id(record.id);
    out += "<Ntry><NtryRef>";
    append_number(out, lines());
    out += "</NtryRef>";
    append_money(record.amount, line.credit, out);
    out += "<Sts><Cd>BOOK</Cd></Sts><BookgDt><DtTm>";
    append_time(out, record.timestamp);
    out += "</DtTm></BookgDt><ValDt><Dt>";
    out += calendar_.date(record.timestamp);
    out += "</Dt></ValDt><AcctSvcrRef>";
    out += id;
    out += "</AcctSvcrRef><BkTxCd><Prtry><Cd>";
    append_number(out, record.code);
    out += "</Cd><Issr>polis</Issr></Prtry></BkTxCd><NtryDtls><TxDtls><Refs><AcctSvcrRef>";
    out += id;
    out += "</AcctSvcrRef>";
    if (record.user_data_128 != 0) append_element("TxId", short_id(record.user_data_128), out);
    out += "</Refs>";
    append_counterparty(line, out);
    const std::string reference = cut(line.transfer.reference, 140);
    if (!reference.empty()) {
      out += "<RmtInf>";
      append_element("Ustrd", reference, out);
      out += "</RmtInf>";
    }
    out += "</TxDtls></NtryDtls></Ntry>\n";
  }

  void write_end(std::string& out) override { out += "</Stmt>\n</BkToCstmrStmt>\n</Document>\n"; }

 private:
  static Result<void> check_length(u128 amount, uint8_t scale) {
    std::string text;
    append_amount(text, amount, scale);
    const size_t digits = text.size() - (scale > 0 ? 1 : 0);
    if (digits <= kDigitsMax) return {};
    return fail(Code::kTooLarge,
                fmt::format("camt.053 holds amounts of {} digits, {} has {}; use json", kDigitsMax, text, digits));
  }
  // ISODateTime, to the second.
  static std::string seconds(uint64_t timestamp) {
    std::string time;
    append_time(time, timestamp);
    return time.substr(0, 19) + 'Z';
  }
  // At most 29 characters, so that the number behind it fits into 35.
  std::string statement_id() const {
    const std::string id = short_id(head().account.id);
    return id.size() <= 29 ? id : id.substr(id.size() - 29);
  }
  static void append_element(std::string_view element, std::string_view text, std::string& out) {
    if (text.empty()) return;
    out.append("<").append(element) += '>';
    base::append_xml_text(out, text);
    out.append("</").append(element) += '>';
  }
  void append_money(u128 amount, bool credit, std::string& out) const {
    out.append("<Amt Ccy=\"").append(head().ledger.asset) += "\">";
    append_amount(out, amount, head().ledger.scale);
    out += credit ? "</Amt><CdtDbtInd>CRDT</CdtDbtInd>" : "</Amt><CdtDbtInd>DBIT</CdtDbtInd>";
  }
  void append_balance(std::string_view code, const PostedSums& sums, uint64_t timestamp, std::string& out) {
    const Balance balance = balance_of(sums);
    out += fmt::format("<Bal><Tp><CdOrPrtry><Cd>{}</Cd></CdOrPrtry></Tp>", code);
    append_money(balance.amount, balance.credit, out);
    out += fmt::format("<Dt><Dt>{}</Dt></Dt></Bal>\n", calendar_.date(timestamp));
  }
  // Who paid, of an entry that credits; who was paid, of one that debits.
  static void append_counterparty(const Line& line, std::string& out) {
    const std::string_view party = line.credit ? "Dbtr" : "Cdtr";
    out += "<RltdPties>";
    const std::string called = cut(line.counterparty_name, 140);
    if (!called.empty()) {
      out += fmt::format("<{}><Pty>", party);
      append_element("Nm", called, out);
      out += fmt::format("</Pty></{}>", party);
    }
    out += fmt::format("<{}Acct><Id><Othr><Id>{}</Id></Othr></Id></{}Acct></RltdPties>", party,
                       short_id(line.counterparty), party);
  }
};

}  // namespace

std::unique_ptr<StatementWriter> make_camt053_writer() {
  return std::make_unique<Camt053Writer>();
}

}  // namespace polis::ledger::formats
