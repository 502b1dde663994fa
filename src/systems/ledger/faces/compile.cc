#include <algorithm>
#include <expected>
#include <fmt/format.h>
#include <set>

#include "systems/ledger/faces/json_writer.h"
#include "systems/ledger/faces/requests.h"

namespace polis::ledger {
namespace {

std::unexpected<Refusal> refuse(TransferStatus status, size_t posting, std::string detail) {
  return std::unexpected(Refusal{status, static_cast<uint32_t>(posting), std::move(detail)});
}

// All stand or fall together: every one but the last is linked to the next.
void link(std::vector<Transfer>& transfers) {
  for (size_t i = 0; i + 1 < transfers.size(); ++i) transfers[i].flags |= transfer_flags::kLinked;
}

}  // namespace

std::expected<Compiled, Refusal> compile(const NewTransaction& request, Id id, const Names& names) {
  POLIS_ASSERT(!request.postings.empty() && request.postings.size() <= kPostingsMax);
  Compiled compiled;
  std::set<uint32_t> ledgers;
  const uint64_t tag = reference_tag(request.reference);
  for (size_t i = 0; i < request.postings.size(); ++i) {
    const NewPosting& posting = request.postings[i];
    const auto from = names.party(posting.from), to = names.party(posting.to);
    if (!from)
      return refuse(TransferStatus::kDebitAccountNotFound, i, fmt::format("there is no account '{}'", posting.from));
    if (!to)
      return refuse(TransferStatus::kCreditAccountNotFound, i, fmt::format("there is no account '{}'", posting.to));
    if (from->id == to->id)
      return refuse(TransferStatus::kAccountsMustBeDifferent, i,
                    fmt::format("'{}' cannot pay to itself", posting.from));
    if (from->ledger != to->ledger)
      return refuse(TransferStatus::kAccountsMustHaveTheSameLedger, i,
                    fmt::format("'{}' is of ledger {}, '{}' of ledger {}: change one for the other with two postings, "
                                "over a pool account of each",
                                posting.from, from->ledger, posting.to, to->ledger));
    const LedgerRecord* ledger = names.ledger(from->ledger);
    if (!posting.asset.empty() && (!ledger || ledger->asset != posting.asset))
      return refuse(TransferStatus::kTransferMustHaveTheSameLedgerAsAccounts, i,
                    fmt::format("the accounts hold {}, not {}",
                                ledger ? ledger->asset : fmt::format("ledger {}", from->ledger), posting.asset));
    if (posting.decimal && !ledger)
      return refuse(TransferStatus::kTransferMustHaveTheSameLedgerAsAccounts, i,
                    fmt::format("ledger {} has no asset and so no scale: give \"amount\"", from->ledger));
    auto amount = posting.decimal ? parse_decimal_point(posting.amount, ledger->scale) : parse_decimal(posting.amount);
    if (!amount) return refuse(TransferStatus::kCreated, i, amount.error().message());
    if (*amount == 0) return refuse(TransferStatus::kCreated, i, "an amount must be more than 0");

    Transfer transfer;
    transfer.id = transfer_id(id, static_cast<uint32_t>(i));
    transfer.debit_account_id = from->id;
    transfer.credit_account_id = to->id;
    transfer.amount = *amount;
    transfer.user_data_128 = id;
    transfer.user_data_64 = tag;
    transfer.user_data_32 = static_cast<uint32_t>(i);
    transfer.timeout = request.timeout_s;
    transfer.ledger = from->ledger;
    transfer.code = request.code;
    transfer.flags = request.pending ? transfer_flags::kPending : uint16_t{0};
    compiled.transfers.push_back(transfer);
    ledgers.insert(from->ledger);
  }
  link(compiled.transfers);
  compiled.ledgers.assign(ledgers.begin(), ledgers.end());
  return compiled;
}

Result<std::vector<Transfer>> compile_end(std::span<const Transfer> pending, Id id, TransactionKind kind,
                                          const NewPost& request) {
  const bool post = kind == TransactionKind::kPost;
  if (!request.amounts.empty() && (!post || request.amounts.size() != pending.size()))
    return fail(Code::kInvalid, fmt::format("{} amounts for {} postings", request.amounts.size(), pending.size()));
  std::vector<Transfer> ends;
  for (size_t i = 0; i < pending.size(); ++i) {
    Transfer end;
    end.id = transfer_id(id, static_cast<uint32_t>(i));
    end.pending_id = pending[i].id;
    // Accounts, ledger and code of 0 are inherited, but a whole record reads better in history and in an error.
    end.debit_account_id = pending[i].debit_account_id;
    end.credit_account_id = pending[i].credit_account_id;
    end.ledger = pending[i].ledger;
    end.code = pending[i].code;
    end.user_data_128 = id;
    end.user_data_64 = pending[i].user_data_64;
    end.user_data_32 = static_cast<uint32_t>(i);
    end.flags = post ? transfer_flags::kPostPending : transfer_flags::kVoidPending;
    // All of it: the protocol's largest number for a post, 0 for a void.
    end.amount = post ? kU128Max : 0;
    if (!request.amounts.empty()) {
      end.amount = TRY(parse_decimal(request.amounts[i]));
      if (end.amount > pending[i].amount)
        return fail(Code::kInvalid, fmt::format("posting {}: {} is more than the {} that are pending", i,
                                                request.amounts[i], to_decimal(pending[i].amount)));
    }
    ends.push_back(end);
  }
  link(ends);
  return ends;
}

std::vector<Transfer> compile_reversal(std::span<const Transfer> booked, Id id) {
  std::vector<Transfer> reversal;
  for (size_t i = booked.size(); i-- > 0;) {
    if (booked[i].amount == 0) continue;  // a partial post may have released a posting entirely
    Transfer transfer;
    const auto index = static_cast<uint32_t>(reversal.size());
    transfer.id = transfer_id(id, index);
    transfer.debit_account_id = booked[i].credit_account_id;
    transfer.credit_account_id = booked[i].debit_account_id;
    transfer.amount = booked[i].amount;
    transfer.user_data_128 = id;
    transfer.user_data_64 = booked[i].user_data_64;
    transfer.user_data_32 = index;
    transfer.ledger = booked[i].ledger;
    transfer.code = booked[i].code;
    reversal.push_back(transfer);
  }
  link(reversal);
  return reversal;
}

}  // namespace polis::ledger
