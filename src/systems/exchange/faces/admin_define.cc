// Definitions: instruments with their assets, accounts, sessions.
#include <fmt/format.h>

#include "systems/exchange/faces/admin.h"
#include "systems/exchange/faces/api_keys.h"
#include "systems/exchange/faces/calendar.h"
#include "systems/exchange/faces/pictures.h"
#include "systems/exchange/faces/terms.h"
#include "systems/exchange/gateway/gateway.h"
#include "systems/exchange/words.h"

namespace polis::exchange {
namespace {

Request defining(RequestKind kind) {
  Request request;
  request.kind = kind;
  return request;
}

}  // namespace

// --- instruments

Admin::Json Admin::list_instruments(http::Request&, systems::Body& body) {
  CO_TRY(body.finish());
  co_return co_await draw([](systems::JsonWriter& out, const Venue& venue) {
    const OrderManager& orders = venue.orders();
    out.begin_object().key("instruments").begin_object();
    for (InstrumentId id = 1; id <= orders.instruments(); ++id) {
      const InstrumentDefinition& one = *orders.instrument(id);
      out.text_key(one.symbol.view());
      write_definition(out, orders, one);
    }
    out.end_object().end_object();
  });
}

Task<Result<AssetId>> Admin::defined_asset(AssetDefinition asset) {
  if (asset.id != 0) co_return asset.id;
  asset.id = static_cast<AssetId>(parts_.roster.assets().size() + 1);
  Request request = defining(RequestKind::kAsset);
  request.body.asset = asset;
  CO_TRY(co_await ask(request));
  parts_.roster.put(asset);
  co_return asset.id;
}

Admin::Json Admin::put_instrument(http::Request& request, systems::Body& body) {
  CO_TRY(co_await changing_.acquire());
  const ChangingTurn turn(changing_);
  WantedInstrument wanted = CO_TRY(read_instrument(body, request.param("symbol"), parts_.roster));
  CO_TRY(body.finish());
  InstrumentDefinition& definition = wanted.definition;
  const bool is_new = definition.id == 0;
  if (is_new) {
    definition.base = CO_TRY(co_await defined_asset(wanted.base));
    definition.quote = CO_TRY(co_await defined_asset(wanted.quote));
    definition.id = static_cast<InstrumentId>(parts_.roster.instruments().size() + 1);
  }
  Request define = defining(RequestKind::kInstrument);
  define.body.instrument = definition;
  define.instrument = definition.id;
  CO_TRY(co_await ask(define));
  parts_.roster.put(definition);
  if (is_new) {
    // What its calendar says of now; later turns are the clerk's (phases.h).
    Request phase = defining(RequestKind::kPhase);
    phase.instrument = definition.id;
    phase.body.phase = phase_at(definition.calendar, parts_.clock.wall().time_since_epoch().count()).phase;
    if (phase.body.phase != Phase::kClosed) CO_TRY(co_await ask(phase));
  }
  co_await record(request, "exchange:DefineInstrument", std::string(definition.symbol.view()));
  co_return co_await draw(
      [&](systems::JsonWriter& out, const Venue& venue) { write_definition(out, venue.orders(), definition); });
}

// --- accounts

Admin::Json Admin::list_accounts(http::Request& request, systems::Body& body) {
  constexpr int64_t kPage = 1'000;
  const int64_t after = CO_TRY(systems::number_parameter(request, "after", 0, 0, UINT32_MAX));
  CO_TRY(body.finish());
  const std::vector<AccountDefinition>& all = parts_.roster.accounts();
  systems::JsonWriter out;
  out.begin_object().key("accounts").begin_array();
  size_t at = static_cast<size_t>(after);
  const size_t end = std::min(all.size(), at + kPage);
  for (; at < end; ++at) out.text(all[at].name.view());
  out.end_array();
  if (at < all.size()) out.count("next", at);
  out.end_object();
  co_return out.take();
}

Admin::Json Admin::show_account(http::Request& request, systems::Body& body) {
  const AccountDefinition known = CO_TRY(account(request.param("account")));
  CO_TRY(body.finish());
  co_return co_await draw([&](systems::JsonWriter& out, const Venue& venue) { write_account(out, venue, known.id); });
}

Admin::Json Admin::put_account(http::Request& request, systems::Body& body) {
  const std::string name(request.param("account"));
  CO_TRY(body.finish());
  CO_TRY(co_await changing_.acquire());
  const ChangingTurn turn(changing_);
  if (!parts_.roster.account(name)) {
    if (name.empty() || !Name::fits(name) || !std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7f; }))
      co_return fail(Code::kInvalid, "an account's name has 1 to 24 printable characters without spaces");
    AccountDefinition definition;
    definition.id = static_cast<AccountId>(parts_.roster.accounts().size() + 1);
    definition.name = Name(name);
    Request define = defining(RequestKind::kAccount);
    define.body.account = definition;
    CO_TRY(co_await ask(define));
    parts_.roster.put(definition);
    co_await record(request, "exchange:DefineAccount", name);
  }
  systems::JsonWriter out;
  out.begin_object().member("account", name).end_object();
  co_return out.take();
}

// --- sessions

Admin::Json Admin::list_sessions(http::Request&, systems::Body& body) {
  CO_TRY(body.finish());
  std::vector<gateway::SessionView> connected;
  if (parts_.gateway) connected = co_await parts_.gateway->sessions();
  co_return co_await draw([&](systems::JsonWriter& out, const Venue& venue) {
    const OrderManager& orders = venue.orders();
    out.begin_object().key("sessions").begin_array();
    for (SessionId id = 1; id <= orders.sessions(); ++id) {
      const auto view = std::ranges::find(connected, id, &gateway::SessionView::id);
      write_definition(out, orders, *orders.session(id), view == connected.end() ? nullptr : &*view);
    }
    out.end_array().end_object();
  });
}

Admin::Json Admin::put_session(http::Request& request, systems::Body& body) {
  CO_TRY(co_await changing_.acquire());
  const ChangingTurn turn(changing_);
  SessionDefinition definition = CO_TRY(read_session(body, request.param("session"), parts_.roster));
  const bool has_password = body.has("password");
  const std::string password = CO_TRY(body.text("password", ""));
  CO_TRY(body.finish());
  if (definition.id == 0) definition.id = static_cast<SessionId>(parts_.roster.sessions().size() + 1);
  // The password stands before the session can be used.
  if (has_password && parts_.gateway)
    CO_TRY(co_await parts_.gateway->set_password(std::string(definition.name.view()), password));
  Request define = defining(RequestKind::kSession);
  define.body.session = definition;
  CO_TRY(co_await ask(define));
  parts_.roster.put(definition);
  co_await record(request, "exchange:DefineSession", std::string(definition.name.view()));
  co_return co_await draw([&](systems::JsonWriter& out, const Venue& venue) {
    write_definition(out, venue.orders(), definition, nullptr);
  });
}

// --- keys of the REST face

Admin::Json Admin::list_keys(http::Request&, systems::Body& body) {
  CO_TRY(body.finish());
  systems::JsonWriter out;
  out.begin_object().key("keys").begin_array();
  for (const ApiKey& key : parts_.keys.all())
    out.begin_object()
        .member("key", key.id)
        .member("session", key.session - 1 < parts_.roster.sessions().size()
                               ? parts_.roster.sessions()[key.session - 1].name.view()
                               : std::string_view())
        .member("created", venue_time_text(key.created.time_since_epoch().count()))
        .end_object();
  out.end_array().end_object();
  co_return out.take();
}

// The one answer that has the secret.
Admin::Json Admin::make_key(http::Request& request, systems::Body& body) {
  const std::string name = CO_TRY(body.text("session"));
  CO_TRY(body.finish());
  const SessionDefinition* session = parts_.roster.session(name);
  if (!session) co_return fail(Code::kNotFound, fmt::format("there is no session \"{}\"", name));
  if (session->role != SessionRole::kOrders)
    co_return fail(Code::kInvalid, fmt::format("session {} enters no orders: a key would be of no use", name));
  const ApiKeys::Issued issued = CO_TRY(co_await parts_.keys.issue(session->id));
  co_await record(request, "exchange:MakeKey", fmt::format("{} for {}", issued.key.id, name));
  systems::JsonWriter out;
  out.begin_object().member("key", issued.key.id).member("secret", issued.secret).member("session", name).end_object();
  co_return out.take();
}

Admin::Json Admin::remove_key(http::Request& request, systems::Body& body) {
  const std::string key(request.param("key"));
  CO_TRY(body.finish());
  CO_TRY(co_await parts_.keys.remove(key));
  co_await record(request, "exchange:RemoveKey", key);
  systems::JsonWriter out;
  out.begin_object().member("removed", key).end_object();
  co_return out.take();
}

}  // namespace polis::exchange
