// One line of a policy's Condition element: operator, key, values. Immutable.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/pattern.h"

namespace polis::auth::detail {

enum class Comparison : unsigned char {
  kStringEquals,
  kStringEqualsIgnoreCase,
  kStringLike,
  kNumeric,
  kDate,
  kBool,
  kBinary,
  kAddress,
  kArn,
  kNull,
};
enum class Relation : unsigned char { kEqual, kLess, kLessOrEqual, kGreater, kGreaterOrEqual };
enum class Quantifier : unsigned char { kNone, kForAllValues, kForAnyValue };

struct Operator {
  Comparison comparison = Comparison::kStringEquals;
  Relation relation = Relation::kEqual;
  bool negated = false;
  bool if_exists = false;
  Quantifier quantifier = Quantifier::kNone;

  // "ForAnyValue:StringNotLikeIfExists". Names are matched exactly, as AWS documents them; kInvalid for unknown ones.
  static Result<Operator> parse(std::string_view name);
};

class Condition {
 public:
  // kInvalid for a value that the operator cannot compare with.
  static Result<Condition> parse(Operator op, std::string_view key, const std::vector<std::string>& values,
                                 bool variables);

  bool holds(const Context* context) const;

  const Operator& op() const { return op_; }
  const std::string& key() const { return key_; }  // lower case
  // The values as written.
  const std::vector<std::string>& texts() const { return texts_; }
  // Text operators: no value has a wildcard that the operator heeds, or a variable.
  bool values_fixed() const;

 private:
  struct Value {
    Pattern pattern;                // strings, and the resource part of ARNs
    std::array<Pattern, 5> fields;  // the other parts of ARNs
    bool whole = false;             // ARN given as "*"
    double number = 0;              // numbers
    int64_t time_ms = 0;            // dates
    bool truth = false;
  };
  bool matches(const Value& value, std::string_view text, const Context* context) const;
  bool matches_any(std::string_view text, const Context* context) const;

  Operator op_;
  std::string key_;
  std::vector<std::string> texts_;
  std::vector<Value> values_;
};

// ISO 8601 (year alone to fractions of a second, Z or an offset; without one UTC) or seconds since 1970. Milliseconds
// since 1970.
std::optional<int64_t> parse_time_ms(std::string_view text);

}  // namespace polis::auth::detail
