#include "systems/stream/client/records.h"

#include <algorithm>
#include <set>

namespace polis::stream {
namespace {

// So that no sum with a count of records runs over.
constexpr Offset kOffsetMax = INT64_MAX - INT32_MAX - 1;

// Control records: a key of version and type; type 0 is an abort.
bool is_abort(const Record& record) {
  return record.key && record.key->size() >= 4 && base::load_big<uint16_t>(record.key->data() + 2) == 0;
}

}  // namespace

Result<Offset> scan_records(BytesView batches, ScanOptions options,
                            const std::function<bool(const Record&, const RecordPlace&)>& each) {
  std::ranges::sort(options.aborted, {}, &AbortedRange::first_offset);
  size_t next_aborted = 0;
  std::set<int64_t> aborting;  // producers whose transaction here was aborted
  Offset next = options.from;
  Bytes storage;
  while (true) {
    const std::optional<size_t> size = TRY(RecordBatch::size_of(batches));
    if (!size || *size > batches.size()) return next;
    const RecordBatch batch(batches.first(*size));
    batches = batches.subspan(*size);
    TRY(batch.check());
    if (batch.base_offset() < 0 || batch.base_offset() > kOffsetMax)
      return fail(Code::kCorrupt, "a record batch names an offset that cannot be");
    while (next_aborted < options.aborted.size() && options.aborted[next_aborted].first_offset <= batch.last_offset())
      aborting.insert(options.aborted[next_aborted++].producer_id);
    const bool aborted = batch.transactional() && !batch.control() && aborting.contains(batch.producer_id());
    const bool shown = batch.control() ? options.markers : options.aborted_records || !aborted;
    if (batch.last_offset() >= options.from && (shown || batch.control())) {
      RecordReader reader(batch, TRY(open_records(batch, storage)));
      while (const std::optional<Record> record = TRY(reader.next())) {
        if (batch.control() && is_abort(*record)) aborting.erase(batch.producer_id());
        if (!shown || record->offset < options.from) continue;
        if (!each(*record, {.batch = batch, .aborted = aborted})) return next;
        next = record->offset + 1;
      }
    }
    next = std::max(next, batch.last_offset() + 1);
  }
}

}  // namespace polis::stream
