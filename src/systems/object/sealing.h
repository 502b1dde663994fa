// Encrypted runs of bytes: how an object, or one part of one, lies in the Blob or in a row when it is encrypted. Every
// run has a data key of its own, and that key lies beside the run, wrapped by an outer key that is kept elsewhere (the
// installation's, one of the key ring, or the customer's). Whoever swaps, shortens, reorders or changes stored bytes is
// noticed before a byte of the packet leaves.
//
//   run         := packet+                            an empty run is one empty packet
//   packet      := ciphertext(<= 65,536) tag(16)      AES-256-GCM (NIST SP 800-38D); all but the last are full
//   nonce       := Seal::nonce(8) number:u32 BE       number from 0; a data key seals one run, so no nonce repeats
//   AAD         := last:u8                            1 in the last packet: a run cut at a packet's end does not open
//   wrapped key := version:u8(1) salt(16) ciphertext(32) tag(16)
//   wrapping    := AES-256-GCM under HMAC-SHA256(outer key, "polis object data key 1" salt), nonce 0, AAD: what the
//                  run is bound to. A key per salt: no bound on how many runs one outer key may wrap.
//
// Costs: 16 bytes a 64 KiB; about 0.55 ns a byte with AES instructions (64 MiB: 36 ms of CPU; the whole PUT has 310,
// the GET 75); an HMAC and two blocks to open a run.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "kernel/base/digest.h"
#include "kernel/base/random.h"
#include "kernel/base/result.h"
#include "kernel/blob/blob.h"
#include "systems/object/types.h"

namespace polis::object {

inline constexpr size_t kPacketBytes = 64 * 1024;  // of plain text: what a small range read decrypts in vain
inline constexpr size_t kPacketTagBytes = 16;

// The packets that hold a range, as they are stored.
struct PacketRange {
  uint32_t first = 0;     // packet
  blob::Range stored;     // bytes of the run
  uint64_t plain_at = 0;  // where the first packet begins in the plain text
};
uint64_t sealed_size(uint64_t plain_bytes);
// `range` is not empty and lies inside.
PacketRange packets_of(blob::Range range, uint64_t plain_bytes);

// 256 secret bits, wiped when they go.
class SecretKey {
 public:
  explicit SecretKey(const std::array<std::byte, 32>& bytes) : bytes_(bytes) {}
  static SecretKey make(Random& random);
  SecretKey(const SecretKey&) = default;
  SecretKey& operator=(const SecretKey&) = default;
  ~SecretKey() { base::secure_wipe(bytes_); }

  BytesView bytes() const { return bytes_; }
  // A key for one purpose, which tells nothing of this one: HMAC-SHA256(this, purpose salt).
  SecretKey derive(std::string_view purpose, std::string_view salt = {}) const;

 private:
  std::array<std::byte, 32> bytes_;
};

// A data key with what is stored of it.
struct RunKey {
  SecretKey key;
  Seal seal;
};
RunKey make_run_key(const SecretKey& outer, std::string_view bound_to, Random& random);
// kCorrupt if anything differs: outer key, wrapped key or what it is bound to.
Result<SecretKey> open_run_key(const SecretKey& outer, const Seal& seal, std::string_view bound_to);

// What seals new runs of one version and opens those that it has. Empty: bytes lie as they are.
class Envelope {
 public:
  Envelope() = default;
  // Runs are bound to their bucket and to how they are encrypted, not to their key's name: a rename leaves them alone.
  Envelope(const SecretKey& outer, BucketId bucket, const Encryption& encryption);
  explicit operator bool() const { return outer_.has_value(); }
  RunKey make(Random& random) const;
  Result<SecretKey> open(const Seal& seal) const;

 private:
  std::optional<SecretKey> outer_;
  std::string bound_to_;
};

// Seals or opens the packets of one run, in any order. Any thread, one call at a time.
class PacketCipher {
 public:
  enum class Way : unsigned char { kSeal, kOpen };
  // `nonce`: 8 bytes.
  PacketCipher(Way way, const SecretKey& key, std::string_view nonce);
  ~PacketCipher();
  PacketCipher(PacketCipher&&) noexcept;

  // `out` takes kPacketTagBytes more than `plain` has.
  void seal(uint32_t number, bool last, BytesView plain, MutableBytes out);
  // `out` takes kPacketTagBytes less than `sealed` has (at least that many). False: not what was sealed; `out` is
  // zeroed.
  [[nodiscard]] bool open(uint32_t number, bool last, BytesView sealed, MutableBytes out);

 private:
  void begin(uint32_t number, bool last);
  struct Context;
  std::unique_ptr<Context> context_;
  Way way_;
  std::array<std::byte, 12> nonce_{};
};

std::string seal_text(const RunKey& run, std::string_view plain);

// Reads a plain source and gives the sealed run. From 128 KiB a piece the work is the pool's. Memory: the piece that is
// asked for and one packet more.
class SealingSource final : public blob::ByteSource {
 public:
  SealingSource(const RunKey& run, blob::ByteSource& plain);
  Task<Result<size_t>> read(MutableBytes into) override;
  // Of the plain text, so far.
  uint64_t plain_bytes() const { return plain_bytes_; }

 private:
  Task<Result<void>> fill(size_t wanted_bytes);

  PacketCipher cipher_;
  blob::ByteSource& source_;
  Bytes plain_;  // from plain_at_ to plain_end_: read and not sealed yet
  size_t plain_at_ = 0, plain_end_ = 0;
  Bytes spill_;  // from spill_at_ on: sealed, and no room for it in the last read
  size_t spill_at_ = 0;
  uint64_t plain_bytes_ = 0;
  uint32_t number_ = 0;
  bool source_ended_ = false, ended_ = false;
};

// Takes whole packets of a run, from `first` on, and hands the bytes of `range` to the sink behind it. finish() says
// whether all of them came.
class OpeningSink final : public blob::ByteSink {
 public:
  // `range` of a run of `plain_bytes`, not empty.
  OpeningSink(const SecretKey& key, const Seal& seal, blob::Range range, uint64_t plain_bytes, blob::ByteSink& plain);
  // kCorrupt for what does not open; errors of the sink behind as they are.
  Task<Result<void>> write(BytesView sealed) override;
  Result<void> finish() const;

 private:
  Task<Result<void>> open(BytesView packets);

  PacketCipher cipher_;
  blob::ByteSink& sink_;
  blob::Range left_;  // of the plain text
  uint64_t at_ = 0;   // where the next packet begins in the plain text
  const uint64_t plain_bytes_;
  uint32_t number_ = 0;
  Bytes partial_;  // of a packet whose rest is to come
  Bytes plain_;
};

}  // namespace polis::object
