#include <algorithm>
#include <charconv>
#include <chrono>

#include "kernel/auth/policy.h"
#include "kernel/auth/statement.h"

namespace polis::auth {
namespace {

using detail::Comparison;
using detail::Condition;
using detail::Pattern;
using detail::PrincipalPattern;
using detail::Quantifier;
using detail::Statement;

// How well a statement of a resource policy knows the principal. An account that is named has not thereby named each of
// its users: their own policies must allow them, too.
enum class Acquaintance : unsigned char { kNone, kThroughAccount, kNamed };

Acquaintance acquaintance(const PrincipalPattern& pattern, const Principal& principal) {
  switch (pattern.kind) {
    case PrincipalPattern::Kind::kEveryone:
      return Acquaintance::kNamed;
    case PrincipalPattern::Kind::kAccount:
      return !principal.anonymous() && pattern.text == principal.account_id ? Acquaintance::kThroughAccount
                                                                            : Acquaintance::kNone;
    case PrincipalPattern::Kind::kCanonicalUser:
      return !principal.anonymous() && pattern.text == principal.canonical_id ? Acquaintance::kThroughAccount
                                                                              : Acquaintance::kNone;
    case PrincipalPattern::Kind::kArn:
      return !principal.anonymous() && pattern.text == principal.arn ? Acquaintance::kNamed : Acquaintance::kNone;
  }
  return Acquaintance::kNone;
}

Acquaintance acquaintance(const Statement& statement, const Principal& principal) {
  Acquaintance best = Acquaintance::kNone;
  for (const PrincipalPattern& pattern : statement.principals) best = std::max(best, acquaintance(pattern, principal));
  if (!statement.excludes_principals) return best;
  return best == Acquaintance::kNone ? Acquaintance::kNamed : Acquaintance::kNone;
}

bool covers(const Statement& statement, const AccessRequest& request) {
  auto matches = [&](std::string_view text) {
    return [&request, text](const Pattern& pattern) { return pattern.matches(text, request.context); };
  };
  if (std::ranges::any_of(statement.actions, matches(request.action)) == statement.excludes_actions) return false;
  if (std::ranges::any_of(statement.resources, matches(request.resource)) == statement.excludes_resources) return false;
  return std::ranges::all_of(statement.conditions,
                             [&](const Condition& condition) { return condition.holds(request.context); });
}

// The first statement of this effect that covers the request, or null.
const Statement* find_identity(const Policy& policy, Effect effect, const AccessRequest& request) {
  for (const Statement& statement : policy.statements())
    if (statement.effect == effect && covers(statement, request)) return &statement;
  return nullptr;
}

const Statement* find_resource(const Policy& policy, Effect effect, Acquaintance least, const AccessRequest& request) {
  for (const Statement& statement : policy.statements())
    if (statement.effect == effect && acquaintance(statement, *request.principal) >= least &&
        covers(statement, request))
      return &statement;
  return nullptr;
}

constexpr std::string_view kResourcePolicy = "resource policy";

bool within_scopes(const Principal& principal, std::string_view action) {
  if (principal.scopes.empty()) return true;
  std::string lowered = detail::lower_case(action);
  return std::ranges::any_of(
      principal.scopes, [&](const std::string& scope) { return matches_wildcard(detail::lower_case(scope), lowered); });
}

void decide(Decision& decision, Decision::Outcome outcome, std::string_view policy, std::string_view statement) {
  decision.outcome = outcome;
  decision.policy = policy;
  decision.statement = statement;
}

bool find_deny(const AccessRequest& request, const Policy* resource_policy, Decision& decision) {
  const Principal& principal = *request.principal;
  if (!within_scopes(principal, request.action)) {
    decide(decision, Decision::Outcome::kDeniedExplicitly, "token scope", {});
    return true;
  }
  if (resource_policy != nullptr) {
    if (auto* deny = find_resource(*resource_policy, Effect::kDeny, Acquaintance::kThroughAccount, request)) {
      decide(decision, Decision::Outcome::kDeniedExplicitly, kResourcePolicy, deny->name);
      return true;
    }
  }
  for (const NamedPolicy& named : principal.policies) {
    if (auto* deny = find_identity(*named.policy, Effect::kDeny, request)) {
      decide(decision, Decision::Outcome::kDeniedExplicitly, named.name, deny->name);
      return true;
    }
  }
  return false;
}

// --- what is public

// Keys whose fixed value ties a grant to somebody: the list of "The meaning of public" in the Amazon S3 User Guide.
constexpr std::string_view kNarrowingKeys[] = {
    "aws:principalorgid",
    "aws:principalarn",
    "aws:principalaccount",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "aws:userid",
    "aws:username",
    "s3:dataaccesspointarn",
    "s3:dataaccesspointaccount",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
};

// Blocks wider than these span a good part of the Internet: /8 is the widest network that one owner ever got, /32 the
// usual IPv6 allocation of a provider.
bool narrow_block(std::string_view block) {
  bool version6 = block.find(':') != std::string_view::npos;
  size_t slash = block.find('/');
  if (slash == std::string_view::npos) return true;
  int bits = 0;
  std::from_chars(block.data() + slash + 1, block.data() + block.size(), bits);
  return bits >= (version6 ? 32 : 8);
}

bool narrows(const Condition& condition) {
  const detail::Operator& op = condition.op();
  if (op.negated || op.if_exists || op.quantifier == Quantifier::kForAllValues)
    return false;  // All three hold for requests without the key.
  if (op.comparison == Comparison::kAddress)
    return condition.key() == "aws:sourceip" && std::ranges::all_of(condition.texts(), narrow_block);
  bool text = op.comparison == Comparison::kStringEquals || op.comparison == Comparison::kStringEqualsIgnoreCase ||
              op.comparison == Comparison::kStringLike || op.comparison == Comparison::kArn;
  return text && condition.values_fixed() &&
         std::ranges::find(kNarrowingKeys, condition.key()) != std::end(kNarrowingKeys);
}

}  // namespace

bool is_public(const Policy& policy) {
  return std::ranges::any_of(policy.statements(), [](const Statement& statement) {
    bool everyone =
        statement.excludes_principals || std::ranges::any_of(statement.principals, [](const PrincipalPattern& pattern) {
          return pattern.kind == PrincipalPattern::Kind::kEveryone;
        });
    return statement.effect == Effect::kAllow && everyone && std::ranges::none_of(statement.conditions, narrows);
  });
}

Decision evaluate(const AccessRequest& request, const Policy* resource_policy) {
  POLIS_ASSERT(request.principal != nullptr);
  const Principal& principal = *request.principal;
  Decision decision;
  if (find_deny(request, resource_policy, decision)) return decision;

  bool same_account =
      !principal.anonymous() && (request.resource_account.empty() || request.resource_account == principal.account_id);
  std::string_view identity_policy, identity_statement;
  if (principal.administrator || principal.root) {
    decision.identity_allows = true;
    identity_policy = principal.administrator ? "administrator" : "account root";
  }
  for (const NamedPolicy& named : principal.policies) {
    if (decision.identity_allows) break;
    const Statement* allow = find_identity(*named.policy, Effect::kAllow, request);
    if (allow == nullptr) continue;
    decision.identity_allows = true;
    identity_policy = named.name;
    identity_statement = allow->name;
  }

  // A user of the owning account needs to be named; to everyone else it is enough that the account is.
  Acquaintance least = same_account ? Acquaintance::kNamed : Acquaintance::kThroughAccount;
  const Statement* allow =
      resource_policy != nullptr ? find_resource(*resource_policy, Effect::kAllow, least, request) : nullptr;
  decision.resource_allows = allow != nullptr;

  if (decision.identity_allows && (same_account || principal.administrator))
    decide(decision, Decision::Outcome::kAllowed, identity_policy, identity_statement);
  else if (decision.resource_allows && (same_account || principal.anonymous() || decision.identity_allows))
    decide(decision, Decision::Outcome::kAllowed, kResourcePolicy, allow->name);
  return decision;
}

bool context_needed(const Principal& principal, const Policy* resource_policy) {
  if (resource_policy != nullptr && resource_policy->has_conditions()) return true;
  return std::ranges::any_of(principal.policies,
                             [](const NamedPolicy& named) { return named.policy->has_conditions(); });
}

Result<void> authorize(const AccessRequest& request, const Policy* resource_policy) {
  Decision decision = evaluate(request, resource_policy);
  if (decision.allowed()) return {};
  const Principal& principal = *request.principal;
  std::string who = principal.anonymous()   ? "an anonymous caller"
                    : principal.arn.empty() ? principal.user_name
                                            : principal.arn;
  std::string why = decision.outcome == Decision::Outcome::kDeniedExplicitly
                        ? "an explicit deny (" + decision.policy +
                              (decision.statement.empty() ? "" : ", statement " + decision.statement) + ")"
                    : decision.identity_allows
                        ? "the resource belongs to another account, whose policy does not allow it"
                        : "no policy allows it";
  return fail(principal.anonymous() ? Code::kUnauthenticated : Code::kDenied,
              who + " may not " + std::string(request.action) + " on " + std::string(request.resource) + ": " + why);
}

// --- context

void Context::set(std::string_view key, std::string value) {
  std::vector<std::string>& values = values_[detail::lower_case(key)];
  values.clear();
  values.push_back(std::move(value));
}

void Context::add(std::string_view key, std::string value) {
  values_[detail::lower_case(key)].push_back(std::move(value));
}

const std::vector<std::string>& Context::find(std::string_view key) const {
  static const std::vector<std::string> kNone;
  auto found = values_.find(detail::lower_case(key));
  return found == values_.end() ? kNone : found->second;
}

void set_global_keys(Context& context, const Principal& principal, std::string_view source_ip, bool encrypted,
                     WallTime now) {
  if (!principal.anonymous()) {
    context.set("aws:userid", principal.user_id);
    if (!principal.root) context.set("aws:username", principal.user_name);
    context.set("aws:PrincipalArn", principal.arn);
    context.set("aws:PrincipalAccount", principal.account_id);
    context.set("aws:PrincipalType", principal.root ? "Account" : "User");
  } else {
    context.set("aws:PrincipalType", "Anonymous");
    context.set("aws:userid", "anonymous");
  }
  if (!source_ip.empty()) context.set("aws:SourceIp", std::string(source_ip));
  context.set("aws:SecureTransport", encrypted ? "true" : "false");
  int64_t seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  context.set("aws:EpochTime", std::to_string(seconds));
  std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  auto day = std::chrono::floor<std::chrono::days>(time);
  std::chrono::year_month_day date(day);
  std::chrono::hh_mm_ss clock(time - day);
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  context.set("aws:CurrentTime", text);
}

}  // namespace polis::auth
