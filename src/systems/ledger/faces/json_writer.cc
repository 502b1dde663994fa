#include "systems/ledger/faces/json_writer.h"

#include <fmt/format.h>

#include "kernel/base/time_format.h"

namespace polis::ledger {

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
