// ApiKeys: what clients of the REST face sign with. A key belongs to a session of the venue (role order); its secret is
// shown once and kept sealed by the node key. Lives on the shard that opens it.
//
//     signature = hex of HMAC-SHA256(secret, timestamp + method + target + body)
//
// timestamp: milliseconds since 1970, as in its header; target: path and query exactly as sent.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/node_key.h"
#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/store/store.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

inline constexpr size_t kApiKeysMax = 10'000;
inline constexpr Duration kApiClockSkewMax = std::chrono::seconds(5);

struct ApiKey {
  std::string id;  // "PXK" and 17 characters
  SessionId session = 0;
  WallTime created{};
};

// What a request says of itself.
struct ApiClaim {
  std::string_view key, timestamp, signature;
  std::string_view method, target, body;
};

class ApiKeys {
 public:
  // `rows`: the exchange's keyspace. All of it outlives the keys; `random` is fit for secrets.
  static Task<Result<std::unique_ptr<ApiKeys>>> open(store::Store& store, store::Keyspace rows, auth::NodeKey node_key,
                                                     Random& random, const Clock& clock);
  ~ApiKeys();

  struct Issued {
    ApiKey key;
    std::string secret;  // 43 characters; never told again
  };
  // kTooLarge beyond kApiKeysMax.
  Task<Result<Issued>> issue(SessionId session);
  // kNotFound.
  Task<Result<void>> remove(std::string id);
  std::vector<ApiKey> all() const;  // by id

  // Whose request it is; kUnauthenticated, with the same words for an unknown key and a wrong signature.
  Result<ApiKey> verify(const ApiClaim& claim) const;

  static std::string sign(std::string_view secret, const ApiClaim& claim);

 private:
  struct Held {
    ApiKey key;
    std::string secret;
  };
  ApiKeys(store::Store& store, store::Keyspace rows, auth::NodeKey node_key, Random& random, const Clock& clock)
      : store_(store), rows_(rows), node_key_(std::move(node_key)), random_(random), clock_(clock) {}

  store::Store& store_;
  const store::Keyspace rows_;
  const auth::NodeKey node_key_;
  Random& random_;
  const Clock& clock_;
  std::map<std::string, Held, std::less<>> keys_;
};

}  // namespace polis::exchange
