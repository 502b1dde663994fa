#include "kernel/http/h1_head.h"

namespace polis::http::h1 {

using detail::Phase;
using detail::reject;

void ResponseParser::reset(Method to) {
  state_ = {};
  to_ = to;
  head_.fields.clear();
}

void ResponseParser::rebase(BytesView received) {
  if (state_.phase != Phase::kDone) return;
  const char* base = reinterpret_cast<const char*>(received.data());
  head_.fields.rebase(base);
  auto concluded = conclude(base);
  POLIS_ASSERT(concluded.has_value());
}

std::expected<Progress, Rejection> ResponseParser::feed(BytesView received) {
#if defined(__x86_64__)
  using Scan = scan::Sse42;
#else
  using Scan = scan::Scalar;
#endif
  const char* base = reinterpret_cast<const char*>(received.data());
  const char* at = base + state_.position;
  const size_t limit = limits_.request_line_size_bytes_max;
  const char* const end = base + (received.size() < limit ? received.size() : limit);
  auto need_more = [&]() -> std::expected<Progress, Rejection> {
    state_.position = static_cast<uint32_t>(at - base);
    if (received.size() >= limit)
      return reject(rejection_, state_, 502, "the status line is too long", "RFC 9112 4", limit);
    return Progress::kNeedMore;
  };
  auto broken = [&](std::string_view rule) {
    return reject(rejection_, state_, 502, rule, "RFC 9112 4", static_cast<uint64_t>(at - base));
  };

  switch (state_.phase) {
    case Phase::kStart: {
      // "HTTP/1.1 200" and what follows it.
      if (end - at < 13) return need_more();
      if (std::memcmp(at, "HTTP/1.", 7) != 0 || (at[7] != '0' && at[7] != '1') || at[8] != ' ') {
        return broken("the status line does not begin with HTTP/1.0 or HTTP/1.1");
      }
      head_.version_minor = static_cast<uint8_t>(at[7] - '0');
      head_.status = 0;
      for (int i = 9; i < 12; ++i) {
        if (at[i] < '0' || at[i] > '9') return broken("the status code is not three digits");
        head_.status = head_.status * 10 + (at[i] - '0');
      }
      if (head_.status < 100) return broken("the status code is below 100");
      if (at[12] != ' ' && at[12] != '\r') return broken("the status code is not three digits");
      at += at[12] == ' ' ? 13 : 12;
      state_.second_begin = static_cast<uint32_t>(at - base);
      state_.phase = Phase::kSecond;
      [[fallthrough]];
    }
    case Phase::kSecond: {
      at = Scan::value(at, end);
      if (at == end) return need_more();
      if (*at != '\r') return broken("the reason phrase holds a control character");
      if (end - at < 2) return need_more();
      if (at[1] != '\n') return broken("a CR stands without LF");
      state_.second_end = static_cast<uint32_t>(at - base);
      at += 2;
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
  auto progress = detail::parse_fields<Scan>(state_, head_.fields, limits_, rejection_, base, received.size());
  if (!progress || *progress == Progress::kNeedMore) return progress;
  return conclude(base);
}

std::expected<Progress, Rejection> ResponseParser::conclude(const char* base) {
  ResponseHead& head = head_;
  head.reason = {base + state_.second_begin, state_.second_end - state_.second_begin};
  head.keep_alive = head.version_minor == 1 ? !head.fields.lists(Field::kConnection, "close")
                                            : head.fields.lists(Field::kConnection, "keep-alive") &&
                                                  !head.fields.lists(Field::kConnection, "close");
  head.content_length = 0;
  auto refuse = [&](std::string_view rule) {
    return reject(rejection_, state_, 502, rule, "RFC 9112 6.3", state_.position);
  };
  detail::Lengths lengths = detail::read_lengths(head.fields);
  if (!lengths.broken.empty()) return refuse(lengths.broken);
  head.content_length = lengths.content_length;

  bool switched = head.status == 101 || (to_ == Method::kConnect && head.status / 100 == 2);
  if (head.status < 200 || head.status == 204 || head.status == 304 || to_ == Method::kHead || switched) {
    head.framing = Framing::kNone;
  } else if (lengths.has_transfer_encoding) {
    if (lengths.unknown_coding) return refuse("a transfer coding is not supported");
    if (head.version_minor == 0) return refuse("Transfer-Encoding stands in HTTP/1.0");
    head.framing = Framing::kChunked;
  } else if (lengths.has_content_length) {
    head.framing = lengths.content_length ? Framing::kLength : Framing::kNone;
  } else {
    head.framing = Framing::kUntilClose;
    head.keep_alive = false;
  }
  return Progress::kComplete;
}

}  // namespace polis::http::h1
