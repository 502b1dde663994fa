#include "systems/exchange/reporting/settlement.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "kernel/base/compression.h"
#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "systems/exchange/decimal.h"

namespace polis::exchange {
namespace {

constexpr Duration kLookForDays = std::chrono::seconds(1);
constexpr Duration kDay = std::chrono::hours(24);
// The file of a day of a million trades has some 500 MB, which a core writes in about a minute.
constexpr Duration kSettlePatience = std::chrono::minutes(10);
// Text of a row of the file, before it is packed.
constexpr size_t kFileChunkBytes = size_t{128} << 10;
constexpr size_t kFileChunkBytesMax = size_t{256} << 10;
constexpr std::string_view kHeading = "account,name,asset,type,time,sequence,symbol,match,order,amount,balance\n";
constexpr size_t kNamesAtOnce = 500;  // some 50 µs of the path

WallTime wall_of(VenueTime time) {
  return WallTime(Duration(time));
}

// A cell of text that somebody chose: between quotes where CSV needs them, and never a formula to a spreadsheet.
std::string csv_cell(std::string_view text) {
  std::string cell;
  if (!text.empty() && std::string_view("=+-@\t\r'").find(text.front()) != std::string_view::npos) cell += '\'';
  cell += text;
  if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
  std::string quoted = "\"";
  for (const char character : cell) {
    if (character == '"') quoted += '"';
    quoted += character;
  }
  return quoted + '"';
}

std::string optional_number(uint64_t number) {
  return number == 0 ? std::string() : fmt::format("{}", number);
}

}  // namespace

uint32_t day_of(VenueTime time) {
  const base::CivilTime civil = base::civil_time(wall_of(time));
  return static_cast<uint32_t>(civil.year) * 10'000 + civil.month * 100 + civil.day;
}

bool is_day(uint32_t day) {
  base::CivilTime civil{};
  civil.year = static_cast<int>(day / 10'000);
  civil.month = day / 100 % 100;
  civil.day = day % 100;
  return civil.year >= 1970 && civil.year <= 2261 && base::wall_time(civil).has_value();
}

// What things are called, taken from the venue once a pass.
class Settlement::Names {
 public:
  struct Asset {
    std::string symbol;
    uint8_t decimals = 0;
  };
  // Of the live venue, in slices: the shadow of a venue that has just started may know less than the rows.
  static Task<Result<Names>> of(VenueRuntime& runtime) {
    Names names;
    AssetId assets = 0;
    InstrumentId instruments = 0;
    AccountId accounts = 0;
    CO_TRY(co_await runtime.inspect([&](const Venue& venue) {
      assets = venue.orders().assets();
      instruments = venue.orders().instruments();
      accounts = venue.orders().accounts();
    }));
    while (names.assets_.size() < assets || names.symbols_.size() < instruments || names.accounts_.size() < accounts)
      CO_TRY(co_await runtime.inspect([&](const Venue& venue) {
        const OrderManager& orders = venue.orders();
        const auto next = [](const auto& known) { return static_cast<uint32_t>(known.size() + 1); };
        for (size_t i = 0; i < kNamesAtOnce; ++i) {
          if (names.assets_.size() < assets) {
            const AssetDefinition& asset = *orders.asset(next(names.assets_));
            names.assets_.push_back({csv_cell(asset.symbol.view()), asset.decimals});
          } else if (names.symbols_.size() < instruments) {
            names.symbols_.push_back(csv_cell(orders.instrument(next(names.symbols_))->symbol.view()));
          } else if (names.accounts_.size() < accounts) {
            names.accounts_.push_back(csv_cell(orders.account(next(names.accounts_))->name.view()));
          }
        }
      }));
    co_return std::move(names);
  }
  AccountId accounts() const { return static_cast<AccountId>(accounts_.size()); }
  const std::string& account(AccountId id) const { return accounts_.at(id - 1); }
  const Asset& asset(AssetId id) const { return assets_.at(id - 1); }
  std::string symbol(InstrumentId id) const { return id == 0 ? std::string() : symbols_.at(id - 1); }

 private:
  std::vector<Asset> assets_;
  std::vector<std::string> symbols_, accounts_;
};

// One way through a day, account by account: makes the text of the file and the net amounts.
class Settlement::Pass {
 public:
  Pass(const Names& names, const DayRecord& day) : names_(names), day_(day) { text_ = kHeading; }

  using Balances = std::map<AssetId, Amount>;
  void begin(AccountId account, const std::vector<AssetAmount>& opening) {
    account_ = account;
    balances_.clear();
    traded_.clear();
    for (const auto& [asset, amount] : opening) {
      balances_[asset] = amount;
      line(asset, "opening", {}, amount);
    }
  }
  void move(const Movement& movement) {
    auto [place, first] = balances_.try_emplace(movement.asset, 0);
    if (first) line(movement.asset, "opening", {}, 0);
    place->second += movement.amount;
    if (movement.kind != MovementKind::kDeposit && movement.kind != MovementKind::kWithdrawal)
      traded_[movement.asset] += movement.amount;
    line(movement.asset, name(movement.kind), movement, place->second);
  }
  void end(const std::vector<AssetAmount>& closing) {
    Balances expected;
    for (const auto& [asset, amount] : closing) expected[asset] = amount;
    for (const auto& [asset, amount] : balances_) {
      line(asset, "closing", {}, amount);
      const auto told = expected.find(asset);
      if ((told == expected.end() ? 0 : told->second) != amount) blame(asset, "its movements do not make its balance");
      expected.erase(asset);
    }
    for (const auto& [asset, amount] : expected) blame(asset, "its balance has no movements");
    for (const auto& [asset, amount] : traded_)
      if (amount != 0) nets_[asset].emplace_back(account_, amount);
  }

  // Assets with what each account gained or lost by trading.
  const std::map<AssetId, std::vector<std::pair<AccountId, Amount>>>& nets() const { return nets_; }
  // Of all accounts together, once every account was told.
  void check_sums() {
    for (const auto& [asset, nets] : nets_) {
      __int128 sum = 0;
      for (const auto& [account, amount] : nets) sum += amount;
      if (sum != 0) {
        account_ = 0;
        blame(asset, "what all accounts gained and lost is not 0");
      }
    }
  }
  bool blamed(AssetId asset) const { return std::ranges::find(blamed_, asset) != blamed_.end(); }
  const std::string& problem() const { return problem_; }
  uint64_t lines() const { return lines_; }
  std::string& text() { return text_; }

 private:
  void line(AssetId asset, std::string_view type, const Movement& movement, Amount balance) {
    const Names::Asset& unit = names_.asset(asset);
    const bool moved = movement.sequence != 0;
    fmt::format_to(std::back_inserter(text_), "{},{},{},{},{},{},{},{},{},{},{}\n", account_, names_.account(account_),
                   unit.symbol, type, moved ? base::format_rfc3339(wall_of(movement.time)) : std::string(),
                   optional_number(movement.sequence), names_.symbol(movement.instrument),
                   optional_number(movement.match), optional_number(movement.order),
                   moved ? amount_text(movement.amount, unit.decimals) : std::string(),
                   amount_text(balance, unit.decimals));
    ++lines_;
  }
  void blame(AssetId asset, std::string_view why) {
    if (!blamed(asset)) blamed_.push_back(asset);
    if (problem_.empty())
      problem_ = fmt::format("day {}: account {}, asset {}: {}", day_.day, account_, names_.asset(asset).symbol, why);
  }

  const Names& names_;
  const DayRecord& day_;
  AccountId account_ = 0;
  Balances balances_, traded_;
  std::map<AssetId, std::vector<std::pair<AccountId, Amount>>> nets_;
  std::vector<AssetId> blamed_;
  std::string problem_;
  std::string text_;
  uint64_t lines_ = 0;
};

Settlement::Settlement(SettlementParts parts, SettlementOptions options)
    : parts_(parts), options_(options), home_(io::Shard::current()) {}
Settlement::~Settlement() = default;

Task<Result<std::unique_ptr<Settlement>>> Settlement::open(SettlementParts parts, SettlementOptions options) {
  std::unique_ptr<Settlement> settlement(new Settlement(parts, options));
  settlement->group_.spawn(settlement->run());
  co_return std::move(settlement);
}

Task<void> Settlement::stop() {
  stopping_ = true;
  woken_.set();
  finished_.set();
  group_.stop();
  co_await group_.join();
  while (posted_.load()) co_await io::yield();
}

void Settlement::wake() {
  if (posted_.exchange(true)) return;
  home_.post([this] {
    posted_.store(false);
    woken_.set();
  });
}

std::string Settlement::problem() const {
  std::lock_guard lock(mutex_);
  return problem_;
}

Task<void> Settlement::run() {
  while (!stopping_) {
    woken_.reset();
    auto done = co_await finish_days();
    if (done && options_.automatic) done = co_await close_when_over();
    if (!done && !stopping_) {
      std::lock_guard lock(mutex_);
      problem_ = done.error().text();
    }
    finished_.set();
    (void)co_await io::with_timeout(kLookForDays, woken_.wait());  // a timeout is the usual end
  }
}

Task<Result<void>> Settlement::close_when_over() {
  const ProgressRecord progress = parts_.reporter.progress();
  if (progress.first_time == 0) co_return Result<void>();  // nothing has happened yet
  const VenueTime now = parts_.clock.wall().time_since_epoch().count();
  const uint32_t yesterday = day_of(now - kDay.count());
  if (yesterday < day_of(progress.first_time) || yesterday <= progress.day) co_return Result<void>();
  Request request;
  request.kind = RequestKind::kSettleDay;
  request.body.day = yesterday;
  const Report report = CO_TRY(co_await parts_.runtime.ask(request));
  if (report.kind != ReportKind::kDenied) co_return Result<void>();
  uint32_t last = 0;
  CO_TRY(co_await parts_.runtime.inspect([&last](const Venue& venue) { last = venue.orders().day(); }));
  if (last >= yesterday) co_return Result<void>();  // closed, and not in the rows yet
  co_return fail(Code::kUnavailable,
                 fmt::format("day {} cannot be closed: {}", yesterday, refusal_text(report.refusal)));
}

Task<Result<DayRecord>> Settlement::settle(uint32_t day) {
  if (!is_day(day)) co_return fail(Code::kInvalid, "a day is a date: yyyymmdd");
  Request request;
  request.kind = RequestKind::kSettleDay;
  request.body.day = day;
  const Report report = CO_TRY(co_await parts_.runtime.ask(request));
  if (report.kind == ReportKind::kDenied) {
    uint32_t last = 0;
    CO_TRY(co_await parts_.runtime.inspect([&last](const Venue& venue) { last = venue.orders().day(); }));
    if (last >= day) co_return fail(Code::kExists, fmt::format("day {} is closed; the last one is {}", day, last));
    co_return fail(Code::kInvalid, std::string(refusal_text(report.refusal)));
  }
  co_return co_await io::on(home_, [this, day] { return io::with_timeout(kSettlePatience, wait_written(day)); });
}

Task<Result<DayRecord>> Settlement::wait_written(uint32_t day) {
  for (;;) {
    if (stopping_) co_return fail(Code::kClosed, "the venue is closing; the day is settled at its next start");
    const auto found = CO_TRY(co_await parts_.reports.day(day));
    if (found && found->state == DayState::kWritten) co_return *found;
    finished_.reset();
    CO_TRY(co_await finished_.wait());
  }
}

Task<Result<void>> Settlement::finish_days() {
  if (parts_.reporter.progress().day <= written_) co_return Result<void>();
  std::vector<DayRecord> open;
  for (const DayRecord& day : CO_TRY(co_await parts_.reports.days(kPageMax))) {
    if (day.state == DayState::kWritten) break;
    open.push_back(day);
  }
  for (auto day = open.rbegin(); day != open.rend(); ++day) {
    io::Shard& worker = parts_.worker ? *parts_.worker : home_;
    CO_TRY(co_await io::on(worker, [this, day] { return finish(*day); }));
    written_ = day->day;
  }
  if (open.empty()) written_ = parts_.reporter.progress().day;
  co_return Result<void>();
}

Task<Result<void>> Settlement::finish(DayRecord day) {
  const Names names = CO_TRY(co_await Names::of(parts_.runtime));
  Pass pass(names, day);
  base::Sha256 sha256;
  day.file_chunks = day.file_bytes = 0;
  // Puts down what was gathered, but for less than `least` bytes.
  const auto flush = [&](size_t least) -> Task<Result<void>> {
    std::string& text = pass.text();
    size_t begin = 0;
    while (text.size() - begin > least) {
      size_t end = std::min(begin + kFileChunkBytes, text.size());
      end = text.rfind('\n', end - 1) + 1;
      const std::string_view piece = std::string_view(text).substr(begin, end - begin);
      Bytes packed;
      base::compress(base::CompressionFormat::kZstd, as_bytes(piece), packed);
      sha256.update(piece);
      auto txn = CO_TRY(co_await parts_.store.begin());
      CO_TRY(txn->put(parts_.rows, row_key(RowKind::kSettlementFile, day.day, day.file_chunks), as_text(packed)));
      CO_TRY(co_await txn->commit(store::Sync::kOs));
      ++day.file_chunks;
      day.file_bytes += piece.size();
      begin = end;
    }
    text.erase(0, begin);
    co_return Result<void>();
  };

  for (AccountId account = 1; account <= names.accounts(); ++account) {
    std::vector<AssetAmount> opening;
    if (day.previous_day != 0) opening = CO_TRY(co_await parts_.reports.closing(day.previous_day, account));
    pass.begin(account, opening);
    // In slices, so that the text of an account that did much never lies in memory as a whole.
    for (Sequence from = day.first; from < day.last;) {
      if (stopping_) co_return fail(Code::kCancelled, "the venue is closing");
      Sequence next = day.last;
      Sequence current = 0;
      CO_TRY(co_await parts_.reports.movements(account, from, day.last, [&](const Movement& movement) {
        // Movements of one report share its sequence: no stopping between them.
        if (movement.sequence != current && current != 0 && pass.text().size() > 4 * kFileChunkBytes) {
          next = movement.sequence;
          return false;
        }
        current = movement.sequence;
        pass.move(movement);
        return true;
      }));
      CO_TRY(co_await flush(kFileChunkBytes));
      from = next;
    }
    pass.end(CO_TRY(co_await parts_.reports.closing(day.day, account)));
    CO_TRY(co_await flush(kFileChunkBytes));
  }
  CO_TRY(co_await flush(0));
  pass.check_sums();

  if (day.state == DayState::kClosed) {
    for (const auto& [asset, nets] : pass.nets())
      if (!pass.blamed(asset)) CO_TRY(co_await book(day.day, asset, nets));
    day.state = DayState::kPosted;
    day.problem = pass.problem();
    CO_TRY(co_await keep(day));
  }
  day.lines = pass.lines();
  day.sha256 = base::hex_encode(sha256.finish());
  day.state = DayState::kWritten;
  CO_TRY(co_await keep(day));
  std::lock_guard lock(mutex_);
  problem_ = day.problem;
  co_return Result<void>();
}

Task<Result<void>> Settlement::keep(const DayRecord& day) {
  auto txn = CO_TRY(co_await parts_.store.begin());
  CO_TRY(txn->put(parts_.rows, row_key(RowKind::kDay, day.day), encoded(day)));
  CO_TRY(co_await txn->commit());
  co_return Result<void>();
}

// One linked chain, as far as a batch of the ledger holds it. The same rows make the same chains, so one that stands
// already stands as a whole; and one with a name that the ledger has burned never stands, so it is safe to name it
// anew.
Task<Result<void>> Settlement::book(uint32_t day, AssetId asset,
                                    const std::vector<std::pair<AccountId, Amount>>& nets) {
  const uint32_t ledger = CO_TRY(co_await parts_.funding.ledger_of(asset));
  CO_TRY(co_await parts_.funding.make_accounts(asset, nets.back().first));
  for (size_t begin = 0; begin < nets.size(); begin += ledger::kBatchEventsMax) {
    const std::span part = std::span(nets).subspan(begin, std::min(nets.size() - begin, ledger::kBatchEventsMax));
    auto status = ledger::TransferStatus::kIdAlreadyFailed;
    for (uint32_t attempt = 0; status == ledger::TransferStatus::kIdAlreadyFailed; ++attempt) {
      if (attempt == kSettlementAttemptsMax) break;
      std::vector<ledger::Transfer> chain;
      for (const auto& [account, amount] : part) {
        const ledger::Id member = member_account_id(account, asset);
        const ledger::Id clearing = clearing_account_id(asset);
        chain.push_back({.id = settlement_transfer_id(day, attempt, account, asset),
                         .debit_account_id = amount > 0 ? clearing : member,
                         .credit_account_id = amount > 0 ? member : clearing,
                         .amount = static_cast<ledger::u128>(amount > 0 ? amount : -amount),
                         .user_data_64 = day,
                         .user_data_32 = account,
                         .ledger = ledger,
                         .code = kLedgerCodeClearing,
                         .flags = ledger::transfer_flags::kLinked});
      }
      chain.back().flags = 0;
      status = ledger::TransferStatus::kCreated;
      for (const ledger::CreateResult& result : CO_TRY(co_await parts_.ledger.create_transfers(chain))) {
        status = static_cast<ledger::TransferStatus>(result.status);
        if (status != ledger::TransferStatus::kCreated && status != ledger::TransferStatus::kLinkedEventFailed) break;
      }
    }
    if (status != ledger::TransferStatus::kCreated && status != ledger::TransferStatus::kExists)
      co_return fail(ledger_refusal(status, fmt::format("settlement of day {}, asset {}", day, asset)));
  }
  co_return Result<void>();
}

Task<Result<void>> Settlement::read(uint32_t day, AccountId account,
                                    std::function<Task<Result<void>>(std::string_view)> piece) {
  const auto found = CO_TRY(co_await parts_.reports.day(day));
  if (!found || found->state != DayState::kWritten)
    co_return fail(Code::kNotFound, fmt::format("there is no settlement of day {}", day));
  const std::string mine = fmt::format("{},", account);
  for (uint64_t chunk = 0; chunk < found->file_chunks; ++chunk) {
    auto txn = CO_TRY(co_await parts_.store.begin(store::Isolation::kReadCommitted));
    const auto row = CO_TRY(co_await txn->get(parts_.rows, row_key(RowKind::kSettlementFile, day, chunk)));
    if (!row) co_return fail(Code::kCorrupt, fmt::format("a part of the settlement of day {} is missing", day));
    Bytes text;
    CO_TRY(base::decompress(base::CompressionFormat::kZstd, as_bytes(row->value), kFileChunkBytesMax, text));
    if (account == 0) {
      CO_TRY(co_await piece(as_text(text)));
      continue;
    }
    std::string own;
    std::string_view rest = as_text(text);
    for (bool heading = chunk == 0; !rest.empty(); heading = false) {
      const size_t end = rest.find('\n') + 1;
      POLIS_ASSERT(end != 0);
      if (heading || rest.starts_with(mine)) own += rest.substr(0, end);
      rest.remove_prefix(end);
    }
    if (!own.empty()) CO_TRY(co_await piece(own));
  }
  co_return Result<void>();
}

}  // namespace polis::exchange
