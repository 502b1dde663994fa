#include "systems/exchange/faces/rest.h"

#include <algorithm>
#include <fmt/format.h>

#include "systems/api.h"
#include "systems/body.h"
#include "systems/exchange/reporting/settlement.h"
#include "systems/json_writer.h"

namespace polis::exchange {
namespace {

constexpr std::string_view kRestBase = "/api/exchange/v1/";
constexpr std::string_view kKeyField = "X-Exchange-Key";
constexpr std::string_view kTimestampField = "X-Exchange-Timestamp";
constexpr std::string_view kSignatureField = "X-Exchange-Signature";
constexpr std::string_view kLookRight = "exchange:Describe";

// The account that a signed-in user names; 0: none.
Result<AccountId> named_account(const Venue& venue, std::string_view name) {
  const OrderManager& orders = venue.orders();
  for (AccountId id = 1; id <= orders.accounts(); ++id)
    if (orders.account(id)->name.view() == name) return id;
  return fail(Code::kNotFound, fmt::format("there is no account {}", name));
}

}  // namespace

Rest::Rest(RestParts parts) : parts_(parts), home_(io::Shard::current()) {}

void Rest::mount(http::Router& router) {
  using http::Method;
  route(router, Method::kGet, "time", Access::kOpen, &Rest::show_time);
  route(router, Method::kGet, "instruments", Access::kMarket, &Rest::list_instruments);
  route(router, Method::kGet, "book/{symbol}", Access::kMarket, &Rest::show_book);
  route(router, Method::kGet, "trades", Access::kMarket, &Rest::list_trades);
  route(router, Method::kPost, "orders", Access::kTrade, &Rest::make_order);
  route(router, Method::kGet, "orders", Access::kAccount, &Rest::list_orders);
  route(router, Method::kDelete, "orders", Access::kTrade, &Rest::cancel_orders);
  route(router, Method::kGet, "orders/{order}", Access::kAccount, &Rest::show_order);
  route(router, Method::kPut, "orders/{order}", Access::kTrade, &Rest::replace_order);
  route(router, Method::kDelete, "orders/{order}", Access::kTrade, &Rest::cancel_order);
  route(router, Method::kGet, "fills", Access::kAccount, &Rest::list_fills);
  route(router, Method::kGet, "balances", Access::kAccount, &Rest::list_balances);
  router.get(std::string(kRestBase) + "settlement/{date}",
             [this](http::Request& request, http::Response& response) { return serve_settlement(request, response); });
}

void Rest::route(http::Router& router, http::Method method, std::string_view path, Access access, Handler handler) {
  router.add(method, std::string(kRestBase).append(path),
             [this, access, handler](http::Request& request, http::Response& response) {
               return serve(request, response, access, handler);
             },
             {.body_size_bytes_max = kRestBodyBytesMax});
}

Task<void> Rest::serve(http::Request& request, http::Response& response, Access access, Handler handler) {
  Call call{.request = request, .body = {}, .caller = {}};
  if (request.has_body()) {
    const auto body = co_await request.read_all(kRestBodyBytesMax);
    if (!body) co_return co_await send(response, fault(body.error()));
    call.body = as_text(*body);
  }
  if (requests_.fetch_add(1) >= kRestRequestsMax) {
    requests_.fetch_sub(1);
    co_return co_await send(response, fault(Error(Code::kBusy, "too many requests at once: come again in a second")));
  }
  const Result<Answer> answer =
      co_await io::on(home_, [this, &call, access, handler] { return handle(call, access, handler); });
  requests_.fetch_sub(1);
  co_await send(response, answer ? *answer : fault(answer.error()));
}

Rest::Answering Rest::handle(Call& call, Access access, Handler handler) {
  call.caller = CO_TRY(co_await identify(call, access));
  co_return co_await (this->*handler)(call);
}

Task<Result<Rest::Caller>> Rest::identify(const Call& call, Access access) {
  Caller caller;
  if (access == Access::kOpen) co_return caller;
  const http::Request& request = call.request;
  if (const auto key = request.field(kKeyField)) {
    const ApiKey found = CO_TRY(parts_.keys.verify({.key = *key,
                                                    .timestamp = request.field(kTimestampField).value_or(""),
                                                    .signature = request.field(kSignatureField).value_or(""),
                                                    .method = request.method_text(),
                                                    .target = request.target(),
                                                    .body = call.body}));
    std::optional<SessionDefinition> session;
    CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) {
      if (const SessionDefinition* one = venue.orders().session(found.session)) session = *one;
    }));
    if (!session || !session->enabled || session->role != SessionRole::kOrders)
      co_return fail(Code::kDenied, "the session of this key does not trade");
    CO_TRY(spend(found.session, *session));
    co_return Caller{.session = found.session, .account = session->account, .by_key = true};
  }
  if (systems::principal(request)->anonymous())
    co_return fail(Code::kUnauthenticated, fmt::format("sign the request with an API key ({})", kKeyField));
  if (access == Access::kTrade) co_return fail(Code::kDenied, "orders are signed with an API key");
  CO_TRY(systems::authorize(request, kLookRight));
  const std::string name = CO_TRY(systems::text_parameter(request, "account", 64));
  if (name.empty()) {
    if (access == Access::kAccount) co_return fail(Code::kInvalid, "\"account\" says whose; it is missing");
    co_return caller;
  }
  Result<AccountId> account = 0;
  CO_TRY(co_await parts_.venue.inspect([&](const Venue& venue) { account = named_account(venue, name); }));
  caller.account = CO_TRY(std::move(account));
  co_return caller;
}

// A token bucket of each session, as its FIX messages have one.
Result<void> Rest::spend(SessionId session, const SessionDefinition& definition) {
  if (definition.rate_per_second == 0) return {};
  const double burst = std::max(definition.rate_burst, 1u);
  const SteadyTime now = parts_.clock.steady();
  auto [place, first] = buckets_.try_emplace(session, Bucket{.tokens = burst, .at = now});
  Bucket& bucket = place->second;
  const double seconds = std::chrono::duration<double>(now - bucket.at).count();
  bucket.tokens = std::min(burst, bucket.tokens + seconds * definition.rate_per_second);
  bucket.at = now;
  if (bucket.tokens < 1) return fail(Code::kBusy, "Rate limit");
  bucket.tokens -= 1;
  return {};
}

Task<Result<void>> Rest::settled() {
  if (parts_.ack != AckMode::kDisk) co_return Result<void>();
  co_return co_await parts_.venue.wait_durable(parts_.venue.statistics().sequence - 1);
}

// --- answers

Rest::Answer Rest::fault(int status, std::string_view code, std::string_view message, std::string_view reason) const {
  systems::JsonWriter out;
  out.begin_object().key("error").begin_object().member("code", code).member("message", message);
  if (!reason.empty()) out.member("reason", reason);
  out.count("seq", parts_.venue.statistics().sequence - 1).end_object().end_object();
  return {.status = status, .body = out.take()};
}

Rest::Answer Rest::fault(const Error& error) const {
  const std::string& message = error.message();
  switch (error.code()) {
    case Code::kUnauthenticated:
      return fault(401, "bad_signature", message);
    case Code::kDenied:
      return fault(403, "not_allowed", message);
    case Code::kNotFound:
      return fault(404, "not_found", message);
    case Code::kBusy:
      return fault(429, "too_many_requests", message);
    case Code::kInvalid:
    case Code::kOutOfRange:
      return fault(400, "bad_request", message);
    case Code::kTooLarge:
      return fault(413, "bad_request", message);
    case Code::kUnavailable:
    case Code::kClosed:
    case Code::kCancelled:
    case Code::kTimeout:
      return fault(503, "halted", message);
    default:
      return fault(500, "failed", message);
  }
}

Rest::Answer Rest::fault(Refusal refusal) const {
  const std::string_view text = refusal_text(refusal);
  switch (refusal) {
    case Refusal::kUnknownInstrument:
      return fault(404, "unknown_symbol", text);
    case Refusal::kUnknownOrder:
      return fault(404, "unknown_order", text);
    case Refusal::kDuplicateClientId:
      return fault(409, "duplicate_client_id", text);
    case Refusal::kRateLimit:
    case Refusal::kBusy:
      return fault(429, "too_many_requests", text);
    case Refusal::kHalted:
      return fault(503, "halted", text);
    case Refusal::kUnknownSession:
    case Refusal::kBadAccount:
      return fault(403, "not_allowed", text);
    default:
      return fault(422, "rejected", text, text);
  }
}

Task<void> Rest::send(http::Response& response, const Answer& answer) {
  response.status(answer.status).set(http::Field::kCacheControl, "no-store");
  if (answer.status == 429 || answer.status == 503) response.set("Retry-After", "1");
  // A client that has gone needs no answer; the connection notices by itself.
  (void)co_await response.send("application/json", answer.body);
}

// --- the settlement file, which is written while it is read

Task<void> Rest::serve_settlement(http::Request& request, http::Response& response) {
  Call call{.request = request, .body = {}, .caller = {}};
  const auto caller = co_await io::on(home_, [this, &call] { return identify(call, Access::kMarket); });
  if (!caller) co_return co_await send(response, fault(caller.error()));
  std::string date(request.param("date"));
  std::erase(date, '-');
  uint32_t day = 0;
  for (const char digit : date)
    day = digit >= '0' && digit <= '9' && day < 100'000'000 ? day * 10 + (digit - '0') : UINT32_MAX;
  if (!is_day(day)) co_return co_await send(response, fault(400, "bad_request", "\"date\" must be yyyy-mm-dd"));
  if (!parts_.settlement)
    co_return co_await send(response, fault(404, "not_found", "nothing is settled here: this polis has no ledger"));
  response.status(200)
      .set("Content-Type", "text/csv; charset=utf-8")
      .set(http::Field::kCacheControl, "no-store")
      .set("Content-Disposition", fmt::format("attachment; filename=\"settlement-{}.csv\"", day));
  bool begun = false;
  const std::function<Task<Result<void>>(std::string_view)> piece = [&](std::string_view text) -> Task<Result<void>> {
    begun = true;
    return response.write(text);
  };
  const auto done = co_await parts_.settlement->read(day, caller->account, piece);
  if (done) {
    (void)co_await response.finish();
  } else if (!begun) {
    response.remove("Content-Disposition");
    co_await send(response, fault(done.error()));
  }
  // An error in the middle leaves the body unfinished, which the client sees.
}

}  // namespace polis::exchange
