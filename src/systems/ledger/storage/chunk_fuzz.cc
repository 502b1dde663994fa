// Bytes that claim to be a chunk: the header's parser must refuse or understand them, and a chunk that opens must be
// readable to its end. Every input is tried as it is, and as the numbers of a sound header that is then changed, with
// its checksum made right, so that the rules behind the checksum are reached.
#include <cstring>

#include "kernel/base/binary.h"
#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "systems/ledger/storage/chunk.h"

namespace polis::ledger {
namespace {

constexpr size_t kCrcAt = 8 + 4 + 4 + 4 * 8 + kChunkNameBytesMax + 4 + 4 + kFieldsMax * 8 + 8 + 4;

void understand(BytesView bytes) {
  const auto header = decode_header(bytes, bytes.size());
  if (!header) return;
  // What was understood is written down as the same bytes.
  const Bytes page = encode_header(*header);
  POLIS_ASSERT(std::memcmp(page.data(), bytes.data(), kChunkPageBytes) == 0);
  auto memory = std::make_shared<std::vector<std::max_align_t>>(bytes.size() / sizeof(std::max_align_t) + 1);
  std::memcpy(memory->data(), bytes.data(), bytes.size());
  const auto chunk =
      Chunk::in_memory(memory, BytesView(reinterpret_cast<const std::byte*>(memory->data()), bytes.size()));
  POLIS_ASSERT(chunk);
  for (uint64_t page_number = 0; page_number < (*chunk)->pages(); ++page_number) {
    (void)(*chunk)->verify_page(page_number);
    POLIS_ASSERT(!(*chunk)->what_is_on(page_number).empty());
  }
  uint64_t sum = 0;
  for (uint64_t key : (*chunk)->keys()) sum += key;
  for (uint32_t row = 0; row < header->rows; ++row)
    sum += std::to_integer<uint64_t>((*chunk)->rows()[uint64_t{row} * header->row_bytes]);
  asm volatile("" : : "r"(sum));  // so that the reads happen
}

// A header that is right, with numbers of the input's choice.
Bytes header_of(base::Reader& in) {
  ChunkHeader header;
  header.name = "rows";
  header.number = in.u64() % (UINT64_MAX / kRowsPerChunkMax + 2);
  header.row_bytes = 8 + in.u8() % 16 * 8;
  header.rows = 1 + in.u8();
  header.has_keys = in.u8() & 1;
  header.key_seed = in.u64();
  header.identity = in.u64();
  for (uint8_t fields = in.u8() % (kFieldsMax + 1); fields > 0; --fields)
    header.fields.push_back({.values = in.u8(), .postings = in.u8()});
  header.checks_crc = in.u32();
  Bytes bytes = encode_header(header);
  bytes.resize(ChunkLayout(header).size_bytes);
  return bytes;
}

}  // namespace
}  // namespace polis::ledger

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  using namespace polis::ledger;
  const BytesView input = as_bytes(std::string_view(reinterpret_cast<const char*>(data), size));
  understand(input);

  // A sound chunk with some bytes of its header changed, and the header's checksum made right again.
  base::Reader in(input);
  Bytes bytes = header_of(in);
  while (in.remaining_bytes() >= 2) {
    const uint8_t at = in.u8();
    bytes[at % kCrcAt] ^= static_cast<std::byte>(in.u8());
  }
  base::store_little<uint32_t>(bytes.data() + kCrcAt, base::crc32c(BytesView(bytes).first(kCrcAt)));
  understand(bytes);
  return 0;
}
