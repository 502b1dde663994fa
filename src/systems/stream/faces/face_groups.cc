#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>

#include "kernel/base/time_format.h"
#include "systems/stream/client/group_member.h"
#include "systems/stream/faces/face.h"

namespace polis::stream {
namespace {

namespace json = boost::json;

// From this version on OffsetFetch names groups.
constexpr int16_t kOffsetFetchByGroup = 8;

json::array assignment_json(BytesView bytes) {
  json::array list;
  const auto assignment = decode_assignment(bytes);
  // Other kinds of groups than of consumers put there what they like.
  if (!assignment) return list;
  for (const TopicPartition& one : *assignment)
    list.push_back(json::object{{"topic", one.topic}, {"partition", one.partition}});
  return list;
}

struct ResetTo {
  int64_t timestamp = 0;         // as ListOffsets has it
  std::optional<Offset> offset;  // or this very one
};

Result<ResetTo> parse_reset(const std::string& text) {
  if (text == "earliest") return ResetTo{.timestamp = kEarliestOffset, .offset = {}};
  if (text == "latest") return ResetTo{.timestamp = kLatestOffset, .offset = {}};
  Offset offset = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), offset);
  if (error == std::errc() && end == text.data() + text.size() && offset >= 0) return ResetTo{.offset = offset};
  if (const auto time = base::parse_rfc3339(text))
    return ResetTo{.timestamp = std::chrono::duration_cast<std::chrono::milliseconds>(time->time_since_epoch()).count(),
                   .offset = {}};
  return fail(Code::kInvalid, "\"to\" is earliest, latest, an offset, or a time as in 2026-11-22T10:00:00Z");
}

}  // namespace

Face::Json Face::list_groups(http::Request& request) {
  CO_TRY(signed_in(request));
  const ListGroupsResponse listed = co_await broker_.groups.list({});
  CO_TRY(check(listed.error_code, "the list of groups"));
  json::array groups;
  for (const auto& group : listed.groups)
    if (groups.size() < kListMax && may(request, ResourceType::kGroup, group.group_id, Operation::kDescribe))
      groups.push_back(json::object{
          {"group", group.group_id}, {"state", group.group_state}, {"protocol_type", group.protocol_type}});
  co_return json::serialize(json::object{{"groups", std::move(groups)}});
}

Task<Result<std::vector<Face::Position>>> Face::positions(std::string group) {
  OffsetFetchRequest request;
  request.groups.push_back({.group_id = group, .topics = std::nullopt});
  const OffsetFetchResponse answer = co_await broker_.groups.fetch(request, kOffsetFetchByGroup);
  std::vector<Position> found;
  for (const auto& one : answer.groups) {
    CO_TRY(check(one.error_code, group));
    for (const auto& topic : one.topics)
      for (const auto& partition : topic.partitions)
        if (partition.error_code == 0 && partition.committed_offset >= 0)
          found.push_back({.topic = topic.name,
                           .partition = partition.partition_index,
                           .committed = partition.committed_offset,
                           .metadata = partition.metadata.value_or("")});
  }
  std::ranges::sort(found, {}, [](const Position& one) { return std::pair(one.topic, one.partition); });
  co_return found;
}

Face::Json Face::show_group(http::Request& request) {
  const std::string name(request.param("group"));
  CO_TRY(may(request, ResourceType::kGroup, name, Operation::kDescribe));
  DescribeGroupsRequest ask;
  ask.groups.push_back(name);
  const DescribeGroupsResponse answer = co_await broker_.groups.describe(ask);
  if (answer.groups.size() != 1) co_return fail(Code::kNotFound, "there is no group " + name);
  const auto& group = answer.groups.front();
  CO_TRY(check(group.error_code, name));
  const std::vector<Position> committed = CO_TRY(co_await positions(name));
  if (group.group_state == "Dead" && committed.empty()) co_return fail(Code::kNotFound, "there is no group " + name);

  json::array members, places;
  for (const auto& member : group.members)
    members.push_back(json::object{{"member_id", member.member_id},
                                   {"instance_id", member.group_instance_id.value_or("")},
                                   {"client_id", member.client_id},
                                   {"client_host", member.client_host},
                                   {"assignment", assignment_json(member.member_assignment)}});
  for (const Position& position : committed) {
    json::object one{{"topic", position.topic},
                     {"partition", position.partition},
                     {"committed", digits(position.committed)},
                     {"metadata", position.metadata},
                     {"log_start_offset", "-1"},
                     {"high_watermark", "-1"},
                     {"lag", "-1"}};
    if (const std::shared_ptr<const Topic> topic = find(position.topic);
        topic && position.partition < topic->partitions) {
      const auto statistics = co_await broker_.topics.with(
          *topic, position.partition,
          [](Partition& open) -> Task<PartitionStatistics> { co_return open.statistics(); });
      if (statistics) {
        one["log_start_offset"] = digits(statistics->log_start_offset);
        one["high_watermark"] = digits(statistics->high_watermark);
        one["lag"] = digits(std::max<Offset>(0, statistics->high_watermark - position.committed));
      }
    }
    places.push_back(std::move(one));
  }
  co_return json::serialize(json::object{{"group", name},
                                         {"state", group.group_state},
                                         {"protocol_type", group.protocol_type},
                                         {"protocol", group.protocol_data},
                                         {"members", std::move(members)},
                                         {"positions", std::move(places)}});
}

// A group with members would go on from where its members are: only an empty one is reset.
Face::Draft Face::plan_group_reset(http::Request& request) {
  const std::string name(request.param("group"));
  CO_TRY(may(request, ResourceType::kGroup, name, Operation::kRead));
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const std::string topic_name = CO_TRY(body.text("topic"));
  const ResetTo to = CO_TRY(parse_reset(CO_TRY(body.text("to"))));
  const std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, topic_name, Operation::kRead));
  const auto only = static_cast<int32_t>(CO_TRY(body.number("partition", 0, topic->partitions - 1, -1)));
  CO_TRY(body.finish());

  const std::vector<Position> committed = CO_TRY(co_await positions(name));
  std::vector<Position> wanted;
  systems::PlanDraft draft;
  for (int32_t partition = 0; partition < topic->partitions; ++partition) {
    if (only >= 0 && partition != only) continue;
    const auto look = [to](Partition& open) -> Task<Result<Offset>> {
      if (to.offset) co_return std::clamp(*to.offset, open.log_start_offset(), open.high_watermark());
      const OffsetAndTimestamp found = CO_TRY(co_await open.offset_for(to.timestamp, Isolation::kReadUncommitted));
      // Nothing is as new as that: from now on.
      co_return found.offset < 0 ? open.high_watermark() : found.offset;
    };
    const Offset offset = CO_TRY(co_await broker_.topics.with(*topic, partition, look));
    const auto at = std::ranges::find_if(
        committed, [&](const Position& one) { return one.topic == topic_name && one.partition == partition; });
    const std::string before = at == committed.end() ? "none" : digits(at->committed);
    wanted.push_back({.topic = topic_name, .partition = partition, .committed = offset, .metadata = {}});
    draft.touches.push_back(fmt::format("{}-{}: {} → {}", topic_name, partition, before, offset));
  }
  draft.touched_count = wanted.size();
  draft.title = fmt::format("Move group {} in {}", name, topic_name);
  draft.apply = [this, name, wanted]() -> Json {
    OffsetCommitRequest commit{.group_id = name};
    auto& part = commit.topics.emplace_back();
    part.name = wanted.front().topic;
    for (const Position& one : wanted)
      part.partitions.push_back({.partition_index = one.partition, .committed_offset = one.committed});
    const OffsetCommitResponse answer = co_await broker_.groups.commit(commit);
    for (const auto& done : answer.topics)
      for (const auto& partition : done.partitions) {
        auto held = check(partition.error_code, name);
        if (!held && held.error().message().starts_with("UNKNOWN_MEMBER_ID"))
          co_return fail(Code::kConflict, "group " + name + " has members: stop them first");
        CO_TRY(std::move(held));
      }
    co_return json::serialize(json::object{{"group", name}, {"partitions", wanted.size()}});
  };
  co_return draft;
}

Face::Draft Face::plan_group_removal(http::Request& request) {
  const std::string name(request.param("group"));
  CO_TRY(may(request, ResourceType::kGroup, name, Operation::kDelete));
  systems::PlanDraft draft;
  for (const Position& one : CO_TRY(co_await positions(name)))
    if (draft.touches.size() < 999)
      draft.touches.push_back(fmt::format("{}-{}: position {}", one.topic, one.partition, one.committed));
  if (draft.touches.empty()) draft.touches.push_back("the group's name; it has no positions");
  draft.title = "Delete group " + name;
  draft.touched_count = draft.touches.size();
  draft.apply = [this, name]() -> Json {
    DeleteGroupsRequest erase;
    erase.groups_names.push_back(name);
    const DeleteGroupsResponse answer = co_await broker_.groups.erase(erase);
    for (const auto& result : answer.results) CO_TRY(check(result.error_code, name));
    co_return json::serialize(json::object{{"deleted", name}});
  };
  co_return draft;
}

// --- transactions

Face::Json Face::list_transactions(http::Request& request) {
  CO_TRY(signed_in(request));
  const ListTransactionsResponse listed = co_await broker_.transactions.list({});
  CO_TRY(check(listed.error_code, "the list of transactions"));
  json::array transactions;
  for (const auto& one : listed.transaction_states) {
    if (transactions.size() >= kListMax) break;
    if (!may(request, ResourceType::kTransactionalId, one.transactional_id, Operation::kDescribe)) continue;
    DescribeTransactionsRequest ask;
    ask.transactional_ids.push_back(one.transactional_id);
    const DescribeTransactionsResponse answer = co_await broker_.transactions.describe(ask);
    for (const auto& state : answer.transaction_states) {
      if (state.error_code != 0) continue;  // gone since it was listed
      json::array partitions;
      for (const auto& topic : state.topics)
        for (int32_t partition : topic.partitions)
          partitions.push_back(json::object{{"topic", topic.topic}, {"partition", partition}});
      transactions.push_back(json::object{{"transactional_id", state.transactional_id},
                                          {"state", state.transaction_state},
                                          {"producer_id", std::to_string(state.producer_id)},
                                          {"producer_epoch", state.producer_epoch},
                                          {"timeout_ms", state.transaction_timeout_ms},
                                          {"started_ms", state.transaction_start_time_ms},
                                          {"partitions", std::move(partitions)}});
    }
  }
  co_return json::serialize(json::object{{"transactions", std::move(transactions)}});
}

Face::Draft Face::plan_transaction_abort(http::Request& request) {
  const std::string id(request.param("id"));
  CO_TRY(may(request, ResourceType::kTransactionalId, id, Operation::kWrite));
  DescribeTransactionsRequest ask;
  ask.transactional_ids.push_back(id);
  const DescribeTransactionsResponse answer = co_await broker_.transactions.describe(ask);
  if (answer.transaction_states.size() != 1) co_return fail(Code::kNotFound, "there is no transactional id " + id);
  const auto& state = answer.transaction_states.front();
  CO_TRY(check(state.error_code, id));
  if (state.transaction_state != "Ongoing")
    co_return fail(Code::kConflict, fmt::format("{} has no open transaction: it is {}", id, state.transaction_state));
  systems::PlanDraft draft;
  for (const auto& topic : state.topics)
    for (int32_t partition : topic.partitions)
      if (draft.touches.size() < 999) draft.touches.push_back(fmt::format("{}-{}", topic.topic, partition));
  draft.touched_count = draft.touches.size();
  draft.title = fmt::format("Abort the open transaction of {}, producer {}", id, state.producer_id);
  draft.apply = [this, id, producer = state.producer_id, epoch = state.producer_epoch,
                 begun = state.transaction_start_time_ms]() -> Json {
    DescribeTransactionsRequest again;
    again.transactional_ids.push_back(id);
    const DescribeTransactionsResponse found = co_await broker_.transactions.describe(again);
    const auto same = [&](const auto& one) {
      return one.error_code == 0 && one.producer_id == producer && one.producer_epoch == epoch &&
             one.transaction_start_time_ms == begun && one.transaction_state == "Ongoing";
    };
    if (found.transaction_states.size() != 1 || !same(found.transaction_states.front()))
      co_return fail(Code::kConflict, "that transaction has ended since the plan was made");
    CO_TRY(outcome(co_await broker_.transactions.abort(id), id));
    co_return json::serialize(json::object{{"aborted", id}});
  };
  co_return draft;
}

}  // namespace polis::stream
