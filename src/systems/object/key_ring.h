// The outer keys of encrypted runs (sealing.h): the installation's own, from which SSE-S3 is served, and the named keys
// of SSE-KMS. A named key is a row, sealed under the installation's key, which follows from DIR/keys/node.key: a data
// directory alone, without its keys, tells nothing of encrypted objects. No cache: a key that was disabled is refused
// from the next request on, on every shard.
//
// Named keys are never removed: what lies under one could never be read again. Who wants that disables it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernel/auth/node_key.h"
#include "kernel/store/store.h"
#include "systems/object/error.h"
#include "systems/object/sealing.h"

namespace polis::object {

inline constexpr size_t kKmsKeysMax = 1000;
// As at Amazon, this one serves SSE-KMS without a key id, if it is there.
inline constexpr std::string_view kDefaultKmsKey = "aws/s3";

struct KmsKey {
  std::string name;
  WallTime created_at{};
  bool enabled = true;
  std::string wrapped;  // as Seal::wrapped_key, bound to the name
};
std::string encode(const KmsKey& key);
Result<KmsKey> decode_kms_key(std::string_view row);

class KeyRing {
 public:
  // `installation`: nothing where encryption is not offered.
  KeyRing(store::Keyspace keyspace, std::optional<SecretKey> installation)
      : keyspace_(keyspace), installation_(std::move(installation)) {}
  // What SSE-S3 wraps its keys under, from the node key.
  static SecretKey installation_key(const auth::NodeKey& node_key);

  // kNotImplemented without an installation's key.
  Answer<SecretKey> installation() const;
  // kKmsNotFound, kKmsDisabled; kInternalError if it does not open.
  Task<Answer<SecretKey>> named(store::Txn& txn, std::string_view name) const;

  // kInvalidArgument for a bad name, kOperationAborted (409) if there is one already, kInvalidRequest beyond
  // kKmsKeysMax.
  Task<Answer<KmsKey>> create(store::Txn& txn, std::string name, WallTime now, Random& random) const;
  Task<Answer<KmsKey>> set_enabled(store::Txn& txn, std::string name, bool enabled) const;
  // By name.
  Task<Answer<std::vector<KmsKey>>> list(store::Txn& txn) const;

 private:
  Task<Answer<std::optional<KmsKey>>> find(store::Txn& txn, std::string_view name, bool for_change) const;

  store::Keyspace keyspace_;
  std::optional<SecretKey> installation_;
};

}  // namespace polis::object
