// Bodies and query values as a hostile browser sends them: whatever comes, the answer is a value within its bounds or
// an error.
#include "systems/ledger/faces/console_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto number = ledger::parse_number("n", text, 3, 1000)) POLIS_ASSERT(*number >= 3 && *number <= 1000);
  if (auto id = ledger::parse_id("id", text)) POLIS_ASSERT(*id != 0 && *id != ledger::kU128Max);
  auto form = ledger::Form::parse(text);
  if (!form) return 0;
  (void)form->number("id", ledger::kU128Max, 0);
  if (auto code = form->number("code", UINT16_MAX)) POLIS_ASSERT(*code <= UINT16_MAX);
  (void)form->boolean("pending", false);
  if (auto workers = form->numbers("workers", 64)) {
    POLIS_ASSERT(workers->size() <= 64);
    for (uint64_t one : *workers) POLIS_ASSERT(one <= 64);
  }
  (void)form->finish();
  return 0;
}
