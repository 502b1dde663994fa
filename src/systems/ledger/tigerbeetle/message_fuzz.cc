// Hostile headers: what decode_header() accepts has a size of a message and the parts of its command, and seals again
// to the same bytes. The first byte tells whether the checksum is made right before, so that the rules behind it are
// reached.
#include <algorithm>

#include "systems/ledger/tigerbeetle/message.h"

using namespace polis;
using namespace polis::ledger;
using namespace polis::ledger::tigerbeetle;

namespace {

template <class Part>
void seal_again(const AnyHeader& header) {
  Message<Part> message = header.as<Part>();
  const u128 before = message.frame.checksum;
  seal_with(message, header.body_bytes(), message.frame.checksum_body);
  POLIS_ASSERT(message.frame.checksum == before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  std::array<std::byte, kHeaderBytes> bytes{};
  std::memcpy(bytes.data(), data + 2, std::min(size - 2, bytes.size()));
  if (data[0] & 1) {
    // Likely fields, so that mutations of single ones are tried.
    Request request;
    request.frame.release = kReleaseOurs;
    request.part.client = 1;
    request.part.session = 1;
    request.part.request = 1;
    request.part.operation = data[1];
    seal(request);
    const BytesView good = bytes_of(request);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] ^= good[i];
  }
  if (data[0] & 2) {
    const u128 right = header_checksum(bytes);
    std::memcpy(bytes.data(), &right, sizeof right);
  }
  const auto header = decode_header(bytes, 0);
  if (!header) {
    POLIS_ASSERT(header.error().code() == Code::kCorrupt || header.error().code() == Code::kInvalid);
    return 0;
  }
  POLIS_ASSERT(header->body_bytes() <= kBodyBytesMax && header->frame().cluster == 0);
  switch (header->frame().command) {
    case WireCommand::kPingClient:
      seal_again<PingClientPart>(*header);
      break;
    case WireCommand::kPongClient:
      seal_again<PongClientPart>(*header);
      break;
    case WireCommand::kRequest:
      seal_again<RequestPart>(*header);
      break;
    case WireCommand::kReply:
      seal_again<ReplyPart>(*header);
      break;
    case WireCommand::kEviction:
      seal_again<EvictionPart>(*header);
      break;
  }
  return 0;
}
