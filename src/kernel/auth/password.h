// Password hashes: Argon2id (RFC 9106) in the usual PHC text form, "$argon2id$v=19$m=19456,t=2,p=1$salt$hash". Blocking
// and costly by design: callers run these on the blocking pool and limit how many run at once. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/random.h"
#include "kernel/base/result.h"

namespace polis::auth {

struct PasswordCost;

// kInvalid below kPasswordBytesMin, kTooLarge above kPasswordBytesMax (directory.h): a long password must not cost more
// than others.
Result<void> check_password_rules(std::string_view password);

// Takes 16 bytes of salt from `random`. kUnavailable if the memory is not there.
Result<std::string> hash_password(std::string_view password, const PasswordCost& cost, Random& random);

// False for a wrong password and for a hash that is no Argon2id hash. The comparison takes constant time.
bool verify_password(std::string_view password, const std::string& hash);

// Whether the hash was made with another cost, so that it should be made anew at the next sign-in.
bool password_hash_outdated(std::string_view hash, const PasswordCost& cost);

}  // namespace polis::auth
