// RequestParser: the same result in one piece, in pieces cut by the input, and by the scalar scan; views stay inside
// the buffer.
#include <algorithm>
#include <cstdlib>
#include <memory>

#include "kernel/http/h1.h"

namespace polis::http::h1 {
std::expected<Progress, Rejection> feed_scalar(RequestParser& parser, BytesView received);
}

namespace {

using namespace polis;
using namespace polis::http;
using namespace polis::http::h1;

std::string describe(const RequestParser& parser, const std::expected<Progress, Rejection>& progress) {
  if (!progress)
    return "reject " + std::to_string(progress.error().status) + "@" + std::to_string(progress.error().offset_bytes);
  if (*progress == Progress::kNeedMore) return "more";
  const RequestHead& head = parser.head();
  std::string out = std::to_string(parser.head_size_bytes()) + " " + std::to_string(head.content_length);
  out.append(head.method_text).append(head.target).append(head.authority).append(head.path).append(head.query);
  out.push_back(static_cast<char>('0' + static_cast<int>(head.framing) * 2 + head.keep_alive));
  for (FieldLine line : head.fields) out.append(line.name).append(":").append(line.value).append("\n");
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  if (size < 1) return 0;
  const size_t step = input[0] % 32 + 1u;
  BytesView text(reinterpret_cast<const std::byte*>(input + 1), size - 1);
  RequestParser whole, scalar, pieces;
  std::string expected = describe(whole, whole.feed(text));
  if (describe(scalar, feed_scalar(scalar, text)) != expected) std::abort();
  // Long inputs in fine pieces would copy quadratically.
  const size_t stride = step * (1 + text.size() / 2000);
  for (size_t end = std::min(stride, text.size());; end = std::min(end + stride, text.size())) {
    // A buffer of its own each time and exactly as large: reading past its end is seen, and so is a view into an older
    // one.
    auto buffer = std::make_unique<std::byte[]>(end);
    std::copy_n(text.begin(), end, buffer.get());
    auto progress = pieces.feed({buffer.get(), end});
    if (progress && *progress == Progress::kNeedMore && end != text.size()) continue;
    if (describe(pieces, progress) != expected) std::abort();
    break;
  }
  return 0;
}
