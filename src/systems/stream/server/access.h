// Access: who may do what. A client proves who he is by SASL or a certificate (sasl.h); on the plain door he is
// User:ANONYMOUS. Allowed is, in this order:
//
//     1. nothing that a Deny rule of the access list names for him, unless he administers polis
//     2. everything, for who administers polis
//     3. what an Allow rule names (literal, prefixed, "*"; Read, Write, Delete and Alter include Describe, AlterConfigs
//        includes DescribeConfigs)
//     4. what a policy of kernel/auth allows him: action "stream:Write", resource "arn:polis:stream:::topic/NAME"
//     5. on the plain door, whatever has no rule at all
//
// The rules are rows of the Store ("a"); every shard holds an immutable picture of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/principal.h"
#include "kernel/io/task.h"
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
  bool plain_door = false;  // rule 5
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
  // Any shard. Durable when it returns.
  virtual Task<Result<void>> add(std::vector<AccessRule> rules) = 0;
  virtual Task<Result<std::vector<AccessRule>>> remove(AccessFilter filter) = 0;
};

}  // namespace polis::stream
