// Reflector: the application that certification wants behind a session. Orders (35=D) and security definitions (35=d)
// go back to their sender with a header of ours; any other message is refused as unsupported. Keeps what it sent, for
// resends.
//
// A host of a session hands its calls on to it; `now` is the moment of the call.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>

#include "systems/exchange/fix/session.h"

namespace polis::exchange::fix {

class Reflector {
 public:
  void on_message(Session& session, const Message& message, uint32_t number, const Moment& now);
  void on_resend(Session& session, uint32_t first, uint32_t last, const Moment& now);
  void on_reset();

 private:
  struct Sent {
    uint32_t number = 0;
    VenueTime time = 0;
    bool possible_resend = false;
    std::string type, body;
  };
  void send(Session& session, std::string_view type, std::string body, bool possible_resend, const Moment& now);

  // The newest; older ones are gap-filled.
  std::deque<Sent> sent_;
  // ClOrdIDs since the last reset: PossResend of one that is here was answered already.
  std::unordered_set<std::string> orders_;
};

// BusinessMessageReject (35=j), its body.
void append_business_reject(FieldWriter& body, const Message& message, uint32_t reason, std::string_view text);

}  // namespace polis::exchange::fix
