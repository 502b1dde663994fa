#include "systems/stream/client/connection.h"

#include <fmt/format.h>

#include "kernel/base/endian.h"

namespace polis::stream {
namespace {

constexpr size_t kSizeBytes = 4;

Task<Result<void>> read_exactly(io::Stream& stream, MutableBytes into) {
  while (!into.empty()) into = into.subspan(CO_TRY(co_await stream.read_some(into)));
  co_return {};
}

Code code_of(ErrorCode error) {
  switch (error) {
    case ErrorCode::kUnknownTopicOrPartition:
    case ErrorCode::kGroupIdNotFound:
    case ErrorCode::kTransactionalIdNotFound:
    case ErrorCode::kResourceNotFound:
      return Code::kNotFound;
    case ErrorCode::kTopicAlreadyExists:
      return Code::kExists;
    case ErrorCode::kTopicAuthorizationFailed:
    case ErrorCode::kGroupAuthorizationFailed:
    case ErrorCode::kClusterAuthorizationFailed:
    case ErrorCode::kTransactionalIdAuthorizationFailed:
      return Code::kDenied;
    case ErrorCode::kSaslAuthenticationFailed:
    case ErrorCode::kIllegalSaslState:
      return Code::kUnauthenticated;
    case ErrorCode::kOffsetOutOfRange:
      return Code::kOutOfRange;
    case ErrorCode::kMessageTooLarge:
    case ErrorCode::kRecordListTooLarge:
      return Code::kTooLarge;
    case ErrorCode::kCorruptMessage:
      return Code::kCorrupt;
    case ErrorCode::kRequestTimedOut:
      return Code::kTimeout;
    case ErrorCode::kRebalanceInProgress:
    case ErrorCode::kConcurrentTransactions:
    case ErrorCode::kCoordinatorLoadInProgress:
    case ErrorCode::kThrottlingQuotaExceeded:
    case ErrorCode::kLeaderNotAvailable:
    case ErrorCode::kCoordinatorNotAvailable:
      return Code::kBusy;
    case ErrorCode::kKafkaStorageError:
      return Code::kIo;
    case ErrorCode::kUnsupportedVersion:
      return Code::kUnsupported;
    case ErrorCode::kProducerFenced:
    case ErrorCode::kInvalidProducerEpoch:
    case ErrorCode::kIllegalGeneration:
    case ErrorCode::kUnknownMemberId:
    case ErrorCode::kFencedInstanceId:
    case ErrorCode::kNonEmptyGroup:
      return Code::kConflict;
    default:
      return Code::kInvalid;
  }
}

}  // namespace

Result<void> check(int16_t error_code, std::string_view what, std::string_view message) {
  const auto error = static_cast<ErrorCode>(error_code);
  if (error == ErrorCode::kNone) return {};
  std::string text = fmt::format("{} ({}): {}", name(error), error_code, what);
  if (!message.empty()) text += fmt::format(": {}", message);
  return fail(code_of(error), std::move(text));
}

struct ClientConnection::State {
  struct Pending {
    int32_t correlation = 0;
    ApiVersions api;
    int16_t version = 0;
  };
  std::unique_ptr<io::Stream> stream;
  std::string client_id;
  Bytes out, in;  // kept as large as the largest so far
  int32_t correlation = 0;
  std::deque<Pending> pending;
};

ClientConnection::ClientConnection(std::unique_ptr<io::Stream> stream, std::string client_id)
    : state_(std::make_unique<State>()) {
  state_->stream = std::move(stream);
  state_->client_id = std::move(client_id);
}
ClientConnection::ClientConnection(ClientConnection&&) noexcept = default;
ClientConnection& ClientConnection::operator=(ClientConnection&&) noexcept = default;
ClientConnection::~ClientConnection() = default;

size_t ClientConnection::under_way() const {
  return state_->pending.size();
}
io::Stream& ClientConnection::stream() {
  return *state_->stream;
}

Task<Result<ClientConnection>> ClientConnection::open(io::Endpoint endpoint, std::string client_id) {
  auto stream = co_await io::connect(endpoint);
  if (!stream)
    co_return fail(Error(stream.error().code(), "no broker answers at " + endpoint.text(), std::move(stream).error()));
  co_return ClientConnection(std::move(*stream), std::move(client_id));
}

Task<Result<void>> ClientConnection::authenticate(std::string user, std::string password) {
  const auto handshake = CO_TRY(co_await call(SaslHandshakeRequest{.mechanism = "PLAIN"}));
  CO_TRY(check(handshake.error_code, "the broker does not take PLAIN"));
  std::string proof;
  ((proof += '\0') += user) += '\0';
  proof += password;
  SaslAuthenticateRequest request;
  request.auth_bytes = as_bytes(proof);
  const auto answer = CO_TRY(co_await call(request));
  co_return check(answer.error_code, "the broker refuses user " + user, answer.error_message.value_or(""));
}

// Request header 1, or 2 in flexible versions: the client's id stays as it is in old ones.
Encoder ClientConnection::begin(const ApiVersions& api, int16_t version) {
  State& state = *state_;
  state.out.assign(kSizeBytes, std::byte{});
  Encoder encoder(state.out);
  encoder.field(api.key);
  encoder.field(version);
  encoder.field(++state.correlation);
  encoder.field(std::string_view(state.client_id));
  if (version >= api.flexible) encoder.varint(0);
  return encoder;
}

Task<Result<void>> ClientConnection::finish(ApiVersions api, int16_t version, bool answered) {
  State& state = *state_;
  base::store_big<uint32_t>(state.out.data(), static_cast<uint32_t>(state.out.size() - kSizeBytes));
  if (answered) state.pending.push_back({.correlation = state.correlation, .api = api, .version = version});
  co_return co_await state.stream->write(BytesView(state.out));
}

Task<Result<ClientConnection::Answer>> ClientConnection::next(ApiVersions api) {
  State& state = *state_;
  if (state.pending.empty() || state.pending.front().api.key != api.key)
    co_return fail(Code::kInvalid, fmt::format("no answer to {} is due", api.name));
  const State::Pending asked = state.pending.front();
  std::byte size_bytes[kSizeBytes];
  CO_TRY(co_await read_exactly(*state.stream, size_bytes));
  const auto size = base::load_big<uint32_t>(size_bytes);
  if (size < 4 || size > kAnswerBytesMax)
    co_return fail(Code::kCorrupt, fmt::format("the broker announced an answer of {} bytes", size));
  if (state.in.size() < size) state.in.resize(size);
  const MutableBytes frame = MutableBytes(state.in).first(size);
  CO_TRY(co_await read_exactly(*state.stream, frame));
  state.pending.pop_front();

  Decoder header(frame);
  int32_t correlation = 0;
  header.field(correlation);
  // An old client must be able to read that its version of ApiVersions is unknown, so that header never has tags.
  if (asked.version >= asked.api.flexible && asked.api.key != MessageOf<ApiVersionsRequest>::kApi.key)
    header.skip_tags();
  CO_TRY(header.status());
  if (correlation != asked.correlation)
    co_return fail(Code::kCorrupt, fmt::format("the answer to request {} came in place of the one to {}", correlation,
                                               asked.correlation));
  co_return Answer{.body = header.rest(), .version = asked.version};
}

}  // namespace polis::stream
