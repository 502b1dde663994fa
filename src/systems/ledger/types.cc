#include "systems/ledger/types.h"

#include <algorithm>
#include <array>

namespace polis::ledger {
namespace {

// Index: the status. The names are the protocol's.
constexpr std::string_view kAccountNames[] = {
    "",
    "linked_event_failed",
    "linked_event_chain_open",
    "timestamp_must_be_zero",
    "reserved_field",
    "reserved_flag",
    "id_must_not_be_zero",
    "id_must_not_be_int_max",
    "flags_are_mutually_exclusive",
    "debits_pending_must_be_zero",
    "debits_posted_must_be_zero",
    "credits_pending_must_be_zero",
    "credits_posted_must_be_zero",
    "ledger_must_not_be_zero",
    "code_must_not_be_zero",
    "exists_with_different_flags",
    "exists_with_different_user_data_128",
    "exists_with_different_user_data_64",
    "exists_with_different_user_data_32",
    "exists_with_different_ledger",
    "exists_with_different_code",
    "exists",
    "imported_event_expected",
    "imported_event_not_expected",
    "imported_event_timestamp_out_of_range",
    "imported_event_timestamp_must_not_advance",
    "imported_event_timestamp_must_not_regress",
};
static_assert(std::size(kAccountNames) == 27);

constexpr std::string_view kTransferNames[] = {
    "",
    "linked_event_failed",
    "linked_event_chain_open",
    "timestamp_must_be_zero",
    "reserved_flag",
    "id_must_not_be_zero",
    "id_must_not_be_int_max",
    "flags_are_mutually_exclusive",
    "debit_account_id_must_not_be_zero",
    "debit_account_id_must_not_be_int_max",
    "credit_account_id_must_not_be_zero",
    "credit_account_id_must_not_be_int_max",
    "accounts_must_be_different",
    "pending_id_must_be_zero",
    "pending_id_must_not_be_zero",
    "pending_id_must_not_be_int_max",
    "pending_id_must_be_different",
    "timeout_reserved_for_pending_transfer",
    "",  // 18 is no longer used by the protocol
    "ledger_must_not_be_zero",
    "code_must_not_be_zero",
    "debit_account_not_found",
    "credit_account_not_found",
    "accounts_must_have_the_same_ledger",
    "transfer_must_have_the_same_ledger_as_accounts",
    "pending_transfer_not_found",
    "pending_transfer_not_pending",
    "pending_transfer_has_different_debit_account_id",
    "pending_transfer_has_different_credit_account_id",
    "pending_transfer_has_different_ledger",
    "pending_transfer_has_different_code",
    "exceeds_pending_transfer_amount",
    "pending_transfer_has_different_amount",
    "pending_transfer_already_posted",
    "pending_transfer_already_voided",
    "pending_transfer_expired",
    "exists_with_different_flags",
    "exists_with_different_debit_account_id",
    "exists_with_different_credit_account_id",
    "exists_with_different_amount",
    "exists_with_different_pending_id",
    "exists_with_different_user_data_128",
    "exists_with_different_user_data_64",
    "exists_with_different_user_data_32",
    "exists_with_different_timeout",
    "exists_with_different_code",
    "exists",
    "overflows_debits_pending",
    "overflows_credits_pending",
    "overflows_debits_posted",
    "overflows_credits_posted",
    "overflows_debits",
    "overflows_credits",
    "overflows_timeout",
    "exceeds_credits",
    "exceeds_debits",
    "imported_event_expected",
    "imported_event_not_expected",
    "imported_event_timestamp_out_of_range",
    "imported_event_timestamp_must_not_advance",
    "imported_event_timestamp_must_not_regress",
    "imported_event_timestamp_must_postdate_debit_account",
    "imported_event_timestamp_must_postdate_credit_account",
    "imported_event_timeout_must_be_zero",
    "closing_transfer_must_be_pending",
    "debit_account_already_closed",
    "credit_account_already_closed",
    "exists_with_different_ledger",
    "id_already_failed",
};
static_assert(std::size(kTransferNames) == 69);

template <size_t N>
std::string name_in(const std::string_view (&names)[N], uint32_t status) {
  if (status == 0xFFFF'FFFF) return "created";
  if (status < N && !names[status].empty()) return std::string(names[status]);
  return "status_" + std::to_string(status);
}

}  // namespace

std::string status_name(AccountStatus status) {
  return name_in(kAccountNames, static_cast<uint32_t>(status));
}
std::string status_name(TransferStatus status) {
  return name_in(kTransferNames, static_cast<uint32_t>(status));
}

std::string to_decimal(u128 value) {
  std::array<char, 39> digits;  // 2^128-1 has 39
  size_t begin = digits.size();
  do {
    digits[--begin] = static_cast<char>('0' + static_cast<int>(value % 10));
    value /= 10;
  } while (value != 0);
  return {digits.data() + begin, digits.size() - begin};
}

Result<u128> parse_decimal(std::string_view digits) {
  if (digits.empty()) return fail(Code::kInvalid, "a number needs at least one digit");
  if (digits.size() > 39) return fail(Code::kInvalid, "a number has at most 39 digits");
  u128 value = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return fail(Code::kInvalid, "a number has only the digits 0 to 9");
    const auto next = static_cast<uint32_t>(digit - '0');
    if (value > (kU128Max - next) / 10) return fail(Code::kInvalid, "a number is at most 2^128-1");
    value = value * 10 + next;
  }
  return value;
}

}  // namespace polis::ledger
