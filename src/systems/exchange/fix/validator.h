// Validation of messages against the dictionary: structure, required fields, types, values, repeating groups. Pure; one
// pass over the fields and no allocation.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "systems/exchange/fix/message.h"

namespace polis::exchange::fix {

struct FieldInfo;

// SessionRejectReason (373).
enum class RejectReason : uint8_t {
  kInvalidTag = 0,
  kRequiredTagMissing = 1,
  kTagNotDefinedForMessage = 2,
  kTagWithoutValue = 4,
  kValueIncorrect = 5,
  kFormatIncorrect = 6,
  kCompIdProblem = 9,
  kSendingTimeProblem = 10,
  kInvalidMessageType = 11,
  kTagAppearsTwice = 13,
  kTagOutOfOrder = 14,
  kGroupOutOfOrder = 15,
  kGroupCountIncorrect = 16,
};
// What tag 58 says of it.
std::string_view text(RejectReason reason);

struct Violation {
  RejectReason reason = RejectReason::kInvalidTag;
  std::optional<Tag> tag;  // 371
  friend bool operator==(const Violation&, const Violation&) = default;
};

// The violation to tell of. If there are several: of the order of header, body and trailer first, then the type of the
// message, then what is missing, then the first field that is wrong.
std::optional<Violation> validate(const Message& message);

// validate() for the messages of one peer, whose orders mostly have the fields of the order before in the same places:
// what was found right about places and presence is not looked at again, values are. Answers what validate() answers.
class Validator {
 public:
  std::optional<Violation> operator()(const Message& message);

 private:
  static constexpr size_t kTypesMax = 8, kFieldsMax = 64;
  // The fields of the newest valid message of a type that had neither groups nor raw data.
  struct Shape {
    std::string type;
    std::vector<const FieldInfo*> fields;
  };
  std::vector<Shape> shapes_;
};

// The fields of the body, ascending by tag, groups whole at the place of their count: how this venue writes messages.
// For messages that are valid.
void append_sorted_body(const Message& message, FieldWriter& to);

}  // namespace polis::exchange::fix
