#include "systems/exchange/runtime/live_runtime.h"

#include <algorithm>
#include <thread>

#include "systems/exchange/runtime/fused_core.h"
#include "systems/exchange/runtime/threads.h"

namespace polis::exchange {
namespace {

// So many rings full may wait for the disk before the door is shut: acknowledged from the bus nothing but the journal's
// buffer grows meanwhile, else all reports wait in memory.
constexpr uint64_t kRingsHeld = 16;
constexpr uint64_t kRingsBehind = 256;
// Two threads that spin, the gateway's and one for all others.
constexpr unsigned kSplitCpus = 4;

bool wants_split(const RuntimeOptions& options) {
  if (options.threads != ThreadMode::kAuto) return options.threads == ThreadMode::kSplit;
  return std::thread::hardware_concurrency() >= kSplitCpus;
}

}  // namespace

Task<Result<std::unique_ptr<VenueRuntime>>> VenueRuntime::open(
    io::Disk& disk, const Clock& clock, Random& random, RuntimeOptions options, std::vector<Follower*> followers,
    std::function<void(Sequence, VenueTime, const Report&)> recovered) {
  auto runtime = std::make_unique<LiveRuntime>(disk, clock, random, std::move(options), std::move(followers));
  auto begun = co_await runtime->begin(recovered);
  if (!begun) {
    (void)co_await runtime->close();
    co_return fail(begun.error());
  }
  co_return std::unique_ptr<VenueRuntime>(std::move(runtime));
}

LiveRuntime::LiveRuntime(io::Disk& disk, const Clock& clock, Random& random, RuntimeOptions options,
                         std::vector<Follower*> followers)
    : disk_(disk),
      clock_(clock),
      random_(random),
      options_(std::move(options)),
      home_(io::Shard::current()),
      egress_(home_) {
  shadow_ = std::make_unique<Shadow>(
      Shadow::Parts{.disk = disk_,
                    .clock = clock_,
                    .options = options_,
                    .followers = std::move(followers),
                    .broken = [this](Error error) { home_.post([this, error] { fail_with(error); }); },
                    .doubted = [this](Error error) { home_.post([this, error] { halt(error.text()); }); }});
}

LiveRuntime::~LiveRuntime() {
  POLIS_ASSERT(closed_);
}

Task<Result<void>> LiveRuntime::begin(const Recovered& recovered) {
  CO_TRY(co_await recover(recovered));
  fused_ = !wants_split(options_);
  CoreParts parts{.venue = *venue_,
                  .bus = *bus_,
                  .clock = clock_,
                  .home = home_,
                  .options = options_,
                  .last_time = place_.now,
                  .written = [this] { written(); }};
  if (fused_) {
    core_ = std::make_unique<FusedCore>(std::move(parts));
  } else {
    core_ = CO_TRY(start_split_core(std::move(parts)));
  }
  tasks_.spawn(pump_when_written());
  tasks_.spawn(make_durable());
  tasks_.spawn(relieve_ring());
  tasks_.spawn(keep_house());
  shadow_->start();
  shadow_started_ = true;
  shadow_->advance(durable_record_);
  co_return {};
}

Result<void> LiveRuntime::submit(const Request& request) {
  if (failed_.load(std::memory_order_relaxed)) [[unlikely]]
    return status();
  if (closing_.load(std::memory_order_relaxed)) return fail(Code::kClosed, "the venue is closed");
  const Sequence durable = durable_.load(std::memory_order_relaxed), next = next_.load(std::memory_order_relaxed);
  const uint64_t rings = options_.ack == AckMode::kDisk ? kRingsHeld : kRingsBehind;
  if (next > durable && next - durable > rings * options_.bus_slots)
    return fail(Code::kBusy, "the disk is behind; try again");
  return core_->submit(request);
}

Task<Result<Report>> LiveRuntime::ask_here(Request& request) {
  request.tag = kAskTag | next_tag_++;
  Asked asked;
  asked_.emplace(request.tag, &asked);
  if (auto submitted = submit(request); !submitted) {
    asked_.erase(request.tag);
    co_return fail(submitted.error());
  }
  auto waited = co_await asked.done.wait();
  if (!asked.answer) {
    asked_.erase(request.tag);  // who asked gave up; the request goes on
    if (!waited) co_return fail(waited.error());
    co_return fail(Code::kClosed, "the venue is closed");
  }
  co_return std::move(*asked.answer);
}

Task<Result<Report>> LiveRuntime::ask(Request request) {
  co_return co_await io::on(home_, [this, &request] { return ask_here(request); });
}

Task<Result<void>> LiveRuntime::inspect(std::function<void(const Venue&)> look) {
  if (closing_.load(std::memory_order_relaxed)) co_return fail(Code::kClosed, "the venue is closed");
  co_return co_await core_->inspect(std::move(look));
}

Task<Result<void>> LiveRuntime::inspect_shadow(std::function<void(const Venue&)> look) {
  if (closing_.load(std::memory_order_relaxed)) co_return fail(Code::kClosed, "the venue is closed");
  co_return co_await shadow_->inspect(std::move(look));
}

Result<void> LiveRuntime::status() const {
  if (failed_.load(std::memory_order_acquire)) {
    std::lock_guard lock(mutex_);
    return fail(Error(Code::kUnavailable, "the venue has stopped", *failure_));
  }
  if (closing_.load(std::memory_order_acquire)) return fail(Code::kClosed, "the venue is closed");
  return {};
}

Task<Result<void>> LiveRuntime::wait_durable_here(Sequence sequence) {
  while (durable_.load(std::memory_order_relaxed) <= sequence) {
    CO_TRY(status());
    CO_TRY(co_await durable_changed_.wait());
  }
  co_return {};
}

Task<Result<void>> LiveRuntime::wait_durable(Sequence sequence) {
  if (durable_.load(std::memory_order_acquire) > sequence) co_return {};
  co_return co_await io::on(home_, [this, sequence] { return wait_durable_here(sequence); });
}

Task<Result<Sequence>> LiveRuntime::snapshot() {
  CO_TRY(status());
  const Sequence least = next_.load(std::memory_order_acquire);
  if (least > 1) CO_TRY(co_await wait_durable(least - 1));
  co_return co_await shadow_->snapshot(least);
}

RuntimeStatistics LiveRuntime::statistics() const {
  RuntimeStatistics statistics{
      .sequence = next_.load(std::memory_order_acquire),
      .durable = durable_.load(std::memory_order_acquire),
      .shadow = shadow_->next(),
      .snapshot = shadow_->snapshot_next(),
      .requests = requests_.load(std::memory_order_relaxed),
      .reports = reports_.load(std::memory_order_relaxed),
      .trades = trades_.load(std::memory_order_relaxed),
      .replayed = replayed_.load(std::memory_order_relaxed),
      .journal_bytes = journal_bytes_.load(std::memory_order_relaxed),
      .syncs = syncs_.load(std::memory_order_relaxed),
      .fused = fused_,
      .halted = halted_.load(std::memory_order_relaxed) || failed_.load(std::memory_order_relaxed),
      .halted_why = {},
      .follower_failure = shadow_->follower_failure()};
  std::lock_guard lock(mutex_);
  if (failure_) {
    statistics.halted_why = failure_->text();
  } else if (statistics.halted) {
    statistics.halted_why = halted_why_;
  }
  return statistics;
}

// What was accepted is handled, made durable and told; then everything ends, in the order of the data.
Task<Result<void>> LiveRuntime::close() {
  if (closed_) co_return {};
  closing_.store(true, std::memory_order_release);
  if (core_) {
    core_->stop();
    while (!failed_.load(std::memory_order_relaxed)) {
      pump();
      if (!core_->writing() && batch_.empty() && reader_->next() == bus_->next()) break;
      if (auto reached = co_await journal_->wait(journal_->last(), log::Durability::kOs); !reached)
        fail_with(reached.error());
      let_slots_go();
    }
    stopping_ = true;
    pump_now_.set();
    append_done_.set();
    ring_tight_.set();
    co_await tasks_.join();
  }
  if (shadow_started_) co_await shadow_->stop();
  // Behind what other threads have posted to this shard: the inbox keeps its order.
  io::Completion<bool> behind;
  behind.set(true);
  co_await behind;

  Result<void> closed;
  if (failed_.load(std::memory_order_relaxed)) {
    std::lock_guard lock(mutex_);
    closed = fail(*failure_);
  }
  for (auto& [tag, asked] : asked_) asked->done.set();
  asked_.clear();
  durable_changed_.set();
  reader_.reset();
  const bool whole = core_ != nullptr && closed.has_value();
  if (whole && journal_->last() != 0) {
    const Bytes record = JournalBatch::closing(place_.next, place_.now, options_.ack == AckMode::kBus);
    if (auto appended = journal_->append(record); !appended) closed = fail(appended.error());
  }
  if (journal_) {
    auto ended = co_await journal_->close();
    if (closed && !ended) closed = std::move(ended);
  }
  co_await scheduler_.drain();
  if (whole && closed) closed = bus_->restart(place_.next);
  core_.reset();
  bus_.reset();
  closed_ = true;
  co_return closed;
}

}  // namespace polis::exchange
