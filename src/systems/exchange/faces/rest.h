// Rest: the venue for programs of brokers and traders, over HTTP below /api/exchange/v1 on the main port. JSON,
// decimals as texts. Trading and everything of an account needs an API key and its signature (api_keys.h):
//
//     X-Exchange-Key: PXK...     X-Exchange-Timestamp: milliseconds     X-Exchange-Signature: hex
//
//     GET    time                                                  anybody
//     GET    instruments, book/{symbol}?level=1|2|3&depth=, trades?symbol=&before=&limit=
//     POST   orders {client_id, symbol, side, order_type, quantity, ...}
//     GET    orders[?history=true&before=&limit=], orders/{order}; PUT orders/{order}; DELETE orders/{order}, orders
//     GET    fills?order=&symbol=&from=&to=&before=&limit=, balances
//     GET    settlement/{date}                                     CSV, of the caller's account
//
// Who is signed in to polis with exchange:Describe may look at the same, of the account that ?account=NAME names, and
// has the settlement of all accounts without it.
//
// An order is accepted once for a client_id and a trading day: sent again, it answers the order that stands. Answers
// say only what is as safe as the venue's `ack` promises. Errors: {"error":{"code","message","seq"}}, and "reason" with
// the venue's words where it rejected (422).
//
// Handlers run on every shard, all work on the venue's home shard.
#pragma once

#include <atomic>
#include <map>
#include <string>

#include "kernel/http/request.h"
#include "kernel/http/response.h"
#include "kernel/http/router.h"
#include "systems/exchange/faces/api_keys.h"
#include "systems/exchange/reporting/reports.h"
#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {

class Settlement;

// All of it outlives the Rest.
struct RestParts {
  VenueRuntime& venue;
  Reports& reports;
  ApiKeys& keys;
  const Clock& clock;
  AckMode ack = AckMode::kDisk;
  Settlement* settlement = nullptr;  // null: no ledger, no settlement
};

// An order with every field has 600 bytes.
inline constexpr uint64_t kRestBodyBytesMax = 16 << 10;
inline constexpr int kRestRequestsMax = 1024;

class Rest {
 public:
  // On the venue's home shard.
  explicit Rest(RestParts parts);

  // During start of the system, once.
  void mount(http::Router& router);

 private:
  struct Answer {
    int status = 200;
    std::string body;
  };
  // Who asks: `account` 0 is a signed-in user who named none.
  struct Caller {
    SessionId session = 0;
    AccountId account = 0;
    bool by_key = false;
  };
  struct Call {
    const http::Request& request;
    std::string body;
    Caller caller;
  };
  using Answering = Task<Result<Answer>>;
  using Handler = Answering (Rest::*)(Call& call);
  enum class Access : uint8_t { kOpen, kMarket, kAccount, kTrade };

  // --- rest.cc
  void route(http::Router& router, http::Method method, std::string_view path, Access access, Handler handler);
  Task<void> serve(http::Request& request, http::Response& response, Access access, Handler handler);
  Task<void> serve_settlement(http::Request& request, http::Response& response);
  Answering handle(Call& call, Access access, Handler handler);
  // kUnauthenticated, kDenied; kBusy: too many requests of this session.
  Task<Result<Caller>> identify(const Call& call, Access access);
  Result<void> spend(SessionId session, const SessionDefinition& definition);
  Answer fault(int status, std::string_view code, std::string_view message, std::string_view reason = {}) const;
  Answer fault(const Error& error) const;
  Answer fault(Refusal refusal) const;
  static Task<void> send(http::Response& response, const Answer& answer);
  // What was seen of the live venue may be told: as safe as `ack` says.
  Task<Result<void>> settled();

  // --- rest_orders.cc
  struct Wish;
  Answering make_order(Call& call);
  Answering replace_order(Call& call);
  Answering cancel_order(Call& call);
  Answering cancel_orders(Call& call);
  Answering list_orders(Call& call);
  Answering show_order(Call& call);
  Task<Result<Answer>> order_answer(int status, OrderId order, AccountId account);
  Task<Result<std::optional<OrderRecord>>> find_order(OrderId order, AccountId account);

  // --- rest_looks.cc
  Answering show_time(Call& call);
  Answering list_instruments(Call& call);
  Answering show_book(Call& call);
  Answering list_trades(Call& call);
  Answering list_fills(Call& call);
  Answering list_balances(Call& call);

  // What numbers of an instrument mean; empty if there is none.
  Task<Result<std::optional<InstrumentDefinition>>> instrument(std::string_view symbol);

  struct Bucket {
    double tokens = 0;
    SteadyTime at{};
  };
  const RestParts parts_;
  io::Shard& home_;
  std::atomic<int> requests_{0};
  std::map<SessionId, Bucket> buckets_;
};

}  // namespace polis::exchange
