// The audit trail: who did what to which resource, from where, with what outcome. Rows in the Store, newest first on
// query, bounded in number and age. Used from any shard.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/auth/principal.h"
#include "kernel/base/random.h"
#include "kernel/base/result.h"
#include "kernel/store/store.h"

namespace polis::auth {

enum class AuditOutcome : unsigned char { kSuccess, kDenied, kFailure };
std::string_view name(AuditOutcome outcome);

// Texts longer than kAuditTextBytesMax are cut, with "..." at the end.
inline constexpr size_t kAuditTextBytesMax = 512;

struct AuditRecord {
  WallTime at{};
  std::string user_id, user_name;  // empty: anonymous
  std::string credential;          // "access-key AKIA...", "session 3fa9...", "password"
  std::string action;              // "auth:CreateUser", "s3:DeleteBucket"
  std::string resource;            // ARN or name
  AuditOutcome outcome = AuditOutcome::kSuccess;
  std::string detail;  // why it was denied, what changed; never a secret
  std::string peer;    // "127.0.0.1:51234"
};

// Who acts, for operations that leave a record.
struct Actor {
  PrincipalPtr principal = anonymous_principal();
  std::string peer;
};

struct AuditQuery {
  std::string user_id;         // empty: everyone
  std::string action_pattern;  // `*` and `?`; empty: every action
  std::optional<AuditOutcome> outcome;
  std::optional<WallTime> since;
  std::string before;  // the `next` of the page before; empty: from the newest
  size_t limit = 100;  // records, 1..1000
};

struct AuditPage {
  std::vector<AuditRecord> records;  // newest first
  std::string next;                  // empty at the end; a page may be short, even empty, and still have a next
};

struct AuditOptions {
  size_t records_max = 100'000;                    // about 30 MB of rows at 300 bytes each
  Duration age_max = std::chrono::hours(24 * 90);  // what auditors commonly ask for at hand
};

class AuditLog {
 public:
  // Thread-safe `random`: SystemRandom.
  AuditLog(store::Store& store, store::Keyspace keyspace, const Clock& clock, Random& random,
           AuditOptions options = {});

  // Adds the record to a transaction, so that a change and its record are one fact.
  Result<void> append(store::Txn& txn, AuditRecord record);
  // Adds the record in a transaction of its own, without waiting for the disk: for what changes nothing (refused
  // sign-ins, reads).
  Task<Result<void>> record(AuditRecord record);
  Task<Result<AuditPage>> query(AuditQuery query);
  // Erases what is too old or too much; returns how many. Cost: one scan over the keys kept. Call about once an hour.
  Task<Result<size_t>> trim();

  // Fills the fields that an Actor knows, and the time.
  AuditRecord describe(const Actor& actor, std::string_view action, std::string_view resource,
                       AuditOutcome outcome = AuditOutcome::kSuccess, std::string_view detail = {}) const;

 private:
  store::Store& store_;
  const store::Keyspace keyspace_;
  const Clock& clock_;
  Random& random_;
  const AuditOptions options_;
};

}  // namespace polis::auth
