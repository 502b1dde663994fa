// What a connection knows of its client's session, and what it therefore does with a request before anybody else looks
// at it. A client has one request in flight and sends it again until it is answered: the same request twice must have
// one effect and one answer. Who booked what is the ledger's to know; here are the rules that need no ledger.
//
// Sans-IO; belongs to one connection.
#pragma once

#include <optional>

#include "systems/ledger/tigerbeetle/message.h"

namespace polis::ledger::tigerbeetle {

struct Judgement {
  enum class Verdict : uint8_t {
    kServe,
    kAnswerAgain,  // with last_reply()
    kIgnore,       // an older request, or another one under the same number
    kEvict,
  };
  Verdict verdict = Verdict::kServe;
  EvictionReason reason{};  // for kEvict
};

class Session {
 public:
  // A reply to a question that is no larger is kept to be sent again; a larger one is made anew, which nobody can tell
  // from a request that arrived later. 4,096 connections keep at most 64 MiB.
  static constexpr size_t kKeptReplyBytesMax = 16 * 1024;

  Judgement judge(const Request& request) const;
  // The request is being served.
  void began(const Request& request);
  // Its reply, whole; kept if it is small.
  void answered(const Reply& reply, BytesView body);
  BytesView last_reply() const { return last_reply_; }

 private:
  u128 client_ = 0;
  uint64_t session_ = 0;
  uint32_t release_ = 0;
  uint32_t request_ = 0;
  u128 checksum_ = 0;
  Bytes last_reply_;
};

// Whether the release of a client is one that this server speaks with.
std::optional<EvictionReason> refused_release(uint32_t release);

}  // namespace polis::ledger::tigerbeetle
