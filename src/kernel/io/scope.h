// Scope: what stop and deadline reach. Every suspended operation is linked into the scope of its coroutine; stopping
// the scope cancels them all. Lives on one shard, no locks.
#pragma once

#include "kernel/base/result.h"

namespace polis::io {

class Scope;

// One suspended operation, or a nested scope. Linked while it can be cancelled.
class Cancellable {
 public:
  Cancellable() = default;
  Cancellable(const Cancellable&) = delete;
  Cancellable& operator=(const Cancellable&) = delete;

  // Called at most once, on the scope's shard, after unlinking. Must arrange that the operation completes with `reason`
  // (kCancelled or kTimeout); may not resume a coroutine inline.
  virtual void cancel(Code reason) = 0;

  bool linked() const { return scope_ != nullptr; }
  void unlink();

 protected:
  virtual ~Cancellable() { unlink(); }

 private:
  friend class Scope;
  Scope* scope_ = nullptr;
  Cancellable* previous_ = nullptr;
  Cancellable* next_ = nullptr;
};

class Scope final : private Cancellable {
 public:
  // Stops with its parent; null makes a root.
  explicit Scope(Scope* parent);
  ~Scope() override;

  // Cancels everything linked now and everything that links later. Idempotent; the first reason stays.
  void stop(Code reason = Code::kCancelled);
  bool stopped() const { return stopped_; }
  // Meaningful once stopped.
  Code reason() const { return reason_; }

  // Links, or answers false when the scope is already stopped: then the operation must not start.
  [[nodiscard]] bool link(Cancellable& operation);

 private:
  friend class Cancellable;
  void cancel(Code reason) override { stop(reason); }

  Cancellable* first_ = nullptr;
  Code reason_ = Code::kCancelled;
  bool stopped_ = false;
};

inline void Cancellable::unlink() {
  if (!scope_) return;
  (previous_ ? previous_->next_ : scope_->first_) = next_;
  if (next_) next_->previous_ = previous_;
  scope_ = nullptr;
  previous_ = next_ = nullptr;
}

}  // namespace polis::io
