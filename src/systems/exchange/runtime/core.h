// Core: whoever handles the requests of a venue, in which threads. FusedCore (fused_core.h) does it in the loop of the
// home shard, SplitCore (threads.h) in two threads of its own. Everything behind the bus (journal, egress, shadow) is
// the same for both: it reads the bus on the home shard.
#pragma once

#include <functional>
#include <span>

#include "kernel/base/clock.h"
#include "kernel/io/shard.h"
#include "systems/exchange/bus/bus.h"
#include "systems/exchange/runtime/runtime.h"
#include "systems/exchange/venue/venue.h"

namespace polis::exchange {

struct CoreParts {
  Venue& venue;  // nothing is pending in it
  Bus& bus;      // writing goes on at bus.next()
  const Clock& clock;
  io::Shard& home;
  const RuntimeOptions& options;
  VenueTime last_time = 0;  // no stamp is before it
  // Any thread: whole records are on the bus. The home shard will read them soon; cheap when it is about to anyway.
  std::function<void()> written;
};

class Core {
 public:
  virtual ~Core() = default;
  // Any shard. Errors: kBusy. From one shard, requests are handled in the order of their submission.
  virtual Result<void> submit(const Request& request) = 0;
  // Home shard: VenueRuntime::prefetch.
  virtual void prefetch(const Request&, unsigned /*stage*/) const {}
  // Any shard: runs `look` between two steps. kClosed once stopped.
  virtual Task<Result<void>> inspect(std::function<void(const Venue&)> look) = 0;
  // Home shard: a gating reader has let slots go. Who could not write for want of room goes on.
  virtual void room_made() = 0;
  // Home shard: nothing is accepted from here on; what was, is handled and written, as far as there is room, and no
  // thread runs any more when this returns. The venue may be looked at afterwards. Once.
  virtual void stop() = 0;
  // Home shard, behind stop(): whether a step still waits for room.
  virtual bool writing() const { return false; }
  // Any thread, as of some moment ago: when the venue wants a kTime request. INT64_MAX: never.
  virtual VenueTime next_time() const = 0;
};

// Puts one step on the bus: the request or turn, then its outputs, each as there is room for it; readers see all of it
// at once, or what there was room for. Keeps pointers to what begin() gets until go_on() has answered true.
class StepWriter {
 public:
  // `request` null: a turn. `flags`: kAnsweredAtOnce or 0.
  void begin(const Stamp& stamp, const Request* request, uint16_t flags, const Outputs& outputs) {
    stamp_ = stamp;
    request_ = request;
    flags_ = flags;
    outputs_ = &outputs;
    next_ = 0;
    headed_ = false;
  }
  // Writes until there is no room (false: room() has published what is written) or all is written (true).
  bool go_on(Bus& bus) {
    const auto items = outputs_->items();
    if (!headed_) {
      if (!bus.room(request_ ? kRequestSlots : kTurnSlots)) return false;
      const auto flags = static_cast<uint16_t>(flags_ | (items.empty() ? kEndOfStep : 0));
      if (request_) {
        bus.append(BusType::kRequest, flags, request_->session, static_cast<uint64_t>(stamp_.now), 0, bytes(*request_));
      } else {
        bus.append(BusType::kTurn, flags, 0, static_cast<uint64_t>(stamp_.now), 0, std::span<const std::byte, 0>{});
      }
      headed_ = true;
    }
    for (; next_ < items.size(); ++next_) {
      const auto& item = items[next_];
      if (!bus.room(item.is_report ? kReportSlots : kEventSlots)) return false;
      const uint16_t flags = next_ + 1 == items.size() ? kEndOfStep : 0;
      const auto delta = static_cast<uint32_t>(bus.next() - stamp_.sequence);
      if (item.is_report) {
        const Report& report = outputs_->report_at(item);
        bus.append(BusType::kReport, flags, report.session, static_cast<uint64_t>(stamp_.now), delta, bytes(report));
      } else {
        bus.append(BusType::kEvent, flags, 0, static_cast<uint64_t>(stamp_.now), delta,
                   bytes(outputs_->event_at(item)));
      }
    }
    bus.publish();
    return true;
  }

 private:
  template <class T>
  static std::span<const std::byte, sizeof(T)> bytes(const T& value) {
    return std::as_bytes(std::span<const T, 1>(&value, 1));
  }
  Stamp stamp_;
  const Request* request_ = nullptr;
  const Outputs* outputs_ = nullptr;
  size_t next_ = 0;
  uint16_t flags_ = 0;
  bool headed_ = false;
};

}  // namespace polis::exchange
