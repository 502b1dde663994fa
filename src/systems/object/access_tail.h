// The tail of the access log: the last requests of a shard with who asked for what, how it ended and how long it took.
// For people who look at the console; nothing is written to a disk. One a Service, used on its shard alone. Keeping a
// request copies a few short texts into memory that the ring has already: no allocation once it is warm.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/clock.h"

namespace polis::object {

struct AccessLine {
  std::string request_id;
  std::string user;     // empty: anonymous
  std::string address;  // of the client; empty: the socket of this machine
  std::string bucket, key;
  std::string_view method;
  std::string_view operation;  // "GetObject"; empty: the request was refused before it was known
  std::string_view error;      // "NoSuchKey"; empty: none
  int status = 0;
  uint64_t received_bytes = 0;  // of the body, as announced
  uint64_t sent_bytes = 0;      // of an object's body
  WallTime at{};
  Duration took{};
};

class AccessTail {
 public:
  // What a screen shows. Keys of 1 KiB make it 80 KiB a shard at most.
  static constexpr size_t kLinesMax = 64;

  // The slot of the oldest line, to be filled anew: assign to each member, so that its memory is used again.
  AccessLine& next() { return lines_[seen_++ % kLinesMax]; }
  // Oldest first.
  std::vector<AccessLine> lines() const;

 private:
  std::array<AccessLine, kLinesMax> lines_;
  uint64_t seen_ = 0;
};

}  // namespace polis::object
