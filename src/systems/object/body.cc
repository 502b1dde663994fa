#include "systems/object/body.h"

#include <algorithm>

#include "kernel/base/text_encoding.h"
#include "kernel/io/shard.h"

namespace polis::object {
namespace {

constexpr size_t kFramedBufferBytes = 64 * 1024;
// Hashing costs about 1.5 ns a byte (MD5 alone 1.4): from here on the blocking pool's hand-over (some 10 us) is cheaper
// than keeping the shard from everybody else.
constexpr size_t kHashOnPoolBytes = 128 * 1024;
constexpr uint64_t kYieldBytes = 256 * 1024;

Failure reading_failed(const Error& error) {
  switch (error.code()) {
    case Code::kTooLarge:
      return ErrorCode::kEntityTooLarge;
    case Code::kTimeout:
      return ErrorCode::kRequestTimeout;
    case Code::kClosed:
    case Code::kInvalid:
      return ErrorCode::kIncompleteBody;
    default:
      return Failure(error);
  }
}

}  // namespace

Failure failure_of(const AuthFailure& failure) {
  const ErrorCode* code = error_code_named(failure.code);
  Failure out(code ? *code : ErrorCode::kAccessDenied, failure.message);
  if (!failure.string_to_sign.empty()) out.detail("StringToSign", failure.string_to_sign);
  if (!failure.canonical_request.empty()) out.detail("CanonicalRequest", failure.canonical_request);
  if (!failure.region.empty()) out.detail("Region", failure.region);
  return out;
}

Answer<std::unique_ptr<Body>> Body::of(Call& call, uint64_t size_bytes_max, ChecksumAlgorithm fallback,
                                       Checksums checksums) {
  std::unique_ptr<Body> body(new Body(call, size_bytes_max));
  if (checksums == Checksums::kOfBody) body->checksum_request_ = ASK(checksum_of(call));
  if (body->checksum_request_.algorithm == ChecksumAlgorithm::kNone) body->checksum_request_.algorithm = fallback;
  if (body->checksum_request_.algorithm != ChecksumAlgorithm::kNone)
    body->checksummer_.emplace(body->checksum_request_.algorithm);

  if (call.has_header("content-md5")) {
    auto md5 = base::base64_decode(call.header("content-md5"));
    if (!md5 || md5->size() != 16)
      return refuse(ErrorCode::kInvalidDigest, "The Content-MD5 you specified is not valid");
    body->content_md5_ = std::string(as_text(*md5));
  }
  if (call.verified.payload == PayloadMode::kHash) body->sha256_.emplace();

  if (is_streaming(call.verified.payload)) {
    if (!call.has_header("x-amz-decoded-content-length"))
      return refuse(ErrorCode::kMissingContentLength, "You must provide the x-amz-decoded-content-length header");
    body->size_bytes_ =
        ASK(number_of("x-amz-decoded-content-length", call.header("x-amz-decoded-content-length"), 0, UINT64_MAX));
    auto decoder = ChunkedDecoder::make(call.verified, *body->size_bytes_, call.header("x-amz-trailer"));
    if (!decoder) return refuse(failure_of(decoder.error()));
    body->chunked_.emplace(std::move(*decoder));
    body->framed_.resize(kFramedBufferBytes);
  } else {
    if (!call.request.has_body() && !call.has_header("content-length")) return refuse(ErrorCode::kMissingContentLength);
    body->size_bytes_ = call.request.has_body() ? call.request.content_length() : 0;
  }
  if (body->size_bytes_ && *body->size_bytes_ > size_bytes_max)
    return refuse(Failure(ErrorCode::kEntityTooLarge)
                      .detail("ProposedSize", std::to_string(*body->size_bytes_))
                      .detail("MaxSizeAllowed", std::to_string(size_bytes_max)));
  // The limit is on the payload and is kept here; frames come on top of it.
  call.request.limit_body(UINT64_MAX);
  return body;
}

Task<void> Body::hash(BytesView bytes) {
  auto update = [&] {
    md5_.update(bytes);
    if (sha256_) sha256_->update(bytes);
    if (checksummer_) checksummer_->update(bytes);
  };
  if (bytes.size() >= kHashOnPoolBytes) {
    co_await io::blocking([&] {
      update();
      return true;
    });
    co_return;
  }
  update();
  hashed_since_yield_bytes_ += bytes.size();
  if (hashed_since_yield_bytes_ >= kYieldBytes) {
    hashed_since_yield_bytes_ = 0;
    co_await io::yield();
  }
}

// At least one byte of payload, or 0 at the end.
Task<Answer<size_t>> Body::read_decoded(MutableBytes into) {
  if (!chunked_) {
    if (!call_.request.has_body()) co_return size_t{0};
    auto count = co_await call_.request.read(into);
    if (!count) co_return refuse(reading_failed(count.error()));
    co_return *count;
  }
  for (;;) {
    while (!framed_left_.empty()) {
      // The decoder hands out views of its input, so it never sees more than fits.
      auto step = chunked_->feed(framed_left_.first(std::min(framed_left_.size(), into.size())));
      if (!step) co_return refuse(failure_of(step.error()));
      framed_left_ = framed_left_.subspan(step->consumed);
      if (!step->data.empty()) {
        std::memcpy(into.data(), step->data.data(), step->data.size());
        co_return step->data.size();
      }
      if (step->consumed == 0) break;
    }
    auto count = co_await call_.request.read(framed_);
    if (!count) co_return refuse(reading_failed(count.error()));
    if (*count == 0) {
      auto complete = chunked_->finish();
      if (!complete) co_return refuse(failure_of(complete.error()));
      co_return size_t{0};
    }
    framed_left_ = BytesView(framed_).first(*count);
  }
}

Task<Result<size_t>> Body::read(MutableBytes into) {
  size_t filled = 0;
  while (filled < into.size() && !at_end_ && !failure_) {
    auto count = co_await read_decoded(into.subspan(filled));
    if (!count) {
      failure_ = std::move(count).error();
    } else if (*count == 0) {
      at_end_ = true;
    } else {
      filled += *count;
      passed_bytes_ += *count;
      if (passed_bytes_ > size_bytes_max_)
        failure_ = Failure(ErrorCode::kEntityTooLarge).detail("MaxSizeAllowed", std::to_string(size_bytes_max_));
    }
  }
  if (failure_) co_return fail(Code::kInvalid, "the body of the request cannot be read: " + failure_->message());
  if (filled > 0) co_await hash(into.first(filled));
  co_return filled;
}

Answer<void> Body::check_trailer_checksum() {
  if (!checksum_request_.trailer || !chunked_) return {};
  for (const OwnedHeader& trailer : chunked_->trailers()) {
    if (trailer.name != header_name(checksum_request_.algorithm)) continue;
    checksum_request_.expected = ASK(parse_checksum(checksum_request_.algorithm, trailer.value));
    return {};
  }
  return refuse(ErrorCode::kInvalidRequest,
                "The announced trailer " + std::string(header_name(checksum_request_.algorithm)) + " did not come");
}

// SDKs since January 2025 put the checksum of the body into a URL that they sign, and sign it before there is one.
std::optional<std::string> Body::signed_for_an_empty_body() const {
  const std::string_view header = header_name(checksum_request_.algorithm);
  if (call_.scheme != AuthScheme::kV4Query || call_.request.field(header)) return std::nullopt;
  Checksummer nothing(checksum_request_.algorithm);
  if (checksum_request_.expected->raw != nothing.finish().raw) return std::nullopt;
  return "This URL was signed with the " + std::string(name(checksum_request_.algorithm)) +
         " of an empty body, so no other body may be sent to it. Sign it with a client whose "
         "requestChecksumCalculation (request_checksum_calculation) is WHEN_REQUIRED.";
}

Task<Answer<BodySummary>> Body::finish() {
  if (!at_end_ && !failure_) {
    // The reader stopped at the announced size; what is left can only be the end of the frames.
    Bytes rest(4096);
    auto count = co_await read(rest);
    if (count && *count > 0) failure_ = Failure(ErrorCode::kIncompleteBody, "The body is longer than was announced");
  }
  if (failure_) co_return refuse(*failure_);
  if (size_bytes_ && passed_bytes_ != *size_bytes_) co_return refuse(ErrorCode::kIncompleteBody);

  BodySummary summary{.size_bytes = passed_bytes_};
  auto md5 = md5_.finish();
  summary.md5 = as_text(md5);
  if (content_md5_ && *content_md5_ != summary.md5)
    co_return refuse(Failure(ErrorCode::kBadDigest, "The Content-MD5 you specified did not match what we received.")
                         .detail("ExpectedDigest", base::base64_encode(as_bytes(*content_md5_)))
                         .detail("CalculatedDigest", base::base64_encode(as_bytes(summary.md5))));
  if (sha256_) {
    auto held = check_payload(call_.verified, sha256_->finish());
    if (!held) co_return refuse(failure_of(held.error()));
  }
  if (checksummer_) {
    summary.checksum = checksummer_->finish();
    CO_ASK(check_trailer_checksum());
    if (checksum_request_.expected && checksum_request_.expected->raw != summary.checksum.raw) {
      if (auto reason = signed_for_an_empty_body()) co_return refuse(ErrorCode::kBadDigest, std::move(*reason));
      co_return refuse(ErrorCode::kBadDigest, "The " + std::string(name(checksum_request_.algorithm)) +
                                                  " you specified did not match the calculated checksum.");
    }
  }
  co_return summary;
}

}  // namespace polis::object
