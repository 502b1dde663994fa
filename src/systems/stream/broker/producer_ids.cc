#include "systems/stream/broker/producer_ids.h"

#include <limits>

#include "kernel/base/binary.h"

namespace polis::stream {
namespace {

constexpr std::string_view kProducerIdsRow = "p";  // the first id that no block holds

}  // namespace

Task<Result<int64_t>> ProducerIds::take() {
  const auto work = [this] { return take_here(); };
  co_return co_await io::on(home_, work);
}

Task<Result<int64_t>> ProducerIds::take_here() {
  if (next_ < end_) co_return next_++;
  CO_TRY(co_await reserving_.acquire());
  if (next_ >= end_) {
    const auto first = co_await reserve();
    if (!first) {
      reserving_.release();
      co_return fail(first.error());
    }
    next_ = *first;
    end_ = *first + kBlock;
  }
  reserving_.release();
  co_return next_++;
}

Task<Result<int64_t>> ProducerIds::reserve() {
  co_return co_await store::transact(store_, [this](store::Txn& txn) -> Task<Result<int64_t>> {
    const auto row = CO_TRY(co_await txn.get_for_update(rows_, kProducerIdsRow));
    int64_t first = 0;
    if (row) {
      base::Reader in(as_bytes(row->value));
      first = in.zigzag();
      CO_TRY(in.finish());
      if (first < 0 || first > std::numeric_limits<int64_t>::max() - kBlock)
        co_return fail(Code::kCorrupt, "the row of producer ids is not a number that can follow");
    }
    Bytes value;
    base::Writer(value).zigzag(first + kBlock);
    CO_TRY(txn.put(rows_, kProducerIdsRow, as_text(value)));
    co_return first;
  });
}

}  // namespace polis::stream
