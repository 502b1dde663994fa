// Deadline: a timer that is set far more often than it fires. Setting it later only stores the time, so an exchange
// that is in time costs two stores instead of two operations on the timer wheel. When it fires it stops the scope it
// watches with kTimeout.
#pragma once

#include "kernel/io/scope.h"
#include "kernel/io/shard.h"

namespace polis::http {

class Deadline final : public io::Timer {
 public:
  // Watches a scope until the Watch ends.
  class Watch {
   public:
    Watch(Deadline& deadline, SteadyTime at, io::Scope& scope) : deadline_(deadline) { deadline_.set(at, scope); }
    ~Watch() { deadline_.scope_ = nullptr; }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Deadline& deadline_;
  };

 private:
  void set(SteadyTime at, io::Scope& scope) {
    at_ = at;
    scope_ = &scope;
    if (armed() && armed_at_ <= at) return;
    disarm();
    armed_at_ = at;
    arm(at);
  }
  void fired() override {
    if (!scope_) return;
    if (io::Shard::current().now() >= at_) {
      scope_->stop(Code::kTimeout);
    } else {
      armed_at_ = at_;
      arm(at_);
    }
  }

  io::Scope* scope_ = nullptr;
  SteadyTime at_{}, armed_at_{};
};

}  // namespace polis::http
