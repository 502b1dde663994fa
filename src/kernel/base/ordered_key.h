// Keys whose bytes sort as their parts do, compared with memcmp. A key is parts, one after another:
//
//   bytes   each 00 as 00 FF, then the end mark 00 01; so a shorter text sorts before its extensions, whatever follows
//   u64     8 bytes big endian
//   i64     8 bytes big endian, sign bit flipped
//
// The last part of a key may stand raw. Decoding takes one part from the front of a view; a malformed one is kCorrupt.
#pragma once

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"

namespace polis::base {

void append_key_bytes(Bytes& key, BytesView part);
inline void append_key_bytes(Bytes& key, std::string_view part) {
  append_key_bytes(key, as_bytes(part));
}
void append_key_u64(Bytes& key, uint64_t part);
void append_key_i64(Bytes& key, int64_t part);

// Each removes what it read from the front of `key`; on failure `key` stays as it was.
Result<Bytes> take_key_bytes(BytesView& key);
Result<uint64_t> take_key_u64(BytesView& key);
Result<int64_t> take_key_i64(BytesView& key);

// The first key after every key that starts with `prefix`: the end of a prefix scan. Empty if there is none (only FF
// bytes).
Bytes key_after_prefix(BytesView prefix);

}  // namespace polis::base
