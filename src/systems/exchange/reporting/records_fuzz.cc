// Rows of the reporter, as a damaged store would hand them back: the first byte says of which kind.
#include "systems/exchange/reporting/records.h"

namespace polis::exchange {
namespace {

// What decodes must encode to the same bytes: one value has one form.
template <class Record>
void must_match(const Result<Record>& record, std::string_view value) {
  if (record) POLIS_ASSERT(encoded(*record) == value);
}
template <class Record>
void must_match(const Result<std::vector<Record>>& chunk, std::string_view value) {
  if (!chunk) return;
  std::string all;
  for (const Record& record : *chunk) all += encoded(record);
  POLIS_ASSERT(all == value);
}

}  // namespace
}  // namespace polis::exchange

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace polis::exchange;
  if (size == 0) return 0;
  const std::string_view value(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  switch (bytes[0] % 9) {
    case 0:
      must_match(decode_order(value), value);
      break;
    case 1:
      must_match(decode_day(value), value);
      break;
    case 2:
      must_match(decode_withdrawal(value), value);
      break;
    case 3:
      must_match(decode_progress(value), value);
      break;
    case 4:
      must_match(decode_reports(value, 7), value);
      break;
    case 5:
      must_match(decode_fills(value), value);
      break;
    case 6:
      must_match(decode_trades(value), value);
      break;
    case 7:
      must_match(decode_movements(value), value);
      break;
    case 8:
      must_match(decode_account_orders(value), value);
      must_match(decode_amounts(value), value);
      break;
  }
  return 0;
}
