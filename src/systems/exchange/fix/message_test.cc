#include "systems/exchange/fix/message.h"

#include <gtest/gtest.h>
#include <random>

#include "systems/exchange/fix/fix_test_support.h"

namespace polis::exchange::fix {
namespace {

using test::brief;
using test::bytes;
using test::frames_of;
using test::whole;

const std::string kHeartbeat = whole("35=0|34=2|49=BRK|52=20240102-09:30:00.000|56=POLIS|");

bool parses(std::string_view frame) {
  return Message().parse(frame);
}

TEST(message, is_taken_apart_into_its_fields) {
  Message message;
  ASSERT_TRUE(message.parse(kHeartbeat));
  EXPECT_EQ(message.type(), "0");
  EXPECT_EQ(message.begin_string(), "FIX.4.4");
  EXPECT_EQ(message.number(tag::kMsgSeqNum), 2u);
  EXPECT_EQ(message.find(tag::kSenderCompId), "BRK");
  EXPECT_FALSE(message.find(tag::kText));
  EXPECT_FALSE(message.flag(tag::kPossDupFlag));
  EXPECT_EQ(message.fields().size(), 8u);
}

TEST(message, with_a_wrong_length_sum_or_order_is_garbled) {
  std::string wrong_sum = kHeartbeat;
  wrong_sum[wrong_sum.size() - 2] = wrong_sum[wrong_sum.size() - 2] == '9' ? '0' : '9';
  EXPECT_FALSE(parses(wrong_sum));
  EXPECT_FALSE(parses(bytes("8=FIX.4.4|9=10|35=0|34=2|10=000|")));
  EXPECT_FALSE(parses(bytes("35=0|8=FIX.4.4|9=5|34=2|10=000|")));
  EXPECT_FALSE(parses(whole("34=2|35=0|")));
  EXPECT_FALSE(parses(whole("35=0|34=2")));
  EXPECT_FALSE(parses(whole("35=0|3x=2|")));
  EXPECT_FALSE(parses(whole("35=0|=2|")));
  EXPECT_FALSE(parses(whole("35=0|-=2|")));
  EXPECT_FALSE(parses(whole("35=0|34|")));
  EXPECT_FALSE(parses(""));
  EXPECT_FALSE(parses("8=FIX.4.4\x01"));
  // The sum has three digits.
  std::string short_sum = kHeartbeat;
  short_sum.erase(short_sum.size() - 4, 1);
  EXPECT_FALSE(parses(short_sum));
}

// As the standard says it, byte by byte, for messages without raw data.
std::optional<std::vector<std::pair<Tag, std::string>>> taken_apart_slowly(std::string_view frame) {
  std::vector<std::pair<Tag, std::string>> fields;
  size_t body = 0, last = 0;
  for (size_t at = 0; at < frame.size();) {
    if (fields.size() == 2) body = at;
    last = at;
    const size_t sign = frame.find('=', at), end = frame.find(kSeparator, at);
    if (end == frame.npos || sign > end) return {};
    const std::string tag(frame.substr(at, sign - at));
    const bool negative = tag.starts_with('-');
    const std::string digits = tag.substr(negative ? 1 : 0);
    if (digits.empty() || digits.size() > 9 || digits.find_first_not_of("0123456789") != digits.npos) return {};
    fields.emplace_back((negative ? -1 : 1) * std::stoi(digits), frame.substr(sign + 1, end - sign - 1));
    at = end + 1;
  }
  if (fields.size() < 4 || fields[0].first != 8 || fields[1].first != 9 || fields[2].first != 35 ||
      fields.back().first != 10)
    return {};
  unsigned sum = 0;
  for (char c : frame.substr(0, last)) sum += static_cast<uint8_t>(c);
  if (read_number(fields[1].second) != static_cast<int64_t>(last - body)) return {};
  if (fields.back().second != fmt::format("{:03}", sum % 256)) return {};
  return fields;
}

TEST(message, of_any_size_and_with_any_wrong_byte_is_taken_apart_as_byte_by_byte) {
  std::mt19937 random(17);
  const auto below = [&](unsigned n) { return static_cast<size_t>(random() % n); };
  size_t right = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string inside = below(20) == 0 ? "35=|" : "35=D|";
    for (size_t fields = below(9); fields > 0; --fields) {
      inside += fmt::format("{}={}|", 1 + below(1200), std::string(below(2) == 0 ? below(4) : below(40), 'x'));
    }
    std::string frame = whole(inside, below(4) == 0 ? "" : "FIX.4.4");
    for (size_t wrong = below(3); wrong > 0; --wrong) {
      constexpr std::string_view kBytes = "\x01=-0159x\x80";
      frame[below(static_cast<unsigned>(frame.size()))] = kBytes[below(kBytes.size())];
    }
    // At the end of its memory, so that a look behind it is seen.
    const std::vector<char> exact(frame.begin(), frame.end());
    const std::string_view bytes_of_frame(exact.data(), exact.size());
    const auto expected = taken_apart_slowly(bytes_of_frame);
    Message message;
    ASSERT_EQ(message.parse(bytes_of_frame), expected.has_value()) << test::readable(frame);
    if (!expected) continue;
    ++right;
    std::vector<std::pair<Tag, std::string>> fields;
    for (const Field& field : message.fields()) fields.emplace_back(field.tag, field.value);
    ASSERT_EQ(fields, *expected) << test::readable(frame);
  }
  EXPECT_GT(right, 5'000u);
}

TEST(message, has_the_sum_of_all_its_bytes) {
  std::string text;
  unsigned sum = 0;
  for (unsigned i = 0; i < 100; ++i) {
    ASSERT_EQ(byte_sum(std::string(text)), sum % 256) << i;
    text.push_back(static_cast<char>(i * 37 + 200));
    sum += static_cast<uint8_t>(text.back());
  }
}

TEST(timestamps, of_a_writer_that_remembers_the_second_are_those_of_one_that_does_not) {
  std::mt19937_64 random(3);
  TimestampWriter writer;
  VenueTime time = 1'704'188'100'000'000'000;
  for (int i = 0; i < 10'000; ++i) {
    time += static_cast<VenueTime>(random() % 300'000'000);
    if (i % 1000 == 999) time = i % 2000 == 999 ? -1 - static_cast<VenueTime>(random() % 5'000'000'000) : 100;
    char text[kTimestampBytes];
    writer.write(time, text);
    ASSERT_EQ(std::string_view(text, kTimestampBytes), test::timestamp(time)) << time;
  }
}

TEST(message, keeps_negative_tags_so_that_they_can_be_rejected) {
  Message message;
  const std::string frame = whole("35=0|-1=HI|");
  ASSERT_TRUE(message.parse(frame));
  EXPECT_EQ(message.find(-1), "HI");
}

TEST(message, takes_raw_data_by_its_length) {
  Message message;
  const std::string raw(
      "a\x01"
      "10=b",
      6);
  const std::string frame = whole("35=A|95=6|96=" + raw + "|58=x|");
  ASSERT_TRUE(message.parse(frame));
  EXPECT_EQ(message.find(96), raw);
  EXPECT_EQ(message.find(58), "x");
  EXPECT_FALSE(parses(whole("35=A|95=99|96=" + raw + "|")));
  EXPECT_FALSE(parses(whole("35=A|95=3|96=" + raw + "|")));
}

TEST(framer, finds_the_same_messages_however_the_stream_is_cut) {
  std::mt19937_64 random(7);
  std::string stream = "noise 8";
  std::vector<std::string> sent;
  for (int i = 0; i < 200; ++i) {
    std::string text = fmt::format("35=D|34={}|58=", i);
    text.append(random() % 300, 'x').append("|");
    sent.push_back(whole(text));
    stream += sent.back();
    if (i % 7 == 0) stream += "rubbish\x01 88";
    if (i % 11 == 0) stream += bytes("8=FIX.4.4|9=x|");
    if (i % 13 == 0) stream += bytes("8=FIX.4.4|35=0|");
    if (i % 17 == 0) stream += bytes("8=a very long begin string|");
    if (i % 19 == 0) stream += bytes("8=FIX.4.4|9=9999999999|");
  }
  for (int round = 0; round < 20; ++round) {
    Framer framer;
    std::vector<std::string> found;
    for (size_t at = 0; at < stream.size();) {
      const auto room = framer.room();
      ASSERT_GE(room.size(), 4096u);
      const size_t part = std::min<size_t>({stream.size() - at, room.size(), 1 + random() % (round < 3 ? 3 : 2000)});
      std::copy_n(stream.data() + at, part, room.data());
      framer.filled(part);
      at += part;
      for (auto next = framer.next(); next != Framer::Found::kNeedMore; next = framer.next()) {
        if (next == Framer::Found::kFrame) found.emplace_back(framer.frame());
      }
    }
    EXPECT_EQ(found, sent);
  }
}

TEST(framer, takes_a_body_length_that_is_too_long_as_one_message) {
  const std::string first = bytes("8=FIX.4.4|9=60|35=0|34=2|10=000|");
  const auto frames = frames_of(first + kHeartbeat + kHeartbeat);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0], first + kHeartbeat);
  EXPECT_FALSE(parses(frames[0]));
  EXPECT_EQ(frames[1], kHeartbeat);
}

TEST(framer, gives_up_on_messages_of_more_than_64_kib) {
  const std::string large = whole("35=B|58=" + std::string(kMessageBytesMax, 'x') + "|");
  const auto frames = frames_of(large + kHeartbeat);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0], kHeartbeat);
  const std::string most = whole("35=B|58=" + std::string(kMessageBytesMax - 40, 'x') + "|");
  EXPECT_EQ(frames_of(most).size(), 1u);
  // A length that promises more than a frame may have.
  EXPECT_EQ(frames_of(bytes("8=FIX.4.4|9=65537|35=0|10=000|") + kHeartbeat).size(), 1u);
}

TEST(framer, looks_at_a_flood_of_beginnings_once) {
  // 2 MiB of messages that never end: a search for each would take minutes.
  std::string flood;
  while (flood.size() < 2 << 20)
    flood += bytes("8=FIX.4.4|9=" + std::to_string(60'000 - flood.size() % 50'000) + "|58=x|");
  const auto frames = frames_of(flood + std::string(kMessageBytesMax, 'x') + kHeartbeat + kHeartbeat);
  ASSERT_FALSE(frames.empty());
  EXPECT_EQ(frames.back(), kHeartbeat);
}

TEST(field_writer, writes_decimals_without_needless_zeros) {
  const auto decimal = [](int64_t mantissa, unsigned decimals) {
    FieldWriter writer;
    writer.decimal(44, mantissa, decimals);
    return test::readable(writer.view());
  };
  EXPECT_EQ(decimal(10010, 2), "44=100.1|");
  EXPECT_EQ(decimal(10000, 2), "44=100|");
  EXPECT_EQ(decimal(1, 2), "44=0.01|");
  EXPECT_EQ(decimal(-5, 1), "44=-0.5|");
  EXPECT_EQ(decimal(0, 8), "44=0|");
  EXPECT_EQ(decimal(10010333333, 8), "44=100.10333333|");
  EXPECT_EQ(decimal(INT64_MIN, 18), "44=-9.223372036854775808|");
}

TEST(values, times_are_read_and_written_exactly) {
  EXPECT_EQ(test::timestamp(1704187800'000'000'000), "20240102-09:30:00.000");
  EXPECT_EQ(test::timestamp(951'782'399'999'000'000), "20000228-23:59:59.999");
  EXPECT_EQ(read_timestamp("20240102-09:30:00"), 1704187800'000'000'000);
  EXPECT_EQ(read_timestamp("20240102-09:30:00.123456"), 1704187800'123'456'000);
  EXPECT_EQ(read_timestamp("20240102-09:30:00.123456789"), 1704187800'123'456'789);
  EXPECT_TRUE(read_timestamp("20240229-00:00:00"));
  EXPECT_EQ(read_timestamp("20161231-23:59:60"), read_timestamp("20170101-00:00:00"));
  for (const auto* bad : {"", "20240102", "20240102-9:30:00", "20240102-24:00:00", "20230229-00:00:00",
                          "20241301-00:00:00", "20240102-09:30:00.", "20240102-09:30:00.12", "20240102-09:30:00Z",
                          "20240102 09:30:00", "20240102-09:30:61", "19691231-23:59:59", "20240100-00:00:00"}) {
    EXPECT_FALSE(read_timestamp(bad)) << bad;
  }
  std::mt19937_64 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const VenueTime time = static_cast<VenueTime>(random() % 9'000'000'000'000) * 1'000'000;
    ASSERT_EQ(read_timestamp(test::timestamp(time)), time);
  }
}

TEST(values, decimals_are_read_exactly_or_not_at_all) {
  EXPECT_EQ(read_decimal("002000.00"), (Decimal{2000, 0}));
  EXPECT_EQ(read_decimal("100.10"), (Decimal{1001, -1}));
  EXPECT_EQ(read_decimal("-0.5"), (Decimal{-5, -1}));
  EXPECT_EQ(read_decimal(".25"), (Decimal{25, -2}));
  EXPECT_EQ(read_decimal("7."), (Decimal{7, 0}));
  EXPECT_EQ(read_decimal("0.00"), (Decimal{0, 0}));
  EXPECT_EQ(read_decimal("999999999999999999"), (Decimal{999'999'999'999'999'999, 0}));
  for (const auto* bad : {"", "-", ".", "-.", "+1", "1e5", "1.2.3", "1,5", " 1", "1 ", "1000000000000000000", "0x1",
                          "0.0000000000000000001"}) {
    EXPECT_FALSE(read_decimal(bad)) << bad;
  }
  EXPECT_EQ(read_number("9223372036854775807"), INT64_MAX);
  EXPECT_FALSE(read_number("9223372036854775808"));
  EXPECT_FALSE(read_number("-1"));
  EXPECT_FALSE(read_number(""));
}

}  // namespace
}  // namespace polis::exchange::fix
