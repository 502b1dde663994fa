// One statement of a policy, compiled. Immutable; inside Policy.
#pragma once

#include <string>
#include <vector>

#include "kernel/auth/condition.h"
#include "kernel/auth/pattern.h"
#include "kernel/auth/policy.h"

namespace polis::auth::detail {

// An entry of a Principal element.
struct PrincipalPattern {
  enum class Kind : unsigned char {
    kEveryone,      // "*"
    kAccount,       // "123456789012" or arn:...:123456789012:root: the account, which decides which of its users
    kArn,           // one user
    kCanonicalUser  // an account by its canonical id
  };
  Kind kind = Kind::kEveryone;
  std::string text;  // the account id, the ARN or the canonical id
};

struct Statement {
  std::string name;  // the Sid, or "#2"
  Effect effect = Effect::kDeny;
  bool excludes_principals = false;  // NotPrincipal
  std::vector<PrincipalPattern> principals;
  bool excludes_actions = false;  // NotAction
  std::vector<Pattern> actions;
  bool excludes_resources = false;  // NotResource
  std::vector<Pattern> resources;
  std::vector<Condition> conditions;  // all must hold
};

}  // namespace polis::auth::detail
