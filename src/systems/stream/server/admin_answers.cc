#include "systems/stream/server/admin_answers.h"

#include <algorithm>

#include "kernel/base/text_encoding.h"

namespace polis::stream {

std::string_view sentence(ErrorCode code) {
  switch (code) {
    case ErrorCode::kTopicAuthorizationFailed:
      return "Topic authorization failed.";
    case ErrorCode::kGroupAuthorizationFailed:
      return "Group authorization failed.";
    case ErrorCode::kClusterAuthorizationFailed:
      return "Cluster authorization failed.";
    case ErrorCode::kUnknownTopicOrPartition:
      return "This server does not host this topic-partition.";
    case ErrorCode::kUnknownTopicId:
      return "This server does not host this topic ID.";
    case ErrorCode::kInvalidTopic:
      return "The request attempted to perform an operation on an invalid topic.";
    case ErrorCode::kElectionNotNeeded:
      return "Leader election not needed for topic partition.";
    case ErrorCode::kNoReassignmentInProgress:
      return "No partition reassignment is in progress.";
    case ErrorCode::kThrottlingQuotaExceeded:
      return "The throttling quota has been exceeded.";
    case ErrorCode::kRequestTimedOut:
      return "The request timed out.";
    default:
      return {};
  }
}

std::string shown(std::string_view text) {
  if (!base::utf8_valid(text)) return "(not text)";
  size_t size = std::min<size_t>(text.size(), 256);
  // Not in the middle of a character.
  while (size < text.size() && size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  std::string printable(text.substr(0, size));
  std::ranges::replace_if(printable, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return printable;
}

Task<void> record_change(Call& call, std::string_view action, std::string_view resource, std::string_view detail) {
  auth::AuditLog& audit = call.parts.auth.audit();
  auth::AuditRecord record = audit.describe({.principal = call.identity->principal, .peer = call.session.peer.text()},
                                            action, resource, auth::AuditOutcome::kSuccess, detail);
  // One who is known by a SCRAM credential alone is no user of polis.
  if (record.user_name.empty()) record.user_name = shown(call.identity->name);
  const auto recorded = co_await audit.record(std::move(record));
  static_cast<void>(recorded);
}

}  // namespace polis::stream
