#include "systems/stream/types.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <limits>

namespace polis::stream {
namespace {

struct CodeName {
  ErrorCode code;
  std::string_view name;
};

constexpr CodeName kCodeNames[] = {
    {ErrorCode::kUnknownServerError, "UNKNOWN_SERVER_ERROR"},
    {ErrorCode::kNone, "NONE"},
    {ErrorCode::kOffsetOutOfRange, "OFFSET_OUT_OF_RANGE"},
    {ErrorCode::kCorruptMessage, "CORRUPT_MESSAGE"},
    {ErrorCode::kUnknownTopicOrPartition, "UNKNOWN_TOPIC_OR_PARTITION"},
    {ErrorCode::kInvalidFetchSize, "INVALID_FETCH_SIZE"},
    {ErrorCode::kLeaderNotAvailable, "LEADER_NOT_AVAILABLE"},
    {ErrorCode::kNotLeaderOrFollower, "NOT_LEADER_OR_FOLLOWER"},
    {ErrorCode::kRequestTimedOut, "REQUEST_TIMED_OUT"},
    {ErrorCode::kMessageTooLarge, "MESSAGE_TOO_LARGE"},
    {ErrorCode::kOffsetMetadataTooLarge, "OFFSET_METADATA_TOO_LARGE"},
    {ErrorCode::kNetworkException, "NETWORK_EXCEPTION"},
    {ErrorCode::kCoordinatorLoadInProgress, "COORDINATOR_LOAD_IN_PROGRESS"},
    {ErrorCode::kCoordinatorNotAvailable, "COORDINATOR_NOT_AVAILABLE"},
    {ErrorCode::kNotCoordinator, "NOT_COORDINATOR"},
    {ErrorCode::kInvalidTopic, "INVALID_TOPIC_EXCEPTION"},
    {ErrorCode::kRecordListTooLarge, "RECORD_LIST_TOO_LARGE"},
    {ErrorCode::kNotEnoughReplicas, "NOT_ENOUGH_REPLICAS"},
    {ErrorCode::kInvalidRequiredAcks, "INVALID_REQUIRED_ACKS"},
    {ErrorCode::kIllegalGeneration, "ILLEGAL_GENERATION"},
    {ErrorCode::kInconsistentGroupProtocol, "INCONSISTENT_GROUP_PROTOCOL"},
    {ErrorCode::kInvalidGroupId, "INVALID_GROUP_ID"},
    {ErrorCode::kUnknownMemberId, "UNKNOWN_MEMBER_ID"},
    {ErrorCode::kInvalidSessionTimeout, "INVALID_SESSION_TIMEOUT"},
    {ErrorCode::kRebalanceInProgress, "REBALANCE_IN_PROGRESS"},
    {ErrorCode::kTopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED"},
    {ErrorCode::kGroupAuthorizationFailed, "GROUP_AUTHORIZATION_FAILED"},
    {ErrorCode::kClusterAuthorizationFailed, "CLUSTER_AUTHORIZATION_FAILED"},
    {ErrorCode::kInvalidTimestamp, "INVALID_TIMESTAMP"},
    {ErrorCode::kUnsupportedSaslMechanism, "UNSUPPORTED_SASL_MECHANISM"},
    {ErrorCode::kIllegalSaslState, "ILLEGAL_SASL_STATE"},
    {ErrorCode::kUnsupportedVersion, "UNSUPPORTED_VERSION"},
    {ErrorCode::kTopicAlreadyExists, "TOPIC_ALREADY_EXISTS"},
    {ErrorCode::kInvalidPartitions, "INVALID_PARTITIONS"},
    {ErrorCode::kInvalidReplicationFactor, "INVALID_REPLICATION_FACTOR"},
    {ErrorCode::kInvalidReplicaAssignment, "INVALID_REPLICA_ASSIGNMENT"},
    {ErrorCode::kInvalidConfig, "INVALID_CONFIG"},
    {ErrorCode::kInvalidRequest, "INVALID_REQUEST"},
    {ErrorCode::kUnsupportedForMessageFormat, "UNSUPPORTED_FOR_MESSAGE_FORMAT"},
    {ErrorCode::kPolicyViolation, "POLICY_VIOLATION"},
    {ErrorCode::kOutOfOrderSequenceNumber, "OUT_OF_ORDER_SEQUENCE_NUMBER"},
    {ErrorCode::kDuplicateSequenceNumber, "DUPLICATE_SEQUENCE_NUMBER"},
    {ErrorCode::kInvalidProducerEpoch, "INVALID_PRODUCER_EPOCH"},
    {ErrorCode::kInvalidTxnState, "INVALID_TXN_STATE"},
    {ErrorCode::kInvalidProducerIdMapping, "INVALID_PRODUCER_ID_MAPPING"},
    {ErrorCode::kInvalidTransactionTimeout, "INVALID_TRANSACTION_TIMEOUT"},
    {ErrorCode::kConcurrentTransactions, "CONCURRENT_TRANSACTIONS"},
    {ErrorCode::kTransactionCoordinatorFenced, "TRANSACTION_COORDINATOR_FENCED"},
    {ErrorCode::kTransactionalIdAuthorizationFailed, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"},
    {ErrorCode::kSecurityDisabled, "SECURITY_DISABLED"},
    {ErrorCode::kOperationNotAttempted, "OPERATION_NOT_ATTEMPTED"},
    {ErrorCode::kKafkaStorageError, "KAFKA_STORAGE_ERROR"},
    {ErrorCode::kLogDirNotFound, "LOG_DIR_NOT_FOUND"},
    {ErrorCode::kSaslAuthenticationFailed, "SASL_AUTHENTICATION_FAILED"},
    {ErrorCode::kUnknownProducerId, "UNKNOWN_PRODUCER_ID"},
    {ErrorCode::kReassignmentInProgress, "REASSIGNMENT_IN_PROGRESS"},
    {ErrorCode::kNonEmptyGroup, "NON_EMPTY_GROUP"},
    {ErrorCode::kGroupIdNotFound, "GROUP_ID_NOT_FOUND"},
    {ErrorCode::kFetchSessionIdNotFound, "FETCH_SESSION_ID_NOT_FOUND"},
    {ErrorCode::kInvalidFetchSessionEpoch, "INVALID_FETCH_SESSION_EPOCH"},
    {ErrorCode::kFencedLeaderEpoch, "FENCED_LEADER_EPOCH"},
    {ErrorCode::kUnknownLeaderEpoch, "UNKNOWN_LEADER_EPOCH"},
    {ErrorCode::kUnsupportedCompressionType, "UNSUPPORTED_COMPRESSION_TYPE"},
    {ErrorCode::kOffsetNotAvailable, "OFFSET_NOT_AVAILABLE"},
    {ErrorCode::kMemberIdRequired, "MEMBER_ID_REQUIRED"},
    {ErrorCode::kGroupMaxSizeReached, "GROUP_MAX_SIZE_REACHED"},
    {ErrorCode::kFencedInstanceId, "FENCED_INSTANCE_ID"},
    {ErrorCode::kElectionNotNeeded, "ELECTION_NOT_NEEDED"},
    {ErrorCode::kNoReassignmentInProgress, "NO_REASSIGNMENT_IN_PROGRESS"},
    {ErrorCode::kGroupSubscribedToTopic, "GROUP_SUBSCRIBED_TO_TOPIC"},
    {ErrorCode::kInvalidRecord, "INVALID_RECORD"},
    {ErrorCode::kUnstableOffsetCommit, "UNSTABLE_OFFSET_COMMIT"},
    {ErrorCode::kThrottlingQuotaExceeded, "THROTTLING_QUOTA_EXCEEDED"},
    {ErrorCode::kProducerFenced, "PRODUCER_FENCED"},
    {ErrorCode::kResourceNotFound, "RESOURCE_NOT_FOUND"},
    {ErrorCode::kDuplicateResource, "DUPLICATE_RESOURCE"},
    {ErrorCode::kUnacceptableCredential, "UNACCEPTABLE_CREDENTIAL"},
    {ErrorCode::kUnknownTopicId, "UNKNOWN_TOPIC_ID"},
    {ErrorCode::kInconsistentTopicId, "INCONSISTENT_TOPIC_ID"},
    {ErrorCode::kTransactionalIdNotFound, "TRANSACTIONAL_ID_NOT_FOUND"},
};

Result<int64_t> whole_number(std::string_view text, int64_t min, int64_t max) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max)
    return fail(Code::kInvalid, fmt::format("\"{:.64}\" is no whole number from {} to {}", text, min, max));
  return value;
}

template <class T>
struct Choice {
  std::string_view text;
  T value;
};
template <class T, size_t kCount>
Result<T> one_of(std::string_view text, const Choice<T> (&choices)[kCount]) {
  std::string all;
  for (const auto& choice : choices) {
    if (choice.text == text) return choice.value;
    all += (all.empty() ? "" : ", ") + std::string(choice.text);
  }
  return fail(Code::kInvalid, fmt::format("\"{:.64}\" is none of: {}", text, all));
}
template <class T, size_t kCount>
std::string text_of(T value, const Choice<T> (&choices)[kCount]) {
  return std::string(std::ranges::find(choices, value, &Choice<T>::value)->text);
}

constexpr Choice<CleanupPolicy> kPolicies[] = {{"delete", CleanupPolicy::kDelete},
                                               {"compact", CleanupPolicy::kCompact},
                                               {"compact,delete", CleanupPolicy::kCompactAndDelete},
                                               {"delete,compact", CleanupPolicy::kCompactAndDelete}};
constexpr Choice<TimestampType> kTimestampTypes[] = {{"CreateTime", TimestampType::kCreateTime},
                                                     {"LogAppendTime", TimestampType::kLogAppendTime}};
constexpr Choice<AckDurability> kDurabilities[] = {{"fsync", AckDurability::kFsync}, {"os", AckDurability::kOs}};
constexpr Choice<ReadPath> kReadPaths[] = {{"sendfile", ReadPath::kSendfile}, {"copy", ReadPath::kCopy}};
constexpr Choice<std::optional<Compression>> kCompressions[] = {
    {"producer", std::nullopt},       {"uncompressed", Compression::kNone}, {"gzip", Compression::kGzip},
    {"snappy", Compression::kSnappy}, {"lz4", Compression::kLz4},           {"zstd", Compression::kZstd}};

constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

// A numeric option: where it lies and what it may be.
template <class T>
struct NumberOption {
  std::string_view name;
  T TopicConfig::* member;
  int64_t min, max;
};
constexpr NumberOption<int64_t> kLongs[] = {
    {"retention.ms", &TopicConfig::retention_ms, -1, kForEver},
    {"retention.bytes", &TopicConfig::retention_bytes, -1, kForEver},
    {"segment.bytes", &TopicConfig::segment_bytes, 14, std::numeric_limits<int32_t>::max()},
    {"segment.ms", &TopicConfig::segment_ms, 1, kForEver},
    {"delete.retention.ms", &TopicConfig::delete_retention_ms, 0, kForEver},
    {"min.compaction.lag.ms", &TopicConfig::min_compaction_lag_ms, 0, kForEver},
    {"polis.delay.ms", &TopicConfig::delay_ms, 0, 366LL * 24 * 3600 * 1000},
};
constexpr NumberOption<int32_t> kInts[] = {
    {"max.message.bytes", &TopicConfig::max_message_bytes, 0, 100 << 20},
    {"min.insync.replicas", &TopicConfig::min_insync_replicas, 1, std::numeric_limits<int32_t>::max()},
};

// Options that are held as text: taken, checked and given back, and they change nothing.
struct KeptOption {
  std::string_view name, type, initial;
  int64_t min = 0, max = kForEver;  // of numbers
};
constexpr KeptOption kKept[] = {
    {"file.delete.delay.ms", "long", "60000"},
    {"flush.messages", "long", "9223372036854775807", 1},
    {"flush.ms", "long", "9223372036854775807"},
    {"follower.replication.throttled.replicas", "list", ""},
    {"index.interval.bytes", "int", "4096", 0, std::numeric_limits<int32_t>::max()},
    {"leader.replication.throttled.replicas", "list", ""},
    {"max.compaction.lag.ms", "long", "9223372036854775807", 1},
    {"message.downconversion.enable", "boolean", "true"},
    {"message.format.version", "string", "3.0-IV1"},
    {"message.timestamp.after.max.ms", "long", "9223372036854775807"},
    {"message.timestamp.before.max.ms", "long", "9223372036854775807"},
    {"message.timestamp.difference.max.ms", "long", "9223372036854775807"},
    {"preallocate", "boolean", "false"},
    {"segment.index.bytes", "int", "10485760", 4, std::numeric_limits<int32_t>::max()},
    {"segment.jitter.ms", "long", "0"},
    {"unclean.leader.election.enable", "boolean", "false"},
};
const KeptOption* kept_option(std::string_view name) {
  const auto* found = std::ranges::find(kKept, name, &KeptOption::name);
  return found == std::end(kKept) ? nullptr : found;
}
Result<void> check(const KeptOption& option, std::string_view value) {
  if (option.type == "boolean" && value != "true" && value != "false")
    return fail(Code::kInvalid, fmt::format("{}: \"{:.64}\" is neither true nor false", option.name, value));
  if (value.size() > 4096) return fail(Code::kInvalid, fmt::format("{} is too long", option.name));
  if (option.type == "int" || option.type == "long")
    if (auto number = whole_number(value, option.min, option.max); !number)
      return fail(Error(Code::kInvalid, std::string(option.name) + " cannot be set", number.error()));
  return {};
}

constexpr ConfigOption kOptions[] = {
    {"cleanup.policy", "list", "what happens to old records: delete, compact (the newest of each key stays), or both"},
    {"compression.type", "string", "how batches are stored: as the producer sent them, or in this compression"},
    {"delete.retention.ms", "long", "how long a compacted topic keeps a record that deletes its key"},
    {"file.delete.delay.ms", "long", "changes nothing: files go at once"},
    {"flush.messages", "long", "changes nothing: polis.durability says when records are on the disk"},
    {"flush.ms", "long", "changes nothing: polis.durability says when records are on the disk"},
    {"follower.replication.throttled.replicas", "list", "changes nothing on one node"},
    {"index.interval.bytes", "int", "changes nothing: an index entry every 4 KiB"},
    {"leader.replication.throttled.replicas", "list", "changes nothing on one node"},
    {"max.compaction.lag.ms", "long", "changes nothing: compaction follows min.cleanable.dirty.ratio"},
    {"max.message.bytes", "int", "the largest batch that is taken"},
    {"message.downconversion.enable", "boolean",
     "changes nothing: records are stored and served in the newest format only"},
    {"message.format.version", "string", "changes nothing: records are stored and served in the newest format only"},
    {"message.timestamp.after.max.ms", "long", "changes nothing: any time of a record is taken"},
    {"message.timestamp.before.max.ms", "long", "changes nothing: any time of a record is taken"},
    {"message.timestamp.difference.max.ms", "long", "changes nothing: any time of a record is taken"},
    {"message.timestamp.type", "string", "whose clock a record's time is: the producer's or the broker's"},
    {"min.cleanable.dirty.ratio", "double", "compaction begins when so much of the log is new"},
    {"min.compaction.lag.ms", "long", "records younger than this are not compacted"},
    {"min.insync.replicas", "int", "acks=all is refused with fewer replicas in sync"},
    {"polis.delay.ms", "long",
     "a record is shown to consumers so long after its time, in the order of the log; 0: at once"},
    {"polis.durability", "string", "what acknowledged means: fsync survives power loss, os survives a crash of polis"},
    {"preallocate", "boolean", "changes nothing: segments are written through one buffer"},
    {"read.path", "string", "how consumers get bytes: sendfile from the page cache, or copied through the process"},
    {"retention.bytes", "long", "the size of a partition above which its oldest segments go; -1: none"},
    {"retention.ms", "long", "the age above which segments go; -1: none"},
    {"segment.bytes", "int", "a segment is closed at this size"},
    {"segment.index.bytes", "int", "changes nothing: indexes grow as they must"},
    {"segment.jitter.ms", "long", "changes nothing: segments are closed at their age"},
    {"segment.ms", "long", "a segment is closed at this age"},
    {"unclean.leader.election.enable", "boolean", "changes nothing on one node"},
};

}  // namespace

std::string_view name(ErrorCode code) {
  const auto* found = std::ranges::find(kCodeNames, code, &CodeName::code);
  return found == std::end(kCodeNames) ? "UNKNOWN" : found->name;
}

ErrorCode error_code(const Error& error) {
  switch (error.code()) {
    case Code::kInvalid:
      return ErrorCode::kInvalidRequest;
    case Code::kNotFound:
      return ErrorCode::kUnknownTopicOrPartition;
    case Code::kExists:
      return ErrorCode::kTopicAlreadyExists;
    case Code::kOutOfRange:
      return ErrorCode::kOffsetOutOfRange;
    case Code::kTooLarge:
      return ErrorCode::kMessageTooLarge;
    case Code::kBusy:
    case Code::kConflict:
      return ErrorCode::kThrottlingQuotaExceeded;
    case Code::kTimeout:
    case Code::kCancelled:
      return ErrorCode::kRequestTimedOut;
    case Code::kClosed:
      return ErrorCode::kNotLeaderOrFollower;
    case Code::kUnauthenticated:
      return ErrorCode::kSaslAuthenticationFailed;
    case Code::kDenied:
      return ErrorCode::kClusterAuthorizationFailed;
    case Code::kCorrupt:
    case Code::kNoSpace:
    case Code::kIo:
    case Code::kUnavailable:
      return ErrorCode::kKafkaStorageError;
    default:
      return ErrorCode::kUnknownServerError;
  }
}

bool is_topic_name(std::string_view name) {
  if (name.empty() || name.size() > kTopicNameBytesMax || name == "." || name == "..") return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

std::span<const ConfigOption> topic_options() {
  return kOptions;
}

Result<void> TopicConfig::set(std::string_view name, std::string_view value) {
  const auto number = [&](const auto& option) -> Result<void> {
    auto parsed = whole_number(value, option.min, option.max);
    if (!parsed) return fail(Error(Code::kInvalid, std::string(name) + " cannot be set", parsed.error()));
    this->*option.member = static_cast<std::remove_reference_t<decltype(this->*option.member)>>(*parsed);
    return {};
  };
  for (const auto& option : kLongs)
    if (option.name == name) return number(option);
  for (const auto& option : kInts)
    if (option.name == name) return number(option);
  const auto choice = [&](auto& member, const auto& choices) -> Result<void> {
    auto chosen = one_of(value, choices);
    if (!chosen) return fail(Error(Code::kInvalid, std::string(name) + " cannot be set", chosen.error()));
    member = *chosen;
    return {};
  };
  if (name == "cleanup.policy") return choice(cleanup_policy, kPolicies);
  if (name == "message.timestamp.type") return choice(timestamp_type, kTimestampTypes);
  if (name == "polis.durability") return choice(durability, kDurabilities);
  if (name == "read.path") return choice(read_path, kReadPaths);
  if (name == "compression.type") return choice(compression, kCompressions);
  if (name == "min.cleanable.dirty.ratio") {
    double parsed = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
    if (error != std::errc() || end != value.data() + value.size() || !(parsed >= 0 && parsed <= 1))
      return fail(Code::kInvalid, fmt::format("{}: \"{:.64}\" is no number from 0 to 1", name, value));
    min_cleanable_dirty_ratio = parsed;
    return {};
  }
  if (const KeptOption* option = kept_option(name)) {
    TRY(check(*option, value));
    kept.insert_or_assign(std::string(name), std::string(value));
    return {};
  }
  return fail(Code::kNotFound, fmt::format("there is no topic option \"{:.128}\"", name));
}

std::string TopicConfig::get(std::string_view name) const {
  for (const auto& option : kLongs)
    if (option.name == name) return std::to_string(this->*option.member);
  for (const auto& option : kInts)
    if (option.name == name) return std::to_string(this->*option.member);
  if (name == "cleanup.policy") return text_of(cleanup_policy, kPolicies);
  if (name == "message.timestamp.type") return text_of(timestamp_type, kTimestampTypes);
  if (name == "polis.durability") return text_of(durability, kDurabilities);
  if (name == "read.path") return text_of(read_path, kReadPaths);
  if (name == "compression.type") return text_of(compression, kCompressions);
  if (name == "min.cleanable.dirty.ratio") return fmt::format("{}", min_cleanable_dirty_ratio);
  if (const auto found = kept.find(name); found != kept.end()) return found->second;
  if (const KeptOption* option = kept_option(name)) return std::string(option->initial);
  return {};
}

}  // namespace polis::stream
