// What streams over sockets can do beyond Stream, for servers of many connections that are mostly idle, and for answers
// that are made of several pieces.
#pragma once

#include "kernel/io/stream.h"

namespace polis::io {

class PollableStream {
 public:
  // Waits until try_read may find something: bytes, the end or an error. Needs no buffer meanwhile. Only after try_read
  // found nothing. Cancellable; counts as the stream's pending read.
  virtual Task<Result<void>> readable() = 0;
  // What is there now, at most into.size() bytes; 0 if nothing is. kClosed at the regular end.
  virtual Result<size_t> try_read(MutableBytes into) = 0;
  // While on, bytes that do not fill a packet wait for more (at most 200 ms, tcp(7)); off sends them.
  virtual void cork(bool on) = 0;

 protected:
  ~PollableStream() = default;
};

// The same stream, if it can; null where it cannot.
inline PollableStream* pollable(Stream& stream) {
  return dynamic_cast<PollableStream*>(&stream);
}

}  // namespace polis::io
