#include "app/backup/sealed_keys.h"

#include <fmt/format.h>
#include <memory>
#include <openssl/evp.h>

#include "kernel/base/binary.h"
#include "kernel/base/digest.h"

namespace polis::app {
namespace {

constexpr std::string_view kMagic = "polisSKY\x01";
constexpr size_t kSaltBytes = 16, kNonceBytes = 12, kTagBytes = 16;
constexpr size_t kHeadBytes = kMagic.size() + kSaltBytes + kNonceBytes;
constexpr size_t kFilesMax = 1000;

using Key = std::array<unsigned char, 32>;

struct CipherDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, CipherDeleter>;

const unsigned char* raw(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* raw(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

Result<Key> derive(std::string_view passphrase, std::string_view salt) {
  Key key;
  // 128 * N * r bytes of memory: 32 MiB; OpenSSL's own bound is 32 MiB less a little.
  if (EVP_PBE_scrypt(passphrase.data(), passphrase.size(), raw(salt), salt.size(), 1 << 15, 8, 1, uint64_t{64} << 20,
                     key.data(), key.size()) != 1)
    return fail(Code::kIo, "scrypt failed");
  return key;
}

}  // namespace

Result<std::string> seal_keys(const KeyFiles& files, std::string_view passphrase, Random& random) {
  if (passphrase.size() < kPassphraseBytesMin)
    return fail(Code::kInvalid, fmt::format("the passphrase needs at least {} characters", kPassphraseBytesMin));
  Bytes plain;
  base::Writer writer(plain);
  writer.varint(files.size());
  for (const auto& [name, content] : files) {
    writer.sized(name);
    writer.sized(content);
  }
  TRY(writer.finish());

  std::string sealed(kMagic);
  sealed.resize(kHeadBytes + plain.size() + kTagBytes);
  random.fill(as_writable_bytes(sealed).subspan(kMagic.size(), kSaltBytes + kNonceBytes));
  Key key = TRY(derive(passphrase, std::string_view(sealed).substr(kMagic.size(), kSaltBytes)));
  Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  unsigned char* body = raw(sealed) + kHeadBytes;
  bool done =
      cipher &&
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(),
                         raw(sealed) + kMagic.size() + kSaltBytes) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &size, raw(sealed), kHeadBytes) == 1 &&
      EVP_EncryptUpdate(cipher.get(), body, &size, base::u8(BytesView(plain)), static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), body + size, &size) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, body + plain.size()) == 1;
  base::secure_wipe(plain);
  base::secure_wipe(std::as_writable_bytes(std::span(key)));
  if (!done) return fail(Code::kIo, "AES-256-GCM failed");
  return sealed;
}

Result<KeyFiles> unseal_keys(std::string_view sealed, std::string_view passphrase) {
  if (sealed.size() < kHeadBytes + kTagBytes || !sealed.starts_with(kMagic))
    return fail(Code::kCorrupt, "keys.sealed is not what a backup writes there");
  Key key = TRY(derive(passphrase, sealed.substr(kMagic.size(), kSaltBytes)));
  std::string_view body = sealed.substr(kHeadBytes, sealed.size() - kHeadBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  Bytes plain(body.size());
  Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  bool done = cipher &&
              EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(),
                                 raw(sealed) + kMagic.size() + kSaltBytes) == 1 &&
              EVP_DecryptUpdate(cipher.get(), nullptr, &size, raw(sealed), kHeadBytes) == 1 &&
              EVP_DecryptUpdate(cipher.get(), base::u8(MutableBytes(plain)), &size, raw(body),
                                static_cast<int>(body.size())) == 1 &&
              EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
              EVP_DecryptFinal_ex(cipher.get(), base::u8(MutableBytes(plain)) + size, &size) == 1;
  base::secure_wipe(std::as_writable_bytes(std::span(key)));
  if (!done) return fail(Code::kDenied, "the passphrase is not the one of this backup, or keys.sealed was changed");

  base::Reader reader{BytesView(plain)};
  KeyFiles files;
  for (uint64_t left = reader.varint_up_to(kFilesMax); left > 0 && reader.ok(); --left) {
    std::string name(reader.sized_text());
    // A name leads nowhere but into DIR/keys.
    if (name.empty() || name.find('/') != std::string::npos || name.starts_with('.'))
      return fail(Code::kCorrupt, "keys.sealed names a file outside of keys/");
    files[name] = std::string(reader.sized_text());
  }
  auto status = reader.finish();
  base::secure_wipe(plain);
  if (!status) return fail(status.error());
  return files;
}

}  // namespace polis::app
