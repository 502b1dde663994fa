// FusedCore: the home shard's loop is the venue's. submit() on the home shard runs the step before it returns; other
// shards hand over in batches. A step whose outputs find no room in the ring waits there with the next ones refused,
// and goes on when the journal has let slots go.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "systems/exchange/runtime/core.h"

namespace polis::exchange {

class FusedCore final : public Core {
 public:
  explicit FusedCore(CoreParts parts);
  ~FusedCore() override;

  Result<void> submit(const Request& request) override;
  void prefetch(const Request& request, unsigned stage) const override { parts_.venue.prefetch(request, stage); }
  Task<Result<void>> inspect(std::function<void(const Venue&)> look) override;
  void room_made() override;
  void stop() override;
  bool writing() const override { return blocked_; }
  VenueTime next_time() const override;

 private:
  // What one shard has handed over.
  struct Inbound;

  Result<void> step(const Request& request);
  Task<Result<void>> look_here(std::function<void(const Venue&)>& look) const;
  Result<void> hand_over(io::Shard& from, const Request& request);
  void take(Inbound& inbound);

  CoreParts parts_;
  Outputs outputs_;
  StepWriter writer_;
  Sequence step_end_ = 0;
  bool blocked_ = false;  // the step in outputs_ is not wholly on the bus
  std::atomic<bool> stopped_{false};
  mutable bool stepped_ = true;  // since next_time_ was asked for
  mutable VenueTime next_time_ = 0;
  std::mutex mutex_;  // of inbounds_: the list, not what is inside
  std::vector<std::shared_ptr<Inbound>> inbounds_;
  std::atomic<size_t> inbound_count_{0};
};

}  // namespace polis::exchange
