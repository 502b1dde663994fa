// Whatever a body says: refused or read, and what was read is within the bounds that were asked for.
#include "systems/body.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  auto body = systems::Body::parse({reinterpret_cast<const char*>(data), size});
  if (!body) return 0;
  if (const auto number = body->number("partitions", -1, 10'000, -1)) POLIS_ASSERT(*number >= -1 && *number <= 10'000);
  if (const auto list = body->list("messages", 10)) POLIS_ASSERT(list->size() <= 10);
  (void)body->text("name");
  (void)body->boolean("flag", false);
  (void)body->texts("config");
  (void)body->finish();
  return 0;
}
