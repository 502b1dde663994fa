// The Journal port: ordered, durable, replayable records. Who keeps its state in memory (ledger, exchange, cache, ...)
// has it here and nowhere else. Embedded adapter: segment files (segment_journal.h). Every adapter passes the suite in
// conformance.h.
//
// A Journal lives on one shard. Positions begin at 1 and have no gaps; 0 means "nothing".
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "kernel/io/task.h"
#include "kernel/log/durability.h"
#include "kernel/log/frame.h"

namespace polis::log {

struct Record {
  Position position = 0;
  BytesView payload;
};

// Reads records in order. Not longer than its journal lives.
class JournalReader {
 public:
  virtual ~JournalReader() = default;
  // The next record, valid until the next call; nothing at the end (more may come, ask again). kCorrupt for a damaged
  // record: it is never skipped, the reader stays in front of it. kOutOfRange if a trim has overtaken the reader.
  virtual Task<Result<std::optional<Record>>> next() = 0;
};

struct JournalStatistics {
  uint64_t appends = 0, appended_bytes = 0;
  uint64_t writes = 0, syncs = 0;
  uint64_t size_bytes = 0, buffered_bytes = 0;
  uint64_t torn_bytes = 0;  // cut off when the journal was opened: unfinished records of a crash
};

class Journal {
 public:
  virtual ~Journal() = default;

  // Assigns the next position and keeps the parts, gathered, as one record. Never waits. kBusy while too much is on its
  // way to the disk, kTooLarge above 16 MiB, kClosed; kUnavailable for good once a write or sync has failed.
  virtual Result<Position> append(std::span<const BytesView> parts) = 0;
  Result<Position> append(BytesView payload) { return append(std::span<const BytesView>(&payload, 1)); }
  // Whether an append of so many bytes would succeed now. It will, if nothing else runs on the shard before it.
  virtual Result<void> admit(size_t payload_bytes) const = 0;

  // Until the record, and every one before it, is that durable. kOutOfRange for a position that was not assigned;
  // kUnavailable for a durability that this journal is not configured for. Cancelling gives up the answer, not the
  // record.
  virtual Task<Result<void>> wait(Position position, Durability durability) = 0;
  // The last position that is that durable; 0 if none.
  virtual Position reached(Durability durability) const = 0;

  virtual Position first() const = 0;  // the oldest position kept; last() + 1 if there is none
  virtual Position last() const = 0;   // the newest assigned; 0 if none ever was

  // From `from` in [first(), last() + 1] on; kOutOfRange outside.
  virtual Result<std::unique_ptr<JournalReader>> read(Position from) = 0;
  // Records below `before` are not needed any more. They may stay a while.
  virtual Task<Result<void>> trim(Position before) = 0;

  // Why nothing is accepted any more; empty while healthy.
  virtual std::optional<Error> failure() const = 0;
  virtual JournalStatistics statistics() const = 0;
  // Makes everything durable and ends; before the journal is destroyed. Answers the failure if there was one.
  virtual Task<Result<void>> close() = 0;
};

}  // namespace polis::log
