#include "systems/ledger/tigerbeetle/rights.h"

#include <fmt/format.h>

namespace polis::ledger::tigerbeetle {

std::string ledger_resource(uint32_t ledger) {
  return fmt::format("arn:polis:ledger:::ledger/{}", ledger);
}

Rights::Rights(auth::PrincipalPtr principal, std::string_view address, WallTime now)
    : principal_(std::move(principal)) {
  POLIS_ASSERT(principal_ != nullptr);
  if (auth::context_needed(*principal_, nullptr)) auth::set_global_keys(context_, *principal_, address, true, now);
}

bool Rights::evaluate(Right right, uint32_t ledger) const {
  if (!member()) return false;
  const std::string resource = ledger_resource(ledger);
  return auth::evaluate({.principal = principal_.get(),
                         .action = right == Right::kPost ? "ledger:Post" : "ledger:Read",
                         .resource = resource,
                         .resource_account = {},
                         .context = &context_},
                        nullptr)
      .allowed();
}

bool Rights::may(Right right, uint32_t ledger) {
  if (!principal_) return true;
  if (remembered_.size() >= kRememberedMax) remembered_.clear();
  const uint64_t key = uint64_t{ledger} << 1 | static_cast<uint64_t>(right);
  const auto [found, fresh] = remembered_.try_emplace(key, false);
  if (fresh) found->second = evaluate(right, ledger);
  return found->second;
}

std::optional<uint32_t> Rights::refused(const WireRequest& creates) {
  if (all()) return std::nullopt;
  const bool accounts = creates.shape.action == Action::kCreateAccounts;
  std::optional<uint32_t> last;  // batches seldom change their ledger
  for (size_t i = 0; i < creates.event_count(); ++i) {
    const uint32_t ledger =
        accounts ? record_at<Account>(creates.events, i).ledger : record_at<Transfer>(creates.events, i).ledger;
    if (ledger == last) continue;
    if (!may(Right::kPost, ledger)) return ledger;
    last = ledger;
  }
  return std::nullopt;
}

}  // namespace polis::ledger::tigerbeetle
