// WebSocket frames on the wire, without sockets (RFC 6455): bytes in, messages out. A Decoder belongs to one
// connection. Strict: what the standard forbids ends the connection with the close code it names.
#pragma once

#include <array>
#include <expected>
#include <optional>
#include <string>

#include "kernel/base/bytes.h"

namespace polis::http::ws {

enum class Role : uint8_t { kServer, kClient };  // a server reads masked frames, a client unmasked ones

enum class Opcode : uint8_t { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

enum CloseCode : uint16_t {
  kNormal = 1000,
  kGoingAway = 1001,
  kProtocolError = 1002,
  kNoStatus = 1005,  // never sent: a close frame without a code
  kAbnormal = 1006,  // never sent: the connection just ended
  kInvalidText = 1007,
  kPolicy = 1008,
  kTooBig = 1009,
  kInternalError = 1011,
};

// Well-formedness of UTF-8 that arrives in pieces: tells at the first byte that cannot be continued.
class Utf8Validator {
 public:
  bool feed(BytesView piece);  // false: broken, for good
  bool complete() const { return missing_ == 0; }
  void reset() { missing_ = 0; }

 private:
  uint8_t missing_ = 0;               // continuation bytes still to come
  uint8_t low_ = 0x80, high_ = 0xBF;  // bounds of the next one
};

// A whole message, or a control frame. `payload` is valid until the next feed.
struct Message {
  Opcode opcode = Opcode::kText;
  MutableBytes payload;
  uint16_t close_code = kNoStatus;  // of kClose
};

// Why the connection must end.
struct Violation {
  uint16_t close_code = kProtocolError;
  std::string_view rule;
};

class Decoder {
 public:
  explicit Decoder(Role role, size_t message_size_bytes_max = 1 << 20)
      : role_(role), message_size_bytes_max_(message_size_bytes_max) {}

  struct Step {
    size_t consumed = 0;
    std::optional<Message> message;
  };
  // Consumes up to the end of the next message, or all there is.
  std::expected<Step, Violation> feed(BytesView input);

 private:
  enum class Phase : uint8_t { kHead, kPayload, kClosed, kBroken };
  std::unexpected<Violation> violate(uint16_t close_code, std::string_view rule);
  std::optional<Violation> read_head();
  std::expected<std::optional<Message>, Violation> finish_frame();

  const Role role_;
  const size_t message_size_bytes_max_;
  Phase phase_ = Phase::kHead;
  std::array<uint8_t, 14> head_{};
  uint8_t head_size_ = 0;
  uint8_t head_needed_ = 2;
  bool final_ = false;
  Opcode opcode_ = Opcode::kText;
  bool in_message_ = false;
  Opcode message_opcode_ = Opcode::kText;
  std::array<uint8_t, 4> mask_{};
  uint64_t payload_size_ = 0, payload_read_ = 0;
  Bytes message_;
  std::array<std::byte, 125> control_{};
  Utf8Validator utf8_;
  Violation violation_;
};

// Appends one unfragmented frame. A client passes the mask it drew for this frame; a server none.
void append_frame(std::string& out, Opcode opcode, BytesView payload, const std::array<uint8_t, 4>* mask = nullptr);
void append_close(std::string& out, uint16_t code, std::string_view reason,
                  const std::array<uint8_t, 4>* mask = nullptr);

// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string accept_of(std::string_view key);

}  // namespace polis::http::ws
