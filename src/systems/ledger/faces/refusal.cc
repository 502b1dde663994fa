#include "systems/ledger/faces/refusal.h"

namespace polis::ledger {
namespace {

// "pending_transfer_not_found" as "pending transfer not found".
std::string words(std::string name) {
  for (char& c : name)
    if (c == '_') c = ' ';
  return name;
}

Error say(Code code, const std::string& name, std::string_view meaning) {
  return Error(code, name + ": " + (meaning.empty() ? words(name) : std::string(meaning)));
}

struct Meaning {
  Code code = Code::kInvalid;
  std::string_view text;
};

Meaning meaning_of(AccountStatus status) {
  using enum AccountStatus;
  switch (status) {
    case kFlagsAreMutuallyExclusive:
      return {Code::kInvalid, "an account can limit its debits or its credits, not both"};
    case kLedgerMustNotBeZero:
      return {Code::kInvalid, "name the ledger: any number from 1, one for each asset"};
    case kCodeMustNotBeZero:
      return {Code::kInvalid, "give the account a code: any number from 1 that says what kind it is"};
    case kIdMustNotBeZero:
    case kIdMustNotBeIntMax:
      return {Code::kInvalid, "the id must be a number from 1 to 2^128-2"};
    case kExists:
      return {Code::kExists, "this account exists already, with the same fields"};
    case kExistsWithDifferentFlags:
    case kExistsWithDifferentUserData128:
    case kExistsWithDifferentUserData64:
    case kExistsWithDifferentUserData32:
    case kExistsWithDifferentLedger:
    case kExistsWithDifferentCode:
      return {Code::kExists, "an account of this id exists already and is another one; choose another id"};
    default:
      return {};
  }
}

Meaning meaning_of(TransferStatus status) {
  using enum TransferStatus;
  switch (status) {
    case kIdMustNotBeZero:
    case kIdMustNotBeIntMax:
      return {Code::kInvalid, "the id must be a number from 1 to 2^128-2"};
    case kAccountsMustBeDifferent:
      return {Code::kInvalid, "a transfer needs two different accounts"};
    case kTimeoutReservedForPendingTransfer:
      return {Code::kInvalid, "only a pending transfer has a timeout"};
    case kLedgerMustNotBeZero:
      return {Code::kInvalid, "name the ledger of the two accounts"};
    case kCodeMustNotBeZero:
      return {Code::kInvalid, "give the transfer a code: any number from 1 that says what kind it is"};
    case kDebitAccountNotFound:
      return {Code::kNotFound,
              "there is no such account to debit. The transfer's id is used up: send it again with a new one"};
    case kCreditAccountNotFound:
      return {Code::kNotFound,
              "there is no such account to credit. The transfer's id is used up: send it again with a new one"};
    case kAccountsMustHaveTheSameLedger:
      return {Code::kInvalid,
              "the two accounts belong to different ledgers; move money between assets by two linked transfers"};
    case kTransferMustHaveTheSameLedgerAsAccounts:
      return {Code::kInvalid, "the transfer names another ledger than its accounts"};
    case kPendingTransferNotFound:
      return {Code::kNotFound, "there is no pending transfer of this id"};
    case kPendingTransferNotPending:
      return {Code::kConflict, "the transfer of this id is not a pending one"};
    case kExceedsPendingTransferAmount:
      return {Code::kInvalid, "at most the reserved amount can be posted"};
    case kPendingTransferAlreadyPosted:
      return {Code::kConflict, "the pending transfer has been posted before"};
    case kPendingTransferAlreadyVoided:
      return {Code::kConflict, "the pending transfer has been voided before"};
    case kPendingTransferExpired:
      return {Code::kConflict, "the pending transfer has expired"};
    case kExists:
      return {Code::kExists, "this transfer has been booked before, with the same fields"};
    case kExistsWithDifferentFlags:
    case kExistsWithDifferentDebitAccountId:
    case kExistsWithDifferentCreditAccountId:
    case kExistsWithDifferentAmount:
    case kExistsWithDifferentPendingId:
    case kExistsWithDifferentUserData128:
    case kExistsWithDifferentUserData64:
    case kExistsWithDifferentUserData32:
    case kExistsWithDifferentTimeout:
    case kExistsWithDifferentCode:
    case kExistsWithDifferentLedger:
      return {Code::kExists, "a transfer of this id was booked before and is another one; choose another id"};
    case kExceedsCredits:
      return {Code::kConflict, "the debited account may not owe more than it was credited, and this would exceed it"};
    case kExceedsDebits:
      return {Code::kConflict,
              "the credited account may not be credited more than it was debited, and this would exceed it"};
    case kDebitAccountAlreadyClosed:
      return {Code::kConflict, "the account to debit is closed"};
    case kCreditAccountAlreadyClosed:
      return {Code::kConflict, "the account to credit is closed"};
    case kIdAlreadyFailed:
      return {Code::kConflict, "a transfer of this id was refused before, so the id is used up; choose another"};
    default:
      return {};
  }
}

}  // namespace

Error refusal(AccountStatus status) {
  const Meaning meaning = meaning_of(status);
  return say(meaning.code, status_name(status), meaning.text);
}

Error refusal(TransferStatus status) {
  const Meaning meaning = meaning_of(status);
  return say(meaning.code, status_name(status), meaning.text);
}

}  // namespace polis::ledger
