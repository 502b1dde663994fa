// The words of JSON, of the command line and of files for what the venue counts in enums; and back.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

std::string_view word(Side side);            // buy, sell
std::string_view word(OrderType type);       // market, limit, stop, stop_limit, market_to_limit
std::string_view word(TimeInForce in);       // day, gtc, opening, ioc, fok, gtd, closing
std::string_view word(SelfMatch self);       // cancel_newest, cancel_oldest, cancel_both, decrement
std::string_view word(Phase phase);          // closed, pre_open, continuous, closing_call, halted
std::string_view word(CancelReason reason);  // asked, immediate, collar, minimum, self_match, expired, replaced, ...
std::string_view word(Calendar calendar);    // 24x7, us-equity
std::string_view word(SessionRole role);     // order, dropcopy, marketdata, reflect
std::string_view word(ReportKind kind);      // new, trade, cancelled, replaced, ...
std::string_view word(OrderStatus status);   // none, new, partially_filled, filled, cancelled, expired, rejected

// kInvalid says what `what` may be: "phase must be one of closed, pre_open, ...".
template <class Enum>
Result<Enum> parse_word(std::string_view what, std::string_view text);

extern template Result<Side> parse_word(std::string_view, std::string_view);
extern template Result<OrderType> parse_word(std::string_view, std::string_view);
extern template Result<TimeInForce> parse_word(std::string_view, std::string_view);
extern template Result<SelfMatch> parse_word(std::string_view, std::string_view);
extern template Result<Phase> parse_word(std::string_view, std::string_view);
extern template Result<Calendar> parse_word(std::string_view, std::string_view);
extern template Result<SessionRole> parse_word(std::string_view, std::string_view);

}  // namespace polis::exchange
