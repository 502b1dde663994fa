#include "systems/object/error.h"

#include <array>

namespace polis::object {
namespace {

// In the order of ErrorCode. Names and statuses as Amazon's "Error responses" page of the S3 API reference lists them.
constexpr std::array kShapes = {
    ErrorShape{"AccessDenied", 403, "Access Denied"},
    ErrorShape{"AccessControlListNotSupported", 400, "The bucket does not allow ACLs"},
    ErrorShape{"AuthorizationHeaderMalformed", 400, "The authorization header is malformed"},
    ErrorShape{"AuthorizationQueryParametersError", 400, "The query parameters of the signature are malformed"},
    ErrorShape{"BadDigest", 400, "The Content-MD5 or checksum you specified did not match what we received"},
    ErrorShape{"BadRequest", 400, "The request is malformed"},
    ErrorShape{"BucketAlreadyExists", 409, "The requested bucket name is not available; choose another"},
    ErrorShape{"BucketAlreadyOwnedByYou", 409, "You already own a bucket of this name"},
    ErrorShape{"BucketNotEmpty", 409, "The bucket you tried to delete is not empty"},
    ErrorShape{"ConditionalRequestConflict", 409, "A concurrent request changed the object first; try again"},
    ErrorShape{"EntityTooLarge", 400, "Your upload exceeds the maximum allowed size"},
    ErrorShape{"EntityTooSmall", 400, "Your upload is smaller than the minimum allowed size"},
    ErrorShape{"ExpiredToken", 400, "The provided token has expired"},
    ErrorShape{"IdempotencyParameterMismatch", 400, "The client token was given to a request with other parameters"},
    ErrorShape{"IllegalLocationConstraintException", 400, "The location constraint does not fit this endpoint"},
    ErrorShape{"IncompleteBody", 400, "The request body ended before the number of bytes that was announced"},
    ErrorShape{"InternalError", 500, "We encountered an internal error; try again"},
    ErrorShape{"InvalidAccessKeyId", 403, "The access key id you provided does not exist"},
    ErrorShape{"InvalidArgument", 400, "Invalid argument"},
    ErrorShape{"InvalidBucketAclWithObjectOwnership", 400,
               "The bucket's ACL grants access to others, which BucketOwnerEnforced excludes"},
    ErrorShape{"InvalidBucketName", 400, "The specified bucket is not valid"},
    ErrorShape{"InvalidBucketState", 409, "The request is not valid for the current state of the bucket"},
    ErrorShape{"InvalidChunkSizeError", 403, "Only the last chunk is allowed to have a size less than 8192 bytes"},
    ErrorShape{"InvalidDigest", 400, "The Content-MD5 or checksum you specified is not valid"},
    ErrorShape{"InvalidEncryptionAlgorithmError", 400, "The valid value of the encryption algorithm is AES256"},
    ErrorShape{"InvalidLocationConstraint", 400, "The specified location constraint is not valid"},
    ErrorShape{"InvalidPart", 400, "One or more of the specified parts could not be found, or an ETag does not match"},
    ErrorShape{"InvalidPartOrder", 400, "The list of parts was not in ascending order"},
    ErrorShape{"InvalidPolicyDocument", 400, "The content of the form does not meet the conditions of its policy"},
    ErrorShape{"InvalidRange", 416, "The requested range is not satisfiable"},
    ErrorShape{"InvalidRequest", 400, "Invalid request"},
    ErrorShape{"InvalidRetentionPeriod", 400, "The retention period must be a positive integer within the limits"},
    ErrorShape{"InvalidStorageClass", 400, "The storage class you specified is not valid"},
    ErrorShape{"InvalidTag", 400, "The tag provided was not a valid tag"},
    ErrorShape{"InvalidToken", 400, "The provided token is malformed or otherwise not valid"},
    ErrorShape{"InvalidURI", 400, "The request URI could not be parsed"},
    ErrorShape{"KeyTooLongError", 400, "Your key is too long"},
    ErrorShape{"KMS.DisabledException", 400, "The KMS key is disabled"},
    ErrorShape{"KMS.NotFoundException", 400, "The KMS key does not exist"},
    ErrorShape{"MalformedACLError", 400, "The ACL you provided was not well-formed or did not validate"},
    ErrorShape{"MalformedPolicy", 400, "The policy you provided is not valid"},
    ErrorShape{"MalformedPOSTRequest", 400, "The body of your POST request is not well-formed multipart/form-data"},
    ErrorShape{"MalformedTrailerError", 400, "The trailer of the request is not well-formed"},
    ErrorShape{"MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our schema"},
    ErrorShape{"MaxMessageLengthExceeded", 400, "Your request was too big"},
    ErrorShape{"MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed size"},
    ErrorShape{"MethodNotAllowed", 405, "The specified method is not allowed against this resource"},
    ErrorShape{"MissingContentLength", 411, "You must provide the Content-Length header"},
    ErrorShape{"MissingSecurityHeader", 400, "Your request is missing a required header"},
    ErrorShape{"NoSuchBucket", 404, "The specified bucket does not exist"},
    ErrorShape{"NoSuchBucketPolicy", 404, "The bucket policy does not exist"},
    ErrorShape{"NoSuchCORSConfiguration", 404, "The CORS configuration does not exist"},
    ErrorShape{"NoSuchKey", 404, "The specified key does not exist"},
    ErrorShape{"NoSuchLifecycleConfiguration", 404, "The lifecycle configuration does not exist"},
    ErrorShape{"NoSuchObjectLockConfiguration", 404, "The object has no object lock configuration"},
    ErrorShape{"NoSuchPublicAccessBlockConfiguration", 404, "The public access block configuration was not found"},
    ErrorShape{"NoSuchTagSet", 404, "The TagSet does not exist"},
    ErrorShape{"NoSuchUpload", 404,
               "The specified multipart upload does not exist; it may have been aborted or completed"},
    ErrorShape{"NoSuchVersion", 404, "The specified version does not exist"},
    ErrorShape{"NoSuchWebsiteConfiguration", 404, "The bucket does not have a website configuration"},
    ErrorShape{"NotImplemented", 501, "This operation is not offered here"},
    ErrorShape{"NotModified", 304, "Not Modified"},
    ErrorShape{"ObjectLockConfigurationNotFoundError", 404, "Object Lock configuration does not exist for this bucket"},
    ErrorShape{"OperationAborted", 409, "A conflicting operation is in progress against this resource; try again"},
    ErrorShape{"OwnershipControlsNotFoundError", 404, "The bucket ownership controls were not found"},
    ErrorShape{"PreconditionFailed", 412, "At least one of the preconditions you specified did not hold"},
    ErrorShape{"ReplicationConfigurationNotFoundError", 404, "The replication configuration was not found"},
    ErrorShape{"RequestTimeTooSkewed", 403,
               "The difference between the request time and the server's time is too large"},
    ErrorShape{"RequestTimeout", 400,
               "Your socket connection was not read from or written to within the timeout period"},
    ErrorShape{"ServerSideEncryptionConfigurationNotFoundError", 404,
               "The server side encryption configuration was not found"},
    ErrorShape{"ServiceUnavailable", 503, "The store cannot do this now; try later"},
    ErrorShape{"SignatureDoesNotMatch", 403,
               "The request signature we calculated does not match the signature you provided"},
    ErrorShape{"SlowDown", 503, "Please reduce your request rate"},
    ErrorShape{"TooManyBuckets", 400, "You have attempted to create more buckets than allowed"},
    ErrorShape{"UnresolvableGrantByEmailAddress", 400, "The email address you provided does not match any account"},
    ErrorShape{"XAmzContentChecksumMismatch", 400, "The provided checksum does not match what was computed"},
    ErrorShape{"XAmzContentSHA256Mismatch", 400,
               "The provided x-amz-content-sha256 header does not match what was computed"},
};
static_assert(kShapes.size() == static_cast<size_t>(ErrorCode::kXAmzContentSha256Mismatch) + 1);

constexpr auto kCodes = [] {
  std::array<ErrorCode, kShapes.size()> codes{};
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<ErrorCode>(i);
  return codes;
}();

ErrorCode closest(Code code) {
  switch (code) {
    case Code::kBusy:
    case Code::kNoSpace:
      return ErrorCode::kSlowDown;
    case Code::kUnavailable:
    case Code::kReadOnly:
      return ErrorCode::kServiceUnavailable;
    case Code::kConflict:
      return ErrorCode::kOperationAborted;
    case Code::kTimeout:
      return ErrorCode::kRequestTimeout;
    case Code::kTooLarge:
      return ErrorCode::kEntityTooLarge;
    case Code::kDenied:
      return ErrorCode::kAccessDenied;
    case Code::kUnsupported:
      return ErrorCode::kNotImplemented;
    default:
      return ErrorCode::kInternalError;
  }
}

}  // namespace

const ErrorShape& shape(ErrorCode code) {
  return kShapes[static_cast<size_t>(code)];
}

const ErrorCode* error_code_named(std::string_view name) {
  for (size_t i = 0; i < kShapes.size(); ++i)
    if (kShapes[i].name == name) return &kCodes[i];
  return nullptr;
}

Failure::Failure(Error error) : code_(closest(error.code())), message_(error.text()) {
  // RFC 9110 §10.2.3: clients that honour it come back when the queue has had time to drain.
  if (shape(code_).status == 503) headers_.emplace_back("Retry-After", "1");
  // Which row two changes met on is nothing to a client.
  if (code_ == ErrorCode::kOperationAborted) message_ = shape(code_).message;
}

}  // namespace polis::object
