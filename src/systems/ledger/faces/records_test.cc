#include "systems/ledger/faces/records.h"

#include <gtest/gtest.h>
#include <set>

#include "kernel/base/random.h"
#include "systems/ledger/faces/json_writer.h"

namespace polis::ledger {
namespace {

AccountRecord example_account() {
  return {.id = u128{7} << 100 | 5,
          .name = "assets:bank",
          .owner = "alice",
          .labels = {{"team", "blue"}, {"", "x"}},
          .version = 9,
          .ledger = 3,
          .code = 1,
          .flags = account_flags::kHistory,
          .created_at = WallTime(std::chrono::seconds(1'700'000'000))};
}

TransactionRecord example_transaction() {
  return {.id = kU128Max - 1,
          .kind = TransactionKind::kReverse,
          .parent = 12,
          .key = "k",
          .reference = "order-7",
          .metadata = R"({"a":1})",
          .digest = base::sha256(std::string_view("x")),
          .count = 8189,
          .pending = true,
          .timeout_s = 60,
          .ledgers = {1, 2},
          .created_at = WallTime(std::chrono::seconds(1'700'000'000)),
          .state = TransactionState::kRefused,
          .status = 54,
          .posting = 3};
}

TEST(Records, what_is_encoded_reads_back_the_same) {
  const LedgerRecord ledger{
      .id = 840, .asset = "USD", .scale = 2, .created_at = WallTime(std::chrono::seconds(1'700'000'000))};
  EXPECT_EQ(decode_ledger(encode(ledger)).value(), ledger);
  EXPECT_EQ(decode_account(encode(example_account())).value(), example_account());
  EXPECT_EQ(decode_transaction(encode(example_transaction())).value(), example_transaction());
  EXPECT_EQ(decode_id(encode_id(12345)).value(), Id{12345});
}

TEST(Records, a_row_that_is_cut_off_or_has_more_behind_it_is_corrupt_and_never_read) {
  const std::string rows[] = {encode(example_account()), encode(example_transaction()), encode(LedgerRecord{})};
  for (const std::string& row : rows) {
    for (size_t size = 0; size <= row.size() + 1; ++size) {
      if (size == row.size()) continue;
      std::string changed = row + "x";
      changed.resize(size);
      const Result<AccountRecord> account = decode_account(changed);
      const Result<TransactionRecord> transaction = decode_transaction(changed);
      const Result<LedgerRecord> ledger = decode_ledger(changed);
      if (&row == &rows[0]) EXPECT_EQ(account.error().code(), Code::kCorrupt) << size;
      if (&row == &rows[1]) EXPECT_EQ(transaction.error().code(), Code::kCorrupt) << size;
      if (&row == &rows[2]) EXPECT_EQ(ledger.error().code(), Code::kCorrupt) << size;
    }
  }
}

TEST(Records, bytes_of_any_kind_never_harm_a_decoder) {
  base::SeededRandom random(1);
  const std::string row = encode(example_transaction());
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = row;
    for (int changes = 0; changes < 4; ++changes) bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    (void)decode_transaction(bytes);
    (void)decode_account(bytes);
    (void)decode_ledger(bytes);
  }
}

TEST(Records, an_unknown_format_is_refused) {
  std::string row = encode(example_account());
  row[0] = 2;
  EXPECT_EQ(decode_account(row).error().code(), Code::kCorrupt);
}

TEST(Records, transactions_lie_newest_first) {
  const WallTime early(std::chrono::seconds(1'000)), late(std::chrono::seconds(2'000));
  EXPECT_LT(recent_key(late, 1), recent_key(early, kU128Max));
  EXPECT_EQ(id_at_end(recent_key(early, 77)).value(), Id{77});
  EXPECT_FALSE(id_at_end("s").has_value());
}

TEST(Records, ids_differ_wherever_what_they_stand_for_differs) {
  std::set<Id> ids;
  ids.insert(transaction_id("a", ""));
  ids.insert(transaction_id("", "a"));
  ids.insert(transaction_id("b", ""));
  ids.insert(derive_id("x", {"ab", "c"}));
  ids.insert(derive_id("x", {"a", "bc"}));
  ids.insert(derive_id("x", {"abc"}));
  ids.insert(follow_up_id(TransactionKind::kPost, 1, ""));
  ids.insert(follow_up_id(TransactionKind::kVoid, 1, ""));
  ids.insert(follow_up_id(TransactionKind::kPost, 2, ""));
  ids.insert(account_id("a", 0));
  ids.insert(account_id("a", 1));
  for (uint32_t i = 0; i < 1000; ++i) ids.insert(transfer_id(1, i));
  EXPECT_EQ(ids.size(), 11u + 1000u);
  EXPECT_FALSE(ids.contains(0));
}

TEST(Records, names_that_could_be_mistaken_are_refused) {
  EXPECT_TRUE(check_account_name("assets:bank").has_value());
  EXPECT_TRUE(check_account_name("Zoë's wallet").has_value());
  EXPECT_TRUE(check_account_name("7up").has_value());
  for (const std::string& name :
       {std::string(), std::string("123"), std::string("a/b"), std::string("a\nb"), std::string(" a"),
        std::string("a "), std::string("\xff"), std::string(129, 'x'), std::string("a\0b", 3)})
    EXPECT_EQ(check_account_name(name).error().code(), Code::kInvalid) << name;
  for (const char* asset : {"", "US D", "US/D", "ÜSD", "ABCDEFGHIJKLMNOPQRSTUVWXY"})
    EXPECT_FALSE(check_asset(asset).has_value()) << asset;
  for (const std::string& key : {std::string(), std::string("a\tb"), std::string("ü"), std::string(257, 'x')})
    EXPECT_FALSE(check_key(key).has_value());
}

// --- amounts as text

TEST(Amounts, a_decimal_amount_reads_back_at_every_scale) {
  base::SeededRandom random(2);
  for (int i = 0; i < 2'000; ++i) {
    u128 amount = static_cast<u128>(random.next()) << 64 | random.next();
    amount >>= random.below(128);
    const unsigned scale = static_cast<unsigned>(random.below(kScaleMax + 1));
    EXPECT_TRUE(parse_decimal_point(to_decimal_point(amount, scale), scale).value() == amount);
  }
  EXPECT_EQ(to_decimal_point(5, 2), "0.05");
  EXPECT_EQ(to_decimal_point(0, 2), "0.00");
  EXPECT_EQ(to_decimal_point(1234, 2), "12.34");
  EXPECT_EQ(to_decimal_point(7, 0), "7");
  EXPECT_TRUE(parse_decimal_point("12.3", 2).value() == 1230);
  EXPECT_TRUE(parse_decimal_point("007", 2).value() == 700);
}

TEST(Amounts, what_is_no_amount_of_the_scale_is_refused) {
  for (const char* text : {"", ".", "1.", ".5", "1.234", "-1", "+1", "1e3", "1,5", " 1", "1 ", "1.2.3", "0x1", "NaN",
                           "340282366920938463463374607431768211456", "3402823669209384634633746074317682114.56"})
    EXPECT_EQ(parse_decimal_point(text, 2).error().code(), Code::kInvalid) << text;
  EXPECT_FALSE(parse_decimal_point("1.0", 0).has_value());
}

TEST(Amounts, a_timestamp_as_text_keeps_every_nanosecond) {
  EXPECT_EQ(to_time_text(1'700'000'000'000'000'001), "2023-11-14T22:13:20.000000001Z");
  EXPECT_EQ(to_time_text(0), "1970-01-01T00:00:00.000000000Z");
}

TEST(JsonWriter, nests_and_separates) {
  JsonWriter out;
  out.begin_object().member("a", "x\"y").key("b").begin_array().number(1).null().begin_object().end_object();
  out.end_array().digits("c", kU128Max).flag("d", false).text_key("e\n").real(1.5).key("f").raw("{}").end_object();
  EXPECT_EQ(out.str(),
            R"({"a":"x\"y","b":[1,null,{}],"c":"340282366920938463463374607431768211455","d":false,"e\n":1.5,"f":{}})");
}

}  // namespace
}  // namespace polis::ledger
