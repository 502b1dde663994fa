// epoll, edge-triggered: every descriptor is registered once, for everything, and remembers what the kernel last said.
// An operation tries its system call only when it may succeed, so a request costs one recv, one send and its share of
// one epoll_wait.
#pragma once

#include "kernel/io/shard.h"

namespace polis::io {

class Poller;

// A non-blocking descriptor of one shard. Owns it.
class Descriptor {
 public:
  // Registers with the current shard's poller. `fd` must be non-blocking.
  explicit Descriptor(int fd);
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int fd() const { return fd_; }
  bool closed() const { return fd_ < 0; }
  // Ends pending operations with kClosed and closes the descriptor.
  void close();

  enum class Direction : unsigned char { kRead, kWrite, kEnd };

  class Wait final : public Operation {
   public:
    Wait(Descriptor& descriptor, Direction direction) : descriptor_(descriptor), direction_(direction) {}
    bool await_ready() const noexcept { return descriptor_.ready(direction_); }
    template <class Parent>
    bool await_suspend(std::coroutine_handle<Parent> parent) {
      if (!begin(parent)) return false;
      POLIS_ASSERT(descriptor_.waiting_[slot()] == nullptr);  // one pending operation a direction
      descriptor_.waiting_[slot()] = this;
      return true;
    }
    Result<void> await_resume() const {
      if (!cancelled_) return {};
      return fail(code_, code_ == Code::kClosed ? "the connection was closed" : "the operation was stopped");
    }

   private:
    friend class Descriptor;
    size_t slot() const { return static_cast<size_t>(direction_); }
    void complete() {
      unlink();
      descriptor_.waiting_[slot()] = nullptr;
      finish();
    }
    void cancel(Code reason) override {
      cancelled_ = true;
      code_ = reason;
      complete();
    }
    Descriptor& descriptor_;
    Direction direction_;
  };

  // Waits until a read (write) may make progress, or the peer has ended its side.
  Wait wait(Direction direction) { return Wait(*this, direction); }

  // After a call that said EAGAIN, or moved less than asked: nothing more until the next edge.
  void drained(Direction direction);
  bool ready(Direction direction) const {
    return closed() || (direction == Direction::kEnd ? ended_ : ready_[static_cast<size_t>(direction)]);
  }
  // The peer has ended its side: reading never blocks from here on.
  bool ended() const { return ended_; }

 private:
  friend class Poller;
  void happened(uint32_t events);

  int fd_;
  Poller& poller_;
  Wait* waiting_[3] = {};
  bool ready_[2] = {true, true};
  bool ended_ = false;
};

class Poller {
 public:
  Poller();
  ~Poller();

  void add(Descriptor& descriptor);
  // Waits at most `timeout` (negative: for ever) and hands the events to their descriptors.
  void wait(Duration timeout);
  // Ends the present or the next wait. Any thread.
  void wake();
  // Descriptors alive on this shard.
  size_t descriptors() const { return descriptors_; }

 private:
  friend class Descriptor;
  static constexpr int kEventsPerWait = 256;
  int epoll_fd_;
  int wake_fd_;
  size_t descriptors_ = 0;
  // Events of the present wait whose descriptor has gone are skipped.
  Descriptor* pending_[kEventsPerWait];
  int pending_count_ = 0;
};

}  // namespace polis::io
