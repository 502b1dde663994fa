// Reads hostile records by a script of reads that the input itself gives: no read may leave the input, and what Reader
// accepts, Writer writes again byte for byte.
#include "kernel/base/binary.h"

using namespace polis;
using namespace polis::base;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  size_t steps = std::min<size_t>(data[0] % 32, size - 1);
  BytesView script(reinterpret_cast<const std::byte*>(data + 1), steps);
  BytesView record(reinterpret_cast<const std::byte*>(data + 1 + steps), size - 1 - steps);

  Reader reader(record);
  Bytes again;
  Writer writer(again);
  for (std::byte step : script) {
    size_t before = reader.position();
    switch (std::to_integer<unsigned>(step) % 9) {
      case 0:
        writer.u8(reader.u8());
        break;
      case 1:
        writer.u16(reader.u16());
        break;
      case 2:
        writer.u32_big(reader.u32_big());
        break;
      case 3:
        writer.u64(reader.u64());
        break;
      case 4:
        writer.boolean(reader.boolean());
        break;
      case 5:
        writer.varint(reader.varint());
        break;
      case 6:
        writer.zigzag(reader.zigzag());
        break;
      case 7:
        writer.sized(reader.sized(1 << 16));
        break;
      case 8: {
        size_t count = reader.count(3);
        if (reader.ok()) POLIS_ASSERT(count * 3 <= reader.remaining_bytes());
        writer.varint(count);
        break;
      }
    }
    POLIS_ASSERT(reader.position() >= before && reader.position() <= record.size());
    if (!reader.ok()) {
      POLIS_ASSERT(reader.finish().error().code() == Code::kCorrupt);
      POLIS_ASSERT(reader.rest().empty() && reader.u64() == 0);
      return 0;
    }
  }
  POLIS_ASSERT(writer.ok());
  POLIS_ASSERT(as_text(again) == as_text(record.first(reader.position())));
  return 0;
}
