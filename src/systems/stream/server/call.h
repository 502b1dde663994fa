// Call: one request of one client while it is answered, and the handlers that answer: one free coroutine per api,
// overloaded by its request, in handlers_*.cc. A handler checks rights, calls the broker's parts and returns the
// response; it never sees a socket. dispatch.cc decodes, calls and encodes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/auth/directory.h"
#include "kernel/io/file.h"
#include "kernel/io/stream.h"
#include "systems/stream/broker/broker.h"
#include "systems/stream/protocol/messages.h"
#include "systems/stream/server/access.h"
#include "systems/stream/server/append_turns.h"
#include "systems/stream/server/broker_configs.h"
#include "systems/stream/server/meter.h"
#include "systems/stream/server/quotas.h"
#include "systems/stream/server/sasl.h"

namespace polis::stream {

// What all connections stand on.
struct ServerParts {
  Broker& broker;
  Access& access;
  Quotas& quotas;
  ScramCredentials& scram;
  auth::Directory& auth;
  BrokerConfigs& configs;
  Meter* meter = nullptr;  // counts; null in tests
  // Shared by the connections of all shards and whoever else answers calls.
  std::shared_ptr<AppendTurns> turns = std::make_shared<AppendTurns>();
};

class FetchSession;

// What a connection remembers from one request to the next. On its shard.
struct Session {
  std::shared_ptr<const Identity> identity;
  bool must_authenticate = false;  // SASL doors: nothing but ApiVersions, SaslHandshake, SaslAuthenticate before
  SaslExchange sasl;
  std::string client_software, client_software_version;  // told by ApiVersions
  io::Endpoint local, peer;
  // KIP-227; null without one. Shared only so that its type may stay unknown here.
  std::shared_ptr<FetchSession> fetch_session;
  // Of the fetch that waits for data: stopped when the client has gone or the server ends.
  io::Scope* poll = nullptr;
  bool polls_end = false;  // and later ones do not wait
};

// Bytes of a response that come from elsewhere: Records::external is the index.
struct External {
  std::shared_ptr<io::File> file;  // a range of it, by sendfile
  io::ByteRange range;
  Bytes bytes;  // without a file: these (read.path = copy)
};

struct Call {
  ServerParts& parts;
  Session& session;
  // The caller's, when the request began; a handler holds it across its waits.
  std::shared_ptr<const Identity> identity;
  int16_t version = 0;
  std::string client_id;
  std::vector<External> externals;
  bool no_response = false;  // acks=0
  bool close_after = false;  // once the response is out
  Duration throttle{};       // the connection is not read from for so long; also told to the client
  // Set by a handler once later requests of the connection may begin, though it still waits; null if nobody asks.
  io::Event* ordered = nullptr;

  Broker& broker() const { return parts.broker; }
  bool allowed(ResourceType resource, std::string_view name, Operation operation) const {
    return parts.access.allowed(*identity, resource, name, operation);
  }
};

// Requests are views of the received frame, which outlives the handler.
#define POLIS_STREAM_API(Name) Task<Name##Response> handle(Call& call, const Name##Request& request);
#include "systems/stream/server/apis.inc"
#undef POLIS_STREAM_API

}  // namespace polis::stream
