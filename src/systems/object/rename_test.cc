#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "kernel/base/random.h"
#include "systems/object/test_store.h"

namespace polis::object {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const Owner kRenamer{"111111111111", "aaaa"};

Task<Bucket> bucket_named(TestStore& store, Versioning versioning) {
  Engine engine = store.engine();
  Bucket bucket{.name = "b", .owner = kRenamer};
  bucket.versioning = versioning;
  co_return (co_await store.change([&](Write& write) { return engine.create_bucket(write, bucket); })).value();
}

Task<ObjectVersion> put(TestStore& store, const Bucket& bucket, std::string key, std::string bytes) {
  PutVersion one{.key = key};
  one.version.owner = kRenamer;
  one.version.size_bytes = bytes.size();
  one.version.etag = "etag-" + bytes;
  one.version.tags = {{"of", bytes}};
  one.version.inlined = true;
  one.inlined_bytes = bytes;
  Engine engine = store.engine();
  co_return (co_await store.change([&](Write& write) { return engine.put(write, bucket, one); })).value().version;
}

Task<Answer<PutOutcome>> rename(TestStore& store, const Bucket& bucket, RenameObject what) {
  Engine engine = store.engine();
  auto outcome = co_await store.change([&](Write& write) { return engine.rename(write, bucket, what, kRenamer); });
  co_return outcome;
}

Task<Answer<uint64_t>> rename_prefix(TestStore& store, const Bucket& bucket, std::string from, std::string to,
                                     size_t keys_max = 1000, RenameCheck check = nullptr) {
  Engine engine = store.engine();
  RenamePrefix what{.from = std::move(from), .to = std::move(to), .keys_max = keys_max};
  if (!check) check = [](std::string_view, std::string_view, const ObjectVersion&) -> Answer<void> { return {}; };
  auto outcome =
      co_await store.change([&](Write& write) { return engine.rename_prefix(write, bucket, what, kRenamer, check); });
  co_return outcome;
}

// "key=bytes", current ones alone.
Task<std::vector<std::string>> current(TestStore& store, const Bucket& bucket) {
  Engine engine = store.engine();
  auto txn = (co_await store.store().begin()).value();
  Listing page = (co_await engine.list(*txn, bucket.id, {})).value();
  std::vector<std::string> out;
  for (const ListEntry& entry : page.entries)
    out.push_back(entry.key + "=" +
                  (co_await engine.inlined_bytes(*txn, bucket.id, entry.key, entry.version.sequence)).value());
  co_return out;
}

Task<Usage> usage_of(TestStore& store, const Bucket& bucket) {
  auto txn = (co_await store.store().begin()).value();
  co_return (co_await store.engine().usage(*txn, bucket.id)).value();
}

std::string_view code(const auto& answer) {
  return answer ? std::string_view("") : shape(answer.error().code()).name;
}

TEST(Rename, an_object_goes_with_its_bytes_its_date_and_what_hangs_on_it) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await bucket_named(store, Versioning::kUnversioned);
    ObjectVersion before = co_await put(store, bucket, "a", "one");
    co_await put(store, bucket, "z", "replaced");
    store.step_clock(std::chrono::hours(5));
    auto renamed = co_await rename(store, bucket, {.from = "a", .to = "z"});
    EXPECT_EQ(code(renamed), "");
    EXPECT_EQ(renamed->version.modified_at, before.modified_at);
    EXPECT_EQ(renamed->version.etag, "etag-one");
    EXPECT_EQ(renamed->version.tags, before.tags);
    EXPECT_GT(renamed->version.sequence, before.sequence);
    EXPECT_THAT(co_await current(store, bucket), ElementsAre("z=one"));
    EXPECT_EQ(co_await usage_of(store, bucket), (Usage{.objects = 1, .versions = 1, .size_bytes = 3}));
  });
}

TEST(Rename, what_is_behind_a_renamed_version_stays_behind_a_marker) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await bucket_named(store, Versioning::kEnabled);
    ObjectVersion old = co_await put(store, bucket, "a", "old");
    co_await put(store, bucket, "a", "new");
    co_await put(store, bucket, "b", "before");
    EXPECT_EQ(code(co_await rename(store, bucket, {.from = "a", .to = "b"})), "");
    EXPECT_THAT(co_await current(store, bucket), ElementsAre("b=new"));
    Engine engine = store.engine();
    auto txn = (co_await store.store().begin()).value();
    VersionListing all = (co_await engine.list_versions(*txn, bucket.id, {})).value();
    std::vector<std::string> names;
    for (const VersionListEntry& one : all.entries)
      names.push_back(one.key + (one.version.delete_marker ? "-" : "=" + one.version.etag) + (one.latest ? "*" : ""));
    EXPECT_THAT(names, ElementsAre("a-*", "a=etag-old", "b=etag-new*", "b=etag-before"));
    EXPECT_TRUE(
        (co_await engine.version(*txn, bucket.id, "a", VersionId{.null_version = false, .sequence = old.sequence}))
            .has_value());
    txn.reset();
    EXPECT_EQ(co_await usage_of(store, bucket),
              (Usage{.objects = 1, .versions = 3, .delete_markers = 1, .size_bytes = 12}));
    // A lone version leaves nothing behind, not even a marker.
    co_await put(store, bucket, "c", "c");
    EXPECT_EQ(code(co_await rename(store, bucket, {.from = "c", .to = "d"})), "");
    EXPECT_EQ((co_await usage_of(store, bucket)).delete_markers, 1);
  });
}

TEST(Rename, conditions_speak_of_both_ends) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await bucket_named(store, Versioning::kUnversioned);
    ObjectVersion source = co_await put(store, bucket, "a", "one");
    co_await put(store, bucket, "b", "two");
    auto with = [](Conditions from, Conditions to) {
      return RenameObject{.from = "a", .to = "b", .from_conditions = std::move(from), .to_conditions = std::move(to)};
    };
    Conditions none_match{.if_none_match = "*"}, wrong{.if_match = "x"}, right{.if_match = "\"etag-one\""};
    EXPECT_EQ(code(co_await rename(store, bucket, with({}, none_match))), "PreconditionFailed");
    EXPECT_EQ(code(co_await rename(store, bucket, with(wrong, {}))), "PreconditionFailed");
    EXPECT_EQ(code(co_await rename(store, bucket, with({}, wrong))), "PreconditionFailed");
    EXPECT_EQ(code(co_await rename(store, bucket, with({.modified_since = source.modified_at}, {}))),
              "PreconditionFailed");
    EXPECT_EQ(code(co_await rename(store, bucket,
                                   with({.unmodified_since = source.modified_at - std::chrono::seconds(1)}, {}))),
              "PreconditionFailed");
    EXPECT_EQ(code(co_await rename(store, bucket, {.from = "a", .to = "missing", .to_conditions = wrong})),
              "NoSuchKey");
    EXPECT_EQ(code(co_await rename(store, bucket, {.from = "missing", .to = "b"})), "NoSuchKey");
    EXPECT_EQ(code(co_await rename(store, bucket, {.from = "a", .to = "a"})), "InvalidRequest");
    EXPECT_THAT(co_await current(store, bucket), ElementsAre("a=one", "b=two"));
    EXPECT_EQ(code(co_await rename(store, bucket, with(right, {.if_match = "etag-two"}))), "");
    EXPECT_THAT(co_await current(store, bucket), ElementsAre("b=one"));
  });
}

TEST(Rename, a_version_under_lock_stays_where_it_is) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await bucket_named(store, Versioning::kEnabled);
    co_await put(store, bucket, "p/a", "one");
    co_await put(store, bucket, "p/b", "two");
    Engine engine = store.engine();
    const std::optional<VersionId> current_one;
    (void)(co_await store.change([&](Write& write) {
      return engine.update_version(write, bucket.id, "p/b", current_one, [](ObjectVersion& one) -> Answer<void> {
        one.legal_hold = true;
        return {};
      });
    })).value();
    EXPECT_EQ(code(co_await rename(store, bucket, {.from = "p/b", .to = "c"})), "AccessDenied");
    EXPECT_EQ(code(co_await rename_prefix(store, bucket, "p/", "q/")), "AccessDenied");
    EXPECT_THAT(co_await current(store, bucket), ElementsAre("p/a=one", "p/b=two"));
  });
}

TEST(RenamePrefix, all_keys_go_or_none) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await bucket_named(store, Versioning::kUnversioned);
    for (int i = 0; i < 2500; ++i) co_await put(store, bucket, "in/" + std::to_string(i), "x");
    co_await put(store, bucket, "in", "not below");
    co_await put(store, bucket, "out/2000", "taken");
    EXPECT_EQ(code(co_await rename_prefix(store, bucket, "in/", "out/", 2499)), "InvalidRequest");
    EXPECT_EQ(code(co_await rename_prefix(store, bucket, "in/", "out/", 2500)), "PreconditionFailed");
    auto refused =
        co_await rename_prefix(store, bucket, "in/", "new/", 2500,
                               [](std::string_view from, std::string_view to, const ObjectVersion&) -> Answer<void> {
                                 EXPECT_EQ("new" + std::string(from.substr(2)), to);
                                 if (from == "in/999") return refuse(ErrorCode::kAccessDenied);
                                 return {};
                               });
    EXPECT_EQ(code(refused), "AccessDenied");
    EXPECT_EQ((co_await usage_of(store, bucket)).objects, 2502);
    auto renamed = co_await rename_prefix(store, bucket, "in/", "new/", 2500);
    EXPECT_EQ(renamed.value(), 2500u);
    EXPECT_EQ(code(co_await rename_prefix(store, bucket, "in/", "new/", 2500)), "NoSuchKey");
    Engine engine = store.engine();
    auto txn = (co_await store.store().begin()).value();
    EXPECT_EQ((co_await engine.list(*txn, bucket.id, {.prefix = "in/"})).value().entries.size(), 0u);
    EXPECT_EQ((co_await engine.list(*txn, bucket.id, {.prefix = "new/"})).value().entries.size(), 1000u);
    txn.reset();
    EXPECT_EQ((co_await usage_of(store, bucket)).objects, 2502);
  });
}

TEST(RenamePrefix, prefixes_that_overlap_and_names_that_grow_too_long_are_refused) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await bucket_named(store, Versioning::kUnversioned);
    co_await put(store, bucket, "a/" + std::string(1000, 'k'), "x");
    EXPECT_EQ(code(co_await rename_prefix(store, bucket, "a/", "a/b/")), "InvalidRequest");
    EXPECT_EQ(code(co_await rename_prefix(store, bucket, "a/", "a")), "InvalidRequest");
    EXPECT_EQ(code(co_await rename_prefix(store, bucket, "a/", std::string(30, 'n') + "/")), "KeyTooLongError");
    EXPECT_EQ((co_await usage_of(store, bucket)).objects, 1);
  });
}

TEST(Rename, a_token_remembers_what_was_done_under_it_for_an_hour) {
  with_store([](TestStore& store) -> Task<void> {
    Engine engine = store.engine();
    const Renamed asked{.from = "a", .to = "b"}, other{.from = "a", .to = "c"};
    auto before = [&](const Renamed& what) {
      return store.change([&](Write& write) { return engine.renamed_before(write, 7, "token", what); });
    };
    EXPECT_FALSE((co_await before(asked)).value().has_value());
    (void)(co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      Renamed done = asked;
      done.keys = 5;
      CO_ASK(engine.remember_rename(write, 7, "token", done));
      co_return true;
    })).value();
    EXPECT_EQ((co_await before(asked)).value().value().keys, 5u);
    EXPECT_EQ(code(co_await before(other)), "IdempotencyParameterMismatch");
    auto forget = [&] { return store.change([&](Write& write) { return engine.forget_renames(write, 10); }); };
    store.step_clock(std::chrono::minutes(59));
    EXPECT_TRUE((co_await forget()).value());
    EXPECT_TRUE((co_await before(asked)).value().has_value());
    store.step_clock(std::chrono::hours(2));
    EXPECT_FALSE((co_await before(asked)).value().has_value());
    EXPECT_TRUE((co_await forget()).value());
    auto txn = (co_await store.store().begin()).value();
    EXPECT_TRUE((co_await txn->scan(store.keyspace(), store::prefix_range("y"))).value().rows.empty());
  });
}

// Renames among puts and deletes against a map: what is current, and how much of it.
TEST(Rename, random_changes_leave_what_a_map_says) {
  for (uint64_t seed = 1; seed <= 9; ++seed) {
    with_store([&](TestStore& store) -> Task<void> {
      base::SeededRandom random(seed);
      Bucket bucket = co_await bucket_named(store, static_cast<Versioning>(seed % 3));
      std::map<std::string, std::string> model;
      auto key = [&] { return std::string(1, static_cast<char>('a' + random.next() % 5)); };
      Engine engine = store.engine();
      for (int step = 0; step < 120; ++step) {
        std::string from = key(), to = key();
        switch (random.next() % 3) {
          case 0:
            co_await put(store, bucket, from, std::to_string(step));
            model[from] = std::to_string(step);
            break;
          case 1:
            (void)(co_await store.change([&](Write& write) {
              return engine.remove(write, bucket, {.key = from});
            })).value();
            model.erase(from);
            break;
          default: {
            auto renamed = co_await rename(store, bucket, {.from = from, .to = to});
            EXPECT_EQ(code(renamed), from == to ? "InvalidRequest" : model.contains(from) ? "" : "NoSuchKey");
            if (!renamed) break;
            model[to] = model[from];
            model.erase(from);
          }
        }
      }
      std::vector<std::string> expected;
      for (const auto& [name, bytes] : model) expected.push_back(name + "=" + bytes);
      EXPECT_EQ(co_await current(store, bucket), expected);
      // What counts add up to is what a walk over all versions finds.
      auto txn = (co_await store.store().begin()).value();
      VersionListing all = (co_await engine.list_versions(*txn, bucket.id, {})).value();
      Usage counted{.objects = static_cast<int64_t>(model.size())};
      for (const VersionListEntry& one : all.entries) counted.count(one.version, 1);
      EXPECT_EQ((co_await engine.usage(*txn, bucket.id)).value(), counted);
    });
  }
}

}  // namespace
}  // namespace polis::object
