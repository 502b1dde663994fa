// Memory for received requests, of one shard: blocks of 16 KiB in which small requests lie one behind the other, and
// blocks of their own size for large ones. Large ones are bounded in sum: whoever wants one waits until there is room,
// and the client in its socket.
#pragma once

#include <memory>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/io/shard.h"

namespace polis::stream {

inline constexpr size_t kSmallBlockBytes = 16 << 10;

class Buffers {
 public:
  struct Block {
    Block(Buffers& home_in, std::unique_ptr<std::byte[]> bytes_in, size_t capacity_in)
        : home(home_in), bytes(std::move(bytes_in)), capacity_bytes(capacity_in) {}
    ~Block() { home.give_back(*this); }
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    Buffers& home;
    std::unique_ptr<std::byte[]> bytes;
    const size_t capacity_bytes;
  };
  // Shared by the requests that lie in it. Not longer than the Buffers live.
  using BlockPtr = std::shared_ptr<Block>;

  explicit Buffers(size_t large_bytes_max) : large_bytes_max_(large_bytes_max) {}
  ~Buffers() { POLIS_ASSERT(large_bytes_ == 0); }

  BlockPtr take_small();
  // First come, first served. One that is larger than the bound is served when it is alone.
  Task<Result<BlockPtr>> take_large(size_t size_bytes);
  uint64_t large_bytes() const { return large_bytes_; }

 private:
  // Small blocks kept for the next that come: 1 MiB.
  static constexpr size_t kSpareMax = 64;

  bool room_for(size_t size_bytes) const { return large_bytes_ == 0 || large_bytes_ + size_bytes <= large_bytes_max_; }
  void give_back(Block& block);

  const size_t large_bytes_max_;
  uint64_t large_bytes_ = 0;
  std::vector<std::unique_ptr<std::byte[]>> spare_;
  io::Semaphore turn_{1};
  io::Event given_back_;
};

}  // namespace polis::stream
