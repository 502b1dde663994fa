// A chain of random commands with a signed head, and the proof of one record in it; for tests.
#pragma once

#include "kernel/base/random.h"
#include "systems/ledger/formats/proof_bundle.h"
#include "systems/ledger/head_key.h"

namespace polis::ledger::formats {

// The record lies in the first of `links` commands and has `count` neighbours, itself included.
inline SignedProof random_signed_proof(base::SeededRandom& random, uint32_t count, size_t links) {
  SignedProof proof;
  std::vector<Hash> leaves(count);
  for (Hash& leaf : leaves) random.fill(leaf);
  InclusionProof& inclusion = proof.inclusion;
  inclusion.index = static_cast<uint32_t>(random.below(count));
  random.fill(inclusion.record);
  inclusion.status = 0xffff'ffff;
  leaves[inclusion.index] = leaf_hash(inclusion.record.data(), inclusion.status);
  inclusion.path = merkle_path(leaves, inclusion.index);
  const uint64_t first_op = 2 + random.below(1000);
  Hash previous;
  random.fill(previous);
  for (size_t i = 0; i < links; ++i) {
    BatchLink link{.op = first_op + i,
                   .timestamp = 1'795'348'800'000'000'000 + 1000 * i,
                   .operation = 147,
                   .count = i == 0 ? count : 5,
                   .head = {.previous = previous, .root = {}}};
    random.fill(link.head.root);
    if (i == 0) link.head.root = merkle_root(leaves);
    previous = link.head_after();
    proof.links.push_back(link);
  }
  inclusion.link = proof.links.front();
  std::array<std::byte, 32> seed;
  random.fill(seed);
  const HeadKey key = HeadKey::from_seed(seed);
  const BatchLink& last = proof.links.back();
  proof.head = key.sign(last.op, last.timestamp, last.head_after(), last.timestamp + 5);
  proof.public_key_pem = key.public_key_pem();
  return proof;
}

}  // namespace polis::ledger::formats
