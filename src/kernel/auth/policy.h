// The AWS policy language (Version 2012-10-17 and 2008-10-17): documents, and what they decide about a request. Pure:
// no store, no clock; the time of a request is one of its context keys. Immutable after parsing, readable from any
// shard.
//
// Grammar and semantics follow the "IAM JSON policy elements reference" and "Policy evaluation logic" of the IAM User
// Guide.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/principal.h"
#include "kernel/base/result.h"

namespace polis::auth {

inline constexpr size_t kPolicySizeBytesMax = 20 * 1024;  // Amazon S3's limit for a bucket policy
inline constexpr size_t kPolicyStatementsMax = 256;

// --- the request

// Condition keys of one request ("aws:SourceIp", "s3:prefix", "s3:ExistingObjectTag/team"): names compare without case,
// a key may have several values. A missing key and a key without values are the same.
class Context {
 public:
  void set(std::string_view key, std::string value);
  void add(std::string_view key, std::string value);
  // Empty if the key is missing. Valid until the context changes.
  const std::vector<std::string>& find(std::string_view key) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;  // by lower-case name
};

// Sets what every request has: aws:username, aws:userid, aws:PrincipalArn, aws:PrincipalAccount, aws:PrincipalType,
// aws:SourceIp (an address without port), aws:SecureTransport, aws:CurrentTime, aws:EpochTime.
void set_global_keys(Context& context, const Principal& principal, std::string_view source_ip, bool encrypted,
                     WallTime now);

struct AccessRequest {
  const Principal* principal = nullptr;
  std::string_view action;            // "s3:GetObject"
  std::string_view resource;          // "arn:aws:s3:::bucket/key"; "*" for actions without a resource
  std::string_view resource_account;  // account_id of the resource's owner; empty: the principal's own
  const Context* context = nullptr;   // null: no keys
};

// --- documents

enum class PolicyKind : unsigned char {
  kIdentity,  // attached to a user: no Principal element
  kResource,  // attached to a bucket or the like: Principal or NotPrincipal in every statement
};

enum class Effect : unsigned char { kDeny, kAllow };

namespace detail {
struct Statement;
}

class Policy {
 public:
  // kInvalid says which element of which statement breaks which rule, in words fit for S3's MalformedPolicy; kTooLarge
  // beyond kPolicySizeBytesMax. Unknown elements, operators and repeated JSON keys are refused, never skipped.
  static Result<std::shared_ptr<const Policy>> parse(std::string_view json, PolicyKind kind);
  ~Policy();
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;

  const std::string& id() const { return id_; }
  const std::string& text() const { return text_; }  // as it was given
  PolicyKind kind() const { return kind_; }
  bool has_conditions() const;
  const std::vector<detail::Statement>& statements() const { return statements_; }

  // Whether every Resource and NotResource is `arn` itself or lies below it (`arn`/...): what S3 asks of a bucket
  // policy.
  bool resources_within(std::string_view arn) const;
  // Whether every Action and NotAction names `service` ("s3"), or is "*".
  bool actions_within(std::string_view service) const;

 private:
  Policy();
  std::string id_;
  std::string text_;
  PolicyKind kind_ = PolicyKind::kIdentity;
  std::vector<detail::Statement> statements_;
};
using PolicyPtr = std::shared_ptr<const Policy>;

// Whether a resource policy grants anything to everyone, as S3 defines "public" for GetBucketPolicyStatus and the
// public access block: an Allow for a wildcard principal that no condition on a fixed source (network, account,
// organisation, ...) narrows.
bool is_public(const Policy& policy);

// --- decisions

struct Decision {
  enum class Outcome : unsigned char {
    kAllowed,
    kDeniedExplicitly,  // a Deny statement matched: nothing else can allow it
    kDeniedImplicitly,  // nothing allowed it; an S3 ACL still may
  };
  Outcome outcome = Outcome::kDeniedImplicitly;
  // What decided: the policy's name ("resource policy", "account root", "token scope" for those) and the statement's
  // Sid, or its number ("#2", from 1) without one. Empty for an implicit denial.
  std::string policy;
  std::string statement;
  // An Allow was found on this side; for an implicit denial across accounts it tells which half is missing.
  bool identity_allows = false;
  bool resource_allows = false;

  bool allowed() const { return outcome == Outcome::kAllowed; }
};

// Explicit Deny anywhere, then Allow. Inside one account an Allow on either side is enough; across accounts both sides
// must allow. Roots are allowed in their account, administrators everywhere, unless a Deny matches. A token's scopes
// cap everything.
Decision evaluate(const AccessRequest& request, const Policy* resource_policy);

// Whether evaluate() would look at the context at all: callers on hot paths skip building it otherwise.
bool context_needed(const Principal& principal, const Policy* resource_policy);

// As evaluate(), for whom a yes or an error is enough: kUnauthenticated for the anonymous principal, kDenied otherwise,
// with who, what and why.
Result<void> authorize(const AccessRequest& request, const Policy* resource_policy = nullptr);

// --- parts that others use

// `*` any run, `?` any one character. Bytewise otherwise. O(size of pattern * size of text) at worst.
bool matches_wildcard(std::string_view pattern, std::string_view text);
// Address or CIDR block against an address, IPv4 and IPv6 (an IPv4-mapped address counts as IPv4). False if either is
// malformed.
bool address_in_block(std::string_view block, std::string_view address);

}  // namespace polis::auth
