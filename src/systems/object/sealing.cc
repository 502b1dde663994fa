#include "systems/object/sealing.h"

#include <algorithm>
#include <openssl/evp.h>

#include "kernel/base/binary.h"
#include "kernel/io/shard.h"

namespace polis::object {
namespace {

constexpr size_t kSealedPacketBytes = kPacketBytes + kPacketTagBytes;
constexpr size_t kRunNonceBytes = 8;
constexpr char kWrapVersion = 1;
constexpr size_t kSaltBytes = 16;
constexpr size_t kDataKeyBytes = 32;
constexpr size_t kWrappedBytes = 1 + kSaltBytes + kDataKeyBytes + kPacketTagBytes;
constexpr std::string_view kWrapPurpose = "polis object data key 1";
// 128 KiB take about 40 us, as much as the hand-over to the pool; beyond that a shard must not stand still.
constexpr size_t kCipherOnPoolBytes = 128 * 1024;
// A piece of work: what the Blob asks for at once (512 KiB), so that memory stays bounded whoever asks.
constexpr size_t kPiecePackets = 8;

struct ContextDelete {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using ContextPtr = std::unique_ptr<EVP_CIPHER_CTX, ContextDelete>;

int length(size_t size) {
  return static_cast<int>(size);
}

// AES-256-GCM over one short text; `tag` is read when opening and written when sealing.
bool gcm(bool sealing, const SecretKey& key, std::string_view aad, BytesView in, MutableBytes out, MutableBytes tag) {
  ContextPtr context(EVP_CIPHER_CTX_new());
  POLIS_ASSERT(context != nullptr);
  const std::array<uint8_t, 12> nonce{};
  int written = 0, last = 0;
  const int way = sealing ? 1 : 0;
  bool well =
      EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, base::u8(key.bytes()), nonce.data(), way) == 1 &&
      EVP_CipherUpdate(context.get(), nullptr, &written, base::u8(as_bytes(aad)), length(aad.size())) == 1 &&
      EVP_CipherUpdate(context.get(), base::u8(out), &written, base::u8(in), length(in.size())) == 1;
  if (!sealing)
    well = well && EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, length(tag.size()), tag.data()) == 1;
  well = well && EVP_CipherFinal_ex(context.get(), base::u8(out) + written, &last) == 1;
  if (sealing)
    well = well && EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, length(tag.size()), tag.data()) == 1;
  return well;
}

}  // namespace

uint64_t sealed_size(uint64_t plain_bytes) {
  uint64_t packets = std::max<uint64_t>(1, (plain_bytes + kPacketBytes - 1) / kPacketBytes);
  return plain_bytes + packets * kPacketTagBytes;
}

PacketRange packets_of(blob::Range range, uint64_t plain_bytes) {
  POLIS_ASSERT(range.size > 0 && range.offset < plain_bytes && range.size <= plain_bytes - range.offset);
  uint64_t first = range.offset / kPacketBytes, behind = (range.offset + range.size - 1) / kPacketBytes + 1;
  uint64_t begin = first * kSealedPacketBytes, end = std::min(behind * kSealedPacketBytes, sealed_size(plain_bytes));
  return {.first = static_cast<uint32_t>(first), .stored = {begin, end - begin}, .plain_at = first * kPacketBytes};
}

// --- keys

SecretKey SecretKey::make(Random& random) {
  std::array<std::byte, 32> bytes;
  random.fill(bytes);
  SecretKey key(bytes);
  base::secure_wipe(bytes);
  return key;
}

SecretKey SecretKey::derive(std::string_view purpose, std::string_view salt) const {
  base::HmacSha256 mac{BytesView(bytes_)};
  mac.update(purpose);
  mac.update(salt);
  auto digest = mac.finish();
  SecretKey key(digest);
  base::secure_wipe(digest);
  return key;
}

RunKey make_run_key(const SecretKey& outer, std::string_view bound_to, Random& random) {
  RunKey run{.key = SecretKey::make(random), .seal = {}};
  run.seal.nonce.resize(kRunNonceBytes);
  random.fill(as_writable_bytes(run.seal.nonce));
  std::string& wrapped = run.seal.wrapped_key;
  wrapped.assign(kWrappedBytes, kWrapVersion);
  MutableBytes out = as_writable_bytes(wrapped);
  MutableBytes salt = out.subspan(1, kSaltBytes);
  random.fill(salt);
  bool sealed = gcm(true, outer.derive(kWrapPurpose, as_text(salt)), bound_to, run.key.bytes(),
                    out.subspan(1 + kSaltBytes, kDataKeyBytes), out.last(kPacketTagBytes));
  POLIS_ASSERT(sealed);
  return run;
}

Result<SecretKey> open_run_key(const SecretKey& outer, const Seal& seal, std::string_view bound_to) {
  const std::string& wrapped = seal.wrapped_key;
  auto broken = [] {
    return fail(Code::kCorrupt,
                "the key of encrypted bytes does not open: it was changed, or wrapped by another key than this one");
  };
  if (wrapped.size() != kWrappedBytes || wrapped[0] != kWrapVersion || seal.nonce.size() != kRunNonceBytes)
    return broken();
  BytesView in = as_bytes(wrapped);
  std::array<std::byte, kPacketTagBytes> tag;
  std::copy_n(in.end() - kPacketTagBytes, kPacketTagBytes, tag.begin());
  std::array<std::byte, kDataKeyBytes> bytes{};
  bool opened = gcm(false, outer.derive(kWrapPurpose, as_text(in.subspan(1, kSaltBytes))), bound_to,
                    in.subspan(1 + kSaltBytes, kDataKeyBytes), bytes, tag);
  SecretKey key(bytes);
  base::secure_wipe(bytes);
  if (!opened) return broken();
  return key;
}

Envelope::Envelope(const SecretKey& outer, BucketId bucket, const Encryption& encryption) : outer_(outer) {
  Bytes text;
  base::Writer out(text);
  out.u8(static_cast<uint8_t>(encryption.kind));
  out.u64(bucket);
  out.sized(encryption.customer_key_md5);
  out.sized(encryption.kms_key_id);
  out.sized(encryption.kms_context);
  bound_to_ = as_text(text);
}

RunKey Envelope::make(Random& random) const {
  POLIS_ASSERT(outer_.has_value());
  return make_run_key(*outer_, bound_to_, random);
}

Result<SecretKey> Envelope::open(const Seal& seal) const {
  POLIS_ASSERT(outer_.has_value());
  return open_run_key(*outer_, seal, bound_to_);
}

// --- packets

struct PacketCipher::Context {
  ContextPtr cipher;
};

PacketCipher::PacketCipher(Way way, const SecretKey& key, std::string_view nonce)
    : context_(std::make_unique<Context>(ContextPtr(EVP_CIPHER_CTX_new()))), way_(way) {
  POLIS_ASSERT(context_->cipher != nullptr && nonce.size() == kRunNonceBytes);
  std::memcpy(nonce_.data(), nonce.data(), kRunNonceBytes);
  bool ready = EVP_CipherInit_ex(context_->cipher.get(), EVP_aes_256_gcm(), nullptr, base::u8(key.bytes()), nullptr,
                                 way == Way::kSeal ? 1 : 0) == 1;
  POLIS_ASSERT(ready);
}

PacketCipher::~PacketCipher() = default;
PacketCipher::PacketCipher(PacketCipher&&) noexcept = default;

void PacketCipher::begin(uint32_t number, bool last) {
  for (size_t i = 0; i < 4; ++i) nonce_[kRunNonceBytes + i] = static_cast<std::byte>(number >> (24 - 8 * i));
  const uint8_t mark = last ? 1 : 0;
  int written = 0;
  // The key stays; a negative direction keeps it, too.
  bool ready =
      EVP_CipherInit_ex(context_->cipher.get(), nullptr, nullptr, nullptr, base::u8(BytesView(nonce_)), -1) == 1 &&
      EVP_CipherUpdate(context_->cipher.get(), nullptr, &written, &mark, 1) == 1;
  POLIS_ASSERT(ready);
}

void PacketCipher::seal(uint32_t number, bool last, BytesView plain, MutableBytes out) {
  POLIS_ASSERT(way_ == Way::kSeal && plain.size() <= kPacketBytes && out.size() == plain.size() + kPacketTagBytes);
  begin(number, last);
  EVP_CIPHER_CTX* cipher = context_->cipher.get();
  int written = 0, more = 0;
  bool sealed = (plain.empty() ||
                 EVP_CipherUpdate(cipher, base::u8(out), &written, base::u8(plain), length(plain.size())) == 1) &&
                EVP_CipherFinal_ex(cipher, base::u8(out) + written, &more) == 1 &&
                EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, kPacketTagBytes, out.data() + plain.size()) == 1;
  POLIS_ASSERT(sealed);
}

bool PacketCipher::open(uint32_t number, bool last, BytesView sealed, MutableBytes out) {
  POLIS_ASSERT(way_ == Way::kOpen && sealed.size() >= kPacketTagBytes && out.size() + kPacketTagBytes == sealed.size());
  begin(number, last);
  EVP_CIPHER_CTX* cipher = context_->cipher.get();
  std::array<std::byte, kPacketTagBytes> tag;
  std::copy_n(sealed.end() - kPacketTagBytes, kPacketTagBytes, tag.begin());
  int written = 0, more = 0;
  uint8_t nothing[1];
  bool opened =
      (out.empty() || EVP_CipherUpdate(cipher, base::u8(out), &written, base::u8(sealed), length(out.size())) == 1) &&
      EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, kPacketTagBytes, tag.data()) == 1 &&
      EVP_CipherFinal_ex(cipher, out.empty() ? nothing : base::u8(out) + written, &more) == 1;
  if (!opened) std::fill(out.begin(), out.end(), std::byte{0});
  return opened;
}

std::string seal_text(const RunKey& run, std::string_view plain) {
  POLIS_ASSERT(plain.size() <= kPacketBytes);
  std::string out(plain.size() + kPacketTagBytes, '\0');
  PacketCipher(PacketCipher::Way::kSeal, run.key, run.seal.nonce)
      .seal(0, true, as_bytes(plain), as_writable_bytes(out));
  return out;
}

// --- sealing a stream

SealingSource::SealingSource(const RunKey& run, blob::ByteSource& plain)
    : cipher_(PacketCipher::Way::kSeal, run.key, run.seal.nonce), source_(plain) {}

// Reads until that many bytes wait to be sealed, or the source ends.
Task<Result<void>> SealingSource::fill(size_t wanted_bytes) {
  if (plain_at_ > 0) {
    std::memmove(plain_.data(), plain_.data() + plain_at_, plain_end_ - plain_at_);
    plain_end_ -= plain_at_;
    plain_at_ = 0;
  }
  if (plain_.size() < wanted_bytes) plain_.resize(wanted_bytes);
  while (plain_end_ < wanted_bytes && !source_ended_) {
    size_t count = CO_TRY(co_await source_.read(MutableBytes(plain_).subspan(plain_end_, wanted_bytes - plain_end_)));
    if (count == 0) source_ended_ = true;
    plain_end_ += count;
    plain_bytes_ += count;
  }
  co_return Result<void>();
}

Task<Result<size_t>> SealingSource::read(MutableBytes into) {
  size_t filled = 0;
  for (;;) {
    size_t count = std::min(into.size() - filled, spill_.size() - spill_at_);
    if (count > 0) std::memcpy(into.data() + filled, spill_.data() + spill_at_, count);
    filled += count;
    spill_at_ += count;
    if (filled == into.size() || ended_) co_return filled;

    // As many packets as there is room for, the last of them perhaps in part, and one byte more at least: what comes
    // behind a packet decides whether it is the last.
    size_t room = into.size() - filled;
    size_t packets = std::min(kPiecePackets, (room + kSealedPacketBytes - 1) / kSealedPacketBytes);
    CO_TRY(co_await fill((packets + 1) * kPacketBytes));
    size_t have = plain_end_ - plain_at_;
    auto seal_packets = [&] {
      size_t sealed_bytes = 0;
      for (size_t i = 0; i < packets && !ended_; ++i) {
        size_t size = std::min(have, kPacketBytes);
        bool last = source_ended_ && have == size;
        BytesView plain = BytesView(plain_).subspan(plain_at_, size);
        size_t sealed_size_here = size + kPacketTagBytes;
        if (sealed_bytes + sealed_size_here <= room) {
          cipher_.seal(number_, last, plain, into.subspan(filled + sealed_bytes, sealed_size_here));
          sealed_bytes += sealed_size_here;
        } else {
          spill_.resize(sealed_size_here);
          spill_at_ = 0;
          cipher_.seal(number_, last, plain, spill_);
        }
        ++number_;
        plain_at_ += size;
        have -= size;
        ended_ = last;
        if (spill_at_ < spill_.size()) break;
      }
      return sealed_bytes;
    };
    size_t work = std::min(have, packets * kPacketBytes);
    filled += work >= kCipherOnPoolBytes ? co_await io::blocking(seal_packets) : seal_packets();
  }
}

// --- opening a stream

OpeningSink::OpeningSink(const SecretKey& key, const Seal& seal, blob::Range range, uint64_t plain_bytes,
                         blob::ByteSink& plain)
    : cipher_(PacketCipher::Way::kOpen, key, seal.nonce), sink_(plain), left_(range), plain_bytes_(plain_bytes) {
  PacketRange packets = packets_of(range, plain_bytes);
  number_ = packets.first;
  at_ = packets.plain_at;
}

// Whole packets, at most kPiecePackets of them.
Task<Result<void>> OpeningSink::open(BytesView packets) {
  if (plain_.size() < packets.size()) plain_.resize(packets.size());
  size_t opened_bytes = 0;
  auto open_packets = [&] {
    while (!packets.empty()) {
      size_t size = std::min(packets.size(), kSealedPacketBytes);
      size_t plain_size = size - kPacketTagBytes;
      bool last = at_ + opened_bytes + plain_size == plain_bytes_;
      if (!cipher_.open(number_, last, packets.first(size), MutableBytes(plain_).subspan(opened_bytes, plain_size)))
        return false;
      ++number_;
      opened_bytes += plain_size;
      packets = packets.subspan(size);
    }
    return true;
  };
  bool well = packets.size() >= kCipherOnPoolBytes ? co_await io::blocking(open_packets) : open_packets();
  if (!well) co_return fail(Code::kCorrupt, "encrypted bytes do not open: they are not the ones that were sealed");
  uint64_t begin = std::max(at_, left_.offset), end = std::min(at_ + opened_bytes, left_.offset + left_.size);
  BytesView wanted = BytesView(plain_).subspan(begin - at_, end - begin);
  at_ += opened_bytes;
  left_.size -= end - left_.offset;
  left_.offset = end;
  co_return co_await sink_.write(wanted);
}

Task<Result<void>> OpeningSink::write(BytesView sealed) {
  while (!sealed.empty()) {
    if (left_.size == 0 || at_ >= plain_bytes_)
      co_return fail(Code::kCorrupt, "more encrypted bytes than were asked for");
    size_t next = std::min<uint64_t>(kPacketBytes, plain_bytes_ - at_) + kPacketTagBytes;
    if (partial_.empty() && sealed.size() >= next) {
      // Straight out of what came, as many whole packets as there are.
      size_t take = 0;
      uint64_t at = at_;
      for (size_t i = 0; i < kPiecePackets && at < plain_bytes_; ++i) {
        size_t size = std::min<uint64_t>(kPacketBytes, plain_bytes_ - at) + kPacketTagBytes;
        if (take + size > sealed.size()) break;
        take += size;
        at += size - kPacketTagBytes;
      }
      CO_TRY(co_await open(sealed.first(take)));
      sealed = sealed.subspan(take);
      continue;
    }
    size_t count = std::min(next - partial_.size(), sealed.size());
    partial_.insert(partial_.end(), sealed.begin(), sealed.begin() + static_cast<ptrdiff_t>(count));
    sealed = sealed.subspan(count);
    if (partial_.size() < next) break;
    CO_TRY(co_await open(partial_));
    partial_.clear();
  }
  co_return Result<void>();
}

Result<void> OpeningSink::finish() const {
  if (left_.size > 0) return fail(Code::kCorrupt, "fewer encrypted bytes than were asked for");
  return {};
}

}  // namespace polis::object
