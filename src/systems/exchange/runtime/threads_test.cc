#include "systems/exchange/runtime/threads.h"

#include <condition_variable>
#include <filesystem>
#include <gtest/gtest.h>
#include <mutex>
#include <sched.h>
#include <thread>
#include <unistd.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"

namespace polis::exchange {
namespace {

constexpr AccountId kAccounts = 8;
constexpr InstrumentId kInstruments = 3;
constexpr AssetId kQuote = 1;

// Everything that must stand before anybody trades.
std::vector<Request> opening_requests() {
  std::vector<Request> requests;
  const auto add = [&requests](RequestKind kind) -> Request& {
    requests.emplace_back();
    requests.back().kind = kind;
    return requests.back();
  };
  for (AssetId id = kQuote; id <= kQuote + kInstruments; ++id) {
    AssetDefinition& asset = add(RequestKind::kAsset).body.asset;
    asset = {.id = id, .symbol = Symbol(std::string(1, static_cast<char>('A' + id))), .decimals = 2};
  }
  for (InstrumentId id = 1; id <= kInstruments; ++id) {
    Request& request = add(RequestKind::kInstrument);
    InstrumentDefinition definition;
    definition.id = id;
    definition.base = kQuote + id;
    definition.quote = kQuote;
    definition.symbol = Symbol(std::string(1, static_cast<char>('K' + id)));
    definition.tick = {1, -2};
    definition.lot = {1, 0};
    definition.base_per_lot = 100;
    definition.quote_per_tick_lot = 1;
    definition.band_bp = 5000;
    definition.orders_max = 100'000;
    request.body.instrument = definition;
  }
  for (AccountId id = 2; id <= kAccounts; ++id) {
    AccountDefinition& account = add(RequestKind::kAccount).body.account;
    account = {.id = id, .name = Name("A" + std::to_string(id))};
    RiskFields risk;
    risk.account = id;
    risk.limits.rate_per_second = 0;
    risk.limits.open_orders_max = 0;
    add(RequestKind::kRisk).body.risk = risk;
    SessionDefinition session;
    session.id = id - 1;
    session.account = id;
    session.name = Name("S" + std::to_string(id));
    add(RequestKind::kSession).body.session = session;
    for (AssetId asset = kQuote; asset <= kQuote + kInstruments; ++asset) {
      TransferFields transfer;
      transfer.account = id;
      transfer.asset = asset;
      transfer.amount = 1'000'000'000'000;
      transfer.id_low = id;
      transfer.id_high = asset;
      transfer.ledger_time = id * 100 + asset;
      add(RequestKind::kDeposit).body.transfer = transfer;
    }
  }
  Request& phase = add(RequestKind::kPhase);
  phase.body.phase = Phase::kContinuous;
  return requests;
}

// What traders send: mostly orders near the touch, cancels and replaces of what
// they sent before.
class Load {
 public:
  // Loads of different `lane`s name their orders differently.
  Load(uint64_t seed, uint64_t lane) : random_(seed), lane_(lane) {}
  Request next() {
    Request request;
    const AccountId account = 2 + static_cast<AccountId>(random_.below(kAccounts - 1));
    request.session = account - 1;
    request.instrument = 1 + static_cast<InstrumentId>(random_.below(kInstruments));
    OrderFields order;
    order.account = account;
    order.side = random_.below(2) == 0 ? Side::kBuy : Side::kSell;
    const uint64_t what = random_.below(100);
    order.client_id = ClientOrderId(std::to_string(lane_) + "-" + std::to_string(++number_));
    order.price = 9'990 + static_cast<Price>(random_.below(21));
    order.quantity = 1 + static_cast<Quantity>(random_.below(50));
    if (what < 60 || sent_.empty()) {
      request.kind = RequestKind::kNewOrder;
      if (random_.below(8) == 0) order.time_in_force = TimeInForce::kImmediateOrCancel;
      if (random_.below(10) == 0) order.shown = 1;
      if (random_.below(20) == 0) {
        order.type = OrderType::kMarket;
        order.price = 0;
        order.time_in_force = TimeInForce::kImmediateOrCancel;
      }
      sent_.push_back({account, request.instrument, order.side, order.client_id});
    } else if (what < 98) {
      Sent& sent = sent_[sent_.size() - 1 - random_.below(std::min<size_t>(sent_.size(), 40))];
      order.account = sent.account;
      request.session = sent.account - 1;
      request.instrument = sent.instrument;
      order.side = sent.side;
      order.original_id = sent.client_id;
      request.kind = what < 85 ? RequestKind::kCancel : RequestKind::kReplace;
      if (request.kind == RequestKind::kReplace) sent.client_id = order.client_id;
    } else if (what == 98) {
      request.kind = RequestKind::kMassCancel;
    } else {
      request.kind = RequestKind::kTime;
      return request;
    }
    request.body.order = order;
    return request;
  }

 private:
  struct Sent {
    AccountId account;
    InstrumentId instrument;
    Side side;
    ClientOrderId client_id;
  };
  base::SeededRandom random_;
  uint64_t lane_;
  uint64_t number_ = 0;
  std::vector<Sent> sent_;
};

struct Read {
  BusRecord record;
  alignas(8) std::byte payload[kBusRecordBytesMax];
};

template <class T>
T read_as(const Read& read) {
  T value;
  EXPECT_EQ(read.record.length, sizeof value);
  std::memcpy(static_cast<void*>(&value), read.payload, sizeof value);
  return value;
}

// A bus, a thread that journals it, and a split venue between them.
class SplitTest : public testing::TestWithParam<WaitMode> {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "polis_split_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    options_.bus_path = directory_ + "/bus";
    options_.limits = limits_;
    options_.wait = GetParam();
    runtime_.start();
  }
  void TearDown() override {
    if (core_) stop();
    core_.reset();
    runtime_.stop();
    std::filesystem::remove_all(directory_);
  }

  void start(size_t bus_slots = 1 << 14) {
    BusTail tail;
    bus_ = Bus::open({.path = options_.bus_path, .slots = bus_slots}, tail).value();
    journaler_ = bus_->reader("journal", true).value();
    auto core = start_split_core(CoreParts{venue_, *bus_, clock_, runtime_.shard(0), options_, 0, [this] { ++told_; }});
    ASSERT_TRUE(core.has_value()) << core.error().text();
    core_ = std::move(*core);
    reader_ = std::thread([this] {
      for (;;) {
        Read read;
        while (journaler_->poll(read.record, read.payload)) {
          reads_.push_back(read);
          if (read.record.type == BusType::kRequest) ++requests_;
          if (read.record.type == BusType::kReport) {
            const auto report = read_as<Report>(read);
            EXPECT_NE(report.kind, ReportKind::kDenied) << refusal_text(report.refusal);
          }
        }
        journaler_->release();
        journaled_.store(journaler_->next());
        if (end_reading_.load() && journaler_->next() == bus_->written()) return;
        core_->room_made();
        journaler_->wait(20, 20'000'000);
      }
    });
  }
  void end_reader() {
    end_reading_ = true;
    if (reader_.joinable()) reader_.join();
  }
  void submit_all(unsigned shard, const std::vector<Request>& requests) {
    runtime_.call(shard, [this, &requests]() -> Task<Result<void>> {
      for (const Request& request : requests) {
        while (!core_->submit(request)) co_await io::yield();
        ++submitted_;
      }
      co_return Result<void>();
    });
  }
  // Between two steps, with nothing under way.
  Result<void> inspect(std::function<void(const Venue&)> look) {
    return runtime_.call(0, [this, &look]() -> Task<Result<Result<void>>> { co_return co_await core_->inspect(look); })
        .value();
  }
  // Until everything submitted is on the bus and read from there.
  void settle() {
    while (requests_.load() < submitted_.load()) std::this_thread::yield();
    ASSERT_TRUE(inspect([](const Venue&) {}).has_value());
    while (journaled_.load() < bus_->written()) std::this_thread::yield();
  }
  void stop() {
    core_->stop();
    end_reader();
  }

  // Does what the bus says again on one thread: every output must be what the
  // two threads put out.
  void replay(Venue& venue) {
    Outputs outputs;
    size_t i = 0;
    while (i < reads_.size()) {
      const Read& head = reads_[i++];
      const Sequence sequence = head.record.sequence;
      uint64_t slots = 0;
      if (head.record.type == BusType::kRequest) {
        slots = venue.request({sequence, static_cast<VenueTime>(head.record.ns)}, read_as<Request>(head), outputs);
      } else {
        ASSERT_EQ(head.record.type, BusType::kTurn) << sequence;
        ASSERT_TRUE(venue.pending()) << sequence;
        slots = venue.answer(sequence, outputs);
      }
      ASSERT_EQ(slots, [&] {
        uint64_t all = head.record.slots;
        for (const auto& item : outputs.items()) all += item.is_report ? kReportSlots : kEventSlots;
        return all;
      }());
      bool last = (head.record.flags & kEndOfStep) != 0;
      for (const auto& item : outputs.items()) {
        ASSERT_FALSE(last) << sequence;
        ASSERT_LT(i, reads_.size());
        const Read& read = reads_[i++];
        ASSERT_EQ(read.record.type, item.is_report ? BusType::kReport : BusType::kEvent) << sequence;
        ASSERT_EQ(read.record.sequence - read.record.input_delta, sequence);
        if (item.is_report) {
          ASSERT_EQ(std::memcmp(read.payload, &outputs.report_at(item), sizeof(Report)), 0) << read.record.sequence;
        } else {
          ASSERT_EQ(std::memcmp(read.payload, &outputs.event_at(item), sizeof(Event)), 0) << read.record.sequence;
        }
        last = (read.record.flags & kEndOfStep) != 0;
      }
      ASSERT_TRUE(last) << sequence;
    }
  }

  VenueLimits limits_{
      .assets_max = 16, .instruments_max = 8, .accounts_max = 32, .sessions_max = 32, .orders_max = 200'000};
  std::string directory_;
  base::SystemClock clock_;
  RuntimeOptions options_;
  io::Runtime runtime_{io::RuntimeOptions{.shards = 3, .blocking_threads = 1}};
  Venue venue_{limits_};
  std::unique_ptr<Bus> bus_;
  std::unique_ptr<BusReader> journaler_;
  std::unique_ptr<Core> core_;
  std::atomic<uint64_t> told_{0};
  std::thread reader_;
  std::atomic<bool> end_reading_{false};
  std::vector<Read> reads_;  // of the reader's thread until it has ended
  std::atomic<Sequence> journaled_{0};
  std::atomic<uint64_t> submitted_{0}, requests_{0};
};

INSTANTIATE_TEST_SUITE_P(Waits, SplitTest, testing::Values(WaitMode::kFutex, WaitMode::kYield, WaitMode::kSpin),
                         [](const auto& info) {
                           return info.param == WaitMode::kFutex   ? "futex"
                                  : info.param == WaitMode::kYield ? "yield"
                                                                   : "spin";
                         });

#ifdef POLIS_TSAN
constexpr size_t kLoad = 2'000;
#else
constexpr size_t kLoad = 20'000;
#endif

TEST_P(SplitTest, one_thread_does_again_what_two_threads_put_out) {
  start(kBusSlotsMin);  // so small that the order manager waits for room now and
                        // then
  submit_all(0, opening_requests());
  std::vector<std::thread> threads;
  for (unsigned shard = 0; shard < 3; ++shard)
    threads.emplace_back([this, shard] {
      Load load(shard + 7, shard);
      std::vector<Request> requests;
      for (size_t i = 0; i < kLoad / 3; ++i) {
        requests.push_back(load.next());
        requests.back().tag = uint64_t{shard} << 32 | i;
      }
      submit_all(shard, requests);
    });
  for (std::thread& thread : threads) thread.join();
  settle();
  stop();
  EXPECT_FALSE(venue_.pending());
  EXPECT_TRUE(venue_.orders().check_sums(true).has_value());
  size_t turns = 0, trades = 0;
  uint64_t next_of[3] = {};
  VenueTime time = 0;
  for (const Read& read : reads_) {
    EXPECT_LE(time, static_cast<VenueTime>(read.record.ns));
    time = static_cast<VenueTime>(read.record.ns);
    turns += read.record.type == BusType::kTurn;
    if (read.record.type == BusType::kEvent) trades += read_as<Event>(read).kind == Event::Kind::kTrade;
    // Of one shard, in the order of their submission.
    if (read.record.type != BusType::kRequest) continue;
    const auto request = read_as<Request>(read);
    if (request.session == 0) continue;
    EXPECT_EQ(request.tag & 0xffff'ffff, next_of[request.tag >> 32]++);
  }
  EXPECT_EQ(next_of[0] + next_of[1] + next_of[2] + 0, kLoad / 3 * 3);
  EXPECT_GT(turns, kLoad / 2);
  EXPECT_GT(trades, kLoad / 20);
  Venue again(limits_);
  replay(again);
  for (AccountId account = 1; account <= kAccounts; ++account)
    for (AssetId asset = kQuote; asset <= kQuote + kInstruments; ++asset) {
      EXPECT_EQ(again.orders().balance(account, asset).total, venue_.orders().balance(account, asset).total);
      EXPECT_EQ(again.orders().balance(account, asset).reserved, venue_.orders().balance(account, asset).reserved);
    }
}

TEST_P(SplitTest, whoever_inspects_sees_a_venue_with_nothing_under_way) {
  start();
  submit_all(0, opening_requests());
  std::thread trader([this] {
    Load load(3, 1);
    std::vector<Request> requests;
    for (size_t i = 0; i < kLoad; ++i) requests.push_back(load.next());
    submit_all(1, requests);
  });
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(inspect([](const Venue& venue) {
                  EXPECT_TRUE(venue.orders().check_sums(true).has_value());
                  Quantity position = 0;
                  for (AccountId account = 1; account <= kAccounts; ++account)
                    position += venue.orders().position(account, 1);
                  EXPECT_EQ(position, 0);
                }).has_value());
  trader.join();
  settle();
}

TEST_P(SplitTest, a_step_that_is_larger_than_the_ring_passes_through) {
  start(kBusSlotsMin);
  submit_all(0, opening_requests());
  std::vector<Request> requests;
  for (uint32_t i = 0; i < 3000; ++i) {
    Request request;
    request.kind = RequestKind::kNewOrder;
    request.session = 1;
    request.instrument = 1;
    OrderFields order;
    order.account = 2;
    order.price = 5'000 + i % 100;
    order.quantity = 1;
    order.client_id = ClientOrderId(std::to_string(i));
    request.body.order = order;
    requests.push_back(request);
  }
  Request close;
  close.kind = RequestKind::kSettleDay;
  close.body.day = 20260101;
  requests.push_back(close);
  submit_all(0, requests);
  settle();
  stop();
  EXPECT_EQ(venue_.orders().open_orders(2, 10'000).size(), 0u);
  Venue again(limits_);
  replay(again);
}

TEST_P(SplitTest, a_venue_that_cannot_write_takes_no_more_than_it_holds_and_still_stops) {
  options_.inbound_max = 16;
  BusTail tail;
  bus_ = Bus::open({.path = options_.bus_path, .slots = kBusSlotsMin}, tail).value();
  journaler_ = bus_->reader("journal", true).value();  // and nobody reads
  core_ = start_split_core(CoreParts{venue_, *bus_, clock_, runtime_.shard(0), options_, 0, [] {}}).value();
  const Result<void> refused = runtime_
                                   .call(0,
                                         [this]() -> Task<Result<Result<void>>> {
                                           const std::vector<Request> requests = opening_requests();
                                           for (size_t i = 0;; ++i) {
                                             Result<void> result = core_->submit(requests[i % requests.size()]);
                                             if (!result && bus_->written() + 8 > kBusSlotsMin) co_return result;
                                             co_await io::yield();
                                           }
                                         })
                                   .value();
  EXPECT_EQ(refused.error().code(), Code::kBusy);
  core_->stop();
  EXPECT_LE(bus_->written(), 1 + kBusSlotsMin);
  const Result<void> late =
      runtime_.call(1, [this]() -> Task<Result<Result<void>>> { co_return core_->submit(Request{}); }).value();
  EXPECT_EQ(late.error().code(), Code::kClosed);
  EXPECT_EQ(inspect([](const Venue&) { ADD_FAILURE(); }).error().code(), Code::kClosed);
}

TEST_P(SplitTest, a_cpu_that_is_not_there_is_an_error) {
  BusTail tail;
  bus_ = Bus::open({.path = options_.bus_path, .slots = kBusSlotsMin}, tail).value();
  options_.cpus = {0, 1 << 20};
  auto core = start_split_core(CoreParts{venue_, *bus_, clock_, runtime_.shard(0), options_, 0, [] {}});
  ASSERT_FALSE(core.has_value());
  EXPECT_EQ(core.error().code(), Code::kInvalid);
}

TEST_P(SplitTest, threads_run_on_the_cpus_they_were_given) {
  cpu_set_t mine;
  ASSERT_EQ(::sched_getaffinity(0, sizeof mine, &mine), 0);
  unsigned cpu = 0;
  while (!CPU_ISSET(cpu, &mine)) ++cpu;
  options_.cpus = {cpu, cpu};
  start();
  submit_all(0, opening_requests());
  EXPECT_TRUE(inspect([cpu](const Venue&) { EXPECT_EQ(static_cast<unsigned>(::sched_getcpu()), cpu); }).has_value());
}

TEST_P(SplitTest, the_time_at_which_the_venue_wants_to_be_told_is_known) {
  start();
  submit_all(0, opening_requests());
  Request request;
  request.kind = RequestKind::kNewOrder;
  request.session = 1;
  request.instrument = 1;
  OrderFields order;
  order.account = 2;
  order.price = 5'000;
  order.quantity = 1;
  order.time_in_force = TimeInForce::kGoodTillDate;
  order.expires_at = clock_.wall().time_since_epoch().count() + 3'600'000'000'000;
  order.client_id = ClientOrderId("until");
  request.body.order = order;
  submit_all(0, {request});
  settle();
  for (int i = 0; i < 100'000 && core_->next_time() != order.expires_at; ++i) std::this_thread::yield();
  EXPECT_LE(core_->next_time(), order.expires_at);
}

// What one loop does in one step is what a request and its answers do one after
// the other: so split threads replay what fused ones wrote, too.
TEST(SplitJournalTest, a_step_is_a_request_and_the_answers_to_it) {
  const VenueLimits limits{
      .assets_max = 16, .instruments_max = 8, .accounts_max = 32, .sessions_max = 32, .orders_max = 200'000};
  Venue fused(limits), split(limits);
  std::vector<Request> requests = opening_requests();
  Load load(11, 0);
  for (size_t i = 0; i < kLoad; ++i) requests.push_back(load.next());
  Outputs outputs, part, parts;
  Sequence sequence = 1;
  VenueTime now = 1'700'000'000'000'000'000;
  for (const Request& request : requests) {
    now += 1000;
    const Stamp stamp{sequence, now};
    sequence += fused.step(stamp, request, outputs);
    parts.clear();
    const auto gather = [&] {
      for (const auto& item : part.items())
        item.is_report ? parts.report(part.report_at(item)) : parts.event(part.event_at(item));
    };
    split.request(stamp, request, part);
    gather();
    while (split.pending()) {
      split.answer(stamp.sequence, part);
      gather();
    }
    ASSERT_EQ(outputs.digest(), parts.digest()) << stamp.sequence;
  }
}

}  // namespace
}  // namespace polis::exchange
