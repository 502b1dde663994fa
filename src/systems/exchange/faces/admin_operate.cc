// Running the market: books, phases, risk, breaks, looking back.
#include <fmt/format.h>

#include "systems/exchange/faces/admin.h"
#include "systems/exchange/faces/pictures.h"
#include "systems/exchange/faces/terms.h"
#include "systems/exchange/words.h"

namespace polis::exchange {
namespace {

Request operating(RequestKind kind, InstrumentId instrument = 0) {
  Request request;
  request.kind = kind;
  request.instrument = instrument;
  return request;
}

std::string done() {
  return "{\"done\":true}";
}

}  // namespace

// --- looking

Admin::Json Admin::show_book(http::Request& request, systems::Body& body) {
  const InstrumentDefinition terms = CO_TRY(instrument(request.param("symbol")));
  BookPicture wish;
  wish.depth = static_cast<size_t>(CO_TRY(systems::number_parameter(request, "depth", 10, 1, kPictureLevelsMax)));
  wish.queues = CO_TRY(systems::text_parameter(request, "queues")) == "true";
  CO_TRY(body.finish());
  co_return co_await draw(
      [&](systems::JsonWriter& out, const Venue& venue) { write_book(out, venue, terms.id, wish); });
}

Admin::Json Admin::list_orders(http::Request& request, systems::Body& body) {
  const AccountDefinition of = CO_TRY(account(CO_TRY(systems::text_parameter(request, "account"))));
  const auto most = static_cast<size_t>(CO_TRY(systems::number_parameter(request, "limit", 100, 1, kPictureOrdersMax)));
  CO_TRY(body.finish());
  co_return co_await draw([&](systems::JsonWriter& out, const Venue& venue) {
    out.begin_object().key("orders");
    write_orders(out, venue, of.id, most);
    out.end_object();
  });
}

Admin::Json Admin::replay(http::Request&, systems::Body& body) {
  Journey journey;
  journey.to = static_cast<Sequence>(CO_TRY(body.number("to", 0, INT64_MAX, 0)));
  journey.from_beginning = CO_TRY(body.boolean("verify", false));
  journey.book = CO_TRY(body.text("book", ""));
  journey.depth = static_cast<size_t>(CO_TRY(body.number("depth", 1, kPictureLevelsMax, 10)));
  journey.account = CO_TRY(body.text("account", ""));
  journey.orders = CO_TRY(body.boolean("orders", false));
  journey.balances = CO_TRY(body.boolean("balances", false));
  CO_TRY(body.finish());
  // What has happened up to now is on disk before the journal is read.
  if (const Sequence next = parts_.venue.statistics().sequence; next > 1)
    CO_TRY(co_await parts_.venue.wait_durable(next - 1));
  co_return co_await parts_.travel.go(std::move(journey));
}

// --- the market

Admin::Json Admin::set_phase(http::Request& request, systems::Body& body) {
  const std::string symbol = CO_TRY(body.text("symbol", ""));
  const Phase phase = CO_TRY(parse_word<Phase>("\"phase\"", CO_TRY(body.text("phase"))));
  CO_TRY(body.finish());
  const InstrumentId id = symbol.empty() ? 0 : CO_TRY(instrument(symbol)).id;
  Request change = operating(RequestKind::kPhase, id);
  change.body.phase = phase;
  CO_TRY(co_await ask(change));
  co_await record(request, "exchange:SetPhase",
                  fmt::format("{}: {}", symbol.empty() ? std::string("all") : symbol, word(phase)));
  co_return done();
}

Admin::Json Admin::cancel_all(http::Request& request, systems::Body& body) {
  const AccountDefinition of = CO_TRY(account(CO_TRY(body.text("account"))));
  const std::string symbol = CO_TRY(body.text("symbol", ""));
  CO_TRY(body.finish());
  Request cancel = operating(RequestKind::kMassCancel, symbol.empty() ? 0 : CO_TRY(instrument(symbol)).id);
  cancel.body.order = OrderFields();
  cancel.body.order.account = of.id;
  const Report report = CO_TRY(co_await ask(cancel));
  if (report.refusal != Refusal::kNone) co_return fail(Code::kInvalid, std::string(refusal_text(report.refusal)));
  co_await record(request, "exchange:CancelAll", std::string(of.name.view()));
  systems::JsonWriter out;
  out.begin_object().count("cancelled", static_cast<uint64_t>(report.quantity)).end_object();
  co_return out.take();
}

Admin::Json Admin::go_on(http::Request& request, systems::Body& body) {
  CO_TRY(body.finish());
  CO_TRY(co_await ask(operating(RequestKind::kAccept)));
  co_await record(request, "exchange:Accept", "venue");
  co_return done();
}

Admin::Draft Admin::plan_break(http::Request&, systems::Body& body) {
  const InstrumentDefinition terms = CO_TRY(instrument(CO_TRY(body.text("symbol"))));
  const auto match = static_cast<MatchId>(CO_TRY(body.number("match", 1, INT64_MAX)));
  CO_TRY(body.finish());
  systems::PlanDraft draft;
  draft.title = fmt::format("Break trade {} of {}", match, terms.symbol.view());
  draft.touches = {"both sides get back what they gave, with their fees; both are told"};
  draft.touched_count = 1;
  draft.apply = [this, id = terms.id, match]() -> Json {
    Request broken = operating(RequestKind::kBreakTrade, id);
    broken.body.trade = {.instrument = id, .match = match};
    CO_TRY(co_await ask(broken));
    co_return done();
  };
  co_return draft;
}

// --- risk

Task<Result<RiskLimits>> Admin::limits_of(AccountId account) {
  RiskLimits limits;
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) {
    if (const RiskLimits* found = venue.orders().risk(account)) limits = *found;
  }));
  co_return limits;
}

Admin::Json Admin::show_risk(http::Request& request, systems::Body& body) {
  const AccountDefinition of = CO_TRY(account(request.param("account")));
  CO_TRY(body.finish());
  systems::JsonWriter out;
  write_limits(out, CO_TRY(co_await limits_of(of.id)));
  co_return out.take();
}

Admin::Json Admin::put_risk(http::Request& request, systems::Body& body) {
  const AccountDefinition of = CO_TRY(account(request.param("account")));
  CO_TRY(co_await changing_.acquire());
  const ChangingTurn turn(changing_);
  const RiskLimits limits = CO_TRY(read_limits(body, CO_TRY(co_await limits_of(of.id))));
  CO_TRY(body.finish());
  Request change = operating(RequestKind::kRisk);
  change.body.risk = {.account = of.id, .limits = limits};
  CO_TRY(co_await ask(change));
  co_await record(request, "exchange:SetRisk", std::string(of.name.view()));
  systems::JsonWriter out;
  write_limits(out, limits);
  co_return out.take();
}

Admin::Json Admin::kill(http::Request& request, systems::Body& body) {
  const AccountDefinition of = CO_TRY(account(CO_TRY(body.text("account"))));
  const bool killed = CO_TRY(body.boolean("killed", true));
  CO_TRY(body.finish());
  CO_TRY(co_await changing_.acquire());
  const ChangingTurn turn(changing_);
  RiskLimits limits = CO_TRY(co_await limits_of(of.id));
  limits.killed = killed;
  Request change = operating(RequestKind::kRisk);
  change.body.risk = {.account = of.id, .limits = limits};
  CO_TRY(co_await ask(change));
  co_await record(request, killed ? "exchange:Kill" : "exchange:Revive", std::string(of.name.view()));
  systems::JsonWriter out;
  out.begin_object().member("account", of.name.view()).flag("killed", killed).end_object();
  co_return out.take();
}

Admin::Json Admin::restrict(http::Request& request, systems::Body& body) {
  const std::string name = CO_TRY(body.text("account", ""));
  const InstrumentDefinition terms = CO_TRY(instrument(CO_TRY(body.text("symbol"))));
  const bool restricted = CO_TRY(body.boolean("restricted", true));
  CO_TRY(body.finish());
  Request change = operating(RequestKind::kRestrict, terms.id);
  change.body.restriction = {
      .account = name.empty() ? 0 : CO_TRY(account(name)).id, .instrument = terms.id, .restricted = restricted};
  CO_TRY(co_await ask(change));
  co_await record(request, restricted ? "exchange:Restrict" : "exchange:Allow",
                  fmt::format("{} for {}", terms.symbol.view(), name.empty() ? std::string("everybody") : name));
  co_return done();
}

}  // namespace polis::exchange
