// Frame: how one kind of log lays its records out, so that SegmentLog can find their borders, check them and cut a torn
// tail without knowing what they mean. The journal's records, Kafka's batches and the ledger's chained records are
// Frames. Stateless; a Frame that chains (each record carries the hash of the one before) checks its chain when it is
// replayed.
//
//     struct MyFrame {
//       static constexpr uint32_t kMagic = 0x..., kVersion = 1;      // stored in each segment's header
//       static constexpr size_t kHeaderBytes = 24;                   // enough to know the size of a frame
//       static constexpr size_t kAlignment = 8;                      // size_bytes of each frame is a multiple of it
//       static constexpr size_t kFrameBytesMax = 16 << 20;           // header included
//       static constexpr bool kContiguous = true;                    // false: positions may have gaps (compaction)
//       static constexpr bool kKnowsDurable = true;                  // FrameSpan::durable_before is set
//       static constexpr bool kGapsByRewrite = true;                 // optional: gaps only where rewrite() made them
//       static std::optional<FrameHead> head(BytesView header, uint32_t salt);
//       static std::optional<FrameSpan> check(BytesView frame, uint32_t salt);
//     };
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#include "kernel/base/bytes.h"

namespace polis::log {

// A record's number in its log: assigned at append, strictly rising, never reused for something else once it was
// acknowledged.
using Position = uint64_t;

// What a frame's first bytes say.
struct FrameHead {
  size_t size_bytes = 0;  // of the whole frame, padding included
  Position first = 0;
  // Behind its last position; 0 if the first bytes do not say. Formats that say it are sliced without reading frames.
  Position next = 0;
};

// What a whole, sound frame says: it holds the positions [first, next).
struct FrameSpan {
  Position first = 0;
  Position next = 0;
  // Everything before this position was on disk when the frame was written. So if such a position cannot be read, it
  // was damaged later: no torn tail. 0 if the format does not say.
  Position durable_before = 0;
  // A number of the owner, like a time: the index keeps the largest so far (FrameLog::seek_mark).
  uint64_t mark = 0;
};

// A Frame as a value, so that the code of SegmentLog is compiled once.
struct FrameFormat {
  uint32_t magic = 0;
  uint32_t version = 0;
  size_t header_bytes = 0;
  size_t alignment = 1;
  size_t frame_bytes_max = 0;
  bool contiguous = true;
  bool knows_durable = false;
  bool gaps_by_rewrite = false;
  // Nothing if no frame can begin with these header_bytes bytes. `salt` is the segment's random number: a format that
  // mixes it into its checksums cannot be deceived by a payload that looks like a frame.
  std::optional<FrameHead> (*head)(BytesView header, uint32_t salt) = nullptr;
  // Nothing if the frame (of exactly the size that head said) is damaged.
  std::optional<FrameSpan> (*check)(BytesView frame, uint32_t salt) = nullptr;
};

template <class F>
concept Frame = requires(BytesView bytes, uint32_t salt) {
  { F::kMagic } -> std::convertible_to<uint32_t>;
  { F::kVersion } -> std::convertible_to<uint32_t>;
  { F::kHeaderBytes } -> std::convertible_to<size_t>;
  { F::kAlignment } -> std::convertible_to<size_t>;
  { F::kFrameBytesMax } -> std::convertible_to<size_t>;
  { F::kContiguous } -> std::convertible_to<bool>;
  { F::kKnowsDurable } -> std::convertible_to<bool>;
  { F::head(bytes, salt) } -> std::same_as<std::optional<FrameHead>>;
  { F::check(bytes, salt) } -> std::same_as<std::optional<FrameSpan>>;
};

template <Frame F>
constexpr bool gaps_by_rewrite() {
  if constexpr (requires { F::kGapsByRewrite; }) return F::kGapsByRewrite;
  return false;
}

template <Frame F>
constexpr FrameFormat format_of() {
  static_assert(F::kHeaderBytes > 0 && F::kHeaderBytes <= 256 && F::kAlignment > 0 &&
                F::kFrameBytesMax >= F::kHeaderBytes);
  return {.magic = F::kMagic,
          .version = F::kVersion,
          .header_bytes = F::kHeaderBytes,
          .alignment = F::kAlignment,
          .frame_bytes_max = F::kFrameBytesMax,
          .contiguous = F::kContiguous,
          .knows_durable = F::kKnowsDurable,
          .gaps_by_rewrite = gaps_by_rewrite<F>(),
          .head = &F::head,
          .check = &F::check};
}

}  // namespace polis::log
