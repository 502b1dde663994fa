// Connection: one client of the FIX door, from its first byte to its last. Runs its fix::Session, which knows the
// rules; here are the bytes, the clock, the password, and what the session's messages mean to the venue.
//
// Two coroutines: one reads and handles all messages of a read before it lets the other write what came of them, in one
// call. Output stands in the order of its numbers; from the first message that is not safe yet it is held back.
#pragma once

#include <coroutine>
#include <deque>
#include <memory>
#include <string>

#include "kernel/io/shard.h"
#include "kernel/io/stream.h"
#include "systems/exchange/fix/session.h"
#include "systems/exchange/gateway/gateway.h"

namespace polis::exchange::gateway {

class Connection final : public fix::SessionHost {
 public:
  // `common_name`: of the client's certificate, where the door asks for one.
  Connection(Gateway& gateway, std::unique_ptr<io::Stream> stream, const Door& door, std::string common_name);
  ~Connection() override;

  // Until the connection has ended.
  Task<void> serve();
  // Says goodbye with a reason; closes at once if nobody is logged on.
  void goodbye(std::string_view why);

  // --- from the gateway
  void report(Sequence sequence, VenueTime time, const Report& report);
  // The announcement with this tag is safe.
  void safe(uint64_t tag);
  // Lets the writer look, and arms the timer anew.
  void settle();
  // Without another word: the venue cannot take its messages any more.
  void cut();

  SessionId id() const { return id_; }
  bool logged_on() const { return session_ && !given_up_ && session_->logged_on(); }
  std::string peer() const { return stream_->peer().text(); }
  uint32_t next_in() const { return session_ ? session_->next_in() : 1; }
  uint32_t next_out() const { return session_ ? session_->next_out() : 1; }
  size_t waiting_bytes() const { return (session_ ? session_->output_bytes() : 0) + sending_.size(); }

  bool counted() const { return counted_; }

  bool in_touched = false;  // the gateway's mark

 private:
  class Alarm;
  struct Wake;
  // A message of the session itself whose number is not safe yet: output from `start` on is held back.
  struct Unsafe {
    uint64_t tag = 0;
    uint64_t start = 0;  // bytes of output since the connection began
  };

  // --- SessionHost
  void on_logon(const fix::Message& logon) override;
  void on_message(const fix::Message& message, uint32_t number) override;
  void on_resend(uint32_t first, uint32_t last) override;
  void on_reset() override;
  void on_administrative(uint32_t number) override;

  // Hands a message to the reflector of a session that has one; what it sends are messages of the session itself.
  template <class Call>
  bool reflect(Call call);
  // A question about the venue itself. False: another message.
  bool inquire(const fix::Message& message);
  Task<void> tell_session_status(std::string request_id, std::string trading_session);
  // A message of the session itself that is none of FIX's session layer.
  void send_own(std::string_view type);
  Task<void> write();
  // Runs the writer now: what came of a batch leaves before the rest of the turn's work.
  void wake_writer();
  Task<void> authenticate(std::string username, std::string password);
  Task<void> resend(uint32_t first, uint32_t last);
  // The reports of ordinals [first, last], from memory or from the archive; kCorrupt if some are gone; without an
  // archive fewer, if they have left memory.
  Task<Result<void>> reports_of(uint64_t first, uint64_t last, std::vector<StoredReport>& into);
  // One frame. False: the connection is over.
  bool handle(std::string_view frame, const fix::Moment& at);
  bool garbled(const fix::Moment& at);
  // Gives another connection of the session that the first message names a moment to notice its end.
  Task<void> wait_for_predecessor(std::string_view frame);
  // Numbers go back to the gateway; another connection may take the session up.
  void give_up_session();
  // Finds the session that the first message names.
  bool identify(const fix::Moment& at);
  bool ended() const { return over_ || given_up_ || (session_ && session_->closing()); }
  void tick();
  void arm(int64_t at);
  // Tells the venue about the session's own messages, and numbers that nobody else tells it.
  void announce();
  uint64_t produced() const { return taken_ + session_->output().size(); }
  size_t sendable() const;

  fix::Moment now() const;

  Gateway& gateway_;
  std::unique_ptr<io::Stream> stream_;
  const bool by_certificate_;
  const std::string common_name_;
  SessionId id_ = 0;
  std::unique_ptr<fix::Session> session_;
  fix::Framer framer_;
  fix::Message message_;
  fix::FieldWriter body_;
  std::unique_ptr<Alarm> alarm_;
  int64_t alarm_at_ = 0;

  std::string sending_;  // being written
  uint64_t taken_ = 0;   // bytes of output that went to sending_
  std::deque<Unsafe> unsafe_;
  int64_t steady_ = 0;                      // when the message at work was read
  uint64_t operation_start_ = 0;            // produced() when the present call into the session began
  uint32_t own_first_ = 0, own_count_ = 0;  // numbers of the session's own messages that are not announced yet
  bool reset_ = false;                      // with a reset before them
  bool abused_ = false;                     // the rate limit, for too long
  bool given_up_ = false;                   // the session is no longer this connection's
  bool over_ = false;                       // nothing more is read or written
  bool closing_ = false;                    // the session has ended; its last words have a time limit
  bool counted_ = false;                    // among those who are logged on
  bool wake_ = false;                       // something can be written, or over_
  std::coroutine_handle<> writer_;          // waits for that
  io::Event decided_;                       // on a Logon
  io::Event drained_;                       // something was written
  io::Event calm_;                          // nothing is held back
  io::TaskGroup tasks_;
};

}  // namespace polis::exchange::gateway
