#include "systems/object/aws_chunked.h"

#include <algorithm>
#include <charconv>

#include "kernel/base/ascii.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/sigv4_text.h"

namespace polis::object {
namespace {

using namespace sigv4;
using std::unexpected;

constexpr std::string_view kChunkSignature = ";chunk-signature=";
constexpr std::string_view kTrailerSignature = "x-amz-trailer-signature";
// SHA-256 of nothing.
constexpr std::string_view kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

AuthFailure invalid(std::string message) {
  return failure("InvalidRequest", 400, std::move(message));
}
AuthFailure incomplete(std::string message) {
  return failure("IncompleteBody", 400, std::move(message));
}
AuthFailure malformed_trailer() {
  return failure(
      "MalformedTrailerError", 400,
      "The request contained trailing data that was not well-formed or did not conform to our published schema.");
}

std::string chunk_signature(const Verified& signing, std::string_view previous, const base::Sha256Digest& data) {
  std::string text = "AWS4-HMAC-SHA256-PAYLOAD\n" + signing.amz_date + "\n" + signing.scope + "\n";
  text += previous;
  text += '\n';
  text += kEmptyHash;
  text += '\n';
  text += base::hex_encode(data);
  return hex_hmac(signing.signing_key, text);
}

std::string trailer_signature(const Verified& signing, std::string_view previous,
                              std::span<const OwnedHeader> trailers) {
  base::Sha256 hash;
  for (const OwnedHeader& trailer : trailers) {
    hash.update(trailer.name);
    hash.update(":");
    hash.update(trailer.value);
    hash.update("\n");
  }
  std::string text = "AWS4-HMAC-SHA256-TRAILER\n" + signing.amz_date + "\n" + signing.scope + "\n";
  text += previous;
  text += '\n';
  text += base::hex_encode(hash.finish());
  return hex_hmac(signing.signing_key, text);
}

bool equal_signatures(std::string_view presented, std::string_view computed) {
  return base::constant_time_equal(as_bytes(presented), as_bytes(computed));
}

AuthFailure wrong_signature(std::string_view of) {
  return failure("SignatureDoesNotMatch", 403,
                 "The signature of " + std::string(of) + " does not match the data that came with it.");
}

}  // namespace

AuthResult<ChunkedDecoder> ChunkedDecoder::make(Verified verified, uint64_t decoded_size_bytes,
                                                std::string_view trailer_names) {
  POLIS_ASSERT(is_streaming(verified.payload));
  ChunkedDecoder decoder;
  decoder.verified_ = std::move(verified);
  decoder.previous_signature_ = decoder.verified_.seed_signature;
  decoder.decoded_size_bytes_ = decoded_size_bytes;
  while (!trailer_names.empty()) {
    size_t end = trailer_names.find(',');
    std::string name = base::lower(trim_view(trailer_names.substr(0, end)));
    trailer_names = end == std::string_view::npos ? std::string_view{} : trailer_names.substr(end + 1);
    if (name.empty()) continue;
    if (decoder.trailer_names_.size() == kTrailersMax || !name.starts_with("x-amz-"))
      return unexpected(invalid("The value specified in the x-amz-trailer header is not supported"));
    decoder.trailer_names_.push_back(std::move(name));
  }
  if (!decoder.trailer_names_.empty() && !decoder.with_trailer())
    return unexpected(invalid("x-amz-trailer needs an x-amz-content-sha256 that ends in -TRAILER."));
  return decoder;
}

AuthFailure ChunkedDecoder::failed(AuthFailure refused) {
  state_ = State::kFailed;
  return refused;
}

AuthResult<ChunkedDecoder::Step> ChunkedDecoder::feed(BytesView input) {
  Step step;
  if (input.empty()) return step;
  if (state_ == State::kFailed) return unexpected(invalid("The body was already refused."));
  if (state_ == State::kDone)
    return unexpected(failed(invalid("There is data after the end of the aws-chunked body.")));

  if (state_ == State::kData) {
    step.consumed = static_cast<size_t>(std::min<uint64_t>(chunk_bytes_left_, input.size()));
    step.data = input.first(step.consumed);
    if (signed_chunks()) chunk_hash_.update(step.data);
    chunk_bytes_left_ -= step.consumed;
    decoded_bytes_ += step.consumed;
    if (chunk_bytes_left_ == 0) state_ = State::kDataEnd;
    return step;
  }

  // Everything else is lines.
  size_t limit = state_ == State::kTrailerLine ? kTrailerLineBytesMax : kChunkLineBytesMax;
  std::string_view text = as_text(input);
  size_t newline = text.find('\n');
  size_t taken = newline == std::string_view::npos ? text.size() : newline + 1;
  if (line_.size() + taken > limit)
    return unexpected(failed(invalid("A line of the aws-chunked framing is too long.")));
  line_ += text.substr(0, taken);
  step.consumed = taken;
  if (newline == std::string_view::npos) return step;

  std::string line = std::exchange(line_, {});
  line.pop_back();
  if (line.ends_with('\r')) line.pop_back();
  AuthResult<void> handled;
  switch (state_) {
    case State::kChunkLine:
      handled = chunk_line(line);
      break;
    case State::kDataEnd:
      handled = line.empty() ? end_of_chunk() : unexpected(invalid("A chunk is longer than its header says."));
      break;
    case State::kTrailerLine:
      handled = trailer_line(line);
      break;
    case State::kEndLine:
      if (line.empty())
        state_ = State::kDone;
      else
        handled = unexpected(malformed_trailer());
      break;
    case State::kData:
    case State::kDone:
    case State::kFailed:
      break;
  }
  if (!handled) return unexpected(failed(std::move(handled.error())));
  return step;
}

AuthResult<void> ChunkedDecoder::chunk_line(std::string_view line) {
  size_t digits = std::min(line.find_first_not_of("0123456789abcdefABCDEF"), line.size());
  uint64_t size_bytes = 0;
  auto [end, error] = std::from_chars(line.data(), line.data() + digits, size_bytes, 16);
  if (digits == 0 || error != std::errc() || end != line.data() + digits)
    return unexpected(invalid("A chunk header has no valid size."));
  std::string_view rest = line.substr(digits);
  if (signed_chunks()) {
    if (!rest.starts_with(kChunkSignature) || !is_hex64(rest.substr(kChunkSignature.size())))
      return unexpected(invalid("A chunk header must be hex-size;chunk-signature=signature."));
    chunk_signature_ = rest.substr(kChunkSignature.size());
  } else if (!trim_view(rest).empty()) {
    return unexpected(invalid("A chunk header must be the size in hexadecimal digits."));
  }
  if (size_bytes > decoded_size_bytes_ - decoded_bytes_)
    return unexpected(incomplete("The body is longer than x-amz-decoded-content-length says."));
  if (size_bytes > 0 && signed_chunks()) {
    if (small_chunk_seen_)
      return unexpected(
          failure("InvalidChunkSizeError", 403, "Only the last chunk is allowed to have a size less than 8192 bytes"));
    small_chunk_seen_ = size_bytes < kSignedChunkBytesMin;
  }
  chunk_bytes_ = chunk_bytes_left_ = size_bytes;
  if (size_bytes > 0) {
    state_ = State::kData;
    return {};
  }
  return end_of_chunk();
}

AuthResult<void> ChunkedDecoder::end_of_chunk() {
  if (signed_chunks()) {
    if (!equal_signatures(chunk_signature_, chunk_signature(verified_, previous_signature_, chunk_hash_.finish())))
      return unexpected(wrong_signature("a chunk"));
    previous_signature_ = std::move(chunk_signature_);
  }
  if (chunk_bytes_ > 0) {
    state_ = State::kChunkLine;
    return {};
  }
  if (decoded_bytes_ != decoded_size_bytes_)
    return unexpected(incomplete(
        "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header"));
  state_ = with_trailer() ? State::kTrailerLine : State::kEndLine;
  return {};
}

AuthResult<void> ChunkedDecoder::trailer_line(std::string_view line) {
  if (line.empty()) {
    // Some clients end the trailers with an empty line of their own before the signature, so the signature is what ends
    // them.
    if (!signed_chunks()) return end_of_trailers({});
    if (blank_trailer_lines_++ < 2) return {};
    return unexpected(malformed_trailer());
  }
  size_t colon = line.find(':');
  if (colon == std::string_view::npos) return unexpected(malformed_trailer());
  std::string name = base::lower(trim_view(line.substr(0, colon)));
  std::string_view value = trim_view(line.substr(colon + 1));
  if (signed_chunks() && name == kTrailerSignature) return end_of_trailers(value);
  bool declared = std::ranges::find(trailer_names_, name) != trailer_names_.end();
  bool repeated = std::ranges::find(trailers_, name, &OwnedHeader::name) != trailers_.end();
  if (!declared || repeated || value.empty()) return unexpected(malformed_trailer());
  trailers_.push_back({std::move(name), std::string(value)});
  return {};
}

AuthResult<void> ChunkedDecoder::end_of_trailers(std::string_view signature) {
  if (trailers_.size() != trailer_names_.size()) return unexpected(malformed_trailer());
  if (signed_chunks()) {
    if (!equal_signatures(signature, trailer_signature(verified_, previous_signature_, trailers_)))
      return unexpected(wrong_signature("the trailers"));
    state_ = State::kEndLine;
    return {};
  }
  state_ = State::kDone;
  return {};
}

AuthResult<void> ChunkedDecoder::finish() {
  // The empty line at the very end carries nothing, and some clients leave it out.
  bool lacks_only_end = state_ == State::kTrailerLine && !signed_chunks() && line_.empty();
  if (lacks_only_end) {
    if (auto ended = end_of_trailers({}); !ended) return unexpected(failed(std::move(ended.error())));
  }
  if (state_ == State::kEndLine && (line_.empty() || line_ == "\r")) state_ = State::kDone;
  if (state_ == State::kDone) return {};
  if (state_ != State::kFailed) state_ = State::kFailed;
  return unexpected(incomplete("The request body ended before its last chunk."));
}

// --- encoder

ChunkedEncoder::ChunkedEncoder(Verified signing)
    : signing_(std::move(signing)), previous_signature_(signing_.seed_signature) {
  POLIS_ASSERT(is_streaming(signing_.payload));
}

std::string ChunkedEncoder::chunk_head(BytesView data) {
  char digits[16];
  auto end = std::to_chars(std::begin(digits), std::end(digits), data.size(), 16).ptr;
  std::string head(digits, end);
  if (signing_.payload != PayloadMode::kStreamingUnsignedTrailer) {
    previous_signature_ = chunk_signature(signing_, previous_signature_, base::sha256(data));
    head += kChunkSignature;
    head += previous_signature_;
  }
  return head + "\r\n";
}

std::string ChunkedEncoder::begin_chunk(BytesView data) {
  POLIS_ASSERT(!data.empty());
  return chunk_head(data);
}

std::string ChunkedEncoder::finish(std::span<const OwnedHeader> trailers) {
  std::string out = chunk_head({});
  if (signing_.payload != PayloadMode::kStreamingSigned) {
    for (const OwnedHeader& trailer : trailers) out += trailer.name + ":" + trailer.value + "\r\n";
    if (signing_.payload == PayloadMode::kStreamingSignedTrailer) {
      out += kTrailerSignature;
      out += ":" + trailer_signature(signing_, previous_signature_, trailers) + "\r\n";
    }
  }
  return out + "\r\n";
}

}  // namespace polis::object
