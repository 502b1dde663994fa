// What exists in the venue, and what accounts may do. A definition that makes no sense changes nothing.
#include <algorithm>

#include "systems/exchange/venue/order_manager_state.h"

namespace polis::exchange {
namespace {

// Letters, digits and what else people put into names; nothing that FIX or a path could stumble over.
template <size_t N>
bool is_name(const Text<N>& text) {
  const std::string_view name = text.view();
  const auto padding = std::string_view(text.characters, N).substr(name.size());
  return !name.empty() && padding.find_first_not_of('\0') == std::string_view::npos &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 127 && c != '=' && c != '/'; });
}

// Whether an id is known, or the next one; and whether the name is its own or free. Takes the name.
template <class States, class Names, class N>
bool takes_name(const States& states, Names& names, uint32_t id, const N& name, uint32_t most) {
  if (id == 0 || id > states.size() || id > most || !is_name(name)) return false;
  const auto found = names.find(name.view());
  return found == names.end() || found->second == id;
}

template <class States, class Names, class N>
void take_name(States& states, Names& names, uint32_t id, const N& name, const N* before) {
  if (before != nullptr) names.erase(std::string(before->view()));
  names[std::string(name.view())] = id;
  if (id == states.size()) states.push_back();
}

// mantissas multiplied, times 10^decimals: a whole number within 63 bits, or 0.
int64_t whole(__int128 mantissa, int exponent) {
  for (; exponent < 0; ++exponent) {
    if (mantissa % 10 != 0) return 0;
    mantissa /= 10;
  }
  for (; exponent > 0; --exponent) {
    if (mantissa > kAmountMax) return 0;
    mantissa *= 10;
  }
  return mantissa <= kAmountMax ? static_cast<int64_t>(mantissa) : 0;
}

bool is_step(const Decimal& step) {
  return step.mantissa > 0 && step.exponent >= -9 && step.exponent <= 9;
}

}  // namespace

Refusal OrderManager::State::define_asset(const AssetDefinition& asset) {
  if (!takes_name(assets, asset_symbols, asset.id, asset.symbol, limits.assets_max) || asset.decimals > 9)
    return Refusal::kBadDefinition;
  const bool is_new = asset.id == assets.size();
  // Amounts count its units.
  if (!is_new && asset.decimals != assets[asset.id].definition.decimals) return Refusal::kBadDefinition;
  take_name(assets, asset_symbols, asset.id, asset.symbol, is_new ? nullptr : &assets[asset.id].definition.symbol);
  assets[asset.id].definition = asset;
  if (is_new) assets[asset.id].fees = balances.make(1, asset.id);
  return Refusal::kNone;
}

Refusal OrderManager::State::define_instrument(const InstrumentDefinition& wanted, Commands& commands, VenueTime now) {
  const auto exists = [&](AssetId id) { return id != 0 && id < assets.size(); };
  if (!takes_name(instruments, instrument_symbols, wanted.id, wanted.symbol, limits.instruments_max) ||
      !exists(wanted.base) || !exists(wanted.quote) || wanted.base == wanted.quote || !is_step(wanted.tick) ||
      !is_step(wanted.lot) || wanted.base_per_lot <= 0 || wanted.quote_per_tick_lot <= 0)
    return Refusal::kBadDefinition;
  // A lot and a lot at one tick must be whole numbers of the smallest units, and those that are named.
  const __int128 one = static_cast<__int128>(wanted.tick.mantissa) * wanted.lot.mantissa;
  if (wanted.base_per_lot !=
          whole(wanted.lot.mantissa, wanted.lot.exponent + assets[wanted.base].definition.decimals) ||
      wanted.quote_per_tick_lot !=
          whole(one, wanted.tick.exponent + wanted.lot.exponent + assets[wanted.quote].definition.decimals))
    return Refusal::kBadDefinition;
  if (wanted.band_bp > 10'000 || wanted.collar_bp > 10'000 || wanted.pause_seconds == 0 ||
      wanted.pause_seconds > 86'400 || wanted.maker_fee_hundredths_bp > kFeeUnit ||
      wanted.taker_fee_hundredths_bp > kFeeUnit || wanted.calendar > Calendar::kUsEquity)
    return Refusal::kBadDefinition;
  const bool power = wanted.window_ticks != 0 && (wanted.window_ticks & (wanted.window_ticks - 1)) == 0;
  if (!power || wanted.window_ticks < 64 || wanted.window_ticks > 1 << 18 || wanted.orders_max == 0 ||
      wanted.orders_max > 10'000'000)
    return Refusal::kBadDefinition;
  const bool is_new = wanted.id == instruments.size();
  if (!is_new) {
    // What prices, sizes and amounts of today mean stays.
    const InstrumentDefinition& before = instruments[wanted.id].definition;
    if (before.base != wanted.base || before.quote != wanted.quote || before.tick != wanted.tick ||
        before.lot != wanted.lot || before.window_ticks != wanted.window_ticks ||
        before.orders_max != wanted.orders_max)
      return Refusal::kBadDefinition;
  }
  take_name(instruments, instrument_symbols, wanted.id, wanted.symbol,
            is_new ? nullptr : &instruments[wanted.id].definition.symbol);
  instruments[wanted.id].definition = wanted;
  Command& command = commands.emplace_back();
  command.kind = Command::Kind::kDefine;
  command.instrument = wanted.id;
  command.now = now;
  command.body.define = wanted;
  return Refusal::kNone;
}

Refusal OrderManager::State::define_account(const AccountDefinition& account) {
  if (!takes_name(accounts, account_names, account.id, account.name, limits.accounts_max))
    return Refusal::kBadDefinition;
  const bool is_new = account.id == accounts.size();
  take_name(accounts, account_names, account.id, account.name,
            is_new ? nullptr : &accounts[account.id].definition.name);
  accounts[account.id].definition = account;
  accounts[account.id].copied = is_copied(account.id);
  return Refusal::kNone;
}

Refusal OrderManager::State::define_session(const SessionDefinition& session) {
  if (!takes_name(sessions, session_names, session.id, session.name, limits.sessions_max) ||
      session.role > SessionRole::kReflect || session.cancel_on_disconnect_seconds < -1 ||
      session.cancel_on_disconnect_seconds > 60)
    return Refusal::kBadDefinition;
  if (session.account == 0 ? session.role == SessionRole::kOrders : session.account >= accounts.size())
    return Refusal::kBadDefinition;
  const bool is_new = session.id == sessions.size();
  // Its orders and numbers are its account's.
  if (!is_new && session.account != sessions[session.id].definition.account) return Refusal::kBadDefinition;
  take_name(sessions, session_names, session.id, session.name,
            is_new ? nullptr : &sessions[session.id].definition.name);
  const bool copies =
      session.role == SessionRole::kDropCopy || sessions[session.id].definition.role == SessionRole::kDropCopy;
  sessions[session.id].definition = session;
  if (copies) collect_copies();
  return Refusal::kNone;
}

// Who is told of whose reports.
void OrderManager::State::collect_copies() {
  copies_of_all.clear();
  copies_of.clear();
  for (SessionId id = 1; id < sessions.size(); ++id) {
    const SessionDefinition& definition = sessions[id].definition;
    if (definition.role != SessionRole::kDropCopy || !definition.enabled) continue;
    (definition.account == 0 ? copies_of_all : copies_of[definition.account]).push_back(definition.id);
  }
  for (AccountId id = 1; id < accounts.size(); ++id) accounts[id].copied = is_copied(id);
}

Refusal OrderManager::State::set_risk(const RiskFields& risk, Commands& commands, VenueTime now) {
  const RiskLimits& wanted = risk.limits;
  if (risk.account == 0 || risk.account >= accounts.size()) return Refusal::kBadAccount;
  if (wanted.order_quantity_max < 0 || wanted.order_notional_max < 0 || wanted.position_max < 0 ||
      wanted.short_max < 0 || wanted.short_max > kShortMax || wanted.price_band_bp > 1'000'000)
    return Refusal::kBadDefinition;
  accounts[risk.account].set_limits(wanted);
  if (wanted.killed) cancel_all_of(now, risk.account, commands);
  return Refusal::kNone;
}

Refusal OrderManager::State::restrict(const RestrictFields& wanted) {
  if (wanted.instrument == 0 || wanted.instrument >= instruments.size()) return Refusal::kUnknownInstrument;
  if (wanted.account >= accounts.size()) return Refusal::kBadAccount;
  if (wanted.account == 0) {
    instruments[wanted.instrument].restricted = wanted.restricted;
  } else {
    positions[positions.make(wanted.account, wanted.instrument)].restricted = wanted.restricted;
  }
  return Refusal::kNone;
}

}  // namespace polis::exchange
