// JsonWriter: JSON as it is answered, written front to back into one text. Numbers that JavaScript would round (128-bit
// amounts, ids, nanoseconds) go out as texts of digits. A value; one owner.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/clock.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  // The name of the next value, inside an object. Plain ASCII without quotes, or any text through `text_key`.
  JsonWriter& key(std::string_view name);
  JsonWriter& text_key(std::string_view name);

  JsonWriter& text(std::string_view value);
  JsonWriter& number(uint64_t value);  // below 2^53: the reader may hold it in a double
  JsonWriter& real(double value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  // A JSON document that is one already.
  JsonWriter& raw(std::string_view json);
  // Digits as a text.
  JsonWriter& digits(u128 value);

  JsonWriter& member(std::string_view name, std::string_view value) { return key(name).text(value); }
  JsonWriter& member(std::string_view name, const char* value) { return key(name).text(value); }
  JsonWriter& count(std::string_view name, uint64_t value) { return key(name).number(value); }
  JsonWriter& flag(std::string_view name, bool value) { return key(name).boolean(value); }
  JsonWriter& digits(std::string_view name, u128 value) { return key(name).digits(value); }

  const std::string& str() const { return out_; }
  std::string take() { return std::move(out_); }
  size_t size() const { return out_.size(); }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();

  std::string out_;
  bool first_ = true;  // nothing stands yet at this level
};

// --- texts that several answers share

// "12.34" for 1234 at scale 2; "0.05" for 5; "7" at scale 0.
std::string to_decimal_point(u128 amount, unsigned scale);
// The reverse: at most `scale` digits behind the point. kInvalid for signs, exponents, spaces, more digits, overflow.
Result<u128> parse_decimal_point(std::string_view text, unsigned scale);
// Nanoseconds since 1970 as RFC 3339 with all nine digits: it reads back as the same number.
std::string to_time_text(uint64_t timestamp_ns);

}  // namespace polis::ledger
