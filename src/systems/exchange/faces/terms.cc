#include "systems/exchange/faces/terms.h"

#include <fmt/format.h>

#include "kernel/base/config.h"
#include "systems/exchange/decimal.h"
#include "systems/exchange/words.h"

namespace polis::exchange {
namespace {

constexpr uint32_t kPercent = 10'000, kBasisPoint = 100;  // in hundredths of a basis point
constexpr uint32_t kShareMax = 10'000 * kPercent;
constexpr uint32_t kFeeMax = 10 * kPercent;  // a tenth of the value
// As the ladder takes them, and what one instrument may hold (see ../matching).
constexpr int64_t kWindowMin = 64, kWindowMax = 1 << 18;
constexpr int64_t kInstrumentOrdersMax = 10'000'000;
constexpr int64_t kRateMax = 10'000'000;

Result<Decimal> read_step(systems::Body& body, std::string_view field, std::string otherwise) {
  const std::string text = TRY(body.text(field, std::move(otherwise)));
  const std::optional<Decimal> step = parse_decimal(text);
  if (!step || step->mantissa <= 0)
    return fail(Code::kInvalid, fmt::format("\"{}\" must be a decimal above 0 as \"0.01\", not \"{}\"", field, text));
  return *step;
}

template <size_t N>
Result<Text<N>> read_name(std::string_view field, std::string_view text) {
  const bool plain = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
  if (text.empty() || !Text<N>::fits(text) || !plain)
    return fail(Code::kInvalid,
                fmt::format("\"{}\" has 1 to {} printable characters without spaces, not \"{}\"", field, N, text));
  return Text<N>(text);
}

Result<AssetDefinition> read_asset(systems::Body& body, std::string_view field, std::string_view symbol,
                                   int64_t decimals_otherwise, const Roster& roster) {
  const std::string decimals_field = std::string(field) + "_decimals";
  const AssetDefinition* known = roster.asset(symbol);
  const auto decimals =
      static_cast<uint8_t>(TRY(body.number(decimals_field, 0, 9, known ? known->decimals : decimals_otherwise)));
  if (known && known->decimals != decimals)
    return fail(Code::kConflict, fmt::format("the asset {} has {} decimals already", symbol, known->decimals));
  if (known) return *known;
  AssetDefinition asset;
  asset.symbol = TRY((read_name<8>(field, symbol)));
  asset.decimals = decimals;
  return asset;
}

Result<uint32_t> read_share(systems::Body& body, std::string_view field, uint32_t otherwise, uint32_t most) {
  if (!body.has(field)) return otherwise;
  const uint32_t share = TRY(parse_share(field, TRY(body.text(field))));
  if (share > most) return fail(Code::kInvalid, fmt::format("\"{}\" is at most {}", field, share_text(most)));
  return share;
}
Result<uint32_t> read_basis_points(systems::Body& body, std::string_view field, uint32_t otherwise_bp) {
  const uint32_t share = TRY(read_share(body, field, otherwise_bp * kBasisPoint, kShareMax));
  if (share % kBasisPoint != 0)
    return fail(Code::kInvalid, fmt::format("\"{}\" must be a whole number of basis points", field));
  return share / kBasisPoint;
}

Result<void> read_rules(systems::Body& body, InstrumentDefinition& into) {
  into.band_bp = TRY(read_basis_points(body, "band", into.band_bp));
  into.collar_bp = TRY(read_basis_points(body, "collar", into.collar_bp));
  into.pause_seconds = static_cast<uint32_t>(TRY(body.number("pause_seconds", 1, 86'400, into.pause_seconds)));
  into.maker_fee_hundredths_bp = TRY(read_share(body, "fee_maker", into.maker_fee_hundredths_bp, kFeeMax));
  into.taker_fee_hundredths_bp = TRY(read_share(body, "fee_taker", into.taker_fee_hundredths_bp, kFeeMax));
  into.calendar = TRY(parse_word<Calendar>("\"phases\"", TRY(body.text("phases", std::string(word(into.calendar))))));
  return {};
}

}  // namespace

Result<uint32_t> parse_share(std::string_view field, std::string_view text) {
  std::string_view number = text;
  int8_t unit = 0;
  if (number.ends_with("%")) {
    number.remove_suffix(1);
    unit = -4;
  } else if (number.ends_with("bp")) {
    number.remove_suffix(2);
    unit = -2;
  }
  const std::optional<int64_t> share = units_of(number, {1, unit});
  const bool zero = unit == 0 && share == 0;
  if (!share || *share < 0 || *share > kShareMax || (unit == 0 && !zero))
    return fail(Code::kInvalid, fmt::format("\"{}\" must be a share as 10%, 0.5% or 2bp, not \"{}\"", field, text));
  return static_cast<uint32_t>(*share);
}

std::string share_text(uint32_t hundredths_bp) {
  if (hundredths_bp == 0) return "0";
  const bool percent = hundredths_bp >= kPercent;
  std::string text = units_text(hundredths_bp, {1, static_cast<int8_t>(percent ? -4 : -2)});
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text + (percent ? "%" : "bp");
}

Result<WantedInstrument> read_instrument(systems::Body& body, std::string_view symbol, const Roster& roster) {
  if (const InstrumentDefinition* old = roster.instrument(symbol)) {
    WantedInstrument wanted{.definition = *old, .base = *roster.asset(old->base), .quote = *roster.asset(old->quote)};
    const Decimal tick = TRY(read_step(body, "tick", decimal_text(old->tick)));
    const Decimal lot = TRY(read_step(body, "lot", decimal_text(old->lot)));
    const std::string base = TRY(body.text("base", std::string(wanted.base.symbol.view())));
    const std::string quote = TRY(body.text("quote", std::string(wanted.quote.symbol.view())));
    TRY(body.number("base_decimals", 0, 9, wanted.base.decimals));
    TRY(body.number("quote_decimals", 0, 9, wanted.quote.decimals));
    TRY(body.number("window_ticks", 0, INT64_MAX, 0));
    TRY(body.number("orders_max", 0, INT64_MAX, 0));
    if (units_of(tick, old->tick) != 1 || units_of(lot, old->lot) != 1 || base != wanted.base.symbol.view() ||
        quote != wanted.quote.symbol.view())
      return fail(Code::kConflict,
                  fmt::format("{} is defined with tick {}, lot {}, {} in {}: these never change; use another symbol",
                              symbol, decimal_text(old->tick), decimal_text(old->lot), wanted.base.symbol.view(),
                              wanted.quote.symbol.view()));
    TRY(read_rules(body, wanted.definition));
    return wanted;
  }

  WantedInstrument wanted;
  InstrumentDefinition& into = wanted.definition;
  into.symbol = TRY((read_name<8>("symbol", symbol)));
  into.tick = TRY(read_step(body, "tick", "0.01"));
  into.lot = TRY(read_step(body, "lot", "1"));
  const std::string base = TRY(body.text("base", std::string(symbol)));
  const std::string quote = TRY(body.text("quote", "USD"));
  if (base == quote) return fail(Code::kInvalid, "\"base\" and \"quote\" are two different assets");
  wanted.base = TRY(read_asset(body, "base", base, std::max(0, -into.lot.exponent), roster));
  wanted.quote = TRY(read_asset(body, "quote", quote, 2, roster));

  const auto base_per_lot = units_of(into.lot, {1, static_cast<int8_t>(-wanted.base.decimals)});
  if (!base_per_lot || *base_per_lot <= 0)
    return fail(Code::kInvalid, fmt::format("a lot of {} is no whole number of {}'s smallest unit: \"base_decimals\" "
                                            "must be more",
                                            decimal_text(into.lot), base));
  int64_t mantissa = 0;
  const int exponent = into.tick.exponent + into.lot.exponent;
  std::optional<int64_t> quote_per_tick_lot;
  if (!__builtin_mul_overflow(into.tick.mantissa, into.lot.mantissa, &mantissa) && exponent >= -9 && exponent <= 9)
    quote_per_tick_lot =
        units_of(Decimal{mantissa, static_cast<int8_t>(exponent)}, {1, static_cast<int8_t>(-wanted.quote.decimals)});
  if (!quote_per_tick_lot || *quote_per_tick_lot <= 0)
    return fail(Code::kInvalid, fmt::format("a lot at a price of one tick costs {} × {} {}, no whole number of its "
                                            "smallest unit: \"quote_decimals\" must be more",
                                            decimal_text(into.tick), decimal_text(into.lot), quote));
  into.base_per_lot = *base_per_lot;
  into.quote_per_tick_lot = *quote_per_tick_lot;
  into.window_ticks = static_cast<uint32_t>(TRY(body.number("window_ticks", kWindowMin, kWindowMax, 1 << 16)));
  if ((into.window_ticks & (into.window_ticks - 1)) != 0)
    return fail(Code::kInvalid, "\"window_ticks\" must be a power of two");
  into.orders_max =
      static_cast<uint32_t>(TRY(body.number("orders_max", 1, kInstrumentOrdersMax, kInstrumentOrdersMax)));
  TRY(read_rules(body, into));
  return wanted;
}

Result<SessionDefinition> read_session(systems::Body& body, std::string_view name, const Roster& roster) {
  SessionDefinition session;
  if (const SessionDefinition* old = roster.session(name))
    session = *old;
  else
    session.name = TRY((read_name<24>("name", name)));
  session.role = TRY(parse_word<SessionRole>("\"app\"", TRY(body.text("app", std::string(word(session.role))))));
  if (body.has("account")) {
    const std::string account = TRY(body.text("account"));
    const AccountDefinition* found = roster.account(account);
    if (!found) return fail(Code::kNotFound, "there is no account " + account);
    session.account = found->id;
  }
  if (session.account == 0 && session.role == SessionRole::kOrders)
    return fail(Code::kInvalid, "\"account\" is missing: a session that enters orders does it for an account");
  session.reset_on_logon = TRY(body.boolean("reset_on_logon", session.reset_on_logon));
  session.enabled = TRY(body.boolean("enabled", session.enabled));
  session.rate_per_second = static_cast<uint32_t>(TRY(body.number("rate", 0, kRateMax, session.rate_per_second)));
  session.rate_burst = static_cast<uint32_t>(TRY(body.number("burst", 0, kRateMax, session.rate_burst)));
  session.resend_chunk = static_cast<uint32_t>(TRY(body.number("resend_chunk", 0, 1'000'000, session.resend_chunk)));
  if (body.has("cancel_on_disconnect")) {
    const std::string text = TRY(body.text("cancel_on_disconnect"));
    if (text == "no") {
      session.cancel_on_disconnect_seconds = -1;
    } else {
      const auto grace = base::parse_duration(text);
      if (!grace || *grace < Duration::zero() || *grace > std::chrono::seconds(60) ||
          *grace % std::chrono::seconds(1) != Duration::zero())
        return fail(Code::kInvalid, "\"cancel_on_disconnect\" is \"no\" or whole seconds from 0 to \"60s\"");
      session.cancel_on_disconnect_seconds = static_cast<int32_t>(*grace / std::chrono::seconds(1));
    }
  }
  return session;
}

Result<RiskLimits> read_limits(systems::Body& body, RiskLimits limits) {
  const auto read = [&body](std::string_view field, auto& into, int64_t most) -> Result<void> {
    into = static_cast<std::remove_reference_t<decltype(into)>>(
        TRY(body.number(field, 0, most, static_cast<int64_t>(into))));
    return {};
  };
  TRY(read("order_quantity_max", limits.order_quantity_max, kQuantityMax));
  TRY(read("order_notional_max", limits.order_notional_max, INT64_MAX));
  TRY(read("open_orders_max", limits.open_orders_max, UINT32_MAX));
  TRY(read("rate_per_second", limits.rate_per_second, kRateMax));
  TRY(read("rate_burst", limits.rate_burst, kRateMax));
  TRY(read("position_max", limits.position_max, INT64_MAX));
  TRY(read("short_max", limits.short_max, INT64_MAX));
  limits.price_band_bp = TRY(read_basis_points(body, "price_band", limits.price_band_bp));
  limits.short_sale_allowed = TRY(body.boolean("short_sale_allowed", limits.short_sale_allowed));
  return limits;
}

}  // namespace polis::exchange
