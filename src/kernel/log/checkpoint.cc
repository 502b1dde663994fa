#include "kernel/log/checkpoint.h"

#include <array>
#include <cstring>

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"

namespace polis::log {
namespace {

constexpr std::string_view kCheckpointMagic = "POLISCKP";
constexpr uint32_t kVersion = 1;
constexpr size_t kSlotBytes = 48, kSlotApart = 512, kCrcAt = 44;

using Slot = std::array<std::byte, kSlotBytes>;

Slot encode(const Checkpoint& checkpoint) {
  Slot slot{};
  std::memcpy(slot.data(), kCheckpointMagic.data(), kCheckpointMagic.size());
  base::store_little<uint32_t>(slot.data() + 8, kVersion);
  base::store_little<uint64_t>(slot.data() + 16, checkpoint.segment_first);
  base::store_little<uint64_t>(slot.data() + 24, checkpoint.offset);
  base::store_little<uint64_t>(slot.data() + 32, checkpoint.next);
  base::store_little<uint32_t>(slot.data() + kCrcAt, base::crc32c(BytesView(slot).first(kCrcAt)));
  return slot;
}

// Nothing for a slot that is torn, never written, or of a later version: it then says nothing.
std::optional<Checkpoint> decode(BytesView slot) {
  if (slot.size() < kSlotBytes || as_text(slot.first(kCheckpointMagic.size())) != kCheckpointMagic) return std::nullopt;
  if (base::load_little<uint32_t>(slot.data() + kCrcAt) != base::crc32c(slot.first(kCrcAt))) return std::nullopt;
  if (base::load_little<uint32_t>(slot.data() + 8) != kVersion) return std::nullopt;
  return Checkpoint{base::load_little<uint64_t>(slot.data() + 16), base::load_little<uint64_t>(slot.data() + 24),
                    base::load_little<uint64_t>(slot.data() + 32)};
}

}  // namespace

Task<Result<CheckpointFile>> CheckpointFile::open(io::Disk& disk, std::string path) {
  CheckpointFile checkpoint(disk, std::move(path));
  auto bytes = co_await disk.read_file(checkpoint.path_, 2 * kSlotApart);
  if (!bytes && bytes.error().code() == Code::kNotFound) co_return checkpoint;
  if (!bytes) co_return fail(bytes.error());
  for (unsigned i = 0; i < 2; ++i) {
    if (bytes->size() < i * kSlotApart + kSlotBytes) break;
    const auto slot = decode(BytesView(*bytes).subspan(i * kSlotApart, kSlotBytes));
    if (!slot || (checkpoint.found_ && checkpoint.found_->next >= slot->next)) continue;
    checkpoint.found_ = slot;
    checkpoint.slot_ = 1 - i;
  }
  co_return checkpoint;
}

Task<Result<void>> CheckpointFile::write(Checkpoint checkpoint) {
  if (!file_) file_ = CO_TRY(co_await disk_->open(path_, io::OpenMode::kCreate));
  const Slot slot = encode(checkpoint);
  const BytesView part = slot;
  const unsigned which = std::exchange(slot_, 1 - slot_);
  co_return co_await file_->write_at(which * kSlotApart, std::span<const BytesView>(&part, 1));
}

}  // namespace polis::log
