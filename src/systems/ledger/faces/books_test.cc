#include "systems/ledger/faces/books.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernel/store/rocks_store.h"
#include "systems/ledger/faces/face.h"
#include "systems/ledger/tigerbeetle/memory_ledger_test_support.h"

namespace polis::ledger {
namespace {

using tigerbeetle::MemoryLedger;

constexpr Duration kLong = std::chrono::seconds(30);

// The books over a real Store and the engine in memory.
struct World {
  World() {
    std::string pattern = (std::filesystem::temp_directory_path() / "polis-ledger-XXXXXX").string();
    POLIS_ASSERT(mkdtemp(pattern.data()) != nullptr);
    directory = pattern;
    store = std::move(*store::RocksStore::open({.directory = directory + "/store"}));
    rows = store->keyspace("ledger").value();
    ledger = std::make_unique<MemoryLedger>(clock);
    books = std::make_unique<Books>(*ledger, *store, rows, clock);
  }
  ~World() {
    books.reset();
    store.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
  // As after a crash: the books' memory is gone, Store and journal are there.
  Task<void> restart() {
    co_await books->stop();
    books = std::make_unique<Books>(*ledger, *store, rows, clock);
    EXPECT_TRUE((co_await books->start()).has_value());
  }

  Task<void> account(std::string name, uint32_t number, std::string limit = "none") {
    auto made = co_await books->create_account(
        parse_new_account(fmt::format(R"({{"name":"{}","ledger":{},"limit":"{}"}})", name, number, limit)).value());
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().text());
  }
  Task<void> open() {
    EXPECT_TRUE((co_await books->create_ledger({.id = 1, .asset = "USD", .scale = 2})).has_value());
    EXPECT_TRUE((co_await books->create_ledger({.id = 2, .asset = "EUR", .scale = 2})).has_value());
    co_await account("bank", 1);
    co_await account("alice", 1, "debits_must_not_exceed_credits");
    co_await account("bob", 1, "debits_must_not_exceed_credits");
    co_await account("pool-eur", 2);
    co_await account("shop", 2);
  }

  Task<Result<Booked>> post(std::string json, std::string key = {}) {
    auto request = parse_new_transaction(json);
    if (!request) co_return fail(request.error());
    Prepared prepared = CO_TRY(co_await books->prepare(*request, std::move(key)));
    if (prepared.refusal) co_return fail(Code::kInvalid, prepared.refusal->detail);
    co_return co_await books->book(std::move(prepared), kLong);
  }
  Task<Result<Booked>> pay(std::string reference, std::string from, std::string to, uint64_t amount,
                           std::string more = {}) {
    return post(fmt::format(R"({{"reference":"{}","postings":[{{"from":"{}","to":"{}","amount":"{}"}}]{}}})", reference,
                            from, to, amount, more));
  }
  Task<Result<Booked>> end(Id parent, TransactionKind kind, NewPost request = {}, std::string key = {}) {
    Prepared prepared = CO_TRY(co_await books->prepare_end(parent, kind, request, key));
    co_return co_await books->book(std::move(prepared), kLong);
  }
  Task<Result<Booked>> reverse(Id parent, std::string key = {}) {
    Prepared prepared = CO_TRY(co_await books->prepare_reversal(parent, {}, {}, key));
    co_return co_await books->book(std::move(prepared), kLong);
  }
  Task<std::string> balance(std::string name) {
    auto named = co_await books->account(name);
    if (!named) co_return named.error().text();
    const Signed balance = balance_of(named->account);
    co_return (balance.negative ? "-" : "") + to_decimal(balance.amount);
  }

  base::SystemClock clock;
  std::string directory;
  std::unique_ptr<store::RocksStore> store;
  store::Keyspace rows;
  std::unique_ptr<MemoryLedger> ledger;
  std::unique_ptr<Books> books;
};

template <class F>
void with_world(F test) {
  std::unique_ptr<World> world;
  io::run([&]() -> Task<bool> {
    world = std::make_unique<World>();
    co_await world->open();
    co_await test(*world);
    co_await world->books->stop();
    (void)co_await world->store->close();
    world.reset();
    co_return true;
  });
}

TransactionState state(const Result<Booked>& booked) {
  EXPECT_TRUE(booked.has_value()) << (booked ? "" : booked.error().text());
  return booked ? booked->record.state : TransactionState::kAccepted;
}

// --- accounts

TEST(Accounts, making_the_same_account_again_finds_it_and_another_of_its_name_is_refused) {
  with_world([](World& world) -> Task<void> {
    const auto wish =
        parse_new_account(R"({"name":"alice","ledger":1,"limit":"debits_must_not_exceed_credits"})").value();
    auto again = co_await world.books->create_account(wish);
    EXPECT_TRUE(again.has_value() && !again->created);
    auto other = co_await world.books->create_account(parse_new_account(R"({"name":"alice","ledger":2})").value());
    EXPECT_EQ(other.error().code(), Code::kExists);
    auto nowhere = co_await world.books->create_account(parse_new_account(R"({"name":"carl","ledger":9})").value());
    EXPECT_EQ(nowhere.error().code(), Code::kNotFound);
    EXPECT_EQ((co_await world.books->account("carl")).error().code(), Code::kNotFound);
    EXPECT_EQ((co_await world.books->account("123")).error().code(), Code::kNotFound);
    EXPECT_EQ((co_await world.books->account("a/b")).error().code(), Code::kNotFound);
  });
}

TEST(Accounts, a_request_that_broke_off_between_name_and_engine_is_finished_by_the_next) {
  with_world([](World& world) -> Task<void> {
    const auto wish = parse_new_account(R"({"name":"carl","ledger":1})").value();
    world.ledger->fail_next(1, Code::kUnavailable);
    EXPECT_EQ((co_await world.books->create_account(wish)).error().code(), Code::kUnavailable);
    EXPECT_EQ((co_await world.books->account("carl")).error().code(), Code::kNotFound);
    auto again = co_await world.books->create_account(wish);
    EXPECT_TRUE(again.has_value() && again->created);
    EXPECT_EQ(co_await world.balance("carl"), "0");
  });
}

TEST(Accounts, an_account_of_the_binary_port_can_be_named_if_it_is_described_as_it_is) {
  with_world([](World& world) -> Task<void> {
    Account account;
    account.id = 77;
    account.ledger = 1;
    account.code = 9;
    (void)co_await world.ledger->create_accounts({&account, 1});
    auto bare = co_await world.books->account("77");
    EXPECT_TRUE(bare.has_value() && !bare->record);
    auto wrong = co_await world.books->create_account(
        parse_new_account(R"({"name":"x","id":"77","ledger":1,"code":8})").value());
    EXPECT_EQ(wrong.error().code(), Code::kExists);
    EXPECT_EQ((co_await world.books->account("x")).error().code(), Code::kNotFound);  // nothing is left of it
    auto right = co_await world.books->create_account(
        parse_new_account(R"({"name":"x","id":"77","ledger":1,"code":9})").value());
    EXPECT_TRUE(right.has_value());
    EXPECT_TRUE((co_await world.books->account("x"))->account.id == 77);
  });
}

TEST(Metadata, a_change_needs_the_version_that_is_stored) {
  with_world([](World& world) -> Task<void> {
    const Id id = (co_await world.books->find_account("alice")).value();
    MetadataPatch patch{.owner = "carl"};
    auto changed = co_await world.books->change_metadata(id, 1, patch);
    EXPECT_TRUE(changed.has_value() && changed->version == 2);
    EXPECT_EQ((co_await world.books->change_metadata(id, 1, patch)).error().code(), Code::kVersionMismatch);
    EXPECT_EQ((co_await world.books->change_metadata(id, 3, patch)).error().code(), Code::kVersionMismatch);
    patch.version = 9;
    EXPECT_EQ((co_await world.books->change_metadata(id, 2, patch)).error().code(), Code::kVersionMismatch);
    EXPECT_EQ((co_await world.books->change_metadata(5, 0, patch)).error().code(), Code::kNotFound);
  });
}

Task<void> add_ones(World& world, Id id, int times, int& conflicts) {
  for (int i = 0; i < times;) {
    auto record = co_await world.books->account_record(id);
    MetadataPatch patch;
    const uint64_t before = (*record)->labels.contains("n") ? std::stoull((*record)->labels.at("n")) : 0;
    patch.labels["n"] = std::to_string(before + 1);
    auto changed = co_await world.books->change_metadata(id, (*record)->version, patch);
    if (changed)
      ++i;
    else
      ++conflicts;
    co_await io::yield();
  }
}

TEST(Metadata, writers_at_the_same_time_lose_no_change) {
  with_world([](World& world) -> Task<void> {
    const Id id = (co_await world.books->find_account("alice")).value();
    int conflicts = 0;
    io::TaskGroup group;
    for (int writer = 0; writer < 6; ++writer) group.spawn(add_ones(world, id, 20, conflicts));
    co_await group.join();
    auto record = co_await world.books->account_record(id);
    EXPECT_EQ((*record)->labels.at("n"), "120");
    EXPECT_EQ((*record)->version, 121u);
  });
}

TEST(Metadata, a_renamed_account_keeps_its_id_and_its_old_name_is_free) {
  with_world([](World& world) -> Task<void> {
    const Id id = (co_await world.books->find_account("alice")).value();
    EXPECT_TRUE((co_await world.books->change_metadata(id, 1, {.name = "alicia"})).has_value());
    EXPECT_TRUE((co_await world.books->find_account("alicia")).value() == id);
    EXPECT_EQ((co_await world.books->change_metadata(id, 2, {.name = "bob"})).error().code(), Code::kExists);
    co_await world.account("alice", 1);
    EXPECT_TRUE((co_await world.books->find_account("alice")).value() != id);
  });
}

TEST(Accounts, pages_show_each_account_once) {
  with_world([](World& world) -> Task<void> {
    for (int i = 0; i < 25; ++i) co_await world.account(fmt::format("user:{:02}", i), 1 + i % 2);
    for (const AccountFilters& filters : {AccountFilters{}, AccountFilters{.name_prefix = "user:"}}) {
      std::set<Id> seen;
      std::string cursor;
      do {
        auto page = co_await world.books->accounts(filters, cursor, 4);
        if (!page) {
          ADD_FAILURE() << page.error().text();
          break;
        }
        EXPECT_LE(page->items.size(), 4u);
        for (const NamedAccount& named : page->items) EXPECT_TRUE(seen.insert(named.account.id).second);
        cursor = page->next;
      } while (!cursor.empty());
      EXPECT_EQ(seen.size(), filters.name_prefix.empty() ? 30u : 25u);
    }
    auto euros = co_await world.books->accounts({.ledger = 2, .name_prefix = "user:"}, {}, 100);
    EXPECT_EQ(euros->items.size(), 12u);
    for (const char* cursor : {"x", "n", "nzz", "99999999999999999999", "-1"}) {
      EXPECT_EQ((co_await world.books->accounts({.name_prefix = "u"}, cursor, 4)).error().code(), Code::kInvalid);
      EXPECT_EQ((co_await world.books->accounts({}, cursor, 4)).error().code(), Code::kInvalid);
    }
  });
}

// --- transactions

TEST(Transactions, the_same_request_again_books_nothing_and_says_so) {
  with_world([](World& world) -> Task<void> {
    auto first = co_await world.pay("deposit", "bank", "alice", 500);
    EXPECT_EQ(state(first), TransactionState::kBooked);
    EXPECT_FALSE(first->replayed);
    for (int i = 0; i < 3; ++i) {
      auto again = co_await world.pay("deposit", "bank", "alice", 500);
      EXPECT_TRUE(again->replayed && again->record.id == first->record.id);
    }
    EXPECT_EQ(co_await world.balance("alice"), "500");
    EXPECT_EQ((co_await world.pay("deposit", "bank", "alice", 501)).error().code(), Code::kConflict);
    EXPECT_EQ((co_await world.post(R"({"postings":[{"from":"bank","to":"bob","amount":"1"}]})")).error().code(),
              Code::kInvalid);
    // A key of its own does not give the reference away a second time.
    EXPECT_EQ(
        (co_await world.post(R"({"reference":"deposit","postings":[{"from":"bank","to":"bob","amount":"1"}]})", "k"))
            .error()
            .code(),
        Code::kExists);
  });
}

TEST(Transactions, a_refused_one_stays_refused_and_gives_its_reference_back) {
  with_world([](World& world) -> Task<void> {
    auto refused = co_await world.pay("watch", "alice", "bob", 200);
    EXPECT_EQ(state(refused), TransactionState::kRefused);
    EXPECT_EQ(refused->record.status, static_cast<uint32_t>(TransferStatus::kExceedsCredits));
    (void)co_await world.pay("deposit", "bank", "alice", 500);
    auto again = co_await world.pay("watch", "alice", "bob", 200);  // money came, the answer stands
    EXPECT_EQ(state(again), TransactionState::kRefused);
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(co_await world.balance("bob"), "0");
    auto anew = co_await world.post(R"({"reference":"watch","postings":[{"from":"alice","to":"bob","amount":"200"}]})",
                                    "second try");
    EXPECT_EQ(state(anew), TransactionState::kBooked);
    EXPECT_EQ(co_await world.balance("bob"), "200");
  });
}

TEST(Transactions, a_currency_sale_books_both_sides_or_none) {
  with_world([](World& world) -> Task<void> {
    const auto sale = [](std::string reference) {
      return fmt::format(
          R"({{"reference":"{}","postings":[{{"from":"pool-eur","to":"shop","amount":"100","asset":"EUR"}},
                             {{"from":"alice","to":"bank","amount":"110","asset":"USD"}}]}})",
          reference);
    };
    auto poor = co_await world.post(sale("one"));
    EXPECT_EQ(state(poor), TransactionState::kRefused);
    EXPECT_EQ(poor->record.posting, 1u);
    EXPECT_EQ(co_await world.balance("shop"), "0");  // the first side left no trace
    (void)co_await world.pay("deposit", "bank", "alice", 110);
    EXPECT_EQ(state(co_await world.post(sale("two"))), TransactionState::kBooked);
    EXPECT_EQ(co_await world.balance("shop"), "100");
    EXPECT_EQ(co_await world.balance("alice"), "0");
  });
}

TEST(Transactions, many_at_once_with_one_key_book_once) {
  with_world([](World& world) -> Task<void> {
    world.ledger->set_delay(std::chrono::milliseconds(5));
    std::vector<Result<Booked>> answers;
    auto one = [&]() -> Task<void> { answers.push_back(co_await world.pay("deposit", "bank", "alice", 5)); };
    io::TaskGroup group;
    for (int i = 0; i < 12; ++i) group.spawn(one());
    co_await group.join();
    size_t fresh = 0;
    for (const auto& answer : answers) {
      EXPECT_EQ(state(answer), TransactionState::kBooked);
      fresh += answer && !answer->replayed;
    }
    EXPECT_EQ(fresh, 1u);
    EXPECT_EQ(co_await world.balance("alice"), "5");
  });
}

TEST(Transactions, an_outcome_that_is_late_is_found_at_its_status) {
  with_world([](World& world) -> Task<void> {
    world.ledger->set_delay(std::chrono::milliseconds(50));
    auto request =
        parse_new_transaction(R"({"reference":"slow","postings":[{"from":"bank","to":"alice","amount":"7"}]})").value();
    auto prepared = co_await world.books->prepare(request, {});
    auto booked = co_await world.books->book(std::move(*prepared), std::chrono::milliseconds(1));
    EXPECT_EQ(state(booked), TransactionState::kAccepted);
    auto again = co_await world.pay("slow", "bank", "alice", 7);  // waits for the same one
    EXPECT_EQ(state(again), TransactionState::kBooked);
    EXPECT_EQ((co_await world.books->transaction(booked->record.id))->state, TransactionState::kBooked);
    EXPECT_EQ(co_await world.balance("alice"), "7");
  });
}

TEST(Transactions, one_without_an_outcome_is_sent_again_after_a_restart) {
  with_world([](World& world) -> Task<void> {
    auto request =
        parse_new_transaction(R"({"reference":"r","postings":[{"from":"bank","to":"alice","amount":"7"}]})").value();
    auto prepared = co_await world.books->prepare(request, {});
    world.ledger->fail_next(1, Code::kUnavailable);
    auto booked = co_await world.books->book(std::move(*prepared), kLong);
    EXPECT_EQ(booked.error().code(), Code::kUnavailable);
    EXPECT_EQ(co_await world.balance("alice"), "0");
    co_await world.restart();
    auto again = co_await world.pay("r", "bank", "alice", 7);
    EXPECT_EQ(state(again), TransactionState::kBooked);
    EXPECT_EQ(co_await world.balance("alice"), "7");
    co_await world.restart();  // nothing is left to send
    EXPECT_EQ(co_await world.balance("alice"), "7");
  });
}

TEST(Transactions, a_full_ledger_books_nothing_and_the_key_is_good_for_another_try) {
  with_world([](World& world) -> Task<void> {
    auto request =
        parse_new_transaction(R"({"reference":"r","postings":[{"from":"bank","to":"alice","amount":"7"}]})").value();
    auto prepared = co_await world.books->prepare(request, {});
    const Id id = prepared->record.id;
    world.ledger->fail_next(1, Code::kBusy);
    EXPECT_EQ((co_await world.books->book(std::move(*prepared), kLong)).error().code(), Code::kBusy);
    EXPECT_EQ((co_await world.books->transaction(id)).error().code(), Code::kNotFound);
    auto again = co_await world.pay("r", "bank", "alice", 7);
    EXPECT_EQ(state(again), TransactionState::kBooked);
    EXPECT_FALSE(again->replayed);
  });
}

TEST(Transactions, what_was_told_to_be_accepted_is_booked_even_if_the_ledger_is_full_at_first) {
  with_world([](World& world) -> Task<void> {
    auto request =
        parse_new_transaction(R"({"reference":"r","postings":[{"from":"bank","to":"alice","amount":"7"}]})").value();
    auto prepared = co_await world.books->prepare(request, {});
    const Id id = prepared->record.id;
    world.ledger->set_delay(std::chrono::milliseconds(100));
    world.ledger->fail_next(1, Code::kBusy);
    auto booked = co_await world.books->book(std::move(*prepared), std::chrono::milliseconds(1));
    EXPECT_EQ(state(booked), TransactionState::kAccepted);
    auto again = co_await world.pay("r", "bank", "alice", 7);  // waits for the same one
    EXPECT_EQ(state(again), TransactionState::kBooked);
    EXPECT_TRUE(again && again->record.id == id);
    EXPECT_EQ(co_await world.balance("alice"), "7");
  });
}

TEST(Pending, is_posted_in_part_once_and_the_rest_is_released) {
  with_world([](World& world) -> Task<void> {
    (void)co_await world.pay("deposit", "bank", "alice", 100);
    auto hold = co_await world.pay("hold", "alice", "bob", 80, R"(,"pending":true,"timeout":600)");
    const Id id = hold->record.id;
    EXPECT_EQ(state(co_await world.pay("too much", "alice", "bob", 30)), TransactionState::kRefused);
    EXPECT_EQ((co_await world.reverse(id)).error().code(), Code::kConflict);
    EXPECT_EQ((co_await world.end(id, TransactionKind::kPost, {.amounts = {"81"}})).error().code(), Code::kInvalid);
    auto posted = co_await world.end(id, TransactionKind::kPost, {.amounts = {"50"}});
    EXPECT_EQ(state(posted), TransactionState::kBooked);
    EXPECT_TRUE((co_await world.end(id, TransactionKind::kPost, {.amounts = {"50"}}))->replayed);
    EXPECT_EQ((co_await world.end(id, TransactionKind::kPost, {})).error().code(), Code::kConflict);
    auto voided = co_await world.end(id, TransactionKind::kVoid);
    EXPECT_EQ(voided->record.status, static_cast<uint32_t>(TransferStatus::kPendingTransferAlreadyPosted));
    EXPECT_EQ(co_await world.balance("bob"), "50");
    auto view = co_await world.books->view(hold->record);
    EXPECT_EQ(view->pending, PendingState::kPosted);
    // The post is what is taken back.
    EXPECT_EQ(state(co_await world.reverse(posted->record.id)), TransactionState::kBooked);
    EXPECT_EQ(co_await world.balance("bob"), "0");
    EXPECT_EQ(co_await world.balance("alice"), "100");
  });
}

TEST(Reversal, happens_once_whatever_the_key) {
  with_world([](World& world) -> Task<void> {
    auto paid = co_await world.pay("deposit", "bank", "alice", 100);
    const Id id = paid->record.id;
    EXPECT_EQ((co_await world.reverse(12345)).error().code(), Code::kNotFound);
    EXPECT_EQ(state(co_await world.reverse(id)), TransactionState::kBooked);
    EXPECT_TRUE((co_await world.reverse(id))->replayed);
    EXPECT_EQ((co_await world.reverse(id, "another key")).error().code(), Code::kConflict);
    EXPECT_EQ(co_await world.balance("alice"), "0");
  });
}

TEST(Reversal, one_that_is_refused_may_be_tried_with_another_key) {
  with_world([](World& world) -> Task<void> {
    auto paid = co_await world.pay("deposit", "bank", "alice", 100);
    (void)co_await world.pay("spent", "alice", "bob", 60);
    EXPECT_EQ(state(co_await world.reverse(paid->record.id)), TransactionState::kRefused);
    (void)co_await world.pay("back", "bob", "alice", 60);
    EXPECT_EQ(state(co_await world.reverse(paid->record.id)), TransactionState::kRefused);
    EXPECT_EQ(state(co_await world.reverse(paid->record.id, "2")), TransactionState::kBooked);
  });
}

TEST(Transactions, are_listed_newest_first_and_page_by_page) {
  with_world([](World& world) -> Task<void> {
    for (int i = 0; i < 11; ++i) (void)co_await world.pay(fmt::format("t{:02}", i), "bank", "alice", 1);
    (void)co_await world.pay("euros", "pool-eur", "shop", 1);
    std::vector<std::string> seen;
    std::string cursor;
    do {
      auto page = co_await world.books->transactions(1, cursor, 3);
      for (const TransactionRecord& record : page->items) seen.push_back(record.reference);
      cursor = page->next;
    } while (!cursor.empty());
    EXPECT_EQ(seen.size(), 11u);
    EXPECT_TRUE(std::ranges::is_sorted(seen, std::greater<>()));
    EXPECT_EQ((co_await world.books->transactions(0, {}, 100))->items.size(), 12u);
    EXPECT_EQ((co_await world.books->transactions(0, "zz", 100)).error().code(), Code::kInvalid);
    EXPECT_EQ((co_await world.books->find_transaction("t03")).has_value(), true);
    EXPECT_EQ((co_await world.books->find_transaction("nothing")).error().code(), Code::kNotFound);
  });
}

// Under random requests, failures and restarts the balances are those of a model that books each reference once.
TEST(Transactions, agree_with_a_plain_model_under_failures_and_restarts) {
  with_world([](World& world) -> Task<void> {
    base::SeededRandom random(11);
    const std::string names[] = {"bank", "alice", "bob"};
    std::map<std::string, int64_t> model;
    struct Wish {
      size_t from, to;
      uint64_t amount;
      bool settled = false, booked = false;
    };
    std::vector<Wish> wishes;
    for (int step = 0; step < 250; ++step) {
      size_t index = wishes.size();
      if (!wishes.empty() && random.chance(1, 3)) {
        index = random.below(wishes.size());
      } else {
        const size_t from = random.below(3), to = (from + 1 + random.below(2)) % 3;
        wishes.push_back({from, to, 1 + random.below(50)});
      }
      if (random.chance(1, 6)) world.ledger->fail_next(1, random.chance(1, 2) ? Code::kBusy : Code::kUnavailable);
      Wish& wish = wishes[index];
      auto answer = co_await world.pay(fmt::format("w{}", index), names[wish.from], names[wish.to], wish.amount);
      world.ledger->fail_next(0, Code::kBusy);
      if (answer && !wish.settled) {
        wish.settled = true;
        wish.booked = answer->record.state == TransactionState::kBooked;
        const bool may = wish.from == 0 || model[names[wish.from]] >= static_cast<int64_t>(wish.amount);
        EXPECT_EQ(wish.booked, may) << step;
        if (wish.booked) {
          model[names[wish.from]] -= static_cast<int64_t>(wish.amount);
          model[names[wish.to]] += static_cast<int64_t>(wish.amount);
        }
      } else if (answer) {
        EXPECT_EQ(answer->record.state == TransactionState::kBooked, wish.booked);
      }
      for (const std::string& name : names)
        EXPECT_EQ(co_await world.balance(name), std::to_string(model[name])) << step;
    }
  });
}

}  // namespace
}  // namespace polis::ledger
