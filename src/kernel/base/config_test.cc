#include "kernel/base/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace polis::base {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

ConfigSchema example_schema() {
  ConfigSchema schema;
  schema.add_bool("object.versioning", false, "Keep old versions of objects.");
  schema.add_integer("object.drives", 6, {1, 64}, "Drives of a set.");
  schema.add_size("object.part_size_max", 64 << 20, {5 << 20, int64_t{5} << 30}, "Largest part.");
  schema.add_duration("object.idle_timeout", seconds(60), {milliseconds(1), std::chrono::hours(1)},
                      "Idle connections close.");
  schema.add_text("object.region", "us-east-1", "Region name.");
  schema.add_choice("object.durability", "disk", {"os", "disk"}, "What a reply means.");
  schema.add_list("object.domains", {"localhost"}, "Domains of virtual hosts.");
  schema.add_secret("mail.relay_password", "Password at the relay.");
  return schema;
}

std::string problem_of(const ConfigSources& sources) {
  auto resolved = example_schema().resolve(sources);
  if (resolved) return "none";
  EXPECT_EQ(resolved.error().code(), Code::kInvalid);
  return resolved.error().message();
}

TEST(Config, without_sources_every_option_has_its_default) {
  Config config = example_schema().resolve({}).value();
  EXPECT_FALSE(config.boolean("object.versioning"));
  EXPECT_EQ(config.integer("object.drives"), 6);
  EXPECT_EQ(config.size_bytes("object.part_size_max"), uint64_t{64} << 20);
  EXPECT_EQ(config.duration("object.idle_timeout"), seconds(60));
  EXPECT_EQ(config.text("object.region"), "us-east-1");
  EXPECT_THAT(config.list("object.domains"), ElementsAre("localhost"));
  EXPECT_EQ(config.entries().at("object.drives").source, "default");
  EXPECT_TRUE(config.declared("object.drives"));
  EXPECT_FALSE(config.declared("object.drive"));
}

TEST(Config, the_file_gives_every_type_and_each_value_knows_its_line) {
  Config config = example_schema()
                      .resolve({.file_text = "[object]\nversioning = true\ndrives = 12\npart_size_max = \"8MiB\"\n"
                                             "idle_timeout = \"1m30s\"\nregion = 'eu'\ndurability = \"os\"\n"
                                             "domains = [\"a.example\", \"b,c\"]\n"})
                      .value();
  EXPECT_TRUE(config.boolean("object.versioning"));
  EXPECT_EQ(config.integer("object.drives"), 12);
  EXPECT_EQ(config.size_bytes("object.part_size_max"), uint64_t{8} << 20);
  EXPECT_EQ(config.duration("object.idle_timeout"), seconds(90));
  EXPECT_EQ(config.text("object.region"), "eu");
  EXPECT_THAT(config.list("object.domains"), ElementsAre("a.example", "b,c"));
  EXPECT_EQ(config.entries().at("object.drives").source, "polis.toml:3");
}

TEST(Config, set_wins_over_environment_over_file_over_default) {
  ConfigSources sources{
      .file_text = "[object]\ndrives = 1\nregion = \"file\"\ndurability = \"os\"\n",
      .environment = {{"POLIS_OBJECT_DRIVES", "2"}, {"POLIS_OBJECT_REGION", "environment"}, {"HOME", "/"}},
      .settings = {"object.drives=3", "object.drives=4"}};
  Config config = example_schema().resolve(sources).value();
  EXPECT_EQ(config.integer("object.drives"), 4);
  EXPECT_EQ(config.text("object.region"), "environment");
  EXPECT_EQ(config.text("object.durability"), "os");
  EXPECT_EQ(config.entries().at("object.drives").source, "--set");
  EXPECT_EQ(config.entries().at("object.region").source, "POLIS_OBJECT_REGION");
}

TEST(Config, a_list_on_the_command_line_is_split_at_commas) {
  Config config = example_schema().resolve({.settings = {"object.domains=a, b ,,c"}}).value();
  EXPECT_THAT(config.list("object.domains"), ElementsAre("a", "b", "c"));
  EXPECT_TRUE(example_schema().resolve({.settings = {"object.domains="}}).value().list("object.domains").empty());
}

TEST(Config, bad_values_name_their_place_and_what_would_be_right) {
  struct Case {
    std::string file, message;
  };
  for (const Case& c : {
           Case{"[object]\n\ndrives = 0", "polis.toml:3: object.drives: 0 is outside its range: 1..64"},
           Case{"[object]\ndrives = \"3\"", "polis.toml:2: object.drives: expected a whole number"},
           Case{"[object]\nversioning = 1", "object.versioning: expected a true or false"},
           Case{"[object]\nidle_timeout = 10", "a duration needs its unit"},
           Case{"[object]\nidle_timeout = \"2h\"", "2h is outside its range: 1ms..1h"},
           Case{"[object]\npart_size_max = \"8 parsecs\"", "expected a size like 64MiB"},
           Case{"[object]\npart_size_max = -1", "outside its range"},
           Case{"[object]\ndurability = \"none\"", "\"none\" is none of: os, disk"},
           Case{"[object]\ndomains = \"a\"", "expected a list of texts"},
           Case{"[object]\ndomains = [1]", "a list holds texts in quotes only"},
           Case{"[object]\ndrives = 1.5", "polis.toml:2: object.drives: expected true or false, a whole number"},
           Case{"[object]\ndrive = 1",
                "polis.toml:2: object.drive: there is no such option; did you mean object.drives?"},
           Case{"[elsewhere]\nx = 1", "polis.toml:2: elsewhere.x: there is no such option"},
           Case{"drives = 1", "polis.toml:1: 'drives' stands outside a [system] table"},
           Case{"[object]\ndrives = 1\ndrives = 2", "polis.toml:"},
           Case{"[object\n", "polis.toml:1: "},
           Case{"[object]\ndrives = 99999999999999999999", "polis.toml"},
           Case{std::string("[object]\0", 9), "NUL"},
           Case{"\xff", "not UTF-8"},
           Case{"[object]\ndomains = " + std::string(5000, '['), "nested too deeply"},
       })
    EXPECT_THAT(problem_of({.file_text = c.file}), HasSubstr(c.message)) << c.file;
  EXPECT_THAT(problem_of({.file_text = std::string((1 << 20) + 1, '#')}), HasSubstr("larger than 1 MiB"));
}

TEST(Config, bad_settings_and_variables_are_named_too) {
  EXPECT_EQ(problem_of({.settings = {"object.drives"}}), "--set object.drives: expected system.key=value");
  EXPECT_THAT(problem_of({.settings = {"object.drive=1"}}), HasSubstr("did you mean object.drives?"));
  EXPECT_THAT(problem_of({.settings = {"object.drives=1x"}}),
              HasSubstr("--set object.drives: expected a whole number"));
  EXPECT_THAT(problem_of({.settings = {"object.versioning=yes"}}), HasSubstr("expected true or false"));
  EXPECT_THAT(problem_of({.environment = {{"POLIS_OBJECT_DRIVES", ""}}}), HasSubstr("POLIS_OBJECT_DRIVES: "));
  EXPECT_THAT(problem_of({.environment = {{"POLIS_OBJECT_DRIVE", "1"}}}),
              HasSubstr("POLIS_OBJECT_DRIVE: there is no such"));
  EXPECT_EQ(problem_of({.environment = {{"POLIS_TEST_DISK", "volatile"}}}), "none");
}

TEST(Config, all_problems_come_at_once) {
  std::string problems =
      problem_of({.file_text = "[object]\ndrives = 0\nfoo = 1\n", .settings = {"object.versioning=2"}});
  EXPECT_EQ(std::ranges::count(problems, '\n'), 2);
}

TEST(Config, the_default_file_is_valid_and_changes_nothing_even_without_its_comment_signs) {
  ConfigSchema schema = example_schema();
  std::string file = schema.default_file();
  EXPECT_TRUE(schema.resolve({.file_text = file}));
  std::string active;
  for (size_t at = 0; at < file.size();) {
    size_t end = file.find('\n', at);
    std::string line = file.substr(at, end - at);
    if (line.starts_with('#') && !line.starts_with("# ")) line.erase(0, 1);
    active += line + "\n";
    at = end + 1;
  }
  Config config = schema.resolve({.file_text = active}).value();
  for (const auto& [name, entry] : config.entries()) {
    EXPECT_EQ(entry.value, entry.option->default_value) << name;
    EXPECT_THAT(entry.source, HasSubstr("polis.toml:"));
  }
}

TEST(Config, the_manual_lists_every_option) {
  ConfigSchema schema = example_schema();
  std::string manual = schema.manual();
  for (const auto& [name, option] : schema.options()) EXPECT_THAT(manual, HasSubstr("| `" + name + "` |"));
  EXPECT_THAT(manual, HasSubstr("| `object.part_size_max` | size | `\"64MiB\"` | 5MiB..5GiB | Largest part. |"));
}

TEST(Config, secrets_are_not_shown) {
  Config config = example_schema().resolve({.settings = {"mail.relay_password=hunter2"}}).value();
  EXPECT_EQ(Config::shown(config.entries().at("mail.relay_password")), "***");
  EXPECT_EQ(Config::shown(config.entries().at("object.domains")), "[\"localhost\"]");
  EXPECT_EQ(config.text("mail.relay_password"), "hunter2");
}

TEST(ConfigDeathTest, names_that_nobody_declared_and_wrong_types_end_the_process) {
  Config config = example_schema().resolve({}).value();
  EXPECT_DEATH((void)config.integer("object.nothing"), "broken invariant");
  EXPECT_DEATH((void)config.integer("object.region"), "broken invariant");
  ConfigSchema schema = example_schema();
  EXPECT_DEATH(schema.add_bool("object.drives", true, ""), "broken invariant");
  EXPECT_DEATH(schema.add_bool("Object.x", true, ""), "broken invariant");
  EXPECT_DEATH(schema.add_integer("object.x", 0, {1, 2}, ""), "broken invariant");
}

TEST(Units, sizes_come_back_from_their_text) {
  EXPECT_EQ(parse_size("0").value(), 0u);
  EXPECT_EQ(parse_size("4096").value(), 4096u);
  EXPECT_EQ(parse_size("64 MiB").value(), uint64_t{64} << 20);
  EXPECT_EQ(parse_size("3kB").value(), 3000u);
  for (uint64_t size_bytes : {uint64_t{0}, uint64_t{1023}, uint64_t{1024}, uint64_t{5} << 30, (uint64_t{1} << 40) + 1})
    EXPECT_EQ(parse_size(format_size(size_bytes)).value(), size_bytes);
  EXPECT_EQ(format_size(uint64_t{5} << 30), "5GiB");
  for (const char* text : {"", "B", "-1", "1.5GiB", "1K", "1mb", "1 MiB ", "0x10", "99999999999999999999"})
    EXPECT_FALSE(parse_size(text)) << text;
  EXPECT_EQ(parse_size("9223372036854775807TiB").error().code(), Code::kOutOfRange);
}

TEST(Units, durations_come_back_from_their_text) {
  EXPECT_EQ(parse_duration("0").value(), Duration(0));
  EXPECT_EQ(parse_duration("250ms").value(), milliseconds(250));
  EXPECT_EQ(parse_duration("1h30m").value(), std::chrono::minutes(90));
  for (int64_t count : {int64_t{0}, int64_t{1}, int64_t{1'000'000'001}, int64_t{90'061'000'000'000},
                        std::numeric_limits<int64_t>::max()})
    EXPECT_EQ(parse_duration(format_duration(Duration(count))).value(), Duration(count));
  for (const char* text : {"", "10", "s", "1m1h", "1s1s", "-1s", "1.5s", "1 s", "1y"})
    EXPECT_FALSE(parse_duration(text)) << text;
  EXPECT_EQ(parse_duration("106752d").error().code(), Code::kOutOfRange);
}

}  // namespace
}  // namespace polis::base
