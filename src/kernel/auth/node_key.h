// The node key: 256 random bits in DIR/keys/node.key (0600) that seal what polis must be able to read again, such as
// access-key secrets. AES-256-GCM (NIST SP 800-38D). Immutable; any shard.
//
//   node.key = "polisKEY" u8 version(1) 32 bytes
//   sealed   = u8 version(1) nonce(12, random) ciphertext tag(16)
//
// Random nonces are safe for 2^32 seals of one key (SP 800-38D §8.3): more than there will be access keys.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "kernel/base/bytes.h"
#include "kernel/base/random.h"
#include "kernel/base/result.h"
#include "kernel/io/file.h"

namespace polis::auth {

class NodeKey {
 public:
  // kNotFound if there is none, kCorrupt if the file is something else.
  static Task<Result<NodeKey>> read(io::Disk& disk, std::string path);
  // Makes a key and writes it durably, together with the directories above.
  static Task<Result<NodeKey>> create(io::Disk& disk, std::string path, Random& random);
  // A key of known bytes; for tests and for restoring.
  explicit NodeKey(const std::array<std::byte, 32>& key) : key_(key) {}
  NodeKey(const NodeKey&) = default;
  NodeKey& operator=(const NodeKey&) = default;
  ~NodeKey();

  // `bound_to` is authenticated with the secret: what was sealed for one row does not open in another.
  std::string seal(std::string_view secret, std::string_view bound_to, Random& random) const;
  // kCorrupt if anything differs: key, text or `bound_to`.
  Result<std::string> open(std::string_view sealed, std::string_view bound_to) const;
  // A key of its own for one purpose, which tells nothing of this one or of others: HMAC-SHA256(key, purpose). The
  // caller wipes it.
  std::array<std::byte, 32> derive(std::string_view purpose) const;
  // Tells keys apart without telling anything else: 16 hex digits.
  std::string fingerprint() const;

 private:
  std::array<std::byte, 32> key_;
};

}  // namespace polis::auth
