// What the admin API is asked: query parameters and JSON bodies, read strictly. Every error names the field and what it
// must be (kInvalid).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/http/request.h"

namespace polis::systems {

// The query parameter, or `otherwise` where it is absent or empty.
Result<int64_t> number_parameter(const http::Request& request, std::string_view name, int64_t otherwise, int64_t least,
                                 int64_t most);
Result<std::string> text_parameter(const http::Request& request, std::string_view name, size_t bytes_max = 1024);

// A JSON object whose fields are asked for one by one; finish() refuses what nobody asked for, so that a misspelt field
// is not silently ignored. 64-bit numbers may be texts of digits.
class Body {
 public:
  // An empty body is an empty object.
  static Task<Result<Body>> read(http::Request& request);
  static Result<Body> parse(std::string_view text);
  Body(Body&&) noexcept;
  ~Body();

  bool has(std::string_view name) const;
  // Empty `otherwise`: the field is required.
  Result<std::string> text(std::string_view name, std::optional<std::string> otherwise = {});
  Result<int64_t> number(std::string_view name, int64_t least, int64_t most, std::optional<int64_t> otherwise = {});
  // A whole number from 0 on that may not fit 63 bits, as its text: what a JSON number says in digits, or any text,
  // which the caller reads. Nothing where absent.
  Result<std::optional<std::string>> digits(std::string_view name);
  Result<bool> boolean(std::string_view name, bool otherwise);
  // An object of texts (numbers and booleans are taken as their text); null is an empty value.
  Result<std::map<std::string, std::optional<std::string>>> texts(std::string_view name);
  // An array of at most `count_max` whole numbers from 0 to `most`; empty where absent.
  Result<std::vector<int64_t>> numbers(std::string_view name, size_t count_max, int64_t most);
  // An array of texts, at most `most`; empty where absent.
  Result<std::vector<std::string>> list(std::string_view name, size_t most);
  Result<void> finish() const;

 private:
  struct State;
  explicit Body(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polis::systems
