#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/http/h1.h"

namespace polis::http::h1 {

std::expected<Progress, Rejection> feed_scalar(RequestParser& parser, BytesView received);

namespace {

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    char kind = text[++i];
    if (kind == 'r') out.push_back('\r');
    if (kind == 'n') out.push_back('\n');
    if (kind == 't') out.push_back('\t');
    if (kind == '0') out.push_back('\0');
    if (kind == '\\') out.push_back('\\');
    if (kind == 'x') {
      out.push_back(static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
      i += 2;
    }
    if (kind == '*') {
      size_t open = text.find('{', i), close = open + 1;
      for (int depth = 1; depth != 0; ++close) depth += text[close] == '{' ? 1 : text[close] == '}' ? -1 : 0;
      std::string piece = unescape(text.substr(open + 1, close - open - 2));
      for (int n = std::stoi(std::string(text.substr(i + 1, open - i - 1))); n > 0; --n) out.append(piece);
      i = close - 1;
    }
  }
  return out;
}

// The outcome as text, so that outcomes compare and print.
std::string describe(const RequestParser& parser, const std::expected<Progress, Rejection>& progress) {
  if (!progress) {
    return "reject " + std::to_string(progress.error().status) + " at " +
           std::to_string(progress.error().offset_bytes) + " " + std::string(progress.error().rule);
  }
  if (*progress == Progress::kNeedMore) return "more";
  const RequestHead& head = parser.head();
  std::string out = "accept ";
  if (head.framing == Framing::kNone) out += "none";
  if (head.framing == Framing::kChunked) out += "chunked";
  if (head.framing == Framing::kLength) out += "length:" + std::to_string(head.content_length);
  out.append(head.keep_alive ? " keep " : " close ").append(head.path);
  return out;
}

std::string describe_all(const RequestParser& parser, const std::expected<Progress, Rejection>& progress) {
  std::string out = describe(parser, progress);
  if (!progress || *progress != Progress::kComplete) return out;
  out.append("|").append(parser.head().method_text).append("|").append(parser.head().target).append("|");
  out.append(parser.head().authority).append("|").append(parser.head().query);
  for (FieldLine line : parser.head().fields) {
    out.append("|").append(line.name).append("=").append(line.value).append(std::to_string(static_cast<int>(line.id)));
  }
  return out + "|" + std::to_string(parser.head_size_bytes());
}

struct RequestCase {
  int line = 0;
  std::string expected, request;
};

std::vector<RequestCase> read_cases() {
  std::vector<RequestCase> cases;
  std::ifstream file(std::filesystem::path(__FILE__).parent_path() / "h1_request_cases.txt");
  std::string text;
  for (int line = 1; std::getline(file, text); ++line) {
    if (text.empty() || text[0] == '#') continue;
    size_t words = text.starts_with("accept") ? 4 : text.starts_with("reject") ? 2 : 1;
    size_t end = 0;
    for (size_t i = 0; i < words; ++i) end = text.find(' ', i == 0 ? 0 : end + 1);
    cases.push_back({line, unescape(text.substr(0, end)), unescape(std::string_view(text).substr(end + 1))});
  }
  return cases;
}

// Feeds in pieces of a size, each time from a buffer of its own, as a growing receive buffer does.
std::string feed_in_pieces(std::string_view request, size_t piece, std::string& buffer, RequestParser& parser) {
  for (size_t end = std::min(piece, request.size());; end = std::min(end + piece, request.size())) {
    std::string moved(request.substr(0, end));
    buffer.swap(moved);
    auto progress = parser.feed(as_bytes(buffer));
    if (!progress || *progress == Progress::kComplete || end == request.size()) return describe_all(parser, progress);
  }
}

TEST(RequestParser, accepts_and_refuses_what_the_cases_say) {
  auto cases = read_cases();
  ASSERT_GT(cases.size(), 100u);
  for (const RequestCase& one : cases) {
    RequestParser parser;
    auto progress = parser.feed(as_bytes(one.request));
    std::string found = describe(parser, progress);
    EXPECT_TRUE(found == one.expected || (one.expected.starts_with("reject") && found.starts_with(one.expected + " ")))
        << "case of line " << one.line << ": expected '" << one.expected << "', found '" << found << "'";
  }
}

TEST(RequestParser, any_split_of_the_input_gives_the_same_result) {
  for (const RequestCase& one : read_cases()) {
    RequestParser whole;
    std::string expected = describe_all(whole, whole.feed(as_bytes(one.request)));
    // Long cases byte by byte would copy quadratically; their splits are coarser.
    for (size_t piece : {one.request.size() > 4000 ? size_t{997} : size_t{1}, size_t{7}, size_t{100}}) {
      if (one.request.size() / piece > 3000) continue;
      RequestParser parser;
      std::string buffer;
      EXPECT_EQ(feed_in_pieces(one.request, piece, buffer, parser), expected)
          << "line " << one.line << ", pieces of " << piece;
    }
  }
}

TEST(RequestParser, vector_and_scalar_scans_agree_on_cases_with_random_damage) {
  base::SeededRandom random(7);
  for (const RequestCase& one : read_cases()) {
    if (one.request.size() > 4000 || one.request.empty()) continue;
    for (int round = 0; round < 40; ++round) {
      std::string damaged = one.request;
      for (uint64_t flips = random.below(3); flips > 0; --flips) {
        damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
      }
      RequestParser a, b;
      std::string by_vector = describe_all(a, a.feed(as_bytes(damaged)));
      std::string by_scalar = describe_all(b, feed_scalar(b, as_bytes(damaged)));
      ASSERT_EQ(by_vector, by_scalar) << "line " << one.line;
    }
  }
}

TEST(RequestParser, keeps_its_refusal) {
  RequestParser parser;
  ASSERT_FALSE(parser.feed(as_bytes("@")));
  auto again = parser.feed(as_bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().status, 400);
}

TEST(RequestParser, serves_one_request_after_another) {
  RequestParser parser;
  std::string two = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPUT /2 HTTP/1.1\r\nHost: b\r\n\r\n";
  ASSERT_TRUE(parser.feed(as_bytes(two)));
  EXPECT_EQ(parser.head().path, "/1");
  size_t first = parser.head_size_bytes();
  parser.reset();
  ASSERT_TRUE(parser.feed(as_bytes(two).subspan(first)));
  EXPECT_EQ(parser.head().path, "/2");
  EXPECT_EQ(parser.head().method, Method::kPut);
  EXPECT_EQ(parser.head().fields.size(), 1u);
}

TEST(Fields, are_found_by_name_whatever_their_case) {
  RequestParser parser;
  std::string text =
      "GET / HTTP/1.1\r\nhOsT: a\r\nx-AMZ-meta-One: 1\r\nX-amz-Meta-one: 2\r\nAccept: a, b;q=\"x,y\" ,,c\r\n\r\n";
  ASSERT_TRUE(parser.feed(as_bytes(text)));
  const Fields& fields = parser.head().fields;
  EXPECT_EQ(fields.get(Field::kHost), "a");
  EXPECT_EQ(fields.get("X-Amz-Meta-One"), "1");
  EXPECT_EQ(fields[2].value, "2");
  EXPECT_FALSE(fields.get(Field::kCookie));
  EXPECT_TRUE(fields.lists(Field::kAccept, "C"));
  EXPECT_FALSE(fields.lists(Field::kAccept, "y\""));
}

TEST(Fields, every_known_name_is_found_as_itself) {
#define X(enumerator, text)                     \
  EXPECT_EQ(field_of(text), Field::enumerator); \
  EXPECT_EQ(name(Field::enumerator), text);
  POLIS_HTTP_FIELDS(X)
#undef X
  EXPECT_EQ(field_of("X-Nobody-Knows"), Field::kOther);
  EXPECT_EQ(field_of(""), Field::kOther);
}

}  // namespace
}  // namespace polis::http::h1
