// The journal's record as a Frame. On disk, integers little endian, padded with zeros to a multiple of 8 bytes:
//
//     record := length:u32 payload_crc:u32 position:u64 unproven:u32 header_crc:u32 payload:length padding
//
//     length       of the payload, 0 .. 16 MiB
//     payload_crc  CRC-32C of the payload
//     unproven     position minus the first position that was not known to be on disk when the record was made; all
//     ones if more header_crc   CRC-32C of the 20 bytes before it, continued from the segment's salt
//
// The salt keeps a payload that imitates a record from being taken for one while a torn tail is judged; `unproven`
// tells a torn tail from damage (FrameSpan::durable_before). A stretch of zeros is never a record.
#pragma once

#include "kernel/log/frame.h"

namespace polis::log {

// The largest payload: what the largest message of a protocol in polis needs with room to spare; one record is always
// in memory as a whole.
inline constexpr size_t kRecordPayloadBytesMax = size_t{16} << 20;

struct RecordFrame {
  static constexpr uint32_t kMagic = 0x4c4e524a;  // "JRNL"
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kHeaderBytes = 24;
  static constexpr size_t kAlignment = 8;
  static constexpr size_t kFrameBytesMax = kHeaderBytes + kRecordPayloadBytesMax;
  static constexpr bool kContiguous = true;
  static constexpr bool kKnowsDurable = true;

  static std::optional<FrameHead> head(BytesView header, uint32_t salt);
  static std::optional<FrameSpan> check(BytesView frame, uint32_t salt);

  static constexpr size_t size_bytes(size_t payload_bytes) { return kHeaderBytes + (payload_bytes + 7) / 8 * 8; }
  // Fills `out`, which has size_bytes(payload) bytes.
  static void encode(MutableBytes out, std::span<const BytesView> payload, Position position, Position durable_before,
                     uint32_t salt);
  // The payload of a frame that check() accepted.
  static BytesView payload(BytesView frame);
};

}  // namespace polis::log
