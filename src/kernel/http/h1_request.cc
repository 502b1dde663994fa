#include "kernel/http/h1_head.h"

namespace polis::http::h1 {

using detail::Phase;
using detail::reject;

namespace {

std::string_view view(const char* base, uint32_t begin, uint32_t end) {
  return {base + begin, end - begin};
}

// Splits an origin-form target.
void split_path(std::string_view target, RequestHead& head) {
  size_t mark = target.find('?');
  head.path = target.substr(0, mark);
  head.has_query = mark != std::string_view::npos;
  head.query = head.has_query ? target.substr(mark + 1) : std::string_view();
}

std::string_view without_default_port(std::string_view authority, std::string_view port) {
  if (authority.ends_with(port)) authority.remove_suffix(port.size());
  if (authority.ends_with(':')) authority.remove_suffix(1);
  return authority;
}

// Sets authority, path and query; a rule that is broken comes back as text.
std::string_view read_target(RequestHead& head, bool has_host) {
  std::string_view target = head.target;
  if (head.method == Method::kConnect) {
    size_t colon = target.rfind(':');
    if (!valid_host(target) || colon == std::string_view::npos || colon + 1 == target.size() || target.back() == ']') {
      return "CONNECT needs host:port as its target";
    }
    head.authority = target;
    head.path = head.query = {};
    return {};
  }
  if (target.front() == '/') {
    split_path(target, head);
    return {};
  }
  if (target == "*") {
    if (head.method != Method::kOptions) return "the target * is for OPTIONS only";
    head.path = target;
    return {};
  }
  std::string_view port;
  size_t begin = 0;
  if (target.size() > 7 && equal_ignoring_case(target.substr(0, 7), "http://")) {
    begin = 7;
    port = ":80";
  } else if (target.size() > 8 && equal_ignoring_case(target.substr(0, 8), "https://")) {
    begin = 8;
    port = ":443";
  } else {
    return "the target is neither a path nor an http URL";
  }
  size_t end = target.find_first_of("/?", begin);
  std::string_view authority = target.substr(begin, end == std::string_view::npos ? end : end - begin);
  if (!valid_host(authority)) return "the host in the target is malformed";
  if (has_host &&
      !equal_ignoring_case(without_default_port(authority, port), without_default_port(head.authority, port))) {
    return "the host in the target differs from Host";
  }
  head.authority = authority;
  if (end == std::string_view::npos) {
    head.path = "/";
  } else if (target[end] == '?') {
    split_path(target.substr(end), head);
    head.path = "/";
  } else {
    split_path(target.substr(end), head);
  }
  return {};
}

}  // namespace

void RequestParser::reset() {
  state_ = {};
  head_.fields.clear();
}

template <class Scan>
std::expected<Progress, Rejection> RequestParser::parse(const char* base, size_t size_bytes) {
  const char* at = base + state_.position;
  const size_t limit = size_t{state_.line_begin} + limits_.request_line_size_bytes_max;
  const char* const end = base + (size_bytes < limit ? size_bytes : limit);
  auto need_more = [&]() -> std::expected<Progress, Rejection> {
    state_.position = static_cast<uint32_t>(at - base);
    if (size_bytes >= limit)
      return reject(rejection_, state_, 414, "the request line is too long", "RFC 9112 3", limit);
    return Progress::kNeedMore;
  };
  auto broken = [&](std::string_view rule, std::string_view clause) {
    return reject(rejection_, state_, 400, rule, clause, static_cast<uint64_t>(at - base));
  };

  switch (state_.phase) {
    case Phase::kStart: {
      if (at == end) return need_more();
      // One empty line before a request is tolerated: old clients send it after a body (RFC 9112 §2.2).
      if (*at == '\r' && state_.line_begin == 0) {
        if (end - at < 2) return need_more();
        if (at[1] != '\n') return broken("a CR stands without LF", "RFC 9112 2.2");
        at += 2;
        state_.line_begin = state_.position = state_.mark = 2;
        return parse<Scan>(base, size_bytes);
      }
      state_.phase = Phase::kFirst;
      [[fallthrough]];
    }
    case Phase::kFirst: {
      at = Scan::token(at, end);
      if (at == end) return need_more();
      if (*at != ' ' || at == base + state_.line_begin) return broken("the method is no token", "RFC 9112 3.1");
      state_.first_end = static_cast<uint32_t>(at - base);
      ++at;
      state_.second_begin = static_cast<uint32_t>(at - base);
      state_.phase = Phase::kSecond;
      [[fallthrough]];
    }
    case Phase::kSecond: {
      at = Scan::target(at, end);
      if (at == end) return need_more();
      if (*at != ' ') {
        bool line_ends = *at == '\r' || *at == '\n';
        return broken(
            line_ends ? "the request line has no version" : "the target holds a character that is not allowed",
            line_ends ? "RFC 9112 3" : "RFC 9112 3.2");
      }
      state_.second_end = static_cast<uint32_t>(at - base);
      if (state_.second_end == state_.second_begin) return broken("the target is empty", "RFC 9112 3.2");
      ++at;
      state_.mark = static_cast<uint32_t>(at - base);
      state_.phase = Phase::kThird;
      [[fallthrough]];
    }
    case Phase::kThird: {
      // "HTTP/1.1\r\n": ten bytes, compared at once.
      if (end - at < 10) return need_more();
      if (std::memcmp(at, "HTTP/1.1\r\n", 10) == 0) [[likely]] {
        head_.version_minor = 1;
      } else {
        bool digits = at[5] >= '0' && at[5] <= '9' && at[6] == '.' && at[7] >= '0' && at[7] <= '9';
        if (std::memcmp(at, "HTTP/", 5) != 0 || !digits) return broken("the version is malformed", "RFC 9112 2.3");
        if (at[8] != '\r' || at[9] != '\n')
          return broken("the request line does not end after its version", "RFC 9112 3");
        if (at[5] != '1')
          return reject(rejection_, state_, 505, "the major version is not 1", "RFC 9110 15.6.6", state_.mark);
        if (at[7] > '1') return broken("the version is neither HTTP/1.0 nor HTTP/1.1", "RFC 9112 2.3");
        head_.version_minor = 0;
      }
      at += 10;
      state_.position = static_cast<uint32_t>(at - base);
      state_.phase = Phase::kLine;
      break;
    }
    case Phase::kRejected:
      return std::unexpected(rejection_);
    case Phase::kDone:
      return Progress::kComplete;
    default:
      break;
  }
  auto progress = detail::parse_fields<Scan>(state_, head_.fields, limits_, rejection_, base, size_bytes);
  if (!progress || *progress == Progress::kNeedMore) return progress;
  return conclude(base);
}

std::expected<Progress, Rejection> RequestParser::conclude(const char* base) {
  RequestHead& head = head_;
  head.method_text = view(base, state_.line_begin, state_.first_end);
  head.method = method_of(head.method_text);
  head.target = view(base, state_.second_begin, state_.second_end);
  head.authority = head.query = {};
  head.keep_alive = head.version_minor == 1;
  head.expect_continue = head.upgrade = head.has_query = false;
  head.framing = Framing::kNone;
  head.content_length = 0;
  auto refuse = [&](int status, std::string_view rule, std::string_view clause) {
    return reject(rejection_, state_, status, rule, clause, state_.position);
  };

  size_t hosts = 0;
  bool framed = false;
  for (FieldLine line : head.fields) {
    switch (line.id) {
      case Field::kHost:
        if (++hosts > 1) return refuse(400, "Host is repeated", "RFC 9112 3.2");
        if (!valid_host(line.value)) return refuse(400, "Host is malformed", "RFC 9112 3.2");
        head.authority = line.value;
        break;
      case Field::kContentLength:
      case Field::kTransferEncoding:
        framed = true;
        break;
      case Field::kConnection: {
        std::string_view list = line.value, option;
        while (next_list_element(list, option)) {
          if (equal_ignoring_case(option, "close")) {
            head.keep_alive = false;
          } else if (equal_ignoring_case(option, "keep-alive")) {
            if (head.version_minor == 0) head.keep_alive = true;
          } else if (equal_ignoring_case(option, "upgrade")) {
            head.upgrade = true;
          }
        }
        break;
      }
      case Field::kExpect:
        // A 1.0 client cannot wait for an interim answer, so its Expect is void (RFC 9110 §10.1.1).
        if (equal_ignoring_case(line.value, "100-continue")) {
          head.expect_continue = head.version_minor == 1;
        } else if (limits_.unknown_expectation_refused) {
          return refuse(417, "Expect is not 100-continue", "RFC 9110 10.1.1");
        }
        break;
      default:
        break;
    }
  }
  // "close" wins over "keep-alive", in whatever order they came.
  if (head.keep_alive && head.version_minor == 0 && head.fields.lists(Field::kConnection, "close"))
    head.keep_alive = false;
  if (hosts == 0 && head.version_minor == 1) return refuse(400, "Host is missing", "RFC 9112 3.2");
  if (std::string_view rule = read_target(head, hosts != 0); !rule.empty()) return refuse(400, rule, "RFC 9112 3.2");
  if (!framed) return Progress::kComplete;

  detail::Lengths lengths = detail::read_lengths(head.fields);
  if (!lengths.broken.empty()) return refuse(400, lengths.broken, "RFC 9112 6.3");
  if (lengths.has_transfer_encoding) {
    if (head.version_minor == 0) return refuse(400, "Transfer-Encoding stands in HTTP/1.0", "RFC 9112 6.1");
    if (!lengths.chunked) return refuse(400, "the last transfer coding is not chunked", "RFC 9112 6.3");
    if (lengths.unknown_coding) return refuse(501, "a transfer coding is not supported", "RFC 9112 6.1");
    head.framing = Framing::kChunked;
  } else {
    head.framing = lengths.content_length ? Framing::kLength : Framing::kNone;
    head.content_length = lengths.content_length;
  }
  return Progress::kComplete;
}

std::expected<Progress, Rejection> RequestParser::feed(BytesView received) {
  const char* base = reinterpret_cast<const char*>(received.data());
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2");
  return avx2 ? parse<scan::Avx2>(base, received.size()) : parse<scan::Sse42>(base, received.size());
#else
  return parse<scan::Scalar>(base, received.size());
#endif
}

void RequestParser::rebase(BytesView received) {
  if (state_.phase != Phase::kDone) return;
  const char* base = reinterpret_cast<const char*>(received.data());
  head_.fields.rebase(base);
  auto concluded = conclude(base);
  POLIS_ASSERT(concluded.has_value());
}

// For tests and benchmarks: one variant of the scan, chosen by the caller.
std::expected<Progress, Rejection> feed_scalar(RequestParser& parser, BytesView received);

struct RequestParserForTest {
  static std::expected<Progress, Rejection> scalar(RequestParser& parser, BytesView received) {
    return parser.parse<scan::Scalar>(reinterpret_cast<const char*>(received.data()), received.size());
  }
};

std::expected<Progress, Rejection> feed_scalar(RequestParser& parser, BytesView received) {
  return RequestParserForTest::scalar(parser, received);
}

}  // namespace polis::http::h1
