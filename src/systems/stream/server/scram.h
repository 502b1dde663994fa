// SCRAM (RFC 5802, RFC 7677), the server's side of one exchange. Sans-IO; a value of one connection.
//
//     client   n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL
//     server   r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096
//     client   c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=
//     server   v=rmF9pqV8S7suAoZWja4dJRkFsKQ=
//
// Channel binding is not offered. Names and passwords are taken as the UTF-8 that they are, as Kafka does, without
// SASLprep.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "systems/stream/server/sasl.h"

namespace polis::stream {

class ScramExchange {
 public:
  // `nonce`: ours, at least 18 random bytes as printable characters without a comma.
  ScramExchange(ScramMechanism mechanism, std::string nonce) : mechanism_(mechanism), nonce_(std::move(nonce)) {}

  // The client's first message; gives the user's name. kInvalid for what the grammar does not allow, and for wishes
  // that are not offered: channel binding, acting for somebody else, extensions that must be understood.
  Result<std::string> begin(BytesView client_first);
  // The answer to it.
  Bytes challenge(const ScramCredential& credential);
  // The client's proof; gives the last message. kUnauthenticated for a wrong proof, kInvalid for bad grammar.
  Result<Bytes> finish(BytesView client_final);

 private:
  const ScramMechanism mechanism_;
  std::string nonce_;  // after begin() the client's and ours
  std::string client_nonce_;
  std::string binding_;  // the gs2 header, which the client repeats
  std::string client_first_bare_, server_first_;
  ScramCredential credential_;
};

// The same from a salted password, as AlterUserScramCredentials brings it. kInvalid if its size is not the hash's.
Result<ScramCredential> credential_from_salted(ScramMechanism mechanism, BytesView salted_password, BytesView salt,
                                               int32_t iterations);

std::string_view name(ScramMechanism mechanism);  // "SCRAM-SHA-256"
ScramMechanism scram_mechanism(std::string_view name);
size_t hash_bytes(ScramMechanism mechanism);  // 32, 64

// Of RFC 5802, for who plays the client: tests and the command line's own clients.
Bytes scram_salted_password(ScramMechanism mechanism, std::string_view password, BytesView salt, int32_t iterations);
Bytes scram_hmac(ScramMechanism mechanism, BytesView key, BytesView message);
Bytes scram_hash(ScramMechanism mechanism, BytesView message);

}  // namespace polis::stream
