// What the page asks about accounts, flows and the chain. Each question runs on the ledger's shard in short queries;
// long ones are cut into slices, between which commands go on.
#include <boost/json.hpp>

#include "kernel/base/time_format.h"
#include "systems/api.h"
#include "systems/ledger/faces/console_api.h"
#include "systems/ledger/faces/console_json.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/flow_sums.h"
#include "systems/ledger/faces/past_account.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;

// Transfers that one query adds up: about a millisecond.
constexpr uint32_t kFlowSlice = 2'048;
constexpr size_t kFoundMax = 25;

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

}  // namespace

Task<Result<ConsoleApi::Moment>> ConsoleApi::moment(const http::Request& request, std::string_view name) {
  const uint64_t last = CO_TRY(co_await ledger_.query([](const Engine& engine) { return engine.counts().ops; }));
  const uint64_t op = CO_TRY(number_parameter(request, name, last, 0, UINT64_MAX));
  if (op > last)
    co_return fail(Code::kOutOfRange, "the last op is " + std::to_string(last) + "; there is no " + std::to_string(op));
  if (op == last) co_return Moment{.op = op};
  if (op == 0) co_return Moment{.op = 0, .timestamp = 0, .past = true};
  BatchLink link = CO_TRY(CO_TRY(co_await ledger_.query([op](const Engine& engine) { return engine.link(op); })));
  co_return Moment{.op = op, .timestamp = link.timestamp, .past = true};
}

Task<Result<std::vector<std::string>>> ConsoleApi::names_of(std::vector<Id> accounts) {
  const size_t count = accounts.size();
  std::vector<std::string> names(count);
  if (parts_.names && count > 0) names = CO_TRY(co_await parts_.names->names(accounts));
  names.resize(count);
  for (size_t i = 0; i < count; ++i)
    if (names[i].empty() && (accounts[i] == kLabHotAccount || accounts[i] == kLabOtherAccount))
      names[i] = accounts[i] == kLabHotAccount ? "contention lab, hot row" : "contention lab, other side";
  co_return names;
}

// By id, or by a part of the name.
Task<Result<std::vector<Account>>> ConsoleApi::find_accounts(std::string text, uint32_t ledger, uint16_t code) {
  std::vector<Id> ids;
  if (is_number(text))
    if (auto id = parse_decimal(text)) ids.push_back(*id);
  if (parts_.names)
    for (Id id : CO_TRY(co_await parts_.names->find(text, kFoundMax)))
      if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  co_return co_await ledger_.query([&](const Engine& engine) {
    std::vector<Account> found;
    for (Id id : ids) {
      auto account = engine.account(id);
      if (account && (ledger == 0 || account->ledger == ledger) && (code == 0 || account->code == code))
        found.push_back(*account);
    }
    return found;
  });
}

Task<Result<std::string>> ConsoleApi::accounts(http::Request& request) {
  const std::string text = CO_TRY(text_parameter(request, "q", 128));
  const auto ledger = static_cast<uint32_t>(CO_TRY(number_parameter(request, "ledger", 0, 0, UINT32_MAX)));
  const auto code = static_cast<uint16_t>(CO_TRY(number_parameter(request, "code", 0, 0, UINT16_MAX)));
  const uint64_t after = CO_TRY(number_parameter(request, "after", 0, 0, kTimestampMax - 1));
  const uint64_t limit = CO_TRY(number_parameter(request, "limit", 50, 1, kAccountsPageMax));
  const Moment at = CO_TRY(co_await moment(request, "at_op"));

  std::vector<Account> found;
  std::string next;
  if (!text.empty()) {
    found = CO_TRY(co_await find_accounts(text, ledger, code));
  } else if (at.timestamp > after) {
    AccountQuery query{.ledger = ledger, .code = code, .timestamp_min = after + 1, .timestamp_max = at.timestamp};
    query.limit = static_cast<uint32_t>(limit) + 1;
    found = CO_TRY(co_await ledger_.query([&](const Engine& engine) { return engine.accounts(query); }));
    if (found.size() > limit) {
      found.resize(limit);
      next = std::to_string(found.back().timestamp);
    }
  }
  std::erase_if(found, [&](const Account& account) { return account.timestamp > at.timestamp; });
  std::vector<bool> known(found.size(), true);
  if (at.past) {
    const SteadyTime begin = parts_.clock.steady();
    for (size_t i = 0; i < found.size(); ++i) {
      if (i > 0 && text.empty() && parts_.clock.steady() - begin > kPastBalancesTimeMax) {
        found.resize(i);
        next = std::to_string(found.back().timestamp);
        break;
      }
      const PastAccount then = CO_TRY(co_await past_account(ledger_, found[i], at.timestamp));
      found[i] = then.account;
      known[i] = then.known;
    }
  }
  std::vector<Id> ids;
  for (const Account& account : found) ids.push_back(account.id);
  const std::vector<std::string> names = CO_TRY(co_await names_of(std::move(ids)));
  json::array list;
  for (size_t i = 0; i < found.size(); ++i) list.push_back(account_json(found[i], names[i], known[i]));
  co_return json::serialize(json::object{{"op", at.op},
                                         {"timestamp", std::to_string(at.past ? at.timestamp : 0)},
                                         {"accounts", std::move(list)},
                                         {"next", next}});
}

Task<Result<std::string>> ConsoleApi::account(http::Request& request) {
  const Id id = CO_TRY(parse_id("id", request.param("id")));
  const uint64_t limit = CO_TRY(number_parameter(request, "limit", 50, 1, kAccountTransfersMax));
  const uint64_t before = CO_TRY(number_parameter(request, "before", 0, 0, kTimestampMax));
  auto known = CO_TRY(co_await ledger_.query([id](const Engine& engine) { return engine.account(id); }));
  CO_TRY(systems::authorize(request, "ledger:Read", known ? ledger_resource(known->ledger) : "*"));
  const Moment at = CO_TRY(co_await moment(request, "at_op"));

  if (!known) co_return fail(Code::kNotFound, "there is no account " + to_decimal(id));
  if (known->timestamp > at.timestamp)
    co_return fail(Code::kNotFound, "the account " + to_decimal(id) + " did not exist at op " + std::to_string(at.op));
  PastAccount then{.account = *known};
  if (at.past) then = CO_TRY(co_await past_account(ledger_, *known, at.timestamp));

  struct Found {
    std::optional<Account> account;
    std::vector<Transfer> transfers = {};
    std::vector<PendingState> states = {};
    uint64_t op = 0;
  };
  // The present account and its transfers at the same moment, so that the running balance fits; the past stands still.
  Found found = CO_TRY(co_await ledger_.query([&](const Engine& engine) {
    Found seen{.account = engine.account(id), .op = at.past ? at.op : engine.counts().ops};
    TransferQuery query{.account = id, .limit = static_cast<uint32_t>(limit) + 1, .reversed = true};
    query.timestamp_max = std::min(at.timestamp, before > 0 ? before - 1 : kTimestampMax);
    if (query.timestamp_max > 0) seen.transfers = engine.transfers(query);
    for (const Transfer& transfer : seen.transfers)
      seen.states.push_back(transfer.flags & transfer_flags::kPending ? engine.pending_state(transfer.id)
                                                                      : PendingState::kNone);
    return seen;
  }));
  if (!at.past) then.account = *found.account;
  const bool more = found.transfers.size() > limit;
  if (more) found.transfers.resize(limit);

  std::vector<Id> others{id};
  for (const Transfer& transfer : found.transfers) {
    const Id other = transfer.debit_account_id == id ? transfer.credit_account_id : transfer.debit_account_id;
    if (std::find(others.begin(), others.end(), other) == others.end()) others.push_back(other);
  }
  const std::vector<std::string> names = CO_TRY(co_await names_of(others));
  json::object named;
  for (size_t i = 0; i < others.size(); ++i)
    if (!names[i].empty()) named[to_decimal(others[i])] = names[i];
  json::array transfers;
  for (size_t i = 0; i < found.transfers.size(); ++i)
    transfers.push_back(transfer_json(found.transfers[i], found.states[i]));
  co_return json::serialize(json::object{{"op", found.op},
                                         {"account", account_json(then.account, names[0], then.known)},
                                         {"transfers", std::move(transfers)},
                                         {"names", std::move(named)},
                                         {"more", more}});
}

Task<Result<std::string>> ConsoleApi::flows(http::Request& request) {
  const auto ledger = static_cast<uint32_t>(CO_TRY(number_parameter(request, "ledger", 0, 0, UINT32_MAX)));
  if (ledger == 0) co_return fail(Code::kInvalid, "name the \"ledger\": amounts of different assets do not add up");
  CO_TRY(systems::authorize(request, "ledger:Read", ledger_resource(ledger)));
  const std::string by = CO_TRY(text_parameter(request, "by", 16));
  if (!by.empty() && by != "account" && by != "code")
    co_return fail(Code::kInvalid, "\"by\" must be \"account\" or \"code\"");
  const bool by_code = by == "code";
  const uint64_t most = CO_TRY(number_parameter(request, "transfers", 10'000, 1, kFlowTransfersMax));
  const Moment to = CO_TRY(co_await moment(request, "to_op"));

  struct Slice {
    size_t rows = 0;
    uint64_t first = 0, last = 0, pending = 0;
    std::vector<std::tuple<u128, u128, u128>> moves;  // from, to, amount
  };
  FlowSums sums;
  uint64_t read = 0, pending = 0, first = 0, last = 0;
  TransferQuery query;
  query.ledger = ledger;
  query.timestamp_max = to.timestamp;
  query.reversed = true;
  while (read < most && query.timestamp_max > 0) {
    query.limit = static_cast<uint32_t>(std::min<uint64_t>(kFlowSlice, most - read));
    Slice slice = CO_TRY(co_await ledger_.query([&](const Engine& engine) {
      Slice seen;
      for (const Transfer& transfer : engine.transfers(query)) {
        ++seen.rows;
        seen.first = transfer.timestamp;
        seen.last = std::max(seen.last, transfer.timestamp);
        // Reserved, or given back: nothing has moved.
        if (transfer.flags & (transfer_flags::kPending | transfer_flags::kVoidPending)) {
          seen.pending += (transfer.flags & transfer_flags::kPending) != 0;
          continue;
        }
        u128 from = transfer.debit_account_id, into = transfer.credit_account_id;
        if (by_code) {
          auto debit = engine.account(from), credit = engine.account(into);
          from = debit ? debit->code : 0;
          into = credit ? credit->code : 0;
        }
        seen.moves.emplace_back(from, into, transfer.amount);
      }
      return seen;
    }));
    for (const auto& [from, into, amount] : slice.moves) sums.add(from, into, amount);
    read += slice.rows;
    pending += slice.pending;
    last = std::max(last, slice.last);
    if (slice.rows > 0) first = slice.first;
    if (slice.rows < query.limit) break;
    query.timestamp_max = slice.first - 1;
    co_await io::yield();
  }

  std::vector<Id> ends;
  json::array flows;
  for (const FlowSums::Flow& flow : sums.largest(kFlowEndsMax)) {
    flows.push_back(json::object{{"debit", flow.debit},
                                 {"credit", flow.credit},
                                 {"amount", to_decimal(flow.sum.amount)},
                                 {"transfers", flow.sum.transfers}});
    if (!by_code)
      for (const std::string& end : {flow.debit, flow.credit})
        if (!end.empty()) ends.push_back(CO_TRY(parse_decimal(end)));
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  const std::vector<std::string> names = CO_TRY(co_await names_of(ends));
  json::object named;
  for (size_t i = 0; i < ends.size(); ++i)
    if (!names[i].empty()) named[to_decimal(ends[i])] = names[i];
  co_return json::serialize(json::object{{"op", to.op},
                                         {"ledger", ledger},
                                         {"by", by_code ? "code" : "account"},
                                         {"read", read},
                                         {"pending", pending},
                                         {"amount", to_decimal(sums.total().amount)},
                                         {"transfers", sums.total().transfers},
                                         {"from_timestamp", std::to_string(first)},
                                         {"to_timestamp", std::to_string(last)},
                                         {"flows", std::move(flows)},
                                         {"names", std::move(named)}});
}

// --- the chain

Task<Result<std::string>> ConsoleApi::chain(http::Request& request) {
  const uint64_t limit = CO_TRY(number_parameter(request, "limit", 64, 1, kChainLinksMax));
  const uint64_t to = CO_TRY(number_parameter(request, "to", UINT64_MAX, 0, UINT64_MAX));
  struct Links {
    uint64_t ops = 0;
    std::vector<Result<BatchLink>> links = {};
  };
  Links found = CO_TRY(co_await ledger_.query([&](const Engine& engine) {
    Links seen{.ops = engine.counts().ops};
    const uint64_t end = std::min(to, seen.ops);
    for (uint64_t op = end > limit ? end - limit + 1 : 1; op <= end; ++op) seen.links.push_back(engine.link(op));
    return seen;
  }));
  json::array links;
  for (Result<BatchLink>& link : found.links) links.push_back(link_json(CO_TRY(std::move(link))));
  co_return json::serialize(json::object{{"ops", found.ops}, {"links", std::move(links)}});
}

Task<Result<std::string>> ConsoleApi::op_at(http::Request& request) {
  const std::string text = CO_TRY(text_parameter(request, "time", 64));
  uint64_t time = 0;
  if (is_number(text)) {
    time = CO_TRY(parse_number("time", text, 0, kTimestampMax));
  } else {
    auto parsed = base::parse_rfc3339(text);
    if (!parsed || parsed->time_since_epoch().count() < 0)
      co_return fail(Code::kInvalid, "\"time\" must be a time such as 2026-11-22T10:00:00Z, or nanoseconds since 1970");
    time = static_cast<uint64_t>(parsed->time_since_epoch().count());
  }
  struct Found {
    uint64_t op = 0, timestamp = 0;
  };
  Result<Found> found = CO_TRY(co_await ledger_.query([time](const Engine& engine) -> Result<Found> {
    Found last;
    uint64_t below = 0, above = engine.counts().ops + 1;
    while (above - below > 1) {
      const uint64_t middle = below + (above - below) / 2;
      BatchLink link = TRY(engine.link(middle));
      if (link.timestamp <= time) {
        below = middle;
        last = {.op = middle, .timestamp = link.timestamp};
      } else {
        above = middle;
      }
    }
    return last;
  }));
  const Found last = CO_TRY(std::move(found));
  co_return json::serialize(json::object{{"op", last.op}, {"timestamp", std::to_string(last.timestamp)}});
}

Task<Result<std::string>> ConsoleApi::head() {
  const SignedHead head = CO_TRY(co_await ledger_.signed_head());
  co_return json::serialize(head_json(head, ledger_.public_key_pem()));
}

Task<Result<std::string>> ConsoleApi::proof(http::Request& request) {
  const Id id = CO_TRY(parse_id("id", request.param("id")));
  auto transfer = CO_TRY(co_await ledger_.query([id](const Engine& engine) { return engine.transfer(id); }));
  CO_TRY(systems::authorize(request, "ledger:Read", transfer ? ledger_resource(transfer->ledger) : "*"));
  Result<InclusionProof> proof =
      CO_TRY(co_await ledger_.query([id](const Engine& engine) { return engine.prove(id); }));
  co_return json::serialize(proof_json(CO_TRY(std::move(proof))));
}

}  // namespace polis::ledger
