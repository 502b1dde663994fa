// From files to a venue: snapshots, and steps out of the journal that are done again and compared.
//
//     snapshot := file of kernel/machine/snapshot.h, named by the sequence behind its last step
//     pieces   := first: version:u8=1 next:u64 now:u64 hash:u128 steps:u64 record:u64; then what Venue::save() gives
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "systems/exchange/runtime/journal_files.h"
#include "systems/exchange/runtime/journal_format.h"
#include "systems/exchange/runtime/runtime.h"
#include "systems/exchange/venue/venue.h"

namespace polis::exchange {

// Where a replay stands.
struct ReplayPlace {
  Sequence next = 1;
  VenueTime now = 0;
  base::Hash128 hash{};
  uint64_t steps = 0;
  log::Position record = 1;  // of the journal: the one that holds the step at `next`
};

// Does one step of the journal again: kCorrupt, with the sequence, if what comes out differs from what came out then.
// `outputs` holds it afterwards.
Result<void> redo(Venue& venue, const JournalStep& step, ReplayPlace& place, Outputs& outputs);

// Steps that were read and are not done yet, so that what they will touch is on its way from memory when their turn
// comes.
using StepsAhead = std::array<JournalStep, 12>;

// All steps of one record that are not before `place`; `each` comes after each step. The first step at or behind `to`
// (0: none is) ends it, and then place.record stays. kUnsupported for steps that a venue of other rules has done.
Result<void> redo_record(Venue& venue, const log::Record& record, Sequence to, ReplayPlace& place, Outputs& outputs,
                         StepsAhead& steps, const std::function<void(const JournalStep&, const Outputs&)>& each);

// Durable under its name when it returns; older ones but `kept` are removed.
Task<Result<void>> write_snapshot(io::Disk& disk, std::string directory, const Venue& venue, ReplayPlace place,
                                  size_t kept);
// Fills a fresh venue from the snapshot behind which `next` comes.
Task<Result<ReplayPlace>> read_snapshot(io::Disk& disk, std::string directory, Sequence next, Venue& venue);

struct LoadedVenue {
  std::unique_ptr<Venue> venue;
  ReplayPlace place;
  std::string skipped;  // snapshots that could not be read, and why; empty: none
};
// From the newest sound snapshot at or below `at_most`, or empty.
Task<Result<LoadedVenue>> load_venue(io::Disk& disk, std::string directory, const VenueLimits& limits,
                                     Sequence at_most);

}  // namespace polis::exchange
