// Any bytes as the JSON of each request: refused with a reason, or compiled into transfers that an engine takes whole
// or not at all, with the same bytes when compiled again.
#include <cstdlib>

#include "systems/ledger/faces/requests.h"

using namespace polis;
using namespace polis::ledger;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const LedgerRecord kUsd{.id = 1, .asset = "USD", .scale = 2, .created_at = {}};
  const Names names{.party = [](const std::string& name) -> std::optional<Party> {
                      if (name.size() > 8) return std::nullopt;
                      return Party{derive_id("fuzz", {name}), name.starts_with('x') ? 2u : 1u};
                    },
                    .ledger = [](uint32_t ledger) { return ledger == 1 ? &kUsd : nullptr; }};
  if (auto request = parse_new_transaction(text)) {
    if (request->postings.empty() || request->postings.size() > kPostingsMax) std::abort();
    auto compiled = compile(*request, 7, names);
    if (compiled) {
      const auto& transfers = compiled->transfers;
      if (transfers.size() != request->postings.size()) std::abort();
      for (size_t i = 0; i < transfers.size(); ++i) {
        const bool linked = transfers[i].flags & transfer_flags::kLinked;
        if (linked == (i + 1 == transfers.size())) std::abort();  // a chain that ends with the last, and only there
        if (transfers[i].amount == 0 || transfers[i].debit_account_id == transfers[i].credit_account_id) std::abort();
        if (transfers[i].ledger == 0 || transfers[i].code == 0) std::abort();
      }
      auto again = compile(*request, 7, names);
      if (!again || again->transfers != transfers) std::abort();
      if (compile_reversal(transfers, 8).size() != transfers.size()) std::abort();
      if (auto post = parse_new_post(text)) (void)compile_end(transfers, 9, TransactionKind::kPost, *post);
    } else if (compiled.error().posting >= request->postings.size()) {
      std::abort();
    }
    if (digest_of(*request) != digest_of(*parse_new_transaction(text))) std::abort();
  }
  (void)parse_new_post(text);
  (void)parse_new_reversal(text);
  (void)parse_new_ledger(text);
  if (auto account = parse_new_account(text); account && account->ledger == 0) std::abort();
  if (auto patch = parse_metadata_patch(text)) {
    auto changed = apply(*patch, AccountRecord{.version = 1});
    if (changed && changed->version != 2) std::abort();
  }
  (void)decode_account(text);
  (void)decode_transaction(text);
  return 0;
}
