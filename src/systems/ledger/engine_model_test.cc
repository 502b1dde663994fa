// The engine against the obvious model, under random commands: statuses, timestamps, records, questions, the past,
// the chain, and snapshots taken in the middle.
#include <gtest/gtest.h>

#include "kernel/base/hash.h"
#include "systems/ledger/books_model.h"
#include "systems/ledger/books_random_model.h"
#include "systems/ledger/engine.h"

namespace polis::ledger {
namespace {

constexpr EngineOptions kSmall{.rows_per_chunk = 64, .rows_per_run = 16};

std::string text(const CreateResult& result, bool accounts) {
  return (accounts ? status_name(static_cast<AccountStatus>(result.status))
                   : status_name(static_cast<TransferStatus>(result.status))) +
         " at " + std::to_string(result.timestamp);
}

// Pieces of a snapshot, and the same again as a machine.
std::vector<Bytes> save(const Engine& engine) {
  std::vector<Bytes> pieces;
  Engine::Saver saver(engine);
  for (;;) {
    Bytes piece;
    base::Writer out(piece);
    if (!saver.next(out)) return pieces;
    pieces.push_back(piece);
  }
}

std::unique_ptr<Engine> load(const std::vector<Bytes>& pieces, EngineOptions options = kSmall) {
  auto engine = std::make_unique<Engine>(options);
  for (const Bytes& piece : pieces) {
    const auto loaded = engine->load(piece);
    EXPECT_TRUE(loaded) << loaded.error().text();
  }
  const auto finished = engine->load_finished();
  EXPECT_TRUE(finished) << finished.error().text();
  return engine;
}

class EngineModelTest : public testing::TestWithParam<uint64_t> {
 protected:
  void compare_records() {
    ASSERT_EQ(engine_->counts().accounts, model_.accounts.size());
    ASSERT_EQ(engine_->counts().transfers, model_.transfers.size());
    ASSERT_EQ(engine_->counts().refusals, model_.refused);
    for (const auto& [id, account] : model_.accounts) ASSERT_EQ(engine_->account(id), account);
    uint64_t open = 0;
    for (const auto& [id, transfer] : model_.transfers) {
      ASSERT_EQ(engine_->transfer(id), transfer);
      const auto state = model_.pending.find(id);
      const PendingState expected = state == model_.pending.end() ? PendingState::kNone : state->second;
      ASSERT_EQ(engine_->pending_state(id), expected);
      open += expected == PendingState::kPending;
    }
    ASSERT_EQ(engine_->counts().pending_open, open);
    ASSERT_EQ(engine_->next_expiry(), model_.next_expiry());
    for (const Engine::Totals& total : engine_->trial_balance()) {
      ASSERT_EQ(total.debits_pending, total.credits_pending);
      ASSERT_EQ(total.debits_posted, total.credits_posted);
    }
  }

  // Applies one random command to both.
  void step(BooksRandom& random) {
    const BooksRequest request = random.next(model_.timestamp_last, model_.next_expiry());
    requests_.push_back(request);
    const Command command = request.command();
    const auto expected = model_.apply(command);
    const Reply reply = engine_->apply(command);
    ASSERT_EQ(reply.op, model_.ops);
    ASSERT_EQ(reply.timestamp, command.timestamp);
    ASSERT_EQ(reply.results.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(reply.results[i], expected[i])
          << "op " << reply.op << " event " << i << ": "
          << text(reply.results[i], command.operation == Operation::kCreateAccounts) << ", the model says "
          << text(expected[i], command.operation == Operation::kCreateAccounts);
      ++statuses_[{command.operation, expected[i].status}];
    }
    replies_.push_back(reply);
  }

  std::unique_ptr<Engine> engine_ = std::make_unique<Engine>(kSmall);
  BooksModel model_;
  std::vector<BooksRequest> requests_;
  std::vector<Reply> replies_;
  std::map<std::pair<Operation, uint32_t>, uint64_t> statuses_;
};

TEST_P(EngineModelTest, results_and_records_are_the_models) {
  BooksRandom random(GetParam(), {});
  for (int i = 0; i < 150; ++i) {
    ASSERT_NO_FATAL_FAILURE(step(random));
    if (i % 10 == 0) ASSERT_NO_FATAL_FAILURE(compare_records());
  }
  compare_records();
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineModelTest, testing::Range<uint64_t>(0, 60));

}  // namespace
}  // namespace polis::ledger
