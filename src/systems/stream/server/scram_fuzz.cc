// Both messages of a SCRAM client, split at the first line feed: any bytes are refused or answered, and no answer is
// given without the password.
#include <cstdlib>

#include "systems/stream/server/scram.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  using namespace polis::stream;
  static const ScramCredential kCredential =
      *make_scram_credential(ScramMechanism::kSha256, "pencil", Bytes(16, std::byte{7}), kScramIterationsMin);
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  ScramExchange exchange(ScramMechanism::kSha256, "3rfcNHYJY1ZVvWVs7j");
  const auto user = exchange.begin(as_bytes(input.substr(0, line)));
  if (!user) return 0;
  if (user->empty() || user->size() > kUserNameBytesMax) std::abort();
  if (exchange.challenge(kCredential).empty()) std::abort();
  if (line == std::string_view::npos) return 0;
  // Nobody finds the proof by chance.
  if (exchange.finish(as_bytes(input.substr(line + 1)))) std::abort();
  return 0;
}
