#include "systems/exchange/fix/reflector.h"

namespace polis::exchange::fix {

namespace {
constexpr size_t kSentMax = 20'000;
constexpr size_t kOrdersMax = 1'000'000;
constexpr Tag kClOrdId = 11;
constexpr uint32_t kUnsupportedMessageType = 3;
}  // namespace

void append_business_reject(FieldWriter& body, const Message& message, uint32_t reason, std::string_view text) {
  if (const auto number = message.find(tag::kMsgSeqNum)) body.text(tag::kRefSeqNum, *number);
  body.text(tag::kText, text);
  body.text(tag::kRefMsgType, message.type());
  body.number(tag::kBusinessRejectReason, reason);
}

void Reflector::send(Session& session, std::string_view type, std::string body, bool possible_resend,
                     const Moment& now) {
  Sent sent{0, now.wall, possible_resend, std::string(type), std::move(body)};
  sent.number = session.send(type, now.wall, sent.body, now, possible_resend);
  sent_.push_back(std::move(sent));
  if (sent_.size() > kSentMax) sent_.pop_front();
}

void Reflector::on_message(Session& session, const Message& message, uint32_t, const Moment& now) {
  FieldWriter body;
  const auto type = message.type();
  if (type != "D" && type != "d") {
    append_business_reject(body, message, kUnsupportedMessageType, "Unsupported Message Type");
    return send(session, "j", std::string(body.view()), false, now);
  }
  const bool possible_resend = message.flag(tag::kPossResend);
  if (const auto order = message.find(kClOrdId)) {
    if (orders_.size() >= kOrdersMax) orders_.clear();
    const bool first = orders_.emplace(*order).second;
    if (possible_resend && !first) return;
  }
  append_sorted_body(message, body);
  send(session, type, std::string(body.view()), possible_resend, now);
}

void Reflector::on_resend(Session& session, uint32_t first, uint32_t last, const Moment& now) {
  for (const auto& sent : sent_) {
    if (sent.number < first || sent.number > last) continue;
    session.resend_message(sent.number, sent.type, sent.time, sent.body, now, sent.possible_resend);
  }
  session.resend_end(now);
}

void Reflector::on_reset() {
  sent_.clear();
  orders_.clear();
}

}  // namespace polis::exchange::fix
