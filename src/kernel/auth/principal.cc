#include "kernel/auth/principal.h"

namespace polis::auth {

std::string_view name(CredentialKind kind) {
  switch (kind) {
    case CredentialKind::kNone:
      return "none";
    case CredentialKind::kPassword:
      return "password";
    case CredentialKind::kSession:
      return "session";
    case CredentialKind::kToken:
      return "token";
    case CredentialKind::kAccessKey:
      return "access key";
    case CredentialKind::kCertificate:
      return "certificate";
    case CredentialKind::kInternal:
      return "internal";
  }
  return "unknown";
}

const PrincipalPtr& anonymous_principal() {
  static const PrincipalPtr anonymous = std::make_shared<const Principal>();
  return anonymous;
}

PrincipalPtr internal_principal(std::string what) {
  Principal principal;
  principal.user_id = "polis:" + what;
  principal.user_name = std::move(what);
  principal.arn = "arn:aws:iam::polis:service/" + principal.user_name;
  principal.account_id = "polis";
  principal.display_name = "polis";
  principal.administrator = true;
  principal.credential = CredentialKind::kInternal;
  return std::make_shared<const Principal>(std::move(principal));
}

}  // namespace polis::auth
