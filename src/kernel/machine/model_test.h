// A test that any Machine can use: random commands against an obvious model, on a simulated disk whose power fails at
// random places, with snapshots, queries and recoveries in between. Per seed it checks that
//
//   - every reply and every query answer is the model's,
//   - after a power cut the machine is the model after some prefix of the commands, and that prefix holds everything
//     acknowledged,
//   - replay reproduces every recorded outcome (the Replica checks that itself).
//
// The engine's test writes a Spec and calls run_machine_model<Spec>(seed) for each seed:
//
//     struct Spec {
//       using Machine = Counter;
//       struct Model { Counter::Reply apply(const Counter::Command&); };     // ten obvious lines
//       static std::unique_ptr<Counter> make();
//       static Counter::Command random_command(Random&);
//       static bool same(const Counter::Reply&, const Counter::Reply&);
//       static bool same(const Counter&, const Model&);                      // the whole state
//     };
//
// A machine whose Command points to bytes that it does not own gives two more: `struct Request`, which owns them and is
// what random_command() answers, and `static Counter::Command command(const Request&)`.
#pragma once

#include <algorithm>
#include <gtest/gtest.h>
#include <memory>
#include <vector>

#include "kernel/log/segment_journal.h"
#include "kernel/machine/replica.h"
#include "kernel/sim/world.h"

namespace polis::machine {

namespace detail {
template <class Spec>
struct RequestOf {
  using Type = typename Spec::Machine::Command;
};
template <class Spec>
  requires requires { typename Spec::Request; }
struct RequestOf<Spec> {
  using Type = typename Spec::Request;
};
}  // namespace detail

template <class Spec>
class MachineModelTest {
 public:
  using M = typename Spec::Machine;
  using Command = typename M::Command;
  using Request = typename detail::RequestOf<Spec>::Type;
  using Model = typename Spec::Model;

  explicit MachineModelTest(uint64_t seed) : seed_(seed), world_(seed), random_(seed), salts_(~seed) {}

  void run() { world_.run(rounds()); }

 private:
  static constexpr int kRounds = 4;
  static constexpr int kClients = 3;
  static constexpr int kCommandsPerClient = 25;

  Task<Result<std::unique_ptr<Replica<M>>>> open() {
    // Small segments and frequent snapshots, so that every seed rolls and snapshots; odd ones trim.
    auto journal = CO_TRY(co_await log::open_segment_journal(
        world_.disk(), scheduler_, salts_,
        {.directory = "journal", .segment_size_bytes = 2 << 10, .chunk_bytes = 4 << 10, .index_interval_bytes = 512}));
    co_return co_await Replica<M>::open(
        world_.disk(), std::move(journal),
        {.snapshot_directory = "snapshot", .snapshot_every_commands = 20, .keep_journal = seed_ % 2 == 0}, &Spec::make);
  }

  Task<void> rounds() {
    for (int round = 0; round < kRounds && !testing::Test::HasFailure(); ++round) {
      if (random_.chance(4, 5)) world_.disk().crash_after(1 + random_.below(150));
      auto replica = co_await open();
      if (replica) {
        check_recovered(**replica);
        io::TaskGroup group;
        for (int i = 0; i < kClients; ++i) group.spawn(client(**replica, base::SeededRandom(random_.next())));
        co_await group.join();
        const auto closed = co_await (*replica)->close();
        if (closed) acknowledged_ = history_.size();
        replica->reset();
      } else {
        EXPECT_EQ(replica.error().code(), Code::kUnavailable) << "seed " << seed_ << ": " << replica.error().text();
      }
      if (world_.disk().powered()) world_.disk().crash();
      world_.disk().restart();
    }
    if (testing::Test::HasFailure()) co_return;
    auto replica = co_await open();
    EXPECT_TRUE(replica) << "seed " << seed_ << ": " << replica.error().text();
    if (!replica) co_return;
    check_recovered(**replica);
    EXPECT_TRUE(co_await (*replica)->close());
  }

  void check_recovered(const Replica<M>& replica) {
    const uint64_t commands = replica.statistics().commands;
    EXPECT_GE(commands, acknowledged_) << "seed " << seed_ << ": acknowledged commands are gone";
    EXPECT_LE(commands, history_.size()) << "seed " << seed_ << ": commands that nobody sent";
    if (testing::Test::HasFailure()) return;
    history_.resize(commands);
    acknowledged_ = commands;  // what recovery shows is durable
    model_ = Model();
    for (const auto& request : history_) (void)model_.apply(command_of(*request));
    EXPECT_TRUE(Spec::same(replica.machine(), model_)) << "seed " << seed_ << ": the recovered state is another one";
  }

  Task<void> client(Replica<M>& replica, base::SeededRandom random) {
    for (int i = 0; i < kCommandsPerClient && !testing::Test::HasFailure(); ++i) {
      const auto durability = static_cast<Durability>(random.below(3));
      if (random.chance(1, 10)) {
        // Asked and answered at this very moment; the answer arrives later.
        const uint64_t upto = history_.size();
        const auto same =
            co_await replica.query([this](const M& machine) { return Spec::same(machine, model_); }, durability);
        if (!same) break;
        EXPECT_TRUE(*same) << "seed " << seed_ << ": a query saw another state";
        if (durability == Durability::kDisk) acknowledged_ = std::max(acknowledged_, upto);
        continue;
      }
      if (random.chance(1, 30)) {
        const auto made = co_await replica.snapshot();
        if (!made && made.error().code() != Code::kBusy) break;
        continue;
      }
      if (random.chance(1, 60)) {
        const auto verified = co_await replica.verify(&Spec::make, {});
        // Trimmed or busy is no failure; a difference is.
        if (!verified) {
          EXPECT_NE(verified.error().code(), Code::kCorrupt) << "seed " << seed_ << ": " << verified.error().text();
          if (verified.error().code() != Code::kBusy && verified.error().code() != Code::kOutOfRange) break;
        }
        continue;
      }
      // Shared with the history, which recovery may cut while this submission still ends.
      const auto request = std::make_shared<const Request>(Spec::random_command(random));
      history_.push_back(request);
      const uint64_t number = history_.size();
      const auto expected = model_.apply(command_of(*request));
      const auto reply = co_await replica.submit(command_of(*request), durability);
      if (!reply) {
        EXPECT_EQ(reply.error().code(), Code::kUnavailable) << "seed " << seed_ << ": " << reply.error().text();
        break;
      }
      EXPECT_TRUE(Spec::same(*reply, expected)) << "seed " << seed_ << ": another reply to command " << number;
      if (durability == Durability::kDisk) acknowledged_ = std::max(acknowledged_, number);
    }
  }

  static Command command_of(const Request& request) {
    if constexpr (requires { typename Spec::Request; }) {
      return Spec::command(request);
    } else {
      return request;
    }
  }

  const uint64_t seed_;
  sim::World world_;
  base::SeededRandom random_;
  base::SeededRandom salts_;
  log::SyncScheduler scheduler_;
  std::vector<std::shared_ptr<const Request>> history_;
  uint64_t acknowledged_ = 0;  // commands of the history that must survive
  Model model_;
};

template <class Spec>
void run_machine_model(uint64_t seed) {
  MachineModelTest<Spec>(seed).run();
}

}  // namespace polis::machine
