// Bus: one writer, many readers, one file of memory. Components of the venue talk through it; so does whoever listens.
//
//     writer ──► slots of 128 bytes in a ring, each released by its marker ──► cursors, one a reader
//
// The file is mapped by everybody and lies in the data directory, so what was put on the bus survives a killed process.
// A gating reader holds the writer back; any other is overtaken when it is slow, notices it, and takes the journal.
//
//     file   := header:4096 bytes, cursors:64 × 128, slots × 128 bytes
//     header := magic "PXBUS001", version u32, slot bytes u32, slots u64, boot id 16 bytes, first sequence u64, venue
//     id u64 cursor := sequence u64, kind u8, gating u8, unused u16, pid u32, name 32 bytes, padding slot   := marker
//     u64, ns u64, type u16, flags u16, length u32, session u32, input sequence delta u32, 96 bytes marker := sequence
//     << 8 | slots that follow of the same record, released last of all
//
// Little endian. A record of more than 96 bytes goes on in the next slots (their headers repeated). No allocation, no
// system call and no lock in write and read; readers that sleep are woken by the writer with one call for all, when it
// says so (wake).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

inline constexpr size_t kBusSlotBytes = 128;
inline constexpr size_t kBusPayloadBytes = 96;
inline constexpr size_t kBusCursorsMax = 64;

enum class BusType : uint16_t {
  kRequest = 1,  // a Request
  kTurn,         // the answer to the oldest pending command was handled; no payload
  kReport,       // a Report
  kEvent,        // an Event
  kEmpty,        // fills a place that nobody needs
};
enum BusFlag : uint16_t { kAnsweredAtOnce = 1 };  // of a request: its answers follow without turns

struct BusRecord {
  Sequence sequence = 0;  // of its first slot
  uint32_t slots = 0;
  uint64_t ns = 0;
  BusType type = BusType::kEmpty;
  uint16_t flags = 0;
  SessionId session = 0;
  uint32_t input_delta = 0;  // its sequence less that of the request that caused it
  uint32_t length = 0;       // of the payload
};

// Sequences and sizes of the largest payload that a record may have.
inline constexpr size_t kBusRecordBytesMax = 4 * kBusPayloadBytes;

struct BusOptions {
  std::string path;
  size_t slots = 1 << 16;  // a power of two, 2^10 .. 2^20
  uint64_t venue_id = 0;
  Sequence first = 1;       // of the next record of a ring that is made anew
  bool lock_memory = true;  // mlock and prefault; failure to lock is no error (it is told in `locked`)
};

// What a ring still held when it was opened again.
struct BusTail {
  bool same_boot = false;        // the machine has not started anew since: all that was released is whole
  Sequence first = 0, next = 0;  // records [first, next) can be read; equal: none
};

class Bus;

// Reads one bus in order. One thread.
class BusReader {
 public:
  ~BusReader();  // gives its cursor up
  // The next record, its payload copied to `payload` (kBusRecordBytesMax bytes); nothing if there is none yet. False in
  // `overtaken()` readers only.
  bool poll(BusRecord& record, std::byte* payload);
  // What was read up to here is not needed any more: a gating reader lets the writer go on.
  void release();
  Sequence next() const;     // the sequence it waits for
  bool overtaken() const;    // slots it wanted are gone: go on by seek()
  void seek(Sequence next);  // not of gating readers
  // Sleeps (futex) until there is something or the time is over. Spins `spin` rounds first.
  void wait(unsigned spin, uint64_t timeout_ns);

 private:
  friend class Bus;
  BusReader(Bus& bus, size_t cursor, Sequence next, bool gating);
  Bus& bus_;
  size_t cursor_;
  Sequence next_;
  bool gating_;
  bool overtaken_ = false;
};

class Bus {
 public:
  // Makes the file, or takes the one that is there: `tail` says what it still holds, and writing goes on behind it only
  // after restart(). kCorrupt never: a file that makes no sense is made anew.
  static Result<std::unique_ptr<Bus>> open(const BusOptions& options, BusTail& tail);
  // Another process that only looks.
  static Result<std::unique_ptr<Bus>> attach(const std::string& path);
  ~Bus();

  // --- the writer: one thread.
  // Room for so many slots, looking at the gating cursors only when the last look is used up.
  bool room(uint32_t slots);
  // Needs room. Fills and releases one record; returns its sequence.
  Sequence write(BusType type, uint16_t flags, SessionId session, uint64_t ns, uint32_t input_delta, BytesView payload);
  // Wakes readers that sleep. One atomic load if nobody does.
  void wake();
  Sequence next() const { return next_; }
  // Forgets what the ring holds and goes on at `next`.
  void restart(Sequence next);

  // --- readers: any thread. kBusy without a free cursor.
  // From `from` on, which must still be there; 0: what comes next.
  Result<std::unique_ptr<BusReader>> reader(std::string_view name, bool gating, Sequence from = 0);

  struct CursorView {
    std::string name;
    bool gating = false;
    Sequence sequence = 0;
    uint32_t pid = 0;
  };
  std::vector<CursorView> cursors() const;
  size_t slots() const { return slots_; }
  bool locked() const { return locked_; }

 private:
  friend class BusReader;
  Bus() = default;
  std::byte* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  size_t slots_ = 0;
  Sequence next_ = 1;
  Sequence free_until_ = 0;
  bool locked_ = false;
};

// One writer, one reader, values of one type, in process memory: the queues between gateway and order manager, and
// between order manager and engine. No allocation after construction; each side keeps its own copy of the other's
// place.
template <class T>
class SpscQueue;  // spsc_queue.h

}  // namespace polis::exchange
