#include "systems/ledger/tigerbeetle/message.h"

#include <algorithm>
#include <fmt/format.h>

namespace polis::ledger::tigerbeetle {
namespace {

const u128 kChecksumOfNothing = checksum({});

constexpr uint8_t kOperationRegister = 2;
// Below: the replicas' own, which no client sends. Register is one of them.
constexpr uint8_t kOperationFirst = 128;

bool zero(std::span<const uint8_t> bytes) {
  return std::ranges::all_of(bytes, [](uint8_t each) { return each == 0; });
}

// What breaks a rule of the frame; null if nothing does.
const char* fault(const Frame& frame, u128 cluster) {
  if (frame.checksum_high != 0 || frame.checksum_body_high != 0) return "a checksum has more than 128 bits";
  if (frame.nonce != 0) return "the nonce is not 0";
  if (frame.size < kHeaderBytes) return "the size is smaller than a header";
  if (frame.size > kMessageBytesMax) return "the size is above 1 MiB";
  if (frame.cluster != cluster) return "it is for another cluster";
  if (frame.protocol != 0) return "the protocol is not version 0";
  if (frame.epoch != 0) return "the epoch is not 0";
  if (!zero(frame.reserved)) return "reserved bytes of the frame are not 0";
  return nullptr;
}

const char* fault_of_bare(const Frame& frame) {
  if (frame.size != kHeaderBytes) return "the command has a body, and should not";
  if (frame.checksum_body != kChecksumOfNothing) return "the checksum of no body is wrong";
  if (frame.release == 0) return "the release is 0";
  return nullptr;
}

const char* fault(const PingClient& ping) {
  if (const char* why = fault_of_bare(ping.frame)) return why;
  if (ping.frame.replica != 0 || ping.frame.view != 0) return "a ping of a client names a replica or a view";
  if (ping.part.client == 0) return "the client is 0";
  if (!zero(ping.part.reserved)) return "reserved bytes of the ping are not 0";
  return nullptr;
}

const char* fault(const PongClient& pong) {
  if (const char* why = fault_of_bare(pong.frame)) return why;
  if (!zero(pong.part.reserved)) return "reserved bytes of the pong are not 0";
  return nullptr;
}

const char* fault(const Request& request) {
  const RequestPart& part = request.part;
  if (request.frame.release == 0) return "the release is 0";
  if (request.frame.replica != 0) return "a request names a replica";
  if (part.parent_high != 0) return "the parent has more than 128 bits";
  if (part.client == 0) return "the client is 0";
  if (!zero(part.reserved_operation) || !zero(part.reserved)) return "reserved bytes of the request are not 0";
  if (part.operation == kOperationRegister) {
    if (part.parent != 0) return "a registration has a parent";
    if (part.session != 0) return "a registration has a session";
    if (part.request != 0) return "a registration has a request number";
    return nullptr;
  }
  if (part.operation < kOperationFirst) return "the operation is for replicas alone";
  if (part.session == 0) return "the session is 0";
  if (part.request == 0) return "the request number is 0";
  return nullptr;
}

const char* fault(const Reply& reply) {
  const ReplyPart& part = reply.part;
  if (reply.frame.release == 0) return "the release is 0";
  if (part.request_checksum_high != 0 || part.context_high != 0) return "a checksum has more than 128 bits";
  if (part.client == 0) return "the client is 0";
  if (part.op == 0 || part.op != part.commit) return "op and commit are 0 or differ";
  if (part.timestamp == 0) return "the timestamp is 0";
  if ((part.request == 0) != (part.operation == kOperationRegister)) return "registrations alone are request 0";
  if (!zero(part.reserved)) return "reserved bytes of the reply are not 0";
  return nullptr;
}

const char* fault(const Eviction& eviction) {
  if (const char* why = fault_of_bare(eviction.frame)) return why;
  if (eviction.part.client == 0) return "the client is 0";
  if (!zero(eviction.part.reserved)) return "reserved bytes of the eviction are not 0";
  if (eviction.part.reason < EvictionReason::kNoSession ||
      eviction.part.reason > EvictionReason::kSessionReleaseMismatch)
    return "the reason is unknown";
  return nullptr;
}

const char* fault(const AnyHeader& header) {
  switch (header.frame().command) {
    case WireCommand::kPingClient:
      return fault(header.as<PingClientPart>());
    case WireCommand::kPongClient:
      return fault(header.as<PongClientPart>());
    case WireCommand::kRequest:
      return fault(header.as<RequestPart>());
    case WireCommand::kReply:
      return fault(header.as<ReplyPart>());
    case WireCommand::kEviction:
      return fault(header.as<EvictionPart>());
  }
  return "the command is not one between clients and servers";
}

}  // namespace

std::string_view name(EvictionReason reason) {
  switch (reason) {
    case EvictionReason::kNoSession:
      return "no_session";
    case EvictionReason::kReleaseTooLow:
      return "release_too_low";
    case EvictionReason::kReleaseTooHigh:
      return "release_too_high";
    case EvictionReason::kInvalidOperation:
      return "invalid_operation";
    case EvictionReason::kInvalidBody:
      return "invalid_body";
    case EvictionReason::kInvalidBodySize:
      return "invalid_body_size";
    case EvictionReason::kSessionTooLow:
      return "session_too_low";
    case EvictionReason::kSessionReleaseMismatch:
      return "session_release_mismatch";
  }
  return "unknown";
}

u128 header_checksum(BytesView header) {
  return checksum(header.subspan(sizeof(u128), kHeaderBytes - sizeof(u128)));
}

u128 checksum_of_parts(std::span<const BytesView> parts) {
  Aegis128lMac mac;
  for (BytesView each : parts) mac.update(each);
  return std::bit_cast<u128>(mac.finish());
}

Result<AnyHeader> decode_header(BytesView bytes, u128 cluster) {
  POLIS_ASSERT(bytes.size() >= kHeaderBytes);
  AnyHeader header;
  std::memcpy(&header.message_, bytes.data(), kHeaderBytes);
  if (header.frame().checksum != header_checksum(bytes))
    return fail(Code::kCorrupt, "the bytes are no header: their checksum is wrong");
  if (const char* why = fault(header.frame(), cluster)) return fail(Code::kInvalid, fmt::format("header: {}", why));
  if (const char* why = fault(header)) return fail(Code::kInvalid, fmt::format("header: {}", why));
  return header;
}

Result<void> check_body(const AnyHeader& header, BytesView body) {
  POLIS_ASSERT(body.size() == header.body_bytes());
  if (header.frame().checksum_body != checksum(body))
    return fail(Code::kCorrupt, "the body is damaged: its checksum is wrong");
  return {};
}

void seal_reply(Reply& reply, std::span<const BytesView> body) {
  reply.part.context = 0;
  seal(reply, body);
  reply.part.context = reply.frame.checksum;
  reply.frame.checksum = header_checksum(bytes_of(reply));
}

Reply reply_to(const Request& request, uint64_t op, uint64_t timestamp) {
  Reply reply;
  reply.frame.cluster = request.frame.cluster;
  reply.frame.release = request.frame.release;
  reply.part.request_checksum = request.frame.checksum;
  reply.part.client = request.part.client;
  reply.part.op = op;
  reply.part.commit = op;
  reply.part.timestamp = timestamp;
  reply.part.request = request.part.request;
  reply.part.operation = request.part.operation;
  return reply;
}

}  // namespace polis::ledger::tigerbeetle
