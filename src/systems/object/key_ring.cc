#include "systems/object/key_ring.h"

#include "kernel/base/binary.h"
#include "systems/object/encryption.h"
#include "systems/object/rows.h"

namespace polis::object {
namespace {

constexpr uint8_t kKeyRowFormat = 1;

std::string bound_to_name(std::string_view name) {
  return "kms " + std::string(name);
}

}  // namespace

std::string encode(const KmsKey& key) {
  Bytes row;
  base::Writer out(row);
  out.u8(kKeyRowFormat);
  out.sized(key.name);
  out.u64(static_cast<uint64_t>(key.created_at.time_since_epoch().count()));
  out.boolean(key.enabled);
  out.sized(key.wrapped);
  return std::string(as_text(row));
}

Result<KmsKey> decode_kms_key(std::string_view row) {
  base::Reader in(as_bytes(row));
  if (in.u8() != kKeyRowFormat) return fail(Code::kCorrupt, "the row of a KMS key has an unknown format");
  KmsKey key;
  key.name = as_text(in.sized());
  key.created_at = WallTime(Duration(static_cast<int64_t>(in.u64())));
  key.enabled = in.boolean();
  key.wrapped = as_text(in.sized());
  TRY(in.finish());
  return key;
}

SecretKey KeyRing::installation_key(const auth::NodeKey& node_key) {
  auto bytes = node_key.derive("polis object server-side encryption 1");
  SecretKey key(bytes);
  base::secure_wipe(bytes);
  return key;
}

Answer<SecretKey> KeyRing::installation() const {
  if (!installation_)
    return refuse(ErrorCode::kNotImplemented, "Server-side encryption needs the keys of this installation");
  return *installation_;
}

Task<Answer<std::optional<KmsKey>>> KeyRing::find(store::Txn& txn, std::string_view name, bool for_change) const {
  std::string row_key = kms_key_key(name);
  auto row =
      CO_ASK(for_change ? co_await txn.get_for_update(keyspace_, row_key) : co_await txn.get(keyspace_, row_key));
  if (!row) co_return std::optional<KmsKey>();
  co_return std::optional<KmsKey>(CO_ASK(decode_kms_key(row->value)));
}

Task<Answer<SecretKey>> KeyRing::named(store::Txn& txn, std::string_view name) const {
  SecretKey installation_key = CO_ASK(installation());
  auto key = CO_ASK(co_await find(txn, name, false));
  if (!key) co_return refuse(ErrorCode::kKmsNotFound, "Key '" + std::string(name) + "' does not exist");
  if (!key->enabled) co_return refuse(ErrorCode::kKmsDisabled, "Key '" + std::string(name) + "' is disabled");
  Seal seal{.wrapped_key = key->wrapped, .nonce = std::string(8, '\0')};
  co_return CO_ASK(open_run_key(installation_key, seal, bound_to_name(key->name)));
}

Task<Answer<KmsKey>> KeyRing::create(store::Txn& txn, std::string name, WallTime now, Random& random) const {
  SecretKey installation_key = CO_ASK(installation());
  CO_ASK(check_kms_key_name(name));
  if (CO_ASK(co_await find(txn, name, true)))
    co_return refuse(ErrorCode::kOperationAborted, "There is a KMS key named " + name + " already");
  if ((CO_ASK(co_await list(txn))).size() >= kKmsKeysMax)
    co_return refuse(ErrorCode::kInvalidRequest, "There are 1000 KMS keys already, and more are not offered");
  KmsKey key{.name = std::move(name), .created_at = now};
  key.wrapped = make_run_key(installation_key, bound_to_name(key.name), random).seal.wrapped_key;
  CO_ASK(txn.put(keyspace_, kms_key_key(key.name), encode(key)));
  co_return key;
}

Task<Answer<KmsKey>> KeyRing::set_enabled(store::Txn& txn, std::string name, bool enabled) const {
  auto key = CO_ASK(co_await find(txn, name, true));
  if (!key) co_return refuse(ErrorCode::kKmsNotFound, "Key '" + name + "' does not exist");
  key->enabled = enabled;
  CO_ASK(txn.put(keyspace_, kms_key_key(name), encode(*key)));
  co_return std::move(*key);
}

Task<Answer<std::vector<KmsKey>>> KeyRing::list(store::Txn& txn) const {
  std::vector<KmsKey> keys;
  auto scan = CO_ASK(co_await txn.scan(keyspace_, store::prefix_range(kms_keys_prefix()), {.limit = kKmsKeysMax}));
  for (const store::Row& row : scan.rows) keys.push_back(CO_ASK(decode_kms_key(row.value)));
  co_return keys;
}

}  // namespace polis::object
