#include "systems/stream/server/scram.h"

#include <algorithm>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"

namespace polis::stream {
namespace {

const EVP_MD* digest(ScramMechanism mechanism) {
  return mechanism == ScramMechanism::kSha512 ? EVP_sha512() : EVP_sha256();
}

Bytes exclusive_or(BytesView a, BytesView b) {
  Bytes out(a.begin(), a.end());
  for (size_t i = 0; i < out.size(); ++i) out[i] ^= b[i];
  return out;
}

std::unexpected<Error> malformed(std::string_view what) {
  return fail(Code::kInvalid, "a SCRAM message is malformed: " + std::string(what));
}

// Takes "X=value" and the comma behind it, if any, from the front of the text.
Result<std::string_view> take(std::string_view& rest, char attribute) {
  if (rest.size() < 2 || rest[0] != attribute || rest[1] != '=')
    return malformed(fmt::format("{}= is expected", attribute));
  const size_t comma = rest.find(',');
  const std::string_view value = rest.substr(2, comma == std::string_view::npos ? comma : comma - 2);
  rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  return value;
}

// "=2C" is a comma and "=3D" an equals sign; no other "=" may be there.
Result<std::string> decode_name(std::string_view text) {
  std::string name;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '=') {
      name += text[i];
      continue;
    }
    const std::string_view code = text.substr(i + 1, 2);
    if (code != "2C" && code != "3D") return malformed("a name with a lonely '='");
    name += code == "2C" ? ',' : '=';
    i += 2;
  }
  return name;
}

bool printable_nonce(std::string_view nonce) {
  return !nonce.empty() && std::ranges::all_of(nonce, [](unsigned char c) { return c > 0x20 && c < 0x7f && c != ','; });
}

constexpr std::string_view kClientKey = "Client Key", kServerKey = "Server Key";  // RFC 5802 §3

}  // namespace

std::string_view name(ScramMechanism mechanism) {
  switch (mechanism) {
    case ScramMechanism::kSha256:
      return "SCRAM-SHA-256";
    case ScramMechanism::kSha512:
      return "SCRAM-SHA-512";
    case ScramMechanism::kUnknown:
      break;
  }
  return "UNKNOWN";
}

ScramMechanism scram_mechanism(std::string_view text) {
  for (const ScramMechanism one : {ScramMechanism::kSha256, ScramMechanism::kSha512})
    if (name(one) == text) return one;
  return ScramMechanism::kUnknown;
}

size_t hash_bytes(ScramMechanism mechanism) {
  return static_cast<size_t>(EVP_MD_get_size(digest(mechanism)));
}

Bytes scram_hmac(ScramMechanism mechanism, BytesView key, BytesView message) {
  Bytes out(hash_bytes(mechanism));
  unsigned size = 0;
  POLIS_ASSERT(HMAC(digest(mechanism), key.data(), static_cast<int>(key.size()), base::u8(message), message.size(),
                    reinterpret_cast<unsigned char*>(out.data()), &size) != nullptr &&
               size == out.size());
  return out;
}

Bytes scram_hash(ScramMechanism mechanism, BytesView message) {
  Bytes out(hash_bytes(mechanism));
  unsigned size = 0;
  POLIS_ASSERT(EVP_Digest(message.data(), message.size(), reinterpret_cast<unsigned char*>(out.data()), &size,
                          digest(mechanism), nullptr) == 1 &&
               size == out.size());
  return out;
}

Bytes scram_salted_password(ScramMechanism mechanism, std::string_view password, BytesView salt, int32_t iterations) {
  Bytes out(hash_bytes(mechanism));
  POLIS_ASSERT(PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), base::u8(salt),
                                 static_cast<int>(salt.size()), iterations, digest(mechanism),
                                 static_cast<int>(out.size()), reinterpret_cast<unsigned char*>(out.data())) == 1);
  return out;
}

Result<ScramCredential> credential_from_salted(ScramMechanism mechanism, BytesView salted_password, BytesView salt,
                                               int32_t iterations) {
  if (mechanism != ScramMechanism::kSha256 && mechanism != ScramMechanism::kSha512)
    return fail(Code::kInvalid, "Unknown SCRAM mechanism");
  if (iterations < kScramIterationsMin) return fail(Code::kInvalid, "Too few iterations");
  if (iterations > kScramIterationsMax) return fail(Code::kInvalid, "Too many iterations");
  if (salt.empty() || salt.size() > 256) return fail(Code::kInvalid, "a salt has 1 to 256 bytes");
  if (salted_password.size() != hash_bytes(mechanism))
    return fail(Code::kInvalid,
                fmt::format("a salted password of {} has {} bytes", name(mechanism), hash_bytes(mechanism)));
  Bytes client_key = scram_hmac(mechanism, salted_password, as_bytes(kClientKey));
  ScramCredential credential{.mechanism = mechanism,
                             .iterations = iterations,
                             .salt = Bytes(salt.begin(), salt.end()),
                             .stored_key = scram_hash(mechanism, client_key),
                             .server_key = scram_hmac(mechanism, salted_password, as_bytes(kServerKey)),
                             .user_id = {}};
  base::secure_wipe(client_key);
  return credential;
}

Result<ScramCredential> make_scram_credential(ScramMechanism mechanism, std::string_view password, BytesView salt,
                                              int32_t iterations) {
  if (password.empty() || password.size() > 1024) return fail(Code::kInvalid, "a password has 1 to 1024 bytes");
  if (iterations > kScramIterationsMax) return fail(Code::kInvalid, "Too many iterations");
  if (iterations < kScramIterationsMin) return fail(Code::kInvalid, "Too few iterations");
  Bytes salted = scram_salted_password(mechanism, password, salt, iterations);
  auto credential = credential_from_salted(mechanism, salted, salt, iterations);
  base::secure_wipe(salted);
  return credential;
}

Result<std::string> ScramExchange::begin(BytesView client_first) {
  std::string_view rest = as_text(client_first);
  if (rest.size() > kSaslTokenBytesMax || !base::utf8_valid(rest)) return malformed("too long, or not UTF-8");
  if (rest.starts_with("p=")) return fail(Code::kInvalid, "channel binding is not offered");
  if (!rest.starts_with("n,") && !rest.starts_with("y,")) return malformed("no GS2 header");
  const size_t header = rest.find(',', 2);
  if (header == std::string_view::npos) return malformed("no GS2 header");
  const std::string_view authorization = rest.substr(2, header - 2);
  binding_ = rest.substr(0, header + 1);
  rest.remove_prefix(header + 1);
  client_first_bare_ = rest;

  const std::string user = TRY(decode_name(TRY(take(rest, 'n'))));
  if (user.empty() || user.size() > kUserNameBytesMax) return malformed("the user's name is empty or too long");
  const std::string_view nonce = TRY(take(rest, 'r'));
  if (!printable_nonce(nonce)) return malformed("a bad nonce");
  if (!rest.empty()) return fail(Code::kInvalid, "extensions of SCRAM, as delegation tokens use them, are not offered");
  if (!authorization.empty()) {
    if (!authorization.starts_with("a=")) return malformed("a= is expected");
    if (TRY(decode_name(authorization.substr(2))) != user)
      return fail(Code::kInvalid, "Client specified an authorization id that is different from username");
  }
  client_nonce_ = nonce;
  nonce_ = client_nonce_ + nonce_;
  return user;
}

Bytes ScramExchange::challenge(const ScramCredential& credential) {
  credential_ = credential;
  server_first_ = fmt::format("r={},s={},i={}", nonce_, base::base64_encode(credential.salt), credential.iterations);
  const BytesView bytes = as_bytes(server_first_);
  return {bytes.begin(), bytes.end()};
}

Result<Bytes> ScramExchange::finish(BytesView client_final) {
  const std::string_view whole = as_text(client_final);
  if (whole.size() > kSaslTokenBytesMax) return malformed("too long");
  const size_t proof_at = whole.rfind(",p=");
  if (proof_at == std::string_view::npos) return malformed("no proof");
  std::string_view rest = whole.substr(0, proof_at);
  const std::string without_proof(rest);
  const Bytes binding = TRY(base::base64_decode(TRY(take(rest, 'c'))));
  if (as_text(binding) != binding_) return malformed("the channel binding is another than before");
  // librdkafka before 2.6 puts its own nonce in front once more; the proof is over what it says, so nothing is lost.
  const std::string_view nonce = TRY(take(rest, 'r'));
  if (nonce != nonce_ && nonce != client_nonce_ + nonce_) return malformed("the nonce is another than ours");
  const Bytes proof = TRY(base::base64_decode(whole.substr(proof_at + 3)));

  const std::string message = client_first_bare_ + "," + server_first_ + "," + without_proof;
  const Bytes signature = scram_hmac(mechanism_, credential_.stored_key, as_bytes(message));
  if (proof.size() != signature.size()) return malformed("the proof has the wrong size");
  Bytes client_key = exclusive_or(proof, signature);
  const bool right = base::constant_time_equal(scram_hash(mechanism_, client_key), credential_.stored_key);
  base::secure_wipe(client_key);
  if (!right) return fail(Code::kUnauthenticated, "the proof is wrong");

  const std::string answer =
      "v=" + base::base64_encode(scram_hmac(mechanism_, credential_.server_key, as_bytes(message)));
  const BytesView bytes = as_bytes(answer);
  return Bytes(bytes.begin(), bytes.end());
}

}  // namespace polis::stream
