// The private parts of Directory that its files share: caches, the door to password work, small texts.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "kernel/auth/attempt_limit.h"
#include "kernel/auth/directory.h"
#include "kernel/auth/node_key.h"
#include "kernel/io/shard.h"

namespace polis::auth {

inline constexpr std::string_view kLettersAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
inline constexpr std::string_view kCapitalsAndDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";  // base32's, as AWS uses for ids
inline constexpr std::string_view kSessionPrefix = "polis_s_";
inline constexpr std::string_view kTokenPrefix = "polis_t_";

// What one shard remembers. Only credentials that were good are here: unknown ones cost a read, and the rate of those
// is the server's to limit.
struct Directory::Cache {
  struct Session {
    PrincipalPtr principal;
    WallTime expires_at{}, dies_at{};
  };
  struct Token {
    PrincipalPtr principal;
    std::optional<WallTime> expires_at;
  };
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <class T>
  using Map = std::unordered_map<std::string, T, TextHash, std::equal_to<>>;

  uint64_t generation = 0;
  Map<AccessKeyPtr> access_keys;
  Map<Session> sessions;  // by hash
  Map<Token> tokens;      // by hash

  size_t size() const { return access_keys.size() + sessions.size() + tokens.size(); }
  void clear() {
    access_keys.clear();
    sessions.clear();
    tokens.clear();
  }
};

// Held while a password is hashed. Movable; gives its place back when it goes.
class Permit {
 public:
  Permit(io::Semaphore& semaphore) : semaphore_(&semaphore) {}
  Permit(Permit&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
  Permit& operator=(Permit&&) = delete;
  ~Permit() {
    if (semaphore_ != nullptr) semaphore_->release();
  }

 private:
  io::Semaphore* semaphore_;
};

struct Directory::Doors {
  explicit Doors(Random& random)
      : by_pair(10, std::chrono::seconds(10), random),
        by_peer(50, std::chrono::seconds(2), random),
        by_name(100, std::chrono::seconds(5), random) {}

  // Two at once: each takes a core for its time and PasswordCost::memory_kib of memory. 64 may wait, which is under a
  // second.
  static constexpr size_t kPermits = 2;
  static constexpr size_t kWaitingMax = 64;
  io::Semaphore permits{kPermits};
  size_t waiting = 0;
  // One guesser on one name gets 10 tries, then 6 a minute; one address 50, then 30 a minute; one name from everywhere
  // 100, then 12 a minute, high enough that strangers hardly lock an owner out.
  AttemptLimit by_pair, by_peer, by_name;

  Task<Result<Permit>> enter() {
    if (waiting >= kWaitingMax) co_return fail(Code::kBusy, "too many are signing in at once; try again in a moment");
    ++waiting;
    auto acquired = co_await permits.acquire();
    --waiting;
    if (!acquired) co_return fail(std::move(acquired).error());
    co_return Permit(permits);
  }
};

template <class F>
auto Directory::change(F body) -> std::invoke_result_t<F&, store::Txn&> {
  auto result = co_await store::transact(store_, [&body](store::Txn& txn) { return body(txn); });
  // Also after a failure: whether a commit that ended badly took effect is not known for sure.
  generation_.fetch_add(1);
  co_return std::move(result);
}

// arn:aws:iam::ACCOUNT:root for roots, arn:aws:iam::ACCOUNT:user/NAME otherwise.
std::string user_arn(const User& user);
// "10.0.0.1:5000" and "[::1]:5000" without port.
std::string address_of_peer(std::string_view peer);
// The document of a policy that is always there.
std::optional<std::string_view> builtin_policy(std::string_view name);
std::vector<std::string_view> builtin_policy_names();
// A well-formed hash that no password has, of the same cost to check.
std::string unmatched_password_hash(const PasswordCost& cost);
Result<void> check_access_key_preset(std::string_view id, std::string_view secret);
// Lower-case hex SHA-256: under this a session or token is stored.
std::string hash_of_token(std::string_view token);

}  // namespace polis::auth
