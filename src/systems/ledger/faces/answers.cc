#include "systems/ledger/faces/answers.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"

namespace polis::ledger {
namespace {

struct FlagName {
  uint16_t flag;
  std::string_view name;
};
constexpr FlagName kTransferFlags[] = {{transfer_flags::kLinked, "linked"},
                                       {transfer_flags::kPending, "pending"},
                                       {transfer_flags::kPostPending, "post_pending_transfer"},
                                       {transfer_flags::kVoidPending, "void_pending_transfer"},
                                       {transfer_flags::kBalancingDebit, "balancing_debit"},
                                       {transfer_flags::kBalancingCredit, "balancing_credit"},
                                       {transfer_flags::kClosingDebit, "closing_debit"},
                                       {transfer_flags::kClosingCredit, "closing_credit"},
                                       {transfer_flags::kImported, "imported"}};

std::string signed_text(const Signed& balance, std::string_view digits) {
  return (balance.negative ? "-" : "") + std::string(digits);
}

void write_labels(JsonWriter& out, const AccountRecord& record) {
  out.key("labels").begin_object();
  for (const auto& [key, value] : record.labels) out.text_key(key).text(value);
  out.end_object();
}

}  // namespace

std::string hex(const Hash& hash) {
  return base::hex_encode(hash);
}

void write(JsonWriter& out, const LedgerRecord& record) {
  out.begin_object().count("id", record.id).member("asset", record.asset).count("scale", record.scale);
  out.member("created_at", base::format_rfc3339(record.created_at)).end_object();
}

void write(JsonWriter& out, const NamedAccount& named) {
  const Account& account = named.account;
  out.begin_object().digits("id", account.id);
  if (named.record && !named.record->name.empty()) out.member("name", named.record->name);
  out.count("ledger", account.ledger);
  if (named.ledger) out.member("asset", named.ledger->asset).count("scale", named.ledger->scale);
  out.member("type", account_type(account.code)).count("code", account.code);
  out.member("limit", limit_name(account.flags));
  out.flag("history", account.flags & account_flags::kHistory).flag("closed", account.flags & account_flags::kClosed);
  out.digits("debits_pending", account.debits_pending).digits("debits_posted", account.debits_posted);
  out.digits("credits_pending", account.credits_pending).digits("credits_posted", account.credits_posted);
  const Signed balance = balance_of(account);
  out.member("normal_side", debit_normal(account.code) ? "debit" : "credit");
  out.member("balance", signed_text(balance, to_decimal(balance.amount)));
  if (named.ledger)
    out.member("balance_decimal", signed_text(balance, to_decimal_point(balance.amount, named.ledger->scale)));
  out.digits("timestamp", account.timestamp).member("created_at", to_time_text(account.timestamp));
  if (account.user_data_128 != 0) out.digits("user_data_128", account.user_data_128);
  if (account.user_data_64 != 0) out.digits("user_data_64", account.user_data_64);
  if (account.user_data_32 != 0) out.count("user_data_32", account.user_data_32);
  out.count("version", named.record ? named.record->version : 0);
  if (named.record) {
    out.member("owner", named.record->owner);
    write_labels(out, *named.record);
  }
  out.end_object();
}

void write(JsonWriter& out, const Transfer& transfer, const TransferNames& names) {
  const LedgerRecord* ledger = names.ledger;
  out.begin_object().digits("id", transfer.id);
  if (!names.from.empty()) out.member("from", names.from);
  if (!names.to.empty()) out.member("to", names.to);
  out.digits("debit_account_id", transfer.debit_account_id).digits("credit_account_id", transfer.credit_account_id);
  out.digits("amount", transfer.amount);
  if (ledger)
    out.member("amount_decimal", to_decimal_point(transfer.amount, ledger->scale)).member("asset", ledger->asset);
  out.count("ledger", transfer.ledger).count("code", transfer.code);
  out.key("flags").begin_array();
  for (const FlagName& flag : kTransferFlags)
    if (transfer.flags & flag.flag) out.text(flag.name);
  out.end_array();
  if (transfer.pending_id != 0) out.digits("pending_id", transfer.pending_id);
  if (transfer.timeout != 0) out.count("timeout", transfer.timeout);
  if (transfer.user_data_128 != 0) out.digits("user_data_128", transfer.user_data_128);
  if (transfer.user_data_64 != 0) out.digits("user_data_64", transfer.user_data_64);
  if (transfer.user_data_32 != 0) out.count("user_data_32", transfer.user_data_32);
  out.digits("timestamp", transfer.timestamp).member("at", to_time_text(transfer.timestamp)).end_object();
}

void write_members(JsonWriter& out, const TransactionRecord& record) {
  out.digits("id", record.id).member("kind", name(record.kind)).member("state", name(record.state));
  if (record.parent != 0) out.digits("of", record.parent);
  if (!record.reference.empty()) out.member("reference", record.reference);
  if (!record.key.empty()) out.member("key", record.key);
  out.flag("pending", record.pending);
  if (record.timeout_s != 0) out.count("timeout", record.timeout_s);
  out.count("count", record.count);
  out.key("ledgers").begin_array();
  for (uint32_t ledger : record.ledgers) out.number(ledger);
  out.end_array();
  if (!record.metadata.empty()) out.key("metadata").raw(record.metadata);
  out.member("created_at", base::format_rfc3339(record.created_at));
  if (record.state == TransactionState::kRefused)
    out.member("status", status_name(static_cast<TransferStatus>(record.status))).count("posting", record.posting);
}

void write(JsonWriter& out, const BatchLink& link) {
  out.begin_object().count("op", link.op).digits("timestamp", link.timestamp);
  out.count("operation", link.operation).count("count", link.count);
  out.member("previous", hex(link.head.previous)).member("root", hex(link.head.root));
  out.member("head", hex(link.head_after())).end_object();
}

std::string to_json(const AccountRecord& record) {
  JsonWriter out;
  out.begin_object().digits("id", record.id).member("name", record.name).member("owner", record.owner);
  write_labels(out, record);
  return out.count("version", record.version).end_object().take();
}

std::string to_json(const SignedHead& head) {
  JsonWriter out;
  out.begin_object().count("op", head.op).digits("timestamp", head.timestamp).member("head", hex(head.head));
  out.digits("signed_at", head.signed_at).member("signature", base::base64_encode(head.signature));
  return out.member("text", head.to_text()).end_object().take();
}

std::string to_json(const Ledger::Statistics& statistics) {
  const Engine::Counts& counts = statistics.counts;
  JsonWriter out;
  out.begin_object();
  out.count("ops", counts.ops).count("accounts", counts.accounts).count("transfers", counts.transfers);
  out.count("refusals", counts.refusals).count("expired", counts.expired).count("pending_open", counts.pending_open);
  out.count("sessions", counts.sessions).digits("timestamp_last", counts.timestamp_last);
  out.count("memory_bytes", counts.memory_bytes).count("journal_bytes", statistics.journal_bytes);
  out.count("journal_syncs", statistics.journal_syncs).count("waiting", statistics.waiting);
  out.count("snapshots", statistics.snapshots).count("snapshot_op", statistics.snapshot_op);
  out.key("latency_us").begin_array();
  for (const auto& [quantile, value] : statistics.latency_us)
    out.begin_object().member("quantile", fmt::format("{}", quantile)).count("us", value).end_object();
  return out.end_array().end_object().take();
}

std::string trial_balance_json(const std::vector<Engine::Totals>& totals, const std::vector<LedgerRecord>& ledgers) {
  JsonWriter out;
  bool balanced = true;
  out.begin_object().key("ledgers").begin_array();
  for (const Engine::Totals& total : totals) {
    const bool equal = total.debits_posted == total.credits_posted && total.debits_pending == total.credits_pending;
    balanced &= equal;
    auto record = std::ranges::find(ledgers, total.ledger, &LedgerRecord::id);
    out.begin_object().count("ledger", total.ledger);
    if (record != ledgers.end()) out.member("asset", record->asset).count("scale", record->scale);
    out.count("accounts", total.accounts).count("transfers", total.transfers);
    out.digits("debits_posted", total.debits_posted).digits("credits_posted", total.credits_posted);
    out.digits("debits_pending", total.debits_pending).digits("credits_pending", total.credits_pending);
    if (record != ledgers.end()) {
      out.member("debits_decimal", to_decimal_point(total.debits_posted, record->scale));
      out.member("credits_decimal", to_decimal_point(total.credits_posted, record->scale));
    }
    const u128 high = std::max(total.debits_posted, total.credits_posted),
               low = std::min(total.debits_posted, total.credits_posted);
    out.digits("difference", high - low).flag("balanced", equal).end_object();
  }
  return out.end_array().flag("balanced", balanced).end_object().take();
}

}  // namespace polis::ledger
