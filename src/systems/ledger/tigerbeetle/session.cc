#include "systems/ledger/tigerbeetle/session.h"

#include "systems/ledger/tigerbeetle/operations.h"

namespace polis::ledger::tigerbeetle {
namespace {

Judgement evict(EvictionReason reason) {
  return {.verdict = Judgement::Verdict::kEvict, .reason = reason};
}

bool registers(const Request& request) {
  return request.part.operation == static_cast<uint8_t>(WireOperation::kRegister);
}

}  // namespace

std::optional<EvictionReason> refused_release(uint32_t release) {
  if (release < kReleaseMin) return EvictionReason::kReleaseTooLow;
  if (release > kReleaseMax) return EvictionReason::kReleaseTooHigh;
  return std::nullopt;
}

Judgement Session::judge(const Request& request) const {
  if (auto reason = refused_release(request.frame.release)) return evict(*reason);
  if (registers(request)) {
    if (request.frame.size != kHeaderBytes + sizeof(RegisterRequest)) return evict(EvictionReason::kInvalidBodySize);
  } else if (!shape_of(request.part.operation)) {
    return evict(EvictionReason::kInvalidOperation);
  }
  if (request.part.client != client_) return {};
  // The session of a registration is not known before its answer.
  if (request.frame.release != release_) return evict(EvictionReason::kSessionReleaseMismatch);
  if (request.part.session != session_) return {};
  if (request.part.request > request_) return {};
  if (request.part.request < request_ || request.frame.checksum != checksum_)
    return {.verdict = Judgement::Verdict::kIgnore};
  return {.verdict = last_reply_.empty() ? Judgement::Verdict::kServe : Judgement::Verdict::kAnswerAgain};
}

void Session::began(const Request& request) {
  client_ = request.part.client;
  session_ = request.part.session;
  release_ = request.frame.release;
  request_ = request.part.request;
  checksum_ = request.frame.checksum;
  last_reply_.clear();
}

void Session::answered(const Reply& reply, BytesView body) {
  if (kHeaderBytes + body.size() > kKeptReplyBytesMax) {
    if (last_reply_.capacity() > 0) last_reply_ = {};
    return;
  }
  const BytesView header = bytes_of(reply);
  last_reply_.assign(header.begin(), header.end());
  last_reply_.insert(last_reply_.end(), body.begin(), body.end());
}

}  // namespace polis::ledger::tigerbeetle
