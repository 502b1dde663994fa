// The retry loop of store.h.
#pragma once

#include "kernel/io/shard.h"
#include "kernel/store/store.h"

namespace polis::store {

// Sleeps before try number `attempt` (0-based): jittered, doubling from 0.2 ms to 20 ms.
Task<Result<void>> back_off(int attempt);

template <class F>
auto transact(Store& store, F body, Sync sync, int tries) -> std::invoke_result_t<F&, Txn&> {
  for (int attempt = 0;; ++attempt) {
    auto txn = CO_TRY(co_await store.begin());
    auto value = co_await body(*txn);
    if (!value) co_return std::unexpected(std::move(value).error());
    auto committed = co_await txn->commit(sync);
    if (committed) co_return std::move(value);
    if (committed.error().code() != Code::kConflict || attempt + 1 >= tries)
      co_return std::unexpected(std::move(committed).error());
    txn.reset();
    CO_TRY(co_await back_off(attempt));
  }
}

}  // namespace polis::store
