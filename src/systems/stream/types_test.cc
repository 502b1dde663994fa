#include "systems/stream/types.h"

#include <gtest/gtest.h>

namespace polis::stream {
namespace {

TEST(TopicName, only_what_kafka_allows) {
  EXPECT_TRUE(is_topic_name("a.B-9_"));
  EXPECT_TRUE(is_topic_name(std::string(249, 'x')));
  for (const std::string bad : {"", ".", "..", "a/b", "a b", "ä", "a\n"}) EXPECT_FALSE(is_topic_name(bad)) << bad;
  EXPECT_FALSE(is_topic_name(std::string(250, 'x')));
}

TEST(TopicConfig, every_option_can_be_read_and_set_to_what_it_was) {
  const TopicConfig defaults;
  for (const ConfigOption& option : topic_options()) {
    TopicConfig config;
    const std::string value = defaults.get(option.name);
    EXPECT_TRUE(!value.empty() || option.type == "list") << option.name;
    EXPECT_TRUE(config.set(option.name, value)) << option.name;
    EXPECT_EQ(config.get(option.name), value);
  }
}

TEST(TopicConfig, a_bad_value_is_refused_with_a_reason_and_changes_nothing) {
  TopicConfig config;
  const std::pair<std::string_view, std::string_view> bad[] = {{"retention.ms", "-2"},
                                                               {"retention.ms", "1x"},
                                                               {"segment.bytes", "3000000000"},
                                                               {"cleanup.policy", "shred"},
                                                               {"max.message.bytes", ""},
                                                               {"min.cleanable.dirty.ratio", "1.5"},
                                                               {"compression.type", "brotli"},
                                                               {"min.cleanable.dirty.ratio", "nan"},
                                                               {"flush.ms", "soon"},
                                                               {"preallocate", "yes"}};
  for (const auto& [option, value] : bad) {
    const auto set = config.set(option, value);
    ASSERT_FALSE(set) << option << "=" << value;
    EXPECT_EQ(set.error().code(), Code::kInvalid);
    EXPECT_EQ(config.get(option), TopicConfig().get(option));
  }
  EXPECT_EQ(config.set("no.such.option", "1").error().code(), Code::kNotFound);
}

TEST(ErrorCode, names_are_the_protocols) {
  EXPECT_EQ(name(ErrorCode::kOffsetOutOfRange), "OFFSET_OUT_OF_RANGE");
  EXPECT_EQ(name(static_cast<ErrorCode>(999)), "UNKNOWN");
}

}  // namespace
}  // namespace polis::stream
