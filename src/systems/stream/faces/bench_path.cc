#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "systems/stream/faces/bench_command.h"
#include "systems/stream/faces/command_call.h"

namespace polis::stream {
namespace {

namespace json = boost::json;

constexpr int32_t kFillBatchBytes = 900'000;  // below what a topic takes without being told otherwise
constexpr size_t kProduceDepth = 4, kFetchDepth = 3;
constexpr Duration kPatience = std::chrono::seconds(60), kPause = std::chrono::milliseconds(50);

double percent_less(double less, double more) {
  return more > 0 ? (1 - less / more) * 100 : 0;
}

Task<Result<uint64_t>> fill(Client& client, const std::string& topic, const PathBenchOptions& options) {
  const int32_t records = std::max(1, kFillBatchBytes / (options.record_bytes + 16));
  const Bytes batch = payload_batch(records, options.record_bytes);
  uint64_t sent = 0;
  while (sent < options.size_bytes || client.connection().under_way() > 0) {
    if (sent < options.size_bytes && client.connection().under_way() < kProduceDepth) {
      CO_TRY(co_await client.send_batch(topic, 0, batch, 1));
      sent += batch.size();
    } else {
      CO_TRY(co_await client.batch_answer());
    }
  }
  co_return sent;
}

// Reads the topic from its beginning to its end, with a few fetches under way: the next begins where the last batch of
// the one before ended, so the offsets of one pass are learnt first.
Task<Result<std::vector<Offset>>> learn_offsets(Client& client, const std::string& topic, int32_t fetch_bytes) {
  std::vector<Offset> begins;
  for (Offset at = 0;;) {
    const FetchedBytes fetched =
        CO_TRY(co_await client.fetch({.topic = topic, .from = at, .bytes_max = fetch_bytes, .wait_ms = 0}));
    if (fetched.batches.empty()) co_return begins;
    begins.push_back(at);
    for (BytesView rest = fetched.batches;;) {
      const std::optional<size_t> size = CO_TRY(RecordBatch::size_of(rest));
      if (!size || *size > rest.size()) break;
      at = RecordBatch(rest.first(*size)).last_offset() + 1;
      rest = rest.subspan(*size);
    }
    if (at >= fetched.high_watermark) co_return begins;
  }
}

Task<Result<void>> read_once(Client& client, const std::string& topic, const std::vector<Offset>& begins,
                             int32_t fetch_bytes, PathRun& run) {
  const SteadyTime begin = steady_now();
  size_t next = 0;
  while (next < begins.size() || client.connection().under_way() > 0) {
    if (next < begins.size() && client.connection().under_way() < kFetchDepth) {
      CO_TRY(
          co_await client.send_fetch({.topic = topic, .from = begins[next], .bytes_max = fetch_bytes, .wait_ms = 0}));
      ++next;
    } else {
      const FetchedBytes fetched = CO_TRY(co_await client.fetch_answer());
      run.bytes += fetched.batches.size();
    }
  }
  run.seconds += std::chrono::duration<double>(steady_now() - begin).count();
  co_return Result<void>();
}

Task<Result<void>> measure(systems::ApiClient& api, Client& client, const std::string& topic,
                           const std::vector<Offset>& begins, const PathBenchOptions& options, const char* path,
                           PathRun& run) {
  CO_TRY(co_await client.configure_topic(topic, {{"read.path", path}}));
  PathRun warm;
  CO_TRY(co_await read_once(client, topic, begins, options.fetch_bytes, warm));
  const double before = CO_TRY(co_await server_cpu_seconds(api));
  CO_TRY(co_await read_once(client, topic, begins, options.fetch_bytes, run));
  run.server_cpu_s += CO_TRY(co_await server_cpu_seconds(api)) - before;
  co_return Result<void>();
}

PathArrow arrow_of(const json::object& object) {
  const auto number = [&](std::string_view name) { return object.at(name).to_number<uint64_t>(); };
  return {.bytes = number("bytes"), .calls = number("calls"), .wall_ns = number("wall_ns"), .cpu_ns = number("cpu_ns")};
}

Task<Result<PathArrows>> measure_arrows(systems::ApiClient& api, const std::string& topic, uint64_t bytes) {
  const json::object body{{"topic", topic}, {"bytes", bytes}};
  auto begun = co_await api.request("POST", api_path({"path"}), json::serialize(body));
  if (!begun) co_return PathArrows{.why_not = begun.error().text()};
  const SteadyTime end = steady_now() + kPatience;
  while (steady_now() < end) {
    const auto answer = CO_TRY(co_await api.request("GET", api_path({"path"})));
    const json::object lab = CO_TRY(object_of(answer.body));
    if (lab.at("running").as_bool()) {
      CO_TRY(co_await io::sleep_for(kPause));
      continue;
    }
    if (!lab.at("measured").as_bool()) co_return PathArrows{.why_not = text_of(lab, "error")};
    co_return PathArrows{.measured = true,
                         .read = arrow_of(lab.at("read").as_object()),
                         .write = arrow_of(lab.at("write").as_object()),
                         .sendfile = arrow_of(lab.at("sendfile").as_object()),
                         .why_not = {}};
  }
  co_return PathArrows{.why_not = "the server did not finish measuring within a minute"};
}

}  // namespace

double PathArrows::cpu_saved_percent() const {
  return percent_less(static_cast<double>(sendfile.cpu_ns), static_cast<double>(read.cpu_ns + write.cpu_ns));
}
double PathBench::cpu_saved_percent() const {
  return percent_less(sendfile.cpu_per_gib(), copy.cpu_per_gib());
}
double PathBench::time_saved_percent() const {
  return percent_less(sendfile.seconds, copy.seconds);
}

Task<Result<PathBench>> bench_paths(systems::ApiClient& api, Client& client, PathBenchOptions options) {
  const std::string topic = fresh_name("bench-path");
  CO_TRY(co_await client.create_topic(topic, 1, {{"polis.durability", "os"}}));
  const auto work = [&]() -> Task<Result<PathBench>> {
    PathBench bench;
    bench.bytes = CO_TRY(co_await fill(client, topic, options));
    const std::vector<Offset> begins = CO_TRY(co_await learn_offsets(client, topic, options.fetch_bytes));
    // In turns, so that what else happens on the machine meets both.
    for (int round = 0; round < options.rounds; ++round) {
      CO_TRY(co_await measure(api, client, topic, begins, options, "copy", bench.copy));
      CO_TRY(co_await measure(api, client, topic, begins, options, "sendfile", bench.sendfile));
    }
    bench.arrows = CO_TRY(co_await measure_arrows(api, topic, std::min(bench.bytes, uint64_t{256} << 20)));
    co_return bench;
  };
  Result<PathBench> bench = co_await work();
  // After an error the connection may be in the middle of something: the topic's name tells where it came from.
  if (client.connection().under_way() == 0) {
    auto erased = co_await client.erase_topic(topic);
    if (bench && !erased) co_return fail(std::move(erased).error());
  }
  co_return bench;
}

// --- what the benchmarks share

Task<Result<double>> server_cpu_seconds(systems::ApiClient& api) {
  const auto answer = CO_TRY(co_await api.request("GET", "/metrics"));
  constexpr std::string_view kName = "\nprocess_cpu_seconds_total ";
  const size_t at = answer.body.find(kName);
  if (at == std::string::npos) co_return fail(Code::kUnsupported, "the server does not tell its CPU time");
  const char* begin = answer.body.data() + at + kName.size();
  double value = 0;
  std::from_chars(begin, answer.body.data() + answer.body.size(), value);
  co_return value;
}

std::string payload(size_t bytes, uint64_t seed) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  base::SeededRandom random(seed);
  std::string text(bytes, '\0');
  for (char& letter : text) letter = kLetters[random.below(kLetters.size())];
  return text;
}

Bytes payload_batch(int32_t records, int32_t record_bytes, BatchBuilder::Producer producer) {
  const std::string value = payload(static_cast<size_t>(record_bytes), 1);
  const int64_t timestamp_ms = now_ms();
  BatchBuilder builder(producer);
  for (int32_t i = 0; i < records; ++i) builder.add(timestamp_ms, std::nullopt, as_bytes(value));
  return builder.finish();
}

}  // namespace polis::stream
