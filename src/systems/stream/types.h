// The nouns of the event log, as Kafka names them: topics of partitions of records, addressed by offsets, and the error
// codes that every answer carries.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"
#include "systems/stream/protocol/record_batch.h"
#include "systems/stream/protocol/wire.h"

namespace polis::stream {

// The protocol's error codes; those that this broker gives.
enum class ErrorCode : int16_t {
  kUnknownServerError = -1,
  kNone = 0,
  kOffsetOutOfRange = 1,
  kCorruptMessage = 2,
  kUnknownTopicOrPartition = 3,
  kInvalidFetchSize = 4,
  kLeaderNotAvailable = 5,
  kNotLeaderOrFollower = 6,
  kRequestTimedOut = 7,
  kMessageTooLarge = 10,
  kOffsetMetadataTooLarge = 12,
  kNetworkException = 13,
  kCoordinatorLoadInProgress = 14,
  kCoordinatorNotAvailable = 15,
  kNotCoordinator = 16,
  kInvalidTopic = 17,
  kRecordListTooLarge = 18,
  kNotEnoughReplicas = 19,
  kInvalidRequiredAcks = 21,
  kIllegalGeneration = 22,
  kInconsistentGroupProtocol = 23,
  kInvalidGroupId = 24,
  kUnknownMemberId = 25,
  kInvalidSessionTimeout = 26,
  kRebalanceInProgress = 27,
  kTopicAuthorizationFailed = 29,
  kGroupAuthorizationFailed = 30,
  kClusterAuthorizationFailed = 31,
  kInvalidTimestamp = 32,
  kUnsupportedSaslMechanism = 33,
  kIllegalSaslState = 34,
  kUnsupportedVersion = 35,
  kTopicAlreadyExists = 36,
  kInvalidPartitions = 37,
  kInvalidReplicationFactor = 38,
  kInvalidReplicaAssignment = 39,
  kInvalidConfig = 40,
  kInvalidRequest = 42,
  kUnsupportedForMessageFormat = 43,
  kPolicyViolation = 44,
  kOutOfOrderSequenceNumber = 45,
  kDuplicateSequenceNumber = 46,
  kInvalidProducerEpoch = 47,
  kInvalidTxnState = 48,
  kInvalidProducerIdMapping = 49,
  kInvalidTransactionTimeout = 50,
  kConcurrentTransactions = 51,
  kTransactionCoordinatorFenced = 52,
  kTransactionalIdAuthorizationFailed = 53,
  kSecurityDisabled = 54,
  kOperationNotAttempted = 55,
  kKafkaStorageError = 56,
  kLogDirNotFound = 57,
  kSaslAuthenticationFailed = 58,
  kUnknownProducerId = 59,
  kReassignmentInProgress = 60,
  kNonEmptyGroup = 68,
  kGroupIdNotFound = 69,
  kFetchSessionIdNotFound = 70,
  kInvalidFetchSessionEpoch = 71,
  kFencedLeaderEpoch = 74,
  kUnknownLeaderEpoch = 75,
  kUnsupportedCompressionType = 76,
  kOffsetNotAvailable = 78,
  kMemberIdRequired = 79,
  kGroupMaxSizeReached = 81,
  kFencedInstanceId = 82,
  kElectionNotNeeded = 84,
  kNoReassignmentInProgress = 85,
  kGroupSubscribedToTopic = 86,
  kInvalidRecord = 87,
  kUnstableOffsetCommit = 88,
  kThrottlingQuotaExceeded = 89,
  kProducerFenced = 90,
  kResourceNotFound = 91,
  kDuplicateResource = 92,
  kUnacceptableCredential = 93,
  kTransactionalIdNotFound = 105,
  kUnknownTopicId = 100,
  kInconsistentTopicId = 103,
};
constexpr int16_t number(ErrorCode code) {
  return static_cast<int16_t>(code);
}
std::string_view name(ErrorCode code);  // "OFFSET_OUT_OF_RANGE"
// What an operating error of the kernel is to a client: kBusy is retriable, kNoSpace and kUnavailable are storage
// errors.
ErrorCode error_code(const Error& error);

// An error code with a sentence for the person who reads the client's log; empty where the code says it all.
struct Refusal {
  ErrorCode code = ErrorCode::kNone;
  std::string message;
  bool ok() const { return code == ErrorCode::kNone; }
};

inline constexpr Offset kLatestOffset = -1, kEarliestOffset = -2, kMaxTimestampOffset = -3;
inline constexpr size_t kTopicNameBytesMax = 249;
inline constexpr int32_t kPartitionsMax = 10'000;  // of one topic

// [a-zA-Z0-9._-]{1,249}, not "." or "..".
bool is_topic_name(std::string_view name);

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

// --- topic configuration

enum class CleanupPolicy : uint8_t { kDelete = 1, kCompact = 2, kCompactAndDelete = 3 };
enum class AckDurability : uint8_t { kFsync, kOs };  // what "the leader has it" means
enum class ReadPath : uint8_t { kSendfile, kCopy };
enum class TimestampType : uint8_t { kCreateTime, kLogAppendTime };

// The options of a topic, each with the default that a topic without it has. Names, units and meaning are Kafka's;
// those beginning with "polis." and "read.path" are ours.
struct TopicConfig {
  CleanupPolicy cleanup_policy = CleanupPolicy::kDelete;      // cleanup.policy
  int64_t retention_ms = 7LL * 24 * 3600 * 1000;              // retention.ms, -1: for ever
  int64_t retention_bytes = -1;                               // retention.bytes, of a partition, -1: no limit
  int64_t segment_bytes = 1LL << 30;                          // segment.bytes
  int64_t segment_ms = 7LL * 24 * 3600 * 1000;                // segment.ms
  int32_t max_message_bytes = 1'048'588;                      // max.message.bytes, of a batch
  TimestampType timestamp_type = TimestampType::kCreateTime;  // message.timestamp.type
  std::optional<Compression> compression;                     // compression.type; nothing: "producer"
  int32_t min_insync_replicas = 1;                            // min.insync.replicas
  double min_cleanable_dirty_ratio = 0.5;                     // min.cleanable.dirty.ratio
  int64_t delete_retention_ms = 24LL * 3600 * 1000;           // delete.retention.ms
  int64_t min_compaction_lag_ms = 0;                          // min.compaction.lag.ms
  AckDurability durability = AckDurability::kFsync;           // polis.durability
  ReadPath read_path = ReadPath::kSendfile;                   // read.path
  int64_t delay_ms = 0;  // polis.delay.ms: a record is shown that long after its time
  // Options of Kafka that clients set and that decide nothing here (flush.ms: durability does), as they were set.
  std::map<std::string, std::string, std::less<>> kept;

  // One option by its name; kInvalid says what is wrong with the value, kNotFound that there is no such option.
  Result<void> set(std::string_view name, std::string_view value);
  std::string get(std::string_view name) const;
};
// Every option: name, type, documentation. For DescribeConfigs and the command line.
struct ConfigOption {
  std::string_view name, type, help;  // type: "int", "long", "string", "list", "double", "boolean"
};
std::span<const ConfigOption> topic_options();

struct Topic {
  Uuid id;
  std::string name;
  int32_t partitions = 1;
  bool internal = false;                         // "__consumer_offsets"
  std::map<std::string, std::string> overrides;  // what was set by name
  TopicConfig config;                            // defaults with the overrides
};

}  // namespace polis::stream
