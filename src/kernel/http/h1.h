// HTTP/1.0 and HTTP/1.1 on the wire, without sockets: parsers of request and response heads, the decoder of chunked
// bodies, and the serializer of heads and chunks. Strict against request smuggling: whatever two readers could
// understand differently is refused. A value of this file belongs to one connection; no thread, no clock.
//
//     received bytes ──► RequestParser ──► RequestHead (views) ──► ChunkDecoder or a counted body ──► the next
//     RequestParser
#pragma once

#include <expected>
#include <string>

#include "kernel/base/bytes.h"
#include "kernel/http/message.h"

namespace polis::http::h1 {

struct Limits {
  uint32_t request_line_size_bytes_max = 16 * 1024;  // 414 beyond; also of a response's status line
  uint32_t head_size_bytes_max = 64 * 1024;          // 431 beyond
  uint32_t field_count_max = 128;                    // 431 beyond
  // An Expect other than 100-continue is answered 417; false passes it over, as RFC 9110 §10.1.1 allows and S3 does.
  bool unknown_expectation_refused = true;
};

// Why a message cannot be understood. The connection is good for one error answer and then for close.
struct Rejection {
  int status = 400;           // what a server answers
  std::string_view rule;      // what was broken, for a person
  std::string_view clause;    // where it is written
  uint64_t offset_bytes = 0;  // into the head, or into the chunked body
};

enum class Progress : uint8_t {
  kNeedMore,
  kComplete,
};

namespace detail {

// Where the scan of a head stands between two feeds.
enum class Phase : uint8_t { kStart, kFirst, kSecond, kThird, kLine, kName, kValueBegin, kValue, kDone, kRejected };

struct HeadState {
  Phase phase = Phase::kStart;
  uint32_t position = 0;    // everything before it is parsed
  uint32_t mark = 0;        // begin of the element being parsed
  uint32_t line_begin = 0;  // of the request line; 2 after one tolerated empty line
  uint32_t first_end = 0;   // method, or version and status
  uint32_t second_begin = 0;
  uint32_t second_end = 0;  // target, or reason
  FieldSpan field;
};

}  // namespace detail

// Parses the head of a request. Feed it all bytes received since the head's begin, again and again as more arrive: it
// continues where it stopped, so a slow sender costs O(n) in all, and the buffer may move between feeds. After
// kComplete, `head()` points into the buffer of the last feed and the body begins at `head_size_bytes()`. Up to 32
// fields nothing is allocated.
class RequestParser {
 public:
  explicit RequestParser(const Limits& limits = {}) : limits_(limits) {}

  std::expected<Progress, Rejection> feed(BytesView received);

  RequestHead& head() { return head_; }
  const RequestHead& head() const { return head_; }
  // With the empty line that ends it.
  size_t head_size_bytes() const { return state_.position; }
  // Any byte of a request seen? Tells an idle connection from a slow head.
  bool begun() const { return state_.position != 0; }
  // For the next request.
  void reset();
  // The same head in another place: after its bytes were moved.
  void rebase(BytesView received);

 private:
  friend struct RequestParserForTest;
  template <class Scan>
  std::expected<Progress, Rejection> parse(const char* base, size_t size_bytes);
  std::expected<Progress, Rejection> conclude(const char* base);

  Limits limits_;
  detail::HeadState state_;
  RequestHead head_;
  Rejection rejection_;
};

// Parses the head of a response. `to` is the method of the request it answers: HEAD has no body whatever the fields
// say.
class ResponseParser {
 public:
  explicit ResponseParser(Method to = Method::kGet, const Limits& limits = {}) : limits_(limits), to_(to) {}

  std::expected<Progress, Rejection> feed(BytesView received);

  ResponseHead& head() { return head_; }
  const ResponseHead& head() const { return head_; }
  size_t head_size_bytes() const { return state_.position; }
  void reset(Method to);
  // The same head in another place: after its bytes were moved.
  void rebase(BytesView received);

 private:
  std::expected<Progress, Rejection> conclude(const char* base);

  Limits limits_;
  Method to_;
  detail::HeadState state_;
  ResponseHead head_;
  Rejection rejection_;
};

// Decodes a chunked body (RFC 9112 §7.1) without copying: each step answers a slice of the input that is body.
//
//     for (;;) { auto step = decoder.feed(input); input = input.subspan(step->consumed); use(step->data); if
//     (step->done) break; }
//
// Trailer fields are kept, at most 16 KiB of them.
class ChunkDecoder {
 public:
  static constexpr size_t kTrailerSizeBytesMax = 16 * 1024;
  // Extensions mean nothing to polis; a peer that sends more of them than this in one body is only wasting time.
  static constexpr size_t kExtensionSizeBytesMax = 16 * 1024;

  struct Step {
    size_t consumed = 0;  // of the input, `data` included
    BytesView data;       // body bytes, a view into the input; may be empty
    bool done = false;    // the body and its trailers are complete
  };
  // Consumes up to and including the next run of body bytes. Without progress (consumed 0, not done) it needs more
  // input.
  std::expected<Step, Rejection> feed(BytesView input);

  bool done() const { return phase_ == Phase::kDone; }
  // Bytes of the current chunk still to come: a reader may take them straight from the socket and tell by skip().
  uint64_t chunk_remaining_bytes() const { return phase_ == Phase::kData ? remaining_ : 0; }
  void skip(uint64_t size_bytes);
  // After done(): views into the decoder.
  const Fields& trailers() const { return trailers_; }
  void reset();

 private:
  enum class Phase : uint8_t { kSize, kExtension, kSizeLf, kData, kDataCr, kDataLf, kTrailer, kDone, kRejected };
  std::unexpected<Rejection> reject(std::string_view rule);
  bool extension(char c);

  Phase phase_ = Phase::kSize;
  uint8_t digits_ = 0;
  uint8_t extension_state_ = 0;
  uint8_t line_match_ = 0;  // how much of CRLF CRLF the trailers end with
  uint64_t remaining_ = 0;
  uint64_t offset_ = 0;
  size_t extension_bytes_ = 0;
  std::string trailer_text_;
  Fields trailers_;
  Rejection rejection_;
};

// --- writing

// "HTTP/1.1 404 Not Found\r\n". 1.1 whatever the client speaks: that is what the server can (RFC 9112 §2.3).
void append_status_line(std::string& out, int status);
void append_request_line(std::string& out, std::string_view method, std::string_view target);
// Name and value must be valid, see below.
void append_field(std::string& out, std::string_view name, std::string_view value);
void append_field(std::string& out, std::string_view name, uint64_t value);
// Size line of a chunk of `size_bytes` > 0. The data and "\r\n" follow.
void append_chunk_head(std::string& out, uint64_t size_bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// What may be written without letting the text forge a line of its own.
bool valid_field_name(std::string_view name);
bool valid_field_value(std::string_view value);
bool valid_target(std::string_view target);

// host [":" port] with nothing that two readers could split differently: no userinfo, path or comma.
bool valid_host(std::string_view host);

}  // namespace polis::http::h1
