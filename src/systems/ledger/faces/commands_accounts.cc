// Ledgers, accounts, balances and history.
#include <boost/json.hpp>
#include <fmt/format.h>

#include "systems/ledger/faces/command_call.h"
#include "systems/ledger/faces/commands.h"
#include "systems/ledger/faces/json_writer.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;
using systems::Invocation;
using systems::object_of, systems::text_of;
using Done = Task<Result<void>>;

// A change of metadata that lost against another is made again on what that one left.
constexpr int kChangeTriesMax = 16;

const json::array& list_of(const json::object& object, std::string_view name) {
  static const json::array kNone;
  const json::value* value = object.if_contains(name);
  return value && value->is_array() ? value->get_array() : kNone;
}

std::string shown_amount(const json::object& object, std::string_view digits, std::string_view decimal) {
  std::string text = text_of(object, decimal);
  return text.empty() ? text_of(object, digits) : text;
}

// --- ledgers

Done add_ledger(Invocation& call) {
  JsonWriter body;
  auto id = parse_decimal(call.arguments[0]);
  auto scale = parse_decimal(call.flags["scale"]);
  if (!id || *id == 0 || *id > UINT32_MAX) co_return fail(Code::kInvalid, "a ledger's number is 1 to 4294967295");
  if (!scale || *scale > 30) co_return fail(Code::kInvalid, "--scale is 0 to 30");
  body.begin_object().count("id", static_cast<uint64_t>(*id)).member("asset", call.arguments[1]);
  body.count("scale", static_cast<uint64_t>(*scale)).end_object();
  auto answer = CO_TRY(co_await call.api.request("POST", api_path({"ledgers"}), body.take()));
  call.output.document(answer.body);
  co_return Result<void>();
}

Done list_ledgers(Invocation& call) {
  auto answer = CO_TRY(co_await call.api.request("GET", api_path({"ledgers"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object object = CO_TRY(object_of(answer.body));
  for (const json::value& one : list_of(object, "ledgers")) {
    const json::object& ledger = one.as_object();
    rows.push_back(
        {text_of(ledger, "id"), text_of(ledger, "asset"), text_of(ledger, "scale"), text_of(ledger, "created_at")});
  }
  call.output.table({"ledger", "asset", "scale", "made"}, rows);
  co_return Result<void>();
}

// --- accounts

Result<void> write_labels(JsonWriter& body, const std::string& given, bool may_remove) {
  body.key("labels").begin_object();
  for (size_t begin = 0; begin < given.size();) {
    const size_t end = std::min(given.find('\n', begin), given.size());
    const std::string one = given.substr(begin, end - begin);
    const size_t equals = one.find('=');
    if (equals == std::string::npos && !may_remove) return fail(Code::kInvalid, "--label is NAME=VALUE");
    body.text_key(one.substr(0, equals));
    if (equals == std::string::npos)
      body.null();
    else
      body.text(one.substr(equals + 1));
    begin = end + 1;
  }
  body.end_object();
  return {};
}

Done add_account(Invocation& call) {
  JsonWriter body;
  auto ledger = parse_decimal(call.flags["ledger"]);
  if (!ledger || *ledger == 0 || *ledger > UINT32_MAX)
    co_return fail(Code::kInvalid, "--ledger is a number of 1 to 4294967295");
  body.begin_object().member("name", call.arguments[0]).count("ledger", static_cast<uint64_t>(*ledger));
  for (const char* name : {"type", "limit", "owner", "id"})
    if (std::string value = flag(call, name); !value.empty()) body.member(name, value);
  if (call.has("history")) body.flag("history", true);
  if (call.has("label")) CO_TRY(write_labels(body, call.flags["label"], false));
  auto answer = CO_TRY(co_await call.api.request("POST", api_path({"accounts"}), body.end_object().take()));
  call.output.document(answer.body);
  co_return Result<void>();
}

Done list_accounts(Invocation& call) {
  std::string path = api_path({"accounts"});
  add_flags(path, call,
            {{"ledger", "ledger"},
             {"type", "type"},
             {"prefix", "name_prefix"},
             {"owner", "owner"},
             {"label", "label"},
             {"limit", "limit"},
             {"after", "cursor"}});
  auto answer = CO_TRY(co_await call.api.request("GET", path));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object object = CO_TRY(object_of(answer.body));
  for (const json::value& one : list_of(object, "accounts")) {
    const json::object& account = one.as_object();
    const std::string name = text_of(account, "name");
    rows.push_back({name.empty() ? text_of(account, "id") : name, text_of(account, "ledger"), text_of(account, "asset"),
                    text_of(account, "type"), shown_amount(account, "balance", "balance_decimal"),
                    text_of(account, "owner")});
  }
  call.output.table({"account", "ledger", "asset", "type", "balance", "owner"}, rows);
  if (std::string next = text_of(object, "next"); !next.empty()) call.output.remark("more: --after " + next);
  co_return Result<void>();
}

Done show_account(Invocation& call) {
  auto answer = CO_TRY(co_await call.api.request("GET", api_path({"accounts", call.arguments[0]})));
  call.output.document(answer.body);
  co_return Result<void>();
}

// Reads the version, writes the next one, and begins again when somebody else was faster.
Done set_account(Invocation& call) {
  JsonWriter changes;
  changes.begin_object();
  for (const char* name : {"name", "owner"})
    if (call.has(name)) changes.member(name, call.flags[name]);
  if (call.has("label")) CO_TRY(write_labels(changes, call.flags["label"], true));
  const std::string body = changes.end_object().take();
  std::string account = call.arguments[0];
  for (int tries = 1;; ++tries) {
    auto read = CO_TRY(co_await call.api.request("GET", api_path({"accounts", account})));
    const json::object now = CO_TRY(object_of(read.body));
    account = text_of(now, "id");  // its name may change under us
    std::string path = api_path({"accounts", account, "meta"});
    add_query(path, "if_match", text_of(now, "version"));
    auto changed = co_await call.api.request("PATCH", path, body);
    if (changed) {
      call.output.document(changed->body);
      co_return Result<void>();
    }
    if (changed.error().code() != Code::kVersionMismatch || tries == kChangeTriesMax)
      co_return fail(std::move(changed).error());
  }
}

// --- balances and history

Done balance(Invocation& call) {
  std::string path = api_path({"accounts", call.arguments[0]});
  add_flags(path, call, {{"at", "at"}});
  const bool journal = call.has("from-journal"), history = call.has("from-history");
  if (journal && history) co_return fail(Code::kInvalid, "give either --from-journal or --from-history");
  const std::string stored_path = path;
  if (journal || history) add_query(path, "from", journal ? "journal" : "history");
  auto answer = CO_TRY(co_await call.api.request("GET", path));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  const json::object account = CO_TRY(object_of(answer.body));
  std::vector<std::vector<std::string>> rows;
  for (const char* name : {"debits_posted", "credits_posted", "debits_pending", "credits_pending"})
    rows.push_back({name, text_of(account, name)});
  rows.push_back({"balance", shown_amount(account, "balance", "balance_decimal") + " " + text_of(account, "asset")});
  rows.push_back({"computed from", text_of(account, "computed_from")});
  call.output.table({"", ""}, rows);
  co_return Result<void>();
}

Done history(Invocation& call) {
  std::string path = api_path({"accounts", call.arguments[0], "transfers"});
  add_flags(path, call, {{"limit", "limit"}, {"before", "timestamp_max"}, {"side", "side"}});
  if (call.has("oldest")) add_query(path, "order", "oldest");
  auto answer = CO_TRY(co_await call.api.request("GET", path));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  auto shown = CO_TRY(co_await call.api.request("GET", api_path({"accounts", call.arguments[0]})));
  const std::string id = text_of(CO_TRY(object_of(shown.body)), "id");
  std::vector<std::vector<std::string>> rows;
  const json::object object = CO_TRY(object_of(answer.body));
  for (const json::value& one : list_of(object, "transfers")) {
    const json::object& transfer = one.as_object();
    const bool debit = text_of(transfer, "debit_account_id") == id;
    std::string flags;
    for (const json::value& name : list_of(transfer, "flags"))
      (flags += flags.empty() ? "" : " ") += std::string_view(name.as_string());
    const std::string amount = shown_amount(transfer, "amount", "amount_decimal");
    std::string other = text_of(transfer, debit ? "to" : "from");
    if (other.empty()) other = text_of(transfer, debit ? "credit_account_id" : "debit_account_id");
    rows.push_back(
        {text_of(transfer, "at"), debit ? amount : "", debit ? "" : amount, other, flags, text_of(transfer, "id")});
  }
  call.output.table({"at", "debit", "credit", "other account", "", "transfer"}, rows);
  if (std::string next = text_of(object, "next"); !next.empty()) call.output.remark("more: --before " + next);
  co_return Result<void>();
}

Done trial_balance(Invocation& call) {
  std::string path = api_path({"trial-balance"});
  add_flags(path, call, {{"ledger", "ledger"}});
  auto answer = CO_TRY(co_await call.api.request("GET", path));
  const json::object object = CO_TRY(object_of(answer.body));
  const bool balanced = text_of(object, "balanced") == "true";
  if (call.output.json()) {
    call.output.document(answer.body);
  } else {
    std::vector<std::vector<std::string>> rows;
    for (const json::value& one : list_of(object, "ledgers")) {
      const json::object& ledger = one.as_object();
      rows.push_back({text_of(ledger, "ledger"), text_of(ledger, "asset"), text_of(ledger, "accounts"),
                      shown_amount(ledger, "debits_posted", "debits_decimal"),
                      shown_amount(ledger, "credits_posted", "credits_decimal"), text_of(ledger, "difference")});
    }
    call.output.table({"ledger", "asset", "accounts", "debits", "credits", "difference"}, rows);
  }
  if (!balanced) co_return fail(Code::kCorrupt, "the books do not balance");
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> account_commands() {
  const systems::Argument kAccount{.name = "account", .help = "name or id"};
  const systems::Flag kLimit{.name = "limit", .help = "at most so many", .value = "N", .value_default = "100"};
  const std::vector<std::string> kTypes{"asset", "liability", "equity", "income", "expense"};
  return {
      {.name = "ledger add",
       .help = "Makes a ledger: a number for accounts of one asset",
       .arguments = {{.name = "number", .help = "1 to 4294967295"}, {.name = "asset", .help = "USD, BTC, points"}},
       .flags = {{.name = "scale", .help = "digits behind the point", .value = "N", .value_default = "2"}},
       .run = add_ledger},
      {.name = "ledger list", .help = "Lists ledgers", .run = list_ledgers},
      {.name = "account add",
       .help = "Opens an account",
       .arguments = {{.name = "name", .help = "unique, as in assets:bank"}},
       .flags = {{.name = "ledger", .help = "its ledger", .value = "N", .value_default = "1"},
                 {.name = "type",
                  .help = "kind of account",
                  .value = "TYPE",
                  .value_default = "liability",
                  .choices = kTypes},
                 {.name = "limit",
                  .help = "what transfers must not break",
                  .value = "RULE",
                  .value_default = "none",
                  .choices = {"none", "debits_must_not_exceed_credits", "credits_must_not_exceed_debits"}},
                 {.name = "history", .help = "keep the balance after each transfer"},
                 {.name = "owner", .help = "whose it is", .value = "TEXT"},
                 {.name = "label", .help = "NAME=VALUE", .value = "LABEL", .repeated = true},
                 {.name = "id", .help = "its id, instead of one made of the name", .value = "NUMBER"}},
       .run = add_account},
      {.name = "account list",
       .help = "Lists accounts",
       .flags = {{.name = "ledger", .help = "of this ledger", .value = "N"},
                 {.name = "type", .help = "of this kind", .value = "TYPE", .choices = kTypes},
                 {.name = "prefix", .help = "whose name begins so", .value = "TEXT"},
                 {.name = "owner", .help = "of this owner", .value = "TEXT"},
                 {.name = "label", .help = "with this label, or NAME:VALUE", .value = "LABEL"},
                 kLimit,
                 {.name = "after", .help = "where the page before ended", .value = "CURSOR"}},
       .run = list_accounts},
      {.name = "account show", .help = "Everything about an account", .arguments = {kAccount}, .run = show_account},
      {.name = "account set",
       .help = "Changes name, owner or labels of an account",
       .arguments = {kAccount},
       .flags = {{.name = "name", .help = "a new name", .value = "NAME"},
                 {.name = "owner", .help = "a new owner", .value = "TEXT"},
                 {.name = "label", .help = "NAME=VALUE sets, NAME alone removes", .value = "LABEL", .repeated = true}},
       .run = set_account},
      {.name = "balance",
       .help = "The balance of an account, now or at any moment",
       .arguments = {kAccount},
       .flags = {{.name = "at", .help = "RFC 3339, nanoseconds since 1970, or op:NUMBER", .value = "TIME"},
                 {.name = "from-journal", .help = "made again from every command since the first"},
                 {.name = "from-history", .help = "summed up from the account's transfers"}},
       .run = balance},
      {.name = "history",
       .help = "The transfers of an account, newest first",
       .arguments = {kAccount},
       .flags = {kLimit,
                 {.name = "side", .help = "only debits or credits", .value = "SIDE", .choices = {"debit", "credit"}},
                 {.name = "before", .help = "where the page before ended", .value = "TIMESTAMP"},
                 {.name = "oldest", .help = "oldest first"}},
       .run = history},
      {.name = "trial-balance",
       .help = "Debits and credits of every ledger: their difference is 0",
       .flags = {{.name = "ledger", .help = "of this ledger", .value = "N"}},
       .run = trial_balance},
  };
}

}  // namespace polis::ledger
