#include "systems/ledger/formats/export.h"

#include <gtest/gtest.h>
#include <map>
#include <set>

#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"
#include "systems/ledger/formats/text.h"

namespace polis::ledger::formats {
namespace {

constexpr ExportFormat kExportFormats[] = {ExportFormat::kLedger, ExportFormat::kHledger, ExportFormat::kBeancount,
                                           ExportFormat::kCsv};
constexpr uint64_t kExportNoon = 1'795'348'800'000'000'000;  // 2026-11-22T12:00:00Z

NamedAccount account(Id id, std::string name, AccountKind kind = AccountKind::kAsset, uint32_t ledger = 1) {
  return {.id = id, .ledger = ledger, .kind = kind, .name = std::move(name), .timestamp = kExportNoon};
}

NamedTransfer transfer(Id id, Id debit, Id credit, u128 amount, uint64_t timestamp = kExportNoon) {
  NamedTransfer made;
  made.record.id = id;
  made.record.debit_account_id = debit;
  made.record.credit_account_id = credit;
  made.record.amount = amount;
  made.record.ledger = 1;
  made.record.code = 7;
  made.record.timestamp = timestamp;
  return made;
}

// Two accounts of one ledger, and the transfers between them.
std::string exported(ExportFormat format, const std::vector<NamedTransfer>& transfers,
                     NamedLedger ledger = {.id = 1, .asset = "USD", .scale = 2}) {
  auto exporter = make_exporter(format);
  std::string out;
  exporter->begin(out);
  EXPECT_TRUE(exporter->ledger(ledger, out));
  EXPECT_TRUE(exporter->account(account(17, "alice"), out));
  EXPECT_TRUE(exporter->account(account(18, "bob", AccountKind::kLiability), out));
  for (const NamedTransfer& each : transfers) {
    auto written = exporter->transfer(each, out);
    EXPECT_TRUE(written) << written.error().text();
  }
  exporter->finish(out);
  return out;
}

NamedTransfer rich_transfer() {
  NamedTransfer made = transfer(4711, 17, 18, 123'45, kExportNoon + 5);
  made.record.user_data_128 = 99;
  made.reference = "order 7; \"two\" | three";
  return made;
}

TEST(Export, ledger_cli_gets_its_directives_and_one_transaction_a_transfer) {
  EXPECT_EQ(exported(ExportFormat::kLedger, {rich_transfer()}),
            R"(; The books of polis: one transaction a posted transfer, debits positive, credits negative.
tag transfer
tag timestamp
tag code
tag transaction
tag pending

commodity USD
    format 1000.00 USD

account Assets:alice
    note polis account 17

account Liabilities:bob
    note polis account 18

2026-11-22 * (4711) order 7, "two" / three
    ; transfer: 4711
    ; timestamp: 1795348800000000005
    ; code: 7
    ; transaction: 99
    Assets:alice  123.45 USD
    Liabilities:bob  -123.45 USD

; 1 transactions of 1 transfers
)");
}

TEST(Export, hledger_gets_its_own_dialect) {
  EXPECT_EQ(exported(ExportFormat::kHledger, {rich_transfer()}, {.id = 1, .asset = "JPY", .scale = 0}),
            R"(; The books of polis: one transaction a posted transfer, debits positive, credits negative.
decimal-mark .

commodity 1000. JPY

account Assets:alice  ; type:A, polis_id:17

account Liabilities:bob  ; type:L, polis_id:18

2026-11-22 * (4711) order 7, "two" / three
    ; transfer: 4711
    ; timestamp: 1795348800000000005
    ; code: 7
    ; transaction: 99
    Assets:alice  12345 JPY
    Liabilities:bob  -12345 JPY

; 1 transactions of 1 transfers
)");
}

TEST(Export, beancount_opens_its_accounts_and_escapes_its_strings) {
  EXPECT_EQ(exported(ExportFormat::kBeancount, {rich_transfer()}, {.id = 1, .asset = "kwd", .scale = 3}),
            R"(; The books of polis: one transaction a posted transfer, debits positive, credits negative.

1970-01-01 commodity KWD
  asset: "kwd"

2026-11-22 open Assets:Alice KWD
  name: "alice"
  polis_id: "17"

2026-11-22 open Liabilities:Bob KWD
  name: "bob"
  polis_id: "18"

2026-11-22 * "order 7; \"two\" | three"
  transfer: "4711"
  timestamp: "1795348800000000005"
  code: "7"
  transaction: "99"
  Assets:Alice  12.345 KWD
  Liabilities:Bob  -12.345 KWD

; 1 transactions of 1 transfers
)");
}

TEST(Export, csv_has_every_field_of_every_transfer) {
  NamedTransfer pending = transfer(4712, 18, 17, 5, kExportNoon + 6);
  pending.record.flags = transfer_flags::kPending;
  pending.record.timeout = 60;
  pending.state = PendingState::kExpired;
  pending.reference = "=1+1";
  EXPECT_EQ(
      exported(ExportFormat::kCsv, {rich_transfer(), pending}),
      "timestamp,time,id,ledger,asset,debit_account,debit_name,credit_account,credit_name,amount,amount_minor,"
      "code,flags,state,pending_id,timeout,user_data_128,user_data_64,user_data_32,reference\r\n"
      "1795348800000000005,2026-11-22T12:00:00.000000005Z,4711,1,USD,17,alice,18,bob,123.45,12345,7,0,,0,0,99,0,0,"
      "\"order 7; \"\"two\"\" | three\"\r\n"
      "1795348800000000006,2026-11-22T12:00:00.000000006Z,4712,1,USD,18,bob,17,alice,0.05,5,7,2,expired,0,60,0,0,"
      "0,\"'=1+1\"\r\n");
}

TEST(Export, journals_hold_what_was_posted_and_nothing_that_was_only_reserved) {
  NamedTransfer pending = transfer(1, 17, 18, 100, kExportNoon);
  pending.record.flags = transfer_flags::kPending;
  NamedTransfer post = transfer(2, 17, 18, 60, kExportNoon + 1);
  post.record.flags = transfer_flags::kPostPending;
  post.record.pending_id = 1;
  NamedTransfer voided = transfer(4, 17, 18, 100, kExportNoon + 2);
  voided.record.flags = transfer_flags::kVoidPending;
  voided.record.pending_id = 3;
  for (ExportFormat format : {ExportFormat::kLedger, ExportFormat::kHledger, ExportFormat::kBeancount}) {
    const std::string out = exported(format, {pending, post, voided});
    EXPECT_EQ(out.find("1.00 USD"), std::string::npos) << out;
    EXPECT_NE(out.find("  0.60 USD"), std::string::npos) << out;
    EXPECT_NE(out.find("1 transactions of 3 transfers"), std::string::npos) << out;
  }
}

TEST(Export, the_largest_amount_keeps_every_digit_at_every_scale) {
  for (uint8_t scale : {0, 2, 3, 9, 18, 37, 38}) {
    const std::string out =
        exported(ExportFormat::kHledger, {transfer(1, 17, 18, kU128Max)}, {.id = 1, .asset = "X", .scale = scale});
    std::string digits = "340282366920938463463374607431768211455";
    if (scale > 0) digits.insert(digits.size() - scale, ".");
    EXPECT_NE(out.find("  " + digits + " X"), std::string::npos) << out;
    EXPECT_NE(out.find("  -" + digits + " X"), std::string::npos) << out;
  }
}

TEST(Export, what_comes_in_the_wrong_order_or_twice_with_other_content_is_refused) {
  for (ExportFormat format : kExportFormats) {
    auto exporter = make_exporter(format);
    std::string out;
    exporter->begin(out);
    auto code_of = [](const Result<void>& result) { return result ? Code::kUnsupported : result.error().code(); };
    EXPECT_EQ(code_of(exporter->account(account(17, "alice"), out)), Code::kNotFound);
    EXPECT_EQ(code_of(exporter->ledger({.id = 1, .asset = "USD", .scale = 39}, out)), Code::kInvalid);
    EXPECT_TRUE(exporter->ledger({.id = 1, .asset = "USD", .scale = 2}, out));
    EXPECT_TRUE(exporter->ledger({.id = 1, .asset = "USD", .scale = 2}, out));
    EXPECT_EQ(code_of(exporter->ledger({.id = 1, .asset = "EUR", .scale = 2}, out)), Code::kInvalid);
    EXPECT_TRUE(exporter->ledger({.id = 2, .asset = "EUR", .scale = 2}, out));
    EXPECT_FALSE(exporter->knows(17));
    EXPECT_TRUE(exporter->account(account(17, "alice"), out));
    EXPECT_TRUE(exporter->knows(17));
    const std::string before = out;
    EXPECT_TRUE(exporter->account(account(17, "alice"), out));
    EXPECT_EQ(out, before);
    EXPECT_EQ(code_of(exporter->account(account(17, "mallory"), out)), Code::kInvalid);
    EXPECT_EQ(code_of(exporter->transfer(transfer(1, 17, 18, 5), out)), Code::kNotFound);
    EXPECT_TRUE(exporter->account(account(18, "bob"), out));
    EXPECT_TRUE(exporter->account(account(19, "euro", AccountKind::kAsset, 2), out));
    EXPECT_EQ(code_of(exporter->transfer(transfer(1, 17, 19, 5), out)), Code::kInvalid);
    EXPECT_TRUE(exporter->transfer(transfer(1, 17, 18, 5, kExportNoon + 1), out));
    EXPECT_EQ(code_of(exporter->transfer(transfer(2, 17, 18, 5, kExportNoon), out)), Code::kInvalid);
    EXPECT_EQ(exporter->counts().transfers, 1u);
  }
}

// Names that mean something to one of the readers, or are broken.
std::vector<std::string> hostile_names(base::SeededRandom& random, size_t count) {
  std::vector<std::string> names = {"",
                                    ":",
                                    "::",
                                    "a  b",
                                    "a\tb",
                                    "a;b",
                                    "(a)",
                                    "[a]",
                                    "*",
                                    "!",
                                    "assets",
                                    "Assets:x",
                                    "a\nb",
                                    "\"",
                                    "\\",
                                    "\xff\xfe",
                                    " a",
                                    "a ",
                                    "=1",
                                    "'",
                                    "\u202e",
                                    "\u00a0",
                                    "Z\u00fcrich",
                                    "-",
                                    "<",
                                    "2026-1-1",
                                    std::string(5000, 'x'),
                                    std::string("\0", 1)};
  constexpr std::string_view kPieces[] = {"a",  "B",  " ",    "  ",     ":", "-", ";", "\"",
                                          "\\", "\n", "\xc3", "\u00e9", "|", "1", "="};
  while (names.size() < count) {
    std::string name;
    for (uint64_t i = random.below(12); i > 0; --i) name += kPieces[random.below(std::size(kPieces))];
    names.push_back(name);
  }
  return names;
}

TEST(Export, hostile_names_never_break_a_line_and_never_become_one_account) {
  base::SeededRandom random(11);
  for (ExportFormat format : {ExportFormat::kLedger, ExportFormat::kHledger, ExportFormat::kBeancount}) {
    auto exporter = make_exporter(format);
    std::string out;
    ASSERT_TRUE(exporter->ledger({.id = 1, .asset = "USD", .scale = 2}, out));
    std::set<std::string> postings;
    Id id = 0;
    for (const std::string& name : hostile_names(random, 600)) {
      ++id;
      ASSERT_TRUE(exporter->account(account(2 * id, name), out));
      ASSERT_TRUE(exporter->account(account(2 * id + 1, name, AccountKind::kIncome), out));
      std::string text;
      NamedTransfer made = transfer(id, 2 * id, 2 * id + 1, 1);
      made.reference = name;
      ASSERT_TRUE(exporter->transfer(made, text));
      // The two postings are the last two lines that are not empty.
      std::vector<std::string> lines;
      for (size_t at = 0; at < text.size();) {
        const size_t end = text.find('\n', at);
        if (end > at) lines.push_back(text.substr(at, end - at));
        at = end + 1;
      }
      ASSERT_EQ(lines.size(), 6u) << text;
      for (size_t i : {size_t{4}, size_t{5}}) {
        std::string_view line = lines[i];
        const size_t between = line.find("  ", 4);
        ASSERT_NE(between, std::string_view::npos) << line;
        ASSERT_EQ(line.substr(between), i == 4 ? "  0.01 USD" : "  -0.01 USD");
        const std::string label(line.substr(0, between));
        ASSERT_TRUE(base::utf8_valid(label));
        ASSERT_TRUE(postings.insert(label).second) << label;
        ASSERT_EQ(label.find_first_of(";\"\t\r()[]|="), std::string::npos) << label;
      }
    }
    ASSERT_TRUE(base::utf8_valid(out));
  }
}

TEST(Export, hostile_assets_become_names_of_their_own_and_the_same_asset_one) {
  base::SeededRandom random(12);
  for (ExportFormat format : {ExportFormat::kLedger, ExportFormat::kHledger, ExportFormat::kBeancount}) {
    auto exporter = make_exporter(format);
    std::map<std::pair<std::string, int>, std::string> commodities;
    std::set<std::string> seen;
    uint32_t ledger = 0;
    for (std::string asset : hostile_names(random, 200)) {
      asset = asset.substr(0, 40);
      ++ledger;
      const auto scale = static_cast<uint8_t>(ledger % 2);
      std::string ignored, text;
      ASSERT_TRUE(exporter->ledger({.id = ledger, .asset = asset, .scale = scale}, ignored));
      ASSERT_TRUE(exporter->account(account(2 * ledger, "a", AccountKind::kAsset, ledger), ignored));
      ASSERT_TRUE(exporter->account(account(2 * ledger + 1, "b", AccountKind::kAsset, ledger), ignored));
      NamedTransfer made = transfer(ledger, 2 * ledger, 2 * ledger + 1, 1);
      made.record.ledger = ledger;
      ASSERT_TRUE(exporter->transfer(made, text));
      while (text.ends_with('\n')) text.pop_back();
      const std::string commodity = text.substr(text.find(' ', text.rfind("  ") + 2) + 1);
      auto [known, fresh] = commodities.emplace(std::pair(asset, scale), commodity);
      ASSERT_EQ(known->second, commodity);
      if (fresh) ASSERT_TRUE(seen.insert(commodity).second) << commodity;
      if (format == ExportFormat::kBeancount) {
        ASSERT_LE(commodity.size(), 24u);
        ASSERT_TRUE(commodity[0] >= 'A' && commodity[0] <= 'Z');
        ASSERT_EQ(commodity.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'._-"), std::string::npos)
            << commodity;
      }
    }
  }
}

TEST(Amounts, what_is_written_is_read_back_at_every_scale) {
  base::SeededRandom random(13);
  for (int round = 0; round < 20'000; ++round) {
    const auto scale = static_cast<uint8_t>(random.below(kScaleMax + 1));
    u128 amount = static_cast<u128>(random.next()) << 64 | random.next();
    amount >>= random.below(128);
    if (round == 0) amount = kU128Max;
    std::string text;
    append_amount(text, amount, scale);
    auto parsed = parse_amount(text, scale);
    ASSERT_TRUE(parsed) << text << " " << parsed.error().text();
    ASSERT_EQ(to_decimal(*parsed), to_decimal(amount)) << text;
  }
}

TEST(Amounts, people_may_leave_zeros_away_but_nothing_else) {
  EXPECT_EQ(to_decimal(*parse_amount("7", 2)), "700");
  EXPECT_EQ(to_decimal(*parse_amount("7.5", 2)), "750");
  EXPECT_EQ(to_decimal(*parse_amount("7.", 2)), "700");
  EXPECT_EQ(to_decimal(*parse_amount(".5", 2)), "50");
  EXPECT_EQ(to_decimal(*parse_amount("0007.50", 2)), "750");
  for (std::string_view wrong :
       {"", ".", "-1", "+1", "1e3", "1,5", "1.234", "1 000", "1.2.3", "0x1", " 1", "1 ", "\xd9\xa1",
        "340282366920938463463374607431768211456", "3402823669209384634633746074317682114.56"})
    EXPECT_FALSE(parse_amount(wrong, 2)) << wrong;
  EXPECT_FALSE(parse_amount("1.0", 0));
}

TEST(Text, one_line_holds_no_control_no_mark_and_no_half_character) {
  EXPECT_EQ(one_line("  a \r\n\t b\u2028c\u202ed\0e  ", 100), "a b c d");
  EXPECT_EQ(one_line("\u00e9\u00e9", 3), "\u00e9");
  EXPECT_EQ(one_line("a b", 2), "a");
  EXPECT_EQ(one_line("\xf0\x9f\x98\x80\xf0\x9f", 100), "\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(one_line("\xed\xa0\x80\xc0\x80\xf5", 100),
            "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  base::SeededRandom random(14);
  for (int round = 0; round < 2000; ++round) {
    Bytes bytes(random.below(40));
    random.fill(bytes);
    const std::string line = one_line(as_text(bytes), 20);
    ASSERT_TRUE(base::utf8_valid(line));
    ASSERT_LE(line.size(), 20u);
  }
}

TEST(Text, ids_and_times_have_their_longest_form) {
  EXPECT_EQ(short_id(1), "1");
  EXPECT_EQ(short_id(kU128Max), "Xffffffffffffffffffffffffffffffff");
  std::string time;
  append_time(time, 0);
  append_time(time, kTimestampMax);
  EXPECT_EQ(time, "1970-01-01T00:00:00.000000000Z2262-04-11T23:47:16.854775807Z");
  Calendar calendar;
  EXPECT_EQ(calendar.date(kExportNoon), "2026-11-22");
  EXPECT_EQ(calendar.short_date(kExportNoon + 43'200 * kNanosecondsPerSecond), "261123");
  EXPECT_EQ(calendar.date(0), "1970-01-01");
}

TEST(Export, the_formats_have_names_and_unknown_ones_are_refused) {
  for (ExportFormat format : kExportFormats) EXPECT_FALSE(media_type(format).empty());
  EXPECT_EQ(*parse_export_format("hledger"), ExportFormat::kHledger);
  EXPECT_EQ(parse_export_format("HLEDGER").error().code(), Code::kInvalid);
  EXPECT_EQ(parse_export_format("").error().code(), Code::kInvalid);
}

TEST(Export, an_account_without_a_name_goes_by_its_id_and_its_code_or_limit_says_its_kind) {
  Account record;
  record.id = kU128Max - 1;
  record.code = 4;
  EXPECT_EQ(kind_of(record), AccountKind::kIncome);
  record.code = 700;
  EXPECT_EQ(kind_of(record), AccountKind::kEquity);
  record.flags = account_flags::kDebitsMustNotExceedCredits;
  EXPECT_EQ(kind_of(record), AccountKind::kLiability);
  record.flags = account_flags::kCreditsMustNotExceedDebits;
  EXPECT_EQ(kind_of(record), AccountKind::kAsset);
  record.ledger = 7;
  auto exporter = make_exporter(ExportFormat::kLedger);
  std::string out;
  ASSERT_TRUE(exporter->ledger(unnamed(7u), out));
  ASSERT_TRUE(exporter->account(unnamed(record), out));
  EXPECT_NE(out.find("account Assets:340282366920938463463374607431768211454\n"), std::string::npos) << out;
  EXPECT_NE(out.find("\"LEDGER7\""), std::string::npos) << out;
}

}  // namespace
}  // namespace polis::ledger::formats
