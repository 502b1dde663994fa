// The nouns of HTTP: methods, status codes, and the heads of requests and responses as a parser leaves them: views into
// the caller's buffer, valid as long as that buffer stays put (RFC 9110, RFC 9112).
#pragma once

#include <cstdint>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/http/field.h"

namespace polis::http {

enum class Method : uint8_t {
  kOther,  // a token without an enumerator; its text is kept
  kGet,
  kHead,
  kPost,
  kPut,
  kDelete,
  kPatch,
  kOptions,
  kConnect,
  kTrace,
};
inline constexpr size_t kMethodCount = 10;

// "" for kOther. Methods are case-sensitive.
std::string_view name(Method method);
Method method_of(std::string_view text);

// "Not Found" for 404; "" for a code that no standard names.
std::string_view reason_phrase(int status);
// The status that tells a client what an Error means: kNotFound is 404, kBusy 503, anything it cannot help 500.
int status_of(Code code);

// How the end of a body is found (RFC 9112 §6.3).
enum class Framing : uint8_t {
  kNone,        // no body
  kLength,      // Content-Length
  kChunked,     // Transfer-Encoding: chunked
  kUntilClose,  // responses only
};

struct RequestHead {
  Method method = Method::kOther;
  std::string_view method_text;
  std::string_view target;     // exactly as sent
  std::string_view authority;  // Host, or what an absolute-form or CONNECT target says
  std::string_view path;       // raw, percent-encoding untouched; "" for CONNECT, "*" for OPTIONS *
  std::string_view query;      // raw, without '?'
  uint8_t version_minor = 1;   // of HTTP/1
  Framing framing = Framing::kNone;
  bool keep_alive = true;
  bool expect_continue = false;
  bool upgrade = false;    // `Connection: upgrade` is there
  bool has_query = false;  // tells "/?" from "/"
  uint64_t content_length = 0;
  Fields fields;
};

struct ResponseHead {
  int status = 0;
  std::string_view reason;
  uint8_t version_minor = 1;
  Framing framing = Framing::kNone;
  bool keep_alive = true;
  uint64_t content_length = 0;
  Fields fields;
};

}  // namespace polis::http
