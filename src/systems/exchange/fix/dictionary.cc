#include "systems/exchange/fix/dictionary.h"

#include <algorithm>

namespace polis::exchange::fix {

namespace {

const MessageInfo* search_message(std::string_view type) {
  const auto* end = kMessageTable + kMessageCount;
  const auto* found =
      std::lower_bound(kMessageTable, end, type, [](const MessageInfo& m, std::string_view t) { return m.type < t; });
  return found != end && found->type == type ? found : nullptr;
}

// Types of one character, which nearly all messages have.
struct ShortTypes {
  std::array<const MessageInfo*, 128> messages{};
  ShortTypes() {
    for (char c = 1; c < 127; ++c) messages[static_cast<size_t>(c)] = search_message({&c, 1});
  }
};

}  // namespace

const MessageInfo* find_message(std::string_view type) {
  static const ShortTypes kShort;
  if (type.size() == 1 && type[0] > 0) return kShort.messages[static_cast<size_t>(type[0])];
  return search_message(type);
}

std::optional<uint16_t> group_of(const Section& section, Tag count) {
  for (size_t i = 0; i < section.groups_count; ++i) {
    const auto& use = kGroupUseTable[section.groups_first + i];
    if (use.count == count) return use.group;
  }
  return std::nullopt;
}

Tag length_of_data(Tag data) {
  for (size_t i = 0; i < kDataFieldCount; ++i) {
    if (kDataFields[i].data == data) return kDataFields[i].length;
  }
  return 0;
}

std::span<const std::string_view> values(const FieldInfo& field) {
  return {kValueTable + field.values_first, field.values_count};
}

}  // namespace polis::exchange::fix
