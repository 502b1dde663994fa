// Listings against an obvious model: a sorted map and a filter.
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "systems/object/test_store.h"

namespace polis::object {
namespace {

struct ModelListing {
  std::vector<std::string> keys, prefixes;
  bool truncated = false;
  std::string last;
};

ModelListing model_list(const std::set<std::string>& keys, const ListQuery& query) {
  ModelListing out;
  std::string last_prefix;
  bool after_is_prefix = false;
  if (!query.delimiter.empty() && query.after.starts_with(query.prefix)) {
    size_t at = query.after.find(query.delimiter, query.prefix.size());
    after_is_prefix = at != std::string::npos && at + query.delimiter.size() == query.after.size();
  }
  for (const std::string& key : keys) {
    if (!key.starts_with(query.prefix)) continue;
    if (!query.after.empty() && key <= query.after) continue;
    if (after_is_prefix && key.starts_with(query.after)) continue;
    std::string common;
    if (!query.delimiter.empty()) {
      size_t at = key.find(query.delimiter, query.prefix.size());
      if (at != std::string::npos) common = key.substr(0, at + query.delimiter.size());
    }
    if (!common.empty() && common == last_prefix) continue;
    if (out.keys.size() + out.prefixes.size() == query.limit) {
      out.truncated = query.limit > 0;
      return out;
    }
    if (common.empty()) {
      out.keys.push_back(key);
      out.last = key;
    } else {
      out.prefixes.push_back(common);
      last_prefix = common;
      out.last = common;
    }
  }
  return out;
}

// Short keys over a small alphabet with the bytes that matter: the delimiter, zero, the highest byte, a neighbour of
// each.
std::string random_text(Random& random, size_t size_max) {
  static constexpr std::string_view kAlphabet("a/b0\x00\x01\xfe\xff.", 9);
  std::string text;
  for (size_t i = random.below(size_max + 1); i > 0; --i) text.push_back(kAlphabet[random.below(kAlphabet.size())]);
  return text;
}

TEST(Listing, agrees_with_a_sorted_set_under_random_keys_and_queries) {
  with_store([](TestStore& store) -> Task<void> {
    Engine engine = store.engine();
    for (uint64_t seed = 1; seed <= 12; ++seed) {
      base::SeededRandom random(seed);
      Bucket bucket{.name = "bucket-" + std::to_string(seed),
                    .versioning = seed % 2 ? Versioning::kEnabled : Versioning::kUnversioned};
      bucket = (co_await store.change([&](Write& write) { return engine.create_bucket(write, bucket); })).value();
      std::set<std::string> live;
      (void)co_await store.change([&](Write& write) -> Task<Answer<bool>> {
        live.clear();
        for (int i = 0; i < 150; ++i) {
          std::string key = random_text(random, 6);
          if (key.empty()) continue;
          if (random.chance(1, 4)) {
            CO_ASK(co_await engine.remove(write, bucket, {.key = key}));
            live.erase(key);
          } else {
            PutVersion put{.key = key};
            CO_ASK(co_await engine.put(write, bucket, put));
            live.insert(key);
          }
        }
        co_return true;
      });
      auto txn = (co_await store.store().begin()).value();
      for (int i = 0; i < 60; ++i) {
        ListQuery query{.prefix = random_text(random, 2),
                        .delimiter = random.chance(1, 3) ? "" : random_text(random, 2),
                        .after = random.chance(1, 2) ? "" : random_text(random, 4),
                        .limit = random.below(12)};
        auto listing = co_await engine.list(*txn, bucket.id, query);
        ModelListing expected = model_list(live, query);
        std::vector<std::string> keys;
        for (const ListEntry& entry : listing->entries) keys.push_back(entry.key);
        EXPECT_EQ(keys, expected.keys) << "seed " << seed << " query " << i;
        EXPECT_EQ(listing->common_prefixes, expected.prefixes) << "seed " << seed << " query " << i;
        EXPECT_EQ(listing->truncated, expected.truncated) << "seed " << seed << " query " << i;
      }
    }
  });
}

TEST(Listing, pages_put_together_are_the_whole) {
  with_store([](TestStore& store) -> Task<void> {
    Engine engine = store.engine();
    base::SeededRandom random(7);
    Bucket bucket{.name = "pages"};
    bucket = (co_await store.change([&](Write& write) { return engine.create_bucket(write, bucket); })).value();
    (void)co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      for (int i = 0; i < 200; ++i) CO_ASK(co_await engine.put(write, bucket, {.key = "k" + random_text(random, 6)}));
      co_return true;
    });
    auto txn = (co_await store.store().begin()).value();
    for (std::string delimiter : {"", "/", "a"}) {
      Listing whole = (co_await engine.list(*txn, bucket.id, {.delimiter = delimiter, .limit = 1000})).value();
      std::vector<std::string> expected, got;
      for (const auto& entry : whole.entries) expected.push_back(entry.key);
      for (const auto& prefix : whole.common_prefixes) expected.push_back(prefix);
      ListQuery query{.delimiter = delimiter, .limit = 7};
      for (bool more = true; more;) {
        Listing page = (co_await engine.list(*txn, bucket.id, query)).value();
        for (const auto& entry : page.entries) got.push_back(entry.key);
        for (const auto& prefix : page.common_prefixes) got.push_back(prefix);
        more = page.truncated;
        query.after = page.last;
      }
      std::sort(expected.begin(), expected.end());
      std::sort(got.begin(), got.end());
      EXPECT_EQ(got, expected);
    }
  });
}

TEST(Listing, versions_come_by_key_then_newest_first_over_any_page_size) {
  with_store([](TestStore& store) -> Task<void> {
    Engine engine = store.engine();
    base::SeededRandom random(11);
    Bucket bucket{.name = "versions", .versioning = Versioning::kEnabled};
    bucket = (co_await store.change([&](Write& write) { return engine.create_bucket(write, bucket); })).value();
    std::map<std::string, std::vector<std::string>> model;  // ids, oldest first
    for (int i = 0; i < 40; ++i) {
      std::string key(1, static_cast<char>('a' + random.below(4)));
      bool marker = random.chance(1, 4);
      std::string id;
      (void)co_await store.change([&](Write& write) -> Task<Answer<bool>> {
        if (marker)
          id = CO_ASK(co_await engine.remove(write, bucket, {.key = key})).version_id;
        else
          id = CO_ASK(co_await engine.put(write, bucket, {.key = key})).version.version_id();
        co_return true;
      });
      model[key].push_back(id);
    }
    std::vector<std::pair<std::string, std::string>> expected;
    for (const auto& [key, ids] : model)
      for (auto id = ids.rbegin(); id != ids.rend(); ++id) expected.emplace_back(key, *id);
    auto txn = (co_await store.store().begin()).value();
    for (size_t limit : {1, 2, 3, 7, 1000}) {
      std::vector<std::pair<std::string, std::string>> got;
      VersionListQuery query{.limit = limit};
      for (bool more = true; more;) {
        VersionListing page = (co_await engine.list_versions(*txn, bucket.id, query)).value();
        for (const auto& entry : page.entries) {
          EXPECT_EQ(entry.latest, entry.version.version_id() == model[entry.key].back());
          got.emplace_back(entry.key, entry.version.version_id());
        }
        more = page.truncated;
        query.key_after = page.last_key;
        if (!page.last_version_id.empty()) query.version_after = VersionId::parse(page.last_version_id).value();
      }
      EXPECT_EQ(got, expected) << "pages of " << limit;
    }
  });
}

}  // namespace
}  // namespace polis::object
