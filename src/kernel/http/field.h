// Field names and field lines of a message head (RFC 9110 §5). A known name is an enumerator, so that looking one up
// compares a byte instead of text; any other name is kOther and compared without regard to case. Everything here is a
// view into the buffer that holds the head, and lives as long as that buffer stays put.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace polis::http {

// Enumerator, name as polis writes it.
#define POLIS_HTTP_FIELDS(X)                                            \
  X(kAccept, "Accept")                                                  \
  X(kAcceptCharset, "Accept-Charset")                                   \
  X(kAcceptEncoding, "Accept-Encoding")                                 \
  X(kAcceptLanguage, "Accept-Language")                                 \
  X(kAcceptRanges, "Accept-Ranges")                                     \
  X(kAccessControlAllowCredentials, "Access-Control-Allow-Credentials") \
  X(kAccessControlAllowHeaders, "Access-Control-Allow-Headers")         \
  X(kAccessControlAllowMethods, "Access-Control-Allow-Methods")         \
  X(kAccessControlAllowOrigin, "Access-Control-Allow-Origin")           \
  X(kAccessControlExposeHeaders, "Access-Control-Expose-Headers")       \
  X(kAccessControlMaxAge, "Access-Control-Max-Age")                     \
  X(kAccessControlRequestHeaders, "Access-Control-Request-Headers")     \
  X(kAccessControlRequestMethod, "Access-Control-Request-Method")       \
  X(kAge, "Age")                                                        \
  X(kAllow, "Allow")                                                    \
  X(kAltSvc, "Alt-Svc")                                                 \
  X(kAuthorization, "Authorization")                                    \
  X(kCacheControl, "Cache-Control")                                     \
  X(kConnection, "Connection")                                          \
  X(kContentDisposition, "Content-Disposition")                         \
  X(kContentEncoding, "Content-Encoding")                               \
  X(kContentLanguage, "Content-Language")                               \
  X(kContentLength, "Content-Length")                                   \
  X(kContentLocation, "Content-Location")                               \
  X(kContentMd5, "Content-MD5")                                         \
  X(kContentRange, "Content-Range")                                     \
  X(kContentSecurityPolicy, "Content-Security-Policy")                  \
  X(kContentType, "Content-Type")                                       \
  X(kCookie, "Cookie")                                                  \
  X(kDate, "Date")                                                      \
  X(kEtag, "ETag")                                                      \
  X(kExpect, "Expect")                                                  \
  X(kExpires, "Expires")                                                \
  X(kForwarded, "Forwarded")                                            \
  X(kHost, "Host")                                                      \
  X(kIfMatch, "If-Match")                                               \
  X(kIfModifiedSince, "If-Modified-Since")                              \
  X(kIfNoneMatch, "If-None-Match")                                      \
  X(kIfRange, "If-Range")                                               \
  X(kIfUnmodifiedSince, "If-Unmodified-Since")                          \
  X(kKeepAlive, "Keep-Alive")                                           \
  X(kLastModified, "Last-Modified")                                     \
  X(kLink, "Link")                                                      \
  X(kLocation, "Location")                                              \
  X(kOrigin, "Origin")                                                  \
  X(kPragma, "Pragma")                                                  \
  X(kPriority, "Priority")                                              \
  X(kProxyConnection, "Proxy-Connection")                               \
  X(kRange, "Range")                                                    \
  X(kReferer, "Referer")                                                \
  X(kReferrerPolicy, "Referrer-Policy")                                 \
  X(kRetryAfter, "Retry-After")                                         \
  X(kSecFetchDest, "Sec-Fetch-Dest")                                    \
  X(kSecFetchMode, "Sec-Fetch-Mode")                                    \
  X(kSecFetchSite, "Sec-Fetch-Site")                                    \
  X(kSecWebSocketAccept, "Sec-WebSocket-Accept")                        \
  X(kSecWebSocketExtensions, "Sec-WebSocket-Extensions")                \
  X(kSecWebSocketKey, "Sec-WebSocket-Key")                              \
  X(kSecWebSocketProtocol, "Sec-WebSocket-Protocol")                    \
  X(kSecWebSocketVersion, "Sec-WebSocket-Version")                      \
  X(kServer, "Server")                                                  \
  X(kSetCookie, "Set-Cookie")                                           \
  X(kStrictTransportSecurity, "Strict-Transport-Security")              \
  X(kTe, "TE")                                                          \
  X(kTraceparent, "traceparent")                                        \
  X(kTracestate, "tracestate")                                          \
  X(kTrailer, "Trailer")                                                \
  X(kTransferEncoding, "Transfer-Encoding")                             \
  X(kUpgrade, "Upgrade")                                                \
  X(kUserAgent, "User-Agent")                                           \
  X(kVary, "Vary")                                                      \
  X(kVia, "Via")                                                        \
  X(kWwwAuthenticate, "WWW-Authenticate")                               \
  X(kXAmzContentSha256, "X-Amz-Content-Sha256")                         \
  X(kXAmzDate, "X-Amz-Date")                                            \
  X(kXContentTypeOptions, "X-Content-Type-Options")                     \
  X(kXForwardedFor, "X-Forwarded-For")                                  \
  X(kXForwardedProto, "X-Forwarded-Proto")                              \
  X(kXFrameOptions, "X-Frame-Options")                                  \
  X(kXRequestId, "X-Request-Id")

enum class Field : uint8_t {
  kOther = 0,
#define X(enumerator, text) enumerator,
  POLIS_HTTP_FIELDS(X)
#undef X
};

// "" for kOther.
std::string_view name(Field field);
// Ignores case; kOther for a name without an enumerator.
Field field_of(std::string_view name);

// ASCII only, whatever the locale.
bool equal_ignoring_case(std::string_view a, std::string_view b);

// One line of a head: the name as it was sent, the value without the blanks around it.
struct FieldLine {
  Field id = Field::kOther;
  std::string_view name;
  std::string_view value;
};

// The same by position, so that a buffer may move while a head is still arriving.
struct FieldSpan {
  uint32_t name_offset = 0;
  uint16_t name_size_bytes = 0;
  Field id = Field::kOther;
  uint32_t value_offset = 0;
  uint32_t value_size_bytes = 0;
};

// The field lines of one head in the order they came, repeated ones included. The first 32 need no allocation: browsers
// send about 20, SDKs about 15.
class Fields {
 public:
  static constexpr size_t kInline = 32;

  size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  FieldLine operator[](size_t index) const;

  // The value of the first line of that name.
  std::optional<std::string_view> get(Field id) const;
  std::optional<std::string_view> get(std::string_view name) const;
  size_t count(Field id) const;
  // True if any line of that name lists the token (comma-separated, case ignored), as in `Connection: upgrade,
  // keep-alive`.
  bool lists(Field id, std::string_view token) const;

  class Iterator {
   public:
    Iterator(const Fields* fields, size_t index) : fields_(fields), index_(index) {}
    FieldLine operator*() const { return (*fields_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    const Fields* fields_;
    size_t index_;
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, count_}; }

  // For parsers.
  void clear() {
    count_ = 0;
    more_.clear();
  }
  void add(const FieldSpan& span) {
    if (count_ < kInline) {
      inline_[count_] = span;
    } else {
      more_.push_back(span);
    }
    ++count_;
  }
  void rebase(const char* base) { base_ = base; }

 private:
  const FieldSpan& span(size_t index) const { return index < kInline ? inline_[index] : more_[index - kInline]; }

  const char* base_ = nullptr;
  size_t count_ = 0;
  std::array<FieldSpan, kInline> inline_;
  std::vector<FieldSpan> more_;
};

// Removes blanks (SP, HTAB) at both ends.
std::string_view trim_blanks(std::string_view text);
// Takes the next element of a comma-separated list from the front of `list`, trimmed; false at its end. Commas inside
// quoted strings do not separate. Empty elements are passed over (RFC 9110 §5.6.1).
bool next_list_element(std::string_view& list, std::string_view& element);

}  // namespace polis::http
