#include "systems/exchange/fix/validator.h"

#include <gtest/gtest.h>
#include <random>

#include "systems/exchange/fix/dictionary.h"
#include "systems/exchange/fix/fix_test_support.h"

namespace polis::exchange::fix {
namespace {

using test::whole;

// "reason tag", "ok", or "garbled".
std::string verdict(const std::string& text) {
  Message message;
  const std::string frame = whole(text);
  if (!message.parse(frame)) return "garbled";
  const auto violation = validate(message);
  if (!violation) return "ok";
  const int reason = static_cast<int>(violation->reason);
  return violation->tag ? fmt::format("{} {}", reason, *violation->tag) : fmt::format("{}", reason);
}
std::string of_type(std::string_view type, std::string_view body) {
  return verdict(fmt::format("35={}|34=2|49=BRK|52=20240102-09:30:00.000|56=POLIS|{}", type, body));
}
std::string order(std::string_view rest) {
  return of_type("D", fmt::format("11=a|54=1|55=ABC|60=20240102-09:30:00|40=2|38=100|44=10.5|{}", rest));
}

TEST(validation, passes_what_the_dictionary_allows) {
  EXPECT_EQ(of_type("0", ""), "ok");
  EXPECT_EQ(of_type("0", "112=x|"), "ok");
  EXPECT_EQ(order(""), "ok");
  EXPECT_EQ(order("59=6|432=20240105|18=6 G|110=5|111=0|7928=7|8000=O|"), "ok");
  EXPECT_EQ(of_type("F", "11=b|41=a|54=1|55=ABC|60=20240102-09:30:00|"), "ok");
  EXPECT_EQ(
      of_type("8", "37=1|17=2|150=F|39=1|55=ABC|54=1|38=100|151=50|14=50|6=10.5|60=20240102-09:30:00.000|851=1|378=8|"),
      "ok");
  EXPECT_EQ(of_type("9", "37=NONE|11=b|41=a|39=8|434=1|102=1|58=x|"), "ok");
}

TEST(validation, names_the_tag_that_breaks_a_rule) {
  EXPECT_EQ(of_type("0", "999=x|"), "0 999");
  EXPECT_EQ(of_type("0", "0=x|"), "0 0");
  EXPECT_EQ(of_type("0", "-1=x|"), "0 -1");
  EXPECT_EQ(of_type("0", "5000=x|"), "0 5000");
  EXPECT_EQ(of_type("0", "55=x|"), "2 55");
  EXPECT_EQ(of_type("0", "7928=1|"), "2 7928");
  EXPECT_EQ(of_type("D", "54=1|55=ABC|60=20240102-09:30:00|40=2|"), "1 11");
  EXPECT_EQ(of_type("D", "11=a|54=1|60=20240102-09:30:00|40=2|"), "1 55");
  EXPECT_EQ(order("1=|"), "4 1");
  EXPECT_EQ(order("59=8|"), "5 59");
  EXPECT_EQ(order("18=6 ?|"), "5 18");
  EXPECT_EQ(order("126=20240415|"), "6 126");
  EXPECT_EQ(order("432=20241315|"), "6 432");
  EXPECT_EQ(order("110=+5|"), "6 110");
  EXPECT_EQ(order("59=12|"), "6 59");
  EXPECT_EQ(order("121=y|"), "6 121");
  EXPECT_EQ(order("40=1|"), "13 40");
  EXPECT_EQ(of_type("*", ""), "11");
  EXPECT_EQ(of_type("ZZZ", "1=x|"), "11");
}

TEST(validation, wants_header_body_and_trailer_in_this_order) {
  EXPECT_EQ(verdict("35=0|112=x|34=2|49=BRK|52=20240102-09:30:00|56=POLIS|"), "14 34");
  EXPECT_EQ(verdict("35=0|34=2|49=BRK|52=20240102-09:30:00|56=POLIS|93=1|89=x|112=x|"), "14 112");
  EXPECT_EQ(order("354=1|58=x|355=a|"), "14 355");
  EXPECT_EQ(order("355=a|"), "14 355");
  // Out of order is told before what is missing or wrong.
  EXPECT_EQ(verdict("35=*|112=x|34=2|"), "14 34");
}

TEST(validation, wants_the_header_complete) {
  EXPECT_EQ(verdict("35=0|34=2|49=BRK|52=20240102-09:30:00|"), "1 56");
  EXPECT_EQ(verdict("35=0|34=2|52=20240102-09:30:00|56=POLIS|"), "1 49");
  EXPECT_EQ(verdict("35=0|34=2|49=BRK|56=POLIS|"), "1 52");
  EXPECT_EQ(verdict("35=0|34=2|49=BRK|56=|52=20240102-09:30:00|"), "4 56");
}

TEST(validation, counts_repeating_groups_and_keeps_their_order) {
  EXPECT_EQ(order("386=2|336=A|336=B|"), "ok");
  EXPECT_EQ(order("386=0|"), "ok");
  EXPECT_EQ(order("386=3|336=A|336=B|"), "16 386");
  EXPECT_EQ(order("386=1|336=A|336=B|"), "16 386");
  EXPECT_EQ(order("386=1|625=A|336=B|"), "15 386");
  EXPECT_EQ(order("453=1|448=x|447=D|452=1|802=2|523=a|803=1|523=b|803=2|"), "ok");
  EXPECT_EQ(order("453=1|448=x|447=D|452=1|802=2|523=a|803=1|"), "16 802");
  EXPECT_EQ(order("453=1|448=x|452=1|447=D|"), "15 447");
  EXPECT_EQ(order("453=2|448=x|447=?|448=y|"), "5 447");
  // Groups of the header.
  EXPECT_EQ(verdict("35=0|34=2|49=BRK|52=20240102-09:30:00|56=POLIS|627=1|628=HUB|630=3|"), "ok");
}

TEST(validation, is_one_pass_over_any_number_of_fields) {
  std::string many;
  for (int i = 0; i < 3000; ++i) many += "336=X|";
  EXPECT_EQ(order("386=3000|" + many), "ok");
  EXPECT_EQ(order("386=2999|" + many), "16 386");
}

TEST(validator, that_has_seen_messages_answers_as_one_that_has_not) {
  const std::string head = "49=B|52=20240102-09:30:00.000|56=P|";
  const std::string texts[] = {
      "35=D|34=2|" + head + "11=a|38=1|40=2|44=1|54=1|55=ABC|60=20240102-09:30:00.000|",
      "35=D|34=2|" + head + "11=a|38=1|40=2|54=1|55=ABC|60=20240102-09:30:00.000|",  // without a price
      "35=D|34=2|" + head + "11=a|38=1|40=2|44=1|55=ABC|60=20240102-09:30:00.000|",  // without a side
      "35=D|34=2|" + head + "11=a|38=1|40=2|44=1|54=1|54=1|60=20240102-09:30:00.000|",
      "35=D|34=2|" + head + "11=a|38=1|40=2|44=1|54=1|957=A|60=20240102-09:30:00.000|",
      "35=D|34=2|" + head + "11=a|38=x|40=2|44=1|54=1|55=ABC|60=20240102-09:30:00.000|",
      "35=D|34=2|" + head + "11=|38=1|40=2|44=1|54=1|55=ABC|60=20240102-09:30:00.000|",
      "35=D|34=2|" + head + "11=a|38=1|40=2|44=1|54=!|55=ABC|60=20240102-09:30:00.000|",
      "35=D|34=2|" + head + "11=a|38=1|40=2|44=1|54=1|55=ABC|60=20240102-25:30:00.000|",
      "35=D|34=2|" + head + "11=a|38=1|40=2|44=1|54=1|55=ABC|78=1|79=A|80=1|60=20240102-09:30:00.000|",
      "35=D|34=2|" + head + "11=a|38=1|40=2|44=1|54=1|55=ABC|78=2|79=A|80=1|60=20240102-09:30:00.000|",
      "35=D|34=2|" + head + "95=3|96=a=b|11=a|38=1|40=2|44=1|54=1|55=ABC|60=20240102-09:30:00.000|",
      "35=F|34=2|" + head + "11=b|41=a|54=1|55=ABC|60=20240102-09:30:00.000|",
      "35=F|34=2|" + head + "11=b|54=1|41=a|55=ABC|60=20240102-09:30:00.000|",
      "35=0|34=2|" + head,
      "35=0|34=2|" + head + "112=x|",
      "35=1|34=2|" + head + "112=x|",
      "35=|34=2|" + head + "112=x|",
      "35=zz|34=2|" + head,
      "35=5|34=2|" + head,
      "35=q|34=2|" + head + "11=b|60=20240102-09:30:00.000|530=7|",
      "35=H|34=2|" + head + "11=b|54=1|55=ABC|",
      "35=x|34=2|" + head + "320=b|559=4|",
      "35=g|34=2|" + head + "335=b|263=0|",
      "35=2|34=2|" + head + "7=1|16=0|",
      "35=4|34=2|" + head + "36=9|",
  };
  std::vector<std::string> frames;
  for (const std::string& text : texts) frames.push_back(test::whole(text));
  Validator seasoned;
  std::mt19937 random(5);
  size_t valid = 0;
  for (int round = 0; round < 5'000; ++round) {
    Message message;
    ASSERT_TRUE(message.parse(frames[random() % frames.size()]));
    const auto expected = validate(message);
    ASSERT_EQ(seasoned(message), expected) << test::readable(message.frame());
    valid += !expected;
  }
  EXPECT_GT(valid, 1'000u);
}

TEST(dictionary, knows_every_message_of_the_standard) {
  EXPECT_EQ(kMessageCount, 93u);
  EXPECT_EQ(find_message("D")->name, "NewOrderSingle");
  EXPECT_EQ(find_message("BH")->name, "ConfirmationRequest");
  EXPECT_EQ(find_message(""), nullptr);
  EXPECT_EQ(find_message("DD"), nullptr);
  EXPECT_EQ(find_field(38)->name, "OrderQty");
  EXPECT_EQ(find_field(8000)->name, "SelfMatchInstruction");
  EXPECT_EQ(find_field(957), nullptr);
  EXPECT_EQ(find_field(101), nullptr);
  EXPECT_EQ(place_of(*find_field(38)), 38);
  EXPECT_GT(place_of(*find_field(8000)), kTagMax);
  EXPECT_EQ(length_tag(96), 95);
  EXPECT_EQ(length_tag(95), 0);
}

TEST(sorted_body, keeps_groups_and_raw_data_together) {
  Message message;
  const std::string frame = whole(
      "35=D|34=2|49=B|52=20240102-09:30:00|56=P|97=Y|60=20240102-09:30:00|386=2|336=B|625=x|336=A|354=3|355=a|b|11=id|"
      "1=acc|55=ABC|54=1|40=1|");
  ASSERT_TRUE(message.parse(frame));
  EXPECT_EQ(validate(message), std::nullopt);
  FieldWriter body;
  append_sorted_body(message, body);
  EXPECT_EQ(test::readable(body.view()),
            "1=acc|11=id|40=1|54=1|55=ABC|60=20240102-09:30:00|354=3|355=a|b|386=2|336=B|625=x|336=A|");
}

}  // namespace
}  // namespace polis::exchange::fix
