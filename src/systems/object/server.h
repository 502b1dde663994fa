// The listener of the S3 port and what runs behind it: one Service a shard behind the kernel's HTTP servers.
#pragma once

#include <memory>
#include <vector>

#include "kernel/http/server.h"
#include "systems/object/care.h"
#include "systems/object/lifecycle_worker.h"
#include "systems/object/service.h"

namespace polis::object {

class Server {
 public:
  // On the shard that opened the Blob: it becomes the home of what the Services share. Everything outlives the server.
  Server(io::Runtime& runtime, store::Store& store, store::Keyspace keyspace, blob::Blob& blob,
         auth::Directory& directory, const Clock& clock, Random& random, ServiceOptions options, CareOptions care = {});

  // Binds on every shard and answers with the port.
  Task<Result<uint16_t>> start(io::Endpoint endpoint);
  // The same over TLS, once start() has succeeded.
  Task<Result<uint16_t>> listen_tls(io::Endpoint endpoint, std::shared_ptr<io::TlsContext> tls);
  // Refuses new connections, lets requests finish within `grace`, ends the background work.
  Task<void> stop(Duration grace);

  // The Service of the calling shard.
  Service& service() { return *services_[io::Shard::current().index()]; }
  store::Store& store() { return store_; }
  blob::Blob& blob() { return blob_; }
  const Engine& engine() const { return engine_; }
  // Of all shards.
  Task<ServiceStatistics> statistics();
  Task<std::vector<PutTimes>> recent_puts();
  // The last requests of each shard, oldest first.
  Task<std::vector<AccessLine>> access_tail();
  Task<http::ServerStatistics> http_statistics() { return http_.statistics(); }

 private:
  io::Runtime& runtime_;
  store::Store& store_;
  blob::Blob& blob_;
  const Engine engine_;
  Home home_;
  std::vector<std::unique_ptr<Service>> services_;  // by shard, each used there
  http::ServerSet http_;
  Care care_;
  std::unique_ptr<LifecycleWorker> lifecycle_;
  io::TaskGroup background_;
};

}  // namespace polis::object
