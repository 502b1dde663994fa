// Broker: the parts behind the sockets, as the handlers of the protocol, the in-process API and the faces reach them.
// One of each in a process; usable from any shard (each part hops to where its state lives).
#pragma once

#include <string>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "systems/stream/broker/coordinators.h"
#include "systems/stream/broker/topics.h"

namespace polis::stream {

struct BrokerOptions {
  int32_t node_id = 1;
  std::string cluster_id;          // 22 characters of URL-safe base64, made at the first start
  std::string advertised_host;     // for clients; empty: the address by which they came
  bool auto_create_topics = true;  // by Metadata and Produce of an unknown topic; off for clients of doors that ask who
                                   // they are
  int32_t default_partitions = 1;
  bool fewer_replicas = false;  // a topic that is to have more replicas than there are nodes gets as many as there are
};

struct Broker {
  Topics& topics;
  Groups& groups;
  Transactions& transactions;
  io::Runtime& runtime;
  const Clock& clock;
  Random& random;  // thread-safe, fit for secrets
  const BrokerOptions& options;
};

}  // namespace polis::stream
