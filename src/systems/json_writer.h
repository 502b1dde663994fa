// JsonWriter: JSON as it is answered, written front to back into one text. Numbers that JavaScript would round (128-bit
// amounts, ids, nanoseconds) go out as texts of digits. A value; one owner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace polis::systems {

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
  JsonWriter& digits(unsigned __int128 value);

  JsonWriter& member(std::string_view name, std::string_view value) { return key(name).text(value); }
  JsonWriter& member(std::string_view name, const char* value) { return key(name).text(value); }
  JsonWriter& count(std::string_view name, uint64_t value) { return key(name).number(value); }
  JsonWriter& flag(std::string_view name, bool value) { return key(name).boolean(value); }
  JsonWriter& digits(std::string_view name, unsigned __int128 value) { return key(name).digits(value); }

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

}  // namespace polis::systems
