#include "systems/exchange/words.h"

#include <iterator>

namespace polis::exchange {
namespace {

// In the order of the enumerators; an empty place is none.
template <class Enum>
struct Words;
template <>
struct Words<Side> {
  static constexpr std::string_view kAll[] = {"buy", "sell"};
};
template <>
struct Words<OrderType> {
  static constexpr std::string_view kAll[] = {"market", "limit", "stop", "stop_limit", "market_to_limit"};
};
template <>
struct Words<TimeInForce> {
  static constexpr std::string_view kAll[] = {"day", "gtc", "opening", "ioc", "fok", "gtd", "closing"};
};
template <>
struct Words<SelfMatch> {
  static constexpr std::string_view kAll[] = {"cancel_newest", "cancel_oldest", "cancel_both", "decrement"};
};
template <>
struct Words<Phase> {
  static constexpr std::string_view kAll[] = {"closed", "pre_open", "continuous", "closing_call", "halted"};
};
template <>
struct Words<CancelReason> {
  static constexpr std::string_view kAll[] = {"asked",      "immediate", "collar",   "minimum",
                                              "self_match", "expired",   "replaced", "not_auctioned"};
};
template <>
struct Words<Calendar> {
  static constexpr std::string_view kAll[] = {"24x7", "us-equity"};
};
template <>
struct Words<SessionRole> {
  static constexpr std::string_view kAll[] = {"order", "dropcopy", "marketdata", "reflect"};
};
template <>
struct Words<OrderStatus> {
  static constexpr std::string_view kAll[] = {"none",      "new",     "partially_filled", "filled",
                                              "cancelled", "expired", "rejected"};
};
template <>
struct Words<ReportKind> {
  static constexpr std::string_view kAll[] = {"",         "new",           "trade",          "cancelled", "replaced",
                                              "rejected", "expired",       "triggered",      "restated",  "trade_break",
                                              "status",   "cancel_reject", "mass_cancelled", "refused"};
};

template <class Enum>
std::string_view word_of(Enum value) {
  const auto at = static_cast<size_t>(value);
  return at < std::size(Words<Enum>::kAll) ? Words<Enum>::kAll[at] : std::string_view("unknown");
}

}  // namespace

std::string_view word(Side side) {
  return word_of(side);
}
std::string_view word(OrderType type) {
  return word_of(type);
}
std::string_view word(TimeInForce in) {
  return word_of(in);
}
std::string_view word(SelfMatch self) {
  return word_of(self);
}
std::string_view word(Phase phase) {
  return word_of(phase);
}
std::string_view word(CancelReason reason) {
  return word_of(reason);
}
std::string_view word(Calendar calendar) {
  return word_of(calendar);
}
std::string_view word(SessionRole role) {
  return word_of(role);
}
std::string_view word(OrderStatus status) {
  return word_of(status);
}
std::string_view word(ReportKind kind) {
  switch (kind) {
    case ReportKind::kDone:
      return "done";
    case ReportKind::kDenied:
      return "denied";
    case ReportKind::kDeposited:
      return "deposited";
    case ReportKind::kWithdrawn:
      return "withdrawn";
    case ReportKind::kDayClosed:
      return "day_closed";
    case ReportKind::kHalted:
      return "halted";
    default:
      return word_of(kind);
  }
}

template <class Enum>
Result<Enum> parse_word(std::string_view what, std::string_view text) {
  std::string known;
  for (size_t at = 0; at < std::size(Words<Enum>::kAll); ++at) {
    const std::string_view one = Words<Enum>::kAll[at];
    if (one == text) return static_cast<Enum>(at);
    (known += at == 0 ? "" : ", ") += one;
  }
  return fail(Code::kInvalid, std::string(what) + " must be one of " + known);
}

template Result<Side> parse_word(std::string_view, std::string_view);
template Result<OrderType> parse_word(std::string_view, std::string_view);
template Result<TimeInForce> parse_word(std::string_view, std::string_view);
template Result<SelfMatch> parse_word(std::string_view, std::string_view);
template Result<Phase> parse_word(std::string_view, std::string_view);
template Result<Calendar> parse_word(std::string_view, std::string_view);
template Result<SessionRole> parse_word(std::string_view, std::string_view);

}  // namespace polis::exchange
