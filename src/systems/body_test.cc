#include "systems/body.h"

#include <gtest/gtest.h>

namespace polis::systems {
namespace {

Body parsed(std::string_view text) {
  auto body = Body::parse(text);
  EXPECT_TRUE(body) << body.error().text();
  return std::move(*body);
}

TEST(Body, an_empty_body_is_an_empty_object) {
  Body body = parsed("");
  EXPECT_EQ(body.text("name", "x").value(), "x");
  EXPECT_FALSE(body.text("name"));
  EXPECT_TRUE(body.finish());
}

TEST(Body, what_is_no_object_is_refused) {
  for (const char* text : {"[]", "3", "\"x\"", "{", "{}x", "null", "{\"a\":{\"b\":{\"c\":{\"d\":{}}}}}"})
    EXPECT_FALSE(Body::parse(text)) << text;
}

TEST(Body, a_field_that_nobody_asked_for_is_refused) {
  Body body = parsed(R"({"name":"orders","partition":3})");
  EXPECT_EQ(body.text("name").value(), "orders");
  const auto finished = body.finish();
  ASSERT_FALSE(finished);
  EXPECT_NE(finished.error().message().find("partition"), std::string::npos);
}

TEST(Body, numbers_are_whole_and_within_their_bounds_and_may_be_texts) {
  Body body = parsed(R"({"a":3,"b":"9007199254740993","c":1.5,"d":-1,"e":"0x10","f":true,"g":18446744073709551615})");
  EXPECT_EQ(body.number("a", 0, 10).value(), 3);
  EXPECT_EQ(body.number("b", 0, INT64_MAX).value(), 9007199254740993);
  for (const char* name : {"c", "d", "e", "f", "g"}) EXPECT_FALSE(body.number(name, 0, INT64_MAX)) << name;
  EXPECT_FALSE(body.number("a", 4, 10));
  EXPECT_EQ(body.number("h", 0, 10, -1).value(), -1);
}

TEST(Body, digits_hold_numbers_of_any_length_and_lists_of_numbers_are_short) {
  Body body = parsed(
      R"({"a":18446744073709551615,"b":"340282366920938463463374607431768211455","c":0,"d":-1,"e":1.5,"f":true,"g":null,
          "list":[1,2,64],"long":[1,2,3,4],"low":[-1],"text":["1"],"none":5})");
  EXPECT_EQ(body.digits("a").value(), "18446744073709551615");
  EXPECT_EQ(body.digits("b").value(), "340282366920938463463374607431768211455");
  EXPECT_EQ(body.digits("c").value(), "0");
  for (const char* name : {"d", "e", "f"}) EXPECT_FALSE(body.digits(name)) << name;
  EXPECT_EQ(body.digits("g").value(), std::nullopt);
  EXPECT_EQ(body.digits("h").value(), std::nullopt);
  EXPECT_EQ(body.numbers("list", 3, 64).value(), (std::vector<int64_t>{1, 2, 64}));
  EXPECT_FALSE(body.numbers("list", 3, 63));
  for (const char* name : {"long", "low", "text", "none"}) EXPECT_FALSE(body.numbers(name, 3, 64)) << name;
  EXPECT_TRUE(body.numbers("h", 3, 64).value().empty());
  EXPECT_TRUE(body.finish());
}

TEST(Body, options_are_texts_or_nothing) {
  Body body = parsed(R"({"config":{"a":"x","b":null,"c":5,"d":true},"bad":{"a":[]},"worse":[]})");
  const auto config = body.texts("config").value();
  EXPECT_EQ(config.at("a"), "x");
  EXPECT_EQ(config.at("b"), std::nullopt);
  EXPECT_EQ(config.at("c"), "5");
  EXPECT_EQ(config.at("d"), "true");
  EXPECT_FALSE(body.texts("bad"));
  EXPECT_FALSE(body.texts("worse"));
  EXPECT_TRUE(body.texts("absent").value().empty());
}

TEST(Body, lists_are_short_and_of_texts) {
  Body body = parsed(R"({"messages":["0@1","1@2"],"bad":[1],"worse":"x"})");
  EXPECT_EQ(body.list("messages", 2).value(), (std::vector<std::string>{"0@1", "1@2"}));
  EXPECT_FALSE(body.list("messages", 1));
  EXPECT_FALSE(body.list("bad", 5));
  EXPECT_FALSE(body.list("worse", 5));
}

}  // namespace
}  // namespace polis::systems
