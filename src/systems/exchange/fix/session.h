// Session: the rules of a FIX 4.4 session on the acceptor's side, without sockets, clocks or files. Whoever runs it
// tells it what came and what time it is, writes what it puts into output(), and keeps its numbers.
//
//     frames ─► received() ─► validated, in order, once ─► SessionHost::on_message (application messages)
//                    │                                └──► on_logon, on_resend, on_reset
//                    └─► answers of the session itself (Logon, Heartbeat, Reject, ...) ─► output()
//     send() ─► application messages with the next number ─► output()
//
// A session lives as long as its counterparty is defined; connections come and go (connected, disconnected). Without
// one, send() only takes the number: the message is asked for later by a ResendRequest.
//
// Numbers. The session counts both ways. It tells the host each number that it took for a message of its own, right
// after its bytes were appended: whoever must make that safe first holds back the output from there. Inbound: compare
// next_in() before and after received().
//
// Order. Everything in output() is in the order in which it must reach the peer. While a resend is under way, new
// messages wait inside the session and follow behind it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "systems/exchange/fix/message.h"
#include "systems/exchange/fix/validator.h"
#include "systems/exchange/messages.h"

namespace polis::exchange::fix {

// Two clocks: dates of messages by `wall` (ns since 1970), spans by `steady` (ns since any start), which never goes
// back.
struct Moment {
  VenueTime wall = 0;
  int64_t steady = 0;
};

struct SessionConfig {
  std::string our_comp_id = {}, their_comp_id = {};
  bool reset_on_logon = false;
  uint32_t resend_chunk = 0;              // ResendRequest of so many messages at a time; 0: all
  bool next_expected_number = false;      // 789 on our Logon, and theirs is obeyed
  bool last_processed_number = false;     // 369 in our headers
  uint32_t heartbeat_seconds_max = 3600;  // a Logon that asks for more is refused
  int64_t sending_time_tolerance = 120'000'000'000;
  size_t held_messages_max = 10'000;  // that came ahead of a gap; beyond, they are asked for again
  // How many bytes such messages may take together.
  size_t held_bytes_max = 8 << 20;
};

// Why a session closed or was refused, for logs.
enum class SessionEnd : uint8_t {
  kNone,
  kPeerLogout,
  kOurLogout,    // the peer answered it, or did not within 2 s
  kNotLoggedOn,  // no Logon within 10 s, or another message first
  kBadLogon,     // garbled, wrong BeginString, CompIDs or time
  kRefused,      // by the host: password, disabled
  kNumberTooLow,
  kNoNumber,
  kSilent,  // nothing heard for 2.4 intervals
  kDisconnected,
};
std::string_view name(SessionEnd end);

class SessionHost {
 public:
  virtual ~SessionHost() = default;
  // A Logon that is right in form, on a session that is not logged on. Answer with accept_logon or refuse_logon, at
  // once or later; nothing may be fed in between.
  virtual void on_logon(const Message& logon) = 0;
  // An application message of a type that the dictionary knows, valid, and the next one: its number was counted.
  // Called once a number. `number` goes into Request::message_number.
  virtual void on_message(const Message& message, uint32_t number) = 0;
  // The peer wants [first, last] again. Answer in order with resend_message for application messages and nothing for
  // others, then resend_end; at once or later.
  virtual void on_resend(uint32_t first, uint32_t last) = 0;
  // Both numbers are 1 again (before the numbers that follow are told).
  virtual void on_reset() = 0;
  // This number was taken by a message of the session itself, whose bytes are at the end of output() (or held back
  // behind a resend). Not for gap fills, which repeat numbers.
  virtual void on_administrative(uint32_t number) = 0;
  // The peer's Reject or BusinessMessageReject (35=3, j), for logs. The number was counted.
  virtual void on_reject(const Message&) {}
};

class Session {
 public:
  // The numbers that are given and expected next.
  Session(SessionConfig config, uint32_t next_in, uint32_t next_out, SessionHost& host);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // --- the connection
  // A new one, whose first message names this session (or seems to; the session looks again).
  void connected(const Moment& now);
  // Also ends a session that closed itself, once its output was written.
  void disconnected();
  // One frame that parsed. Not while a Logon waits for its decision, and not once closing.
  void received(const Moment& now, const Message& message);
  // A frame that did not parse: dropped, unless nobody is logged on yet.
  void garbled(const Moment& now);
  // Time passes: heartbeats, test requests, timeouts. Call it at next_tick() or more often.
  void tick(const Moment& now);
  int64_t next_tick() const;  // steady

  void accept_logon(const Moment& now);
  void refuse_logon(const Moment& now, std::string_view text);

  bool is_connected() const { return state_ != State::kDisconnected; }
  bool logged_on() const { return state_ == State::kLoggedOn; }
  bool awaits_decision() const { return state_ == State::kDeciding; }
  // Write what output() has, then close. Nothing is taken any more.
  bool closing() const { return state_ == State::kClosing; }
  SessionEnd end() const { return end_; }
  // To be written in order; the caller empties it.
  std::string& output() { return output_; }
  // Of it and of what waits behind a resend: for a limit.
  size_t output_bytes() const { return output_.size() + behind_.size(); }

  // --- sending
  // An application message: `body` are its fields as they stand, in the order of the dictionary (ascending outside of
  // groups), each ended by a separator. Takes the next number and returns it. `time`: its SendingTime, and
  // OrigSendingTime of resends. Without a connection, or before Logon, nothing is written.
  uint32_t send(std::string_view type, VenueTime time, std::string_view body, const Moment& now,
                bool possible_resend = false);
  // Answers to on_resend; numbers ascending, within what was asked for.
  void resend_message(uint32_t number, std::string_view type, VenueTime first_sent, std::string_view body,
                      const Moment& now, bool possible_resend = false);
  void resend_end(const Moment& now);
  // Says goodbye and waits for the peer's, 2 s at most.
  void logout(const Moment& now, std::string_view text);

  uint32_t next_in() const { return next_in_; }
  uint32_t next_out() const { return next_out_; }
  // From an operator, or from the venue's journal; between connections.
  void set_numbers(uint32_t next_in, uint32_t next_out);
  const SessionConfig& config() const { return config_; }
  void set_config(SessionConfig config);

 private:
  enum class State : uint8_t { kDisconnected, kConnected, kDeciding, kLoggedOn, kClosing };
  // A message that came ahead of a gap; empty: one that was acted on at once, whose number counts when its turn comes.
  using Held = std::map<uint32_t, std::string>;

  // Writing. `extra`: header fields between 97 and 369, ascending.
  void append(std::string& to, std::string_view type, uint32_t number, bool duplicate, std::string_view extra,
              VenueTime time, VenueTime original, std::string_view body, bool possible_resend);
  void send_administrative(const Moment& now, std::string_view type, std::string_view body,
                           std::string_view extra = {});
  void gap_fill(uint32_t first, uint32_t next, const Moment& now);
  void send_reject(const Moment& now, const Message& message, const Violation& violation);
  void send_logout(const Moment& now, std::string_view text);

  // Reading, in the order in which a message meets them.
  void first_message(const Moment& now, const Message& message);
  void take(const Moment& now, const Message& message, uint32_t number);
  bool well_timed(const Moment& now, const Message& message) const;
  bool right_comp_ids(const Message& message) const;
  void too_low(const Moment& now, const Message& message, uint32_t number);
  void too_high(const Moment& now, uint32_t number, std::string_view frame, bool duplicate);
  // The expected number was handled.
  void count(uint32_t number);
  // A message that is acted on whatever its number.
  void count_ahead(uint32_t number);
  void handle(const Moment& now, const Message& message, uint32_t number);
  void drain(const Moment& now);
  void ask_again(const Moment& now);
  void on_logon(const Moment& now, const Message& message, uint32_t number);
  void on_logout(const Moment& now, uint32_t number);
  void on_resend_request(const Message& message, uint32_t number);
  void on_sequence_reset(const Moment& now, const Message& message, uint32_t number, bool gap_fill);
  // What is held below a number, in order, gaps left out.
  void take_held(const Moment& now, uint32_t before);
  void begin_resend(uint32_t first, uint32_t last);
  void reset_numbers();
  void close(SessionEnd end);

  SessionConfig config_;
  SessionHost& host_;
  State state_ = State::kDisconnected;
  SessionEnd end_ = SessionEnd::kNone;
  uint32_t next_in_, next_out_;
  std::string output_, behind_;
  // What is being put together; sender_ and target_ are what stands around the time in each header.
  std::string sender_, target_;
  TimestampWriter timestamps_;
  FieldWriter body_, fill_;
  Validator validate_;
  Message drained_;

  // Of the Logon that is being decided.
  struct Logon {
    uint32_t number = 0, heartbeat_seconds = 0;
    std::optional<uint32_t> next_expected;
    bool reset = false;
  } logon_;

  // Heartbeats; steady.
  int64_t heartbeat_ = 0;  // ns, 0: none
  int64_t connected_at_ = 0, sent_at_ = 0, received_at_ = 0, logout_at_ = 0;
  bool test_request_unanswered_ = false;
  bool logout_sent_ = false;
  SessionEnd end_after_logout_ = SessionEnd::kOurLogout;

  // The gap in what came.
  Held held_;
  size_t held_bytes_ = 0;
  uint32_t asked_from_ = 0, asked_to_ = 0;  // the ResendRequest that is outstanding; from 0: none; to 0: no end
  int64_t asked_at_ = 0;

  // The resend that is being answered.
  bool resending_ = false;
  uint32_t resend_next_ = 0, resend_last_ = 0;
  uint32_t pending_first_ = 0, pending_last_ = 0;  // asked for meanwhile; 0: nothing
};

}  // namespace polis::exchange::fix
