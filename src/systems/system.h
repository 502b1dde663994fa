// System: how one backend system registers itself with polis. A system is a folder under src/systems; its system.cc
// makes one object of a class derived from System, and src/app/systems.cc names it. Nothing below src/app knows the
// list.
//
// What a system tells before it starts (name, options, ports, console page, commands, tour) must hold without a data
// directory: the command line uses it too. start() receives everything a system may stand on as a Context; it lives
// until stop() has returned.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/base/result.h"
#include "kernel/io/stream.h"
#include "kernel/io/task.h"

namespace polis::base {
class Config;
class ConfigSchema;
}  // namespace polis::base
namespace polis::io {
class Disk;
class Runtime;
}  // namespace polis::io
namespace polis::obs {
class Registry;
class Tracer;
}  // namespace polis::obs
namespace polis::store {
class Store;
}
namespace polis::blob {
class Blob;
}
namespace polis::http {
class Router;
}
namespace polis::auth {
class Directory;
}

namespace polis::systems {

class Offers;      // offers.h: what systems give each other
class LiveTopics;  // live.h: what the console sees move
class Plans;       // plan.h: destructive work is listed first, then done by its id
class Tour;        // tour.h
struct Command;    // command.h

// One listener that a system opens. Its full name is "<system>.<name>", as in ready.json: {"object.s3": 9000}. It gives
// the option `<system>.<name>_listen` ("address:port", port 0 allowed), which app declares: default "127.0.0.1:<port>".
struct Port {
  std::string name;   // [a-z0-9_]+
  uint16_t port = 0;  // the default
  std::string what;   // "S3 and STS over HTTP"
  // True where every client must prove who it is. A port without authentication starts on loopback only.
  bool authenticated = true;
  // TCP unless said otherwise; only listed, the system opens the socket itself.
  bool udp = false;
};

// Where the state of a system lives; informs the status page and the reader. The system itself uses Runtime
// accordingly.
enum class Placement : unsigned char {
  kOneShard,  // one engine on one shard
  kKeyed,     // a key chooses the shard
  kAny,       // no state of its own in memory: any shard serves
};

enum class HealthState : unsigned char { kHealthy, kDegraded, kFailed };
struct Health {
  HealthState state = HealthState::kHealthy;
  std::string message;  // for a person: what is wrong and what to do; empty while healthy
  WallTime since{};     // of the present state; the epoch when unknown
};

// One console page. The page's code lives in console/src/systems/<id>.
struct ConsolePage {
  std::string id;     // "object"
  std::string title;  // "Object store"
  std::string group;  // "storage", "data", "edge", "compute", "people", "places", "money"
};

// What a system may stand on. All references outlive it.
struct Context {
  const base::Config& config;  // every option of every system, already checked
  io::Runtime& runtime;        // main work of a connection stays on the shard that accepted it
  io::Disk& disk;              // the machine's, or the volatile one of a crash test
  const Clock& clock;
  Random& random;  // the operating system's: thread-safe, fit for secrets
  store::Store& store;
  blob::Blob& blob;
  auth::Directory& auth;
  obs::Registry& metrics;
  obs::Tracer& tracer;
  // Of the main port; mount "/api/<system>/v1/..." here, before start() returns. Handlers run on every shard, so what
  // they capture must be fit for that. Who asks was proved before they are called; what he may do they ask themselves
  // (api.h).
  http::Router& api;
  LiveTopics& live;
  Plans& plans;
  Offers& offers;
  // Where each port of this system shall listen, by the port's name; checked: without authentication only on loopback.
  // Valid during start().
  std::map<std::string, io::Endpoint> listen;
  std::string data_directory;  // DIR; a system's own files lie in DIR/journal/<system> and DIR/snapshot/<system>
  std::string region;          // "us-east-1" unless configured
};

// Port name (without the system) to the port that was really opened.
using OpenPorts = std::map<std::string, uint16_t>;

class System {
 public:
  virtual ~System() = default;

  virtual std::string_view name() const = 0;     // [a-z]+: the folder, the TOML table, the command
  virtual std::string_view summary() const = 0;  // one line: "S3 object store, erasure-coded 4+2"
  virtual std::vector<Port> ports() const { return {}; }
  virtual Placement placement() const = 0;
  virtual ConsolePage console_page() const = 0;

  // Declares the options of the table [<name>]; ports are declared by app. See kernel/base/config.h.
  virtual void declare_options(base::ConfigSchema& schema) const = 0;
  // `polis <name> <verb>`. They run in the process of the command line and speak to a running polis.
  virtual std::vector<Command> commands() const;

  // Opens listeners and recovers; runs on shard 0 and returns when the system answers on all its ports. The context
  // lives until stop() returns. On failure everything opened so far is closed again and stop() is not called.
  virtual Task<Result<OpenPorts>> start(Context& context) = 0;
  // Names of systems whose offers (offers.h) it uses while it runs: they stop when this one has stopped.
  virtual std::vector<std::string_view> uses() const { return {}; }
  // Refuses new work, finishes what was accepted, closes; within 4 s (requests still running then are cut off). Shard
  // 0.
  virtual Task<void> stop() = 0;
  // Any thread, at any time between start and stop; never waits.
  virtual Health health() const = 0;

  // Drives the system through its own protocol with real bytes, as a client outside. Stops at the first step that
  // fails.
  virtual Task<Result<void>> tour(Tour& tour) const = 0;
};

}  // namespace polis::systems
