// ReportArchive: what sessions were told, long after it has left memory. The gateway makes messages again from it when
// a client asks for them.
#pragma once

#include <vector>

#include "kernel/io/task.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

struct StoredReport {
  Sequence sequence = 0;
  VenueTime time = 0;
  Report report;
};

// Any shard.
class ReportArchive {
 public:
  virtual ~ReportArchive() = default;
  // Reports of the session from this ordinal on, in order and without gaps, at most `most` (1 .. 10,000) and as many as
  // there are. Ordinals are those of the SessionBook: 1, 2, ... over the session's whole life.
  virtual Task<Result<std::vector<StoredReport>>> of_session(SessionId session, uint64_t first_ordinal,
                                                             size_t most) = 0;
  // Everything up to here can be asked for.
  virtual Sequence committed() const = 0;
};

}  // namespace polis::exchange
