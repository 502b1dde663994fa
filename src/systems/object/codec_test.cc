// The pure parts at the edge: names and tags, XML, rows, checksums, ranges, copy sources, form policies, rights.
#include <gtest/gtest.h>

#include "kernel/base/crc.h"
#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/access.h"
#include "systems/object/call.h"
#include "systems/object/checksum.h"
#include "systems/object/conditions.h"
#include "systems/object/post_policy.h"
#include "systems/object/rows.h"
#include "systems/object/xml.h"

namespace polis::object {
namespace {

TEST(Types, bucket_names_keep_to_the_rules_of_s3) {
  for (std::string_view good : {"abc", "a.b-c", "0bucket9", "x-y.z"}) EXPECT_TRUE(check_bucket_name(good)) << good;
  for (std::string_view bad :
       {"", "ab", "Abc", "a_b", "-ab", "ab-", "a..b", "192.168.1.1", "xn--abc", "abc-s3alias", "a b c", "a/b", "foo.-bar", "foo-.bar"})
    EXPECT_FALSE(check_bucket_name(bad)) << bad;
  EXPECT_TRUE(check_bucket_name(std::string(63, 'a')));
  EXPECT_FALSE(check_bucket_name(std::string(64, 'a')));
}

TEST(Types, keys_are_utf8_of_at_most_1024_bytes) {
  EXPECT_TRUE(check_key(std::string(1024, 'k')));
  EXPECT_EQ(check_key(std::string(1025, 'k')).error().code(), ErrorCode::kKeyTooLong);
  EXPECT_EQ(check_key("\xff").error().code(), ErrorCode::kInvalidUri);
  EXPECT_FALSE(check_key(""));
}

TEST(Types, tags_count_characters_and_refuse_doubles) {
  EXPECT_TRUE(check_tags({{std::string(128, 'k'), std::string(256, 'v')}}));
  std::string umlauts;
  for (int i = 0; i < 128; ++i) umlauts += "\xc3\xa4";
  EXPECT_TRUE(check_tags({{umlauts, ""}}));
  EXPECT_FALSE(check_tags({{umlauts + "a", ""}}));
  EXPECT_FALSE(check_tags({{"k", std::string(257, 'v')}}));
  EXPECT_FALSE(check_tags({{"k", "1"}, {"k", "2"}}));
  EXPECT_FALSE(check_tags({{"aws:k", "1"}}));
  EXPECT_EQ(parse_tagging_header("a=1&b=%20x&c").value(), (Tags{{"a", "1"}, {"b", " x"}, {"c", ""}}));
  EXPECT_FALSE(parse_tagging_header("a=%zz"));
}

TEST(Types, version_ids_come_back_from_their_text) {
  ObjectVersion version{.sequence = 0x0123456789abcdef};
  EXPECT_EQ(version.version_id(), "0123456789abcdef");
  EXPECT_EQ(VersionId::parse("0123456789abcdef")->sequence, version.sequence);
  EXPECT_TRUE(VersionId::parse("null")->null_version);
  for (std::string_view bad : {"", "x", "0123", "0123456789abcdeg", "00123456789abcdef", "-123456789abcdef"})
    EXPECT_FALSE(VersionId::parse(bad)) << bad;
}

TEST(Xml, text_comes_back_as_it_went_in) {
  std::string text = "a<b>&\"c\" \r\n\t \xc3\xa4";
  auto parsed = parse_xml(XmlWriter("Root").open("In").element("Key", text).finish());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->name, "Root");
  EXPECT_EQ(parsed->child("In")->text_of("Key"), text);
}

TEST(Xml, control_characters_become_replacement_characters) {
  auto parsed = parse_xml(XmlWriter("Root").element("Key", std::string_view("a\x01\x00z", 4)).finish());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->text_of("Key"), "a\xEF\xBF\xBD\xEF\xBF\xBDz");
}

TEST(Xml, hostile_documents_are_refused) {
  EXPECT_FALSE(parse_xml(""));
  EXPECT_FALSE(parse_xml("<a>"));
  EXPECT_FALSE(parse_xml("<a></b>"));
  EXPECT_FALSE(parse_xml("<a/><b/>"));
  EXPECT_FALSE(parse_xml("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>"));
  EXPECT_FALSE(parse_xml("<a>&undefined;</a>"));
  std::string deep;
  for (int i = 0; i < 17; ++i) deep += "<a>";
  for (int i = 0; i < 17; ++i) deep += "</a>";
  EXPECT_FALSE(parse_xml(deep));
  std::string many = "<a>";
  for (int i = 0; i < 101; ++i) many += "<b/>";
  EXPECT_FALSE(parse_xml(many + "</a>", {.elements_max = 100}));
  EXPECT_EQ(parse_xml(std::string(101, ' '), {.bytes_max = 100}).error().code(), ErrorCode::kMaxMessageLengthExceeded);
}

// --- rows

ObjectVersion full_version() {
  ObjectVersion version;
  version.sequence = 42;
  version.null_version = true;
  version.null_sequence = 41;
  version.modified_at = WallTime(std::chrono::seconds(1'700'000'000));
  version.owner = {"1", "c"};
  version.size_bytes = 1'234'567;
  version.etag = "abc-2";
  version.checksum = {ChecksumAlgorithm::kSha256, ChecksumType::kComposite, std::string(32, '\x80')};
  version.metadata.content_type = "text/plain";
  version.metadata.user = {{"a", "b"}, {"c", ""}};
  version.tags = {{"t", "v"}};
  version.acl.grants = {{Grant::Kind::kUser, "c", Permission::kFullControl},
                        {Grant::Kind::kAllUsers, "", Permission::kRead}};
  version.blob = {.location = "loc", .size_bytes = 1'234'567};
  version.upload = std::string(16, 'u');
  version.parts = {{1, 3, 5 << 20}, {9, 1, 17}};
  version.encryption = {EncryptionKind::kKms, "", "key", "{}", true};
  version.seal = {std::string(60, 'w'), "12345678"};
  version.retention = {RetentionMode::kCompliance, WallTime(std::chrono::seconds(1'900'000'000))};
  version.legal_hold = true;
  return version;
}

TEST(Rows, a_version_comes_back_from_its_row) {
  ObjectVersion version = full_version();
  std::string row = encode(version);
  auto back = decode_version(row);
  ASSERT_TRUE(back);
  EXPECT_EQ(encode(*back), row);
  EXPECT_EQ(back->parts, version.parts);
  EXPECT_EQ(back->acl, version.acl);
  EXPECT_EQ(back->metadata, version.metadata);
  EXPECT_EQ(back->encryption, version.encryption);
  EXPECT_EQ(back->seal, version.seal);
  EXPECT_EQ(back->retention, version.retention);
  EXPECT_TRUE(back->legal_hold);
}

TEST(Rows, a_row_from_before_encryption_and_object_lock_is_still_read) {
  ObjectVersion version = full_version();
  version.encryption = {};
  version.seal = {};
  version.retention = {};
  version.legal_hold = false;
  std::string row = encode(version);
  row.resize(row.size() - 3);
  row[0] = 1;
  auto back = decode_version(row);
  ASSERT_TRUE(back);
  EXPECT_EQ(encode(*back), encode(version));
}

TEST(Rows, a_bucket_comes_back_with_its_lifecycle_and_lock) {
  Bucket bucket{.id = 7, .name = "b"};
  bucket.encryption.kind = EncryptionKind::kS3;
  bucket.object_lock = true;
  bucket.default_retention = {RetentionMode::kCompliance, 0, 3};
  LifecycleRule& rule = bucket.lifecycle.emplace_back();
  rule.id = "old logs";
  rule.prefix = "logs/";
  rule.tags = {{"a", "b"}};
  rule.size_above_bytes = 5;
  rule.expiration_date = WallTime(std::chrono::seconds(1'900'000'000));
  rule.newer_noncurrent_versions = 3;
  rule.noncurrent_days = 4;
  rule.transitions = {{.days = 3, .date = {}, .newer_versions = {}, .storage_class = "GLACIER"}};
  std::string row = encode(bucket);
  auto back = decode_bucket(row);
  ASSERT_TRUE(back);
  EXPECT_EQ(encode(*back), row);
  ASSERT_EQ(back->lifecycle.size(), 1u);
  EXPECT_EQ(back->lifecycle[0].transitions[0].days, 3u);
  EXPECT_EQ(back->default_retention->years, 3u);
  for (size_t size = 0; size < row.size(); ++size) EXPECT_FALSE(decode_bucket(row.substr(0, size))) << size;
}

TEST(Rows, every_truncated_row_is_corrupt_and_none_crashes) {
  std::string row = encode(full_version());
  for (size_t size = 0; size < row.size(); ++size) EXPECT_FALSE(decode_version(row.substr(0, size))) << size;
  EXPECT_FALSE(decode_version(row + "x"));
  base::SeededRandom random(3);
  for (int i = 0; i < 2000; ++i) {
    std::string broken = row;
    broken[random.below(broken.size())] = static_cast<char>(random.next());
    (void)decode_version(broken);
    (void)decode_bucket(broken);
    (void)decode_upload(broken);
    (void)decode_part(broken);
  }
}

TEST(Rows, row_keys_lie_in_the_order_of_keys_then_newest_first) {
  std::vector<std::string> keys = {std::string("\0", 1),
                                   std::string("\0\0", 2),
                                   std::string("\0\1", 2),
                                   "\x01",
                                   "a",
                                   std::string("a\0", 2),
                                   std::string("a\0\xff", 3),
                                   "a\x01",
                                   "aa",
                                   "b",
                                   "\xff",
                                   "\xff\xff"};
  std::string before;
  for (const std::string& key : keys) {
    for (std::string row_key : {newest_key(7, key), older_key(7, key, 9), older_key(7, key, 8)}) {
      EXPECT_LT(before, row_key);
      EXPECT_GE(row_key, seek_key(7, key));
      EXPECT_LT(row_key, behind_key(7, key));
      EXPECT_EQ(parse_version_key(row_key)->key, key);
      before = row_key;
    }
  }
  EXPECT_LT(older_key(7, "\xff\xff", 1), behind_prefix(7, "\xff"));
  EXPECT_LE(behind_prefix(7, "\xff"), newest_key(8, ""));
}

TEST(Rows, a_bucket_comes_back_from_its_row) {
  Bucket bucket{.id = 9,
                .name = "photos",
                .owner = {"1", "c"},
                .region = "eu",
                .versioning = Versioning::kSuspended,
                .policy = "{}"};
  bucket.cors = {{.id = "r", .methods = {"GET"}, .origins = {"*"}, .headers = {}, .expose = {"ETag"}, .max_age_s = 0}};
  bucket.public_access_block = PublicAccessBlock{.block_policy = true};
  auto back = decode_bucket(encode(bucket));
  ASSERT_TRUE(back);
  EXPECT_EQ(encode(*back), encode(bucket));
  EXPECT_EQ(back->cors.front().max_age_s, 0u);
  EXPECT_TRUE(back->public_access_block->block_policy);
}

// --- checksums

TEST(Checksum, the_crc_of_the_parts_combines_to_that_of_the_whole) {
  base::SeededRandom random(5);
  for (ChecksumAlgorithm algorithm :
       {ChecksumAlgorithm::kCrc32, ChecksumAlgorithm::kCrc32c, ChecksumAlgorithm::kCrc64Nvme}) {
    Checksummer whole(algorithm);
    std::vector<PartChecksum> parts;
    for (size_t size : {1, 1000, 0, 77777}) {
      Bytes bytes(size);
      random.fill(bytes);
      Checksummer part(algorithm);
      part.update(bytes);
      whole.update(bytes);
      parts.push_back({part.finish(), size});
    }
    EXPECT_EQ(combine(algorithm, ChecksumType::kFullObject, parts)->raw, whole.finish().raw);
  }
}

TEST(Checksum, known_answers_in_base64) {
  Checksummer crc32(ChecksumAlgorithm::kCrc32), crc64(ChecksumAlgorithm::kCrc64Nvme);
  crc32.update(as_bytes("123456789"));
  crc64.update(as_bytes("123456789"));
  EXPECT_EQ(text(crc32.finish()), "y/Q5Jg==");
  EXPECT_EQ(text(crc64.finish()), "rosUhgp5mIg=");
  EXPECT_EQ(text({ChecksumAlgorithm::kCrc32, ChecksumType::kComposite, "abcd"}, 3), "YWJjZA==-3");
}

TEST(Checksum, values_of_the_wrong_length_are_refused) {
  EXPECT_FALSE(parse_checksum(ChecksumAlgorithm::kCrc32, "y/Q5"));
  EXPECT_FALSE(parse_checksum(ChecksumAlgorithm::kCrc32, "not base64"));
  EXPECT_TRUE(parse_checksum(ChecksumAlgorithm::kCrc32, "y/Q5Jg=="));
  std::vector<PartChecksum> mixed = {{{ChecksumAlgorithm::kCrc32, ChecksumType::kFullObject, "abcd"}, 4}, {{}, 4}};
  EXPECT_FALSE(combine(ChecksumAlgorithm::kCrc32, ChecksumType::kComposite, mixed));
}

// --- requests

TEST(Ranges, one_range_is_cut_to_the_object) {
  auto range = [](std::string_view header, uint64_t size) {
    auto found = range_of(header, size);
    return found ? (*found ? std::to_string((*found)->offset) + "+" + std::to_string((*found)->size) : "all") : "416";
  };
  EXPECT_EQ(range("bytes=0-0", 10), "0+1");
  EXPECT_EQ(range("bytes=4-", 10), "4+6");
  EXPECT_EQ(range("bytes=4-99", 10), "4+6");
  EXPECT_EQ(range("bytes=-3", 10), "7+3");
  EXPECT_EQ(range("bytes=-99", 10), "0+10");
  EXPECT_EQ(range("bytes=10-", 10), "416");
  EXPECT_EQ(range("bytes=-0", 10), "416");
  EXPECT_EQ(range("bytes=0-0", 0), "416");
  EXPECT_EQ(range("bytes=-1", 0), "416");
  EXPECT_EQ(range("", 10), "all");
  EXPECT_EQ(range("bytes=5-4", 10), "all");
  EXPECT_EQ(range("bytes=a-b", 10), "all");
  EXPECT_EQ(range("bytes=0-1,3-4", 10), "all");
  EXPECT_EQ(range("items=0-1", 10), "all");
  EXPECT_EQ(range("bytes=99999999999999999999-", 10), "all");
}

TEST(Ranges, a_copy_range_must_be_exact) {
  EXPECT_EQ(copy_range_of("bytes=2-5", 10)->size, 4u);
  for (std::string_view bad : {"bytes=2-", "bytes=-5", "bytes=5-2", "2-5", "bytes=2-10", "bytes=0-x"})
    EXPECT_FALSE(copy_range_of(bad, 10)) << bad;
}

TEST(CopySource, is_decoded_and_split_at_the_first_slash) {
  EXPECT_EQ(copy_source_of("/b/k%20x/y")->key, "k x/y");
  EXPECT_EQ(copy_source_of("b%2Fk")->bucket, "b");
  EXPECT_EQ(copy_source_of("b/k?versionId=null")->version->null_version, true);
  EXPECT_EQ(copy_source_of("b/a?b=c")->key, "a?b=c");
  for (std::string_view bad : {"", "/", "b", "b/", "/b/", "b/k?versionId=zz", "b/%zz"})
    EXPECT_FALSE(copy_source_of(bad)) << bad;
}

TEST(Conditions, lists_of_entity_tags_match_with_and_without_quotes) {
  EXPECT_TRUE(names_etag("\"abc\"", "abc"));
  EXPECT_TRUE(names_etag("abc", "abc"));
  EXPECT_TRUE(names_etag("\"x\", W/\"abc\"", "abc"));
  EXPECT_TRUE(names_etag("*", "abc"));
  EXPECT_FALSE(names_etag("\"ab\"", "abc"));
  EXPECT_FALSE(names_etag("", "abc"));
}

TEST(PostPolicy, names_what_it_allows_and_nothing_else) {
  auto policy = PostPolicy::parse(R"({"expiration": "2030-01-01T00:00:00Z", "conditions": [
      {"bucket": "b"}, ["starts-with", "$key", "user/"], ["eq", "$acl", "private"], ["content-length-range", 1, "10"]]})");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->size_bytes_max, 10u);
  WallTime now(std::chrono::seconds(1'700'000'000));
  FormFields fields = {{"bucket", "b"}, {"key", "user/x"}, {"acl", "private"}};
  EXPECT_TRUE(policy->check(fields, now));
  fields["x-ignore-this"] = "1";
  EXPECT_TRUE(policy->check(fields, now));
  fields["x-amz-meta-a"] = "1";
  EXPECT_EQ(policy->check(fields, now).error().code(), ErrorCode::kAccessDenied);
  fields.erase("x-amz-meta-a");
  fields["key"] = "other/x";
  EXPECT_FALSE(policy->check(fields, now));
  fields["key"] = "user/x";
  EXPECT_FALSE(policy->check(fields, now + std::chrono::hours(24 * 365 * 20)));
}

TEST(PostPolicy, malformed_documents_are_refused) {
  for (std::string_view bad :
       {"", "[]", "{}", R"({"expiration": "x", "conditions": [{"a": "b"}]})",
        R"({"expiration": "2030-01-01T00:00:00Z"})", R"({"expiration": "2030-01-01T00:00:00Z", "conditions": []})",
        R"({"expiration": "2030-01-01T00:00:00Z", "conditions": [["content-length-range", 1]]})",
        R"({"expiration": "2030-01-01T00:00:00Z", "conditions": [["content-length-range", -1, 2]]})",
        R"({"expiration": "2030-01-01T00:00:00Z", "conditions": [["like", "$key", "x"]]})",
        R"({"expiration": "2030-01-01T00:00:00Z", "conditions": [["eq", "key", "x"]]})"})
    EXPECT_EQ(PostPolicy::parse(bad).error().code(), ErrorCode::kInvalidPolicyDocument) << bad;
}

// --- rights

struct Rights : testing::Test {
  auth::Principal owner{.user_id = "u1", .account_id = "1", .canonical_id = "c1", .root = true};
  auth::Principal other{.user_id = "u2", .account_id = "2", .canonical_id = "c2", .root = true};
  Bucket bucket{.name = "b", .owner = {"1", "c1"}, .acl = *canned_acl("private", {"1", "c1"}, {"1", "c1"})};

  bool may(const auth::Principal& who, std::string_view action, std::string_view policy = {},
           const ObjectVersion* version = nullptr) {
    auth::PolicyPtr parsed;
    if (!policy.empty()) {
      auto result = auth::Policy::parse(policy, auth::PolicyKind::kResource);
      EXPECT_TRUE(result) << (result ? "" : result.error().text());
      parsed = *result;
    }
    std::string resource = version ? object_arn("b", "k") : bucket_arn("b");
    return allowed({.principal = &who,
                    .action = action,
                    .resource = resource,
                    .bucket = &bucket,
                    .policy = parsed.get(),
                    .version = version});
  }
};

TEST_F(Rights, a_private_bucket_is_its_owners_alone) {
  EXPECT_TRUE(may(owner, "s3:ListBucket"));
  EXPECT_FALSE(may(other, "s3:ListBucket"));
  EXPECT_FALSE(may(*auth::anonymous_principal(), "s3:ListBucket"));
}

TEST_F(Rights, an_acl_gives_what_it_names_unless_the_owner_enforces_or_public_grants_are_ignored) {
  bucket.acl = *canned_acl("public-read", bucket.owner, bucket.owner);
  EXPECT_TRUE(may(*auth::anonymous_principal(), "s3:ListBucket"));
  EXPECT_FALSE(may(*auth::anonymous_principal(), "s3:PutObject"));
  bucket.public_access_block = PublicAccessBlock{.ignore_acls = true};
  EXPECT_FALSE(may(*auth::anonymous_principal(), "s3:ListBucket"));
  bucket.public_access_block.reset();
  bucket.ownership = Ownership::kBucketOwnerEnforced;
  EXPECT_FALSE(may(*auth::anonymous_principal(), "s3:ListBucket"));
  EXPECT_TRUE(may(owner, "s3:ListBucket"));
}

TEST_F(Rights, a_deny_of_the_bucket_policy_beats_the_acl) {
  bucket.acl = *canned_acl("public-read", bucket.owner, bucket.owner);
  std::string_view deny = R"({"Version": "2012-10-17", "Statement": [
      {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"}]})";
  EXPECT_FALSE(may(*auth::anonymous_principal(), "s3:ListBucket", deny));
  EXPECT_FALSE(may(owner, "s3:ListBucket", deny));
}

TEST_F(Rights, a_public_policy_opens_the_bucket_unless_it_is_restricted) {
  std::string_view open = R"({"Version": "2012-10-17", "Statement": [
      {"Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"}]})";
  EXPECT_TRUE(may(other, "s3:ListBucket", open));
  EXPECT_TRUE(may(*auth::anonymous_principal(), "s3:ListBucket", open));
  bucket.public_access_block = PublicAccessBlock{.restrict_buckets = true};
  EXPECT_FALSE(may(other, "s3:ListBucket", open));
  EXPECT_FALSE(may(*auth::anonymous_principal(), "s3:ListBucket", open));
  EXPECT_TRUE(may(owner, "s3:ListBucket", open));
}

}  // namespace
}  // namespace polis::object
