// The memory of large messages: a bounded number of buffers of 1 MiB for one shard. A connection that reads a large
// message waits here for one, which is what slows clients down when many send at once. Idle connections hold none.
#pragma once

#include <memory>
#include <vector>

#include "kernel/io/shard.h"
#include "systems/ledger/tigerbeetle/message.h"

namespace polis::ledger::tigerbeetle {

class Buffers {
 public:
  // Page-aligned, so that the events of a body, which begins at byte 256, lie in as few cache lines as they can.
  static constexpr size_t kAlignment = 4096;

  explicit Buffers(size_t buffers_max) : permits_(buffers_max) {}
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  // A buffer of kMessageBytesMax; goes back when it ends. The pool outlives it.
  class Lease {
   public:
    Lease() = default;
    ~Lease() { release(); }
    Lease(Lease&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), room_(std::move(other.room_)) {}
    Lease& operator=(Lease&& other) noexcept {
      if (this == &other) return *this;
      release();
      pool_ = std::exchange(other.pool_, nullptr);
      room_ = std::move(other.room_);
      return *this;
    }
    explicit operator bool() const { return pool_ != nullptr; }
    MutableBytes bytes() const { return {room_.get(), kMessageBytesMax}; }
    void release();

   private:
    friend class Buffers;
    struct Freed {
      void operator()(std::byte* room) const;
    };
    using Room = std::unique_ptr<std::byte[], Freed>;
    Lease(Buffers& pool, Room room) : pool_(&pool), room_(std::move(room)) {}
    Buffers* pool_ = nullptr;
    Room room_;
  };

  // Waits for one, first come first served. kCancelled or kTimeout when the scope ends first.
  Task<Result<Lease>> take();
  // Gives the memory of unused buffers back; when the last connection has gone.
  void trim() { spare_.clear(); }
  size_t available() const { return permits_.available(); }

 private:
  io::Semaphore permits_;
  std::vector<Lease::Room> spare_;
};

}  // namespace polis::ledger::tigerbeetle
