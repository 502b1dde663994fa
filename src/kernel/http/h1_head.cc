#include "kernel/http/h1_head.h"

namespace polis::http::h1 {
namespace detail {

bool parse_decimal(std::string_view text, uint64_t& value) {
  if (text.empty()) return false;
  uint64_t sum = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    if (sum > (static_cast<uint64_t>(INT64_MAX) - static_cast<uint64_t>(c - '0')) / 10) return false;
    sum = sum * 10 + static_cast<uint64_t>(c - '0');
  }
  value = sum;
  return true;
}

namespace {

// One Transfer-Encoding line. Stricter than the list rule: an empty element is refused, because readers disagree about
// it.
void read_codings(std::string_view list, Lengths& lengths) {
  for (;;) {
    size_t comma = list.find(',');
    std::string_view coding = trim_blanks(list.substr(0, comma));
    if (lengths.chunked) lengths.broken = "chunked is not the last transfer coding";
    if (coding.empty()) lengths.broken = "Transfer-Encoding has an empty element";
    if (equal_ignoring_case(coding, "chunked")) {
      lengths.chunked = true;
    } else {
      lengths.unknown_coding = true;
    }
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace

Lengths read_lengths(const Fields& fields) {
  Lengths lengths;
  for (FieldLine line : fields) {
    if (line.id == Field::kContentLength) {
      uint64_t value = 0;
      if (!parse_decimal(line.value, value)) {
        lengths.broken = "Content-Length is no decimal number";
      } else if (lengths.has_content_length && value != lengths.content_length) {
        lengths.broken = "two Content-Length fields differ";
      }
      lengths.has_content_length = true;
      lengths.content_length = value;
    } else if (line.id == Field::kTransferEncoding) {
      lengths.has_transfer_encoding = true;
      read_codings(line.value, lengths);
    }
  }
  if (lengths.broken.empty() && lengths.has_content_length && lengths.has_transfer_encoding) {
    lengths.broken = "Content-Length and Transfer-Encoding stand together";
  }
  return lengths;
}

}  // namespace detail

bool valid_field_name(std::string_view name) {
  return !name.empty() && name.size() <= UINT16_MAX &&
         scan::Scalar::token(name.data(), name.data() + name.size()) == name.data() + name.size();
}

bool valid_field_value(std::string_view value) {
#if defined(__x86_64__)
  return scan::Sse42::value(value.data(), value.data() + value.size()) == value.data() + value.size();
#else
  return scan::Scalar::value(value.data(), value.data() + value.size()) == value.data() + value.size();
#endif
}

bool valid_target(std::string_view target) {
  return !target.empty() &&
         scan::Scalar::target(target.data(), target.data() + target.size()) == target.data() + target.size();
}

bool valid_host(std::string_view host) {
  std::string_view name = host, port;
  if (!host.empty() && host.front() == '[') {
    size_t close = host.find(']');
    if (close == std::string_view::npos || close < 3) return false;
    for (char c : host.substr(1, close - 1)) {
      bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!hex && c != ':' && c != '.') return false;
    }
    name = host.substr(0, close + 1);
    std::string_view rest = host.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return false;
    if (!rest.empty()) port = rest.substr(1);
  } else {
    size_t colon = host.find(':');
    name = host.substr(0, colon);
    if (colon != std::string_view::npos) port = host.substr(colon + 1);
    for (char c : name) {
      bool letter_or_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      // unreserved, percent and sub-delims of RFC 3986, but the comma, at which some readers would split.
      if (!letter_or_digit && std::string_view("-._~%!$&'()*+;=").find(c) == std::string_view::npos) return false;
    }
  }
  if (name.empty() || port.size() > 5) return false;
  uint64_t number = 0;
  return port.empty() || (detail::parse_decimal(port, number) && number <= 65535);
}

void append_status_line(std::string& out, int status) {
  if (status == 200) {
    out.append("HTTP/1.1 200 OK\r\n");
    return;
  }
  char digits[] = {static_cast<char>('0' + status / 100 % 10), static_cast<char>('0' + status / 10 % 10),
                   static_cast<char>('0' + status % 10), ' '};
  out.append("HTTP/1.1 ").append(digits, 4).append(reason_phrase(status)).append("\r\n");
}

void append_request_line(std::string& out, std::string_view method, std::string_view target) {
  out.append(method).append(1, ' ').append(target).append(" HTTP/1.1\r\n");
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void append_field(std::string& out, std::string_view name, uint64_t value) {
  char digits[20];
  size_t begin = sizeof digits;
  do {
    digits[--begin] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value);
  append_field(out, name, std::string_view(digits + begin, sizeof digits - begin));
}

void append_chunk_head(std::string& out, uint64_t size_bytes) {
  char digits[18];
  size_t begin = sizeof digits;
  digits[--begin] = '\n';
  digits[--begin] = '\r';
  do {
    digits[--begin] = "0123456789abcdef"[size_bytes & 15];
    size_bytes >>= 4;
  } while (size_bytes);
  out.append(digits + begin, sizeof digits - begin);
}

}  // namespace polis::http::h1
