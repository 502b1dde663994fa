// SlotArena: memory for the tables of an id index, in few large regions, so that the processor's address translation
// holds more of it (pages of 2 MiB instead of 4 KiB, where the machine has them). Blocks come and go with the growth of
// the tables: some thousand over a life, so finding room may take a microsecond. The smallest piece that is large
// enough is taken, and neighbours that are free become one: tables grow in the order in which they grew before, so what
// they leave behind comes together. Belongs to its index.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace polis::ledger {

class SlotArena {
 public:
  SlotArena() = default;
  ~SlotArena();
  SlotArena(const SlotArena&) = delete;
  SlotArena& operator=(const SlotArena&) = delete;

  // Zeros, 64-byte aligned; `slots` is a multiple of 8.
  uint64_t* allocate(uint64_t slots);
  void release(uint64_t* block, uint64_t slots);
  // Of all regions, used or not.
  uint64_t memory_bytes() const { return memory_bytes_; }

 private:
  struct Region {
    uint64_t* begin = nullptr;
    uint64_t slots = 0;
  };
  void add_region(uint64_t slots_min);
  void add_free(uint64_t* begin, uint64_t slots);
  void remove_free(std::map<uint64_t*, uint64_t>::iterator free);

  std::vector<Region> regions_;
  std::map<uint64_t*, uint64_t> free_;                  // slots by address
  std::set<std::pair<uint64_t, uint64_t*>> free_size_;  // the same by slots
  uint64_t memory_bytes_ = 0;
};

}  // namespace polis::ledger
