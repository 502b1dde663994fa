#include "kernel/io/scope.h"

namespace polis::io {

Scope::Scope(Scope* parent) {
  if (parent && !parent->link(*this)) {
    stopped_ = true;
    reason_ = parent->reason();
  }
}

Scope::~Scope() {
  POLIS_ASSERT(first_ == nullptr);
}

bool Scope::link(Cancellable& operation) {
  if (stopped_) return false;
  operation.scope_ = this;
  operation.previous_ = nullptr;
  operation.next_ = first_;
  if (first_) first_->previous_ = &operation;
  first_ = &operation;
  return true;
}

void Scope::stop(Code reason) {
  if (stopped_) return;
  stopped_ = true;
  reason_ = reason;
  while (Cancellable* operation = first_) {
    operation->unlink();
    operation->cancel(reason);
  }
}

}  // namespace polis::io
