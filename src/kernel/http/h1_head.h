// Inside of the head parsers: the field section, shared by requests, responses and trailers. Not for other folders.
#pragma once

#include <cstring>

#include "kernel/http/h1.h"
#include "kernel/http/scan.h"

namespace polis::http::h1::detail {

inline std::unexpected<Rejection> reject(Rejection& sticky, HeadState& state, int status, std::string_view rule,
                                         std::string_view clause, uint64_t offset_bytes) {
  state.phase = Phase::kRejected;
  sticky = {status, rule, clause, offset_bytes};
  return std::unexpected(sticky);
}

// From the begin of a field line to the empty line after the last. `limit` bounds the whole head.
template <class Scan>
std::expected<Progress, Rejection> parse_fields(HeadState& state, Fields& fields, const Limits& limits,
                                                Rejection& sticky, const char* base, size_t size_bytes) {
  const size_t limit = limits.head_size_bytes_max;
  const char* const end = base + (size_bytes < limit ? size_bytes : limit);
  const char* at = base + state.position;
  auto need_more = [&]() -> std::expected<Progress, Rejection> {
    state.position = static_cast<uint32_t>(at - base);
    if (size_bytes >= limit) return reject(sticky, state, 431, "the head is too large", "RFC 6585 5", limit);
    return Progress::kNeedMore;
  };
  auto broken = [&](std::string_view rule, std::string_view clause) {
    return reject(sticky, state, 400, rule, clause, static_cast<uint64_t>(at - base));
  };

  for (;;) {
    switch (state.phase) {
      case Phase::kLine: {
        if (at == end) return need_more();
        if (*at == '\r') {
          if (end - at < 2) return need_more();
          if (at[1] != '\n') return broken("a CR stands without LF", "RFC 9112 2.2");
          at += 2;
          state.position = static_cast<uint32_t>(at - base);
          state.phase = Phase::kDone;
          fields.rebase(base);
          return Progress::kComplete;
        }
        if (*at == '\n') return broken("a line ends in LF without CR", "RFC 9112 2.2");
        if (*at == ' ' || *at == '\t') {
          return broken(fields.empty() ? "white space stands before the first field" : "a field line is folded",
                        fields.empty() ? "RFC 9112 2.2" : "RFC 9112 5.2");
        }
        if (fields.size() >= limits.field_count_max) {
          return reject(sticky, state, 431, "the head has too many fields", "RFC 6585 5",
                        static_cast<uint64_t>(at - base));
        }
        state.mark = static_cast<uint32_t>(at - base);
        state.phase = Phase::kName;
        [[fallthrough]];
      }
      case Phase::kName: {
        at = Scan::token(at, end);
        if (at == end) return need_more();
        std::string_view text(base + state.mark, static_cast<size_t>(at - base) - state.mark);
        if (*at != ':') {
          if (*at == ' ' || *at == '\t')
            return broken("white space stands before the colon of a field", "RFC 9112 5.1");
          if (*at == '\r' || *at == '\n') return broken("a field line has no colon", "RFC 9112 5");
          return broken("a field name holds a character that is no token", "RFC 9110 5.1");
        }
        if (text.empty()) return broken("a field name is empty", "RFC 9110 5.1");
        if (text.size() > UINT16_MAX) {
          return reject(sticky, state, 431, "a field name is too long", "RFC 6585 5", state.mark);
        }
        state.field.name_offset = state.mark;
        state.field.name_size_bytes = static_cast<uint16_t>(text.size());
        state.field.id = field_of(text);
        ++at;
        state.phase = Phase::kValueBegin;
        [[fallthrough]];
      }
      case Phase::kValueBegin: {
        while (at != end && (*at == ' ' || *at == '\t')) ++at;
        if (at == end) return need_more();
        state.mark = static_cast<uint32_t>(at - base);
        state.phase = Phase::kValue;
        [[fallthrough]];
      }
      case Phase::kValue: {
        at = Scan::value(at, end);
        if (at == end) return need_more();
        if (*at != '\r') {
          if (*at == '\n') return broken("a line ends in LF without CR", "RFC 9112 2.2");
          return broken("a field value holds a control character", "RFC 9110 5.5");
        }
        if (end - at < 2) return need_more();
        if (at[1] != '\n') return broken("a CR stands without LF", "RFC 9112 2.2");
        const char* last = at;
        const char* first = base + state.mark;
        while (last != first && (last[-1] == ' ' || last[-1] == '\t')) --last;
        state.field.value_offset = state.mark;
        state.field.value_size_bytes = static_cast<uint32_t>(last - first);
        fields.add(state.field);
        at += 2;
        state.phase = Phase::kLine;
        break;
      }
      default:
        return std::unexpected(sticky);
    }
  }
}

// What the fields of either head say about the body's end.
struct Lengths {
  bool has_content_length = false;
  bool has_transfer_encoding = false;
  bool chunked = false;         // the final coding
  bool unknown_coding = false;  // one that polis does not decode
  uint64_t content_length = 0;
  std::string_view broken;  // not empty: the rule
};
Lengths read_lengths(const Fields& fields);

// False on anything but digits, and beyond 2^63 - 1.
bool parse_decimal(std::string_view text, uint64_t& value);

}  // namespace polis::http::h1::detail
