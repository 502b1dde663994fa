// One client: messages in, replies out, one after the other. Lives on the shard that accepted it.
//
//     read a header ─► its checksum, its limits ─► read the body (large ones into a buffer of the pool) ─► its checksum
//       ─► session ─► decode ─► rights ─► Ledger::submit or query, again while it is busy ─► reply, gathered
//
// While a request is under way nothing is read: a client that sends more waits in its own socket.
#pragma once

#include <atomic>
#include <memory>

#include "kernel/io/stream.h"
#include "kernel/obs/metrics.h"
#include "systems/ledger/ledger.h"
#include "systems/ledger/tigerbeetle/buffers.h"
#include "systems/ledger/tigerbeetle/operations.h"
#include "systems/ledger/tigerbeetle/rights.h"
#include "systems/ledger/tigerbeetle/session.h"

namespace polis::ledger::tigerbeetle {

// Who a client certificate names; kUnauthenticated or kDenied refuses him.
using Identify = std::function<Task<Result<auth::PrincipalPtr>>(std::string common_name)>;

struct ServerOptions {
  u128 cluster = 0;
  // Of the whole process, as the ledger keeps the sessions of 4,096 clients. More wait to be accepted.
  size_t connections_max = kSessionsMax;
  // Messages of more than 4 KiB under way at once, of the whole process: 1 MiB each.
  size_t buffers_max = 64;
  // Clients send a ping every 30 s.
  Duration idle_max = std::chrono::minutes(3);
  // From the first byte of a message to its last; and for writing a reply. 35 KB/s.
  Duration message_max = std::chrono::seconds(30);
  // A certificate's rights are looked up again after this: how long a revoked one works on.
  Duration rights_age_max = std::chrono::seconds(5);
  obs::Registry* metrics = nullptr;
};

// What is counted; any thread.
struct Metrics {
  explicit Metrics(obs::Registry& registry);
  obs::Counter* connections;
  obs::Counter* received_bytes;
  obs::Counter* sent_bytes;
  obs::Counter* evictions;
  obs::Counter* broken;  // connections that were closed because of their bytes
  obs::Counter* waits;   // requests that had to wait because the ledger was busy
  std::array<obs::Counter*, kActions> requests;
  obs::BucketHistogram* seconds;  // from the end of a request to the end of its reply
};

// What the connections of one shard share.
struct Shared {
  Ledger& ledger;
  const ServerOptions& options;
  Buffers& buffers;        // of received messages
  io::Semaphore& answers;  // of replies that may be large
  Metrics* metrics = nullptr;
  bool draining = false;
};

class Connection {
 public:
  // `identify` empty: the client may do everything. Else it is asked about `common_name`.
  Connection(Shared& shared, std::unique_ptr<io::Stream> stream, Identify identify, std::string common_name);
  ~Connection();

  // Until the client goes, sends what is no message, or the server drains.
  Task<void> serve();
  // Ends the connection as soon as no request is under way.
  void drain();

 private:
  // Small messages, and the beginning of large ones.
  static constexpr size_t kSmallBytes = 4 * 1024;

  struct Received {
    AnyHeader header;
    BytesView body;
    Buffers::Lease lease;  // holds the body of a large message until it is answered
  };
  // Errors end the connection: kClosed for a regular end, kCorrupt and kInvalid for bad bytes.
  Task<Result<Received>> receive();
  Task<Result<void>> fill(MutableBytes into, size_t& filled, bool idle);
  Task<Result<void>> fill_to(size_t bytes);
  Task<Result<void>> handle(const Received& received);
  Task<Result<void>> handle_ping(const PingClient& ping);
  Task<Result<void>> handle_request(const Request& request, BytesView body);
  Task<Result<void>> enroll(const Request& request);
  Task<Result<void>> book(const Request& request, const WireRequest& wire);
  Task<Result<void>> answer(const Request& request, const WireRequest& wire);
  Task<Result<void>> send_reply(Reply& reply, BytesView body);
  Task<Result<void>> send_eviction(const Frame& asked, u128 client, EvictionReason reason);
  // What the ledger refused of a session: an eviction, silence, or the end of the connection.
  Task<Result<void>> refuse(const Request& request, const Error& error);
  Task<Result<void>> send(std::span<const BytesView> parts);
  // The ledger's answer; asked again while it is busy.
  Task<Result<ledger::Reply>> submit(const Command& command);
  Task<Result<void>> pause(Duration& wait);
  Task<Result<void>> refresh_rights();

  Shared& shared_;
  std::unique_ptr<io::Stream> stream_;
  const Identify identify_;
  const std::string common_name_;
  Rights rights_;
  std::optional<SteadyTime> rights_since_;
  Session session_;
  std::unique_ptr<std::byte[]> small_;
  size_t begin_ = 0, end_ = 0;  // received, not yet consumed
  std::optional<SteadyTime> message_since_;
  io::Scope* idle_scope_ = nullptr;
  std::vector<uint16_t> batches_;  // of the command under way
};

}  // namespace polis::ledger::tigerbeetle
