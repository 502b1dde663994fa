// Temporary credentials, as STS gives them: an access key whose secret travels in its own session token, sealed with
// the node key. Nothing is stored: what a token says is true because nobody else could have written it, and it ends by
// itself. A user who is disabled or deleted takes them along, since the principal is looked up at every use.
//
//   token = base64url( sealed( user id, secret, expiry ), bound to the access key id )
#include "kernel/auth/directory.h"
#include "kernel/auth/directory_parts.h"
#include "kernel/auth/node_key.h"
#include "kernel/auth/rows.h"
#include "kernel/base/digest.h"
#include "kernel/base/encoding.h"
#include "kernel/base/text_encoding.h"

namespace polis::auth {
namespace {

constexpr size_t kTokenBytesMax = 2048;
constexpr uint8_t kTokenFormat = 1;

std::string bound_to(std::string_view access_key) {
  return "session token of " + std::string(access_key);
}

}  // namespace

Task<Result<IssuedTemporaryKey>> Directory::create_temporary_key(Actor actor, std::string user_id, Duration lifetime) {
  if (lifetime < kTemporaryKeyLifetimeMin || lifetime > kTemporaryKeyLifetimeMax)
    co_return fail(Code::kInvalid, "temporary credentials last from 15 minutes to 36 hours");
  IssuedTemporaryKey issued{.id = "ASIA" + random_text(kCapitalsAndDigits, 16),
                            .secret = random_text(kLettersAndDigits, 40),
                            .token = {},
                            .expires_at = clock_.wall() + lifetime};
  Bytes plain;
  base::Writer writer(plain);
  writer.u8(kTokenFormat);
  writer.sized(std::string_view(user_id));
  writer.sized(std::string_view(issued.secret));
  writer.u64(static_cast<uint64_t>(issued.expires_at.time_since_epoch().count()));
  issued.token =
      base::base64_encode(as_bytes(node_key_->seal(as_text(plain), bound_to(issued.id), random_)), base::Base64::kUrl);
  base::secure_wipe(plain);
  CO_TRY(co_await change([&](store::Txn& txn) -> Task<Result<void>> {
    rows::UserRow user = CO_TRY(co_await rows::read_user(txn, keyspace_, user_id));
    co_return audit_.append(
        txn, audit_.describe(actor, "auth:CreateTemporaryKey", user_arn(user.user), AuditOutcome::kSuccess, issued.id));
  }));
  co_return issued;
}

Task<Result<AccessKeyPtr>> Directory::temporary_key(std::string id, std::string token) {
  if (token.size() > kTokenBytesMax) co_return fail(Code::kUnauthenticated, "the session token is too long");
  auto sealed = base::base64_decode(token, base::Base64::kUrl);
  if (!sealed) co_return fail(Code::kUnauthenticated, "the session token is malformed");
  auto plain = node_key_->open(as_text(*sealed), bound_to(id));
  if (!plain) co_return fail(Code::kUnauthenticated, "the session token does not belong to this access key");
  base::Reader reader(as_bytes(*plain));
  if (reader.u8() != kTokenFormat) reader.reject("the session token has an unknown format");
  std::string user_id(reader.sized_text()), secret(reader.sized_text());
  WallTime expires_at(Duration(static_cast<int64_t>(reader.u64())));
  auto read = reader.finish();
  base::secure_wipe(as_writable_bytes(*plain));
  CO_TRY(std::move(read));
  if (expires_at <= clock_.wall()) co_return fail(Code::kTimeout, "the session token has expired");
  auto txn = CO_TRY(co_await store_.begin());
  auto principal = co_await load_principal(*txn, user_id, CredentialKind::kAccessKey, id, {});
  if (!principal && principal.error().code() == Code::kNotFound)
    co_return fail(Code::kUnauthenticated, "the user of the session token is gone or disabled");
  AccessKeyPtr key(new AccessKey{std::move(id), std::move(secret), CO_TRY(std::move(principal))},
                   [](const AccessKey* gone) {
                     base::secure_wipe(as_writable_bytes(const_cast<AccessKey*>(gone)->secret));
                     delete gone;
                   });
  co_return key;
}

}  // namespace polis::auth
