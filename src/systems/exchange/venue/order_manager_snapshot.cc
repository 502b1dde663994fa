// The order manager in pieces, and back. Whatever decides about the future is inside: generations and the order of free
// places too, so that ids go on as they would have.
#include <algorithm>

#include "systems/exchange/venue/fields.h"
#include "systems/exchange/venue/order_manager_state.h"

namespace polis::exchange {
namespace {

enum class Piece : uint8_t {
  kHead = 1,
  kAssets,
  kInstruments,
  kAccounts,
  kSessions,
  kBalances,
  kPositions,
  kOrders,
  kEnded,
  kIds,
  kTrades,
  kEnd,
};

// A piece holds as many of a kind as fit into this, so with the last one it stays below 1 MiB.
constexpr size_t kPieceBytes = 512 << 10;

template <class Fields, class D>
void decimal_fields(Fields& fields, D& value) {
  fields(value.mantissa, value.exponent);
}

template <class Fields, class T>
void asset_fields(Fields& fields, T& asset) {
  fields(asset.definition.id, asset.definition.symbol, asset.definition.decimals, asset.sum, asset.paid_in, asset.fees);
}

template <class Fields, class T>
void instrument_definition_fields(Fields& fields, T& definition) {
  fields(definition.id, definition.base, definition.quote, definition.symbol);
  decimal_fields(fields, definition.tick);
  decimal_fields(fields, definition.lot);
  fields(definition.base_per_lot, definition.quote_per_tick_lot, definition.band_bp, definition.collar_bp,
         definition.pause_seconds, definition.maker_fee_hundredths_bp, definition.taker_fee_hundredths_bp,
         definition.window_ticks, definition.orders_max);
  fields.choice(definition.calendar, Calendar::kUsEquity);
}

template <class Fields, class T>
void instrument_fields(Fields& fields, T& instrument) {
  instrument_definition_fields(fields, instrument.definition);
  fields(instrument.restricted, instrument.last);
}

template <class Fields, class T>
void account_fields(Fields& fields, T& account) {
  fields(account.definition.id, account.definition.name, account.next_request, account.open_orders, account.first,
         account.last);
  auto& risk = account.limits;
  fields(risk.order_quantity_max, risk.order_notional_max, risk.open_orders_max, risk.rate_per_second, risk.rate_burst,
         risk.price_band_bp, risk.position_max, risk.short_sale_allowed, risk.killed, risk.short_max);
}

template <class Fields, class T>
void session_fields(Fields& fields, T& session) {
  auto& definition = session.definition;
  fields(definition.id, definition.account, definition.name);
  fields.choice(definition.role, SessionRole::kReflect);
  fields(definition.reset_on_logon, definition.enabled, definition.cancel_on_disconnect_seconds,
         definition.rate_per_second, definition.rate_burst, definition.resend_chunk, session.first, session.last);
}

template <class Fields, class T>
void balance_fields(Fields& fields, T& cell) {
  fields(cell.account, cell.of, cell.total, cell.reserved);
}

template <class Fields, class T>
void position_fields(Fields& fields, T& cell) {
  fields(cell.account, cell.of, cell.restricted, cell.position, cell.open_buys, cell.open_sells);
}

template <class Fields, class T>
void order_fields(Fields& fields, T& order) {
  fields(order.generation, order.used);
  if (!order.used) return fields(order.of_account.next);
  fields(order.open, order.cancel_wanted, order.day_over, order.unasked, order.triggered, order.rested);
  fields.choice(order.pending, HeldOrder::Pending::kReplace);
  fields.choice(order.side, Side::kSell);
  fields.choice(order.type, OrderType::kMarketToLimit);
  fields.choice(order.time_in_force, TimeInForce::kAtClose);
  fields.choice(order.status, OrderStatus::kRejected);
  fields(order.of_account.next, order.of_account.previous, order.of_session.next, order.of_session.previous,
         order.account, order.session, order.instrument, order.base, order.quote, order.position, order.price,
         order.stop_price, order.bound, order.quantity, order.filled, order.left, order.cover, order.broken,
         order.open_lots, order.maker_fee, order.taker_fee, order.fee_slack, order.reserved, order.notional,
         order.engine_order, order.shown, order.entered, order.client_id);
  if (order.pending == HeldOrder::Pending::kNone) return;
  fields(order.wanted_id, order.asker, order.message_number, order.tag, order.wanted_price, order.wanted_stop_price,
         order.wanted_bound, order.bound_before);
}

template <class Fields, class T>
void id_fields(Fields& fields, T& entry) {
  fields(entry.id, entry.session, entry.order);
}

template <class Fields, class T>
void trade_fields(Fields& fields, T& trade) {
  fields(trade.match, trade.buy, trade.sell, trade.buyer, trade.seller, trade.buy_session, trade.sell_session,
         trade.price, trade.quantity, trade.buy_fee, trade.sell_fee, trade.broken);
}

// Two of them can be added.
bool is_amount(int64_t amount) {
  return amount > -2 * kAmountMax && amount < 2 * kAmountMax;
}

// Parts that are told one after the other, each from where the piece before it stopped.
class PartsSaver final : public OrderManager::Saver {
 public:
  using State = OrderManager::State;
  explicit PartsSaver(const State& state) : state_(state) {}

  bool next(base::Writer& piece) override {
    for (;;) {
      switch (part_) {
        case Piece::kHead:
          piece.u8(static_cast<uint8_t>(Piece::kHead));
          piece.u32(state_.day);
          piece.u64(state_.ledger_time);
          piece.boolean(state_.halted);
          piece.u32(state_.orders.free());
          piece.u32(static_cast<uint32_t>(state_.ended_next));
          go_to(Piece::kAssets, 1);
          return true;
        case Piece::kAssets:
          if (told(piece, state_.assets, Piece::kInstruments, 1, [](auto& f, const auto& v) { asset_fields(f, v); }))
            return true;
          break;
        case Piece::kInstruments:
          if (told(piece, state_.instruments, Piece::kAccounts, 1,
                   [](auto& f, const auto& v) { instrument_fields(f, v); }))
            return true;
          break;
        case Piece::kAccounts:
          if (told(piece, state_.accounts, Piece::kSessions, 1, [](auto& f, const auto& v) { account_fields(f, v); }))
            return true;
          break;
        case Piece::kSessions:
          if (told(piece, state_.sessions, Piece::kBalances, 0, [](auto& f, const auto& v) { session_fields(f, v); }))
            return true;
          break;
        case Piece::kBalances:
          if (told(piece, Numbered{state_.balances}, Piece::kPositions, 0,
                   [](auto& f, const auto& v) { balance_fields(f, v); }))
            return true;
          break;
        case Piece::kPositions:
          if (told(piece, Numbered{state_.positions}, Piece::kOrders, 1,
                   [](auto& f, const auto& v) { position_fields(f, v); }))
            return true;
          break;
        case Piece::kOrders:
          if (told(piece, Places{state_.orders}, Piece::kEnded, 0, [](auto& f, const auto& v) { order_fields(f, v); }))
            return true;
          break;
        case Piece::kEnded:
          if (told(piece, state_.ended, Piece::kIds, 0, [](auto& f, const auto& v) { f(v); })) return true;
          break;
        case Piece::kIds:
          if (told(piece, Entries{state_.ids}, Piece::kTrades, 0, [](auto& f, const auto& v) { id_fields(f, v); }))
            return true;
          break;
        case Piece::kTrades:
          if (trades(piece)) return true;
          break;
        case Piece::kEnd:
          if (ended_) return false;
          ended_ = true;
          piece.u8(static_cast<uint8_t>(Piece::kEnd));
          piece.u64(state_.open_orders);
          return true;
      }
    }
  }

 private:
  template <class T>
  struct Numbered {
    const T& cells;
    size_t size() const { return cells.size(); }
    const auto& operator[](size_t i) const { return cells[static_cast<CellNumber>(i)]; }
  };
  template <class T>
  Numbered(const T&) -> Numbered<T>;
  struct Places {
    const OrderTable& orders;
    size_t size() const { return orders.places(); }
    const HeldOrder& operator[](size_t i) const { return orders[static_cast<TablePlace>(i)]; }
  };
  struct Entries {
    const ClientIds& ids;
    size_t size() const { return ids.size(); }
    const ClientIds::Entry& operator[](size_t i) const { return ids.at(i); }
  };

  void go_to(Piece part, size_t first) {
    part_ = part;
    at_ = first;
  }
  // False when all of them are told already.
  template <class Values, class Write>
  bool told(base::Writer& piece, const Values& values, Piece then, size_t first_then, Write write) {
    if (at_ >= values.size()) {
      go_to(then, first_then);
      return false;
    }
    piece.u8(static_cast<uint8_t>(part_));
    SavedFields fields(piece);
    for (; at_ < values.size() && piece.size_bytes() < kPieceBytes; ++at_) write(fields, values[at_]);
    return true;
  }
  bool trades(base::Writer& piece) {
    for (; instrument_ < state_.instruments.size(); ++instrument_, at_ = 0) {
      const StableVector<TradeState>& all = state_.instruments[instrument_].trades;
      if (at_ >= all.size()) continue;
      piece.u8(static_cast<uint8_t>(Piece::kTrades));
      piece.u32(static_cast<uint32_t>(instrument_));
      SavedFields fields(piece);
      for (; at_ < all.size() && piece.size_bytes() < kPieceBytes; ++at_) trade_fields(fields, all[at_]);
      return true;
    }
    go_to(Piece::kEnd, 0);
    return false;
  }

  const State& state_;
  Piece part_ = Piece::kHead;
  size_t at_ = 0;
  size_t instrument_ = 1;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<OrderManager::Saver> OrderManager::save() const {
  return std::make_unique<PartsSaver>(*state_);
}

Result<void> OrderManager::load(BytesView piece) {
  State& state = *state_;
  base::Reader in(piece);
  LoadedFields fields(in);
  // Calls for each value until the piece is read.
  const auto each = [&](auto load_one) {
    while (in.ok() && in.remaining_bytes() > 0) load_one();
  };
  const auto refuse_unless = [&](bool holds, const char* why) {
    if (!holds) in.reject(why);
    return holds && in.ok();
  };
  // In their order; the head and the end once.
  const uint8_t kind = in.u8();
  const bool once = static_cast<Piece>(kind) == Piece::kHead || static_cast<Piece>(kind) == Piece::kEnd;
  if (state.loaded_piece == 0 ? static_cast<Piece>(kind) != Piece::kHead
                              : kind < state.loaded_piece || (once && kind == state.loaded_piece))
    return fail(Code::kCorrupt, "pieces of an order manager are out of order");
  state.loaded_piece = kind;
  switch (static_cast<Piece>(kind)) {
    case Piece::kHead: {
      state.day = in.u32();
      state.ledger_time = in.u64();
      state.halted = in.boolean();
      state.orders.set_free(in.u32());
      state.ended_next = in.u32();
      refuse_unless(state.ended_next < kEndedKept && state.assets.size() == 1 && state.balances.size() == 0,
                    "not the first piece");
      state.accounts.clear();
      state.accounts.push_back();
      state.account_names.clear();
      state.ended.clear();
      break;
    }
    case Piece::kAssets:
      each([&] {
        AssetState asset;
        asset_fields(fields, asset);
        if (!refuse_unless(asset.definition.id == state.assets.size() &&
                               asset.definition.id <= state.limits.assets_max && asset.definition.decimals <= 9,
                           "an asset"))
          return;
        state.asset_symbols[std::string(asset.definition.symbol.view())] = asset.definition.id;
        state.assets.push_back(asset);
      });
      break;
    case Piece::kInstruments:
      each([&] {
        InstrumentState instrument;
        instrument_fields(fields, instrument);
        const InstrumentDefinition& definition = instrument.definition;
        if (!refuse_unless(definition.id == state.instruments.size() && definition.id <= state.limits.instruments_max &&
                               definition.base < state.assets.size() && definition.quote < state.assets.size() &&
                               is_amount(definition.base_per_lot) && is_amount(definition.quote_per_tick_lot),
                           "an instrument"))
          return;
        state.instrument_symbols[std::string(definition.symbol.view())] = definition.id;
        InstrumentState& made = state.instruments.push_back();
        made.definition = definition;
        made.restricted = instrument.restricted;
        made.last = instrument.last;
      });
      break;
    case Piece::kAccounts:
      each([&] {
        AccountState account;
        account_fields(fields, account);
        account.set_limits(RiskLimits(account.limits));
        if (!refuse_unless(
                account.definition.id == state.accounts.size() && account.definition.id <= state.limits.accounts_max,
                "an account"))
          return;
        state.account_names[std::string(account.definition.name.view())] = account.definition.id;
        state.accounts.push_back(std::move(account));
      });
      break;
    case Piece::kSessions:
      each([&] {
        SessionState session;
        session_fields(fields, session);
        if (!refuse_unless(session.definition.id == state.sessions.size() &&
                               session.definition.id <= state.limits.sessions_max &&
                               session.definition.account < state.accounts.size(),
                           "a session"))
          return;
        state.session_names[std::string(session.definition.name.view())] = session.definition.id;
        state.sessions.push_back(session);
      });
      break;
    case Piece::kBalances:
      each([&] {
        BalanceCell cell;
        balance_fields(fields, cell);
        if (!refuse_unless(cell.account < state.accounts.size() && cell.of < state.assets.size() &&
                               is_amount(cell.total) && is_amount(cell.reserved) &&
                               state.balances.find(cell.account, cell.of) == kNoCell,
                           "a balance"))
          return;
        state.balances[state.balances.make(cell.account, cell.of)] = cell;
      });
      break;
    case Piece::kPositions:
      each([&] {
        PositionCell cell;
        position_fields(fields, cell);
        if (!refuse_unless(cell.account < state.accounts.size() && cell.of < state.instruments.size() &&
                               is_amount(cell.position) && is_amount(cell.open_buys) && is_amount(cell.open_sells) &&
                               state.positions.find(cell.account, cell.of) == kNoCell,
                           "a position"))
          return;
        state.positions[state.positions.make(cell.account, cell.of)] = cell;
      });
      break;
    case Piece::kOrders:
      each([&] {
        if (refuse_unless(state.orders.places() < state.orders.places_max(), "more orders than there may be"))
          order_fields(fields, state.orders.append());
      });
      break;
    case Piece::kEnded:
      each([&] { fields(state.ended.emplace_back()); });
      refuse_unless(state.ended.size() <= kEndedKept, "too many ended orders");
      break;
    case Piece::kIds:
      each([&] {
        ClientIds::Entry entry;
        id_fields(fields, entry);
        if (!refuse_unless(state.ids.find(entry.session, entry.id) == nullptr, "a client order id twice")) return;
        state.ids.add(entry.session, entry.id, entry.order);
      });
      break;
    case Piece::kTrades: {
      const InstrumentId id = in.u32();
      if (!refuse_unless(id != 0 && id < state.instruments.size(), "trades of no instrument")) break;
      each([&] {
        TradeState trade;
        trade_fields(fields, trade);
        const size_t place = state.instruments[id].trades.size();
        if (refuse_unless(place < kTradesKept && trade.match != 0 && (trade.match - 1) % kTradesKept == place,
                          "a trade out of its place"))
          state.instruments[id].trades.push_back(trade);
      });
      break;
    }
    case Piece::kEnd:
      state.open_orders = in.u64();
      TRY(in.finish());
      return state.check_loaded();
    default:
      in.reject("an unknown piece");
  }
  return in.finish();
}

// Everything that refers to something refers to what is there, and sums are the sums of what they say.
Result<void> OrderManager::State::check_loaded() {
  const auto corrupt = [](const char* what) {
    return fail(Code::kCorrupt, std::string("order manager's snapshot: ") + what);
  };
  if (ended.size() != kEndedKept) return corrupt("ended orders");
  std::vector<__int128> reserved(balances.size()), buys(positions.size()), sells(positions.size());
  size_t unused = 0, open = 0;
  for (TablePlace place = 1; place < orders.places(); ++place) {
    const HeldOrder& order = orders[place];
    if (!order.used) {
      ++unused;
      continue;
    }
    if (order.account >= accounts.size() || order.session >= sessions.size() || order.instrument == 0 ||
        order.instrument >= instruments.size() || order.base >= balances.size() || order.quote >= balances.size() ||
        order.position >= positions.size() || order.maker_fee > kFeeUnit || order.taker_fee > kFeeUnit ||
        order.fee_slack >= kFeeUnit)
      return corrupt("an order");
    const InstrumentDefinition& instrument = instruments[order.instrument].definition;
    if (balances[order.base].account != order.account || balances[order.base].of != instrument.base ||
        balances[order.quote].account != order.account || balances[order.quote].of != instrument.quote ||
        positions[order.position].account != order.account || positions[order.position].of != order.instrument)
      return corrupt("an order's balances");
    const __int128 lots = static_cast<__int128>(order.left) + order.cover;
    const __int128 most =
        order.side == Side::kSell ? lots * instrument.base_per_lot : lots * order.bound * instrument.quote_per_tick_lot;
    if (most < 0 || most > kAmountMax || order.reserved != needed(order)) return corrupt("what an order has reserved");
    reserved[order.side == Side::kBuy ? order.quote : order.base] += order.reserved;
    (order.side == Side::kBuy ? buys : sells)[order.position] += order.open_lots;
    if (order.open) ++open;
  }
  if (open != open_orders) return corrupt("the number of open orders");
  for (size_t i = 0; i < balances.size(); ++i)
    if (balances[static_cast<CellNumber>(i)].reserved != reserved[i]) return corrupt("reserved amounts");
  for (size_t i = 0; i < positions.size(); ++i) {
    const PositionCell& cell = positions[static_cast<CellNumber>(i)];
    if (cell.open_buys != buys[i] || cell.open_sells != sells[i]) return corrupt("open lots");
  }
  for (TablePlace place = orders.free(); place != 0; place = orders[place].of_account.next)
    if (place >= orders.places() || orders[place].used || unused-- == 0) return corrupt("free places");
  if (unused != 0) return corrupt("free places");
  // Each queue: as long as it says, its own orders, and ending where it says.
  const auto is_queue = [&](TablePlace first, TablePlace last, HeldOrder::Links HeldOrder::* links, size_t most,
                            auto own, size_t& length) {
    TablePlace before = 0;
    for (TablePlace place = first; place != 0; place = (orders[place].*links).next) {
      if (place >= orders.places() || !orders[place].used || !orders[place].open || !own(orders[place]) ||
          (orders[place].*links).previous != before || ++length > most)
        return false;
      before = place;
    }
    return before == last;
  };
  size_t of_accounts = 0, of_sessions = 0;
  for (AccountId id = 1; id < accounts.size(); ++id) {
    size_t length = 0;
    if (!is_queue(
            accounts[id].first, accounts[id].last, &HeldOrder::of_account, open,
            [&](const HeldOrder& order) { return order.account == id; }, length) ||
        length != accounts[id].open_orders)
      return corrupt("an account's orders");
    of_accounts += length;
  }
  for (SessionId id = 1; id < sessions.size(); ++id)
    if (!is_queue(
            sessions[id].first, sessions[id].last, &HeldOrder::of_session, open,
            [&](const HeldOrder& order) { return order.session == id; }, of_sessions))
      return corrupt("a session's orders");
  if (of_accounts != open || of_sessions > open) return corrupt("queues of orders");
  for (const TablePlace place : ended)
    if (place != 0 && (place >= orders.places() || !orders[place].used || orders[place].open))
      return corrupt("ended orders");
  for (AssetId id = 1; id < assets.size(); ++id)
    if (assets[id].fees >= balances.size() || balances[assets[id].fees].account != 1 ||
        balances[assets[id].fees].of != id)
      return corrupt("where fees go");
  collect_copies();
  return {};
}

}  // namespace polis::exchange
