// Several batches in one message body: the clients put what many callers want at once into one request. Sans-IO.
//
//     body    = element* pad trailer
//     trailer = 0xff* count(n) ... count(2) count(1) n      u16 each, read from the end; a multiple of the element
//                                                           size, of the event's in requests, of the result's in
//                                                           replies
//
// Element sizes are powers of two from 8 to 128 (sparse results have 8), so that the payload always ends on a u16.
#pragma once

#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace polis::ledger::tigerbeetle {

inline constexpr size_t kBatchesMax = 0xfffe;  // 0xffff is padding

// Bytes of the trailer of `batches` >= 1.
size_t trailer_size_bytes(size_t batches, size_t element_bytes);

// A body taken apart. Views into it.
class MultiBatch {
 public:
  // kInvalid for no batch, counts that do not give the payload's size, padding that is not 0xff.
  static Result<MultiBatch> decode(BytesView body, size_t element_bytes);

  BytesView payload() const { return payload_; }
  size_t elements() const { return payload_.size() / element_bytes_; }
  size_t batches() const { return batches_; }
  // Elements of batch i.
  uint16_t count(size_t i) const;

 private:
  BytesView payload_;
  BytesView counts_;  // of the last batch first
  size_t batches_ = 0;
  size_t element_bytes_ = 1;
};

// The trailer behind a payload whose batches have these counts, as it is appended to a reply or request. `counts` has
// 1 to kBatchesMax.
void append_trailer(Bytes& body, std::span<const uint16_t> counts, size_t element_bytes);
// The same into room of exactly trailer_size_bytes().
void write_trailer(MutableBytes room, std::span<const uint16_t> counts);

}  // namespace polis::ledger::tigerbeetle
