#include "kernel/store/row_format.h"

#include <gtest/gtest.h>
#include <map>

#include "kernel/base/ordered_key.h"
#include "kernel/base/random.h"
#include "kernel/store/live_views.h"
#include "kernel/store/recent_writes.h"

namespace polis::store {
namespace {

std::string escape(std::string_view key) {
  std::string out;
  append_escaped_key(out, key);
  return out;
}

std::string random_bytes(Random& random) {
  std::string out;
  for (uint64_t i = 0, n = random.below(8); i < n; ++i) out.push_back("\x00\x01\x02\x03\x7f\xfe\xff"[random.below(7)]);
  return out;
}

TEST(RowFormat, escaped_keys_come_back_and_are_those_of_the_ordered_key_encoding) {
  base::SeededRandom random(1);
  for (int i = 0; i < 10'000; ++i) {
    const std::string key = random_bytes(random);
    const std::string escaped = escape(key);
    std::string back;
    ASSERT_TRUE(unescape_key(escaped, back));
    EXPECT_EQ(back, key);
    base::Bytes same;
    base::append_key_bytes(same, key);
    EXPECT_EQ(escaped, as_text(same));
    EXPECT_EQ(escaped_key_length(escaped + random_bytes(random)), escaped.size());
  }
}

TEST(RowFormat, entries_sort_by_key_and_then_newest_first) {
  base::SeededRandom random(2);
  for (int i = 0; i < 10'000; ++i) {
    const std::string a = random_bytes(random), b = random_bytes(random);
    const CommitTime at = random.next(), bt = random.next();
    std::string left = escape(a), right = escape(b);
    append_version_suffix(left, at);
    append_version_suffix(right, bt);
    EXPECT_EQ(left < right, a < b || (a == b && at > bt));
    if (a < b) {
      EXPECT_LT(behind_all_versions(escape(a)), escape(b));
      EXPECT_LT(left, escape(b));
    }
    EXPECT_LT(left, behind_all_versions(escape(a)));
    const auto parsed = parse_entry_key(left);
    if (a.empty()) continue;
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->escaped, escape(a));
    EXPECT_EQ(parsed->committed_at, at);
  }
}

TEST(RowFormat, malformed_entries_are_refused) {
  using namespace std::string_literals;
  std::string key;
  for (const auto& bad : {""s, "\0"s, "a"s, "a\0"s, "a\0\2"s, "a\0\1b"s, "a\0\1b\0\1"s})
    EXPECT_FALSE(unescape_key(bad, key)) << printable(bad);
  for (const auto& bad : {""s, "abc"s, "a\0\1"s,
                          "a\0\1"
                          "1234567"s,
                          "aaa12345678"s,
                          "\0\1"
                          "12345678"s})
    EXPECT_FALSE(parse_entry_key(bad)) << printable(bad);
  EXPECT_FALSE(parse_row_header(std::string(kRowHeaderBytes - 1, '\0')));
  EXPECT_FALSE(parse_row_header("\2" + std::string(kRowHeaderBytes, '\0')));
  EXPECT_FALSE(decode_state("short"));
  EXPECT_EQ(escaped_key_length("no end mark\0\xff"s), 0u);
}

TEST(RowFormat, headers_and_state_come_back) {
  std::string value;
  append_row_header(value, {true, 1, 2, UINT64_MAX});
  const auto header = parse_row_header(value + "payload");
  ASSERT_TRUE(header);
  EXPECT_TRUE(header->tombstone);
  EXPECT_EQ(header->transaction_id, 1u);
  EXPECT_EQ(header->version, 2u);
  EXPECT_EQ(header->roll, UINT64_MAX);
  const auto state = decode_state(encode_state({1, 2, 3}));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->newest, 1u);
  EXPECT_EQ(state->ceiling, 2u);
  EXPECT_EQ(state->transaction_id, 3u);
}

TEST(LiveViews, the_oldest_is_the_oldest_living_or_the_next) {
  LiveViews views(10);
  EXPECT_EQ(views.oldest(), 10u);
  EXPECT_EQ(views.begin(), 10u);
  EXPECT_EQ(views.begin(), 10u);
  views.publish(20);
  EXPECT_EQ(views.begin(), 20u);
  views.publish(30);
  EXPECT_EQ(views.begin(), 30u);
  EXPECT_EQ(views.oldest(), 10u);
  views.end(20);
  views.end(10);
  EXPECT_EQ(views.oldest(), 10u);
  views.end(10);
  EXPECT_EQ(views.oldest(), 30u);
  views.publish(40);
  views.end(30);
  EXPECT_EQ(views.oldest(), 40u);
  EXPECT_EQ(views.count(), 0u);
}

TEST(RecentWrites, agrees_with_a_full_memory_above_its_floor) {
  base::SeededRandom random(3);
  for (int round = 0; round < 50; ++round) {
    RecentWrites recent(0, 2000);
    std::map<std::pair<uint32_t, std::string>, Newest> all;
    CommitTime now = 0, oldest = 0;
    for (int i = 0; i < 500; ++i) {
      now += random.below(2) + 1;
      for (uint64_t j = 0, n = random.below(3); j < n; ++j) {
        const Keyspace keyspace{static_cast<uint32_t>(random.below(2))};
        const std::string key = "k" + std::to_string(random.below(40));
        const Newest newest{now, random.below(9), random.chance(1, 2)};
        recent.record(keyspace, key, newest);
        all[{keyspace.id, key}] = newest;
      }
      oldest = std::min(now, oldest + random.below(4));
      recent.evict(oldest);
      EXPECT_LE(recent.size_bytes(), 2000u);
      for (const auto& [where, newest] : all) {
        const Newest* found = recent.find({where.first}, where.second);
        if (newest.committed_at > recent.floor()) ASSERT_TRUE(found);
        if (found) {
          EXPECT_EQ(found->committed_at, newest.committed_at);
          EXPECT_EQ(found->version, newest.version);
          EXPECT_EQ(found->live, newest.live);
        }
      }
    }
  }
}

}  // namespace
}  // namespace polis::store
