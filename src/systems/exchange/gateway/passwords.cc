#include "systems/exchange/gateway/passwords.h"

#include "kernel/auth/directory.h"
#include "kernel/auth/password.h"

namespace polis::exchange::gateway {
namespace {

// Ten wrong ones at once, then one every ten seconds, of each session and address.
constexpr unsigned kAttempts = 10;
constexpr Duration kAttemptRefill = std::chrono::seconds(10);
constexpr size_t kHashingMax = 2;

}  // namespace

Result<std::unique_ptr<Passwords>> Passwords::open(store::Store& store, const Clock& clock, Random& random) {
  const store::Keyspace keyspace = TRY(store.keyspace("exchange.passwords"));
  return std::unique_ptr<Passwords>(new Passwords(store, keyspace, clock, random));
}

Passwords::Passwords(store::Store& store, store::Keyspace keyspace, const Clock& clock, Random& random)
    : store_(store),
      keyspace_(keyspace),
      clock_(clock),
      random_(random),
      attempts_(kAttempts, kAttemptRefill, random),
      hashing_(kHashingMax) {}

Task<Result<void>> Passwords::set(std::string session, std::string password) {
  CO_TRY(auth::check_password_rules(password));
  const std::string hash = CO_TRY(co_await io::blocking([&] { return auth::hash_password(password, {}, random_); }));
  auto body = [&](store::Txn& txn) -> Task<Result<void>> { co_return txn.put(keyspace_, session, hash); };
  co_return co_await store::transact(store_, body);
}

Task<Result<void>> Passwords::clear(std::string session) {
  auto body = [&](store::Txn& txn) -> Task<Result<void>> { co_return txn.erase(keyspace_, session); };
  co_return co_await store::transact(store_, body);
}

Task<Result<Passwords::Answer>> Passwords::check(std::string session, std::string password, std::string peer) {
  const std::string key = session + '\0' + peer;
  auto txn = CO_TRY(co_await store_.begin(store::Isolation::kReadCommitted));
  const std::optional<store::Row> row = CO_TRY(co_await txn->get(keyspace_, session));
  txn.reset();
  if (!row) co_return Answer::kNone;
  if (!attempts_.allows(key, clock_.steady())) co_return Answer::kTooOften;
  attempts_.count(key, clock_.steady());
  if (password.empty() || password.size() > auth::kPasswordBytesMax) co_return Answer::kWrong;
  CO_TRY(co_await hashing_.acquire());
  const bool right = co_await io::blocking([&] { return auth::verify_password(password, row->value); });
  hashing_.release();
  if (!right) co_return Answer::kWrong;
  attempts_.refund(key, clock_.steady());
  co_return Answer::kRight;
}

}  // namespace polis::exchange::gateway
