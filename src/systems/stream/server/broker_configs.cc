#include "systems/stream/server/broker_configs.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <fmt/format.h>
#include <mutex>

#include "kernel/base/binary.h"
#include "systems/stream/broker/broker.h"

namespace polis::stream {
namespace {

// --- rows: "c" scope u8 (0: this broker, 1: every broker), name  →  value

constexpr std::string_view kConfigPrefix = "c";
constexpr std::string_view kSessionLifetime = "connections.max.reauth.ms";
constexpr size_t kValueBytesMax = 4096;

std::string config_row_key(bool every_broker, std::string_view name) {
  return std::string(kConfigPrefix) + static_cast<char>(every_broker ? 1 : 0) + std::string(name);
}

std::vector<BrokerOption> make_broker_options(const BrokerOptions& options) {
  std::vector<BrokerOption> made;
  const auto started = [&](std::string_view name, std::string_view type, std::string value, std::string_view help) {
    made.push_back({name, type, help, std::move(value), false, true});
  };
  const auto fixed = [&](std::string_view name, std::string_view type, std::string value, std::string_view help) {
    made.push_back({name, type, help, std::move(value), false, false});
  };
  const auto settable = [&](std::string_view name, std::string_view type, std::string value, std::string_view help) {
    made.push_back({name, type, help, std::move(value), true, false});
  };
  started("broker.id", "int", std::to_string(options.node_id), "this broker's number");
  started("node.id", "int", std::to_string(options.node_id), "this broker's number");
  started("auto.create.topics.enable", "boolean", options.auto_create_topics ? "true" : "false",
          "whether asking for an unknown topic makes it");
  started("num.partitions", "int", std::to_string(options.default_partitions),
          "partitions of a topic that is made without a number");
  fixed("default.replication.factor", "int", "1", "there is one node");
  fixed("delete.topic.enable", "boolean", "true", "topics can be deleted");
  fixed("min.insync.replicas", "int", "1", "there is one node");
  fixed("offsets.topic.replication.factor", "short", "1", "there is one node");
  fixed("transaction.state.log.replication.factor", "short", "1", "there is one node");
  fixed("transaction.state.log.min.isr", "int", "1", "there is one node");
  fixed("inter.broker.protocol.version", "string", "3.9-IV0", "whose requests are understood");
  fixed("socket.request.max.bytes", "int", "104857600", "the largest request that is read");
  fixed("transaction.max.timeout.ms", "int", "900000", "the longest transaction");
  fixed("sasl.enabled.mechanisms", "list", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "ways to prove who one is");
  fixed("authorizer.class.name", "string", "polis", "rights come from the access list and from the policies of polis");
  // Topics without an option of their own have the broker's: these are the defaults.
  const TopicConfig topic;
  fixed("log.retention.ms", "long", topic.get("retention.ms"), "retention.ms of a topic without it");
  fixed("log.retention.bytes", "long", topic.get("retention.bytes"), "retention.bytes of a topic without it");
  fixed("log.segment.bytes", "int", topic.get("segment.bytes"), "segment.bytes of a topic without it");
  fixed("log.roll.ms", "long", topic.get("segment.ms"), "segment.ms of a topic without it");
  fixed("log.cleanup.policy", "list", topic.get("cleanup.policy"), "cleanup.policy of a topic without it");
  fixed("log.cleaner.delete.retention.ms", "long", topic.get("delete.retention.ms"),
        "delete.retention.ms of a topic without it");
  fixed("log.cleaner.min.cleanable.ratio", "double", topic.get("min.cleanable.dirty.ratio"),
        "min.cleanable.dirty.ratio of a topic without it");
  fixed("log.cleaner.min.compaction.lag.ms", "long", topic.get("min.compaction.lag.ms"),
        "min.compaction.lag.ms of a topic without it");
  fixed("message.max.bytes", "int", topic.get("max.message.bytes"), "max.message.bytes of a topic without it");
  fixed("log.message.timestamp.type", "string", topic.get("message.timestamp.type"),
        "message.timestamp.type of a topic without it");
  fixed("compression.type", "string", topic.get("compression.type"), "compression.type of a topic without it");

  settable(kSessionLifetime, "long", "0", "how long a SASL session lasts until its client proves again who it is");
  settable("sasl.kerberos.min.time.before.relogin", "long", "60000", "changes nothing: Kerberos is not offered");
  settable("background.threads", "int", "10", "changes nothing: work is spread over the shards of polis");
  settable("num.io.threads", "int", "8", "changes nothing: work is spread over the shards of polis");
  settable("num.network.threads", "int", "3", "changes nothing: work is spread over the shards of polis");
  settable("num.replica.fetchers", "int", "1", "changes nothing on one node");
  settable("log.cleaner.threads", "int", "1", "changes nothing: each shard compacts its own partitions");
  settable("leader.replication.throttled.rate", "long", "9223372036854775807", "changes nothing on one node");
  settable("follower.replication.throttled.rate", "long", "9223372036854775807", "changes nothing on one node");
  std::ranges::sort(made, {}, &BrokerOption::name);
  return made;
}

Refusal check_option(const BrokerOption& option, std::string_view value) {
  if (value.size() > kValueBytesMax) return {ErrorCode::kInvalidConfig, fmt::format("{} is too long", option.name)};
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < 0)
    return {ErrorCode::kInvalidConfig, fmt::format("Invalid value {} for configuration {}: Not a number of type {}",
                                                   value, option.name, option.type == "int" ? "INT" : "LONG")};
  return {};
}

class StoredBrokerConfigs final : public BrokerConfigs {
 public:
  explicit StoredBrokerConfigs(BrokerConfigsParts parts)
      : parts_(parts), options_(make_broker_options(parts.options)) {}

  Task<Result<void>> load() {
    auto txn = CO_TRY(co_await parts_.store.begin());
    // As many rows as there are options, at most twice.
    const store::Scan scan =
        CO_TRY(co_await txn->scan(parts_.rows, store::prefix_range(kConfigPrefix), {.limit = 1000}));
    for (const store::Row& row : scan.rows) {
      if (row.key.size() < 2) continue;
      set_[row.key[1] != 0 ? 1 : 0].insert_or_assign(row.key.substr(2), row.value);
    }
    take_effect();
    co_return Result<void>{};
  }

  const std::vector<BrokerOption>& options() const override { return options_; }

  std::map<std::string, std::string> overrides(bool every_broker) const override {
    const std::lock_guard lock(mutex_);
    return set_[every_broker ? 1 : 0];
  }

  Duration session_lifetime() const override { return Duration(lifetime_ns_.load(std::memory_order_relaxed)); }

  Task<Refusal> alter(bool every_broker, std::map<std::string, std::optional<std::string>> changes, bool replace_all,
                      bool validate_only) override {
    std::string fixed;
    for (const auto& [name, value] : changes) {
      const auto option = std::ranges::find(options_, name, &BrokerOption::name);
      if (option == options_.end() || !option->settable) {
        fixed += (fixed.empty() ? "" : ", ") + name.substr(0, 128);
      } else if (value) {
        if (Refusal refusal = check_option(*option, *value); !refusal.ok()) co_return refusal;
      }
    }
    if (!fixed.empty())
      co_return Refusal{ErrorCode::kInvalidRequest, "Cannot update these configs dynamically: Set(" + fixed + ")"};
    if (validate_only) co_return Refusal{};
    const auto work = [&]() -> Task<Result<void>> { return alter_here(every_broker, changes, replace_all); };
    const auto altered = co_await io::on(parts_.home, work);
    if (!altered) co_return Refusal{error_code(altered.error()), altered.error().message()};
    co_return Refusal{};
  }

 private:
  Task<Result<void>> alter_here(bool every_broker, const std::map<std::string, std::optional<std::string>>& changes,
                                bool replace_all) {
    CO_TRY(co_await one_.acquire());
    const Turn turn(one_);
    const auto write = [&](store::Txn& txn) -> Task<Result<void>> {
      if (replace_all)
        for (const auto& [name, value] : overrides(every_broker))
          if (!changes.contains(name)) CO_TRY(txn.erase(parts_.rows, config_row_key(every_broker, name)));
      for (const auto& [name, value] : changes) {
        if (value)
          CO_TRY(txn.put(parts_.rows, config_row_key(every_broker, name), *value));
        else
          CO_TRY(txn.erase(parts_.rows, config_row_key(every_broker, name)));
      }
      co_return Result<void>{};
    };
    CO_TRY(co_await store::transact(parts_.store, write));
    const std::lock_guard lock(mutex_);
    auto& set = set_[every_broker ? 1 : 0];
    if (replace_all) std::erase_if(set, [&](const auto& one) { return !changes.contains(one.first); });
    for (const auto& [name, value] : changes) {
      if (value)
        set.insert_or_assign(name, *value);
      else
        set.erase(name);
    }
    take_effect();
    co_return Result<void>{};
  }

  // This broker's own option goes before that of every broker.
  void take_effect() {
    int64_t lifetime_ms = 0;
    for (const auto& set : {set_[1], set_[0]})
      if (const auto found = set.find(std::string(kSessionLifetime)); found != set.end())
        std::from_chars(found->second.data(), found->second.data() + found->second.size(), lifetime_ms);
    lifetime_ms = std::clamp<int64_t>(lifetime_ms, 0, int64_t{365} * 24 * 3600 * 1000);
    lifetime_ns_.store(Duration(std::chrono::milliseconds(lifetime_ms)).count(), std::memory_order_relaxed);
  }

  struct Turn {
    explicit Turn(io::Semaphore& semaphore) : semaphore(semaphore) {}
    ~Turn() { semaphore.release(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    io::Semaphore& semaphore;
  };

  const BrokerConfigsParts parts_;
  const std::vector<BrokerOption> options_;
  mutable std::mutex mutex_;                   // rare, never held across a wait
  std::map<std::string, std::string> set_[2];  // of this broker, of every broker
  std::atomic<int64_t> lifetime_ns_{0};
  io::Semaphore one_{1};  // changes, one at a time, at home
};

}  // namespace

Task<Result<std::unique_ptr<BrokerConfigs>>> open_broker_configs(BrokerConfigsParts parts) {
  auto configs = std::make_unique<StoredBrokerConfigs>(parts);
  CO_TRY(co_await configs->load());
  co_return configs;
}

}  // namespace polis::stream
