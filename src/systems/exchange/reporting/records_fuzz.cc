// Rows of the reporter, as a damaged store would hand them back: the first byte says of which kind.
#include "systems/exchange/reporting/records.h"

namespace polis::exchange {
namespace {

// What decodes must encode to the same bytes: one value has one form.
template <class Record>
void one(std::string_view value) {
  if (const auto record = decode<Record>(value)) POLIS_ASSERT(encoded(*record) == value);
}
template <class Record>
void chunk(std::string_view value) {
  const auto records = decode_chunk<Record>(value);
  if (!records || records->empty()) return;
  ChunkWriter<Record> all;
  for (const Record& record : *records) all.append(record);
  POLIS_ASSERT(all.take() == value);
}

}  // namespace
}  // namespace polis::exchange

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace polis::exchange;
  if (size == 0) return 0;
  const std::string_view value(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  constexpr void (*kKinds[])(std::string_view) = {
      one<OrderRecord>,  one<DayRecord>,     one<WithdrawalRecord>, one<ProgressRecord>, chunk<StoredReport>,
      chunk<FillRecord>, chunk<TradeRecord>, chunk<Movement>,       chunk<AccountOrder>, chunk<AssetAmount>};
  kKinds[bytes[0] % std::size(kKinds)](value);
  return 0;
}
