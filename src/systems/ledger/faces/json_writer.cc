#include "systems/ledger/faces/json_writer.h"

#include <charconv>
#include <fmt/format.h>

#include "kernel/base/time_format.h"
#include "kernel/obs/json_text.h"

namespace polis::ledger {

void JsonWriter::separate() {
  if (!first_) out_ += ',';
  first_ = false;
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  out_ += '"';
  out_ += name;
  out_ += "\":";
  first_ = true;  // the value follows without a comma
  return *this;
}

JsonWriter& JsonWriter::text_key(std::string_view name) {
  separate();
  obs::append_json_text(out_, name);
  out_ += ':';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
  separate();
  obs::append_json_text(out_, value);
  return *this;
}

JsonWriter& JsonWriter::number(uint64_t value) {
  separate();
  char digits[20];
  auto end = std::to_chars(digits, digits + sizeof digits, value);
  out_.append(digits, end.ptr);
  return *this;
}

JsonWriter& JsonWriter::real(double value) {
  separate();
  obs::append_json_number(out_, value);
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  out_ += value ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::null() {
  separate();
  out_ += "null";
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

JsonWriter& JsonWriter::digits(u128 value) {
  separate();
  out_ += '"';
  out_ += to_decimal(value);
  out_ += '"';
  return *this;
}

std::string to_decimal_point(u128 amount, unsigned scale) {
  std::string digits = to_decimal(amount);
  if (scale == 0) return digits;
  if (digits.size() <= scale) digits.insert(0, scale + 1 - digits.size(), '0');
  digits.insert(digits.size() - scale, 1, '.');
  return digits;
}

Result<u128> parse_decimal_point(std::string_view text, unsigned scale) {
  size_t point = text.find('.');
  std::string_view whole = text.substr(0, point);
  std::string_view fraction = point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  if (whole.empty() || (point != std::string_view::npos && fraction.empty()))
    return fail(Code::kInvalid, "an amount needs digits on both sides of its point");
  if (fraction.size() > scale)
    return fail(Code::kInvalid,
                fmt::format("the asset has {} digit{} behind the point, not more", scale, scale == 1 ? "" : "s"));
  std::string digits(whole);
  digits += fraction;
  digits.append(scale - fraction.size(), '0');
  size_t leading = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  return parse_decimal(std::string_view(digits).substr(leading));
}

std::string to_time_text(uint64_t timestamp_ns) {
  const WallTime time{Duration(static_cast<int64_t>(timestamp_ns))};
  std::string text = base::format_rfc3339_seconds(time);
  text.pop_back();
  return fmt::format("{}.{:09}Z", text, timestamp_ns % kNanosecondsPerSecond);
}

}  // namespace polis::ledger
