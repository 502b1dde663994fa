#include "systems/ledger/tigerbeetle/multi_batch.h"

#include <algorithm>

#include "kernel/base/endian.h"

namespace polis::ledger::tigerbeetle {
namespace {

constexpr size_t kItemBytes = sizeof(uint16_t);
constexpr std::byte kPadding{0xff};

}  // namespace

size_t trailer_size_bytes(size_t batches, size_t element_bytes) {
  const size_t used = (batches + 1) * kItemBytes;
  return (used + element_bytes - 1) / element_bytes * element_bytes;
}

Result<MultiBatch> MultiBatch::decode(BytesView body, size_t element_bytes) {
  POLIS_ASSERT(element_bytes >= kItemBytes && element_bytes % kItemBytes == 0);
  if (body.size() < kItemBytes) return fail(Code::kInvalid, "the body has no trailer");
  const size_t batches = base::load_little<uint16_t>(body.data() + body.size() - kItemBytes);
  if (batches == 0) return fail(Code::kInvalid, "the trailer names no batch");
  if (batches > kBatchesMax) return fail(Code::kInvalid, "the trailer names more batches than there can be");
  const size_t trailer_bytes = trailer_size_bytes(batches, element_bytes);
  if (body.size() < trailer_bytes) return fail(Code::kInvalid, "the trailer is longer than the body");

  MultiBatch decoded;
  decoded.element_bytes_ = element_bytes;
  decoded.batches_ = batches;
  decoded.payload_ = body.first(body.size() - trailer_bytes);
  const BytesView trailer = body.last(trailer_bytes);
  const size_t used = (batches + 1) * kItemBytes;
  decoded.counts_ = trailer.last(used).first(batches * kItemBytes);
  if (!std::ranges::all_of(trailer.first(trailer_bytes - used), [](std::byte each) { return each == kPadding; }))
    return fail(Code::kInvalid, "the trailer's padding is not 0xff");

  // At most 65,534 counts of 65,535: far from overflow.
  uint64_t elements = 0;
  for (size_t i = 0; i < batches; ++i) elements += decoded.count(i);
  if (elements * element_bytes != decoded.payload_.size())
    return fail(Code::kInvalid, "the counts of the trailer do not give the size of the payload");
  return decoded;
}

uint16_t MultiBatch::count(size_t i) const {
  POLIS_ASSERT(i < batches_);
  return base::load_little<uint16_t>(counts_.data() + (batches_ - 1 - i) * kItemBytes);
}

void write_trailer(MutableBytes room, std::span<const uint16_t> counts) {
  const size_t used = (counts.size() + 1) * kItemBytes;
  POLIS_ASSERT(!counts.empty() && counts.size() <= kBatchesMax && used <= room.size());
  std::fill_n(room.begin(), room.size() - used, kPadding);
  std::byte* at = room.data() + room.size() - used;
  for (size_t i = counts.size(); i-- > 0; at += kItemBytes) base::store_little<uint16_t>(at, counts[i]);
  base::store_little<uint16_t>(at, static_cast<uint16_t>(counts.size()));
}

void append_trailer(Bytes& body, std::span<const uint16_t> counts, size_t element_bytes) {
  const size_t payload_bytes = body.size();
  body.resize(payload_bytes + trailer_size_bytes(counts.size(), element_bytes));
  write_trailer(MutableBytes(body).subspan(payload_bytes), counts);
}

}  // namespace polis::ledger::tigerbeetle
