#include "systems/ledger/tigerbeetle/client.h"

#include <cstdlib>
#include <fmt/format.h>

namespace polis::ledger::tigerbeetle {
namespace {

struct Freed {
  void operator()(std::byte* room) const { std::free(room); }
};
using Room = std::unique_ptr<std::byte[], Freed>;

Room make_room() {
  auto* room = static_cast<std::byte*>(std::aligned_alloc(4096, kMessageBytesMax));
  POLIS_ASSERT(room != nullptr);
  return Room(room);
}

Task<Result<void>> read_exactly(io::Stream& stream, MutableBytes into) {
  while (!into.empty()) into = into.subspan(CO_TRY(co_await stream.read_some(into)));
  co_return {};
}

}  // namespace

struct Client::State {
  std::unique_ptr<io::Stream> stream;
  ClientOptions options;
  Room out = make_room(), in = make_room();  // each a header and a body
  Request request;                           // the last one, sealed
  size_t body_bytes = 0;                     // of it
  Reply reply;                               // the last one

  MutableBytes out_body() { return MutableBytes(out.get() + kHeaderBytes, kBodyBytesMax); }
  BytesView sent() const { return {out.get() + kHeaderBytes, body_bytes}; }
};

Client::Client(std::unique_ptr<io::Stream> stream, ClientOptions options) : state_(std::make_unique<State>()) {
  POLIS_ASSERT(options.client != 0);
  state_->stream = std::move(stream);
  state_->options = options;
}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

MutableBytes Client::body() {
  return state_->out_body();
}
uint64_t Client::session() const {
  return state_->options.session;
}
uint32_t Client::request() const {
  return state_->options.request;
}
u128 Client::parent() const {
  return state_->options.parent;
}
const Reply& Client::last_reply() const {
  return state_->reply;
}
io::Stream& Client::stream() {
  return *state_->stream;
}

namespace {

Request header_of(const ClientOptions& options, WireOperation operation, uint32_t number) {
  Request request;
  request.frame.cluster = options.cluster;
  request.frame.release = options.release;
  request.part.parent = options.parent;
  request.part.client = options.client;
  request.part.session = options.session;
  request.part.request = number;
  request.part.operation = static_cast<uint8_t>(operation);
  return request;
}

}  // namespace

Task<Result<void>> Client::enroll() {
  State& state = *state_;
  if (state.options.session != 0) co_return fail(Code::kInvalid, "the session is open already");
  const RegisterRequest body;
  std::memcpy(state.out_body().data(), &body, sizeof body);
  state.body_bytes = sizeof body;
  state.request = header_of(state.options, WireOperation::kRegister, 0);
  const BytesView sent = state.sent();
  seal(state.request, std::span(&sent, 1));
  const BytesView answer = CO_TRY(co_await exchange());
  if (answer.size() != sizeof(RegisterResult))
    co_return fail(Code::kCorrupt, "the reply to a registration has a wrong size");
  if (record_at<RegisterResult>(answer, 0).batch_size_limit < kBodyBytesMax)
    co_return fail(Code::kUnsupported, "the server takes smaller messages than this client sends");
  state.options.session = state.reply.part.commit;
  co_return {};
}

Task<Result<BytesView>> Client::send(WireOperation operation, size_t payload_bytes) {
  State& state = *state_;
  if (state.options.session == 0) co_return fail(Code::kInvalid, "the session is not open");
  const auto shape = shape_of(static_cast<uint8_t>(operation));
  if (!shape) co_return fail(Code::kInvalid, fmt::format("{} is no operation to send", static_cast<int>(operation)));
  state.body_bytes = CO_TRY(finish_body(*shape, state.out_body(), payload_bytes));
  state.request = header_of(state.options, operation, ++state.options.request);
  const BytesView sent = state.sent();
  seal(state.request, std::span(&sent, 1));
  co_return co_await resend();
}

Task<Result<BytesView>> Client::resend() {
  if (state_->request.part.client == 0) co_return fail(Code::kInvalid, "there was no request yet");
  const auto shape = shape_of(state_->request.part.operation);
  const BytesView answer = CO_TRY(co_await exchange());
  if (!shape) co_return answer;
  co_return payload_of(*shape, answer);
}

Task<Result<BytesView>> Client::resend_over(std::unique_ptr<io::Stream> stream) {
  state_->stream = std::move(stream);
  co_return co_await resend();
}

// The last request out, its reply in.
Task<Result<BytesView>> Client::exchange() {
  State& state = *state_;
  const BytesView parts[] = {bytes_of(state.request), state.sent()};
  CO_TRY(co_await state.stream->write(parts));
  const MutableBytes in(state.in.get(), kMessageBytesMax);
  while (true) {
    CO_TRY(co_await read_exactly(*state.stream, in.first(kHeaderBytes)));
    const AnyHeader header = CO_TRY(decode_header(in.first(kHeaderBytes), state.options.cluster));
    const MutableBytes body = in.subspan(kHeaderBytes, header.body_bytes());
    CO_TRY(co_await read_exactly(*state.stream, body));
    CO_TRY(check_body(header, body));
    if (header.frame().command == WireCommand::kPongClient) continue;
    if (header.frame().command == WireCommand::kEviction) {
      const EvictionReason reason = header.as<EvictionPart>().part.reason;
      co_return fail(Code::kDenied, fmt::format("the server ended the session: {}", name(reason)));
    }
    if (header.frame().command != WireCommand::kReply)
      co_return fail(Code::kCorrupt, "the server sent what only clients send");
    const Reply reply = header.as<ReplyPart>();
    if (reply.part.client != state.options.client || reply.part.request > state.request.part.request)
      co_return fail(Code::kCorrupt, "the reply is to somebody else's request");
    if (reply.part.request < state.request.part.request) continue;  // to a request that was sent twice
    if (reply.part.request_checksum != state.request.frame.checksum ||
        reply.part.operation != state.request.part.operation)
      co_return fail(Code::kCorrupt, "the reply is to another request of the same number");
    state.reply = reply;
    state.options.parent = reply.part.context;
    co_return body;
  }
}

Task<Result<void>> Client::ping() {
  State& state = *state_;
  PingClient ping;
  ping.frame.cluster = state.options.cluster;
  ping.frame.release = state.options.release;
  ping.part.client = state.options.client;
  ping.part.session = state.options.session;
  ping.part.ping_timestamp = 1;
  seal(ping);
  CO_TRY(co_await state.stream->write(bytes_of(ping)));
  const MutableBytes in(state.in.get(), kHeaderBytes);
  CO_TRY(co_await read_exactly(*state.stream, in));
  const AnyHeader header = CO_TRY(decode_header(in, state.options.cluster));
  if (header.frame().command == WireCommand::kEviction)
    co_return fail(Code::kDenied,
                   fmt::format("the server ended the session: {}", name(header.as<EvictionPart>().part.reason)));
  if (header.frame().command != WireCommand::kPongClient)
    co_return fail(Code::kCorrupt, "a ping was not answered by a pong");
  co_return {};
}

// --- requests of one batch

template <class Event, class Answer>
Task<Result<std::vector<Answer>>> Client::ask(WireOperation operation, std::span<const Event> events) {
  if (events.size_bytes() > kBodyBytesMax) co_return fail(Code::kTooLarge, "the events do not fit into one message");
  if (!events.empty()) std::memcpy(body().data(), events.data(), events.size_bytes());
  const BytesView payload = CO_TRY(co_await send(operation, events.size_bytes()));
  std::vector<Answer> answers(payload.size() / sizeof(Answer));
  if (!answers.empty()) std::memcpy(answers.data(), payload.data(), answers.size() * sizeof(Answer));
  co_return answers;
}

Task<Result<std::vector<CreateResult>>> Client::create_accounts(std::span<const Account> events) {
  return ask<Account, CreateResult>(WireOperation::kCreateAccounts, events);
}
Task<Result<std::vector<CreateResult>>> Client::create_transfers(std::span<const Transfer> events) {
  return ask<Transfer, CreateResult>(WireOperation::kCreateTransfers, events);
}
Task<Result<std::vector<Account>>> Client::lookup_accounts(std::span<const Id> ids) {
  return ask<Id, Account>(WireOperation::kLookupAccounts, ids);
}
Task<Result<std::vector<Transfer>>> Client::lookup_transfers(std::span<const Id> ids) {
  return ask<Id, Transfer>(WireOperation::kLookupTransfers, ids);
}
// The filter of the four questions lives in the frame that awaits them.
Task<Result<std::vector<Transfer>>> Client::account_transfers(const AccountFilter& filter) {
  return ask<AccountFilter, Transfer>(WireOperation::kGetAccountTransfers, std::span(&filter, 1));
}
Task<Result<std::vector<AccountBalance>>> Client::account_balances(const AccountFilter& filter) {
  return ask<AccountFilter, AccountBalance>(WireOperation::kGetAccountBalances, std::span(&filter, 1));
}
Task<Result<std::vector<Account>>> Client::query_accounts(const QueryFilter& filter) {
  return ask<QueryFilter, Account>(WireOperation::kQueryAccounts, std::span(&filter, 1));
}
Task<Result<std::vector<Transfer>>> Client::query_transfers(const QueryFilter& filter) {
  return ask<QueryFilter, Transfer>(WireOperation::kQueryTransfers, std::span(&filter, 1));
}

}  // namespace polis::ledger::tigerbeetle
