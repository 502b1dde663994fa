#include "systems/stream/faces/bench_command.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/io/shard.h"
#include "systems/stream/faces/bench_load.h"
#include "systems/stream/faces/command_call.h"

namespace polis::stream {
namespace {

namespace json = boost::json;
using systems::Invocation;
using Done = Task<Result<void>>;

Task<Result<io::Endpoint>> broker_of(Invocation& call) {
  if (const std::string broker = flag(call, "broker"); !broker.empty()) co_return io::Endpoint::parse(broker);
  co_return io::Endpoint{.address = "127.0.0.1", .port = CO_TRY(co_await call.api.port("stream.kafka"))};
}

// --- path

json::object path_run_json(const PathRun& run) {
  return {{"bytes", run.bytes},
          {"seconds", run.seconds},
          {"server_cpu_seconds", run.server_cpu_s},
          {"server_cpu_seconds_per_gib", run.cpu_per_gib()}};
}

json::object bench_arrow_json(const PathArrow& arrow) {
  const double mib = static_cast<double>(arrow.bytes) / (1 << 20);
  return {{"bytes", arrow.bytes},
          {"calls", arrow.calls},
          {"cpu_ns", arrow.cpu_ns},
          {"wall_ns", arrow.wall_ns},
          {"cpu_ns_per_mib", mib > 0 ? static_cast<double>(arrow.cpu_ns) / mib : 0}};
}

std::vector<std::string> run_row(const char* name, const PathRun& run) {
  const double mb = static_cast<double>(run.bytes) / 1e6;
  return {name,
          fmt::format("{:.0f} MB", mb),
          fmt::format("{:.3f} s", run.seconds),
          fmt::format("{:.0f} MB/s", run.seconds > 0 ? mb / run.seconds : 0),
          fmt::format("{:.2f} s", run.server_cpu_s),
          fmt::format("{:.3f} s/GiB", run.cpu_per_gib())};
}

std::vector<std::string> arrow_row(const char* path, const char* arrow, const PathArrow& measured) {
  const double mib = static_cast<double>(measured.bytes) / (1 << 20);
  return {path,
          arrow,
          fmt::format("{:.0f} MB", static_cast<double>(measured.bytes) / 1e6),
          fmt::format("{}", measured.calls),
          fmt::format("{:.1f} µs/MiB", mib > 0 ? static_cast<double>(measured.cpu_ns) / mib / 1000 : 0),
          fmt::format("{:.1f} µs/MiB", mib > 0 ? static_cast<double>(measured.wall_ns) / mib / 1000 : 0)};
}

Done bench_path(Invocation& call) {
  PathBenchOptions options;
  options.size_bytes = static_cast<uint64_t>(CO_TRY(number_flag(call, "size", 1, 65'536, 512))) << 20;
  options.record_bytes = static_cast<int32_t>(CO_TRY(number_flag(call, "record-size", 1, 900'000, 1024)));
  options.fetch_bytes = static_cast<int32_t>(CO_TRY(number_flag(call, "fetch-size", 1, 64, 1))) << 20;
  options.rounds = static_cast<int>(CO_TRY(number_flag(call, "rounds", 1, 100, 2)));
  Client client = CO_TRY(co_await Client::open(CO_TRY(co_await broker_of(call)), "polis-bench"));
  call.output.remark(fmt::format("{} MiB of {}-byte records; each path is read {} times, in turns, from the page cache",
                                 options.size_bytes >> 20, options.record_bytes, options.rounds));
  const PathBench bench = CO_TRY(co_await bench_paths(call.api, client, options));
  if (call.output.json()) {
    json::object answer{{"topic_bytes", bench.bytes},
                        {"copy", path_run_json(bench.copy)},
                        {"sendfile", path_run_json(bench.sendfile)},
                        {"time_saved_percent", bench.time_saved_percent()},
                        {"server_cpu_saved_percent", bench.cpu_saved_percent()}};
    if (bench.arrows.measured)
      answer["arrows"] = json::object{{"read", bench_arrow_json(bench.arrows.read)},
                                      {"write", bench_arrow_json(bench.arrows.write)},
                                      {"sendfile", bench_arrow_json(bench.arrows.sendfile)},
                                      {"cpu_saved_percent", bench.arrows.cpu_saved_percent()}};
    call.output.document(json::serialize(answer));
    co_return Result<void>();
  }
  call.output.table({"read.path", "sent", "time", "rate", "server CPU", "server CPU"},
                    {run_row("copy", bench.copy), run_row("sendfile", bench.sendfile)});
  call.output.line(fmt::format("sendfile: {:.0f} % less server CPU, {:.0f} % less time", bench.cpu_saved_percent(),
                               bench.time_saved_percent()));
  if (!bench.arrows.measured) {
    call.output.remark("the arrows could not be measured: " + bench.arrows.why_not);
    co_return Result<void>();
  }
  call.output.line("");
  call.output.table({"path", "arrow", "bytes", "calls", "CPU", "time"},
                    {arrow_row("copy", "page cache → process: read()", bench.arrows.read),
                     arrow_row("copy", "process → socket: write()", bench.arrows.write),
                     arrow_row("sendfile", "page cache → socket: sendfile()", bench.arrows.sendfile)});
  call.output.line(fmt::format("the calls alone: {:.0f} % less CPU", bench.arrows.cpu_saved_percent()));
  co_return Result<void>();
}

// --- acks

struct AckCase {
  const char* durability;
  int16_t acks;
  const char* meaning;
};
constexpr AckCase kAckCases[] = {
    {"fsync", 0, "nobody is waited for"}, {"os", 1, "the page cache has it"},    {"os", -1, "the same on one node"},
    {"fsync", 1, "the disk has it"},      {"fsync", -1, "the same on one node"},
};

json::object bench_latency_json(const base::Histogram& latency) {
  return {{"p50", latency.percentile(50)},
          {"p90", latency.percentile(90)},
          {"p99", latency.percentile(99)},
          {"p999", latency.percentile(99.9)},
          {"max", latency.max()}};
}

std::string milliseconds(uint64_t us) {
  return fmt::format("{:.2f} ms", static_cast<double>(us) / 1000);
}

// Of all partitions.
Task<Result<uint64_t>> arrived(Client& client, const std::string& topic, int32_t partitions) {
  uint64_t sum = 0;
  for (int32_t partition = 0; partition < partitions; ++partition)
    sum += static_cast<uint64_t>(CO_TRY(co_await client.offset_for(topic, partition, kLatestOffset)));
  co_return sum;
}

Done bench_acks(Invocation& call) {
  LoadPlan plan;
  plan.producers = static_cast<int32_t>(CO_TRY(number_flag(call, "producers", 1, 1000, 16)));
  plan.partitions = static_cast<int32_t>(CO_TRY(number_flag(call, "partitions", 1, 1000, 1)));
  plan.record_bytes = static_cast<int32_t>(CO_TRY(number_flag(call, "record-size", 1, 900'000, 1024)));
  plan.records_a_batch = static_cast<int32_t>(CO_TRY(number_flag(call, "batch", 1, 10'000, 1)));
  plan.time = std::chrono::seconds(CO_TRY(number_flag(call, "seconds", 1, 3600, 3)));
  const io::Endpoint endpoint = CO_TRY(co_await broker_of(call));
  Client client = CO_TRY(co_await Client::open(endpoint, "polis-bench"));
  std::vector<std::vector<std::string>> rows;
  json::array runs;
  for (const AckCase& one : kAckCases) {
    plan.topic = fresh_name("bench-acks");
    plan.acks = one.acks;
    CO_TRY(co_await client.create_topic(plan.topic, plan.partitions, {{"polis.durability", one.durability}}));
    const LoadResult result = CO_TRY(co_await run_load(endpoint, plan));
    const uint64_t there = CO_TRY(co_await arrived(client, plan.topic, plan.partitions));
    CO_TRY(co_await client.erase_topic(plan.topic));
    if (one.acks != 0 && there < result.records)
      co_return fail(Code::kCorrupt, fmt::format("{} records were acknowledged, {} are there", result.records, there));
    const std::string acks = one.acks < 0 ? "all" : std::to_string(one.acks);
    rows.push_back({acks, one.acks == 0 ? "-" : one.durability, one.meaning,
                    fmt::format("{:.0f}", result.records_per_second()), milliseconds(result.latency_us.percentile(50)),
                    milliseconds(result.latency_us.percentile(99)), milliseconds(result.latency_us.max())});
    runs.push_back(json::object{{"acks", acks},
                                {"durability", one.durability},
                                {"records", result.records},
                                {"seconds", result.seconds},
                                {"records_per_second", result.records_per_second()},
                                {"latency_us", bench_latency_json(result.latency_us)}});
  }
  if (call.output.json()) {
    call.output.document(json::serialize(json::object{{"producers", plan.producers},
                                                      {"record_bytes", plan.record_bytes},
                                                      {"records_a_batch", plan.records_a_batch},
                                                      {"runs", std::move(runs)}}));
  } else {
    call.output.table({"acks", "durability", "when the answer comes", "records/s", "p50", "p99", "max"}, rows);
    call.output.remark(fmt::format("{} producers, each with one batch of {} records of {} bytes under way",
                                   plan.producers, plan.records_a_batch, plan.record_bytes));
  }
  co_return Result<void>();
}

// --- exactly once

struct EosCase {
  const char* name;
  Guarantee guarantee;
  int32_t batches_a_transaction;
};
constexpr EosCase kEosCases[] = {{"at least once", Guarantee::kPlain, 0},
                                 {"idempotent", Guarantee::kIdempotent, 0},
                                 {"transactions of 1 batch", Guarantee::kTransactional, 1},
                                 {"transactions of 10 batches", Guarantee::kTransactional, 10},
                                 {"transactions of 100 batches", Guarantee::kTransactional, 100}};

Done bench_eos(Invocation& call) {
  LoadPlan plan;
  plan.producers = static_cast<int32_t>(CO_TRY(number_flag(call, "producers", 1, 1000, 4)));
  plan.partitions = static_cast<int32_t>(CO_TRY(number_flag(call, "partitions", 1, 1000, 1)));
  plan.record_bytes = static_cast<int32_t>(CO_TRY(number_flag(call, "record-size", 1, 900'000, 1024)));
  plan.records_a_batch = static_cast<int32_t>(CO_TRY(number_flag(call, "batch", 1, 10'000, 10)));
  plan.time = std::chrono::seconds(CO_TRY(number_flag(call, "seconds", 1, 3600, 3)));
  const std::string durability = flag(call, "durability");
  const io::Endpoint endpoint = CO_TRY(co_await broker_of(call));
  Client client = CO_TRY(co_await Client::open(endpoint, "polis-bench"));
  std::vector<std::vector<std::string>> rows;
  json::array runs;
  double at_least_once = 0;
  for (const EosCase& one : kEosCases) {
    plan.topic = fresh_name("bench-eos");
    plan.guarantee = one.guarantee;
    plan.batches_a_transaction = std::max(1, one.batches_a_transaction);
    CO_TRY(co_await client.create_topic(plan.topic, plan.partitions, {{"polis.durability", durability}}));
    const LoadResult result = CO_TRY(co_await run_load(endpoint, plan));
    CO_TRY(co_await client.erase_topic(plan.topic));
    if (one.guarantee == Guarantee::kPlain) at_least_once = result.records_per_second();
    const double share = at_least_once > 0 ? result.records_per_second() / at_least_once * 100 : 0;
    const bool transactions = one.guarantee == Guarantee::kTransactional;
    rows.push_back({one.name, fmt::format("{:.0f}", result.records_per_second()), fmt::format("{:.0f} %", share),
                    milliseconds(result.latency_us.percentile(50)), milliseconds(result.latency_us.percentile(99)),
                    transactions ? milliseconds(result.transaction_us.percentile(50)) : "",
                    transactions ? milliseconds(result.transaction_us.percentile(99)) : ""});
    json::object run{{"guarantee", one.name},
                     {"batches_a_transaction", one.batches_a_transaction},
                     {"records_per_second", result.records_per_second()},
                     {"percent_of_at_least_once", share},
                     {"transactions", result.transactions},
                     {"latency_us", bench_latency_json(result.latency_us)}};
    if (transactions) run["transaction_us"] = bench_latency_json(result.transaction_us);
    runs.push_back(std::move(run));
  }
  if (call.output.json()) {
    call.output.document(json::serialize(json::object{{"producers", plan.producers},
                                                      {"records_a_batch", plan.records_a_batch},
                                                      {"record_bytes", plan.record_bytes},
                                                      {"durability", durability},
                                                      {"runs", std::move(runs)}}));
  } else {
    call.output.table({"delivery", "records/s", "of at least once", "batch p50", "p99", "transaction p50", "p99"},
                      rows);
    call.output.remark(fmt::format("{} producers, batches of {} records of {} bytes, acks=all, {}", plan.producers,
                                   plan.records_a_batch, plan.record_bytes, durability));
  }
  co_return Result<void>();
}

}  // namespace

std::vector<systems::Command> bench_commands() {
  const systems::Flag kBroker{
      .name = "broker", .help = "another broker than the polis that runs here", .value = "ADDRESS:PORT"};
  const auto number = [](const char* name, const char* help, const char* value) {
    return systems::Flag{.name = name, .help = help, .value = "N", .value_default = value};
  };
  return {
      {.name = "bench path",
       .help = "Reads one topic by copying and by sendfile, and measures both",
       .flags = {number("size", "MiB of records", "512"), number("record-size", "bytes of a record", "1024"),
                 number("fetch-size", "MiB of a fetch", "1"), number("rounds", "how often each path is read", "2")},
       .run = bench_path},
      {.name = "bench acks",
       .help = "Latency and rate of producing, by whose word is waited for",
       .flags = {number("producers", "connections, each with one batch under way", "16"),
                 number("partitions", "of the topic", "1"), number("record-size", "bytes of a record", "1024"),
                 number("batch", "records of a batch", "1"), number("seconds", "of each run", "3"), kBroker},
       .run = bench_acks},
      {.name = "bench eos",
       .help = "What exactly-once delivery costs, beside at-least-once",
       .flags = {number("producers", "connections, each with one batch under way", "4"),
                 number("partitions", "of the topic", "1"),
                 number("record-size", "bytes of a record", "1024"),
                 number("batch", "records of a batch", "10"),
                 number("seconds", "of each run", "3"),
                 {.name = "durability",
                  .help = "of the topic",
                  .value = "KIND",
                  .value_default = "fsync",
                  .choices = {"fsync", "os"}},
                 kBroker},
       .run = bench_eos},
  };
}

}  // namespace polis::stream
