// The errors of the S3 protocol: a code that clients branch on, its HTTP status, and a message for a person. Everything
// above the kernel in this system answers with Answer<T>; a kernel Error that comes up from below turns into the
// closest S3 code here, once.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/result.h"

namespace polis::object {

enum class ErrorCode : unsigned char {
  kAccessDenied,
  kAccessControlListNotSupported,
  kAuthorizationHeaderMalformed,
  kAuthorizationQueryParametersError,
  kBadDigest,
  kBadRequest,
  kBucketAlreadyExists,
  kBucketAlreadyOwnedByYou,
  kBucketNotEmpty,
  kConditionalRequestConflict,
  kEntityTooLarge,
  kEntityTooSmall,
  kExpiredToken,
  kIdempotencyParameterMismatch,
  kIllegalLocationConstraint,
  kIncompleteBody,
  kInternalError,
  kInvalidAccessKeyId,
  kInvalidArgument,
  kInvalidBucketAclWithObjectOwnership,
  kInvalidBucketName,
  kInvalidBucketState,
  kInvalidChunkSize,
  kInvalidDigest,
  kInvalidEncryptionAlgorithm,
  kInvalidLocationConstraint,
  kInvalidPart,
  kInvalidPartOrder,
  kInvalidPolicyDocument,
  kInvalidRange,
  kInvalidRequest,
  kInvalidRetentionPeriod,
  kInvalidStorageClass,
  kInvalidTag,
  kInvalidToken,
  kInvalidUri,
  kKeyTooLong,
  kKmsDisabled,
  kKmsNotFound,
  kMalformedAcl,
  kMalformedPolicy,
  kMalformedPostRequest,
  kMalformedTrailer,
  kMalformedXml,
  kMaxMessageLengthExceeded,
  kMetadataTooLarge,
  kMethodNotAllowed,
  kMissingContentLength,
  kMissingSecurityHeader,
  kNoSuchBucket,
  kNoSuchBucketPolicy,
  kNoSuchCorsConfiguration,
  kNoSuchKey,
  kNoSuchLifecycleConfiguration,
  kNoSuchObjectLockConfiguration,
  kNoSuchPublicAccessBlockConfiguration,
  kNoSuchTagSet,
  kNoSuchUpload,
  kNoSuchVersion,
  kNoSuchWebsiteConfiguration,
  kNotImplemented,
  kNotModified,
  kObjectLockConfigurationNotFound,
  kOperationAborted,
  kOwnershipControlsNotFound,
  kPreconditionFailed,
  kReplicationConfigurationNotFound,
  kRequestTimeTooSkewed,
  kRequestTimeout,
  kServerSideEncryptionConfigurationNotFound,
  kServiceUnavailable,
  kSignatureDoesNotMatch,
  kSlowDown,
  kTooManyBuckets,
  kUnresolvableGrantByEmailAddress,
  kXAmzContentChecksumMismatch,
  kXAmzContentSha256Mismatch,
};

struct ErrorShape {
  std::string_view name;     // as clients read it in <Code>
  unsigned status;           // HTTP
  std::string_view message;  // said when the place of failure has nothing better to say
};
const ErrorShape& shape(ErrorCode code);
// The code that clients know by this name; nothing for a name that is not in the table.
const ErrorCode* error_code_named(std::string_view name);

using HeaderList = std::vector<std::pair<std::string, std::string>>;

// One failed operation, ready to be answered.
class [[nodiscard]] Failure {
 public:
  Failure(ErrorCode code) : code_(code), message_(shape(code).message) {}  // NOLINT: a code is a failure
  Failure(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  Failure(Error error);  // NOLINT: the one place where the kernel's words become the protocol's

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // Extra response headers (x-amz-delete-marker, Retry-After, Content-Range of a 416).
  const HeaderList& headers() const { return headers_; }
  // Extra elements of the error's XML.
  const HeaderList& details() const { return details_; }
  Failure& header(std::string name, std::string value) & {
    headers_.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  Failure& detail(std::string name, std::string value) & {
    details_.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  Failure&& header(std::string name, std::string value) && {
    return std::move(header(std::move(name), std::move(value)));
  }
  Failure&& detail(std::string name, std::string value) && {
    return std::move(detail(std::move(name), std::move(value)));
  }

 private:
  ErrorCode code_;
  std::string message_;
  HeaderList headers_;
  HeaderList details_;
};

template <class T>
using Answer = std::expected<T, Failure>;

inline std::unexpected<Failure> refuse(ErrorCode code) {
  return std::unexpected<Failure>(std::in_place, code);
}
inline std::unexpected<Failure> refuse(ErrorCode code, std::string message) {
  return std::unexpected<Failure>(std::in_place, code, std::move(message));
}
inline std::unexpected<Failure> refuse(Failure failure) {
  return std::unexpected<Failure>(std::move(failure));
}

}  // namespace polis::object

#define POLIS_OBJECT_TRY_AS(answer, leave, expr)                                                     \
  ({                                                                                                 \
    auto&& answer = (expr);                                                                          \
    if (!answer.has_value()) [[unlikely]]                                                            \
      leave ::std::unexpected<::polis::object::Failure>(::std::in_place, std::move(answer).error()); \
    std::move(answer).value();                                                                       \
  })

// As TRY and CO_TRY, for functions that answer with Answer<T>; the expression may be an Answer or a Result.
#define ASK(...) POLIS_OBJECT_TRY_AS(POLIS_CONCAT(ask_answer_, __COUNTER__), return, (__VA_ARGS__))
#define CO_ASK(...) POLIS_OBJECT_TRY_AS(POLIS_CONCAT(ask_answer_, __COUNTER__), co_return, (__VA_ARGS__))
