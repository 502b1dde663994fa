// Quotas: how many bytes a second a user or client may produce or fetch, and how much of the broker's time his requests
// may take. Who is over is answered at once, told for how long he is throttled, and not read from until then: Kafka's
// KIP-219. Rows of the Store ("q"); the counters are a shard's own, each holding its share of a limit by the traffic
// that it saw.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/io/task.h"
#include "systems/stream/server/access.h"

namespace polis::stream {

enum class QuotaKind : uint8_t { kProducerBytes, kConsumerBytes, kRequestPercentage, kControllerMutations };
std::string_view name(QuotaKind kind);  // "producer_byte_rate"

// An entity is named by type ("user", "client-id", "ip") and name; no name: the default of that type.
using QuotaEntity = std::map<std::string, std::optional<std::string>>;
struct Quota {
  QuotaEntity entity;
  std::map<std::string, double> limits;  // by key: "producer_byte_rate"
};

class Quotas {
 public:
  virtual ~Quotas() = default;
  // Counts and answers how long the client must wait, 0..30 s. Any shard; no lock, no hop.
  virtual Duration charge(const Identity& who, std::string_view client_id, QuotaKind kind, double amount) = 0;
  virtual std::vector<Quota> all() const = 0;
  // Sets limits, or takes them away where empty. Durable when it returns.
  virtual Task<Refusal> alter(QuotaEntity entity, std::map<std::string, std::optional<double>> changes,
                              bool validate_only) = 0;
};

}  // namespace polis::stream
