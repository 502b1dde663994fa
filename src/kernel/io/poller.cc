#include "kernel/io/poller.h"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace polis::io {

Descriptor::Descriptor(int fd) : fd_(fd), poller_(Shard::current().poller()) {
  poller_.add(*this);
}

Descriptor::~Descriptor() {
  close();
}

void Descriptor::close() {
  if (fd_ < 0) return;
  for (int i = 0; i < poller_.pending_count_; ++i)
    if (poller_.pending_[i] == this) poller_.pending_[i] = nullptr;
  // Closing alone would not leave the epoll set while a duplicate of the descriptor is open somewhere.
  epoll_ctl(poller_.epoll_fd_, EPOLL_CTL_DEL, fd_, nullptr);
  ::close(fd_);
  fd_ = -1;
  --poller_.descriptors_;
  for (Wait* wait : waiting_)
    if (wait) {
      wait->unlink();
      wait->cancel(Code::kClosed);
    }
}

void Descriptor::drained(Direction direction) {
  // An end of the peer was reported together with the data before it and is not reported again: keep reading.
  if (direction == Direction::kRead && ended_) return;
  ready_[static_cast<size_t>(direction)] = false;
}

void Descriptor::happened(uint32_t events) {
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    ended_ = true;
    events |= EPOLLIN;
    if (events & (EPOLLHUP | EPOLLERR)) events |= EPOLLOUT;
  }
  if (events & EPOLLIN) {
    ready_[0] = true;
    if (waiting_[0]) waiting_[0]->complete();
  }
  if (events & EPOLLOUT) {
    ready_[1] = true;
    if (waiting_[1]) waiting_[1]->complete();
  }
  if (ended_ && waiting_[2]) waiting_[2]->complete();
}

Poller::Poller() : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  POLIS_ASSERT(epoll_fd_ >= 0 && wake_fd_ >= 0);
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
  POLIS_ASSERT(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0);
}

Poller::~Poller() {
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

void Poller::add(Descriptor& descriptor) {
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &descriptor}};
  POLIS_ASSERT(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, descriptor.fd(), &event) == 0);
  ++descriptors_;
}

void Poller::wait(Duration timeout) {
  epoll_event events[kEventsPerWait];
  timespec limit{};
  if (timeout > Duration::zero()) {
    limit.tv_sec = timeout / std::chrono::seconds(1);
    limit.tv_nsec = (timeout % std::chrono::seconds(1)).count();
  }
  int count = epoll_pwait2(epoll_fd_, events, kEventsPerWait, timeout < Duration::zero() ? nullptr : &limit, nullptr);
  if (count < 0) {
    POLIS_ASSERT(errno == EINTR);
    return;
  }
  for (int i = 0; i < count; ++i) pending_[i] = static_cast<Descriptor*>(events[i].data.ptr);
  pending_count_ = count;
  for (int i = 0; i < count; ++i) {
    if (pending_[i]) {
      pending_[i]->happened(events[i].events);
    } else if (events[i].data.ptr == nullptr) {
      uint64_t wakes;
      [[maybe_unused]] auto n = ::read(wake_fd_, &wakes, sizeof wakes);
    }
  }
  pending_count_ = 0;
}

void Poller::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] auto n = ::write(wake_fd_, &one, sizeof one);  // full means a wake-up is already pending
}

}  // namespace polis::io
