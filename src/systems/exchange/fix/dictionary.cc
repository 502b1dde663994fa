#include "systems/exchange/fix/dictionary.h"

#include <algorithm>

namespace polis::exchange::fix {

std::optional<uint16_t> place_of(Tag tag) {
  if (tag > 0 && tag <= kTagMax) {
    if (!kFieldTable[tag].known) return std::nullopt;
    return static_cast<uint16_t>(tag);
  }
  for (size_t i = 0; i < std::size(kOwnTags); ++i) {
    if (kOwnTags[i] == tag) return static_cast<uint16_t>(kTagMax + 1 + i);
  }
  return std::nullopt;
}

const MessageInfo* find_message(std::string_view type) {
  const auto* end = kMessageTable + kMessageCount;
  const auto* found =
      std::lower_bound(kMessageTable, end, type, [](const MessageInfo& m, std::string_view t) { return m.type < t; });
  return found != end && found->type == type ? found : nullptr;
}

std::optional<uint16_t> group_of(const Section& section, Tag count) {
  for (size_t i = 0; i < section.groups_count; ++i) {
    const auto& use = kGroupUseTable[section.groups_first + i];
    if (use.count == count) return use.group;
  }
  return std::nullopt;
}

Tag length_tag(Tag data) {
  if (data <= 0 || data > kTagMax || !kDataTags.has(static_cast<uint16_t>(data))) return 0;
  for (size_t i = 0; i < kDataFieldCount; ++i) {
    if (kDataFields[i].data == data) return kDataFields[i].length;
  }
  return 0;
}

std::span<const std::string_view> values(const FieldInfo& field) {
  return {kValueTable + field.values_first, field.values_count};
}

}  // namespace polis::exchange::fix
