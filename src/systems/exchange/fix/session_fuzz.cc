// A peer that says anything, valid or not, at any time, to a session that reflects. Each line of the input is a message
// without its frame, or a wish: time passes, the connection ends, a resend is answered later. Whatever it says: what
// the session sends is valid, and its own numbers rise one by one.
#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/result.h"
#include "systems/exchange/fix/reflector.h"

namespace {

using namespace polis::exchange;
using namespace polis::exchange::fix;

class Fuzzed : public SessionHost {
 public:
  explicit Fuzzed(uint8_t options)
      : session_({.our_comp_id = "POLIS",
                  .their_comp_id = "BRK",
                  .reset_on_logon = (options & 1) != 0,
                  .resend_chunk = (options & 2) != 0 ? 2u : 0u,
                  .next_expected_number = (options & 4) != 0,
                  .last_processed_number = (options & 8) != 0,
                  .held_messages_max = 8},
                 1, 1, *this),
        late_((options & 16) != 0) {
    session_.connected(now_);
  }
  void line(std::string_view text) {
    if (text == "wait") {
      const auto next = std::min(session_.next_tick(), now_.steady + 3'600'000'000'000);
      now_.wall += next - now_.steady;
      now_.steady = next;
      session_.tick(now_);
    } else if (text == "cut") {
      session_.disconnected();
      resend_first_ = 0;
    } else if (text == "answer") {
      answer();
    } else if (text == "logout") {
      session_.logout(now_, "bye");
    } else {
      say(text);
    }
    check();
    if (session_.closing()) session_.disconnected();
    if (!session_.is_connected()) {
      resend_first_ = 0;
      session_.connected(now_);
    }
  }

 private:
  void say(std::string_view text) {
    std::string fields(text);
    const size_t number = fields.find("34=");
    if (number != fields.npos && fields.find("49=") == fields.npos) {
      char time[21];
      write_timestamp(now_.wall, time);
      const size_t behind = std::min(fields.find('\x01', number), fields.size() - 1) + 1;
      fields.insert(behind, fmt::format("49=BRK\x01"
                                        "52={}\x01"
                                        "56=POLIS\x01",
                                        std::string_view(time, 21)));
    }
    std::string frame = fmt::format(
        "8=FIX.4.4\x01"
        "9={}\x01{}",
        fields.size(), fields);
    unsigned sum = 0;
    for (const char c : frame) sum += static_cast<uint8_t>(c);
    frame += fmt::format("10={:03}\x01", sum % 256);
    Message message;
    if (message.parse(frame)) {
      session_.received(now_, message);
    } else {
      session_.garbled(now_);
    }
  }
  void check() {
    Framer framer;
    std::string_view rest = session_.output();
    Message message;
    while (true) {
      const auto found = framer.next();
      if (found == Framer::Found::kNeedMore) {
        if (rest.empty()) break;
        const auto room = framer.room();
        const size_t part = std::min(room.size(), rest.size());
        std::copy_n(rest.data(), part, room.data());
        framer.filled(part);
        rest.remove_prefix(part);
        continue;
      }
      POLIS_ASSERT(found == Framer::Found::kFrame && message.parse(framer.frame()));
      POLIS_ASSERT(message.number(tag::kMsgSeqNum).has_value());
      if (*message.number(tag::kMsgSeqNum) >= session_.next_out()) POLIS_ASSERT(resets_ > 0);
    }
    session_.output().clear();
  }
  void answer() {
    if (resend_first_ == 0) return;
    const uint32_t first = resend_first_, last = resend_last_;
    resend_first_ = 0;
    reflector_.on_resend(session_, first, last, now_);
  }

  void on_logon(const Message& logon) override {
    if (logon.find(tag::kPassword) == "no") return session_.refuse_logon(now_, "no");
    session_.accept_logon(now_);
  }
  void on_message(const Message& message, uint32_t number) override {
    POLIS_ASSERT(number + 1 == session_.next_in());
    POLIS_ASSERT(!validate(message));
    reflector_.on_message(session_, message, number, now_);
  }
  void on_resend(uint32_t first, uint32_t last) override {
    POLIS_ASSERT(first >= 1 && first <= last && last < session_.next_out());
    resend_first_ = first;
    resend_last_ = last;
    if (!late_) answer();
  }
  void on_reset() override {
    ++resets_;
    reflector_.on_reset();
  }
  void on_administrative(uint32_t number) override { POLIS_ASSERT(number + 1 == session_.next_out()); }

  Moment now_{1'704'187'800'000'000'000, 1};
  Reflector reflector_;
  Session session_;
  const bool late_;
  uint32_t resend_first_ = 0, resend_last_ = 0;
  int resets_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  Fuzzed fuzzed(data[0]);
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    fuzzed.line(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  return 0;
}
