// Producer ids and transactions: rights, and error codes that old clients know; what happens is the coordinator's
// (broker/transactions.h).
#include <set>

#include "systems/stream/server/call.h"

namespace polis::stream {
namespace {

// Clients from before KIP-588 know a fenced producer by its epoch only.
int16_t known_code(int16_t code, const Call& call, int16_t fenced_since) {
  const bool fenced = code == number(ErrorCode::kProducerFenced);
  return fenced && call.version < fenced_since ? number(ErrorCode::kInvalidProducerEpoch) : code;
}

bool may_write(const Call& call, std::string_view transactional_id) {
  return call.allowed(ResourceType::kTransactionalId, transactional_id, Operation::kWrite);
}

// What keeps a partition out of the client's transaction.
ErrorCode check_partition(const Call& call, const TopicTable& table, std::string_view topic, int32_t partition) {
  // The offsets topic is taken in by AddOffsetsToTxn, with the rights of the group.
  const Topic* known = table.find(topic);
  if ((known && known->internal) || !call.allowed(ResourceType::kTopic, topic, Operation::kWrite))
    return ErrorCode::kTopicAuthorizationFailed;
  if (!known || partition < 0 || partition >= known->partitions) return ErrorCode::kUnknownTopicOrPartition;
  return ErrorCode::kNone;
}

}  // namespace

Task<InitProducerIdResponse> handle(Call& call, const InitProducerIdRequest& request) {
  InitProducerIdResponse response;
  if (request.transactional_id) {
    if (!may_write(call, *request.transactional_id))
      response.error_code = number(ErrorCode::kTransactionalIdAuthorizationFailed);
  } else if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kIdempotentWrite) &&
             !call.parts.access.allowed_somewhere(*call.identity, ResourceType::kTopic, Operation::kWrite)) {
    response.error_code = number(ErrorCode::kClusterAuthorizationFailed);
  }
  if (response.error_code != 0) co_return response;
  response = co_await call.broker().transactions.init_producer_id(request);
  response.error_code = known_code(response.error_code, call, 4);
  co_return response;
}

Task<AddPartitionsToTxnResponse> handle(Call& call, const AddPartitionsToTxnRequest& request) {
  AddPartitionsToTxnResponse response;
  const bool may = may_write(call, request.v3_and_below_transactional_id);
  const auto table = call.broker().topics.table();
  bool refused = false;
  for (const auto& topic : request.v3_and_below_topics) {
    auto& result = response.results_by_topic_v3_and_below.emplace_back();
    result.name = topic.name;
    for (const int32_t partition : topic.partitions) {
      const ErrorCode code =
          !may ? ErrorCode::kTransactionalIdAuthorizationFailed : check_partition(call, *table, topic.name, partition);
      refused = refused || code != ErrorCode::kNone;
      result.results_by_partition.push_back({partition, number(code)});
    }
  }
  if (!may) co_return response;
  if (!refused) response = co_await call.broker().transactions.add_partitions(request);
  for (auto& topic : response.results_by_topic_v3_and_below)
    for (auto& partition : topic.results_by_partition) {
      int16_t& code = partition.partition_error_code;
      // All or none: the others were not added either.
      if (refused && code == 0) code = number(ErrorCode::kOperationNotAttempted);
      code = known_code(code, call, 2);
    }
  co_return response;
}

Task<AddOffsetsToTxnResponse> handle(Call& call, const AddOffsetsToTxnRequest& request) {
  AddOffsetsToTxnResponse response;
  if (!may_write(call, request.transactional_id))
    response.error_code = number(ErrorCode::kTransactionalIdAuthorizationFailed);
  else if (!call.allowed(ResourceType::kGroup, request.group_id, Operation::kRead))
    response.error_code = number(ErrorCode::kGroupAuthorizationFailed);
  if (response.error_code != 0) co_return response;
  response = co_await call.broker().transactions.add_offsets(request);
  response.error_code = known_code(response.error_code, call, 2);
  co_return response;
}

Task<EndTxnResponse> handle(Call& call, const EndTxnRequest& request) {
  EndTxnResponse response;
  if (!may_write(call, request.transactional_id)) {
    response.error_code = number(ErrorCode::kTransactionalIdAuthorizationFailed);
    co_return response;
  }
  response = co_await call.broker().transactions.end(request);
  response.error_code = known_code(response.error_code, call, 2);
  co_return response;
}

Task<DescribeTransactionsResponse> handle(Call& call, const DescribeTransactionsRequest& request) {
  DescribeTransactionsResponse response;
  for (const std::string_view id : request.transactional_ids) {
    if (!call.allowed(ResourceType::kTransactionalId, id, Operation::kDescribe)) {
      auto& state = response.transaction_states.emplace_back();
      state.error_code = number(ErrorCode::kTransactionalIdAuthorizationFailed);
      state.transactional_id = id;
      continue;
    }
    const DescribeTransactionsRequest one{.transactional_ids = {id}};
    DescribeTransactionsResponse described = co_await call.broker().transactions.describe(one);
    for (auto& state : described.transaction_states) {
      std::erase_if(state.topics, [&](const auto& topic) {
        return !call.allowed(ResourceType::kTopic, topic.topic, Operation::kDescribe);
      });
      response.transaction_states.push_back(std::move(state));
    }
  }
  co_return response;
}

Task<ListTransactionsResponse> handle(Call& call, const ListTransactionsRequest& request) {
  ListTransactionsResponse response = co_await call.broker().transactions.list(request);
  std::erase_if(response.transaction_states, [&](const auto& state) {
    return !call.allowed(ResourceType::kTransactionalId, state.transactional_id, Operation::kDescribe);
  });
  co_return response;
}

Task<DescribeProducersResponse> handle(Call& call, const DescribeProducersRequest& request) {
  using PartitionResponse = DescribeProducersResponse::TopicResponse::PartitionResponse;
  DescribeProducersResponse response;
  const auto table = call.broker().topics.table();
  for (const auto& topic : request.topics) {
    auto& of_topic = response.topics.emplace_back();
    of_topic.name = topic.name;
    const Topic* known = table->find(topic.name);
    for (const int32_t index : topic.partition_indexes) {
      PartitionResponse of_partition;
      of_partition.partition_index = index;
      ErrorCode code = ErrorCode::kNone;
      if (!is_topic_name(topic.name))
        code = ErrorCode::kInvalidTopic;
      else if (!call.allowed(ResourceType::kTopic, topic.name, Operation::kRead))
        code = ErrorCode::kTopicAuthorizationFailed;
      else if (!known || index < 0 || index >= known->partitions)
        code = ErrorCode::kUnknownTopicOrPartition;
      if (code == ErrorCode::kNone) {
        const auto list = [](Partition& partition) -> Task<std::vector<ProducerState>> {
          co_return partition.producers();
        };
        const auto producers = co_await call.broker().topics.with(*known, index, list);
        if (!producers) {
          code = error_code(producers.error());
          of_partition.error_message = producers.error().text();
        } else {
          // An epoch of -1 was let into a transaction and has sent nothing yet.
          for (const ProducerState& one : *producers)
            if (one.epoch >= 0)
              of_partition.active_producers.push_back({one.producer_id, one.epoch, one.last_sequence,
                                                       one.last_timestamp, one.coordinator_epoch,
                                                       one.transaction_first_offset});
        }
      }
      of_partition.error_code = number(code);
      of_topic.partitions.push_back(std::move(of_partition));
    }
  }
  co_return response;
}

}  // namespace polis::stream
