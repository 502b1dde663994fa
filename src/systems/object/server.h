// The listener of the S3 port and what runs behind it: binds Service to the kernel's HTTP server, on one shard.
#pragma once

#include <memory>

#include "kernel/http/server.h"
#include "systems/object/service.h"

namespace polis::object {

class Server {
 public:
  // Everything must outlive the server.
  Server(store::Store& store, store::Keyspace keyspace, blob::Blob& blob, auth::Directory& directory, const Clock& clock, Random& random,
         ServiceOptions options);

  // On the shard that it will live on, which is the Blob's.
  Result<uint16_t> start(const io::Endpoint& endpoint);
  // Refuses new connections, lets requests finish within `grace`, ends the background work.
  Task<void> stop(Duration grace);

  Service& service() { return service_; }
  http::ServerStatistics http_statistics() const { return http_.statistics(); }

 private:
  Service service_;
  http::Server http_;
  io::TaskGroup background_;
};

}  // namespace polis::object
