#include "systems/exchange/faces/api_keys.h"

#include <charconv>
#include <fmt/format.h>

#include "kernel/base/binary.h"
#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "systems/exchange/reporting/records.h"

namespace polis::exchange {
namespace {

constexpr std::string_view kIdPrefix = "PXK";
constexpr size_t kIdLetters = 17;  // 85 bits
constexpr std::string_view kIdAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
constexpr size_t kSecretBytes = 32;
constexpr uint8_t kKeyVersion = 1;

std::string api_key_row(std::string_view id) {
  return row_key(RowKind::kApiKey).append(id);
}
std::string bound_to(std::string_view id) {
  return fmt::format("exchange api key {}", id);
}

}  // namespace

ApiKeys::~ApiKeys() {
  for (auto& [id, held] : keys_) base::secure_wipe(as_writable_bytes(held.secret));
}

Task<Result<std::unique_ptr<ApiKeys>>> ApiKeys::open(store::Store& store, store::Keyspace rows, auth::NodeKey node_key,
                                                     Random& random, const Clock& clock) {
  std::unique_ptr<ApiKeys> keys(new ApiKeys(store, rows, std::move(node_key), random, clock));
  auto txn = CO_TRY(co_await store.begin());
  store::KeyRange range = store::prefix_range(row_key(RowKind::kApiKey));
  for (;;) {
    const store::Scan scan = CO_TRY(co_await txn->scan(rows, range));
    for (const store::Row& row : scan.rows) {
      Held held;
      held.key.id = row.key.substr(1);
      base::Reader in(as_bytes(row.value));
      if (in.u8() != kKeyVersion) in.reject("an unknown version of a key");
      held.key.session = static_cast<SessionId>(in.varint_up_to(UINT32_MAX));
      held.key.created = WallTime(Duration(in.zigzag()));
      const std::string sealed(in.sized_text(1024));
      CO_TRY(in.finish());
      auto secret = keys->node_key_.open(sealed, bound_to(held.key.id));
      // Sealed by a node key that is lost: nobody can use it, and removing it is all that is left.
      if (secret) held.secret = std::move(*secret);
      keys->keys_.emplace(held.key.id, std::move(held));
    }
    if (!scan.more) break;
    range.begin = scan.rows.back().key + '\0';
  }
  co_return std::move(keys);
}

Task<Result<ApiKeys::Issued>> ApiKeys::issue(SessionId session) {
  if (keys_.size() >= kApiKeysMax)
    co_return fail(Code::kTooLarge, fmt::format("there are {} API keys already", kApiKeysMax));
  Held held{.key = {.id = std::string(kIdPrefix), .session = session, .created = clock_.wall()}, .secret = {}};
  for (size_t i = 0; i < kIdLetters; ++i) held.key.id += kIdAlphabet[random_.below(kIdAlphabet.size())];
  std::byte random[kSecretBytes];
  random_.fill(random);
  held.secret = base::base64_encode(random, base::Base64::kUrl);
  base::secure_wipe(random);

  Bytes value;
  base::Writer out(value);
  out.u8(kKeyVersion);
  out.varint(session);
  out.zigzag(held.key.created.time_since_epoch().count());
  out.sized(node_key_.seal(held.secret, bound_to(held.key.id), random_));
  auto txn = CO_TRY(co_await store_.begin());
  CO_TRY(txn->insert(rows_, api_key_row(held.key.id), as_text(value)));
  CO_TRY(co_await txn->commit());
  Issued issued{.key = held.key, .secret = held.secret};
  keys_.emplace(issued.key.id, std::move(held));
  co_return std::move(issued);
}

Task<Result<void>> ApiKeys::remove(std::string id) {
  const auto found = keys_.find(id);
  if (found == keys_.end()) co_return fail(Code::kNotFound, fmt::format("there is no API key {}", id));
  // From here on it opens nothing, whatever becomes of its row.
  base::secure_wipe(as_writable_bytes(found->second.secret));
  keys_.erase(found);
  auto txn = CO_TRY(co_await store_.begin());
  CO_TRY(txn->erase(rows_, api_key_row(id)));
  CO_TRY(co_await txn->commit());
  co_return Result<void>();
}

std::vector<ApiKey> ApiKeys::all() const {
  std::vector<ApiKey> keys;
  for (const auto& [id, held] : keys_) keys.push_back(held.key);
  return keys;
}

std::string ApiKeys::sign(std::string_view secret, const ApiClaim& claim) {
  base::HmacSha256 hmac(as_bytes(secret));
  for (const std::string_view part : {claim.timestamp, claim.method, claim.target, claim.body})
    hmac.update(as_bytes(part));
  return base::hex_encode(hmac.finish());
}

Result<ApiKey> ApiKeys::verify(const ApiClaim& claim) const {
  int64_t timestamp_ms = 0;
  const auto [end, error] =
      std::from_chars(claim.timestamp.data(), claim.timestamp.data() + claim.timestamp.size(), timestamp_ms);
  if (claim.timestamp.empty() || error != std::errc() || end != claim.timestamp.data() + claim.timestamp.size())
    return fail(Code::kUnauthenticated, "the timestamp must be milliseconds since 1970");
  const int64_t skew_max_ms = std::chrono::duration_cast<std::chrono::milliseconds>(kApiClockSkewMax).count();
  const int64_t now_ms = base::milliseconds_since_epoch(clock_.wall());
  if (timestamp_ms < now_ms - skew_max_ms || timestamp_ms > now_ms + skew_max_ms)
    return fail(Code::kUnauthenticated,
                fmt::format("the timestamp is more than 5 s away from the venue's clock, {}", now_ms));
  const auto found = keys_.find(claim.key);
  const bool known = found != keys_.end() && !found->second.secret.empty();
  // An unknown key costs the same work.
  const std::string expected = sign(known ? std::string_view(found->second.secret) : kIdAlphabet, claim);
  if (!base::constant_time_equal(as_bytes(expected), as_bytes(claim.signature)) || !known)
    return fail(Code::kUnauthenticated, "the signature does not match");
  return found->second.key;
}

}  // namespace polis::exchange
