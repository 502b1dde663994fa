#include "systems/ledger/faces/requests.h"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "systems/ledger/engine.h"

namespace polis::ledger {
namespace {

constexpr std::string_view kSale =
    R"({"reference":"watch-1","postings":[{"from":"buyer","to":"seller","amount":"20000","asset":"USD"}]})";

const LedgerRecord kUsd{.id = 1, .asset = "USD", .scale = 2, .created_at = {}};
const LedgerRecord kEur{.id = 2, .asset = "EUR", .scale = 2, .created_at = {}};

// buyer, seller and pool-usd in USD; shop and pool-eur in EUR.
Names names() {
  return {.party = [](const std::string& name) -> std::optional<Party> {
            if (name == "buyer") return Party{10, 1};
            if (name == "seller") return Party{11, 1};
            if (name == "pool-usd") return Party{12, 1};
            if (name == "shop") return Party{20, 2};
            if (name == "pool-eur") return Party{21, 2};
            if (name == "bare-a") return Party{30, 3};
            if (name == "bare-b") return Party{31, 3};
            return std::nullopt;
          },
          .ledger = [](uint32_t ledger) { return ledger == 1   ? &kUsd
                                                 : ledger == 2 ? &kEur
                                                               : nullptr; }};
}

std::expected<Compiled, Refusal> compile_text(std::string_view text) {
  auto request = parse_new_transaction(text);
  EXPECT_TRUE(request.has_value()) << text << (request ? "" : request.error().text());
  return compile(*request, 99, names());
}

// --- transactions

TEST(Transactions, a_sale_is_one_debit_and_one_credit_of_the_same_amount) {
  auto compiled = compile_text(kSale);
  ASSERT_TRUE(compiled.has_value());
  ASSERT_EQ(compiled->transfers.size(), 1u);
  const Transfer& transfer = compiled->transfers[0];
  EXPECT_TRUE(transfer.debit_account_id == 10 && transfer.credit_account_id == 11 && transfer.amount == 20000);
  EXPECT_EQ(transfer.flags, 0);
  EXPECT_TRUE(transfer.id == transfer_id(99, 0) && transfer.user_data_128 == 99);
  EXPECT_EQ(compiled->ledgers, std::vector<uint32_t>{1});
}

TEST(Transactions, a_currency_sale_links_both_currencies) {
  auto compiled = compile_text(R"({"reference":"fx","postings":[
      {"from":"buyer","to":"pool-usd","amount_decimal":"110.00","asset":"USD"},
      {"from":"pool-eur","to":"shop","amount_decimal":"100","asset":"EUR"}]})");
  ASSERT_TRUE(compiled.has_value());
  ASSERT_EQ(compiled->transfers.size(), 2u);
  EXPECT_EQ(compiled->transfers[0].flags, transfer_flags::kLinked);
  EXPECT_EQ(compiled->transfers[1].flags, 0);
  EXPECT_TRUE(compiled->transfers[0].amount == 11000 && compiled->transfers[1].amount == 10000);
  EXPECT_EQ(compiled->ledgers, (std::vector<uint32_t>{1, 2}));
}

TEST(Transactions, compiling_again_makes_the_same_bytes) {
  const auto first = compile_text(kSale), second = compile_text(kSale);
  EXPECT_EQ(first->transfers, second->transfers);
}

struct Refused {
  const char* posting;
  TransferStatus status;
};
TEST(Transactions, what_cannot_be_booked_is_refused_with_the_engines_status_and_its_posting) {
  const Refused cases[] = {
      {R"({"from":"nobody","to":"seller","amount":"1"})", TransferStatus::kDebitAccountNotFound},
      {R"({"from":"buyer","to":"nobody","amount":"1"})", TransferStatus::kCreditAccountNotFound},
      {R"({"from":"buyer","to":"buyer","amount":"1"})", TransferStatus::kAccountsMustBeDifferent},
      {R"({"from":"buyer","to":"shop","amount":"1"})", TransferStatus::kAccountsMustHaveTheSameLedger},
      {R"({"from":"buyer","to":"seller","amount":"1","asset":"EUR"})",
       TransferStatus::kTransferMustHaveTheSameLedgerAsAccounts},
      {R"({"from":"bare-a","to":"bare-b","amount":"1","asset":"EUR"})",
       TransferStatus::kTransferMustHaveTheSameLedgerAsAccounts},
      {R"({"from":"bare-a","to":"bare-b","amount_decimal":"1"})",
       TransferStatus::kTransferMustHaveTheSameLedgerAsAccounts},
      // No status of the engine says these: kCreated stands for "the request itself is wrong".
      {R"({"from":"buyer","to":"seller","amount":"0"})", TransferStatus::kCreated},
      {R"({"from":"buyer","to":"seller","amount_decimal":"1.234"})", TransferStatus::kCreated},
      {R"({"from":"buyer","to":"seller","amount_decimal":"-1"})", TransferStatus::kCreated},
  };
  for (const Refused& one : cases) {
    auto compiled =
        compile_text(std::string(R"({"postings":[{"from":"buyer","to":"seller","amount":"1"},)") + one.posting + "]}");
    ASSERT_FALSE(compiled.has_value()) << one.posting;
    EXPECT_EQ(compiled.error().status, one.status) << one.posting;
    EXPECT_EQ(compiled.error().posting, 1u);
    EXPECT_FALSE(compiled.error().detail.empty());
  }
}

TEST(Transactions, what_is_no_transaction_is_refused) {
  const std::string_view posting = R"({"from":"a","to":"b","amount":"1"})";
  const std::string cases[] = {
      "",
      "[]",
      "{",
      "null",
      R"({"postings":[]})",
      R"({"postings":{}})",
      R"({"postings":[1]})",
      R"({"reference":7,"postings":[]})",
      R"({"postings":[{"from":"a","to":"b"}]})",
      R"({"postings":[{"from":"a","amount":"1"}]})",
      R"({"postings":[{"from":"a","to":"b","amount":1}]})",
      R"({"postings":[{"from":"a","to":"b","amount":"1.5"}]})",
      R"({"postings":[{"from":"a","to":"b","amount":"-1"}]})",
      R"({"postings":[{"from":"a","to":"b","amount":""}]})",
      R"({"postings":[{"from":"a","to":"b","amount":"340282366920938463463374607431768211456"}]})",
      R"({"postings":[{"from":"a","to":"b","amount":"1","amount_decimal":"1"}]})",
      R"({"postings":[{"from":"","to":"b","amount":"1"}]})",
      R"({"postings":[{"from":"a","to":"b","amount":"1","asset":"U S"}]})",
      R"({"postings":[{"from":"a","to":"b","amount":"1","ammount":"1"}]})",
      fmt::format(R"({{"postings":[{}],"timeout":60}})", posting),
      fmt::format(R"({{"postings":[{}],"pending":1}})", posting),
      fmt::format(R"({{"postings":[{}],"pending":true,"timeout":-1}})", posting),
      fmt::format(R"({{"postings":[{}],"pending":true,"timeout":4294967296}})", posting),
      fmt::format(R"({{"postings":[{}],"code":0}})", posting),
      fmt::format(R"({{"postings":[{}],"code":65536}})", posting),
      fmt::format(R"({{"postings":[{}],"metadata":[]}})", posting),
      fmt::format(R"({{"postings":[{}],"reference":"{}"}})", posting, std::string(257, 'r')),
      fmt::format(R"({{"postings":[{}],"reference":"a\u0000b"}})", posting),
      fmt::format(R"({{"postings":[{}],"surprise":1}})", posting),
      fmt::format(R"({{"postings":[{}]}} trailing)", posting),
  };
  for (const std::string& text : cases) {
    auto parsed = parse_new_transaction(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code(), Code::kInvalid) << text;
    EXPECT_FALSE(parsed.error().message().empty());
  }
  std::string many = R"({"postings":[)";
  for (size_t i = 0; i <= kPostingsMax; ++i) (many += posting) += i < kPostingsMax ? "," : "]}";
  EXPECT_EQ(parse_new_transaction(many).error().code(), Code::kTooLarge);
  EXPECT_EQ(parse_new_transaction(fmt::format(R"({{"postings":[{}],"metadata":{{"a":"{}"}}}})", posting,
                                              std::string(kMetadataBytesMax, 'x')))
                .error()
                .code(),
            Code::kTooLarge);
  std::string deep(100'000, '[');
  EXPECT_FALSE(parse_new_transaction(deep).has_value());
}

TEST(Transactions, the_digest_tells_every_difference_and_nothing_else) {
  auto digest = [](std::string_view text) { return digest_of(parse_new_transaction(text).value()); };
  const auto base = digest(kSale);
  EXPECT_EQ(base, digest(R"({ "postings" : [ { "asset":"USD", "amount":"020000", "to":"seller", "from":"buyer" } ],
                              "reference":"watch-1", "pending":false })"));
  for (
      const char* other :
      {R"({"reference":"watch-2","postings":[{"from":"buyer","to":"seller","amount":"20000","asset":"USD"}]})",
       R"({"reference":"watch-1","postings":[{"from":"buyer","to":"seller","amount":"20001","asset":"USD"}]})",
       R"({"reference":"watch-1","postings":[{"from":"seller","to":"buyer","amount":"20000","asset":"USD"}]})",
       R"({"reference":"watch-1","postings":[{"from":"buyer","to":"seller","amount":"20000"}]})",
       R"({"reference":"watch-1","postings":[{"from":"buyer","to":"seller","amount_decimal":"20000","asset":"USD"}]})",
       R"({"reference":"watch-1","pending":true,"postings":[{"from":"buyer","to":"seller","amount":"20000","asset":"USD"}]})",
       R"({"reference":"watch-1","metadata":{"a":1},"postings":[{"from":"buyer","to":"seller","amount":"20000","asset":"USD"}]})",
       R"({"reference":"watch-1","code":2,"postings":[{"from":"buyer","to":"seller","amount":"20000","asset":"USD"}]})"})
    EXPECT_NE(base, digest(other)) << other;
}

// Whatever is compiled, the engine takes it whole or not at all, and debits stay equal to credits.
TEST(Transactions, what_compiles_books_as_a_whole_in_a_real_engine) {
  base::SeededRandom random(7);
  Engine engine;
  uint64_t now = 1'000'000'000;
  auto apply = [&](Operation operation, BytesView events) {
    Command command;
    command.operation = operation;
    command.events = events;
    command.timestamp = engine.next_timestamp(now += 1000, events.size() / 128);
    return engine.apply(command).results;
  };
  std::vector<Account> accounts;
  for (auto [id, ledger] : {std::pair{10, 1}, {11, 1}, {12, 1}, {20, 2}, {21, 2}}) {
    Account account;
    account.id = static_cast<Id>(id);
    account.ledger = static_cast<uint32_t>(ledger);
    account.code = account_codes::kLiability;
    // Overdrafts are refused for some, so that chains break in the middle, too.
    if (id != 12 && id != 21) account.flags = account_flags::kDebitsMustNotExceedCredits;
    accounts.push_back(account);
  }
  apply(Operation::kCreateAccounts, std::as_bytes(std::span(accounts)));
  const std::vector<std::string> usd{"buyer", "seller", "pool-usd"}, eur{"shop", "pool-eur"};
  size_t booked = 0, refused = 0;
  for (uint32_t round = 0; round < 400; ++round) {
    NewTransaction request;
    const size_t postings = 1 + random.below(5);
    for (size_t i = 0; i < postings; ++i) {
      const auto& side = random.chance(1, 2) ? usd : eur;
      const size_t from = random.below(side.size());
      const size_t to = (from + 1 + random.below(side.size() - 1)) % side.size();
      request.postings.push_back(
          {.from = side[from], .to = side[to], .amount = std::to_string(1 + random.below(100)), .asset = {}});
    }
    auto compiled = compile(request, transaction_id("t" + std::to_string(round), ""), names());
    ASSERT_TRUE(compiled.has_value());
    const auto results = apply(Operation::kCreateTransfers, std::as_bytes(std::span(compiled->transfers)));
    const auto created = std::ranges::count_if(results, &CreateResult::created);
    EXPECT_TRUE(created == 0 || static_cast<size_t>(created) == results.size());
    created == 0 ? ++refused : ++booked;
    for (const Engine::Totals& total : engine.trial_balance()) EXPECT_TRUE(total.debits_posted == total.credits_posted);
  }
  EXPECT_GT(booked, 50u);
  EXPECT_GT(refused, 50u);
}

// --- what ends and undoes

std::vector<Transfer> pending_pair() {
  auto request = parse_new_transaction(R"({"reference":"p","pending":true,"timeout":60,"postings":[
      {"from":"buyer","to":"seller","amount":"100"},{"from":"pool-usd","to":"seller","amount":"50"}]})");
  return compile(*request, 5, names())->transfers;
}

TEST(Ends, a_post_without_amounts_posts_all_and_with_amounts_those) {
  const auto pending = pending_pair();
  EXPECT_EQ(pending[0].flags, transfer_flags::kLinked | transfer_flags::kPending);
  EXPECT_EQ(pending[1].flags, transfer_flags::kPending);
  EXPECT_EQ(pending[1].timeout, 60u);
  auto all = compile_end(pending, 6, TransactionKind::kPost, {}).value();
  EXPECT_TRUE(all[0].amount == kU128Max && all[0].pending_id == pending[0].id);
  EXPECT_EQ(all[0].flags, transfer_flags::kLinked | transfer_flags::kPostPending);
  auto some = compile_end(pending, 6, TransactionKind::kPost, {.amounts = {"99", "0"}}).value();
  EXPECT_TRUE(some[0].amount == 99 && some[1].amount == 0);
  auto none = compile_end(pending, 6, TransactionKind::kVoid, {}).value();
  EXPECT_TRUE(none[0].amount == 0);
  EXPECT_EQ(none[1].flags, transfer_flags::kVoidPending);
}

TEST(Ends, amounts_that_do_not_fit_are_refused) {
  const auto pending = pending_pair();
  EXPECT_FALSE(compile_end(pending, 6, TransactionKind::kPost, {.amounts = {"1"}}).has_value());
  EXPECT_FALSE(compile_end(pending, 6, TransactionKind::kPost, {.amounts = {"101", "1"}}).has_value());
  EXPECT_FALSE(compile_end(pending, 6, TransactionKind::kVoid, {.amounts = {"1", "1"}}).has_value());
  for (const char* text : {R"({"amount":1})", R"({"amounts":[]})", R"({"amounts":"1"})", R"({"amounts":[1]})",
                           R"({"amount":"1","amounts":["1"]})", R"({"amount":"x"})", R"({"amout":"1"})"})
    EXPECT_FALSE(parse_new_post(text).has_value()) << text;
  EXPECT_TRUE(parse_new_post("").value().amounts.empty());
}

TEST(Ends, a_reversal_goes_the_other_way_and_leaves_out_what_moved_nothing) {
  auto booked = pending_pair();
  booked[0].amount = 0;
  auto reversal = compile_reversal(booked, 8);
  ASSERT_EQ(reversal.size(), 1u);
  EXPECT_TRUE(reversal[0].debit_account_id == booked[1].credit_account_id &&
              reversal[0].credit_account_id == booked[1].debit_account_id && reversal[0].amount == 50);
  EXPECT_EQ(reversal[0].flags, 0);
  EXPECT_EQ(reversal[0].timeout, 0u);
}

// --- ledgers, accounts, metadata

TEST(Accounts, the_forms_of_an_account) {
  auto account =
      parse_new_account(R"({"name":"alice","ledger":1,"type":"asset","limit":"credits_must_not_exceed_debits",
      "history":true,"owner":"a","labels":{"k":"v"}})")
          .value();
  EXPECT_EQ(account.code, account_codes::kAsset);
  EXPECT_EQ(account.flags, account_flags::kCreditsMustNotExceedDebits | account_flags::kHistory);
  EXPECT_EQ(account.labels.at("k"), "v");
  EXPECT_EQ(parse_new_account(R"({"id":"7","ledger":1,"code":99})").value().code, 99);
  EXPECT_EQ(parse_new_account(R"({"name":"x","ledger":1})").value().code, account_codes::kLiability);
}

TEST(Accounts, what_is_no_account_ledger_or_patch_is_refused) {
  for (const char* text :
       {R"({})", R"({"name":"a"})", R"({"ledger":1})", R"({"name":"1","ledger":1})", R"({"name":"a","ledger":0})",
        R"({"name":"a","ledger":"1"})", R"({"name":"a","ledger":1.5})", R"({"name":"a","ledger":1,"type":"cash"})",
        R"({"name":"a","ledger":1,"type":"asset","code":1})", R"({"name":"a","ledger":1,"limit":"never"})",
        R"({"id":"0","ledger":1})", R"({"id":"340282366920938463463374607431768211455","ledger":1})",
        R"({"id":7,"ledger":1})", R"({"id":"-7","ledger":1})", R"({"name":"a","ledger":1,"labels":[]})",
        R"({"name":"a","ledger":1,"labels":{"a":null}})", R"({"name":"a","ledger":1,"labels":{"":"x"}})",
        R"({"name":"a","ledger":1,"owner":"\u0007"})", R"({"name":"a","ledger":1,"extra":1})"})
    EXPECT_EQ(parse_new_account(text).error().code(), Code::kInvalid) << text;
  for (const char* text : {"{}", R"({"id":0,"asset":"USD","scale":2})", R"({"id":1,"asset":"","scale":2})",
                           R"({"id":1,"asset":"USD","scale":31})", R"({"id":1,"asset":"USD","scale":-1})",
                           R"({"id":4294967296,"asset":"USD","scale":2})", R"({"id":1,"asset":"USD"})"})
    EXPECT_EQ(parse_new_ledger(text).error().code(), Code::kInvalid) << text;
  for (const char* text : {"{}", R"({"version":2})", R"({"name":""})", R"({"name":"12"})", R"({"labels":{"a":1}})",
                           R"({"owner":1})", R"({"name":"a","balance":"7"})"})
    EXPECT_EQ(parse_metadata_patch(text).error().code(), Code::kInvalid) << text;
}

TEST(Accounts, a_patch_sets_and_takes_away_and_raises_the_version) {
  AccountRecord record{.name = "a", .labels = {{"x", "1"}, {"y", "2"}}, .version = 4};
  auto changed = apply(parse_metadata_patch(R"({"owner":"bob","labels":{"x":null,"z":"3"}})").value(), record).value();
  EXPECT_EQ(changed.version, 5u);
  EXPECT_EQ(changed.owner, "bob");
  EXPECT_EQ(changed.name, "a");
  EXPECT_EQ(changed.labels, (std::map<std::string, std::string>{{"y", "2"}, {"z", "3"}}));
  for (size_t i = 0; i < kLabelsMax; ++i) record.labels["l" + std::to_string(i)] = "";
  EXPECT_FALSE(apply(parse_metadata_patch(R"({"owner":"bob"})").value(), record).has_value());
}

}  // namespace
}  // namespace polis::ledger
