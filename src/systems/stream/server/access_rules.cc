#include "systems/stream/server/access_rules.h"

#include <algorithm>

namespace polis::stream {
namespace {

bool is_about(const AccessRule& rule, std::string_view principal, std::string_view host) {
  return (rule.principal == principal || rule.principal == "User:*") && (rule.host == "*" || rule.host == host);
}

bool denies(const AccessRule& rule, Operation operation) {
  return rule.permission == Permission::kDeny && (rule.operation == operation || rule.operation == Operation::kAll);
}

bool allows(const AccessRule& rule, Operation operation) {
  return rule.permission == Permission::kAllow && includes(rule.operation, operation);
}

constexpr std::string_view kEverything = "*";

}  // namespace

bool includes(Operation held, Operation wanted) {
  if (held == wanted || held == Operation::kAll) return true;
  switch (wanted) {
    case Operation::kDescribe:
      return held == Operation::kRead || held == Operation::kWrite || held == Operation::kDelete ||
             held == Operation::kAlter;
    case Operation::kDescribeConfigs:
      return held == Operation::kAlterConfigs;
    default:
      return false;
  }
}

AccessRules::AccessRules(std::vector<AccessRule> rules) : rules_(std::move(rules)) {
  std::ranges::sort(rules_);
  const auto repeats = std::ranges::unique(rules_);
  rules_.erase(repeats.begin(), repeats.end());
  for (uint32_t i = 0; i < rules_.size(); ++i) {
    const AccessRule& rule = rules_[i];
    Type& type = types_.at(static_cast<size_t>(rule.resource));
    if (rule.pattern == PatternType::kLiteral) {
      type.literal[rule.name].push_back(i);
    } else {
      type.prefixed[rule.name].push_back(i);
      type.prefix_sizes.push_back(rule.name.size());
    }
  }
  for (Type& type : types_) {
    std::ranges::sort(type.prefix_sizes);
    const auto same = std::ranges::unique(type.prefix_sizes);
    type.prefix_sizes.erase(same.begin(), same.end());
  }
}

const AccessRules::Type* AccessRules::type(ResourceType resource) const {
  const auto index = static_cast<size_t>(resource);
  return index < types_.size() ? &types_[index] : nullptr;
}

void AccessRules::visit(const Indexes& indexes, std::string_view principal, std::string_view host, Operation operation,
                        Answer& answer) const {
  answer.concerned = true;
  for (const uint32_t index : indexes) {
    const AccessRule& rule = rules_[index];
    if (!is_about(rule, principal, host)) continue;
    answer.denied |= denies(rule, operation);
    answer.allowed |= allows(rule, operation);
  }
}

AccessRules::Answer AccessRules::ask(std::string_view principal, std::string_view host, ResourceType resource,
                                     std::string_view name, Operation operation) const {
  Answer answer;
  const Type* of = type(resource);
  if (of == nullptr) return answer;
  const auto look = [&](const auto& rules, std::string_view key) {
    if (const auto found = rules.find(key); found != rules.end())
      visit(found->second, principal, host, operation, answer);
  };
  look(of->literal, name);
  if (name != kEverything) look(of->literal, kEverything);
  for (const size_t size : of->prefix_sizes) {
    if (size > name.size()) break;
    look(of->prefixed, name.substr(0, size));
  }
  return answer;
}

bool AccessRules::denies_everywhere(std::string_view principal, std::string_view host, ResourceType resource,
                                    Operation operation) const {
  const Type* of = type(resource);
  if (of == nullptr) return false;
  const auto found = of->literal.find(kEverything);
  return found != of->literal.end() && std::ranges::any_of(found->second, [&](uint32_t index) {
           return is_about(rules_[index], principal, host) && denies(rules_[index], operation);
         });
}

bool AccessRules::allows_somewhere(std::string_view principal, std::string_view host, ResourceType resource,
                                   Operation operation) const {
  if (denies_everywhere(principal, host, resource, operation)) return false;
  return std::ranges::any_of(rules_, [&](const AccessRule& rule) {
    if (rule.resource != resource || !is_about(rule, principal, host) || !allows(rule, operation)) return false;
    // A literal or a prefix is taken away by a Deny of the same name or of a prefix of it; "*" only by a Deny of "*".
    if (rule.pattern == PatternType::kLiteral && rule.name == kEverything) return true;
    return std::ranges::none_of(rules_, [&](const AccessRule& other) {
      if (other.resource != resource || !is_about(other, principal, host) || !denies(other, operation)) return false;
      if (other.pattern == PatternType::kPrefixed) return rule.name.starts_with(other.name);
      return rule.pattern == PatternType::kLiteral && rule.name == other.name;
    });
  });
}

bool AccessRules::concerns_all(ResourceType resource) const {
  const Type* of = type(resource);
  return of != nullptr && of->literal.contains(kEverything);
}

}  // namespace polis::stream
