// Resolves hostile files, settings and variables, and parses hostile sizes and durations: errors, never a crash, and
// accepted values within their ranges.
#include "kernel/base/config.h"

using namespace polis;
using namespace polis::base;

namespace {

const ConfigSchema& schema() {
  static const ConfigSchema* const schema = [] {
    auto* made = new ConfigSchema;
    made->add_bool("a.flag", false, "A flag.");
    made->add_integer("a.count", 6, {1, 64}, "A count.");
    made->add_size("a.size", 1024, {512, 1 << 30}, "A size.");
    made->add_duration("b.wait", std::chrono::seconds(1), {std::chrono::milliseconds(1), std::chrono::hours(1)},
                       "A wait.");
    made->add_choice("b.mode", "x", {"x", "y"}, "A mode.");
    made->add_list("b.list", {}, "A list.");
    return made;
  }();
  return *schema;
}

void check(const Result<Config>& config) {
  if (!config) {
    POLIS_ASSERT(!config.error().message().empty());
    return;
  }
  POLIS_ASSERT(config->integer("a.count") >= 1 && config->integer("a.count") <= 64);
  POLIS_ASSERT(config->size_bytes("a.size") >= 512 && config->size_bytes("a.size") <= 1 << 30);
  POLIS_ASSERT(config->duration("b.wait") <= std::chrono::hours(1));
  POLIS_ASSERT(config->text("b.mode") == "x" || config->text("b.mode") == "y");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  check(schema().resolve({.file_text = text}));
  check(schema().resolve({.file_text = "[a]\n" + text}));
  check(schema().resolve(
      {.environment = {{"POLIS_" + text, text}, {"POLIS_A_COUNT", text}}, .settings = {text, "b.wait=" + text}}));
  if (auto size_bytes = parse_size(text)) POLIS_ASSERT(parse_size(format_size(*size_bytes)).value() == *size_bytes);
  if (auto duration = parse_duration(text))
    POLIS_ASSERT(parse_duration(format_duration(*duration)).value() == *duration);
  return 0;
}
