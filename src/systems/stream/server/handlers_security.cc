// Handlers of SASL and of SCRAM credentials.
#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <set>

#include "systems/stream/server/admin_answers.h"
#include "systems/stream/server/call.h"
#include "systems/stream/server/scram.h"

namespace polis::stream {
namespace {

using State = SaslExchange::State;

ErrorCode begin_exchange(Call& call, std::string_view mechanism) {
  SaslExchange& sasl = call.session.sasl;
  // Asked of a door without SASL, or in the middle of an exchange.
  if (!call.session.must_authenticate || (sasl.state != State::kNone && sasl.state != State::kDone))
    return ErrorCode::kIllegalSaslState;
  if (std::ranges::find(sasl_mechanisms(), mechanism) == sasl_mechanisms().end())
    return ErrorCode::kUnsupportedSaslMechanism;
  // Who authenticates again does it the same way (KIP-368).
  if (sasl.authenticated && sasl.mechanism != mechanism) return ErrorCode::kIllegalSaslState;
  sasl.mechanism = mechanism;
  sasl.raw_tokens = call.version == 0;
  sasl.state = State::kHandshaken;
  return ErrorCode::kNone;
}

using Alteration = AlterUserScramCredentialsRequest;
using AlterResult = AlterUserScramCredentialsResponse::AlterUserScramCredentialsResult;

Task<Refusal> put_credential(Call& call, const Alteration::ScramCredentialUpsertion& wish) {
  if (wish.name.empty()) co_return Refusal{ErrorCode::kUnacceptableCredential, "Username must not be empty"};
  const auto mechanism = static_cast<ScramMechanism>(wish.mechanism);
  if (mechanism != ScramMechanism::kSha256 && mechanism != ScramMechanism::kSha512)
    co_return Refusal{ErrorCode::kUnsupportedSaslMechanism, "Unknown SCRAM mechanism"};
  auto credential = credential_from_salted(mechanism, wish.salted_password, wish.salt, wish.iterations);
  if (!credential) co_return Refusal{ErrorCode::kUnacceptableCredential, credential.error().message()};
  Refusal refusal =
      co_await put_scram_credential(call.parts, *call.identity, std::string(wish.name), std::move(*credential));
  if (refusal.ok()) co_await record_change(call, "stream:PutScramCredential", shown(wish.name), name(mechanism));
  co_return refusal;
}

Task<Refusal> erase_credential(Call& call, const Alteration::ScramCredentialDeletion& wish) {
  if (wish.name.empty()) co_return Refusal{ErrorCode::kUnacceptableCredential, "Username must not be empty"};
  const auto mechanism = static_cast<ScramMechanism>(wish.mechanism);
  if (mechanism != ScramMechanism::kSha256 && mechanism != ScramMechanism::kSha512)
    co_return Refusal{ErrorCode::kUnsupportedSaslMechanism, "Unknown SCRAM mechanism"};
  auto gone = co_await call.parts.scram.erase(std::string(wish.name), mechanism);
  if (!gone) co_return Refusal{error_code(gone.error()), gone.error().message()};
  if (!*gone)
    co_return Refusal{ErrorCode::kResourceNotFound, "Attempt to delete a user credential that does not exist"};
  co_await record_change(call, "stream:DeleteScramCredential", shown(wish.name), name(mechanism));
  co_return Refusal{};
}

// Kafka: a user is altered once a request.
std::set<std::string_view> users_named_twice(const Alteration& request) {
  std::set<std::string_view> seen, twice;
  for (const auto& one : request.deletions)
    if (!seen.insert(one.name).second) twice.insert(one.name);
  for (const auto& one : request.upsertions)
    if (!seen.insert(one.name).second) twice.insert(one.name);
  return twice;
}

}  // namespace

Task<SaslHandshakeResponse> handle(Call& call, const SaslHandshakeRequest& request) {
  SaslHandshakeResponse response;
  const ErrorCode code = begin_exchange(call, request.mechanism);
  response.error_code = static_cast<int16_t>(code);
  for (const std::string_view mechanism : sasl_mechanisms()) response.mechanisms.emplace_back(mechanism);
  if (code != ErrorCode::kNone && call.session.must_authenticate) {
    call.session.sasl.state = State::kFailed;
    call.close_after = true;
  }
  co_return response;
}

Task<SaslAuthenticateResponse> handle(Call& call, const SaslAuthenticateRequest& request) {
  SaslAuthenticateResponse response;
  const bool in_exchange = call.session.must_authenticate && call.session.sasl.state != State::kNone &&
                           call.session.sasl.state != State::kDone;
  SaslReply reply = co_await sasl_token(call.parts, call.session, request.auth_bytes);
  response.error_code = static_cast<int16_t>(reply.code);
  if (!reply.ok()) response.error_message = std::move(reply.message);
  response.auth_bytes = std::move(reply.token);
  response.session_lifetime_ms = reply.lifetime_ms;
  if (!reply.ok() && in_exchange) call.close_after = true;
  co_return response;
}

Task<DescribeUserScramCredentialsResponse> handle(Call& call, const DescribeUserScramCredentialsRequest& request) {
  DescribeUserScramCredentialsResponse response;
  if (!call.allowed(ResourceType::kCluster, kClusterResource, Operation::kDescribe)) {
    put_refusal(response, {ErrorCode::kClusterAuthorizationFailed, {}});
    co_return response;
  }
  auto all = co_await call.parts.scram.all();
  if (!all) {
    put_refusal(response, {error_code(all.error()), all.error().message()});
    co_return response;
  }
  using Result = DescribeUserScramCredentialsResponse::DescribeUserScramCredentialsResult;
  std::map<std::string, Result, std::less<>> users;
  for (const auto& [user, credential] : *all) {
    Result& result = users[user];
    result.user = user;
    result.credential_infos.push_back(
        {.mechanism = static_cast<int8_t>(credential.mechanism), .iterations = credential.iterations});
  }
  if (!request.users || request.users->empty()) {
    for (auto& [user, result] : users) response.results.push_back(std::move(result));
    co_return response;
  }
  std::map<std::string_view, size_t> asked;
  for (const auto& user : *request.users) ++asked[user.name];
  for (const auto& [user, times] : asked) {
    Result result;
    result.user = user;
    const auto found = users.find(user);
    if (times > 1)
      put_refusal(result,
                  {ErrorCode::kDuplicateResource,
                   "Cannot describe SCRAM credentials for the same user twice in a single request: " + shown(user)});
    else if (found == users.end())
      put_refusal(result, {ErrorCode::kResourceNotFound,
                           "Attempt to describe a user credential that does not exist: " + shown(user)});
    else
      result = std::move(found->second);
    response.results.push_back(std::move(result));
  }
  co_return response;
}

Task<AlterUserScramCredentialsResponse> handle(Call& call, const AlterUserScramCredentialsRequest& request) {
  AlterUserScramCredentialsResponse response;
  const auto add = [&](std::string_view user, const Refusal& refusal) {
    AlterResult result;
    result.user = user;
    put_refusal(result, refusal);
    response.results.push_back(std::move(result));
  };
  const std::set<std::string_view> twice = users_named_twice(request);
  for (const std::string_view user : twice)
    add(user, {ErrorCode::kDuplicateResource, "A user credential cannot be altered twice in the same request"});
  const bool allowed = call.allowed(ResourceType::kCluster, kClusterResource, Operation::kAlter);
  const Refusal denied{ErrorCode::kClusterAuthorizationFailed, {}};
  for (const auto& wish : request.deletions)
    if (!twice.contains(wish.name)) add(wish.name, allowed ? co_await erase_credential(call, wish) : denied);
  for (const auto& wish : request.upsertions)
    if (!twice.contains(wish.name)) add(wish.name, allowed ? co_await put_credential(call, wish) : denied);
  co_return response;
}

}  // namespace polis::stream
