#include "systems/object/gate.h"

namespace polis::object {

Home::Hold& Home::Hold::operator=(Hold&& other) noexcept {
  if (this == &other) return *this;
  leave();
  home_ = std::exchange(other.home_, nullptr);
  id_ = std::move(other.id_);
  kind_ = other.kind_;
  return *this;
}

void Home::Hold::leave() {
  if (!home_) return;
  Home& home = *std::exchange(home_, nullptr);
  if (io::Shard::current_or_null() == &home.shard_) {
    home.leave(id_, kind_);
  } else {
    home.shard_.post([&home, id = std::move(id_), kind = kind_] { home.leave(id, kind); });
  }
}

Task<Result<Home::Hold>> Home::share(UploadId id) {
  CO_TRY(co_await io::on(shard_, [this, id] { return enter(id, false); }));
  co_return Hold(*this, std::move(id), Hold::Kind::kShared);
}

Task<Result<Home::Hold>> Home::own(UploadId id) {
  CO_TRY(co_await io::on(shard_, [this, id] { return enter(id, true); }));
  co_return Hold(*this, std::move(id), Hold::Kind::kExclusive);
}

Task<Result<Home::Hold>> Home::pin(UploadId id) {
  auto count = [](Home& home, UploadId one) -> Task<Result<bool>> {
    ++home.pins_[one];
    co_return true;
  };
  CO_TRY(co_await io::on(shard_, [this, id, count] { return count(*this, id); }));
  co_return Hold(*this, std::move(id), Hold::Kind::kPin);
}

Task<Result<bool>> Home::enter(UploadId id, bool exclusive) {
  auto& slot = gates_[id];
  if (!slot) slot = std::make_unique<Gate>();
  Gate& gate = *slot;
  ++gate.interested;
  while (gate.exclusive || (exclusive && gate.shared > 0)) {
    gate.changed.reset();
    auto waited = co_await gate.changed.wait();
    if (!waited) {
      if (--gate.interested == 0) gates_.erase(id);
      co_return std::unexpected(std::move(waited).error());
    }
  }
  if (exclusive) {
    gate.exclusive = true;
  } else {
    ++gate.shared;
  }
  co_return true;
}

void Home::leave(const UploadId& id, Hold::Kind kind) {
  if (kind == Hold::Kind::kPin) {
    auto pin = pins_.find(id);
    if (--pin->second == 0) pins_.erase(pin);
    return;
  }
  auto found = gates_.find(id);
  POLIS_ASSERT(found != gates_.end());
  Gate& gate = *found->second;
  if (kind == Hold::Kind::kExclusive) {
    gate.exclusive = false;
  } else {
    --gate.shared;
  }
  if (--gate.interested == 0) {
    gates_.erase(found);
  } else {
    gate.changed.set();
  }
}

void Home::announce_garbage() {
  if (io::Shard::current_or_null() == &shard_) {
    garbage_.set();
  } else {
    shard_.post([this] { garbage_.set(); });
  }
}

}  // namespace polis::object
