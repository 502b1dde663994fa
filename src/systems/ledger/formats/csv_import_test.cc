#include "systems/ledger/formats/csv_import.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "systems/ledger/formats/csv.h"
#include "systems/ledger/formats/csv_reader.h"

namespace polis::ledger::formats {
namespace {

constexpr uint64_t kNoon = 1'795'348'800'000'000'000;  // 2026-11-22T12:00:00Z

struct Outcome {
  std::vector<ImportedTransfer> transfers;
  CsvImport::Counts counts;
  std::string error;  // empty: none
};

ImportNames some_names() {
  return {.account = [](std::string_view name) -> Result<Id> {
            if (name == "alice") return Id{17};
            if (name == "bob") return Id{18};
            return fail(Code::kNotFound, "there is no account named '" + std::string(name) + "'");
          },
          .ledger = [](Id) -> Result<uint32_t> { return 1u; },
          .scale = [](uint32_t ledger) -> Result<uint8_t> {
            if (ledger == 1) return uint8_t{2};
            return fail(Code::kNotFound, "there is no ledger " + std::to_string(ledger));
          }};
}

Outcome imported(std::string_view text, ImportNames names = some_names(), size_t piece_bytes = SIZE_MAX) {
  Outcome outcome;
  auto import = import_transfers(std::move(names), [&](ImportedTransfer transfer) -> Result<void> {
    outcome.transfers.push_back(std::move(transfer));
    return {};
  });
  Result<void> result;
  while (result && !text.empty()) {
    const std::string_view piece = text.substr(0, piece_bytes);
    text.remove_prefix(piece.size());
    result = import->feed(piece);
  }
  if (result) result = import->finish();
  if (!result) {
    EXPECT_EQ(result.error().code(), Code::kInvalid);
    outcome.error = result.error().text();
  }
  outcome.counts = import->counts();
  return outcome;
}

constexpr std::string_view kColumns = "time,debit_account,credit_account,amount\n";

TEST(CsvImport, a_table_of_dates_names_and_amounts_becomes_transfers) {
  const Outcome outcome = imported(
      "\xEF\xBB\xBF"
      "what,amount,credit_account,debit_account,time,reference\r\n"
      "ignored,12.5,bob,alice,2026-11-22,\"rent, \"\"May\"\"\nsecond line\"\r\n"
      "\r\n"
      ",7,17,18,2026-11-22,'=x\r\n"
      ",.01,bob,alice,2026-11-22T12:00:00+01:00,");
  ASSERT_EQ(outcome.error, "");
  ASSERT_EQ(outcome.transfers.size(), 3u);
  const ImportedTransfer& first = outcome.transfers[0];
  EXPECT_EQ(first.line, 2u);
  EXPECT_EQ(first.reference, "rent, \"May\"\nsecond line");
  EXPECT_EQ(first.transfer.debit_account_id, Id{17});
  EXPECT_EQ(first.transfer.credit_account_id, Id{18});
  EXPECT_EQ(first.transfer.amount, u128{1250});
  EXPECT_EQ(first.transfer.ledger, 1u);
  EXPECT_EQ(first.transfer.code, 1u);
  EXPECT_EQ(first.transfer.flags, transfer_flags::kImported);
  EXPECT_EQ(first.transfer.timestamp, kNoon - 12 * 3600 * kNanosecondsPerSecond);
  // Rows of one day get the next nanosecond each.
  EXPECT_EQ(outcome.transfers[1].transfer.timestamp, first.transfer.timestamp + 1);
  EXPECT_EQ(outcome.transfers[1].line, 5u);
  EXPECT_EQ(outcome.transfers[1].reference, "=x");
  EXPECT_EQ(outcome.transfers[2].transfer.timestamp, kNoon - 3600 * kNanosecondsPerSecond);
  EXPECT_EQ(outcome.transfers[2].transfer.amount, u128{1});
}

// Random transfers, as books could have them.
std::vector<NamedTransfer> random_transfers(base::SeededRandom& random, std::vector<std::string>& references) {
  std::vector<NamedTransfer> transfers;
  uint64_t timestamp = kNoon;
  references.resize(200);
  for (std::string& reference : references) {
    reference.resize(random.below(8));
    for (char& c : reference) c = "a,\"\r\n'=+-@\t\xc3\xa9 "[random.below(14)];
    NamedTransfer made;
    made.reference = reference;
    Transfer& record = made.record;
    record.id = static_cast<u128>(random.next()) << 64 | (random.next() | 1);
    record.debit_account_id = 17 + random.below(2);
    record.credit_account_id = 35 - record.debit_account_id;
    record.amount = static_cast<u128>(random.next()) << random.below(64);
    record.user_data_128 = random.next();
    record.user_data_64 = random.next();
    record.user_data_32 = static_cast<uint32_t>(random.next());
    record.ledger = 1;
    record.code = static_cast<uint16_t>(1 + random.below(65535));
    record.flags = static_cast<uint16_t>(random.below(512));
    const bool pending = record.flags & transfer_flags::kPending;
    if (pending) record.flags &= ~(transfer_flags::kPostPending | transfer_flags::kVoidPending);
    if (record.flags & (transfer_flags::kPostPending | transfer_flags::kVoidPending))
      record.pending_id = 1 + random.below(1000);
    if (pending) record.timeout = static_cast<uint32_t>(random.below(100));
    if (pending) made.state = static_cast<PendingState>(1 + random.below(4));
    record.timestamp = timestamp += 1 + random.below(1'000'000'000'000);
    transfers.push_back(made);
  }
  return transfers;
}

TEST(CsvImport, an_export_comes_back_as_it_was_but_for_what_an_import_cannot_repeat) {
  base::SeededRandom random(31);
  std::vector<std::string> references;
  const auto transfers = random_transfers(random, references);
  auto exporter = make_exporter(ExportFormat::kCsv);
  std::string csv;
  exporter->begin(csv);
  ASSERT_TRUE(exporter->ledger({.id = 1, .asset = "US\"D", .scale = 2}, csv));
  ASSERT_TRUE(exporter->account({.id = 17, .ledger = 1, .name = "=cmd|' /C calc'!A0"}, csv));
  ASSERT_TRUE(exporter->account({.id = 18, .ledger = 1, .name = "a\r\nb"}, csv));
  for (const NamedTransfer& each : transfers) ASSERT_TRUE(exporter->transfer(each, csv));
  exporter->finish(csv);
  for (size_t piece_bytes : {SIZE_MAX, size_t{1}, size_t{7}}) {
    const Outcome outcome = imported(csv, {}, piece_bytes);
    ASSERT_EQ(outcome.error, "");
    size_t at = 0;
    for (const NamedTransfer& each : transfers) {
      if (each.state == PendingState::kExpired) continue;
      ASSERT_LT(at, outcome.transfers.size());
      Transfer expected = each.record;
      expected.timeout = 0;
      expected.flags &= ~(transfer_flags::kLinked | transfer_flags::kBalancingDebit | transfer_flags::kBalancingCredit);
      expected.flags |= transfer_flags::kImported;
      ASSERT_EQ(outcome.transfers[at].transfer, expected) << at;
      ASSERT_EQ(outcome.transfers[at].reference, each.reference);
      ++at;
    }
    ASSERT_EQ(at, outcome.transfers.size());
    EXPECT_EQ(outcome.counts.rows + outcome.counts.skipped, transfers.size());
  }
}

TEST(CsvImport, what_is_wrong_is_said_with_its_line_and_column) {
  const auto error_of = [](std::string_view row) { return imported(std::string(kColumns) + std::string(row)).error; };
  EXPECT_EQ(error_of("2026-11-22,alice,bob,1\n2026-11-22,alice,bob,1.234\n"),
            "line 3, column amount: '1.234' is not an amount: this asset has 2 digits behind the point");
  EXPECT_EQ(error_of("2026-11-22,mallory,bob,1\n"),
            "line 2, column debit_account: there is no account named 'mallory'");
  EXPECT_EQ(error_of("2026-11-22,,bob,1\n"), "line 2, column debit_account: an account is needed");
  EXPECT_EQ(error_of("2026-11-22,0,bob,1\n"), "line 2, column debit_account: an id is a number from 1 to 2^128-2");
  EXPECT_EQ(error_of("2026-11-22,alice,17,1\n"),
            "line 2, column credit_account: a transfer needs two different accounts");
  EXPECT_EQ(error_of("2026-11-22,alice,bob,-1\n"),
            "line 2, column amount: '-1' is not an amount: digits with at most one point are expected, without sign, "
            "exponent or grouping");
  EXPECT_EQ(error_of("2026-11-22,alice,bob,\n"), "line 2, column amount: an amount is needed");
  EXPECT_EQ(error_of("2026-02-30,alice,bob,1\n"),
            "line 2, column time: '2026-02-30' is not a time such as 2026-11-22T14:30:00Z or 2026-11-22");
  EXPECT_EQ(error_of("1969-01-01,alice,bob,1\n"), "line 2, column time: times before 1970 cannot be booked");
  EXPECT_EQ(error_of("2026-11-22,alice,bob,1\n2026-11-21,alice,bob,1\n"),
            "line 3, column time: rows must be in the order of time; this one is before the row ahead of it");
  EXPECT_EQ(error_of("2026-11-22,alice,bob\n"), "line 2: the row has 3 cells, the table 4 columns");
  EXPECT_EQ(error_of("2026-11-22,al\"ice,bob,1\n"),
            "line 2: a quote inside a cell: put the cell between quotes and write \"\" for it");
  EXPECT_EQ(error_of("2026-11-22,\"alice\"x,bob,1\n"),
            "line 2: behind a closing quote, ',' or the end of the line must come");
  EXPECT_EQ(error_of("2026-11-22,\"alice\n\n"), "line 4: the quote that was opened in the row of line 2 is not closed");
  EXPECT_EQ(error_of("a\rb"), "line 2: a carriage return stands alone; lines end with LF or CR LF");
  EXPECT_EQ(error_of(std::string(70'000, 'a')), "line 2: a row has at most 65536 bytes");
  EXPECT_EQ(error_of(std::string(70, ',')), "line 2: a row has at most 64 cells");
}

TEST(CsvImport, a_table_without_the_columns_it_needs_is_refused_before_its_first_row) {
  EXPECT_EQ(imported("").error, "line 1: the table is empty; its first row names the columns");
  EXPECT_EQ(imported("\n\n").error, "line 1: the table is empty; its first row names the columns");
  EXPECT_EQ(imported("time;debit_account;credit_account;amount\n").error, "line 1: cells are parted by commas");
  EXPECT_EQ(imported("time,debit_account,amount\n").error,
            "the table needs the columns debit_account and credit_account");
  EXPECT_EQ(imported("time,debit_account,credit_account\n").error,
            "the table needs the column amount or amount_minor (in the smallest unit)");
  EXPECT_EQ(imported("debit_account,credit_account,amount\n").error,
            "the table needs the column time or timestamp (ns since 1970)");
  EXPECT_EQ(imported("time,time,debit_account,credit_account,amount\n").error,
            "line 1: the column time is there twice");
  EXPECT_EQ(imported(kColumns, {}).error, "the table needs the column ledger");
  EXPECT_EQ(imported("\xEF\xBB").error, "line 1: the text ends inside a byte order mark");
}

TEST(CsvImport, numbers_and_flags_out_of_their_range_are_refused) {
  const auto error_of = [](std::string_view column, std::string_view cell) {
    return imported("timestamp,debit_account,credit_account,amount_minor," + std::string(column) + "\n5,1,2,3," +
                    std::string(cell) + "\n")
        .error;
  };
  EXPECT_EQ(error_of("code", "65536"), "line 2, column code: 65536 is above 65535");
  EXPECT_EQ(error_of("code", "0"), "line 2, column code: a code is above 0");
  EXPECT_EQ(error_of("flags", "512"), "line 2, column flags: 512 is above 511");
  EXPECT_EQ(error_of("flags", "4"),
            "line 2, column pending_id: a transfer that posts or voids names the pending one, and no other does");
  EXPECT_EQ(error_of("pending_id", "4"),
            "line 2, column pending_id: a transfer that posts or voids names the pending one, and no other does");
  EXPECT_EQ(error_of("ledger", "4294967296"), "line 2, column ledger: 4294967296 is above 4294967295");
  EXPECT_EQ(error_of("state", "lost"), "line 2, column state: a state is empty, pending, posted, voided or expired");
  EXPECT_EQ(error_of("user_data_64", "1e3"),
            "line 2, column user_data_64: '1e3' is not a number: a number has only the digits 0 to 9");
  EXPECT_EQ(error_of("id", "340282366920938463463374607431768211455"),
            "line 2, column id: an id is a number from 1 to 2^128-2");
  EXPECT_EQ(error_of("reference", "fine"), "");
}

TEST(CsvImport, what_the_visitor_refuses_ends_the_import) {
  auto import = import_transfers(some_names(), [](ImportedTransfer transfer) -> Result<void> {
    return fail(Code::kBusy, "line " + std::to_string(transfer.line) + ": not now");
  });
  ASSERT_TRUE(import->feed(kColumns));
  auto fed = import->feed("2026-11-22,alice,bob,1\n");
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code(), Code::kBusy);
}

TEST(CsvImport, accounts_come_back_without_balances_and_open) {
  Account account;
  account.id = kU128Max - 1;
  account.debits_posted = 5;
  account.ledger = 7;
  account.code = 2;
  account.flags = account_flags::kAll & ~account_flags::kCreditsMustNotExceedDebits;
  account.user_data_128 = kU128Max;
  account.user_data_64 = UINT64_MAX;
  account.user_data_32 = 9;
  account.timestamp = kNoon;
  std::string csv;
  begin_accounts_csv(csv);
  append_account_csv(account, "USD", "+49, \"Bob\"", csv);
  std::vector<ImportedAccount> accounts;
  auto import = import_accounts([&](ImportedAccount each) -> Result<void> {
    accounts.push_back(std::move(each));
    return {};
  });
  ASSERT_TRUE(import->feed(csv));
  ASSERT_TRUE(import->finish());
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_EQ(accounts[0].name, "+49, \"Bob\"");
  EXPECT_EQ(accounts[0].kind, AccountKind::kLiability);
  account.debits_posted = 0;
  account.flags = account_flags::kDebitsMustNotExceedCredits | account_flags::kHistory | account_flags::kImported;
  EXPECT_EQ(accounts[0].account, account);

  for (std::string_view wrong :
       {"id,ledger\n", "id,time\n", "id,ledger,time,kind\n1,1,2026-01-01,money\n", "id,ledger,time\n1,0,2026-01-01\n",
        "id,ledger,time\n0,1,2026-01-01\n", "id,ledger,time,flags\n1,1,2026-01-01,64\n", "id,ledger,timestamp\n1,1,0\n",
        "id,ledger,timestamp\n1,1,9223372036854775807\n"}) {
    auto other = import_accounts([](ImportedAccount) -> Result<void> { return {}; });
    auto result = other->feed(wrong);
    if (result) result = other->finish();
    EXPECT_FALSE(result) << wrong;
  }
}

}  // namespace
}  // namespace polis::ledger::formats
