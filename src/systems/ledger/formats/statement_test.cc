#include "systems/ledger/formats/statement.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"
#include "systems/ledger/formats/text.h"

namespace polis::ledger::formats {
namespace {

constexpr uint64_t kStatementNoon = 1'795'348'800'000'000'000;  // 2026-11-22T12:00:00Z
constexpr uint64_t kDay = 86'400 * kNanosecondsPerSecond;
constexpr StatementFormat kStatementFormats[] = {StatementFormat::kJson, StatementFormat::kMt940,
                                                 StatementFormat::kCamt053};

StatementHead some_head(std::string asset = "USD", uint8_t scale = 2) {
  return {.account = {.id = 17, .ledger = 1, .kind = AccountKind::kLiability, .name = "Alice & Söhne", .timestamp = 1},
          .ledger = {.id = 1, .asset = std::move(asset), .scale = scale},
          .from = kStatementNoon - kDay,
          .to = kStatementNoon + 30 * kDay,
          .opening = {.debits = 1000, .credits = 12'345},
          .closing = {.debits = 1000, .credits = 12'345},
          .created_at = kStatementNoon + 31 * kDay,
          .number = 7};
}

NamedTransfer transfer(Id id, bool credit, u128 amount, uint64_t timestamp, std::string_view reference = {}) {
  NamedTransfer made;
  made.record.id = id;
  (credit ? made.record.credit_account_id : made.record.debit_account_id) = 17;
  (credit ? made.record.debit_account_id : made.record.credit_account_id) = 99;
  made.record.amount = amount;
  made.record.ledger = 1;
  made.record.code = 3;
  made.record.timestamp = timestamp;
  made.reference = reference;
  return made;
}

// A statement over the transfers; its closing balance is made to fit.
std::string written(StatementFormat format, StatementHead head, const std::vector<StatementEntry>& entries) {
  for (const StatementEntry& each : entries) {
    const Transfer& record = each.transfer.record;
    if (record.flags & (transfer_flags::kPending | transfer_flags::kVoidPending)) continue;
    (record.credit_account_id == 17 ? head.closing.credits : head.closing.debits) += record.amount;
  }
  auto writer = make_statement_writer(format);
  auto checked = writer->check(head);
  EXPECT_TRUE(checked) << checked.error().text();
  std::string out;
  writer->begin(head, out);
  for (const StatementEntry& each : entries) {
    auto added = writer->entry(each, out);
    EXPECT_TRUE(added) << added.error().text();
  }
  auto finished = writer->finish(out);
  EXPECT_TRUE(finished) << finished.error().text();
  return out;
}

TEST(Statement, mt940_has_the_fields_of_a_customer_statement) {
  const std::string out = written(StatementFormat::kMt940, some_head(),
                                  {{transfer(4711, true, 5000, kStatementNoon, "Order/7 für Bob"), "Bob: the builder"},
                                   {transfer(4712, false, 1, kStatementNoon + kDay), ""}});
  EXPECT_EQ(out,
            ":20:ST00007P00001\r\n:25:17\r\n:28C:00007/00001\r\n:60F:C261121USD113,45\r\n"
            ":61:2611221122C50,00NTRFOrder.7 f.r Bob\r\n"
            ":86:Bob: the builder Order/7 f.r Bob\r\nTRANSFER 4711\r\n"
            ":61:2611231123D0,01NTRFNONREF\r\n:86:99\r\nTRANSFER 4712\r\n"
            ":62F:C261222USD163,44\r\n:86:Alice . S.hne\r\n-\r\n");
}

TEST(Statement, json_has_every_number_as_text) {
  const std::string out =
      written(StatementFormat::kJson, some_head("KWD", 3),
              {{transfer(kU128Max - 1, false, 1'000'000, kStatementNoon + 5, "a \"b\"\n"), "B\\ob"}});
  EXPECT_EQ(out,
            R"({"account":{"id":"17","name":"Alice & Söhne","kind":"liability","ledger":1,"asset":"KWD","scale":3},)"
            R"("number":7,"from":"2026-11-21T12:00:00.000000000Z","to":"2026-12-22T12:00:00.000000000Z",)"
            R"("created_at":"2026-12-23T12:00:00.000000000Z",)"
            R"("opening":{"side":"credit","amount":"11.345","debits":"1.000","credits":"12.345"},)"
            R"("closing":{"side":"debit","amount":"988.655","debits":"1001.000","credits":"12.345"},"entries":[)"
            "\n"
            R"({"transfer":"340282366920938463463374607431768211454","timestamp":"1795348800000000005",)"
            R"("time":"2026-11-22T12:00:00.000000005Z","side":"debit","amount":"1000.000","counterparty":"99",)"
            R"("counterparty_name":"B\\ob","reference":"a \"b\"\u000a","transaction":"0","code":3,)"
            R"("balance":{"side":"debit","amount":"988.655","debits":"1001.000","credits":"12.345"}})"
            "\n],\"count\":1}\n");
}

TEST(Statement, camt_053_has_balances_before_entries_and_escapes_its_text) {
  const std::string out = written(StatementFormat::kCamt053, some_head("JPY", 0),
                                  {{transfer(5, true, 10, kStatementNoon, "<&>\"\x01"), "B&B"}});
  EXPECT_NE(out.find("<Acct><Id><Othr><Id>17</Id></Othr></Id><Ccy>JPY</Ccy><Nm>Alice &amp; Söhne</Nm></Acct>\n"
                     "<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy=\"JPY\">11345</Amt>"
                     "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-11-21</Dt></Dt></Bal>\n"
                     "<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy=\"JPY\">11355</Amt>"
                     "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-12-22</Dt></Dt></Bal>\n"
                     "<Ntry><NtryRef>1</NtryRef><Amt Ccy=\"JPY\">10</Amt><CdtDbtInd>CRDT</CdtDbtInd>"),
            std::string::npos)
      << out;
  EXPECT_NE(out.find("<Dbtr><Pty><Nm>B&amp;B</Nm></Pty></Dbtr>"), std::string::npos) << out;
  EXPECT_NE(out.find("<Ustrd>&lt;&amp;&gt;&quot;</Ustrd>"), std::string::npos) << out;
}

// Fields of MT940's pages: (tag, content) with continuation lines joined by '\n'.
std::vector<std::vector<std::pair<std::string, std::string>>> pages_of(std::string_view out) {
  std::vector<std::vector<std::pair<std::string, std::string>>> pages(1);
  size_t begin_of_page = 0;
  for (size_t at = 0; at < out.size();) {
    const size_t end = out.find("\r\n", at);
    EXPECT_NE(end, std::string_view::npos);
    const std::string_view line = out.substr(at, end - at);
    at = end + 2;
    if (line == "-") {
      EXPECT_LE(at - begin_of_page, 2000u);
      begin_of_page = at;
      pages.emplace_back();
    } else if (line.starts_with(':')) {
      const size_t colon = line.find(':', 1);
      pages.back().emplace_back(line.substr(1, colon - 1), line.substr(colon + 1));
    } else {
      EXPECT_LE(line.size(), 65u);
      EXPECT_FALSE(line.empty() || line.starts_with('-')) << line;
      pages.back().back().second.append("\n").append(line);
    }
  }
  EXPECT_TRUE(pages.back().empty());
  pages.pop_back();
  return pages;
}

int64_t signed_minor(std::string_view mark_and_amount, char mark) {
  std::string digits;
  for (char c : mark_and_amount)
    if (c >= '0' && c <= '9') digits += c;
  return (mark == 'C' ? 1 : -1) * std::stoll(digits);
}

TEST(Statement, every_page_of_mt940_is_within_its_limits_and_adds_up_whatever_the_names_are) {
  base::SeededRandom random(21);
  std::vector<std::string> texts;
  for (int i = 0; i < 500; ++i) {
    std::string text(random.below(300), '\0');
    random.fill(as_writable_bytes(text));
    if (i % 3 == 0)
      for (char& c : text) c = "ab:-/ {}\r\n'0"[static_cast<uint8_t>(c) % 12];
    texts.push_back(text);
  }
  std::vector<StatementEntry> entries;
  for (size_t i = 0; i < texts.size(); ++i)
    entries.push_back({transfer(i + 1, random.chance(1, 2), random.below(1'000'000),
                                kStatementNoon + i * kNanosecondsPerSecond, texts[i]),
                       texts[texts.size() - 1 - i]});
  StatementHead head = some_head();
  head.account.name = texts[3];
  const std::string out = written(StatementFormat::kMt940, head, entries);
  for (char c : out) ASSERT_TRUE(c == '\r' || c == '\n' || (c >= 0x20 && c < 0x7f)) << int{c};
  const auto pages = pages_of(out);
  ASSERT_GT(pages.size(), 10u);
  size_t seen = 0;
  int64_t balance = 0;
  for (size_t page = 0; page < pages.size(); ++page) {
    std::vector<std::string> tags;
    for (const auto& [tag, content] : pages[page]) tags.push_back(tag);
    ASSERT_EQ(tags[0], "20");
    ASSERT_EQ(tags[1], "25");
    ASSERT_EQ(tags[2], "28C");
    ASSERT_EQ(tags[3], page == 0 ? "60F" : "60M");
    const std::string& opening = pages[page][3].second;
    const int64_t opened = signed_minor(std::string_view(opening).substr(10), opening[0]);
    if (page > 0) ASSERT_EQ(opened, balance);
    balance = opened;
    for (size_t i = 4; i < pages[page].size(); ++i) {
      const auto& [tag, content] = pages[page][i];
      if (tag == "61") {
        ++seen;
        const size_t end = content.find("NTRF");
        balance += signed_minor(std::string_view(content).substr(11, end - 11), content[10]);
        ASSERT_LE(content.size(), end + 4 + 16);
        ASSERT_EQ(pages[page][i + 1].first, "86");
        ASSERT_LE(std::count(pages[page][i + 1].second.begin(), pages[page][i + 1].second.end(), '\n'), 5);
      } else if (tag.starts_with("62")) {
        ASSERT_EQ(tag, page + 1 == pages.size() ? "62F" : "62M");
        ASSERT_EQ(balance, signed_minor(std::string_view(content).substr(10), content[0]));
      } else {
        ASSERT_EQ(tag, "86");
      }
    }
  }
  EXPECT_EQ(seen, entries.size());
}

TEST(Statement, camt_053_stays_well_formed_whatever_the_names_are) {
  base::SeededRandom random(22);
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) {
    std::string text(random.below(400), '\0');
    random.fill(as_writable_bytes(text));
    if (i % 2 == 0)
      for (char& c : text) c = "a<>&\"']]>\x01\t "[static_cast<uint8_t>(c) % 12];
    texts.push_back(text);
  }
  std::vector<StatementEntry> entries;
  for (size_t i = 0; i < texts.size(); ++i)
    entries.push_back(
        {transfer(i + 1, random.chance(1, 2), 5, kStatementNoon + i, texts[i]), texts[texts.size() - 1 - i]});
  StatementHead head = some_head();
  head.account.name = texts[5];
  const std::string out = written(StatementFormat::kCamt053, head, entries);
  ASSERT_TRUE(base::utf8_valid(out));
  // Every '<' opens or closes the element that is due.
  std::vector<std::string> open;
  for (size_t at = out.find('<', 5); at != std::string::npos; at = out.find('<', at + 1)) {
    const size_t end = out.find_first_of("<>", at + 1);
    ASSERT_EQ(out[end], '>');
    std::string tag = out.substr(at + 1, end - at - 1);
    if (tag.starts_with('/')) {
      ASSERT_FALSE(open.empty());
      ASSERT_EQ(tag.substr(1), open.back());
      open.pop_back();
    } else {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  EXPECT_TRUE(open.empty());
  for (char c : out) ASSERT_TRUE(c == '\n' || static_cast<uint8_t>(c) >= 0x20);
}

TEST(Statement, pending_transfers_and_voids_are_no_entries) {
  NamedTransfer pending = transfer(1, true, 70, kStatementNoon), post = transfer(2, true, 60, kStatementNoon + 1),
                voided = transfer(3, true, 70, kStatementNoon + 2);
  pending.record.flags = transfer_flags::kPending;
  post.record.flags = transfer_flags::kPostPending;
  voided.record.flags = transfer_flags::kVoidPending;
  for (StatementFormat format : kStatementFormats) {
    const std::string out = written(format, some_head(), {{pending, ""}, {post, ""}, {voided, ""}});
    EXPECT_EQ(out.find("0,70"), std::string::npos) << out;
    EXPECT_EQ(out.find("0.70"), std::string::npos) << out;
    EXPECT_TRUE(out.find("0.60") != std::string::npos || out.find("0,60") != std::string::npos) << out;
  }
}

TEST(Statement, a_statement_that_does_not_add_up_is_corrupt_and_not_finished) {
  for (StatementFormat format : kStatementFormats) {
    auto writer = make_statement_writer(format);
    StatementHead head = some_head();
    head.closing.credits += 1;
    std::string out;
    ASSERT_TRUE(writer->check(head));
    writer->begin(head, out);
    const std::string before = out;
    auto finished = writer->finish(out);
    ASSERT_FALSE(finished);
    EXPECT_EQ(finished.error().code(), Code::kCorrupt);
    EXPECT_EQ(out, before);
  }
}

TEST(Statement, heads_and_entries_that_are_wrong_are_refused_with_the_reason) {
  auto code_of = [](const Result<void>& result) { return result ? Code::kNotFound : result.error().code(); };
  for (StatementFormat format : kStatementFormats) {
    auto writer = make_statement_writer(format);
    auto head_with = [&](auto change) {
      StatementHead head = some_head();
      change(head);
      return code_of(writer->check(head));
    };
    EXPECT_EQ(head_with([](StatementHead& h) { h.to = h.from - 1; }), Code::kInvalid);
    EXPECT_EQ(head_with([](StatementHead& h) { h.to = kTimestampMax + 1; }), Code::kInvalid);
    EXPECT_EQ(head_with([](StatementHead& h) { h.number = 0; }), Code::kInvalid);
    EXPECT_EQ(head_with([](StatementHead& h) { h.number = 100'000; }), Code::kInvalid);
    EXPECT_EQ(head_with([](StatementHead& h) { h.ledger.scale = 39; }), Code::kInvalid);
    EXPECT_EQ(head_with([](StatementHead& h) { h.account.ledger = 2; }), Code::kInvalid);
    EXPECT_EQ(head_with([](StatementHead& h) { h.closing.debits = 0; }), Code::kInvalid);
    const bool json = format == StatementFormat::kJson;
    EXPECT_EQ(head_with([](StatementHead& h) { h.ledger.asset = "points"; }),
              json ? Code::kNotFound : Code::kUnsupported);
    EXPECT_EQ(head_with([](StatementHead& h) { h.ledger.asset = "US1"; }), json ? Code::kNotFound : Code::kUnsupported);
    EXPECT_EQ(head_with([](StatementHead& h) { h.closing.credits = kU128Max; }),
              json ? Code::kNotFound : Code::kTooLarge);
    EXPECT_EQ(head_with([](StatementHead& h) { h.ledger.scale = 6; }),
              format == StatementFormat::kCamt053 ? Code::kUnsupported : Code::kNotFound);

    std::string out;
    StatementHead head = some_head();
    writer->begin(head, out);
    EXPECT_EQ(code_of(writer->entry({transfer(1, true, 5, head.from - 1), ""}, out)), Code::kInvalid);
    EXPECT_EQ(code_of(writer->entry({transfer(1, true, 5, head.to + 1), ""}, out)), Code::kInvalid);
    NamedTransfer foreign = transfer(1, true, 5, kStatementNoon);
    foreign.record.credit_account_id = 98;
    EXPECT_EQ(code_of(writer->entry({foreign, ""}, out)), Code::kInvalid);
    EXPECT_TRUE(writer->entry({transfer(1, true, 5, kStatementNoon), ""}, out));
    EXPECT_EQ(code_of(writer->entry({transfer(2, true, 5, kStatementNoon - 1), ""}, out)), Code::kInvalid);
    EXPECT_EQ(code_of(writer->entry({transfer(3, true, kU128Max / 2, kStatementNoon), ""}, out)),
              json ? Code::kNotFound : Code::kTooLarge);
  }
}

TEST(Statement, the_longest_amounts_that_fit_are_written_whole) {
  StatementHead head = some_head();
  head.opening = head.closing = {.debits = 0, .credits = 99'999'999'999'999};
  EXPECT_NE(written(StatementFormat::kMt940, head, {}).find("USD999999999999,99\r\n"), std::string::npos);
  head.opening = head.closing = {.debits = 0, .credits = 100'000'000'000'000};
  EXPECT_FALSE(make_statement_writer(StatementFormat::kMt940)->check(head));
  head.opening = head.closing = {.debits = 999'999'999'999'999'999, .credits = 0};
  EXPECT_NE(written(StatementFormat::kCamt053, head, {}).find(">9999999999999999.99<"), std::string::npos);
  head.opening = head.closing = {.debits = 1'000'000'000'000'000'000, .credits = 0};
  EXPECT_FALSE(make_statement_writer(StatementFormat::kCamt053)->check(head));
}

}  // namespace
}  // namespace polis::ledger::formats
