#include "systems/stream/server/buffers.h"

namespace polis::stream {

Buffers::BlockPtr Buffers::take_small() {
  std::unique_ptr<std::byte[]> bytes;
  if (spare_.empty()) {
    bytes = std::make_unique_for_overwrite<std::byte[]>(kSmallBlockBytes);
  } else {
    bytes = std::move(spare_.back());
    spare_.pop_back();
  }
  return std::make_shared<Block>(*this, std::move(bytes), kSmallBlockBytes);
}

Task<Result<Buffers::BlockPtr>> Buffers::take_large(size_t size_bytes) {
  POLIS_ASSERT(size_bytes > kSmallBlockBytes);
  if (turn_.available() == 0 || !room_for(size_bytes)) {
    CO_TRY(co_await turn_.acquire());
    Result<void> waited;
    while (waited && !room_for(size_bytes)) {
      given_back_.reset();
      waited = co_await given_back_.wait();
    }
    turn_.release();
    CO_TRY(std::move(waited));
  }
  large_bytes_ += size_bytes;
  co_return std::make_shared<Block>(*this, std::make_unique_for_overwrite<std::byte[]>(size_bytes), size_bytes);
}

void Buffers::give_back(Block& block) {
  if (block.capacity_bytes > kSmallBlockBytes) {
    large_bytes_ -= block.capacity_bytes;
    given_back_.set();
  } else if (spare_.size() < kSpareMax) {
    spare_.push_back(std::move(block.bytes));
  }
}

}  // namespace polis::stream
