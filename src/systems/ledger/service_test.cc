#include "systems/ledger/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/sim/world.h"

namespace polis::ledger {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Id kAlice = 1, kBob = 2, kShop = 3;

Transfer payment(Id id, u128 amount, Id from = kAlice, Id to = kBob) {
  return {.id = id, .debit_account_id = from, .credit_account_id = to, .amount = amount, .ledger = 1, .code = 1};
}

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() {
    options.data_directory = "polis";
    options.segment_size_bytes = 16 << 10;
    options.snapshot_every_bytes = 0;
    options.engine = {.rows_per_chunk = 64, .rows_per_run = 16};
  }
  ~ServiceTest() override {
    if (service) close();
  }

  Result<void> try_open() {
    auto opened = world.run(LedgerService::open(world.disk(), world.clock(), random, options));
    if (!opened) return fail(opened.error());
    service = std::move(*opened);
    return {};
  }
  void open() {
    const auto opened = try_open();
    ASSERT_TRUE(opened) << opened.error().text();
  }
  Result<void> close() {
    auto closed = world.run(service->close());
    service.reset();
    return closed;
  }
  void make_accounts() {
    std::vector<Account> events;
    for (const Id id : {kAlice, kBob, kShop})
      events.push_back({.id = id, .ledger = 1, .code = 1, .flags = account_flags::kHistory});
    const auto results = world.run(service->create_accounts(events));
    ASSERT_TRUE(results) << results.error().text();
    for (const CreateResult& result : *results) EXPECT_TRUE(result.created());
  }
  TransferStatus pay(const Transfer& transfer) {
    const auto results = world.run(service->create_transfers(std::span(&transfer, 1)));
    if (!results) ADD_FAILURE() << results.error().text();
    return results ? static_cast<TransferStatus>(results->at(0).status) : TransferStatus{};
  }
  void pay_many(Id first, uint64_t count) {
    for (uint64_t i = 0; i < count; i += 10) {
      std::vector<Transfer> events;
      for (uint64_t j = i; j < std::min(i + 10, count); ++j) events.push_back(payment(first + j, 1 + j % 7));
      ASSERT_TRUE(world.run(service->create_transfers(events)));
    }
  }
  std::vector<Account> accounts() {
    auto found = world.run(service->query([](const Engine& engine) { return engine.accounts({.limit = 100}); }));
    if (!found) ADD_FAILURE() << found.error().text();
    return found ? *found : std::vector<Account>();
  }
  Engine::Counts counts() {
    auto found = world.run(service->query([](const Engine& engine) { return engine.counts(); }));
    return found ? *found : Engine::Counts();
  }
  Command command(Operation operation, BytesView events = {}) { return {.operation = operation, .events = events}; }

  sim::World world{1};
  base::SeededRandom random{1};
  ServiceOptions options;
  std::unique_ptr<LedgerService> service;
};

TEST_F(ServiceTest, the_books_come_back_as_they_were) {
  open();
  make_accounts();
  EXPECT_EQ(pay(payment(10, 200)), TransferStatus::kCreated);
  const auto before = accounts();
  EXPECT_EQ(before.at(0).debits_posted, 200u);
  ASSERT_TRUE(close());
  open();
  EXPECT_EQ(accounts(), before);
  EXPECT_EQ(pay(payment(10, 200)), TransferStatus::kExists);
}

TEST_F(ServiceTest, nothing_to_book_is_an_answer_without_a_command) {
  open();
  EXPECT_TRUE(world.run(service->create_transfers({}))->empty());
  EXPECT_EQ(counts().ops, 0u);
}

TEST_F(ServiceTest, what_is_no_command_is_refused_and_changes_nothing) {
  open();
  const Bytes odd(200), many((kBatchEventsMax + 1) * 128), two(256);
  const uint16_t three[] = {1, 2};
  EXPECT_EQ(world.run(service->submit(command(Operation::kCreateTransfers, odd))).error().code(), Code::kInvalid);
  EXPECT_THAT(world.run(service->submit(command(Operation::kCreateTransfers, many))).error().text(),
              HasSubstr("at most 8190"));
  EXPECT_THAT(world.run(service->submit({.operation = Operation::kCreateTransfers, .batches = three, .events = two}))
                  .error()
                  .text(),
              HasSubstr("batches of 3 events"));
  EXPECT_EQ(world.run(service->submit(command(Operation::kExpire))).error().code(), Code::kInvalid);
  EXPECT_EQ(world.run(service->submit(command(Operation::kRegister))).error().code(), Code::kInvalid);
  EXPECT_EQ(world.run(service->submit(command(static_cast<Operation>(77)))).error().code(), Code::kInvalid);
  EXPECT_EQ(counts().ops, 0u);
}

// --- sessions

TEST_F(ServiceTest, a_request_that_comes_twice_is_answered_twice_and_booked_once) {
  open();
  make_accounts();
  const auto session = world.run(service->submit({.operation = Operation::kRegister, .from = {.client = 77}}));
  ASSERT_TRUE(session) << session.error().text();
  const Transfer transfer = payment(10, 5);
  const Command request{.operation = Operation::kCreateTransfers,
                        .from = {.client = 77, .session = session->session, .request = 1},
                        .events = std::as_bytes(std::span(&transfer, 1))};
  // At the same time, as from two connections.
  std::vector<Reply> replies;
  const auto send = [&]() -> Task<void> {
    auto reply = co_await service->submit(request);
    EXPECT_TRUE(reply);
    if (reply) replies.push_back(*reply);
  };
  const auto both = [&]() -> Task<void> {
    io::TaskGroup group;
    group.spawn(send());
    group.spawn(send());
    co_await group.join();
  };
  world.run(both());
  ASSERT_EQ(replies.size(), 2u);
  EXPECT_EQ(replies[0].op, replies[1].op);
  EXPECT_NE(replies[0].replayed, replies[1].replayed);
  EXPECT_EQ(replies[0].results, replies[1].results);
  EXPECT_EQ(accounts().at(0).debits_posted, 5u);
  // And after a restart.
  ASSERT_TRUE(close());
  open();
  const auto again = world.run(service->submit(request));
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->results, replies[0].results);
  EXPECT_EQ(accounts().at(0).debits_posted, 5u);
}

TEST_F(ServiceTest, a_session_that_is_not_there_or_old_is_said_to_be_so) {
  open();
  make_accounts();
  const Transfer transfer = payment(10, 5);
  const auto ask = [&](uint64_t session, uint32_t request) {
    auto reply = world.run(service->submit({.operation = Operation::kCreateTransfers,
                                            .from = {.client = 77, .session = session, .request = request},
                                            .events = std::as_bytes(std::span(&transfer, 1))}));
    return reply ? Code{} : reply.error().code();
  };
  EXPECT_EQ(ask(1, 1), Code::kNotFound);
  const auto enroll = [&] {
    return world.run(service->submit({.operation = Operation::kRegister, .from = {.client = 77}}));
  };
  const uint64_t session = enroll()->session;
  EXPECT_TRUE(enroll()->replayed);
  EXPECT_EQ(ask(session + 9, 1), Code::kOutOfRange);
  EXPECT_EQ(ask(session - 1, 1), Code::kVersionMismatch);
  const Command five{.operation = Operation::kCreateTransfers,
                     .from = {.client = 77, .session = session, .request = 5},
                     .events = std::as_bytes(std::span(&transfer, 1))};
  ASSERT_TRUE(world.run(service->submit(five)));
  EXPECT_EQ(ask(session, 4), Code::kConflict);
  EXPECT_EQ(enroll().error().code(), Code::kConflict);
}

// --- time

TEST_F(ServiceTest, a_reservation_expires_within_a_tenth_of_a_second_without_anybody_asking) {
  open();
  make_accounts();
  Transfer reservation = payment(10, 50);
  reservation.flags = transfer_flags::kPending;
  reservation.timeout = 2;
  EXPECT_EQ(pay(reservation), TransferStatus::kCreated);
  world.run_for(1900ms);
  EXPECT_EQ(accounts().at(0).debits_pending, 50u);
  world.run_for(200ms);
  EXPECT_EQ(accounts().at(0).debits_pending, 0u);
  EXPECT_EQ(counts().expired, 1u);
}

TEST_F(ServiceTest, what_became_due_while_polis_was_down_expires_at_the_start) {
  open();
  make_accounts();
  Transfer reservation = payment(10, 50);
  reservation.flags = transfer_flags::kPending;
  reservation.timeout = 2;
  EXPECT_EQ(pay(reservation), TransferStatus::kCreated);
  ASSERT_TRUE(close());
  world.run_for(10s);
  open();
  world.run_for(100ms);
  EXPECT_EQ(accounts().at(0).debits_pending, 0u);
}

TEST_F(ServiceTest, a_wall_clock_that_steps_back_never_gives_a_timestamp_twice) {
  open();
  make_accounts();
  EXPECT_EQ(pay(payment(10, 1)), TransferStatus::kCreated);
  world.clock().step_wall(-1h);
  EXPECT_EQ(pay(payment(11, 1)), TransferStatus::kCreated);
  const auto times = world.run(service->query(
      [](const Engine& engine) { return std::pair(engine.transfer(10)->timestamp, engine.transfer(11)->timestamp); }));
  EXPECT_LT(times->first, times->second);
}

TEST_F(ServiceTest, many_reservations_expire_at_once_even_if_the_clock_went_ahead_and_back) {
  open();
  make_accounts();
  std::vector<Transfer> events;
  for (Id id = 100; id < 600; ++id) {
    events.push_back(payment(id, 1));
    events.back().flags = transfer_flags::kPending;
    events.back().timeout = 3'000;
  }
  ASSERT_TRUE(world.run(service->create_transfers(events)));
  world.clock().step_wall(1h);
  EXPECT_EQ(pay(payment(10, 1)), TransferStatus::kCreated);  // before the ledger looks at the clock again
  world.clock().step_wall(-1h);
  const uint64_t before = counts().ops;
  world.run_for(3s);
  EXPECT_EQ(counts().expired, 500u);
  EXPECT_LE(counts().ops - before, 2u);
}

// --- batching, watching, waiting

TEST_F(ServiceTest, a_thousand_callers_at_once_need_a_handful_of_syncs) {
  open();
  make_accounts();
  const uint64_t before = world.run(service->statistics()).journal_syncs;
  const auto pay_one = [&](Id id) -> Task<void> {
    const Transfer transfer = payment(id, 1);
    const auto results = co_await service->create_transfers(std::span(&transfer, 1));
    EXPECT_TRUE(results && results->at(0).created());
  };
  const auto all = [&]() -> Task<void> {
    io::TaskGroup group;
    for (Id id = 100; id < 1100; ++id) group.spawn(pay_one(id));
    co_await group.join();
  };
  options.segment_size_bytes = 1 << 20;
  world.run(all());
  const auto statistics = world.run(service->statistics());
  // Two for each of the small segments, and a few for the groups.
  EXPECT_LT(statistics.journal_syncs - before, 80u);
  EXPECT_EQ(accounts().at(0).debits_posted, 1000u);
  EXPECT_GT(statistics.latency_us.at(0).second, 0u);
}

TEST_F(ServiceTest, watchers_hear_of_every_command_in_order_and_only_when_it_is_on_disk) {
  open();
  std::vector<uint64_t> heard;
  uint64_t created = 0;
  const uint64_t number = world.run(service->watch([&](const Ledger::Committed& committed) {
    heard.push_back(committed.op);
    created += committed.created;
  }));
  make_accounts();
  for (Id id = 10; id < 13; ++id) pay(payment(id, 1));
  EXPECT_THAT(heard, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(created, 6u);
  world.run(service->unwatch(number));
  pay(payment(13, 1));
  EXPECT_EQ(heard.size(), 4u);
  const uint64_t second = world.run(service->watch([&](const Ledger::Committed& c) { heard.push_back(c.op); }));
  world.disk().set_faults("polis/journal", {.sync_error_ppm = 1'000'000});
  const Transfer lost = payment(14, 1);
  EXPECT_FALSE(world.run(service->create_transfers(std::span(&lost, 1))));
  EXPECT_EQ(heard.size(), 4u) << "a command that is not on disk was told";
  world.run(service->unwatch(second));
  EXPECT_FALSE(close());
  world.disk().clear_faults();
}

TEST_F(ServiceTest, commands_wait_for_room_and_give_up_with_busy) {
  options.journal_buffer_bytes_max = 4 << 10;
  options.patience = 100ms;
  open();
  make_accounts();
  std::vector<Code> codes;
  const auto pay_ten = [&](Id id) -> Task<void> {
    std::vector<Transfer> events;
    for (Id i = 0; i < 10; ++i) events.push_back(payment(id * 10 + i, 1));
    const auto results = co_await service->create_transfers(events);
    codes.push_back(results ? Code{} : results.error().code());
  };
  const auto many = [&](Id first) -> Task<void> {
    io::TaskGroup group;
    for (Id id = first; id < first + 20; ++id) group.spawn(pay_ten(id));
    co_await group.join();
  };
  world.run(many(10));
  EXPECT_THAT(codes, testing::Each(Code{})) << "a short wait is no refusal";
  EXPECT_EQ(accounts().at(0).debits_posted, 200u);
  // A disk that stands still.
  codes.clear();
  world.disk().set_faults("polis/journal", {.slow_ppm = 1'000'000, .slow = 3s});
  world.run(many(100));
  EXPECT_GT(std::ranges::count(codes, Code::kBusy), 0);
  EXPECT_GT(std::ranges::count(codes, Code{}), 0);
  world.disk().clear_faults();
}

TEST_F(ServiceTest, a_clock_at_the_end_of_time_is_refused_and_ends_nothing) {
  open();
  make_accounts();
  // Only while the booking is sequenced: the clock of the test must not run over.
  const auto book_at_the_end = [&]() -> Task<void> {
    const Duration away = WallTime(Duration(static_cast<int64_t>(kTimestampMax - 1000))) - world.clock().wall();
    const auto book = [&]() -> Task<void> {
      const Transfer first = payment(10, 1);
      EXPECT_TRUE(co_await service->create_transfers(std::span(&first, 1)));
    };
    io::TaskGroup group;
    world.clock().step_wall(away);
    group.spawn(book());
    co_await io::yield();
    world.clock().step_wall(-away);
    co_await group.join();
  };
  world.run(book_at_the_end());
  Code code{};
  for (Id id = 11; id < 2'000 && code == Code{}; ++id) {
    const Transfer next[] = {payment(id, 1)};
    if (const auto results = world.run(service->create_transfers(next)); !results) code = results.error().code();
  }
  EXPECT_EQ(code, Code::kUnavailable);
  EXPECT_GT(accounts().at(0).debits_posted, 0u);
}

// --- failures

TEST_F(ServiceTest, a_disk_without_room_for_history_is_told_and_bookings_go_on_when_there_is_room) {
  options.patience = 100ms;
  options.chunk_backlog_bytes_max = 0;
  open();
  make_accounts();
  world.disk().set_faults("polis/snapshot", {.write_error_ppm = 1'000'000});
  Code code{};
  for (Id id = 100; code == Code{} && id < 400; id += 10) {
    std::vector<Transfer> events;
    for (Id i = 0; i < 10; ++i) events.push_back(payment(id + i, 1));
    const auto results = world.run(service->create_transfers(events));
    if (!results) code = results.error().code();
  }
  EXPECT_EQ(code, Code::kBusy);
  EXPECT_TRUE(service->condition().degraded);
  EXPECT_THAT(service->condition().message, HasSubstr("files of history cannot be written"));
  world.disk().clear_faults();
  world.run_for(3s);
  EXPECT_EQ(pay(payment(10, 1)), TransferStatus::kCreated);
  world.run_for(3s);
  EXPECT_FALSE(service->condition().degraded) << service->condition().message;
}

TEST_F(ServiceTest, a_failed_sync_is_told_to_everybody_and_a_restart_goes_on) {
  open();
  make_accounts();
  EXPECT_EQ(pay(payment(10, 1)), TransferStatus::kCreated);
  EXPECT_FALSE(service->condition().failed);
  world.disk().set_faults("polis/journal", {.sync_error_ppm = 1'000'000});
  const Transfer transfer = payment(11, 1);
  EXPECT_EQ(world.run(service->create_transfers(std::span(&transfer, 1))).error().code(), Code::kUnavailable);
  EXPECT_TRUE(service->condition().failed);
  EXPECT_THAT(service->condition().message, HasSubstr("restart polis"));
  EXPECT_FALSE(world.run(service->query([](const Engine& engine) { return engine.counts().ops; })));
  EXPECT_FALSE(world.run(service->signed_head()));
  EXPECT_FALSE(close());
  world.disk().clear_faults();
  world.disk().crash();
  world.disk().restart();
  open();
  EXPECT_EQ(pay(payment(10, 1)), TransferStatus::kExists);
  EXPECT_FALSE(service->condition().failed);
}

TEST_F(ServiceTest, a_closing_ledger_answers_everybody) {
  open();
  make_accounts();
  pay_many(100, 300);
  int answered = 0;
  const auto pay_one = [&](Id id) -> Task<void> {
    const Transfer transfer = payment(id, 1);
    const auto results = co_await service->create_transfers(std::span(&transfer, 1));
    if (!results) EXPECT_EQ(results.error().code(), Code::kUnavailable);
    ++answered;
  };
  const auto verify = [&]() -> Task<void> {
    const auto verified = co_await service->verify({});
    EXPECT_FALSE(verified);
    ++answered;
  };
  const auto all = [&]() -> Task<void> {
    io::TaskGroup group;
    group.spawn(verify());
    for (Id id = 1000; id < 1010; ++id) group.spawn(pay_one(id));
    co_await io::yield();
    EXPECT_TRUE(co_await service->close());
    co_await group.join();
    const Transfer late = payment(2000, 1);
    EXPECT_EQ((co_await service->create_transfers(std::span(&late, 1))).error().code(), Code::kUnavailable);
  };
  world.run(all());
  EXPECT_EQ(answered, 11);
  service.reset();
}

// --- heads and witnesses

TEST_F(ServiceTest, heads_are_signed_and_reach_the_witness) {
  options.witness_file = "elsewhere/heads.txt";
  world.disk().put("elsewhere/heads.txt", {});
  open();
  const auto first = world.run(service->signed_head());
  ASSERT_TRUE(first);
  EXPECT_EQ(first->op, 0u);
  make_accounts();
  pay(payment(10, 1));
  const auto head = world.run(service->signed_head());
  ASSERT_TRUE(head);
  EXPECT_EQ(head->op, 2u);
  EXPECT_TRUE(verify(*head, service->public_key_pem()));
  const auto after = world.run(service->query([](const Engine& engine) { return engine.link(2)->head_after(); }));
  EXPECT_EQ(head->head, *after);
  world.run_for(3s);
  const Bytes witnessed = world.disk().durable_content("elsewhere/heads.txt");
  EXPECT_THAT(std::string(as_text(witnessed)), HasSubstr("polis ledger head\nop 2\n"));
  EXPECT_THAT(std::string(as_text(witnessed)), HasSubstr("signature "));
}

TEST_F(ServiceTest, a_witness_that_cannot_be_written_degrades_and_does_not_stop_the_books) {
  options.witness_file = "elsewhere/heads.txt";
  world.disk().put("elsewhere/heads.txt", {});
  open();
  make_accounts();
  world.disk().set_faults("elsewhere", {.write_error_ppm = 1'000'000});
  world.run_for(2s);
  EXPECT_EQ(pay(payment(10, 1)), TransferStatus::kCreated);
  world.run_for(2s);
  EXPECT_TRUE(service->condition().degraded);
  EXPECT_THAT(service->condition().message, HasSubstr("ledger.witness_file"));
  EXPECT_EQ(pay(payment(11, 1)), TransferStatus::kCreated);
}

// --- verification, rebuilding, damage

TEST_F(ServiceTest, verification_reads_everything_and_agrees) {
  options.snapshot_every_bytes = 8 << 10;
  open();
  make_accounts();
  pay_many(100, 500);
  uint64_t last = 0;
  const auto verified = world.run(service->verify([&](uint64_t done, uint64_t) { last = done; }));
  ASSERT_TRUE(verified) << verified.error().text();
  EXPECT_EQ(verified->transfers, 500u);
  EXPECT_EQ(verified->accounts, 3u);
  EXPECT_EQ(verified->ops, counts().ops);
  EXPECT_EQ(last, verified->ops);
  EXPECT_EQ(verified->head, world.run(service->signed_head())->head);
  u128 alice = 0;
  ASSERT_TRUE(world.run(
      service->replay([&](const Engine& engine) { alice = engine.account(kAlice)->debits_posted; }, nullptr)));
  EXPECT_EQ(alice, accounts().at(0).debits_posted);
}

TEST_F(ServiceTest, without_snapshots_and_chunks_the_journal_alone_gives_the_same_records) {
  options.snapshot_every_bytes = 8 << 10;
  open();
  make_accounts();
  pay_many(100, 500);
  const auto before = accounts();
  ASSERT_TRUE(close());
  ASSERT_FALSE(world.disk().files("polis/snapshot/ledger/chunks").empty());
  for (const std::string& file : world.disk().files("polis/snapshot"))
    ASSERT_TRUE(world.run(world.disk().remove(file)));
  open();
  EXPECT_EQ(accounts(), before);
  EXPECT_TRUE(world.run(service->verify(nullptr)));
}

TEST_F(ServiceTest, a_backup_that_comes_back_without_the_key_verifies_under_a_new_one) {
  options.snapshot_every_bytes = 8 << 10;
  open();
  make_accounts();
  pay_many(100, 500);
  const auto before = accounts();
  const std::string key = service->public_key_pem();
  ASSERT_TRUE(close());
  ASSERT_TRUE(world.run(world.disk().remove("polis/keys/ledger.key")));
  open();
  EXPECT_NE(service->public_key_pem(), key);
  EXPECT_EQ(accounts(), before);
  EXPECT_EQ(pay(payment(100, 1)), TransferStatus::kExists);
  pay_many(1000, 200);
  const auto verified = world.run(service->verify(nullptr));
  EXPECT_TRUE(verified) << verified.error().text();
}

// Everything on the disk, to put it back after each damage.
std::map<std::string, Bytes> everything(sim::World& world) {
  std::map<std::string, Bytes> files;
  for (const std::string& file : world.disk().files("polis")) files[file] = world.disk().content(file);
  return files;
}

void put_back(sim::World& world, const std::map<std::string, Bytes>& files) {
  for (const std::string& file : world.disk().files("polis"))
    if (!files.contains(file)) (void)world.run(world.disk().remove(file));
  for (const auto& [file, content] : files) world.disk().put(file, content);
}

TEST_F(ServiceTest, a_flipped_bit_anywhere_in_journal_snapshots_and_chunks_is_found_and_never_served) {
  options.snapshot_every_bytes = 24 << 10;
  open();
  make_accounts();
  pay_many(100, 400);
  const auto before = accounts();
  ASSERT_TRUE(close());
  const auto files = everything(world);
#ifdef POLIS_DEBUG
  const size_t places = 6, chunk_places = 2;  // each opens the ledger anew, which a sanitizer makes a second of
#else
  const size_t places = 23, chunk_places = 5;
#endif
  size_t journals = 0, snapshots = 0, chunks = 0;
  for (const auto& [file, content] : files) {
    // The key is no history; the checkpoint only says how far the journal must reach.
    if (file.find("keys") != std::string::npos || file.ends_with("/checkpoint")) continue;
    const bool journal = file.find("journal") != std::string::npos, chunk = file.ends_with(".chunk");
    (journal ? journals : chunk ? chunks : snapshots)++;
    const size_t stride = std::max<size_t>(content.size() / (chunk ? chunk_places : places), 1);
    for (size_t offset = 0; offset < content.size(); offset += stride) {
      SCOPED_TRACE(file + " byte " + std::to_string(offset));
      world.disk().flip_bit(file, offset, offset % 8);
      const std::string name = file.substr(file.rfind('/') + 1);
      const auto opened = try_open();
      if (!opened) {
        EXPECT_TRUE(journal) << "snapshots and chunks are only derived: " << opened.error().text();
        EXPECT_EQ(opened.error().code(), Code::kCorrupt) << opened.error().text();
        EXPECT_THAT(opened.error().text(), testing::AnyOf(HasSubstr(name), HasSubstr("command ")));
      } else {
        EXPECT_EQ(accounts(), before);
        const auto verified = world.run(service->verify(nullptr));
        if (journal) {
          ASSERT_FALSE(verified) << "a damaged journal verifies";
          EXPECT_EQ(verified.error().code(), Code::kCorrupt);
          EXPECT_THAT(verified.error().text(), HasSubstr(name));
        } else {
          // Found at the start, or, in a snapshot that was not needed, by looking at everything.
          const std::string found = verified ? service->condition().message : verified.error().text();
          EXPECT_TRUE(!verified || service->condition().degraded);
          EXPECT_THAT(found, HasSubstr(name));
        }
        (void)close();
      }
      put_back(world, files);
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(journals, 3u);
  EXPECT_GE(snapshots, 1u);
  EXPECT_GE(chunks, 3u);
}

TEST_F(ServiceTest, a_bit_that_flips_in_a_journal_file_under_a_running_ledger_is_found_by_verification) {
  open();
  make_accounts();
  pay_many(100, 400);
  const std::string file = world.disk().files("polis/journal").at(1);
  world.disk().flip_bit(file, 5000, 3);
  const auto verified = world.run(service->verify(nullptr));
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code(), Code::kCorrupt);
  EXPECT_THAT(verified.error().text(), HasSubstr("ledger: command "));
  EXPECT_THAT(verified.error().text(), HasSubstr(file.substr(file.rfind('/') + 1)));
  EXPECT_EQ(pay(payment(10, 1)), TransferStatus::kCreated) << "the running books are sound";
  world.disk().flip_bit(file, 5000, 3);
}

}  // namespace
}  // namespace polis::ledger
