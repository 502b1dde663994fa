#include "systems/object/lifecycle.h"

// Whatever a client sends as lifecycle rules is refused, or comes back as a document that means the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace polis::object;
  std::string inside(reinterpret_cast<const char*>(bytes), size);
  for (const std::string& text : {inside, "<LifecycleConfiguration><Rule><Status>Enabled</Status>" + inside +
                                              "</Rule></LifecycleConfiguration>"}) {
    auto document = parse_xml(text, {.bytes_max = 64 << 10});
    if (!document) continue;
    auto rules = parse_lifecycle(*document, 1);
    if (!rules) continue;
    const std::string written = lifecycle_document(*rules);
    auto again = parse_xml(written, {.bytes_max = 1 << 20});
    POLIS_ASSERT(again.has_value());
    auto same = parse_lifecycle(*again, 1);
    // Expiration without effect (no expired delete markers) is left out: a rule of nothing else is none.
    if (!same) continue;
    POLIS_ASSERT(lifecycle_document(*same) == written);
  }
  return 0;
}
