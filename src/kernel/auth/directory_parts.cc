#include "kernel/auth/directory_parts.h"

#include <algorithm>

#include "kernel/auth/rows.h"
#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"

namespace polis::auth {
namespace {

struct Builtin {
  std::string_view name, text;
};
constexpr Builtin kBuiltins[] = {
    {"AdministratorAccess", R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]})"},
    {"AmazonS3FullAccess",
     R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*","s3-object-lambda:*"],"Resource":"*"}]})"},
    {"AmazonS3ReadOnlyAccess",
     R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:Get*","s3:List*","s3:Describe*"],"Resource":"*"}]})"},
    {"ReadOnlyAccess",
     R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["*:Get*","*:List*","*:Describe*","*:Head*","*:Read*"],"Resource":"*"}]})"},
};

bool printable(char c) {
  return c > ' ' && c < 0x7f;
}

}  // namespace

std::string user_arn(const User& user) {
  return "arn:aws:iam::" + user.account_id +
         (user.root ? ":root" : ":user" + (user.path.empty() ? "/" : user.path) + user.name);
}

std::string address_of_peer(std::string_view peer) {
  if (peer.starts_with('[')) return std::string(peer.substr(1, peer.find(']') - 1));
  if (std::ranges::count(peer, ':') == 1) return std::string(peer.substr(0, peer.find(':')));
  return std::string(peer);
}

std::optional<std::string_view> builtin_policy(std::string_view name) {
  for (const Builtin& builtin : kBuiltins)
    if (builtin.name == name) return builtin.text;
  return {};
}

std::vector<std::string_view> builtin_policy_names() {
  std::vector<std::string_view> names;
  for (const Builtin& builtin : kBuiltins) names.push_back(builtin.name);
  return names;
}

std::string unmatched_password_hash(const PasswordCost& cost) {
  // 16 bytes of salt and 32 of hash, all zero, in base64 without padding.
  return "$argon2id$v=19$m=" + std::to_string(cost.memory_kib) + ",t=" + std::to_string(cost.passes) +
         ",p=" + std::to_string(cost.lanes) + "$" + std::string(22, 'A') + "$" + std::string(43, 'A');
}

Result<void> check_access_key_preset(std::string_view id, std::string_view secret) {
  TRY(rows::check_id("access key id", id, 128));
  if (id.size() < 3) return fail(Code::kInvalid, "an access key id needs at least 3 characters");
  if (secret.size() < 8 || secret.size() > 128 || !std::ranges::all_of(secret, printable))
    return fail(Code::kInvalid, "a secret key must have 8 to 128 printable characters without blanks");
  return {};
}

std::string hash_of_token(std::string_view token) {
  return base::hex_encode(base::sha256(token));
}

}  // namespace polis::auth
