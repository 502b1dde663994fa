// Sources and sinks in memory, for tests and benchmarks.
#pragma once

#include <algorithm>

#include "kernel/base/random.h"
#include "kernel/blob/blob.h"
#include "kernel/io/shard.h"

namespace polis::blob {

// Gives its bytes in pieces of at most `piece_bytes`, and fails instead of going past `fail_at`.
class BytesSource final : public ByteSource {
 public:
  explicit BytesSource(BytesView bytes, size_t fail_at = SIZE_MAX) : bytes_(bytes), fail_at_(fail_at) {}
  Task<Result<size_t>> read(MutableBytes into) override {
    co_await io::yield();
    if (at_ + into.size() > fail_at_) co_return fail(Code::kClosed, "the sender went away");
    const size_t size = std::min(into.size(), bytes_.size() - at_);
    std::ranges::copy(bytes_.subspan(at_, size), into.begin());
    at_ += size;
    co_return size;
  }

 private:
  BytesView bytes_;
  size_t fail_at_;
  size_t at_ = 0;
};

class BytesSink final : public ByteSink {
 public:
  Task<Result<void>> write(BytesView bytes) override {
    co_await io::yield();
    if (failing) co_return fail(Code::kClosed, "the receiver went away");
    got.insert(got.end(), bytes.begin(), bytes.end());
    co_return {};
  }
  Bytes got;
  bool failing = false;
};

inline Bytes random_bytes(Random& random, size_t size_bytes) {
  Bytes bytes(size_bytes);
  random.fill(bytes);
  return bytes;
}

}  // namespace polis::blob
