#include "systems/ledger/storage/slot_arena.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>
#include <sys/mman.h>

#include "kernel/base/result.h"

namespace polis::ledger {
namespace {

constexpr uint64_t kSlotBytes = sizeof(uint64_t);
constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;
// A region is a sixteenth of what there is, so that at most so much lies unused behind the last block: from 256 KiB,
// for an index that stays small, to 64 MiB.
constexpr uint64_t kRegionBytesMin = uint64_t{256} << 10;
constexpr uint64_t kRegionBytesMax = uint64_t{64} << 20;

}  // namespace

SlotArena::~SlotArena() {
  for (const Region& region : regions_) munmap(region.begin, region.slots * kSlotBytes);
}

uint64_t* SlotArena::allocate(uint64_t slots) {
  POLIS_ASSERT(slots > 0 && slots % 8 == 0);
  auto fits = free_size_.lower_bound({slots, nullptr});
  if (fits == free_size_.end()) {
    add_region(slots);
    fits = free_size_.lower_bound({slots, nullptr});
  }
  const auto [room, block] = *fits;
  remove_free(free_.find(block));
  if (room > slots) add_free(block + slots, room - slots);
  std::memset(block, 0, slots * kSlotBytes);
  return block;
}

void SlotArena::release(uint64_t* block, uint64_t slots) {
  if (block) add_free(block, slots);
}

void SlotArena::remove_free(std::map<uint64_t*, uint64_t>::iterator free) {
  free_size_.erase({free->second, free->first});
  free_.erase(free);
}

void SlotArena::add_free(uint64_t* begin, uint64_t slots) {
  auto next = free_.lower_bound(begin);
  if (next != free_.end() && begin + slots == next->first) {
    slots += next->second;
    remove_free(next++);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == begin) {
      begin = before->first;
      slots += before->second;
      remove_free(before);
    }
  }
  free_.emplace(begin, slots);
  free_size_.emplace(slots, begin);
}

void SlotArena::add_region(uint64_t slots_min) {
  uint64_t size_bytes = std::clamp(memory_bytes_ / 16, kRegionBytesMin, kRegionBytesMax);
  size_bytes = std::max(size_bytes, slots_min * kSlotBytes);
  const bool huge = size_bytes >= kHugePageBytes;
  const uint64_t unit = huge ? kHugePageBytes : kRegionBytesMin;
  size_bytes = (size_bytes + unit - 1) / unit * unit;
  // Large pages need their alignment: what is in front of it and behind is given back.
  const uint64_t spare_bytes = huge ? kHugePageBytes : 0;
  void* mapped = mmap(nullptr, size_bytes + spare_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  auto* begin = static_cast<std::byte*>(mapped);
  if (huge) {
    const uint64_t skip = (kHugePageBytes - reinterpret_cast<uintptr_t>(begin) % kHugePageBytes) % kHugePageBytes;
    if (skip > 0) munmap(begin, skip);
    if (skip < spare_bytes) munmap(begin + skip + size_bytes, spare_bytes - skip);
    begin += skip;
    (void)madvise(begin, size_bytes, MADV_HUGEPAGE);  // a hint: where it is refused, pages stay small
  }
  auto* slots = reinterpret_cast<uint64_t*>(begin);
  regions_.push_back({.begin = slots, .slots = size_bytes / kSlotBytes});
  memory_bytes_ += size_bytes;
  add_free(slots, size_bytes / kSlotBytes);
}

}  // namespace polis::ledger
