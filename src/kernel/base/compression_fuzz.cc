#include "kernel/base/compression.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  using namespace polis::base;
  if (size < 1) return 0;
  const auto format = static_cast<CompressionFormat>(data[0] % 4);
  const BytesView packed(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  Bytes plain;
  if (!decompress(format, packed, 1 << 20, plain)) return 0;
  Bytes again, back;
  compress(format, plain, again);
  POLIS_ASSERT(decompress(format, again, plain.size(), back) && back == plain);
  return 0;
}
