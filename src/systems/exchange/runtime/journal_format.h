// What the venue's journal holds: each record is a batch of whole steps, in the order in which they were handled. From
// it alone everything else follows; outputs are not stored but their digests, by which every replay is compared.
//
//     record  := version:u8=2 flags:u8 behaviour:varint first:varint time:zigzag steps:varint step*
//     behaviour: of the venue that handled these steps (kVenueBehaviour); version 1 had none, and means 1
//     flags   := 1 acknowledged from the bus (ack=bus) | 2 the venue was closed in order behind this
//     first   := sequence of the first step (of a record without steps: of the next)
//     time    := venue time in front of the first step, ns since 1970
//     step    := kind:u8 slots:varint time_delta:varint request? digest:u64? rolling:u128?
//     kind    := 1 request | 2 turn; + 4 its answers followed at once | 8 it had outputs: digest
//                | 16 rolling: over all steps so far, this one included
//     request := packed 192 bytes: for each word of 8 bytes a byte whose bits say which of its bytes are not zero, then
//                those; after a byte 0 comes how many more words are zero
//
// Integers little endian. `slots` are places on the bus, its outputs included, so the next step's sequence is known
// without recomputing anything. The times of a record's steps add up.
#pragma once

#include <array>
#include <optional>

#include "kernel/base/binary.h"
#include "kernel/base/hash.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

// Changes whenever a step would come out differently than before, or what snapshots hold changes. In each record and
// each snapshot: a venue of other rules does not do again what it would do otherwise.
inline constexpr uint32_t kVenueBehaviour = 1;

struct JournalStep {
  Stamp stamp;
  bool turn = false;  // else `request`
  bool answered_at_once = false;
  uint64_t slots = 0;
  uint64_t digest = 0;  // Outputs::digest(); 0: no outputs
  std::optional<base::Hash128> rolling;
  Request request;
};

struct JournalRecordHead {
  bool acknowledged_from_bus = false;
  bool closed = false;
  uint32_t behaviour = kVenueBehaviour;
  Sequence first = 0;
  VenueTime time = 0;
  uint64_t steps = 0;
};

// The rolling hash goes on by one step.
base::Hash128 roll(const base::Hash128& before, Sequence sequence, uint64_t digest);
// So many steps have a rolling hash once.
inline constexpr uint64_t kRollingSteps = 4096;

void pack_request(const Request& request, base::Writer& out);
// How many bytes at the front pack_request wrote; 0, and why, for anything that it does not write, to the bit: then
// `request` is of no use.
size_t unpack_request(BytesView packed, Request& request, const char*& why);

// Gathers steps into one record. Used again and again; memory is kept.
class JournalBatch {
 public:
  JournalBatch() { steps_bytes_.reserve(64 << 10); }
  bool empty() const { return steps_ == 0; }
  uint64_t steps() const { return steps_; }
  size_t size_bytes() const { return steps_bytes_.size(); }
  Sequence next() const { return next_; }  // behind the last step
  // Steps follow each other without gaps.
  void add(const JournalStep& step);
  // The record's two parts, valid until the next call; the batch is empty at clear().
  std::array<BytesView, 2> parts(bool acknowledged_from_bus);
  void clear();

  // A record without steps that says: closed in order at `next`.
  static Bytes closing(Sequence next, VenueTime time, bool acknowledged_from_bus);

 private:
  Bytes head_bytes_, steps_bytes_;
  uint64_t steps_ = 0;
  Sequence first_ = 0, next_ = 0;
  VenueTime time_ = 0, last_time_ = 0;
};

// Reads one record. The view must stay while it is read.
class JournalBatchReader {
 public:
  // kCorrupt for what no JournalBatch wrote, kUnsupported for a version of the future.
  static Result<JournalBatchReader> open(BytesView record);
  const JournalRecordHead& head() const { return head_; }
  // False behind the last step.
  Result<bool> next(JournalStep& step);

 private:
  explicit JournalBatchReader(BytesView record) : record_(record), in_(record) {}
  BytesView record_;
  base::Reader in_;
  JournalRecordHead head_;
  uint64_t left_ = 0;
  Stamp next_;
};

}  // namespace polis::exchange
