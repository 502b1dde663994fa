#include "kernel/http/ws.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::http::ws {
namespace {

constexpr std::array<uint8_t, 4> kMask = {1, 2, 3, 4};

std::string frame(uint8_t first, std::string_view payload, bool masked = true, size_t length_bytes = 0) {
  std::string out{static_cast<char>(first)};
  size_t size = payload.size();
  if (length_bytes == 0 && size >= 126) length_bytes = size <= 0xFFFF ? 2 : 8;
  out.push_back(static_cast<char>((masked ? 0x80 : 0) | (length_bytes == 2 ? 126 : length_bytes == 8 ? 127 : size)));
  for (size_t i = length_bytes; i-- > 0;) out.push_back(static_cast<char>(size >> (8 * i)));
  if (masked) out.append(reinterpret_cast<const char*>(kMask.data()), 4);
  for (size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(payload[i] ^ (masked ? kMask[i % 4] : 0)));
  return out;
}

// Messages as text, one after another; a violation ends them with "!CODE".
std::string decode(std::string_view input, size_t piece, size_t limit = 1 << 20, Role role = Role::kServer) {
  Decoder decoder(role, limit);
  std::string out;
  for (size_t at = 0; at < input.size();) {
    auto step = decoder.feed(as_bytes(input.substr(at, piece)));
    if (!step) return out + "!" + std::to_string(step.error().close_code);
    at += step->consumed;
    if (!step->message) continue;
    const Message& message = *step->message;
    const char* kinds[] = {"", "text", "binary", "", "", "", "", "", "close", "ping", "pong"};
    out.append(kinds[static_cast<size_t>(message.opcode)]);
    if (message.opcode == Opcode::kClose) out.append(std::to_string(message.close_code));
    out.append(":").append(as_text(message.payload)).append(" ");
  }
  return out;
}

TEST(WebSocketDecoder, understands_frames_whatever_the_split) {
  struct Case {
    std::string input, expected;
  };
  const std::string close_normal{"\x03\xe8", 2};
  const Case cases[] = {
      {frame(0x81, "hello"), "text:hello "},
      {frame(0x82, ""), "binary: "},
      {frame(0x01, "he") + frame(0x89, "p") + frame(0x80, "llo"), "ping:p text:hello "},
      {frame(0x01, "\xc3") + frame(0x80, "\xa9"), "text:\xc3\xa9 "},
      {frame(0x81, std::string(126, 'a')), "text:" + std::string(126, 'a') + " "},
      {frame(0x82, std::string(70'000, 'b')), "binary:" + std::string(70'000, 'b') + " "},
      {frame(0x8A, "x") + frame(0x88, close_normal + "bye") + frame(0x81, "late"), "pong:x close1000:bye "},
      {frame(0x88, ""), "close1005: "},
  };
  for (const Case& one : cases) {
    for (size_t piece : {size_t{1}, size_t{2}, size_t{5}, size_t{100'000}})
      EXPECT_EQ(decode(one.input, piece), one.expected);
  }
}

TEST(WebSocketDecoder, ends_with_the_code_that_the_standard_names) {
  struct Case {
    std::string input, expected;
  };
  std::string huge_length = "\x82\xff" + std::string(12, '\x80');
  const Case cases[] = {
      {frame(0x81, "a", false), "!1002"},  // not masked
      {frame(0xC1, "a"), "!1002"},         // RSV1
      {frame(0x83, "a"), "!1002"},         // unknown opcode
      {frame(0x8B, "a"), "!1002"},
      {frame(0x09, "a"), "!1002"},                    // fragmented control
      {frame(0x89, std::string(126, 'a')), "!1002"},  // long control
      {frame(0x81, "a", true, 2), "!1002"},           // length not minimal
      {frame(0x81, std::string(200, 'a'), true, 8), "!1002"},
      {huge_length, "!1002"},
      {frame(0x80, "a"), "!1002"},                     // nothing to continue
      {frame(0x01, "a") + frame(0x81, "b"), "!1002"},  // message inside a message
      {frame(0x81, "\xff"), "!1007"},
      {frame(0x81, "\xc0\xaf"), "!1007"},          // overlong
      {frame(0x81, "\xed\xa0\x80"), "!1007"},      // surrogate
      {frame(0x81, "\xf4\x90\x80\x80"), "!1007"},  // above U+10FFFF
      {frame(0x81, "\xc3"), "!1007"},              // ends inside a character
      {frame(0x01, "\xc3") + frame(0x80, "x"), "!1007"},
      {frame(0x88, "x"), "!1002"},              // half a code
      {frame(0x88, {"\x03\xed", 2}), "!1002"},  // 1005 may not be sent
      {frame(0x88, {"\x00\x00", 2}), "!1002"},
      {frame(0x88, std::string("\x03\xe8", 2) + "\xff"), "!1007"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(decode(one.input, 1000), one.expected);
    EXPECT_EQ(decode(one.input, 1), one.expected);
  }
  EXPECT_EQ(decode(frame(0x81, "a"), 10, 100, Role::kClient), "!1002");  // a server may not mask
}

TEST(WebSocketDecoder, bounds_messages_by_what_is_announced_and_by_their_sum) {
  EXPECT_EQ(decode(frame(0x82, std::string(11, 'a')).substr(0, 6), 10, 10), "!1009");
  EXPECT_EQ(decode(frame(0x02, "aaaaaa") + frame(0x80, "bbbbb"), 1000, 10), "!1009");
  EXPECT_EQ(decode(frame(0x02, "aaaaaa") + frame(0x80, "bbbb"), 1000, 10), "binary:aaaaaabbbb ");
}

TEST(WebSocketDecoder, bad_text_is_found_before_its_frame_is_whole) {
  Decoder decoder(Role::kServer);
  std::string input = frame(0x81, "\xff" + std::string(100, 'a')).substr(0, 8);
  auto step = decoder.feed(as_bytes(input));
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().close_code, kInvalidText);
}

TEST(Utf8Validator, agrees_with_whole_text_validation_on_random_bytes) {
  base::SeededRandom random(5);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (uint64_t n = random.below(12); n > 0; --n) {
      constexpr std::string_view kPieces[] = {"a",    "12345678", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                              "\xff", "\x80",     "\xed\xa0"};
      text.append(kPieces[random.below(random.chance(1, 2) ? 5 : 8)]);
    }
    Utf8Validator whole, pieces;
    bool whole_ok = whole.feed(as_bytes(text)) && whole.complete();
    bool pieces_ok = true;
    for (char c : text) pieces_ok = pieces_ok && pieces.feed(as_bytes(std::string_view(&c, 1)));
    pieces_ok = pieces_ok && pieces.complete();
    EXPECT_EQ(whole_ok, pieces_ok);
  }
}

TEST(WebSocketFrames, that_are_written_are_read_back) {
  base::SeededRandom random(9);
  for (size_t size : {0, 1, 125, 126, 127, 65535, 65536, 70'001}) {
    std::string payload;
    for (size_t i = 0; i < size; ++i) payload.push_back(static_cast<char>('a' + random.below(26)));
    std::string masked, plain;
    append_frame(masked, Opcode::kText, as_bytes(payload), &kMask);
    append_frame(plain, Opcode::kText, as_bytes(payload));
    EXPECT_EQ(decode(masked, 1 << 20), "text:" + payload + " ");
    EXPECT_EQ(decode(plain, 1 << 20, 1 << 20, Role::kClient), "text:" + payload + " ");
  }
  std::string close;
  append_close(close, 1001, std::string(122, 'a') + "\xc3\xa9", &kMask);
  EXPECT_EQ(decode(close, 1000), "close1001:" + std::string(122, 'a') + " ");
}

TEST(WebSocketHandshake, answers_the_key_of_the_standard) {
  EXPECT_EQ(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

}  // namespace
}  // namespace polis::http::ws
