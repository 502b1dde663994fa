// Who asks. A Principal is an immutable value made by the Directory and shared by every request of one credential; all
// systems take it as their notion of identity. Readable from any shard.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/clock.h"

namespace polis::auth {

class Policy;

// A policy together with the name that decisions and the audit report.
struct NamedPolicy {
  std::string name;
  std::shared_ptr<const Policy> policy;  // shared: every credential of a user refers to the same parsed document
};

enum class CredentialKind : unsigned char { kNone, kPassword, kSession, kToken, kAccessKey, kCertificate, kInternal };
std::string_view name(CredentialKind kind);

struct Principal {
  // Empty for the anonymous principal, as are all names below.
  std::string user_id;
  std::string user_name;
  std::string arn;  // arn:aws:iam::ACCOUNT:user/NAME, or arn:aws:iam::ACCOUNT:root
  // The account owns what its users make. Ids never change and are not reused.
  std::string account_id;
  std::string canonical_id;  // the account's id as S3 shows an owner: 64 hex digits unless preset
  std::string display_name;

  bool root = false;           // of the account: allowed everything inside it that no policy denies
  bool administrator = false;  // of this polis: root of every account, and the only one who manages accounts

  bool of_main_account = false;  // the account that owns polis itself, as opposed to those that only keep things in it

  CredentialKind credential = CredentialKind::kNone;
  std::string credential_id;  // access key id, token id, common name or the start of the session's hash
  // Restricts a token: patterns of actions ("s3:Get*"). Empty means no restriction.
  std::vector<std::string> scopes;
  std::vector<NamedPolicy> policies;  // identity policies

  bool anonymous() const { return user_id.empty(); }
};

using PrincipalPtr = std::shared_ptr<const Principal>;

// The one anonymous principal.
const PrincipalPtr& anonymous_principal();

// A principal for work that polis starts itself (lifecycle, scrub): everything is allowed, and audits name `what`.
PrincipalPtr internal_principal(std::string what);

}  // namespace polis::auth
