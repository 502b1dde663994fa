#include "kernel/log/record.h"

#include <algorithm>

#include "kernel/base/crc.h"
#include "kernel/base/endian.h"
#include "kernel/base/result.h"

namespace polis::log {

using base::load_little;
using base::store_little;

std::optional<FrameHead> RecordFrame::head(BytesView header, uint32_t salt) {
  const std::byte* in = header.data();
  const auto length = load_little<uint32_t>(in);
  if (length > kRecordPayloadBytesMax) return std::nullopt;
  if (load_little<uint32_t>(in + 20) != base::crc32c(salt, header.first(20))) return std::nullopt;
  const auto position = load_little<uint64_t>(in + 8);
  if (position == UINT64_MAX) return std::nullopt;
  return FrameHead{size_bytes(length), position};
}

std::optional<FrameSpan> RecordFrame::check(BytesView frame, uint32_t salt) {
  if (frame.size() < kHeaderBytes) return std::nullopt;
  const auto header = head(frame.first(kHeaderBytes), salt);
  if (!header || header->size_bytes != frame.size()) return std::nullopt;
  const std::byte* in = frame.data();
  const BytesView body = payload(frame);
  if (load_little<uint32_t>(in + 4) != base::crc32c(body)) return std::nullopt;
  const BytesView padding = frame.subspan(kHeaderBytes + body.size());
  if (!std::all_of(padding.begin(), padding.end(), [](std::byte b) { return b == std::byte{0}; })) return std::nullopt;
  const auto unproven = load_little<uint32_t>(in + 16);
  const bool known = unproven != UINT32_MAX && unproven <= header->first;
  return FrameSpan{
      .first = header->first, .next = header->first + 1, .durable_before = known ? header->first - unproven : 0};
}

void RecordFrame::encode(MutableBytes out, std::span<const BytesView> payload, Position position,
                         Position durable_before, uint32_t salt) {
  size_t at = kHeaderBytes;
  for (BytesView part : payload) {
    if (part.empty()) continue;
    std::memcpy(out.data() + at, part.data(), part.size());
    at += part.size();
  }
  const size_t length = at - kHeaderBytes;
  POLIS_ASSERT(length <= kRecordPayloadBytesMax && out.size() == size_bytes(length) && durable_before <= position);
  std::fill(out.begin() + static_cast<ptrdiff_t>(at), out.end(), std::byte{0});
  std::byte* to = out.data();
  store_little<uint32_t>(to, static_cast<uint32_t>(length));
  store_little<uint32_t>(to + 4, base::crc32c(out.subspan(kHeaderBytes, length)));
  store_little<uint64_t>(to + 8, position);
  store_little<uint32_t>(to + 16, static_cast<uint32_t>(std::min<uint64_t>(position - durable_before, UINT32_MAX)));
  store_little<uint32_t>(to + 20, base::crc32c(salt, out.first(20)));
}

BytesView RecordFrame::payload(BytesView frame) {
  return frame.subspan(kHeaderBytes, load_little<uint32_t>(frame.data()));
}

}  // namespace polis::log
