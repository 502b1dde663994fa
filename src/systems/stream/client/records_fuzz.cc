// Whatever a broker sends as records, groups and assignments: refused or read, never out of its bytes, and always
// onward.
#include "systems/stream/client/group_member.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  const BytesView bytes(reinterpret_cast<const std::byte*>(data), size);
  (void)stream::decode_assignment(bytes);
  (void)stream::decode_subscription(bytes);
  size_t seen = 0;
  const auto next = stream::scan_records(bytes, {.from = 0, .aborted = {{.producer_id = 1, .first_offset = 0}}},
                                         [&](const stream::Record& record, const stream::RecordPlace&) {
                                           if (record.key) seen += record.key->size();
                                           return seen < 1'000'000;
                                         });
  if (next) POLIS_ASSERT(*next >= 0);
  return 0;
}
