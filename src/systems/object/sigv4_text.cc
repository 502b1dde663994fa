#include "systems/object/sigv4_text.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "kernel/base/ascii.h"
#include "kernel/base/text_encoding.h"

namespace polis::object::sigv4 {
namespace {

bool blank(char c) {
  return c == ' ' || c == '\t';
}

// Digits at a fixed place; nothing if any is not a digit.
std::optional<int> digits(std::string_view text, size_t at, size_t count) {
  int value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return {};
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

std::optional<WallTime> make_time(std::optional<int> year, std::optional<int> month, std::optional<int> day,
                                  std::optional<int> hour, std::optional<int> minute, std::optional<int> second) {
  if (!year || !month || !day || !hour || !minute || !second) return {};
  // Outside these years the nanoseconds of a WallTime overflow.
  if (*year < 1970 || *year > 2200 || *hour > 23 || *minute > 59 || *second > 60) return {};
  std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                   std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return {};
  return WallTime(std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(*hour) +
                  std::chrono::minutes(*minute) + std::chrono::seconds(*second));
}

}  // namespace

std::string_view trim_view(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string trim(std::string_view text, bool collapse) {
  text = trim_view(text);
  if (!collapse) return std::string(text);
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (!blank(c))
      out += c;
    else if (out.back() != ' ')
      out += ' ';
  }
  return out;
}

bool is_hex64(std::string_view text) {
  return text.size() == 64 && std::ranges::all_of(text, [](char c) { return base::hex_digit_value(c) >= 0; });
}

std::optional<std::string_view> header(const RequestView& request, std::string_view name) {
  for (const HeaderView& field : request.headers)
    if (base::equal_ignoring_case(field.name, name)) return field.value;
  return {};
}

Target split_target(std::string_view target) {
  size_t fragment = target.find('#');
  target = target.substr(0, fragment);
  size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

std::optional<std::vector<Parameter>> parse_query(std::string_view query) {
  std::vector<Parameter> parameters;
  while (!query.empty()) {
    size_t end = query.find('&');
    std::string_view part = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
    if (part.empty()) continue;
    if (parameters.size() == kQueryParametersMax) return {};
    size_t equals = part.find('=');
    auto name = base::url_decode(part.substr(0, equals), base::Plus::kSpace);
    auto value = base::url_decode(equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1),
                                  base::Plus::kSpace);
    if (!name || !value) return {};
    parameters.push_back({std::move(*name), std::move(*value)});
  }
  return parameters;
}

const std::string* find(const std::vector<Parameter>& parameters, std::string_view name) {
  auto found = std::ranges::find(parameters, name, &Parameter::name);
  return found == parameters.end() ? nullptr : &found->value;
}

std::optional<WallTime> parse_amz_date(std::string_view text) {
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return {};
  return make_time(digits(text, 0, 4), digits(text, 4, 2), digits(text, 6, 2), digits(text, 9, 2), digits(text, 11, 2),
                   digits(text, 13, 2));
}

std::optional<WallTime> parse_http_date(std::string_view text) {
  constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  // "Sun, 06 Nov 1994 08:49:37 GMT"
  if (text.size() < 29 || text.size() > 31 || text[3] != ',' || text[4] != ' ') return {};
  std::string_view zone = text.substr(26);
  if (zone != "GMT" && zone != "UTC" && zone != "+0000" && zone != "-0000") return {};
  if (text[7] != ' ' || text[11] != ' ' || text[16] != ' ' || text[19] != ':' || text[22] != ':' || text[25] != ' ')
    return {};
  auto month = std::ranges::find(kMonths, text.substr(8, 3));
  if (month == std::end(kMonths)) return {};
  return make_time(digits(text, 12, 4), static_cast<int>(month - std::begin(kMonths)) + 1, digits(text, 5, 2),
                   digits(text, 17, 2), digits(text, 20, 2), digits(text, 23, 2));
}

std::string hex_hmac(const SigningKey& key, std::string_view message) {
  return base::hex_encode(base::hmac_sha256(key, message));
}

AuthFailure failure(std::string_view code, int status, std::string message) {
  AuthFailure refused;
  refused.code = code;
  refused.status = status;
  refused.message = std::move(message);
  return refused;
}

AuthFailure access_denied(std::string message) {
  return failure("AccessDenied", 403, std::move(message));
}

}  // namespace polis::object::sigv4
