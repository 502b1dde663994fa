#include "kernel/auth/condition.h"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <chrono>
#include <cmath>

#include "kernel/auth/policy.h"
#include "kernel/base/text_encoding.h"

namespace polis::auth {
namespace {

struct Address {
  std::array<unsigned char, 16> bytes{};
  unsigned size = 0;  // 4 or 16
};

std::optional<Address> parse_address(std::string_view text) {
  if (text.size() >= INET6_ADDRSTRLEN) return {};
  std::string zero_ended(text);
  Address address;
  if (inet_pton(AF_INET, zero_ended.c_str(), address.bytes.data()) == 1) {
    address.size = 4;
    return address;
  }
  if (inet_pton(AF_INET6, zero_ended.c_str(), address.bytes.data()) != 1) return {};
  address.size = 16;
  constexpr unsigned char kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(std::begin(kMapped), std::end(kMapped), address.bytes.begin())) {
    std::copy(address.bytes.begin() + 12, address.bytes.end(), address.bytes.begin());
    address.size = 4;
  }
  return address;
}

struct Block {
  Address address;
  unsigned prefix_bits = 0;
};

std::optional<Block> parse_block(std::string_view text) {
  size_t slash = text.find('/');
  auto address = parse_address(text.substr(0, slash));
  if (!address) return {};
  Block block{*address, address->size * 8};
  if (slash == std::string_view::npos) return block;
  std::string_view bits = text.substr(slash + 1);
  auto [end, error] = std::from_chars(bits.data(), bits.data() + bits.size(), block.prefix_bits);
  bool mapped = address->size == 4 && text.substr(0, slash).find(':') != std::string_view::npos;
  if (mapped && block.prefix_bits >= 96) block.prefix_bits -= 96;
  if (error != std::errc() || end != bits.data() + bits.size() || bits.empty() || block.prefix_bits > address->size * 8)
    return {};
  return block;
}

bool contains(const Block& block, const Address& address) {
  if (block.address.size != address.size) return false;
  unsigned whole = block.prefix_bits / 8, rest = block.prefix_bits % 8;
  if (!std::equal(address.bytes.begin(), address.bytes.begin() + whole, block.address.bytes.begin())) return false;
  if (rest == 0) return true;
  unsigned mask = 0xffu << (8 - rest) & 0xffu;
  return ((address.bytes[whole] ^ block.address.bytes[whole]) & mask) == 0;
}

}  // namespace

bool address_in_block(std::string_view block, std::string_view address) {
  auto parsed_block = parse_block(block);
  auto parsed_address = parse_address(address);
  return parsed_block && parsed_address && contains(*parsed_block, *parsed_address);
}

namespace detail {
namespace {

std::optional<double> parse_number(std::string_view text) {
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) return {};
  return number;
}

std::optional<bool> parse_truth(std::string_view text) {
  std::string lowered = lower_case(text);
  if (lowered == "true") return true;
  if (lowered == "false") return false;
  return {};
}

// Takes exactly `digits` decimal digits from the front.
std::optional<int> take_digits(std::string_view& text, size_t digits) {
  if (text.size() < digits) return {};
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return {};
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "hh:mm", "hh:mm:ss" or "hh:mm:ss.fraction", then "Z", "+hh:mm", "-hhmm" or nothing.
std::optional<int64_t> take_time_of_day_ms(std::string_view text) {
  auto hour = take_digits(text, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return {};
  auto minute = take_digits(text, 2);
  if (!minute || *minute > 59) return {};
  int64_t time_ms = (*hour * 60 + *minute) * 60'000;
  if (take(text, ':')) {
    auto second = take_digits(text, 2);
    if (!second || *second > 60) return {};
    time_ms += *second * 1000;
    if (take(text, '.')) {
      int scale_ms = 100;
      if (text.empty() || text.front() < '0' || text.front() > '9') return {};
      for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), scale_ms /= 10)
        time_ms += (text.front() - '0') * scale_ms;
    }
  }
  if (text.empty() || text == "Z") return time_ms;
  int sign = text.front() == '-' ? 1 : -1;
  if (!take(text, '+') && !take(text, '-')) return {};
  auto offset_hour = take_digits(text, 2);
  take(text, ':');
  auto offset_minute = take_digits(text, 2);
  if (!offset_hour || !offset_minute || *offset_hour > 14 || *offset_minute > 59 || !text.empty()) return {};
  return time_ms + sign * (*offset_hour * 60 + *offset_minute) * 60'000;
}

// arn:partition:service:region:account:resource, where the resource may hold more colons.
std::optional<std::array<std::string_view, 6>> split_arn(std::string_view arn) {
  std::array<std::string_view, 6> fields;
  for (size_t i = 0; i < 5; ++i) {
    size_t colon = arn.find(':');
    if (colon == std::string_view::npos) return {};
    fields[i] = arn.substr(0, colon);
    arn.remove_prefix(colon + 1);
  }
  fields[5] = arn;
  return fields;
}

template <class T>
bool related(T left, Relation relation, T right) {
  switch (relation) {
    case Relation::kEqual:
      return left == right;
    case Relation::kLess:
      return left < right;
    case Relation::kLessOrEqual:
      return left <= right;
    case Relation::kGreater:
      return left > right;
    case Relation::kGreaterOrEqual:
      return left >= right;
  }
  return false;
}

struct NamedOperator {
  std::string_view name;
  Comparison comparison;
  Relation relation = Relation::kEqual;
  bool negated = false;
};
constexpr NamedOperator kOperators[] = {
    {"StringEquals", Comparison::kStringEquals},
    {"StringNotEquals", Comparison::kStringEquals, Relation::kEqual, true},
    {"StringEqualsIgnoreCase", Comparison::kStringEqualsIgnoreCase},
    {"StringNotEqualsIgnoreCase", Comparison::kStringEqualsIgnoreCase, Relation::kEqual, true},
    {"StringLike", Comparison::kStringLike},
    {"StringNotLike", Comparison::kStringLike, Relation::kEqual, true},
    {"NumericEquals", Comparison::kNumeric},
    {"NumericNotEquals", Comparison::kNumeric, Relation::kEqual, true},
    {"NumericLessThan", Comparison::kNumeric, Relation::kLess},
    {"NumericLessThanEquals", Comparison::kNumeric, Relation::kLessOrEqual},
    {"NumericGreaterThan", Comparison::kNumeric, Relation::kGreater},
    {"NumericGreaterThanEquals", Comparison::kNumeric, Relation::kGreaterOrEqual},
    {"DateEquals", Comparison::kDate},
    {"DateNotEquals", Comparison::kDate, Relation::kEqual, true},
    {"DateLessThan", Comparison::kDate, Relation::kLess},
    {"DateLessThanEquals", Comparison::kDate, Relation::kLessOrEqual},
    {"DateGreaterThan", Comparison::kDate, Relation::kGreater},
    {"DateGreaterThanEquals", Comparison::kDate, Relation::kGreaterOrEqual},
    {"Bool", Comparison::kBool},
    {"BinaryEquals", Comparison::kBinary},
    {"IpAddress", Comparison::kAddress},
    {"NotIpAddress", Comparison::kAddress, Relation::kEqual, true},
    {"ArnEquals", Comparison::kArn},
    {"ArnLike", Comparison::kArn},
    {"ArnNotEquals", Comparison::kArn, Relation::kEqual, true},
    {"ArnNotLike", Comparison::kArn, Relation::kEqual, true},
    {"Null", Comparison::kNull},
};

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::optional<int64_t> parse_time_ms(std::string_view text) {
  if (text.size() > 40) return {};
  bool all_digits = !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  if (all_digits && text.size() > 4 && text.size() <= 11) {
    int64_t seconds = 0;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    return seconds * 1000;
  }
  auto year = take_digits(text, 4);
  if (!year) return {};
  int month = 1, day = 1;
  if (take(text, '-')) {
    auto value = take_digits(text, 2);
    if (!value) return {};
    month = *value;
    if (take(text, '-')) {
      value = take_digits(text, 2);
      if (!value) return {};
      day = *value;
    }
  }
  std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return {};
  int64_t time_ms = int64_t{std::chrono::sys_days(date).time_since_epoch().count()} * 86'400'000;
  if (text.empty()) return time_ms;
  if (!take(text, 'T')) return {};
  auto within_day_ms = take_time_of_day_ms(text);
  if (!within_day_ms) return {};
  return time_ms + *within_day_ms;
}

Result<Operator> Operator::parse(std::string_view name) {
  std::string_view rest = name;
  Operator op;
  if (take_prefix(rest, "ForAllValues:"))
    op.quantifier = Quantifier::kForAllValues;
  else if (take_prefix(rest, "ForAnyValue:"))
    op.quantifier = Quantifier::kForAnyValue;
  if (rest.ends_with("IfExists")) {
    op.if_exists = true;
    rest.remove_suffix(8);
  }
  for (const NamedOperator& known : kOperators) {
    if (known.name != rest) continue;
    if (known.comparison == Comparison::kNull && (op.if_exists || op.quantifier != Quantifier::kNone)) break;
    op.comparison = known.comparison;
    op.relation = known.relation;
    op.negated = known.negated;
    return op;
  }
  return fail(Code::kInvalid, "unknown condition operator '" + std::string(name) + "'");
}

Result<Condition> Condition::parse(Operator op, std::string_view key, const std::vector<std::string>& values,
                                   bool variables) {
  Condition condition;
  condition.op_ = op;
  condition.key_ = lower_case(key);
  condition.texts_ = values;
  if (condition.key_.empty()) return fail(Code::kInvalid, "a condition key is empty");
  if (values.empty()) return fail(Code::kInvalid, "the condition key '" + std::string(key) + "' has no value");
  auto malformed = [&](std::string_view text, std::string_view wanted) {
    return fail(Code::kInvalid, "the value '" + std::string(text) + "' of the condition key '" + std::string(key) +
                                    "' is not " + std::string(wanted));
  };
  for (const std::string& text : values) {
    Value value;
    switch (op.comparison) {
      case Comparison::kStringEquals:
        value.pattern = TRY(Pattern::parse(text, {.wildcards = false, .variables = variables}));
        break;
      case Comparison::kStringEqualsIgnoreCase:
        value.pattern = TRY(Pattern::parse(text, {.wildcards = false, .variables = variables, .ignore_case = true}));
        break;
      case Comparison::kStringLike:
        value.pattern = TRY(Pattern::parse(text, {.variables = variables}));
        break;
      case Comparison::kNumeric: {
        auto number = parse_number(text);
        if (!number) return malformed(text, "a number");
        value.number = *number;
        break;
      }
      case Comparison::kDate: {
        auto time_ms = parse_time_ms(text);
        if (!time_ms) return malformed(text, "an ISO 8601 date or a number of seconds");
        value.time_ms = *time_ms;
        break;
      }
      case Comparison::kBool:
      case Comparison::kNull: {
        auto truth = parse_truth(text);
        if (!truth) return malformed(text, "true or false");
        value.truth = *truth;
        break;
      }
      case Comparison::kBinary:
        if (!base::base64_decode(text)) return malformed(text, "base64");
        break;
      case Comparison::kAddress:
        if (!parse_block(text)) return malformed(text, "an IP address or CIDR block");
        break;
      case Comparison::kArn: {
        value.whole = text == "*";
        auto fields = split_arn(text);
        if (value.whole) break;
        if (!fields) return malformed(text, "an ARN");
        for (size_t i = 0; i < 5; ++i) value.fields[i] = TRY(Pattern::parse((*fields)[i], {.variables = variables}));
        value.pattern = TRY(Pattern::parse((*fields)[5], {.variables = variables}));
        break;
      }
    }
    condition.values_.push_back(std::move(value));
  }
  return condition;
}

bool Condition::values_fixed() const {
  return std::ranges::all_of(values_, [](const Value& value) {
    return !value.whole && value.pattern.fixed() && std::ranges::all_of(value.fields, &Pattern::fixed);
  });
}

bool Condition::matches(const Value& value, std::string_view text, const Context* context) const {
  switch (op_.comparison) {
    case Comparison::kStringEquals:
    case Comparison::kStringEqualsIgnoreCase:
    case Comparison::kStringLike:
      return value.pattern.matches(text, context);
    case Comparison::kNumeric: {
      auto number = parse_number(text);
      return number && related(*number, op_.relation, value.number);
    }
    case Comparison::kDate: {
      auto time_ms = parse_time_ms(text);
      return time_ms && related(*time_ms, op_.relation, value.time_ms);
    }
    case Comparison::kBool: {
      auto truth = parse_truth(text);
      return truth && *truth == value.truth;
    }
    case Comparison::kArn: {
      if (value.whole) return true;
      auto fields = split_arn(text);
      if (!fields) return false;
      for (size_t i = 0; i < 5; ++i)
        if (!value.fields[i].matches((*fields)[i], context)) return false;
      return value.pattern.matches((*fields)[5], context);
    }
    case Comparison::kBinary:
    case Comparison::kAddress:
    case Comparison::kNull:
      break;  // Compared by their text below.
  }
  return false;
}

bool Condition::matches_any(std::string_view text, const Context* context) const {
  if (op_.comparison == Comparison::kBinary) return std::ranges::find(texts_, text) != texts_.end();
  if (op_.comparison == Comparison::kAddress)
    return std::ranges::any_of(texts_, [&](const std::string& block) { return address_in_block(block, text); });
  return std::ranges::any_of(values_, [&](const Value& value) { return matches(value, text, context); });
}

bool Condition::holds(const Context* context) const {
  static const std::vector<std::string> kNone;
  const std::vector<std::string>& present = context != nullptr ? context->find(key_) : kNone;
  if (op_.comparison == Comparison::kNull)
    return std::ranges::any_of(values_, [&](const Value& value) { return value.truth == present.empty(); });
  if (present.empty()) {
    if (op_.if_exists || op_.quantifier == Quantifier::kForAllValues) return true;
    return op_.quantifier == Quantifier::kNone && op_.negated;
  }
  auto fits = [&](const std::string& value) { return matches_any(value, context) != op_.negated; };
  if (op_.quantifier == Quantifier::kForAllValues) return std::ranges::all_of(present, fits);
  if (op_.quantifier == Quantifier::kForAnyValue) return std::ranges::any_of(present, fits);
  // Without a quantifier a key with several values holds as if any did, and for a negated operator only if none
  // matches.
  return op_.negated ? std::ranges::all_of(present, fits) : std::ranges::any_of(present, fits);
}

}  // namespace detail
}  // namespace polis::auth
