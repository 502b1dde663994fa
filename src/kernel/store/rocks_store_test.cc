#include "kernel/store/rocks_store.h"

#include "kernel/store/conformance.h"
#include "kernel/store/rocks_fixture.h"
#include "kernel/store/volatile_env.h"

namespace polis::store {
namespace {

class RocksUnderTest final : public StoreUnderTest {
 public:
  explicit RocksUnderTest(bool volatile_disk) : volatile_disk_(volatile_disk) { open(); }
  Store& store() override { return *store_; }
  void reopen() override {
    store_.reset();
    open();
  }
  bool power_cut() override {
    if (!volatile_disk_) return false;
    faults_->power_cut = true;
    reopen();
    return true;
  }

 private:
  void open() {
    faults_ = std::make_shared<DiskFaults>();
    auto opened =
        RocksStore::open({.directory = directory_.path(), .volatile_disk = volatile_disk_, .faults = faults_});
    ASSERT_TRUE(opened) << opened.error().text();
    store_ = std::move(*opened);
  }
  TemporaryDirectory directory_;
  const bool volatile_disk_;
  std::shared_ptr<DiskFaults> faults_;
  std::unique_ptr<RocksStore> store_;
};

StoreFactory rocks(std::string name, bool volatile_disk) {
  return {std::move(name), [volatile_disk] { return std::make_unique<RocksUnderTest>(volatile_disk); }};
}

INSTANTIATE_TEST_SUITE_P(Rocks, StoreConformance, testing::Values(rocks("disk", false), rocks("volatile_disk", true)),
                         factory_name);
INSTANTIATE_TEST_SUITE_P(Rocks, StoreHistory, testing::Values(rocks("volatile_disk", true)), factory_name);

}  // namespace
}  // namespace polis::store
