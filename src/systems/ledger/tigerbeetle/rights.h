// What the client of one connection may do. On the plain port, which is open on loopback only, everything; behind
// mutual TLS what the policies of the user say whose name stands in the certificate:
//
//     ledger:Post, ledger:Read    on    arn:polis:ledger:::ledger/<number>
//
// Made on the connection's shard; may() is called there, or on the ledger's while the connection waits for the answer.
#pragma once

#include <unordered_map>

#include "kernel/auth/policy.h"
#include "systems/ledger/tigerbeetle/operations.h"

namespace polis::ledger::tigerbeetle {

enum class Right : uint8_t { kPost, kRead };

std::string ledger_resource(uint32_t ledger);

class Rights {
 public:
  // Everything.
  Rights() = default;
  // What the principal's policies say at the moment `now` for a client at `address`.
  Rights(auth::PrincipalPtr principal, std::string_view address, WallTime now);

  bool all() const { return !principal_; }
  // The books belong to the main account: users of others have no say there, whatever their policies allow.
  bool member() const { return !principal_ || principal_->administrator || principal_->of_main_account; }
  bool may(Right right, uint32_t ledger);
  // Empty if the client may book all of the events; else the ledger that he may not. Events of ledger 0 (a post or void
  // that inherits its ledger) are for those who may book in every ledger.
  std::optional<uint32_t> refused(const WireRequest& creates);

 private:
  bool evaluate(Right right, uint32_t ledger) const;

  // Clients with more ledgers than this have some evaluated again: 4 µs each.
  static constexpr size_t kRememberedMax = 4'096;
  auth::PrincipalPtr principal_;  // null: everything
  auth::Context context_;
  std::unordered_map<uint64_t, bool> remembered_;  // by ledger and right
};

}  // namespace polis::ledger::tigerbeetle
