// What listings cost: rows read are counted, not seconds. POLIS_SUITE_FULL=1: a million keys, else fifty thousand.
#include <cstdlib>
#include <gtest/gtest.h>

#include "systems/object/test_store.h"

namespace polis::object {
namespace {

// Counts the rows that its scans hand out.
class CountingTxn final : public store::Txn {
 public:
  explicit CountingTxn(store::Txn& txn) : txn_(txn) {}
  size_t rows = 0, scans = 0;

  Task<Result<std::optional<store::Row>>> get(store::Keyspace keyspace, std::string_view key) override {
    ++rows;
    return txn_.get(keyspace, key);
  }
  Task<Result<std::optional<store::Row>>> get_for_update(store::Keyspace keyspace, std::string_view key) override {
    ++rows;
    return txn_.get_for_update(keyspace, key);
  }
  Task<Result<store::Scan>> scan(store::Keyspace keyspace, store::KeyRange range, store::ScanOptions options) override {
    auto scan = CO_TRY(co_await txn_.scan(keyspace, std::move(range), options));
    rows += scan.rows.size();
    ++scans;
    co_return scan;
  }
  Result<void> put(store::Keyspace keyspace, std::string_view key, std::string_view value) override {
    return txn_.put(keyspace, key, value);
  }
  Result<void> insert(store::Keyspace keyspace, std::string_view key, std::string_view value) override {
    return txn_.insert(keyspace, key, value);
  }
  Result<void> update_if_version(store::Keyspace keyspace, std::string_view key, uint64_t version,
                                 std::string_view value) override {
    return txn_.update_if_version(keyspace, key, version, value);
  }
  Result<void> erase(store::Keyspace keyspace, std::string_view key) override { return txn_.erase(keyspace, key); }
  Task<Result<store::CommitTime>> commit(store::Sync sync) override { return txn_.commit(sync); }
  void rollback() override { txn_.rollback(); }
  store::CommitTime view() const override { return txn_.view(); }

 private:
  store::Txn& txn_;
};

// Rows as the engine would have written them, without its reads: a million PUTs would take minutes.
class ListingCost : public testing::Test {
 protected:
  static size_t keys_in_all() {
    const char* full = std::getenv("POLIS_SUITE_FULL");
    return full && std::string_view(full) == "1" ? 1'000'000 : 50'000;
  }
  static std::string numbered(std::string_view before, size_t number, std::string_view after = {}) {
    std::string digits = std::to_string(number);
    return std::string(before) + std::string(7 - digits.size(), '0') + digits + std::string(after);
  }
  static Task<void> fill(TestStore& store, BucketId bucket, const std::vector<std::string>& keys, size_t older = 0) {
    for (size_t at = 0; at < keys.size();) {
      auto txn = (co_await store.store().begin()).value();
      for (size_t end = std::min(keys.size(), at + 20'000 / (older + 1) + 1); at < end; ++at) {
        ObjectVersion version;
        version.sequence = 1'000'000;
        version.etag = "0123456789abcdef0123456789abcdef";
        EXPECT_TRUE(txn->put(store.keyspace(), newest_key(bucket, keys[at]), encode(version)));
        for (size_t i = 0; i < older; ++i) {
          --version.sequence;
          EXPECT_TRUE(txn->put(store.keyspace(), older_key(bucket, keys[at], version.sequence), encode(version)));
        }
      }
      EXPECT_TRUE((co_await txn->commit(store::Sync::kOs)).has_value());
    }
  }
  struct Cost {
    size_t keys = 0, prefixes = 0, rows = 0, pages = 0;
  };
  // All pages of a listing.
  static Task<Cost> list(TestStore& store, BucketId bucket, ListQuery query, size_t pages_max = 1'000'000) {
    Cost cost;
    for (bool more = true; more && cost.pages < pages_max; ++cost.pages) {
      auto txn = (co_await store.store().begin()).value();
      CountingTxn counting(*txn);
      Listing page = (co_await store.engine().list(counting, bucket, query)).value();
      cost.keys += page.entries.size();
      cost.prefixes += page.common_prefixes.size();
      cost.rows += counting.rows;
      more = page.truncated;
      query.after = page.last;
    }
    co_return cost;
  }
};

TEST_F(ListingCost, a_delimiter_makes_it_follow_the_results_and_not_the_keys_below_them) {
  with_store([](TestStore& store) -> Task<void> {
    const size_t folders = 1000, in_each = keys_in_all() / folders;
    std::vector<std::string> keys;
    for (size_t i = 0; i < folders; ++i)
      for (size_t n = 0; n < in_each; ++n) keys.push_back(numbered(numbered("folder-", i, "/"), n));
    for (size_t i = 0; i < 1000; ++i)
      keys.push_back(numbered("afile-", i));  // results of their own, before the folders
    co_await fill(store, 1, keys);

    Cost cost = co_await list(store, 1, {.prefix = "folder-", .delimiter = "/", .after = {}});
    EXPECT_EQ(cost.prefixes, folders);
    EXPECT_LE(cost.rows, folders * 10) << "of " << keys.size() << " keys";

    // Scans that grew among keys shrink among folders.
    cost = co_await list(store, 1, {.prefix = {}, .delimiter = "/", .after = {}});
    EXPECT_EQ(cost.prefixes, folders);
    EXPECT_EQ(cost.keys, 1000u);
    EXPECT_LE(cost.rows, (folders + 1000) * 10);

    // One folder; and a page in the middle of everything, without a delimiter.
    cost = co_await list(store, 1, {.prefix = "folder-0000500/", .delimiter = "/", .after = {}});
    EXPECT_EQ(cost.keys, in_each);
    EXPECT_LE(cost.rows, in_each * 2 + 10);
    cost = co_await list(store, 1, {.prefix = {}, .delimiter = {}, .after = "folder-0000500/", .limit = 1000}, 1);
    EXPECT_EQ(cost.keys, 1000u);
    EXPECT_LE(cost.rows, 1100u);

    // Small pages pay once a page.
    cost = co_await list(store, 1, {.prefix = "folder-", .delimiter = "/", .after = {}, .limit = 10});
    EXPECT_EQ(cost.prefixes, folders);
    EXPECT_LE(cost.rows, folders * 20);
  });
}

TEST_F(ListingCost, older_versions_are_passed_over_however_many_there_are) {
  with_store([](TestStore& store) -> Task<void> {
    const size_t older = keys_in_all() / 500;
    std::vector<std::string> keys;
    for (size_t i = 0; i < 100; ++i) keys.push_back(numbered("k", i));
    co_await fill(store, 1, keys, older);
    Cost cost = co_await list(store, 1, {.prefix = {}, .delimiter = {}, .after = {}});
    EXPECT_EQ(cost.keys, 100u);
    EXPECT_LE(cost.rows, 1000 + 100 * 16u) << "of " << 100 * (older + 1) << " versions";

    auto txn = (co_await store.store().begin()).value();
    CountingTxn counting(*txn);
    VersionListQuery query{.prefix = {}, .delimiter = {}, .key_after = "k0000050", .version_after = {}, .limit = 500};
    auto page = (co_await store.engine().list_versions(counting, 1, query)).value();
    EXPECT_EQ(page.entries.size(), 500u);
    EXPECT_LE(counting.rows, 600u);
    // With a delimiter that every key has, a key with thousands of versions is one result.
    query = {.prefix = {}, .delimiter = "0", .key_after = {}, .version_after = {}, .limit = 500};
    counting.rows = 0;
    page = (co_await store.engine().list_versions(counting, 1, query)).value();
    EXPECT_EQ(page.common_prefixes.size(), 1u);
    EXPECT_LE(counting.rows, 20u);
  });
}

}  // namespace
}  // namespace polis::object
