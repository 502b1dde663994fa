// Cryptographic digests and keyed digests. MD5 and SHA-1 are here because protocols name them (ETag, Content-MD5,
// WebSocket's handshake, S3's SHA1 checksum); new designs use SHA-256. One hasher belongs to one owner; different
// hashers run on any threads.
#pragma once

#include <array>
#include <memory>

#include "kernel/base/bytes.h"

namespace polis::base {

enum class DigestAlgorithm { kMd5, kSha1, kSha256 };

template <DigestAlgorithm kAlgorithm>
inline constexpr size_t kDigestSizeBytes = kAlgorithm == DigestAlgorithm::kMd5    ? 16
                                           : kAlgorithm == DigestAlgorithm::kSha1 ? 20
                                                                                  : 32;

// A digest over bytes that arrive in pieces. Movable; a hasher that was moved from may only be destroyed or assigned
// to.
template <DigestAlgorithm kAlgorithm>
class Hasher {
 public:
  using Digest = std::array<std::byte, kDigestSizeBytes<kAlgorithm>>;

  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(BytesView bytes);
  void update(std::string_view text) { update(as_bytes(text)); }
  // The digest of everything so far; the hasher then starts over, empty.
  Digest finish();
  // The digest of everything so far, without ending it (an interim ETag, a progress check).
  Digest peek() const;

 private:
  template <DigestAlgorithm>
  friend class Hmac;
  struct State;
  std::unique_ptr<State> state_;
};

using Md5 = Hasher<DigestAlgorithm::kMd5>;
using Sha1 = Hasher<DigestAlgorithm::kSha1>;
using Sha256 = Hasher<DigestAlgorithm::kSha256>;
using Md5Digest = Md5::Digest;
using Sha1Digest = Sha1::Digest;
using Sha256Digest = Sha256::Digest;

Md5Digest md5(BytesView bytes);
Sha1Digest sha1(BytesView bytes);
Sha256Digest sha256(BytesView bytes);
inline Md5Digest md5(std::string_view text) {
  return md5(as_bytes(text));
}
inline Sha1Digest sha1(std::string_view text) {
  return sha1(as_bytes(text));
}
inline Sha256Digest sha256(std::string_view text) {
  return sha256(as_bytes(text));
}

// RFC 2104. A key of any length; the key block is wiped as soon as it is absorbed.
template <DigestAlgorithm kAlgorithm>
class Hmac {
 public:
  using Digest = typename Hasher<kAlgorithm>::Digest;

  explicit Hmac(BytesView key);
  void update(BytesView bytes) { inner_.update(bytes); }
  void update(std::string_view text) { inner_.update(text); }
  // Ends it; afterwards the object may only be destroyed or assigned to.
  Digest finish();

 private:
  Hasher<kAlgorithm> inner_;
  Hasher<kAlgorithm> outer_;
};

using HmacSha1 = Hmac<DigestAlgorithm::kSha1>;
using HmacSha256 = Hmac<DigestAlgorithm::kSha256>;

Sha1Digest hmac_sha1(BytesView key, BytesView message);
Sha256Digest hmac_sha256(BytesView key, BytesView message);
inline Sha256Digest hmac_sha256(BytesView key, std::string_view message) {
  return hmac_sha256(key, as_bytes(message));
}

// Compares without leaking where two secrets differ; the lengths are not secret.
bool constant_time_equal(BytesView a, BytesView b);

// Overwrites a secret in a way that the compiler must keep.
void secure_wipe(MutableBytes secret);

}  // namespace polis::base
