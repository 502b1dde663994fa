// The venue with its journal: how long an order waits for its report when that must be on disk first, how many fit, and
// how fast the journal is done again. One fused loop, with the shadow beside it as always; no sockets. Prints one JSON
// object a line for bench/exchange.py.
//
//     exchange_durable DIR disk|bus open RATE [SAMPLES]     latency from when each request was due; where it goes
//     exchange_durable DIR disk|bus saturated [SAMPLES]     as many as go with 65,536 under way
//     exchange_durable DIR disk|bus replay [SAMPLES]        the journal of such a run, five times from its beginning
#include <cerrno>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

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

enum class How : uint8_t { kOpen, kSaturated, kReplay };

struct Wanted {
  std::string directory;
  How how = How::kSaturated;
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

// Where the time of a write and of an fdatasync of the journal goes, as the loop sees them.
struct Stages {
  std::string journal;
  base::Histogram write{60'000'000'000, 3};         // asked for until the loop goes on
  base::Histogram sync_begins{60'000'000'000, 3};   // asked for until the call
  base::Histogram sync{60'000'000'000, 3};          // the call
  base::Histogram sync_returns{60'000'000'000, 3};  // until the loop goes on
  void clear() { write = sync_begins = sync = sync_returns = base::Histogram(60'000'000'000, 3); }
};

void note(base::Histogram& histogram, uint64_t from, uint64_t to) {
  histogram.record(static_cast<uint64_t>(static_cast<double>(to - from) / ticks_per_ns()));
}

// The machine's file, timed.
class TimedFile final : public io::File {
 public:
  TimedFile(std::unique_ptr<io::File> file, Stages& stages) : file_(std::move(file)), stages_(stages) {}
  Task<Result<size_t>> read_at(uint64_t offset, MutableBytes into) override { return file_->read_at(offset, into); }
  Task<Result<void>> write_at(uint64_t offset, std::span<const BytesView> parts) override {
    const uint64_t asked = ticks();
    auto done = co_await file_->write_at(offset, parts);
    note(stages_.write, asked, ticks());
    co_return done;
  }
  Task<Result<void>> sync() override {
    uint64_t begun = 0, ended = 0;
    const uint64_t asked = ticks();
    const int status = co_await io::blocking([&] {
      begun = ticks();
      const int error = ::fdatasync(file_->native_handle()) == 0 ? 0 : errno;
      ended = ticks();
      return error;
    });
    note(stages_.sync_begins, asked, begun);
    note(stages_.sync, begun, ended);
    note(stages_.sync_returns, ended, ticks());
    if (status != 0) co_return fail(system_error(status, "fdatasync " + path()));
    co_return {};
  }
  Task<Result<void>> resize(uint64_t size_bytes) override { return file_->resize(size_bytes); }
  Task<Result<void>> reserve(uint64_t size_bytes) override { return file_->reserve(size_bytes); }
  Result<uint64_t> size() const override { return file_->size(); }
  Result<std::unique_ptr<io::Mapping>> map(uint64_t size_bytes) override { return file_->map(size_bytes); }
  int native_handle() const override { return file_->native_handle(); }
  const std::string& path() const override { return file_->path(); }

 private:
  std::unique_ptr<io::File> file_;
  Stages& stages_;
};

// The machine's disk; what the journal's owner opens is timed.
class TimedDisk final : public io::Disk {
 public:
  explicit TimedDisk(Stages& stages) : stages_(stages) {}
  Task<Result<std::unique_ptr<io::File>>> open(std::string path, io::OpenMode mode) override {
    const bool timed = mode != io::OpenMode::kRead && path.starts_with(stages_.journal);
    auto file = CO_TRY(co_await disk_->open(std::move(path), mode));
    if (!timed) co_return file;
    co_return std::make_unique<TimedFile>(std::move(file), stages_);
  }
  Task<Result<void>> remove(std::string path) override { return disk_->remove(std::move(path)); }
  Task<Result<void>> rename(std::string from, std::string to) override {
    return disk_->rename(std::move(from), std::move(to));
  }
  Task<Result<std::vector<io::DirectoryEntry>>> list(std::string directory) override {
    return disk_->list(std::move(directory));
  }
  Task<Result<void>> make_directories(std::string path) override { return disk_->make_directories(std::move(path)); }
  Task<Result<void>> sync_directory(std::string path) override { return disk_->sync_directory(std::move(path)); }
  Task<Result<Space>> space(std::string path) override { return disk_->space(std::move(path)); }

 private:
  const std::unique_ptr<io::Disk> disk_ = io::make_system_disk();
  Stages& stages_;
};

std::string percentiles(const base::Histogram& histogram) {
  return fmt::format("[{}, {}, {}]", histogram.percentile(50), histogram.percentile(99), histogram.percentile(99.9));
}

Task<Result<void>> replay_again(io::Disk& disk, const exchange::RuntimeOptions& run) {
  for (int round = 0; round < 5; ++round) {
    exchange::Venue venue(run.limits);
    const exchange::Replayed done = CO_TRY(co_await exchange::replay(disk,
                                                                     {.journal_directory = run.journal_directory,
                                                                      .snapshot_directory = run.snapshot_directory,
                                                                      .limits = run.limits},
                                                                     venue, {}));
    fmt::print("{{\"replayed\": {}, \"outputs\": {}, \"seconds\": {}}}\n", done.steps, done.reports + done.events,
               done.seconds);
  }
  co_return {};
}

Task<Result<void>> measure(const Wanted& wanted) {
  const MixedLoad load;
  constexpr size_t kOrdersMax = 1'000'000;
  const size_t steps = wanted.warm_up + wanted.samples;
  const Tape tape = TapeMaker(load, 7).make(steps);
  VenueTape requests = venue_tape(load, tape, kOrdersMax);
  for (size_t i = 0; i < steps; ++i) requests.steps[i].tag = i + 1;

  base::SystemClock clock;
  base::SystemRandom random;
  (void)ticks_per_ns();
  Stages stages{.journal = wanted.directory + "/journal"};
  TimedDisk disk(stages);
  exchange::RuntimeOptions options;
  options.journal_directory = wanted.directory + "/journal";
  options.snapshot_directory = wanted.directory + "/snapshot";
  options.bus_path = wanted.directory + "/exchange.bus";
  options.limits = venue_limits(kOrdersMax);
  options.threads = exchange::ThreadMode::kFused;
  options.ack = wanted.ack;
  auto venue = CO_TRY(co_await exchange::VenueRuntime::open(disk, clock, random, options, {}, {}));
  const auto send = [&](const Request& request) { return venue->submit(request); };
  for (const std::vector<Request>& part : {opening(load, kOrdersMax), requests.fill})
    for (const Request& request : part)
      while (!send(request)) co_await io::yield();

  Answers answers(steps);
  venue->subscribe(answers);
  const exchange::RuntimeStatistics before = venue->statistics();
  const std::vector<uint64_t> due =
      wanted.rate > 0 ? schedule(Arrivals::kPoisson, steps, wanted.rate, 1) : std::vector<uint64_t>(steps);
  base::Histogram late(60'000'000'000, 3);  // from when a request was due until it was handled
  const uint64_t first = ticks();
  for (size_t i = 0; answers.count() < steps;) {
    while (i < steps && ticks() >= first + due[i] && i - answers.count() < kUnderWay && send(requests.steps[i])) {
      if (i >= wanted.warm_up) note(late, first + due[i], ticks());
      if (++i == wanted.warm_up) stages.clear();
    }
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
      "\"requests\": {}, \"journal_bytes\": {}, \"late\": {}, \"write\": {}, \"sync_begins\": {}, \"sync\": {}, "
      "\"sync_returns\": {}}}\n",
      wanted.ack == exchange::AckMode::kDisk ? "disk" : "bus", wanted.rate,
      static_cast<double>(wanted.samples) / seconds, latency.percentile(50), latency.percentile(99),
      latency.percentile(99.9), after.syncs - before.syncs, after.requests - before.requests,
      after.journal_bytes - before.journal_bytes, percentiles(late), percentiles(stages.write),
      percentiles(stages.sync_begins), percentiles(stages.sync), percentiles(stages.sync_returns));
  CO_TRY(co_await venue->close());
  venue.reset();
  if (wanted.how == How::kReplay) CO_TRY(co_await replay_again(disk, options));
  co_return {};
}

}  // namespace
}  // namespace polis::bench

int main(int argc, char** argv) {
  const std::string_view how = argc > 3 ? argv[3] : "";
  if ((how != "open" || argc < 5) && how != "saturated" && how != "replay") {
    fmt::print(stderr, "usage: exchange_durable DIR disk|bus open RATE [SAMPLES] | saturated|replay [SAMPLES]\n");
    return 2;
  }
  polis::bench::Wanted wanted;
  wanted.directory = argv[1];
  wanted.how = how == "open"     ? polis::bench::How::kOpen
               : how == "replay" ? polis::bench::How::kReplay
                                 : polis::bench::How::kSaturated;
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
