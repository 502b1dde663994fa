// Compaction: what the owner still wants of extents that are mostly garbage is written anew, and the extents go. On the
// home shard, yielding at every row.
#include <algorithm>
#include <bit>
#include <set>

#include "kernel/blob/long_work.h"

namespace polis::blob {
namespace {

constexpr size_t kIdsPerQuestion = 1024;
constexpr size_t kMovesAtOnce = 32;
// Extents of a process that wrote little are merged when there are more of them than this.
constexpr size_t kTinyExtentsMax = 8;

}  // namespace

// A blob (segment) found in an extent.
struct ExtentBlob::Survivor {
  Location location;
  uint64_t announced = 0;  // kSpread: what its rows say it should hold, 0: unknown
  uint64_t written_ms = 0;
  bool whole = true;  // false: rows at its beginning are missing
};

// Finds what the owner still wants of the extent and counts it. `young`: something unreferenced is too new to be swept.
Task<Result<void>> ExtentBlob::mark(uint64_t extent, std::vector<Survivor>& survivors, bool& young) {
  const auto placement = placements_.find(extent);
  if (!placement) co_return fail(Code::kUnavailable, "extent " + extent_file_name(extent) + " is not known any more");
  const unsigned k = placement->scheme.data_units;
  std::vector<Survivor> all;
  const uint64_t failures = reader().failures();
  uint64_t end = end_of(extents_->extents().at(extent));
  uint64_t offset = kSuperblockBytes;
  while (auto header = CO_TRY(co_await next_row(extent, offset, end))) {
    if (header->kind == RowKind::kPacked) {
      for (const PackedEntry& entry : header->entries) {
        all.push_back({.location = {.kind = RowKind::kPacked,
                                    .extent = extent,
                                    .offset = header->shape.offset,
                                    .length = entry.length,
                                    .unit = entry.unit,
                                    .header_bytes = header->shape.header_bytes,
                                    .unit_bytes = header->shape.unit_bytes,
                                    .inner = entry.inner},
                       .written_ms = header->written_ms});
      }
      co_await io::yield();
      continue;
    }
    const uint64_t before = uint64_t{header->ordinal} * kFullRowStride;
    const bool continues = header->ordinal > 0 && !all.empty() && all.back().location.kind == RowKind::kSpread &&
                           all.back().location.offset + before == header->shape.offset &&
                           all.back().location.length == header->ordinal * row_bytes(k);
    if (continues) {
      all.back().location.length += header->payload_bytes;
      all.back().written_ms = std::max(all.back().written_ms, header->written_ms);
    } else {
      all.push_back(
          {.location = {.kind = RowKind::kSpread,
                        .extent = extent,
                        .offset = header->shape.offset - std::min(before, header->shape.offset - kSuperblockBytes),
                        .length =
                            before ? header->ordinal * row_bytes(k) + header->payload_bytes : header->payload_bytes},
           .announced = header->segment_bytes,
           .written_ms = header->written_ms,
           .whole = header->ordinal == 0});
    }
    co_await io::yield();
  }

  if (reader().failures() != failures || !complete(extent)) {  // a drive may have gone meanwhile
    co_return fail(Code::kUnavailable,
                   "extent " + extent_file_name(extent) +
                       " cannot be read completely: what is not seen must not be taken for deleted");
  }

  // A blob whose rows are not all there is asked for under its announced length, too.
  std::vector<BlobId> ids;
  std::vector<std::pair<size_t, bool>> asked;  // index in all, under the announced length?
  for (size_t i = 0; i < all.size(); ++i) {
    const Survivor& blob = all[i];
    ids.push_back(encode_location(blob.location));
    asked.emplace_back(i, false);
    if (blob.announced && blob.announced != blob.location.length) {
      Location announced = blob.location;
      announced.length = blob.announced;
      ids.push_back(encode_location(announced));
      asked.emplace_back(i, true);
    }
  }
  std::vector<bool> referenced(all.size());
  bool damaged = false;
  for (size_t at = 0; at < ids.size(); at += kIdsPerQuestion) {
    const size_t count = std::min(kIdsPerQuestion, ids.size() - at);
    auto answer = CO_TRY(co_await owner_->referenced(
        {ids.begin() + static_cast<ptrdiff_t>(at), ids.begin() + static_cast<ptrdiff_t>(at + count)}));
    if (answer.size() != count)
      co_return fail(Code::kInvalid, "the owner of the blobs answered for another number of ids");
    for (size_t i = 0; i < count; ++i) {
      const auto [index, under_announced] = asked[at + i];
      if (!answer[i]) continue;
      if (under_announced || !all[index].whole)
        damaged = true;
      else
        referenced[index] = true;
    }
  }
  const uint64_t now_ms = wall_ms();
  const uint64_t sweep_ms =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(options_.sweep_after).count());
  // A put may take longer than the sweep waits; its owner's time to commit begins when it ends.
  auto marked = extents_->extents().find(extent);
  const uint64_t released_ms = marked == extents_->extents().end() ? 0 : marked->second.released_ms;
  uint64_t live = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    if (referenced[i]) {
      live += all[i].location.length;
      survivors.push_back(all[i]);
    } else if (all[i].written_ms + sweep_ms > now_ms || released_ms + sweep_ms > now_ms) {
      young = true;
      live += all[i].location.length;
    } else if (!all[i].whole && !all[i].announced) {
      damaged = true;  // the middle of a blob of unknown size: it cannot be told whether somebody refers to it
    }
  }
  auto found = extents_->extents().find(extent);
  if (found == extents_->extents().end()) co_return {};
  ExtentState& state = found->second;
  live_bytes_ += live - state.live_bytes;
  state.live_bytes = live;
  state.marked = true;
  // Counted as live for now, what is young may be swept soon.
  state.mark_again_at = home_.clock().steady() +
                        (young ? std::min(options_.sweep_after, options_.mark_interval) : options_.mark_interval);
  state.damaged = damaged;
  co_return {};
}

namespace {

class MemorySink final : public ByteSink {
 public:
  explicit MemorySink(MutableBytes into) : into_(into) {}
  Task<Result<void>> write(BytesView bytes) override {
    if (bytes.size() > into_.size() - at_) co_return fail(Code::kTooLarge, "more bytes than asked for");
    std::ranges::copy(bytes, into_.begin() + static_cast<ptrdiff_t>(at_));
    at_ += bytes.size();
    co_return {};
  }

 private:
  MutableBytes into_;
  size_t at_ = 0;
};

// Reads a stored blob as a source, for the copy of a compaction.
class StoredSource final : public ByteSource {
 public:
  StoredSource(Blob& blob, Receipt receipt) : blob_(blob), receipt_(std::move(receipt)) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    const uint64_t size = std::min<uint64_t>(into.size(), receipt_.size_bytes - at_);
    if (size == 0) co_return size_t{0};
    MemorySink sink(into);
    CO_TRY(co_await blob_.get(receipt_, {at_, size}, sink));
    at_ += size;
    co_return static_cast<size_t>(size);
  }

 private:
  Blob& blob_;
  Receipt receipt_;
  uint64_t at_ = 0;
};

}  // namespace

Task<void> ExtentBlob::move_one(Survivor survivor, Result<void>* outcome) {
  const Receipt from{join_segments({&survivor.location, 1}), survivor.location.length};
  StoredSource source(*this, from);
  const auto placement = placements_.find(survivor.location.extent);
  auto copy = co_await put(source, from.size_bytes, placement ? placement->scheme : scheme_);
  if (!copy) {
    *outcome = fail(std::move(copy).error());
    co_return;
  }
  // A segment fits into one segment again, whatever its size.
  const auto to = segments(*copy);
  POLIS_ASSERT(to.size() == 1);
  auto moved = co_await owner_->moved(encode_location(survivor.location), to[0]);
  if (moved) co_return;
  erase(*copy);
  const Code code = moved.error().code();
  if (code == Code::kConflict || code == Code::kNotFound) {
    // Whether the row let go of the segment or merely could not be changed decides if the extent may go: ask.
    auto still = co_await owner_->referenced({encode_location(survivor.location)});
    if (still && still->size() == 1 && !still->front()) co_return;
  }
  *outcome = std::move(moved);
}

Task<Result<void>> ExtentBlob::move_survivors(std::vector<Survivor> survivors) {
  for (size_t at = 0; at < survivors.size(); at += kMovesAtOnce) {
    const size_t count = std::min(kMovesAtOnce, survivors.size() - at);
    std::vector<Result<void>> outcomes(count);
    io::TaskGroup group;
    for (size_t i = 0; i < count; ++i) group.spawn(move_one(survivors[at + i], &outcomes[i]));
    co_await group.join();
    for (auto& outcome : outcomes) CO_TRY(std::move(outcome));
  }
  co_return {};
}

Task<Result<uint64_t>> ExtentBlob::delete_retired() {
  std::vector<uint64_t> ready;
  if (holds_all_ > 0) co_return uint64_t{0};
  const SteadyTime now = home_.clock().steady();
  for (auto& [id, state] : extents_->extents()) {
    // Of an extent that is not complete, files would be left on drives that are out.
    if (state.retired && now - state.retired_at >= options_.delete_grace && complete(id) &&
        gets_running_[id % gets_running_.size()] == 0)
      ready.push_back(id);
  }
  uint64_t freed = 0;
  for (uint64_t id : ready) {
    const uint64_t bytes = extents_->extents().at(id).file_bytes;
    const auto placement = placements_.find(id);
    CO_TRY(co_await extents_->remove(id));
    freed += bytes * (placement ? placement->units() : 0);
    co_await forget(id);
  }
  // What is used now is counted from the drives: removals may have failed on some.
  for (unsigned i = 0; !ready.empty() && i < drives_->size(); ++i) {
    if (drives_->writable() >> i & 1) CO_TRY(co_await extents_->adopt(i));
  }
  extents_count_ = extents_->extents().size();
  co_return freed;
}

// Whether every row of the extent can be seen: a small one may have its only headers on drives that are out, and what
// is not seen must not be taken for deleted.
bool ExtentBlob::complete(uint64_t extent) const {
  const auto placement = placements_.find(extent);
  if (!placement) return false;
  const DriveMask sound = drives_->readable() & ~drives_->stale();
  UnitMask nowhere = 0;
  for (unsigned unit = 0; unit < placement->units(); ++unit)
    nowhere |= UnitMask{placement->drives[unit] == Placement::kNowhere} << unit;
  if ((placement->units_on(sound) | nowhere) != placement->all()) return false;
  return nowhere == 0 || sound == drives_->all();  // with all drives there, what has no file has no rows
}

Task<Result<uint64_t>> ExtentBlob::compact_here(Progress* progress) {
  if (!owner_) co_return fail(Code::kInvalid, "compaction needs an owner that says what is still referred to");
  CO_TRY(co_await care_.acquire());
  Permit permit(care_);
  co_await drives_->check_presence();
  uint64_t freed = CO_TRY(co_await delete_retired());
  const SteadyTime now = home_.clock().steady();
  auto payload = [&](uint64_t id, const ExtentState& state) {
    const auto placement = placements_.find(id);
    return end_of(state) * (placement ? placement->scheme.data_units : 0);
  };
  auto sparse = [&](uint64_t id, const ExtentState& state) { return state.live_bytes * 2 < payload(id, state); };
  auto tiny = [&](uint64_t id, const ExtentState& state) {
    return payload(id, state) < options_.extent_payload_bytes / 16;
  };

  std::vector<uint64_t> candidates;
  size_t tiny_count = 0, incomplete = 0;
  for (auto& [id, state] : extents_->extents()) tiny_count += tiny(id, state) && !state.open;
  for (auto& [id, state] : extents_->extents()) {
    if (state.retired || (state.open && state.open->writers > 0)) continue;
    if (!complete(id)) {
      ++incomplete;
      continue;
    }
    const bool old_mark = !state.open && now >= state.mark_again_at;
    if (!state.marked || old_mark || sparse(id, state) ||
        (tiny_count > kTinyExtentsMax && tiny(id, state) && !state.open))
      candidates.push_back(id);
  }
  if (candidates.empty() && incomplete > 0)
    co_return fail(Code::kUnavailable, "compaction needs every drive online and repaired");
  Reporter reporter(progress, candidates.size());
  for (size_t i = 0; i < candidates.size(); ++i) {
    const uint64_t id = candidates[i];
    auto found = extents_->extents().find(id);
    if (found == extents_->extents().end() || found->second.retired) continue;
    extents_->seal_one(id);
    if (found->second.open) continue;  // a put came in meanwhile
    std::vector<Survivor> survivors;
    bool young = false;
    CO_TRY(co_await mark(id, survivors, young));
    found = extents_->extents().find(id);
    if (found == extents_->extents().end()) continue;
    const bool worth = sparse(id, found->second) || (tiny_count > kTinyExtentsMax && tiny(id, found->second));
    if (worth && !young && !found->second.damaged) {
      auto moved = co_await move_survivors(std::move(survivors));
      found = extents_->extents().find(id);
      if (!moved && moved.error().code() == Code::kCorrupt) {
        found->second.damaged = true;  // keeps what can still be read in part
      } else if (!moved) {
        co_return fail(std::move(moved).error());
      } else {
        live_bytes_ -= std::min<uint64_t>(live_bytes_, found->second.live_bytes);
        found->second.live_bytes = 0;
        found->second.retired = true;
        found->second.retired_at = home_.clock().steady();
      }
    }
    if (!reporter.at(i + 1)) co_return freed;
  }
  freed += CO_TRY(co_await delete_retired());
  reporter.finished();
  co_return freed;
}

}  // namespace polis::blob
