// The records of `__consumer_offsets`, in Kafka's own format, so that clients can read the topic: a key that says what
// the record is of, and what is committed, or the group's generation. Big endian, not flexible. Pure; any thread.
//
//     key   := version:i16 = 0, 1  group:string topic:string partition:i32     an offset
//            | version:i16 = 2     group:string                                a generation (value: Group::encode)
//     value := version:i16 = 3     offset:i64 leader_epoch:i32 metadata:string committed_ms:i64
//            | version:i16 = 1     offset:i64 metadata:string committed_ms:i64 expires_ms:i64
//
// No value: the offset, or the group, is gone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "systems/stream/protocol/record_batch.h"

namespace polis::stream {

// Which partition of the offsets topic a group's records lie in: Kafka's rule, so that readers find them.
int32_t offsets_partition_of(std::string_view group, int32_t partitions);

struct CommittedOffset {
  Offset offset = -1;
  int32_t leader_epoch = -1;
  std::string metadata;
  int64_t committed_ms = -1;
  int64_t expires_ms = -1;    // asked for by the client (OffsetCommit v2 to v4); -1: offsets.retention
  Offset record_offset = -1;  // where the commit stands in the offsets topic; not part of the value
};

struct OffsetKey {
  std::string_view group, topic;
  int32_t partition = 0;
};
struct GenerationKey {
  std::string_view group;
};
// Neither: a kind of record that this broker does not know, of a newer protocol.
using OffsetsTopicKey = std::variant<std::monostate, OffsetKey, GenerationKey>;

Bytes encode(const OffsetKey& key);
Bytes encode(const GenerationKey& key);
Bytes encode(const CommittedOffset& value);
// Views of `key`. kInvalid if it cannot be read.
Result<OffsetsTopicKey> decode_offsets_key(BytesView key);
// kInvalid, kUnsupported.
Result<CommittedOffset> decode_committed_offset(BytesView value);

}  // namespace polis::stream
