// PhaseClerk: puts instruments into the phases of their calendars. What it finds due it asks of the venue like any
// operator, so phases stand in the journal and a replay knows no calendar. Between two turns of a calendar whatever
// operators say holds; an instrument that is halted stays so until its calendar's next turn.
//
// Lives on the venue's home shard.
#pragma once

#include <vector>

#include "kernel/base/clock.h"
#include "kernel/io/shard.h"
#include "systems/exchange/faces/calendar.h"
#include "systems/exchange/faces/roster.h"

namespace polis::exchange {

class PhaseClerk {
 public:
  // All outlive it.
  PhaseClerk(VenueRuntime& venue, const Roster& roster, const Clock& clock)
      : venue_(venue), roster_(roster), clock_(clock) {}
  void start() { tasks_.spawn(run()); }
  Task<void> stop();

  // One look at all instruments: asks for what is due.
  Task<void> look();

 private:
  Task<void> run();
  Task<Result<void>> turn(const InstrumentDefinition& instrument, Phase phase, bool keep_halted);

  VenueRuntime& venue_;
  const Roster& roster_;
  const Clock& clock_;
  std::vector<VenueTime> until_;  // by instrument: the end of the phase that its calendar has now; 0: not looked at yet
  bool first_ = true;
  io::TaskGroup tasks_;
};

}  // namespace polis::exchange
