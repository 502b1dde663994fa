#include "systems/exchange/faces/travel.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

#include "kernel/io/scope.h"
#include "systems/exchange/faces/pictures.h"

namespace polis::exchange {
namespace {

// The shards of the process count from 0, the shadow is 1000.
constexpr unsigned kTravelIndex = 1001;
constexpr int kTravelNice = 5;

// A shard with a thread of its own, from begin to end of one journey. Without a pool (simulation) the caller's shard.
class OwnThread {
 public:
  explicit OwnThread(const Clock& clock) {
    io::Shard& here = io::Shard::current();
    if (!here.pool()) return;
    shard_ = std::make_unique<io::Shard>(kTravelIndex, clock, here.pool());
    thread_ = std::thread([this] {
      // Best effort: whoever may not lower itself shares the CPUs as everybody does.
      (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kTravelNice);
      shard_->run();
    });
  }
  // Nothing runs there any more.
  ~OwnThread() {
    if (!shard_) return;
    shard_->stop();
    thread_.join();
  }
  OwnThread(const OwnThread&) = delete;
  OwnThread& operator=(const OwnThread&) = delete;
  io::Shard& shard() { return shard_ ? *shard_ : io::Shard::current(); }

 private:
  std::unique_ptr<io::Shard> shard_;
  std::thread thread_;
};

// The flag that a replay looks at, set when a scope stops.
class StopFlag final : public io::Cancellable {
 public:
  const std::atomic<bool>& flag() const { return flag_; }

 private:
  void cancel(Code) override { flag_.store(true, std::memory_order_relaxed); }
  std::atomic<bool> flag_{false};
};

template <class Count, class Find>
uint32_t id_named(std::string_view name, Count count, Find find) {
  for (uint32_t id = 1; id <= count; ++id)
    if (find(id) == name) return id;
  return 0;
}

Result<void> write_state(systems::JsonWriter& out, const Venue& venue, const Journey& journey) {
  const OrderManager& orders = venue.orders();
  if (!journey.book.empty()) {
    const InstrumentId id = id_named(journey.book, orders.instruments(),
                                     [&](InstrumentId one) { return orders.instrument(one)->symbol.view(); });
    if (id == 0) return fail(Code::kNotFound, fmt::format("there was no instrument \"{}\" then", journey.book));
    out.key("book");
    write_book(out, venue, id, {.depth = journey.depth, .queues = true});
  }
  if (!journey.orders && !journey.balances) return {};
  AccountId first = 1, last = orders.accounts();
  if (!journey.account.empty()) {
    first = last =
        id_named(journey.account, orders.accounts(), [&](AccountId one) { return orders.account(one)->name.view(); });
    if (first == 0) return fail(Code::kNotFound, fmt::format("there was no account \"{}\" then", journey.account));
  }
  last = std::min<AccountId>(last, first + kJourneyAccountsMax - 1);
  out.key("accounts").begin_object();
  for (AccountId id = first; id <= last; ++id) {
    out.text_key(orders.account(id)->name.view()).begin_object();
    if (journey.balances) write_account(out.key("state"), venue, id);
    if (journey.orders) write_orders(out.key("orders"), venue, id, kPictureOrdersMax);
    out.end_object();
  }
  out.end_object();
  return {};
}

}  // namespace

Task<Result<std::string>> Travel::travel(const Journey& journey) {
  StopFlag stopped;
  if (io::Scope* scope = co_await io::this_scope(); scope && !scope->link(stopped))
    co_return fail(Code::kCancelled, "the replay was stopped");
  Venue venue(parts_.limits);
  const Replayed replayed = CO_TRY(co_await replay(parts_.disk,
                                                   {.journal_directory = parts_.journal_directory,
                                                    .snapshot_directory = parts_.snapshot_directory,
                                                    .limits = parts_.limits,
                                                    .to = journey.to,
                                                    .from_beginning = journey.from_beginning,
                                                    .stopped = &stopped.flag()},
                                                   venue, {}));
  systems::JsonWriter out;
  out.begin_object()
      .digits("sequence", replayed.next)
      .digits("steps", replayed.steps)
      .digits("reports", replayed.reports)
      .digits("events", replayed.events)
      .member("hash", fmt::format("{:016x}{:016x}", replayed.hash.high, replayed.hash.low))
      .key("seconds")
      .real(replayed.seconds);
  CO_TRY(write_state(out, venue, journey));
  CO_TRY(venue.orders().check_sums(true));
  out.end_object();
  co_return out.take();
}

Task<Result<std::string>> Travel::go(Journey journey) {
  if (under_way_.exchange(true)) co_return fail(Code::kBusy, "another replay is under way; try again when it is done");
  struct Turn {
    std::atomic<bool>& under_way;
    ~Turn() { under_way.store(false); }
  } turn{under_way_};
  OwnThread own(parts_.clock);
  const auto there = [&] { return travel(journey); };
  co_return co_await io::on(own.shard(), there);
}

}  // namespace polis::exchange
