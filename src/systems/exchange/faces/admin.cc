#include "systems/exchange/faces/admin.h"

#include <fmt/format.h>

#include "kernel/auth/directory.h"
#include "systems/api.h"
#include "systems/exchange/faces/pictures.h"

namespace polis::exchange {

using http::Method;

namespace {

constexpr std::string_view kBase = "/api/exchange/v1/admin/";
constexpr std::string_view kDescribe = "exchange:Describe", kDefine = "exchange:Define", kOperate = "exchange:Operate",
                           kSetRisk = "exchange:SetRisk", kMoveMoney = "exchange:MoveMoney",
                           kSettle = "exchange:Settle";

Code code_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::kUnknownInstrument:
    case Refusal::kUnknownOrder:
    case Refusal::kBadAccount:
    case Refusal::kUnknownSession:
    case Refusal::kUnknownTrade:
      return Code::kNotFound;
    case Refusal::kHalted:
      return Code::kUnavailable;
    case Refusal::kBusy:
      return Code::kBusy;
    case Refusal::kBalance:
    case Refusal::kPending:
    case Refusal::kTooLate:
      return Code::kConflict;
    default:
      return Code::kInvalid;
  }
}

}  // namespace

Admin::Admin(AdminParts parts) : parts_(parts), home_(io::Shard::current()) {}

void Admin::mount(http::Router& router) {
  const auto add = [&](Method method, std::string_view rest, std::string_view right, Handler handler) {
    systems::mount(router, method, std::string(kBase) + std::string(rest), std::string(right),
                   [this, handler](http::Request& request) -> Json {
                     systems::Body body = CO_TRY(co_await systems::Body::read(request));
                     const auto there = [&] { return (this->*handler)(request, body); };
                     co_return co_await io::on(home_, there);
                   });
  };
  const auto plan = [&](Method method, std::string_view rest, std::string_view right, Drafter drafter) {
    systems::mount_plan(router, method, std::string(kBase) + std::string(rest), std::string(right), parts_.plans,
                        [this, drafter](http::Request& request) -> Draft {
                          systems::Body body = CO_TRY(co_await systems::Body::read(request));
                          const auto there = [&] { return (this->*drafter)(request, body); };
                          co_return co_await io::on(home_, there);
                        });
  };
  using enum Method;
  add(kGet, "status", kDescribe, &Admin::status);

  add(kGet, "instruments", kDescribe, &Admin::list_instruments);
  add(kPut, "instruments/{symbol}", kDefine, &Admin::put_instrument);
  add(kGet, "accounts", kDescribe, &Admin::list_accounts);
  add(kGet, "accounts/{account}", kDescribe, &Admin::show_account);
  add(kPut, "accounts/{account}", kDefine, &Admin::put_account);
  add(kGet, "sessions", kDescribe, &Admin::list_sessions);
  add(kPut, "sessions/{session}", kDefine, &Admin::put_session);
  add(kGet, "keys", kDescribe, &Admin::list_keys);
  add(kPost, "keys", kDefine, &Admin::make_key);
  add(kDelete, "keys/{key}", kDefine, &Admin::remove_key);

  add(kGet, "book/{symbol}", kDescribe, &Admin::show_book);
  add(kGet, "orders", kDescribe, &Admin::list_orders);
  add(kPost, "phase", kOperate, &Admin::set_phase);
  add(kPost, "cancel", kOperate, &Admin::cancel_all);
  add(kPost, "accept", kOperate, &Admin::go_on);
  plan(kPost, "break", kOperate, &Admin::plan_break);

  add(kGet, "risk/{account}", kDescribe, &Admin::show_risk);
  add(kPut, "risk/{account}", kSetRisk, &Admin::put_risk);
  add(kPost, "kill", kSetRisk, &Admin::kill);
  add(kPost, "restrict", kSetRisk, &Admin::restrict);

  add(kPost, "replay", kDescribe, &Admin::replay);

  add(kPost, "fund", kMoveMoney, &Admin::fund);
  add(kPost, "withdraw", kMoveMoney, &Admin::withdraw);
  plan(kPost, "settle", kSettle, &Admin::plan_settle);
}

Result<void> Admin::declare_topics(systems::LiveTopics& topics) {
  return topics.declare({.name = "exchange.live",
                         .action = std::string(kDescribe),
                         .interval = std::chrono::milliseconds(250),
                         .sample = [this]() -> Json { return live(); }});
}

Task<Result<Report>> Admin::ask(const Request& request) {
  Report report = CO_TRY(co_await parts_.venue.ask(request));
  if (report.kind == ReportKind::kDenied)
    co_return fail(code_of(report.refusal), std::string(refusal_text(report.refusal)));
  co_return report;
}

Admin::Json Admin::draw(std::function<void(systems::JsonWriter&, const Venue&)> picture) {
  systems::JsonWriter out;
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) { picture(out, venue); }));
  co_return out.take();
}

Result<InstrumentDefinition> Admin::instrument(std::string_view symbol) const {
  if (const InstrumentDefinition* found = parts_.roster.instrument(symbol)) return *found;
  return fail(Code::kNotFound, fmt::format("there is no instrument \"{}\"", symbol));
}
Result<AccountDefinition> Admin::account(std::string_view name) const {
  if (const AccountDefinition* found = parts_.roster.account(name)) return *found;
  return fail(Code::kNotFound, fmt::format("there is no account \"{}\"", name));
}
Result<AssetDefinition> Admin::asset(std::string_view symbol) const {
  if (const AssetDefinition* found = parts_.roster.asset(symbol)) return *found;
  return fail(Code::kNotFound, fmt::format("there is no asset \"{}\"", symbol));
}

Task<void> Admin::record(const http::Request& request, std::string action, std::string resource) {
  auth::AuditLog& audit = parts_.auth.audit();
  // The change is made and durable; a full audit log is told by its own health.
  static_cast<void>(co_await audit.record(audit.describe(systems::actor(request), action, resource)));
}

std::string Admin::status_json() const {
  const RuntimeStatistics now = parts_.venue.statistics();
  const Result<void> status = parts_.venue.status();
  systems::JsonWriter out;
  out.begin_object()
      .member("threads", now.fused ? "fused" : "split")
      .flag("halted", now.halted)
      .flag("healthy", status.has_value());
  if (now.halted) out.member("halted_why", now.halted_why);
  if (!status) out.member("failure", status.error().text());
  out.digits("sequence", now.sequence)
      .digits("durable", now.durable)
      .digits("shadow", now.shadow)
      .digits("snapshot", now.snapshot)
      .digits("requests", now.requests)
      .digits("reports", now.reports)
      .digits("trades", now.trades)
      .digits("replayed", now.replayed)
      .digits("journal_bytes", now.journal_bytes)
      .digits("syncs", now.syncs)
      .count("instruments", parts_.roster.instruments().size())
      .count("accounts", parts_.roster.accounts().size())
      .count("sessions", parts_.roster.sessions().size());
  // Who listens on the bus, and how far behind the writer each is.
  out.key("readers").begin_object();
  for (const Bus::CursorView& cursor : parts_.venue.bus().cursors())
    out.text_key(cursor.name)
        .begin_object()
        .flag("gating", cursor.gating)
        .digits("sequence", cursor.sequence)
        .digits("lag", now.sequence > cursor.sequence ? now.sequence - cursor.sequence : 0)
        .end_object();
  out.end_object().end_object();
  return out.take();
}

Admin::Json Admin::status(http::Request&, systems::Body& body) {
  CO_TRY(body.finish());
  co_return status_json();
}

Admin::Json Admin::live() {
  const auto there = [this]() -> Json { co_return status_json(); };
  co_return co_await io::on(home_, there);
}

}  // namespace polis::exchange
