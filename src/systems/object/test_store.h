// For tests: an engine on a real Store in a temporary directory, and a short way to run one change.
#pragma once

#include <cstdlib>
#include <filesystem>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/store/rocks_store.h"
#include "systems/object/engine.h"

namespace polis::object {

class TestStore {
 public:
  TestStore() {
    std::string pattern = (std::filesystem::temp_directory_path() / "polis-object-XXXXXX").string();
    POLIS_ASSERT(mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    auto opened = store::RocksStore::open({.directory = directory_ + "/store"});
    POLIS_ASSERT(opened.has_value());
    store_ = std::move(*opened);
    keyspace_ = store_->keyspace("object").value();
  }
  ~TestStore() {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  store::Store& store() { return *store_; }
  store::Keyspace keyspace() const { return keyspace_; }
  Engine engine() const { return Engine(keyspace_); }

  // One change at the next tick of a clock that only this store has. What was released is collected.
  template <class F>
  auto change(F body) -> std::invoke_result_t<F&, Write&> {
    now_ += std::chrono::seconds(1);
    auto attempt = [&](store::Txn& txn) -> std::invoke_result_t<F&, Write&> {
      Write write{.txn = txn, .now = now_, .slot = 3};
      auto answer = co_await body(write);
      if (answer) released_.insert(released_.end(), write.released.begin(), write.released.end());
      co_return answer;
    };
    // Nothing here survives the test: no sync.
    auto answer = co_await store::transact(*store_, std::ref(attempt), store::Sync::kOs);
    co_return answer;
  }
  std::vector<blob::Receipt>& released() { return released_; }
  void step_clock(Duration by) { now_ += by; }
  WallTime now() const { return now_; }

 private:
  std::string directory_;
  std::unique_ptr<store::Store> store_;
  store::Keyspace keyspace_;
  WallTime now_{std::chrono::seconds(1'700'000'000)};
  std::vector<blob::Receipt> released_;
};

// Awaits the store's end too, as a Store wants before it goes.
template <class F>
void with_store(F test) {
  TestStore store;
  io::run([&]() -> Task<bool> {
    co_await test(store);
    (void)co_await store.store().close();
    co_return true;
  });
}

}  // namespace polis::object
