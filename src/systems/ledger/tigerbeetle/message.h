// Messages of the TigerBeetle client protocol, release 0.17 (and 0.16, which differs only in its operations): a header
// of 256 bytes and a body, back to back on a stream. Sans-IO.
//
//     header = frame (128 bytes, the same for all) part (128 bytes, by command)
//
// A header has a checksum of itself and one of its body. decode_header() looks at the first before it believes any
// other field; only then is its size worth a buffer. Integers are little endian; all fields without a meaning are 0.
#pragma once

#include <optional>
#include <string_view>

#include "systems/ledger/tigerbeetle/aegis128l.h"

namespace polis::ledger::tigerbeetle {

inline constexpr size_t kHeaderBytes = 256;
inline constexpr size_t kMessageBytesMax = 1 << 20;
inline constexpr size_t kBodyBytesMax = kMessageBytesMax - kHeaderBytes;

// major << 16 | minor << 8 | patch.
inline constexpr uint32_t kReleaseOurs = 0 << 16 | 17 << 8 | 9;
inline constexpr uint32_t kReleaseMin = 0 << 16 | 16 << 8;        // clients of 0.15 registered in another way
inline constexpr uint32_t kReleaseMax = 0 << 16 | 17 << 8 | 255;  // later patches keep the wire of their minor release

enum class WireCommand : uint8_t {
  kPingClient = 3,
  kPongClient = 4,
  kRequest = 5,
  kReply = 8,
  kEviction = 18,
};

// Why a client's session ends. The client gives up for good; it does not connect again.
enum class EvictionReason : uint8_t {
  kNoSession = 1,
  kReleaseTooLow = 2,
  kReleaseTooHigh = 3,
  kInvalidOperation = 4,
  kInvalidBody = 5,
  kInvalidBodySize = 6,
  kSessionTooLow = 7,
  kSessionReleaseMismatch = 8,
};
std::string_view name(EvictionReason reason);

// --- headers as they are on the wire

struct Frame {
  u128 checksum = 0;  // of bytes 16..255
  u128 checksum_high = 0;
  u128 checksum_body = 0;
  u128 checksum_body_high = 0;
  u128 nonce = 0;
  u128 cluster = 0;
  uint32_t size = kHeaderBytes;  // with the body
  uint32_t epoch = 0;
  uint32_t view = 0;
  uint32_t release = 0;
  uint16_t protocol = 0;
  WireCommand command{};
  uint8_t replica = 0;
  uint8_t reserved[12] = {};
};

struct PingClientPart {
  u128 client = 0;
  uint64_t ping_timestamp = 0;  // the client's monotonic clock, echoed
  uint64_t session = 0;         // 0 before registration, and from clients before 0.17.6
  uint8_t reserved[96] = {};
};

struct PongClientPart {
  uint64_t ping_timestamp = 0;
  uint8_t reserved[120] = {};
};

struct RequestPart {
  u128 parent = 0;  // the context of the reply before; 0 in the first
  u128 parent_high = 0;
  u128 client = 0;
  uint64_t session = 0;
  uint64_t timestamp = 0;
  uint32_t request = 0;  // 0: registration, then rising
  uint8_t operation = 0;
  uint8_t reserved_operation[3] = {};
  uint32_t previous_latency = 0;
  uint8_t reserved[52] = {};
};

struct ReplyPart {
  u128 request_checksum = 0;
  u128 request_checksum_high = 0;
  u128 context = 0;  // the header's checksum as it is while this field is 0
  u128 context_high = 0;
  u128 client = 0;
  uint64_t op = 0;
  uint64_t commit = 0;
  uint64_t timestamp = 0;
  uint32_t request = 0;
  uint8_t operation = 0;
  uint8_t reserved[19] = {};
};

struct EvictionPart {
  u128 client = 0;
  uint8_t reserved[111] = {};
  EvictionReason reason{};
};

// A header of one command.
template <class Part>
struct Message {
  Frame frame;
  Part part;
};
using PingClient = Message<PingClientPart>;
using PongClient = Message<PongClientPart>;
using Request = Message<RequestPart>;
using Reply = Message<ReplyPart>;
using Eviction = Message<EvictionPart>;

template <class Part>
inline constexpr WireCommand kCommandOf{};
template <>
inline constexpr WireCommand kCommandOf<PingClientPart> = WireCommand::kPingClient;
template <>
inline constexpr WireCommand kCommandOf<PongClientPart> = WireCommand::kPongClient;
template <>
inline constexpr WireCommand kCommandOf<RequestPart> = WireCommand::kRequest;
template <>
inline constexpr WireCommand kCommandOf<ReplyPart> = WireCommand::kReply;
template <>
inline constexpr WireCommand kCommandOf<EvictionPart> = WireCommand::kEviction;

static_assert(sizeof(Frame) == 128 && kIsRecord<Frame>);
static_assert(sizeof(PingClient) == kHeaderBytes && sizeof(PongClient) == kHeaderBytes);
static_assert(sizeof(Request) == kHeaderBytes && sizeof(Reply) == kHeaderBytes && sizeof(Eviction) == kHeaderBytes);
static_assert(offsetof(Frame, cluster) == 80 && offsetof(Frame, size) == 96 && offsetof(Frame, release) == 108);
static_assert(offsetof(Frame, command) == 114 && offsetof(Request, part.session) == 176);
static_assert(offsetof(Request, part.request) == 192 && offsetof(Request, part.operation) == 196);
static_assert(offsetof(Reply, part.op) == 208 && offsetof(Reply, part.request) == 232);
static_assert(offsetof(Eviction, part.reason) == 255);

// --- receiving

// A header whose checksum holds, of any command.
class AnyHeader {
 public:
  const Frame& frame() const { return message_.frame; }
  size_t body_bytes() const { return message_.frame.size - kHeaderBytes; }
  // The header as that of its command, with the rules of that command checked by decode_header().
  template <class Part>
  Message<Part> as() const {
    POLIS_ASSERT(frame().command == kCommandOf<Part>);
    return std::bit_cast<Message<Part>>(message_);
  }

 private:
  friend Result<AnyHeader> decode_header(BytesView bytes, u128 cluster);
  struct Unknown {
    std::array<std::byte, 128> bytes;
  };
  alignas(16) Message<Unknown> message_{};
};

// The header at the front of `bytes`, which has at least kHeaderBytes. kCorrupt: damaged, or no header at all;
// kInvalid: well-formed, but for another cluster, of another protocol, of a command that no client or server sends, or
// breaking a rule of its command. After either nothing more on the stream can be believed.
Result<AnyHeader> decode_header(BytesView bytes, u128 cluster);

// kCorrupt if the body is not the header's. `body` has header.body_bytes().
Result<void> check_body(const AnyHeader& header, BytesView body);

// --- sending

// Fills command, size and both checksums. The parts of the body stand behind each other on the wire.
template <class Part>
void seal(Message<Part>& message, std::span<const BytesView> body = {});
// As seal(), with the checksum of the body given: when it is known, or the body is sent again.
template <class Part>
void seal_with(Message<Part>& message, size_t body_bytes, u128 checksum_body);

// Seals a reply: its context is computed before its checksum.
void seal_reply(Reply& reply, std::span<const BytesView> body);

// The request's answer, with everything that a reply takes over from it. Unsealed.
Reply reply_to(const Request& request, uint64_t op, uint64_t timestamp);

template <class Part>
BytesView bytes_of(const Message<Part>& message) {
  return {reinterpret_cast<const std::byte*>(&message), sizeof message};
}

// --- implementation

u128 checksum_of_parts(std::span<const BytesView> parts);
u128 header_checksum(BytesView header);

template <class Part>
void seal_with(Message<Part>& message, size_t body_bytes, u128 checksum_body) {
  message.frame.command = kCommandOf<Part>;
  message.frame.size = static_cast<uint32_t>(kHeaderBytes + body_bytes);
  message.frame.checksum_body = checksum_body;
  message.frame.checksum = header_checksum(bytes_of(message));
}

template <class Part>
void seal(Message<Part>& message, std::span<const BytesView> body) {
  size_t body_bytes = 0;
  for (BytesView each : body) body_bytes += each.size();
  seal_with(message, body_bytes, checksum_of_parts(body));
}

}  // namespace polis::ledger::tigerbeetle
