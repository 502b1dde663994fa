#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/base/time_format.h"
#include "systems/stream/faces/command_call.h"
#include "systems/stream/faces/commands.h"

namespace polis::stream {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Done = Task<Result<void>>;

Done list_groups(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"groups"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(object_of(answer.body));
  for (const json::value& one : list.at("groups").as_array()) {
    const json::object& group = one.as_object();
    rows.push_back({text_of(group, "group"), text_of(group, "state"), text_of(group, "protocol_type")});
  }
  call.output.table({"group", "state", "type"}, rows);
  co_return Result<void>();
}

Done describe_group(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"groups", call.arguments[0]})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  const json::object group = CO_TRY(object_of(answer.body));
  std::map<std::string, std::string> owners;
  for (const json::value& one : group.at("members").as_array())
    for (const json::value& part : one.at("assignment").as_array())
      owners[text_of(part.as_object(), "topic") + "-" + text_of(part.as_object(), "partition")] =
          text_of(one.as_object(), "member_id");
  call.output.line(fmt::format("{}: {}, {} members", text_of(group, "group"), text_of(group, "state"),
                               group.at("members").as_array().size()));
  std::vector<std::vector<std::string>> rows;
  for (const json::value& one : group.at("positions").as_array()) {
    const json::object& position = one.as_object();
    const std::string place = text_of(position, "topic") + "-" + text_of(position, "partition");
    rows.push_back({place, text_of(position, "committed"), text_of(position, "high_watermark"),
                    text_of(position, "lag"), owners[place]});
    owners.erase(place);
  }
  for (const auto& [place, member] : owners) rows.push_back({place, "none", "", "", member});
  call.output.table({"partition", "committed", "high watermark", "lag", "member"}, rows);
  co_return Result<void>();
}

Done reset_group(Invocation& call) {
  json::object body{{"topic", flag(call, "topic")}, {"to", flag(call, "to")}};
  if (call.has("partition")) body["partition"] = CO_TRY(number_flag(call, "partition", 0, INT32_MAX));
  co_return co_await call.plan_and_apply("POST", api_path({"groups", call.arguments[0], "reset"}),
                                         json::serialize(body));
}

Done delete_group(Invocation& call) {
  return call.plan_and_apply("DELETE", api_path({"groups", call.arguments[0]}), "");
}

// --- transactions

Done list_transactions(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"txns"})));
  if (call.output.json()) {
    call.output.document(answer.body);
    co_return Result<void>();
  }
  std::vector<std::vector<std::string>> rows;
  const json::object list = CO_TRY(object_of(answer.body));
  for (const json::value& one : list.at("transactions").as_array()) {
    const json::object& txn = one.as_object();
    std::string partitions;
    for (const json::value& part : txn.at("partitions").as_array())
      partitions += fmt::format("{}{}-{}", partitions.empty() ? "" : " ", text_of(part.as_object(), "topic"),
                                text_of(part.as_object(), "partition"));
    const auto begun_ms = txn.at("started_ms").to_number<int64_t>();
    rows.push_back({text_of(txn, "transactional_id"), text_of(txn, "state"), text_of(txn, "producer_id"),
                    text_of(txn, "producer_epoch"),
                    begun_ms > 0 ? base::format_rfc3339(WallTime(std::chrono::milliseconds(begun_ms))) : "",
                    partitions});
  }
  call.output.table({"transactional id", "state", "producer", "epoch", "begun", "partitions"}, rows);
  co_return Result<void>();
}

Done abort_transaction(Invocation& call) {
  return call.plan_and_apply("POST", api_path({"txns", call.arguments[0], "abort"}), "");
}

Done cluster_status(Invocation& call) {
  const auto answer = CO_TRY(co_await call.api.request("GET", api_path({"cluster"})));
  call.output.document(answer.body);
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> group_commands() {
  const systems::Argument kGroup{.name = "group", .help = "its id"};
  const systems::Argument kId{.name = "id", .help = "the transactional id"};
  return {
      {.name = "group list", .help = "Lists consumer groups", .run = list_groups},
      {.name = "group describe",
       .help = "Members, positions and lag of a group",
       .arguments = {kGroup},
       .run = describe_group},
      {.name = "group reset",
       .help = "Moves the positions of a group that has no members",
       .arguments = {kGroup},
       .flags = {{.name = "topic", .help = "in this topic", .value = "TOPIC"},
                 {.name = "partition", .help = "in this partition alone", .value = "N"},
                 {.name = "to",
                  .help = "earliest, latest, an offset, or a time (RFC 3339)",
                  .value = "PLACE",
                  .value_default = "earliest"}},
       .destructive = true,
       .run = reset_group},
      {.name = "group delete",
       .help = "Forgets a group that has no members, and its positions",
       .arguments = {kGroup},
       .destructive = true,
       .run = delete_group},
      {.name = "txn list", .help = "Transactional ids and their open transactions", .run = list_transactions},
      {.name = "txn abort",
       .help = "Aborts a transaction that hangs",
       .arguments = {kId},
       .destructive = true,
       .run = abort_transaction},
      {.name = "cluster status", .help = "The broker: its identity, topics, groups and disk", .run = cluster_status},
  };
}

}  // namespace polis::stream
