// Examples that random commands do not meet, and bad input.
#include "systems/ledger/engine.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "systems/ledger/engine_due.h"
#include "systems/ledger/engine_sessions.h"

namespace polis::ledger {
namespace {

constexpr uint64_t kBegin = 1'700'000'000'000'000'000;

template <class Event>
Reply apply(Engine& engine, Operation operation, const std::vector<Event>& events, uint64_t now = kBegin) {
  return engine.apply({.operation = operation,
                       .timestamp = engine.next_timestamp(now, events.size()),
                       .events = std::as_bytes(std::span(events))});
}

void create_accounts(Engine& engine, uint64_t count, uint16_t flags = 0) {
  std::vector<Account> accounts;
  for (uint64_t i = 1; i <= count; ++i) accounts.push_back({.id = i, .ledger = 1, .code = 1, .flags = flags});
  apply(engine, Operation::kCreateAccounts, accounts);
}

std::vector<Bytes> save(const Engine& engine) {
  std::vector<Bytes> pieces;
  Engine::Saver saver(engine);
  for (Bytes piece;; piece.clear()) {
    base::Writer out(piece);
    if (!saver.next(out)) return pieces;
    pieces.push_back(piece);
  }
}

TEST(EngineTest, names_and_decimal_numbers) {
  EXPECT_EQ(status_name(AccountStatus::kCreated), "created");
  EXPECT_EQ(status_name(TransferStatus::kExceedsCredits), "exceeds_credits");
  EXPECT_EQ(status_name(static_cast<TransferStatus>(18)), "status_18");
  EXPECT_EQ(status_name(static_cast<TransferStatus>(0)), "status_0");
  EXPECT_EQ(status_name(static_cast<AccountStatus>(27)), "status_27");
  EXPECT_EQ(to_decimal(0), "0");
  EXPECT_EQ(to_decimal(kU128Max), "340282366920938463463374607431768211455");
  EXPECT_EQ(parse_decimal("340282366920938463463374607431768211455"), kU128Max);
  EXPECT_EQ(parse_decimal("007"), u128{7});
  for (const char* bad : {"", "-1", "+1", "1 ", "0x1", "1e3", "340282366920938463463374607431768211456",
                          "0000000000000000000000000000000000000001", "99999999999999999999999999999999999999999"})
    EXPECT_FALSE(parse_decimal(bad)) << bad;
}

TEST(EngineTest, a_full_batch_is_booked_with_consecutive_timestamps) {
  Engine engine;
  create_accounts(engine, 2);
  std::vector<Transfer> transfers;
  for (uint64_t i = 1; i <= kBatchEventsMax; ++i)
    transfers.push_back({.id = i, .debit_account_id = 1, .credit_account_id = 2, .amount = 1, .ledger = 1, .code = 1});
  const Reply reply = apply(engine, Operation::kCreateTransfers, transfers);
  for (size_t i = 0; i < reply.results.size(); ++i) {
    ASSERT_TRUE(reply.results[i].created());
    ASSERT_EQ(reply.results[i].timestamp, reply.timestamp - (kBatchEventsMax - 1 - i));
  }
  EXPECT_EQ(engine.account(1)->debits_posted, kBatchEventsMax);
}

TEST(EngineTest, a_second_phase_does_not_find_a_reservation_that_its_broken_chain_took_back) {
  Engine engine;
  create_accounts(engine, 2);
  const auto payment = [](Id id, uint16_t flags) {
    return Transfer{
        .id = id, .debit_account_id = 1, .credit_account_id = 2, .amount = 5, .ledger = 1, .code = 1, .flags = flags};
  };
  // The chain breaks after memory was asked for what the last event needs. Its slots are used again, or not.
  for (const bool used_again : {false, true}) {
    const Id base = used_again ? 1000 : 100;
    std::vector<Transfer> events{payment(base, transfer_flags::kPending | transfer_flags::kLinked)};
    while (events.size() < 20) events.push_back(payment(base + events.size(), transfer_flags::kLinked));
    events.push_back(payment(base + 20, 0));
    events.back().ledger = 2;
    while (events.size() < 40) events.push_back(payment(used_again ? base + events.size() : 0, 0));
    events.push_back({.id = base + 50, .amount = kU128Max, .pending_id = base, .flags = transfer_flags::kPostPending});
    const Reply reply = apply(engine, Operation::kCreateTransfers, events);
    EXPECT_EQ(reply.results[0].status, static_cast<uint32_t>(TransferStatus::kLinkedEventFailed));
    EXPECT_EQ(reply.results[40].status, static_cast<uint32_t>(TransferStatus::kPendingTransferNotFound));
  }
  EXPECT_EQ(engine.account(1)->debits_pending, 0u);
  EXPECT_EQ(engine.account(1)->debits_posted, 5u * 19);
}

TEST(EngineTest, imported_events_do_not_reach_into_the_time_of_their_own_batch) {
  Engine engine;
  // Their own times are the last of these; the first one is ahead of its own, the last one is the batch's.
  const auto times = [](uint64_t batch) { return std::array{batch - 2, batch - 2, batch - 1, batch}; };
  std::vector<Account> accounts;
  for (const uint64_t time : times(kBegin))
    accounts.push_back(
        {.id = accounts.size() + 1, .ledger = 1, .code = 1, .flags = account_flags::kImported, .timestamp = time});
  const Reply made = apply(engine, Operation::kCreateAccounts, accounts);
  const auto account_too_late = static_cast<uint32_t>(AccountStatus::kImportedEventTimestampMustNotAdvance);
  EXPECT_EQ(made.results[0].status, account_too_late);
  EXPECT_TRUE(made.results[1].created());
  EXPECT_EQ(made.results[1].timestamp, kBegin - 2);
  EXPECT_TRUE(made.results[2].created());
  EXPECT_EQ(made.results[3].status, account_too_late);

  std::vector<Transfer> transfers;
  for (const uint64_t time : times(kBegin + 10))
    transfers.push_back({.id = transfers.size() + 1,
                         .debit_account_id = 2,
                         .credit_account_id = 3,
                         .amount = 1,
                         .ledger = 1,
                         .code = 1,
                         .flags = transfer_flags::kImported,
                         .timestamp = time});
  const Reply booked = apply(engine, Operation::kCreateTransfers, transfers, kBegin + 10);
  const auto transfer_too_late = static_cast<uint32_t>(TransferStatus::kImportedEventTimestampMustNotAdvance);
  EXPECT_EQ(booked.results[0].status, transfer_too_late);
  EXPECT_TRUE(booked.results[1].created());
  EXPECT_TRUE(booked.results[2].created());
  EXPECT_EQ(booked.results[3].status, transfer_too_late);
  EXPECT_EQ(engine.account(2)->debits_posted, 2u);
}

TEST(EngineTest, batches_without_events_are_commands_too) {
  Engine engine;
  const Reply accounts = engine.apply({.operation = Operation::kCreateAccounts, .timestamp = 5});
  const Reply transfers = engine.apply({.operation = Operation::kCreateTransfers, .timestamp = 6});
  EXPECT_EQ(transfers.op, 2u);
  EXPECT_TRUE(transfers.results.empty());
  EXPECT_EQ(transfers.head.previous, engine.link(1)->head_after());
  EXPECT_EQ(accounts.head.root, transfers.head.root);
  EXPECT_EQ(engine.next_timestamp(0, 0), 7u);
  EXPECT_EQ(engine.next_timestamp(100, 10), 100u);
  EXPECT_EQ(engine.next_timestamp(0, 10), 16u);
}

TEST(EngineTest, more_due_transfers_than_a_command_takes_expire_in_several) {
  Engine engine;
  create_accounts(engine, 2);
  constexpr uint64_t kMore = 100;
  for (uint64_t first = 0; first < kBatchEventsMax + kMore;) {
    std::vector<Transfer> transfers;
    for (; transfers.size() < kBatchEventsMax && first < kBatchEventsMax + kMore; ++first)
      transfers.push_back({.id = first + 1,
                           .debit_account_id = 1,
                           .credit_account_id = 2,
                           .amount = 1,
                           .timeout = 1,
                           .ledger = 1,
                           .code = 1,
                           .flags = transfer_flags::kPending});
    apply(engine, Operation::kCreateTransfers, transfers);
  }
  const uint64_t due = *engine.next_expiry();
  EXPECT_EQ(due, engine.transfer(1)->timestamp + kNanosecondsPerSecond);
  engine.apply({.operation = Operation::kExpire, .timestamp = due + kNanosecondsPerSecond});
  EXPECT_EQ(engine.counts().expired, kBatchEventsMax);
  EXPECT_EQ(engine.pending_state(1), PendingState::kExpired);
  EXPECT_EQ(engine.pending_state(kBatchEventsMax), PendingState::kExpired);
  EXPECT_EQ(engine.pending_state(kBatchEventsMax + 1), PendingState::kPending);
  EXPECT_EQ(engine.next_expiry(), engine.transfer(kBatchEventsMax + 1)->timestamp + kNanosecondsPerSecond);
  engine.apply({.operation = Operation::kExpire, .timestamp = due + 2 * kNanosecondsPerSecond});
  EXPECT_EQ(engine.counts().expired, kBatchEventsMax + kMore);
  EXPECT_EQ(engine.next_expiry(), std::nullopt);
  EXPECT_EQ(engine.account(1)->debits_pending, u128{0});
}

TEST(EngineTest, nothing_expires_before_its_time_and_nobody_waits_for_it) {
  Engine engine;
  create_accounts(engine, 2);
  const auto pending = [](Id id, uint32_t timeout) {
    return Transfer{.id = id,
                    .debit_account_id = 1,
                    .credit_account_id = 2,
                    .amount = 1,
                    .timeout = timeout,
                    .ledger = 1,
                    .code = 1,
                    .flags = transfer_flags::kPending};
  };
  // They are due one nanosecond after the other.
  apply(engine, Operation::kCreateTransfers, std::vector{pending(1, 1), pending(2, 1), pending(3, 1)});
  const uint64_t first = *engine.next_expiry();
  engine.apply({.operation = Operation::kExpire, .timestamp = first - 1});
  EXPECT_EQ(engine.counts().expired, 0u);
  engine.apply({.operation = Operation::kExpire, .timestamp = first});
  EXPECT_EQ(engine.counts().expired, 1u);
  engine.apply({.operation = Operation::kExpire, .timestamp = first + 10});
  EXPECT_EQ(engine.counts().expired, 3u);
  const auto changes = engine.changes(first, UINT64_MAX, 10);
  ASSERT_EQ(changes.size(), 3u);
  EXPECT_EQ(changes[0].timestamp, first);
  EXPECT_EQ(changes[1].timestamp, first + 9);
  EXPECT_EQ(changes[2].timestamp, first + 10);
  EXPECT_EQ(changes[2].kind, PendingState::kExpired);
  EXPECT_EQ(changes[2].transfer.id, Id{3});
}

TEST(EngineTest, filters_that_are_not_valid_have_no_query) {
  AccountFilter account{.account_id = 1, .limit = 1, .flags = account_filter_flags::kDebits};
  EXPECT_TRUE(to_query(account));
  const auto bad = [&](auto change) {
    AccountFilter filter = account;
    change(filter);
    return !to_query(filter);
  };
  EXPECT_TRUE(bad([](auto& f) { f.account_id = 0; }));
  EXPECT_TRUE(bad([](auto& f) { f.account_id = kU128Max; }));
  EXPECT_TRUE(bad([](auto& f) { f.limit = 0; }));
  EXPECT_TRUE(bad([](auto& f) { f.flags = 0; }));
  EXPECT_TRUE(bad([](auto& f) { f.flags = account_filter_flags::kReversed; }));
  EXPECT_TRUE(bad([](auto& f) { f.flags |= 8; }));
  EXPECT_TRUE(bad([](auto& f) { f.reserved[57] = 1; }));
  EXPECT_TRUE(bad([](auto& f) { f.timestamp_min = kTimestampMax + 1; }));
  EXPECT_TRUE(bad([](auto& f) { f.timestamp_max = kTimestampMax + 1; }));
  EXPECT_TRUE(bad([](auto& f) { f.timestamp_min = 2, f.timestamp_max = 1; }));
  EXPECT_FALSE(bad([](auto& f) { f.timestamp_min = kTimestampMax; }));

  const QueryFilter query{.limit = 1};
  EXPECT_TRUE(to_transfer_query(query));
  EXPECT_TRUE(to_account_query(query));
  const auto bad_query = [&](auto change) {
    QueryFilter filter = query;
    change(filter);
    EXPECT_EQ(!to_transfer_query(filter), !to_account_query(filter));
    return !to_transfer_query(filter);
  };
  EXPECT_TRUE(bad_query([](auto& f) { f.limit = 0; }));
  EXPECT_TRUE(bad_query([](auto& f) { f.flags = 2; }));
  EXPECT_TRUE(bad_query([](auto& f) { f.reserved[0] = 1; }));
  EXPECT_TRUE(bad_query([](auto& f) { f.timestamp_min = UINT64_MAX; }));
  EXPECT_TRUE(bad_query([](auto& f) { f.timestamp_max = UINT64_MAX; }));
  EXPECT_TRUE(bad_query([](auto& f) { f.timestamp_min = 3, f.timestamp_max = 2; }));
}

TEST(EngineTest, the_longest_silent_session_goes_when_there_are_too_many) {
  Engine engine;
  uint64_t time = 0;
  const auto enroll = [&](u128 client) {
    return engine.apply({.operation = Operation::kRegister, .timestamp = ++time, .from = {.client = client}}).session;
  };
  std::vector<uint64_t> sessions;
  for (u128 client = 1; client <= kSessionsMax; ++client) sessions.push_back(enroll(client));
  // The first one speaks; so the second is the most silent.
  engine.apply({.timestamp = ++time, .from = {.client = 1, .session = sessions[0], .request = 1}});
  enroll(kSessionsMax + 1);
  EXPECT_EQ(engine.counts().sessions, kSessionsMax);
  EXPECT_EQ(engine.session_state({.client = 1, .session = sessions[0], .request = 2}), Engine::SessionState::kCurrent);
  EXPECT_EQ(engine.session_state({.client = 2, .session = sessions[1]}), Engine::SessionState::kUnknown);
  // A client that registers again takes nobody's place.
  enroll(3);
  EXPECT_EQ(engine.counts().sessions, kSessionsMax);
  EXPECT_EQ(engine.session_state({.client = 3, .session = sessions[2]}), Engine::SessionState::kOlder);
  EXPECT_EQ(engine.session_state({.client = 4, .session = sessions[3]}), Engine::SessionState::kCurrent);
}

TEST(EngineTest, bytes_that_are_no_command_are_refused) {
  const std::vector<Transfer> events(3);
  const std::vector<uint16_t> batches = {1, 2};
  Bytes good;
  base::Writer out(good);
  Engine::encode({.operation = Operation::kCreateTransfers,
                  .timestamp = 77,
                  .from = {.client = 1, .session = 2, .request = 3},
                  .batches = batches,
                  .events = std::as_bytes(std::span(events))},
                 out);
  ASSERT_TRUE(Engine::decode(good));
  for (size_t size = 0; size < good.size(); ++size) {
    const auto cut = Engine::decode(BytesView(good).first(size));
    EXPECT_FALSE(cut) << size;
    if (!cut) EXPECT_EQ(cut.error().code(), Code::kCorrupt);
  }
  const auto broken = [&](size_t at, uint8_t value) {
    Bytes bad = good;
    bad[at] = std::byte{value};
    return !Engine::decode(bad);
  };
  EXPECT_TRUE(broken(0, 1));      // an unknown operation
  EXPECT_TRUE(broken(0, 2));      // a register with events
  EXPECT_TRUE(broken(1, 4));      // unknown parts
  EXPECT_TRUE(broken(1, 1));      // batches that are not announced
  EXPECT_TRUE(broken(2, 3));      // another number of batches
  EXPECT_TRUE(broken(11, 0x80));  // a timestamp above 2^63
  EXPECT_TRUE(broken(4, 1));      // more events than timestamps
  EXPECT_TRUE(broken(12, 0));     // a session without a client
  EXPECT_TRUE(broken(40, 2));     // batches that are more than all events
}

TEST(EngineTest, random_bytes_never_decode_into_something_that_breaks) {
  base::SeededRandom random(1);
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes(random.below(300));
    random.fill(bytes);
    if (!bytes.empty() && random.chance(3, 4)) bytes[0] = std::byte{static_cast<uint8_t>(146 + random.below(2))};
    if (bytes.size() > 3 && random.chance(3, 4)) bytes[1] = bytes[2] = bytes[3] = std::byte{};
    const auto command = Engine::decode(bytes);
    if (command) EXPECT_EQ(command->events.size() % 128, 0u);
  }
}

TEST(EngineTest, pieces_that_do_not_fit_together_are_not_loaded) {
  Engine engine({.rows_per_chunk = 64, .rows_per_run = 16});
  create_accounts(engine, 40);
  std::vector<Transfer> transfers;
  for (uint64_t i = 1; i <= 100; ++i)
    transfers.push_back({.id = i,
                         .debit_account_id = 1,
                         .credit_account_id = 2,
                         .amount = 1,
                         .timeout = 9,
                         .ledger = 1,
                         .code = static_cast<uint16_t>(i % 10 == 0 ? 0 : 1),
                         .flags = transfer_flags::kPending});
  apply(engine, Operation::kCreateTransfers, transfers);
  engine.apply({.operation = Operation::kRegister, .timestamp = engine.next_timestamp(0, 0), .from = {.client = 1}});
  const auto good = save(engine);
  const auto loads = [](const std::vector<Bytes>& pieces) {
    Engine fresh({.rows_per_chunk = 64, .rows_per_run = 16});
    for (const Bytes& piece : pieces)
      if (!fresh.load(piece)) return false;
    return fresh.load_finished().has_value();
  };
  EXPECT_TRUE(loads(good));
  EXPECT_FALSE(loads({}));
  for (size_t i = 0; i < good.size(); ++i) {
    auto without = good;
    without.erase(without.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_FALSE(loads(without)) << "without piece " << i;
    auto shorter = good;
    shorter[i].pop_back();
    EXPECT_FALSE(loads(shorter)) << "piece " << i << " cut";
    auto longer = good;
    longer[i].push_back(std::byte{});
    EXPECT_FALSE(loads(longer)) << "piece " << i << " with more";
    auto twice = good;
    twice.insert(twice.begin() + static_cast<ptrdiff_t>(i), good[i]);
    EXPECT_FALSE(loads(twice)) << "piece " << i << " twice";
    auto unknown = good;
    unknown[i][0] = std::byte{99};
    EXPECT_FALSE(loads(unknown)) << "piece " << i << " of an unknown kind";
  }
}

TEST(DueQueueTest, gives_what_is_open_in_order_of_time_and_forgets_the_rest) {
  base::SeededRandom random(3);
  DueQueue queue;
  std::vector<Due> open;
  const auto is_open = [&](const Due& due) { return std::find(open.begin(), open.end(), due) != open.end(); };
  for (uint64_t i = 0; i < 6'000; ++i) {
    const Due due{.expires_at = random.below(1'000), .transfer = i};
    queue.add(due);
    open.push_back(due);
    if (random.chance(2, 3)) {
      const auto at = open.begin() + static_cast<ptrdiff_t>(random.below(open.size()));
      open.erase(at);
      queue.add_stale();
      queue.tidy(is_open);
    }
    if (i % 64 == 0 && !open.empty()) EXPECT_EQ(queue.first(), *std::min_element(open.begin(), open.end()));
  }
  EXPECT_LE(queue.stale(), queue.pages().size() / 2 + 1'024);
  std::sort(open.begin(), open.end());
  for (const Due& expected : open) {
    queue.tidy(is_open);
    ASSERT_EQ(queue.first(), expected);
    queue.remove_first();
  }
}

}  // namespace
}  // namespace polis::ledger
