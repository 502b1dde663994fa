// Arbitrary bytes as a segment file: opening, reading and going on must end in a result, never in a crash, a hang or a
// wrong record. The input is a program: what to store (sound records, raw bytes, flips) behind a sound or a raw header.
#include "kernel/base/binary.h"
#include "kernel/log/record.h"
#include "kernel/log/segment_journal.h"
#include "kernel/sim/world.h"

namespace polis::log {
namespace {

constexpr uint32_t kSalt = 77;

Bytes make_segment(BytesView program) {
  base::Reader in(program);
  Bytes file;
  if (in.u8() % 8 != 0) {
    file.resize(kSegmentHeaderBytes);
    SegmentHeader{.frame_magic = RecordFrame::kMagic, .frame_version = RecordFrame::kVersion, .salt = kSalt, .first = 1}
        .encode(file.data());
  }
  Position position = 1;
  while (in.ok() && in.remaining_bytes() > 0) {
    switch (in.u8() % 4) {
      case 0: {  // a record, mostly a sound one
        position += in.u8() % 16 == 0;
        const uint8_t unproven = in.u8();
        const BytesView payload = in.bytes(std::min<size_t>(in.u8(), in.remaining_bytes()));
        const size_t at = file.size();
        file.resize(at + RecordFrame::size_bytes(payload.size()));
        RecordFrame::encode(MutableBytes(file).subspan(at), std::span<const BytesView>(&payload, 1), position,
                            position - std::min<Position>(unproven, position), kSalt);
        ++position;
        break;
      }
      case 1: {  // raw bytes
        const BytesView raw = in.bytes(std::min<size_t>(in.u8(), in.remaining_bytes()));
        file.insert(file.end(), raw.begin(), raw.end());
        break;
      }
      case 2:  // a flipped bit
        if (const uint64_t where = in.u16(); !file.empty()) file[where % file.size()] ^= std::byte{1} << (where % 8);
        break;
      case 3:  // zeros
        file.resize(file.size() + in.u8());
        break;
    }
  }
  return file;
}

Task<void> use(sim::World& world, SyncScheduler& scheduler, Random& random) {
  const SegmentLogOptions options{
      .directory = "j", .segment_size_bytes = 4096, .chunk_bytes = 512, .index_interval_bytes = 64};
  Position last = 0;
  for (int round = 0; round < 2; ++round) {
    auto journal = co_await open_segment_journal(world.disk(), scheduler, random, options);
    if (!journal) {
      // What was opened once, and only gained a record, opens again.
      POLIS_ASSERT(round == 0);
      co_return;
    }
    POLIS_ASSERT(round == 0 || (*journal)->last() == last);
    auto reader = (*journal)->read(1);
    POLIS_ASSERT(reader);
    for (Position position = 1; position <= (*journal)->last(); ++position) {
      const auto record = co_await (*reader)->next();
      POLIS_ASSERT(record && *record && (*record)->position == position);
    }
    const auto position = (*journal)->append(as_bytes("one more"));
    POLIS_ASSERT(position);
    last = *position;
    POLIS_ASSERT(co_await (*journal)->close());
  }
}

}  // namespace
}  // namespace polis::log

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size_bytes) {
  using namespace polis;
  if (size_bytes > 4096) return 0;
  sim::World world(1);
  log::SyncScheduler scheduler;
  base::SeededRandom random(1);
  const Bytes segment = log::make_segment({reinterpret_cast<const std::byte*>(input), size_bytes});
  world.disk().put("j/" + log::segment_name(1), segment);
  world.run(log::use(world, scheduler, random));
  return 0;
}
