// Order among requests of one shard: a gate for each upload (parts together, Complete and Abort alone), the usage slots of changes in
// flight, and pins on bytes that a reader still needs after their rows are gone. None of it is durable: it ends with its requests.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/blob/blob.h"
#include "kernel/io/shard.h"
#include "systems/object/engine.h"

namespace polis::object {

// Shared and exclusive holds by name. Lives on one shard.
class KeyedGate {
 public:
  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept { *this = std::move(other); }
    Hold& operator=(Hold&& other) noexcept;
    ~Hold() { leave(); }

   private:
    friend class KeyedGate;
    void leave();
    KeyedGate* gate_ = nullptr;
    std::string name_;
    bool exclusive_ = false;
  };

  Task<Result<Hold>> share(std::string name) { return enter(std::move(name), false); }
  Task<Result<Hold>> own(std::string name) { return enter(std::move(name), true); }

 private:
  struct Entry {
    size_t shared = 0;
    bool exclusive = false;
    size_t interested = 0;  // holders and waiters; the entry goes with the last
    io::Event changed;
  };
  Task<Result<Hold>> enter(std::string name, bool exclusive);
  std::map<std::string, std::unique_ptr<Entry>> entries_;
};

// The usage slots that are free. Waiting for one is what bounds the changes in flight.
class SlotPool {
 public:
  SlotPool() : permits_(kUsageSlots) {
    for (uint16_t slot = kUsageSlots; slot-- > 0;) free_.push_back(slot);
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
  io::Semaphore permits_;
  std::vector<uint16_t> free_;
};

// Keeps the bytes of a version while somebody reads them: what is released meanwhile is handed to the Blob with the last pin.
class PinBoard {
 public:
  explicit PinBoard(blob::Blob& blob) : blob_(blob) {}

  class Pin {
   public:
    Pin() = default;
    Pin(PinBoard& board, const ObjectVersion& version);
    Pin(Pin&& other) noexcept { *this = std::move(other); }
    Pin& operator=(Pin&& other) noexcept;
    ~Pin() { drop(); }

   private:
    void drop();
    PinBoard* board_ = nullptr;
    std::string location_;
    UploadId upload_;
  };

  // A row no longer refers to it.
  void release(const blob::Receipt& receipt);
  bool pinned(const blob::BlobId& segment) const { return segments_.contains(segment); }
  bool pinned_upload(const UploadId& upload) const { return uploads_.contains(upload); }

 private:
  struct Entry {
    size_t readers = 0;
    bool released = false;
    blob::Receipt receipt;
  };
  blob::Blob& blob_;
  std::map<std::string, Entry> blobs_;  // by location
  std::map<blob::BlobId, size_t> segments_;
  std::map<UploadId, size_t> uploads_;
};

}  // namespace polis::object
