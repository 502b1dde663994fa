// Any bytes as an aws-chunked body: the decoder takes them in whatever pieces, never hands out more than was promised,
// and comes to the same result whole or in pieces.
#include <cstdlib>

#include "systems/object/aws_chunked.h"

using namespace polis;
using namespace polis::object;

namespace {

struct Outcome {
  bool accepted = false;
  std::string data;
  size_t trailers = 0;
};

Outcome decode(PayloadMode mode, std::string_view body, uint64_t size_bytes, size_t piece) {
  Verified verified;
  verified.payload = mode;
  verified.seed_signature = std::string(64, '0');
  verified.amz_date = "20130524T000000Z";
  verified.scope = "20130524/us-east-1/s3/aws4_request";
  auto decoder = ChunkedDecoder::make(std::move(verified), size_bytes,
                                      mode == PayloadMode::kStreamingSigned ? "" : "x-amz-checksum-crc32");
  if (!decoder) std::abort();
  Outcome outcome;
  while (!body.empty()) {
    auto step = decoder->feed(as_bytes(body.substr(0, piece)));
    if (!step) return {};
    if (step->consumed == 0 || step->consumed > body.size()) std::abort();
    outcome.data += as_text(step->data);
    if (outcome.data.size() > size_bytes) std::abort();
    body.remove_prefix(step->consumed);
  }
  outcome.accepted = decoder->finish().has_value();
  if (!outcome.accepted) return {};
  if (outcome.data.size() != size_bytes) std::abort();
  outcome.trailers = decoder->trailers().size();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  constexpr PayloadMode kModes[] = {PayloadMode::kStreamingSigned, PayloadMode::kStreamingSignedTrailer,
                                    PayloadMode::kStreamingUnsignedTrailer};
  PayloadMode mode = kModes[data[0] % 3];
  uint64_t promised = data[1];
  size_t piece = 1 + data[2] % 64;
  std::string_view body(reinterpret_cast<const char*>(data + 3), size - 3);
  Outcome whole = decode(mode, body, promised, SIZE_MAX);
  Outcome pieces = decode(mode, body, promised, piece);
  if (whole.accepted != pieces.accepted || whole.data != pieces.data || whole.trailers != pieces.trailers) std::abort();
  return 0;
}
