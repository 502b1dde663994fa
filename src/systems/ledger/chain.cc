#include "systems/ledger/chain.h"

#include <algorithm>

#include "kernel/base/digest.h"
#include "kernel/base/endian.h"
#include "kernel/base/sha256_many.h"

namespace polis::ledger {
namespace {

constexpr std::byte kLeafPrefix{0};
constexpr std::byte kNodePrefix{1};
constexpr std::byte kHeadPrefix{2};
constexpr size_t kRecordBytes = 128;
constexpr size_t kHeadBytes = 1 + 32 + 8 + 8 + 1 + 4 + 32;

// One level up, in place: neighbours are paired, an odd last one is carried up as it is. Returns the nodes there.
size_t climb(Hash* level, size_t count) {
  const size_t pairs = count / 2;
  base::sha256_framed(kNodePrefix, level->data(), 2 * sizeof(Hash), nullptr, pairs, level);
  if (count % 2 == 1) level[pairs] = level[count - 1];
  return pairs + count % 2;
}

}  // namespace

Hash leaf_hash(const std::byte* record, uint32_t status) {
  Hash leaf;
  leaf_hashes(record, &status, 1, &leaf);
  return leaf;
}

Hash node_hash(const Hash& left, const Hash& right) {
  Hash level[2] = {left, right};
  climb(level, 2);
  return level[0];
}

void leaf_hashes(const std::byte* records, const uint32_t* statuses, size_t count, Hash* leaves) {
  base::sha256_framed(kLeafPrefix, records, kRecordBytes, statuses, count, leaves);
}

// The tree that splits at the largest power of two below n is the one that pairs neighbours level by level and carries
// an odd last node up.
Hash merkle_root(std::span<Hash> leaves) {
  if (leaves.empty()) return base::sha256(BytesView());
  for (size_t count = leaves.size(); count > 1;) count = climb(leaves.data(), count);
  return leaves[0];
}

std::vector<Hash> merkle_path(std::span<const Hash> leaves, size_t index) {
  POLIS_ASSERT(index < leaves.size());
  std::vector<Hash> level(leaves.begin(), leaves.end());
  std::vector<Hash> path;
  for (size_t count = level.size(); count > 1; index /= 2) {
    if ((index ^ 1) < count) path.push_back(level[index ^ 1]);
    count = climb(level.data(), count);
  }
  return path;
}

Hash BatchLink::head_after() const {
  std::array<std::byte, kHeadBytes> message;
  std::byte* at = message.data();
  *at = kHeadPrefix;
  at = std::copy(head.previous.begin(), head.previous.end(), at + 1);
  base::store_little(at, op);
  base::store_little(at + 8, timestamp);
  at[16] = std::byte{operation};
  base::store_little(at + 17, count);
  std::copy(head.root.begin(), head.root.end(), at + 21);
  return base::sha256(message);
}

Result<void> check(const InclusionProof& proof) {
  if (proof.link.op == 0) return fail(Code::kCorrupt, "the proof's link has op 0; commands count from 1");
  if (proof.link.op == 1 && proof.link.head.previous != Hash{})
    return fail(Code::kCorrupt, "the proof's link is of the first command but follows a head that is not all zeros");
  if (proof.index >= proof.link.count)
    return fail(Code::kCorrupt, "the proof's leaf index " + std::to_string(proof.index) + " is not below the count " +
                                    std::to_string(proof.link.count) + " of its command");
  Hash hash = leaf_hash(proof.record.data(), proof.status);
  uint32_t index = proof.index;
  uint32_t count = proof.link.count;
  size_t used = 0;
  for (; count > 1; index /= 2, count = count / 2 + count % 2) {
    if ((index ^ 1) >= count) continue;  // An odd last node is carried up as it is.
    if (used == proof.path.size())
      return fail(Code::kCorrupt, "the proof's path ends after " + std::to_string(used) + " siblings, below the root");
    const Hash& sibling = proof.path[used++];
    hash = index % 2 == 1 ? node_hash(sibling, hash) : node_hash(hash, sibling);
  }
  if (used != proof.path.size())
    return fail(Code::kCorrupt, "the proof's path has " + std::to_string(proof.path.size()) + " siblings and needs " +
                                    std::to_string(used));
  if (hash != proof.link.head.root)
    return fail(Code::kCorrupt,
                "the proof's record, status and path do not give the root of command " + std::to_string(proof.link.op));
  return {};
}

}  // namespace polis::ledger
