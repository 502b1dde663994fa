// One value of a policy compiled for matching: text with wildcards (`*`, `?`) and policy variables (${aws:username}).
// What a variable brings in is taken literally: a star in a user's name matches a star. Immutable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"

namespace polis::auth {
class Context;
}

namespace polis::auth::detail {

struct PatternSyntax {
  bool wildcards = true;
  bool variables = true;
  bool ignore_case = false;  // ASCII
};

class Pattern {
 public:
  // kInvalid for a variable without an end or without a name. With `variables`, ${*} ${?} ${$} stand for those
  // characters and
  // ${key, 'text'} has a default.
  static Result<Pattern> parse(std::string_view text, PatternSyntax syntax);

  // False if a variable without default has no value, or several.
  bool matches(std::string_view text, const Context* context) const;
  // Neither wildcards nor variables.
  bool fixed() const { return fixed_; }
  bool has_variables() const { return !variables_.empty(); }
  const std::string& text() const { return text_; }

 private:
  struct Variable {
    size_t position = 0;  // in tokens_, where its value goes
    std::string key;
    std::string fallback;
    bool has_fallback = false;
  };
  using Tokens = std::vector<uint16_t>;  // a byte, or one of the two above bytes

  bool expand(const Context* context, Tokens& expanded) const;

  std::string text_;
  Tokens tokens_;
  std::vector<Variable> variables_;
  bool ignore_case_ = false;
  bool fixed_ = true;
};

std::string lower_case(std::string_view text);

}  // namespace polis::auth::detail
