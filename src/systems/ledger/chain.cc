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
constexpr size_t kLeafBytes = 1 + kRecordBytes + 4;
constexpr size_t kNodeBytes = 1 + 2 * sizeof(Hash);
constexpr size_t kHeadBytes = 1 + 32 + 8 + 8 + 1 + 4 + 32;

// What is hashed at a time: enough to fill the widest form of sha256_many(), and 3 KiB of stack.
constexpr size_t kStageMessages = 16;

// Padded messages of one length behind one prefix, filled again and again.
template <size_t kMessageBytes>
class Stage {
 public:
  // For `count` messages in all; more than kStageMessages go through in turns.
  Stage(std::byte prefix, size_t count) {
    for (size_t i = 0; i < std::min(count, kStageMessages); ++i) {
      std::byte* message = bytes_.data() + i * kStrideBytes;
      message[0] = prefix;
      base::sha256_pad(message, kMessageBytes);
    }
  }
  // Behind the prefix of message i.
  std::byte* content(size_t i) { return bytes_.data() + i * kStrideBytes + 1; }
  void hash(size_t count, Hash* digests) const { base::sha256_many(bytes_.data(), kMessageBytes, count, digests); }

 private:
  static constexpr size_t kStrideBytes = base::sha256_padded_bytes(kMessageBytes);
  alignas(64) std::array<std::byte, kStageMessages * kStrideBytes> bytes_;
};

// Nodes over pairs of neighbours: parents[i] over children[2i] and children[2i+1]. `parents` may be `children`.
void node_hashes(const Hash* children, size_t pairs, Hash* parents) {
  Stage<kNodeBytes> stage(kNodePrefix, pairs);
  for (size_t begin = 0; begin < pairs; begin += kStageMessages) {
    const size_t count = std::min(kStageMessages, pairs - begin);
    for (size_t i = 0; i < count; ++i) std::memcpy(stage.content(i), children + 2 * (begin + i), 2 * sizeof(Hash));
    stage.hash(count, parents + begin);
  }
}

// One level up, in place: neighbours are paired, an odd last one is carried up as it is. Returns the nodes there.
size_t climb(Hash* level, size_t count) {
  const size_t pairs = count / 2;
  node_hashes(level, pairs, level);
  if (count % 2 == 1) level[pairs] = level[count - 1];
  return pairs + count % 2;
}

}  // namespace

Hash leaf_hash(const std::byte* record, uint32_t status) {
  std::array<std::byte, kLeafBytes> message;
  message[0] = kLeafPrefix;
  std::copy_n(record, kRecordBytes, message.data() + 1);
  base::store_little(message.data() + 1 + kRecordBytes, status);
  return base::sha256(message);
}

Hash node_hash(const Hash& left, const Hash& right) {
  std::array<std::byte, kNodeBytes> message;
  message[0] = kNodePrefix;
  std::copy(left.begin(), left.end(), message.begin() + 1);
  std::copy(right.begin(), right.end(), message.begin() + 33);
  return base::sha256(message);
}

void leaf_hashes(const std::byte* records, const uint32_t* statuses, size_t count, Hash* leaves) {
  Stage<kLeafBytes> stage(kLeafPrefix, count);
  for (size_t begin = 0; begin < count; begin += kStageMessages) {
    const size_t staged = std::min(kStageMessages, count - begin);
    for (size_t i = 0; i < staged; ++i) {
      std::memcpy(stage.content(i), records + (begin + i) * kRecordBytes, kRecordBytes);
      base::store_little(stage.content(i) + kRecordBytes, statuses[begin + i]);
    }
    stage.hash(staged, leaves + begin);
  }
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
