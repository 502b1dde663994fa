#include "systems/ledger/simulation/simulation.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <vector>

#include "kernel/sim/world.h"
#include "systems/ledger/service.h"
#include "systems/ledger/simulation/book_check.h"
#include "systems/ledger/tigerbeetle/client.h"
#include "systems/ledger/tigerbeetle/server.h"

namespace polis::ledger {
namespace {

constexpr int kLives = 4;
constexpr int kClients = 3;      // in process
constexpr int kWireClients = 2;  // over the network, with a session each that outlives restarts
constexpr int kStepsPerClient = 14;
// A client that hears nothing for so long tries another connection.
constexpr Duration kWirePatience = std::chrono::seconds(5);
constexpr uint64_t kAccounts = 10;
constexpr uint32_t kLedgers = 2;
constexpr size_t kEventsMax = 12;
// So small that a seed rolls segments, seals runs, fills chunks and makes snapshots.
constexpr uint64_t kSegmentBytes = 24 << 10;
constexpr uint64_t kSnapshotEveryBytes = 16 << 10;
constexpr EngineOptions kSmallEngine{.rows_per_chunk = 64, .rows_per_run = 16};

Id account_id(uint64_t number) {
  return 1000 + number;
}

// The signing key that every seed has; made beside the world, so that each life is the same.
Bytes key_file() {
  sim::World beside(1);
  base::SeededRandom random(1);
  const auto made = beside.run(HeadKey::create(beside.disk(), "key", random));
  POLIS_ASSERT(made);
  return beside.disk().content("key");
}

const io::Endpoint kEndpoint{.address = "10.0.0.1", .port = 3000};

class Simulation {
 public:
  Simulation(uint64_t seed, SimulationOptions options)
      : options_(std::move(options)),
        world_(seed, {.disk = {.sync = {std::chrono::microseconds(100), std::chrono::milliseconds(2)}}}),
        random_(seed ^ 0x6c65'6467'6572) {
    report_.seed = seed;
    world_.disk().put("polis/keys/ledger.key", key_);
  }

  SimulationReport run() {
    world_.run(lives());
    report_.created = witnesses_.created();
    report_.refused = witnesses_.refused();
    report_.trace_hash = world_.trace_hash();
    return report_;
  }

 private:
  // --- telling

  template <class... Parts>
  void step(fmt::format_string<Parts...> format, Parts&&... parts) {
    if (!options_.step) return;
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(world_.elapsed()).count();
    options_.step(static_cast<uint64_t>(now), fmt::format(format, std::forward<Parts>(parts)...));
  }
  bool failed() const { return !report_.failure.empty(); }
  void broken(std::string why) {
    if (failed() || why.empty()) return;
    report_.failure = fmt::format("seed {}: {}", report_.seed, why);
    step("BROKEN: {}", why);
  }

  // --- lives

  Task<Result<std::unique_ptr<LedgerService>>> open() {
    ++report_.starts;
    return LedgerService::open(world_.disk(), world_.clock(), salts_,
                               {.data_directory = "polis",
                                .segment_size_bytes = kSegmentBytes,
                                .journal_buffer_bytes_max = 64 << 10,
                                .snapshot_every_bytes = kSnapshotEveryBytes,
                                .chunk_backlog_bytes_max = 64 << 10,
                                .witness_file = "witness.txt",
                                .engine = kSmallEngine});
  }

  void plan_trouble() {
    if (random_.chance(3, 4)) {
      const uint64_t operations = 1 + random_.below(300);
      step("the power will fail in the middle of disk operation {}", operations);
      world_.disk().crash_after(operations);
    } else if (random_.chance(1, 2)) {
      step("syncs of the journal fail now and then");
      world_.disk().set_faults("polis/journal",
                               {.sync_error_ppm = 20'000, .slow_ppm = 20'000, .slow = std::chrono::milliseconds(40)});
    }
    if (random_.chance(1, 4)) {
      const auto by = std::chrono::milliseconds(random_.below(4000)) - std::chrono::seconds(2);
      step("the wall clock is set by {} ms", std::chrono::duration_cast<std::chrono::milliseconds>(by).count());
      world_.clock().step_wall(by);
    }
  }

  void end_trouble() {
    world_.disk().clear_faults();
    world_.disk().crash_after(0);
    if (world_.disk().powered() && random_.chance(1, 2)) world_.disk().crash();
    if (!world_.disk().powered()) {
      ++report_.power_cuts;
      step("the power is back");
    }
    world_.disk().restart();
  }

  Task<void> lives() {
    for (int life = 0; life < kLives && !failed(); ++life) {
      plan_trouble();
      auto opened = co_await open();
      if (opened) {
        auto service = std::move(*opened);
        step("started, {} operations in the books", co_await ops(*service));
        if (!failed()) co_await check_recovered(*service);
        if (!failed()) co_await live(*service);
        const auto closed = co_await service->close();
        if (closed) {
          step("closed in good order");
        } else {
          step("closed: {}", closed.error().text());
          if (world_.disk().powered()) ++report_.failed_syncs;
        }
      } else if (opened.error().code() != Code::kUnavailable && opened.error().code() != Code::kIo) {
        broken("it does not start: " + opened.error().text());
      } else {
        step("could not start: {}", opened.error().text());
      }
      end_trouble();
    }
    if (!failed()) co_await last_life();
  }

  // Nothing breaks any more: everything is looked at once more, with snapshots and without.
  Task<void> last_life() {
    auto first = co_await open();
    if (!first) co_return broken("it does not start: " + first.error().text());
    co_await check_recovered(**first);
    // Until every reservation that can expire has: then only clients add operations.
    (void)co_await io::sleep_for(std::chrono::seconds(10));
    Engine::Counts counts;
    std::vector<Account> accounts;
    const auto look = [&](const Engine& engine) {
      counts = engine.counts();
      accounts = engine.accounts({.limit = 1000});
      return true;
    };
    if (!failed() && !co_await (*first)->query(look)) broken("a question was not answered");
    if (!failed()) {
      const auto verified = co_await (*first)->verify({});
      if (!verified) broken("it does not verify: " + verified.error().text());
    }
    if (const auto closed = co_await (*first)->close(); !closed) broken(closed.error().text());
    report_.ops = counts.ops;
    report_.expired = counts.expired;
    if (failed()) co_return;
    step("all snapshots are removed");
    for (const std::string& file : world_.disk().files("polis/snapshot"))
      if (auto removed = co_await world_.disk().remove(file); !removed) co_return broken(removed.error().text());
    auto second = co_await open();
    if (!second) co_return broken("it does not start from the journal alone: " + second.error().text());
    std::vector<Account> rebuilt;
    const auto look_again = [&](const Engine& engine) {
      rebuilt = engine.accounts({.limit = 1000});
      return engine.counts().ops == counts.ops;
    };
    const auto same_ops = co_await (*second)->query(look_again);
    if (!same_ops || !*same_ops) broken("the journal alone gives another number of operations");
    if (rebuilt != accounts) broken("the journal alone gives other account records");
    if (const auto closed = co_await (*second)->close(); !closed) broken(closed.error().text());
    step("{} operations, {} accounts: the journal alone gives the same", counts.ops, accounts.size());
  }

  Task<uint64_t> ops(LedgerService& service) {
    const auto statistics = co_await service.statistics();
    co_return statistics.counts.ops;
  }

  Task<void> check_recovered(LedgerService& service) {
    const auto check = [this](const Engine& engine) {
      std::string why = check_sums(engine);
      if (why.empty()) why = witnesses_.compare(engine);
      for (const SignedHead& shown : heads_) {
        if (!why.empty()) break;
        const auto link = engine.link(shown.op);
        if (!link || link->head_after() != shown.head)
          why = fmt::format("the head of operation {} was shown, and is another one now", shown.op);
      }
      return why;
    };
    const auto why = co_await service.query(check);
    if (why) broken(*why);
  }

  // --- clients

  Task<void> live(LedgerService& service) {
    std::atomic<size_t> open{0};
    const tigerbeetle::ServerOptions options;
    tigerbeetle::Acceptor acceptor(service, options, 1, nullptr, open);
    auto listener = world_.network().listen(kEndpoint);
    POLIS_ASSERT(listener);
    acceptor.listen(std::move(*listener), {});
    io::TaskGroup group;
    for (int i = 0; i < kClients; ++i) group.spawn(client(service, base::SeededRandom(random_.next())));
    for (Wire& wire : wires_) group.spawn(wire_client(wire, base::SeededRandom(random_.next())));
    co_await group.join();
    co_await acceptor.drain(std::chrono::seconds(1));
  }

  Task<void> client(LedgerService& service, base::SeededRandom random) {
    if (!co_await make_accounts(service)) co_return;
    for (int i = 0; i < kStepsPerClient && !failed(); ++i) {
      bool going = true;
      if (random.chance(1, 8)) {
        going = co_await ask(service);
      } else if (random.chance(1, 12)) {
        going = co_await show_head(service);
      } else if (random.chance(1, 30)) {
        const auto made = co_await service.snapshot();
        step("snapshot: {}", made ? "made" : made.error().text());
      } else if (random.chance(1, 60)) {
        going = co_await verify(service);
      } else if (random.chance(1, 10)) {
        // Long enough for some reservations to expire.
        going = (co_await io::sleep_for(std::chrono::milliseconds(random.below(1500)))).has_value();
      } else {
        going = co_await book(service, random);
      }
      if (!going) co_return;
    }
  }

  // False once the service is gone.
  bool goes_on(const Error& error) {
    if (error.code() == Code::kBusy || error.code() == Code::kCancelled) return true;
    if (error.code() != Code::kUnavailable) broken("an unexpected error: " + error.text());
    return false;
  }

  Task<bool> make_accounts(LedgerService& service) {
    std::vector<Account> events;
    for (uint64_t i = 0; i < kAccounts; ++i) {
      uint16_t flags = 0;
      if (i % 5 == 3) flags |= account_flags::kDebitsMustNotExceedCredits;
      if (i % 5 == 4) flags |= account_flags::kCreditsMustNotExceedDebits;
      if (i % 2 == 0) flags |= account_flags::kHistory;
      events.push_back(
          {.id = account_id(i), .ledger = static_cast<uint32_t>(1 + i % kLedgers), .code = 1, .flags = flags});
    }
    const auto results = co_await service.create_accounts(events);
    if (!results) co_return goes_on(results.error());
    for (const CreateResult& result : *results)
      if (!result.created() && result.status != static_cast<uint32_t>(AccountStatus::kExists))
        broken("an account is refused: " + status_name(static_cast<AccountStatus>(result.status)));
    co_return true;
  }

  Transfer random_transfer(base::SeededRandom& random) {
    const uint64_t debit = random.below(kAccounts);
    // Mostly within one ledger.
    uint64_t credit =
        random.chance(1, 20) ? random.below(kAccounts) : (debit + kLedgers * (1 + random.below(4))) % kAccounts;
    Transfer transfer{.id = next_id_++,
                      .debit_account_id = account_id(debit),
                      .credit_account_id = account_id(credit),
                      .amount = random.below(100),
                      .user_data_64 = random.next(),
                      .ledger = static_cast<uint32_t>(1 + debit % kLedgers),
                      .code = 1};
    if (random.chance(1, 4)) {
      transfer.flags |= transfer_flags::kPending;
      if (random.chance(1, 2)) transfer.timeout = static_cast<uint32_t>(1 + random.below(3));
      pending_.push_back(transfer.id);
    } else if (!pending_.empty() && random.chance(1, 4)) {
      const bool post = random.chance(2, 3);
      transfer.flags |= post ? transfer_flags::kPostPending : transfer_flags::kVoidPending;
      transfer.pending_id = pending_[random.below(pending_.size())];
      transfer.debit_account_id = transfer.credit_account_id = 0;
      transfer.ledger = 0;
      transfer.code = 0;
      transfer.amount = post ? (random.chance(1, 2) ? kU128Max : u128{random.below(60)}) : 0;
    } else if (random.chance(1, 10)) {
      transfer.flags |= random.chance(1, 2) ? transfer_flags::kBalancingDebit : transfer_flags::kBalancingCredit;
    }
    if (random.chance(1, 8)) transfer.flags |= transfer_flags::kLinked;
    return transfer;
  }

  // Sometimes what was sent before: an answer was lost, or the client is confused.
  std::vector<Transfer> events_to_send(base::SeededRandom& random) {
    if (!unanswered_.empty() && random.chance(1, 2)) {
      auto events = std::move(unanswered_.back());
      unanswered_.pop_back();
      return events;
    }
    if (!sent_.empty() && random.chance(1, 10)) return sent_[random.below(sent_.size())];
    std::vector<Transfer> events;
    for (uint64_t count = 1 + random.below(kEventsMax); events.size() < count;)
      events.push_back(random_transfer(random));
    events.back().flags &= static_cast<uint16_t>(~transfer_flags::kLinked);
    return events;
  }

  Task<bool> book(LedgerService& service, base::SeededRandom& random) {
    const std::vector<Transfer> events = events_to_send(random);
    for (const Transfer& event : events) witnesses_.sent(event);
    ++report_.commands;
    const auto results = co_await service.create_transfers(events);
    if (!results) {
      step("{} transfers from {}: {}", events.size(), to_decimal(events.front().id), results.error().text());
      if (results.error().code() != Code::kBusy) {
        ++report_.unknown;
        for (const Transfer& event : events) witnesses_.lost(event.id);
      }
      unanswered_.push_back(events);
      co_return goes_on(results.error());
    }
    ++report_.acknowledged;
    size_t created = 0;
    for (size_t i = 0; i < events.size(); ++i) {
      created += (*results)[i].created();
      broken(witnesses_.answered(events[i].id, (*results)[i]));
    }
    step("{} transfers from {}: {} created", events.size(), to_decimal(events.front().id), created);
    if (sent_.size() < 50) sent_.push_back(events);
    co_return true;
  }

  // --- clients of the wire: one request at a time, and the same one again until it is answered

  struct Wire {
    u128 id = 0;
    std::unique_ptr<tigerbeetle::Client> client;
    std::vector<Transfer> outstanding;
  };

  Task<void> wire_client(Wire& wire, base::SeededRandom random) {
    bool connected = false;
    for (int i = 0; i < kStepsPerClient && !failed(); ++i) {
      if (connected) {
        if (random.chance(1, 8)) step("{} connections break", world_.network().reset());
        connected = co_await send(wire, random);
      } else if (auto stream = co_await world_.network().connect(kEndpoint)) {
        connected = co_await reconnect(wire, std::move(*stream));
      } else if (!co_await io::sleep_for(std::chrono::milliseconds(20))) {
        co_return;
      }
    }
  }

  Task<bool> reconnect(Wire& wire, std::unique_ptr<io::Stream> stream) {
    if (wire.client && !wire.outstanding.empty()) {
      step("the request from {} is sent again", to_decimal(wire.outstanding.front().id));
      auto again = co_await io::with_timeout(kWirePatience, wire.client->resend_over(std::move(stream)));
      co_return take_answer(wire, std::move(again));
    }
    if (wire.client) {
      const tigerbeetle::ClientOptions session{.client = wire.id,
                                               .session = wire.client->session(),
                                               .request = wire.client->request(),
                                               .parent = wire.client->parent()};
      wire.client = std::make_unique<tigerbeetle::Client>(std::move(stream), session);
      co_return true;
    }
    wire.id = next_wire_id_++;
    const tigerbeetle::ClientOptions fresh{.client = wire.id};
    wire.client = std::make_unique<tigerbeetle::Client>(std::move(stream), fresh);
    const auto enrolled = co_await io::with_timeout(kWirePatience, wire.client->enroll());
    if (!enrolled) wire.client.reset();
    co_return enrolled.has_value();
  }

  Task<bool> send(Wire& wire, base::SeededRandom& random) {
    wire.outstanding = events_to_send(random);
    for (const Transfer& event : wire.outstanding) witnesses_.sent(event);
    ++report_.commands;
    const BytesView bytes = std::as_bytes(std::span(wire.outstanding));
    std::memcpy(wire.client->body().data(), bytes.data(), bytes.size());
    auto payload = co_await io::with_timeout(
        kWirePatience, wire.client->send(tigerbeetle::WireOperation::kCreateTransfers, bytes.size()));
    co_return take_answer(wire, std::move(payload));
  }

  // Whether the connection is still of use.
  bool take_answer(Wire& wire, Result<BytesView> payload) {
    const std::vector<Transfer>& events = wire.outstanding;
    if (!payload) {
      step("the request from {} has no answer: {}", to_decimal(events.front().id), payload.error().text());
      // The session has ended: the outcome stays unknown, and a new session may ask again.
      if (payload.error().code() != Code::kDenied) return false;
      ++report_.unknown;
      for (const Transfer& event : events) witnesses_.lost(event.id);
      unanswered_.push_back(std::move(wire.outstanding));
      wire.outstanding.clear();
      wire.client.reset();
      return false;
    }
    if (payload->size() != events.size() * sizeof(CreateResult)) {
      broken(fmt::format("{} bytes of results for {} events", payload->size(), events.size()));
      return false;
    }
    ++report_.acknowledged;
    for (size_t i = 0; i < events.size(); ++i)
      broken(witnesses_.answered(events[i].id, record_at<CreateResult>(*payload, i)));
    step("{} transfers from {} are answered over the network", events.size(), to_decimal(events.front().id));
    wire.outstanding.clear();
    return true;
  }

  Task<bool> ask(LedgerService& service) {
    const auto balanced = co_await service.query([](const Engine& engine) {
      for (const Engine::Totals& totals : engine.trial_balance())
        if (totals.debits_pending != totals.credits_pending || totals.debits_posted != totals.credits_posted)
          return false;
      return true;
    });
    if (!balanced) co_return goes_on(balanced.error());
    if (!*balanced) broken("debits and credits differ");
    co_return true;
  }

  Task<bool> show_head(LedgerService& service) {
    const auto head = co_await service.signed_head();
    if (!head) co_return goes_on(head.error());
    if (const auto sound = ledger::verify(*head, service.public_key_pem()); !sound)
      broken("a head's signature is wrong: " + sound.error().text());
    step("head of operation {} was shown", head->op);
    if (head->op > 0) heads_.push_back(*head);
    co_return true;
  }

  Task<bool> verify(LedgerService& service) {
    const auto verified = co_await service.verify({});
    if (verified) {
      step("verified {} operations", verified->ops);
      co_return true;
    }
    step("not verified: {}", verified.error().text());
    co_return goes_on(verified.error());
  }

  const Bytes key_ = key_file();
  SimulationOptions options_;
  sim::World world_;
  base::SeededRandom random_;
  base::SeededRandom salts_{7};
  SimulationReport report_;
  Witnesses witnesses_;
  std::vector<SignedHead> heads_;
  std::vector<Id> pending_;
  std::vector<std::vector<Transfer>> unanswered_, sent_;
  std::array<Wire, kWireClients> wires_;
  u128 next_wire_id_ = 500;
  Id next_id_ = 1;
};

}  // namespace

SimulationReport simulate(uint64_t seed, SimulationOptions options) {
  return Simulation(seed, std::move(options)).run();
}

}  // namespace polis::ledger
