#include "kernel/sim/world.h"

#include <algorithm>
#include <cstdio>

#include "kernel/base/hash.h"

namespace polis::sim {
namespace {

// Independent streams from one seed: the draws of one part never shift those of another.
constexpr uint64_t kWorkloadStream = 0x776f726b, kDiskStream = 0x6469736b, kNetworkStream = 0x6e657477;

}  // namespace

World::World(uint64_t seed, WorldOptions options)
    : seed_(seed), options_(std::move(options)), random_(seed ^ kWorkloadStream), trace_hash_(seed) {
  POLIS_ASSERT(options_.shards > 0);
  for (unsigned i = 0; i < options_.shards; ++i)
    shards_.push_back(std::make_unique<io::Shard>(i, clock_, nullptr, false));
  binding_ = std::make_unique<io::ShardBinding>(*shards_.front());
  disk_ = std::make_unique<Disk>(*this, seed ^ kDiskStream, options_.disk);
  network_ = std::make_unique<Network>(*this, seed ^ kNetworkStream, options_.network);
}

World::~World() = default;

void World::trace(BytesView observation) {
  trace(base::xxh3_64(observation));
}

void World::push(Occurrence occurrence) {
  occurrences_.push_back(std::move(occurrence));
  std::push_heap(occurrences_.begin(), occurrences_.end(), std::greater<>());
}

void World::after(Duration delay, std::move_only_function<void()> work) {
  push({clock_.steady() + delay, sequence_++, &io::Shard::current(), {}, std::move(work)});
}

void World::resume_after(Duration delay, std::coroutine_handle<> waiter) {
  push({clock_.steady() + delay, sequence_++, &io::Shard::current(), waiter, {}});
}

bool World::run_ready() {
  bool ran = false;
  for (auto& shard : shards_) ran |= shard->run_ready() > 0;
  return ran;
}

std::optional<SteadyTime> World::next_moment() const {
  std::optional<SteadyTime> next;
  if (!occurrences_.empty()) next = occurrences_.front().at;
  for (const auto& shard : shards_)
    if (auto timer = shard->next_timer(); timer && (!next || *timer < *next)) next = timer;
  return next;
}

void World::happen(SteadyTime now) {
  while (!occurrences_.empty() && occurrences_.front().at <= now) {
    std::pop_heap(occurrences_.begin(), occurrences_.end(), std::greater<>());
    Occurrence occurrence = std::move(occurrences_.back());
    occurrences_.pop_back();
    trace(occurrence.sequence ^ static_cast<uint64_t>(occurrence.at.time_since_epoch().count()));
    io::ShardBinding binding(*occurrence.shard);
    if (occurrence.waiter) {
      occurrence.shard->schedule(occurrence.waiter);
    } else {
      occurrence.work();
    }
  }
  for (auto& shard : shards_)
    if (auto timer = shard->next_timer(); timer && *timer <= now) shard->fire_timers();
}

void World::drive(const std::function<bool()>& done) {
  const SteadyTime end = clock_.steady() + options_.time_max;
  for (uint64_t step = 0;; ++step) {
    while (run_ready()) {
    }
    if (done()) return;
    const auto next = next_moment();
    if (!next) give_up("deadlock: the task is not done, nothing is ready, and no event or timer is due");
    if (*next > end) give_up("the task is not done after the simulated time that WorldOptions::time_max allows");
    if (step >= options_.steps_max)
      give_up("the task is not done after WorldOptions::steps_max steps: it is busy without end");
    if (*next > clock_.steady()) clock_.advance(*next - clock_.steady());
    happen(clock_.steady());
  }
}

void World::run_for(Duration duration) {
  const SteadyTime end = clock_.steady() + duration;
  for (uint64_t step = 0;; ++step) {
    while (run_ready()) {
    }
    const auto next = next_moment();
    if (!next || *next > end) break;
    if (step >= options_.steps_max) give_up("busy without end inside run_for");
    if (*next > clock_.steady()) clock_.advance(*next - clock_.steady());
    happen(clock_.steady());
  }
  clock_.advance(end - clock_.steady());
}

void World::give_up(std::string_view why) const {
  std::fprintf(stderr, "sim: seed %llu, %.6f s into the run: %.*s (disk operations in flight: %zu)\n",
               static_cast<unsigned long long>(seed_), std::chrono::duration<double>(elapsed()).count(),
               static_cast<int>(why.size()), why.data(), disk_->in_flight());
  std::abort();
}

}  // namespace polis::sim
