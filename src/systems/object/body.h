// The body of an upload on its way from the connection to the Blob: unframed (aws-chunked), hashed once for everything
// at the same time (MD5 for the ETag, SHA-256 for the signature, the additional checksum), and held against what the
// client promised at its end. Lives on the shard of its request. Memory: one 64 KiB buffer, and only for aws-chunked.
#pragma once

#include <optional>

#include "kernel/base/digest.h"
#include "systems/object/aws_chunked.h"
#include "systems/object/call.h"

namespace polis::object {

// What is known about a body when its last byte has passed.
struct BodySummary {
  uint64_t size_bytes = 0;
  std::string md5;    // 16 raw bytes
  Checksum checksum;  // of the algorithm that was asked for
};

class Body final : public blob::ByteSource {
 public:
  // Whether x-amz-checksum-* headers speak about this body.
  enum class Checksums : unsigned char { kOfBody, kIgnored };

  // Reads the headers that describe the body. kMissingContentLength, kEntityTooLarge (above `size_bytes_max`),
  // kInvalidDigest, ... `fallback`: the checksum to compute when the client names none. Tells the connection that the
  // body may come.
  static Answer<std::unique_ptr<Body>> of(Call& call, uint64_t size_bytes_max,
                                          ChecksumAlgorithm fallback = ChecksumAlgorithm::kNone,
                                          Checksums checksums = Checksums::kOfBody);

  // Of the payload; nothing for a chunked body without x-amz-decoded-content-length.
  std::optional<uint64_t> size_bytes() const { return size_bytes_; }
  const ChecksumRequest& checksum_request() const { return checksum_request_; }

  Task<Result<size_t>> read(MutableBytes into) override;
  // Reads what is left and checks every promise. Call before anything that depends on the body is committed.
  Task<Answer<BodySummary>> finish();
  // What made read() fail, in S3's terms; the Error that came out of it carries only its message.
  const std::optional<Failure>& failure() const { return failure_; }

 private:
  Body(Call& call, uint64_t size_bytes_max) : call_(call), size_bytes_max_(size_bytes_max) {}
  Task<Answer<size_t>> read_decoded(MutableBytes into);
  Task<void> hash(BytesView bytes);
  Answer<void> check_trailer_checksum();
  std::optional<std::string> signed_for_an_empty_body() const;

  Call& call_;
  const uint64_t size_bytes_max_;
  std::optional<uint64_t> size_bytes_;
  ChecksumRequest checksum_request_;
  std::optional<std::string> content_md5_;  // raw

  std::optional<ChunkedDecoder> chunked_;
  Bytes framed_;           // aws-chunked bytes from the connection
  BytesView framed_left_;  // of them, not decoded yet

  base::Md5 md5_;
  std::optional<base::Sha256> sha256_;
  std::optional<Checksummer> checksummer_;
  uint64_t passed_bytes_ = 0;
  uint64_t hashed_since_yield_bytes_ = 0;
  bool at_end_ = false;
  std::optional<Failure> failure_;
};

// The Failure that an AuthFailure of sigv4.h is.
Failure failure_of(const AuthFailure& failure);

}  // namespace polis::object
