// Bus: one writer, many readers, one file of memory. Components of the venue talk through it; so does whoever listens.
//
//     writer ──► slots of 128 bytes in a ring, each with its marker ──► cursors, one a reader
//
// The file is mapped by everybody and lies in the data directory, so what was put on the bus survives a killed process.
// A gating reader holds the writer back; any other is overtaken when it is slow, notices it, and takes the journal.
//
//     file    := header:4096 bytes, cursors:64 × 128, slots × 128 bytes
//     header  := magic "PXBUS001", version u32, slot bytes u32, slots u64, boot id 16 bytes, first sequence u64,
//                venue id u64, padding to 128; next sequence u64, padding to 256; wake word u32, sleepers u32
//     cursor  := sequence u64, kind u8 (0: free), gating u8, unused u16, pid u32, name 32 bytes, padding
//     slot    := marker u64, ns u64, type u16, flags u16, length u32, session u32, input sequence delta u32, 96 bytes
//     marker  := sequence << 8 | slots that follow of the same record, released last of all; 255: being written
//
// Records that belong together are appended and published as one: the first line of the first of them is held back in
// the writer's memory until then. Whoever has read everything looks at that line and no other, so readers see all of
// them or none, and a line changes hands once, when it is whole. There is no cursor of the writer that readers follow:
// that would be a second line on the way of each batch.
//
// Little endian. Slot of a sequence: sequence mod slots. A record of more than 96 bytes goes on in the next slots
// (their headers repeated, so a slot tells which part of its record it is). No allocation, no system call and no lock
// in write and read; readers that sleep are woken by the writer with one call for all, when it says so (wake). The
// first 32 cursors belong to the writer's process, the others to processes that attach.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

inline constexpr size_t kBusSlotBytes = 128;
inline constexpr size_t kBusPayloadBytes = 96;
inline constexpr size_t kBusCursorsMax = 64;
inline constexpr size_t kBusSlotsMin = 1 << 10, kBusSlotsMax = 1 << 20;

enum class BusType : uint16_t {
  kRequest = 1,  // a Request
  kTurn,         // the answer to the oldest pending command was handled; no payload
  kReport,       // a Report
  kEvent,        // an Event
  kEmpty,        // fills a place that nobody needs
};
enum BusFlag : uint16_t {
  kAnsweredAtOnce = 1,  // of a request: its answers follow without turns
  kEndOfStep = 2,       // of the last record of a step: its last output, or the request or turn that has none
};

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
inline constexpr uint32_t kBusRecordSlotsMax = 4;
inline constexpr size_t kBusRecordBytesMax = kBusRecordSlotsMax * kBusPayloadBytes;

// How many slots a payload takes.
constexpr uint32_t bus_slots_of(size_t payload_bytes) {
  return payload_bytes <= kBusPayloadBytes
             ? 1
             : static_cast<uint32_t>((payload_bytes + kBusPayloadBytes - 1) / kBusPayloadBytes);
}

struct BusOptions {
  std::string path;
  size_t slots = 1 << 16;  // a power of two, 2^10 .. 2^20
  uint64_t venue_id = 0;
  Sequence first = 1;       // of the next record of a ring that is made anew; 1 .. 2^55
  bool lock_memory = true;  // mlock; failure to lock is no error (it is told in `locked`)
};

// What a ring still held when it was opened again.
struct BusTail {
  bool same_boot = false;  // the machine has not started anew since: all that was released is whole
  // Records [first, next) can be read; equal: none was written since the ring began there. 0: nothing is known.
  Sequence first = 0, next = 0;
};

class Bus;

// Reads one bus in order. One thread; gone before its Bus. Nothing that the writer changes lies in the lines that it
// looks at, but for the slots.
class alignas(128) BusReader {
 public:
  ~BusReader();  // gives its cursor up
  BusReader(const BusReader&) = delete;
  BusReader& operator=(const BusReader&) = delete;
  // The next record, its payload copied to `payload` (kBusRecordBytesMax bytes); nothing if there is none yet. False in
  // `overtaken()` readers only.
  bool poll(BusRecord& record, std::byte* payload) {
    const uint64_t* words = slots_ + (next_ & mask_) * (kBusSlotBytes / 8);
    const uint64_t marker = word(words[0], std::memory_order_acquire);
    const uint64_t length = word(words[2]) >> 32;
    if (marker != next_ << 8 || length > kBusPayloadBytes || overtaken_) return poll_any(record, payload);
    // One slot, as most: its first line, and the second if there is something in it.
    fill(record, marker, words);
    copy<kFirstLine>(words + kHeadWords, payload);
    if (length > kFirstLine * 8)
      copy<kPayloadWords - kFirstLine>(words + kHeadWords + kFirstLine, payload + kFirstLine * 8);
    if (!gating_ && !still(words, marker)) return false;
    ++next_;
    return true;
  }
  // What stands before that place, or everything read so far, is not needed any more: a gating reader lets the writer
  // go on. Cheap, but not free: after a batch rather than after each record.
  void release(Sequence before);
  void release() { release(next_); }
  Sequence next() const { return next_; }        // the sequence it waits for
  bool overtaken() const { return overtaken_; }  // slots it wanted are gone: go on by seek()
  void seek(Sequence next);                      // not behind written(); not of gating readers
  // Sleeps (futex) until there is something or the time is over. Spins `spin` rounds first.
  void wait(unsigned spin, uint64_t timeout_ns);

 private:
  friend class Bus;
  static constexpr size_t kHeadWords = 4;
  static constexpr size_t kPayloadWords = kBusPayloadBytes / 8;
  static constexpr size_t kFirstLine = 8 - kHeadWords;  // words of payload in the slot's first line

  BusReader(Bus& bus, size_t cursor, Sequence next, bool gating);
  static uint64_t word(const uint64_t& from, std::memory_order order = std::memory_order_relaxed) {
    return std::atomic_ref<uint64_t>(const_cast<uint64_t&>(from)).load(order);
  }
  template <size_t kWords>
  static void copy(const uint64_t* from, std::byte* to) {
    for (size_t i = 0; i < kWords; ++i) {
      const uint64_t value = word(from[i]);
      std::memcpy(to + i * 8, &value, 8);
    }
  }
  void fill(BusRecord& record, uint64_t marker, const uint64_t* words) const {
    const uint64_t kind = word(words[2]), origin = word(words[3]);
    record.sequence = next_;
    record.slots = static_cast<uint32_t>(marker & 0xff) + 1;
    record.ns = word(words[1]);
    record.type = static_cast<BusType>(kind & 0xffff);
    record.flags = static_cast<uint16_t>(kind >> 16);
    record.session = static_cast<SessionId>(origin);
    record.input_delta = static_cast<uint32_t>(origin >> 32);
    record.length = static_cast<uint32_t>(kind >> 32);
  }
  // Whether what was copied was whole. The writer takes the first marker away before it changes any byte of a record.
  bool still(const uint64_t* words, uint64_t marker) {
    std::atomic_thread_fence(std::memory_order_acquire);
    if (word(words[0]) == marker) return true;
    overtaken_ = true;
    return false;
  }
  bool poll_any(BusRecord& record, std::byte* payload);
  bool ready() const;

  const uint64_t* slot(Sequence sequence) const { return slots_ + (sequence & mask_) * (kBusSlotBytes / 8); }

  Bus& bus_;
  std::byte* memory_;
  const uint64_t* slots_;
  uint64_t mask_;
  size_t cursor_;  // kBusCursorsMax: none, for the file cannot be written here
  Sequence next_;
  bool gating_;
  bool overtaken_ = false;
};

class Bus {
 public:
  // Makes the file, or takes the one that is there: `tail` says what it still holds, and writing goes on behind it only
  // after restart(). A file that makes no sense is made anew. kBusy: another process writes this bus. kNoSpace, kIo.
  static Result<std::unique_ptr<Bus>> open(const BusOptions& options, BusTail& tail);
  // Another process that only looks. kNotFound; kCorrupt: no bus.
  static Result<std::unique_ptr<Bus>> attach(const std::string& path);
  ~Bus();
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  // --- the writer: one thread.
  // Room for so many slots, looking at the gating cursors only when the last look is used up. If there is none, what
  // was appended is published: readers make room.
  bool room(uint32_t slots) { return next_ + slots <= free_until_ || look_at_cursors(slots); }
  // Needs room. Fills one record; returns its sequence. Readers, and whoever opens the ring after a crash, see it when
  // it is published, together with everything that was appended before it. Of a size that is known, as the venue's
  // messages have, it is twice as fast.
  Sequence append(BusType type, uint16_t flags, SessionId session, uint64_t ns, uint32_t input_delta,
                  BytesView payload);
  template <size_t kBytes>
  Sequence append(BusType type, uint16_t flags, SessionId session, uint64_t ns, uint32_t input_delta,
                  std::span<const std::byte, kBytes> payload) {
    return fill(type, flags, session, ns, input_delta, payload);
  }
  // Shows readers what was appended; nothing if that was done.
  void publish() {
    if (published_ == next_) return;
    uint64_t* const to = slot(published_);
    for (size_t i = 1; i < kLineWords; ++i) put(to[i], held_[i]);
    put(to[0], held_[0], std::memory_order_release);
    published_ = next_;
    put(*written_, next_, std::memory_order_release);
    // The next batch's first marker goes now, before a reader looks there: later it would be one more time that the
    // line is taken from him.
    if (next_ == free_until_) return;
    put(*slot(next_), marker(next_, kBeingWritten));
    cleared_ = next_;
  }
  Sequence write(BusType type, uint16_t flags, SessionId session, uint64_t ns, uint32_t input_delta,
                 BytesView payload) {
    const Sequence sequence = append(type, flags, session, ns, input_delta, payload);
    publish();
    return sequence;
  }
  // Wakes readers that sleep. A fence and one load if nobody does: once a batch.
  void wake();
  Sequence next() const { return next_; }
  // Forgets what the ring holds and goes on at `next`; from this moment a crash finds nothing older here. No reader of
  // this process may stand: with other `slots` than the file's the file is made anew. Errors as in open().
  Result<void> restart(Sequence next);

  // --- readers: any thread. kBusy without a free cursor.
  // From `from` on, which must still be there (kOutOfRange); 0: what comes next. A gating one from an older place only
  // while the writer rests. Of a process that attached: never gating; if it is overtaken again right after seek(),
  // the file is another one now: attach anew.
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
  Sequence written() const;  // behind the newest record; any thread and process

 private:
  friend class BusReader;
  static constexpr size_t kHeadWords = 4;  // of a slot: marker, ns, type..length, session..delta
  static constexpr size_t kLineWords = 8;
  static constexpr uint32_t kBeingWritten = 255;  // instead of the slots that follow
  // So far ahead of the writer a slot's lines are fetched: two or three steps, and as much as a core fetches at once.
  // Only in rings of 8 MiB and more: measured between two cores, those take half as much again; in one that stays in a
  // core's own cache the writer would take the lines from a reader that is close behind, and be three times slower.
  static constexpr Sequence kAhead = 16;
  static constexpr size_t kAheadSlotsMin = 1 << 16;
  static constexpr size_t kFirstLineBytes = (kLineWords - kHeadWords) * 8;  // of the payload

  Bus() = default;
  Result<void> create();                          // a new file at options_.path, taken under the lock
  Result<void> map(size_t bytes, bool writable);  // the file of descriptor_
  void unmap();
  void begin_anew(Sequence next);  // in the memory that is mapped
  BusTail find_tail() const;
  bool look_at_cursors(uint32_t slots);
  uint64_t* slot(Sequence sequence) const { return slots_begin_ + (sequence & mask_) * (kBusSlotBytes / 8); }
  static constexpr uint64_t marker(Sequence sequence, uint32_t following) { return sequence << 8 | following; }
  static void put(uint64_t& word, uint64_t value, std::memory_order order = std::memory_order_relaxed) {
    std::atomic_ref<uint64_t>(word).store(value, order);
  }
  // A slot that will be written soon, for a store into memory that is not near holds up all stores behind it. None that
  // somebody still has to read: from him it would be taken away.
  void bring_near(Sequence sequence) {
    if (sequence >= free_until_) return;
    __builtin_prefetch(slot(sequence), 1);
    __builtin_prefetch(slot(sequence) + kLineWords, 1);
  }
  static uint64_t word_of(const std::byte* from, size_t bytes = 8) {
    uint64_t value = 0;
    std::memcpy(&value, from, bytes);
    return value;
  }
  // One slot's part of a payload, its first 32 bytes to `first`, the others to `second`.
  static void copy(const std::byte* from, size_t bytes, uint64_t* first, uint64_t* second) {
    const size_t words = bytes / 8, here = std::min(words, kFirstLineBytes / 8);
    size_t i = 0;
    for (; i < here; ++i) put(first[i], word_of(from + i * 8));
    for (; i < words; ++i) put(second[i - here], word_of(from + i * 8));
    if (bytes % 8 != 0) put(i < kFirstLineBytes / 8 ? first[i] : second[i - here], word_of(from + i * 8, bytes % 8));
  }
  template <size_t kBytes>
  Sequence fill(BusType type, uint16_t flags, SessionId session, uint64_t ns, uint32_t input_delta,
                std::span<const std::byte, kBytes> payload) {
    const Sequence sequence = next_;
    const uint32_t slots = bus_slots_of(payload.size());
    POLIS_ASSERT(slots <= kBusRecordSlotsMax && sequence + slots <= free_until_);
    // Whoever still reads what was here sees the markers go before the first byte changes.
    for (uint32_t i = sequence == cleared_ ? 1 : 0; i < slots; ++i)
      put(*slot(sequence + i), marker(sequence + i, kBeingWritten));
    std::atomic_thread_fence(std::memory_order_release);
    const uint64_t kind = static_cast<uint64_t>(type) | static_cast<uint64_t>(flags) << 16 | payload.size() << 32;
    const uint64_t origin = session | static_cast<uint64_t>(input_delta) << 32;
    uint64_t* const first = sequence == published_ ? held_ : slot(sequence);
    for (uint32_t i = 0; i < slots; ++i) {
      uint64_t* const to = slot(sequence + i);
      uint64_t* const line = i == 0 ? first : to;
      bring_near(sequence + i + ahead_);
      put(line[1], ns);
      put(line[2], kind);
      put(line[3], origin);
      const size_t from = i * kBusPayloadBytes;
      copy(payload.data() + from, std::min(payload.size() - from, kBusPayloadBytes), line + kHeadWords,
           to + kLineWords);
    }
    for (uint32_t i = 1; i < slots; ++i) put(*slot(sequence + i), marker(sequence + i, slots - 1 - i));
    put(*first, marker(sequence, slots - 1));
    next_ = sequence + slots;
    return sequence;
  }

  BusOptions options_;
  int descriptor_ = -1;
  std::byte* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  size_t slots_ = 0;
  bool attached_ = false, writable_ = false, locked_ = false;
  bool begun_ = false;  // something may be written
  uint64_t* slots_begin_ = nullptr;
  uint64_t mask_ = 0;
  uint64_t* written_ = nullptr;      // `next sequence` of the header
  std::atomic<uint64_t> gating_{0};  // a bit for each cursor that gates

  // The writer's, on lines that nobody else looks at.
  alignas(128) Sequence next_ = 1;
  Sequence published_ = 1;  // what is appended and not published begins here
  Sequence free_until_ = 0;
  Sequence ahead_ = 0;                          // kAhead, or more than there are slots: never
  Sequence cleared_ = 0;                        // its slot's marker is 0 already
  alignas(64) uint64_t held_[kLineWords] = {};  // the first line of what begins at published_
};

}  // namespace polis::exchange
