#include "systems/ledger/faces/console_json.h"

#include <boost/json.hpp>

#include "kernel/base/text_encoding.h"
#include "systems/ledger/faces/contention_lab.h"

namespace polis::ledger {

namespace json = boost::json;

json::object account_json(const Account& account, std::string_view name, bool known) {
  return {{"id", to_decimal(account.id)},
          {"ledger", account.ledger},
          {"code", account.code},
          {"flags", account.flags},
          {"user_data_128", to_decimal(account.user_data_128)},
          {"user_data_64", to_decimal(account.user_data_64)},
          {"user_data_32", account.user_data_32},
          {"timestamp", std::to_string(account.timestamp)},
          {"debits_pending", to_decimal(account.debits_pending)},
          {"debits_posted", to_decimal(account.debits_posted)},
          {"credits_pending", to_decimal(account.credits_pending)},
          {"credits_posted", to_decimal(account.credits_posted)},
          {"name", name},
          {"known", known}};
}

std::string_view pending_state_name(PendingState state) {
  switch (state) {
    case PendingState::kNone:
      return "";
    case PendingState::kPending:
      return "pending";
    case PendingState::kPosted:
      return "posted";
    case PendingState::kVoided:
      return "voided";
    case PendingState::kExpired:
      return "expired";
  }
  return "";
}

json::object transfer_json(const Transfer& transfer, PendingState state) {
  return {{"id", to_decimal(transfer.id)},
          {"debit_account_id", to_decimal(transfer.debit_account_id)},
          {"credit_account_id", to_decimal(transfer.credit_account_id)},
          {"amount", to_decimal(transfer.amount)},
          {"pending_id", to_decimal(transfer.pending_id)},
          {"user_data_128", to_decimal(transfer.user_data_128)},
          {"user_data_64", to_decimal(transfer.user_data_64)},
          {"user_data_32", transfer.user_data_32},
          {"timeout", transfer.timeout},
          {"ledger", transfer.ledger},
          {"code", transfer.code},
          {"flags", transfer.flags},
          {"timestamp", std::to_string(transfer.timestamp)},
          {"state", pending_state_name(state)}};
}

json::object totals_json(const Engine::Totals& totals) {
  return {{"ledger", totals.ledger},
          {"accounts", totals.accounts},
          {"transfers", totals.transfers},
          {"debits_pending", to_decimal(totals.debits_pending)},
          {"debits_posted", to_decimal(totals.debits_posted)},
          {"credits_pending", to_decimal(totals.credits_pending)},
          {"credits_posted", to_decimal(totals.credits_posted)},
          {"lab", totals.ledger == kLabLedger}};
}

std::string operation_name(uint8_t operation) {
  switch (static_cast<Operation>(operation)) {
    case Operation::kRegister:
      return "register";
    case Operation::kExpire:
      return "expire";
    case Operation::kCreateAccounts:
      return "create_accounts";
    case Operation::kCreateTransfers:
      return "create_transfers";
  }
  return std::to_string(operation);
}

json::object link_json(const BatchLink& link) {
  return {{"op", link.op},
          {"timestamp", std::to_string(link.timestamp)},
          {"operation", operation_name(link.operation)},
          {"operation_number", link.operation},
          {"count", link.count},
          {"previous", base::hex_encode(link.head.previous)},
          {"root", base::hex_encode(link.head.root)},
          {"head", base::hex_encode(link.head_after())}};
}

json::object proof_json(const InclusionProof& proof) {
  json::array path;
  for (const Hash& sibling : proof.path) path.emplace_back(base::hex_encode(sibling));
  return {{"link", link_json(proof.link)},
          {"index", proof.index},
          {"record", base::hex_encode(proof.record)},
          {"status", proof.status},
          {"path", std::move(path)},
          {"transfer", transfer_json(record_at<Transfer>(proof.record, 0), PendingState::kNone)}};
}

json::object head_json(const SignedHead& head, const std::string& public_key_pem) {
  return {{"op", head.op},
          {"timestamp", std::to_string(head.timestamp)},
          {"head", base::hex_encode(head.head)},
          {"signed_at", std::to_string(head.signed_at)},
          {"text", head.to_text()},
          {"signature", base::base64_encode(head.signature)},
          {"public_key_pem", public_key_pem}};
}

}  // namespace polis::ledger
