// Access: who may do what. A client proves who he is by SASL or a certificate (sasl.h); on the plain door he is
// User:ANONYMOUS. Asked in this order; the first that knows an answer gives it:
//
//     1. a policy of kernel/auth denies it, or his token's scopes do not reach so far: no
//     2. he administers polis: yes
//     3. a Deny rule of the access list names it for him: no
//     4. an Allow rule does (literal, prefixed, "*"; Read, Write, Delete and Alter include Describe, AlterConfigs
//        includes DescribeConfigs): yes
//     5. a policy allows it (action "stream:Write", resource "arn:polis:stream:::topic/NAME"; with the same
//        inclusions), and he is of the main account, which owns the log: yes
//     6. he came by the plain door, and no rule at all concerns the resource: yes
//
// The rules are rows of the Store ("a"); every shard holds the same immutable picture of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/principal.h"
#include "kernel/io/shard.h"
#include "kernel/io/task.h"
#include "kernel/store/store.h"
#include "systems/stream/types.h"

namespace polis::stream {

// Numbers are the protocol's.
enum class ResourceType : int8_t {
  kUnknown,
  kAny,
  kTopic,
  kGroup,
  kCluster,
  kTransactionalId,
  kDelegationToken,
  kUser
};
enum class PatternType : int8_t { kUnknown, kAny, kMatch, kLiteral, kPrefixed };
enum class Operation : int8_t {
  kUnknown,
  kAny,
  kAll,
  kRead,
  kWrite,
  kCreate,
  kDelete,
  kAlter,
  kDescribe,
  kClusterAction,
  kDescribeConfigs,
  kAlterConfigs,
  kIdempotentWrite,
  kCreateTokens,
  kDescribeTokens
};
enum class Permission : int8_t { kUnknown, kAny, kDeny, kAllow };

inline constexpr std::string_view kClusterResource = "kafka-cluster";

// Who a connection is. Replaced, never changed, when a client authenticates again.
struct Identity {
  std::string name = "User:ANONYMOUS";
  std::string host;  // address without port
  auth::PrincipalPtr principal = auth::anonymous_principal();
  bool plain_door = false;  // rule 6
  bool encrypted = false;   // came by TLS
};

struct AccessRule {
  ResourceType resource = ResourceType::kUnknown;
  PatternType pattern = PatternType::kLiteral;
  std::string name;       // of the resource; "*": all
  std::string principal;  // "User:alice", "User:*"
  std::string host = "*";
  Operation operation = Operation::kUnknown;
  Permission permission = Permission::kUnknown;
  auto operator<=>(const AccessRule&) const = default;
};

inline constexpr size_t kAccessRulesMax = 20'000;  // about 4 MB
inline constexpr size_t kResourceNameBytesMax = 1024, kPrincipalBytesMax = 512, kHostBytesMax = 64;

// kInvalid for a rule that nobody can mean: unknown or any type, operation or permission, an operation that the type
// does not have, an empty or too long name, a principal without "TYPE:".
Result<void> check_rule(const AccessRule& rule);

// What rules are meant: fields that are kAny, or empty where optional, match everything.
struct AccessFilter {
  ResourceType resource = ResourceType::kAny;
  PatternType pattern = PatternType::kAny;  // kMatch: every rule that concerns a resource of that name
  std::optional<std::string> name, principal, host;
  Operation operation = Operation::kAny;
  Permission permission = Permission::kAny;
};

class Access {
 public:
  virtual ~Access() = default;
  // Any shard; no lock, no hop.
  virtual bool allowed(const Identity& who, ResourceType resource, std::string_view name,
                       Operation operation) const = 0;
  // Whether he may do it to at least one resource of that type, by any rule.
  virtual bool allowed_somewhere(const Identity& who, ResourceType resource, Operation operation) const = 0;
  // Bit n for operation n: "authorized operations" of Metadata, DescribeGroups and DescribeCluster.
  int32_t allowed_operations(const Identity& who, ResourceType resource, std::string_view name) const;

  virtual std::vector<AccessRule> rules(const AccessFilter& filter) const = 0;
  // Any shard. Durable, and known to every shard, when it returns. Rules that are there already may be added again.
  // kInvalid (check_rule), kTooLarge beyond kAccessRulesMax.
  virtual Task<Result<void>> add(std::vector<AccessRule> rules) = 0;
  virtual Task<Result<std::vector<AccessRule>>> remove(AccessFilter filter) = 0;
};

struct AccessParts {
  store::Store& store;
  store::Keyspace rows;
  std::vector<io::Shard*> shards;  // all that ask, by index; the first makes the changes
};
Task<Result<std::unique_ptr<Access>>> open_access(AccessParts parts);

// Whether `filter` means `rule`.
bool matches(const AccessFilter& filter, const AccessRule& rule);

}  // namespace polis::stream
