// Clients and the server over a simulated network: pieces of any size, two shards' worth of rules on one, and what goes
// wrong.
#include "systems/ledger/tigerbeetle/server.h"

#include <gtest/gtest.h>

#include "kernel/io/peer_certificate.h"
#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"
#include "systems/ledger/tigerbeetle/client.h"
#include "systems/ledger/tigerbeetle/memory_ledger_test_support.h"

namespace polis::ledger::tigerbeetle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr u128 kClient = 4711;
const io::Endpoint kEndpoint{.address = "10.0.0.1", .port = 3000};

Account account(Id id, uint32_t ledger = 1) {
  Account made;
  made.id = id;
  made.ledger = ledger;
  made.code = 10;
  return made;
}

Transfer transfer(Id id, Id debit, Id credit, u128 amount, uint32_t ledger = 1) {
  Transfer made;
  made.id = id;
  made.debit_account_id = debit;
  made.credit_account_id = credit;
  made.amount = amount;
  made.ledger = ledger;
  made.code = 1;
  return made;
}

class ServerTest : public testing::Test {
 protected:
  using Body = std::function<Task<Result<void>>()>;

  // Opens the server, runs the test, drains.
  void run(Body body, Door door = {}) { world_.run(everything(std::move(body), std::move(door))); }

  Task<void> everything(Body body, Door door) {
    acceptor_.emplace(ledger_, options_, 1, &metrics_, open_);
    auto listener = world_.network().listen(kEndpoint);
    EXPECT_TRUE(listener);
    acceptor_->listen(std::move(*listener), std::move(door));
    auto done = co_await body();
    EXPECT_TRUE(done) << done.error().text();
    co_await acceptor_->drain(seconds(1));
    EXPECT_EQ(open_.load(), 0u);
    acceptor_.reset();
  }

  Task<Result<std::unique_ptr<io::Stream>>> connect() { return world_.network().connect(kEndpoint, "10.0.0.2"); }

  Task<Result<Client>> client(u128 id = kClient) {
    Client made(CO_TRY(co_await connect()), {.client = id});
    CO_TRY(co_await made.enroll());
    co_return made;
  }

  // Sends bytes on a new connection and answers with the next header, or how the connection ended.
  Task<Result<AnyHeader>> send_raw(Bytes bytes) {
    auto stream = CO_TRY(co_await connect());
    CO_TRY(co_await stream->write(BytesView(bytes)));
    co_return co_await next_header(*stream);
  }
  static Task<Result<AnyHeader>> next_header(io::Stream& stream) {
    Bytes bytes(kHeaderBytes);
    for (size_t filled = 0; filled < bytes.size();) {
      auto read = stream.read_some(MutableBytes(bytes).subspan(filled));
      filled += CO_TRY(co_await io::with_timeout<Result<size_t>>(seconds(100), std::move(read)));
    }
    const AnyHeader header = CO_TRY(decode_header(bytes, 0));
    Bytes body(header.body_bytes());
    for (size_t filled = 0; filled < body.size();)
      filled += CO_TRY(co_await stream.read_some(MutableBytes(body).subspan(filled)));
    CO_TRY(check_body(header, body));
    co_return header;
  }

  static Request request(uint8_t operation, uint64_t session, uint32_t number, u128 client = kClient) {
    Request made;
    made.frame.release = kReleaseOurs;
    made.part.client = client;
    made.part.session = session;
    made.part.request = number;
    made.part.operation = operation;
    return made;
  }
  static Bytes sealed(Request header, Bytes body = {}) {
    const BytesView part = body;
    seal(header, std::span(&part, 1));
    Bytes bytes(bytes_of(header).begin(), bytes_of(header).end());
    bytes.insert(bytes.end(), body.begin(), body.end());
    return bytes;
  }
  static std::optional<EvictionReason> reason_of(const Result<AnyHeader>& answer) {
    if (!answer || answer->frame().command != WireCommand::kEviction) return std::nullopt;
    return answer->as<EvictionPart>().part.reason;
  }
  static Bytes bytes_of_reply(const Client& client) {
    return {bytes_of(client.last_reply()).begin(), bytes_of(client.last_reply()).end()};
  }

  sim::World world_{1};
  MemoryLedger ledger_{world_.clock()};
  obs::Registry registry_;
  Metrics metrics_{registry_};
  ServerOptions options_;
  std::atomic<size_t> open_{0};
  std::optional<Acceptor> acceptor_;
};

// Statements of tests that are coroutines: a failed expectation ends the test.
#define CO_EXPECT(...)                            \
  do {                                            \
    EXPECT_TRUE(__VA_ARGS__);                     \
    if (!(__VA_ARGS__)) co_return Result<void>{}; \
  } while (false)

TEST_F(ServerTest, a_client_registers_books_and_reads_back) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    EXPECT_GT(client.session(), 0u);
    CO_TRY(co_await client.ping());
    const Account accounts[] = {account(1), account(2)};
    auto created = CO_TRY(co_await client.create_accounts(accounts));
    CO_EXPECT(created.size() == 2);
    EXPECT_TRUE(created[0].created() && created[1].created());
    EXPECT_LT(created[0].timestamp, created[1].timestamp);
    const Transfer transfers[] = {transfer(10, 1, 2, 100), transfer(11, 2, 1, 30), transfer(11, 2, 1, 30),
                                  transfer(12, 1, 9, 1)};
    auto booked = CO_TRY(co_await client.create_transfers(transfers));
    CO_EXPECT(booked.size() == 4);
    EXPECT_TRUE(booked[1].created());
    EXPECT_EQ(booked[2].status, static_cast<uint32_t>(TransferStatus::kExists));
    EXPECT_EQ(booked[2].timestamp, booked[1].timestamp);
    EXPECT_EQ(booked[3].status, static_cast<uint32_t>(TransferStatus::kCreditAccountNotFound));
    const Id ids[] = {2, 3, 1};
    auto found = CO_TRY(co_await client.lookup_accounts(ids));
    CO_EXPECT(found.size() == 2);
    EXPECT_TRUE(found[0].id == 2 && found[0].credits_posted == 100 && found[0].debits_posted == 30);
    const Id transfer_ids[] = {11};
    EXPECT_EQ(CO_TRY(co_await client.lookup_transfers(transfer_ids)).size(), 1u);
    AccountFilter filter;
    filter.account_id = 1;
    filter.limit = 10;
    filter.flags = account_filter_flags::kDebits | account_filter_flags::kCredits;
    EXPECT_EQ(CO_TRY(co_await client.account_transfers(filter)).size(), 2u);
    filter.flags = 0;  // no side: an invalid filter has an empty result
    EXPECT_EQ(CO_TRY(co_await client.account_transfers(filter)).size(), 0u);
    QueryFilter query;
    query.ledger = 1;
    query.limit = 1;
    EXPECT_EQ(CO_TRY(co_await client.query_accounts(query)).size(), 1u);
    EXPECT_EQ(CO_TRY(co_await client.query_transfers(query)).size(), 1u);
    co_return {};
  });
  EXPECT_EQ(metrics_.connections->value(), 1u);
  EXPECT_EQ(metrics_.requests[static_cast<size_t>(Action::kCreateTransfers)]->value(), 1u);
}

TEST_F(ServerTest, the_largest_batch_arrives_in_pieces_and_is_answered_whole) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    std::vector<Account> accounts;
    for (Id id = 1; id <= 8'189; ++id) accounts.push_back(account(id));
    EXPECT_EQ(CO_TRY(co_await client.create_accounts(accounts)).size(), 8'189u);
    std::vector<Transfer> transfers;
    for (Id id = 1; id <= 8'189; ++id) transfers.push_back(transfer(id, id, id % 8'189 + 1, 5));
    auto booked = CO_TRY(co_await client.create_transfers(transfers));
    EXPECT_TRUE(std::ranges::all_of(booked, &CreateResult::created));
    QueryFilter all;
    all.limit = 1'000'000;
    EXPECT_EQ(CO_TRY(co_await client.query_transfers(all)).size(), 8'189u);
    accounts.push_back(account(9'000));
    EXPECT_EQ((co_await client.create_accounts(accounts)).error().code(), Code::kTooLarge);
    co_return {};
  });
}

TEST_F(ServerTest, a_request_that_is_sent_again_over_a_new_connection_books_once_and_gets_the_same_bytes) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    const Account accounts[] = {account(1), account(2)};
    CO_TRY(co_await client.create_accounts(accounts));
    const Transfer one = transfer(10, 1, 2, 100);
    CO_TRY(co_await client.create_transfers(std::span(&one, 1)));
    const Bytes first = bytes_of_reply(client);
    const uint64_t ops = ledger_.engine().counts().ops;
    CO_TRY(co_await client.resend());
    EXPECT_EQ(bytes_of_reply(client), first);
    CO_TRY(co_await client.resend_over(CO_TRY(co_await connect())));
    EXPECT_EQ(bytes_of_reply(client), first);
    EXPECT_EQ(ledger_.engine().counts().ops, ops);
    // The session goes on.
    const Transfer two = transfer(11, 1, 2, 1);
    CO_TRY(co_await client.create_transfers(std::span(&two, 1)));
    co_return {};
  });
}

TEST_F(ServerTest, a_registration_that_is_sent_again_gets_the_same_session) {
  run([&]() -> Task<Result<void>> {
    Client client(CO_TRY(co_await connect()), {.client = kClient});
    CO_TRY(co_await client.enroll());
    const Bytes first = bytes_of_reply(client);
    CO_TRY(co_await client.resend_over(CO_TRY(co_await connect())));
    EXPECT_EQ(bytes_of_reply(client), first);
    co_return {};
  });
}

TEST_F(ServerTest, a_question_that_is_sent_again_gets_the_same_bytes_on_its_connection) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    auto other = CO_TRY(co_await this->client(9));
    const Id ids[] = {1};
    EXPECT_TRUE(CO_TRY(co_await client.lookup_accounts(ids)).empty());
    const Bytes first = bytes_of_reply(client);
    const Account one = account(1);
    CO_TRY(co_await other.create_accounts(std::span(&one, 1)));
    EXPECT_TRUE(CO_TRY(co_await client.resend()).empty());
    EXPECT_EQ(bytes_of_reply(client), first);
    // Another connection does not know it, and answers what is true now.
    EXPECT_FALSE(CO_TRY(co_await client.resend_over(CO_TRY(co_await connect()))).empty());
    co_return {};
  });
}

TEST_F(ServerTest, older_requests_and_other_requests_of_the_same_number_are_met_with_silence) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    const Account one = account(1);
    CO_TRY(co_await client.create_accounts(std::span(&one, 1)));
    const Account two = account(2);
    CO_TRY(co_await client.create_accounts(std::span(&two, 1)));
    Bytes body(128);
    const uint16_t count = 1;
    append_trailer(body, std::span(&count, 1), 128);
    for (uint32_t number : {1u, 2u}) {
      // On the client's own connection, and on one that knows nothing of the session.
      CO_TRY(co_await client.stream().write(BytesView(sealed(request(146, client.session(), number), body))));
      CO_TRY(co_await client.ping());  // a pong is the next that comes
    }
    auto stream = CO_TRY(co_await connect());
    CO_TRY(co_await stream->write(BytesView(sealed(request(146, client.session(), 1), body))));
    PingClient ping;
    ping.frame.release = kReleaseOurs;
    ping.part.client = kClient;
    seal(ping);
    CO_TRY(co_await stream->write(bytes_of(ping)));
    EXPECT_EQ(CO_TRY(co_await next_header(*stream)).frame().command, WireCommand::kPongClient);
    EXPECT_EQ(ledger_.engine().counts().accounts, 2u);
    co_return {};
  });
}

TEST_F(ServerTest, sessions_that_cannot_go_on_are_evicted_with_the_reason) {
  run([&]() -> Task<Result<void>> {
    Bytes body(128);
    const uint16_t count = 1;
    append_trailer(body, std::span(&count, 1), 128);
    EXPECT_EQ(reason_of(co_await send_raw(sealed(request(147, 99, 1), body))), EvictionReason::kNoSession);
    EXPECT_EQ(reason_of(co_await send_raw(sealed(request(140, 99, 1), Bytes(16, std::byte{0xff})))),
              EvictionReason::kInvalidBody);
    auto client = CO_TRY(co_await this->client());
    const uint64_t session = client.session();
    auto old = request(147, session, 5);
    old.frame.release = kReleaseMin - 1;
    EXPECT_EQ(reason_of(co_await send_raw(sealed(old, body))), EvictionReason::kReleaseTooLow);
    auto future = request(147, session, 5);
    future.frame.release = kReleaseMax + 1;
    EXPECT_EQ(reason_of(co_await send_raw(sealed(future, body))), EvictionReason::kReleaseTooHigh);
    for (uint8_t operation : {128, 148, 200, 255})
      EXPECT_EQ(reason_of(co_await send_raw(sealed(request(operation, session, 5), body))),
                EvictionReason::kInvalidOperation);
    EXPECT_EQ(reason_of(co_await send_raw(sealed(request(147, session, 5)))), EvictionReason::kInvalidBody);
    EXPECT_EQ(reason_of(co_await send_raw(sealed(request(147, session, 5), Bytes(128)))), EvictionReason::kInvalidBody);
    EXPECT_EQ(reason_of(co_await send_raw(sealed(request(2, 0, 0, 5)))), EvictionReason::kInvalidBodySize);
    EXPECT_EQ(reason_of(co_await send_raw(sealed(request(2, 0, 0, 5), Bytes(512)))), EvictionReason::kInvalidBodySize);
    // A release does not change in the middle of a session.
    auto other = request(147, session, 1);
    other.frame.release = kReleaseOurs - 1;
    CO_TRY(co_await client.stream().write(BytesView(sealed(other, body))));
    EXPECT_EQ((co_await client.ping()).error().code(), Code::kDenied);
    EXPECT_EQ(ledger_.engine().counts().transfers, 0u);
    co_return {};
  });
  EXPECT_GT(metrics_.evictions->value(), 8u);
}

TEST_F(ServerTest, a_ping_tells_a_client_that_its_session_is_gone) {
  run([&]() -> Task<Result<void>> {
    Client stranger(CO_TRY(co_await connect()), {.client = 8, .session = 77, .request = 1});
    EXPECT_EQ((co_await stranger.ping()).error().code(), Code::kDenied);
    Client fresh(CO_TRY(co_await connect()), {.client = 8});
    EXPECT_TRUE(co_await fresh.ping());
    co_return {};
  });
}

TEST_F(ServerTest, bytes_that_are_no_message_close_the_connection) {
  run([&]() -> Task<Result<void>> {
    auto closed = [](const Result<AnyHeader>& answer) { return !answer && answer.error().code() == Code::kClosed; };
    auto text = [](std::string_view bytes) { return Bytes(as_bytes(bytes).begin(), as_bytes(bytes).end()); };
    EXPECT_TRUE(closed(co_await send_raw(text("GET / HTTP/1.1\r\n\r\n"))));
    EXPECT_TRUE(closed(co_await send_raw(text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))));
    EXPECT_TRUE(closed(co_await send_raw(Bytes(256))));
    EXPECT_TRUE(closed(co_await send_raw(Bytes(5'000, std::byte{0x16}))));
    Bytes good = sealed(request(2, 0, 0), Bytes(256));
    Bytes header_damaged = good;
    header_damaged[100] ^= std::byte{1};
    EXPECT_TRUE(closed(co_await send_raw(header_damaged)));
    Bytes body_damaged = good;
    body_damaged[300] ^= std::byte{1};
    EXPECT_TRUE(closed(co_await send_raw(body_damaged)));
    auto elsewhere = request(2, 0, 0);
    elsewhere.frame.cluster = 1;
    EXPECT_TRUE(closed(co_await send_raw(sealed(elsewhere, Bytes(256)))));
    // A checksum that holds over a size that no message has.
    Request huge = request(147, 1, 1);
    seal_with(huge, kBodyBytesMax + 1, 0);
    EXPECT_TRUE(closed(co_await send_raw(Bytes(bytes_of(huge).begin(), bytes_of(huge).end()))));
    Request unknown = request(147, 1, 1);
    seal(unknown);
    unknown.frame.command = static_cast<WireCommand>(7);  // prepare: between replicas
    unknown.frame.checksum = header_checksum(bytes_of(unknown));
    EXPECT_TRUE(closed(co_await send_raw(Bytes(bytes_of(unknown).begin(), bytes_of(unknown).end()))));
    PongClient pong;
    pong.frame.release = kReleaseOurs;
    seal(pong);
    EXPECT_TRUE(closed(co_await send_raw(Bytes(bytes_of(pong).begin(), bytes_of(pong).end()))));
    EXPECT_EQ(ledger_.submitted(), 0u);
    co_return {};
  });
  EXPECT_EQ(metrics_.broken->value(), 10u);
}

TEST_F(ServerTest, a_busy_ledger_is_asked_again_until_it_answers) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    ledger_.fail_next(20, Code::kBusy);
    const Account one = account(1);
    EXPECT_TRUE(CO_TRY(co_await client.create_accounts(std::span(&one, 1)))[0].created());
    ledger_.fail_next(5, Code::kBusy);
    const Id ids[] = {1};
    EXPECT_EQ(CO_TRY(co_await client.lookup_accounts(ids)).size(), 1u);
    co_return {};
  });
  EXPECT_EQ(metrics_.waits->value(), 25u);
}

TEST_F(ServerTest, an_unknown_outcome_closes_the_connection_and_the_client_asks_again) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    ledger_.fail_next(1, Code::kUnavailable);
    const Account one = account(1);
    EXPECT_EQ((co_await client.create_accounts(std::span(&one, 1))).error().code(), Code::kClosed);
    EXPECT_EQ(CO_TRY(co_await client.resend_over(CO_TRY(co_await connect()))).size(), sizeof(CreateResult));
    EXPECT_EQ(ledger_.engine().counts().accounts, 1u);
    co_return {};
  });
}

TEST_F(ServerTest, silent_clients_and_halves_of_messages_do_not_stay_for_ever) {
  run([&]() -> Task<Result<void>> {
    auto idle = CO_TRY(co_await connect());
    Bytes byte(1);
    const SteadyTime before = world_.clock().steady();
    EXPECT_FALSE(co_await idle->read_some(byte));
    EXPECT_GE(world_.clock().steady() - before, options_.idle_max);
    auto half = CO_TRY(co_await connect());
    const Bytes whole = sealed(request(147, 1, 1), Bytes(100'000));
    CO_TRY(co_await half->write(BytesView(whole).first(50'000)));
    const SteadyTime middle = world_.clock().steady();
    EXPECT_FALSE(co_await half->read_some(byte));
    EXPECT_LT(world_.clock().steady() - middle, options_.message_max + seconds(1));
    co_return {};
  });
}

TEST_F(ServerTest, more_large_messages_than_buffers_wait_and_are_all_served) {
  options_.buffers_max = 4;
  run([&]() -> Task<Result<void>> {
    ledger_.set_delay(milliseconds(20));
    std::vector<Client> clients;
    for (u128 id = 1; id <= 12; ++id) clients.push_back(CO_TRY(co_await this->client(id)));
    io::TaskGroup group;
    size_t served = 0;
    auto book = [](Client& client, Id first, size_t& count) -> Task<void> {
      std::vector<Account> accounts;
      for (Id id = first; id < first + 1'000; ++id) accounts.push_back(account(id));
      auto created = co_await client.create_accounts(accounts);
      count += created && std::ranges::all_of(*created, &CreateResult::created);
    };
    for (size_t i = 0; i < clients.size(); ++i) group.spawn(book(clients[i], 1 + i * 1'000, served));
    co_await group.join();
    EXPECT_EQ(served, clients.size());
    EXPECT_EQ(ledger_.engine().counts().accounts, 12'000u);
    co_return {};
  });
}

TEST_F(ServerTest, connections_beyond_the_limit_wait_until_one_ends) {
  options_.connections_max = 2;
  run([&]() -> Task<Result<void>> {
    auto first = CO_TRY(co_await this->client(1));
    auto second = CO_TRY(co_await this->client(2));
    Client third(CO_TRY(co_await connect()), {.client = 3});
    EXPECT_FALSE(co_await io::with_timeout<Result<void>>(seconds(5), third.ping()));
    first.stream().close();  // the third comes in, and leaves as it has ended what it asked
    third.stream().close();
    Client fourth(CO_TRY(co_await connect()), {.client = 4});
    EXPECT_TRUE(co_await io::with_timeout<Result<void>>(seconds(5), fourth.enroll()));
    co_return {};
  });
}

TEST_F(ServerTest, draining_answers_what_is_under_way_and_closes_the_idle) {
  run([&]() -> Task<Result<void>> {
    auto busy = CO_TRY(co_await this->client(1));
    auto idle = CO_TRY(co_await this->client(2));
    ledger_.set_delay(milliseconds(300));
    io::TaskGroup group;
    bool answered = false;
    auto book = [](Client& client, bool& done) -> Task<void> {
      const Account one = account(1);
      auto created = co_await client.create_accounts(std::span(&one, 1));
      done = created && created->at(0).created();
    };
    group.spawn(book(busy, answered));
    CO_TRY(co_await io::sleep_for(milliseconds(100)));
    co_await acceptor_->drain(seconds(2));
    co_await group.join();
    EXPECT_TRUE(answered);
    EXPECT_FALSE(co_await idle.ping());
    EXPECT_FALSE(co_await connect());
    co_return {};
  });
}

// --- a bad network

// Sends its transfers one batch after the other, and each again over new connections until it is answered.
Task<void> book_stubbornly(sim::World& world, Client& client, Id first, size_t batches, size_t& wrong) {
  for (size_t batch = 0; batch < batches; ++batch) {
    const size_t events = 1 + batch % 40;
    std::vector<Transfer> transfers;
    for (size_t i = 0; i < events; ++i) transfers.push_back(transfer(first + batch * 100 + i, 1, 2, 1));
    auto results = co_await client.create_transfers(transfers);
    if (results) {
      wrong += results->size() != events || !std::ranges::all_of(*results, &CreateResult::created);
      continue;
    }
    while (true) {
      (void)co_await io::sleep_for(milliseconds(20));
      auto stream = co_await world.network().connect(kEndpoint, "10.0.0.2");
      if (!stream) continue;
      auto payload = co_await client.resend_over(std::move(*stream));
      if (!payload) continue;
      // Done once: whoever had booked twice would read "exists" here.
      for (size_t i = 0; i < events; ++i) wrong += !record_at<CreateResult>(*payload, i).created();
      wrong += payload->size() != events * sizeof(CreateResult);
      break;
    }
  }
}

TEST(ServerFaults, over_connections_that_break_every_request_is_done_exactly_once) {
  auto round = [](uint64_t seed) {
    sim::World world(seed);
    MemoryLedger ledger(world.clock());
    const ServerOptions options;
    std::atomic<size_t> open{0};
    Acceptor acceptor(ledger, options, 1, nullptr, open);
    constexpr size_t kClients = 5, kBatches = 60;
    size_t wrong = 0;
    auto test = [&]() -> Task<Result<void>> {
      acceptor.listen(CO_TRY(world.network().listen(kEndpoint)), {});
      const Account accounts[] = {account(1), account(2)};
      CO_TRY(co_await ledger.create_accounts(accounts));
      ledger.set_delay(milliseconds(3));
      std::vector<Client> clients;
      for (u128 id = 1; id <= kClients; ++id) {
        clients.emplace_back(CO_TRY(co_await world.network().connect(kEndpoint, "10.0.0.2")),
                             ClientOptions{.client = id});
        CO_TRY(co_await clients.back().enroll());
      }
      io::TaskGroup group;
      for (size_t i = 0; i < kClients; ++i)
        group.spawn(book_stubbornly(world, clients[i], 1'000'000 * (i + 1), kBatches, wrong));
      while (group.running() > 0) {
        CO_TRY(co_await io::sleep_for(milliseconds(1 + world.random().below(30))));
        switch (world.random().below(4)) {
          case 0:
            (void)world.network().reset("10.0.0.2");
            break;
          case 1:
            ledger.lose_next(1);
            break;
          case 2:
            ledger.fail_next(1, world.random().below(2) ? Code::kBusy : Code::kUnavailable);
            break;
          default:
            break;
        }
      }
      co_await group.join();
      co_await acceptor.drain(seconds(1));
      co_return {};
    };
    const auto done = world.run(test());
    ASSERT_TRUE(done) << done.error().text();
    size_t booked = 0;
    for (size_t batch = 0; batch < kBatches; ++batch) booked += kClients * (1 + batch % 40);
    EXPECT_EQ(wrong, 0u) << "seed " << seed;
    EXPECT_EQ(ledger.engine().counts().transfers, booked) << "seed " << seed;
    EXPECT_TRUE(ledger.engine().account(1)->debits_posted == booked) << "seed " << seed;
  };
  EXPECT_EQ(sim::for_each_seed(sim::seeds(20), round, HasFailure), 0u);
}

// --- 0.16, and several batches

TEST_F(ServerTest, clients_of_016_get_only_what_failed) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    const Account accounts[] = {account(1), account(0), account(2), account(1)};
    std::memcpy(client.body().data(), accounts, sizeof accounts);
    for (auto operation : {WireOperation::kUnbatchedCreateAccounts, WireOperation::kSparseCreateAccounts}) {
      const BytesView payload = CO_TRY(co_await client.send(operation, sizeof accounts));
      const bool first = operation == WireOperation::kUnbatchedCreateAccounts;
      CO_EXPECT(payload.size() == (first ? 2 : 4) * sizeof(SparseResult));
      EXPECT_EQ(record_at<SparseResult>(payload, first ? 0 : 1).index, 1u);
      EXPECT_EQ(record_at<SparseResult>(payload, first ? 0 : 1).status,
                static_cast<uint32_t>(AccountStatus::kIdMustNotBeZero));
    }
    const Id ids[] = {1, 2, 3};
    std::memcpy(client.body().data(), ids, sizeof ids);
    EXPECT_EQ(CO_TRY(co_await client.send(WireOperation::kUnbatchedLookupAccounts, sizeof ids)).size(),
              2 * sizeof(Account));
    co_return {};
  });
}

TEST_F(ServerTest, batches_of_one_request_are_answered_each) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    Bytes body;
    for (Id id : {1, 2, 3}) {
      const Account one = account(id);
      const BytesView bytes(reinterpret_cast<const std::byte*>(&one), sizeof one);
      body.insert(body.end(), bytes.begin(), bytes.end());
    }
    const uint16_t counts[] = {0, 2, 0, 1};
    append_trailer(body, counts, 128);
    auto stream = CO_TRY(co_await connect());
    CO_TRY(co_await stream->write(BytesView(sealed(request(146, client.session(), 1), body))));
    Bytes reply(kHeaderBytes + 3 * sizeof(CreateResult) + 16);
    for (size_t filled = 0; filled < reply.size();)
      filled += CO_TRY(co_await stream->read_some(MutableBytes(reply).subspan(filled)));
    const AnyHeader header = CO_TRY(decode_header(reply, 0));
    EXPECT_EQ(header.frame().size, reply.size());
    const auto answered = CO_TRY(MultiBatch::decode(BytesView(reply).subspan(kHeaderBytes), sizeof(CreateResult)));
    CO_EXPECT(answered.batches() == 4);
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(answered.count(i), counts[i]);
    EXPECT_EQ(ledger_.engine().counts().accounts, 3u);
    co_return {};
  });
}

TEST_F(ServerTest, change_events_have_both_accounts_after_each_change) {
  run([&]() -> Task<Result<void>> {
    auto client = CO_TRY(co_await this->client());
    const Account accounts[] = {account(1), account(2)};
    CO_TRY(co_await client.create_accounts(accounts));
    Transfer pending = transfer(10, 1, 2, 100);
    pending.flags = transfer_flags::kPending;
    Transfer post = transfer(11, 0, 0, kU128Max, 0);
    post.code = 0;
    post.flags = transfer_flags::kPostPending;
    post.pending_id = 10;
    const Transfer transfers[] = {transfer(9, 2, 1, 7), pending, post};
    for (const CreateResult& each : CO_TRY(co_await client.create_transfers(transfers))) EXPECT_TRUE(each.created());
    ChangeEventsFilter filter;
    filter.limit = 100;
    std::memcpy(client.body().data(), &filter, sizeof filter);
    const BytesView rows = CO_TRY(co_await client.send(WireOperation::kGetChangeEvents, sizeof filter));
    CO_EXPECT(rows.size() == 3 * sizeof(ChangeEventRecord));
    const auto last = record_at<ChangeEventRecord>(rows, 2);
    EXPECT_EQ(last.kind, static_cast<uint8_t>(PendingState::kPosted));
    EXPECT_TRUE(last.id == 11 && last.pending_id == 10 && last.amount == 100 && last.ledger == 1);
    EXPECT_TRUE(last.debit.id == 1 && last.debit.debits_posted == 100 && last.debit.credits_posted == 7);
    EXPECT_TRUE(last.credit.credits_posted == 100 && last.credit.credits_pending == 0);
    EXPECT_EQ(last.timestamp, last.transfer_timestamp);
    filter.reserved[43] = 1;
    std::memcpy(client.body().data(), &filter, sizeof filter);
    EXPECT_TRUE(CO_TRY(co_await client.send(WireOperation::kGetChangeEvents, sizeof filter)).empty());
    co_return {};
  });
}

// --- rights

auth::PrincipalPtr user_with(std::string_view policy) {
  auth::Principal principal;
  principal.user_id = "AIDA1";
  principal.user_name = "shop";
  principal.account_id = "1";
  principal.of_main_account = true;
  auto parsed = auth::Policy::parse(policy, auth::PolicyKind::kIdentity);
  EXPECT_TRUE(parsed) << parsed.error().text();
  principal.policies.push_back({"p", *parsed});
  return std::make_shared<const auth::Principal>(principal);
}

constexpr std::string_view kLedgerOneOnly = R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow",
  "Action":["ledger:Post","ledger:Read"],"Resource":"arn:polis:ledger:::ledger/1"}]})";

Door door_for(auth::PrincipalPtr principal) {
  return {.tls = nullptr, .identify = [principal](std::string) -> Task<Result<auth::PrincipalPtr>> {
            if (!principal) co_return fail(Code::kUnauthenticated, "nobody");
            co_return principal;
          }};
}

TEST_F(ServerTest, a_user_books_and_reads_only_in_the_ledgers_that_his_policies_name) {
  const Account accounts[] = {account(1), account(2), account(5, 2), account(6, 2)};
  const Transfer transfers[] = {transfer(10, 1, 2, 3), transfer(20, 5, 6, 3, 2)};
  run(
      [&]() -> Task<Result<void>> {
        CO_TRY(co_await ledger_.create_accounts(accounts));
        CO_TRY(co_await ledger_.create_transfers(transfers));
        auto client = CO_TRY(co_await this->client());
        const Account mine = account(3);
        EXPECT_TRUE(CO_TRY(co_await client.create_accounts(std::span(&mine, 1)))[0].created());
        const Id ids[] = {1, 5};
        EXPECT_EQ(CO_TRY(co_await client.lookup_accounts(ids)).size(), 1u);
        const Id transfer_ids[] = {10, 20};
        EXPECT_EQ(CO_TRY(co_await client.lookup_transfers(transfer_ids)).size(), 1u);
        QueryFilter all;
        all.limit = 100;
        EXPECT_EQ(CO_TRY(co_await client.query_accounts(all)).size(), 3u);
        EXPECT_EQ(CO_TRY(co_await client.query_transfers(all)).size(), 1u);
        AccountFilter theirs;
        theirs.account_id = 5;
        theirs.limit = 10;
        theirs.flags = account_filter_flags::kDebits;
        EXPECT_TRUE(CO_TRY(co_await client.account_transfers(theirs)).empty());
        theirs.account_id = 1;
        EXPECT_EQ(CO_TRY(co_await client.account_transfers(theirs)).size(), 1u);
        // A batch with one event of another ledger is refused whole.
        const Account mixed[] = {account(7), account(8, 2)};
        EXPECT_EQ((co_await client.create_accounts(mixed)).error().code(), Code::kDenied);
        EXPECT_EQ(ledger_.engine().counts().accounts, 5u);
        co_return {};
      },
      door_for(user_with(kLedgerOneOnly)));
}

TEST_F(ServerTest, who_is_nobody_or_of_another_account_gets_no_answer) {
  auth::Principal elsewhere = *user_with(kLedgerOneOnly);
  elsewhere.of_main_account = false;
  for (const auth::PrincipalPtr& who : {auth::PrincipalPtr(), std::make_shared<const auth::Principal>(elsewhere)})
    run(
        [&]() -> Task<Result<void>> {
          // Not even a session, which could take the place of another's.
          EXPECT_FALSE(co_await this->client());
          EXPECT_EQ(ledger_.engine().counts().ops, 0u);
          co_return {};
        },
        door_for(who));
}

TEST_F(ServerTest, behind_mutual_tls_the_certificate_names_the_user) {
  const std::string server_names[] = {"10.0.0.1"}, client_names[] = {"shop"}, stranger_names[] = {"stranger"};
  const auto server_certificate = io::make_self_signed(server_names, std::chrono::hours(1));
  const auto client_certificate = io::make_self_signed(client_names, std::chrono::hours(1));
  const auto stranger_certificate = io::make_self_signed(stranger_names, std::chrono::hours(1));
  ASSERT_TRUE(server_certificate && client_certificate && stranger_certificate);
  auto context = io::TlsContext::server({.certificate_chain_pem = server_certificate->chain_pem,
                                         .private_key_pem = server_certificate->key_pem,
                                         .protocols = {},
                                         .client_authorities_pem = client_certificate->chain_pem});
  ASSERT_TRUE(context) << context.error().text();
  std::string asked;
  Door door{.tls = *context, .identify = [&asked](std::string name) -> Task<Result<auth::PrincipalPtr>> {
              asked = name;
              co_return user_with(kLedgerOneOnly);
            }};
  run(
      [&]() -> Task<Result<void>> {
        auto with = [&](const io::Certificate& certificate) -> Task<Result<std::unique_ptr<io::Stream>>> {
          auto tls = CO_TRY(io::TlsContext::client({.authorities_pem = server_certificate->chain_pem,
                                                    .protocols = {},
                                                    .certificate_chain_pem = certificate.chain_pem,
                                                    .private_key_pem = certificate.key_pem}));
          co_return co_await io::tls_connect(CO_TRY(co_await connect()), tls, "10.0.0.1");
        };
        Client client(CO_TRY(co_await with(*client_certificate)), {.client = kClient});
        CO_TRY(co_await client.enroll());
        const Account mine = account(3);
        EXPECT_TRUE(CO_TRY(co_await client.create_accounts(std::span(&mine, 1)))[0].created());
        EXPECT_EQ(asked, "shop");
        const Account theirs = account(4, 2);
        EXPECT_EQ((co_await client.create_accounts(std::span(&theirs, 1))).error().code(), Code::kDenied);
        // Not signed by our authority: the handshake, or the first read behind it, fails.
        auto stranger = co_await with(*stranger_certificate);
        if (stranger) {
          Client refused(std::move(*stranger), {.client = 5});
          EXPECT_FALSE(co_await refused.enroll());
        }
        // Plain bytes on the TLS port.
        Client plain(CO_TRY(co_await connect()), {.client = 6});
        EXPECT_FALSE(co_await plain.enroll());
        co_return {};
      },
      std::move(door));
}

}  // namespace
}  // namespace polis::ledger::tigerbeetle
