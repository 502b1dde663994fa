// SessionBook: which FIX number every message of a session had. Outgoing numbers belong to reports, in the order of the
// bus, and to messages that no request caused (Heartbeat, Logon, Reject, ...), which the gateway tells the sequencer
// before it sends them (kSessionNumbers). So the journal alone knows all numbers after a crash, and a message that was
// sent can be made again from its report.
//
// A fold over the bus, part of the venue's state; pure. Reports that get no message (answers to operators) get no
// number.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernel/base/binary.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

// Whether the session's client is told of it in a FIX message.
constexpr bool has_message(const Report& report) {
  return report.session != 0 && report.kind < ReportKind::kDone;
}

struct SessionNumbers {
  uint32_t next_in = 1, next_out = 1;
  uint64_t reports = 0;       // with a message, in the session's whole life: their ordinals are 1 .. reports
  uint64_t reports_base = 0;  // before the last reset
};

class SessionBook {
 public:
  // After each request, and for each report, in the order of the bus.
  void on_request(const Request& request);
  void on_report(Sequence sequence, const Report& report);

  SessionNumbers numbers(SessionId session) const;
  // Which report an outgoing number since the last reset was: its ordinal. Nothing: an administrative message.
  std::optional<uint64_t> ordinal(SessionId session, uint32_t number) const;

  void save(base::Writer& out) const;
  Result<void> load(base::Reader& in);

 private:
  struct Session {
    SessionNumbers numbers;
    // Reports whose number is not known yet, since an administrative message may stand before them: bus sequences.
    std::vector<Sequence> unnumbered;
    // Outgoing numbers of administrative messages: first and last of each run, ascending.
    std::vector<std::pair<uint32_t, uint32_t>> administrative;
  };
  std::vector<Session> sessions_;  // by id
};

}  // namespace polis::exchange
