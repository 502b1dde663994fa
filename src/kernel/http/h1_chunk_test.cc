#include <gtest/gtest.h>

#include "kernel/http/h1.h"

namespace polis::http::h1 {
namespace {

struct Decoded {
  std::string body;
  bool done = false, refused = false;
  size_t consumed = 0;
  std::string trailers;
  bool operator==(const Decoded&) const = default;
};

Decoded decode(std::string_view text, size_t piece) {
  ChunkDecoder decoder;
  Decoded out;
  while (out.consumed < text.size() && !out.done) {
    auto step = decoder.feed(as_bytes(text.substr(out.consumed, piece)));
    if (!step) {
      out.refused = true;
      out.consumed = 0;
      return out;
    }
    out.consumed += step->consumed;
    out.body.append(as_text(step->data));
    out.done = step->done;
  }
  if (out.done) {
    for (FieldLine line : decoder.trailers()) out.trailers.append(line.name).append("=").append(line.value).append(";");
  }
  return out;
}

TEST(ChunkDecoder, decodes_chunks_extensions_and_trailers_whatever_the_split) {
  struct Case {
    std::string_view text, body;
    std::string_view trailers = "";
    size_t left = 0;
  };
  const Case cases[] = {
      {"0\r\n\r\n", ""},
      {"5\r\nhello\r\n0\r\n\r\n", "hello"},
      {"5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world"},
      {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789"},
      {"a;x\r\n0123456789\r\n0;y=z\r\n\r\n", "0123456789"},
      {"1;a=\"b \\\" ;\";c\r\nx\r\n0\r\n\r\n", "x"},
      {"0000000000000001\r\nx\r\n0\r\n\r\n", "x"},
      {"1\r\n\r\r\n0\r\n\r\n", "\r"},
      {"0\r\nX-Sum: abc\r\nY: \t z \r\n\r\n", "", "X-Sum=abc;Y=z;"},
      {"2\r\nab\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "ab", "", 16},
  };
  for (const Case& one : cases) {
    for (size_t piece : {1, 2, 3, 7, 1000}) {
      Decoded found = decode(one.text, piece);
      EXPECT_TRUE(found.done) << one.text << " in pieces of " << piece;
      EXPECT_EQ(found.body, one.body) << one.text;
      EXPECT_EQ(found.trailers, one.trailers) << one.text;
      EXPECT_EQ(found.consumed, one.text.size() - one.left) << one.text;
    }
  }
}

TEST(ChunkDecoder, refuses_what_two_readers_could_see_differently) {
  const std::string_view cases[] = {
      "\r\n",
      "+5\r\nhello\r\n0\r\n\r\n",
      "-5\r\n",
      "0x5\r\nhello\r\n",
      "5_0\r\n",
      " 5\r\nhello\r\n",
      "5 \r\nhello\r\n",
      "5;\r\nhello",
      "5; x\r\nhello",
      "5;x y\r\n",
      "5;=x\r\n",
      "5;x=\r\n",
      "5;x=\"y\"z\r\n",
      "5\nhello\n",
      "5\rhello",
      "00000000000000001\r\n",
      "8000000000000000\r\n",
      "FFFFFFFFFFFFFFFF\r\n",
      "5\r\nhelloX",
      "5\r\nhello\nX",
      "5\r\nhello\rX",
      "g\r\n",
      "0\r\nX : y\r\n\r\n",
      "0\r\nX: a\r\n b\r\n\r\n",
      "0\r\nX\r\n\r\n",
      "1;a=\"\r\"\r\n",
      "1;a=\"\x01\"\r\n",
  };
  for (std::string_view text : cases) {
    Decoded whole = decode(text, 1000);
    EXPECT_TRUE(whole.refused) << text;
    Decoded bytes = decode(text, 1);
    EXPECT_TRUE(bytes.refused) << text;
  }
}

TEST(ChunkDecoder, bounds_extensions_and_trailers) {
  std::string extensions = "1;" + std::string(20'000, 'a') + "\r\n";
  EXPECT_TRUE(decode(extensions, 1000).refused);
  std::string trailers = "0\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n";
  EXPECT_TRUE(decode(trailers, 1000).refused);
}

TEST(ChunkDecoder, skip_counts_bytes_that_were_read_elsewhere) {
  ChunkDecoder decoder;
  auto step = decoder.feed(as_bytes("A\r\n"));
  ASSERT_TRUE(step);
  EXPECT_EQ(decoder.chunk_remaining_bytes(), 10u);
  decoder.skip(10);
  step = decoder.feed(as_bytes("\r\n0\r\n\r\n"));
  ASSERT_TRUE(step);
  EXPECT_TRUE(step->done);
}

TEST(Serializer, writes_what_the_parsers_read) {
  std::string out;
  append_status_line(out, 404);
  append_field(out, "Content-Length", uint64_t{18446744073709551615u});
  append_chunk_head(out, 0x1a2b);
  EXPECT_EQ(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 18446744073709551615\r\n1a2b\r\n");
  EXPECT_FALSE(valid_field_value("a\r\nSet-Cookie: b"));
  EXPECT_FALSE(valid_field_value(std::string_view("a\0b", 3)));
  EXPECT_FALSE(valid_field_name(""));
  EXPECT_FALSE(valid_field_name("a b"));
  EXPECT_FALSE(valid_target("/a b"));
}

}  // namespace
}  // namespace polis::http::h1
