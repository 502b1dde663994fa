#include "systems/stream/server/quotas.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "kernel/base/binary.h"
#include "kernel/base/text_encoding.h"

namespace polis::stream {
namespace {

constexpr std::string_view kUser = "user", kClient = "client-id", kAddress = "ip";
constexpr size_t kQuotasMax = 10'000, kEntityNameBytesMax = 256;
constexpr Duration kWaitMax = std::chrono::seconds(30);

struct LimitKind {
  QuotaKind kind;
  std::string_view key;
  bool of_address, whole;
  // What may be used at once after a pause.
  Duration burst;
};
constexpr LimitKind kLimitKinds[] = {
    {QuotaKind::kProducerBytes, "producer_byte_rate", false, true, std::chrono::seconds(1)},
    {QuotaKind::kConsumerBytes, "consumer_byte_rate", false, true, std::chrono::seconds(1)},
    {QuotaKind::kRequestPercentage, "request_percentage", false, false, std::chrono::seconds(1)},
    // Kafka's window: topics are made in bursts.
    {QuotaKind::kControllerMutations, "controller_mutation_rate", false, false, std::chrono::seconds(10)},
    {QuotaKind::kConnections, "connection_creation_rate", true, true, std::chrono::seconds(1)},
};
const LimitKind& kind_of(QuotaKind kind) {
  return kLimitKinds[static_cast<size_t>(kind)];
}

// --- rows: "q", then the entity  →  version u8 = 1, the entity, count, then (key sized, limit u64: the double's bits)
//
//     entity := count varint, then (type sized, named bool, name sized)

constexpr std::string_view kQuotaPrefix = "q";
constexpr uint8_t kQuotaRowVersion = 1;

void write_entity(base::Writer& writer, const QuotaEntity& entity) {
  writer.varint(entity.size());
  for (const auto& [type, name] : entity) {
    writer.sized(type);
    writer.boolean(name.has_value());
    writer.sized(name.value_or(""));
  }
}

std::string quota_row_key(const QuotaEntity& entity) {
  Bytes bytes;
  base::Writer writer(bytes);
  write_entity(writer, entity);
  return std::string(kQuotaPrefix) + std::string(as_text(bytes));
}

std::string quota_row_value(const Quota& quota) {
  Bytes bytes;
  base::Writer writer(bytes);
  writer.u8(kQuotaRowVersion);
  write_entity(writer, quota.entity);
  writer.varint(quota.limits.size());
  for (const auto& [key, limit] : quota.limits) {
    writer.sized(key);
    writer.u64(std::bit_cast<uint64_t>(limit));
  }
  return std::string(as_text(bytes));
}

Result<Quota> read_quota_row(std::string_view value) {
  base::Reader reader(as_bytes(value));
  if (reader.u8() != kQuotaRowVersion) reader.reject("made by a later polis");
  Quota quota;
  for (size_t left = reader.count(3); left > 0 && reader.ok(); --left) {
    std::string type(reader.sized_text());
    const bool named = reader.boolean();
    std::string name(reader.sized_text());
    quota.entity.emplace(std::move(type), named ? std::optional(std::move(name)) : std::nullopt);
  }
  for (size_t left = reader.count(9); left > 0 && reader.ok(); --left) {
    std::string key(reader.sized_text());
    quota.limits.emplace(std::move(key), std::bit_cast<double>(reader.u64()));
  }
  TRY(reader.finish());
  return quota;
}

// --- what may be set

Refusal refuse_quota(std::string message) {
  return {ErrorCode::kInvalidRequest, std::move(message)};
}

Refusal check_entity(const QuotaEntity& entity) {
  if (entity.empty()) return refuse_quota("Invalid empty client quota entity");
  for (const auto& [type, name] : entity) {
    if (type != kUser && type != kClient && type != kAddress)
      return refuse_quota("Unhandled client quota entity type: " + type.substr(0, 64));
    if (name && (name->empty() || name->size() > kEntityNameBytesMax || !base::utf8_valid(*name) ||
                 std::ranges::any_of(*name, [](unsigned char c) { return c < 0x20 || c == 0x7f; })))
      return refuse_quota("Empty or invalid " + type + " not supported");
  }
  if (entity.contains(std::string(kAddress)) && entity.size() > 1)
    return refuse_quota("Invalid quota entity combination, IP entity should not be combined with User or ClientId");
  return {};
}

Refusal check_limit(const QuotaEntity& entity, const std::string& key, const std::optional<double>& limit) {
  const bool of_address = entity.contains(std::string(kAddress));
  const auto* kind = std::ranges::find_if(
      kLimitKinds, [&](const LimitKind& one) { return one.key == key && one.of_address == of_address; });
  if (kind == std::end(kLimitKinds)) return refuse_quota("Invalid configuration key " + key.substr(0, 64));
  if (!limit) return {};
  if (!(*limit > 0)) return refuse_quota("Quota " + key + " must be greater than 0");
  // 2^53: whole numbers are exact up to here.
  if (*limit > 9007199254740992.0) return refuse_quota("Proposed value for " + key + " is too large");
  if (kind->whole && std::abs(std::remainder(*limit, 1.0)) > 1e-6)
    return refuse_quota(key + " cannot be a fractional value.");
  return {};
}

// --- counting

// The moment at which all that was used is paid back (a virtual scheduling clock); any thread.
class Bucket {
 public:
  Duration charge(SteadyTime now, double amount, double limit, Duration burst) {
    const int64_t now_ns = now.time_since_epoch().count();
    const int64_t latest = now_ns + (burst + kWaitMax).count();
    const double cost_ns = std::min(amount / limit * 1e9, static_cast<double>((burst + kWaitMax).count()));
    int64_t was = paid_at_ns_.load(std::memory_order_relaxed), is = 0;
    do {
      is = std::min(std::max(was, now_ns) + static_cast<int64_t>(cost_ns), latest);
    } while (amount > 0 && !paid_at_ns_.compare_exchange_weak(was, is, std::memory_order_relaxed));
    return std::clamp(Duration(is - now_ns) - burst, Duration::zero(), kWaitMax);
  }

 private:
  std::atomic<int64_t> paid_at_ns_{0};
};

using QuotaTable = std::map<QuotaEntity, std::map<std::string, double>>;

// What limits one user and client: the bucket's name and the limit.
struct Limiting {
  std::string bucket;
  double limit = 0;
};
std::optional<Limiting> find_limiting(const QuotaTable& table, const LimitKind& kind, const std::string& user,
                                      const std::string& client, const std::string& address) {
  const auto limit = [&](const QuotaEntity& entity) -> std::optional<double> {
    const auto row = table.find(entity);
    if (row == table.end()) return std::nullopt;
    const auto value = row->second.find(std::string(kind.key));
    return value == row->second.end() ? std::nullopt : std::optional(value->second);
  };
  const auto named = [&](std::string_view a, std::string_view b) { return fmt::format("{}\n{}\n{}", kind.key, a, b); };
  const std::string u(kUser), c(kClient), ip(kAddress);
  if (kind.of_address) {
    for (const std::optional<std::string>& name : {std::optional(address), std::optional<std::string>()})
      if (auto value = limit({{ip, name}})) return Limiting{named("ip", address), *value};
    return std::nullopt;
  }
  for (const std::optional<std::string>& who : {std::optional(user), std::optional<std::string>()}) {
    for (const std::optional<std::string>& what : {std::optional(client), std::optional<std::string>()})
      if (auto value = limit({{u, who}, {c, what}})) return Limiting{named("u" + user, "c" + client), *value};
    if (auto value = limit({{u, who}})) return Limiting{named("u" + user, ""), *value};
  }
  for (const std::optional<std::string>& what : {std::optional(client), std::optional<std::string>()})
    if (auto value = limit({{c, what}})) return Limiting{named("", "c" + client), *value};
  return std::nullopt;
}

class Buckets {
 public:
  std::shared_ptr<Bucket> get(const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (buckets_.size() >= prune_at_) {
      std::erase_if(buckets_, [](const auto& one) { return one.second.expired(); });
      prune_at_ = std::max<size_t>(1024, 2 * buckets_.size());
    }
    std::weak_ptr<Bucket>& place = buckets_[name];
    std::shared_ptr<Bucket> bucket = place.lock();
    if (!bucket) place = bucket = std::make_shared<Bucket>();
    return bucket;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<Bucket>> buckets_;
  size_t prune_at_ = 1024;
};

class StoredQuotas final : public Quotas {
 public:
  explicit StoredQuotas(QuotaParts parts) : parts_(std::move(parts)), views_(parts_.shards.size()) {}

  Task<Result<void>> load() {
    QuotaTable table;
    auto txn = CO_TRY(co_await parts_.store.begin());
    store::KeyRange range = store::prefix_range(kQuotaPrefix);
    for (bool more = true; more;) {
      const store::Scan scan = CO_TRY(co_await txn->scan(parts_.rows, range));
      for (const store::Row& row : scan.rows) {
        Quota quota = CO_TRY(read_quota_row(row.value));
        table.emplace(std::move(quota.entity), std::move(quota.limits));
      }
      more = scan.more;
      if (more) range.begin = scan.rows.back().key + '\0';
    }
    txn.reset();
    co_await show(std::make_shared<const QuotaTable>(std::move(table)));
    co_return Result<void>{};
  }

  Duration charge(const Identity& who, std::string_view client_id, QuotaKind kind, double amount) override {
    View& view = views_.at(io::Shard::current().index());
    if (view.table->empty()) return {};
    const Bound& bound = bounds(view, who, client_id, kind)[static_cast<size_t>(kind)];
    if (!bound.bucket || !(amount >= 0)) return {};
    return bound.bucket->charge(parts_.clock.steady(), amount, bound.limit, kind_of(kind).burst);
  }

  std::vector<Quota> all() const override {
    std::vector<Quota> quotas;
    for (const auto& [entity, limits] : *views_.at(io::Shard::current().index()).table)
      quotas.push_back({entity, limits});
    return quotas;
  }

  Task<Refusal> alter(QuotaEntity entity, std::map<std::string, std::optional<double>> changes,
                      bool validate_only) override {
    if (Refusal refusal = check_entity(entity); !refusal.ok()) co_return refusal;
    for (const auto& [key, limit] : changes)
      if (Refusal refusal = check_limit(entity, key, limit); !refusal.ok()) co_return refusal;
    if (validate_only) co_return Refusal{};
    const auto work = [&]() -> Task<Result<void>> { return alter_here(entity, changes); };
    const auto altered = co_await io::on(*parts_.shards.front(), work);
    if (altered) co_return Refusal{};
    co_return Refusal{
        altered.error().code() == Code::kTooLarge ? ErrorCode::kPolicyViolation : error_code(altered.error()),
        altered.error().message()};
  }

 private:
  struct Bound {
    std::shared_ptr<Bucket> bucket;  // null: no limit
    double limit = 0;
  };
  using Bounds = std::array<Bound, std::size(kLimitKinds)>;
  struct alignas(64) View {
    std::shared_ptr<const QuotaTable> table = std::make_shared<const QuotaTable>();
    std::unordered_map<std::string, Bounds> seen;
    std::string key;  // reused
  };
  static constexpr size_t kSeenMax = 4096;  // a shard; about 400 bytes each

  Bounds& bounds(View& view, const Identity& who, std::string_view client_id, QuotaKind kind) {
    const std::string_view user = std::string_view(who.name).substr(who.name.find(':') + 1);
    view.key.clear();
    if (kind_of(kind).of_address)
      view.key.append("ip\n").append(who.host);
    else
      view.key.append(user).append("\n").append(client_id.substr(0, kEntityNameBytesMax));
    if (const auto found = view.seen.find(view.key); found != view.seen.end()) return found->second;
    if (view.seen.size() >= kSeenMax) view.seen.clear();
    Bounds& made = view.seen[view.key];
    for (const LimitKind& one : kLimitKinds) {
      if (one.of_address != kind_of(kind).of_address) continue;
      const auto found = find_limiting(*view.table, one, std::string(user),
                                       std::string(client_id.substr(0, kEntityNameBytesMax)), who.host);
      if (found) made[static_cast<size_t>(one.kind)] = {buckets_.get(found->bucket), found->limit};
    }
    return made;
  }

  Task<void> show(std::shared_ptr<const QuotaTable> table) {
    for (io::Shard* shard : parts_.shards) {
      const auto swap = [this, shard, &table]() -> Task<Result<void>> {
        View& view = views_.at(shard->index());
        view.table = table;
        view.seen.clear();
        co_return Result<void>{};
      };
      // It waits for nothing, so it cannot be stopped.
      POLIS_ASSERT((co_await io::on(*shard, swap)).has_value());
    }
  }

  Task<Result<void>> alter_here(const QuotaEntity& entity,
                                const std::map<std::string, std::optional<double>>& changes) {
    CO_TRY(co_await one_.acquire());
    const Turn turn(one_);
    QuotaTable next = *views_.at(io::Shard::current().index()).table;
    std::map<std::string, double>& limits = next[entity];
    for (const auto& [key, limit] : changes) {
      if (limit)
        limits.insert_or_assign(key, *limit);
      else
        limits.erase(key);
    }
    const Quota quota{entity, limits};
    if (limits.empty()) next.erase(entity);
    if (next.size() > kQuotasMax) co_return fail(Code::kTooLarge, fmt::format("there may be {} quotas", kQuotasMax));
    const auto write = [&](store::Txn& txn) -> Task<Result<void>> {
      if (quota.limits.empty()) co_return txn.erase(parts_.rows, quota_row_key(entity));
      co_return txn.put(parts_.rows, quota_row_key(entity), quota_row_value(quota));
    };
    CO_TRY(co_await store::transact(parts_.store, write));
    co_await show(std::make_shared<const QuotaTable>(std::move(next)));
    co_return Result<void>{};
  }

  struct Turn {
    explicit Turn(io::Semaphore& semaphore) : semaphore(semaphore) {}
    ~Turn() { semaphore.release(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    io::Semaphore& semaphore;
  };

  const QuotaParts parts_;
  std::vector<View> views_;  // by shard; each touched by its shard alone
  Buckets buckets_;
  io::Semaphore one_{1};  // changes, one at a time, on the first shard
};

}  // namespace

std::string_view name(QuotaKind kind) {
  return kind_of(kind).key;
}

Task<Result<std::unique_ptr<Quotas>>> open_quotas(QuotaParts parts) {
  POLIS_ASSERT(!parts.shards.empty());
  auto quotas = std::make_unique<StoredQuotas>(std::move(parts));
  CO_TRY(co_await quotas->load());
  co_return quotas;
}

}  // namespace polis::stream
