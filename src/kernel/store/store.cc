#include "kernel/store/store.h"

#include <algorithm>

#include "kernel/base/random.h"

namespace polis::store {

KeyRange prefix_range(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return {std::string(prefix), std::move(end)};
}

Task<Result<void>> back_off(int attempt) {
  constexpr int64_t kFirstUs = 200, kLastUs = 20'000;
  const int64_t most_us = std::min(kLastUs, kFirstUs << std::clamp(attempt, 0, 7));
  base::SystemRandom random;
  const auto wait_us = most_us / 2 + static_cast<int64_t>(random.below(static_cast<uint64_t>(most_us / 2 + 1)));
  co_return co_await io::sleep_for(std::chrono::microseconds(wait_us));
}

}  // namespace polis::store
