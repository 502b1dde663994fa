// Options of the broker as the protocol shows them: how it was started (read only), and the few that a client may set
// while it runs: rows of the Store ("c"), for this broker or, under the empty name, for every broker. Every shard reads
// them without a lock.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/io/shard.h"
#include "kernel/io/task.h"
#include "kernel/store/store.h"
#include "systems/stream/types.h"

namespace polis::stream {

// Numbers are the protocol's.
enum class ConfigSource : int8_t { kTopic = 1, kBroker = 2, kEveryBroker = 3, kStarted = 4, kDefault = 5 };

struct BrokerOption {
  std::string_view name, type, help;  // type as ConfigOption's
  std::string initial;                // without it being set
  bool settable = false;
  bool started_with = false;  // `initial` is how polis was started rather than the default
};

class BrokerConfigs {
 public:
  virtual ~BrokerConfigs() = default;
  // Every option, by name.
  virtual const std::vector<BrokerOption>& options() const = 0;
  // What was set; any shard.
  virtual std::map<std::string, std::string> overrides(bool every_broker) const = 0;
  // An empty value takes the override away; `replace_all` also those that are not named. Durable when it returns.
  virtual Task<Refusal> alter(bool every_broker, std::map<std::string, std::optional<std::string>> changes,
                              bool replace_all, bool validate_only) = 0;
  // connections.max.reauth.ms: how long a SASL session lasts, 0: for ever. Any shard, no wait.
  virtual Duration session_lifetime() const = 0;
};

struct BrokerOptions;
struct BrokerConfigsParts {
  store::Store& store;
  store::Keyspace rows;
  const BrokerOptions& options;
  io::Shard& home;  // makes the changes
};
Task<Result<std::unique_ptr<BrokerConfigs>>> open_broker_configs(BrokerConfigsParts parts);

}  // namespace polis::stream
