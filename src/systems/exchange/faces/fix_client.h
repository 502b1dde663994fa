// FixClient: a FIX 4.4 client as those outside are, for the commands of the command line and the tour: logs on with
// numbers from 1, sends orders in batches, hears what comes. No recovery: whoever needs numbers that go on has a real
// engine.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "kernel/io/stream.h"
#include "kernel/io/task.h"
#include "systems/exchange/fix/message.h"

namespace polis::exchange {

class FixClient {
 public:
  struct Options {
    io::Endpoint endpoint;
    std::string sender;            // which session
    std::string target = "POLIS";  // the venue
    std::string password;          // empty: none
    int heartbeat_seconds = 30;
  };
  // Connects and logs on. kUnauthenticated with the venue's words if it says no, kClosed if it says nothing.
  static Task<Result<FixClient>> open(Options options);
  FixClient(FixClient&&) noexcept = default;

  // Appends one message, to be sent with the next flush(). `body`: its fields, in order.
  void append(std::string_view type, std::string_view body);
  // While another one is under way: nothing, that one sends it too.
  Task<Result<void>> flush();
  size_t waiting_bytes() const { return out_.size(); }

  // Waits until something has come, then calls `each` for every whole message that is there, in order; the session's
  // own are answered here and not shown. kClosed when the venue has gone; kRejected words of its Reject or Logout.
  Task<Result<void>> receive(const std::function<void(const fix::Message&)>& each);
  // Until an application message of this type comes.
  Task<Result<void>> receive_until(const std::function<bool(const fix::Message&)>& done);

  Task<Result<void>> logout();

 private:
  explicit FixClient(Options options) : options_(std::move(options)) {}
  Task<Result<void>> log_on();
  Result<void> take(const fix::Message& message, const std::function<void(const fix::Message&)>& each);

  Options options_;
  std::unique_ptr<io::Stream> stream_;
  fix::Framer framer_;
  fix::Message message_;
  uint32_t next_ = 1;
  std::string out_, head_;
  bool logged_on_ = false, logged_out_ = false, flushing_ = false;
};

// The present time in FIX's form.
std::string fix_now();

}  // namespace polis::exchange
