// The checksum of TigerBeetle messages: AEGIS-128L (draft-irtf-cfrg-aegis-aead) used as a MAC with key and nonce zero.
// The bytes are the associated data, the message is empty. It finds damage; it keeps no secret, so the portable form
// may use tables.
//
// One message is a chain of steps, each eight AES rounds for 32 bytes, and each waiting for the one before. Wider
// vectors (VAES) would do the rounds in half the instructions, but hand words from lane to lane by a permutation that
// takes as long as a round. So there are two forms: AES instructions (12 GB/s), chosen at run time, and tables (0.5
// GB/s).
//
// Values; any thread.
#pragma once

#include <array>

#include "kernel/base/bytes.h"
#include "systems/ledger/types.h"

namespace polis::ledger::tigerbeetle {

// The 16 bytes of a tag as the wire has them: a little-endian number.
class Aegis128lMac {
 public:
  using Block = std::array<std::byte, 16>;
  struct State {
    alignas(16) std::array<Block, 8> words;
  };
  static constexpr size_t kRateBytes = 32;

  // Key and nonce zero.
  Aegis128lMac();
  Aegis128lMac(const Block& key, const Block& nonce);

  void update(BytesView bytes);
  // The tag of everything so far. Once.
  Block finish();

 private:
  State state_;
  std::array<std::byte, kRateBytes> pending_;  // what does not fill a step yet
  size_t pending_size_ = 0;
  uint64_t size_bytes_ = 0;
};

// What the header of a message carries for itself and for its body.
u128 checksum(BytesView bytes);

// --- for tests and benchmarks

// Steps of 32 bytes through the state, by the fastest form and by tables.
void aegis128l_absorb(Aegis128lMac::State& state, const std::byte* at, size_t steps);
void aegis128l_absorb_portable(Aegis128lMac::State& state, const std::byte* at, size_t steps);
// Whether aegis128l_absorb uses AES instructions here.
bool aegis128l_accelerated();

}  // namespace polis::ledger::tigerbeetle
