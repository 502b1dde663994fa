#include "systems/exchange/messages.h"

namespace polis::exchange {

std::string_view refusal_text(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return "";
    case Refusal::kUnknownInstrument:
      return "Unknown symbol";
    case Refusal::kClosed:
      return "Closed for this order";
    case Refusal::kUnknownOrder:
      return "Unknown order";
    case Refusal::kTooLate:
      return "Too late";
    case Refusal::kDuplicateClientId:
      return "Duplicate ClOrdID";
    case Refusal::kBadQuantity:
      return "Incorrect quantity";
    case Refusal::kBadPrice:
      return "Incorrect price";
    case Refusal::kTick:
      return "Price is not a multiple of the tick";
    case Refusal::kLot:
      return "Quantity is not a multiple of the lot";
    case Refusal::kBand:
      return "Price outside the band";
    case Refusal::kUnsupported:
      return "Unsupported order characteristic";
    case Refusal::kNoLiquidity:
      return "No liquidity";
    case Refusal::kWouldMatch:
      return "Post-only order would match";
    case Refusal::kExpired:
      return "Expire time has passed";
    case Refusal::kFull:
      return "Too many open orders in the venue";
    case Refusal::kBadAccount:
      return "Unknown account";
    case Refusal::kBalance:
      return "Balance too small";
    case Refusal::kQuantityLimit:
      return "Order quantity above the limit";
    case Refusal::kNotionalLimit:
      return "Order value above the limit";
    case Refusal::kOpenOrdersLimit:
      return "Too many open orders";
    case Refusal::kPositionLimit:
      return "Position above the limit";
    case Refusal::kRateLimit:
      return "Rate limit";
    case Refusal::kRestricted:
      return "Instrument is restricted for this account";
    case Refusal::kShortSale:
      return "Short sale not allowed";
    case Refusal::kKilled:
      return "Account is stopped by risk control";
    case Refusal::kHalted:
      return "Venue is halted";
    case Refusal::kPending:
      return "A cancel or replace is pending";
    case Refusal::kUnknownSession:
      return "Unknown session";
    case Refusal::kBadDefinition:
      return "Definition makes no sense";
    case Refusal::kUnknownTrade:
      return "Unknown trade";
    case Refusal::kBusy:
      return "Venue is busy, try again";
  }
  return "";
}

}  // namespace polis::exchange
