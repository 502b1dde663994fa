#include "kernel/auth/pattern.h"

#include "kernel/auth/policy.h"

namespace polis::auth {
namespace {

constexpr uint16_t kAnyRun = 256;
constexpr uint16_t kAnyOne = 257;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// The end of the UTF-8 character that begins at `at`.
size_t next_character(std::string_view text, size_t at) {
  ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
  return at;
}

// Greedy with one point to go back to, the newest run: whatever an older run could take instead, the newest can take as
// well.
template <class TokenAt>
bool match(size_t token_count, TokenAt token_at, std::string_view text, bool ignore_case) {
  size_t token = 0, at = 0;
  size_t run_token = SIZE_MAX, run_at = 0;
  while (at < text.size()) {
    if (token < token_count && token_at(token) == kAnyRun) {
      run_token = token++;
      run_at = at;
      continue;
    }
    if (token < token_count && token_at(token) == kAnyOne) {
      ++token;
      at = next_character(text, at);
      continue;
    }
    char c = ignore_case ? lower(text[at]) : text[at];
    if (token < token_count && token_at(token) == static_cast<unsigned char>(c)) {
      ++token;
      ++at;
      continue;
    }
    if (run_token == SIZE_MAX) return false;
    token = run_token + 1;
    at = ++run_at;
  }
  while (token < token_count && token_at(token) == kAnyRun) ++token;
  return token == token_count;
}

uint16_t wildcard_token(char c) {
  if (c == '*') return kAnyRun;
  if (c == '?') return kAnyOne;
  return static_cast<unsigned char>(c);
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

bool matches_wildcard(std::string_view pattern, std::string_view text) {
  return match(pattern.size(), [&](size_t i) { return wildcard_token(pattern[i]); }, text, false);
}

namespace detail {

std::string lower_case(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) c = lower(c);
  return lowered;
}

Result<Pattern> Pattern::parse(std::string_view text, PatternSyntax syntax) {
  Pattern pattern;
  pattern.text_ = text;
  pattern.ignore_case_ = syntax.ignore_case;
  pattern.tokens_.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (syntax.variables && c == '$' && i + 1 < text.size() && text[i + 1] == '{') {
      size_t end = text.find('}', i + 2);
      if (end == std::string_view::npos)
        return fail(Code::kInvalid, "the variable in '" + pattern.text_ + "' has no '}'");
      std::string_view body = text.substr(i + 2, end - i - 2);
      i = end;
      if (body == "*" || body == "?" || body == "$") {
        pattern.tokens_.push_back(static_cast<unsigned char>(body[0]));
        continue;
      }
      Variable variable{.position = pattern.tokens_.size()};
      size_t comma = body.find(',');
      variable.key = lower_case(trim(body.substr(0, comma)));
      if (comma != std::string_view::npos) {
        std::string_view fallback = trim(body.substr(comma + 1));
        if (fallback.size() < 2 || fallback.front() != '\'' || fallback.back() != '\'')
          return fail(Code::kInvalid, "the default of the variable in '" + pattern.text_ + "' is not in single quotes");
        variable.fallback = fallback.substr(1, fallback.size() - 2);
        variable.has_fallback = true;
      }
      if (variable.key.empty()) return fail(Code::kInvalid, "a variable in '" + pattern.text_ + "' has no name");
      pattern.fixed_ = false;
      pattern.variables_.push_back(std::move(variable));
      continue;
    }
    uint16_t token = syntax.wildcards ? wildcard_token(c) : static_cast<unsigned char>(c);
    if (token >= kAnyRun) {
      pattern.fixed_ = false;
      if (token == kAnyRun && !pattern.tokens_.empty() && pattern.tokens_.back() == kAnyRun &&
          (pattern.variables_.empty() || pattern.variables_.back().position != pattern.tokens_.size()))
        continue;  // A run of runs is one run.
    } else if (syntax.ignore_case) {
      token = static_cast<unsigned char>(lower(c));
    }
    pattern.tokens_.push_back(token);
  }
  return pattern;
}

bool Pattern::expand(const Context* context, Tokens& expanded) const {
  size_t copied = 0;
  for (const Variable& variable : variables_) {
    expanded.insert(expanded.end(), tokens_.begin() + static_cast<ptrdiff_t>(copied),
                    tokens_.begin() + static_cast<ptrdiff_t>(variable.position));
    copied = variable.position;
    const std::string* value = variable.has_fallback ? &variable.fallback : nullptr;
    if (context != nullptr) {
      const std::vector<std::string>& values = context->find(variable.key);
      if (values.size() == 1) value = &values.front();
    }
    if (value == nullptr) return false;
    for (char c : *value) expanded.push_back(static_cast<unsigned char>(ignore_case_ ? lower(c) : c));
  }
  expanded.insert(expanded.end(), tokens_.begin() + static_cast<ptrdiff_t>(copied), tokens_.end());
  return true;
}

bool Pattern::matches(std::string_view text, const Context* context) const {
  if (variables_.empty()) return match(tokens_.size(), [this](size_t i) { return tokens_[i]; }, text, ignore_case_);
  Tokens expanded;
  expanded.reserve(tokens_.size() + 64);
  if (!expand(context, expanded)) return false;
  return match(expanded.size(), [&](size_t i) { return expanded[i]; }, text, ignore_case_);
}

}  // namespace detail
}  // namespace polis::auth
