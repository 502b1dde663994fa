#include "systems/object/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/test_store.h"

namespace polis::object {
namespace {

using testing::ElementsAre;

const Owner kOwner{"111111111111", "aaaa"};
const Owner kOther{"222222222222", "bbbb"};

Task<Bucket> make_bucket(TestStore& store, std::string name, Versioning versioning = Versioning::kUnversioned) {
  Engine engine = store.engine();
  Bucket bucket;
  bucket.name = std::move(name);
  bucket.owner = kOwner;
  bucket.versioning = versioning;
  auto made = co_await store.change([&](Write& write) { return engine.create_bucket(write, bucket); });
  EXPECT_TRUE(made.has_value());
  co_return *made;
}

PutVersion inlined(std::string key, std::string bytes) {
  PutVersion put{.key = std::move(key)};
  put.version.owner = kOwner;
  put.version.size_bytes = bytes.size();
  put.version.etag = base::hex_encode(base::md5(std::string_view(bytes)));
  put.version.inlined = true;
  put.inlined_bytes = std::move(bytes);
  return put;
}

Task<Answer<PutOutcome>> put(TestStore& store, const Bucket& bucket, PutVersion version) {
  Engine engine = store.engine();
  auto outcome = co_await store.change([&](Write& write) { return engine.put(write, bucket, version); });
  co_return outcome;
}

Task<Answer<DeleteOutcome>> remove(TestStore& store, const Bucket& bucket, DeleteVersion version) {
  Engine engine = store.engine();
  version.owner = kOwner;
  auto outcome = co_await store.change([&](Write& write) { return engine.remove(write, bucket, version); });
  co_return outcome;
}

Task<std::string> read(TestStore& store, const Bucket& bucket, std::string key, std::optional<VersionId> id = {}) {
  Engine engine = store.engine();
  auto txn = (co_await store.store().begin()).value();
  auto version = co_await engine.version(*txn, bucket.id, key, id);
  if (!version) co_return std::string(shape(version.error().code()).name);
  if (version->delete_marker) co_return "delete marker";
  co_return (co_await engine.inlined_bytes(*txn, bucket.id, key, version->sequence)).value();
}

Task<Usage> usage(TestStore& store, const Bucket& bucket) {
  auto txn = (co_await store.store().begin()).value();
  co_return (co_await store.engine().usage(*txn, bucket.id)).value();
}

TEST(Engine, a_second_bucket_of_a_name_is_refused_and_says_whose_the_first_is) {
  with_store([](TestStore& store) -> Task<void> {
    co_await make_bucket(store, "photos");
    Engine engine = store.engine();
    Bucket again{.name = "photos", .owner = kOwner};
    auto mine = co_await store.change([&](Write& write) { return engine.create_bucket(write, again); });
    EXPECT_EQ(mine.error().code(), ErrorCode::kBucketAlreadyOwnedByYou);
    again.owner = kOther;
    auto theirs = co_await store.change([&](Write& write) { return engine.create_bucket(write, again); });
    EXPECT_EQ(theirs.error().code(), ErrorCode::kBucketAlreadyExists);
  });
}

TEST(Engine, a_delete_that_names_what_it_deletes_makes_no_marker_where_nothing_is) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos", Versioning::kEnabled);
    for (std::string etag : {"*", "0123"}) {
      DeleteVersion named{.key = "k"};
      named.conditions.if_match = etag;
      auto outcome = co_await remove(store, bucket, named);
      EXPECT_TRUE(outcome.has_value() && !outcome->delete_marker);
    }
    EXPECT_EQ((co_await usage(store, bucket)).delete_markers, 0);
    auto marker = co_await remove(store, bucket, {.key = "k"});
    EXPECT_TRUE(marker->delete_marker);
    DeleteVersion named{.key = "k"};
    named.conditions.if_match = "0123";
    EXPECT_EQ((co_await remove(store, bucket, named)).error().code(), ErrorCode::kPreconditionFailed);
  });
}

TEST(Engine, an_unversioned_bucket_keeps_one_version_and_releases_what_it_replaces) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos");
    EXPECT_TRUE((co_await put(store, bucket, inlined("k", "one"))).has_value());
    PutVersion large{.key = "k"};
    large.version.owner = kOwner;
    large.version.size_bytes = 5000;
    large.version.blob = {.location = "", .size_bytes = 5000};
    EXPECT_TRUE((co_await put(store, bucket, large)).has_value());
    EXPECT_TRUE((co_await put(store, bucket, inlined("k", "three"))).has_value());
    EXPECT_EQ(co_await read(store, bucket, "k"), "three");
    Usage sum = co_await usage(store, bucket);
    EXPECT_EQ(sum, (Usage{.objects = 1, .versions = 1, .delete_markers = 0, .size_bytes = 5}));
    EXPECT_TRUE((co_await remove(store, bucket, {.key = "k"})).has_value());
    EXPECT_EQ(co_await read(store, bucket, "k"), "NoSuchKey");
    EXPECT_EQ(co_await usage(store, bucket), Usage{});
  });
}

TEST(Engine, an_enabled_bucket_keeps_every_version_and_a_marker_hides_them) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos", Versioning::kEnabled);
    auto first = (co_await put(store, bucket, inlined("k", "one"))).value();
    auto second = (co_await put(store, bucket, inlined("k", "two"))).value();
    auto marker = (co_await remove(store, bucket, {.key = "k"})).value();
    EXPECT_TRUE(marker.delete_marker);
    EXPECT_EQ(co_await read(store, bucket, "k"), "delete marker");
    EXPECT_EQ(co_await read(store, bucket, "k", VersionId::parse(first.version.version_id()).value()), "one");
    EXPECT_EQ(co_await read(store, bucket, "k", VersionId::parse(second.version.version_id()).value()), "two");
    EXPECT_EQ(co_await usage(store, bucket),
              (Usage{.objects = 0, .versions = 2, .delete_markers = 1, .size_bytes = 6}));
    // Removing the marker brings the newest version back.
    auto gone =
        (co_await remove(store, bucket, {.key = "k", .version = VersionId::parse(marker.version_id).value()})).value();
    EXPECT_TRUE(gone.delete_marker);
    EXPECT_EQ(co_await read(store, bucket, "k"), "two");
    EXPECT_EQ((co_await usage(store, bucket)).objects, 1);
  });
}

TEST(Engine, the_null_version_survives_enabling_and_is_replaced_while_suspended) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos");
    (void)co_await put(store, bucket, inlined("k", "null one"));
    bucket.versioning = Versioning::kEnabled;
    auto named = (co_await put(store, bucket, inlined("k", "named"))).value();
    EXPECT_EQ(co_await read(store, bucket, "k", VersionId{.null_version = true}), "null one");
    bucket.versioning = Versioning::kSuspended;
    (void)co_await put(store, bucket, inlined("k", "null two"));
    EXPECT_EQ(co_await read(store, bucket, "k"), "null two");
    EXPECT_EQ(co_await read(store, bucket, "k", VersionId{.null_version = true}), "null two");
    EXPECT_EQ(co_await read(store, bucket, "k", VersionId::parse(named.version.version_id()).value()), "named");
    EXPECT_EQ((co_await usage(store, bucket)).versions, 2);
    // A delete while suspended leaves a null marker in the place of the null version.
    auto marker = (co_await remove(store, bucket, {.key = "k"})).value();
    EXPECT_EQ(marker.version_id, "null");
    EXPECT_EQ(co_await usage(store, bucket),
              (Usage{.objects = 0, .versions = 1, .delete_markers = 1, .size_bytes = 5}));
    (void)co_await remove(store, bucket, {.key = "k", .version = VersionId{.null_version = true}});
    EXPECT_EQ(co_await read(store, bucket, "k"), "named");
    EXPECT_EQ(co_await read(store, bucket, "k", VersionId{.null_version = true}), "NoSuchVersion");
  });
}

TEST(Engine, a_later_put_sorts_first_although_the_clock_went_back) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos", Versioning::kEnabled);
    auto first = (co_await put(store, bucket, inlined("k", "one"))).value();
    store.step_clock(-std::chrono::hours(1));
    auto second = (co_await put(store, bucket, inlined("k", "two"))).value();
    EXPECT_EQ(second.version.sequence, first.version.sequence + 1);
    EXPECT_EQ(co_await read(store, bucket, "k"), "two");
  });
}

TEST(Engine, conditions_are_checked_inside_the_change) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos");
    PutVersion missing = inlined("k", "x");
    missing.conditions.if_match = "\"abc\"";
    EXPECT_EQ((co_await put(store, bucket, missing)).error().code(), ErrorCode::kNoSuchKey);
    PutVersion fresh = inlined("k", "x");
    fresh.conditions.if_none_match = "*";
    EXPECT_TRUE((co_await put(store, bucket, fresh)).has_value());
    EXPECT_EQ((co_await put(store, bucket, fresh)).error().code(), ErrorCode::kPreconditionFailed);
    PutVersion matching = inlined("k", "y");
    matching.conditions.if_match = fresh.version.etag;  // without quotes, as some clients send it
    EXPECT_TRUE((co_await put(store, bucket, matching)).has_value());
  });
}

TEST(Engine, a_bucket_goes_only_when_it_is_empty_and_takes_its_uploads_along) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos", Versioning::kEnabled);
    Engine engine = store.engine();
    auto drop = [&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await engine.delete_bucket(write, "photos"));
      co_return true;
    };
    auto version = (co_await put(store, bucket, inlined("k", "one"))).value();
    auto marker = (co_await remove(store, bucket, {.key = "k"})).value();
    (void)co_await remove(store, bucket,
                          {.key = "k", .version = VersionId::parse(version.version.version_id()).value()});
    EXPECT_EQ((co_await store.change(drop)).error().code(), ErrorCode::kBucketNotEmpty);  // a marker is left
    (void)co_await remove(store, bucket, {.key = "k", .version = VersionId::parse(marker.version_id).value()});
    (void)co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await engine.create_upload(write, bucket, {.id = std::string(16, 'u'), .key = "big", .owner = kOwner}));
      co_return true;
    });
    EXPECT_TRUE((co_await store.change(drop)).has_value());
    auto txn = (co_await store.store().begin()).value();
    EXPECT_THAT((co_await engine.garbage(*txn, 10)).value(), ElementsAre(std::string(16, 'u')));
  });
}

// --- multipart

struct MultipartCase {
  UploadId id = std::string(16, 'u');
  std::vector<CompletedPart> list;
};

Task<MultipartCase> upload_parts(TestStore& store, const Bucket& bucket,
                                 std::vector<std::pair<uint32_t, uint64_t>> parts) {
  Engine engine = store.engine();
  MultipartCase upload;
  (void)co_await store.change([&](Write& write) -> Task<Answer<bool>> {
    CO_ASK(co_await engine.create_upload(write, bucket, {.id = upload.id, .key = "big", .owner = kOwner}));
    co_return true;
  });
  for (auto [number, size] : parts) {
    auto md5 = base::md5(std::to_string(number));
    Part part{.number = number, .size_bytes = size, .md5 = std::string(as_text(md5)), .inlined = true};
    auto put_part = co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await engine.put_part(write, bucket.id, "big", upload.id, part));
      co_return true;
    });
    EXPECT_TRUE(put_part.has_value());
    upload.list.push_back({.number = number, .etag = "\"" + base::hex_encode(md5) + "\""});
  }
  co_return upload;
}

Task<Answer<PutOutcome>> complete(TestStore& store, const Bucket& bucket, UploadId id,
                                  std::vector<CompletedPart> parts) {
  Engine engine = store.engine();
  CompleteUpload command{.key = "big", .upload = std::move(id), .parts = std::move(parts)};
  auto outcome = co_await store.change([&](Write& write) { return engine.complete(write, bucket, command); });
  co_return outcome;
}

TEST(Engine, completing_makes_one_object_of_the_listed_parts_and_may_be_repeated) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos");
    auto upload =
        co_await upload_parts(store, bucket, {{1, kPartBytesMin}, {2, kPartBytesMin}, {4, kPartBytesMin}, {9, 10}});
    upload.list.erase(upload.list.begin() + 1);  // part 2 is left out
    auto outcome = co_await complete(store, bucket, upload.id, upload.list);
    EXPECT_TRUE(outcome.has_value());
    const ObjectVersion& version = outcome->version;
    EXPECT_EQ(version.size_bytes, 2 * kPartBytesMin + 10);
    EXPECT_TRUE(version.etag.ends_with("-3"));
    EXPECT_EQ(version.part_count(), 3u);
    EXPECT_THAT(version.parts,
                ElementsAre(PartRun{1, 1, kPartBytesMin}, PartRun{4, 1, kPartBytesMin}, PartRun{9, 1, 10}));
    auto txn = (co_await store.store().begin()).value();
    auto parts = (co_await store.engine().list_parts(*txn, upload.id, 0, 100)).value();
    EXPECT_EQ(parts.parts.size(), 3u);  // the part that was left out is gone
    txn.reset();
    auto again = co_await complete(store, bucket, upload.id, upload.list);
    EXPECT_EQ(again.value().version.etag, version.etag);
    upload.list.pop_back();
    EXPECT_EQ((co_await complete(store, bucket, upload.id, upload.list)).error().code(), ErrorCode::kNoSuchUpload);
  });
}

TEST(Engine, a_wrong_list_of_parts_is_refused_and_leaves_the_upload_as_it_was) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos");
    auto upload = co_await upload_parts(store, bucket, {{1, kPartBytesMin}, {2, 10}, {3, 10}});
    auto refused = [&](std::vector<CompletedPart> list) -> Task<ErrorCode> {
      auto outcome = co_await complete(store, bucket, upload.id, std::move(list));
      co_return outcome ? ErrorCode::kInternalError : outcome.error().code();
    };
    auto list = upload.list;
    EXPECT_EQ(co_await refused({}), ErrorCode::kMalformedXml);
    EXPECT_EQ(co_await refused({list[1], list[0]}), ErrorCode::kInvalidPartOrder);
    EXPECT_EQ(co_await refused({list[0], {.number = 7, .etag = list[1].etag}}), ErrorCode::kInvalidPart);
    EXPECT_EQ(co_await refused({list[0], {.number = 2, .etag = list[0].etag}}), ErrorCode::kInvalidPart);
    EXPECT_EQ(co_await refused({list[0], {.number = 2, .etag = "not hex"}}), ErrorCode::kInvalidPart);
    EXPECT_EQ(co_await refused(list), ErrorCode::kEntityTooSmall);  // part 2 is small and not the last
    // Named twice, the later one counts.
    auto twice = co_await complete(store, bucket, upload.id, {list[0], {.number = 2, .etag = "stale"}, list[1]});
    EXPECT_EQ(twice.value().version.part_count(), 2u);
  });
}

TEST(Engine, the_parts_of_a_replaced_object_are_reaped_in_slices) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_bucket(store, "photos");
    auto upload = co_await upload_parts(store, bucket, {{1, kPartBytesMin}, {2, kPartBytesMin}, {3, 10}});
    (void)co_await complete(store, bucket, upload.id, upload.list);
    (void)co_await put(store, bucket, inlined("big", "small now"));
    Engine engine = store.engine();
    auto txn = (co_await store.store().begin()).value();
    EXPECT_EQ((co_await engine.garbage(*txn, 10)).value().size(), 1u);
    EXPECT_TRUE((co_await engine.garbage(*txn, 10, upload.id)).value().empty());
    EXPECT_EQ((co_await engine.garbage(*txn, 10, UploadId(16, '\0'))).value().size(), 1u);
    txn.reset();
    EXPECT_FALSE((co_await store.change([&](Write& write) { return engine.reap(write, upload.id, 2); })).value());
    EXPECT_TRUE((co_await store.change([&](Write& write) { return engine.reap(write, upload.id, 2); })).value());
    txn = (co_await store.store().begin()).value();
    EXPECT_TRUE((co_await engine.garbage(*txn, 10)).value().empty());
    EXPECT_TRUE((co_await engine.list_parts(*txn, upload.id, 0, 10)).value().parts.empty());
    EXPECT_EQ((co_await usage(store, bucket)).size_bytes, 9);
  });
}

}  // namespace
}  // namespace polis::object
