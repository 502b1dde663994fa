#include "systems/ledger/engine_rows.h"

#include "systems/ledger/engine_rules.h"
#include "systems/ledger/storage/id_index.h"

namespace polis::ledger {
namespace {

class Values {
 public:
  explicit Values(FieldValue* out) : out_(out) {}
  void add(uint8_t field, uint64_t value) { out_[count_++] = {.field = field, .value = value}; }
  void add_unless_zero(uint8_t field, u128 value) {
    if (value != 0) add(field, field_value(value));
  }
  size_t count() const { return count_; }

 private:
  FieldValue* out_;
  size_t count_ = 0;
};

size_t index_transfer(const std::byte* row, FieldValue* out) {
  const auto t = read_row<Transfer>(row);
  Values values(out);
  values.add_unless_zero(transfer_field::kDebitAccount, t.debit_account_id);
  values.add_unless_zero(transfer_field::kCreditAccount, t.credit_account_id);
  values.add_unless_zero(transfer_field::kUserData128, t.user_data_128);
  values.add_unless_zero(transfer_field::kUserData64, t.user_data_64);
  values.add_unless_zero(transfer_field::kUserData32, t.user_data_32);
  values.add_unless_zero(transfer_field::kLedger, t.ledger);
  values.add_unless_zero(transfer_field::kCode, t.code);
  return values.count();
}

size_t index_account(const std::byte* row, FieldValue* out) {
  const auto a = read_row<Account>(row);
  Values values(out);
  values.add_unless_zero(account_field::kUserData128, a.user_data_128);
  values.add_unless_zero(account_field::kUserData64, a.user_data_64);
  values.add_unless_zero(account_field::kUserData32, a.user_data_32);
  values.add_unless_zero(account_field::kLedger, a.ledger);
  values.add_unless_zero(account_field::kCode, a.code);
  return values.count();
}

size_t index_expiry(const std::byte* row, FieldValue* out) {
  const auto expiry = read_row<ExpiryRow>(row);
  Values values(out);
  values.add_unless_zero(expiry_field::kDebitAccount, expiry.debit_account_id);
  values.add_unless_zero(expiry_field::kCreditAccount, expiry.credit_account_id);
  return values.count();
}

size_t index_balance(const std::byte* row, FieldValue* out) {
  Values values(out);
  values.add(balance_field::kAccount, read_row<BalanceRow>(row).account);
  return values.count();
}

uint64_t key_of_record(const std::byte* row, uint64_t seed) {
  return IdHash(seed)(read_row<Id>(row));
}

// Only a refusal that burned its id has one; 0 says none.
uint64_t key_of_refusal(const std::byte* row, uint64_t seed) {
  const auto refusal = read_row<RefusalRow>(row);
  return burns_id(refusal) ? IdHash(seed)(refusal.id) : 0;
}

ChunkedLogOptions log_options(const char* name, uint32_t row_bytes, const LogSizes& sizes) {
  return {.name = name,
          .row_bytes = row_bytes,
          .rows_per_chunk = sizes.rows_per_chunk,
          .rows_per_run = sizes.rows_per_run,
          .key_seed = sizes.key_seed};
}

}  // namespace

ChunkedLogOptions account_log_options(const LogSizes& sizes) {
  ChunkedLogOptions options = log_options("accounts", sizeof(Account), sizes);
  options.fields = account_field::kCount;
  options.index = index_account;
  return options;
}

ChunkedLogOptions transfer_log_options(const LogSizes& sizes) {
  ChunkedLogOptions options = log_options("transfers", sizeof(Transfer), sizes);
  options.fields = transfer_field::kCount;
  options.index = index_transfer;
  options.key = key_of_record;
  return options;
}

ChunkedLogOptions refusal_log_options(const LogSizes& sizes) {
  ChunkedLogOptions options = log_options("refusals", sizeof(RefusalRow), sizes);
  options.key = key_of_refusal;
  return options;
}

ChunkedLogOptions expiry_log_options(const LogSizes& sizes) {
  ChunkedLogOptions options = log_options("expiries", sizeof(ExpiryRow), sizes);
  options.fields = expiry_field::kCount;
  options.index = index_expiry;
  return options;
}

ChunkedLogOptions balance_log_options(const LogSizes& sizes) {
  ChunkedLogOptions options = log_options("balances", sizeof(BalanceRow), sizes);
  options.fields = balance_field::kCount;
  options.index = index_balance;
  return options;
}

ChunkedLogOptions batch_log_options(const LogSizes& sizes) {
  return log_options("batches", sizeof(BatchRow), sizes);
}

}  // namespace polis::ledger
