// The engine under the Replica, on a simulated disk whose power fails, with snapshots and recoveries: what was
// acknowledged stays, and the recovered books are those of an obvious model.
#include <gtest/gtest.h>

#include "kernel/machine/model_test.h"
#include "systems/ledger/books_model.h"
#include "systems/ledger/books_random_model.h"
#include "systems/ledger/engine.h"

namespace polis::ledger {
namespace {

struct LedgerSpec {
  using Machine = Engine;
  using Request = BooksRequest;
  static Command command(const Request& request) { return request.command(); }

  struct Model {
    BooksModel books;
    std::vector<CreateResult> apply(const Command& command) { return books.apply(command); }
  };
  static std::unique_ptr<Engine> make() {
    return std::make_unique<Engine>(EngineOptions{.rows_per_chunk = 64, .rows_per_run = 16});
  }
  // Made without knowing the books it will meet; only time is common to all commands of a seed.
  static inline uint64_t clock = 0;
  static Request random_command(Random& random) {
    BooksRandom books(random.next(), {.imports = false});
    clock += 10'000 + random.below(kNanosecondsPerSecond);
    Request request = books.next(clock, std::nullopt);
    if (random.chance(1, 10)) request = {.operation = Operation::kExpire, .timestamp = request.timestamp};
    clock = request.timestamp;
    return request;
  }
  static bool same(const Reply& reply, const std::vector<CreateResult>& expected) { return reply.results == expected; }
  static bool same(const Engine& engine, const Model& model) {
    const BooksModel& books = model.books;
    const Engine::Counts counts = engine.counts();
    if (counts.ops != books.ops || counts.accounts != books.accounts.size() ||
        counts.transfers != books.transfers.size() || counts.refusals != books.refused)
      return false;
    for (const auto& [id, account] : books.accounts)
      if (engine.account(id) != account) return false;
    for (const auto& [id, transfer] : books.transfers)
      if (engine.transfer(id) != transfer) return false;
    return engine.next_expiry() == books.next_expiry();
  }
};

class EngineMachineTest : public testing::TestWithParam<uint64_t> {};

TEST_P(EngineMachineTest, survives_power_cuts_as_its_model) {
  LedgerSpec::clock = 0;
  machine::run_machine_model<LedgerSpec>(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineMachineTest, testing::Range<uint64_t>(0, 60));

}  // namespace
}  // namespace polis::ledger
