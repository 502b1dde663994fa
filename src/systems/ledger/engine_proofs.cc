// What the logs say of commands of the past: their links, their replies, and that a record is in them.
#include <algorithm>
#include <fmt/format.h>

#include "systems/ledger/engine_state.h"

namespace polis::ledger {

Result<BatchLink> Engine::link(uint64_t op) const {
  if (op < 1 || op > state_->ops)
    return fail(Code::kOutOfRange, fmt::format("the ledger has commands 1 to {}, not {}", state_->ops, op));
  return State::link_of(op, state_->batch_row(op));
}

// Created events follow each other in their log; refused ones carry their index.
std::vector<CreateResult> Engine::State::results_of(uint64_t op) const {
  const BatchRow row = batch_row(op);
  const BatchRow before = batch_row_before(op);
  const auto operation = static_cast<Operation>(row.operation);
  if (operation == Operation::kRegister || operation == Operation::kExpire) return {};
  std::vector<CreateResult> past(row.count);
  for (uint64_t slot = before.refusals; slot < row.refusals; ++slot) {
    const auto refusal = row_at<RefusalRow>(refusals, slot);
    past[refusal.index & ~RefusalRow::kOfAccount] = {.timestamp = refusal.timestamp, .status = refusal.status};
  }
  uint64_t created = operation == Operation::kCreateAccounts ? before.accounts : before.transfers;
  const ChunkedLog& log = operation == Operation::kCreateAccounts ? account_log : transfers;
  for (CreateResult& result : past) {
    if (result.status != 0) continue;  // no status is 0
    result = {.timestamp = row_at<Transfer>(log, created++).timestamp,
              .status = static_cast<uint32_t>(TransferStatus::kCreated)};
  }
  return past;
}

Result<InclusionProof> Engine::prove(Id transfer_id) const {
  const State& s = *state_;
  const bool is_account = s.find_transfer(transfer_id) == State::kNone;
  const uint64_t slot = is_account ? s.find_account(transfer_id) : s.find_transfer(transfer_id);
  if (slot == State::kNone)
    return fail(Code::kNotFound, fmt::format("no transfer or account has the id {}", to_decimal(transfer_id)));
  // The first command after which the log was longer.
  const uint64_t op = 1 + s.batches.lower_bound([&](const std::byte* bytes) {
    const auto row = read_row<BatchRow>(bytes);
    return (is_account ? row.accounts : row.transfers) <= slot;
  });
  const BatchRow row = s.batch_row(op);
  const BatchRow before = s.batch_row_before(op);
  const ChunkedLog& log = is_account ? s.account_log : s.transfers;
  constexpr auto kCreated = static_cast<uint32_t>(TransferStatus::kCreated);

  std::vector<Hash> leaves(row.count);
  std::vector<bool> refused(row.count);
  for (uint64_t i = before.refusals; i < row.refusals; ++i) {
    const auto refusal = row_at<RefusalRow>(s.refusals, i);
    const uint32_t index = refusal.index & ~RefusalRow::kOfAccount;
    leaves[index] = refusal.leaf;
    refused[index] = true;
  }
  InclusionProof proof;
  proof.link = State::link_of(op, row);
  proof.status = kCreated;
  uint64_t created = is_account ? before.accounts : before.transfers;
  for (uint32_t i = 0; i < row.count; ++i) {
    if (refused[i]) continue;
    if (created == slot) proof.index = i;
    leaves[i] = leaf_hash(log.row(created++), kCreated);
  }
  std::memcpy(proof.record.data(), log.row(slot), proof.record.size());
  proof.path = merkle_path(leaves, proof.index);
  return proof;
}

}  // namespace polis::ledger
