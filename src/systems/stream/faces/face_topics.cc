#include <algorithm>
#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/base/text_encoding.h"
#include "systems/stream/faces/face.h"

namespace polis::stream {
namespace {

namespace json = boost::json;

constexpr size_t kTouchesMax = 900;

json::object partition_json(int32_t number, const PartitionStatistics& statistics, std::string_view error) {
  return {{"partition", number},
          {"log_start_offset", digits(statistics.log_start_offset)},
          {"high_watermark", digits(statistics.high_watermark)},
          {"last_stable_offset", digits(statistics.last_stable_offset)},
          {"end_offset", digits(statistics.end_offset)},
          {"size_bytes", statistics.size_bytes},
          {"segments", statistics.segments},
          {"producers", statistics.producers},
          {"open_transactions", statistics.open_transactions},
          {"duplicates", statistics.duplicates},
          {"error", error}};
}

// What the topic is, without what its partitions hold.
json::object head_json(const Topic& topic) {
  json::object overrides;
  for (const auto& [name, value] : topic.overrides) overrides[name] = value;
  return {{"name", topic.name},
          {"id", base::base64_encode(topic.id.bytes, base::Base64::kUrl)},
          {"partition_count", topic.partitions},
          {"internal", topic.internal},
          {"cleanup_policy", topic.config.get("cleanup.policy")},
          {"durability", topic.config.get("polis.durability")},
          {"read_path", topic.config.get("read.path")},
          {"overrides", std::move(overrides)}};
}

json::array config_json(const Topic& topic) {
  const TopicConfig defaults;
  json::array options;
  for (const ConfigOption& option : topic_options())
    options.push_back(json::object{{"name", option.name},
                                   {"value", topic.config.get(option.name)},
                                   {"default", defaults.get(option.name)},
                                   {"overridden", topic.overrides.contains(std::string(option.name))},
                                   {"type", option.type},
                                   {"help", option.help}});
  return options;
}

}  // namespace

Face::Json Face::list_topics(http::Request& request) {
  CO_TRY(signed_in(request));
  const bool internal = CO_TRY(systems::text_parameter(request, "internal")) == "true";
  std::vector<std::shared_ptr<const Topic>> topics;
  for (const std::shared_ptr<const Topic>& topic : broker_.topics.table()->all()) {
    if (topic->internal && !internal) continue;
    if (topics.size() < kListMax && may(request, ResourceType::kTopic, topic->name, Operation::kDescribe))
      topics.push_back(topic);
  }
  const std::vector<PartitionPicture> all = co_await pictures(topics, SIZE_MAX);
  json::array list;
  size_t at = 0;
  for (const std::shared_ptr<const Topic>& topic : topics) {
    json::object one = head_json(*topic);
    uint64_t size_bytes = 0, failed = 0;
    Offset records = 0;
    for (int32_t number = 0; number < topic->partitions; ++number, ++at) {
      size_bytes += all[at].statistics.size_bytes;
      records += all[at].statistics.end_offset - all[at].statistics.log_start_offset;
      failed += !all[at].error.empty();
    }
    one["size_bytes"] = size_bytes;
    one["records"] = digits(records);
    one["failed_partitions"] = failed;
    list.push_back(std::move(one));
  }
  co_return json::serialize(json::object{{"topics", std::move(list)}});
}

Task<Result<std::string>> Face::topic_json(std::shared_ptr<const Topic> topic) {
  json::object one = head_json(*topic);
  json::array partitions;
  for (const PartitionPicture& picture : co_await pictures({topic}, SIZE_MAX))
    partitions.push_back(partition_json(picture.partition, picture.statistics, picture.error));
  one["partitions"] = std::move(partitions);
  one["config"] = config_json(*topic);
  co_return json::serialize(one);
}

Face::Json Face::show_topic(http::Request& request) {
  std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, request.param("topic"), Operation::kDescribe));
  co_return co_await topic_json(std::move(topic));
}

Face::Json Face::create_topic(http::Request& request) {
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  NewTopic wanted{.name = CO_TRY(body.text("name"))};
  wanted.partitions = static_cast<int32_t>(CO_TRY(body.number("partitions", -1, kPartitionsMax, -1)));
  for (auto& [name, value] : CO_TRY(body.texts("config")))
    if (value) wanted.config[name] = *value;
  CO_TRY(body.finish());
  if (!may(request, ResourceType::kCluster, kClusterResource, Operation::kCreate))
    CO_TRY(may(request, ResourceType::kTopic, wanted.name, Operation::kCreate));
  const std::string name = wanted.name;
  CO_TRY(outcome(co_await broker_.topics.create(std::move(wanted), false), name));
  co_await record(request, "stream:CreateTopic", name);
  std::shared_ptr<const Topic> made = find(name);
  if (!made) co_return fail(Code::kNotFound, "topic " + name + " was deleted again at once");
  co_return co_await topic_json(std::move(made));
}

Face::Json Face::change_topic(http::Request& request) {
  const std::string name(request.param("topic"));
  const std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, name, Operation::kDescribe));
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  auto changes = CO_TRY(body.texts("config"));
  const int64_t partitions = CO_TRY(body.number("partitions", 1, kPartitionsMax, 0));
  CO_TRY(body.finish());
  if (!changes.empty()) CO_TRY(may(request, ResourceType::kTopic, name, Operation::kAlterConfigs));
  if (partitions > 0) CO_TRY(may(request, ResourceType::kTopic, name, Operation::kAlter));
  // Nothing is changed unless all of it can be.
  if (!changes.empty()) CO_TRY(outcome(co_await broker_.topics.configure(name, changes, false, true), name));
  if (partitions > 0 && partitions != topic->partitions)
    CO_TRY(outcome(co_await broker_.topics.add_partitions(name, static_cast<int32_t>(partitions), false), name));
  if (!changes.empty()) CO_TRY(outcome(co_await broker_.topics.configure(name, changes, false, false), name));
  co_await record(request, "stream:AlterTopic", name);
  std::shared_ptr<const Topic> changed = find(name);
  if (!changed) co_return fail(Code::kNotFound, "topic " + name + " was deleted meanwhile");
  co_return co_await topic_json(std::move(changed));
}

Face::Draft Face::plan_topic_removal(http::Request& request) {
  const std::string name(request.param("topic"));
  const std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, name, Operation::kDelete));
  systems::PlanDraft draft;
  Offset records = 0;
  for (const PartitionPicture& picture : co_await pictures({topic}, SIZE_MAX)) {
    const Offset here = picture.statistics.end_offset - picture.statistics.log_start_offset;
    records += here;
    draft.touched_bytes += picture.statistics.size_bytes;
    if (draft.touches.size() < kTouchesMax)
      draft.touches.push_back(
          fmt::format("{}-{}: {} records, {} bytes", name, picture.partition, here, picture.statistics.size_bytes));
  }
  draft.touches.push_back("the positions that groups have in it");
  draft.title = fmt::format("Delete topic {} with {} records", name, records);
  draft.touched_count = static_cast<uint64_t>(topic->partitions);
  draft.apply = [this, name, id = topic->id]() -> Json {
    const std::shared_ptr<const Topic> now = find(name);
    if (!now || now->id != id) co_return fail(Code::kConflict, "topic " + name + " is not the one that was listed");
    CO_TRY(outcome(co_await broker_.topics.erase(name), name));
    co_return json::serialize(json::object{{"deleted", name}});
  };
  co_return draft;
}

Face::Draft Face::plan_record_removal(http::Request& request) {
  const std::string name(request.param("topic"));
  const std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, name, Operation::kDelete));
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const auto partition = static_cast<int32_t>(CO_TRY(body.number("partition", 0, topic->partitions - 1)));
  const Offset before = CO_TRY(body.number("before", 0, INT64_MAX));
  CO_TRY(body.finish());
  const PartitionStatistics now = CO_TRY(co_await broker_.topics.with(
      *topic, partition, [](Partition& open) -> Task<PartitionStatistics> { co_return open.statistics(); }));
  if (before > now.high_watermark)
    co_return fail(Code::kOutOfRange,
                   fmt::format("the last offset of {}-{} is {}", name, partition, now.high_watermark));
  systems::PlanDraft draft;
  const Offset gone = std::max<Offset>(0, before - now.log_start_offset);
  draft.title = fmt::format("Delete {} records of {}-{}, those before offset {}", gone, name, partition, before);
  draft.touches = {fmt::format("{}-{}: offsets {} to {}", name, partition, now.log_start_offset, before)};
  draft.touched_count = static_cast<uint64_t>(gone);
  draft.apply = [this, topic, partition, before]() -> Json {
    const auto cut = [before](Partition& open) -> Task<Result<Offset>> { return open.delete_before(before); };
    const Offset start = CO_TRY(co_await broker_.topics.with(*topic, partition, cut));
    co_return json::serialize(json::object{{"log_start_offset", digits(start)}});
  };
  co_return draft;
}

// --- the broker

Face::Json Face::cluster(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kDescribe));
  const Storage storage = broker_.topics.storage();
  uint64_t topics = 0, partitions = 0;
  for (const std::shared_ptr<const Topic>& topic : broker_.topics.table()->all()) {
    ++topics;
    partitions += static_cast<uint64_t>(topic->partitions);
  }
  const ListGroupsResponse groups = co_await broker_.groups.list({});
  const ListTransactionsResponse transactions = co_await broker_.transactions.list({});
  co_return json::serialize(json::object{{"cluster_id", broker_.options.cluster_id},
                                         {"nodes", json::array{json::object{{"node_id", broker_.options.node_id},
                                                                            {"host", broker_.options.advertised_host},
                                                                            {"controller", true}}}},
                                         {"topics", topics},
                                         {"partitions", partitions},
                                         {"groups", groups.groups.size()},
                                         {"transactions", transactions.transaction_states.size()},
                                         {"auto_create_topics", broker_.options.auto_create_topics},
                                         {"default_partitions", broker_.options.default_partitions},
                                         {"directory", storage.directory},
                                         {"disk_total_bytes", storage.total_bytes},
                                         {"disk_usable_bytes", storage.usable_bytes},
                                         {"disk_full", broker_.topics.disk_full()}});
}

}  // namespace polis::stream
