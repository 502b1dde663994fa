// Bodies and query values as a hostile browser sends them: whatever comes, the answer is a value within its bounds or
// an error.
#include "systems/ledger/faces/console_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto number = ledger::parse_number("n", text, 3, 1000)) POLIS_ASSERT(*number >= 3 && *number <= 1000);
  if (auto id = ledger::parse_id("id", text)) POLIS_ASSERT(*id != 0 && *id != ledger::kU128Max);
  auto body = systems::Body::parse(text);
  if (!body) return 0;
  (void)ledger::number(*body, "id", ledger::kU128Max, 0);
  if (auto code = ledger::number(*body, "code", UINT16_MAX)) POLIS_ASSERT(*code <= UINT16_MAX);
  if (auto workers = body->numbers("workers", 64, 64)) {
    POLIS_ASSERT(workers->size() <= 64);
    for (int64_t one : *workers) POLIS_ASSERT(one >= 0 && one <= 64);
  }
  (void)body->boolean("pending", false);
  (void)body->finish();
  return 0;
}
