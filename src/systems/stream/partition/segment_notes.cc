#include "systems/stream/partition/segment_notes.h"

#include "kernel/base/binary.h"
#include "kernel/base/crc.h"
#include "kernel/base/endian.h"

namespace polis::stream {
namespace {

constexpr uint8_t kNotesVersion = 2;
constexpr size_t kNotesCrcAt = 1, kNotesContentAt = 5;

void put(base::Writer& out, const SegmentNote& note) {
  out.varint(static_cast<uint64_t>(note.first));
  out.zigzag(note.newest.offset);
  out.zigzag(note.newest.timestamp);
}

}  // namespace

Bytes SegmentNotes::encode(std::span<const SegmentNote> closed, const SegmentNote& current, int64_t began_ms,
                           const ProducerTable& producers, Offset upto) {
  Bytes bytes(kNotesContentAt);
  bytes[0] = std::byte{kNotesVersion};
  base::Writer out(bytes);
  out.varint(closed.size() + 1);
  for (const SegmentNote& note : closed) put(out, note);
  put(out, current);
  out.zigzag(began_ms);
  out.bytes(producers.encode(upto));
  base::store_little<uint32_t>(bytes.data() + kNotesCrcAt, base::crc32c(BytesView(bytes).subspan(kNotesContentAt)));
  return bytes;
}

Result<SegmentNotes> SegmentNotes::decode(BytesView bytes) {
  if (bytes.size() < kNotesContentAt || bytes[0] != std::byte{kNotesVersion})
    return fail(Code::kCorrupt, "segment notes of an unknown version");
  if (base::load_little<uint32_t>(bytes.data() + kNotesCrcAt) != base::crc32c(bytes.subspan(kNotesContentAt)))
    return fail(Code::kCorrupt, "the checksum of the segment notes is wrong");
  base::Reader in(bytes.subspan(kNotesContentAt));
  SegmentNotes notes;
  for (size_t count = in.count(3); count > 0 && in.ok(); --count) {
    SegmentNote note;
    note.first = static_cast<Offset>(in.varint());
    note.newest.offset = in.zigzag();
    note.newest.timestamp = in.zigzag();
    if (!notes.segments.empty() && notes.segments.back().first >= note.first) in.reject("segments out of order");
    notes.segments.push_back(note);
  }
  if (notes.segments.empty()) in.reject("no segment");
  notes.began_ms = in.zigzag();
  const BytesView table = in.rest();
  TRY(in.finish());
  auto decoded = TRY(ProducerTable::decode(table));
  notes.producers = std::move(decoded.first);
  notes.upto = decoded.second;
  return notes;
}

}  // namespace polis::stream
