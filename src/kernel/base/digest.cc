#include "kernel/base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "kernel/base/result.h"

namespace polis::base {
namespace {

// Both digests that HMAC uses here work in blocks of 64 bytes (FIPS 180-4), and so does MD5 (RFC 1321).
constexpr size_t kBlockSizeBytes = 64;

// Fetched once a process: OpenSSL 3 looks an algorithm up by name on every implicit fetch, which costs more than a
// short digest.
template <DigestAlgorithm kAlgorithm>
const EVP_MD* fetched() {
  static const EVP_MD* const algorithm = [] {
    constexpr const char* kName = kAlgorithm == DigestAlgorithm::kMd5    ? "MD5"
                                  : kAlgorithm == DigestAlgorithm::kSha1 ? "SHA1"
                                                                         : "SHA256";
    EVP_MD* found = EVP_MD_fetch(nullptr, kName, nullptr);
    POLIS_ASSERT(found != nullptr);  // OpenSSL's default provider is missing: the installation is broken.
    return found;
  }();
  return algorithm;
}

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

// EVP's digest calls fail only when memory is gone or the context is misused: both end the process.
Context new_context() {
  Context context(EVP_MD_CTX_new());
  POLIS_ASSERT(context != nullptr);
  return context;
}

}  // namespace

template <DigestAlgorithm kAlgorithm>
struct Hasher<kAlgorithm>::State {
  Context context = new_context();
};

template <DigestAlgorithm kAlgorithm>
Hasher<kAlgorithm>::Hasher() : state_(std::make_unique<State>()) {
  POLIS_ASSERT(EVP_DigestInit_ex2(state_->context.get(), fetched<kAlgorithm>(), nullptr) == 1);
}
template <DigestAlgorithm kAlgorithm>
Hasher<kAlgorithm>::~Hasher() = default;
template <DigestAlgorithm kAlgorithm>
Hasher<kAlgorithm>::Hasher(Hasher&&) noexcept = default;
template <DigestAlgorithm kAlgorithm>
Hasher<kAlgorithm>& Hasher<kAlgorithm>::operator=(Hasher&&) noexcept = default;

template <DigestAlgorithm kAlgorithm>
void Hasher<kAlgorithm>::update(BytesView bytes) {
  POLIS_ASSERT(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

template <DigestAlgorithm kAlgorithm>
auto Hasher<kAlgorithm>::finish() -> Digest {
  Digest digest;
  unsigned size_bytes = 0;
  POLIS_ASSERT(
      EVP_DigestFinal_ex(state_->context.get(), reinterpret_cast<unsigned char*>(digest.data()), &size_bytes) == 1);
  POLIS_ASSERT(size_bytes == digest.size());
  POLIS_ASSERT(EVP_DigestInit_ex2(state_->context.get(), nullptr, nullptr) == 1);
  return digest;
}

template <DigestAlgorithm kAlgorithm>
auto Hasher<kAlgorithm>::peek() const -> Digest {
  Hasher copy;
  POLIS_ASSERT(EVP_MD_CTX_copy_ex(copy.state_->context.get(), state_->context.get()) == 1);
  return copy.finish();
}

template class Hasher<DigestAlgorithm::kMd5>;
template class Hasher<DigestAlgorithm::kSha1>;
template class Hasher<DigestAlgorithm::kSha256>;

template <DigestAlgorithm kAlgorithm>
Hmac<kAlgorithm>::Hmac(BytesView key) {
  std::array<std::byte, kBlockSizeBytes> block{};
  if (key.size() > block.size()) {
    inner_.update(key);
    Digest shortened = inner_.finish();
    std::memcpy(block.data(), shortened.data(), shortened.size());
    secure_wipe(shortened);
  } else if (!key.empty()) {
    std::memcpy(block.data(), key.data(), key.size());
  }
  for (std::byte& byte : block) byte ^= std::byte{0x36};
  inner_.update(BytesView(block));
  for (std::byte& byte : block) byte ^= std::byte{0x36 ^ 0x5c};
  outer_.update(BytesView(block));
  secure_wipe(block);
}

template <DigestAlgorithm kAlgorithm>
auto Hmac<kAlgorithm>::finish() -> Digest {
  outer_.update(BytesView(inner_.finish()));
  return outer_.finish();
}

template class Hmac<DigestAlgorithm::kSha1>;
template class Hmac<DigestAlgorithm::kSha256>;

namespace {

// One hasher a thread for the one-shot forms saves two allocations a call.
template <DigestAlgorithm kAlgorithm>
typename Hasher<kAlgorithm>::Digest digest_of(BytesView bytes) {
  thread_local Hasher<kAlgorithm> hasher;
  hasher.update(bytes);
  return hasher.finish();
}

template <class Keyed>
typename Keyed::Digest hmac_of(BytesView key, BytesView message) {
  Keyed keyed(key);
  keyed.update(message);
  return keyed.finish();
}

}  // namespace

Md5Digest md5(BytesView bytes) {
  return digest_of<DigestAlgorithm::kMd5>(bytes);
}
Sha1Digest sha1(BytesView bytes) {
  return digest_of<DigestAlgorithm::kSha1>(bytes);
}
Sha256Digest sha256(BytesView bytes) {
  return digest_of<DigestAlgorithm::kSha256>(bytes);
}
Sha1Digest hmac_sha1(BytesView key, BytesView message) {
  return hmac_of<HmacSha1>(key, message);
}
Sha256Digest hmac_sha256(BytesView key, BytesView message) {
  return hmac_of<HmacSha256>(key, message);
}

bool constant_time_equal(BytesView a, BytesView b) {
  if (a.size() != b.size()) return false;
  return a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void secure_wipe(MutableBytes secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
}

}  // namespace polis::base
