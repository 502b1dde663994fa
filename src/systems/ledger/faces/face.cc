#include "systems/ledger/faces/face.h"

#include <fmt/format.h>

#include "kernel/base/time_format.h"
#include "kernel/http/message.h"
#include "systems/api.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/json_writer.h"

namespace polis::ledger {
namespace {

using http::Method;

constexpr std::string_view kPrefixes[] = {"/ledger/v1", "/api/ledger/v1"};

int status_of(Code code) {
  // Nothing is broken: there is too much at once.
  if (code == Code::kBusy) return 429;
  return http::status_of(code);
}

// Names by rows.
class RowNames final : public NameBook {
 public:
  RowNames(store::Store& store, store::Keyspace rows, Books& books) : store_(store), rows_(rows), books_(books) {}

  Task<Result<std::vector<std::string>>> names(std::vector<Id> accounts) override {
    std::vector<std::string> found;
    auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
    for (Id id : accounts) {
      auto row = CO_TRY(co_await txn->get(rows_, account_key(id)));
      found.push_back(row ? CO_TRY(decode_account(row->value)).name : std::string());
    }
    co_return found;
  }

  Task<Result<std::vector<Id>>> find(std::string text, size_t limit) override {
    std::vector<Id> found;
    auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
    store::KeyRange range = store::prefix_range(names_prefix({}));
    // A text in the middle of a name has no index; beyond so many names only the first ones are searched.
    for (size_t examined = 0; examined < kNamesExaminedMax && found.size() < limit;) {
      store::Scan scan = CO_TRY(co_await txn->scan(rows_, range));
      for (const store::Row& row : scan.rows) {
        if (row.key.find(text, 1) == std::string::npos) continue;
        found.push_back(CO_TRY(decode_id(row.value)));
        if (found.size() == limit) break;
      }
      examined += scan.rows.size();
      if (!scan.more) break;
      range.begin = scan.rows.back().key + '\0';
    }
    co_return found;
  }

  Task<Result<std::vector<LedgerName>>> ledgers() override {
    std::vector<LedgerName> names;
    for (const LedgerRecord& record : CO_TRY(co_await books_.ledgers()))
      names.push_back({.ledger = record.id, .asset = record.asset, .scale = record.scale});
    co_return names;
  }

 private:
  static constexpr size_t kNamesExaminedMax = 100'000;
  store::Store& store_;
  store::Keyspace rows_;
  Books& books_;
};

}  // namespace

std::unique_ptr<NameBook> make_name_book(store::Store& store, store::Keyspace rows, Books& books) {
  return std::make_unique<RowNames>(store, rows, books);
}

Result<void> may(const http::Request& request, std::string_view action, uint32_t ledger) {
  const std::string resource = ledger == 0 ? "arn:polis:ledger:::ledger/*" : ledger_resource(ledger);
  return systems::authorize(request, action, resource);
}

Result<void> may(const http::Request& request, std::string_view action, const std::vector<uint32_t>& ledgers) {
  if (ledgers.empty()) return may(request, action, 0u);
  for (uint32_t ledger : ledgers) TRY(may(request, action, ledger));
  return {};
}

Face::Face(FaceParts parts)
    : parts_(parts),
      books_(parts.ledger, parts.store, parts.rows, parts.clock),
      names_(make_name_book(parts.store, parts.rows, books_)),
      home_(io::Shard::current()) {}
Face::~Face() = default;

Task<Result<void>> Face::start() {
  co_return co_await books_.start();
}

Task<void> Face::stop() {
  jobs_.stop();
  co_await jobs_.join();
  co_await books_.stop();
}

// --- answers

Face::Answer Face::problem(int status, std::string_view code, std::string_view detail) {
  JsonWriter out;
  out.begin_object().member("title", http::reason_phrase(status)).count("status", static_cast<uint64_t>(status));
  out.member("code", code).member("detail", detail).end_object();
  return {.status = status, .body = out.take(), .content_type = "application/problem+json", .fields = {}};
}

Face::Answer Face::problem(const Error& error) {
  const int status = status_of(error.code());
  Answer answer = problem(status, base::name(error.code()), error.text());
  if (status == 429 || status == 503) answer.fields.emplace_back("Retry-After", "1");
  if (status == 401) answer.fields.emplace_back("WWW-Authenticate", "Bearer");
  return answer;
}

Task<void> Face::send(http::Response& response, const Answer& answer) {
  response.status(answer.status).set(http::Field::kCacheControl, "no-store");
  for (const auto& [name, value] : answer.fields) response.set(name, value);
  // A client that has gone needs no answer; the connection notices by itself.
  (void)co_await response.send(answer.content_type, answer.body);
}

Task<void> Face::answer(http::Request& request, http::Response& response, Handler handler) {
  if (systems::principal(request)->anonymous())
    co_return co_await send(response, problem(Error(Code::kUnauthenticated, "sign in first, or send a bearer token")));
  if (requests_.fetch_add(1) >= kRequestsMax) {
    requests_.fetch_sub(1);
    co_return co_await send(response, problem(Error(Code::kBusy, "too many requests at once: come again in a second")));
  }
  Result<Answer> result = co_await (this->*handler)(request);
  requests_.fetch_sub(1);
  co_await send(response, result ? *result : problem(result.error()));
}

Task<void> Face::stream(http::Request& request, http::Response& response, Streaming handler) {
  if (systems::principal(request)->anonymous())
    co_return co_await send(response, problem(Error(Code::kUnauthenticated, "sign in first, or send a bearer token")));
  Result<void> done = co_await (this->*handler)(request, response);
  // Behind the first byte nothing can be told any more: the connection closes without an end, and the client sees that.
  if (!done && !response.started()) co_await send(response, problem(done.error()));
}

void Face::route(http::Router& router, Method method, std::string_view path, Handler handler,
                 http::RouteOptions options) {
  for (std::string_view prefix : kPrefixes)
    router.add(
        method, std::string(prefix) + std::string(path),
        [this, handler](http::Request& request, http::Response& response) {
          return answer(request, response, handler);
        },
        options);
}

void Face::route_stream(http::Router& router, std::string_view path, Streaming handler) {
  for (std::string_view prefix : kPrefixes)
    router.get(std::string(prefix) + std::string(path),
               [this, handler](http::Request& request, http::Response& response) {
                 return stream(request, response, handler);
               });
}

void Face::mount(http::Router& router) {
  const http::RouteOptions large{.body_size_bytes_max = kTransactionBytesMax};
  route(router, Method::kPost, "/ledgers", &Face::make_ledger);
  route(router, Method::kGet, "/ledgers", &Face::list_ledgers);
  route(router, Method::kPost, "/accounts", &Face::make_account);
  route(router, Method::kGet, "/accounts", &Face::list_accounts);
  route(router, Method::kGet, "/accounts/{account}", &Face::show_account);
  route(router, Method::kGet, "/accounts/{account}/meta", &Face::show_metadata);
  route(router, Method::kPatch, "/accounts/{account}/meta", &Face::change_metadata);
  route(router, Method::kGet, "/accounts/{account}/transfers", &Face::account_transfers);
  route(router, Method::kGet, "/accounts/{account}/balances", &Face::account_balances);

  route(router, Method::kPost, "/transactions", &Face::make_transaction, large);
  route(router, Method::kGet, "/transactions", &Face::list_transactions);
  route(router, Method::kGet, "/transactions/{transaction}", &Face::show_transaction);
  route(router, Method::kPost, "/transactions/{transaction}/post", &Face::post_transaction, large);
  route(router, Method::kPost, "/transactions/{transaction}/void", &Face::void_transaction);
  route(router, Method::kPost, "/transactions/{transaction}/reverse", &Face::reverse_transaction);
  route(router, Method::kGet, "/transfers", &Face::list_transfers);
  route(router, Method::kGet, "/transfers/{transfer}", &Face::show_transfer);

  route(router, Method::kGet, "/trial-balance", &Face::trial_balance);
  route(router, Method::kGet, "/chain/head", &Face::chain_head);
  route(router, Method::kGet, "/chain/key", &Face::chain_key);
  route(router, Method::kGet, "/chain/proof", &Face::chain_proof);
  route(router, Method::kGet, "/chain/consistency", &Face::chain_consistency);
  route(router, Method::kPost, "/verify", &Face::start_verify);
  route(router, Method::kGet, "/verify", &Face::show_verify);
  route(router, Method::kGet, "/statistics", &Face::statistics);

  route(router, Method::kPost, "/import", &Face::import_books, {.body_size_bytes_max = kImportBytesMax});

  route_stream(router, "/events", &Face::events);
  route_stream(router, "/export", &Face::export_books);
  route_stream(router, "/statements", &Face::statement);
  // An unknown path is unknown, not a page of the console.
  router.any("/ledger/v1/{path...}", [](http::Request&, http::Response& response) -> Task<void> {
    co_await send(response, problem(Error(Code::kNotFound, "no such path below /ledger/v1")));
  });
}

// --- what several questions share

Task<Result<uint64_t>> Face::moment(std::string text) {
  if (text.starts_with("op:")) {
    auto op = parse_decimal(std::string_view(text).substr(3));
    if (!op || *op > UINT64_MAX) co_return fail(Code::kInvalid, "an op is a number, as in op:123");
    auto link = CO_TRY(co_await parts_.ledger.query(
        [op = static_cast<uint64_t>(*op)](const Engine& engine) { return engine.link(op); }));
    if (!link) co_return fail(std::move(link).error());
    co_return link->timestamp;
  }
  if (auto number = parse_decimal(text); number && *number <= kTimestampMax) co_return static_cast<uint64_t>(*number);
  auto time = base::parse_rfc3339(text);
  if (!time || time->time_since_epoch().count() < 0)
    co_return fail(Code::kInvalid, "a moment is RFC 3339 (2026-11-22T10:00:00Z), nanoseconds since 1970, or op:NUMBER");
  co_return static_cast<uint64_t>(time->time_since_epoch().count());
}

}  // namespace polis::ledger
