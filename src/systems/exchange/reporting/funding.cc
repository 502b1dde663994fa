#include "systems/exchange/reporting/funding.h"

#include <algorithm>
#include <fmt/format.h>

namespace polis::exchange {
namespace {

using ledger::TransferStatus;

// How often definitions are looked at, and what failed is tried again.
constexpr Duration kLook = std::chrono::milliseconds(250);
// What the ledger refused is tried again so often: an operator has to do something first.
constexpr Duration kTryPaymentAgain = std::chrono::seconds(60);
constexpr Duration kFundPatience = std::chrono::seconds(10);
// A question to the ledger takes less than 1 ms of its shard.
constexpr uint32_t kTransfersAtOnce = 2048;
constexpr AccountId kAccountsAtOnce = 1024;
constexpr size_t kRefusedKept = 1000;
constexpr uint32_t kPayTriesMax = 16;

bool was_there(const ledger::CreateResult& result) {
  return result.created() || result.status == static_cast<uint32_t>(TransferStatus::kExists);
}

}  // namespace

Error ledger_refusal(TransferStatus status, std::string what) {
  const bool again = status == TransferStatus::kIdAlreadyFailed;
  return Error(Code::kInvalid, fmt::format("{}: the ledger refuses it: {}{}", what, ledger::status_name(status),
                                           again ? " (name the transfer anew)" : ""));
}

struct Funding::Venues {
  AccountId accounts = 0;
  AssetId assets = 0;
  uint64_t ledger_time = 0;
};

Funding::Funding(FundingParts parts, FundingOptions options)
    : parts_(parts), options_(options), home_(io::Shard::current()) {}
Funding::~Funding() = default;

Task<Result<std::unique_ptr<Funding>>> Funding::open(FundingParts parts, FundingOptions options) {
  std::unique_ptr<Funding> funding(new Funding(parts, options));
  Funding& self = *funding;
  CO_TRY(
      co_await parts.runtime.inspect([&self](const Venue& venue) { self.examined_ = venue.orders().ledger_time(); }));
  self.watch_ = co_await parts.ledger.watch([&self](const ledger::Ledger::Committed& committed) {
    if (committed.operation == ledger::Operation::kCreateTransfers) self.wake();
  });
  self.group_.spawn(self.run());
  co_return std::move(funding);
}

Task<void> Funding::stop() {
  co_await parts_.ledger.unwatch(watch_);
  stopping_ = true;
  woken_.set();
  group_.stop();
  co_await group_.join();
  looked_.set();
  while (posted_.load()) co_await io::yield();
}

void Funding::wake() {
  if (posted_.exchange(true)) return;
  home_.post([this] {
    posted_.store(false);
    woken_.set();
  });
}

FundingStatistics Funding::statistics() const {
  std::lock_guard lock(mutex_);
  return statistics_;
}

void Funding::tell_problem(std::string problem) {
  std::lock_guard lock(mutex_);
  statistics_.problem = std::move(problem);
}

Task<void> Funding::run() {
  SteadyTime payments_at{};
  while (!stopping_) {
    const bool woken = woken_.is_set();
    woken_.reset();
    std::string problem;
    const auto note = [&problem](const char* what, const Result<void>& done) {
      // Busy is not worth a word: it is tried again.
      if (!done && done.error().code() != Code::kBusy && done.error().code() != Code::kCancelled)
        problem = fmt::format("{}: {}", what, done.error().text());
    };
    note("accounts of the ledger", co_await make_accounts());
    note("deposits", co_await take_deposits());
    const SteadyTime now = home_.now();
    if (woken || now >= payments_at) {
      note("withdrawals", co_await pay_out());
      payments_at = now + kTryPaymentAgain;
    }
    if (!problem.empty() || !statistics().problem.empty()) tell_problem(std::move(problem));
    (void)co_await io::with_timeout(kLook, woken_.wait());  // a timeout is the usual end
  }
}

// --- the ledger's accounts

Task<Result<uint32_t>> Funding::ledger_of(AssetId asset) {
  auto txn = CO_TRY(co_await parts_.store.begin(store::Isolation::kReadCommitted));
  const auto row = CO_TRY(co_await txn->get(parts_.rows, row_key(RowKind::kLedgerNumber, asset)));
  if (!row) co_return options_.ledger_first + asset;
  base::Reader in(as_bytes(row->value));
  const uint32_t number = in.u32();
  CO_TRY(in.finish());
  co_return number;
}

Task<Result<void>> Funding::set_ledger(AssetId asset, uint32_t ledger) {
  if (asset == 0 || ledger == 0) co_return fail(Code::kInvalid, "an asset and its ledger have numbers above 0");
  const auto made = CO_TRY(co_await parts_.ledger.query(
      [asset](const ledger::Engine& engine) { return engine.account(clearing_account_id(asset)); }));
  if (made && made->ledger != ledger)
    co_return fail(Code::kExists, fmt::format("asset {} is kept in ledger {} already", asset, made->ledger));
  Bytes value;
  base::Writer(value).u32(ledger);
  auto txn = CO_TRY(co_await parts_.store.begin());
  CO_TRY(txn->put(parts_.rows, row_key(RowKind::kLedgerNumber, asset), as_text(value)));
  CO_TRY(co_await txn->commit());
  co_return Result<void>();
}

Task<Result<void>> Funding::make_accounts() {
  Venues venue;
  CO_TRY(co_await parts_.runtime.inspect([&venue](const Venue& now) {
    venue.accounts = now.orders().accounts();
    venue.assets = now.orders().assets();
  }));
  if (venue.accounts == accounts_made_ && venue.assets == assets_made_) co_return Result<void>();
  for (AssetId asset = 1; asset <= venue.assets; ++asset)
    CO_TRY(co_await make_accounts_from(asset, asset > assets_made_ ? 1 : accounts_made_ + 1, venue.accounts));
  accounts_made_ = venue.accounts;
  assets_made_ = venue.assets;
  co_return Result<void>();
}

Task<Result<void>> Funding::make_accounts(AssetId asset, AccountId last) {
  return make_accounts_from(asset, 1, last);
}

Task<Result<void>> Funding::make_accounts_from(AssetId asset, AccountId first, AccountId last) {
  for (; first <= last; first += kAccountsAtOnce)
    CO_TRY(co_await make_accounts_of(asset, first, std::min(first + kAccountsAtOnce - 1, last)));
  co_return Result<void>();
}

// Those of the asset itself come with those of the venue's own account, which is the first.
Task<Result<void>> Funding::make_accounts_of(AssetId asset, AccountId first, AccountId last) {
  const uint32_t ledger = CO_TRY(co_await ledger_of(asset));
  std::vector<ledger::Account> wanted;
  const auto want = [&](ledger::Id id, uint16_t code, AccountId account) {
    wanted.push_back({.id = id, .user_data_64 = account, .user_data_32 = asset, .ledger = ledger, .code = code});
  };
  if (first == 1) {
    want(clearing_account_id(asset), kLedgerCodeClearing, 0);
    want(issuer_account_id(asset), kLedgerCodeIssuer, 0);
  }
  for (AccountId account = first; account <= last; ++account)
    want(member_account_id(account, asset), kLedgerCodeMember, account);
  const auto missing = CO_TRY(co_await parts_.ledger.query([&wanted](const ledger::Engine& engine) {
    std::vector<ledger::Account> none;
    for (const ledger::Account& account : wanted)
      if (!engine.account(account.id)) none.push_back(account);
    return none;
  }));
  if (missing.empty()) co_return Result<void>();
  for (const ledger::CreateResult& result : CO_TRY(co_await parts_.ledger.create_accounts(missing))) {
    const auto status = static_cast<ledger::AccountStatus>(result.status);
    if (!result.created() && status != ledger::AccountStatus::kExists)
      co_return fail(Code::kInvalid,
                     fmt::format("the ledger refuses an account of asset {}: {}", asset, ledger::status_name(status)));
  }
  co_return Result<void>();
}

Task<Result<__int128>> Funding::ledger_balance(AccountId account, AssetId asset) {
  co_return co_await parts_.ledger.query([account, asset](const ledger::Engine& engine) -> __int128 {
    const auto found = engine.account(member_account_id(account, asset));
    if (!found) return 0;
    return static_cast<__int128>(found->credits_posted) - static_cast<__int128>(found->debits_posted);
  });
}

// --- in

Task<Result<void>> Funding::take_deposits() {
  for (;;) {
    const uint64_t from = examined_ + 1;
    const auto transfers = CO_TRY(co_await parts_.ledger.query([from](const ledger::Engine& engine) {
      return engine.transfers({.timestamp_min = from, .limit = kTransfersAtOnce});
    }));
    for (const ledger::Transfer& transfer : transfers) {
      if (stopping_) co_return Result<void>();
      const bool taken = CO_TRY(co_await take_deposit(transfer));
      examined_ = transfer.timestamp;
      std::lock_guard lock(mutex_);
      statistics_.deposits += taken;
      statistics_.ledger_time = examined_;
    }
    looked_.set();
    if (transfers.size() < kTransfersAtOnce) co_return Result<void>();
  }
}

// Whether it was one. An error: it must be tried again before anything behind it.
Task<Result<bool>> Funding::take_deposit(const ledger::Transfer& transfer) {
  const auto member = member_of(transfer.credit_account_id);
  // Money that is only promised, or was not given after all, is none.
  constexpr uint16_t kNoMoney = ledger::transfer_flags::kPending | ledger::transfer_flags::kVoidPending;
  if (!member || (transfer.flags & kNoMoney) != 0) co_return false;
  if (transfer.debit_account_id == clearing_account_id(member->asset)) co_return false;  // a settlement
  if (member_of(transfer.debit_account_id) || transfer.amount == 0 || transfer.amount > INT64_MAX) {
    tell_problem(
        fmt::format("transfer {} of the ledger is no deposit: it comes from a member, or has no amount that "
                    "the venue can count",
                    ledger::to_decimal(transfer.id)));
    co_return false;
  }
  Request request;
  request.kind = RequestKind::kDeposit;
  request.body.transfer = {.account = member->account,
                           .asset = member->asset,
                           .amount = static_cast<Amount>(transfer.amount),
                           .id_low = low_half(transfer.id),
                           .id_high = high_half(transfer.id),
                           .ledger_time = transfer.timestamp};
  const Report report = CO_TRY(co_await parts_.runtime.ask(request));
  if (report.kind != ReportKind::kDenied) co_return true;
  if (report.refusal == Refusal::kHalted || report.refusal == Refusal::kBusy)
    co_return fail(Code::kBusy, std::string(refusal_text(report.refusal)));
  refused_.emplace_back(transfer.id, report.refusal);
  if (refused_.size() > kRefusedKept) refused_.pop_front();
  tell_problem(fmt::format("the venue refuses the deposit of transfer {}: {}", ledger::to_decimal(transfer.id),
                           refusal_text(report.refusal)));
  co_return false;
}

Task<Result<void>> Funding::wait_taken(uint64_t timestamp) {
  while (examined_ < timestamp) {
    if (stopping_) co_return fail(Code::kClosed, "the venue is closing; the deposit is taken at its next start");
    looked_.reset();
    CO_TRY(co_await looked_.wait());
  }
  co_return Result<void>();
}

Task<Result<void>> Funding::fund(AccountId account, AssetId asset, Amount amount, LedgerName from,
                                 LedgerName transfer) {
  if (amount <= 0) co_return fail(Code::kInvalid, "an amount is above 0");
  CO_TRY(parts_.runtime.status());  // before the ledger books what nobody takes
  bool known = false;
  CO_TRY(co_await parts_.runtime.inspect(
      [&](const Venue& venue) { known = venue.orders().account(account) && venue.orders().asset(asset); }));
  if (!known) co_return fail(Code::kNotFound, "no such account or asset");
  CO_TRY(co_await make_accounts_of(asset, account, account));
  CO_TRY(co_await make_accounts_of(asset, 1, 1));
  if (transfer.empty()) transfer = LedgerName(id_of(parts_.random.next() >> 1 | 1, parts_.random.next()));
  const ledger::Transfer booking{.id = transfer.id(),
                                 .debit_account_id = from.empty() ? issuer_account_id(asset) : from.id(),
                                 .credit_account_id = member_account_id(account, asset),
                                 .amount = static_cast<ledger::u128>(amount),
                                 .ledger = CO_TRY(co_await ledger_of(asset)),
                                 .code = kLedgerCodeMember};
  const auto results = CO_TRY(co_await parts_.ledger.create_transfers(std::span(&booking, 1)));
  if (!was_there(results.at(0)))
    co_return fail(ledger_refusal(static_cast<TransferStatus>(results.at(0).status), "funding"));
  const uint64_t timestamp = results.at(0).timestamp;
  wake();
  const ledger::Id& id = booking.id;
  co_return co_await io::on(home_, [this, timestamp, &id]() -> Task<Result<void>> {
    if (auto taken = co_await io::with_timeout(kFundPatience, wait_taken(timestamp)); !taken)
      co_return fail(Error(taken.error().code(), "the ledger has booked it, and the venue will take it once it can",
                           taken.error()));
    for (const auto& [refused, why] : refused_)
      if (refused == id) co_return fail(Code::kInvalid, std::string(refusal_text(why)));
    co_return Result<void>();
  });
}

// --- out

Task<Result<Report>> Funding::withdraw(AccountId account, AssetId asset, Amount amount, LedgerName to) {
  if (amount <= 0) co_return fail(Code::kInvalid, "an amount is above 0");
  const ledger::Id wallet = to.id();
  if (to.empty() || member_of(wallet)) co_return fail(Code::kInvalid, "a wallet is an account outside the venue");
  const uint32_t ledger = CO_TRY(co_await ledger_of(asset));
  const auto found =
      CO_TRY(co_await parts_.ledger.query([&wallet](const ledger::Engine& engine) { return engine.account(wallet); }));
  if (!found) co_return fail(Code::kNotFound, "no such wallet in the ledger");
  if (found->ledger != ledger || (found->flags & ledger::account_flags::kClosed) != 0)
    co_return fail(Code::kInvalid, fmt::format("the wallet is no open account of ledger {}", ledger));
  CO_TRY(co_await make_accounts_of(asset, account, account));
  Request request;
  request.kind = RequestKind::kWithdraw;
  request.body.transfer = {
      .account = account, .asset = asset, .amount = amount, .id_low = to.low, .id_high = to.high, .ledger_time = 0};
  const Report report = CO_TRY(co_await parts_.runtime.ask(request));
  if (report.kind == ReportKind::kDenied)
    co_return fail(report.refusal == Refusal::kHalted ? Code::kUnavailable : Code::kInvalid,
                   std::string(refusal_text(report.refusal)));
  // Whatever `ack` says of trading: money leaves once it is on disk that it does.
  CO_TRY(co_await parts_.runtime.wait_durable(parts_.runtime.statistics().sequence - 1));
  co_return report;
}

Task<Result<void>> Funding::pay_out() {
  Sequence first = 0;
  uint64_t unpaid = 0;
  Result<void> last;
  for (;;) {
    const auto due = CO_TRY(co_await parts_.reports.withdrawals(false, first, 100));
    for (const WithdrawalRecord& record : due) {
      auto paid = co_await pay(record);
      unpaid += !paid;
      if (!paid) last = std::move(paid);  // others may go well
      first = record.sequence + 1;
    }
    if (due.size() < 100 || stopping_) break;
  }
  std::lock_guard lock(mutex_);
  statistics_.unpaid = unpaid;
  co_return last;
}

// A name that the ledger has burned never pays, so it is safe to try the next one.
Task<Result<void>> Funding::pay(WithdrawalRecord record) {
  const uint32_t ledger = CO_TRY(co_await ledger_of(record.asset));
  auto status = TransferStatus::kIdAlreadyFailed;
  for (uint32_t tries = 0; status == TransferStatus::kIdAlreadyFailed && tries < kPayTriesMax; ++tries) {
    const ledger::Transfer booking{.id = withdrawal_transfer_id(record.sequence, record.attempt),
                                   .debit_account_id = member_account_id(record.account, record.asset),
                                   .credit_account_id = id_of(record.wallet_high, record.wallet_low),
                                   .amount = static_cast<ledger::u128>(record.amount),
                                   .user_data_64 = record.sequence,
                                   .ledger = ledger,
                                   .code = kLedgerCodeWithdrawal};
    const auto results = CO_TRY(co_await parts_.ledger.create_transfers(std::span(&booking, 1)));
    status = static_cast<TransferStatus>(results.at(0).status);
    if (status == TransferStatus::kIdAlreadyFailed) ++record.attempt;
  }
  const bool paid = status == TransferStatus::kCreated || status == TransferStatus::kExists;
  record.problem = paid ? std::string() : ledger::status_name(status);
  auto txn = CO_TRY(co_await parts_.store.begin());
  CO_TRY(txn->put(parts_.rows, row_key(paid ? RowKind::kPaidWithdrawal : RowKind::kWithdrawal, record.sequence),
                  encoded(record)));
  if (paid) CO_TRY(txn->erase(parts_.rows, row_key(RowKind::kWithdrawal, record.sequence)));
  // Lost with the power, it is paid once more under the same name, which changes nothing.
  CO_TRY(co_await txn->commit(store::Sync::kOs));
  if (!paid) co_return fail(ledger_refusal(status, fmt::format("withdrawal {}", record.sequence)));
  std::lock_guard lock(mutex_);
  ++statistics_.payouts;
  co_return Result<void>();
}

}  // namespace polis::exchange
