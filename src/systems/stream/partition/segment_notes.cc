#include "systems/stream/partition/segment_notes.h"

#include "kernel/base/binary.h"

namespace polis::stream {
namespace {

constexpr uint8_t kVersion = 1;

}  // namespace

Bytes SegmentNotes::encode(const std::vector<SegmentNote>& closed, const ProducerTable& producers, Offset upto) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kVersion);
  out.varint(closed.size());
  for (const SegmentNote& note : closed) {
    out.varint(static_cast<uint64_t>(note.first));
    out.zigzag(note.newest.offset);
    out.zigzag(note.newest.timestamp);
  }
  out.bytes(producers.encode(upto));
  return bytes;
}

Result<SegmentNotes> SegmentNotes::decode(BytesView bytes) {
  base::Reader in(bytes);
  SegmentNotes notes;
  if (in.u8() != kVersion) in.reject("an unknown version of the segment notes");
  for (size_t count = in.count(3); count > 0 && in.ok(); --count) {
    SegmentNote note;
    note.first = static_cast<Offset>(in.varint());
    note.newest.offset = in.zigzag();
    note.newest.timestamp = in.zigzag();
    if (!notes.closed.empty() && notes.closed.back().first >= note.first) in.reject("segments out of order");
    notes.closed.push_back(note);
  }
  const BytesView table = in.rest();
  TRY(in.finish());
  auto decoded = TRY(ProducerTable::decode(table));
  notes.producers = std::move(decoded.first);
  notes.upto = decoded.second;
  return notes;
}

}  // namespace polis::stream
