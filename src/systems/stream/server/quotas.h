// Quotas: how many bytes a second a user or client may produce or fetch, and how much of the broker's time his requests
// may take. Who is over is answered at once, told for how long he is throttled, and not read from until then: Kafka's
// KIP-219. Rows of the Store ("q"); who is counted is found by the shard's own table, the counters are shared by all
// shards and atomic.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/io/shard.h"
#include "kernel/io/task.h"
#include "kernel/store/store.h"
#include "systems/stream/server/access.h"

namespace polis::stream {

enum class QuotaKind : uint8_t {
  kProducerBytes,
  kConsumerBytes,
  kRequestPercentage,  // amounts are 100 * seconds of a shard
  kControllerMutations,
  kConnections,  // of an address, a second
};
std::string_view name(QuotaKind kind);  // "producer_byte_rate"

// An entity is named by type ("user", "client-id", "ip") and name; no name: the default of that type. The most special
// one that limits a kind counts: user and client, then user, then client, named before default. Users are named without
// "User:".
using QuotaEntity = std::map<std::string, std::optional<std::string>>;
struct Quota {
  QuotaEntity entity;
  std::map<std::string, double> limits;  // by key: "producer_byte_rate"
};

class Quotas {
 public:
  virtual ~Quotas() = default;
  // Counts and answers how long the client must wait, 0..30 s; an amount of 0 only asks. Any shard; no hop, and a lock
  // only at the first sight of a user and client.
  virtual Duration charge(const Identity& who, std::string_view client_id, QuotaKind kind, double amount) = 0;
  virtual std::vector<Quota> all() const = 0;
  // Sets limits, or takes them away where empty. Durable when it returns.
  virtual Task<Refusal> alter(QuotaEntity entity, std::map<std::string, std::optional<double>> changes,
                              bool validate_only) = 0;
};

struct QuotaParts {
  store::Store& store;
  store::Keyspace rows;
  const Clock& clock;
  std::vector<io::Shard*> shards;  // all that charge, by index; the first makes the changes
};
Task<Result<std::unique_ptr<Quotas>>> open_quotas(QuotaParts parts);

}  // namespace polis::stream
