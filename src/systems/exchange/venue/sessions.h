// SessionBook: which FIX number every message of a session had. Outgoing numbers belong to reports, in the order of the
// bus, and to messages that no request caused (Heartbeat, Logon, Reject, ...), which the gateway tells the sequencer
// before it sends them (kSessionNumbers). So the journal alone knows all numbers after a crash, and a message that was
// sent can be made again from its report.
//
// A fold over the bus, part of the venue's state; pure. Reports that get no message (answers to operators) get no
// number. A number is one more than the reports and administrative messages before it since the last reset; a run of
// administrative messages says its first number itself, and reports that the gateway had not sent yet come behind it. A
// reset divides at its request's place on the bus.
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
  // After each request of a session that exists, and for each report, in the order of the bus.
  void on_request(const Request& request) {
    if (request.kind == RequestKind::kSessionNumbers) return on_numbers(request);
    if (request.session != 0 && request.message_number != 0)
      session(request.session).numbers.next_in = request.message_number + 1;
  }
  void on_report(const Report& report) {
    if (!has_message(report)) return;
    SessionNumbers& numbers = session(report.session).numbers;
    ++numbers.reports;
    ++numbers.next_out;
  }

  // Starts to bring near what both look at.
  void prefetch(SessionId session) const {
    if (session < sessions_.size()) __builtin_prefetch(&sessions_.data()[session], 1);
  }

  SessionNumbers numbers(SessionId session) const;
  // Which report an outgoing number since the last reset was: its ordinal. Nothing: an administrative message, or a
  // number that was not given yet.
  std::optional<uint64_t> ordinal(SessionId session, uint32_t number) const;

  // Pieces for snapshots: sessions from `session` on until the piece holds about `bytes`; returns the next session, 0
  // when all are told.
  SessionId save(SessionId session, size_t bytes, base::Writer& out) const;
  Result<void> load(base::Reader& in, SessionId sessions_max);

 private:
  // Administrative messages that followed each other: first and last number, and how many there are up to the last.
  struct Run {
    uint32_t first = 0, last = 0;
    uint32_t count = 0;
  };
  // Three weeks of a heartbeat between reports each half minute, and a session's book in one piece of a snapshot. Older
  // runs are forgotten by halves, and numbers that old can be told of as administrative only.
  static constexpr size_t kRunsMax = 1 << 16;
  struct alignas(64) Session {
    SessionNumbers numbers;
    uint32_t forgotten = 0;  // numbers up to here
    std::vector<Run> administrative;
  };
  void on_numbers(const Request& request);
  Session& session(SessionId id) {
    if (id >= sessions_.size()) [[unlikely]]
      sessions_.resize(size_t{id} + 1);
    return sessions_.data()[id];
  }
  std::vector<Session> sessions_;  // by id
};

}  // namespace polis::exchange
