#include "systems/object/access.h"

namespace polis::object {
namespace {

bool implies(Permission held, Permission wanted) {
  return held == wanted || held == Permission::kFullControl;
}

}  // namespace

// "Access control list (ACL) overview" of the Amazon S3 User Guide, the table that maps permissions to actions.
AclRight acl_right(std::string_view action) {
  static constexpr std::pair<std::string_view, AclRight> kRights[] = {
      {"s3:ListBucket", {AclTarget::kBucket, Permission::kRead}},
      {"s3:ListBucketVersions", {AclTarget::kBucket, Permission::kRead}},
      {"s3:ListBucketMultipartUploads", {AclTarget::kBucket, Permission::kRead}},
      {"s3:PutObject", {AclTarget::kBucket, Permission::kWrite}},
      {"s3:DeleteObject", {AclTarget::kBucket, Permission::kWrite}},
      {"s3:GetBucketAcl", {AclTarget::kBucket, Permission::kReadAcp}},
      {"s3:PutBucketAcl", {AclTarget::kBucket, Permission::kWriteAcp}},
      {"s3:GetObject", {AclTarget::kObject, Permission::kRead}},
      {"s3:GetObjectVersion", {AclTarget::kObject, Permission::kRead}},
      {"s3:GetObjectAttributes", {AclTarget::kObject, Permission::kRead}},
      {"s3:GetObjectVersionAttributes", {AclTarget::kObject, Permission::kRead}},
      // Tags have no permission of their own in ACLs; reading them goes with the object.
      {"s3:GetObjectTagging", {AclTarget::kObject, Permission::kRead}},
      {"s3:GetObjectVersionTagging", {AclTarget::kObject, Permission::kRead}},
      {"s3:GetObjectAcl", {AclTarget::kObject, Permission::kReadAcp}},
      {"s3:GetObjectVersionAcl", {AclTarget::kObject, Permission::kReadAcp}},
      {"s3:PutObjectAcl", {AclTarget::kObject, Permission::kWriteAcp}},
      {"s3:PutObjectVersionAcl", {AclTarget::kObject, Permission::kWriteAcp}},
  };
  for (const auto& [name, right] : kRights)
    if (name == action) return right;
  return {};
}

bool grants(const Acl& acl, const auth::Principal& principal, Permission permission, bool ignore_public) {
  for (const Grant& grant : acl.grants) {
    if (!implies(grant.permission, permission)) continue;
    switch (grant.kind) {
      case Grant::Kind::kUser:
        if (!principal.anonymous() && principal.canonical_id == grant.canonical_id) return true;
        break;
      case Grant::Kind::kAllUsers:
        if (!ignore_public) return true;
        break;
      case Grant::Kind::kAuthenticatedUsers:
        if (!ignore_public && !principal.anonymous()) return true;
        break;
      case Grant::Kind::kLogDelivery:
        break;
    }
  }
  return false;
}

bool is_public(const Acl& acl) {
  for (const Grant& grant : acl.grants)
    if (grant.kind == Grant::Kind::kAllUsers || grant.kind == Grant::Kind::kAuthenticatedUsers) return true;
  return false;
}

bool allowed(const Asked& asked) {
  const Bucket& bucket = *asked.bucket;
  PublicAccessBlock block = bucket.public_access_block.value_or(PublicAccessBlock{});
  bool same_account = asked.principal->account_id == bucket.owner.account_id;

  // What hangs on an object is its owner's to give, and he may be another than the bucket's: then the bucket's account
  // has no more right to it than others. Deleting stays the bucket owner's.
  AclRight right = acl_right(asked.action);
  bool of_object =
      right.target == AclTarget::kObject && asked.version && bucket.ownership != Ownership::kBucketOwnerEnforced;
  const std::string& owner_account = of_object ? asked.version->owner.account_id : bucket.owner.account_id;
  auth::AccessRequest request{.principal = asked.principal,
                              .action = asked.action,
                              .resource = asked.resource,
                              .resource_account = owner_account,
                              .context = asked.context};
  auth::Decision decision = auth::evaluate(request, asked.policy);
  if (decision.outcome == auth::Decision::Outcome::kDeniedExplicitly) {
    // The account's root user can always take back a policy by which the account shut itself out, unless he confirmed
    // that he wants to be shut out.
    bool about_policy = asked.action == "s3:GetBucketPolicy" || asked.action == "s3:PutBucketPolicy" ||
                        asked.action == "s3:DeleteBucketPolicy";
    return about_policy && same_account && asked.principal->root && !bucket.policy_binds_root &&
           auth::evaluate(request, nullptr).allowed();
  }
  if (decision.allowed()) {
    // RestrictPublicBuckets: what a public policy gives, it gives inside the owner's account only.
    bool from_policy = decision.resource_allows && !same_account && !asked.principal->administrator;
    if (!from_policy || !block.restrict_buckets || !auth::is_public(*asked.policy)) return true;
  }
  if (bucket.ownership == Ownership::kBucketOwnerEnforced) return false;

  // A user of an account acts under the account's grants only as far as the user's own policies go.
  bool capped = !asked.principal->anonymous() && !decision.identity_allows;
  const Acl* acl = nullptr;
  if (right.target == AclTarget::kBucket) acl = &bucket.acl;
  if (right.target == AclTarget::kObject && asked.version) acl = &asked.version->acl;
  if (!acl) return false;
  if (!capped) return grants(*acl, *asked.principal, right.permission, block.ignore_acls);
  return grants(*acl, *auth::anonymous_principal(), right.permission, block.ignore_acls);
}

std::optional<Acl> canned_acl(std::string_view name, const Owner& owner, const Owner& bucket_owner) {
  // Groups first, then users: the order in which clients know canned ACLs.
  Acl acl;
  auto user = [&](const Owner& who, Permission permission) {
    acl.grants.push_back({Grant::Kind::kUser, who.canonical_id, permission});
  };
  auto group = [&](Grant::Kind kind, Permission permission) { acl.grants.push_back({kind, "", permission}); };
  if (name == "private" || name == "aws-exec-read") {
    // The owner alone.
  } else if (name == "public-read") {
    group(Grant::Kind::kAllUsers, Permission::kRead);
  } else if (name == "public-read-write") {
    group(Grant::Kind::kAllUsers, Permission::kRead);
    group(Grant::Kind::kAllUsers, Permission::kWrite);
  } else if (name == "authenticated-read") {
    group(Grant::Kind::kAuthenticatedUsers, Permission::kRead);
  } else if (name == "bucket-owner-read") {
    if (bucket_owner != owner) user(bucket_owner, Permission::kRead);
  } else if (name == "bucket-owner-full-control") {
    if (bucket_owner != owner) user(bucket_owner, Permission::kFullControl);
  } else if (name == "log-delivery-write") {
    group(Grant::Kind::kLogDelivery, Permission::kWrite);
    group(Grant::Kind::kLogDelivery, Permission::kReadAcp);
  } else {
    return std::nullopt;
  }
  user(owner, Permission::kFullControl);
  return acl;
}

std::string_view group_uri(Grant::Kind kind) {
  switch (kind) {
    case Grant::Kind::kUser:
      return "";
    case Grant::Kind::kAllUsers:
      return kAllUsersUri;
    case Grant::Kind::kAuthenticatedUsers:
      return kAuthenticatedUsersUri;
    case Grant::Kind::kLogDelivery:
      return kLogDeliveryUri;
  }
  return "";
}

std::optional<Grant::Kind> group_of(std::string_view uri) {
  for (Grant::Kind kind : {Grant::Kind::kAllUsers, Grant::Kind::kAuthenticatedUsers, Grant::Kind::kLogDelivery})
    if (group_uri(kind) == uri) return kind;
  return std::nullopt;
}

std::string bucket_arn(std::string_view bucket) {
  return "arn:aws:s3:::" + std::string(bucket);
}
std::string object_arn(std::string_view bucket, std::string_view key) {
  return "arn:aws:s3:::" + std::string(bucket) + "/" + std::string(key);
}

}  // namespace polis::object
