#include "app/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/cli/terminal.h"

namespace polis::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CommandLine sample() {
  systems::Command status{.name = "status", .help = "what runs"};
  systems::Command user_add{.name = "user add", .help = "makes a user", .arguments = {{.name = "name", .help = "who"}}};
  systems::Command user_list{.name = "user list", .help = "lists users"};
  systems::Command up{.name = "up",
                      .help = "starts",
                      .arguments = {{.name = "system", .help = "which", .required = false, .repeated = true}},
                      .flags = {{.name = "set", .help = "an option", .value = "key=value", .repeated = true}}};
  systems::Command mb{.name = "mb",
                      .help = "makes a bucket",
                      .arguments = {{.name = "bucket", .help = "its name"}},
                      .flags = {{.name = "class",
                                 .help = "storage class",
                                 .value = "NAME",
                                 .value_default = "STANDARD",
                                 .choices = {"STANDARD", "ARCHIVE"}},
                                {.name = "quiet", .help = "says less"}}};
  return CommandLine({{.name = "", .summary = "", .commands = {status, user_add, user_list, up}},
                      {.name = "object", .summary = "the object store", .commands = {mb}}});
}

std::string mistake(std::vector<std::string> words) {
  auto parsed = sample().parse(words);
  return parsed ? "no mistake found" : parsed.error().message();
}

TEST(CommandLine, finds_a_command_of_two_words_and_its_argument) {
  auto parsed = sample().parse({"user", "add", "ann", "--json"});
  ASSERT_TRUE(parsed && parsed->command);
  EXPECT_EQ(parsed->command->full_name, "user add");
  EXPECT_THAT(parsed->command->arguments, ElementsAre("ann"));
  EXPECT_EQ(parsed->command->flags.at("json"), "true");
}

TEST(CommandLine, fills_in_the_default_of_a_flag_of_a_system) {
  auto parsed = sample().parse({"object", "mb", "photos"});
  ASSERT_TRUE(parsed && parsed->command);
  EXPECT_EQ(parsed->command->flags.at("class"), "STANDARD");
}

TEST(CommandLine, joins_a_repeated_flag_by_lines_and_accepts_both_spellings) {
  CommandLine line = sample();
  auto parsed = line.parse({"up", "object", "--set", "a.b=1", "--set=c.d=2=3", "mail"});
  ASSERT_TRUE(parsed && parsed->command);
  EXPECT_EQ(parsed->command->flags.at("set"), "a.b=1\nc.d=2=3");
  EXPECT_THAT(parsed->command->arguments, ElementsAre("object", "mail"));
}

TEST(CommandLine, flags_that_stand_everywhere_may_stand_in_front) {
  auto parsed = sample().parse({"--data", "/x", "--json", "object", "mb", "photos", "--", "--not-a-flag"});
  EXPECT_FALSE(parsed);  // one argument too many, so the two dashes were seen
  parsed = sample().parse({"--data=/x", "-y", "user", "add", "ann"});
  ASSERT_TRUE(parsed && parsed->command);
  EXPECT_EQ(parsed->command->full_name, "user add");
  EXPECT_EQ(parsed->command->flags.at("data"), "/x");
  EXPECT_TRUE(parsed->command->flags.contains("yes"));
  EXPECT_THAT(mistake({"--data"}), HasSubstr("needs a value"));
  EXPECT_THAT(mistake({"--class", "ARCHIVE", "object", "mb", "photos"}), HasSubstr("in front of a command"));
}

TEST(CommandLine, takes_everything_behind_two_dashes_as_arguments) {
  auto parsed = sample().parse({"object", "mb", "--", "--quiet"});
  ASSERT_TRUE(parsed && parsed->command);
  EXPECT_THAT(parsed->command->arguments, ElementsAre("--quiet"));
}

TEST(CommandLine, names_the_nearest_command_and_flag_for_a_slip) {
  EXPECT_THAT(mistake({"stauts"}), HasSubstr("'status'"));
  EXPECT_THAT(mistake({"objct", "mb"}), HasSubstr("'object'"));
  EXPECT_THAT(mistake({"user", "ad", "x"}), HasSubstr("'user add'"));
  EXPECT_THAT(mistake({"object", "mb", "x", "--quite"}), HasSubstr("'--quiet'"));
}

TEST(CommandLine, refuses_what_does_not_fit_the_declaration) {
  EXPECT_THAT(mistake({"object", "mb"}), HasSubstr("needs BUCKET"));
  EXPECT_THAT(mistake({"object", "mb", "a", "b"}), HasSubstr("'b' is one too many"));
  EXPECT_THAT(mistake({"object", "mb", "a", "--class", "GOLD"}), HasSubstr("one of STANDARD, ARCHIVE"));
  EXPECT_THAT(mistake({"object", "mb", "a", "--class"}), HasSubstr("needs a value"));
  EXPECT_THAT(mistake({"object", "mb", "a", "--quiet=1"}), HasSubstr("takes no value"));
  EXPECT_THAT(mistake({"object", "mb", "a", "--class", "ARCHIVE", "--class", "STANDARD"}), HasSubstr("given twice"));
  EXPECT_THAT(mistake({"object", "mb", "a", "-x"}), HasSubstr("does not know -x"));
}

TEST(CommandLine, answers_help_at_every_depth) {
  EXPECT_THAT(sample().parse({})->help, HasSubstr("the object store"));
  EXPECT_THAT(sample().parse({"object"})->help, HasSubstr("polis object mb"));
  EXPECT_THAT(sample().parse({"user"})->help, HasSubstr("polis user list"));
  EXPECT_THAT(sample().parse({"object", "mb", "--help"})->help, HasSubstr("Usage: polis object mb BUCKET"));
}

TEST(CommandLine, completion_offers_what_is_declared) {
  std::string script = sample().bash_completion();
  EXPECT_THAT(script, HasSubstr("['polis object']='mb'"));
  EXPECT_THAT(script, HasSubstr("['polis user']='add list'"));
  EXPECT_THAT(script, HasSubstr("['--class']='STANDARD ARCHIVE'"));
}

TEST(Terminal, shows_a_document_as_a_table_or_as_lines) {
  EXPECT_EQ(format_document(R"([{"name":"a","size":1},{"name":"long","size":20}])"),
            "name  size\na        1\nlong    20\n");
  EXPECT_EQ(format_document(R"({"id":"x","tags":["a","b"],"drives":[{"n":1}]})"),
            "id      x\ntags    a, b\n\ndrives\nn\n1\n");
  EXPECT_EQ(format_document(R"({"rate":6087.575866414235E3,"seconds":9.85614E-4})"),
            "rate     6087576\nseconds  0.000985614\n");
  EXPECT_EQ(format_document("not json"), "not json\n");
}

TEST(Terminal, sizes_and_times_carry_their_unit) {
  EXPECT_EQ(readable_size(0), "0 B");
  EXPECT_EQ(readable_size(1536), "1.5 KiB");
  EXPECT_EQ(readable_size(uint64_t{64} << 20), "64 MiB");
  EXPECT_EQ(readable_size(UINT64_MAX), "16 EiB");
  EXPECT_EQ(readable_duration(std::chrono::microseconds(12)), "12 µs");
  EXPECT_EQ(readable_duration(std::chrono::milliseconds(2100)), "2.1 s");
  EXPECT_EQ(readable_duration(std::chrono::seconds(245)), "4 min 5 s");
}

}  // namespace
}  // namespace polis::app
