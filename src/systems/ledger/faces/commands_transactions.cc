// What books.
#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"
#include "systems/ledger/faces/command_call.h"
#include "systems/ledger/faces/commands.h"
#include "systems/ledger/faces/json_writer.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;
using systems::Invocation;
using systems::object_of, systems::text_of;
using Done = Task<Result<void>>;

std::string random_reference() {
  base::SystemRandom random;
  std::array<std::byte, 12> bytes;
  random.fill(bytes);
  return "cli-" + base::hex_encode(bytes);
}

// A transaction for people: what it is, then its transfers.
Result<void> show(Invocation& call, const std::string& body) {
  json::object record = TRY(object_of(body));
  if (call.output.json()) {
    call.output.document(body);
    return {};
  }
  const json::value transfers = record.contains("transfers") ? record["transfers"] : json::array();
  record.erase("transfers");
  call.output.document(json::serialize(record));
  std::vector<std::vector<std::string>> rows;
  for (const json::value& one : transfers.as_array()) {
    const json::object& transfer = one.as_object();
    auto either = [&](std::string_view first, std::string_view second) {
      std::string text = text_of(transfer, first);
      return text.empty() ? text_of(transfer, second) : text;
    };
    rows.push_back({either("from", "debit_account_id"), either("to", "credit_account_id"),
                    either("amount_decimal", "amount"), text_of(transfer, "asset"), text_of(transfer, "id")});
  }
  if (!rows.empty()) call.output.table({"debited", "credited", "amount", "", "transfer"}, rows);
  return {};
}

// A retry with the same reference books nothing twice, so it is shown even when nobody chose it.
Done send(Invocation& call, std::string path, std::string body) {
  auto answer = CO_TRY(co_await call.api.request("POST", path, std::move(body)));
  if (answer.headers.contains("idempotent-replayed"))
    call.output.remark("this was booked before; nothing new happened");
  if (answer.status == 202) call.output.remark("no outcome yet: ask `polis ledger transaction show` in a moment");
  co_return show(call, answer.body);
}

Done transfer(Invocation& call) {
  const std::string amount = call.arguments[2];
  std::string reference = flag(call, "reference");
  if (reference.empty()) {
    reference = random_reference();
    call.output.remark("reference " + reference);
  }
  JsonWriter body;
  body.begin_object().member("reference", reference).key("postings").begin_array().begin_object();
  body.member("from", call.arguments[0]).member("to", call.arguments[1]);
  body.member(call.has("minor") ? "amount" : "amount_decimal", amount);
  if (std::string asset = flag(call, "asset"); !asset.empty()) body.member("asset", asset);
  body.end_object().end_array();
  if (call.has("pending")) body.flag("pending", true);
  if (std::string timeout = flag(call, "timeout"); !timeout.empty()) {
    auto seconds = parse_decimal(timeout);
    if (!seconds || *seconds > UINT32_MAX) co_return fail(Code::kInvalid, "--timeout is a number of seconds");
    body.count("timeout", static_cast<uint64_t>(*seconds));
  }
  co_return co_await send(call, api_path({"transactions"}), body.end_object().take());
}

Done end_pending(Invocation& call, std::string verb) {
  JsonWriter body;
  body.begin_object();
  if (std::string amounts = flag(call, "amount"); !amounts.empty()) {
    body.key("amounts").begin_array();
    for (size_t begin = 0; begin < amounts.size();) {
      const size_t end = std::min(amounts.find('\n', begin), amounts.size());
      body.text(amounts.substr(begin, end - begin));
      begin = end + 1;
    }
    body.end_array();
  }
  std::string path = api_path({"transactions", call.arguments[0], verb});
  add_flags(path, call, {{"key", "key"}});
  co_return co_await send(call, std::move(path), body.end_object().take());
}
Done post(Invocation& call) {
  return end_pending(call, "post");
}
Done void_pending(Invocation& call) {
  return end_pending(call, "void");
}
Done reverse(Invocation& call) {
  return end_pending(call, "reverse");
}

Done show_transaction(Invocation& call) {
  auto answer = CO_TRY(co_await call.api.request("GET", api_path({"transactions", call.arguments[0]})));
  co_return show(call, answer.body);
}

Done list_transactions(Invocation& call) {
  std::string path = api_path({"transactions"});
  add_flags(path, call, {{"reference", "reference"}, {"ledger", "ledger"}, {"limit", "limit"}, {"after", "cursor"}});
  auto answer = CO_TRY(co_await call.api.request("GET", path));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  boost::system::error_code error;
  const json::value value = json::parse(answer.body, error);
  if (error || !value.is_object()) co_return fail(Code::kCorrupt, "polis answered something that is no JSON object");
  std::vector<std::vector<std::string>> rows;
  for (const json::value& one : value.at("transactions").as_array()) {
    const json::object& record = one.as_object();
    rows.push_back({text_of(record, "created_at"), text_of(record, "kind"), text_of(record, "state"),
                    text_of(record, "reference"), text_of(record, "count"), text_of(record, "id")});
  }
  call.output.table({"at", "kind", "state", "reference", "transfers", "transaction"}, rows);
  if (std::string next = text_of(value.get_object(), "next"); !next.empty())
    call.output.remark("more: --after " + next);
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> transaction_commands() {
  const systems::Argument kTransaction{.name = "transaction", .help = "its id"};
  const systems::Flag kKey{.name = "key", .help = "Idempotency-Key, for another try after a refusal", .value = "TEXT"};
  const systems::Flag kAmount{.name = "amount",
                              .help = "in the smallest unit, one a posting; all of it otherwise",
                              .value = "N",
                              .repeated = true};
  return {
      {.name = "transfer",
       .help = "Debits one account and credits another",
       .arguments = {{.name = "from", .help = "account that is debited"},
                     {.name = "to", .help = "account that is credited"},
                     {.name = "amount", .help = "as people write it: 200 or 19.99"}},
       .flags = {{.name = "asset", .help = "refuse unless the accounts hold it", .value = "ASSET"},
                 {.name = "reference", .help = "unique; the same again books nothing", .value = "TEXT"},
                 {.name = "minor", .help = "the amount is in the smallest unit"},
                 {.name = "pending", .help = "reserve it, until it is posted or voided"},
                 {.name = "timeout", .help = "seconds until a pending one is released", .value = "SECONDS"}},
       .run = transfer},
      {.name = "post",
       .help = "Books a pending transaction, or part of it",
       .arguments = {kTransaction},
       .flags = {kAmount, kKey},
       .run = post},
      {.name = "void",
       .help = "Releases a pending transaction",
       .arguments = {kTransaction},
       .flags = {kKey},
       .run = void_pending},
      {.name = "reverse",
       .help = "Books the opposite of a transaction: nothing is ever taken out",
       .arguments = {kTransaction},
       .flags = {kKey},
       .run = reverse},
      {.name = "transaction show",
       .help = "Everything about a transaction",
       .arguments = {kTransaction},
       .run = show_transaction},
      {.name = "transaction list",
       .help = "Lists transactions, newest first",
       .flags = {{.name = "reference", .help = "the one with this reference", .value = "TEXT"},
                 {.name = "ledger", .help = "that touch this ledger", .value = "N"},
                 {.name = "limit", .help = "at most so many", .value = "N", .value_default = "100"},
                 {.name = "after", .help = "where the page before ended", .value = "CURSOR"}},
       .run = list_transactions},
  };
}

}  // namespace polis::ledger
