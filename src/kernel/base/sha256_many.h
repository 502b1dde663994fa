// SHA-256 (FIPS 180-4) of many messages of one length: for the leaves and nodes of a hash tree, where one message is
// too short to fill the processor and thousands wait. Chosen at run time: sixteen messages at a time with AVX-512, two
// with the SHA instructions, else OpenSSL one by one. Pure functions; any thread.
//
//     SHA-256(m0 .. mN), each of size_bytes     in memory: [m0 | padding][m1 | padding] ... , whole blocks of 64 bytes
//
// The caller keeps the padded form, so that a buffer that is filled again and again is padded once.
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/digest.h"

namespace polis::base {

// The bytes that a message takes with its padding: at least 9 more, a multiple of 64.
constexpr size_t sha256_padded_bytes(size_t size_bytes) {
  return (size_bytes + 9 + 63) / 64 * 64;
}
// Writes the padding behind a message at `message`, which has room for sha256_padded_bytes(size_bytes).
void sha256_pad(std::byte* message, size_t size_bytes);

// Digests of `count` padded messages that lie one after the other, sha256_padded_bytes(size_bytes) apart, at any
// alignment. `digests` does not overlap them.
void sha256_many(const std::byte* padded_messages, size_t size_bytes, size_t count, Sha256Digest* digests);

// The same for messages that are not laid out yet, as those of a hash tree: message i is the byte `prefix`, then
// `body_bytes` (a multiple of 64) from bodies + i * body_bytes, then the 4 bytes of suffixes[i] in little endian;
// without `suffixes` none. `digests` may overlap the bodies if it begins where they do. Saves the copy and a part of
// the last block: 15 % for leaves and nodes.
void sha256_framed(std::byte prefix, const std::byte* bodies, size_t body_bytes, const uint32_t* suffixes, size_t count,
                   Sha256Digest* digests);

// The ways to do it, for tests and measurements; the functions above take the best one that the processor has.
enum class Sha256Form : unsigned char { kOneByOne, kShaInstructions, kAvx512 };
bool sha256_form_available(Sha256Form form);
// The form must be available.
void sha256_many_by(Sha256Form form, const std::byte* padded_messages, size_t size_bytes, size_t count,
                    Sha256Digest* digests);
void sha256_framed_by(Sha256Form form, std::byte prefix, const std::byte* bodies, size_t body_bytes,
                      const uint32_t* suffixes, size_t count, Sha256Digest* digests);

}  // namespace polis::base
