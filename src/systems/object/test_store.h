// For tests: an engine on a real Store in a temporary directory, and a short way to run one change.
#pragma once

#include <cstdlib>
#include <filesystem>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/store/rocks_store.h"
#include "kernel/store/volatile_env.h"
#include "systems/object/engine.h"

namespace polis::object {

class TestStore {
 public:
  // With faults on a disk whose power can be cut.
  explicit TestStore(std::shared_ptr<store::DiskFaults> faults = {}) : faults_(std::move(faults)) {
    std::string pattern = (std::filesystem::temp_directory_path() / "polis-object-XXXXXX").string();
    POLIS_ASSERT(mkdtemp(pattern.data()) != nullptr);
    directory_ = pattern;
    open();
  }
  ~TestStore() {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  // Everything that was not synced is gone, as after a power cut.
  Task<void> crash() {
    faults_->power_cut = true;
    (void)co_await store_->close();
    store_.reset();
    faults_->power_cut = false;
    open();
  }
  // What the changes from here on wait for. Nothing in most tests survives them.
  void sync(store::Sync sync) { sync_ = sync; }

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
    auto answer = co_await store::transact(*store_, std::ref(attempt), sync_);
    co_return answer;
  }
  std::vector<blob::Receipt>& released() { return released_; }
  void step_clock(Duration by) { now_ += by; }
  WallTime now() const { return now_; }

 private:
  void open() {
    auto opened = store::RocksStore::open(
        {.directory = directory_ + "/store", .volatile_disk = faults_ != nullptr, .faults = faults_});
    POLIS_ASSERT(opened.has_value());
    store_ = std::move(*opened);
    keyspace_ = store_->keyspace("object").value();
  }

  const std::shared_ptr<store::DiskFaults> faults_;
  store::Sync sync_ = store::Sync::kOs;
  std::string directory_;
  std::unique_ptr<store::Store> store_;
  store::Keyspace keyspace_;
  WallTime now_{std::chrono::seconds(1'700'000'000)};
  std::vector<blob::Receipt> released_;
};

// Awaits the store's end too, as a Store wants before it goes.
template <class F>
void with_store(F test, std::shared_ptr<store::DiskFaults> faults = {}) {
  TestStore store(std::move(faults));
  io::run([&]() -> Task<bool> {
    co_await test(store);
    (void)co_await store.store().close();
    co_return true;
  });
}

}  // namespace polis::object
