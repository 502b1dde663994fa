// What the console sees move. The samples are made on shard 0 and bounded: a topic with ten thousand partitions is
// shown in part, the busiest topics first.
#include <algorithm>
#include <boost/json.hpp>

#include "kernel/base/time_format.h"
#include "systems/stream/faces/face.h"

namespace polis::stream {
namespace {

namespace json = boost::json;

constexpr uint64_t kPathBytes = uint64_t{256} << 20, kPathBytesMax = uint64_t{4} << 30;
constexpr size_t kPathRangesMax = 256;
constexpr Duration kPathTimeMax = std::chrono::seconds(5);

json::object latency_json(const obs::BucketHistogram::Snapshot& snapshot) {
  json::array counts;
  for (uint64_t count : snapshot.counts) counts.push_back(count);
  return {{"count", snapshot.count}, {"sum_s", snapshot.sum}, {"buckets", std::move(counts)}};
}

json::object arrow_json(const PathArrow& arrow) {
  return {{"bytes", arrow.bytes}, {"calls", arrow.calls}, {"wall_ns", arrow.wall_ns}, {"cpu_ns", arrow.cpu_ns}};
}

}  // namespace

Face::Json Face::live() {
  std::vector<std::shared_ptr<const Topic>> topics;
  uint64_t topic_count = 0, partition_count = 0;
  for (const std::shared_ptr<const Topic>& topic : broker_.topics.table()->all()) {
    if (topic->internal) continue;
    ++topic_count;
    partition_count += static_cast<uint64_t>(topic->partitions);
    if (topics.size() < kLiveTopicsMax) topics.push_back(topic);
  }
  const std::vector<PartitionPicture> partitions = co_await pictures(std::move(topics), kLivePartitionsMax);
  json::object shown;
  uint64_t size_bytes = 0, duplicates = 0, open_transactions = 0;
  for (const PartitionPicture& one : partitions) {
    const PartitionStatistics& now = one.statistics;
    json::value& topic = shown[one.topic->name];
    if (topic.is_null())
      topic = json::object{{"partition_count", one.topic->partitions},
                           {"durability", one.topic->config.get("polis.durability")},
                           {"read_path", one.topic->config.get("read.path")},
                           {"partitions", json::object()}};
    // [start, high watermark, last stable offset, end, bytes, open transactions, duplicates dropped]
    json::array numbers{json::string(digits(now.log_start_offset)),
                        json::string(digits(now.high_watermark)),
                        json::string(digits(now.last_stable_offset)),
                        json::string(digits(now.end_offset)),
                        now.size_bytes,
                        now.open_transactions,
                        now.duplicates};
    topic.as_object()["partitions"].as_object()[std::to_string(one.partition)] = std::move(numbers);
    size_bytes += now.size_bytes;
    duplicates += now.duplicates;
    open_transactions += now.open_transactions;
  }
  Meter::Counts counts;
  if (parts_.server.meter) counts = parts_.server.meter->counts();
  json::object latency;
  for (size_t level = 0; level < kAckLevels; ++level)
    latency[name(static_cast<AckLevel>(level))] = latency_json(counts.latency[level]);
  json::array bounds;
  for (double bound : counts.latency[0].bounds) bounds.push_back(bound);
  co_return json::serialize(json::object{{"topic_count", topic_count},
                                         {"partition_count", partition_count},
                                         {"shown_partitions", partitions.size()},
                                         {"size_bytes", size_bytes},
                                         {"duplicates", duplicates},
                                         {"open_transactions", open_transactions},
                                         {"produced_bytes", counts.produced_bytes},
                                         {"produced_records", counts.produced_records},
                                         {"refused_batches", counts.refused},
                                         {"sendfile_bytes", counts.sendfile_bytes},
                                         {"copied_bytes", counts.copied_bytes},
                                         {"disk_full", broker_.topics.disk_full()},
                                         {"latency_bounds_s", std::move(bounds)},
                                         {"latency", std::move(latency)},
                                         {"topics", std::move(shown)}});
}

Face::Json Face::live_groups() {
  const ListGroupsResponse listed = co_await broker_.groups.list({});
  json::object groups;
  size_t places = 0;
  for (const auto& group : listed.groups) {
    if (groups.size() >= kLiveGroupsMax) break;
    if (group.group_id.size() > kShownNameBytesMax) continue;  // a sample is bounded
    auto held = co_await positions(group.group_id);
    if (!held) continue;  // gone since it was listed
    DescribeGroupsRequest ask;
    ask.groups.push_back(group.group_id);
    const DescribeGroupsResponse described = co_await broker_.groups.describe(ask);
    json::object committed;
    for (const Position& one : *held) {
      if (places >= kLivePositionsMax) break;
      ++places;
      json::value& topic = committed[one.topic];
      if (topic.is_null()) topic = json::object();
      topic.as_object()[std::to_string(one.partition)] = digits(one.committed);
    }
    groups[group.group_id] =
        json::object{{"state", group.group_state},
                     {"members", described.groups.empty() ? size_t{0} : described.groups.front().members.size()},
                     {"committed", std::move(committed)}};
  }
  const ListTransactionsResponse transactions = co_await broker_.transactions.list({});
  json::object open;
  for (const auto& one : transactions.transaction_states) {
    if (open.size() >= kLiveGroupsMax) break;
    if (one.transactional_id.size() > kShownNameBytesMax) continue;
    if (one.transaction_state == "Ongoing" || one.transaction_state.starts_with("Prepare"))
      open[one.transactional_id] =
          json::object{{"state", one.transaction_state}, {"producer_id", std::to_string(one.producer_id)}};
  }
  co_return json::serialize(json::object{{"group_count", listed.groups.size()},
                                         {"groups", std::move(groups)},
                                         {"transaction_count", transactions.transaction_states.size()},
                                         {"transactions", std::move(open)}});
}

// --- the ways of a log to its consumer, measured

std::string Face::path_lab_json() const {
  json::object one{{"running", lab_.running}, {"begun", lab_.begun ? base::format_rfc3339(*lab_.begun) : std::string()},
                   {"topic", lab_.topic},     {"partition", lab_.partition},
                   {"error", lab_.error},     {"measured", lab_.result.has_value()}};
  const PathMeasurement measured = lab_.result.value_or(PathMeasurement{});
  one["read"] = arrow_json(measured.read);
  one["write"] = arrow_json(measured.write);
  one["sendfile"] = arrow_json(measured.sendfile);
  return json::serialize(one);
}

Face::Json Face::path_lab(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kDescribe));
  co_return co_await io::on(home_, [this]() -> Json { co_return path_lab_json(); });
}

Face::Json Face::start_path_lab(http::Request& request) {
  CO_TRY(may(request, ResourceType::kCluster, kClusterResource, Operation::kDescribe));
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const std::string name = CO_TRY(body.text("topic"));
  const std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, name, Operation::kRead));
  const auto partition = static_cast<int32_t>(CO_TRY(body.number("partition", 0, topic->partitions - 1, 0)));
  const auto bytes = static_cast<uint64_t>(CO_TRY(body.number("bytes", 1 << 20, kPathBytesMax, kPathBytes)));
  CO_TRY(body.finish());
  const auto begin = [this, topic, partition, bytes]() -> Json {
    if (lab_.running) co_return fail(Code::kBusy, "a measurement is running already; wait until it has finished");
    lab_ = {.running = true,
            .begun = parts_.clock.wall(),
            .topic = topic->name,
            .error = {},
            .partition = partition,
            .result = {}};
    tasks_.spawn(run_path_lab(topic, partition, bytes));
    co_return path_lab_json();
  };
  co_return co_await io::on(home_, begin);
}

namespace {

// On the partition's shard, while other requests go on: the sending itself is on a thread that may wait.
Task<Result<PathMeasurement>> measure_partition(Partition& open, uint64_t bytes) {
  std::vector<Fetched> held;  // keeps the files open
  std::vector<PathRange> ranges;
  uint64_t size = 0;
  for (Offset from = open.log_start_offset();
       from < open.high_watermark() && size < bytes && ranges.size() < kPathRangesMax;) {
    Fetched fetched = co_await open.fetch(from, bytes - size, Isolation::kReadUncommitted);
    if (!fetched.refusal.ok()) co_return fail(outcome(fetched.refusal, "the log").error());
    if (!fetched.file) break;
    if (fetched.file->native_handle() < 0)
      co_return fail(Code::kUnsupported, "this disk's files have no descriptors that could be sent");
    ranges.push_back({.descriptor = fetched.file->native_handle(), .range = fetched.range});
    size += fetched.range.size;
    // Where the next range begins: behind the last batch, whose head says which offset it ends at.
    Bytes head(kBatchHeaderBytes);
    Offset next = from;
    for (uint64_t at = 0; at + head.size() <= fetched.range.size;) {
      if (CO_TRY(co_await fetched.file->read_at(fetched.range.offset + at, head)) < head.size()) break;
      const RecordBatch batch(head);
      next = batch.last_offset() + 1;
      at += kBatchLengthEnds + base::load_big<uint32_t>(head.data() + 8);
    }
    held.push_back(std::move(fetched));
    if (next <= from) break;
    from = next;
  }
  if (ranges.empty())
    co_return fail(Code::kInvalid,
                   "there is nothing to send, or the topic copies (read.path=copy): "
                   "produce some records first, or take a topic with read.path=sendfile");
  co_return co_await io::blocking([&ranges, bytes] { return measure_paths(ranges, bytes, kPathTimeMax); });
}

}  // namespace

// What went wrong stands in the lab.
Task<void> Face::run_path_lab(std::shared_ptr<const Topic> topic, int32_t partition, uint64_t bytes) {
  const auto work = [bytes](Partition& open) { return measure_partition(open, bytes); };
  auto measured = co_await broker_.topics.with(*topic, partition, work);
  if (measured)
    lab_.result = *measured;
  else
    lab_.error = measured.error().text();
  lab_.running = false;
}

}  // namespace polis::stream
