#include "systems/exchange/faces/fix_client.h"

#include <fmt/format.h>

#include "kernel/io/shard.h"

namespace polis::exchange {

namespace {

constexpr size_t kTimestampBytes = 21;

}  // namespace

std::string fix_now() {
  char text[kTimestampBytes];
  fix::write_timestamp(io::Shard::current().clock().wall().time_since_epoch().count(), text);
  return {text, kTimestampBytes};
}

void FixClient::append(std::string_view type, std::string_view body) {
  head_.clear();
  fmt::format_to(std::back_inserter(head_),
                 "35={}\x01"
                 "34={}\x01"
                 "49={}\x01"
                 "52={}\x01"
                 "56={}\x01",
                 type, next_++, options_.sender, fix_now(), options_.target);
  const size_t begin = out_.size();
  fmt::format_to(std::back_inserter(out_),
                 "8=FIX.4.4\x01"
                 "9={}\x01",
                 head_.size() + body.size());
  out_ += head_;
  out_ += body;
  unsigned sum = 0;
  for (size_t i = begin; i < out_.size(); ++i) sum += static_cast<unsigned char>(out_[i]);
  fmt::format_to(std::back_inserter(out_), "10={:03}\x01", sum % 256);
}

Task<Result<void>> FixClient::flush() {
  Result<void> sent;
  if (std::exchange(flushing_, true)) co_return sent;
  while (sent && !out_.empty()) {
    const std::string sending = std::exchange(out_, {});
    sent = co_await stream_->write(as_bytes(sending));
  }
  flushing_ = false;
  co_return sent;
}

Task<Result<FixClient>> FixClient::open(Options options) {
  FixClient client(std::move(options));
  client.stream_ = CO_TRY(co_await io::connect(client.options_.endpoint));
  CO_TRY(co_await client.log_on());
  co_return client;
}

Task<Result<void>> FixClient::log_on() {
  fix::FieldWriter body;
  body.number(fix::tag::kEncryptMethod, 0);
  body.number(fix::tag::kHeartBtInt, options_.heartbeat_seconds);
  body.flag(fix::tag::kResetSeqNumFlag, true);
  if (!options_.password.empty()) {
    body.text(fix::tag::kUsername, options_.sender);
    body.text(fix::tag::kPassword, options_.password);
  }
  append("A", body.view());
  CO_TRY(co_await flush());
  while (!logged_on_) {
    auto heard = co_await receive([](const fix::Message&) {});
    if (!heard && heard.error().code() == Code::kClosed)
      co_return fail(
          Code::kUnauthenticated,
          fmt::format("the venue closed the connection: is there an enabled session {}, and is it not logged "
                      "on already?",
                      options_.sender));
    if (!heard) co_return fail(std::move(heard).error());
  }
  co_return Result<void>();
}

Result<void> FixClient::take(const fix::Message& message, const std::function<void(const fix::Message&)>& each) {
  const std::string_view type = message.type();
  if (type == "A") {
    logged_on_ = true;
  } else if (type == "1") {
    fix::FieldWriter body;
    body.text(fix::tag::kTestReqId, message.find(fix::tag::kTestReqId).value_or(""));
    append("0", body.view());
  } else if (type == "5") {
    if (std::exchange(logged_out_, true)) return {};
    const std::string text(message.find(fix::tag::kText).value_or("no reason given"));
    return fail(logged_on_ ? Code::kClosed : Code::kUnauthenticated, "the venue says goodbye: " + text);
  } else if (type == "3" || type == "j") {
    return fail(Code::kInvalid,
                fmt::format("the venue does not take message {}: {}", message.find(fix::tag::kRefSeqNum).value_or("?"),
                            message.find(fix::tag::kText).value_or("no reason given")));
  } else if (type != "0" && type != "2" && type != "4") {
    each(message);
  }
  return {};
}

Task<Result<void>> FixClient::receive(const std::function<void(const fix::Message&)>& each) {
  const std::span<char> room = framer_.room();
  const size_t bytes = CO_TRY(co_await stream_->read_some({reinterpret_cast<std::byte*>(room.data()), room.size()}));
  framer_.filled(bytes);
  for (;;) {
    const fix::Framer::Found found = framer_.next();
    if (found == fix::Framer::Found::kNeedMore) break;
    if (found == fix::Framer::Found::kGarbled || !message_.parse(framer_.frame()))
      co_return fail(Code::kCorrupt, "the venue sent something that is no FIX message");
    CO_TRY(take(message_, each));
  }
  co_return co_await flush();
}

Task<Result<void>> FixClient::receive_until(const std::function<bool(const fix::Message&)>& done) {
  bool found = false;
  while (!found) CO_TRY(co_await receive([&](const fix::Message& message) { found = done(message) || found; }));
  co_return Result<void>();
}

Task<Result<void>> FixClient::logout() {
  append("5", {});
  logged_out_ = true;
  CO_TRY(co_await flush());
  for (;;) {
    auto heard = co_await receive([](const fix::Message&) {});
    if (!heard) break;
  }
  stream_->close();
  co_return Result<void>();
}

}  // namespace polis::exchange
