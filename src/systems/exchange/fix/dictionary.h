// What FIX 4.4 knows: fields, their types and values, messages, what they must and may hold, repeating groups. Tables
// made by generate.py from dictionary.txt, and looked up without a search where it matters. Immutable.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>

#include "systems/exchange/fix/message.h"

namespace polis::exchange::fix {

enum class FieldType : uint8_t {
  kString,
  kInt,
  kNumber,  // digits alone
  kCount,   // of a repeating group
  kDecimal,
  kChar,
  kBool,
  kDate,
  kTimestamp,
  kTime,
  kMonth,
  kData,
  kWords,  // several values, apart by spaces
};

inline constexpr Tag kTagMax = 956;     // of the standard
inline constexpr size_t kPlaces = 959;  // those, and the venue's own behind them
extern const Tag kOwnTags[kPlaces - kTagMax - 1];

struct TagSet {
  std::array<uint64_t, (kPlaces + 63) / 64> words{};
  bool has(uint16_t place) const { return words[place / 64] >> (place % 64) & 1; }
  void add(uint16_t place) { words[place / 64] |= uint64_t{1} << (place % 64); }
  bool contains(const TagSet& other) const {
    uint64_t outside = 0;
    for (size_t i = 0; i < words.size(); ++i) outside |= other.words[i] & ~words[i];
    return outside == 0;
  }
};

enum class Part : uint8_t { kHeader, kBody, kTrailer };

struct FieldInfo {
  Tag tag = 0;
  FieldType type = FieldType::kString;
  bool known = false;
  Part part = Part::kBody;
  uint16_t values_first = 0, values_count = 0;  // in kValueTable, sorted; 0: any
  std::array<uint64_t, 2> letters{};            // those values that are one character
  std::string_view name;
};
struct GroupMember {
  Tag tag;
  bool required;
  int16_t group;  // nested; -1: a plain field
};
struct GroupInfo {
  Tag count;
  uint16_t members_first, members_count;  // the first one begins each entry
};
struct GroupUse {
  Tag count;
  uint16_t group;
};
struct Section {
  uint16_t required_first, required_count;  // in kRequiredTable
  uint16_t groups_first, groups_count;      // in kGroupUseTable
  TagSet required;
};
struct MessageInfo {
  std::string_view type, name;
  TagSet tags;  // of its body, those inside of groups not among them
  Section section;
};
struct DataField {
  Tag data, length;
};

extern const FieldInfo kFieldTable[];
extern const std::string_view kValueTable[];
extern const Tag kRequiredTable[];
extern const GroupUse kGroupUseTable[];
extern const GroupInfo kGroupTable[];
extern const GroupMember kGroupMemberTable[];
extern const Section kHeaderSection, kTrailerSection;
extern const MessageInfo kMessageTable[];  // by type
extern const size_t kMessageCount;
extern const DataField kDataFields[];
extern const size_t kDataFieldCount;

// What is known of a field; null if there is none with this tag.
inline const FieldInfo* find_field(Tag tag) {
  if (tag > 0 && tag <= kTagMax) [[likely]]
    return kFieldTable[tag].known ? &kFieldTable[tag] : nullptr;
  for (size_t i = 0; i < std::size(kOwnTags); ++i) {
    if (kOwnTags[i] == tag) return &kFieldTable[static_cast<size_t>(kTagMax) + 1 + i];
  }
  return nullptr;
}
// Where it stands in the table, and in sets.
inline uint16_t place_of(const FieldInfo& field) {
  return field.tag <= kTagMax ? static_cast<uint16_t>(field.tag) : static_cast<uint16_t>(&field - kFieldTable);
}

// Null: no such type.
const MessageInfo* find_message(std::string_view type);
// Administrative: they belong to the session itself.
constexpr bool is_administrative(std::string_view type) {
  return type.size() == 1 && ((type[0] >= '0' && type[0] <= '5') || type[0] == 'A');
}
// The group that a count field of this section begins; nothing if it begins none.
std::optional<uint16_t> group_of(const Section& section, Tag count);
// The field that says how long raw data is; 0 if `data` is none.
Tag length_of_data(Tag data);
inline Tag length_tag(Tag data) {
  if (data <= 0 || data > kTagMax || kFieldTable[data].type != FieldType::kData) [[likely]]
    return 0;
  return length_of_data(data);
}
std::span<const std::string_view> values(const FieldInfo& field);

}  // namespace polis::exchange::fix
