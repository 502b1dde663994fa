// The engine against the obvious model, under random commands: statuses, timestamps, records, questions, the past,
// the chain, and snapshots taken in the middle.
#include <gtest/gtest.h>

#include "systems/ledger/books_model.h"
#include "systems/ledger/books_random_model.h"
#include "systems/ledger/engine.h"
#include "systems/ledger/storage/chunk_memory.h"

namespace polis::ledger {
namespace {

constexpr EngineOptions kSmall{.rows_per_chunk = 64, .rows_per_run = 16};

std::string text(const CreateResult& result, bool accounts) {
  return (accounts ? status_name(static_cast<AccountStatus>(result.status))
                   : status_name(static_cast<TransferStatus>(result.status))) +
         " at " + std::to_string(result.timestamp);
}

// Pieces of a snapshot, and the same again as a machine.
std::vector<Bytes> saved_pieces(const Engine& engine) {
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
    }
    replies_.push_back(reply);
  }

  // --- questions, by looking at everything

  // Records in order of time, as a query sees them.
  template <class Record, class Query>
  static std::vector<Record> scan(std::vector<Record> all, const Query& query,
                                  bool (*matches)(const Query&, const Record&)) {
    std::sort(all.begin(), all.end(), [](const Record& a, const Record& b) { return a.timestamp < b.timestamp; });
    if (query.reversed) std::reverse(all.begin(), all.end());
    std::vector<Record> found;
    for (const Record& record : all) {
      const bool in_time = record.timestamp >= query.timestamp_min && record.timestamp <= query.timestamp_max;
      if (found.size() < query.limit && in_time && matches(query, record)) found.push_back(record);
    }
    return found;
  }
  static bool transfer_matches(const TransferQuery& q, const Transfer& t) {
    if (q.account && !(q.debits && t.debit_account_id == *q.account) &&
        !(q.credits && t.credit_account_id == *q.account))
      return false;
    if (q.user_data_128 != 0 && t.user_data_128 != q.user_data_128) return false;
    if (q.user_data_64 != 0 && t.user_data_64 != q.user_data_64) return false;
    if (q.user_data_32 != 0 && t.user_data_32 != q.user_data_32) return false;
    if (q.ledger != 0 && t.ledger != q.ledger) return false;
    if (q.code != 0 && t.code != q.code) return false;
    return t.amount >= q.amount_min && t.amount <= q.amount_max;
  }
  static bool account_matches(const AccountQuery& q, const Account& a) {
    if (q.user_data_128 != 0 && a.user_data_128 != q.user_data_128) return false;
    if (q.user_data_64 != 0 && a.user_data_64 != q.user_data_64) return false;
    if (q.user_data_32 != 0 && a.user_data_32 != q.user_data_32) return false;
    if (q.ledger != 0 && a.ledger != q.ledger) return false;
    return q.code == 0 || a.code == q.code;
  }
  std::vector<Transfer> all_transfers() const {
    std::vector<Transfer> all;
    for (const auto& [id, transfer] : model_.transfers) all.push_back(transfer);
    return all;
  }
  std::vector<Account> all_accounts() const {
    std::vector<Account> all;
    for (const auto& [id, account] : model_.accounts) all.push_back(account);
    return all;
  }

  // The predicates that the bits of `subset` choose.
  template <class Query>
  void choose(Query& query, uint32_t subset, BooksRandom& random) {
    if (subset & 1) query.user_data_128 = 1 + random.below(2);
    if (subset & 2) query.user_data_64 = 1 + random.below(2);
    if (subset & 4) query.user_data_32 = 1 + static_cast<uint32_t>(random.below(2));
    if (subset & 8) query.ledger = 1 + static_cast<uint32_t>(random.one_in(4));
    if (subset & 16) query.code = static_cast<uint16_t>(1 + random.below(3));
    if (subset & 32) {
      query.timestamp_min = some_time(random);
      query.timestamp_max = std::max(query.timestamp_min, some_time(random));
    }
    query.reversed = random.one_in(2);
    query.limit = random.one_in(2) ? 10'000 : 1 + static_cast<uint32_t>(random.below(20));
  }
  // Now and then exactly that of a transfer.
  uint64_t some_time(BooksRandom& random) {
    if (model_.changes.empty() || random.one_in(3)) return random.below(model_.timestamp_last + 1000);
    return model_.changes[random.below(model_.changes.size())].timestamp;
  }

  void ask_everything(BooksRandom& random) {
    for (uint32_t subset = 0; subset < 64; ++subset) {
      AccountQuery accounts;
      choose(accounts, subset, random);
      ASSERT_EQ(engine_->accounts(accounts), scan(all_accounts(), accounts, &account_matches));
    }
    for (uint32_t subset = 0; subset < 256; ++subset) {
      TransferQuery query;
      choose(query, subset, random);
      if (subset & 64) {
        query.account = random.account_id();
        query.debits = !random.one_in(3);
        query.credits = !random.one_in(3);
      }
      if (subset & 128) {
        query.amount_min = random.below(20);
        query.amount_max = random.one_in(3) ? kU128Max : query.amount_min + random.below(10);
      }
      const auto expected = scan(all_transfers(), query, &transfer_matches);
      ASSERT_EQ(engine_->transfers(query), expected) << "predicates " << subset;
      if (query.account) ASSERT_EQ(engine_->balances(query), balances_of(*query.account, expected));
    }
  }

  std::vector<AccountBalance> balances_of(Id id, const std::vector<Transfer>& transfers) const {
    std::vector<AccountBalance> balances;
    const auto account = model_.accounts.find(id);
    if (account == model_.accounts.end() || (account->second.flags & account_flags::kHistory) == 0) return balances;
    for (const Transfer& transfer : transfers)
      for (const BooksModel::Change& change : model_.changes)
        if (change.kind != PendingState::kExpired && change.transfer.id == transfer.id) {
          const Account& after = change.debit.id == id ? change.debit : change.credit;
          AccountBalance& balance = balances.emplace_back();
          balance.debits_pending = after.debits_pending;
          balance.debits_posted = after.debits_posted;
          balance.credits_pending = after.credits_pending;
          balance.credits_posted = after.credits_posted;
          balance.timestamp = change.timestamp;
        }
    return balances;
  }

  // --- the chain

  // Everything of every command again, from the requests and the replies alone.
  void check_chain() {
    Hash head{};
    for (size_t i = 0; i < requests_.size(); ++i) {
      const uint64_t op = i + 1;
      const BooksRequest& request = requests_[i];
      const Reply& reply = replies_[i];
      ASSERT_EQ(reply.head.previous, head);
      const auto link = engine_->link(op);
      ASSERT_TRUE(link) << link.error().text();
      ASSERT_EQ(link->head, reply.head);
      ASSERT_EQ(link->timestamp, request.timestamp);
      ASSERT_EQ(link->operation, static_cast<uint8_t>(request.operation));
      head = link->head_after();
      if (request.operation == Operation::kExpire) continue;
      const size_t count = request.events.size() / 128;
      ASSERT_EQ(link->count, count);
      std::vector<Hash> leaves;
      for (size_t e = 0; e < count; ++e) leaves.push_back(expected_leaf(request, reply, e, count));
      ASSERT_EQ(merkle_root(leaves), reply.head.root);
    }
    ASSERT_EQ(engine_->head(), replies_.back().head);
    EXPECT_FALSE(engine_->link(0));
    EXPECT_FALSE(engine_->link(requests_.size() + 1));
  }

  Hash expected_leaf(const BooksRequest& request, const Reply& reply, size_t e, size_t count) const {
    const CreateResult& result = reply.results[e];
    auto record = record_at<Transfer>(request.events, e);
    if (!result.created()) {
      if (record.timestamp == 0) record.timestamp = request.timestamp - (count - 1 - e);
    } else if (request.operation == Operation::kCreateTransfers) {
      record = model_.transfers.at(record.id);
    } else {
      record.timestamp = result.timestamp;
    }
    return leaf_hash(reinterpret_cast<const std::byte*>(&record), result.status);
  }

  void check_proofs() {
    for (const auto& [id, transfer] : model_.transfers) {
      const auto proof = engine_->prove(id);
      ASSERT_TRUE(proof) << proof.error().text();
      ASSERT_TRUE(check(*proof)) << check(*proof).error().text();
      ASSERT_EQ(record_at<Transfer>(proof->record, 0), transfer);
      ASSERT_EQ(engine_->link(proof->link.op)->head, proof->link.head);
    }
    for (const Account& created : model_.accounts_created) {
      const auto proof = engine_->prove(created.id);
      ASSERT_TRUE(proof) << proof.error().text();
      ASSERT_TRUE(check(*proof));
      ASSERT_EQ(record_at<Account>(proof->record, 0), created);
    }
    EXPECT_EQ(engine_->prove(77'777).error().code(), Code::kNotFound);
  }

  std::unique_ptr<Engine> engine_ = std::make_unique<Engine>(kSmall);
  BooksModel model_;
  std::vector<BooksRequest> requests_;
  std::vector<Reply> replies_;
};

TEST_P(EngineModelTest, results_and_records_are_the_models) {
  BooksRandom random(GetParam(), {});
  for (int i = 0; i < 150; ++i) {
    ASSERT_NO_FATAL_FAILURE(step(random));
    if (i % 10 == 0) ASSERT_NO_FATAL_FAILURE(compare_records());
  }
  compare_records();
}

TEST_P(EngineModelTest, every_subset_of_predicates_finds_what_a_full_scan_finds) {
  BooksRandom random(GetParam() + 1'000, {.transfer_ids = 2'000});
  for (int i = 0; i < 160; ++i) {
    ASSERT_NO_FATAL_FAILURE(step(random));
    if (i % 40 == 39) ASSERT_NO_FATAL_FAILURE(ask_everything(random));
  }
}

TEST_P(EngineModelTest, an_account_of_the_past_is_what_it_was_then) {
  const bool imports = GetParam() % 2 == 1;
  BooksRandom random(GetParam() + 2'000, {.imports = imports, .transfer_ids = 2'000});
  std::vector<std::pair<uint64_t, std::map<Id, Account>>> past;
  for (int i = 0; i < 120; ++i) {
    ASSERT_NO_FATAL_FAILURE(step(random));
    past.emplace_back(model_.timestamp_last, model_.accounts);
    for (const auto& [id, account] : model_.accounts)
      ASSERT_EQ(engine_->account_at(id, model_.timestamp_last), account);
  }
  for (const auto& [timestamp, accounts] : past) {
    // Without imports nothing enters the past later.
    if (imports) continue;
    for (const Account& created : model_.accounts_created) {
      const auto then = accounts.find(created.id);
      const auto expected = then == accounts.end() ? std::nullopt : std::optional(then->second);
      ASSERT_EQ(engine_->account_at(created.id, timestamp), expected);
    }
  }
  for (int i = 0; i < 300; ++i) {
    const Id id = random.account_id();
    const uint64_t timestamp = some_time(random);
    ASSERT_EQ(engine_->account_at(id, timestamp), model_.account_at(id, timestamp));
  }
}

TEST_P(EngineModelTest, changes_are_all_there_with_the_accounts_right_after) {
  const bool imports = GetParam() % 2 == 1;
  BooksRandom random(GetParam() + 3'000, {.imports = imports, .transfer_ids = 2'000});
  for (int i = 0; i < 120; ++i) ASSERT_NO_FATAL_FAILURE(step(random));
  auto expected = model_.changes;
  std::sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) {
    return std::pair(a.timestamp, a.kind == PendingState::kExpired) <
           std::pair(b.timestamp, b.kind == PendingState::kExpired);
  });
  for (int i = 0; i < 40; ++i) {
    const uint64_t min = i == 0 ? 0 : some_time(random);
    const uint64_t max = i == 0 ? kTimestampMax : std::max(min, some_time(random));
    const uint32_t limit = random.one_in(2) ? UINT32_MAX : static_cast<uint32_t>(random.below(30));
    const auto found = engine_->changes(min, max, limit);
    size_t at = 0;
    for (const BooksModel::Change& change : expected) {
      if (change.timestamp < min || change.timestamp > max || at == limit) continue;
      ASSERT_LT(at, found.size());
      ASSERT_EQ(found[at].transfer, change.transfer);
      ASSERT_EQ(found[at].kind, change.kind);
      ASSERT_EQ(found[at].timestamp, change.timestamp);
      const bool alone = std::count_if(expected.begin(), expected.end(),
                                       [&](const auto& other) { return other.timestamp == change.timestamp; }) == 1;
      if (!imports) {
        ASSERT_EQ(found[at].debit_account, change.debit);
        ASSERT_EQ(found[at].credit_account, change.credit);
      } else if (alone) {
        ASSERT_EQ(found[at].debit_account, model_.account_at(change.debit.id, change.timestamp));
        ASSERT_EQ(found[at].credit_account, model_.account_at(change.credit.id, change.timestamp));
      }
      ++at;
    }
    ASSERT_EQ(at, found.size());
  }
}

TEST_P(EngineModelTest, the_chain_is_what_requests_and_results_hash_to) {
  BooksRandom random(GetParam() + 4'000, {});
  for (int i = 0; i < 100; ++i) ASSERT_NO_FATAL_FAILURE(step(random));
  ASSERT_NO_FATAL_FAILURE(check_chain());
  check_proofs();
}

TEST_P(EngineModelTest, commands_survive_their_bytes) {
  BooksRandom random(GetParam() + 5'000, {});
  Engine again(kSmall);
  for (int i = 0; i < 60; ++i) {
    ASSERT_NO_FATAL_FAILURE(step(random));
    Bytes bytes(GetParam() % 5);  // an odd start
    base::Writer out(bytes);
    Engine::encode(requests_.back().command(), out);
    const auto decoded = Engine::decode(BytesView(bytes).subspan(GetParam() % 5));
    ASSERT_TRUE(decoded) << decoded.error().text();
    const Reply reply = again.apply(*decoded);
    ASSERT_EQ(reply.results, replies_.back().results);
    ASSERT_EQ(reply.head, replies_.back().head);
    ASSERT_EQ(decoded->from.client, requests_.back().from.client);
    ASSERT_EQ(decoded->from.session, requests_.back().from.session);
    ASSERT_EQ(decoded->from.request, requests_.back().from.request);
  }
}

TEST_P(EngineModelTest, a_snapshot_is_the_moment_it_began_whatever_happens_meanwhile) {
  BooksRandom random(GetParam() + 6'000, {.transfer_ids = 1'000});
  // With a store, full chunks are not in the snapshot.
  MemoryChunks chunks(GetParam() % 2 == 0);
  EngineOptions options = kSmall;
  if (GetParam() % 3 != 0) options.chunks = &chunks;
  engine_ = std::make_unique<Engine>(options);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 40; ++i) ASSERT_NO_FATAL_FAILURE(step(random));
    const size_t ops = requests_.size();
    const BooksModel then = model_;
    std::vector<Bytes> pieces;
    {
      Engine::Saver saver(*engine_);
      for (;;) {
        if (random.one_in(2)) ASSERT_NO_FATAL_FAILURE(step(random));
        Bytes piece;
        base::Writer out(piece);
        if (!saver.next(out)) break;
        ASSERT_LE(piece.size(), size_t{1} << 20);
        ASSERT_FALSE(piece.empty());
        pieces.push_back(piece);
      }
    }
    // A restart: what came after the snapshot is forgotten, and then repeated from the journal.
    chunks.finish(SIZE_MAX);
    engine_ = load(pieces, options);
    if (HasFailure()) return;
    ASSERT_EQ(saved_pieces(*engine_), pieces);
    std::swap(model_, const_cast<BooksModel&>(then));
    ASSERT_NO_FATAL_FAILURE(compare_records());
    ASSERT_NO_FATAL_FAILURE(ask_everything(random));
    for (size_t i = ops; i < requests_.size(); ++i) {
      const Reply reply = engine_->apply(requests_[i].command());
      ASSERT_EQ(reply.results, replies_[i].results);
      ASSERT_EQ(reply.head, replies_[i].head);
      (void)model_.apply(requests_[i].command());
    }
    ASSERT_NO_FATAL_FAILURE(compare_records());
  }
  ASSERT_NO_FATAL_FAILURE(check_chain());
  check_proofs();
}

// Sessions by the same obvious rules, beside the books.
TEST_P(EngineModelTest, the_last_reply_of_a_session_is_kept) {
  BooksRandom random(GetParam() + 7'000, {.transfer_ids = 500});
  struct Last {
    SessionRequest from;
    size_t reply = 0;
  };
  std::map<u128, Last> last;
  uint64_t time = 0;
  for (int i = 0; i < 150; ++i) {
    BooksRequest request = random.next(time, engine_->next_expiry());
    const u128 client = 1 + random.below(6);
    request.from = {};
    if (request.operation == Operation::kRegister) {
      request.from = {.client = client};
    } else if (request.operation != Operation::kExpire && last.contains(client)) {
      request.from = last.at(client).from;
      request.from.request += 1 + static_cast<uint32_t>(random.below(3));
    }
    time = request.timestamp;
    replies_.push_back(engine_->apply(request.command()));
    if (request.operation == Operation::kRegister) {
      EXPECT_EQ(replies_.back().session, replies_.back().op);
      request.from.session = replies_.back().op;
    }
    if (request.from.client != 0) last[request.from.client] = {request.from, replies_.size() - 1};
    if (random.one_in(20)) engine_ = load(saved_pieces(*engine_));

    using enum Engine::SessionState;
    for (const auto& [number, entry] : last) {
      const Reply& expected = replies_[entry.reply];
      // A register is asked for with session 0.
      SessionRequest from = entry.from;
      const bool only_registered = expected.session != 0;
      if (only_registered) from.session = 0;
      const auto stored = engine_->stored_reply(from);
      ASSERT_TRUE(stored);
      EXPECT_TRUE(stored->replayed);
      EXPECT_EQ(stored->op, expected.op);
      EXPECT_EQ(stored->timestamp, expected.timestamp);
      EXPECT_EQ(stored->session, expected.session);
      EXPECT_EQ(stored->results, expected.results);
      EXPECT_EQ(stored->head, expected.head);

      EXPECT_EQ(engine_->session_state(entry.from), kCurrent);
      SessionRequest other = entry.from;
      ++other.request;
      EXPECT_EQ(engine_->session_state(other), kCurrent);
      EXPECT_FALSE(engine_->stored_reply(other));
      if (entry.from.request > 0) {
        other.request = entry.from.request - 1;
        EXPECT_EQ(engine_->session_state(other), kPast);
        EXPECT_FALSE(engine_->stored_reply(other));
      }
      other = entry.from;
      ++other.session;
      EXPECT_EQ(engine_->session_state(other), kNewer);
      other.session -= 2;
      EXPECT_EQ(engine_->session_state(other), kOlder);
    }
    EXPECT_EQ(engine_->session_state({.client = 99, .session = 1}), kUnknown);
    EXPECT_FALSE(engine_->stored_reply({.client = 99}));
    ASSERT_EQ(engine_->counts().sessions, last.size());
    if (HasFailure()) return;
  }
}

// Without this the comparison might compare nothing.
TEST(BooksRandomTest, every_status_occurs) {
  std::set<uint32_t> accounts, transfers;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    BooksRandom random(seed, {});
    BooksModel model;
    for (int i = 0; i < 150; ++i) {
      const BooksRequest request = random.next(model.timestamp_last, model.next_expiry());
      for (const CreateResult& result : model.apply(request.command()))
        (request.operation == Operation::kCreateAccounts ? accounts : transfers).insert(result.status);
    }
  }
  for (uint32_t status = 1; status <= 26; ++status)
    EXPECT_TRUE(accounts.contains(status)) << status_name(static_cast<AccountStatus>(status));
  for (uint32_t status = 1; status <= 68; ++status)
    EXPECT_TRUE(transfers.contains(status) || status == 18) << status_name(static_cast<TransferStatus>(status));
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineModelTest, testing::Range<uint64_t>(0, 40));

}  // namespace
}  // namespace polis::ledger
