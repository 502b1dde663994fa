// WebSocket decoder: the same messages and the same end whatever the split.
#include <algorithm>
#include <cstdlib>

#include "kernel/http/ws.h"

namespace {

using namespace polis;
using namespace polis::http::ws;

std::string decode(BytesView input, size_t piece, Role role) {
  Decoder decoder(role, 4096);
  std::string out;
  for (size_t at = 0; at < input.size();) {
    auto step = decoder.feed(input.subspan(at, std::min(piece, input.size() - at)));
    if (!step) return out + "!" + std::to_string(step.error().close_code) + std::string(step.error().rule);
    at += step->consumed;
    if (step->consumed == 0 && !step->message) std::abort();
    if (!step->message) continue;
    if (step->message->payload.size() > 4096) std::abort();
    out.append(std::to_string(static_cast<int>(step->message->opcode)))
        .append(std::to_string(step->message->close_code));
    out.append(as_text(step->message->payload)).push_back('|');
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  if (size < 1) return 0;
  const Role role = input[0] & 1 ? Role::kServer : Role::kClient;
  BytesView bytes(reinterpret_cast<const std::byte*>(input + 1), size - 1);
  std::string whole = decode(bytes, SIZE_MAX, role);
  if (decode(bytes, 1, role) != whole || decode(bytes, input[0] / 2 + 1u, role) != whole) std::abort();
  return 0;
}
