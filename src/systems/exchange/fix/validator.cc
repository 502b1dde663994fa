#include "systems/exchange/fix/validator.h"

#include <algorithm>
#include <vector>

#include "systems/exchange/fix/dictionary.h"

namespace polis::exchange::fix {

namespace {

constexpr int kGroupDepthMax = 8;

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_decimal(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  bool point = false, digit = false;
  for (const char c : text) {
    if (c == '.' && !point) {
      point = true;
    } else if (c >= '0' && c <= '9') {
      digit = true;
    } else {
      return false;
    }
  }
  return digit;
}

bool is_date(std::string_view text) {
  if (text.size() != 8) return false;
  char whole[17];
  std::copy(text.begin(), text.end(), whole);
  std::copy_n("-00:00:00", 9, whole + 8);
  return read_timestamp({whole, sizeof(whole)}).has_value();
}

bool is_time(std::string_view text) {
  char whole[27] = "20000101-";
  if (text.size() > sizeof(whole) - 9) return false;
  std::copy(text.begin(), text.end(), whole + 9);
  return read_timestamp({whole, text.size() + 9}).has_value();
}

// yyyymm, yyyymmdd or yyyymmwN.
bool is_month(std::string_view text) {
  if (text.size() == 8 && text[6] == 'w') return is_month(text.substr(0, 6)) && text[7] >= '1' && text[7] <= '5';
  if (text.size() == 8) return is_date(text);
  if (text.size() != 6 || !is_digits(text)) return false;
  const auto month = text.substr(4);
  return month >= "01" && month <= "12";
}

bool well_formed(FieldType type, std::string_view value) {
  switch (type) {
    case FieldType::kString:
    case FieldType::kData:
    case FieldType::kWords:
      return true;
    case FieldType::kInt:
      return is_digits(value.starts_with('-') ? value.substr(1) : value) && value.size() <= 19;
    case FieldType::kNumber:
    case FieldType::kCount:
      return is_digits(value) && value.size() <= 18;
    case FieldType::kDecimal:
      return is_decimal(value);
    case FieldType::kChar:
      return value.size() == 1;
    case FieldType::kBool:
      return value == "Y" || value == "N";
    case FieldType::kDate:
      return is_date(value);
    case FieldType::kTimestamp:
      return read_timestamp(value).has_value();
    case FieldType::kTime:
      return is_time(value);
    case FieldType::kMonth:
      return is_month(value);
  }
  return false;
}

bool among_values(const FieldInfo& field, std::string_view value) {
  const auto all = values(field);
  const auto has = [&](std::string_view one) { return std::binary_search(all.begin(), all.end(), one); };
  if (field.type != FieldType::kWords) return has(value);
  while (!value.empty()) {
    const auto word = value.substr(0, value.find(' '));
    if (!has(word)) return false;
    value.remove_prefix(std::min(value.size(), word.size() + 1));
  }
  return true;
}

bool allowed(const FieldInfo& field, std::string_view value) {
  if (field.values_count == 0) return true;
  if (value.size() != 1) return among_values(field, value);
  const auto letter = static_cast<uint8_t>(value[0]);
  return letter < 128 && (field.letters[letter / 64] >> (letter % 64) & 1) != 0;
}

// What is wrong with a field by itself.
std::optional<RejectReason> check_value(const Field& field, const FieldInfo* info) {
  if (field.value.empty()) return RejectReason::kTagWithoutValue;
  if (info == nullptr) return RejectReason::kInvalidTag;
  if (!well_formed(info->type, field.value)) return RejectReason::kFormatIncorrect;
  if (!allowed(*info, field.value)) return RejectReason::kValueIncorrect;
  return std::nullopt;
}

int member_index(const GroupInfo& group, Tag tag) {
  for (int i = 0; i < group.members_count; ++i) {
    if (kGroupMemberTable[group.members_first + i].tag == tag) return i;
  }
  return -1;
}

// Walks the group whose count stands at `at`, to the first field behind it; remembers the first violation.
class GroupWalk {
 public:
  GroupWalk(std::span<const Field> fields, bool check) : fields_(fields), check_(check) {}

  size_t walk(size_t at, uint16_t index, int depth) {
    const auto& group = kGroupTable[index];
    const Tag count_tag = fields_[at].tag;
    const auto count = read_number(fields_[at].value);
    ++at;
    int64_t entries = 0;
    while (at < fields_.size()) {
      const int member = member_index(group, fields_[at].tag);
      if (member < 0) break;
      if (member != 0) fault({RejectReason::kGroupOutOfOrder, count_tag});
      ++entries;
      at = entry(at, group, depth);
    }
    if (!count || *count != entries) fault({RejectReason::kGroupCountIncorrect, count_tag});
    return at;
  }
  std::optional<Violation> violation() const { return violation_; }

 private:
  // One entry, from its first member on.
  size_t entry(size_t at, const GroupInfo& group, int depth) {
    int last = -1;
    uint64_t seen[2] = {};
    while (at < fields_.size()) {
      const Field& field = fields_[at];
      const int member = member_index(group, field.tag);
      if (member < 0 || (member == 0 && last >= 0)) break;
      if (member < 128) seen[member / 64] |= uint64_t{1} << (member % 64);
      if (member <= last) fault({RejectReason::kGroupOutOfOrder, field.tag});
      last = std::max(last, member);
      if (check_) {
        if (const auto wrong = check_value(field, find_field(field.tag))) fault({*wrong, field.tag});
      }
      const int nested = kGroupMemberTable[group.members_first + member].group;
      at = nested >= 0 && depth < kGroupDepthMax ? walk(at, static_cast<uint16_t>(nested), depth + 1) : at + 1;
    }
    for (int i = 0; i < std::min<int>(group.members_count, 128); ++i) {
      const auto& member = kGroupMemberTable[group.members_first + i];
      if (member.required && (seen[i / 64] >> (i % 64) & 1) == 0) {
        fault(i == 0 ? Violation{RejectReason::kGroupOutOfOrder, group.count}
                     : Violation{RejectReason::kRequiredTagMissing, member.tag});
      }
    }
    return at;
  }
  void fault(const Violation& violation) {
    if (!violation_) violation_ = violation;
  }

  std::span<const Field> fields_;
  bool check_;
  std::optional<Violation> violation_;
};

std::optional<Tag> missing(const Section& section, const TagSet& seen) {
  if (seen.contains(section.required)) return std::nullopt;
  for (size_t i = 0; i < section.required_count; ++i) {
    const Tag tag = kRequiredTable[section.required_first + i];
    const FieldInfo* info = find_field(tag);
    if (info == nullptr || !seen.has(place_of(*info))) return tag;
  }
  return std::nullopt;
}

}  // namespace

std::string_view text(RejectReason reason) {
  switch (reason) {
    case RejectReason::kInvalidTag:
      return "Invalid tag number";
    case RejectReason::kRequiredTagMissing:
      return "Required tag missing";
    case RejectReason::kTagNotDefinedForMessage:
      return "Tag not defined for this message type";
    case RejectReason::kTagWithoutValue:
      return "Tag specified without a value";
    case RejectReason::kValueIncorrect:
      return "Value is incorrect (out of range) for this tag";
    case RejectReason::kFormatIncorrect:
      return "Incorrect data format for value";
    case RejectReason::kCompIdProblem:
      return "CompID problem";
    case RejectReason::kSendingTimeProblem:
      return "SendingTime accuracy problem";
    case RejectReason::kInvalidMessageType:
      return "Invalid MsgType";
    case RejectReason::kTagAppearsTwice:
      return "Tag appears more than once";
    case RejectReason::kTagOutOfOrder:
      return "Tag specified out of required order";
    case RejectReason::kGroupOutOfOrder:
      return "Out of order repeating group members";
    case RejectReason::kGroupCountIncorrect:
      return "Incorrect NumInGroup count for repeating group";
  }
  return "";
}

std::optional<Violation> validate(const Message& message) {
  const auto fields = message.fields();
  const MessageInfo* info = find_message(message.type());
  TagSet seen;
  std::optional<Violation> wrong, order;
  const auto fault = [&](RejectReason reason, Tag tag) {
    if (!wrong) wrong = Violation{reason, tag};
  };
  Part part = Part::kHeader;
  for (size_t at = 0; at < fields.size();) {
    const Field& field = fields[at];
    const FieldInfo* known = find_field(field.tag);
    const Part here = known != nullptr ? known->part : Part::kBody;
    if (here < part) {
      if (!order) order = Violation{RejectReason::kTagOutOfOrder, field.tag};
    } else {
      part = here;
    }
    uint16_t place = 0;
    if (known != nullptr) {
      place = place_of(*known);
      if (seen.has(place)) fault(RejectReason::kTagAppearsTwice, field.tag);
      seen.add(place);
      // Raw data stands right behind its length.
      if (known->type == FieldType::kData && fields[at - 1].tag != length_tag(field.tag) && !order)
        order = Violation{RejectReason::kTagOutOfOrder, field.tag};
    }
    if (at > 2) {
      // The first three are looked at by whoever asks for them.
      if (const auto reason = check_value(field, known)) fault(*reason, field.tag);
    } else if (field.value.empty()) {
      fault(RejectReason::kTagWithoutValue, field.tag);
    }
    if (known == nullptr) {
      ++at;
      continue;
    }
    const Section* section = &kHeaderSection;
    if (here == Part::kTrailer) section = &kTrailerSection;
    if (here == Part::kBody) {
      if (info != nullptr && !info->tags.has(place)) fault(RejectReason::kTagNotDefinedForMessage, field.tag);
      section = info != nullptr ? &info->section : nullptr;
    }
    if (known->type == FieldType::kCount && section != nullptr) {
      if (const auto group = group_of(*section, field.tag)) {
        GroupWalk walk(fields, true);
        at = walk.walk(at, *group, 0);
        if (walk.violation()) fault(walk.violation()->reason, walk.violation()->tag.value_or(field.tag));
        continue;
      }
    }
    ++at;
  }
  if (order) return order;
  if (info == nullptr && !message.type().empty()) return Violation{RejectReason::kInvalidMessageType, std::nullopt};
  if (const auto tag = missing(kHeaderSection, seen)) return Violation{RejectReason::kRequiredTagMissing, *tag};
  if (info != nullptr) {
    if (const auto tag = missing(info->section, seen)) return Violation{RejectReason::kRequiredTagMissing, *tag};
  }
  return wrong;
}

std::optional<Violation> Validator::operator()(const Message& message) {
  const auto fields = message.fields();
  const auto shape =
      std::find_if(shapes_.begin(), shapes_.end(), [&](const Shape& one) { return one.type == message.type(); });
  if (shape != shapes_.end() &&
      std::equal(fields.begin(), fields.end(), shape->fields.begin(), shape->fields.end(),
                 [](const Field& field, const FieldInfo* known) { return field.tag == known->tag; })) {
    // As in validate(), of the first three only whether they are there.
    for (size_t at = 0; at < 3; ++at)
      if (fields[at].value.empty()) return Violation{RejectReason::kTagWithoutValue, fields[at].tag};
    for (size_t at = 3; at < fields.size(); ++at)
      if (const auto reason = check_value(fields[at], shape->fields[at])) return Violation{*reason, fields[at].tag};
    return std::nullopt;
  }
  if (auto violation = validate(message)) return violation;
  if (fields.size() > kFieldsMax || (shape == shapes_.end() && shapes_.size() == kTypesMax)) return std::nullopt;
  Shape seen{std::string(message.type()), {}};
  for (const Field& field : fields) {
    const FieldInfo* known = find_field(field.tag);
    if (known->type == FieldType::kCount || known->type == FieldType::kData) return std::nullopt;
    seen.fields.push_back(known);
  }
  if (shape == shapes_.end()) {
    shapes_.push_back(std::move(seen));
  } else {
    *shape = std::move(seen);
  }
  return std::nullopt;
}

void append_sorted_body(const Message& message, FieldWriter& to) {
  const auto fields = message.fields();
  const MessageInfo* info = find_message(message.type());
  struct Run {
    Tag tag;
    size_t first, end;
  };
  std::vector<Run> runs;
  for (size_t at = 0; at < fields.size();) {
    const FieldInfo* known = find_field(fields[at].tag);
    size_t end = at + 1;
    const Part part = known != nullptr ? known->part : Part::kBody;
    if (known != nullptr && known->type == FieldType::kCount) {
      const Section* section = part == Part::kHeader ? &kHeaderSection : info != nullptr ? &info->section : nullptr;
      const auto group = section != nullptr ? group_of(*section, fields[at].tag) : std::nullopt;
      if (group) end = GroupWalk(fields, false).walk(at, *group, 0);
    }
    // Raw data stays behind its length.
    if (end < fields.size() && length_tag(fields[end].tag) == fields[at].tag) ++end;
    if (part == Part::kBody) runs.push_back({fields[at].tag, at, end});
    at = end;
  }
  std::sort(runs.begin(), runs.end(),
            [](const Run& a, const Run& b) { return a.tag != b.tag ? a.tag < b.tag : a.first < b.first; });
  for (const auto& run : runs) {
    for (size_t i = run.first; i < run.end; ++i) to.text(fields[i].tag, fields[i].value);
  }
}

}  // namespace polis::exchange::fix
