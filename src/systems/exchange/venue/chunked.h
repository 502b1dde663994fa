// A vector that never moves what it holds: chunks of 4,096, taken as they are needed, so that growing costs one chunk
// and no copy, and references stay good.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace polis::exchange {

template <class T>
class Chunked {
 public:
  static constexpr unsigned kChunkBits = 12;
  static constexpr size_t kChunkSize = size_t{1} << kChunkBits;

  size_t size() const { return size_; }
  T& operator[](size_t i) { return chunks_[i >> kChunkBits][i & (kChunkSize - 1)]; }
  const T& operator[](size_t i) const { return chunks_[i >> kChunkBits][i & (kChunkSize - 1)]; }
  T& push_back(const T& value = T()) {
    if (size_ == chunks_.size() << kChunkBits) chunks_.push_back(std::make_unique<T[]>(kChunkSize));
    T& place = (*this)[size_++];
    place = value;
    return place;
  }
  // Chunks are kept for what comes.
  void clear() { size_ = 0; }

 private:
  std::vector<std::unique_ptr<T[]>> chunks_;
  size_t size_ = 0;
};

}  // namespace polis::exchange
