// Requests as a broker meets them: any api, any version, any bytes. What can be read can be written by a client's
// encoder and is then read as the same.
#include "kernel/base/result.h"
#include "systems/stream/protocol/messages.h"

namespace {

using namespace polis;
using namespace polis::stream;

template <class Message>
void one(int version, BytesView body) {
  Message message;
  Decoder decoder(body);
  if (!decode(decoder, message, version)) return;
  Bytes first, second;
  Encoder encoder(first);
  encode(encoder, message, version);
  Message again;
  Decoder decoder2(first);
  POLIS_ASSERT(decode(decoder2, again, version));
  Encoder encoder2(second);
  encode(encoder2, again, version);
  POLIS_ASSERT(first == second);
}

template <class... Messages>
void choose(uint8_t which, uint8_t version, BytesView body) {
  uint8_t number = 0;
  const auto try_one = [&]<class Message>() {
    constexpr ApiVersions kApi = MessageOf<Message>::kApi;
    if (number++ == which % sizeof...(Messages))
      one<Message>(kApi.oldest + version % (kApi.newest - kApi.oldest + 1), body);
  };
  (try_one.template operator()<Messages>(), ...);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const BytesView body(reinterpret_cast<const std::byte*>(data) + 2, size - 2);
  choose<ProduceRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
         FindCoordinatorRequest, JoinGroupRequest, HeartbeatRequest, LeaveGroupRequest, SyncGroupRequest,
         DescribeGroupsRequest, ListGroupsRequest, SaslHandshakeRequest, ApiVersionsRequest, CreateTopicsRequest,
         DeleteTopicsRequest, DeleteRecordsRequest, InitProducerIdRequest, OffsetForLeaderEpochRequest,
         AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, EndTxnRequest, TxnOffsetCommitRequest, DescribeAclsRequest,
         CreateAclsRequest, DeleteAclsRequest, DescribeConfigsRequest, AlterConfigsRequest, DescribeLogDirsRequest,
         SaslAuthenticateRequest, CreatePartitionsRequest, DeleteGroupsRequest, ElectLeadersRequest,
         IncrementalAlterConfigsRequest, AlterPartitionReassignmentsRequest, ListPartitionReassignmentsRequest,
         OffsetDeleteRequest, DescribeClientQuotasRequest, AlterClientQuotasRequest,
         DescribeUserScramCredentialsRequest, AlterUserScramCredentialsRequest, DescribeClusterRequest,
         DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest,
         DescribeTopicPartitionsRequest>(data[0], data[1], body);
  return 0;
}
