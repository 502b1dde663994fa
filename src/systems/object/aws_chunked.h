// The aws-chunked body: what S3 clients wrap around a stream whose hash they do not know when they sign the headers.
//
//   body     = *chunk last *trailer [trailer-signature] CRLF
//   chunk    = hex-size [";chunk-signature=" 64hex] CRLF bytes CRLF        hex-size > 0
//   last     = "0" [";chunk-signature=" 64hex] CRLF
//   trailer  = name ":" value CRLF                                         x-amz-checksum-*
//   trailer-signature = "x-amz-trailer-signature:" 64hex CRLF              only after signed chunks
//
// Each signature covers the one before it, starting with the one of the request's headers. After "Signature
// calculations for the authorization header: transferring payload in multiple chunks" of the Amazon S3 API Reference.
// Sans-IO; one decoder belongs to one request.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "systems/object/sigv4.h"

namespace polis::object {

// Longest chunk line (16 hex digits and a signature take 98) and longest trailer line that are looked at.
inline constexpr size_t kChunkLineBytesMax = 256;
inline constexpr size_t kTrailerLineBytesMax = 1024;
inline constexpr size_t kTrailersMax = 8;
// Signed chunks but the last carry at least this much (S3's own rule): a signature costs a microsecond, a byte must
// not.
inline constexpr uint64_t kSignedChunkBytesMin = 8 * 1024;

class ChunkedDecoder {
 public:
  // `verified.payload` is one of the streaming modes. `decoded_size_bytes` is x-amz-decoded-content-length.
  // `trailer_names` is the value of x-amz-trailer: the trailers that must come, and the only ones that may; empty for
  // none.
  static AuthResult<ChunkedDecoder> make(Verified verified, uint64_t decoded_size_bytes,
                                         std::string_view trailer_names);

  struct Step {
    size_t consumed =
        0;           // bytes of the input that are used up; at least 1 unless the input is empty or the body has ended
    BytesView data;  // payload inside the input; empty if this step found none
  };
  // Takes the next piece of the body; call again with what it left. Payload is handed out before its signature has
  // arrived: it counts only once finish() has succeeded. After a failure the decoder is done. Bytes after the end are a
  // failure.
  AuthResult<Step> feed(BytesView input);
  // The body has ended: IncompleteBody unless everything arrived, matched its signatures and has the promised length.
  AuthResult<void> finish();

  // Everything has arrived and matched.
  bool complete() const { return state_ == State::kDone || state_ == State::kEndLine; }
  uint64_t decoded_bytes() const { return decoded_bytes_; }
  // Names in lower case; valid once complete.
  const std::vector<OwnedHeader>& trailers() const { return trailers_; }

 private:
  enum class State : unsigned char { kChunkLine, kData, kDataEnd, kTrailerLine, kEndLine, kDone, kFailed };
  ChunkedDecoder() = default;
  AuthResult<void> chunk_line(std::string_view line);
  AuthResult<void> end_of_chunk();
  AuthResult<void> trailer_line(std::string_view line);
  AuthResult<void> end_of_trailers(std::string_view signature);
  bool signed_chunks() const { return verified_.payload != PayloadMode::kStreamingUnsignedTrailer; }
  bool with_trailer() const { return verified_.payload != PayloadMode::kStreamingSigned; }
  AuthFailure failed(AuthFailure failure);

  Verified verified_;
  std::string previous_signature_;
  std::string chunk_signature_;
  uint64_t decoded_size_bytes_ = 0;
  uint64_t decoded_bytes_ = 0;
  uint64_t chunk_bytes_ = 0;  // of the current chunk
  uint64_t chunk_bytes_left_ = 0;
  bool small_chunk_seen_ = false;
  unsigned blank_trailer_lines_ = 0;
  std::string line_;
  std::vector<std::string> trailer_names_;
  std::vector<OwnedHeader> trailers_;
  base::Sha256 chunk_hash_;
  State state_ = State::kChunkLine;
};

// The other side: frames a body chunk by chunk. For clients of other S3 stores and for tests.
class ChunkedEncoder {
 public:
  // As a Verified that the receiver will compute: key, seed, date and scope of the signed request.
  explicit ChunkedEncoder(Verified signing);
  // What stands before the bytes of a chunk and after them. `data` is not empty.
  std::string begin_chunk(BytesView data);
  static constexpr std::string_view kEndChunk = "\r\n";
  // The last chunk, the trailers (lower-case names) and the end.
  std::string finish(std::span<const OwnedHeader> trailers = {});

 private:
  std::string chunk_head(BytesView data);
  Verified signing_;
  std::string previous_signature_;
};

}  // namespace polis::object
