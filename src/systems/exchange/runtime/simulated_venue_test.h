// A venue in a simulated machine, for tests: what hears its reports, what follows its shadow, and the ways in which it
// ends.
#pragma once

#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <stdlib.h>
#include <string>
#include <utility>
#include <vector>

#include "kernel/sim/world.h"
#include "systems/exchange/runtime/market_test.h"
#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {

// ASSERT_TRUE for coroutines.
#define CO_EXPECT(result)                           \
  do {                                              \
    EXPECT_TRUE(result) << (result).error().text(); \
    if (!(result)) co_return;                       \
  } while (false)

struct Told {
  Sequence sequence = 0;
  VenueTime time = 0;
  Report report;
};

class Ear final : public EgressListener {
 public:
  void on_report(Sequence sequence, VenueTime time, const Report& report) override {
    ASSERT_TRUE(told.empty() || told.back().sequence < sequence);
    told.push_back({sequence, time, report});
  }
  void on_event(Sequence, VenueTime, const Event&) override { ++events; }
  void on_batch_end() override { ++batches; }
  std::vector<Told> told;
  uint64_t events = 0, batches = 0;
};

// Keeps what it committed, as rows of a store would be: that survives, the rest does not.
class Rows : public Follower {
 public:
  Sequence committed() const override { return committed_; }
  void on_step(const Stamp& stamp, const Request* request, const Outputs& outputs, const Venue&) override {
    ASSERT_GE(stamp.sequence, committed_);
    ASSERT_TRUE(pending_.empty() || pending_.back().first < stamp.sequence);
    (void)request;
    pending_.push_back({stamp.sequence, outputs.digest()});
  }
  Task<Result<void>> commit(Sequence upto) override {
    if (failures > 0) {
      --failures;
      co_return fail(Code::kIo, "the rows cannot be written");
    }
    rows.insert(rows.end(), pending_.begin(), pending_.end());
    pending_.clear();
    committed_ = upto;
    co_return {};
  }
  void lose_uncommitted() { pending_.clear(); }
  int failures = 0;
  std::vector<std::pair<Sequence, uint64_t>> rows;

 private:
  Sequence committed_ = 0;
  std::vector<std::pair<Sequence, uint64_t>> pending_;
};

class Machine {
 public:
  explicit Machine(uint64_t seed, AckMode ack = AckMode::kDisk) : world(seed) {
    std::string name = (std::filesystem::temp_directory_path() / "polis-exchange-XXXXXX").string();
    directory = mkdtemp(name.data());
    options.journal_directory = "journal";
    options.snapshot_directory = "snapshot";
    options.bus_path = directory + "/run/exchange.bus";
    options.limits = {
        .assets_max = 16, .instruments_max = 16, .accounts_max = 64, .sessions_max = 64, .orders_max = 100'000};
    options.threads = ThreadMode::kFused;
    options.ack = ack;
    options.bus_slots = 1 << 12;
    options.lock_memory = false;
  }
  ~Machine() { std::filesystem::remove_all(directory); }

  Task<Result<void>> open() {
    recovered.clear();
    runtime = CO_TRY(co_await VenueRuntime::open(world.disk(), world.clock(), random_, options, followers,
                                                 [this](Sequence sequence, VenueTime time, const Report& report) {
                                                   recovered.push_back({sequence, time, report});
                                                 }));
    runtime->subscribe(ear);
    co_return {};
  }
  // As the system stops it.
  Task<Result<void>> close() {
    runtime->unsubscribe(ear);
    auto closed = co_await runtime->close();
    runtime.reset();
    co_return closed;
  }
  // The process ends at once. Cut: and the machine with it, so that the page cache and the ring are gone.
  Task<void> end(bool cut) {
    if (world.disk().powered()) world.disk().crash(cut ? sim::Survival::kBySeed : sim::Survival::kAll);
    (void)co_await close();
    world.disk().restart();
    if (cut) std::filesystem::remove(options.bus_path);
  }
  Task<Result<Replayed>> replay_all(std::function<void(const Stamp&, const Request*, const Outputs&)> each = {},
                                    bool from_beginning = true) {
    Venue fresh(options.limits);
    co_return co_await replay(world.disk(),
                              {.journal_directory = options.journal_directory,
                               .snapshot_directory = options.snapshot_directory,
                               .limits = options.limits,
                               .from_beginning = from_beginning},
                              fresh, std::move(each));
  }
  // Submits and lets others run when it is refused.
  Task<Result<void>> submit(Request request) {
    while (true) {
      auto submitted = runtime->submit(request);
      if (submitted || submitted.error().code() != Code::kBusy) co_return submitted;
      CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(1)));
    }
  }
  Task<Result<void>> begin_market() {
    for (const Request& request : TestMarket::beginning()) {
      const Report report = CO_TRY(co_await runtime->ask(request));
      if (report.kind == ReportKind::kDenied)
        co_return fail(Code::kInvalid, std::string(refusal_text(report.refusal)) + " " +
                                           std::to_string(static_cast<int>(request.kind)));
    }
    co_return {};
  }

  sim::World world;
  std::string directory;
  RuntimeOptions options;
  std::vector<Follower*> followers;
  std::unique_ptr<VenueRuntime> runtime;
  Ear ear;
  TestMarket market;
  std::vector<Told> recovered;

 private:
  base::SeededRandom random_{7};
};

inline bool same(const Report& a, const Report& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Every report of a fresh replay, by its place on the bus.
inline Task<void> collect(Machine& machine, std::map<Sequence, Report>& reports, Result<Replayed>& replayed) {
  replayed = co_await machine.replay_all([&](const Stamp& stamp, const Request* request, const Outputs& outputs) {
    Sequence sequence = stamp.sequence + (request ? kRequestSlots : kTurnSlots);
    for (const auto& item : outputs.items()) {
      if (item.is_report) reports[sequence] = outputs.report_at(item);
      sequence += item.is_report ? kReportSlots : kEventSlots;
    }
  });
}

}  // namespace polis::exchange
