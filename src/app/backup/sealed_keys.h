// The node's keys under a passphrase, for a backup that carries them.
//
//     "polisSKY" u8 version(1) salt(16) nonce(12) ciphertext tag(16)
//
// Plain text: for each file sized name, sized content (kernel/base/binary.h). AES-256-GCM; key = scrypt(passphrase,
// salt, 2^15, 8, 1).
#pragma once

#include <map>
#include <string>

#include "kernel/base/random.h"
#include "kernel/base/result.h"

namespace polis::app {

using KeyFiles = std::map<std::string, std::string>;  // name inside DIR/keys, content

inline constexpr size_t kPassphraseBytesMin = 8;

// kInvalid for a passphrase shorter than kPassphraseBytesMin.
Result<std::string> seal_keys(const KeyFiles& files, std::string_view passphrase, Random& random);
// kDenied: another passphrase, or bytes that were changed.
Result<KeyFiles> unseal_keys(std::string_view sealed, std::string_view passphrase);

}  // namespace polis::app
