// Messages of tests, written with | as separator.
#pragma once

#include <algorithm>
#include <fmt/format.h>
#include <string>
#include <string_view>
#include <vector>

#include "systems/exchange/fix/message.h"

namespace polis::exchange::fix::test {

inline std::string bytes(std::string_view text) {
  std::string result(text);
  std::replace(result.begin(), result.end(), '|', kSeparator);
  return result;
}
inline std::string readable(std::string_view text) {
  std::string result(text);
  std::replace(result.begin(), result.end(), kSeparator, '|');
  return result;
}
// "35=0|34=2|" with everything around it.
inline std::string whole(std::string_view text, std::string_view version = "FIX.4.4") {
  std::string message = bytes(fmt::format("8={}|9={}|{}", version, text.size(), text));
  unsigned sum = 0;
  for (const char c : message) sum += static_cast<uint8_t>(c);
  return message + fmt::format("10={:03}{}", sum % 256, kSeparator);
}
inline std::string timestamp(VenueTime time) {
  char text[21];
  write_timestamp(time, text);
  return {text, sizeof(text)};
}
// A message as "A 34=1 98=0 108=30": without what says nothing new in these tests; of 122 only that it is there.
inline std::string brief(std::string_view frame) {
  Message message;
  if (!message.parse(frame)) return "garbled: " + readable(frame);
  std::string text(message.type());
  for (const auto& field : message.fields()) {
    switch (field.tag) {
      case 8:
      case 9:
      case 10:
      case 35:
      case 49:
      case 52:
      case 56:
        break;
      case 122:
        text += " 122";
        break;
      default:
        text += fmt::format(" {}={}", field.tag, field.value);
    }
  }
  return text;
}
// Takes all whole messages out of bytes.
inline std::vector<std::string> frames_of(std::string_view all) {
  Framer framer;
  std::vector<std::string> frames;
  while (true) {
    const auto found = framer.next();
    if (found == Framer::Found::kFrame) {
      frames.emplace_back(framer.frame());
    } else if (found == Framer::Found::kNeedMore) {
      if (all.empty()) return frames;
      const auto room = framer.room();
      const size_t part = std::min(room.size(), all.size());
      std::copy_n(all.data(), part, room.data());
      framer.filled(part);
      all.remove_prefix(part);
    }
  }
}

}  // namespace polis::exchange::fix::test
