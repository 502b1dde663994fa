// The ledger's signing key: what lets anyone who holds its public half tell, without this server, that a head of the
// chain is the one that the ledger showed. Ed25519 (RFC 8032) in DIR/keys/ledger.key, mode 0600, as PEM (PKCS#8), so
// that openssl reads it too:
//
//     openssl pkey -in ledger.key -pubout -out ledger.pub.pem
//     openssl pkeyutl -verify -pubin -inkey ledger.pub.pem -rawin -in head.txt -sigfile head.sig
//
// Immutable; any shard. A signature takes about 30 us.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kernel/base/random.h"
#include "kernel/io/file.h"
#include "systems/ledger/ledger.h"

namespace polis::ledger {

class HeadKey {
 public:
  // kNotFound if there is none, kCorrupt if the file is not an Ed25519 private key in PEM.
  static Task<Result<HeadKey>> read(io::Disk& disk, std::string path);
  // Makes a key and writes it durably, together with the directories above. kExists if there is one: replacing a key
  // makes every exported head look forged.
  static Task<Result<HeadKey>> create(io::Disk& disk, std::string path, Random& random);
  // At every start: the key of the path, made if this is the first.
  static Task<Result<HeadKey>> open(io::Disk& disk, std::string path, Random& random);
  // Of known bytes (the seed of RFC 8032 §5.1.5), for tests.
  static HeadKey from_seed(const std::array<std::byte, 32>& seed);

  HeadKey(HeadKey&&) noexcept;
  HeadKey& operator=(HeadKey&&) noexcept;
  ~HeadKey();

  // "-----BEGIN PUBLIC KEY-----\n..."
  const std::string& public_key_pem() const;
  // Over SignedHead::to_text() of these four.
  SignedHead sign(uint64_t op, uint64_t timestamp, const Hash& head, uint64_t signed_at) const;

 private:
  struct State;
  explicit HeadKey(std::unique_ptr<State> state);
  static Result<HeadKey> parse(BytesView pem, const std::string& path);
  std::unique_ptr<State> state_;
};

// kInvalid if the PEM holds no Ed25519 public key; kCorrupt if the signature is not its over this head.
Result<void> verify(const SignedHead& head, std::string_view public_key_pem);

// The head and its three numbers of the text that is signed; kInvalid for any other text. The signature is left zero.
Result<SignedHead> parse_signed_head(std::string_view text);

}  // namespace polis::ledger
