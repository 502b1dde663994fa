#include "systems/ledger/tigerbeetle/connection.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/obs/log.h"

namespace polis::ledger::tigerbeetle {
namespace {

// Between tries while the ledger is busy: the first about one group of the journal, the last short against the seconds
// after which a client sends again.
constexpr Duration kPauseMin = std::chrono::milliseconds(1);
constexpr Duration kPauseMax = std::chrono::milliseconds(50);
// Replies that may be larger than this wait for a permit.
constexpr size_t kLargeReplyBytes = 64 * 1024;

// A connection keeps the room for so many counts of batches.
constexpr size_t kBatchesKept = 1'024;

// A browser, or a probe that tries HTTP. Headers have 16 zero bytes after their first 16, and text has none.
bool looks_like_http(BytesView bytes) {
  static constexpr std::string_view kMethods[] = {"GET ",     "POST ",    "PUT ",   "HEAD ",  "DELETE ",
                                                  "OPTIONS ", "CONNECT ", "TRACE ", "PATCH ", "PRI "};
  const std::string_view text = as_text(bytes);
  return text.size() >= 8 &&
         std::ranges::any_of(kMethods, [&](std::string_view method) { return text.starts_with(method); }) &&
         std::ranges::all_of(text,
                             [](char c) { return (c >= ' ' && c <= '~') || c == '\r' || c == '\n' || c == '\t'; });
}

SteadyTime now() {
  return io::Shard::current().clock().steady();
}

}  // namespace

Metrics::Metrics(obs::Registry& registry)
    : connections(&registry.counter("polis_ledger_tigerbeetle_connections", "Connections accepted.")),
      received_bytes(&registry.counter("polis_ledger_tigerbeetle_received_bytes", "Bytes of messages received.")),
      sent_bytes(&registry.counter("polis_ledger_tigerbeetle_sent_bytes", "Bytes of messages sent.")),
      evictions(&registry.counter("polis_ledger_tigerbeetle_evictions", "Sessions that were ended.")),
      broken(&registry.counter("polis_ledger_tigerbeetle_broken",
                               "Connections that were closed because they brought what is no message.")),
      waits(&registry.counter("polis_ledger_tigerbeetle_waits", "Tries that found the ledger busy.")),
      seconds(&registry.histogram("polis_ledger_tigerbeetle_request_seconds",
                                  "From the end of a request to the end of its reply.",
                                  obs::latency_bounds_seconds())) {
  for (size_t i = 0; i < kActions; ++i)
    requests[i] = &registry.counter("polis_ledger_tigerbeetle_requests", "Requests answered.",
                                    {{"operation", std::string(name(static_cast<Action>(i)))}});
}

Connection::Connection(Shared& shared, std::unique_ptr<io::Stream> stream, Identify identify, std::string common_name)
    : shared_(shared),
      stream_(std::move(stream)),
      identify_(std::move(identify)),
      common_name_(std::move(common_name)),
      small_(std::make_unique_for_overwrite<std::byte[]>(kSmallBytes)) {}

Connection::~Connection() = default;

void Connection::drain() {
  if (idle_scope_) idle_scope_->stop();
}

Task<void> Connection::serve() {
  Result<void> served;
  while (served && !shared_.draining) {
    auto received = co_await receive();
    if (!received) {
      served = fail(std::move(received).error());
    } else {
      served = co_await handle(*received);
    }
  }
  if (!served && (served.error().code() == Code::kCorrupt || served.error().code() == Code::kInvalid)) {
    if (shared_.metrics) shared_.metrics->broken->add();
    obs::log_info("a ledger client was disconnected", {{"peer", stream_->peer().text()}, {"error", served.error()}});
  }
  stream_->close();
}

// --- receiving

// Reads once. `idle`: nothing of a message has come yet.
Task<Result<void>> Connection::fill(MutableBytes into, size_t& filled, bool idle) {
  if (idle) {
    if (shared_.draining) co_return fail(Code::kClosed, "the server ends");
    message_since_.reset();
  } else if (!message_since_) {
    message_since_ = now();
  }
  const Duration limit =
      idle ? shared_.options.idle_max : shared_.options.message_max - (now() - message_since_.value());
  if (limit <= Duration::zero()) co_return fail(Code::kTimeout, "a message did not arrive in time");
  io::Scope scope(co_await io::this_scope());
  if (idle) idle_scope_ = &scope;
  auto got = co_await io::with_timeout<Result<size_t>>(limit, stream_->read_some(into)).within(scope);
  idle_scope_ = nullptr;
  filled += CO_TRY(std::move(got));
  co_return {};
}

// Until `bytes` are in the small buffer behind begin_.
Task<Result<void>> Connection::fill_to(size_t bytes) {
  while (end_ - begin_ < bytes) {
    if (kSmallBytes - begin_ < bytes || begin_ == end_) {
      std::memmove(small_.get(), small_.get() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
    CO_TRY(co_await fill(MutableBytes(small_.get() + end_, kSmallBytes - end_), end_, begin_ == end_));
    const BytesView there(small_.get() + begin_, end_ - begin_);
    if (there.size() < kHeaderBytes && looks_like_http(there))
      co_return fail(Code::kInvalid, "this port speaks the TigerBeetle protocol, not HTTP");
  }
  co_return {};
}

Task<Result<Connection::Received>> Connection::receive() {
  message_since_.reset();
  CO_TRY(co_await fill_to(kHeaderBytes));
  Received received{
      .header = CO_TRY(decode_header(BytesView(small_.get() + begin_, kHeaderBytes), shared_.options.cluster)),
      .body = {},
      .lease = {}};
  const size_t total = received.header.frame().size;
  if (total <= kSmallBytes) {
    CO_TRY(co_await fill_to(total));
    received.body = BytesView(small_.get() + begin_, total).subspan(kHeaderBytes);
    begin_ += total;
  } else {
    received.lease = CO_TRY(co_await shared_.buffers.take());
    message_since_.reset();  // the wait was ours
    const MutableBytes whole = received.lease.bytes().first(total);
    size_t filled = std::min(end_ - begin_, total);
    std::memcpy(whole.data(), small_.get() + begin_, filled);
    begin_ += filled;
    while (filled < total) CO_TRY(co_await fill(whole.subspan(filled), filled, false));
    received.body = whole.subspan(kHeaderBytes);
  }
  if (shared_.metrics) shared_.metrics->received_bytes->add(total);
  CO_TRY(check_body(received.header, received.body));
  co_return received;
}

// --- handling

Task<Result<void>> Connection::handle(const Received& received) {
  switch (received.header.frame().command) {
    case WireCommand::kPingClient:
      co_return co_await handle_ping(received.header.as<PingClientPart>());
    case WireCommand::kRequest:
      co_return co_await handle_request(received.header.as<RequestPart>(), received.body);
    case WireCommand::kPongClient:
    case WireCommand::kReply:
    case WireCommand::kEviction:
      break;
  }
  co_return fail(Code::kInvalid, "the client sent what only servers send");
}

Task<Result<void>> Connection::handle_ping(const PingClient& ping) {
  if (auto reason = refused_release(ping.frame.release))
    co_return co_await send_eviction(ping.frame, ping.part.client, *reason);
  if (ping.part.session != 0) {
    const SessionRequest from{.client = ping.part.client, .session = ping.part.session, .request = UINT32_MAX};
    auto state = co_await shared_.ledger.query([from](const Engine& engine) { return engine.session_state(from); });
    // A ping is not worth waiting for: without an answer the client keeps what it believed.
    if (state && *state == Engine::SessionState::kUnknown)
      co_return co_await send_eviction(ping.frame, ping.part.client, EvictionReason::kNoSession);
  }
  PongClient pong;
  pong.frame.cluster = shared_.options.cluster;
  pong.frame.release = kReleaseOurs;
  pong.part.ping_timestamp = ping.part.ping_timestamp;
  seal(pong);
  const BytesView bytes = bytes_of(pong);
  co_return co_await send(std::span(&bytes, 1));
}

Task<Result<void>> Connection::handle_request(const Request& request, BytesView body) {
  const Judgement judgement = session_.judge(request);
  switch (judgement.verdict) {
    case Judgement::Verdict::kIgnore:
      co_return {};
    case Judgement::Verdict::kEvict:
      co_return co_await send_eviction(request.frame, request.part.client, judgement.reason);
    case Judgement::Verdict::kAnswerAgain: {
      const BytesView again = session_.last_reply();
      co_return co_await send(std::span(&again, 1));
    }
    case Judgement::Verdict::kServe:
      break;
  }
  const SteadyTime since = now();
  session_.began(request);
  // Who opens a session may take the place of another's: that needs a name, too.
  CO_TRY(co_await refresh_rights());
  if (!rights_.member()) co_return fail(Code::kDenied, "the books are for users of the main account");
  const auto shape = shape_of(request.part.operation);
  if (!shape) co_return co_await enroll(request);
  auto wire = decode_request(*shape, body);
  if (!wire) {
    obs::log_info("a request of a ledger client is malformed",
                  {{"peer", stream_->peer().text()}, {"operation", name(shape->action)}, {"error", wire.error()}});
    co_return co_await send_eviction(request.frame, request.part.client, EvictionReason::kInvalidBody);
  }
  CO_TRY(shape->creates() ? co_await book(request, *wire) : co_await answer(request, *wire));
  if (shared_.metrics) {
    shared_.metrics->requests[static_cast<size_t>(shape->action)]->add();
    shared_.metrics->seconds->observe(now() - since);
  }
  co_return {};
}

Task<Result<void>> Connection::refresh_rights() {
  if (!identify_) co_return {};
  if (rights_since_ && now() - *rights_since_ < shared_.options.rights_age_max) co_return {};
  auto principal = CO_TRY(co_await identify_(common_name_));
  rights_ = Rights(std::move(principal), stream_->peer().address, io::Shard::current().clock().wall());
  rights_since_ = now();
  co_return {};
}

Task<Result<void>> Connection::pause(Duration& wait) {
  if (shared_.draining) co_return fail(Code::kClosed, "the server ends");
  if (shared_.metrics) shared_.metrics->waits->add();
  CO_TRY(co_await io::sleep_for(wait));
  wait = std::min(2 * wait, kPauseMax);
  co_return {};
}

Task<Result<ledger::Reply>> Connection::submit(const Command& command) {
  for (Duration wait = kPauseMin;;) {
    auto reply = co_await shared_.ledger.submit(command);
    if (reply || reply.error().code() != Code::kBusy) co_return reply;
    CO_TRY(co_await pause(wait));
  }
}

Task<Result<void>> Connection::enroll(const Request& request) {
  Command command;
  command.operation = Operation::kRegister;
  command.from.client = request.part.client;
  auto booked = co_await submit(command);
  if (!booked) co_return co_await refuse(request, booked.error());
  Reply reply = reply_to(request, booked->op, booked->timestamp);
  const RegisterResult result;
  co_return co_await send_reply(reply, {reinterpret_cast<const std::byte*>(&result), sizeof result});
}

Task<Result<void>> Connection::book(const Request& request, const WireRequest& wire) {
  if (auto ledger = rights_.refused(wire)) {
    obs::log_info("a ledger client may not book here",
                  {{"client", common_name_}, {"resource", ledger_resource(*ledger)}});
    co_return co_await send_eviction(request.frame, request.part.client, EvictionReason::kInvalidOperation);
  }
  const SessionRequest from{
      .client = request.part.client, .session = request.part.session, .request = request.part.request};
  const Command command = to_command(wire, from, batches_);
  auto booked = co_await submit(command);
  if (batches_.capacity() > kBatchesKept) batches_ = {};
  if (!booked) co_return co_await refuse(request, booked.error());
  // Somebody's command under the same number would be a client that breaks the protocol.
  if (booked->results.size() != wire.event_count()) co_return {};
  Reply reply = reply_to(request, booked->op, booked->timestamp);
  const Bytes body = create_answer(wire, booked->results);
  co_return co_await send_reply(reply, body);
}

namespace {

struct Permit {
  io::Semaphore* semaphore = nullptr;
  ~Permit() {
    if (semaphore) semaphore->release();
  }
};

}  // namespace

Task<Result<void>> Connection::answer(const Request& request, const WireRequest& wire) {
  Permit permit;
  if (wire.results_max * wire.shape.result_bytes > kLargeReplyBytes) {
    CO_TRY(co_await shared_.answers.acquire());
    permit.semaphore = &shared_.answers;
  }
  const SessionRequest from{
      .client = request.part.client, .session = request.part.session, .request = request.part.request};
  const MayRead may_read =
      rights_.all() ? MayRead() : [this](uint32_t ledger) { return rights_.may(Right::kRead, ledger); };
  Answer answer(wire);
  struct Step {
    Engine::SessionState session;
    bool done;
  };
  auto ask = [&](const Engine& engine) -> Step {
    const Engine::SessionState session = engine.session_state(from);
    return {session, session == Engine::SessionState::kCurrent && answer.run(engine, may_read)};
  };
  for (Duration wait = kPauseMin;;) {
    auto step = co_await shared_.ledger.query([&ask](const Engine& engine) { return ask(engine); });
    if (!step) {
      if (step.error().code() != Code::kBusy) co_return fail(std::move(step).error());
      CO_TRY(co_await pause(wait));
      continue;
    }
    switch (step->session) {
      case Engine::SessionState::kCurrent:
        break;
      case Engine::SessionState::kUnknown:
        co_return co_await send_eviction(request.frame, request.part.client, EvictionReason::kNoSession);
      case Engine::SessionState::kOlder:
        co_return co_await send_eviction(request.frame, request.part.client, EvictionReason::kSessionTooLow);
      case Engine::SessionState::kNewer:
      case Engine::SessionState::kPast:
        co_return {};
    }
    if (step->done) break;
  }
  const Answered answered = std::move(answer).finish();
  Reply reply = reply_to(request, answered.op, answered.timestamp);
  co_return co_await send_reply(reply, answered.body);
}

// --- sending

Task<Result<void>> Connection::refuse(const Request& request, const Error& error) {
  switch (error.code()) {
    case Code::kConflict:    // an older request of the session
    case Code::kOutOfRange:  // a session that does not exist yet
      co_return {};
    case Code::kNotFound:
      co_return co_await send_eviction(request.frame, request.part.client, EvictionReason::kNoSession);
    case Code::kVersionMismatch:
      co_return co_await send_eviction(request.frame, request.part.client, EvictionReason::kSessionTooLow);
    case Code::kInvalid:
    case Code::kTooLarge:
      co_return co_await send_eviction(request.frame, request.part.client, EvictionReason::kInvalidBody);
    default:
      // The outcome is not known: the client connects again and asks with the same request number.
      co_return fail(error);
  }
}

Task<Result<void>> Connection::send_eviction(const Frame& asked, u128 client, EvictionReason reason) {
  if (shared_.metrics) shared_.metrics->evictions->add();
  obs::log_info("a session of a ledger client is over",
                {{"peer", stream_->peer().text()}, {"reason", name(reason)}, {"release", asked.release}});
  Eviction eviction;
  eviction.frame.cluster = shared_.options.cluster;
  eviction.frame.release = kReleaseOurs;
  eviction.part.client = client;
  eviction.part.reason = reason;
  seal(eviction);
  const BytesView bytes = bytes_of(eviction);
  co_return co_await send(std::span(&bytes, 1));
}

Task<Result<void>> Connection::send_reply(Reply& reply, BytesView body) {
  seal_reply(reply, std::span(&body, 1));
  session_.answered(reply, body);
  const BytesView parts[] = {bytes_of(reply), body};
  co_return co_await send(parts);
}

Task<Result<void>> Connection::send(std::span<const BytesView> parts) {
  CO_TRY(co_await io::with_timeout<Result<void>>(shared_.options.message_max, stream_->write(parts)));
  if (shared_.metrics)
    for (BytesView part : parts) shared_.metrics->sent_bytes->add(part.size());
  co_return {};
}

}  // namespace polis::ledger::tigerbeetle
