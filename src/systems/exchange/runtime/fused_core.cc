#include "systems/exchange/runtime/fused_core.h"

#include <algorithm>

namespace polis::exchange {

struct FusedCore::Inbound {
  Inbound(FusedCore& owner, io::Shard& from_shard) : core(&owner), from(&from_shard) {}
  FusedCore* core;  // home shard: null once it has stopped
  io::Shard* const from;
  std::mutex mutex;
  std::vector<Request> waiting;  // under the mutex
  bool posted = false;           // under the mutex: the home shard will look
  std::vector<Request> taken;    // home shard
  size_t taken_next = 0;         // home shard
};

FusedCore::FusedCore(CoreParts parts) : parts_(std::move(parts)) {}
FusedCore::~FusedCore() = default;

Result<void> FusedCore::step(const Request& request) {
  if (blocked_ || !parts_.bus.room(kRequestSlots))
    return fail(Code::kBusy, "the journal is behind: the venue's ring is full; try again");
  const auto wall = static_cast<VenueTime>(parts_.clock.wall().time_since_epoch().count());
  parts_.last_time = std::max(parts_.last_time, wall);
  const Stamp stamp{parts_.bus.next(), parts_.last_time};
  const uint64_t slots = parts_.venue.step(stamp, request, outputs_);
  step_end_ = stamp.sequence + slots;
  stepped_ = true;
  // There is room for the request, so the writer keeps no pointer to it behind this.
  writer_.begin(stamp, &request, kAnsweredAtOnce, outputs_);
  blocked_ = !writer_.go_on(parts_.bus);
  POLIS_ASSERT(blocked_ || parts_.bus.next() == step_end_);
  parts_.written();
  return {};
}

void FusedCore::room_made() {
  if (blocked_) {
    const Sequence before = parts_.bus.next();
    blocked_ = !writer_.go_on(parts_.bus);
    POLIS_ASSERT(blocked_ || parts_.bus.next() == step_end_);
    if (parts_.bus.next() != before) parts_.written();
    if (blocked_) return;
  }
  if (inbound_count_.load(std::memory_order_acquire) == 0) return;
  std::vector<std::shared_ptr<Inbound>> all;
  {
    std::lock_guard lock(mutex_);
    all = inbounds_;
  }
  for (const auto& inbound : all) take(*inbound);
}

Result<void> FusedCore::submit(const Request& request) {
  if (stopped_.load(std::memory_order_acquire)) return fail(Code::kClosed, "the venue is closed");
  io::Shard& here = io::Shard::current();
  return &here == &parts_.home ? step(request) : hand_over(here, request);
}

Result<void> FusedCore::hand_over(io::Shard& from, const Request& request) {
  std::shared_ptr<Inbound> inbound;
  {
    // Few shards, and not contended but by them.
    std::lock_guard lock(mutex_);
    if (stopped_.load(std::memory_order_relaxed)) return fail(Code::kClosed, "the venue is closed");
    const auto found =
        std::find_if(inbounds_.begin(), inbounds_.end(), [&](const auto& i) { return i->from == &from; });
    if (found == inbounds_.end()) {
      inbound = inbounds_.emplace_back(std::make_shared<Inbound>(*this, from));
      inbound_count_.fetch_add(1, std::memory_order_release);
    } else {
      inbound = *found;
    }
  }
  bool post = false;
  {
    std::lock_guard lock(inbound->mutex);
    if (inbound->waiting.size() >= parts_.options.inbound_max)
      return fail(Code::kBusy, "too many requests wait for the venue; try again");
    inbound->waiting.push_back(request);
    post = !std::exchange(inbound->posted, true);
  }
  // The job may come after the core has gone.
  if (post)
    parts_.home.post([inbound] {
      if (inbound->core != nullptr) inbound->core->take(*inbound);
    });
  return {};
}

void FusedCore::take(Inbound& inbound) {
  while (true) {
    const std::vector<Request>& taken = inbound.taken;
    for (size_t& i = inbound.taken_next; i < taken.size(); ++i) {
      if (i + 12 < taken.size()) parts_.venue.prefetch(taken[i + 12], 0);
      if (i + 8 < taken.size()) parts_.venue.prefetch(taken[i + 8], 1);
      if (i + 4 < taken.size()) parts_.venue.prefetch(taken[i + 4], 2);
      if (!step(taken[i])) return;  // room_made() goes on
    }
    inbound.taken.clear();
    inbound.taken_next = 0;
    std::lock_guard lock(inbound.mutex);
    inbound.posted = false;
    if (inbound.waiting.empty()) return;
    inbound.posted = true;
    inbound.taken.swap(inbound.waiting);
  }
}

Task<Result<void>> FusedCore::look_here(std::function<void(const Venue&)>& look) const {
  if (stopped_.load(std::memory_order_relaxed)) co_return fail(Code::kClosed, "the venue is closed");
  look(parts_.venue);
  co_return {};
}

Task<Result<void>> FusedCore::inspect(std::function<void(const Venue&)> look) {
  co_return co_await io::on(parts_.home, [this, &look] { return look_here(look); });
}

void FusedCore::stop() {
  std::lock_guard lock(mutex_);
  stopped_.store(true, std::memory_order_release);
  for (const auto& inbound : inbounds_) inbound->core = nullptr;
  inbounds_.clear();
}

VenueTime FusedCore::next_time() const {
  if (std::exchange(stepped_, false)) next_time_ = parts_.venue.next_time().value_or(INT64_MAX);
  return next_time_;
}

}  // namespace polis::exchange
