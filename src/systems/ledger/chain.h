// The hash chain over everything that happened: what makes the books verifiable by who does not trust the server.
//
//     leaf   = SHA-256(0x00 | record, 128 bytes as stored | status u32)         one an event; a refused event's record
//     is
//                                                                               the event as sent, with its timestamp
//     root   = the tree of RFC 6962 §2.1 over the command's leaves: node = SHA-256(0x01 | left | right); the empty tree
//              is SHA-256 of nothing
//     head_n = SHA-256(0x02 | head_(n-1) | op u64 | timestamp u64 | operation u8 | count u32 | root)
//
// Integers are little endian, head_0 is 32 zero bytes. A tree a batch and a chain of roots, because a chain of
// transfers would hash one after the other. Pure functions and values; any thread.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/result.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

using Hash = std::array<std::byte, 32>;

// What the journal stores beside each command, and replay must reproduce.
struct BatchHead {
  Hash previous{};  // the head before
  Hash root{};
  bool operator==(const BatchHead&) const = default;
};
static_assert(sizeof(BatchHead) == 64);

// One link: a command's part of the chain, without its records.
struct BatchLink {
  uint64_t op = 0;
  uint64_t timestamp = 0;
  uint8_t operation = 0;
  uint32_t count = 0;  // leaves
  BatchHead head;
  Hash head_after() const;
};

// That one record is in a command, and the command's link.
struct InclusionProof {
  BatchLink link;
  uint32_t index = 0;  // of the leaf, 0 .. link.count-1
  std::array<std::byte, 128> record{};
  uint32_t status = 0;
  std::vector<Hash> path;  // siblings from the leaf up, RFC 6962 §2.1.1
};

Hash leaf_hash(const std::byte* record, uint32_t status);
Hash node_hash(const Hash& left, const Hash& right);
// Leaves of `count` records that lie 128 bytes apart, several at a time where the processor allows it.
void leaf_hashes(const std::byte* records, const uint32_t* statuses, size_t count, Hash* leaves);
// Overwrites `leaves` while it works.
Hash merkle_root(std::span<Hash> leaves);
std::vector<Hash> merkle_path(std::span<const Hash> leaves, size_t index);

// kCorrupt with what differs: the leaf, the path or the link.
Result<void> check(const InclusionProof& proof);

}  // namespace polis::ledger
