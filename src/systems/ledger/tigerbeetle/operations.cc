#include "systems/ledger/tigerbeetle/operations.h"

#include <algorithm>
#include <fmt/format.h>

namespace polis::ledger::tigerbeetle {
namespace {

// Filters of one request that are answered in one go on the ledger's shard: a filter without results costs about
// 1 µs, and its rows are bounded by the reply.
constexpr size_t kFiltersAtOnceMax = 64;

constexpr uint8_t number(WireOperation operation) {
  return static_cast<uint8_t>(operation);
}

OperationShape create(Action action) {
  return {.action = action, .event_bytes = sizeof(Account), .result_bytes = sizeof(CreateResult)};
}
OperationShape sparse(Action action, bool multi_batch) {
  return {.action = action,
          .event_bytes = sizeof(Account),
          .result_bytes = sizeof(SparseResult),
          .multi_batch = multi_batch,
          .sparse = true};
}
OperationShape lookup(Action action, bool multi_batch) {
  return {.action = action, .event_bytes = sizeof(Id), .result_bytes = sizeof(Account), .multi_batch = multi_batch};
}
OperationShape question(Action action, uint8_t event_bytes, uint16_t result_bytes, bool multi_batch) {
  return {.action = action,
          .event_bytes = event_bytes,
          .result_bytes = result_bytes,
          .multi_batch = multi_batch,
          .one_event = true};
}

// Events that one batch of a request may have, so that their results fit into one reply.
size_t events_max(const OperationShape& shape) {
  const size_t in = shape.multi_batch ? kBodyBytesMax - trailer_size_bytes(1, shape.event_bytes) : kBodyBytesMax;
  return std::min(in / shape.event_bytes, results_max(shape));
}

uint32_t limit_of(const OperationShape& shape, BytesView filter) {
  switch (shape.action) {
    case Action::kGetAccountTransfers:
    case Action::kGetAccountBalances:
      return record_at<AccountFilter>(filter, 0).limit;
    case Action::kQueryAccounts:
    case Action::kQueryTransfers:
      return record_at<QueryFilter>(filter, 0).limit;
    default:
      return record_at<ChangeEventsFilter>(filter, 0).limit;
  }
}

// The most results that a batch can have. Limits of filters are capped, as clients before 0.17 expect.
size_t results_expected(const OperationShape& shape, BytesView batch) {
  if (!shape.one_event) return batch.size() / shape.event_bytes;
  return std::min<size_t>(limit_of(shape, batch), results_max(shape));
}

Result<void> check_batch(const OperationShape& shape, size_t events) {
  if (shape.one_event) {
    if (events != 1) return fail(Code::kInvalid, fmt::format("{} takes one filter a batch", name(shape.action)));
  } else if (events > events_max(shape)) {
    return fail(Code::kInvalid,
                fmt::format("{} takes at most {} events, not {}", name(shape.action), events_max(shape), events));
  }
  return {};
}

}  // namespace

std::string_view name(Action action) {
  static constexpr std::string_view kNames[kActions] = {
      "create_accounts",      "create_transfers", "lookup_accounts", "lookup_transfers", "get_account_transfers",
      "get_account_balances", "query_accounts",   "query_transfers", "get_change_events"};
  return kNames[static_cast<size_t>(action)];
}

std::optional<OperationShape> shape_of(uint8_t operation) {
  switch (static_cast<WireOperation>(operation)) {
    case WireOperation::kRegister:
      return std::nullopt;
    case WireOperation::kCreateAccounts:
      return create(Action::kCreateAccounts);
    case WireOperation::kCreateTransfers:
      return create(Action::kCreateTransfers);
    case WireOperation::kSparseCreateAccounts:
    case WireOperation::kUnbatchedCreateAccounts:
      return sparse(Action::kCreateAccounts, operation == number(WireOperation::kSparseCreateAccounts));
    case WireOperation::kSparseCreateTransfers:
    case WireOperation::kUnbatchedCreateTransfers:
      return sparse(Action::kCreateTransfers, operation == number(WireOperation::kSparseCreateTransfers));
    case WireOperation::kLookupAccounts:
    case WireOperation::kUnbatchedLookupAccounts:
      return lookup(Action::kLookupAccounts, operation == number(WireOperation::kLookupAccounts));
    case WireOperation::kLookupTransfers:
    case WireOperation::kUnbatchedLookupTransfers:
      return lookup(Action::kLookupTransfers, operation == number(WireOperation::kLookupTransfers));
    case WireOperation::kGetAccountTransfers:
    case WireOperation::kUnbatchedGetAccountTransfers:
      return question(Action::kGetAccountTransfers, sizeof(AccountFilter), sizeof(Transfer),
                      operation == number(WireOperation::kGetAccountTransfers));
    case WireOperation::kGetAccountBalances:
    case WireOperation::kUnbatchedGetAccountBalances:
      return question(Action::kGetAccountBalances, sizeof(AccountFilter), sizeof(AccountBalance),
                      operation == number(WireOperation::kGetAccountBalances));
    case WireOperation::kQueryAccounts:
    case WireOperation::kUnbatchedQueryAccounts:
      return question(Action::kQueryAccounts, sizeof(QueryFilter), sizeof(Account),
                      operation == number(WireOperation::kQueryAccounts));
    case WireOperation::kQueryTransfers:
    case WireOperation::kUnbatchedQueryTransfers:
      return question(Action::kQueryTransfers, sizeof(QueryFilter), sizeof(Transfer),
                      operation == number(WireOperation::kQueryTransfers));
    case WireOperation::kGetChangeEvents:
      return question(Action::kGetChangeEvents, sizeof(ChangeEventsFilter), sizeof(ChangeEventRecord), false);
  }
  return std::nullopt;
}

size_t results_max(const OperationShape& shape) {
  const size_t room = shape.multi_batch ? kBodyBytesMax - trailer_size_bytes(1, shape.result_bytes) : kBodyBytesMax;
  return room / shape.result_bytes;
}

ChangeEventRecord to_record(const ChangeEvent& event) {
  auto side = [](const Account& account) {
    return ChangeEventRecord::Side{.id = account.id,
                                   .debits_pending = account.debits_pending,
                                   .debits_posted = account.debits_posted,
                                   .credits_pending = account.credits_pending,
                                   .credits_posted = account.credits_posted,
                                   .user_data_128 = account.user_data_128,
                                   .user_data_64 = account.user_data_64,
                                   .user_data_32 = account.user_data_32,
                                   .code = account.code,
                                   .flags = account.flags};
  };
  const Transfer& transfer = event.transfer;
  return {.id = transfer.id,
          .amount = transfer.amount,
          .pending_id = transfer.pending_id,
          .user_data_128 = transfer.user_data_128,
          .user_data_64 = transfer.user_data_64,
          .user_data_32 = transfer.user_data_32,
          .timeout = transfer.timeout,
          .code = transfer.code,
          .flags = transfer.flags,
          .ledger = transfer.ledger,
          .kind = static_cast<uint8_t>(event.kind),
          .debit = side(event.debit_account),
          .credit = side(event.credit_account),
          .timestamp = event.timestamp,
          .transfer_timestamp = transfer.timestamp,
          .debit_timestamp = event.debit_account.timestamp,
          .credit_timestamp = event.credit_account.timestamp};
}

// --- requests

Result<WireRequest> decode_request(const OperationShape& shape, BytesView body) {
  WireRequest request{.shape = shape, .events = body, .counts = {}, .results_max = 0};
  if (!shape.multi_batch) {
    if (body.size() % shape.event_bytes != 0) return fail(Code::kInvalid, "the body is not whole events");
    const size_t events = body.size() / shape.event_bytes;
    TRY(check_batch(shape, events));
    request.counts.push_back(static_cast<uint16_t>(events));
    request.results_max = results_expected(shape, body);
    return request;
  }
  const MultiBatch batches = TRY(MultiBatch::decode(body, shape.event_bytes));
  request.events = batches.payload();
  request.counts.reserve(batches.batches());
  size_t first = 0;
  for (size_t i = 0; i < batches.batches(); ++i) {
    const uint16_t events = batches.count(i);
    TRY(check_batch(shape, events));
    const BytesView batch = request.events.subspan(first * shape.event_bytes, size_t{events} * shape.event_bytes);
    request.results_max += results_expected(shape, batch);
    first += events;
    request.counts.push_back(events);
  }
  const size_t trailer_bytes = trailer_size_bytes(request.counts.size(), shape.result_bytes);
  if (request.results_max * shape.result_bytes + trailer_bytes > kBodyBytesMax)
    return fail(Code::kInvalid,
                fmt::format("the answer could have {} results, more than a reply holds", request.results_max));
  POLIS_ASSERT(!shape.creates() || request.event_count() <= kBatchEventsMax);
  return request;
}

// --- creating

Command to_command(const WireRequest& request, const SessionRequest& from, std::vector<uint16_t>& batches) {
  POLIS_ASSERT(request.shape.creates());
  batches.clear();
  std::ranges::copy_if(request.counts, std::back_inserter(batches), [](uint16_t count) { return count > 0; });
  if (batches.size() < 2) batches.clear();  // all events are one batch
  return {.operation = request.shape.action == Action::kCreateAccounts ? Operation::kCreateAccounts
                                                                       : Operation::kCreateTransfers,
          .timestamp = 0,
          .from = from,
          .batches = batches,
          .events = request.events};
}

Bytes create_answer(const WireRequest& request, std::span<const CreateResult> results) {
  POLIS_ASSERT(results.size() == request.event_count());
  Bytes body;
  if (!request.shape.sparse) {
    const BytesView payload(reinterpret_cast<const std::byte*>(results.data()), results.size_bytes());
    body.reserve(payload.size() + trailer_size_bytes(request.counts.size(), sizeof(CreateResult)));
    body.assign(payload.begin(), payload.end());
    append_trailer(body, request.counts, sizeof(CreateResult));
    return body;
  }
  std::vector<uint16_t> counts;
  size_t first = 0;
  for (uint16_t events : request.counts) {
    uint16_t failed = 0;
    for (uint32_t i = 0; i < events; ++i) {
      const CreateResult& result = results[first + i];
      if (result.created()) continue;
      const SparseResult one{.index = i, .status = result.status};
      const auto* bytes = reinterpret_cast<const std::byte*>(&one);
      body.insert(body.end(), bytes, bytes + sizeof one);
      ++failed;
    }
    counts.push_back(failed);
    first += events;
  }
  if (request.shape.multi_batch) append_trailer(body, counts, sizeof(SparseResult));
  return body;
}

// --- asking

Answer::Answer(const WireRequest& request) : request_(request) {
  POLIS_ASSERT(!request.shape.creates());
}

template <class Row>
void Answer::put(const std::vector<Row>& rows) {
  static_assert(kIsRecord<Row>);
  const auto* bytes = reinterpret_cast<const std::byte*>(rows.data());
  answered_.body.insert(answered_.body.end(), bytes, bytes + rows.size() * sizeof(Row));
  counts_.push_back(static_cast<uint16_t>(rows.size()));
}

namespace {

template <class Row>
void keep_readable(std::vector<Row>& rows, const MayRead& may_read) {
  if (may_read) std::erase_if(rows, [&](const Row& row) { return !may_read(row.ledger); });
}

// What is asked of one account, if the client may read its ledger.
std::optional<TransferQuery> account_query(const Engine& engine, const MayRead& may_read, BytesView batch,
                                           size_t rows_max) {
  auto query = to_query(record_at<AccountFilter>(batch, 0));
  if (!query) return std::nullopt;
  query->limit = static_cast<uint32_t>(std::min<size_t>(query->limit, rows_max));
  if (!may_read) return query;
  const auto account = engine.account(*query->account);
  if (!account || !may_read(account->ledger)) return std::nullopt;
  return query;
}

std::vector<ChangeEventRecord> changes(const Engine& engine, const MayRead& may_read, const ChangeEventsFilter& filter,
                                       size_t rows_max) {
  const uint64_t max = filter.timestamp_max == 0 ? kTimestampMax : filter.timestamp_max;
  const bool reserved = std::ranges::any_of(filter.reserved, [](uint8_t each) { return each != 0; });
  if (reserved || filter.limit == 0 || filter.timestamp_min > max || max > kTimestampMax) return {};
  std::vector<ChangeEventRecord> rows;
  const auto limit = static_cast<uint32_t>(std::min<size_t>(filter.limit, rows_max));
  for (const ChangeEvent& event : engine.changes(filter.timestamp_min, max, limit)) rows.push_back(to_record(event));
  keep_readable(rows, may_read);
  return rows;
}

}  // namespace

void Answer::answer_batch(const Engine& engine, const MayRead& may_read, size_t batch_number) {
  const OperationShape& shape = request_.shape;
  const size_t events = request_.counts[batch_number];
  const BytesView batch = request_.events.subspan(first_event_ * shape.event_bytes, events * shape.event_bytes);
  first_event_ += events;
  const size_t rows_max = results_max(shape);
  switch (shape.action) {
    case Action::kLookupAccounts: {
      std::vector<Account> rows;
      rows.reserve(events);
      for (size_t i = 0; i < events; ++i)
        if (auto account = engine.account(record_at<Id>(batch, i))) rows.push_back(*account);
      keep_readable(rows, may_read);
      return put(rows);
    }
    case Action::kLookupTransfers: {
      std::vector<Transfer> rows;
      rows.reserve(events);
      for (size_t i = 0; i < events; ++i)
        if (auto transfer = engine.transfer(record_at<Id>(batch, i))) rows.push_back(*transfer);
      keep_readable(rows, may_read);
      return put(rows);
    }
    case Action::kGetAccountTransfers: {
      const auto query = account_query(engine, may_read, batch, rows_max);
      return put(query ? engine.transfers(*query) : std::vector<Transfer>());
    }
    case Action::kGetAccountBalances: {
      const auto query = account_query(engine, may_read, batch, rows_max);
      return put(query ? engine.balances(*query) : std::vector<AccountBalance>());
    }
    case Action::kQueryAccounts: {
      auto query = to_account_query(record_at<QueryFilter>(batch, 0));
      if (query) query->limit = static_cast<uint32_t>(std::min<size_t>(query->limit, rows_max));
      auto rows = query ? engine.accounts(*query) : std::vector<Account>();
      keep_readable(rows, may_read);
      return put(rows);
    }
    case Action::kQueryTransfers: {
      auto query = to_transfer_query(record_at<QueryFilter>(batch, 0));
      if (query) query->limit = static_cast<uint32_t>(std::min<size_t>(query->limit, rows_max));
      auto rows = query ? engine.transfers(*query) : std::vector<Transfer>();
      keep_readable(rows, may_read);
      return put(rows);
    }
    case Action::kGetChangeEvents:
      return put(changes(engine, may_read, record_at<ChangeEventsFilter>(batch, 0), rows_max));
    case Action::kCreateAccounts:
    case Action::kCreateTransfers:
      POLIS_ASSERT(false);
  }
}

bool Answer::run(const Engine& engine, const MayRead& may_read) {
  for (size_t done = 0; done < kFiltersAtOnceMax && next_ < request_.counts.size(); ++done)
    answer_batch(engine, may_read, next_++);
  if (next_ < request_.counts.size()) return false;
  const Engine::Counts counts = engine.counts();
  answered_.op = counts.ops;
  answered_.timestamp = counts.timestamp_last;
  return true;
}

Answered Answer::finish() && {
  POLIS_ASSERT(counts_.size() == request_.counts.size());
  if (request_.shape.multi_batch) append_trailer(answered_.body, counts_, request_.shape.result_bytes);
  POLIS_ASSERT(answered_.body.size() <= kBodyBytesMax);
  return std::move(answered_);
}

// --- bodies that a client sends

Result<size_t> finish_body(const OperationShape& shape, MutableBytes room, size_t payload_bytes) {
  if (payload_bytes % shape.event_bytes != 0)
    return fail(Code::kInvalid, fmt::format("{} bytes are not whole events of {}", payload_bytes, shape.event_bytes));
  const size_t events = payload_bytes / shape.event_bytes;
  if (events > events_max(shape))
    return fail(Code::kTooLarge,
                fmt::format("{} takes at most {} events, not {}", name(shape.action), events_max(shape), events));
  if (!shape.multi_batch) return payload_bytes;
  const size_t trailer_bytes = trailer_size_bytes(1, shape.event_bytes);
  const auto count = static_cast<uint16_t>(events);
  write_trailer(room.subspan(payload_bytes, trailer_bytes), std::span(&count, 1));
  return payload_bytes + trailer_bytes;
}

Result<BytesView> payload_of(const OperationShape& shape, BytesView body) {
  if (shape.multi_batch) {
    auto batches = MultiBatch::decode(body, shape.result_bytes);
    if (!batches) return fail(Error(Code::kCorrupt, "the reply has no valid trailer", std::move(batches).error()));
    if (batches->batches() != 1) return fail(Code::kCorrupt, "the reply has more batches than the request");
    return batches->payload();
  }
  if (body.size() % shape.result_bytes != 0) return fail(Code::kCorrupt, "the reply is not whole results");
  return body;
}

}  // namespace polis::ledger::tigerbeetle
