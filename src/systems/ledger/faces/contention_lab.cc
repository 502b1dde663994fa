#include "systems/ledger/faces/contention_lab.h"

#include <array>
#include <charconv>

#include "kernel/store/transact.h"

namespace polis::ledger {
namespace {

constexpr std::string_view kHotRow = "hot";

}  // namespace

// What the workers of one point share.
struct ContentionLab::Measure {
  SteadyTime end{};
  io::Semaphore lock{1};  // the row's, for the pessimistic way
  base::Histogram latency_us{60'000'000, 3};
  uint64_t retries = 0;
  std::optional<Error> failure;
};

std::string_view name(LabMode mode) {
  switch (mode) {
    case LabMode::kOptimistic:
      return "optimistic";
    case LabMode::kPessimistic:
      return "pessimistic";
    case LabMode::kSingleWriter:
      return "single_writer";
  }
  return "";
}

Result<void> ContentionLab::check(const LabOptions& options) {
  if (options.workers.empty() || options.workers.size() > kLabPointsMax)
    return fail(Code::kInvalid, "\"workers\" must be 1 to " + std::to_string(kLabPointsMax) + " numbers");
  for (unsigned workers : options.workers)
    if (workers < 1 || workers > kLabWorkersMax)
      return fail(Code::kInvalid, "the lab takes 1 to " + std::to_string(kLabWorkersMax) + " workers");
  if (options.point < std::chrono::milliseconds(10) || options.point > std::chrono::seconds(2))
    return fail(Code::kInvalid, "a point takes 10 ms to 2 s");
  return {};
}

Task<Result<void>> ContentionLab::run(LabOptions options) {
  CO_TRY(check(options));
  if (progress_.running) co_return fail(Code::kBusy, "the contention lab is running; wait until it has finished");
  progress_ = {};
  progress_.running = true;
  progress_.total = options.workers.size() * 3;
  progress_.begun = clock_.wall();
  Result<void> done = co_await run_points(options);
  Result<void> cleaned = co_await clean_up();
  if (done) done = std::move(cleaned);
  if (!done) progress_.error = done.error().text();
  progress_.running = false;
  co_return done;
}

Task<Result<void>> ContentionLab::run_points(const LabOptions& options) {
  CO_TRY(co_await make_accounts());
  // Mode by mode at each number of workers, so that whatever else the machine does meanwhile meets all three.
  for (unsigned workers : options.workers)
    for (LabMode mode : {LabMode::kOptimistic, LabMode::kPessimistic, LabMode::kSingleWriter}) {
      progress_.mode = mode;
      progress_.workers = workers;
      progress_.points.push_back(CO_TRY(co_await run_point(mode, workers, options.point)));
    }
  co_return Result<void>{};
}

Task<Result<LabPoint>> ContentionLab::run_point(LabMode mode, unsigned workers, Duration duration) {
  Measure measure;
  const SteadyTime begin = clock_.steady();
  measure.end = begin + duration;
  io::TaskGroup group(co_await io::this_scope());
  for (unsigned i = 0; i < workers; ++i) group.spawn(work(mode, measure));
  co_await group.join();
  if (measure.failure) co_return fail(*measure.failure);
  co_return LabPoint{
      .mode = mode,
      .workers = workers,
      .commits = measure.latency_us.count(),
      .retries = measure.retries,
      .seconds = std::chrono::duration<double>(clock_.steady() - begin).count(),
      .latency_us_p50 = measure.latency_us.percentile(50),
      .latency_us_p99 = measure.latency_us.percentile(99),
  };
}

// Changes the hot row again and again until the point's time is up. What was begun is finished and counted.
Task<void> ContentionLab::work(LabMode mode, Measure& measure) {
  while (!measure.failure) {
    const SteadyTime begin = clock_.steady();
    if (begin >= measure.end) co_return;
    Result<void> done;
    switch (mode) {
      case LabMode::kOptimistic:
        done = co_await optimistic(measure);
        break;
      case LabMode::kPessimistic:
        done = co_await pessimistic(measure);
        break;
      case LabMode::kSingleWriter:
        done = co_await single_writer(measure);
        break;
    }
    if (!done) {
      if (!measure.failure) measure.failure = std::move(done).error();
      co_return;
    }
    const Duration took = clock_.steady() - begin;
    measure.latency_us.record(
        static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
  }
}

// One attempt to add 1 to the row; false: somebody else was faster.
Task<Result<bool>> ContentionLab::change_row() {
  auto txn = CO_TRY(co_await store_.begin());
  std::optional<store::Row> row = CO_TRY(co_await txn->get(keyspace_, kHotRow));
  uint64_t value = 0;
  if (row) std::from_chars(row->value.data(), row->value.data() + row->value.size(), value);
  CO_TRY(txn->update_if_version(keyspace_, kHotRow, row ? row->version : 0, std::to_string(value + 1)));
  auto committed = co_await txn->commit(store::Sync::kDisk);
  if (committed) co_return true;
  const Code code = committed.error().code();
  if (code == Code::kConflict || code == Code::kVersionMismatch) co_return false;
  co_return std::unexpected(std::move(committed).error());
}

Task<Result<void>> ContentionLab::optimistic(Measure& measure) {
  for (int attempt = 0;; ++attempt) {
    if (CO_TRY(co_await change_row())) co_return Result<void>{};
    ++measure.retries;
    CO_TRY(co_await store::back_off(attempt));
  }
}

Task<Result<void>> ContentionLab::pessimistic(Measure& measure) {
  CO_TRY(co_await measure.lock.acquire());
  Result<bool> changed = co_await change_row();
  measure.lock.release();
  if (!changed) co_return std::unexpected(std::move(changed).error());
  if (!*changed) co_return fail(Code::kConflict, "somebody changes the lab's row without its lock");
  co_return Result<void>{};
}

Task<Result<void>> ContentionLab::single_writer(Measure& measure) {
  const Transfer transfer = transfer_of(kLabOtherAccount, kLabHotAccount, 1);
  for (int attempt = 0;; ++attempt) {
    auto results = co_await ledger_.create_transfers(std::span(&transfer, 1));
    if (results && results->size() == 1 && results->front().created()) co_return Result<void>{};
    if (results)
      co_return fail(Code::kConflict, "the lab's transfer was refused: " +
                                          status_name(static_cast<TransferStatus>(results->front().status)));
    if (results.error().code() != Code::kBusy) co_return std::unexpected(std::move(results).error());
    ++measure.retries;
    CO_TRY(co_await store::back_off(attempt));
  }
}

Transfer ContentionLab::transfer_of(Id debit, Id credit, u128 amount) {
  Transfer transfer;
  do {
    transfer.id = (Id{random_.next()} << 64) | random_.next();
  } while (transfer.id == 0 || transfer.id == kU128Max);
  transfer.debit_account_id = debit;
  transfer.credit_account_id = credit;
  transfer.amount = amount;
  transfer.ledger = kLabLedger;
  transfer.code = kLabCode;
  return transfer;
}

Task<Result<void>> ContentionLab::make_accounts() {
  std::array<Account, 2> accounts;
  accounts[0].id = kLabHotAccount;
  accounts[1].id = kLabOtherAccount;
  for (Account& account : accounts) {
    account.ledger = kLabLedger;
    account.code = kLabCode;
  }
  for (const CreateResult& result : CO_TRY(co_await ledger_.create_accounts(accounts)))
    if (auto status = static_cast<AccountStatus>(result.status); !result.created() && status != AccountStatus::kExists)
      co_return fail(Code::kConflict,
                     "the lab's accounts cannot be made: " + status_name(status) + "; somebody else uses their ids");
  co_return Result<void>{};
}

Task<Result<void>> ContentionLab::clean_up() {
  // Whoever stopped the lab stops its waiting too; what is left behind is put right all the same.
  io::Scope own(nullptr);
  auto erase = [](store::Store& store, store::Keyspace keyspace) -> Task<Result<void>> {
    auto txn = CO_TRY(co_await store.begin());
    CO_TRY(txn->erase(keyspace, kHotRow));
    CO_TRY(co_await txn->commit(store::Sync::kOs));
    co_return Result<void>{};
  };
  Result<void> erased = co_await erase(store_, keyspace_).within(own);
  auto balance = [](ContentionLab& lab) -> Task<Result<void>> {
    auto hot = CO_TRY(co_await lab.ledger_.query([](const Engine& engine) { return engine.account(kLabHotAccount); }));
    if (!hot || hot->credits_posted <= hot->debits_posted) co_return Result<void>{};
    const Transfer back = lab.transfer_of(kLabHotAccount, kLabOtherAccount, hot->credits_posted - hot->debits_posted);
    auto results = CO_TRY(co_await lab.ledger_.create_transfers(std::span(&back, 1)));
    if (!results.front().created())
      co_return fail(Code::kConflict, "the lab's balances could not be brought back to zero: " +
                                          status_name(static_cast<TransferStatus>(results.front().status)));
    co_return Result<void>{};
  };
  Result<void> balanced = co_await balance(*this).within(own);
  co_return erased ? balanced : erased;
}

}  // namespace polis::ledger
