// One connection to a broker, as any client outside has it: requests go out one after the other, answers come back in
// the same order. Belongs to one shard and one coroutine at a time.
//
//     ClientConnection connection = CO_TRY(co_await ClientConnection::open(endpoint, "tour"));
//     auto metadata = CO_TRY(co_await connection.call(MetadataRequest{...}));
//
// For several requests under way: send() them, then receive() as many answers.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "kernel/io/stream.h"
#include "systems/stream/protocol/messages.h"
#include "systems/stream/types.h"

namespace polis::stream {

namespace detail {
template <class Request>
struct AnswerTo;
#define POLIS_STREAM_API(Name)     \
  template <>                      \
  struct AnswerTo<Name##Request> { \
    using Type = Name##Response;   \
  };
#include "systems/stream/server/apis.inc"
#undef POLIS_STREAM_API
}  // namespace detail
template <class Request>
using AnswerTo = typename detail::AnswerTo<Request>::Type;

// The largest answer that is taken: what a fetch may ask for, and some room around it.
inline constexpr size_t kAnswerBytesMax = size_t{256} << 20;

class ClientConnection {
 public:
  ClientConnection(std::unique_ptr<io::Stream> stream, std::string client_id);
  ClientConnection(ClientConnection&&) noexcept;
  ClientConnection& operator=(ClientConnection&&) noexcept;
  ~ClientConnection();

  static Task<Result<ClientConnection>> open(io::Endpoint endpoint, std::string client_id);
  // Says who he is by SASL PLAIN, on a door that asks for it. kUnauthenticated.
  Task<Result<void>> authenticate(std::string user, std::string password);

  // Sends in the newest version that this program knows, at most `version_max`. The request is encoded before the first
  // wait. A produce request with acks=0 has no answer.
  template <class Request>
  Task<Result<void>> send(const Request& request, int16_t version_max = INT16_MAX) {
    constexpr ApiVersions kApi = MessageOf<Request>::kApi;
    const int16_t version = std::min(kApi.newest, version_max);
    Encoder encoder = begin(kApi, version);
    encode(encoder, request, version);
    bool answered = true;
    if constexpr (std::is_same_v<Request, ProduceRequest>) answered = request.acks != 0;
    return finish(kApi, version, answered);
  }
  // The answer to the oldest request that has none yet. Views in it (records) live until the next receive().
  template <class Response>
  Task<Result<Response>> receive() {
    const Answer answer = CO_TRY(co_await next(MessageOf<Response>::kApi));
    Response response;
    Decoder decoder(answer.body);
    CO_TRY(decode(decoder, response, answer.version));
    co_return response;
  }
  template <class Request>
  Task<Result<AnswerTo<Request>>> call(const Request& request, int16_t version_max = INT16_MAX) {
    CO_TRY(co_await send(request, version_max));
    co_return co_await receive<AnswerTo<Request>>();
  }

  size_t under_way() const;  // requests whose answers have not been received
  io::Stream& stream();

 private:
  struct State;
  struct Answer {
    BytesView body;
    int16_t version = 0;
  };
  Encoder begin(const ApiVersions& api, int16_t version);
  Task<Result<void>> finish(ApiVersions api, int16_t version, bool answered);
  Task<Result<Answer>> next(ApiVersions api);
  std::unique_ptr<State> state_;
};

// The error code of an answer as an Error whose message begins with the code's name; success for kNone.
Result<void> check(int16_t error_code, std::string_view what, std::string_view message = {});

}  // namespace polis::stream
