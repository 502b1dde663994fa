// Money: between wallets of the ledger and balances of the venue, and the end of a day.
#include <fmt/format.h>

#include "systems/exchange/decimal.h"
#include "systems/exchange/faces/admin.h"
#include "systems/exchange/reporting/settlement.h"

namespace polis::exchange {
namespace {

// A wallet is an account of the ledger: its id in decimal digits.
Result<LedgerName> read_wallet(systems::Body& body, std::string_view field) {
  const std::string text = TRY(body.text(field, ""));
  if (text.empty()) return LedgerName{};
  const auto id = ledger::parse_decimal(text);
  if (!id || *id == 0)
    return fail(Code::kInvalid, fmt::format("\"{}\" is the id of an account of the ledger, not \"{}\"", field, text));
  return LedgerName(*id);
}

Result<Amount> read_amount(systems::Body& body, const AssetDefinition& asset) {
  const std::string text = TRY(body.text("amount"));
  const std::optional<Amount> amount = amount_of(text, asset.decimals);
  if (!amount || *amount <= 0)
    return fail(Code::kInvalid,
                fmt::format("\"amount\" must be above 0 with at most {} decimals, not \"{}\"", asset.decimals, text));
  return *amount;
}

Result<uint32_t> read_day(systems::Body& body, uint32_t otherwise) {
  const auto day = static_cast<uint32_t>(TRY(body.number("day", 19700101, 22611231, otherwise)));
  if (!is_day(day)) return fail(Code::kInvalid, "\"day\" must be a date as yyyymmdd");
  return day;
}

Result<Funding*> with_ledger(Funding* funding) {
  if (funding) return funding;
  return fail(Code::kUnavailable,
              "money comes from the ledger, and the ledger is no part of this polis: start it, too");
}

}  // namespace

Admin::Json Admin::fund(http::Request& request, systems::Body& body) {
  Funding* funding = CO_TRY(with_ledger(parts_.funding));
  const AccountDefinition to = CO_TRY(account(CO_TRY(body.text("account"))));
  const AssetDefinition what = CO_TRY(asset(CO_TRY(body.text("asset"))));
  const Amount amount = CO_TRY(read_amount(body, what));
  const LedgerName from = CO_TRY(read_wallet(body, "wallet"));
  const LedgerName transfer = CO_TRY(read_wallet(body, "transfer"));
  CO_TRY(body.finish());
  CO_TRY(co_await funding->fund(to.id, what.id, amount, from, transfer));
  co_await record(request, "exchange:Fund",
                  fmt::format("{} {} {}", to.name.view(), amount_text(amount, what.decimals), what.symbol.view()));
  co_return co_await draw([&](systems::JsonWriter& out, const Venue& venue) {
    const Balance balance = venue.orders().balance(to.id, what.id);
    out.begin_object()
        .member("account", to.name.view())
        .member("asset", what.symbol.view())
        .member("total", amount_text(balance.total, what.decimals))
        .end_object();
  });
}

Admin::Json Admin::withdraw(http::Request& request, systems::Body& body) {
  Funding* funding = CO_TRY(with_ledger(parts_.funding));
  const AccountDefinition from = CO_TRY(account(CO_TRY(body.text("account"))));
  const AssetDefinition what = CO_TRY(asset(CO_TRY(body.text("asset"))));
  const Amount amount = CO_TRY(read_amount(body, what));
  const LedgerName to = CO_TRY(read_wallet(body, "wallet"));
  CO_TRY(body.finish());
  if (to.empty()) co_return fail(Code::kInvalid, "\"wallet\" is missing: an account of the ledger");
  const Report report = CO_TRY(co_await funding->withdraw(from.id, what.id, amount, to));
  co_await record(request, "exchange:Withdraw",
                  fmt::format("{} {} {}", from.name.view(), amount_text(amount, what.decimals), what.symbol.view()));
  systems::JsonWriter out;
  out.begin_object()
      .member("account", from.name.view())
      .member("asset", what.symbol.view())
      .member("total", amount_text(report.left, what.decimals))
      .end_object();
  co_return out.take();
}

Admin::Draft Admin::plan_settle(http::Request&, systems::Body& body) {
  const uint32_t day = CO_TRY(read_day(body, day_of(parts_.clock.wall().time_since_epoch().count())));
  CO_TRY(body.finish());
  if (!parts_.settlement)
    co_return fail(Code::kUnavailable, "the ledger is no part of this polis: there is nothing to settle with");
  systems::PlanDraft draft;
  draft.title = fmt::format("Close the trading day {}", day);
  draft.touches = {"day orders that are open end, client order ids may be used again",
                   "the day's net of every account and asset is booked in the ledger",
                   "the settlement file of the day is written"};
  draft.touched_count = draft.touches.size();
  draft.apply = [settlement = parts_.settlement, day]() -> Json {
    const DayRecord closed = CO_TRY(co_await settlement->settle(day));
    systems::JsonWriter out;
    out.begin_object()
        .count("day", closed.day)
        .count("lines", closed.lines)
        .digits("bytes", closed.file_bytes)
        .member("sha256", closed.sha256);
    if (!closed.problem.empty()) out.member("problem", closed.problem);
    out.end_object();
    co_return out.take();
  };
  co_return draft;
}

}  // namespace polis::exchange
