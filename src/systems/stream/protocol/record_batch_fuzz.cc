#include "systems/stream/protocol/record_batch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polis;
  using namespace polis::stream;
  const BytesView bytes(reinterpret_cast<const std::byte*>(data), size);
  (void)RecordBatch::size_of(bytes);
  if (size < kBatchHeaderBytes) return 0;
  const RecordBatch batch(bytes);
  (void)batch.check();
  // The records are read whatever the checksum says: it only protects from accidents.
  RecordReader reader(batch, batch.records());
  for (size_t i = 0; i <= size; ++i) {
    const auto record = reader.next();
    if (!record || !*record) break;
  }
  return 0;
}
