#include "systems/exchange/bus/bus.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace polis::exchange {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr size_t kHeaderBytes = 4096;
constexpr size_t kCursorBytes = 128;
constexpr size_t kSlotWords = kBusSlotBytes / 8;
constexpr size_t kOwnCursors = kBusCursorsMax / 2;
constexpr uint32_t kBusVersion = 1;
constexpr char kBusMagic[8] = {'P', 'X', 'B', 'U', 'S', '0', '0', '1'};
// Markers hold 56 bits of a sequence: 2^55 of them last 360 years at 3 million a second.
constexpr Sequence kSequenceMax = Sequence{1} << 55;
// First sequence of a ring that holds nothing and will hold nothing until it begins anew.
constexpr Sequence kNothingYet = kSequenceMax;

struct BusHeader {
  char magic[8];
  uint32_t version;
  uint32_t slot_bytes;
  uint64_t slots;
  std::array<std::byte, 16> boot_id;
  uint64_t first;
  uint64_t venue_id;
  alignas(128) uint64_t next;
  alignas(128) uint32_t wake_word;
  uint32_t sleepers;
};
static_assert(offsetof(BusHeader, first) == 40 && offsetof(BusHeader, next) == 128);
static_assert(offsetof(BusHeader, wake_word) == 256 && sizeof(BusHeader) <= kHeaderBytes);

enum CursorKind : uint8_t { kFree, kUsed, kBeingTaken };

struct BusCursor {
  uint64_t sequence;
  uint8_t kind;
  uint8_t gating;
  uint16_t unused;
  uint32_t pid;
  char name[32];
  char padding[80];
};
static_assert(sizeof(BusCursor) == kCursorBytes);

// Memory that several threads and processes touch is read and written word by word through these, never plainly.
template <class T>
T load(const T& word, std::memory_order order = std::memory_order_relaxed) {
  return std::atomic_ref<T>(const_cast<T&>(word)).load(order);
}
template <class T>
void store(T& word, std::type_identity_t<T> value, std::memory_order order = std::memory_order_relaxed) {
  std::atomic_ref<T>(word).store(value, order);
}

BusHeader& header_of(std::byte* memory) {
  return *reinterpret_cast<BusHeader*>(memory);
}
BusCursor& cursor_of(std::byte* memory, size_t index) {
  return *reinterpret_cast<BusCursor*>(memory + kHeaderBytes + index * kCursorBytes);
}

constexpr size_t file_bytes(size_t slots) {
  return kHeaderBytes + kBusCursorsMax * kCursorBytes + slots * kBusSlotBytes;
}
constexpr bool sound_slots(uint64_t slots) {
  return slots >= kBusSlotsMin && slots <= kBusSlotsMax && std::has_single_bit(slots);
}

// What a slot's words say, and whether that can be.
struct SlotHead {
  Sequence sequence;
  uint32_t following;
  uint32_t length;
  // Never of a slot that is being written.
  bool sound() const { return length <= kBusRecordBytesMax && following < bus_slots_of(length); }
  bool begins() const { return sound() && following + 1 == bus_slots_of(length); }
};
SlotHead head_of(uint64_t marker, const uint64_t* slot) {
  return {marker >> 8, static_cast<uint32_t>(marker & 0xff), static_cast<uint32_t>(load(slot[2]) >> 32)};
}

// The id that the kernel draws at each start of the machine; zeros where there is none, and then no ring is trusted.
std::array<std::byte, 16> boot_id() {
  std::array<std::byte, 16> id{};
  const int descriptor = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return id;
  char text[64] = {};
  const ssize_t length = ::read(descriptor, text, sizeof text - 1);
  ::close(descriptor);
  size_t digits = 0;
  for (ssize_t i = 0; i < length && digits < 32; ++i) {
    const char c = text[i];
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0) continue;
    id[digits / 2] |= static_cast<std::byte>(digits % 2 == 0 ? value << 4 : value);
    ++digits;
  }
  return digits == 32 ? id : std::array<std::byte, 16>{};
}

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

bool is_alive(uint32_t pid) {
  return pid != 0 && (::kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH);
}

}  // namespace

// --- making and taking the file

Result<std::unique_ptr<Bus>> Bus::open(const BusOptions& options, BusTail& tail) {
  if (!sound_slots(options.slots))
    return fail(Code::kInvalid, fmt::format("a bus has a power of two of slots from {} to {}, not {}", kBusSlotsMin,
                                            kBusSlotsMax, options.slots));
  if (options.first == 0 || options.first >= kSequenceMax)
    return fail(Code::kInvalid, fmt::format("a bus cannot begin at sequence {}", options.first));
  tail = {};
  std::unique_ptr<Bus> bus(new Bus);
  bus->options_ = options;
  bus->writable_ = true;
  // Whoever opened a file that was renamed over meanwhile has locked the wrong one, and looks again.
  for (;;) {
    bus->descriptor_ = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (bus->descriptor_ < 0) return fail(system_error(errno, "open the bus " + options.path));
    if (::flock(bus->descriptor_, LOCK_EX | LOCK_NB) != 0)
      return fail(Code::kBusy, "another process writes the bus " + options.path);
    struct stat mine{}, there{};
    if (::fstat(bus->descriptor_, &mine) != 0) return fail(system_error(errno, "stat the bus " + options.path));
    if (::stat(options.path.c_str(), &there) == 0 && there.st_ino == mine.st_ino && there.st_dev == mine.st_dev) {
      BusHeader found{};
      const bool sized = mine.st_size >= static_cast<off_t>(sizeof found) &&
                         ::pread(bus->descriptor_, &found, sizeof found, 0) == static_cast<ssize_t>(sizeof found);
      const bool sound = sized && std::memcmp(found.magic, kBusMagic, sizeof kBusMagic) == 0 &&
                         found.version == kBusVersion && found.slot_bytes == kBusSlotBytes &&
                         sound_slots(found.slots) && mine.st_size == static_cast<off_t>(file_bytes(found.slots)) &&
                         found.venue_id == options.venue_id && found.first != 0 && found.first <= kNothingYet;
      if (sound) {
        TRY(bus->map(file_bytes(found.slots), true));
        const std::array<std::byte, 16> now = boot_id();
        tail.same_boot = now != std::array<std::byte, 16>{} && now == found.boot_id;
        if (tail.same_boot) {
          const BusTail held = bus->find_tail();
          tail.first = held.first;
          tail.next = held.next;
          // A ring that was begun and never written to knows where.
          if (held.next == 0 && found.first < kNothingYet) tail.first = tail.next = found.first;
        }
        if (tail.next != 0) {
          // Cursors of the process before are nobody's; what is there stays readable until restart().
          std::memset(bus->memory_ + kHeaderBytes, 0, kBusCursorsMax * kCursorBytes);
          BusHeader& header = header_of(bus->memory_);
          store(header.next, tail.next, std::memory_order_release);
          store(header.sleepers, 0);
          bus->next_ = bus->published_ = tail.next;
          bus->free_until_ = 0;
          return bus;
        }
      }
      TRY(bus->restart(options.first));
      return bus;
    }
    ::close(bus->descriptor_);
    bus->descriptor_ = -1;
  }
}

Result<std::unique_ptr<Bus>> Bus::attach(const std::string& path) {
  std::unique_ptr<Bus> bus(new Bus);
  bus->options_.path = path;
  bus->attached_ = true;
  bus->writable_ = true;
  bus->descriptor_ = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (bus->descriptor_ < 0 && (errno == EACCES || errno == EROFS || errno == EPERM)) {
    bus->writable_ = false;
    bus->descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  }
  if (bus->descriptor_ < 0) return fail(system_error(errno, "open the bus " + path));
  struct stat there{};
  BusHeader found{};
  if (::fstat(bus->descriptor_, &there) != 0) return fail(system_error(errno, "stat the bus " + path));
  if (::pread(bus->descriptor_, &found, sizeof found, 0) != static_cast<ssize_t>(sizeof found) ||
      std::memcmp(found.magic, kBusMagic, sizeof kBusMagic) != 0 || found.version != kBusVersion ||
      found.slot_bytes != kBusSlotBytes || !sound_slots(found.slots) ||
      there.st_size != static_cast<off_t>(file_bytes(found.slots)))
    return fail(Code::kCorrupt, path + " is no bus of a venue");
  TRY(bus->map(file_bytes(found.slots), bus->writable_));
  return bus;
}

Bus::~Bus() {
  unmap();
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> Bus::create() {
  const std::string path = options_.path + ".new";
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return fail(system_error(errno, "make the bus " + path));
  // Blocks are taken now: a full disk is an error here, not a SIGBUS at some write.
  const int error = ::posix_fallocate(descriptor, 0, static_cast<off_t>(file_bytes(options_.slots)));
  const bool locked = error == 0 && ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  if (!locked || ::rename(path.c_str(), options_.path.c_str()) != 0) {
    Error why = system_error(error != 0 ? error : errno, "make the bus " + path);
    ::close(descriptor);
    ::unlink(path.c_str());
    return fail(std::move(why));
  }
  ::close(descriptor_);
  descriptor_ = descriptor;
  return map(file_bytes(options_.slots), true);
}

Result<void> Bus::map(size_t bytes, bool writable) {
  void* memory = ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor_, 0);
  if (memory == MAP_FAILED) return fail(system_error(errno, "map the bus " + options_.path));
  memory_ = static_cast<std::byte*>(memory);
  memory_bytes_ = bytes;
  slots_ = (bytes - file_bytes(0)) / kBusSlotBytes;
  mask_ = slots_ - 1;
  slots_begin_ = reinterpret_cast<uint64_t*>(memory_ + file_bytes(0));
  written_ = &header_of(memory_).next;
  ahead_ = slots_ >= kAheadSlotsMin ? kAhead : slots_;
#ifdef MADV_POPULATE_WRITE
  // Best effort: a kernel without it takes its page faults later.
  (void)::madvise(memory, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
#endif
  locked_ = !attached_ && options_.lock_memory && ::mlock(memory, bytes) == 0;
  return {};
}

void Bus::unmap() {
  if (memory_ != nullptr) ::munmap(memory_, memory_bytes_);
  memory_ = nullptr;
  slots_begin_ = nullptr;
}

// One store makes everything that is here vanish (`first`), so a crash in the middle leaves either the old tail or
// none.
void Bus::begin_anew(Sequence next) {
  BusHeader& header = header_of(memory_);
  store(header.first, kNothingYet, std::memory_order_release);
  for (size_t i = 0; i < slots_; ++i) store(slots_begin_[i * kSlotWords], 0);
  std::memset(memory_ + kHeaderBytes, 0, kBusCursorsMax * kCursorBytes);
  const std::array<std::byte, 16> boot = boot_id();
  header.version = kBusVersion;
  header.slot_bytes = kBusSlotBytes;
  header.slots = slots_;
  header.venue_id = options_.venue_id;
  header.boot_id = boot;
  store(header.sleepers, 0);
  store(header.next, next, std::memory_order_release);
  std::memcpy(header.magic, kBusMagic, sizeof kBusMagic);
  store(header.first, next, std::memory_order_release);
  next_ = published_ = next;
  cleared_ = 0;
  free_until_ = next + slots_;
  begun_ = true;
}

Result<void> Bus::restart(Sequence next) {
  POLIS_ASSERT(!attached_ && next != 0 && next < kSequenceMax);
  POLIS_ASSERT(gating_.load() == 0);
  if (memory_ == nullptr || slots_ != options_.slots) {
    if (memory_ != nullptr) store(header_of(memory_).first, kNothingYet, std::memory_order_release);
    unmap();
    TRY(create());
  }
  begin_anew(next);
  return {};
}

// The whole records that end newest, as far back as they follow each other without a gap. What stands behind a record
// that was not published is none of them, however whole it looks: `next` of the header is behind everything that was
// published but, if the writer ended right before it stored that, what it published last.
BusTail Bus::find_tail() const {
  const Sequence first = load(header_of(memory_).first);
  const Sequence published = load(*written_);
  const auto record_at = [&](Sequence sequence) -> uint32_t {  // how many slots, 0: no whole record begins here
    if (sequence < first) return 0;
    const uint64_t* begin = slot(sequence);
    const SlotHead head = head_of(load(begin[0], std::memory_order_acquire), begin);
    if (head.sequence != sequence || !head.begins()) return 0;
    for (uint32_t i = 1; i <= head.following; ++i)
      if (load(slot(sequence + i)[0]) != marker(sequence + i, head.following - i)) return 0;
    return head.following + 1;
  };
  BusTail tail;
  const auto take = [&](Sequence sequence) {
    const uint32_t slots = record_at(sequence);
    if (slots == 0 || sequence + slots <= tail.next) return false;
    tail.first = sequence;
    tail.next = sequence + slots;
    return true;
  };
  for (size_t i = 0; i < slots_; ++i) {
    const Sequence sequence = load(slots_begin_[i * kSlotWords]) >> 8;
    if ((sequence & mask_) == i && sequence < std::min(published, kSequenceMax)) take(sequence);
  }
  if (tail.next == 0) tail.next = published;
  while (tail.next < kSequenceMax && take(tail.next)) {
  }
  if (tail.first == 0) return {};
  const Sequence oldest = std::max(first, tail.next > slots_ ? tail.next - slots_ : 1);
  while (tail.first > oldest) {
    // The slot before is the last of its record, and says how many came before it.
    const Sequence last = tail.first - 1;
    const SlotHead head = head_of(load(slot(last)[0]), slot(last));
    if (head.sequence != last || head.following != 0 || !head.sound()) break;
    const uint32_t slots = bus_slots_of(head.length);
    if (tail.first < oldest + slots || record_at(tail.first - slots) != slots) break;
    tail.first -= slots;
  }
  return tail;
}

// --- the writer

// A reader that registers while this looks is either seen here, or begins at a sequence that is not before next_
// (reader() reads `next` behind a fence of its own): so a lap from next_ is never too far.
bool Bus::look_at_cursors(uint32_t slots) {
  POLIS_ASSERT(begun_ && !attached_);  // a tail that was found is for reading until restart()
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Sequence least = next_;
  for (uint64_t left = gating_.load(std::memory_order_acquire); left != 0; left &= left - 1) {
    const BusCursor& cursor = cursor_of(memory_, static_cast<size_t>(std::countr_zero(left)));
    least = std::min(least, load(cursor.sequence, std::memory_order_acquire));
  }
  free_until_ = least + slots_;
  if (next_ + slots <= free_until_) return true;
  publish();
  return false;
}

Sequence Bus::append(BusType type, uint16_t flags, SessionId session, uint64_t ns, uint32_t input_delta,
                     BytesView payload) {
  return fill(type, flags, session, ns, input_delta, payload);
}

// The fence stands between the markers and the look at `sleepers`; wait() has its own between the two the other way
// round. So either the writer sees the sleeper, or the sleeper the record.
void Bus::wake() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  BusHeader& header = header_of(memory_);
  if (load(header.sleepers) == 0) return;
  store(header.sleepers, 0, std::memory_order_seq_cst);
  std::atomic_ref<uint32_t>(header.wake_word).fetch_add(1, std::memory_order_seq_cst);
  ::syscall(SYS_futex, &header.wake_word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

Sequence Bus::written() const {
  return load(*written_, std::memory_order_acquire);
}

// --- readers

Result<std::unique_ptr<BusReader>> Bus::reader(std::string_view name, bool gating, Sequence from) {
  POLIS_ASSERT(!gating || !attached_);
  const uint32_t pid = static_cast<uint32_t>(::getpid());
  size_t index = kBusCursorsMax;
  if (writable_) {
    const size_t begin = attached_ ? kOwnCursors : 0;
    for (size_t i = begin; i < begin + kOwnCursors && index == kBusCursorsMax; ++i) {
      BusCursor& cursor = cursor_of(memory_, i);
      std::atomic_ref<uint8_t> kind(cursor.kind);
      std::atomic_ref<uint32_t> owner(cursor.pid);
      uint8_t expected = kFree;
      uint32_t dead = owner.load(std::memory_order_acquire);
      if (kind.compare_exchange_strong(expected, kBeingTaken, std::memory_order_acq_rel))
        index = i;
      else if (attached_ && !is_alive(dead) && owner.compare_exchange_strong(dead, pid, std::memory_order_acq_rel))
        index = i;  // of a process that was killed
    }
    if (index == kBusCursorsMax)
      return fail(Code::kBusy, fmt::format("all {} cursors of the bus {} are taken", kOwnCursors, options_.path));
    BusCursor& cursor = cursor_of(memory_, index);
    store(cursor.pid, pid);
    store(cursor.gating, gating ? 1 : 0);
    for (size_t i = 0; i < sizeof cursor.name; ++i)
      store(cursor.name[i], i + 1 < sizeof cursor.name && i < name.size() ? name[i] : '\0');
    store(cursor.sequence, from == 0 ? written() : from, std::memory_order_release);
    store(cursor.kind, kUsed, std::memory_order_release);
    if (gating) {
      gating_.fetch_or(uint64_t{1} << index, std::memory_order_seq_cst);
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
  }
  const Sequence next = written();
  std::unique_ptr<BusReader> reader(new BusReader(*this, index, from == 0 ? next : from, gating));
  if (from == 0) {
    if (writable_) store(cursor_of(memory_, index).sequence, next, std::memory_order_release);
    return reader;
  }
  const uint64_t* begin = slot(from);
  if (from < next ? head_of(load(begin[0], std::memory_order_acquire), begin).sequence != from : from != next)
    return fail(Code::kOutOfRange, fmt::format("the bus holds nothing at {} (any more); next is {}", from, next));
  return reader;
}

std::vector<Bus::CursorView> Bus::cursors() const {
  std::vector<CursorView> views;
  for (size_t i = 0; i < kBusCursorsMax; ++i) {
    const BusCursor& cursor = cursor_of(memory_, i);
    if (load(cursor.kind, std::memory_order_acquire) != kUsed) continue;
    CursorView view;
    for (const char& c : cursor.name) {
      const char character = load(c);
      if (character == '\0') break;
      view.name.push_back(character);
    }
    view.gating = load(cursor.gating) != 0;
    view.sequence = load(cursor.sequence, std::memory_order_acquire);
    view.pid = load(cursor.pid);
    views.push_back(std::move(view));
  }
  return views;
}

BusReader::~BusReader() {
  if (cursor_ == kBusCursorsMax) return;
  BusCursor& cursor = cursor_of(bus_.memory_, cursor_);
  if (gating_) bus_.gating_.fetch_and(~(uint64_t{1} << cursor_), std::memory_order_seq_cst);
  store(cursor.kind, kFree, std::memory_order_release);
}

BusReader::BusReader(Bus& bus, size_t cursor, Sequence next, bool gating)
    : bus_(bus),
      memory_(bus.memory_),
      slots_(bus.slots_begin_),
      mask_(bus.mask_),
      cursor_(cursor),
      next_(next),
      gating_(gating) {}

bool BusReader::poll_any(BusRecord& record, std::byte* payload) {
  const uint64_t* words = slot(next_);
  const uint64_t marker = load(words[0], std::memory_order_acquire);
  if (marker >> 8 != next_) {
    // A later lap is here, or the bus began anew behind this reader. A smaller one: not written yet.
    if (marker >> 8 > next_ || load(header_of(memory_).first, std::memory_order_acquire) > next_) overtaken_ = true;
    return false;
  }
  if (overtaken_ || (marker & 0xff) == Bus::kBeingWritten) return false;
  fill(record, marker, words);
  // Otherwise nobody wrote this: damaged memory, somebody else's file, or half of the next lap.
  const bool whole = record.length <= kBusRecordBytesMax && record.slots == bus_slots_of(record.length);
  if (whole) {
    size_t left = record.length;
    for (uint32_t i = 0; i < record.slots; ++i) {
      const uint64_t* from = slot(next_ + i) + kHeadWords;
      if (left >= kBusPayloadBytes) {
        copy<kPayloadWords>(from, payload);
        payload += kBusPayloadBytes;
        left -= kBusPayloadBytes;
        continue;
      }
      for (size_t word = 0; word < (left + 7) / 8; ++word, payload += 8) copy<1>(from + word, payload);
    }
  }
  if (!gating_ && !still(words, marker)) return false;
  if (!whole) {
    overtaken_ = true;
    return false;
  }
  next_ += record.slots;
  return true;
}

void BusReader::release(Sequence before) {
  POLIS_ASSERT(before <= next_);
  if (cursor_ != kBusCursorsMax) store(cursor_of(memory_, cursor_).sequence, before, std::memory_order_release);
}

void BusReader::seek(Sequence next) {
  POLIS_ASSERT(!gating_);
  next_ = next;
  overtaken_ = false;
  release();
}

bool BusReader::ready() const {
  const uint64_t marker = load(slot(next_)[0], std::memory_order_acquire);
  return overtaken_ || (marker >> 8 >= next_ && marker != Bus::marker(next_, Bus::kBeingWritten)) ||
         load(header_of(memory_).first, std::memory_order_acquire) > next_;
}

void BusReader::wait(unsigned spin, uint64_t timeout_ns) {
  for (unsigned i = 0; i < spin; ++i) {
    if (ready()) return;
    pause_cpu();
  }
  BusHeader& header = header_of(memory_);
  if (!bus_.writable_) {  // cannot say that it sleeps: looks again each millisecond
    const timespec nap{0, static_cast<long>(std::min<uint64_t>(timeout_ns, 1'000'000))};
    if (!ready()) ::nanosleep(&nap, nullptr);
    return;
  }
  const uint32_t seen = load(header.wake_word, std::memory_order_acquire);
  store(header.sleepers, 1, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (ready()) return;
  const timespec limit{static_cast<time_t>(timeout_ns / 1'000'000'000), static_cast<long>(timeout_ns % 1'000'000'000)};
  ::syscall(SYS_futex, &header.wake_word, FUTEX_WAIT, seen, &limit, nullptr, 0);
}

}  // namespace polis::exchange
