// The two coordinators, as the protocol's handlers and in-process users call them: requests of the protocol in,
// responses out, on any shard. Who may do what was decided before (server/).
#pragma once

#include <string>
#include <vector>

#include "kernel/io/task.h"
#include "systems/stream/broker/group.h"
#include "systems/stream/protocol/messages.h"
#include "systems/stream/types.h"

namespace polis::stream {

inline constexpr std::string_view kOffsetsTopic = "__consumer_offsets";

// Consumer groups. A group lives on the shard of the partition of `__consumer_offsets` that its id hashes to: its
// offsets and generations are records there, in Kafka's own format, so that clients can read them.
class Groups {
 public:
  virtual ~Groups() = default;
  virtual Task<JoinGroupResponse> join(JoinGroupRequest request, GroupClient client) = 0;
  virtual Task<SyncGroupResponse> sync(SyncGroupRequest request) = 0;
  virtual Task<HeartbeatResponse> heartbeat(HeartbeatRequest request) = 0;
  virtual Task<LeaveGroupResponse> leave(LeaveGroupRequest request, int16_t version) = 0;
  virtual Task<OffsetCommitResponse> commit(OffsetCommitRequest request) = 0;
  virtual Task<TxnOffsetCommitResponse> commit_in_transaction(TxnOffsetCommitRequest request) = 0;
  virtual Task<OffsetFetchResponse> fetch(OffsetFetchRequest request, int16_t version) = 0;
  virtual Task<OffsetDeleteResponse> erase_offsets(OffsetDeleteRequest request) = 0;
  virtual Task<DescribeGroupsResponse> describe(DescribeGroupsRequest request) = 0;
  virtual Task<ListGroupsResponse> list(ListGroupsRequest request) = 0;
  virtual Task<DeleteGroupsResponse> erase(DeleteGroupsRequest request) = 0;
  // Of a transaction whose marker is durable in that partition of the offsets topic: the offsets pending there for the
  // producer become valid, or go. Repeating it is harmless. The transaction is not over before this returns.
  virtual Task<void> end_transaction(int32_t offsets_partition, int64_t producer_id, bool commit) = 0;
  virtual int32_t partition_of(std::string_view group) const = 0;
  // The same, and the topic is there when it returns: AddOffsetsToTxn takes the partition into the transaction.
  virtual Task<Result<int32_t>> prepare(std::string group) = 0;
  // A topic is gone: its offsets go too.
  virtual Task<void> topic_erased(std::string topic) = 0;
  // Answers who still waits, and ends. Nobody may call any more; before the topics close.
  virtual Task<void> close() = 0;
};

// Producer ids and transactions. The state of a transactional id is a row of the Store ("x" id), so that ids, epochs
// and an end that was decided survive; markers are sent until every partition has them.
class Transactions {
 public:
  virtual ~Transactions() = default;
  virtual Task<InitProducerIdResponse> init_producer_id(InitProducerIdRequest request) = 0;
  virtual Task<AddPartitionsToTxnResponse> add_partitions(AddPartitionsToTxnRequest request) = 0;
  virtual Task<AddOffsetsToTxnResponse> add_offsets(AddOffsetsToTxnRequest request) = 0;
  virtual Task<EndTxnResponse> end(EndTxnRequest request) = 0;
  virtual Task<DescribeTransactionsResponse> describe(DescribeTransactionsRequest request) = 0;
  virtual Task<ListTransactionsResponse> list(ListTransactionsRequest request) = 0;
  // The operator's: ends a transaction that hangs. Refused if there is none.
  virtual Task<Refusal> abort(std::string transactional_id) = 0;
  // Ends what is on its way; the next start goes on with it. Nobody may call any more.
  virtual Task<void> close() = 0;
};

}  // namespace polis::stream
