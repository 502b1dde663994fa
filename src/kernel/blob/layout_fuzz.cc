// Whatever stands on a drive or comes back as a receipt: decoders refuse it or give it back unchanged.
#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/blob/blob.h"
#include "kernel/blob/layout.h"

namespace {

using namespace polis;
using namespace polis::blob;

constexpr uint64_t kNonce = 0x1122334455667788, kOffset = 64;

// A frame around the input, so that it passes the checksum and reaches the fields behind it.
void row_header(BytesView input) {
  (void)decode_row_header(input, kNonce, kOffset);
  if (input.size() < kHeaderFixedBytes || input.size() > kHeaderBytesMax) return;
  Bytes framed(input.begin(), input.end());
  framed.resize(align_up(framed.size(), kAlignBytes));
  base::store_little<uint32_t>(framed.data(), 0x31575250);
  base::store_little<uint16_t>(framed.data() + 4, static_cast<uint16_t>(framed.size()));
  base::store_little<uint64_t>(framed.data() + 8, kNonce);
  base::store_little<uint64_t>(framed.data() + 16, kOffset);
  base::store_little<uint32_t>(framed.data() + 60, 0);
  base::store_little<uint32_t>(framed.data() + 60, base::crc32c(framed));
  auto header = decode_row_header(framed, kNonce, kOffset);
  if (!header) return;
  Bytes again(header->shape.header_bytes);
  encode_row_header(*header, again);
  POLIS_ASSERT(decode_row_header(again, kNonce, kOffset).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const BytesView input{reinterpret_cast<const std::byte*>(data), size};
  row_header(input);
  (void)decode_drive_file(input);
  (void)decode_superblock(input);
  if (auto file = parse_extent_file_name(as_text(input))) POLIS_ASSERT(extent_file_name(*file) == as_text(input));
  if (auto location = decode_location(input, 4)) POLIS_ASSERT(encode_location(*location) == as_text(input));
  if (auto parts = split_segments(as_text(input), size, 4)) POLIS_ASSERT(join_segments(*parts) == as_text(input));
  (void)segments(Receipt{std::string(as_text(input)), size});
  return 0;
}
