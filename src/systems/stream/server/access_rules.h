// AccessRules: an immutable picture of the access list, arranged for questions. Pure; any thread.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "systems/stream/server/access.h"

namespace polis::stream {

class AccessRules {
 public:
  AccessRules() = default;
  explicit AccessRules(std::vector<AccessRule> rules);  // any order, repeats allowed

  struct Answer {
    bool denied = false, allowed = false;
    bool concerned = false;  // some rule, of whomever, names the resource
  };
  // O(log n) for the name, "*", and each length that a prefix has.
  Answer ask(std::string_view principal, std::string_view host, ResourceType resource, std::string_view name,
             Operation operation) const;
  // Whether some Allow rule gives him `operation` on a resource that no Deny rule takes away again.
  bool allows_somewhere(std::string_view principal, std::string_view host, ResourceType resource,
                        Operation operation) const;
  // Whether a Deny rule takes all resources of the type from him.
  bool denies_everywhere(std::string_view principal, std::string_view host, ResourceType resource,
                         Operation operation) const;
  // Whether every resource of the type has a rule: there is one for "*".
  bool concerns_all(ResourceType resource) const;

  const std::vector<AccessRule>& all() const { return rules_; }  // sorted

 private:
  using Indexes = std::vector<uint32_t>;  // into rules_
  struct Type {
    std::map<std::string, Indexes, std::less<>> literal, prefixed;
    std::vector<size_t> prefix_sizes;  // ascending
  };
  const Type* type(ResourceType resource) const;
  void visit(const Indexes& indexes, std::string_view principal, std::string_view host, Operation operation,
             Answer& answer) const;

  std::vector<AccessRule> rules_;
  std::array<Type, static_cast<size_t>(ResourceType::kUser) + 1> types_;
};

// Whether a rule for `held` also gives `wanted`. Kafka: Describe comes with Read, Write, Delete and Alter,
// DescribeConfigs with AlterConfigs.
bool includes(Operation held, Operation wanted);

}  // namespace polis::stream
