#include "systems/stream/events/refusals.h"

#include <fmt/format.h>

namespace polis::stream {
namespace {

Code kernel_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kUnknownTopicId:
    case ErrorCode::kGroupIdNotFound:
    case ErrorCode::kTransactionalIdNotFound:
    case ErrorCode::kResourceNotFound:
      return Code::kNotFound;
    case ErrorCode::kTopicAlreadyExists:
    case ErrorCode::kDuplicateResource:
      return Code::kExists;
    case ErrorCode::kOffsetOutOfRange:
      return Code::kOutOfRange;
    case ErrorCode::kMessageTooLarge:
    case ErrorCode::kRecordListTooLarge:
    case ErrorCode::kOffsetMetadataTooLarge:
    case ErrorCode::kGroupMaxSizeReached:
      return Code::kTooLarge;
    case ErrorCode::kCorruptMessage:
    case ErrorCode::kInvalidRecord:
      return Code::kCorrupt;
    case ErrorCode::kThrottlingQuotaExceeded:
    case ErrorCode::kConcurrentTransactions:
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kUnstableOffsetCommit:
      return Code::kBusy;
    case ErrorCode::kRequestTimedOut:
      return Code::kTimeout;
    case ErrorCode::kIllegalGeneration:
    case ErrorCode::kUnknownMemberId:
    case ErrorCode::kRebalanceInProgress:
    case ErrorCode::kFencedInstanceId:
    case ErrorCode::kInvalidProducerEpoch:
    case ErrorCode::kProducerFenced:
    case ErrorCode::kInvalidProducerIdMapping:
    case ErrorCode::kOutOfOrderSequenceNumber:
    case ErrorCode::kUnknownProducerId:
      return Code::kConflict;
    case ErrorCode::kNotLeaderOrFollower:
      return Code::kClosed;
    case ErrorCode::kKafkaStorageError:
    case ErrorCode::kCoordinatorNotAvailable:
    case ErrorCode::kNotCoordinator:
    case ErrorCode::kUnknownServerError:
      return Code::kUnavailable;
    default:
      return Code::kInvalid;
  }
}

}  // namespace

Error error_of(ErrorCode code, std::string_view what, std::string_view message) {
  return Error(kernel_code(code), fmt::format("{}: {}{}{}", what, name(code), message.empty() ? "" : ": ", message));
}

Result<void> outcome_of(int16_t code, std::string_view what) {
  const auto known = static_cast<ErrorCode>(code);
  if (known == ErrorCode::kNone) return {};
  return fail(error_of(known, what));
}

}  // namespace polis::stream
