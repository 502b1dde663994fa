// A venue without bus, journal and threads for tests of its doors: each request is one step at once. It can be told to
// hold its reports back, as a venue that waits for its disk does, or to be busy.
#pragma once

#include <algorithm>
#include <vector>

#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {

class DirectVenue final : public VenueRuntime {
 public:
  explicit DirectVenue(const Clock& clock)
      : clock_(clock),
        venue_(
            {.assets_max = 16, .instruments_max = 16, .accounts_max = 64, .sessions_max = 64, .orders_max = 100'000}) {}

  Result<void> submit(const Request& request) override {
    if (busy) return fail(Code::kBusy, "busy");
    if (failed) return fail(Code::kUnavailable, "failed");
    step(request);
    return {};
  }
  Task<Result<Report>> ask(Request request) override {
    request.tag = ++tag_ | uint64_t{1} << 63;
    const size_t before = history.size();
    step(request);
    for (size_t i = before; i < history.size(); ++i)
      if (history[i].report.tag == request.tag) co_return history[i].report;
    co_return fail(Code::kInvalid, "no answer");
  }
  void subscribe(EgressListener& listener) override { listeners_.push_back(&listener); }
  void unsubscribe(EgressListener& listener) override { std::erase(listeners_, &listener); }
  Task<Result<void>> inspect(std::function<void(const Venue&)> look) override {
    look(venue_);
    co_return {};
  }
  Task<Result<void>> inspect_shadow(std::function<void(const Venue&)> look) override {
    return inspect(std::move(look));
  }
  Result<void> status() const override { return {}; }
  Task<Result<void>> wait_durable(Sequence) override { co_return {}; }
  Task<Result<Sequence>> snapshot() override { co_return sequence_; }
  RuntimeStatistics statistics() const override { return {}; }
  Bus& bus() override { std::abort(); }
  Task<Result<void>> close() override { co_return {}; }

  // Reports wait while this is on.
  bool hold = false;
  bool busy = false, failed = false;
  // Lets what waits go.
  void release() {
    hold = false;
    tell();
  }
  struct Told {
    Sequence sequence;
    VenueTime time;
    Report report;
  };
  std::vector<Told> history;  // all reports, in order
  std::vector<Request> requests;

 private:
  void step(const Request& request) {
    requests.push_back(request);
    const Stamp stamp{.sequence = sequence_, .now = clock_.wall().time_since_epoch().count()};
    const uint64_t slots = venue_.step(stamp, request, outputs_);
    Sequence at = sequence_ + kRequestSlots;
    for (const Outputs::Item& item : outputs_.items()) {
      if (item.is_report) history.push_back({at, stamp.now, outputs_.report_at(item)});
      at += item.is_report ? kReportSlots : kEventSlots;
    }
    sequence_ += slots;
    if (!hold) tell();
  }
  void tell() {
    if (telling_) return;
    telling_ = true;
    while (told_ < history.size()) {
      const Told told = history[told_++];
      for (EgressListener* listener : listeners_) listener->on_report(told.sequence, told.time, told.report);
    }
    telling_ = false;
    for (EgressListener* listener : listeners_) listener->on_batch_end();
  }

  const Clock& clock_;
  Venue venue_;
  Outputs outputs_;
  Sequence sequence_ = 1;
  uint64_t tag_ = 0;
  size_t told_ = 0;
  bool telling_ = false;
  std::vector<EgressListener*> listeners_;
};

}  // namespace polis::exchange
