#include "kernel/auth/node_key.h"

#include <memory>
#include <openssl/evp.h>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"

namespace polis::auth {
namespace {

constexpr std::string_view kMagic = "polisKEY";
constexpr std::byte kVersion{1};
constexpr size_t kKeyBytes = 32;
constexpr size_t kFileBytes = 8 + 1 + kKeyBytes;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;

struct CipherDelete {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, CipherDelete>;

int size_of(std::string_view text) {
  return static_cast<int>(text.size());
}

}  // namespace

NodeKey::~NodeKey() {
  base::secure_wipe(key_);
}

Task<Result<NodeKey>> NodeKey::read(io::Disk& disk, std::string path) {
  Bytes content = CO_TRY(co_await disk.read_file(path, 4096));
  BytesView view(content);
  if (view.size() != kFileBytes || as_text(view.first(kMagic.size())) != kMagic || view[kMagic.size()] != kVersion)
    co_return fail(Code::kCorrupt, path + " is not a node key of this version; restore it from the backup of the keys");
  std::array<std::byte, kKeyBytes> key;
  std::copy(view.end() - kKeyBytes, view.end(), key.begin());
  base::secure_wipe(content);
  NodeKey made(key);
  base::secure_wipe(key);
  co_return made;
}

Task<Result<NodeKey>> NodeKey::create(io::Disk& disk, std::string path, Random& random) {
  std::array<std::byte, kKeyBytes> key;
  random.fill(key);
  Bytes content(as_bytes(kMagic).begin(), as_bytes(kMagic).end());
  content.push_back(kVersion);
  content.insert(content.end(), key.begin(), key.end());
  size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) CO_TRY(co_await disk.make_directories(path.substr(0, slash)));
  auto written = co_await disk.replace_file(path, content);
  base::secure_wipe(content);
  NodeKey made(key);
  base::secure_wipe(key);
  if (!written) co_return fail(std::move(written).error());
  co_return made;
}

std::string NodeKey::seal(std::string_view secret, std::string_view bound_to, Random& random) const {
  std::string sealed(1 + kNonceBytes + secret.size() + kTagBytes, '\0');
  sealed[0] = static_cast<char>(kVersion);
  MutableBytes out = as_writable_bytes(sealed);
  MutableBytes nonce = out.subspan(1, kNonceBytes);
  random.fill(nonce);
  Cipher cipher(EVP_CIPHER_CTX_new());
  POLIS_ASSERT(cipher != nullptr);
  int written = 0, last = 0;
  uint8_t* text = base::u8(out) + 1 + kNonceBytes;
  bool sealed_well =
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, base::u8(BytesView(key_)),
                         base::u8(BytesView(nonce))) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &written, base::u8(as_bytes(bound_to)), size_of(bound_to)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), text, &written, base::u8(as_bytes(secret)), size_of(secret)) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), text + written, &last) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, text + secret.size()) == 1;
  POLIS_ASSERT(sealed_well);
  return sealed;
}

Result<std::string> NodeKey::open(std::string_view sealed, std::string_view bound_to) const {
  auto broken = [] {
    return fail(Code::kCorrupt, "a sealed secret does not open: it was changed, or sealed with another node key");
  };
  if (sealed.size() < 1 + kNonceBytes + kTagBytes || sealed[0] != static_cast<char>(kVersion)) return broken();
  std::string_view nonce = sealed.substr(1, kNonceBytes);
  std::string_view text = sealed.substr(1 + kNonceBytes, sealed.size() - 1 - kNonceBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string secret(text.size(), '\0');
  Cipher cipher(EVP_CIPHER_CTX_new());
  POLIS_ASSERT(cipher != nullptr);
  int written = 0, last = 0;
  uint8_t* out = base::u8(as_writable_bytes(secret));
  bool opened =
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, base::u8(BytesView(key_)),
                         base::u8(as_bytes(nonce))) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &written, base::u8(as_bytes(bound_to)), size_of(bound_to)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), out, &written, base::u8(as_bytes(text)), size_of(text)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), out + written, &last) == 1;
  if (!opened) return broken();
  return secret;
}

std::array<std::byte, 32> NodeKey::derive(std::string_view purpose) const {
  return base::hmac_sha256(key_, purpose);
}

std::string NodeKey::fingerprint() const {
  auto digest = base::hmac_sha256(key_, "polis node key fingerprint");
  return base::hex_encode(BytesView(digest).first(8));
}

}  // namespace polis::auth
