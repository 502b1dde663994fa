#include "systems/object/gate.h"

namespace polis::object {

// --- KeyedGate ---------------------------------------------------------------------------------------------------------------

KeyedGate::Hold& KeyedGate::Hold::operator=(Hold&& other) noexcept {
  if (this == &other) return *this;
  leave();
  gate_ = std::exchange(other.gate_, nullptr);
  name_ = std::move(other.name_);
  exclusive_ = other.exclusive_;
  return *this;
}

void KeyedGate::Hold::leave() {
  if (!gate_) return;
  auto found = gate_->entries_.find(name_);
  POLIS_ASSERT(found != gate_->entries_.end());
  Entry& entry = *found->second;
  if (exclusive_) {
    entry.exclusive = false;
  } else {
    --entry.shared;
  }
  if (--entry.interested == 0) {
    gate_->entries_.erase(found);
  } else {
    entry.changed.set();
  }
  gate_ = nullptr;
}

Task<Result<KeyedGate::Hold>> KeyedGate::enter(std::string name, bool exclusive) {
  auto& slot = entries_[name];
  if (!slot) slot = std::make_unique<Entry>();
  Entry& entry = *slot;
  ++entry.interested;
  while (entry.exclusive || (exclusive && entry.shared > 0)) {
    entry.changed.reset();
    auto waited = co_await entry.changed.wait();
    if (!waited) {
      if (--entry.interested == 0) entries_.erase(name);
      co_return std::unexpected(std::move(waited).error());
    }
  }
  if (exclusive) {
    entry.exclusive = true;
  } else {
    ++entry.shared;
  }
  Hold hold;
  hold.gate_ = this;
  hold.name_ = std::move(name);
  hold.exclusive_ = exclusive;
  co_return hold;
}

// --- PinBoard ----------------------------------------------------------------------------------------------------------------

PinBoard::Pin::Pin(PinBoard& board, const ObjectVersion& version) : board_(&board), upload_(version.upload) {
  if (!upload_.empty()) ++board.uploads_[upload_];
  if (version.blob.location.empty()) return;
  location_ = version.blob.location;
  Entry& entry = board.blobs_[location_];
  if (entry.readers++ > 0) return;
  entry.receipt = version.blob;
  for (const blob::BlobId& id : blob::segments(version.blob)) ++board.segments_[id];
}

PinBoard::Pin& PinBoard::Pin::operator=(Pin&& other) noexcept {
  if (this == &other) return *this;
  drop();
  board_ = std::exchange(other.board_, nullptr);
  location_ = std::move(other.location_);
  upload_ = std::move(other.upload_);
  return *this;
}

void PinBoard::Pin::drop() {
  if (!board_) return;
  if (!upload_.empty()) {
    auto upload = board_->uploads_.find(upload_);
    if (--upload->second == 0) board_->uploads_.erase(upload);
  }
  if (!location_.empty()) {
    auto found = board_->blobs_.find(location_);
    if (--found->second.readers == 0) {
      for (const blob::BlobId& id : blob::segments(found->second.receipt)) {
        auto segment = board_->segments_.find(id);
        if (--segment->second == 0) board_->segments_.erase(segment);
      }
      if (found->second.released) board_->blob_.erase(found->second.receipt);
      board_->blobs_.erase(found);
    }
  }
  board_ = nullptr;
}

void PinBoard::release(const blob::Receipt& receipt) {
  auto found = blobs_.find(receipt.location);
  if (found == blobs_.end()) {
    blob_.erase(receipt);
  } else {
    found->second.released = true;
  }
}

}  // namespace polis::object
