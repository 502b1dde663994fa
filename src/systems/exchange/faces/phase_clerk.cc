#include "systems/exchange/faces/phase_clerk.h"

#include <algorithm>

namespace polis::exchange {
namespace {

// Instruments that are defined meanwhile, and clocks that are set, are noticed within this.
constexpr VenueTime kLookEvery = 10'000'000'000;
// What the venue did not take (busy, halted) is asked for again.
constexpr VenueTime kRetry = 1'000'000'000;

}  // namespace

Task<void> PhaseClerk::stop() {
  tasks_.stop();
  co_await tasks_.join();
}

Task<Result<void>> PhaseClerk::turn(const InstrumentDefinition& instrument, Phase phase, bool keep_halted) {
  Phase now = Phase::kClosed;
  CO_TRY(co_await venue_.inspect([&](const Venue& venue) {
    if (const Matching* book = venue.engine().find(instrument.id)) now = book->phase();
  }));
  if (now == phase || (now == Phase::kHalted && keep_halted)) co_return Result<void>();
  Request change;
  change.kind = RequestKind::kPhase;
  change.instrument = instrument.id;
  change.body.phase = phase;
  const Report report = CO_TRY(co_await venue_.ask(change));
  if (report.kind == ReportKind::kDenied) co_return fail(Code::kBusy, std::string(refusal_text(report.refusal)));
  co_return Result<void>();
}

Task<void> PhaseClerk::look() {
  // Copies: definitions may come while the venue is asked.
  const std::vector<InstrumentDefinition> instruments = roster_.instruments();
  const VenueTime now = clock_.wall().time_since_epoch().count();
  const size_t known = until_.size();
  until_.resize(std::max(known, instruments.size()));
  for (const InstrumentDefinition& instrument : instruments) {
    VenueTime& until = until_[instrument.id - 1];
    const CalendarPhase due = phase_at(instrument.calendar, now);
    if (due.until == until) continue;
    // Whoever defined it has put it into its phase; around the clock there is nothing to turn at a start.
    const bool fresh = until == 0;
    if (fresh && (!first_ || instrument.calendar == Calendar::kAlways)) {
      until = due.until;
      continue;
    }
    if (co_await turn(instrument, due.phase, fresh)) until_[instrument.id - 1] = due.until;
  }
  first_ = false;
}

Task<void> PhaseClerk::run() {
  for (;;) {
    co_await look();
    const VenueTime now = clock_.wall().time_since_epoch().count();
    VenueTime next = now + kLookEvery;
    for (const VenueTime until : until_) next = std::min(next, until == 0 || until <= now ? now + kRetry : until);
    if (!co_await io::sleep_for(Duration(next - now))) co_return;
  }
}

}  // namespace polis::exchange
