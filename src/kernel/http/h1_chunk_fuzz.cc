// ChunkDecoder: the same body, trailers and end whatever the split; never more data than input.
#include <algorithm>
#include <cstdlib>

#include "kernel/http/h1.h"

namespace {

using namespace polis;
using namespace polis::http;
using namespace polis::http::h1;

std::string decode(BytesView text, size_t piece) {
  ChunkDecoder decoder;
  std::string out;
  size_t at = 0;
  while (at < text.size() && !decoder.done()) {
    auto step = decoder.feed(text.subspan(at, std::min(piece, text.size() - at)));
    if (!step) return "refused at " + std::to_string(step.error().offset_bytes);
    if (step->consumed == 0 && !step->done) std::abort();  // input that is neither used nor refused would loop forever
    at += step->consumed;
    out.append(as_text(step->data));
  }
  if (out.size() > text.size()) std::abort();
  out.append(decoder.done() ? "|done " : "|more ").append(std::to_string(at));
  for (FieldLine line : decoder.trailers()) out.append(line.name).append(":").append(line.value);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  if (size < 1) return 0;
  BytesView text(reinterpret_cast<const std::byte*>(input + 1), size - 1);
  std::string whole = decode(text, SIZE_MAX);
  if (decode(text, 1) != whole || decode(text, input[0] + 1u) != whole) std::abort();
  return 0;
}
