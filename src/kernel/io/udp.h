// Datagrams, many a system call. A socket belongs to one shard; with reuse_port every shard has its own on the same
// port and the kernel keeps one sender's datagrams on one shard.
#pragma once

#include <memory>
#include <span>

#include "kernel/io/stream.h"

namespace polis::io {

struct Datagram {
  MutableBytes room;       // where receive puts the payload; at least as large as the largest expected
  size_t size_bytes = 0;   // of the payload
  bool truncated = false;  // the payload did not fit into `room`
  Endpoint peer;           // who sent it, or who shall get it
};

class UdpSocket {
 public:
  virtual ~UdpSocket() = default;
  static Result<std::unique_ptr<UdpSocket>> bind(const Endpoint& endpoint, bool reuse_port = true);

  // Waits for at least one datagram and takes what is there, at most `into.size()` (used in slices of 64). Returns how
  // many.
  virtual Task<Result<size_t>> receive(std::span<Datagram> into) = 0;
  // Sends all, in order. kBusy when the kernel's buffer stays full: datagrams from there on were dropped, as the
  // network would.
  virtual Task<Result<void>> send(std::span<const Datagram> datagrams) = 0;
  virtual const Endpoint& local() const = 0;
  virtual void close() = 0;
};

}  // namespace polis::io
