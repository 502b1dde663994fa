#include "kernel/base/reserved_array.h"

#include <algorithm>
#include <sys/mman.h>

namespace polis::base {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kHugePageBytes = size_t{2} << 20;
// How much is opened at once: as much as there is, within these. A step of 64 MiB calls the system every 262,144
// orders.
constexpr size_t kStepLeast = size_t{64} << 10, kStepMost = size_t{64} << 20;
constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE, for headers that are older than it

constexpr size_t round_up(size_t value, size_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

ReservedMemory::ReservedMemory(size_t bytes_max, size_t small_bytes)
    : mapped_bytes_(round_up(bytes_max, kPageBytes) + kHugePageBytes),
      bytes_max_(round_up(bytes_max, kPageBytes)),
      small_bytes_(round_up(small_bytes, kHugePageBytes)) {
  mapped_ = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  POLIS_ASSERT(mapped_ != MAP_FAILED);
  data_ = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<uintptr_t>(mapped_), kHugePageBytes));
}

ReservedMemory::~ReservedMemory() {
  if (mapped_ != nullptr) munmap(mapped_, mapped_bytes_);
}

ReservedMemory& ReservedMemory::operator=(ReservedMemory&& other) noexcept {
  std::swap(mapped_, other.mapped_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  std::swap(data_, other.data_);
  std::swap(bytes_max_, other.bytes_max_);
  std::swap(small_bytes_, other.small_bytes_);
  std::swap(open_bytes_, other.open_bytes_);
  return *this;
}

void ReservedMemory::open(size_t bytes) {
  POLIS_ASSERT(bytes <= bytes_max_);
  if (bytes <= open_bytes_) return;
  size_t end = std::max(bytes, open_bytes_ + std::clamp(open_bytes_, kStepLeast, kStepMost));
  // A huge page must be open as a whole.
  end = std::min(round_up(end, end > small_bytes_ ? kHugePageBytes : kPageBytes), bytes_max_);
  POLIS_ASSERT(mprotect(data_ + open_bytes_, end - open_bytes_, PROT_READ | PROT_WRITE) == 0);
  // Advice: where the system does not know it, pages are small.
  if (const size_t begin = std::max(open_bytes_, small_bytes_); begin < end)
    (void)madvise(data_ + begin, end - begin, MADV_HUGEPAGE);
  open_bytes_ = end;
}

void ReservedMemory::populate(size_t begin, size_t end) {
  begin = begin / kPageBytes * kPageBytes;
  end = std::min(round_up(end, kPageBytes), open_bytes_);
  if (begin < end) (void)madvise(data_ + begin, end - begin, kPopulateWrite);
}

}  // namespace polis::base
