// The embedded Journal: records (record.h) in segment files (segment_log.h) of one folder.
#pragma once

#include "kernel/log/journal.h"
#include "kernel/log/segment_log.h"

namespace polis::log {

// Reads the newest segment, cuts a torn tail and makes what is left durable. kCorrupt if a record is damaged that was
// on disk. `disk`, `scheduler` and `random` outlive the journal.
Task<Result<std::unique_ptr<Journal>>> open_segment_journal(io::Disk& disk, SyncScheduler& scheduler, Random& random,
                                                            SegmentLogOptions options);

}  // namespace polis::log
