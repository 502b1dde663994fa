#include "kernel/http/ws.h"

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"

namespace polis::http::ws {
namespace {

// Text may not break off here: only what RFC 6455 §7.4 and the IANA registry let an endpoint send.
bool sendable_close_code(uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

bool is_control(Opcode opcode) {
  return static_cast<uint8_t>(opcode) >= 8;
}

// `position` counts payload bytes from the frame's begin.
void copy_unmasked(std::byte* to, const std::byte* from, size_t size, const std::array<uint8_t, 4>& mask,
                   uint64_t position) {
  uint8_t turned[8];
  for (size_t i = 0; i < 8; ++i) turned[i] = mask[(position + i) & 3];
  uint64_t wide;
  std::memcpy(&wide, turned, 8);
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t word;
    std::memcpy(&word, from + i, 8);
    word ^= wide;
    std::memcpy(to + i, &word, 8);
  }
  for (; i < size; ++i) to[i] = from[i] ^ std::byte{turned[i & 7]};
}

}  // namespace

bool Utf8Validator::feed(BytesView piece) {
  const uint8_t* at = base::u8(piece);
  const uint8_t* const end = at + piece.size();
  while (at != end) {
    if (missing_ == 0) {
      // Eight ASCII bytes at a time.
      uint64_t word;
      while (end - at >= 8 && (std::memcpy(&word, at, 8), (word & 0x8080808080808080u) == 0)) at += 8;
      if (at == end) return true;
      uint8_t lead = *at++;
      if (lead < 0x80) continue;
      low_ = 0x80;
      high_ = 0xBF;
      // Unicode 15 table 3-7.
      if (lead >= 0xC2 && lead <= 0xDF) {
        missing_ = 1;
      } else if (lead >= 0xE0 && lead <= 0xEF) {
        missing_ = 2;
        if (lead == 0xE0) low_ = 0xA0;
        if (lead == 0xED) high_ = 0x9F;
      } else if (lead >= 0xF0 && lead <= 0xF4) {
        missing_ = 3;
        if (lead == 0xF0) low_ = 0x90;
        if (lead == 0xF4) high_ = 0x8F;
      } else {
        return false;
      }
      continue;
    }
    uint8_t next = *at++;
    if (next < low_ || next > high_) return false;
    low_ = 0x80;
    high_ = 0xBF;
    --missing_;
  }
  return true;
}

std::unexpected<Violation> Decoder::violate(uint16_t close_code, std::string_view rule) {
  phase_ = Phase::kBroken;
  violation_ = {close_code, rule};
  return std::unexpected(violation_);
}

// Reads the head as far as it is there; sets head_needed_ while it is not whole.
std::optional<Violation> Decoder::read_head() {
  const uint8_t first = head_[0], second = head_[1];
  const uint8_t short_length = second & 0x7F;
  const bool masked = second & 0x80;
  if (head_size_ == 2) {
    if (first & 0x70) return Violation{kProtocolError, "a reserved bit is set"};
    uint8_t code = first & 0x0F;
    if ((code > 2 && code < 8) || code > 10) return Violation{kProtocolError, "the opcode is unknown"};
    opcode_ = static_cast<Opcode>(code);
    final_ = first & 0x80;
    if (masked != (role_ == Role::kServer)) {
      return Violation{kProtocolError, masked ? "a server's frame is masked" : "a client's frame is not masked"};
    }
    if (is_control(opcode_)) {
      if (!final_) return Violation{kProtocolError, "a control frame is fragmented"};
      if (short_length > 125) return Violation{kProtocolError, "a control frame is longer than 125 bytes"};
    } else if (opcode_ == Opcode::kContinuation) {
      if (!in_message_) return Violation{kProtocolError, "a continuation frame has nothing to continue"};
    } else if (in_message_) {
      return Violation{kProtocolError, "a new message begins inside another"};
    }
    head_needed_ = static_cast<uint8_t>(2 + (short_length == 126 ? 2 : short_length == 127 ? 8 : 0) + (masked ? 4 : 0));
    if (head_needed_ > 2) return std::nullopt;
  }
  payload_size_ = short_length;
  size_t at = 2;
  if (short_length >= 126) {
    size_t bytes = short_length == 126 ? 2 : 8;
    payload_size_ = 0;
    for (size_t i = 0; i < bytes; ++i) payload_size_ = payload_size_ << 8 | head_[at++];
    if (payload_size_ >> 63) return Violation{kProtocolError, "a length has its top bit set"};
    if (payload_size_ < (bytes == 2 ? 126u : 65536u))
      return Violation{kProtocolError, "a length is not in its shortest form"};
  }
  if (masked) {
    for (size_t i = 0; i < 4; ++i) mask_[i] = head_[at + i];
  } else {
    mask_ = {};
  }
  payload_read_ = 0;
  if (is_control(opcode_)) return std::nullopt;
  if (opcode_ != Opcode::kContinuation) {
    message_.clear();
    utf8_.reset();
    message_opcode_ = opcode_;
    in_message_ = true;
  }
  if (payload_size_ > message_size_bytes_max_ - message_.size()) return Violation{kTooBig, "the message is too large"};
  return std::nullopt;
}

std::expected<std::optional<Message>, Violation> Decoder::finish_frame() {
  head_size_ = 0;
  head_needed_ = 2;
  phase_ = Phase::kHead;
  if (!is_control(opcode_)) {
    if (!final_) return std::nullopt;
    if (message_opcode_ == Opcode::kText && !utf8_.complete())
      return violate(kInvalidText, "a text ends inside a character");
    in_message_ = false;
    return Message{message_opcode_, message_, kNoStatus};
  }
  Message message{opcode_, MutableBytes(control_).first(static_cast<size_t>(payload_size_)), kNoStatus};
  if (opcode_ == Opcode::kClose) {
    if (payload_size_ == 1) return violate(kProtocolError, "a close code is cut short");
    if (payload_size_ >= 2) {
      message.close_code =
          static_cast<uint16_t>(std::to_integer<unsigned>(control_[0]) << 8 | std::to_integer<unsigned>(control_[1]));
      message.payload = message.payload.subspan(2);
      if (!sendable_close_code(message.close_code)) return violate(kProtocolError, "the close code may not be sent");
      if (!base::utf8_valid(as_text(message.payload))) return violate(kInvalidText, "a close reason is not UTF-8");
    }
    phase_ = Phase::kClosed;
  }
  return message;
}

std::expected<Decoder::Step, Violation> Decoder::feed(BytesView input) {
  size_t at = 0;
  for (;;) {
    switch (phase_) {
      case Phase::kBroken:
        return std::unexpected(violation_);
      case Phase::kClosed:
        return Step{input.size(), std::nullopt};  // nothing counts after a close frame
      case Phase::kHead: {
        while (head_size_ < head_needed_ && at < input.size())
          head_[head_size_++] = std::to_integer<uint8_t>(input[at++]);
        if (head_size_ < head_needed_) return Step{at, std::nullopt};
        if (auto violation = read_head()) return violate(violation->close_code, violation->rule);
        if (head_size_ < head_needed_) continue;
        phase_ = Phase::kPayload;
        break;
      }
      case Phase::kPayload: {
        size_t take = input.size() - at;
        if (take > payload_size_ - payload_read_) take = static_cast<size_t>(payload_size_ - payload_read_);
        if (is_control(opcode_)) {
          copy_unmasked(control_.data() + payload_read_, input.data() + at, take, mask_, payload_read_);
        } else if (take != 0) {
          size_t before = message_.size();
          message_.resize(before + take);
          copy_unmasked(message_.data() + before, input.data() + at, take, mask_, payload_read_);
          if (message_opcode_ == Opcode::kText && !utf8_.feed(BytesView(message_).subspan(before))) {
            return violate(kInvalidText, "a text is not UTF-8");
          }
        }
        payload_read_ += take;
        at += take;
        if (payload_read_ < payload_size_) return Step{at, std::nullopt};
        auto finished = finish_frame();
        if (!finished) return std::unexpected(finished.error());
        if (*finished) return Step{at, *finished};
        break;
      }
    }
  }
}

void append_frame(std::string& out, Opcode opcode, BytesView payload, const std::array<uint8_t, 4>* mask) {
  const uint8_t mask_bit = mask ? 0x80 : 0;
  out.push_back(static_cast<char>(0x80 | static_cast<uint8_t>(opcode)));
  const uint64_t size = payload.size();
  size_t length_bytes = size < 126 ? 0 : size <= 0xFFFF ? 2 : 8;
  out.push_back(static_cast<char>(mask_bit | (length_bytes == 0 ? size : length_bytes == 2 ? 126 : 127)));
  for (size_t i = length_bytes; i-- > 0;) out.push_back(static_cast<char>(size >> (8 * i)));
  if (!mask) {
    out.append(as_text(payload));
    return;
  }
  out.append(reinterpret_cast<const char*>(mask->data()), 4);
  size_t before = out.size();
  out.resize(before + payload.size());
  copy_unmasked(reinterpret_cast<std::byte*>(out.data() + before), payload.data(), payload.size(), *mask, 0);
}

void append_close(std::string& out, uint16_t code, std::string_view reason, const std::array<uint8_t, 4>* mask) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code)};
  // 125 bytes hold a control frame; a cut must not split a character.
  size_t size = std::min<size_t>(reason.size(), 123);
  while (size < reason.size() && size > 0 && (static_cast<unsigned char>(reason[size]) & 0xC0) == 0x80) --size;
  payload.append(reason.substr(0, size));
  append_frame(out, Opcode::kClose, as_bytes(payload), mask);
}

std::string accept_of(std::string_view key) {
  // The GUID of RFC 6455 §1.3.
  std::string text(key);
  text.append("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  return base::base64_encode(base::sha1(text));
}

}  // namespace polis::http::ws
