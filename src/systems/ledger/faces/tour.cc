#include "systems/ledger/faces/tour.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/io/stream.h"
#include "systems/ledger/faces/command_call.h"
#include "systems/ledger/faces/json_writer.h"
#include "systems/ledger/formats/proof_bundle.h"
#include "systems/ledger/tigerbeetle/client.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;

// Numbers that no books of people have.
constexpr uint32_t kUsd = 4'294'000'840;
constexpr uint32_t kEur = 4'294'000'978;
constexpr uint64_t kTransfers = 1'000'000;
constexpr size_t kBatch = 8'189;  // of one request of the protocol
constexpr size_t kConnections = 4;
constexpr uint32_t kAccounts = 1'000;
constexpr Duration kPause = std::chrono::milliseconds(50);

double seconds_since(SteadyTime begin) {
  return std::max(1e-9, std::chrono::duration<double>(io::Shard::current().clock().steady() - begin).count());
}

class LedgerTour {
 public:
  explicit LedgerTour(systems::Tour& tour) : tour_(tour), name_(tour.unique_name()) {}

  Task<Result<void>> run() {
    CO_TRY(co_await step("open books in two currencies", &LedgerTour::open));
    CO_TRY(co_await step("sell a watch for 200 USD", &LedgerTour::sell_watch));
    CO_TRY(co_await step("what is not double-entry is refused", &LedgerTour::refuse));
    CO_TRY(co_await step("stored balance = history = journal", &LedgerTour::recompute));
    CO_TRY(co_await step("sell euros for dollars, atomically", &LedgerTour::sell_currency));
    CO_TRY(co_await step("1 million transfers by wire", &LedgerTour::book_million));
    CO_TRY(co_await step("the trial balance is zero", &LedgerTour::balance_books));
    CO_TRY(co_await step("verify the whole journal", &LedgerTour::verify));
    co_return co_await step("prove a transfer without trust", &LedgerTour::prove);
  }

 private:
  using Outcome = Task<Result<std::string>>;

  Task<Result<void>> step(std::string name, Outcome (LedgerTour::*what)()) {
    co_return co_await tour_.step(std::move(name), [this, what] { return (this->*what)(); });
  }

  // --- the API

  Task<Result<json::object>> ask(std::string method, std::string path, std::string body = {}) {
    auto answer = CO_TRY(co_await tour_.api().request(std::move(method), std::move(path), std::move(body)));
    boost::system::error_code error;
    json::value value = json::parse(answer.body, error);
    if (error || !value.is_object()) co_return fail(Code::kCorrupt, "the answer is no JSON object");
    co_return std::move(value.get_object());
  }

  static std::string text(const json::object& object, std::string_view name) {
    const json::value* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  }

  std::string account_name(std::string_view who) const { return fmt::format("{}:{}", name_, who); }

  Task<Result<void>> open_account(std::string who, uint32_t ledger, std::string type, std::string limit) {
    JsonWriter body;
    body.begin_object().member("name", account_name(who)).count("ledger", ledger);
    body.member("type", type).member("limit", limit).end_object();
    CO_TRY(co_await ask("POST", api_path({"accounts"}), body.take()));
    co_return Result<void>();
  }

  struct Leg {
    std::string from, to, amount, asset;
  };
  Task<Result<json::object>> book(std::string what, std::vector<Leg> legs) {
    JsonWriter body;
    body.begin_object().member("reference", fmt::format("{}/{}", name_, what)).key("postings").begin_array();
    for (const Leg& leg : legs) {
      body.begin_object().member("from", account_name(leg.from)).member("to", account_name(leg.to));
      body.member("amount_decimal", leg.amount).member("asset", leg.asset).end_object();
    }
    body.end_array().end_object();
    co_return co_await ask("POST", api_path({"transactions"}), body.take());
  }

  Task<Result<std::string>> balance(std::string who, std::string from = {}) {
    std::string path = api_path({"accounts", account_name(who)});
    if (!from.empty()) add_query(path, "from", from);
    const json::object account = CO_TRY(co_await ask("GET", path));
    co_return text(account, "balance_decimal");
  }

  Task<Result<void>> expect(std::string who, std::string balance_wanted) {
    const std::string found = CO_TRY(co_await balance(who));
    if (found != balance_wanted)
      co_return fail(Code::kCorrupt, fmt::format("{} has {}, not {}", who, found, balance_wanted));
    co_return Result<void>();
  }

  Task<Result<void>> expect_refused(std::string what, std::vector<Leg> legs, std::string_view why) {
    auto answer = co_await book(what, std::move(legs));
    if (answer) co_return fail(Code::kCorrupt, what + " was booked");
    if (answer.error().message().find(why) == std::string::npos) co_return fail(answer.error());
    co_return Result<void>();
  }

  // --- the steps

  Outcome open() {
    for (auto [id, asset] : {std::pair{kUsd, "USD"}, std::pair{kEur, "EUR"}}) {
      JsonWriter body;
      body.begin_object().count("id", id).member("asset", asset).count("scale", 2).end_object();
      CO_TRY(co_await ask("POST", api_path({"ledgers"}), body.take()));
    }
    CO_TRY(co_await open_account("bank", kUsd, "asset", "none"));
    for (const char* who : {"buyer", "seller"})
      CO_TRY(co_await open_account(who, kUsd, "liability", "debits_must_not_exceed_credits"));
    CO_TRY(co_await open_account("pool-usd", kUsd, "liability", "none"));
    CO_TRY(co_await open_account("bank-eur", kEur, "asset", "none"));
    CO_TRY(co_await open_account("pool-eur", kEur, "liability", "debits_must_not_exceed_credits"));
    CO_TRY(co_await open_account("buyer-eur", kEur, "liability", "debits_must_not_exceed_credits"));
    CO_TRY(co_await book("deposit", {{"bank", "buyer", "300", "USD"}}));
    CO_TRY(co_await book("float", {{"bank-eur", "pool-eur", "50", "EUR"}}));
    co_return "7 accounts; the buyer has 300.00 USD, the pool 50.00 EUR";
  }

  Outcome sell_watch() {
    const json::object sale = CO_TRY(co_await book("watch", {{"buyer", "seller", "200", "USD"}}));
    if (text(sale, "state") != "booked") co_return fail(Code::kCorrupt, "the sale was not booked");
    CO_TRY(co_await expect("buyer", "100.00"));
    CO_TRY(co_await expect("seller", "200.00"));
    // The same request again, as after a broken connection.
    CO_TRY(co_await book("watch", {{"buyer", "seller", "200", "USD"}}));
    CO_TRY(co_await expect("seller", "200.00"));
    co_return "buyer -200.00, seller +200.00, one entry; sent twice, booked once";
  }

  Outcome refuse() {
    auto single = co_await ask("POST", api_path({"transactions"}),
                               fmt::format(R"({{"reference":"{}/single","postings":[{{"from":"{}","amount":"1"}}]}})",
                                           name_, account_name("buyer")));
    if (single) co_return fail(Code::kCorrupt, "an entry of one side was booked");
    CO_TRY(co_await expect_refused("to itself", {{"buyer", "buyer", "1", "USD"}}, "itself"));
    CO_TRY(co_await expect_refused("overdraft", {{"buyer", "seller", "200", "USD"}}, "exceeds_credits"));
    CO_TRY(co_await expect_refused("two assets", {{"buyer", "pool-eur", "1", "USD"}}, "two postings"));
    CO_TRY(co_await expect("buyer", "100.00"));
    CO_TRY(co_await expect("seller", "200.00"));
    co_return "single-sided, to itself, overdrawn, across assets: all refused, balances as before";
  }

  Outcome recompute() {
    for (const char* who : {"buyer", "seller", "pool-eur"}) {
      const std::string stored = CO_TRY(co_await balance(who));
      for (const char* from : {"history", "journal"}) {
        const std::string again = CO_TRY(co_await balance(who, from));
        if (again != stored)
          co_return fail(Code::kCorrupt, fmt::format("{}: {} stored, {} from the {}", who, stored, again, from));
      }
    }
    co_return "buyer 100.00, seller 200.00, pool 50.00: three ways, one answer";
  }

  Outcome sell_currency() {
    CO_TRY(co_await book("fx", {{"buyer", "pool-usd", "55", "USD"}, {"pool-eur", "buyer-eur", "50", "EUR"}}));
    CO_TRY(co_await expect("buyer", "45.00"));
    CO_TRY(co_await expect("buyer-eur", "50.00"));
    // The pool has no euros left: the dollars must not move either.
    CO_TRY(co_await expect_refused(
        "fx again", {{"buyer", "pool-usd", "11", "USD"}, {"pool-eur", "buyer-eur", "10", "EUR"}}, "exceeds_credits"));
    CO_TRY(co_await expect("buyer", "45.00"));
    CO_TRY(co_await expect("pool-usd", "55.00"));
    co_return "55.00 USD to the pool, 50.00 EUR from it; the next sale fails on both sides";
  }

  // What the connections share: they run on one shard.
  struct Million {
    u128 base = 0;
    uint64_t next = 0, booked = 0;
    std::optional<Error> error;
  };

  Task<Result<tigerbeetle::Client>> connect() {
    io::Endpoint endpoint{.address = "127.0.0.1", .port = tour_.port("ledger.tigerbeetle")};
    base::SystemRandom random;
    tigerbeetle::Client client(CO_TRY(co_await io::connect(endpoint)),
                               {.client = static_cast<u128>(random.next()) << 64 | (random.next() | 1)});
    CO_TRY(co_await client.enroll());
    co_return client;
  }

  Task<void> send(tigerbeetle::Client& client, Million& million) {
    std::vector<Transfer> batch;
    while (million.next < kTransfers && !million.error) {
      batch.clear();
      while (batch.size() < kBatch && million.next < kTransfers) {
        Transfer transfer;
        const uint64_t number = ++million.next;
        transfer.id = million.base + kAccounts + number;
        transfer.debit_account_id = million.base + 1 + number % kAccounts;
        transfer.credit_account_id = million.base + 1 + (number * 7 + 1) % kAccounts;
        if (transfer.credit_account_id == transfer.debit_account_id)
          transfer.credit_account_id = million.base + 1 + (number + 1) % kAccounts;
        transfer.amount = 1 + number % 100;
        transfer.ledger = kUsd;
        transfer.code = 1;
        batch.push_back(transfer);
      }
      auto results = co_await client.create_transfers(batch);
      if (!results) {
        million.error = results.error();
        co_return;
      }
      for (const CreateResult& result : *results) million.booked += result.created();
    }
  }

  Outcome book_million() {
    base::SystemRandom random;
    Million million{.base = static_cast<u128>(random.next() >> 1 | 1) << 64};
    std::vector<tigerbeetle::Client> clients;
    for (size_t i = 0; i < kConnections; ++i) clients.push_back(CO_TRY(co_await connect()));
    std::vector<Account> accounts(kAccounts);
    for (uint32_t i = 0; i < kAccounts; ++i) {
      accounts[i].id = million.base + 1 + i;
      accounts[i].ledger = kUsd;
      accounts[i].code = 2;
    }
    for (const CreateResult& result : CO_TRY(co_await clients.front().create_accounts(accounts)))
      if (!result.created())
        co_return fail(Code::kCorrupt, "an account: " + status_name(static_cast<AccountStatus>(result.status)));
    const SteadyTime begin = io::Shard::current().clock().steady();
    io::TaskGroup group(co_await io::this_scope());
    for (tigerbeetle::Client& client : clients) group.spawn(send(client, million));
    co_await group.join();
    if (million.error) co_return fail(*million.error);
    const double seconds = seconds_since(begin);
    if (million.booked != kTransfers)
      co_return fail(Code::kCorrupt, fmt::format("{} of {} were booked", million.booked, kTransfers));
    proved_ = million.base + kAccounts + 1 + random.below(kTransfers);
    co_return fmt::format("{} over {} connections, each on disk before its answer: {:.0f}k/s", kTransfers, kConnections,
                          static_cast<double>(kTransfers) / seconds / 1000);
  }

  Outcome balance_books() {
    const json::object books = CO_TRY(co_await ask("GET", api_path({"trial-balance"})));
    size_t ledgers = 0;
    for (const json::value& one : books.at("ledgers").as_array()) {
      ++ledgers;
      if (text(one.as_object(), "difference") != "0" || !one.at("balanced").as_bool())
        co_return fail(Code::kCorrupt, json::serialize(one));
    }
    co_return fmt::format("debits equal credits in {} ledgers, pending and posted", ledgers);
  }

  Outcome verify() {
    auto begun = co_await tour_.api().request("POST", api_path({"verify"}));
    // One that somebody else began is as good; it is only not ours to begin.
    if (!begun && begun.error().code() != Code::kIo && begun.error().code() != Code::kBusy)
      co_return fail(begun.error());
    for (;;) {
      const json::object state = CO_TRY(co_await ask("GET", api_path({"verify"})));
      if (state.at("running").as_bool()) {
        CO_TRY(co_await io::sleep_for(kPause));
        continue;
      }
      if (const json::value* error = state.if_contains("error"))
        co_return fail(Code::kCorrupt, std::string(error->as_string()));
      co_return fmt::format("{} commands, {} transfers made again, every hash and balance equal: {:.2f}M events/s",
                            state.at("ops").to_number<uint64_t>(), state.at("transfers").to_number<uint64_t>(),
                            state.at("events_per_second").to_number<double>() / 1e6);
    }
  }

  Outcome prove() {
    std::string path = api_path({"chain", "proof"});
    add_query(path, "transfer", to_decimal(proved_));
    auto answer = CO_TRY(co_await tour_.api().request("GET", path));
    formats::SignedProof proof = CO_TRY(formats::parse_signed_proof(answer.body));
    CO_TRY(formats::check(proof));
    // One cent more, and it is a proof no longer.
    proof.inclusion.record[48] ^= std::byte{1};
    if (formats::check(proof)) co_return fail(Code::kCorrupt, "a proof of another amount holds, too");
    co_return fmt::format("1 of {} in its command, {} hashes, {} links, signed with Ed25519; one bit more fails",
                          proof.inclusion.link.count, proof.inclusion.path.size(), proof.links.size());
  }

  systems::Tour& tour_;
  const std::string name_;
  Id proved_ = 0;
};

}  // namespace

Task<Result<void>> take_tour(systems::Tour& tour) {
  LedgerTour ledger(tour);
  co_return co_await ledger.run();
}

}  // namespace polis::ledger
