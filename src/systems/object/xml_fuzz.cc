#include "systems/object/xml.h"

// Whatever a client sends: the reader answers or refuses within its limits, and what it read survives writing and reading again.
namespace {

void write(polis::object::XmlWriter& out, const polis::object::XmlElement& element) {
  out.element("text", element.text);
  for (const auto& child : element.children) {
    out.open("child");
    write(out, child);
    out.close();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  auto parsed = polis::object::parse_xml({reinterpret_cast<const char*>(bytes), size}, {.bytes_max = 64 << 10, .depth_max = 16});
  if (!parsed) return 0;
  polis::object::XmlWriter out("root");
  write(out, *parsed);
  polis::object::XmlLimits deeper{.bytes_max = 1 << 20, .depth_max = 20, .elements_max = 200'000};
  auto again = polis::object::parse_xml(out.finish(), deeper);
  POLIS_ASSERT(again.has_value());
  POLIS_ASSERT(again->text_of("text") == parsed->text);
  return 0;
}
