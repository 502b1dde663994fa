#include "systems/object/lifecycle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "kernel/base/random.h"
#include "kernel/base/time_format.h"
#include "systems/object/test_store.h"

namespace polis::object {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using Kind = LifecycleAction::Kind;

WallTime at(std::string_view text) {
  return base::parse_rfc3339(text).value();
}

Answer<std::vector<LifecycleRule>> parse(std::string_view rules) {
  auto document = parse_xml("<LifecycleConfiguration>" + std::string(rules) + "</LifecycleConfiguration>");
  if (!document) return refuse(document.error());
  return parse_lifecycle(*document, 7);
}

std::vector<LifecycleRule> rules_of(std::string_view text) {
  auto parsed = parse(text);
  EXPECT_TRUE(parsed.has_value()) << text << (parsed ? "" : parsed.error().message());
  return parsed ? *parsed : std::vector<LifecycleRule>();
}

std::string rule(std::string_view inside) {
  return "<Rule><ID>r</ID><Status>Enabled</Status>" + std::string(inside) + "</Rule>";
}

ObjectVersion version_made(WallTime when, uint64_t size_bytes = 10) {
  ObjectVersion version;
  version.sequence = static_cast<Sequence>(when.time_since_epoch().count());
  version.modified_at = when;
  version.size_bytes = size_bytes;
  return version;
}

ObjectVersion marker_made(WallTime when) {
  ObjectVersion marker = version_made(when, 0);
  marker.delete_marker = true;
  return marker;
}

// Newest first.
LifecycleReading read(const Bucket& bucket, std::string_view key, const std::vector<ObjectVersion>& versions,
                      WallTime now, Duration day = hours(24)) {
  LifecycleReading reading(bucket, key, now, {.day = day});
  for (const ObjectVersion& one : versions) reading.version(one, versions.size() == 1);
  return reading;
}

std::vector<Kind> kinds(const LifecycleReading& reading) {
  std::vector<Kind> out;
  for (const LifecycleAction& action : reading.due()) out.push_back(action.kind);
  return out;
}

// --- the calendar

TEST(LifecycleCalendar, a_real_day_ends_at_the_next_midnight_and_a_short_one_to_the_second) {
  LifecycleCalendar real;
  EXPECT_EQ(real.after(at("2026-01-15T10:30:00Z"), 3), at("2026-01-19T00:00:00Z"));
  EXPECT_EQ(real.after(at("2026-01-15T00:00:00Z"), 3), at("2026-01-18T00:00:00Z"));
  LifecycleCalendar brief{.day = seconds(10)};
  EXPECT_EQ(brief.after(at("2026-01-15T10:30:00.5Z"), 3), at("2026-01-15T10:30:30.5Z"));
}

TEST(LifecycleCalendar, days_beyond_what_time_can_hold_never_come) {
  LifecycleCalendar real;
  WallTime never = real.after(at("2026-01-15T10:30:00Z"), INT32_MAX);
  EXPECT_GT(never, at("2261-01-01T00:00:00Z"));
  EXPECT_EQ(real.after(never, INT32_MAX), never);
}

// --- what is due

TEST(Lifecycle, a_current_version_expires_when_its_days_are_over_and_not_before) {
  Bucket bucket;
  bucket.lifecycle = rules_of(rule("<Filter><Prefix>logs/</Prefix></Filter><Expiration><Days>3</Days></Expiration>"));
  auto made = at("2026-01-15T10:30:00Z"), over = at("2026-01-19T00:00:00Z");
  auto before = read(bucket, "logs/a", {version_made(made)}, over - seconds(1));
  EXPECT_THAT(before.due(), IsEmpty());
  EXPECT_EQ(before.next(), over);
  EXPECT_THAT(kinds(read(bucket, "logs/a", {version_made(made)}, over)), ElementsAre(Kind::kExpire));
  auto other = read(bucket, "data/a", {version_made(made)}, over);
  EXPECT_THAT(other.due(), IsEmpty());
  EXPECT_FALSE(other.next().has_value());
}

TEST(Lifecycle, a_disabled_rule_asks_for_nothing) {
  Bucket bucket;
  bucket.lifecycle = rules_of("<Rule><Status>Disabled</Status><Prefix/><Expiration><Days>1</Days></Expiration></Rule>");
  EXPECT_FALSE(has_lifecycle_rule_for(bucket, "k"));
  EXPECT_THAT(read(bucket, "k", {version_made(at("2020-01-01T00:00:00Z"))}, at("2026-01-01T00:00:00Z")).due(),
              IsEmpty());
}

TEST(Lifecycle, tags_and_sizes_must_all_fit) {
  Bucket bucket;
  bucket.lifecycle = rules_of(
      rule("<Filter><And><Prefix>k</Prefix><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2</Value>"
           "</Tag><ObjectSizeGreaterThan>10</ObjectSizeGreaterThan><ObjectSizeLessThan>20</ObjectSizeLessThan></And>"
           "</Filter><Expiration><Date>2025-01-01T00:00:00Z</Date></Expiration>"));
  auto now = at("2026-01-01T00:00:00Z");
  auto due = [&](Tags tags, uint64_t size) {
    ObjectVersion one = version_made(now, size);
    one.tags = std::move(tags);
    return !read(bucket, "k1", {one}, now).due().empty();
  };
  EXPECT_TRUE(due({{"a", "1"}, {"b", "2"}, {"c", "3"}}, 15));
  EXPECT_FALSE(due({{"a", "1"}}, 15));
  EXPECT_FALSE(due({{"a", "1"}, {"b", "3"}}, 15));
  EXPECT_FALSE(due({{"a", "1"}, {"b", "2"}}, 10));
  EXPECT_FALSE(due({{"a", "1"}, {"b", "2"}}, 20));
}

TEST(Lifecycle, noncurrent_versions_count_from_when_they_were_replaced_and_the_newest_of_them_stay) {
  Bucket bucket;
  bucket.versioning = Versioning::kEnabled;
  bucket.lifecycle =
      rules_of(rule("<Prefix/><NoncurrentVersionExpiration><NoncurrentDays>2</NoncurrentDays>"
                    "<NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration>"));
  std::vector<ObjectVersion> versions;
  for (int day : {9, 5, 3, 1}) versions.push_back(version_made(at("2026-01-01T00:00:00Z") + days(day)));
  // Replaced on days 9, 5 and 3; the newest noncurrent one stays whatever its age.
  auto reading = read(bucket, "k", versions, at("2026-01-01T00:00:00Z") + days(6));
  ASSERT_THAT(reading.due(), SizeIs(1));
  EXPECT_EQ(reading.due()[0].kind, Kind::kRemove);
  EXPECT_EQ(reading.due()[0].version.sequence, versions[3].sequence);
  EXPECT_EQ(reading.next(), at("2026-01-08T00:00:00Z"));  // the one that was replaced on day 5
  EXPECT_THAT(read(bucket, "k", versions, at("2026-02-01T00:00:00Z")).due(), SizeIs(2));
}

TEST(Lifecycle, a_delete_marker_goes_when_nothing_is_behind_it) {
  Bucket bucket;
  bucket.versioning = Versioning::kEnabled;
  bucket.lifecycle =
      rules_of(rule("<Prefix/><Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"));
  auto now = at("2026-01-01T00:00:00Z");
  EXPECT_THAT(kinds(read(bucket, "k", {marker_made(now)}, now)), ElementsAre(Kind::kRemove));
  EXPECT_THAT(read(bucket, "k", {marker_made(now), version_made(now - days(9))}, now).due(), IsEmpty());
  EXPECT_THAT(read(bucket, "k", {version_made(now - days(900))}, now).due(), IsEmpty());
  bucket.lifecycle = rules_of(rule("<Prefix/><Expiration><Days>5</Days></Expiration>"));
  EXPECT_THAT(read(bucket, "k", {marker_made(now)}, now + days(4)).due(), IsEmpty());
  EXPECT_THAT(kinds(read(bucket, "k", {marker_made(now)}, now + days(5))), ElementsAre(Kind::kRemove));
}

TEST(Lifecycle, of_transitions_that_are_over_the_latest_wins_and_expiration_goes_before_all) {
  Bucket bucket;
  bucket.lifecycle =
      rules_of(rule("<Prefix/><Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"
                    "<Transition><Days>3</Days><StorageClass>GLACIER_IR</StorageClass></Transition>"
                    "<Expiration><Days>9</Days></Expiration>"));
  auto made = at("2026-01-01T00:00:00Z");
  ObjectVersion version = version_made(made);
  auto first = read(bucket, "k", {version}, made + days(1));
  ASSERT_THAT(kinds(first), ElementsAre(Kind::kTransition));
  EXPECT_EQ(first.due()[0].storage_class, "STANDARD_IA");
  EXPECT_EQ(first.next(), made + days(3));
  version.metadata.storage_class = "STANDARD_IA";
  EXPECT_THAT(read(bucket, "k", {version}, made + days(2)).due(), IsEmpty());
  auto second = read(bucket, "k", {version}, made + days(4));
  ASSERT_THAT(kinds(second), ElementsAre(Kind::kTransition));
  EXPECT_EQ(second.due()[0].storage_class, "GLACIER_IR");
  EXPECT_THAT(kinds(read(bucket, "k", {version}, made + days(9))), ElementsAre(Kind::kExpire));
}

TEST(Lifecycle, a_locked_version_is_looked_at_again_when_its_retention_ends) {
  Bucket bucket;
  bucket.versioning = Versioning::kEnabled;
  bucket.lifecycle = rules_of(
      rule("<Prefix/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>"));
  auto now = at("2026-01-10T12:00:00Z");
  ObjectVersion old = version_made(now - days(9));
  old.retention = {.mode = RetentionMode::kCompliance, .until = now + days(3)};
  auto held = read(bucket, "k", {version_made(now - days(5)), old}, now);
  EXPECT_THAT(held.due(), IsEmpty());
  EXPECT_EQ(held.next(), now + days(3));
  old.retention = {};
  old.legal_hold = true;
  auto hold = read(bucket, "k", {version_made(now - days(5)), old}, now);
  EXPECT_THAT(hold.due(), IsEmpty());
  EXPECT_EQ(hold.next(), at("2026-01-12T00:00:00Z"));
}

TEST(Lifecycle, uploads_are_aborted_by_days_since_they_began) {
  Bucket bucket;
  bucket.lifecycle =
      rules_of(rule("<Prefix>u/</Prefix><AbortIncompleteMultipartUpload><DaysAfterInitiation>2</DaysAfterInitiation>"
                    "</AbortIncompleteMultipartUpload>"));
  auto now = at("2026-01-10T00:00:00Z");
  Upload upload{.id = "0123456789abcdef", .key = "u/k", .initiated_at = now};
  LifecycleReading young(bucket, "u/k", now + days(1), {});
  young.upload(upload);
  EXPECT_THAT(young.due(), IsEmpty());
  EXPECT_EQ(young.next(), now + days(2));
  LifecycleReading old(bucket, "u/k", now + days(2), {});
  old.upload(upload);
  ASSERT_THAT(kinds(old), ElementsAre(Kind::kAbort));
  EXPECT_EQ(old.due()[0].upload, upload.id);
  auto headers = abort_headers(bucket, upload);
  ASSERT_TRUE(headers.has_value());
  EXPECT_EQ(headers->date, "Mon, 12 Jan 2026 00:00:00 GMT");
  EXPECT_EQ(headers->rule_id, "r");
}

TEST(Lifecycle, the_header_names_the_rule_that_comes_first) {
  Bucket bucket;
  bucket.lifecycle = rules_of(
      "<Rule><ID>late</ID><Status>Enabled</Status><Prefix/><Expiration><Days>9</Days></Expiration></Rule>"
      "<Rule><ID>so n</ID><Status>Enabled</Status><Prefix/><Expiration><Days>1</Days></Expiration></Rule>");
  EXPECT_EQ(expiration_header(bucket, "k", version_made(at("2026-01-15T10:30:00Z"))),
            "expiry-date=\"Sat, 17 Jan 2026 00:00:00 GMT\", rule-id=\"so%20n\"");
  bucket.lifecycle.clear();
  EXPECT_EQ(expiration_header(bucket, "k", version_made(at("2026-01-15T10:30:00Z"))), "");
}

TEST(Lifecycle, prefixes_that_another_one_covers_are_not_walked_twice) {
  Bucket bucket;
  for (const char* prefix : {"b/", "a", "ab", "b/c", "a"}) bucket.lifecycle.push_back({.prefix = prefix});
  bucket.lifecycle.push_back({.enabled = false, .prefix = "z"});
  EXPECT_THAT(lifecycle_prefixes(bucket), ElementsAre("a", "b/"));
}

// --- the document

TEST(LifecycleXml, a_document_comes_back_as_it_went_in) {
  std::string text =
      "<Rule><ID>one</ID><Filter><And><Prefix>p/</Prefix><Tag><Key>k</Key><Value>v&amp;</Value></Tag>"
      "<ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>9</ObjectSizeLessThan></And></Filter>"
      "<Status>Enabled</Status><Transition><Days>0</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"
      "<Transition><Days>4</Days><StorageClass>GLACIER_IR</StorageClass></Transition>"
      "<Expiration><Days>9</Days></Expiration>"
      "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>3"
      "</NewerNoncurrentVersions><StorageClass>ONEZONE_IA</StorageClass></NoncurrentVersionTransition>"
      "<NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration></Rule>"
      "<Rule><ID>two</ID><Prefix>q</Prefix><Status>Disabled</Status>"
      "<Expiration><Date>2030-01-01T00:00:00.000Z</Date></Expiration>"
      "<AbortIncompleteMultipartUpload><DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
      "</Rule><Rule><ID>three</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
      "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration></Rule>";
  EXPECT_THAT(lifecycle_document(rules_of(text)), HasSubstr(text));
}

TEST(LifecycleXml, rules_without_an_id_get_different_ones) {
  std::string one = "<Rule><Status>Enabled</Status><Prefix/><Expiration><Days>1</Days></Expiration></Rule>";
  auto rules = rules_of(one + one +
                        "<Rule><ID/><Status>Enabled</Status><Prefix/><Expiration><Days>1</Days>"
                        "</Expiration></Rule>");
  ASSERT_THAT(rules, SizeIs(3));
  EXPECT_NE(rules[0].id, rules[1].id);
  EXPECT_NE(rules[1].id, rules[2].id);
  for (const LifecycleRule& each : rules) EXPECT_THAT(each.id, SizeIs(16));
}

TEST(LifecycleXml, what_s3_refuses_is_refused_with_its_code) {
  using enum ErrorCode;
  std::string expire = "<Expiration><Days>1</Days></Expiration>";
  const std::vector<std::pair<std::string, ErrorCode>> cases = {
      {"", kMalformedXml},
      {"<Other/>", kMalformedXml},
      {"<Rule><Prefix/>" + expire + "</Rule>", kMalformedXml},
      {"<Rule><Status>enabled</Status><Prefix/>" + expire + "</Rule>", kMalformedXml},
      {rule(expire), kMalformedXml},  // neither a prefix nor a filter
      {rule("<Prefix>a</Prefix><Filter><Prefix>a</Prefix></Filter>" + expire), kMalformedXml},
      {rule("<Filter><Prefix>a</Prefix></Filter><Prefix>a</Prefix>" + expire), kMalformedXml},
      {rule("<Prefix/>"), kInvalidRequest},  // no action
      {rule("<Prefix/>" + expire + expire), kMalformedXml},
      {rule("<Prefix/><Unknown/>" + expire), kMalformedXml},
      {rule("<Prefix/><Expiration/>"), kMalformedXml},
      {rule("<Prefix/><Expiration><Days>1</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>"), kMalformedXml},
      {rule("<Prefix/><Expiration><Days>0</Days></Expiration>"), kInvalidArgument},
      {rule("<Prefix/><Expiration><Days>-4</Days></Expiration>"), kInvalidArgument},
      {rule("<Prefix/><Expiration><Days>2147483648</Days></Expiration>"), kInvalidArgument},
      {rule("<Prefix/><Expiration><Days>99999999999999999999</Days></Expiration>"), kInvalidArgument},
      {rule("<Prefix/><Expiration><Days>x</Days></Expiration>"), kMalformedXml},
      {rule("<Prefix/><Expiration><Days>1 2</Days></Expiration>"), kMalformedXml},
      {rule("<Prefix/><Expiration><Date>20200101</Date></Expiration>"), kInvalidArgument},
      {rule("<Prefix/><Expiration><Date>2030-01-01T08:00:00Z</Date></Expiration>"), kInvalidArgument},
      {rule("<Prefix/><Expiration><Date>2030-02-30</Date></Expiration>"), kInvalidArgument},
      {rule("<Prefix/><Expiration><ExpiredObjectDeleteMarker>yes</ExpiredObjectDeleteMarker></Expiration>"),
       kMalformedXml},
      {rule("<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter><Expiration><ExpiredObjectDeleteMarker>true"
            "</ExpiredObjectDeleteMarker></Expiration>"),
       kInvalidRequest},
      {rule("<Filter><Tag><Key>a</Key></Tag></Filter>" + expire), kMalformedXml},
      {rule("<Filter><And><And/></And></Filter>" + expire), kMalformedXml},
      {rule("<Filter><ObjectSizeLessThan>5</ObjectSizeLessThan><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan>"
            "</Filter>" +
            expire),
       kInvalidRequest},
      {rule("<Prefix>" + std::string(1025, 'p') + "</Prefix>" + expire), kInvalidRequest},
      {rule("<Prefix/><NoncurrentVersionExpiration><NewerNoncurrentVersions>3</NewerNoncurrentVersions>"
            "</NoncurrentVersionExpiration>"),
       kMalformedXml},
      {rule("<Prefix/><NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays><NewerNoncurrentVersions>101"
            "</NewerNoncurrentVersions></NoncurrentVersionExpiration>"),
       kInvalidArgument},
      {rule("<Prefix/><AbortIncompleteMultipartUpload/>"), kMalformedXml},
      {rule("<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter><AbortIncompleteMultipartUpload>"
            "<DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"),
       kInvalidRequest},
      {rule("<Prefix/><Transition><Days>1</Days><StorageClass>COLD</StorageClass></Transition>"), kMalformedXml},
      {rule("<Prefix/><Transition><Days>1</Days></Transition>"), kMalformedXml},
      {rule("<Prefix/><Transition><StorageClass>STANDARD_IA</StorageClass></Transition>"), kMalformedXml},
      {rule("<Prefix/><Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition><Transition>"
            "<Days>2</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"),
       kInvalidRequest},
      {rule("<Prefix/><Transition><Days>5</Days><StorageClass>STANDARD_IA</StorageClass></Transition><Expiration>"
            "<Days>5</Days></Expiration>"),
       kInvalidArgument},
      {rule("<Prefix/><Transition><Date>2030-01-01</Date><StorageClass>STANDARD_IA</StorageClass></Transition>"
            "<Expiration><Days>5</Days></Expiration>"),
       kInvalidRequest},
      {rule("<Prefix/>" + expire) + rule("<Prefix/>" + expire), kInvalidArgument},  // the same id
      {"<Rule><ID>" + std::string(256, 'i') + "</ID><Status>Enabled</Status><Prefix/>" + expire + "</Rule>",
       kInvalidArgument},
  };
  for (const auto& [text, code] : cases) {
    auto parsed = parse(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(shape(parsed.error().code()).name, shape(code).name) << text << "\n" << parsed.error().message();
  }
  std::string many;
  for (size_t i = 0; i <= kLifecycleRulesMax; ++i)
    many += "<Rule><Status>Enabled</Status><Prefix/>" + expire + "</Rule>";
  EXPECT_EQ(parse(many).error().code(), kMalformedXml);
}

// --- in the store

struct Seeded {
  TestStore& store;
  Engine engine;
  Bucket bucket;
};

constexpr Duration kDay = seconds(1000);

Task<Seeded> make(TestStore& store, Versioning versioning, std::string rules) {
  Seeded out{store, Engine(store.keyspace(), {.day = kDay}), {}};
  Bucket bucket;
  bucket.name = "b";
  bucket.owner = {"1", "a"};
  bucket.versioning = versioning;
  bucket.lifecycle = rules_of(rules);
  out.bucket = (co_await store.change([&](Write& write) { return out.engine.create_bucket(write, bucket); })).value();
  co_return out;
}

Task<Sequence> put(Seeded& in, std::string key, std::string bytes = "x") {
  PutVersion one{.key = key};
  one.version.owner = in.bucket.owner;
  one.version.size_bytes = bytes.size();
  one.version.inlined = true;
  one.inlined_bytes = bytes;
  auto outcome = co_await in.store.change([&](Write& write) { return in.engine.put(write, in.bucket, one); });
  EXPECT_TRUE(outcome.has_value());
  co_return outcome->version.sequence;
}

// What the worker does, as often as something is due.
Task<LifecycleOutcome> work(Seeded& in, size_t due_max = 100) {
  LifecycleOutcome sum;
  for (int round = 0; round < 1000; ++round) {
    std::vector<Reminder> due;
    auto found = co_await in.store.change([&](Write& write) -> Task<Answer<LifecycleOutcome>> {
      LifecycleOutcome outcome;
      due = CO_ASK(co_await in.engine.reminders(write.txn, write.now, 3));
      for (const Reminder& one : due) outcome += CO_ASK(co_await in.engine.obey(write, one, due_max, write.now + kDay));
      co_return outcome;
    });
    EXPECT_TRUE(found.has_value());
    if (!found || due.empty()) co_return sum;
    sum += *found;
  }
  ADD_FAILURE() << "the work has no end";
  co_return sum;
}

Task<size_t> reminders_left(Seeded& in) {
  auto txn = (co_await in.store.store().begin()).value();
  co_return (co_await in.engine.reminders(*txn, at("2200-01-01T00:00:00Z"), 1000)).value().size();
}

Task<std::vector<std::string>> left(Seeded& in) {
  auto txn = (co_await in.store.store().begin()).value();
  VersionListing all = (co_await in.engine.list_versions(*txn, in.bucket.id, {})).value();
  std::vector<std::string> out;
  for (const VersionListEntry& entry : all.entries) out.push_back(entry.key + (entry.version.delete_marker ? "-" : ""));
  co_return out;
}

TEST(LifecycleEngine, an_object_goes_at_its_time_and_leaves_no_reminder) {
  with_store([](TestStore& store) -> Task<void> {
    Seeded in = co_await make(store, Versioning::kUnversioned,
                              rule("<Prefix>a</Prefix><Expiration><Days>2</Days></Expiration>"));
    co_await put(in, "a1");
    co_await put(in, "b1");
    EXPECT_EQ(co_await reminders_left(in), 1u);
    store.step_clock(kDay);
    EXPECT_EQ((co_await work(in)).expired, 0u);
    co_await put(in, "a1");  // younger again
    store.step_clock(kDay);
    EXPECT_EQ((co_await work(in)).expired, 0u);
    store.step_clock(kDay);
    EXPECT_EQ((co_await work(in)).expired, 1u);
    EXPECT_THAT(co_await left(in), ElementsAre("b1"));
    EXPECT_EQ(co_await reminders_left(in), 0u);
  });
}

TEST(LifecycleEngine, a_versioned_object_gets_a_marker_then_loses_its_versions_then_the_marker) {
  with_store([](TestStore& store) -> Task<void> {
    Seeded in = co_await make(
        store, Versioning::kEnabled,
        rule("<Prefix/><Expiration><Days>1</Days></Expiration><NoncurrentVersionExpiration><NoncurrentDays>3"
             "</NoncurrentDays></NoncurrentVersionExpiration>"));
    co_await put(in, "k");
    co_await put(in, "k");
    store.step_clock(kDay + seconds(5));
    EXPECT_EQ((co_await work(in)).expired, 1u);
    EXPECT_THAT(co_await left(in), ElementsAre("k-", "k", "k"));
    store.step_clock(kDay);
    EXPECT_EQ((co_await work(in)).removed, 0u);
    store.step_clock(3 * kDay);
    // Both versions, and the marker, which is a day old and has nothing behind it any more.
    EXPECT_EQ((co_await work(in)).removed, 3u);
    EXPECT_THAT(co_await left(in), IsEmpty());
    EXPECT_EQ(co_await reminders_left(in), 0u);
    auto txn = (co_await store.store().begin()).value();
    EXPECT_EQ((co_await in.engine.usage(*txn, in.bucket.id)).value(), Usage{});
  });
}

TEST(LifecycleEngine, more_versions_than_one_transaction_takes_all_go) {
  with_store([](TestStore& store) -> Task<void> {
    Seeded in =
        co_await make(store, Versioning::kEnabled,
                      rule("<Prefix/><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays>"
                           "<NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>"));
    for (int i = 0; i < 300; ++i) co_await put(in, "k");
    store.step_clock(2 * kDay);
    EXPECT_EQ((co_await work(in, 7)).removed, 297u);
    EXPECT_THAT(co_await left(in), SizeIs(3));
  });
}

TEST(LifecycleEngine, keys_from_before_the_rules_are_indexed_slice_by_slice) {
  with_store([](TestStore& store) -> Task<void> {
    Seeded in = co_await make(store, Versioning::kEnabled,
                              rule("<Prefix>none</Prefix><Expiration><Days>1</Days></Expiration>"));
    for (int i = 0; i < 40; ++i) co_await put(in, (i % 2 ? "old/" : "other/") + std::to_string(i / 4));
    Upload upload{.id = "0123456789abcdef", .key = "old/u"};
    (void)(co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await in.engine.create_upload(write, in.bucket, upload));
      co_return true;
    })).value();
    EXPECT_EQ(co_await reminders_left(in), 0u);
    in.bucket = (co_await store.change([&](Write& write) -> Task<Answer<Bucket>> {
                  Bucket now = CO_ASK(co_await in.engine.update_bucket(write, "b", [](Bucket& one) -> Answer<void> {
                    one.lifecycle = rules_of(rule(
                        "<Prefix>old/</Prefix><Expiration><Days>9</Days></Expiration><AbortIncompleteMultipartUpload>"
                        "<DaysAfterInitiation>3</DaysAfterInitiation></AbortIncompleteMultipartUpload>"));
                    return {};
                  }));
                  CO_ASK(in.engine.index_lifecycle(write, now));
                  co_return now;
                })).value();
    int slices = 0;
    for (bool done = false; !done; ++slices)
      done =
          (co_await store.change([&](Write& write) { return in.engine.index_slice(write, in.bucket.id, 3); })).value();
    EXPECT_GT(slices, 4);
    EXPECT_EQ(co_await reminders_left(in), 11u);  // ten keys and the upload
    auto txn = (co_await store.store().begin()).value();
    EXPECT_THAT((co_await in.engine.unindexed(*txn)).value(), IsEmpty());
    txn.reset();
    store.step_clock(10 * kDay);
    EXPECT_EQ((co_await work(in)).expired, 10u);
  });
}

TEST(LifecycleEngine, reminders_of_a_bucket_that_is_gone_are_forgotten) {
  with_store([](TestStore& store) -> Task<void> {
    Seeded in =
        co_await make(store, Versioning::kUnversioned, rule("<Prefix/><Expiration><Days>1</Days></Expiration>"));
    co_await put(in, "k");
    (void)(co_await store.change([&](Write& write) {
      return in.engine.remove(write, in.bucket, {.key = "k"});
    })).value();
    (void)(co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await in.engine.delete_bucket(write, "b"));
      co_return true;
    })).value();
    // Another bucket of the name is not its heir.
    Bucket again{.name = "b", .owner = {"1", "a"}};
    in.bucket = (co_await store.change([&](Write& write) { return in.engine.create_bucket(write, again); })).value();
    co_await put(in, "k");
    store.step_clock(2 * kDay);
    EXPECT_EQ((co_await work(in)).expired, 0u);
    EXPECT_EQ(co_await reminders_left(in), 0u);
    EXPECT_THAT(co_await left(in), ElementsAre("k"));
  });
}

TEST(LifecycleEngine, what_needs_bytes_moved_is_reminded_of_later) {
  with_store([](TestStore& store) -> Task<void> {
    Seeded in =
        co_await make(store, Versioning::kUnversioned,
                      rule("<Prefix/><Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"));
    Sequence sequence = co_await put(in, "k", "abc");
    store.step_clock(kDay + seconds(5));
    co_await work(in);
    EXPECT_EQ(co_await reminders_left(in), 1u);  // nobody moved it: in a day again
    ObjectVersion was;
    {
      auto txn = (co_await store.store().begin()).value();
      was = (co_await in.engine.version(*txn, in.bucket.id, "k", std::nullopt)).value();
      EXPECT_EQ(was.sequence, sequence);
    }
    (void)(co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await in.engine.change_class(write, in.bucket, "k", was, nullptr, "STANDARD_IA"));
      co_return true;
    })).value();
    auto txn = (co_await store.store().begin()).value();
    Usage usage = (co_await in.engine.usage(*txn, in.bucket.id)).value();
    EXPECT_EQ(usage.of_class(StorageClass::kStandardIa), (Usage::OfClass{.versions = 1, .size_bytes = 3}));
    EXPECT_EQ(usage.of_class(StorageClass::kStandard), Usage::OfClass{});
    EXPECT_EQ(decode_usage(encode(usage)).value(), usage);
    txn.reset();
    store.step_clock(2 * kDay);
    co_await work(in);
    EXPECT_EQ(co_await reminders_left(in), 0u);
    // A version that is another one now keeps its class.
    co_await put(in, "k", "abcd");
    auto late = co_await store.change([&](Write& write) -> Task<Answer<bool>> {
      CO_ASK(co_await in.engine.change_class(write, in.bucket, "k", was, nullptr, "GLACIER_IR"));
      co_return true;
    });
    EXPECT_EQ(late.error().code(), ErrorCode::kOperationAborted);
  });
}

// The worker against the rules themselves: whatever was put, deleted and tagged, and whenever it looked, nothing that
// is due is left once it is through, and nothing went before its time.
TEST(LifecycleEngine, random_histories_end_as_the_rules_say) {
  base::SeededRandom random(42);
  for (int history = 0; history < 12; ++history) {
    with_store([&](TestStore& store) -> Task<void> {
      auto versioning = static_cast<Versioning>(history % 3);
      Seeded in = co_await make(
          store, versioning,
          "<Rule><ID>1</ID><Status>Enabled</Status><Prefix>a</Prefix><Expiration><Days>3</Days></Expiration></Rule>"
          "<Rule><ID>2</ID><Status>Enabled</Status><Filter><Tag><Key>t</Key><Value>1</Value></Tag></Filter>"
          "<Expiration><Days>1</Days></Expiration></Rule>"
          "<Rule><ID>3</ID><Status>Enabled</Status><Prefix/><NoncurrentVersionExpiration><NoncurrentDays>2"
          "</NoncurrentDays><NewerNoncurrentVersions>1</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule>"
          "<Rule><ID>4</ID><Status>Enabled</Status><Prefix/><Expiration><ExpiredObjectDeleteMarker>true"
          "</ExpiredObjectDeleteMarker></Expiration></Rule>");
      const std::vector<std::string> keys = {"a1", "a2", "b1", "b2"};
      for (int step = 0; step < 60; ++step) {
        const std::string key = keys[random.next() % keys.size()];
        switch (random.next() % 5) {
          case 0:
          case 1:
            co_await put(in, key);
            break;
          case 2:
            (void)(co_await store.change([&](Write& write) {
              return in.engine.remove(write, in.bucket, {.key = key});
            })).value();
            break;
          case 3:
            (void)(co_await store.change([&](Write& write) -> Task<Answer<bool>> {
              auto tagged = co_await in.engine.update_version(write, in.bucket.id, key, std::nullopt,
                                                              [](ObjectVersion& one) -> Answer<void> {
                                                                if (!one.delete_marker) one.tags = {{"t", "1"}};
                                                                return {};
                                                              });
              if (tagged) CO_ASK(in.engine.remind(write, in.bucket, key));
              co_return true;
            })).value();
            break;
          default:
            store.step_clock(kDay / 3);
        }
        if (random.next() % 3 == 0) co_await work(in);
      }
      store.step_clock(seconds(2));
      co_await work(in);
      (void)(co_await store.change([&](Write& write) -> Task<Answer<bool>> {
        for (const std::string& key : keys) {
          LifecycleReading reading(in.bucket, key, write.now - seconds(2), {.day = kDay});
          CO_ASK(co_await in.engine.read_lifecycle(write.txn, in.bucket.id, key, reading, 1000));
          EXPECT_THAT(reading.due(), IsEmpty()) << key;
        }
        co_return true;
      })).value();
    });
  }
}

}  // namespace
}  // namespace polis::object
