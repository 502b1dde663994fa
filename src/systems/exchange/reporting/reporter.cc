#include "systems/exchange/reporting/reporter.h"

#include <algorithm>

#include "kernel/io/shard.h"

namespace polis::exchange {
namespace {

// A transaction of the store holds 64 MiB, in memory twice.
constexpr size_t kBatchBytesMax = size_t{16} << 20;
// Of one state of an order in a batch, about.
constexpr size_t kOrderBytes = 40;

}  // namespace

// Rows of whole steps that are not written yet.
struct Reporter::Batch {
  struct BatchRow {
    std::string key, value;
    bool blind = true;  // nobody but the reporter writes it
  };
  std::vector<BatchRow> rows;
  size_t bytes = 0;
  uint64_t steps = 0;
  Sequence begin = 0;  // its first step
  bool work = false;
  ProgressRecord progress;  // behind its last step

  void put(std::string key, std::string value, bool blind = true) {
    bytes += key.size() + value.size();
    rows.push_back({std::move(key), std::move(value), blind});
  }
};

// Records of the newest batch that others may join.
struct Reporter::Gathered {
  template <class Record>
  struct Chunk {
    uint64_t second = 0;  // of its key
    ChunkWriter<Record> records;
  };
  struct OfAccount {
    Chunk<AccountOrder> orders;
    Chunk<FillRecord> fills;
    Chunk<Movement> movements;
  };
  using OfSession = Chunk<StoredReport>;
  using OfInstrument = Chunk<TradeRecord>;

  // By id: those are dense.
  template <class T>
  class Table {
   public:
    T& operator[](uint32_t id) {
      if (id >= of_.size()) of_.resize(id + 1);
      if (!of_[id]) {
        of_[id] = std::make_unique<T>();
        used_.push_back(id);
      }
      return *of_[id];
    }
    template <class F>
    void take_all(F take) {
      for (const uint32_t id : used_) take(id, *std::exchange(of_[id], nullptr));
      used_.clear();
    }

   private:
    std::vector<std::unique_ptr<T>> of_;
    std::vector<uint32_t> used_;
  };

  Table<OfAccount> accounts;
  Table<OfSession> sessions;
  Table<OfInstrument> instruments;
  std::vector<OrderRecord> orders;  // each state; later ones without when the order was entered

  template <class Record>
  void append(Batch& batch, RowKind kind, uint32_t first, Chunk<Record>& chunk, uint64_t second, const Record& record) {
    if (chunk.records.records() == 0) chunk.second = second;
    const size_t before = chunk.records.size_bytes();
    chunk.records.append(record);
    batch.bytes += chunk.records.size_bytes() - before;
    if (chunk.records.records() == kChunkRecordsMax) close(batch, kind, first, chunk);
  }
  template <class Record>
  static void close(Batch& batch, RowKind kind, uint32_t first, Chunk<Record>& chunk) {
    if (chunk.records.records() > 0) batch.rows.push_back({row_key(kind, first, chunk.second), chunk.records.take()});
  }
  // The last state of each order, with when it was entered if that was in this batch.
  void close_orders(Batch& batch) {
    struct State {
      OrderBlock block;
      OrderId order = 0;
      size_t place = 0;
      auto operator<=>(const State&) const = default;
    };
    std::vector<State> states;
    states.reserve(orders.size());
    for (const OrderRecord& order : orders) states.push_back({order_block(order.order), order.order, states.size()});
    std::ranges::sort(states);
    ChunkWriter<OrderRecord> chunk;
    for (size_t first = 0, i = 0; i < states.size(); ++i) {
      const auto& [block, order, place] = states[i];
      const State* next = i + 1 < states.size() ? &states[i + 1] : nullptr;
      if (next != nullptr && next->order == order) continue;
      OrderRecord& state = orders[place];
      const OrderRecord& begun = orders[states[first].place];
      state.entered_sequence = begun.entered_sequence;
      state.entered = begun.entered;
      chunk.append(state);
      first = i + 1;
      if (next == nullptr || next->block != block)
        batch.rows.push_back({row_key(RowKind::kOrder, block.places, block.generations, batch.begin), chunk.take()});
    }
    orders.clear();
  }
  // Everything becomes rows, in the order of their keys.
  void close(Batch& batch) {
    sessions.take_all([&](uint32_t id, OfSession& chunk) { close(batch, RowKind::kSessionReports, id, chunk); });
    instruments.take_all([&](uint32_t id, OfInstrument& chunk) { close(batch, RowKind::kTrades, id, chunk); });
    accounts.take_all([&](uint32_t id, OfAccount& account) {
      close(batch, RowKind::kAccountOrders, id, account.orders);
      close(batch, RowKind::kFills, id, account.fills);
      close(batch, RowKind::kMovements, id, account.movements);
    });
    close_orders(batch);
    std::ranges::sort(batch.rows, {}, &Batch::BatchRow::key);
  }
};

Task<Result<std::unique_ptr<Reporter>>> Reporter::open(store::Store& store, store::Keyspace rows) {
  auto txn = CO_TRY(co_await store.begin());
  const auto row = CO_TRY(co_await txn->get(rows, row_key(RowKind::kProgress)));
  ProgressRecord progress;
  if (row) progress = CO_TRY(decode<ProgressRecord>(row->value));
  co_return std::unique_ptr<Reporter>(new Reporter(store, rows, progress));
}

Reporter::Reporter(store::Store& store, store::Keyspace rows, const ProgressRecord& progress)

    : store_(store),
      rows_(rows),
      batch_(std::make_unique<Batch>()),
      gathered_(std::make_unique<Gathered>()),
      progress_(progress),
      written_(progress) {
  statistics_.committed = progress.committed;
  statistics_.last_time = progress.last_time;
}

Reporter::~Reporter() = default;

Sequence Reporter::committed() const {
  std::lock_guard lock(mutex_);
  return written_.committed;
}

ReporterStatistics Reporter::statistics() const {
  std::lock_guard lock(mutex_);
  return statistics_;
}

ProgressRecord Reporter::progress() const {
  std::lock_guard lock(mutex_);
  return written_;
}

void Reporter::on_step(const Stamp& stamp, const Request* request, const Outputs& outputs, const Venue& after) {
  if (stamp.sequence < progress_.committed) return;  // the rows have it
  if (batch_->steps++ == 0) batch_->begin = stamp.sequence;

  // Ordinals count down to what the session book has after the step.
  ordinals_.clear();
  const auto place_of = [this](SessionId session) {
    return std::ranges::find(ordinals_, session, &std::pair<SessionId, uint64_t>::first);
  };
  for (const Report& report : outputs.reports()) {
    if (!has_message(report)) continue;
    auto place = place_of(report.session);
    if (place == ordinals_.end())
      place = ordinals_.insert(place, {report.session, after.sessions().numbers(report.session).reports + 1});
    --place->second;
  }

  Sequence sequence = stamp.sequence + (request ? kRequestSlots : kTurnSlots);
  for (const Outputs::Item& item : outputs.items()) {
    if (!item.is_report) {
      note_trade(sequence, stamp.now, outputs.event_at(item));
      sequence += kEventSlots;
      continue;
    }
    const Report& report = outputs.report_at(item);
    const uint64_t ordinal = has_message(report) ? place_of(report.session)->second++ : 0;
    note_report(sequence, stamp.now, report, ordinal, after);
    if (report.kind == ReportKind::kWithdrawn && request && request->kind == RequestKind::kWithdraw)
      note_withdrawal(sequence, stamp.now, *request);
    if (report.kind == ReportKind::kDayClosed) note_day(stamp, static_cast<uint32_t>(report.quantity), after);
    sequence += kReportSlots;
  }

  if (progress_.first_time == 0) progress_.first_time = stamp.now;
  progress_.last_time = stamp.now;
  progress_.committed = sequence;
  if (batch_->bytes >= kBatchBytesMax) seal();
}

void Reporter::seal() {
  gathered_->close(*batch_);
  batch_->progress = progress_;
  sealed_.push_back(std::exchange(batch_, std::make_unique<Batch>()));
}

Task<Result<void>> Reporter::commit(Sequence upto) {
  progress_.committed = std::max(progress_.committed, upto);
  seal();
  while (!sealed_.empty()) {
    Batch& batch = *sealed_.front();
    CO_TRY(co_await write(batch));  // whoever called comes again
    const bool work = batch.work;
    sealed_.pop_front();
    if (work && work_) work_();
  }
  co_return Result<void>();
}

void Reporter::note_report(Sequence sequence, VenueTime time, const Report& report, uint64_t ordinal,
                           const Venue& after) {
  if (ordinal != 0)
    gathered_->append(*batch_, RowKind::kSessionReports, report.session, gathered_->sessions[report.session], ordinal,
                      StoredReport{.sequence = sequence, .time = time, .report = report});
  // Drop copies tell of what another session's report has told already.
  if ((report.flags & Report::kCopy) != 0 || report.account == 0) return;
  if (report.order != 0) note_order(sequence, time, report);
  if (report.kind == ReportKind::kTrade || report.kind == ReportKind::kTradeBreak) note_fill(sequence, time, report);
  note_money(sequence, time, report, after);
}

void Reporter::note_order(Sequence sequence, VenueTime time, const Report& report) {
  switch (report.kind) {
    case ReportKind::kNew:
    case ReportKind::kTrade:
    case ReportKind::kCancelled:
    case ReportKind::kReplaced:
    case ReportKind::kRejected:
    case ReportKind::kExpired:
    case ReportKind::kTriggered:
    case ReportKind::kRestated:
    case ReportKind::kTradeBreak:
      break;
    default:
      return;  // answers that change no order
  }
  // The venue has forgotten this order, and tells of the trade that is taken back alone.
  if (report.kind == ReportKind::kTradeBreak && report.quantity == report.last_quantity && report.notional == 0 &&
      report.price == 0 && report.client_id.empty())
    return;
  const bool begins = report.kind == ReportKind::kNew || report.kind == ReportKind::kRejected;
  OrderRecord& record = gathered_->orders.emplace_back(order_of(sequence, time, report));
  batch_->bytes += kOrderBytes;
  if (report.kind == ReportKind::kTradeBreak)
    batch_->put(row_key(RowKind::kBrokenOrder, report.account, report.order), encoded(record));
  if (begins) {
    gathered_->append(*batch_, RowKind::kAccountOrders, report.account, gathered_->accounts[report.account].orders,
                      sequence, AccountOrder{.sequence = sequence, .order = report.order});
  } else {
    record.entered_sequence = 0;
    record.entered = 0;
  }
}

void Reporter::note_fill(Sequence sequence, VenueTime time, const Report& report) {
  const bool broken = report.kind == ReportKind::kTradeBreak;
  gathered_->append(*batch_, RowKind::kFills, report.account, gathered_->accounts[report.account].fills, sequence,
                    FillRecord{.sequence = sequence,
                               .time = time,
                               .order = report.order,
                               .instrument = report.instrument,
                               .side = report.side,
                               .maker = (report.flags & Report::kMaker) != 0,
                               .auction = (report.flags & Report::kInAuction) != 0,
                               .broken = broken,
                               .price = report.last_price,
                               .quantity = report.last_quantity,
                               .left = report.left,
                               .match = report.match,
                               .fee = report.fee,
                               .client_id = report.client_id});
  if (broken) batch_->put(row_key(RowKind::kBrokenTrade, report.instrument, report.match), std::string("1"));
}

void Reporter::move_money(AccountId account, const Movement& movement) {
  if (movement.amount == 0) return;
  gathered_->append(*batch_, RowKind::kMovements, account, gathered_->accounts[account].movements, movement.sequence,
                    movement);
}

void Reporter::note_money(Sequence sequence, VenueTime time, const Report& report, const Venue& after) {
  Movement movement{.sequence = sequence, .time = time};
  switch (report.kind) {
    case ReportKind::kDeposited:
    case ReportKind::kWithdrawn: {
      const bool deposit = report.kind == ReportKind::kDeposited;
      movement.kind = deposit ? MovementKind::kDeposit : MovementKind::kWithdrawal;
      movement.asset = report.instrument;
      movement.amount = deposit ? report.last_quantity : -report.last_quantity;
      return move_money(report.account, movement);
    }
    case ReportKind::kTrade:
    case ReportKind::kTradeBreak:
      break;
    default:
      return;
  }
  const InstrumentDefinition* instrument = after.orders().instrument(report.instrument);
  POLIS_ASSERT(instrument);  // its orders trade
  const bool broken = report.kind == ReportKind::kTradeBreak;
  movement.instrument = report.instrument;
  movement.match = report.match;
  movement.order = report.order;
  const Amount base = report.last_quantity * instrument->base_per_lot;
  const Amount quote = report.last_price * report.last_quantity * instrument->quote_per_tick_lot;
  const bool gains_base = (report.side == Side::kBuy) != broken;
  const auto move = [&](AccountId account, MovementKind kind, AssetId asset, Amount amount) {
    movement.kind = broken ? MovementKind::kTradeBreak : kind;
    movement.asset = asset;
    movement.amount = amount;
    move_money(account, movement);
  };
  move(report.account, MovementKind::kTrade, instrument->base, gains_base ? base : -base);
  move(report.account, MovementKind::kTrade, instrument->quote, gains_base ? -quote : quote);
  move(report.account, MovementKind::kFee, instrument->quote, broken ? report.fee : -report.fee);
  move(1, MovementKind::kFeeIncome, instrument->quote, broken ? -report.fee : report.fee);
}

void Reporter::note_trade(Sequence sequence, VenueTime time, const Event& event) {
  if (event.kind != Event::Kind::kTrade) return;
  gathered_->append(*batch_, RowKind::kTrades, event.instrument, gathered_->instruments[event.instrument], event.match,
                    TradeRecord{.match = event.match,
                                .sequence = sequence,
                                .time = time,
                                .side = event.side,
                                .auction = (event.flags & Event::kInAuction) != 0,
                                .price = event.price,
                                .quantity = event.quantity});
}

void Reporter::note_withdrawal(Sequence sequence, VenueTime time, const Request& request) {
  const TransferFields& transfer = request.body.transfer;
  const WithdrawalRecord record{.sequence = sequence,
                                .time = time,
                                .account = transfer.account,
                                .asset = transfer.asset,
                                .amount = transfer.amount,
                                .wallet_low = transfer.id_low,
                                .wallet_high = transfer.id_high,
                                .problem = {}};
  batch_->put(row_key(RowKind::kWithdrawal, sequence), encoded(record), false);
  batch_->work = true;
}

// Balances are looked at between two steps of the shadow: they are those of the moment.
void Reporter::note_day(const Stamp& stamp, uint32_t day, const Venue& after) {
  const OrderManager& orders = after.orders();
  for (AccountId account = 1; account <= orders.accounts(); ++account) {
    ChunkWriter<AssetAmount> amounts;
    for (const auto& [asset, balance] : orders.balances(account))
      if (balance.total != 0) amounts.append({.asset = asset, .amount = balance.total});
    if (amounts.records() > 0) batch_->put(row_key(RowKind::kClosing, day, account), amounts.take());
  }
  const DayRecord record{.day = day,
                         .previous_day = progress_.day,
                         .first = progress_.day_first,
                         .last = stamp.sequence,
                         .closed = stamp.now,
                         .sha256 = {},
                         .problem = {}};
  batch_->put(row_key(RowKind::kDay, day), encoded(record), false);
  progress_.day = day;
  progress_.day_first = stamp.sequence;
  batch_->work = true;
}

Task<Result<void>> Reporter::write(Batch& batch) {
  {
    std::lock_guard lock(mutex_);
    // A batch of nothing, and nobody asked for more than the rows say.
    if (batch.rows.empty() && batch.steps == 0 && batch.progress == written_) co_return Result<void>();
  }
  auto txn = CO_TRY(co_await store_.begin());
  size_t rows = 0;
  for (const auto& [key, value, blind] : batch.rows) {
    CO_TRY(blind ? txn->put_blind(rows_, key, value) : txn->put(rows_, key, value));
    if (++rows % 256 == 0) co_await io::yield();
  }
  CO_TRY(txn->put(rows_, row_key(RowKind::kProgress), encoded(batch.progress)));
  // What the power takes is made again from the journal, for then the rows say that they end before it.
  CO_TRY(co_await txn->commit(store::Sync::kOs));
  std::lock_guard lock(mutex_);
  written_ = batch.progress;
  statistics_.committed = written_.committed;
  statistics_.last_time = written_.last_time;
  statistics_.steps += batch.steps;
  statistics_.rows += batch.rows.size() + 1;
  ++statistics_.transactions;
  co_return Result<void>();
}

}  // namespace polis::exchange
