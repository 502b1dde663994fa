#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "kernel/auth/attempt_limit.h"
#include "kernel/base/binary.h"
#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "systems/stream/server/scram.h"

namespace polis::stream {
namespace {

// --- rows
//
//     "s" mechanism u8, name  →  version u8 = 1, iterations varint, salt, stored key, server key, user id (sized)
//     "S"                     →  32 random bytes: what decoys are made from

constexpr std::string_view kScramPrefix = "s", kDecoySecret = "S";
constexpr uint8_t kScramRowVersion = 1;

std::string scram_row_key(std::string_view user, ScramMechanism mechanism) {
  return std::string(kScramPrefix) + static_cast<char>(mechanism) + std::string(user);
}

std::string scram_row_value(const ScramCredential& credential) {
  Bytes bytes;
  base::Writer writer(bytes);
  writer.u8(kScramRowVersion);
  writer.varint(static_cast<uint64_t>(credential.iterations));
  writer.sized(credential.salt);
  writer.sized(credential.stored_key);
  writer.sized(credential.server_key);
  writer.sized(credential.user_id);
  return std::string(as_text(bytes));
}

Bytes copy_of(BytesView bytes) {
  return {bytes.begin(), bytes.end()};
}

Result<ScramCredential> read_scram_row(ScramMechanism mechanism, std::string_view value) {
  base::Reader reader(as_bytes(value));
  if (reader.u8() != kScramRowVersion) reader.reject("made by a later polis");
  ScramCredential credential;
  credential.mechanism = mechanism;
  credential.iterations = static_cast<int32_t>(reader.varint_up_to(kScramIterationsMax));
  credential.salt = copy_of(reader.sized());
  credential.stored_key = copy_of(reader.sized());
  credential.server_key = copy_of(reader.sized());
  credential.user_id = reader.sized_text();
  TRY(reader.finish());
  return credential;
}

Result<void> check_scram_user(std::string_view user) {
  if (user.empty()) return fail(Code::kInvalid, "Username must not be empty");
  if (user.size() > kUserNameBytesMax || !base::utf8_valid(user) ||
      std::ranges::any_of(user, [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
    return fail(Code::kInvalid, "the user's name is too long or not printable");
  // Rules for those who proved nothing must not be somebody's own.
  if (user == "ANONYMOUS" || user == "*") return fail(Code::kInvalid, "nobody can have that name");
  return {};
}

class StoredScramCredentials final : public ScramCredentials {
 public:
  explicit StoredScramCredentials(ScramParts parts)
      : parts_(parts),
        by_pair_(10, std::chrono::seconds(10), parts.random),
        by_address_(50, std::chrono::seconds(2), parts.random),
        by_name_(100, std::chrono::seconds(5), parts.random) {}

  Task<Result<void>> load() {
    const auto read = [this](store::Txn& txn) -> Task<Result<void>> {
      const auto row = CO_TRY(co_await txn.get(parts_.rows, kDecoySecret));
      if (row && row->value.size() == secret_.size()) {
        std::ranges::copy(as_bytes(row->value), secret_.begin());
        co_return Result<void>{};
      }
      parts_.random.fill(secret_);
      co_return txn.put(parts_.rows, kDecoySecret, as_text(secret_));
    };
    co_return co_await store::transact(parts_.store, read);
  }

  Task<Result<std::optional<ScramCredential>>> find(std::string user, ScramMechanism mechanism) override {
    auto txn = CO_TRY(co_await parts_.store.begin());
    const auto row = CO_TRY(co_await txn->get(parts_.rows, scram_row_key(user, mechanism)));
    if (!row) co_return std::optional<ScramCredential>{};
    co_return std::optional(CO_TRY(read_scram_row(mechanism, row->value)));
  }

  Task<Result<std::vector<std::pair<std::string, ScramCredential>>>> all() override {
    std::vector<std::pair<std::string, ScramCredential>> found;
    auto txn = CO_TRY(co_await parts_.store.begin());
    store::KeyRange range = store::prefix_range(kScramPrefix);
    for (bool more = true; more;) {
      const store::Scan scan = CO_TRY(co_await txn->scan(parts_.rows, range));
      for (const store::Row& row : scan.rows) {
        const auto mechanism = static_cast<ScramMechanism>(row.key.at(kScramPrefix.size()));
        found.emplace_back(row.key.substr(kScramPrefix.size() + 1), CO_TRY(read_scram_row(mechanism, row.value)));
      }
      more = scan.more;
      if (more) range.begin = scan.rows.back().key + '\0';
    }
    std::ranges::sort(found, {}, [](const auto& one) { return std::pair(one.first, one.second.mechanism); });
    co_return found;
  }

  Task<Result<void>> put(std::string user, ScramCredential credential) override {
    CO_TRY(check_scram_user(user));
    const size_t size = hash_bytes(credential.mechanism);
    if (scram_mechanism(name(credential.mechanism)) == ScramMechanism::kUnknown ||
        credential.stored_key.size() != size || credential.server_key.size() != size || credential.salt.empty() ||
        credential.iterations < kScramIterationsMin || credential.iterations > kScramIterationsMax)
      co_return fail(Code::kInvalid, "the SCRAM credential is incomplete");
    const auto write = [&](store::Txn& txn) -> Task<Result<void>> {
      const std::string key = scram_row_key(user, credential.mechanism);
      if (!CO_TRY(co_await txn.get(parts_.rows, key))) {
        const store::Scan there = CO_TRY(co_await txn.scan(parts_.rows, store::prefix_range(kScramPrefix),
                                                           {.limit = kScramUsersMax, .keys_only = true}));
        if (there.rows.size() >= kScramUsersMax)
          co_return fail(Code::kTooLarge, fmt::format("there may be {} SCRAM credentials", kScramUsersMax));
      }
      co_return txn.put(parts_.rows, key, scram_row_value(credential));
    };
    co_return co_await store::transact(parts_.store, write);
  }

  Task<Result<bool>> erase(std::string user, ScramMechanism mechanism) override {
    const auto write = [&](store::Txn& txn) -> Task<Result<bool>> {
      const std::string key = scram_row_key(user, mechanism);
      if (!CO_TRY(co_await txn.get_for_update(parts_.rows, key))) co_return false;
      CO_TRY(txn.erase(parts_.rows, key));
      co_return true;
    };
    co_return co_await store::transact(parts_.store, write);
  }

  ScramCredential decoy(std::string_view user, ScramMechanism mechanism) const override {
    const auto derived = [&](std::string_view what) {
      return scram_hmac(mechanism, secret_, as_bytes(fmt::format("{} {} {}", what, name(mechanism), user)));
    };
    ScramCredential credential{.mechanism = mechanism,
                               .iterations = kScramIterationsMin,
                               .salt = derived("salt"),
                               .stored_key = derived("stored key"),
                               .server_key = derived("server key"),
                               .user_id = {}};
    credential.salt.resize(16);
    return credential;
  }

  Task<bool> may_attempt(std::string user, std::string address) override {
    const auto ask = [&]() -> Task<Result<bool>> {
      const SteadyTime now = parts_.clock.steady();
      const std::string pair = user + "\n" + address;
      if (!by_pair_.allows(pair, now) || !by_address_.allows(address, now) || !by_name_.allows(user, now))
        co_return false;
      by_pair_.count(pair, now);
      by_address_.count(address, now);
      by_name_.count(user, now);
      co_return true;
    };
    co_return (co_await io::on(parts_.home, ask)).value_or(false);
  }

  Task<void> succeeded(std::string user, std::string address) override {
    const auto tell = [&]() -> Task<Result<void>> {
      const SteadyTime now = parts_.clock.steady();
      by_pair_.forgive(user + "\n" + address);
      by_address_.refund(address, now);
      by_name_.refund(user, now);
      co_return Result<void>{};
    };
    POLIS_ASSERT((co_await io::on(parts_.home, tell)).has_value());
  }

 private:
  const ScramParts parts_;
  std::array<std::byte, 32> secret_{};
  // As kernel/auth's own for passwords; on the home shard.
  auth::AttemptLimit by_pair_, by_address_, by_name_;
};

}  // namespace

Task<Result<std::unique_ptr<ScramCredentials>>> open_scram_credentials(ScramParts parts) {
  auto credentials = std::make_unique<StoredScramCredentials>(parts);
  CO_TRY(co_await credentials->load());
  co_return credentials;
}

}  // namespace polis::stream
