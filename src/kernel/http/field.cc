#include "kernel/http/field.h"

#include <cstring>

namespace polis::http {
namespace {

constexpr std::string_view kNames[] = {"",
#define X(enumerator, text) text,
                                       POLIS_HTTP_FIELDS(X)
#undef X
};
constexpr size_t kNameCount = std::size(kNames);

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

// 512 slots for about 80 names: most look-ups end at the first slot. A power of two, so that the hash is masked.
constexpr size_t kSlots = 512;

constexpr size_t slot_of(std::string_view name) {
  // Length, first, middle and last byte tell nearly all names apart; | 0x20 folds the case of letters and keeps '-' and
  // digits.
  uint32_t first = static_cast<uint8_t>(name.front()) | 0x20u;
  uint32_t middle = static_cast<uint8_t>(name[name.size() / 2]) | 0x20u;
  uint32_t last = static_cast<uint8_t>(name.back()) | 0x20u;
  uint32_t mixed = static_cast<uint32_t>(name.size()) | first << 8 | middle << 16 | last << 24;
  return (mixed * 0x9E3779B1u) >> 23;
}

// A known name in lower case, and where its letters are: a byte equals it, case ignored, if (byte | fold) does.
struct Folded {
  size_t size_bytes = 0;
  std::array<char, 40> lower{};
  std::array<char, 40> fold{};
};
constexpr std::array<Folded, kNameCount> kFolded = [] {
  std::array<Folded, kNameCount> all{};
  for (size_t i = 0; i < kNameCount; ++i) {
    all[i].size_bytes = kNames[i].size();
    for (size_t j = 0; j < kNames[i].size(); ++j) {
      char c = lower(kNames[i][j]);
      all[i].lower[j] = c;
      all[i].fold[j] = c >= 'a' && c <= 'z' ? 0x20 : 0;
    }
  }
  return all;
}();

template <class Word>
Word load(const char* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

template <class Word>
bool equal_words(const Folded& known, const char* text, size_t at) {
  return (load<Word>(text + at) | load<Word>(known.fold.data() + at)) == load<Word>(known.lower.data() + at);
}

// Eight bytes at a time, the last ones overlapping.
bool equal_folded(const Folded& known, std::string_view name) {
  const size_t size = known.size_bytes;
  if (name.size() != size) return false;
  const char* text = name.data();
  if (size >= 8) {
    for (size_t at = 0; at + 8 < size; at += 8) {
      if (!equal_words<uint64_t>(known, text, at)) return false;
    }
    return equal_words<uint64_t>(known, text, size - 8);
  }
  if (size >= 4) return equal_words<uint32_t>(known, text, 0) && equal_words<uint32_t>(known, text, size - 4);
  for (size_t at = 0; at < size; ++at) {
    if (!equal_words<uint8_t>(known, text, at)) return false;
  }
  return true;
}

consteval std::array<uint8_t, kSlots> make_table() {
  std::array<uint8_t, kSlots> table{};
  for (size_t i = 1; i < kNameCount; ++i) {
    size_t slot = slot_of(kNames[i]);
    while (table[slot] != 0) slot = (slot + 1) % kSlots;
    table[slot] = static_cast<uint8_t>(i);
  }
  return table;
}
constexpr std::array<uint8_t, kSlots> kTable = make_table();
static_assert(kNameCount < 200, "an identifier is one byte and the table stays sparse");

}  // namespace

std::string_view name(Field field) {
  return kNames[static_cast<size_t>(field)];
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

Field field_of(std::string_view name) {
  if (name.empty()) return Field::kOther;
  for (size_t slot = slot_of(name); kTable[slot] != 0; slot = (slot + 1) % kSlots) {
    if (equal_folded(kFolded[kTable[slot]], name)) return static_cast<Field>(kTable[slot]);
  }
  return Field::kOther;
}

FieldLine Fields::operator[](size_t index) const {
  const FieldSpan& at = span(index);
  return {at.id, {base_ + at.name_offset, at.name_size_bytes}, {base_ + at.value_offset, at.value_size_bytes}};
}

std::optional<std::string_view> Fields::get(Field id) const {
  for (size_t i = 0; i < count_; ++i) {
    if (span(i).id == id) return (*this)[i].value;
  }
  return std::nullopt;
}

std::optional<std::string_view> Fields::get(std::string_view name) const {
  if (Field id = field_of(name); id != Field::kOther) return get(id);
  for (size_t i = 0; i < count_; ++i) {
    if (span(i).id == Field::kOther && equal_ignoring_case((*this)[i].name, name)) return (*this)[i].value;
  }
  return std::nullopt;
}

size_t Fields::count(Field id) const {
  size_t found = 0;
  for (size_t i = 0; i < count_; ++i) found += span(i).id == id;
  return found;
}

bool Fields::lists(Field id, std::string_view token) const {
  for (size_t i = 0; i < count_; ++i) {
    if (span(i).id != id) continue;
    std::string_view list = (*this)[i].value, element;
    while (next_list_element(list, element)) {
      if (equal_ignoring_case(element, token)) return true;
    }
  }
  return false;
}

std::string_view trim_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool next_list_element(std::string_view& list, std::string_view& element) {
  while (!list.empty()) {
    size_t end = 0;
    bool quoted = false;
    for (; end < list.size(); ++end) {
      char c = list[end];
      if (quoted) {
        if (c == '\\') ++end;
        if (c == '"') quoted = false;
      } else if (c == '"') {
        quoted = true;
      } else if (c == ',') {
        break;
      }
    }
    if (end > list.size()) end = list.size();
    element = trim_blanks(list.substr(0, end));
    list.remove_prefix(end < list.size() ? end + 1 : end);
    if (!element.empty()) return true;
  }
  return false;
}

}  // namespace polis::http
