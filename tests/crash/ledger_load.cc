// The load of tests/crash/ledger_kill.py: several clients of the TigerBeetle protocol that book until the connection
// breaks, remember what they sent and what polis acknowledged, and check it all after the restart. It lives longer than
// the polis that is killed. Commands come line by line on standard input, answers go to standard output:
//
//     load PORT     "loading", then books on all connections until they break; "loaded {json}"
//     check PORT    resends what had no answer, sends it once more as a new request, compares; "checked {json}"
//     accounts PORT "accounts HEX": the records of all accounts as they are on the wire
//
// or "FAILED why" and the end.
#include <algorithm>
#include <fmt/format.h>
#include <iostream>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "ledger_model.h"
#include "systems/ledger/tigerbeetle/client.h"

namespace polis::ledger {
namespace {

using tigerbeetle::Client;
using tigerbeetle::WireOperation;

constexpr size_t kWriters = 6;
constexpr size_t kEventsMax = 8'189;
constexpr uint64_t kExpirySlack = 3 * kNanosecondsPerSecond;  // a busy machine, and the time that polis was not there

struct Connection {
  std::unique_ptr<Client> client;
  bool in_session = false;
  std::unique_ptr<Writer> writer;
  std::optional<Batch> open;    // sent, no answer
  std::vector<Batch> answered;  // in this round
};

struct Test {
  Model model;
  std::vector<Connection> connections{kWriters};
  // A session that asks once a round and then waits: its last reply must come again bit for bit.
  Connection quiet;
  Bytes quiet_payload;
  tigerbeetle::Reply quiet_reply;
  std::string failure;
  uint64_t rounds = 0, acknowledged = 0, unknown = 0, replayed = 0, looked_up = 0;
};

Task<Result<std::unique_ptr<io::Stream>>> connect(uint16_t port) {
  co_return co_await io::connect(io::Endpoint{.address = "127.0.0.1", .port = port});
}

// A kill breaks connections; everything else that goes wrong is a finding.
bool is_break(const Error& error) {
  return error.code() == Code::kClosed || error.code() == Code::kUnavailable || error.code() == Code::kIo;
}

Task<Result<void>> enter(Connection& connection, uint16_t port) {
  if (connection.in_session) co_return Result<void>();
  base::SystemRandom random;
  connection.client =
      std::make_unique<Client>(CO_TRY(co_await connect(port)),
                               tigerbeetle::ClientOptions{.client = Id{random.next()} << 64 | random.next() | 1});
  CO_TRY(co_await connection.client->enroll());
  connection.in_session = true;
  co_return Result<void>();
}

size_t write_body(Client& client, const Batch& batch) {
  for (size_t i = 0; i < batch.size(); ++i)
    std::memcpy(client.body().data() + i * sizeof(Transfer), &batch[i].transfer, sizeof(Transfer));
  return batch.size() * sizeof(Transfer);
}

Result<void> take_results(Batch& batch, BytesView reply) {
  if (reply.size() != batch.size() * sizeof(CreateResult))
    return fail(Code::kCorrupt, fmt::format("{} bytes of results for {} transfers", reply.size(), batch.size()));
  for (size_t i = 0; i < batch.size(); ++i) batch[i].result = record_at<CreateResult>(reply, i);
  return {};
}

// --- load

Task<Result<void>> write_until_broken(Test& test, Connection& connection, uint16_t port) {
  CO_TRY(co_await enter(connection, port));
  for (;;) {
    connection.open = connection.writer->next_batch(test.model);
    const size_t size = write_body(*connection.client, *connection.open);
    BytesView reply = CO_TRY(co_await connection.client->send(WireOperation::kCreateTransfers, size));
    CO_TRY(take_results(*connection.open, reply));
    test.acknowledged += connection.open->size();
    if (std::string wrong = test.model.apply(*connection.open); !wrong.empty()) co_return fail(Code::kCorrupt, wrong);
    connection.answered.push_back(std::move(*connection.open));
    connection.open.reset();
  }
}

Task<Result<void>> ask_and_wait(Test& test, uint16_t port) {
  Connection& quiet = test.quiet;
  CO_TRY(co_await enter(quiet, port));
  Batch batch = quiet.writer->next_batch(test.model);
  const size_t size = write_body(*quiet.client, batch);
  test.quiet_payload.clear();
  quiet.open = std::move(batch);
  BytesView reply = CO_TRY(co_await quiet.client->send(WireOperation::kCreateTransfers, size));
  test.quiet_payload.assign(reply.begin(), reply.end());
  test.quiet_reply = quiet.client->last_reply();
  CO_TRY(take_results(*quiet.open, reply));
  test.acknowledged += quiet.open->size();
  if (std::string wrong = test.model.apply(*quiet.open); !wrong.empty()) co_return fail(Code::kCorrupt, wrong);
  quiet.answered.push_back(*quiet.open);
  co_return co_await quiet.client->stream().peer_gone();
}

Task<void> note(Test& test, Task<Result<void>> work) {
  Result<void> done = co_await std::move(work);
  if (!done && !is_break(done.error()) && test.failure.empty())
    test.failure = fmt::format("under load: {}", done.error().message());
}

Task<Result<void>> make_accounts(Test& test, uint16_t port) {
  Connection first;
  CO_TRY(co_await enter(first, port));
  auto results = CO_TRY(co_await first.client->create_accounts(test.model.accounts()));
  for (const CreateResult& result : results)
    if (!result.created()) co_return fail(Code::kCorrupt, fmt::format("an account was refused: {}", result.status));
  co_return Result<void>();
}

Task<Result<void>> load(Test& test, uint16_t port) {
  if (test.rounds++ == 0) CO_TRY(co_await make_accounts(test, port));
  std::cout << "loading" << std::endl;
  io::TaskGroup group(co_await io::this_scope());
  for (Connection& connection : test.connections) group.spawn(note(test, write_until_broken(test, connection, port)));
  group.spawn(note(test, ask_and_wait(test, port)));
  co_await group.join();
  if (!test.failure.empty()) co_return fail(Code::kCorrupt, test.failure);
  co_return Result<void>();
}

// --- check

// Gets the outcome of the open batch by its session, then sends it once more as a new request: nothing may book twice.
Task<Result<void>> settle(Test& test, Connection& connection, uint16_t port) {
  if (!connection.in_session) {  // killed while it registered
    connection.open.reset();
    co_return co_await enter(connection, port);
  }
  BytesView reply = CO_TRY(co_await connection.client->resend_over(CO_TRY(co_await connect(port))));
  if (!connection.open) co_return Result<void>();  // polis stopped in between, nothing was under way
  Batch& batch = *connection.open;
  CO_TRY(take_results(batch, reply));
  test.unknown += batch.size();
  if (std::string wrong = test.model.apply(batch); !wrong.empty()) co_return fail(Code::kCorrupt, wrong);

  write_body(*connection.client, batch);
  BytesView again =
      CO_TRY(co_await connection.client->send(WireOperation::kCreateTransfers, batch.size() * sizeof(Transfer)));
  for (size_t i = 0; i < batch.size(); ++i) {
    const auto repeated = record_at<CreateResult>(again, i);
    const CreateResult& first = *batch[i].result;
    const bool exists = static_cast<TransferStatus>(repeated.status) == TransferStatus::kExists;
    const std::string id = to_decimal(batch[i].transfer.id);
    if (repeated.created()) co_return fail(Code::kCorrupt, fmt::format("transfer {} was booked twice", id));
    if (first.created() && !batch[i].in_chain && (!exists || repeated.timestamp != first.timestamp))
      co_return fail(Code::kCorrupt, fmt::format("transfer {} was booked, but sent again it is '{}'", id,
                                                 status_name(static_cast<TransferStatus>(repeated.status))));
  }
  connection.answered.push_back(std::move(batch));
  connection.open.reset();
  co_return Result<void>();
}

Task<Result<void>> settle_quiet(Test& test, uint16_t port) {
  if (test.quiet_payload.empty() || !test.quiet.open) co_return co_await settle(test, test.quiet, port);
  BytesView reply = CO_TRY(co_await test.quiet.client->resend_over(CO_TRY(co_await connect(port))));
  const tigerbeetle::Reply& header = test.quiet.client->last_reply();
  if (!std::ranges::equal(reply, test.quiet_payload))
    co_return fail(
        Code::kCorrupt,
        fmt::format("the results of a session's last request are not the same after the restart: {} bytes, then {}",
                    test.quiet_payload.size(), reply.size()));
  const BytesView now = tigerbeetle::bytes_of(header), then = tigerbeetle::bytes_of(test.quiet_reply);
  if (auto [is, was] = std::ranges::mismatch(now, then); is != now.end())
    co_return fail(
        Code::kCorrupt,
        fmt::format("the last reply of a session is not the same after the restart from byte {} of its header on; "
                    "op {}, then {}; request {}, then {}",
                    is - now.begin(), test.quiet_reply.part.op, header.part.op, test.quiet_reply.part.request,
                    header.part.request));
  test.quiet.open.reset();
  ++test.replayed;
  co_return Result<void>();
}

// Each as sent if it was booked, and not there if it was refused.
Task<Result<void>> look_up(Test& test, Client& client, std::span<const Sent> sent) {
  std::vector<Id> ids;
  std::vector<const Sent*> asked;
  auto ask = [](Test& test, Client& client, std::vector<Id>& ids,
                std::vector<const Sent*>& asked) -> Task<Result<void>> {
    if (ids.empty()) co_return Result<void>();
    auto found = CO_TRY(co_await client.lookup_transfers(ids));
    size_t next = 0;
    for (const Sent* one : asked) {
      Transfer expected = one->transfer;
      expected.timestamp = one->result->timestamp;
      if (one->result->created()) {
        if (next >= found.size() || found[next].id != expected.id)
          co_return fail(Code::kCorrupt,
                         fmt::format("transfer {} was acknowledged and is not there", to_decimal(expected.id)));
        if (found[next] != expected)
          co_return fail(Code::kCorrupt, fmt::format("transfer {} is not as it was sent", to_decimal(expected.id)));
        ++next;
      } else if (next < found.size() && found[next].id == expected.id) {
        co_return fail(Code::kCorrupt, fmt::format("transfer {} was refused and is there", to_decimal(expected.id)));
      }
    }
    test.looked_up += asked.size();
    ids.clear();
    asked.clear();
    co_return Result<void>();
  };
  for (const Sent& one : sent) {
    if (one.repeat) continue;
    ids.push_back(one.transfer.id);
    asked.push_back(&one);
    if (ids.size() == kEventsMax) CO_TRY(co_await ask(test, client, ids, asked));
  }
  co_return co_await ask(test, client, ids, asked);
}

// The index finds exactly what a batch booked, in its order.
Task<Result<void>> query(Client& client, const Batch& batch) {
  auto own = std::ranges::find_if(batch, [](const Sent& sent) { return !sent.repeat; });
  if (own == batch.end()) co_return Result<void>();
  QueryFilter filter;
  filter.user_data_64 = own->transfer.user_data_64;
  filter.limit = kEventsMax;
  auto found = CO_TRY(co_await client.query_transfers(filter));
  size_t next = 0;
  for (const Sent& sent : batch) {
    if (sent.repeat || !sent.result->created()) continue;
    if (next >= found.size() || found[next].id != sent.transfer.id)
      co_return fail(Code::kCorrupt, fmt::format("a query misses transfer {}", to_decimal(sent.transfer.id)));
    ++next;
  }
  if (next != found.size()) co_return fail(Code::kCorrupt, "a query finds more than was booked");
  co_return Result<void>();
}

Task<Result<void>> check_connection(Test& test, Connection& connection) {
  for (const Batch& batch : connection.answered) CO_TRY(co_await look_up(test, *connection.client, batch));
  CO_TRY(co_await look_up(test, *connection.client, connection.writer->remembered()));
  for (size_t i = 0; i < std::min<size_t>(3, connection.answered.size()); ++i)
    CO_TRY(co_await query(*connection.client, connection.answered[connection.answered.size() - 1 - i]));
  for (const Batch& batch : connection.answered) connection.writer->remember(batch);
  connection.answered.clear();
  co_return Result<void>();
}

Task<Result<void>> check(Test& test, uint16_t port) {
  for (Connection& connection : test.connections) CO_TRY(co_await settle(test, connection, port));
  CO_TRY(co_await settle_quiet(test, port));
  std::vector<Id> ids;
  for (const Account& account : test.model.accounts()) ids.push_back(account.id);
  const auto now = static_cast<uint64_t>(io::Shard::current().clock().wall().time_since_epoch().count());
  auto found = CO_TRY(co_await test.connections[0].client->lookup_accounts(ids));
  if (std::string wrong = test.model.compare(found, now, kExpirySlack); !wrong.empty())
    co_return fail(Code::kCorrupt, wrong);
  for (Connection& connection : test.connections) CO_TRY(co_await check_connection(test, connection));
  CO_TRY(co_await check_connection(test, test.quiet));
  co_return Result<void>();
}

Task<Result<std::string>> accounts(Test& test) {
  std::vector<Id> ids;
  for (const Account& account : test.model.accounts()) ids.push_back(account.id);
  auto found = CO_TRY(co_await test.connections[0].client->lookup_accounts(ids));
  std::string hex;
  for (std::byte byte : std::as_bytes(std::span(found))) hex += fmt::format("{:02x}", static_cast<unsigned>(byte));
  co_return hex;
}

std::string totals(const Test& test) {
  return fmt::format(R"({{"acknowledged":{},"unknown":{},"booked":{},"looked_up":{},"replayed":{}}})",
                     test.acknowledged, test.unknown, test.model.booked(), test.looked_up, test.replayed);
}

Task<Result<void>> serve(uint64_t seed) {
  Test test;
  for (size_t i = 0; i < kWriters; ++i) test.connections[i].writer = std::make_unique<Writer>(i, seed);
  test.quiet.writer = std::make_unique<Writer>(kWriters, seed);
  std::string word;
  uint16_t port = 0;
  while (std::cin >> word >> port) {
    if (word == "accounts") {
      std::cout << "accounts " << CO_TRY(co_await accounts(test)) << std::endl;
      continue;
    }
    CO_TRY(word == "load" ? co_await load(test, port) : co_await check(test, port));
    std::cout << word << "ed " << totals(test) << std::endl;
  }
  co_return Result<void>();
}

}  // namespace
}  // namespace polis::ledger

int main(int count, char** words) {
  const uint64_t seed = count > 1 ? std::stoull(words[1]) : 1;
  auto done = polis::io::run([&] { return polis::ledger::serve(seed); });
  if (done) return 0;
  std::cout << "FAILED " << done.error().message() << std::endl;
  return 1;
}
