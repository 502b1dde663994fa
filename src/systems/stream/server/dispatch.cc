#include "systems/stream/server/dispatch.h"

#include <algorithm>
#include <fmt/format.h>

namespace polis::stream {
namespace {

const ApiVersions* find_api(int16_t key) {
  const auto found = std::ranges::lower_bound(kApis, key, {}, &ApiVersions::key);
  return found != std::end(kApis) && found->key == key ? &*found : nullptr;
}

constexpr size_t kFrameSizeBytes = 4;

// The size comes last, when it is known.
void begin_answer(Answer& answer, int32_t correlation_id, bool tags) {
  answer.bytes.clear();
  answer.splices.clear();
  answer.bytes.resize(kFrameSizeBytes);
  Encoder encoder(answer.bytes);
  encoder.field(correlation_id);
  encoder.flexible(tags);
  encoder.no_tags();
}
Result<void> finish_answer(Answer& answer) {
  uint64_t size = answer.bytes.size() - kFrameSizeBytes;
  for (const Splice& splice : answer.splices) size += splice.size_bytes;
  if (size > INT32_MAX) return fail(Code::kTooLarge, "a response of more than 2 GiB");
  base::store_big(answer.bytes.data(), static_cast<uint32_t>(size));
  return {};
}

// Of the arrays of a request: a fetch of all 100,000 partitions stays below. About 60 MB in memory at worst.
constexpr size_t kElementsMax = 250'000;

// What requests cost a shard of about 3 GHz: each (an estimate), a byte received (read, checksum, copy, write;
// measured), and a byte of the log sent by sendfile (measured).
constexpr double kRequestSeconds = 15e-6, kReceivedByteSeconds = 1.4e-9, kSentByteSeconds = 0.2e-9;

void charge_time(Call& call, const RequestHeader& header) {
  // A client that proves who he is or asks for versions has no quota yet.
  if (header.api_key == MessageOf<ApiVersionsRequest>::kApi.key ||
      header.api_key == MessageOf<SaslHandshakeRequest>::kApi.key ||
      header.api_key == MessageOf<SaslAuthenticateRequest>::kApi.key)
    return;
  uint64_t sent = 0;
  for (const External& external : call.externals) sent += external.file ? external.range.size : external.bytes.size();
  const double seconds = kRequestSeconds + kReceivedByteSeconds * static_cast<double>(header.body.size()) +
                         kSentByteSeconds * static_cast<double>(sent);
  call.throttle = std::max(call.throttle, call.parts.quotas.charge(*call.identity, call.client_id,
                                                                   QuotaKind::kRequestPercentage, 100 * seconds));
}

template <class Request, class Response>
Task<Result<void>> serve_api(Call& call, const RequestHeader& header, Answer& answer) {
  Request request;
  Decoder decoder(header.body, kElementsMax);
  if (auto decoded = decode(decoder, request, header.api_version); !decoded)
    co_return fail(Error(Code::kInvalid,
                         fmt::format("a {} request of version {} is malformed", header.api->name, header.api_version),
                         std::move(decoded).error()));
  Response response = co_await handle(call, request);
  charge_time(call, header);
  if (call.no_response) co_return {};
  if constexpr (requires { response.throttle_time_ms; }) {
    const auto throttle = std::chrono::ceil<std::chrono::milliseconds>(call.throttle).count();
    if (throttle > response.throttle_time_ms) response.throttle_time_ms = static_cast<int32_t>(throttle);
  }
  // ApiVersions is answered so that a client which knows no version of ours can read it.
  const bool flexible =
      header.api_version >= header.api->flexible && header.api_key != MessageOf<ApiVersionsRequest>::kApi.key;
  begin_answer(answer, header.correlation_id, flexible);
  Encoder encoder(answer.bytes, &answer.splices);
  encode(encoder, response, header.api_version);
  co_return finish_answer(answer);
}

Task<Result<void>> refuse_version(Call& call, const RequestHeader& header, Answer& answer) {
  begin_answer(answer, header.correlation_id, false);
  Encoder encoder(answer.bytes);
  if (header.api_key == MessageOf<ApiVersionsRequest>::kApi.key) {
    // Version 0, with everything that we have: the client asks again.
    call.version = 0;
    ApiVersionsResponse response = co_await handle(call, ApiVersionsRequest());
    response.error_code = number(ErrorCode::kUnsupportedVersion);
    encode(encoder, response, 0);
  } else {
    encoder.field(number(ErrorCode::kUnsupportedVersion));
    call.close_after = true;
  }
  co_return finish_answer(answer);
}

}  // namespace

std::string_view api_name(int16_t api_key) {
  const ApiVersions* api = find_api(api_key);
  return api ? api->name : "unknown";
}

Result<RequestHeader> read_header(BytesView frame) {
  RequestHeader header;
  Decoder decoder(frame);
  decoder.field(header.api_key);
  decoder.field(header.api_version);
  decoder.field(header.correlation_id);
  if (!decoder.ok()) return fail(Code::kInvalid, "a frame without a request header");
  const ApiVersions* api = find_api(header.api_key);
  if (!api || header.api_version < api->oldest || header.api_version > api->newest) return header;
  header.api = api;
  std::optional<std::string_view> client_id;
  decoder.field(client_id, true);
  header.client_id = client_id.value_or(std::string_view());
  decoder.flexible(header.api_version >= api->flexible);
  decoder.no_tags();
  if (!decoder.ok()) return fail(Code::kInvalid, fmt::format("a {} request with a malformed header", api->name));
  header.body = decoder.rest();
  return header;
}

Task<Result<void>> dispatch(Call& call, const RequestHeader& header, Answer& answer) {
  if (!header.api) return refuse_version(call, header, answer);
  switch (header.api_key) {
#define POLIS_STREAM_API(Name)             \
  case MessageOf<Name##Request>::kApi.key: \
    return serve_api<Name##Request, Name##Response>(call, header, answer);
#include "systems/stream/server/apis.inc"
#undef POLIS_STREAM_API
    default:
      return refuse_version(call, header, answer);
  }
}

}  // namespace polis::stream
