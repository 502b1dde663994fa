#include "systems/stream/broker/transaction.h"

#include <algorithm>
#include <array>

#include "kernel/base/binary.h"

namespace polis::stream {
namespace {

constexpr uint8_t kTransactionRowVersion = 1;

struct StateName {
  TransactionState state;
  std::string_view name;
};
constexpr std::array kStateNames{
    StateName{TransactionState::kEmpty, "Empty"},
    StateName{TransactionState::kOngoing, "Ongoing"},
    StateName{TransactionState::kPrepareCommit, "PrepareCommit"},
    StateName{TransactionState::kPrepareAbort, "PrepareAbort"},
    StateName{TransactionState::kCompleteCommit, "CompleteCommit"},
    StateName{TransactionState::kCompleteAbort, "CompleteAbort"},
};

TransactionStep refused(ErrorCode code) {
  return {.code = code, .next = std::nullopt};
}

bool used_up(int16_t epoch) {
  return epoch >= kProducerEpochMax;
}

// Whoever has the present epoch keeps it no longer.
Transaction fenced(const Transaction& now, int64_t now_ms) {
  Transaction next = now;
  next.state = TransactionState::kPrepareAbort;
  ++next.producer.epoch;  // at most 32767
  next.updated_ms = now_ms;
  return next;
}

// The next owner of the id: nothing open, no partitions.
Transaction handed_over(const Transaction& now, ProducerIdentity producer, ProducerIdentity previous,
                        int32_t timeout_ms, int64_t now_ms) {
  Transaction next;
  next.producer = producer;
  next.previous = previous;
  next.timeout_ms = timeout_ms;
  next.started_ms = -1;
  next.updated_ms = std::max(now.updated_ms, now_ms);
  return next;
}

// Who asks must be who the id belongs to.
ErrorCode check_owner(const Transaction& now, ProducerIdentity producer) {
  if (now.producer.id != producer.id) return ErrorCode::kInvalidProducerIdMapping;
  if (now.producer.epoch != producer.epoch) return ErrorCode::kProducerFenced;
  return ErrorCode::kNone;
}

}  // namespace

std::string_view name(TransactionState state) {
  for (const StateName& one : kStateNames)
    if (one.state == state) return one.name;
  return "Unknown";
}

std::optional<TransactionState> transaction_state(std::string_view name) {
  for (const StateName& one : kStateNames)
    if (one.name == name) return one.state;
  return std::nullopt;
}

// row := version:u8 producer.id producer.epoch previous.id previous.epoch timeout_ms : zigzag, state:u8,
//        started_ms updated_ms : zigzag, count:varint { topic:sized partition:varint }
Bytes Transaction::encode() const {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kTransactionRowVersion);
  out.zigzag(producer.id);
  out.zigzag(producer.epoch);
  out.zigzag(previous.id);
  out.zigzag(previous.epoch);
  out.zigzag(timeout_ms);
  out.u8(static_cast<uint8_t>(state));
  out.zigzag(started_ms);
  out.zigzag(updated_ms);
  out.varint(partitions.size());
  for (const TopicPartition& one : partitions) {
    out.sized(one.topic);
    out.varint(static_cast<uint32_t>(one.partition));
  }
  return bytes;
}

Result<Transaction> Transaction::decode(BytesView bytes) {
  base::Reader in(bytes);
  Transaction row;
  if (in.u8() != kTransactionRowVersion) in.reject("an unknown version of a transaction's row");
  row.producer.id = in.zigzag();
  row.producer.epoch = static_cast<int16_t>(in.zigzag());
  row.previous.id = in.zigzag();
  row.previous.epoch = static_cast<int16_t>(in.zigzag());
  row.timeout_ms = static_cast<int32_t>(in.zigzag());
  const uint8_t state = in.u8();
  if (state > static_cast<uint8_t>(TransactionState::kCompleteAbort)) in.reject("an unknown state of a transaction");
  row.state = static_cast<TransactionState>(state);
  row.started_ms = in.zigzag();
  row.updated_ms = in.zigzag();
  for (size_t count = in.count(2); count > 0 && in.ok(); --count) {
    TopicPartition one;
    one.topic = as_text(in.sized());
    one.partition = static_cast<int32_t>(in.varint());
    if (in.ok()) row.partitions.insert(std::move(one));
  }
  TRY(in.finish());
  return row;
}

TransactionStep begin_producer(const Transaction& now, std::optional<ProducerIdentity> expected, int32_t timeout_ms,
                               int64_t now_ms, std::optional<int64_t> fresh_producer_id) {
  if (now.prepared()) return refused(ErrorCode::kConcurrentTransactions);
  const bool owner = !expected || *expected == now.producer;
  if (now.ongoing()) {
    // Whoever has begun a transaction knows its epoch: anybody with another one is a producer of the past.
    if (!owner) return refused(ErrorCode::kProducerFenced);
    Transaction next = fenced(now, now_ms);
    next.previous = expected.value_or(ProducerIdentity{});
    return {.code = ErrorCode::kNone, .next = std::move(next)};
  }
  const bool unclaimed = now.producer.epoch < 0;
  if (!owner && !unclaimed) {
    if (*expected != now.previous) return refused(ErrorCode::kProducerFenced);
    // A repetition, the first answer to which was lost; or who was fenced by the coordinator itself comes back.
    if (now.producer.epoch <= kProducerEpochMax) return {};
  }
  if (now.producer.id < 0 || used_up(now.producer.epoch)) {
    if (!fresh_producer_id) return {.code = ErrorCode::kNone, .next = std::nullopt, .needs_producer_id = true};
    const ProducerIdentity fresh{*fresh_producer_id, 0};
    return {
        .code = ErrorCode::kNone,
        .next = handed_over(now, fresh, expected && !unclaimed ? *expected : ProducerIdentity{}, timeout_ms, now_ms)};
  }
  const ProducerIdentity bumped{now.producer.id, static_cast<int16_t>(now.producer.epoch + 1)};
  return {.code = ErrorCode::kNone,
          .next = handed_over(now, bumped, expected.value_or(ProducerIdentity{}), timeout_ms, now_ms)};
}

TransactionStep add_partitions(const Transaction& now, ProducerIdentity producer,
                               const std::set<TopicPartition>& partitions, int64_t now_ms) {
  if (const ErrorCode code = check_owner(now, producer); code != ErrorCode::kNone) return refused(code);
  if (now.prepared()) return refused(ErrorCode::kConcurrentTransactions);
  if (now.ongoing() && std::ranges::includes(now.partitions, partitions)) return {};
  Transaction next = now;
  if (!now.ongoing()) {
    next.state = TransactionState::kOngoing;
    next.started_ms = now_ms;
    next.partitions.clear();
  }
  next.partitions.insert(partitions.begin(), partitions.end());
  next.updated_ms = now_ms;
  return {.code = ErrorCode::kNone, .next = std::move(next)};
}

TransactionStep end_transaction(const Transaction& now, ProducerIdentity producer, bool commit, int64_t now_ms) {
  if (const ErrorCode code = check_owner(now, producer); code != ErrorCode::kNone) return refused(code);
  switch (now.state) {
    case TransactionState::kOngoing: {
      Transaction next = now;
      next.state = commit ? TransactionState::kPrepareCommit : TransactionState::kPrepareAbort;
      next.updated_ms = now_ms;
      return {.code = ErrorCode::kNone, .next = std::move(next)};
    }
    case TransactionState::kPrepareCommit:
      return refused(commit ? ErrorCode::kConcurrentTransactions : ErrorCode::kInvalidTxnState);
    case TransactionState::kPrepareAbort:
      return refused(commit ? ErrorCode::kInvalidTxnState : ErrorCode::kConcurrentTransactions);
    case TransactionState::kCompleteCommit:
      return refused(commit ? ErrorCode::kNone : ErrorCode::kInvalidTxnState);
    case TransactionState::kCompleteAbort:
      return refused(commit ? ErrorCode::kInvalidTxnState : ErrorCode::kNone);
    case TransactionState::kEmpty:
      return refused(ErrorCode::kInvalidTxnState);
  }
  return refused(ErrorCode::kUnknownServerError);
}

Transaction abort_transaction(const Transaction& now, int64_t now_ms) {
  POLIS_ASSERT(now.ongoing());
  Transaction next = fenced(now, now_ms);
  next.previous = now.producer;
  return next;
}

Transaction complete_transaction(const Transaction& now, int64_t now_ms) {
  POLIS_ASSERT(now.prepared());
  Transaction next = now;
  next.state = now.state == TransactionState::kPrepareCommit ? TransactionState::kCompleteCommit
                                                             : TransactionState::kCompleteAbort;
  next.updated_ms = now_ms;
  return next;
}

}  // namespace polis::stream
