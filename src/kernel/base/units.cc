// Sizes and durations as text (config.h).
#include <array>
#include <charconv>

#include "kernel/base/config.h"

namespace polis::base {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr std::array<Unit, 9> kSizeUnits = {{{"B", 1},
                                             {"kB", 1'000},
                                             {"MB", 1'000'000},
                                             {"GB", 1'000'000'000},
                                             {"TB", 1'000'000'000'000},
                                             {"KiB", uint64_t{1} << 10},
                                             {"MiB", uint64_t{1} << 20},
                                             {"GiB", uint64_t{1} << 30},
                                             {"TiB", uint64_t{1} << 40}}};
// The larger first: the order in which parts of a duration stand.
constexpr std::array<Unit, 7> kTimeUnits = {{{"d", 86'400'000'000'000},
                                             {"h", 3'600'000'000'000},
                                             {"m", 60'000'000'000},
                                             {"s", 1'000'000'000},
                                             {"ms", 1'000'000},
                                             {"us", 1'000},
                                             {"ns", 1}}};

constexpr uint64_t kMax = static_cast<uint64_t>(std::numeric_limits<int64_t>::max());

// Digits at the front of `text`, which it removes; false if there are none or too many.
bool take_number(std::string_view& text, uint64_t& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

// The letters at the front, which it removes.
std::string_view take_unit(std::string_view& text) {
  size_t size = 0;
  while (size < text.size() && ((text[size] >= 'a' && text[size] <= 'z') || (text[size] >= 'A' && text[size] <= 'Z')))
    ++size;
  std::string_view unit = text.substr(0, size);
  text.remove_prefix(size);
  return unit;
}

std::unexpected<Error> no_size(std::string_view text) {
  return fail(Code::kInvalid, "expected a size like 64MiB or 4096, not \"" + std::string(text.substr(0, 40)) + "\"");
}
std::unexpected<Error> no_duration(std::string_view text) {
  return fail(Code::kInvalid,
              "expected a duration like 250ms or 1h30m, not \"" + std::string(text.substr(0, 40)) + "\"");
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  std::string_view left = text;
  uint64_t number = 0;
  if (!take_number(left, number)) return no_size(text);
  if (left.starts_with(' ')) left.remove_prefix(1);
  std::string_view wanted = take_unit(left);
  if (!left.empty()) return no_size(text);
  if (wanted.empty()) wanted = "B";
  for (const Unit& unit : kSizeUnits) {
    if (unit.name != wanted) continue;
    if (number > kMax / unit.factor)
      return fail(Code::kOutOfRange, "the size " + std::string(text) + " is beyond 8 EiB");
    return number * unit.factor;
  }
  return no_size(text);
}

std::string format_size(uint64_t size_bytes) {
  size_t best = 0;
  for (size_t i = 5; i < kSizeUnits.size(); ++i)
    if (size_bytes != 0 && size_bytes % kSizeUnits[i].factor == 0) best = i;
  return std::to_string(size_bytes / kSizeUnits[best].factor) + std::string(kSizeUnits[best].name);
}

Result<Duration> parse_duration(std::string_view text) {
  if (text == "0") return Duration(0);
  std::string_view left = text;
  uint64_t total = 0;
  size_t next_unit = 0;
  if (left.empty()) return no_duration(text);
  while (!left.empty()) {
    uint64_t number = 0;
    if (!take_number(left, number)) return no_duration(text);
    std::string_view wanted = take_unit(left);
    while (next_unit < kTimeUnits.size() && kTimeUnits[next_unit].name != wanted) ++next_unit;
    if (next_unit == kTimeUnits.size()) return no_duration(text);
    uint64_t factor = kTimeUnits[next_unit++].factor;
    if (number > kMax / factor || number * factor > kMax - total)
      return fail(Code::kOutOfRange, "the duration " + std::string(text.substr(0, 40)) + " is beyond 292 years");
    total += number * factor;
  }
  return Duration(static_cast<int64_t>(total));
}

std::string format_duration(Duration duration) {
  if (duration.count() == 0) return "0s";
  uint64_t left =
      duration.count() < 0 ? 0 - static_cast<uint64_t>(duration.count()) : static_cast<uint64_t>(duration.count());
  std::string out = duration.count() < 0 ? "-" : "";
  for (const Unit& unit : kTimeUnits) {
    if (left < unit.factor) continue;
    out += std::to_string(left / unit.factor) + std::string(unit.name);
    left %= unit.factor;
  }
  return out;
}

}  // namespace polis::base
