#include "kernel/base/random.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <pthread.h>
#include <sys/random.h>

#include "kernel/base/result.h"

namespace polis::base {
namespace {

__extension__ typedef unsigned __int128 Wide;

// getrandom(2) answers up to 256 bytes at once and is not interrupted by signals once the pool is seeded.
constexpr size_t kEntropyBufferBytes = 256;

void fill_from_system(MutableBytes out) {
  while (!out.empty()) {
    ssize_t got = getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    POLIS_ASSERT(got > 0);  // A kernel without getrandom cannot make keys; nothing safe is left to do.
    out = out.subspan(static_cast<size_t>(got));
  }
}

// Counts forks, so that a child never hands out bytes that its parent's buffer still holds.
std::atomic<uint32_t> fork_generation{0};
const int fork_watch =
    pthread_atfork(nullptr, nullptr, [] { fork_generation.fetch_add(1, std::memory_order_relaxed); });

struct EntropyBuffer {
  std::byte bytes[kEntropyBufferBytes];
  size_t used = kEntropyBufferBytes;
  uint32_t generation = 0;

  void take(MutableBytes out) {
    uint32_t now = fork_generation.load(std::memory_order_relaxed);
    if (generation != now || kEntropyBufferBytes - used < out.size()) {
      fill_from_system(bytes);
      used = 0;
      generation = now;
    }
    std::memcpy(out.data(), bytes + used, out.size());
    std::memset(bytes + used, 0, out.size());  // What was handed out may be a key: keep no second copy.
    used += out.size();
  }
};
thread_local EntropyBuffer entropy;

uint64_t split_mix_64(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t Random::below(uint64_t bound) {
  POLIS_ASSERT(bound > 0);
  Wide product = static_cast<Wide>(next()) * bound;
  if (static_cast<uint64_t>(product) < bound) {
    uint64_t threshold = -bound % bound;
    while (static_cast<uint64_t>(product) < threshold) product = static_cast<Wide>(next()) * bound;
  }
  return static_cast<uint64_t>(product >> 64);
}

void SystemRandom::fill(MutableBytes out) {
  if (out.empty()) return;
  if (out.size() >= kEntropyBufferBytes) return fill_from_system(out);
  entropy.take(out);
}

uint64_t SystemRandom::next() {
  uint64_t value;
  entropy.take({reinterpret_cast<std::byte*>(&value), sizeof value});
  return value;
}

SeededRandom::SeededRandom(uint64_t seed) {
  for (uint64_t& word : state_) word = split_mix_64(seed);
}

uint64_t SeededRandom::next() {
  uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

void SeededRandom::fill(MutableBytes out) {
  while (!out.empty()) {
    uint64_t word = next();
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);  // One seed, one stream.
    size_t size_bytes = std::min(out.size(), sizeof word);
    std::memcpy(out.data(), &word, size_bytes);
    out = out.subspan(size_bytes);
  }
}

}  // namespace polis::base
