// Who may do what: the decision about one request from the caller's policies, the bucket's policy, its public access
// block, its ownership setting and the ACLs. Pure; the policies are parsed already.
//
//   explicit Deny > Allow of identity or bucket policy (across accounts both) > ACL, unless BucketOwnerEnforced
//
// The public access block caps what bucket policy and ACL may give.
#pragma once

#include <string_view>

#include "kernel/auth/policy.h"
#include "systems/object/types.h"

namespace polis::object {

// The right an ACL can give for an action, and on what.
enum class AclTarget : unsigned char { kNone, kBucket, kObject };
struct AclRight {
  AclTarget target = AclTarget::kNone;
  Permission permission = Permission::kRead;
};
// For the actions that ACLs know; kNone for all others.
AclRight acl_right(std::string_view action);

struct Asked {
  const auth::Principal* principal = nullptr;
  std::string_view action;    // "s3:GetObject"
  std::string_view resource;  // ARN
  const Bucket* bucket = nullptr;
  const auth::Policy* policy = nullptr;    // of the bucket; null: none
  const ObjectVersion* version = nullptr;  // for object ACLs; null if absent
  const auth::Context* context = nullptr;
};
bool allowed(const Asked& asked);

// Whether a grant list gives `permission` to the principal. `ignore_public`: grants to groups do not count.
bool grants(const Acl& acl, const auth::Principal& principal, Permission permission, bool ignore_public);
// Whether an ACL gives anything to everyone or to every authenticated user.
bool is_public(const Acl& acl);

// "private", "public-read", ...; nothing for an unknown name. The owner always gets FULL_CONTROL; `bucket_owner` is
// used by the bucket-owner-* ones.
std::optional<Acl> canned_acl(std::string_view name, const Owner& owner, const Owner& bucket_owner);

inline constexpr std::string_view kAllUsersUri = "http://acs.amazonaws.com/groups/global/AllUsers";
inline constexpr std::string_view kAuthenticatedUsersUri = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
inline constexpr std::string_view kLogDeliveryUri = "http://acs.amazonaws.com/groups/s3/LogDelivery";
std::string_view group_uri(Grant::Kind kind);
std::optional<Grant::Kind> group_of(std::string_view uri);

std::string bucket_arn(std::string_view bucket);
std::string object_arn(std::string_view bucket, std::string_view key);

}  // namespace polis::object
