// Hostile headers and field values: parsers answer errors, and what obs writes stays one line, valid UTF-8 and closed
// JSON.
#include <algorithm>

#include "kernel/base/text_encoding.h"
#include "kernel/obs/log.h"
#include "kernel/obs/metrics.h"
#include "kernel/obs/trace.h"

using namespace polis;
using namespace polis::obs;

namespace {

bool control(char c) {
  return (c >= 0 && c < 0x20) || c == 0x7f;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);

  if (auto context = TraceContext::parse(text)) {
    std::string again = context->traceparent();
    POLIS_ASSERT(TraceContext::parse(again).value().trace == context->trace);
    POLIS_ASSERT(again.substr(3, 49) == text.substr(3, 49));
  }
  (void)choose_exposition(text);
  (void)parse_level(text);

  for (const std::string& line : {format_text({}, Level::kInfo, text, {{"key", text}, {text, 1}}),
                                  format_json({}, Level::kInfo, text, {{"key", text}, {text, 1}})}) {
    POLIS_ASSERT(std::ranges::none_of(line, control));
    POLIS_ASSERT(line.size() <= Log::kLineBytesMax);
  }
  std::string json = format_json({}, Level::kInfo, text, {{"key", text}});
  POLIS_ASSERT(base::utf8_valid(json) && json.ends_with('}'));

  Registry registry;
  registry.counter("c", text, {{"label", std::string(text)}}).add();
  std::string exposition = render(registry.snapshot(), Exposition::kOpenMetrics);
  POLIS_ASSERT(std::ranges::count(exposition, '\n') == (text.empty() ? 3 : 4));
  return 0;
}
