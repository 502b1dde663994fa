#include "kernel/obs/log.h"

#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <sstream>
#include <thread>
#include <unistd.h>

#include "kernel/base/config.h"

namespace polis::obs {
namespace {

using base::ManualClock;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

constexpr WallTime kTime{std::chrono::milliseconds(784'111'777'005)};

// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    char pattern[] = "/tmp/polis_log_test_XXXXXX";
    path_ = mkdtemp(pattern);
  }
  ~Folder() {
    for (const char* name : {"/log", "/log.1", "/moved"}) unlink((path_ + name).c_str());
    rmdir(path_.c_str());
  }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string contents(const std::string& name) const {
    std::ifstream stream(file(name));
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }

 private:
  std::string path_;
};

std::vector<std::string> events(const std::vector<LogLine>& lines) {
  std::vector<std::string> out;
  for (const LogLine& line : lines) out.push_back(line.event);
  return out;
}

TEST(LogFormat, a_line_has_time_level_event_and_typed_fields) {
  Error error(Code::kIo, "cannot write", Error(Code::kNoSpace, "disk full"));
  Fields fields = {{"drive", "/data/2"}, {"count", 3},    {"size", uint64_t{18'446'744'073'709'551'615u}},
                   {"ok", true},         {"share", 0.25}, {"took", std::chrono::milliseconds(1500)},
                   {"error", error}};
  EXPECT_EQ(format_text(kTime, Level::kWarning, "drive is slow", fields),
            "1994-11-06T08:49:37.005Z WARNING drive is slow drive=/data/2 count=3 size=18446744073709551615 ok=true "
            "share=0.25 "
            "took=1s500ms error=\"cannot write: disk full\"");
  EXPECT_EQ(
      format_json(kTime, Level::kWarning, "drive is slow", fields),
      R"({"time":"1994-11-06T08:49:37.005Z","level":"warning","event":"drive is slow","drive":"/data/2","count":3,)"
      R"("size":18446744073709551615,"ok":true,"share":0.25,"took":"1s500ms","error":"cannot write: disk full"})");
}

TEST(LogFormat, no_value_can_forge_a_line_or_break_the_json) {
  Fields fields = {{"name", "a\n1994 ERROR forged\x1b[2J\"x=\\"},
                   {"bad", "\xff\xc3\xa9"},
                   {"none", ""},
                   {"nan", std::numeric_limits<double>::quiet_NaN()}};
  EXPECT_EQ(format_text(kTime, Level::kInfo, "e\nvent", fields),
            "1994-11-06T08:49:37.005Z INFO \"e\\nvent\" name=\"a\\n1994 ERROR forged\\u001b[2J\\\"x=\\\\\" "
            "bad=\"\xef\xbf\xbd\xc3\xa9\" none=\"\" nan=nan");
  EXPECT_THAT(format_json(kTime, Level::kInfo, "event", fields),
              EndsWith("\"bad\":\"\xef\xbf\xbd\xc3\xa9\",\"none\":\"\",\"nan\":null}"));
}

TEST(LogFormat, long_lines_are_cut_and_json_stays_whole) {
  std::string payload(100'000, 'x');
  Fields fields = {{"a", payload}, {"b", payload}, {"c", payload}};
  EXPECT_EQ(format_text(kTime, Level::kInfo, "event", fields).size(), Log::kLineBytesMax);
  std::string json = format_json(kTime, Level::kInfo, "event", fields);
  EXPECT_LE(json.size(), Log::kLineBytesMax);
  EXPECT_THAT(json, EndsWith("\"cut\":true}"));
}

TEST(Log, lines_reach_the_file_in_order_and_those_below_the_level_do_not) {
  Folder folder;
  ManualClock clock(kTime);
  {
    auto log = Log::open(clock, {.file = folder.file("log")}).value();
    log->write(Level::kDebug, "unseen", {});
    log->write(Level::kInfo, "one", {});
    log->write(Level::kError, "two", {{"n", 2}});
    log->flush();
    EXPECT_EQ(folder.contents("log"), "1994-11-06T08:49:37.005Z INFO one\n1994-11-06T08:49:37.005Z ERROR two n=2\n");
    log->set_level(Level::kError);
    log->write(Level::kInfo, "unseen", {});
    log->write(Level::kError, "at the end", {});
  }
  EXPECT_THAT(folder.contents("log"), EndsWith("ERROR at the end\n"));
}

TEST(Log, an_unwritable_file_is_a_clear_error) {
  ManualClock clock;
  auto opened = Log::open(clock, {.file = "/nonexistent/log"});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kNotFound);
  EXPECT_THAT(opened.error().message(), HasSubstr("/nonexistent/log"));
}

TEST(Log, a_full_file_becomes_the_older_one_and_at_most_two_are_kept) {
  Folder folder;
  ManualClock clock(kTime);
  auto log =
      Log::open(clock, {.file = folder.file("log"), .file_size_bytes_max = 100, .lines_per_second_max = 0}).value();
  for (int i = 0; i < 10; ++i) {
    log->write(Level::kInfo, "event", {{"i", i}});
    log->flush();
  }
  EXPECT_THAT(folder.contents("log"), HasSubstr("i=9"));
  EXPECT_THAT(folder.contents("log.1"), HasSubstr("i=7"));
  EXPECT_LE(folder.contents("log").size() + folder.contents("log.1").size(), 200u);
}

TEST(Log, after_a_file_was_moved_away_reopen_begins_a_new_one) {
  Folder folder;
  ManualClock clock(kTime);
  auto log = Log::open(clock, {.file = folder.file("log")}).value();
  log->write(Level::kInfo, "before", {});
  log->flush();
  ASSERT_EQ(rename(folder.file("log").c_str(), folder.file("moved").c_str()), 0);
  ASSERT_TRUE(log->reopen());
  log->write(Level::kInfo, "after", {});
  log->flush();
  EXPECT_THAT(folder.contents("moved"), HasSubstr("before"));
  EXPECT_THAT(folder.contents("log"), HasSubstr("after"));
}

TEST(Log, a_repeated_event_is_limited_each_second_and_the_rest_counted) {
  Folder folder;
  ManualClock clock(kTime);
  auto log =
      Log::open(clock, {.format = LogFormat::kJson, .file = folder.file("log"), .lines_per_second_max = 3}).value();
  for (int i = 0; i < 10; ++i) log->write(Level::kInfo, "storm", {{"i", i}});
  log->write(Level::kInfo, "calm", {});
  EXPECT_THAT(events(log->recent(100)), ElementsAre("storm", "storm", "storm", "calm"));
  EXPECT_EQ(log->lines_suppressed(), 7u);
  clock.advance(std::chrono::seconds(1));
  log->write(Level::kInfo, "storm", {});
  log->flush();
  EXPECT_THAT(folder.contents("log"), EndsWith("\"event\":\"storm\",\"suppressed\":7}\n"));
}

TEST(Log, recent_lines_are_found_by_level_and_sequence_and_are_bounded) {
  Folder folder;
  ManualClock clock(kTime);
  auto log = Log::open(clock, {.file = folder.file("log"), .recent_lines_max = 3, .lines_per_second_max = 0}).value();
  for (const char* event : {"one", "two", "three"}) log->write(Level::kInfo, event, {});
  log->write(Level::kError, "four", {});
  EXPECT_THAT(events(log->recent(100)), ElementsAre("two", "three", "four"));
  EXPECT_THAT(events(log->recent(2)), ElementsAre("three", "four"));
  EXPECT_THAT(events(log->recent(100, Level::kError)), ElementsAre("four"));
  EXPECT_THAT(events(log->recent(100, Level::kDebug, 3)), ElementsAre("four"));
}

TEST(Log, a_reader_that_stands_still_loses_lines_but_never_stops_a_caller) {
  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  ManualClock clock(kTime);
  auto log = Log::to_descriptor(clock, {.queue_bytes_max = 10'000, .lines_per_second_max = 0}, channel[1]);
  std::string payload(1000, 'x');
  for (int i = 0; i < 300; ++i) log->write(Level::kInfo, "event", {{"payload", payload}});
  EXPECT_GT(log->lines_dropped(), 0u);
  std::thread reader([&] {
    char buffer[65536];
    while (read(channel[0], buffer, sizeof buffer) > 0) {
    }
  });
  log.reset();
  close(channel[1]);
  reader.join();
  close(channel[0]);
}

TEST(Log, the_free_functions_reach_the_installed_log) {
  Folder folder;
  ManualClock clock(kTime);
  EXPECT_FALSE(log_enabled(Level::kInfo));
  {
    auto log = Log::open(clock, {.file = folder.file("log")}).value();
    log->install();
    EXPECT_TRUE(log_enabled(Level::kInfo));
    log_info("hello", {{"n", 1}});
    log_debug("unseen");
    log->set_level(Level::kDebug);
    log_debug("seen");
    EXPECT_THAT(events(installed_log()->recent(9)), ElementsAre("hello", "seen"));
  }
  EXPECT_EQ(installed_log(), nullptr);
  EXPECT_FALSE(log_enabled(Level::kInfo));
}

TEST(Log, threads_write_whole_lines) {
  Folder folder;
  ManualClock clock(kTime);
  {
    auto log = Log::open(clock, {.file = folder.file("log"), .lines_per_second_max = 0}).value();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) log->write(Level::kInfo, "event", {});
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(log->lines_dropped(), 0u);
  }
  std::istringstream lines(folder.contents("log"));
  std::string line;
  int count = 0;
  for (; std::getline(lines, line); ++count) EXPECT_EQ(line, "1994-11-06T08:49:37.005Z INFO event");
  EXPECT_EQ(count, 2000);
}

TEST(LogOptions, come_from_the_configuration) {
  base::ConfigSchema schema;
  declare_log_options(schema);
  LogOptions options =
      log_options(schema.resolve({.settings = {"log.level=error", "log.format=json", "log.file=/x"}}).value());
  EXPECT_EQ(options.level, Level::kError);
  EXPECT_EQ(options.format, LogFormat::kJson);
  EXPECT_EQ(options.file, "/x");
  EXPECT_EQ(options.file_size_bytes_max, uint64_t{64} << 20);
  EXPECT_FALSE(schema.resolve({.settings = {"log.level=loud"}}));
  EXPECT_FALSE(parse_level("loud"));
}

}  // namespace
}  // namespace polis::obs
