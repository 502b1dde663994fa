// What an order costs the reporter: CPU of the whole process, RocksDB's threads and what they still have to flush and
// compact at the end included, less that of the same venue without a reporter; and what of it reaches the disk.
//
// Half of the orders rest and wait; a tenth of those is replaced; then half of them are filled by an order that comes,
// the others are cancelled. POLIS_BENCH_ORDERS changes how many there are.
#include <benchmark/benchmark.h>
#include <deque>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/store/rocks_store.h"
#include "systems/exchange/reporting/reporter.h"
#include "systems/exchange/venue/venue_test_support.h"

namespace polis::exchange {
namespace {

namespace make = testing_venue;

constexpr uint32_t kResting = 5000;

double cpu_us() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) { return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec); };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

uint64_t orders_total() {
  const char* orders = std::getenv("POLIS_BENCH_ORDERS");
  return orders ? std::strtoull(orders, nullptr, 10) : 200'000;
}

// Sends requests to a venue and tells a follower, who may be null, what came of them.
class Load {
 public:
  Load(uint32_t accounts, Reporter* reporter)
      : accounts_(accounts),
        reporter_(reporter),
        venue_({.assets_max = 4,
                .instruments_max = 4,
                .accounts_max = accounts + 2,
                .sessions_max = accounts + 2,
                .orders_max = 1'000'000}) {
    send(make::asset(1, "ABC", 0));
    send(make::asset(2, "USD", 2));
    send(make::instrument(make::shares(1, "ABC", 1, 2)));
    for (uint32_t id = 2; id < accounts + 2; ++id) {
      send(make::account(id, "A" + std::to_string(id)));
      send(make::session(id - 1, "BRK" + std::to_string(id), id));
      RiskLimits limits;
      limits.rate_per_second = limits.rate_burst = 0;
      send(make::risk(id, limits));
      send(make::deposit(id, 1, int64_t{1} << 40, 2 * id));
      send(make::deposit(id, 2, int64_t{1} << 50, 2 * id + 1));
    }
    send(make::phase(1, Phase::kContinuous));
  }

  // One more order, and what follows from it.
  void order() {
    const bool buy = random_.chance(1, 2);
    const Price away = static_cast<Price>(1 + random_.below(50));
    rest(buy ? Side::kBuy : Side::kSell, buy ? 10'000 - away : 10'000 + away);
    if (resting_.size() <= kResting) return;
    if (random_.chance(1, 10)) {
      Resting& old = resting_[random_.below(resting_.size())];
      const Request request = make::replace(old.session, name(), old.client_id.view(), 90, old.price);
      send(request);
      old.client_id = request.body.order.client_id;
    }
    const Resting ends = resting_.front();
    resting_.pop_front();
    if (random_.chance(1, 2)) {
      send(make::cancel(ends.session, name(), ends.client_id.view()));
    } else {
      // Whoever has the best price is hit; that one's cancel is refused later.
      const Side side = random_.chance(1, 2) ? Side::kBuy : Side::kSell;
      send(make::order(session(), 1, name(), side, 100, side == Side::kBuy ? 10'060 : 9'940, OrderType::kLimit,
                       TimeInForce::kImmediateOrCancel));
      ++orders_;
    }
  }
  uint64_t orders() const { return orders_; }
  Sequence next() const { return sequence_; }

 private:
  struct Resting {
    SessionId session;
    Price price;
    ClientOrderId client_id;
  };
  SessionId session() { return static_cast<SessionId>(1 + random_.below(accounts_)); }
  std::string name() { return "ORD-20261122-" + std::to_string(1'000'000 + ++names_); }
  void rest(Side side, Price price) {
    const Request request = make::order(session(), 1, name(), side, 100, price);
    send(request);
    resting_.push_back({request.session, price, request.body.order.client_id});
    ++orders_;
  }
  void send(Request request) {
    request.message_number = request.session == 0 ? 0 : static_cast<uint32_t>(++numbers_);
    request.tag = numbers_;
    now_ += 10'000;
    const Stamp stamp{.sequence = sequence_, .now = now_};
    sequence_ += venue_.step(stamp, request, outputs_);
    if (reporter_ != nullptr) reporter_->on_step(stamp, &request, outputs_, venue_);
  }

  const uint32_t accounts_;
  Reporter* reporter_;
  Venue venue_;
  Outputs outputs_;
  Sequence sequence_ = 1;
  VenueTime now_ = 1'700'000'000'000'000'000;
  base::SeededRandom random_{11};
  std::deque<Resting> resting_;
  uint64_t orders_ = 0, names_ = 0, numbers_ = 0;
};

void run(Load& load) {
  while (load.orders() < orders_total()) load.order();
}

// Bytes that the process has handed to write(2).
uint64_t written_bytes() {
  std::ifstream file("/proc/self/io");
  std::string word;
  uint64_t bytes = 0;
  while (file >> word)
    if (word == "wchar:") file >> bytes;
  return bytes;
}

uint64_t bytes_under(const std::filesystem::path& directory) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return bytes;
}

void an_order(benchmark::State& state) {
  const auto accounts = static_cast<uint32_t>(state.range(0));
  const auto commit_sequences = static_cast<Sequence>(state.range(1));
  double us = 0;
  uint64_t orders = 0, rows = 0, kept = 0, written = 0;
  for (auto _ : state) {
    const double before = cpu_us();
    {
      Load alone(accounts, nullptr);
      run(alone);
    }
    const double venue_us = cpu_us() - before;
    std::string name = (std::filesystem::temp_directory_path() / "polis-reporter-XXXXXX").string();
    const std::string directory = mkdtemp(name.data());
    io::Runtime runtime({.shards = 1});
    runtime.start();
    runtime
        .call(0,
              [&]() -> Task<Result<void>> {
                auto store = CO_TRY(store::RocksStore::open({.directory = directory}));
                const auto keyspace = CO_TRY(store->keyspace("exchange"));
                auto reporter = CO_TRY(co_await Reporter::open(*store, keyspace));
                const double begin = cpu_us();
                const uint64_t written_before = written_bytes();
                Load load(accounts, reporter.get());
                Sequence committed = 0;
                while (load.orders() < orders_total()) {
                  load.order();
                  if (load.next() - committed < commit_sequences) continue;
                  committed = load.next();
                  CO_TRY(co_await reporter->commit(committed));
                }
                CO_TRY(co_await reporter->commit(load.next()));
                CO_TRY(co_await store->close());
                us += cpu_us() - begin - venue_us;
                written += written_bytes() - written_before;
                orders += load.orders();
                rows += reporter->statistics().rows;
                reporter.reset();
                store.reset();
                co_return Result<void>();
              })
        .value();
    runtime.stop();
    kept += bytes_under(directory);
    std::filesystem::remove_all(directory);
  }
  const auto an_order = [&](double all) { return all / static_cast<double>(orders); };
  state.counters["cpu_us"] = an_order(us);
  state.counters["rows"] = an_order(static_cast<double>(rows));
  state.counters["written_bytes"] = an_order(static_cast<double>(written));
  state.counters["kept_bytes"] = an_order(static_cast<double>(kept));
}
// 262,144: the shadow's batches under load.
BENCHMARK(an_order)
    ->ArgNames({"accounts", "sequences"})
    ->Args({10, 262'144})
    ->Args({1000, 262'144})
    ->Args({1000, 65'536})
    ->Args({1000, 16'384})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1);

}  // namespace
}  // namespace polis::exchange
