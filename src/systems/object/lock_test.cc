#include "systems/object/lock.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/base/time_format.h"
#include "systems/object/test_store.h"

namespace polis::object {
namespace {

const WallTime kLockNow = base::parse_rfc3339("2026-11-22T10:00:00Z").value();
const Owner kLockOwner{"111111111111", "aaaa"};

WallTime lock_time(std::string_view text) {
  return base::parse_rfc3339(text).value();
}

ErrorCode code_of(const Answer<void>& answer) {
  return answer ? ErrorCode::kNotModified : answer.error().code();
}

XmlElement lock_xml(std::string_view text) {
  return parse_xml(text).value();
}

TEST(Lock, a_version_is_locked_while_its_hold_is_on_or_its_retention_lasts) {
  ObjectVersion version;
  EXPECT_TRUE(check_unlocked(version, false, kLockNow));
  version.retention = {RetentionMode::kGovernance, kLockNow + std::chrono::hours(1)};
  EXPECT_EQ(code_of(check_unlocked(version, false, kLockNow)), ErrorCode::kAccessDenied);
  EXPECT_TRUE(check_unlocked(version, true, kLockNow));
  EXPECT_TRUE(check_unlocked(version, false, version.retention.until)) << "the end itself is free";
  version.retention.mode = RetentionMode::kCompliance;
  EXPECT_EQ(code_of(check_unlocked(version, true, kLockNow)), ErrorCode::kAccessDenied);
  version.retention = {};
  version.legal_hold = true;
  EXPECT_EQ(code_of(check_unlocked(version, true, kLockNow)), ErrorCode::kAccessDenied);
}

TEST(Lock, a_retention_may_grow_and_not_shrink_unless_it_is_governance_and_bypassed) {
  const WallTime until = kLockNow + std::chrono::hours(24);
  const auto hour = std::chrono::hours(1);
  for (RetentionMode mode : {RetentionMode::kGovernance, RetentionMode::kCompliance}) {
    Retention before{mode, until};
    Retention other{mode == RetentionMode::kGovernance ? RetentionMode::kCompliance : RetentionMode::kGovernance,
                    until};
    for (bool bypass : {false, true}) {
      EXPECT_TRUE(check_retention_change(before, {mode, until + hour}, bypass, kLockNow));
      EXPECT_TRUE(check_retention_change(before, before, bypass, kLockNow));
      bool free = bypass && mode == RetentionMode::kGovernance;
      EXPECT_EQ(check_retention_change(before, {mode, until - hour}, bypass, kLockNow).has_value(), free);
      EXPECT_EQ(check_retention_change(before, other, bypass, kLockNow).has_value(), free);
      EXPECT_EQ(check_retention_change(before, {}, bypass, kLockNow).has_value(), free);
      EXPECT_TRUE(check_retention_change(before, {}, bypass, until)) << "what has ended holds nothing";
    }
  }
}

TEST(Lock, years_of_a_default_retention_are_years_of_the_calendar) {
  EXPECT_EQ(retention_from({.days = 2}, kLockNow).until, kLockNow + std::chrono::hours(48));
  EXPECT_EQ(retention_from({.years = 1}, kLockNow).until, lock_time("2027-11-22T10:00:00Z"));
  EXPECT_EQ(retention_from({.years = 1}, lock_time("2028-02-29T23:59:59Z")).until, lock_time("2029-02-28T23:59:59Z"));
  EXPECT_EQ(retention_from({.years = 4}, lock_time("2028-02-29T00:00:00Z")).until, lock_time("2032-02-29T00:00:00Z"));
  EXPECT_EQ(retention_from({.years = kRetentionYearsMax}, kLockNow).until, lock_time("2126-11-22T10:00:00Z"));
}

TEST(Lock, a_configuration_comes_back_as_it_was_sent) {
  for (DefaultRetention rule :
       {DefaultRetention{RetentionMode::kGovernance, 1, 0}, DefaultRetention{RetentionMode::kCompliance, 0, 3}}) {
    auto back = parse_lock_configuration(lock_xml(lock_configuration_document(rule)));
    ASSERT_TRUE(back && *back);
    EXPECT_EQ((*back)->mode, rule.mode);
    EXPECT_EQ((*back)->days, rule.days);
    EXPECT_EQ((*back)->years, rule.years);
  }
  auto none = parse_lock_configuration(lock_xml(lock_configuration_document(std::nullopt)));
  ASSERT_TRUE(none.has_value());
  EXPECT_FALSE(none->has_value());
}

TEST(Lock, a_configuration_that_is_not_one_is_refused) {
  auto configuration = [](std::string_view rule) {
    return "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>" +
           std::string(rule) + "</DefaultRetention></Rule></ObjectLockConfiguration>";
  };
  auto refused = [](const std::string& text) {
    auto answer = parse_lock_configuration(lock_xml(text));
    return answer ? ErrorCode::kNotModified : answer.error().code();
  };
  EXPECT_EQ(refused("<ObjectLockConfiguration/>"), ErrorCode::kMalformedXml);
  EXPECT_EQ(refused("<Lock><ObjectLockEnabled>Enabled</ObjectLockEnabled></Lock>"), ErrorCode::kMalformedXml);
  EXPECT_EQ(
      refused("<ObjectLockConfiguration><ObjectLockEnabled>Disabled</ObjectLockEnabled></ObjectLockConfiguration>"),
      ErrorCode::kMalformedXml);
  for (std::string_view rule :
       {"", "<Mode>GOVERNANCE</Mode>", "<Mode>governance</Mode><Days>1</Days>", "<Days>1</Days>",
        "<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>", "<Mode>GOVERNANCE</Mode><Days>one</Days>",
        "<Mode>GOVERNANCE</Mode><Days>1x</Days>", "<Mode>GOVERNANCE</Mode><Days/>"})
    EXPECT_EQ(refused(configuration(rule)), ErrorCode::kMalformedXml) << rule;
  for (std::string_view period : {"<Days>0</Days>", "<Years>-1</Years>", "<Days>36501</Days>", "<Years>101</Years>",
                                  "<Days>99999999999999999999999</Days>"})
    EXPECT_EQ(refused(configuration("<Mode>GOVERNANCE</Mode>" + std::string(period))),
              ErrorCode::kInvalidRetentionPeriod)
        << period;
}

TEST(Lock, headers_of_a_new_version_are_checked) {
  auto asked = parse_lock_request("COMPLIANCE", "2030-01-01T00:00:00Z", "OFF", kLockNow);
  ASSERT_TRUE(asked.has_value());
  EXPECT_EQ(asked->retention.mode, RetentionMode::kCompliance);
  EXPECT_EQ(asked->retention.until, lock_time("2030-01-01T00:00:00Z"));
  EXPECT_EQ(asked->legal_hold, false);
  EXPECT_TRUE(asked->any());
  EXPECT_FALSE(parse_lock_request("", "", "", kLockNow)->any());
  struct Wrong {
    std::string_view mode, until, hold;
  };
  for (const Wrong& wrong :
       {Wrong{"GOVERNANCE", "", ""}, Wrong{"", "2030-01-01T00:00:00Z", ""}, Wrong{"abc", "2030-01-01T00:00:00Z", ""},
        Wrong{"GOVERNANCE", "tomorrow", ""}, Wrong{"GOVERNANCE", "2020-01-01T00:00:00Z", ""},
        Wrong{"GOVERNANCE", "9999-01-01T00:00:00Z", ""}, Wrong{"", "", "on"}}) {
    auto answer = parse_lock_request(wrong.mode, wrong.until, wrong.hold, kLockNow);
    ASSERT_FALSE(answer.has_value()) << wrong.mode << wrong.until << wrong.hold;
    EXPECT_EQ(answer.error().code(), ErrorCode::kInvalidArgument);
  }
}

TEST(Lock, documents_of_retention_and_hold_are_checked) {
  auto retention = parse_retention(
      lock_xml("<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2140-01-01T00:00:00Z</RetainUntilDate></Retention>"),
      kLockNow);
  ASSERT_TRUE(retention.has_value());
  EXPECT_EQ(retention->until, lock_time("2140-01-01T00:00:00Z"));
  EXPECT_FALSE(parse_retention(lock_xml("<Retention/>"), kLockNow).value());
  for (std::string_view text :
       {"<Retain/>", "<Retention><Mode>GOVERNANCE</Mode></Retention>",
        "<Retention><RetainUntilDate>2140-01-01T00:00:00Z</RetainUntilDate></Retention>",
        "<Retention><Mode>governance</Mode><RetainUntilDate>2140-01-01T00:00:00Z</RetainUntilDate></Retention>",
        "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>soon</RetainUntilDate></Retention>"})
    EXPECT_EQ(parse_retention(lock_xml(text), kLockNow).error().code(), ErrorCode::kMalformedXml) << text;
  EXPECT_EQ(parse_retention(lock_xml("<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2026-11-22T10:00:00Z"
                                     "</RetainUntilDate></Retention>"),
                            kLockNow)
                .error()
                .code(),
            ErrorCode::kInvalidArgument);
  EXPECT_TRUE(parse_legal_hold(lock_xml("<LegalHold><Status>ON</Status></LegalHold>")).value());
  EXPECT_FALSE(parse_legal_hold(lock_xml("<LegalHold><Status>OFF</Status></LegalHold>")).value());
  for (std::string_view text :
       {"<LegalHold/>", "<LegalHold><Status>abc</Status></LegalHold>", "<Hold><Status>ON</Status></Hold>"})
    EXPECT_FALSE(parse_legal_hold(lock_xml(text)).has_value()) << text;
}

// --- the engine, which is the only one that removes versions

Task<Bucket> make_locked_bucket(TestStore& store, std::optional<DefaultRetention> rule = {}) {
  Engine engine = store.engine();
  Bucket bucket{.name = "vault", .owner = kLockOwner, .versioning = Versioning::kEnabled};
  bucket.object_lock = true;
  bucket.default_retention = rule;
  auto made = co_await store.change([&](Write& write) { return engine.create_bucket(write, bucket); });
  co_return *made;
}

Task<ObjectVersion> put_locked(TestStore& store, const Bucket& bucket, Retention retention, bool hold) {
  Engine engine = store.engine();
  PutVersion put{.key = "k"};
  put.version.owner = kLockOwner;
  put.version.inlined = true;
  put.version.size_bytes = 1;
  put.inlined_bytes = "x";
  put.version.retention = retention;
  put.version.legal_hold = hold;
  auto outcome = co_await store.change([&](Write& write) { return engine.put(write, bucket, put); });
  co_return outcome->version;
}

Task<Answer<DeleteOutcome>> remove_locked(TestStore& store, const Bucket& bucket, std::optional<VersionId> id,
                                          bool bypass) {
  Engine engine = store.engine();
  DeleteVersion remove{.key = "k", .version = id, .owner = kLockOwner, .bypass_governance = bypass};
  auto outcome = co_await store.change([&](Write& write) { return engine.remove(write, bucket, remove); });
  co_return outcome;
}

constexpr WallTime kFar{std::chrono::seconds(1'900'000'000)};  // behind the test store's clock

TEST(LockedVersions, stay_wherever_they_lie_and_a_marker_hides_them) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_locked_bucket(store);
    ObjectVersion first = co_await put_locked(store, bucket, {RetentionMode::kCompliance, kFar}, false);
    VersionId id{.sequence = first.sequence};
    EXPECT_EQ((co_await remove_locked(store, bucket, id, true)).error().code(), ErrorCode::kAccessDenied);
    auto marker = co_await remove_locked(store, bucket, std::nullopt, false);
    EXPECT_TRUE(marker.has_value());
    EXPECT_TRUE(marker->delete_marker);
    EXPECT_EQ((co_await remove_locked(store, bucket, id, true)).error().code(), ErrorCode::kAccessDenied);
    auto marker_id = VersionId::parse(marker->version_id);
    EXPECT_TRUE((co_await remove_locked(store, bucket, *marker_id, false)).has_value()) << "markers are free";
    auto txn = (co_await store.store().begin()).value();
    EXPECT_EQ((co_await store.engine().version(*txn, bucket.id, "k", std::nullopt))->sequence, first.sequence);
    EXPECT_EQ((co_await store.engine().usage(*txn, bucket.id))->versions, 1);
    txn.reset();
    Engine engine = store.engine();
    auto gone = co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await engine.delete_bucket(write, "vault"));
      co_return true;
    });
    EXPECT_EQ(gone.error().code(), ErrorCode::kBucketNotEmpty);
  });
}

TEST(LockedVersions, of_governance_go_for_who_bypasses_and_all_go_when_their_time_has_come) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_locked_bucket(store);
    ObjectVersion held = co_await put_locked(store, bucket, {RetentionMode::kGovernance, kFar}, false);
    EXPECT_FALSE((co_await remove_locked(store, bucket, VersionId{.sequence = held.sequence}, false)).has_value());
    EXPECT_TRUE((co_await remove_locked(store, bucket, VersionId{.sequence = held.sequence}, true)).has_value());
    held = co_await put_locked(store, bucket, {RetentionMode::kCompliance, kFar}, false);
    store.step_clock(std::chrono::seconds(200'000'000));
    EXPECT_TRUE((co_await remove_locked(store, bucket, VersionId{.sequence = held.sequence}, false)).has_value());
    held = co_await put_locked(store, bucket, {}, true);
    EXPECT_FALSE((co_await remove_locked(store, bucket, VersionId{.sequence = held.sequence}, true)).has_value());
  });
}

TEST(LockedVersions, get_the_default_of_their_bucket_unless_they_bring_their_own) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_locked_bucket(store, DefaultRetention{RetentionMode::kCompliance, 3, 0});
    ObjectVersion version = co_await put_locked(store, bucket, {}, false);
    EXPECT_EQ(version.retention.mode, RetentionMode::kCompliance);
    EXPECT_EQ(version.retention.until, version.modified_at + std::chrono::hours(72));
    Retention own{RetentionMode::kGovernance, kFar};
    version = co_await put_locked(store, bucket, own, false);
    EXPECT_EQ(version.retention, own);
  });
}

// The null version of a bucket that got versioning, and then a lock, later: no put replaces it while it is held.
TEST(LockedVersions, that_have_no_id_are_not_replaced) {
  with_store([](TestStore& store) -> Task<void> {
    Bucket bucket = co_await make_locked_bucket(store);
    Bucket before = bucket;
    before.versioning = Versioning::kSuspended;
    co_await put_locked(store, before, {}, true);
    Engine engine = store.engine();
    PutVersion put{.key = "k"};
    put.version.inlined = true;
    auto again = co_await store.change([&](Write& write) { return engine.put(write, before, put); });
    EXPECT_EQ(again.error().code(), ErrorCode::kAccessDenied);
    co_await put_locked(store, bucket, {}, false);
    again = co_await store.change([&](Write& write) { return engine.put(write, before, put); });
    EXPECT_EQ(again.error().code(), ErrorCode::kAccessDenied) << "nor when it lies behind a newer one";
    EXPECT_FALSE((co_await remove_locked(store, bucket, VersionId{.null_version = true}, true)).has_value());
  });
}

}  // namespace
}  // namespace polis::object
