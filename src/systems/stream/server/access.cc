#include "systems/stream/server/access.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/auth/policy.h"
#include "kernel/auth/statement.h"
#include "kernel/base/binary.h"
#include "kernel/base/text_encoding.h"
#include "systems/stream/server/access_rules.h"

namespace polis::stream {
namespace {

// --- rows: "a", then the rule; no value
//
//     type u8, pattern u8, operation u8, permission u8, name sized, principal sized, host sized

constexpr std::string_view kAccessPrefix = "a";

std::string access_row_key(const AccessRule& rule) {
  Bytes bytes;
  base::Writer writer(bytes);
  writer.u8(static_cast<uint8_t>(rule.resource));
  writer.u8(static_cast<uint8_t>(rule.pattern));
  writer.u8(static_cast<uint8_t>(rule.operation));
  writer.u8(static_cast<uint8_t>(rule.permission));
  writer.sized(rule.name);
  writer.sized(rule.principal);
  writer.sized(rule.host);
  return std::string(kAccessPrefix) + std::string(as_text(bytes));
}

Result<AccessRule> read_access_row(std::string_view key) {
  base::Reader reader(as_bytes(key.substr(kAccessPrefix.size())));
  AccessRule rule;
  rule.resource = static_cast<ResourceType>(reader.u8());
  rule.pattern = static_cast<PatternType>(reader.u8());
  rule.operation = static_cast<Operation>(reader.u8());
  rule.permission = static_cast<Permission>(reader.u8());
  rule.name = reader.sized_text();
  rule.principal = reader.sized_text();
  rule.host = reader.sized_text();
  TRY(reader.finish());
  if (auto sound = check_rule(rule); !sound)
    return fail(Error(Code::kCorrupt, "a stored access rule cannot be", std::move(sound).error()));
  return rule;
}

// --- what may be

// The operations that a resource has: Kafka's AclEntry.
uint32_t operations_of(ResourceType resource) {
  constexpr auto bits = [](std::initializer_list<Operation> operations) {
    uint32_t all = 1U << static_cast<unsigned>(Operation::kAll);
    for (const Operation one : operations) all |= 1U << static_cast<unsigned>(one);
    return all;
  };
  using enum Operation;
  switch (resource) {
    case ResourceType::kTopic:
      return bits({kRead, kWrite, kCreate, kDescribe, kDelete, kAlter, kDescribeConfigs, kAlterConfigs});
    case ResourceType::kGroup:
      return bits({kRead, kDescribe, kDelete, kDescribeConfigs, kAlterConfigs});
    case ResourceType::kCluster:
      return bits({kCreate, kClusterAction, kDescribeConfigs, kAlterConfigs, kIdempotentWrite, kAlter, kDescribe});
    case ResourceType::kTransactionalId:
      return bits({kDescribe, kWrite});
    case ResourceType::kDelegationToken:
      return bits({kDescribe});
    case ResourceType::kUser:
      return bits({kCreateTokens, kDescribeTokens});
    default:
      return 0;
  }
}

bool is_printable(std::string_view text) {
  return base::utf8_valid(text) && std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// --- policies of kernel/auth

std::string_view word(Operation operation) {
  constexpr std::string_view kWords[] = {
      "Unknown",         "Any",          "All",           "Read",          "Write",           "Create",
      "Delete",          "Alter",        "Describe",      "ClusterAction", "DescribeConfigs", "AlterConfigs",
      "IdempotentWrite", "CreateTokens", "DescribeTokens"};
  return kWords[static_cast<size_t>(operation)];
}

std::string_view word(ResourceType resource) {
  constexpr std::string_view kWords[] = {"unknown",          "any", "topic", "group", "cluster", "transactional-id",
                                         "delegation-token", "user"};
  return kWords[static_cast<size_t>(resource)];
}

class PolicyQuestion {
 public:
  PolicyQuestion(const Identity& who, ResourceType resource, std::string_view name)
      : who_(who), resource_(fmt::format("arn:polis:stream:::{}/{}", word(resource), name)) {
    if (!auth::context_needed(*who.principal, nullptr)) return;
    auth::set_global_keys(context_.emplace(), *who.principal, who.host, who.encrypted,
                          io::Shard::current().clock().wall());
  }

  auth::Decision ask(Operation operation) const {
    const std::string action = fmt::format("stream:{}", word(operation));
    return auth::evaluate({.principal = who_.principal.get(),
                           .action = action,
                           .resource = resource_,
                           // Topics belong to the main account: others' users need a rule of the list.
                           .resource_account = who_.principal->of_main_account ? "" : "polis",
                           .context = context_ ? &*context_ : nullptr},
                          nullptr);
  }

 private:
  const Identity& who_;
  std::string resource_;
  std::optional<auth::Context> context_;
};

constexpr Operation kEveryOperation[] = {
    Operation::kRead,         Operation::kWrite,           Operation::kCreate,        Operation::kDelete,
    Operation::kAlter,        Operation::kDescribe,        Operation::kClusterAction, Operation::kDescribeConfigs,
    Operation::kAlterConfigs, Operation::kIdempotentWrite, Operation::kCreateTokens,  Operation::kDescribeTokens};

bool unrestricted_administrator(const auth::Principal& principal) {
  return principal.administrator && principal.policies.empty() && principal.scopes.empty();
}

// Whether a policy of his allows the operation on anything of the log; conditions are taken to hold.
bool policies_allow_somewhere(const auth::Principal& principal, ResourceType resource, Operation operation) {
  if (!principal.of_main_account) return false;
  if (principal.root) return true;
  const std::string action = fmt::format("stream:{}", word(operation));
  const std::string kind = fmt::format("arn:polis:stream:::{}/", word(resource));
  const auto names_it = [&](const auth::detail::Statement& statement) {
    return std::ranges::any_of(statement.actions, [&](const auto& pattern) {
             return pattern.matches(action, nullptr);
           }) != statement.excludes_actions;
  };
  for (const auth::NamedPolicy& named : principal.policies)
    for (const auth::detail::Statement& statement : named.policy->statements())
      if (statement.effect == auth::Effect::kAllow && names_it(statement)) return true;
  return false;
}

// --- the list

class StoredAccess final : public Access {
 public:
  explicit StoredAccess(AccessParts parts) : parts_(std::move(parts)), pictures_(parts_.shards.size()) {}

  Task<Result<void>> load() {
    std::vector<AccessRule> rules;
    auto txn = CO_TRY(co_await parts_.store.begin());
    store::KeyRange range = store::prefix_range(kAccessPrefix);
    for (bool more = true; more;) {
      const store::Scan scan = CO_TRY(co_await txn->scan(parts_.rows, range, {.keys_only = true}));
      for (const store::Row& row : scan.rows) rules.push_back(CO_TRY(read_access_row(row.key)));
      more = scan.more;
      if (more) range.begin = scan.rows.back().key + '\0';
    }
    txn.reset();
    co_await show(std::make_shared<const AccessRules>(std::move(rules)));
    co_return Result<void>{};
  }

  bool allowed(const Identity& who, ResourceType resource, std::string_view name, Operation operation) const override {
    const auth::Principal& principal = *who.principal;
    if (unrestricted_administrator(principal)) return true;
    std::optional<PolicyQuestion> policies;
    auth::Decision decision;
    if (!principal.anonymous()) {
      decision = policies.emplace(who, resource, name).ask(operation);
      if (decision.outcome == auth::Decision::Outcome::kDeniedExplicitly) return false;
      if (principal.administrator) return true;
    }
    const AccessRules::Answer answer = picture().ask(who.name, who.host, resource, name, operation);
    if (answer.denied) return false;
    if (answer.allowed || decision.allowed()) return true;
    if (policies && (operation == Operation::kDescribe || operation == Operation::kDescribeConfigs))
      for (const Operation wider : kEveryOperation)
        if (wider != operation && includes(wider, operation) && policies->ask(wider).allowed()) return true;
    return who.plain_door && !answer.concerned;
  }

  bool allowed_somewhere(const Identity& who, ResourceType resource, Operation operation) const override {
    const auth::Principal& principal = *who.principal;
    if (unrestricted_administrator(principal)) return true;
    if (!principal.anonymous() &&
        PolicyQuestion(who, resource, "*").ask(operation).outcome == auth::Decision::Outcome::kDeniedExplicitly)
      return false;
    if (principal.administrator) return true;
    const AccessRules& rules = picture();
    if (rules.denies_everywhere(who.name, who.host, resource, operation)) return false;
    return rules.allows_somewhere(who.name, who.host, resource, operation) ||
           policies_allow_somewhere(principal, resource, operation) ||
           (who.plain_door && !rules.concerns_all(resource));
  }

  std::vector<AccessRule> rules(const AccessFilter& filter) const override {
    std::vector<AccessRule> found;
    for (const AccessRule& rule : picture().all())
      if (matches(filter, rule)) found.push_back(rule);
    return found;
  }

  Task<Result<void>> add(std::vector<AccessRule> rules) override {
    for (const AccessRule& rule : rules) CO_TRY(check_rule(rule));
    const auto work = [this, &rules]() -> Task<Result<void>> { return add_here(rules); };
    co_return co_await io::on(*parts_.shards.front(), work);
  }

  Task<Result<std::vector<AccessRule>>> remove(AccessFilter filter) override {
    const auto work = [this, &filter]() -> Task<Result<std::vector<AccessRule>>> { return remove_here(filter); };
    co_return co_await io::on(*parts_.shards.front(), work);
  }

 private:
  struct alignas(64) Picture {
    std::shared_ptr<const AccessRules> rules = std::make_shared<const AccessRules>();
  };
  struct Turn {
    explicit Turn(io::Semaphore& semaphore) : semaphore(semaphore) {}
    ~Turn() { semaphore.release(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    io::Semaphore& semaphore;
  };

  const AccessRules& picture() const { return *pictures_.at(io::Shard::current().index()).rules; }

  // A shard swaps its own picture, so that nobody who is asking loses the one he looks at.
  Task<void> show(std::shared_ptr<const AccessRules> rules) {
    for (io::Shard* shard : parts_.shards) {
      const auto swap = [this, shard, &rules]() -> Task<Result<void>> {
        pictures_.at(shard->index()).rules = rules;
        co_return Result<void>{};
      };
      // It waits for nothing, so it cannot be stopped.
      POLIS_ASSERT((co_await io::on(*shard, swap)).has_value());
    }
  }

  Task<Result<void>> add_here(const std::vector<AccessRule>& rules) {
    CO_TRY(co_await one_.acquire());
    const Turn turn(one_);
    std::vector<AccessRule> all = picture().all();
    all.insert(all.end(), rules.begin(), rules.end());
    auto next = std::make_shared<const AccessRules>(std::move(all));
    if (next->all().size() > kAccessRulesMax)
      co_return fail(Code::kTooLarge, fmt::format("there may be {} access rules", kAccessRulesMax));
    if (next->all().size() == picture().all().size()) co_return Result<void>{};
    const auto write = [this, &rules](store::Txn& txn) -> Task<Result<void>> {
      for (const AccessRule& rule : rules) CO_TRY(txn.put(parts_.rows, access_row_key(rule), {}));
      co_return Result<void>{};
    };
    CO_TRY(co_await store::transact(parts_.store, write));
    co_await show(std::move(next));
    co_return Result<void>{};
  }

  Task<Result<std::vector<AccessRule>>> remove_here(const AccessFilter& filter) {
    CO_TRY(co_await one_.acquire());
    const Turn turn(one_);
    std::vector<AccessRule> kept, gone;
    for (const AccessRule& rule : picture().all()) (matches(filter, rule) ? gone : kept).push_back(rule);
    if (gone.empty()) co_return gone;
    const auto write = [this, &gone](store::Txn& txn) -> Task<Result<void>> {
      for (const AccessRule& rule : gone) CO_TRY(txn.erase(parts_.rows, access_row_key(rule)));
      co_return Result<void>{};
    };
    CO_TRY(co_await store::transact(parts_.store, write));
    co_await show(std::make_shared<const AccessRules>(std::move(kept)));
    co_return gone;
  }

  const AccessParts parts_;
  std::vector<Picture> pictures_;  // by shard; each touched by its shard alone
  io::Semaphore one_{1};           // changes, one at a time, on the first shard
};

}  // namespace

int32_t Access::allowed_operations(const Identity& who, ResourceType resource, std::string_view name) const {
  const uint32_t possible = operations_of(resource);
  uint32_t found = 0;
  for (const Operation operation : kEveryOperation) {
    const uint32_t bit = 1U << static_cast<unsigned>(operation);
    if ((possible & bit) != 0 && allowed(who, resource, name, operation)) found |= bit;
  }
  return static_cast<int32_t>(found);
}

Result<void> check_rule(const AccessRule& rule) {
  if (rule.permission != Permission::kAllow && rule.permission != Permission::kDeny)
    return fail(Code::kInvalid, "a rule allows or denies");
  if (rule.pattern != PatternType::kLiteral && rule.pattern != PatternType::kPrefixed)
    return fail(Code::kInvalid, "the resource of a rule is named literally or by a prefix");
  const uint32_t possible = operations_of(rule.resource);
  if (possible == 0) return fail(Code::kInvalid, "there is no such type of resource");
  const auto operation = static_cast<uint32_t>(rule.operation);
  if (operation >= 32 || (possible >> operation & 1) == 0)
    return fail(Code::kInvalid, fmt::format("a {} has no such operation", word(rule.resource)));
  if (rule.name.empty()) return fail(Code::kInvalid, "Resource name should not be empty");
  if (rule.name.size() > kResourceNameBytesMax || !is_printable(rule.name))
    return fail(Code::kInvalid, "the name of the resource is too long or not printable");
  if (rule.resource == ResourceType::kCluster && rule.name != kClusterResource)
    return fail(Code::kInvalid, "The only valid name for the CLUSTER resource is kafka-cluster");
  const size_t colon = rule.principal.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == rule.principal.size())
    return fail(Code::kInvalid, "a principal is written TYPE:NAME, as in User:alice");
  if (rule.principal.size() > kPrincipalBytesMax || !is_printable(rule.principal))
    return fail(Code::kInvalid, "the name of the principal is too long or not printable");
  if (rule.host.empty() || rule.host.size() > kHostBytesMax || !is_printable(rule.host))
    return fail(Code::kInvalid, "a host is \"*\" or an address");
  return {};
}

bool matches(const AccessFilter& filter, const AccessRule& rule) {
  if (filter.resource != ResourceType::kAny && filter.resource != rule.resource) return false;
  if (filter.operation != Operation::kAny && filter.operation != rule.operation) return false;
  if (filter.permission != Permission::kAny && filter.permission != rule.permission) return false;
  if (filter.principal && *filter.principal != rule.principal) return false;
  if (filter.host && *filter.host != rule.host) return false;
  if (filter.pattern == PatternType::kMatch && filter.name)
    return rule.pattern == PatternType::kPrefixed ? filter.name->starts_with(rule.name)
                                                  : rule.name == *filter.name || rule.name == "*";
  if (filter.pattern == PatternType::kLiteral || filter.pattern == PatternType::kPrefixed)
    if (filter.pattern != rule.pattern) return false;
  return !filter.name || *filter.name == rule.name;
}

Task<Result<std::unique_ptr<Access>>> open_access(AccessParts parts) {
  POLIS_ASSERT(!parts.shards.empty());
  auto access = std::make_unique<StoredAccess>(std::move(parts));
  CO_TRY(co_await access->load());
  co_return access;
}

}  // namespace polis::stream
