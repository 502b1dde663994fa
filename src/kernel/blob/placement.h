// Placement: which drive holds which unit of an extent. Each extent takes k + m of the pool's drives; file names tell
// it at start (layout.h), and this table keeps it. Read on every shard, changed on the home shard.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>

#include "kernel/blob/blob.h"
#include "kernel/blob/erasure.h"

namespace polis::blob {

// A set of drives: bit i is drive i of the pool.
using DriveMask = uint32_t;
// Drives are counted in a 32-bit mask on disk.
inline constexpr unsigned kDrivesMax = 32;

struct Placement {
  static constexpr uint8_t kNowhere = 0xff;

  Placement() { drives.fill(kNowhere); }
  explicit Placement(Scheme s) : scheme(s) { drives.fill(kNowhere); }

  unsigned units() const { return scheme.units(); }
  UnitMask all() const { return (UnitMask{1} << units()) - 1; }
  // The units that lie on one of these drives.
  UnitMask units_on(DriveMask mask) const {
    UnitMask found = 0;
    for (unsigned unit = 0; unit < units(); ++unit)
      if (drives[unit] != kNowhere && (mask >> drives[unit] & 1)) found |= UnitMask{1} << unit;
    return found;
  }
  // The drives of these units.
  DriveMask drives_of(UnitMask mask) const {
    DriveMask found = 0;
    for (unsigned unit = 0; unit < units(); ++unit)
      if ((mask >> unit & 1) && drives[unit] != kNowhere) found |= DriveMask{1} << drives[unit];
    return found;
  }
  bool operator==(const Placement&) const = default;

  Scheme scheme;
  std::array<uint8_t, Erasure::kUnitsMax> drives;          // by unit; kNowhere: no file is known
  std::array<uint16_t, Erasure::kUnitsMax> generations{};  // by unit: how often it moved to another drive
};

class PlacementTable {
 public:
  std::optional<Placement> find(uint64_t extent) const {
    std::shared_lock lock(mutex_);
    auto found = placements_.find(extent);
    if (found == placements_.end()) return std::nullopt;
    return found->second;
  }
  template <class F>
  void for_each(F look) const {
    std::shared_lock lock(mutex_);
    for (const auto& [extent, placement] : placements_) look(placement);
  }
  void set(uint64_t extent, const Placement& placement) {
    std::unique_lock lock(mutex_);
    placements_.insert_or_assign(extent, placement);
  }
  void erase(uint64_t extent) {
    std::unique_lock lock(mutex_);
    placements_.erase(extent);
  }

 private:
  mutable std::shared_mutex mutex_;  // held for a look-up
  std::unordered_map<uint64_t, Placement> placements_;
};

inline bool sound_scheme(Scheme scheme) {
  return scheme.data_units >= 1 && scheme.parity_units >= 1 && scheme.units() <= Erasure::kUnitsMax;
}

// The codes of all schemes, each made when it is first asked for. Any thread.
class Codes {
 public:
  Codes() = default;
  Codes(const Codes&) = delete;
  ~Codes() {
    for (auto& code : codes_) delete code.load();
  }
  // The scheme is sound.
  const Erasure& of(Scheme scheme) const {
    POLIS_ASSERT(sound_scheme(scheme));
    auto& slot = codes_[size_t{scheme.data_units} * Erasure::kUnitsMax + scheme.parity_units];
    if (const Erasure* made = slot.load(std::memory_order_acquire)) return *made;
    auto* fresh = new Erasure(*Erasure::make(scheme.data_units, scheme.parity_units));
    const Erasure* none = nullptr;
    if (slot.compare_exchange_strong(none, fresh)) return *fresh;
    delete fresh;  // somebody else was first
    return *none;
  }

 private:
  mutable std::array<std::atomic<const Erasure*>, Erasure::kUnitsMax * Erasure::kUnitsMax> codes_{};
};

}  // namespace polis::blob
