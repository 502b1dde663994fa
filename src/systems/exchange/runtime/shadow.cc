#include "systems/exchange/runtime/shadow.h"

#include <algorithm>
#include <chrono>
#include <sys/resource.h>
#include <unistd.h>

namespace polis::exchange {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// When followers commit. Many steps cost them less in one commit than in several, so what comes in numbers is gathered
// for longer; but a stop waits for the commit in hand, which must stay a matter of tenths of a second on a busy
// machine.
constexpr Duration kCommitInterval = milliseconds(50), kCommitIntervalMax = milliseconds(500);
constexpr Sequence kFewSequences = 1024, kCommitSequences = 262'144;
constexpr Duration kRetryInterval = seconds(1);
constexpr Duration kCheckInterval = seconds(1);
// At a stop, for what is still to be done again; the rest is done after the next start. All of polis stops within 5 s.
constexpr Duration kCatchUpMax = seconds(1);
constexpr int kNice = 10;
// The shards of the process count from 0.
constexpr unsigned kShadowIndex = 1000;

}  // namespace

Shadow::Shadow(Parts parts) : parts_(std::move(parts)), home_(io::Shard::current()), shard_(&home_) {
  if (home_.pool() != nullptr) {
    own_ = std::make_unique<io::Shard>(kShadowIndex, parts_.clock, home_.pool());
    shard_ = own_.get();
  }
}

Shadow::~Shadow() {
  POLIS_ASSERT(!thread_.joinable());
}

void Shadow::start() {
  if (own_) {
    thread_ = std::thread([this] {
      // Best effort: whoever may not lower itself shares the CPUs as everybody does.
      (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
      own_->run();
    });
  }
  struct Drive {
    static Task<void> run(Shadow& shadow) {
      co_await io::on(*shadow.shard_, [&shadow] { return shadow.run(); });
    }
  };
  tasks_.spawn(Drive::run(*this));
}

void Shadow::Wake::run() {
  shadow.woken_.store(false, std::memory_order_release);
  shadow.changed_.set();
}

void Shadow::advance(log::Position durable) {
  if (durable != 0) durable_.store(durable, std::memory_order_release);
  if (!woken_.exchange(true, std::memory_order_acq_rel)) shard_->post(wake_);
}

Task<void> Shadow::stop() {
  stop_at_ = parts_.clock.steady();
  stopping_.store(true, std::memory_order_release);
  advance(0);
  co_await tasks_.join();
  // Behind a wake that is in the inbox of its shard.
  struct Behind {
    static Task<void> come() {
      io::Completion<bool> behind;
      behind.set(true);
      co_await behind;
    }
  };
  co_await io::on(*shard_, [] { return Behind::come(); });
  if (own_) {
    own_->stop();
    thread_.join();
  }
}

std::string Shadow::follower_failure() const {
  std::lock_guard lock(mutex_);
  return follower_failure_;
}

// --- on its shard

Task<void> Shadow::run() {
  auto followed = co_await follow();
  ended_ = true;
  snapshot_done_.set();
  if (!followed) parts_.broken(followed.error());
}

Task<Result<void>> Shadow::follow() {
  Sequence from = UINT64_MAX;
  for (Follower* follower : parts_.followers) {
    committed_.push_back(std::max<Sequence>(follower->committed(), 1));
    from = std::min(from, committed_.back());
  }
  auto loaded =
      CO_TRY(co_await load_venue(parts_.disk, parts_.options.snapshot_directory, parts_.options.limits, from));
  place_ = loaded.place;
  venue_ = std::move(loaded.venue);
  next_.store(place_.next, std::memory_order_release);
  if (place_.steps != 0) snapshot_next_.store(place_.next, std::memory_order_release);
  committed_next_ = checked_next_ = place_.next;

  const std::function<void(const JournalStep&, const Outputs&)> tell = [this](const JournalStep& step,
                                                                              const Outputs& outputs) {
    for (size_t i = 0; i < parts_.followers.size(); ++i)
      if (step.stamp.sequence >= committed_[i])
        parts_.followers[i]->on_step(step.stamp, step.turn ? nullptr : &step.request, outputs, *venue_);
  };
  auto files = CO_TRY(co_await JournalFiles::open(parts_.disk, parts_.options.journal_directory, place_.record));
  while (true) {
    changed_.reset();
    const bool stop = stopping();  // before the look at what is on disk, of which nothing comes behind a stop
    const log::Position durable = durable_.load(std::memory_order_acquire);
    const auto record = CO_TRY(co_await files.next(durable));
    if (record) {
      CO_TRY(redo_record(*venue_, *record, 0, place_, outputs_, steps_, tell));
      next_.store(place_.next, std::memory_order_release);
    } else if (files.position() <= durable) {
      co_return fail(Code::kCorrupt, parts_.options.journal_directory + ": record " + std::to_string(files.position()) +
                                         ", which was on disk, cannot be read");
    }
    const SteadyTime now = parts_.clock.steady();
    // Who is still behind leaves what was not committed to the next start, which finds it in the journal.
    if (stop && record && now - stop_at_ >= kCatchUpMax) co_return {};
    const bool last = stop && !record;
    if (place_.next != checked_next_ && (last || now - checked_at_ >= kCheckInterval)) check();
    const Sequence gathered = place_.next - committed_next_;
    const Duration interval = gathered <= kFewSequences ? kCommitInterval : kCommitIntervalMax;
    if (gathered != 0 && (last || now - committed_at_ >= interval || gathered >= kCommitSequences)) {
      while (!co_await commit() && !stopping()) (void)co_await io::sleep_for(kRetryInterval);
    }
    const bool due = place_.next - snapshot_next_.load(std::memory_order_relaxed) >= parts_.options.snapshot_every &&
                     now - snapshot_tried_at_ >= kRetryInterval;
    if (last) co_return {};
    if (due || (snapshot_wanted_ != 0 && place_.next >= snapshot_wanted_)) co_await write();
    if (record) {
      co_await io::yield();
    } else if (place_.next != checked_next_ || place_.next != committed_next_) {
      (void)co_await io::with_timeout(kCommitInterval, changed_.wait());
    } else {
      (void)co_await changed_.wait();
    }
  }
}

void Shadow::check() {
  checked_at_ = parts_.clock.steady();
  checked_next_ = place_.next;
  if (auto sums = venue_->orders().check_sums(true); !sums) parts_.doubted(sums.error());
}

Task<bool> Shadow::commit() {
  std::string failure;
  for (size_t i = 0; i < parts_.followers.size(); ++i) {
    if (committed_[i] >= place_.next) continue;
    auto done = co_await parts_.followers[i]->commit(place_.next);
    if (done) {
      committed_[i] = place_.next;
    } else {
      failure = done.error().text();
    }
  }
  committed_at_ = parts_.clock.steady();
  const bool good = failure.empty();
  if (good) committed_next_ = place_.next;
  std::lock_guard lock(mutex_);
  follower_failure_ = std::move(failure);
  co_return good;
}

// A snapshot is never ahead of a follower, so that whoever begins with it can tell them everything.
Task<void> Shadow::write() {
  const bool asked = snapshot_wanted_ != 0;
  snapshot_tried_at_ = parts_.clock.steady();
  Result<void> done;
  if (!co_await commit()) {
    done = fail(Code::kUnavailable, "a follower cannot commit: " + follower_failure());
  } else if (snapshot_next_.load(std::memory_order_relaxed) != place_.next) {
    done = co_await write_snapshot(parts_.disk, parts_.options.snapshot_directory, *venue_, place_,
                                   parts_.options.snapshots_kept);
    if (done) snapshot_next_.store(place_.next, std::memory_order_release);
  }
  snapshot_failure_.reset();
  if (!done) snapshot_failure_ = done.error();
  if (!asked) co_return;
  snapshot_wanted_ = 0;
  snapshot_done_.set();
  snapshot_done_.reset();
}

Task<Result<void>> Shadow::look_here(std::function<void(const Venue&)>& look) {
  if (ended_) co_return fail(Code::kClosed, "the venue is closed");
  if (!venue_) co_return fail(Code::kBusy, "the venue's shadow is still loading; try again");
  look(*venue_);
  co_return {};
}

Task<Result<void>> Shadow::inspect(std::function<void(const Venue&)> look) {
  co_return co_await io::on(*shard_, [this, &look] { return look_here(look); });
}

Task<Result<Sequence>> Shadow::snapshot_here(Sequence least) {
  if (ended_ || stopping()) co_return fail(Code::kClosed, "the venue is closed");
  snapshot_wanted_ = std::max({snapshot_wanted_, least, Sequence{1}});
  changed_.set();
  CO_TRY(co_await snapshot_done_.wait());
  if (snapshot_failure_) co_return fail(*snapshot_failure_);
  if (snapshot_next() < least) co_return fail(Code::kClosed, "the venue is closed");
  co_return snapshot_next();
}

Task<Result<Sequence>> Shadow::snapshot(Sequence least) {
  co_return co_await io::on(*shard_, [this, least] { return snapshot_here(least); });
}

}  // namespace polis::exchange
