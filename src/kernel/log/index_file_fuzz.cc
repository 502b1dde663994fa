// Stored indexes of any content, with a checksum that holds or not: what is taken from one is in order and within its
// borders.
#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/log/index_file.h"
#include "kernel/sim/world.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size_bytes) {
  using namespace polis;
  if (size_bytes > 4096) return 0;
  sim::World world(1);
  base::SeededRandom random(1);
  const log::SegmentHeader segment{.salt = 7, .first = 100};
  const auto created = world.run(log::IndexWriter::create(world.disk(), "i", segment, random));
  POLIS_ASSERT(created);
  Bytes file = world.disk().content("i");
  const size_t header_bytes = file.size();
  const auto salt = base::load_little<uint32_t>(file.data() + 24);
  const auto* bytes = reinterpret_cast<const std::byte*>(input);
  file.insert(file.end(), bytes, bytes + size_bytes);
  // The first block says the truth about its checksum, so that what it says otherwise is looked at.
  if (size_bytes >= 32) {
    std::byte* block = file.data() + header_bytes;
    const size_t count = std::min<size_t>(base::load_little<uint32_t>(block), (size_bytes - 32) / 24);
    base::store_little<uint32_t>(block, static_cast<uint32_t>(count));
    uint32_t crc = base::crc32c(salt, {block, 4});
    crc = base::crc32c(crc, {block + 8, 24 + count * 24});
    base::store_little<uint32_t>(block + 4, crc);
  }
  world.disk().put("i", file);
  const log::StoredIndex stored = world.run(log::read_index(world.disk(), "i", segment));
  POLIS_ASSERT(stored.size_bytes <= file.size());
  for (size_t i = 0; i < stored.entries.size(); ++i) {
    const log::IndexEntry& entry = stored.entries[i];
    POLIS_ASSERT(entry.offset >= log::kSegmentHeaderBytes && entry.offset < stored.upto.offset);
    POLIS_ASSERT(entry.first < stored.upto.next);
    if (i > 0) POLIS_ASSERT(stored.entries[i - 1].offset < entry.offset && stored.entries[i - 1].first < entry.first);
  }
  return 0;
}
