// The pure functions: dates, ranges, conditions, queries, media types.
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/http/conditional.h"
#include "kernel/http/date.h"
#include "kernel/http/h1.h"
#include "kernel/http/range.h"
#include "kernel/http/static_files.h"
#include "kernel/http/uri.h"

namespace polis::http {
namespace {

WallTime at(int64_t seconds) {
  return WallTime(std::chrono::seconds(seconds));
}

TEST(Date, reads_its_three_forms_and_writes_the_first) {
  EXPECT_EQ(format_date(at(784111777)), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(parse_date("Sun, 06 Nov 1994 08:49:37 GMT"), at(784111777));
  EXPECT_EQ(parse_date("Sunday, 06-Nov-94 08:49:37 GMT"), at(784111777));
  EXPECT_EQ(parse_date("Sun Nov  6 08:49:37 1994"), at(784111777));
  EXPECT_EQ(parse_date("Sat Nov 26 08:49:37 1994"), at(784111777 + 20 * 86400));
  EXPECT_EQ(cached_date(at(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(cached_date(at(951827696)), "Tue, 29 Feb 2000 12:34:56 GMT");
}

TEST(Date, refuses_what_is_no_date) {
  for (std::string_view text :
       {"", "0", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 0000 08:49:37 GMT", "Sun, 06 Nov 9999 08:49:37 GMT",
        "unN, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun Nov  6 08:49:37 94"}) {
    EXPECT_FALSE(parse_date(text)) << text;
  }
}

TEST(Date, every_second_that_is_written_is_read_back) {
  base::SeededRandom random(1);
  for (int i = 0; i < 2000; ++i) {
    WallTime time = at(static_cast<int64_t>(random.below(9'000'000'000)));
    EXPECT_EQ(parse_date(format_date(time)), time);
  }
}

std::string describe(std::string_view value, uint64_t size) {
  RangeSet set = parse_range(value, size);
  if (set.outcome == RangeOutcome::kWhole) return "whole";
  if (set.outcome == RangeOutcome::kUnsatisfiable) return "unsatisfiable";
  std::string out;
  for (const io::ByteRange& range : set.all()) {
    out += (out.empty() ? "" : " ") + std::to_string(range.offset) + "+" + std::to_string(range.size);
  }
  return out;
}

TEST(Range, means_what_the_standard_says) {
  struct Case {
    std::string_view value;
    uint64_t size;
    std::string_view expected;
  };
  const Case cases[] = {
      {"bytes=0-0", 10, "0+1"},
      {"bytes=0-9", 10, "0+10"},
      {"bytes=0-99", 10, "0+10"},
      {"bytes=5-", 10, "5+5"},
      {"bytes=-3", 10, "7+3"},
      {"bytes=-99", 10, "0+10"},
      {"BYTES=1-2", 10, "1+2"},
      {"bytes= 1-2 , 5-6", 10, "1+2 5+2"},
      {"bytes=5-6,1-2", 10, "5+2 1+2"},
      {"bytes=0-4,3-7", 10, "0+8"},
      {"bytes=5-6,0-1,1-2", 10, "0+3 5+2"},
      {"bytes=0-0,20-30", 10, "0+1"},
      {"bytes=0-18446744073709551615", 10, "whole"},
      {"bytes=10-", 10, "unsatisfiable"},
      {"bytes=-0", 10, "unsatisfiable"},
      {"bytes=0-0", 0, "unsatisfiable"},
      {"bytes=-5", 0, "unsatisfiable"},
      {"bytes=", 10, "whole"},
      {"bytes=-", 10, "whole"},
      {"bytes=a-b", 10, "whole"},
      {"bytes=5-2", 10, "whole"},
      {"bytes=1-2,x", 10, "whole"},
      {"bytes=+1-2", 10, "whole"},
      {"bytes=0x1-2", 10, "whole"},
      {"bytes 0-1", 10, "whole"},
      {"lines=0-1", 10, "whole"},
      {"", 10, "whole"},
  };
  for (const Case& one : cases)
    EXPECT_EQ(describe(one.value, one.size), one.expected) << one.value << " of " << one.size;
}

TEST(Range, more_than_32_are_ignored) {
  std::string value = "bytes=0-0";
  for (int i = 1; i < 32; ++i) value += "," + std::to_string(i * 10) + "-" + std::to_string(i * 10);
  EXPECT_EQ(parse_range(value, 1000).count, 32u);
  EXPECT_EQ(parse_range(value + ",900-900", 1000).outcome, RangeOutcome::kWhole);
}

TEST(Range, merged_ranges_cover_the_same_bytes) {
  base::SeededRandom random(3);
  for (int round = 0; round < 500; ++round) {
    std::vector<bool> asked(100), given(100);
    std::string value = "bytes=";
    for (uint64_t n = 1 + random.below(6); n > 0; --n) {
      uint64_t first = random.below(100), last = first + random.below(30);
      for (uint64_t i = first; i <= last && i < 100; ++i) asked[i] = true;
      value += std::to_string(first) + "-" + std::to_string(last) + ",";
    }
    for (const io::ByteRange& range : parse_range(value, 100).all()) {
      for (uint64_t i = range.offset; i < range.offset + range.size; ++i) {
        EXPECT_TRUE(!given[i]) << value;  // no byte twice
        given[i] = true;
      }
    }
    EXPECT_EQ(asked, given) << value;
  }
}

Precondition judge(std::string_view method, std::string_view lines, const Validators& current) {
  std::string text = std::string(method) + " / HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n";
  h1::RequestParser parser;
  EXPECT_TRUE(parser.feed(as_bytes(text)));
  return evaluate_preconditions(parser.head().method, parser.head().fields, current);
}

TEST(Conditions, are_judged_in_the_order_of_the_standard) {
  const Validators current{"\"abc\"", at(784111777), true};
  const Validators weak{"W/\"abc\"", {}, true};
  const Validators absent{"", {}, false};
  constexpr auto kProceed = Precondition::kProceed, kFailed = Precondition::kFailed,
                 kNotModified = Precondition::kNotModified;
  EXPECT_EQ(judge("GET", "", current), kProceed);
  EXPECT_EQ(judge("GET", "If-None-Match: \"abc\"\r\n", current), kNotModified);
  EXPECT_EQ(judge("GET", "If-None-Match: W/\"abc\"\r\n", current), kNotModified);
  EXPECT_EQ(judge("GET", "If-None-Match: \"x,\", \"abc\"\r\n", current), kNotModified);
  EXPECT_EQ(judge("GET", "If-None-Match: \"x\"\r\nIf-None-Match: \"abc\"\r\n", current), kNotModified);
  EXPECT_EQ(judge("GET", "If-None-Match: \"x\"\r\n", current), kProceed);
  EXPECT_EQ(judge("PUT", "If-None-Match: \"abc\"\r\n", current), kFailed);
  EXPECT_EQ(judge("PUT", "If-None-Match: *\r\n", current), kFailed);
  EXPECT_EQ(judge("PUT", "If-None-Match: *\r\n", absent), kProceed);
  EXPECT_EQ(judge("PUT", "If-Match: \"abc\"\r\n", current), kProceed);
  EXPECT_EQ(judge("PUT", "If-Match: abc\r\n", current), kProceed);
  EXPECT_EQ(judge("PUT", "If-Match: \"abd\"\r\n", current), kFailed);
  EXPECT_EQ(judge("PUT", "If-Match: W/\"abc\"\r\n", weak), kFailed);
  EXPECT_EQ(judge("PUT", "If-Match: *\r\n", absent), kFailed);
  EXPECT_EQ(judge("PUT", "If-Match: \"abc\"\r\n", absent), kFailed);
  EXPECT_EQ(judge("PUT", "If-Match: \"abc\r\n", current), kFailed);
  EXPECT_EQ(judge("GET", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", current), kNotModified);
  EXPECT_EQ(judge("GET", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", current), kProceed);
  EXPECT_EQ(judge("GET", "If-Modified-Since: nonsense\r\n", current), kProceed);
  EXPECT_EQ(judge("PUT", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", current), kProceed);
  EXPECT_EQ(judge("GET", "If-None-Match: \"x\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", current),
            kProceed);
  EXPECT_EQ(judge("GET", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", current), kFailed);
  EXPECT_EQ(judge("GET", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", current), kProceed);
  EXPECT_EQ(judge("GET", "If-Match: \"abc\"\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", current),
            kProceed);
}

TEST(Conditions, if_range_needs_the_exact_state) {
  const Validators current{"\"abc\"", at(784111777), true};
  auto allowed = [&](std::string_view line) {
    std::string text = "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(line) + "\r\n";
    h1::RequestParser parser;
    EXPECT_TRUE(parser.feed(as_bytes(text)));
    return range_allowed(parser.head().fields, current);
  };
  EXPECT_TRUE(allowed(""));
  EXPECT_TRUE(allowed("If-Range: \"abc\"\r\n"));
  EXPECT_FALSE(allowed("If-Range: W/\"abc\"\r\n"));
  EXPECT_FALSE(allowed("If-Range: \"abd\"\r\n"));
  EXPECT_TRUE(allowed("If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
  EXPECT_FALSE(allowed("If-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n"));
  EXPECT_FALSE(allowed("If-Range: nonsense\r\n"));
}

TEST(Query, is_split_before_it_is_decoded) {
  EXPECT_EQ(*query_value("a=1&b=2%263&c", "b"), "2&3");
  EXPECT_EQ(*query_value("a%3Db=x+y", "a=b"), "x y");
  EXPECT_EQ(*query_value("c", "c"), "");
  EXPECT_EQ(*query_value("a=1", "b"), std::nullopt);
  EXPECT_FALSE(query_value("a=%zz", "a"));
  std::string_view query = "&&a=b=c&=d&e&";
  QueryParameter parameter;
  std::string seen;
  while (next_query_parameter(query, parameter)) {
    seen.append(parameter.name).append(parameter.has_value ? "=" : "!").append(parameter.value).append(";");
  }
  EXPECT_EQ(seen, "a=b=c;=d;e!;");
}

TEST(AcceptEncoding, honours_weights) {
  auto accepts = [](std::string_view value, std::string_view coding) {
    std::string text = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: " + std::string(value) + "\r\n\r\n";
    h1::RequestParser parser;
    EXPECT_TRUE(parser.feed(as_bytes(text)));
    return accepts_coding(parser.head().fields, coding);
  };
  EXPECT_TRUE(accepts("gzip, br", "br"));
  EXPECT_TRUE(accepts("GZIP;q=0.5", "gzip"));
  EXPECT_FALSE(accepts("gzip;q=0", "gzip"));
  EXPECT_FALSE(accepts("gzip; q=0.000", "gzip"));
  EXPECT_TRUE(accepts("*", "br"));
  EXPECT_FALSE(accepts("*, br;q=0", "br"));
  EXPECT_FALSE(accepts("", "br"));
}

TEST(MediaType, follows_the_extension) {
  EXPECT_EQ(media_type_of("/a/b.JS"), "text/javascript; charset=utf-8");
  EXPECT_EQ(media_type_of("a.b/c"), "application/octet-stream");
}

}  // namespace
}  // namespace polis::http
