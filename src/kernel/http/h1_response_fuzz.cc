// ResponseParser: the same result in one piece and in pieces.
#include <algorithm>
#include <cstdlib>
#include <memory>

#include "kernel/http/h1.h"

namespace {

using namespace polis;
using namespace polis::http;
using namespace polis::http::h1;

std::string describe(const ResponseParser& parser, const std::expected<Progress, Rejection>& progress) {
  if (!progress) return "reject@" + std::to_string(progress.error().offset_bytes);
  if (*progress == Progress::kNeedMore) return "more";
  const ResponseHead& head = parser.head();
  std::string out = std::to_string(parser.head_size_bytes()) + " " + std::to_string(head.content_length) + " " +
                    std::to_string(head.status);
  out.append(head.reason).push_back(static_cast<char>('0' + static_cast<int>(head.framing) * 2 + head.keep_alive));
  for (FieldLine line : head.fields) out.append(line.name).append(":").append(line.value).append("\n");
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  if (size < 1) return 0;
  const auto to = static_cast<Method>(input[0] % kMethodCount);
  BytesView text(reinterpret_cast<const std::byte*>(input + 1), size - 1);
  ResponseParser whole(to), pieces(to);
  std::string expected = describe(whole, whole.feed(text));
  const size_t stride = 1 + input[0] / 16 + text.size() / 2000;
  for (size_t end = std::min(stride, text.size());; end = std::min(end + stride, text.size())) {
    auto buffer = std::make_unique<std::byte[]>(end);
    std::copy_n(text.begin(), end, buffer.get());
    auto progress = pieces.feed({buffer.get(), end});
    if (progress && *progress == Progress::kNeedMore && end != text.size()) continue;
    if (describe(pieces, progress) != expected) std::abort();
    break;
  }
  return 0;
}
