#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>
#include <iostream>

#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "kernel/io/shard.h"
#include "systems/stream/client/group_member.h"
#include "systems/stream/client/partitioner.h"
#include "systems/stream/faces/command_call.h"
#include "systems/stream/faces/commands.h"

namespace polis::stream {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Done = Task<Result<void>>;

// A batch is sent when it has so many records or bytes; a topic takes batches of about 1 MiB unless told otherwise.
constexpr int32_t kBatchRecords = 10'000;
constexpr size_t kBatchBytes = size_t{768} << 10;
constexpr Duration kHeartbeat = std::chrono::seconds(2);

// --- produce

// One batch a partition is being filled; idempotent producers count what each has got.
class Producing {
 public:
  Producing(Client& client, std::string topic, int32_t partitions, int16_t acks, Compression compression,
            ProducerId producer)
      : client_(client),
        topic_(std::move(topic)),
        partitions_(partitions),
        acks_(acks),
        compression_(compression),
        producer_(producer) {}

  // A record without a key goes where the last batch without keys was filled.
  Task<Result<void>> add(std::optional<std::string> key, std::string value, const std::vector<Header>& headers,
                         int32_t partition) {
    if (partition < 0) partition = key ? partition_of_key(as_bytes(*key), partitions_) : next_;
    Filling& filling = filling_[partition];
    if (filling.batch.count() == 0) filling.batch = BatchBuilder(producer_of(filling));
    filling.batch.add(now_ms(), key ? std::optional(as_bytes(*key)) : std::nullopt, as_bytes(value), headers);
    ++records_;
    if (filling.batch.count() >= kBatchRecords || filling.batch.size_bytes() >= kBatchBytes)
      CO_TRY(co_await send(partition, filling));
    co_return Result<void>();
  }
  Task<Result<void>> finish() {
    for (auto& [partition, filling] : filling_)
      if (filling.batch.count() > 0) CO_TRY(co_await send(partition, filling));
    co_return Result<void>();
  }
  uint64_t records() const { return records_; }
  const std::map<int32_t, Offset>& ends() const { return ends_; }

 private:
  struct Filling {
    BatchBuilder batch;
    int32_t sequence = 0;
  };
  BatchBuilder::Producer producer_of(const Filling& filling) const {
    if (producer_.id < 0) return {};
    return {.id = producer_.id, .epoch = producer_.epoch, .base_sequence = filling.sequence, .transactional = false};
  }
  Task<Result<void>> send(int32_t partition, Filling& filling) {
    const int32_t count = filling.batch.count();
    Bytes batch = filling.batch.finish();
    if (compression_ != Compression::kNone) batch = CO_TRY(with_compression(RecordBatch(batch), compression_));
    const Produced produced = CO_TRY(co_await client_.produce(topic_, partition, batch, acks_));
    filling.sequence += count;
    if (acks_ != 0) ends_[partition] = produced.base_offset + count;
    next_ = (next_ + 1) % partitions_;
    co_return Result<void>();
  }

  Client& client_;
  const std::string topic_;
  const int32_t partitions_;
  const int16_t acks_;
  const Compression compression_;
  const ProducerId producer_;
  std::map<int32_t, Filling> filling_;
  std::map<int32_t, Offset> ends_;
  int32_t next_ = 0;
  uint64_t records_ = 0;
};

Done produce(Invocation& call) {
  const std::string topic = call.arguments[0];
  int16_t acks = -1;
  if (const std::string text = flag(call, "acks"); text != "all") acks = text == "0" ? 0 : 1;
  Compression compression = Compression::kNone;
  for (size_t at = 0; at < 5; ++at)
    if (kCompressionNames[at] == flag(call, "compression")) compression = static_cast<Compression>(at);
  const auto headers_given = CO_TRY(pairs(flag(call, "header"), "--header"));
  std::vector<Header> headers;
  for (const auto& [name, value] : headers_given) headers.push_back({.key = name, .value = as_bytes(value)});
  const std::string separator = flag(call, "key-separator");

  Client client = CO_TRY(co_await open_client(call));
  const int32_t partitions = CO_TRY(co_await client.partitions_of(topic, true));
  if (partitions <= 0) co_return fail(Code::kNotFound, "topic " + topic + " has no partitions");
  const auto partition = static_cast<int32_t>(CO_TRY(number_flag(call, "partition", 0, partitions - 1, -1)));
  ProducerId producer;
  if (call.has("idempotent")) producer = CO_TRY(co_await client.init_producer());
  Producing producing(client, topic, partitions, acks, compression, producer);
  const auto add = [&](std::string line) {
    std::optional<std::string> key;
    if (call.has("key")) key = flag(call, "key");
    if (const size_t at = separator.empty() ? std::string::npos : line.find(separator); at != std::string::npos) {
      key = line.substr(0, at);
      line.erase(0, at + separator.size());
    }
    return producing.add(std::move(key), std::move(line), headers, partition);
  };
  for (size_t at = 1; at < call.arguments.size(); ++at) CO_TRY(co_await add(call.arguments[at]));
  if (call.arguments.size() == 1)
    for (std::string line; std::getline(std::cin, line);) CO_TRY(co_await add(std::move(line)));
  CO_TRY(co_await producing.finish());

  if (call.output.json()) {
    json::object ends;
    for (const auto& [number, end] : producing.ends()) ends[std::to_string(number)] = std::to_string(end);
    call.output.document(json::serialize(
        json::object{{"topic", topic}, {"records", producing.records()}, {"next_offsets", std::move(ends)}}));
  } else {
    call.output.remark(fmt::format("{} records", producing.records()));
  }
  co_return Result<void>();
}

// --- consume

struct Consuming {
  Invocation& call;
  Client& client;
  bool committed_only = false, follow = false;
  uint64_t left = UINT64_MAX;
  uint64_t shown = 0;
};

json::value record_json(const std::optional<BytesView>& bytes) {
  if (!bytes) return nullptr;
  if (base::utf8_valid(as_text(*bytes))) return json::value(as_text(*bytes));
  return json::object{{"base64", base::base64_encode(*bytes)}};
}

std::string plain(const std::optional<BytesView>& bytes) {
  return bytes ? std::string(as_text(*bytes)) : std::string("null");
}

void show(Consuming& consuming, const std::string& topic, int32_t partition, const Record& record) {
  ++consuming.shown;
  Invocation& call = consuming.call;
  if (call.output.json()) {
    json::object headers;
    for (const Header& header : record.headers) headers[header.key] = record_json(header.value);
    call.output.document(json::serialize(json::object{{"topic", topic},
                                                      {"partition", partition},
                                                      {"offset", std::to_string(record.offset)},
                                                      {"timestamp_ms", record.timestamp},
                                                      {"key", record_json(record.key)},
                                                      {"value", record_json(record.value)},
                                                      {"headers", std::move(headers)}}));
    return;
  }
  std::string line;
  if (call.has("offsets")) line += fmt::format("{}-{}@{}\t", topic, partition, record.offset);
  if (call.has("keys")) line += plain(record.key) + "\t";
  call.output.line(line + plain(record.value));
}

// One fetch of one partition. False at the end of what can be read.
Task<Result<bool>> take(Consuming& consuming, const std::string& topic, int32_t partition, Offset& next,
                        int32_t wait_ms) {
  const FetchedBytes fetched = CO_TRY(co_await consuming.client.fetch({.topic = topic,
                                                                       .partition = partition,
                                                                       .from = next,
                                                                       .wait_ms = wait_ms,
                                                                       .committed_only = consuming.committed_only}));
  next = CO_TRY(scan_records(fetched.batches, {.from = next, .aborted = fetched.aborted},
                             [&](const Record& record, const RecordPlace&) {
                               if (consuming.left == 0) return false;
                               --consuming.left;
                               show(consuming, topic, partition, record);
                               return true;
                             }));
  co_return next < (consuming.committed_only ? fetched.last_stable_offset : fetched.high_watermark);
}

// "earliest", "latest", an offset, or a time.
Task<Result<Offset>> begin_of(Client& client, std::string from, const std::string& topic, int32_t partition) {
  if (from == "earliest") co_return co_await client.offset_for(topic, partition, kEarliestOffset);
  if (from == "latest") co_return co_await client.offset_for(topic, partition, kLatestOffset);
  Offset offset = 0;
  auto [end, error] = std::from_chars(from.data(), from.data() + from.size(), offset);
  if (error == std::errc() && end == from.data() + from.size() && offset >= 0) co_return offset;
  const auto time = base::parse_rfc3339(from);
  if (!time) co_return fail(Code::kInvalid, "--from is earliest, latest, an offset, or a time (RFC 3339)");
  const int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(time->time_since_epoch()).count();
  const Offset found = CO_TRY(co_await client.offset_for(topic, partition, ms));
  co_return found >= 0 ? found : CO_TRY(co_await client.offset_for(topic, partition, kLatestOffset));
}

Done consume_partitions(Consuming& consuming, const std::string& topic, int32_t only) {
  const int32_t partitions = CO_TRY(co_await consuming.client.partitions_of(topic));
  if (only >= partitions) co_return fail(Code::kNotFound, fmt::format("{} has {} partitions", topic, partitions));
  std::map<int32_t, Offset> next;
  for (int32_t partition = 0; partition < partitions; ++partition)
    if (only < 0 || partition == only)
      next[partition] = CO_TRY(co_await begin_of(consuming.client, flag(consuming.call, "from"), topic, partition));
  // Waits in turns, so that none of many partitions is waited for long.
  const int32_t wait_ms = consuming.follow ? std::max<int32_t>(10, 500 / static_cast<int32_t>(next.size())) : 0;
  for (bool more = true; (more || consuming.follow) && consuming.left > 0;) {
    more = false;
    for (auto& [partition, at] : next)
      if (CO_TRY(co_await take(consuming, topic, partition, at, wait_ms))) more = true;
  }
  co_return Result<void>();
}

// As a member: what was shown is committed, so that the group goes on behind it.
Done consume_group(Consuming& consuming, const std::string& topic, std::string group) {
  const int64_t otherwise = flag(consuming.call, "from") == "latest" ? kLatestOffset : kEarliestOffset;
  GroupMember member(CO_TRY(co_await open_client(consuming.call)), {.group = std::move(group), .topics = {topic}});
  CO_TRY(co_await consuming.client.partitions_of(topic));
  for (bool done = false; !done;) {
    CO_TRY(co_await member.join());
    consuming.call.output.remark(fmt::format("member {}: {} partitions", member.id(), member.assignment().size()));
    std::map<int32_t, Offset> next, committed;
    for (const TopicPartition& one : member.assignment())
      next[one.partition] = committed[one.partition] =
          CO_TRY(co_await member.position(topic, one.partition, otherwise));
    SteadyTime beat = io::Shard::current().clock().steady() + kHeartbeat;
    for (bool settled = true; settled && !done;) {
      bool more = false;
      for (auto& [partition, at] : next) {
        if (consuming.left == 0) break;
        more = CO_TRY(co_await take(consuming, topic, partition, at, consuming.follow ? 50 : 0)) || more;
        if (at == committed[partition]) continue;
        CO_TRY(co_await member.commit(topic, partition, at));
        committed[partition] = at;
      }
      done = consuming.left == 0 || (!more && !consuming.follow);
      if (next.empty() && consuming.follow) CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(200)));
      if (const SteadyTime now = io::Shard::current().clock().steady(); now >= beat) {
        settled = CO_TRY(co_await member.heartbeat());
        beat = now + kHeartbeat;
      }
    }
  }
  co_return co_await member.leave();
}

Done consume(Invocation& call) {
  const std::string topic = call.arguments[0], group = flag(call, "group");
  Client client = CO_TRY(co_await open_client(call));
  Consuming consuming{.call = call, .client = client};
  consuming.committed_only = call.has("committed");
  consuming.follow = call.has("follow");
  if (call.has("count")) consuming.left = static_cast<uint64_t>(CO_TRY(number_flag(call, "count", 1, INT64_MAX)));
  const auto partition = static_cast<int32_t>(CO_TRY(number_flag(call, "partition", 0, INT32_MAX, -1)));
  if (!group.empty() && partition >= 0)
    co_return fail(Code::kInvalid, "a group shares the partitions itself: give either --group or --partition");
  if (group.empty())
    CO_TRY(co_await consume_partitions(consuming, topic, partition));
  else
    CO_TRY(co_await consume_group(consuming, topic, group));
  call.output.remark(fmt::format("{} records", consuming.shown));
  co_return Result<void>();
}

std::vector<systems::Flag> with_client(std::vector<systems::Flag> flags) {
  for (systems::Flag& one : client_flags()) flags.push_back(std::move(one));
  return flags;
}

}  // namespace

std::vector<systems::Command> record_commands() {
  const systems::Argument kTopic{.name = "topic", .help = "its name"};
  return {
      {.name = "produce",
       .help = "Appends records: the values given, or one a line of the input",
       .arguments = {kTopic, {.name = "value", .help = "a record's value", .required = false, .repeated = true}},
       .flags = with_client(
           {{.name = "key", .help = "key of every record", .value = "TEXT"},
            {.name = "key-separator", .help = "what stands between key and value in a line", .value = "TEXT"},
            {.name = "header", .help = "a header of every record", .value = "NAME=VALUE", .repeated = true},
            {.name = "partition", .help = "all into this one, in place of by key", .value = "N"},
            {.name = "acks",
             .help = "whose word is waited for",
             .value = "LEVEL",
             .value_default = "all",
             .choices = {"0", "1", "all"}},
            {.name = "compression",
             .help = "of the batches",
             .value = "CODEC",
             .value_default = "none",
             .choices = {"none", "gzip", "snappy", "lz4", "zstd"}},
            {.name = "idempotent", .help = "batches are numbered, so that none is appended twice"}}),
       .run = produce},
      {.name = "consume",
       .help = "Shows records, up to the end or for ever",
       .arguments = {kTopic},
       .flags = with_client(
           {{.name = "group", .help = "as a member of this group, which remembers its position", .value = "GROUP"},
            {.name = "from",
             .help = "earliest, latest, an offset, or a time (RFC 3339)",
             .value = "PLACE",
             .value_default = "earliest"},
            {.name = "partition", .help = "of this one alone", .value = "N"},
            {.name = "count", .help = "at most so many", .value = "N"},
            {.name = "committed", .help = "leaves out what a transaction has not committed"},
            {.name = "follow", .help = "waits for more at the end"},
            {.name = "keys", .help = "shows keys, too"},
            {.name = "offsets", .help = "shows where each record stands"}}),
       .run = consume},
  };
}

}  // namespace polis::stream
