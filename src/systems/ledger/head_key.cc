#include "systems/ledger/head_key.h"

#include <charconv>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"

namespace polis::ledger {
namespace {

// A PEM of this key has 119 bytes.
constexpr uint64_t kFileBytesMax = 4096;

struct KeyDelete {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct ContextDelete {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
struct BioDelete {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, KeyDelete>;
using Context = std::unique_ptr<EVP_MD_CTX, ContextDelete>;
using Bio = std::unique_ptr<BIO, BioDelete>;

// Nobody is asked for a pass phrase: a key that has one is refused.
int no_pass_phrase(char*, int, int, void*) {
  return -1;
}

Bio bio_over(std::string_view text) {
  // A pointer must be there even for no bytes.
  Bio bio(BIO_new_mem_buf(text.empty() ? "" : text.data(), static_cast<int>(text.size())));
  POLIS_ASSERT(bio != nullptr);
  return bio;
}

std::string text_of(BIO* bio) {
  char* text = nullptr;
  const long size_bytes = BIO_get_mem_data(bio, &text);
  return {text, static_cast<size_t>(size_bytes)};
}

std::string public_pem(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_mem()));
  POLIS_ASSERT(bio != nullptr && PEM_write_bio_PUBKEY(bio.get(), key) == 1);
  return text_of(bio.get());
}

std::string private_pem(EVP_PKEY* key) {
  Bio bio(BIO_new(BIO_s_secmem()));
  POLIS_ASSERT(bio != nullptr &&
               PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return text_of(bio.get());
}

// A refusal of OpenSSL's also lies in its queue of the thread, where the next TLS connection would take it for its own.
std::unexpected<Error> refuse(Code code, std::string message) {
  ERR_clear_error();
  return fail(code, std::move(message));
}

// "name VALUE\n" at the front of `text`, which is shortened by it.
Result<std::string_view> take_line(std::string_view& text, std::string_view name) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  if (end == std::string_view::npos || !line.starts_with(name))
    return fail(Code::kInvalid, fmt::format("a signed head needs the line '{}VALUE' here", name));
  text.remove_prefix(end + 1);
  return line.substr(name.size());
}

Result<uint64_t> take_number(std::string_view& text, std::string_view name) {
  const std::string_view digits = TRY(take_line(text, name));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool shortest = digits.size() == 1 || !digits.starts_with('0');
  if (error != std::errc() || end != digits.data() + digits.size() || !shortest)
    return fail(Code::kInvalid, fmt::format("'{}{}' is not a decimal number of 64 bits", name, digits));
  return value;
}

}  // namespace

struct HeadKey::State {
  Key key;
  std::string public_key_pem;
};

HeadKey::HeadKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
HeadKey::HeadKey(HeadKey&&) noexcept = default;
HeadKey& HeadKey::operator=(HeadKey&&) noexcept = default;
HeadKey::~HeadKey() = default;

HeadKey HeadKey::from_seed(const std::array<std::byte, 32>& seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, base::u8(BytesView(seed)), seed.size()));
  POLIS_ASSERT(key != nullptr);
  std::string pem = public_pem(key.get());
  return HeadKey(std::make_unique<State>(std::move(key), std::move(pem)));
}

Result<HeadKey> HeadKey::parse(BytesView pem, const std::string& path) {
  Bio bio = bio_over(as_text(pem));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_pass_phrase, nullptr));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519)
    return fail(Code::kCorrupt,
                path +
                    " is not an Ed25519 private key in PEM without a pass phrase; restore it from the backup of the "
                    "keys");
  std::string public_key = public_pem(key.get());
  return HeadKey(std::make_unique<State>(std::move(key), std::move(public_key)));
}

Task<Result<HeadKey>> HeadKey::read(io::Disk& disk, std::string path) {
  Bytes pem = CO_TRY(co_await disk.read_file(path, kFileBytesMax));
  auto key = parse(pem, path);
  base::secure_wipe(pem);
  co_return key;
}

Task<Result<HeadKey>> HeadKey::create(io::Disk& disk, std::string path, Random& random) {
  auto present = co_await disk.open(path, io::OpenMode::kRead);
  if (present) co_return fail(Code::kExists, path + " exists; a signing key is never replaced");
  if (present.error().code() != Code::kNotFound) co_return fail(std::move(present).error());
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0) CO_TRY(co_await disk.make_directories(path.substr(0, slash)));
  std::array<std::byte, 32> seed;
  random.fill(seed);
  HeadKey key = from_seed(seed);
  base::secure_wipe(seed);
  std::string pem = private_pem(key.state_->key.get());
  auto written = co_await disk.replace_file(path, as_bytes(pem));
  base::secure_wipe(as_writable_bytes(pem));
  if (!written) co_return fail(std::move(written).error());
  co_return key;
}

Task<Result<HeadKey>> HeadKey::open(io::Disk& disk, std::string path, Random& random) {
  auto key = co_await read(disk, path);
  if (key || key.error().code() != Code::kNotFound) co_return key;
  co_return co_await create(disk, path, random);
}

const std::string& HeadKey::public_key_pem() const {
  return state_->public_key_pem;
}

SignedHead HeadKey::sign(uint64_t op, uint64_t timestamp, const Hash& head, uint64_t signed_at) const {
  SignedHead made{.op = op, .timestamp = timestamp, .head = head, .signed_at = signed_at};
  const std::string text = made.to_text();
  Context context(EVP_MD_CTX_new());
  POLIS_ASSERT(context != nullptr);
  size_t size_bytes = made.signature.size();
  POLIS_ASSERT(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, state_->key.get()) == 1);
  POLIS_ASSERT(EVP_DigestSign(context.get(), base::u8(MutableBytes(made.signature)), &size_bytes,
                              base::u8(as_bytes(text)), text.size()) == 1);
  POLIS_ASSERT(size_bytes == made.signature.size());
  return made;
}

Result<void> verify(const SignedHead& head, std::string_view public_key_pem) {
  if (public_key_pem.size() > kFileBytesMax)
    return fail(Code::kInvalid,
                fmt::format("a public key of {} bytes is longer than {}", public_key_pem.size(), kFileBytesMax));
  Bio bio = bio_over(public_key_pem);
  Key key(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_pass_phrase, nullptr));
  if (key == nullptr || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519)
    return refuse(Code::kInvalid, "this is not an Ed25519 public key in PEM");
  const std::string text = head.to_text();
  Context context(EVP_MD_CTX_new());
  POLIS_ASSERT(context != nullptr);
  POLIS_ASSERT(EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  if (EVP_DigestVerify(context.get(), base::u8(BytesView(head.signature)), head.signature.size(),
                       base::u8(as_bytes(text)), text.size()) != 1)
    return refuse(Code::kCorrupt, fmt::format("the signature of head {} is not this key's", head.op));
  return {};
}

std::string SignedHead::to_text() const {
  return fmt::format("polis ledger head\nop {}\ntimestamp {}\nhead {}\nsigned_at {}\n", op, timestamp,
                     base::hex_encode(head), signed_at);
}

Result<SignedHead> parse_signed_head(std::string_view text) {
  SignedHead parsed;
  std::string_view rest = text;
  TRY(take_line(rest, "polis ledger head"));
  parsed.op = TRY(take_number(rest, "op "));
  parsed.timestamp = TRY(take_number(rest, "timestamp "));
  const Bytes hash = TRY(base::hex_decode(TRY(take_line(rest, "head "))));
  if (hash.size() != parsed.head.size())
    return fail(Code::kInvalid, fmt::format("a head has 32 bytes, this one {}", hash.size()));
  std::copy(hash.begin(), hash.end(), parsed.head.begin());
  parsed.signed_at = TRY(take_number(rest, "signed_at "));
  // One head has one text: nothing else may be signed in its name.
  if (parsed.to_text() != text) return fail(Code::kInvalid, "a signed head is five lines in their canonical form");
  return parsed;
}

}  // namespace polis::ledger
