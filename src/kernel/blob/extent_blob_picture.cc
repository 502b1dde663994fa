// What a person may see of the pool: its extents, the drives that lack some of them, and how far a repair has come.
#include <bit>

#include "kernel/blob/extent_blob.h"
#include "kernel/io/shard.h"

namespace polis::blob {
namespace {

// A picture is drawn several times a second; more damaged rows than this are one sad blur in any case.
constexpr size_t kDamagedRowsMax = 4096;

}  // namespace

PoolPicture ExtentBlob::picture() const {
  POLIS_ASSERT(&io::Shard::current() == &home_);
  PoolPicture picture;
  picture.data_units = scheme_.data_units;
  picture.parity_units = scheme_.parity_units;
  picture.stale = drives_->stale();
  for (const auto& [id, state] : extents_->extents()) {
    if (state.retired) continue;
    ExtentStatus& extent = picture.extents.emplace_back();
    extent.id = id;
    extent.file_bytes = state.open ? std::max(state.open->end, state.file_bytes) : state.file_bytes;
    extent.live_bytes = state.live_bytes;
    extent.growing = state.open != nullptr;
    if (const auto placement = placements_.find(id)) {
      extent.scheme = placement->scheme;
      extent.drives = placement->drives_of(placement->all());
      extent.homeless = static_cast<unsigned>(std::popcount(homeless(*placement)));
    }
    if (state.open) extent.absent = state.open->placement.drives_of(state.open->placement.all() & ~state.open->alive);
  }
  if (repair_position_) {
    picture.repairing = repair_position_->drives;
    picture.repair_extent = repair_position_->extent;
    picture.repair_offset = repair_position_->offset;
  }
  for (const auto& [place, damage] : repair_queue_) {
    if (picture.damaged.size() == kDamagedRowsMax) break;
    if (const auto placement = placements_.find(place.first))
      picture.damaged.push_back({place.first, place.second, placement->drives_of(damage.second)});
  }
  return picture;
}

}  // namespace polis::blob
