// Notes of any content behind a checksum that holds: they are refused, or come back as they were.
#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "systems/stream/partition/segment_notes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size_bytes) {
  using namespace polis;
  const auto* content = reinterpret_cast<const std::byte*>(input);
  Bytes file(5);
  file[0] = std::byte{2};
  file.insert(file.end(), content, content + size_bytes);
  base::store_little<uint32_t>(file.data() + 1, base::crc32c(BytesView(file).subspan(5)));
  auto notes = stream::SegmentNotes::decode(file);
  if (!notes) return 0;
  POLIS_ASSERT(!notes->segments.empty());
  const std::span<const stream::SegmentNote> segments(notes->segments);
  const Bytes again = stream::SegmentNotes::encode(segments.first(segments.size() - 1), segments.back(),
                                                   notes->began_ms, notes->producers, notes->upto);
  const auto same = stream::SegmentNotes::decode(again);
  POLIS_ASSERT(same && same->segments.size() == notes->segments.size() && same->upto == notes->upto);
  POLIS_ASSERT(same->producers.size() == notes->producers.size());
  return 0;
}
