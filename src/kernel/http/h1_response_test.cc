#include <gtest/gtest.h>

#include "kernel/http/h1.h"

namespace polis::http::h1 {
namespace {

struct ResponseCase {
  Method to;
  std::string_view text;
  int status;  // 0: refused
  Framing framing = Framing::kNone;
  bool keep_alive = false;
  uint64_t length = 0;
};

TEST(ResponseParser, knows_the_framing_of_every_kind_of_response) {
  const ResponseCase cases[] = {
      {Method::kGet, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Framing::kLength, true, 5},
      {Method::kGet, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, Framing::kNone, true, 0},
      {Method::kGet, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, Framing::kNone, true, 0},
      {Method::kGet, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, Framing::kChunked, true, 0},
      {Method::kGet, "HTTP/1.1 200 OK\r\n\r\n", 200, Framing::kUntilClose, false, 0},
      {Method::kGet, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", 200, Framing::kLength, false, 3},
      {Method::kGet, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n", 200, Framing::kLength,
       true, 3},
      {Method::kGet, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n", 200, Framing::kLength, false,
       3},
      {Method::kHead, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Framing::kNone, true, 5},
      {Method::kGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, Framing::kNone, true, 5},
      {Method::kGet, "HTTP/1.1 204 No Content\r\n\r\n", 204, Framing::kNone, true, 0},
      {Method::kGet, "HTTP/1.1 100 Continue\r\n\r\n", 100, Framing::kNone, true, 0},
      {Method::kGet, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101, Framing::kNone, true, 0},
      {Method::kConnect, "HTTP/1.1 200 OK\r\n\r\n", 200, Framing::kNone, true, 0},
      // Refused.
      {Method::kGet, "HTTP/2.0 200 OK\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.1  200 OK\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.1 20 OK and\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.1 2000 OK\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.1 099 OK\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.1 200 OK\nContent-Length: 1\n\n", 0},
      {Method::kGet, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
      {Method::kGet, "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", 0},
  };
  for (const ResponseCase& one : cases) {
    ResponseParser parser(one.to);
    auto progress = parser.feed(as_bytes(one.text));
    if (one.status == 0) {
      EXPECT_FALSE(progress) << one.text;
      continue;
    }
    ASSERT_TRUE(progress && *progress == Progress::kComplete) << one.text;
    EXPECT_EQ(parser.head().status, one.status) << one.text;
    EXPECT_EQ(parser.head().framing, one.framing) << one.text;
    EXPECT_EQ(parser.head().keep_alive, one.keep_alive) << one.text;
    EXPECT_EQ(parser.head().content_length, one.length) << one.text;
  }
}

TEST(ResponseParser, byte_by_byte_gives_the_same_head) {
  std::string text = "HTTP/1.1 404 Not here\r\nContent-Length: 12\r\nX-A: b\r\n\r\n";
  ResponseParser parser;
  for (size_t end = 1; end < text.size(); ++end) {
    auto progress = parser.feed(as_bytes(text).first(end));
    ASSERT_TRUE(progress && *progress == Progress::kNeedMore) << end;
  }
  ASSERT_TRUE(parser.feed(as_bytes(text)));
  EXPECT_EQ(parser.head().reason, "Not here");
  EXPECT_EQ(parser.head().fields.get("x-a"), "b");
  EXPECT_EQ(parser.head_size_bytes(), text.size());
}

}  // namespace
}  // namespace polis::http::h1
