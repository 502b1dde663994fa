#include "systems/ledger/tigerbeetle/buffers.h"

#include <cstdlib>

namespace polis::ledger::tigerbeetle {

void Buffers::Lease::Freed::operator()(std::byte* room) const {
  std::free(room);
}

void Buffers::Lease::release() {
  if (!pool_) return;
  pool_->spare_.push_back(std::move(room_));
  pool_->permits_.release();
  pool_ = nullptr;
}

Task<Result<Buffers::Lease>> Buffers::take() {
  CO_TRY(co_await permits_.acquire());
  Lease::Room room;
  if (spare_.empty()) {
    room.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, kMessageBytesMax)));
  } else {
    room = std::move(spare_.back());
    spare_.pop_back();
  }
  if (!room) {
    permits_.release();
    co_return fail(Code::kBusy, "there is no memory for a message");
  }
  co_return Lease(*this, std::move(room));
}

}  // namespace polis::ledger::tigerbeetle
