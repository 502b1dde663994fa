// What the console's API is asked: query parameters and bodies, read strictly. Every error names the field and what it
// must be (kInvalid).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/http/request.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

// "arn:polis:ledger:::ledger/840": what policies name.
std::string ledger_resource(uint32_t ledger);

// Decimal digits.
Result<uint64_t> parse_number(std::string_view what, std::string_view text, uint64_t least, uint64_t most);
Result<u128> parse_id(std::string_view what, std::string_view text);  // 1 .. 2^128-2

// The query parameter, or `otherwise` if it is absent or empty.
Result<uint64_t> number_parameter(const http::Request& request, std::string_view name, uint64_t otherwise,
                                  uint64_t least, uint64_t most);
Result<std::string> text_parameter(const http::Request& request, std::string_view name, size_t bytes_max);

// A JSON object whose fields are asked for one by one; finish() refuses what nobody asked for, so that a misspelt field
// is not silently ignored. Numbers may be texts of digits, and must be above 2^53.
class Form {
 public:
  // An empty body is an empty object.
  static Task<Result<Form>> read(http::Request& request);
  static Result<Form> parse(std::string_view text);
  Form(Form&&) noexcept;
  ~Form();

  bool has(std::string_view name) const;
  // `otherwise` where the field is absent; empty: the field is required.
  Result<u128> number(std::string_view name, u128 most, std::optional<u128> otherwise = {});
  Result<bool> boolean(std::string_view name, bool otherwise);
  // At most 64 numbers; empty where absent.
  Result<std::vector<uint64_t>> numbers(std::string_view name, uint64_t most);
  Result<void> finish() const;

 private:
  struct State;
  explicit Form(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polis::ledger
