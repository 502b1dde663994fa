#include "kernel/auth/password.h"

#include <argon2.h>
#include <array>

#include "kernel/auth/directory.h"

namespace polis::auth {
namespace {

constexpr size_t kSaltBytes = 16;  // RFC 9106 §3.1
constexpr size_t kHashBytes = 32;

std::string parameters(const PasswordCost& cost) {
  return "$argon2id$v=19$m=" + std::to_string(cost.memory_kib) + ",t=" + std::to_string(cost.passes) +
         ",p=" + std::to_string(cost.lanes) + "$";
}

}  // namespace

Result<void> check_password_rules(std::string_view password) {
  if (password.size() < kPasswordBytesMin)
    return fail(Code::kInvalid, "a password needs at least " + std::to_string(kPasswordBytesMin) + " bytes");
  if (password.size() > kPasswordBytesMax)
    return fail(Code::kTooLarge, "a password has at most " + std::to_string(kPasswordBytesMax) + " bytes");
  return {};
}

Result<std::string> hash_password(std::string_view password, const PasswordCost& cost, Random& random) {
  std::array<std::byte, kSaltBytes> salt;
  random.fill(salt);
  std::string encoded(argon2_encodedlen(cost.passes, cost.memory_kib, cost.lanes, kSaltBytes, kHashBytes, Argon2_id),
                      '\0');
  int status = argon2id_hash_encoded(cost.passes, cost.memory_kib, cost.lanes, password.data(), password.size(),
                                     salt.data(), salt.size(), kHashBytes, encoded.data(), encoded.size());
  if (status != ARGON2_OK)
    return fail(Code::kUnavailable, std::string("hashing a password failed: ") + argon2_error_message(status));
  encoded.resize(encoded.find('\0'));
  return encoded;
}

bool verify_password(std::string_view password, const std::string& hash) {
  if (!hash.starts_with("$argon2id$") || password.size() > kPasswordBytesMax) return false;
  return argon2id_verify(hash.c_str(), password.data(), password.size()) == ARGON2_OK;
}

bool password_hash_outdated(std::string_view hash, const PasswordCost& cost) {
  return !hash.starts_with(parameters(cost));
}

}  // namespace polis::auth
