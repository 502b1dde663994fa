// Gateway: the venue's FIX door. Clients connect, prove which session they are, and say orders; what the venue reports
// goes back to them, and can be had again after any interruption.
//
//     Acceptor ─► Connection (one a client) ─► fix::Session ─► order_entry ─► VenueRuntime::submit
//                     ▲                                                              │
//                     └── execution_report ◄── Gateway (EgressListener, by session) ◄┘
//
// All of it lives on the home shard of the venue's runtime: in a fused venue an order is read, matched and answered in
// one turn of one loop.
//
// Numbers. Every report with a session is one message and takes the next number when it is told; the venue's
// SessionBook counts the same. A message that is no report (Logon, Heartbeat, ...) takes its number here and is
// announced (kSessionNumbers); it leaves when the announcement is as safe as the venue's acknowledgements. So after any
// crash the journal knows every number that a client has seen.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/io/acceptor.h"
#include "kernel/obs/metrics.h"
#include "kernel/store/store.h"
#include "systems/exchange/fix/reflector.h"
#include "systems/exchange/gateway/definitions.h"
#include "systems/exchange/gateway/passwords.h"
#include "systems/exchange/gateway/recent_reports.h"
#include "systems/exchange/gateway/throttle.h"
#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange::gateway {

class Connection;
class Gateway;

struct GatewayParts {
  VenueRuntime& venue;
  store::Store& store;
  const Clock& clock;
  Random& random;
  obs::Registry* metrics = nullptr;
  ReportArchive* archive = nullptr;  // of reports that have left memory; null: those are gap-filled
};

struct GatewayOptions {
  std::string comp_id = "POLIS";  // ours: 56 of what comes, 49 of what goes
  size_t connections_max = 10'000;
  size_t egress_bytes_max = 8 << 20;  // waiting for one client; beyond, it is cut off
};

// How clients of one port are let in.
struct Door {
  std::shared_ptr<io::TlsContext> tls;  // null: in the clear
  // TLS asks for client certificates: the common name is the session's, and no password is needed.
  bool certificates = false;
};

struct SessionView {
  SessionId id = 0;
  std::string name;
  SessionRole role = SessionRole::kOrders;
  bool logged_on = false;
  std::string peer;  // empty: not connected
  uint32_t next_in = 1, next_out = 1;
  size_t waiting_bytes = 0;  // for the client to read
};

struct GatewayStatistics {
  uint64_t accepted = 0;
  size_t connections = 0, logged_on = 0;
  uint64_t messages_in = 0, messages_out = 0, refused = 0, resent = 0;
};

class Gateway final : public EgressListener {
 public:
  // On the runtime's home shard, before anybody submits. `recent` has been told what the runtime recovered. All
  // references outlive the gateway, which is drained before it is destroyed.
  static Task<Result<std::unique_ptr<Gateway>>> open(GatewayParts parts, GatewayOptions options,
                                                     std::unique_ptr<RecentReports> recent);
  ~Gateway() override;

  // Home shard. Binds and answers with the port. Several doors may be opened.
  Task<Result<uint16_t>> listen(io::Endpoint endpoint, Door door);
  // A connection that somebody else has accepted; for tests.
  void serve(std::unique_ptr<io::Stream> stream);
  // Home shard. Says goodbye to everybody and waits for them up to `grace`.
  Task<void> drain(Duration grace);

  // --- any shard
  Task<Result<void>> set_password(std::string session, std::string password);
  Task<Result<void>> clear_password(std::string session);
  // Ends the session's connection with a Logout that says why. kNotFound if it has none.
  Task<Result<void>> disconnect(std::string session, std::string why);
  Task<std::vector<SessionView>> sessions();
  GatewayStatistics statistics() const;

  // --- EgressListener, called by the runtime
  void on_report(Sequence sequence, VenueTime time, const Report& report) override;
  void on_batch_end() override;

 private:
  friend class Connection;

  // Fires when a session with cancel on disconnect has stayed away for its grace.
  class AwayTimer;
  // What is known of a session, connected or not. By id.
  struct State {
    uint32_t next_in = 1, next_out = 1;  // of a session that is not connected
    uint32_t announced_in = 1;           // what the venue knows
    uint64_t reset_tag = 0;              // of a reset that is not safe yet: reports before it have old numbers
    Connection* connection = nullptr;
    bool defined = false;
    Throttle throttle;
    uint32_t rate = 0, burst = 0;  // what it is set to
    std::unique_ptr<AwayTimer> away;
    std::unique_ptr<fix::Reflector> reflector;  // of a session for certification
  };
  // A request that could not be handed over at once.
  struct Waiting {
    Request request;
    bool possible_resend = false;
  };
  // Requests of one read, which are gathered before the oldest is handed over, so that the venue can bring near what
  // they will touch: a look that misses the caches costs as much as the rest of an order.
  struct Ahead {
    static constexpr size_t kSize = 16;
    std::array<Waiting, kSize> ring;
    size_t filled = 0, handed = 0;  // counted since the beginning
  };
  struct Metrics {
    obs::Gauge* connections;
    obs::Counter *in, *out, *refused, *resent;
  };

  Gateway(GatewayParts parts, GatewayOptions options, std::unique_ptr<RecentReports> recent);
  Task<Result<void>> recover();
  Task<void> run_connection(std::unique_ptr<io::Stream> stream, size_t door);
  // Keeps definitions fresh.
  Task<void> watch_definitions();
  // Hands over what waits.
  Task<void> hand_over();
  Task<Result<bool>> seen(const Request& request);

  State& state(SessionId id);
  // What a changed definition means for its session.
  void adopt(SessionId id);

  // --- for connections
  // Hands a request to the venue, or keeps it until the venue takes it, in order. An order that finds the venue busy
  // becomes a refusal that says so.
  void submit(const Request& request, bool possible_resend);
  // The same for the messages of a read: a place to fill in, then gathered(), and flush() before anybody waits.
  // submit() flushes first, so the order is that of the calls.
  Waiting& gather();
  void gathered();
  void flush();
  void hand_over_oldest();
  void hand(const Request& request, bool possible_resend);
  uint64_t next_tag() { return ++tag_; }
  // Now, as of the first message of the batch that is being told.
  const fix::Moment& batch_moment();
  // The session may log on: its definition, newer than the copy.
  Task<Result<SessionDefinition>> fresh_definition(SessionId id);
  bool congested() const { return waiting_.size() > kWaitingMax; }
  // A session has logged on; a connection has ended.
  void arrived(Connection& connection);
  void left(Connection& connection);
  void touched(Connection& connection);
  void away(SessionId id);
  void grace_is_over(SessionId id);

  static constexpr size_t kWaitingMax = 4096;

  GatewayParts parts_;
  const GatewayOptions options_;
  io::Shard& home_;
  std::unique_ptr<RecentReports> recent_;
  std::unique_ptr<Passwords> passwords_;
  Definitions definitions_;
  std::deque<State> states_;  // by session id
  std::vector<Connection*> touched_;
  Ahead ahead_;
  std::deque<Waiting> waiting_;
  fix::Moment moment_;
  bool moment_known_ = false;
  bool busy_ = false;  // the head of waiting_ was refused as busy
  bool handing_over_ = false;
  io::Event relieved_;  // waiting_ is empty
  io::Event stale_;     // definitions may have changed
  uint64_t tag_ = 0;
  bool draining_ = false;
  std::vector<Door> doors_;
  std::atomic<size_t> open_{0};
  std::unique_ptr<io::Acceptor> acceptor_;
  std::vector<Connection*> connections_;
  std::optional<Metrics> metrics_;
  std::atomic<uint64_t> messages_in_{0}, messages_out_{0}, refused_{0}, resent_{0}, accepted_{0};
  std::atomic<size_t> logged_on_{0};
  io::TaskGroup tasks_;
};

}  // namespace polis::exchange::gateway
