// A stream of any bytes, cut anywhere: frames, fields, validation and the body as the venue would write it. What is
// valid stays valid when its body is sorted and its frame is built anew.
#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/result.h"
#include "systems/exchange/fix/validator.h"

namespace {

using namespace polis::exchange::fix;

std::string built(std::string_view type, std::string_view rest) {
  std::string text = fmt::format("35={}\x01{}", type, rest);
  text = fmt::format(
      "8=FIX.4.4\x01"
      "9={}\x01{}",
      text.size(), text);
  unsigned sum = 0;
  for (const char c : text) sum += static_cast<uint8_t>(c);
  return text + fmt::format("10={:03}\x01", sum % 256);
}

std::vector<std::string> frames_of(std::string_view rest, size_t cut) {
  Framer framer;
  std::vector<std::string> frames;
  while (true) {
    const auto found = framer.next();
    if (found == Framer::Found::kFrame) frames.emplace_back(framer.frame());
    if (found != Framer::Found::kNeedMore) continue;
    if (rest.empty()) return frames;
    const auto room = framer.room();
    const size_t part = std::min({room.size(), rest.size(), cut});
    std::copy_n(rest.data(), part, room.data());
    framer.filled(part);
    rest.remove_prefix(part);
  }
}

void look_at(const Message& message) {
  (void)message.number(tag::kMsgSeqNum);
  for (const auto& field : message.fields()) {
    (void)read_decimal(field.value);
    (void)read_timestamp(field.value);
    (void)read_number(field.value);
  }
  if (validate(message)) return;
  FieldWriter rest;
  for (const auto tag : {tag::kMsgSeqNum, tag::kSenderCompId, tag::kSendingTime, tag::kTargetCompId}) {
    rest.text(tag, *message.find(tag));
  }
  append_sorted_body(message, rest);
  const std::string frame = built(message.type(), rest.view());
  Message again;
  POLIS_ASSERT(again.parse(frame));
  POLIS_ASSERT(!validate(again));
  FieldWriter twice;
  append_sorted_body(again, twice);
  POLIS_ASSERT(rest.view().ends_with(twice.view()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t cut = data[0] + 1;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  // A frame whose length and sum are right lets the fuzzer reach what is behind them.
  Message message;
  const std::string frame =
      built(rest.substr(0, rest.find('\x01')), rest.substr(std::min(rest.size(), rest.find('\x01') + 1)));
  if (message.parse(frame)) look_at(message);
  // However the stream is cut, the same frames are in it.
  const auto frames = frames_of(rest, cut);
  for (const auto& one : frames) {
    if (message.parse(one)) look_at(message);
  }
  POLIS_ASSERT(frames == frames_of(rest, rest.size() + 1));
  return 0;
}
