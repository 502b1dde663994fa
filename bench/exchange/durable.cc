// The venue with its journal: how long an order waits for its report when that must be on disk first, and how many fit.
// One fused loop; no sockets. Prints one JSON object a line for bench/exchange.py.
//
//     exchange_durable DIR disk|bus open RATE [SAMPLES]     latency from when each request was due
//     exchange_durable DIR disk|bus saturated [SAMPLES]     as many as go with 65,536 under way
#include <cstdlib>
#include <fmt/format.h>

#include "exchange/open_loop.h"
#include "exchange/venue_load.h"
#include "kernel/io/file.h"
#include "kernel/io/shard.h"
#include "systems/exchange/runtime/runtime.h"

namespace polis::bench {
namespace {

using exchange::Report;
using exchange::Request;

constexpr size_t kUnderWay = 65'536;

struct Wanted {
  std::string directory;
  exchange::AckMode ack = exchange::AckMode::kDisk;
  double rate = 0;  // 0: saturated
  size_t samples = 1'000'000, warm_up = 100'000;
};

// Notes when each request had its first report; requests are numbered by their tags, from 1.
class Answers final : public exchange::EgressListener {
 public:
  explicit Answers(size_t requests) : at_(requests + 1) {}
  void on_report(exchange::Sequence, exchange::VenueTime, const Report& report) override {
    if (report.tag == 0 || report.tag >= at_.size() || at_[report.tag] != 0) return;
    at_[report.tag] = ticks();
    ++count_;
  }
  void on_batch_end() override {}
  size_t count() const { return count_; }
  uint64_t at(size_t tag) const { return at_[tag]; }

 private:
  std::vector<uint64_t> at_;
  size_t count_ = 0;
};

Task<Result<void>> measure(const Wanted& wanted) {
  const MixedLoad load;
  constexpr size_t kOrdersMax = 1'000'000;
  const size_t steps = wanted.warm_up + wanted.samples;
  const Tape tape = TapeMaker(load, 7).make(steps);
  VenueTape requests = venue_tape(load, tape, kOrdersMax);
  for (size_t i = 0; i < steps; ++i) requests.steps[i].tag = i + 1;

  base::SystemClock clock;
  base::SystemRandom random;
  const auto disk = io::make_system_disk();
  exchange::RuntimeOptions options;
  options.journal_directory = wanted.directory + "/journal";
  options.snapshot_directory = wanted.directory + "/snapshot";
  options.bus_path = wanted.directory + "/exchange.bus";
  options.limits = venue_limits(kOrdersMax);
  options.threads = exchange::ThreadMode::kFused;
  options.ack = wanted.ack;
  auto venue = CO_TRY(co_await exchange::VenueRuntime::open(*disk, clock, random, options, {}, {}));
  const auto send = [&](const Request& request) { return venue->submit(request); };
  for (const std::vector<Request>& part : {opening(load, kOrdersMax), requests.fill})
    for (const Request& request : part)
      while (!send(request)) co_await io::yield();

  (void)ticks_per_ns();
  Answers answers(steps);
  venue->subscribe(answers);
  const exchange::RuntimeStatistics before = venue->statistics();
  const std::vector<uint64_t> due =
      wanted.rate > 0 ? schedule(Arrivals::kPoisson, steps, wanted.rate, 1) : std::vector<uint64_t>(steps);
  const uint64_t first = ticks();
  for (size_t i = 0; answers.count() < steps;) {
    while (i < steps && ticks() >= first + due[i] && i - answers.count() < kUnderWay && send(requests.steps[i])) ++i;
    co_await io::yield();
  }
  const exchange::RuntimeStatistics after = venue->statistics();
  venue->unsubscribe(answers);

  base::Histogram latency(60'000'000'000, 3);
  for (size_t i = wanted.warm_up; i < steps; ++i)
    latency.record(static_cast<uint64_t>(static_cast<double>(answers.at(i + 1) - first - due[i]) / ticks_per_ns()));
  const double seconds = static_cast<double>(answers.at(steps) - answers.at(wanted.warm_up)) / ticks_per_ns() / 1e9;
  fmt::print(
      "{{\"ack\": \"{}\", \"rate\": {:.0f}, \"done\": {:.0f}, \"p50\": {}, \"p99\": {}, \"p99.9\": {}, \"syncs\": {}, "
      "\"requests\": {}, \"journal_bytes\": {}}}\n",
      wanted.ack == exchange::AckMode::kDisk ? "disk" : "bus", wanted.rate,
      static_cast<double>(wanted.samples) / seconds, latency.percentile(50), latency.percentile(99),
      latency.percentile(99.9), after.syncs - before.syncs, after.requests - before.requests,
      after.journal_bytes - before.journal_bytes);
  CO_TRY(co_await venue->close());
  co_return {};
}

}  // namespace
}  // namespace polis::bench

int main(int argc, char** argv) {
  const std::string_view how = argc > 3 ? argv[3] : "";
  if ((how != "open" || argc < 5) && how != "saturated") {
    fmt::print(stderr, "usage: exchange_durable DIR disk|bus open RATE [SAMPLES] | saturated [SAMPLES]\n");
    return 2;
  }
  polis::bench::Wanted wanted;
  wanted.directory = argv[1];
  wanted.ack = std::string_view(argv[2]) == "disk" ? polis::exchange::AckMode::kDisk : polis::exchange::AckMode::kBus;
  const int at = how == "open" ? 5 : 4;
  if (how == "open") wanted.rate = std::strtod(argv[4], nullptr);
  if (argc > at) wanted.samples = std::strtoull(argv[at], nullptr, 10);
  polis::io::Runtime runtime({.shards = 1});
  runtime.start();
  const auto outcome = runtime.call(0, [&] { return polis::bench::measure(wanted); });
  if (!outcome) fmt::print(stderr, "{}\n", outcome.error().text());
  return outcome ? 0 : 1;
}
