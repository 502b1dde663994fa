// Order among requests: a gate for each upload (parts together, Complete and Abort alone), pins on the parts of objects
// that somebody still reads, and the usage slots of changes in flight. None of it is durable: it ends with its
// requests.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/io/shard.h"
#include "systems/object/engine.h"

namespace polis::object {

// What the Services of all shards share. Lives on one shard; its functions may be called from any and hop there.
class Home {
 public:
  Home() : shard_(io::Shard::current()) {}
  Home(const Home&) = delete;

  // Leaves the gate, or unpins, when it goes; on any shard.
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept { *this = std::move(other); }
    Hold& operator=(Hold&& other) noexcept;
    ~Hold() { leave(); }

   private:
    friend class Home;
    enum class Kind : unsigned char { kShared, kExclusive, kPin };
    Hold(Home& home, UploadId id, Kind kind) : home_(&home), id_(std::move(id)), kind_(kind) {}
    void leave();
    Home* home_ = nullptr;
    UploadId id_;
    Kind kind_ = Kind::kShared;
  };

  Task<Result<Hold>> share(UploadId id);
  Task<Result<Hold>> own(UploadId id);
  // Whoever owns this is the only one of those whose changes lost against others several times. No upload has this id.
  static constexpr char kContended[] = "contended";
  // The reaper passes an upload over while it is pinned.
  Task<Result<Hold>> pin(UploadId id);

  // On the home shard.
  bool pinned(const UploadId& id) const { return pins_.contains(id); }
  // Wakes the reaper.
  void announce_garbage();
  io::Event& garbage() { return garbage_; }
  io::Shard& shard() { return shard_; }

 private:
  struct Gate {
    size_t shared = 0;
    bool exclusive = false;
    size_t interested = 0;  // holders and waiters; the gate goes with the last
    io::Event changed;
  };
  Task<Result<bool>> enter(UploadId id, bool exclusive);
  void leave(const UploadId& id, Hold::Kind kind);

  io::Shard& shard_;
  std::map<UploadId, std::unique_ptr<Gate>> gates_;
  std::map<UploadId, size_t> pins_;
  io::Event garbage_;
};

// The usage slots of one shard that are free. Waiting for one is what bounds the changes in flight.
class SlotPool {
 public:
  // The slots of shard `index` of `shards`.
  SlotPool(unsigned index, unsigned shards) : permits_(per_shard(shards)) {
    uint16_t count = per_shard(shards);
    POLIS_ASSERT((index + 1u) * count <= kUsageSlots);
    for (uint16_t i = count; i-- > 0;) free_.push_back(static_cast<uint16_t>(index * count + i));
  }
  class Lease {
   public:
    Lease(SlotPool& pool, uint16_t slot) : pool_(&pool), slot_(slot) {}
    Lease(Lease&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), slot_(other.slot_) {}
    ~Lease() {
      if (!pool_) return;
      pool_->free_.push_back(slot_);
      pool_->permits_.release();
    }
    uint16_t slot() const { return slot_; }

   private:
    SlotPool* pool_;
    uint16_t slot_;
  };
  Task<Result<Lease>> take() {
    CO_TRY(co_await permits_.acquire());
    uint16_t slot = free_.back();
    free_.pop_back();
    co_return Lease(*this, slot);
  }

 private:
  static uint16_t per_shard(unsigned shards) { return static_cast<uint16_t>(kUsageSlots / shards); }
  io::Semaphore permits_;
  std::vector<uint16_t> free_;
};

}  // namespace polis::object
