#include "systems/ledger/chain.h"

#include <gtest/gtest.h>

#include "kernel/base/digest.h"
#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"

namespace polis::ledger {
namespace {

std::string concat(std::initializer_list<std::string_view> parts) {
  std::string all;
  for (std::string_view part : parts) all += part;
  return all;
}

std::string_view text_of(const Hash& hash) {
  return as_text(hash);
}

// RFC 6962 §2.1, word by word.
Hash root_by_definition(std::span<const Hash> leaves) {
  if (leaves.empty()) return base::sha256("");
  if (leaves.size() == 1) return leaves[0];
  const size_t k = std::bit_floor(leaves.size() - 1);
  const Hash left = root_by_definition(leaves.first(k)), right = root_by_definition(leaves.subspan(k));
  return base::sha256(concat({"\x01", text_of(left), text_of(right)}));
}

// RFC 6962 §2.1.1.
std::vector<Hash> path_by_definition(std::span<const Hash> leaves, size_t index) {
  if (leaves.size() <= 1) return {};
  const size_t k = std::bit_floor(leaves.size() - 1);
  const bool left = index < k;
  std::vector<Hash> path =
      left ? path_by_definition(leaves.first(k), index) : path_by_definition(leaves.subspan(k), index - k);
  path.push_back(root_by_definition(left ? leaves.subspan(k) : leaves.first(k)));
  return path;
}

std::vector<Hash> random_hashes(base::SeededRandom& random, size_t count) {
  std::vector<Hash> hashes(count);
  for (Hash& hash : hashes) random.fill(hash);
  return hashes;
}

TEST(Chain, a_leaf_and_a_node_and_a_link_are_the_bytes_that_the_header_names) {
  base::SeededRandom random(1);
  Bytes record(128);
  random.fill(record);
  EXPECT_EQ(leaf_hash(record.data(), 0xdeadbeef),
            base::sha256(concat({std::string_view("\0", 1), as_text(record), "\xef\xbe\xad\xde"})));
  const auto hashes = random_hashes(random, 3);
  EXPECT_EQ(node_hash(hashes[0], hashes[1]), base::sha256(concat({"\x01", text_of(hashes[0]), text_of(hashes[1])})));
  const BatchLink link{.op = 0x0102030405060708,
                       .timestamp = 0x1112131415161718,
                       .operation = 147,
                       .count = 0x21222324,
                       .head = {.previous = hashes[0], .root = hashes[2]}};
  EXPECT_EQ(link.head_after(),
            base::sha256(concat({"\x02", text_of(hashes[0]), "\x08\x07\x06\x05\x04\x03\x02\x01",
                                 "\x18\x17\x16\x15\x14\x13\x12\x11", "\x93", "\x24\x23\x22\x21", text_of(hashes[2])})));
}

// What the logs of certificate transparency test themselves with: eight entries, and the root over the first n of them.
TEST(Chain, the_trees_of_certificate_transparency_hold) {
  constexpr std::string_view kEntries[] = {
      "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
  constexpr std::string_view kRoots[] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                                         "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                                         "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                                         "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                                         "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                                         "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                                         "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                                         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  EXPECT_EQ(base::hex_encode(merkle_root({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  std::vector<Hash> leaves;
  for (size_t n = 0; n < std::size(kEntries); ++n) {
    auto entry = base::hex_decode(kEntries[n]);
    ASSERT_TRUE(entry);
    leaves.push_back(base::sha256(concat({std::string_view("\0", 1), as_text(*entry)})));
    auto work = leaves;
    EXPECT_EQ(base::hex_encode(merkle_root(work)), kRoots[n]) << n;
  }
}

TEST(Chain, many_leaves_are_the_leaves_one_by_one) {
  base::SeededRandom random(2);
  for (size_t count : {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 200}) {
    Bytes records(count * 128 + 1);  // read at an odd address, too
    random.fill(records);
    std::vector<uint32_t> statuses(count);
    for (uint32_t& status : statuses) status = random.chance(1, 2) ? 0xffff'ffff : static_cast<uint32_t>(random.next());
    for (size_t offset : {size_t{0}, size_t{1}}) {
      std::vector<Hash> leaves(count);
      leaf_hashes(records.data() + offset, statuses.data(), count, leaves.data());
      for (size_t i = 0; i < count; ++i)
        ASSERT_EQ(leaves[i], leaf_hash(records.data() + offset + i * 128, statuses[i])) << count << " " << i;
    }
  }
}

TEST(Chain, roots_and_paths_of_every_small_and_some_large_trees_are_those_of_the_definition) {
  base::SeededRandom random(3);
  for (size_t count = 0; count <= 300; count += count < 70 ? 1 : 23) {
    const auto leaves = random_hashes(random, count);
    auto work = leaves;
    ASSERT_EQ(merkle_root(work), root_by_definition(leaves)) << count;
    for (size_t index = 0; index < count; index += count < 70 ? 1 : 17)
      ASSERT_EQ(merkle_path(leaves, index), path_by_definition(leaves, index)) << count << " " << index;
  }
  for (size_t count : {4096, 8189, 8190}) {
    const auto leaves = random_hashes(random, count);
    auto work = leaves;
    ASSERT_EQ(merkle_root(work), root_by_definition(leaves)) << count;
    for (size_t index : {size_t{0}, count / 2, count - 1})
      ASSERT_EQ(merkle_path(leaves, index), path_by_definition(leaves, index)) << count << " " << index;
  }
}

// A command of `count` random events, and the proof of one.
InclusionProof random_proof(base::SeededRandom& random, uint32_t count) {
  InclusionProof proof;
  proof.index = static_cast<uint32_t>(random.below(count));
  Bytes records(count * 128);
  random.fill(records);
  std::vector<uint32_t> statuses(count, 0xffff'ffff);
  std::vector<Hash> leaves(count);
  leaf_hashes(records.data(), statuses.data(), count, leaves.data());
  std::copy_n(records.data() + proof.index * 128, 128, proof.record.begin());
  proof.status = statuses[proof.index];
  proof.path = merkle_path(leaves, proof.index);
  proof.link = {
      .op = 2 + random.below(1000), .timestamp = random.next() >> 1, .operation = 147, .count = count, .head = {}};
  random.fill(proof.link.head.previous);
  proof.link.head.root = merkle_root(leaves);
  return proof;
}

TEST(Chain, a_true_proof_holds_and_any_changed_bit_of_it_does_not) {
  base::SeededRandom random(4);
  for (uint32_t count : {1u, 2u, 3u, 5u, 8u, 13u, 100u, 8189u}) {
    const InclusionProof proof = random_proof(random, count);
    ASSERT_TRUE(check(proof)) << check(proof).error().text();
    auto fails = [&](auto change) {
      InclusionProof changed = proof;
      change(changed);
      auto checked = check(changed);
      return !checked && checked.error().code() == Code::kCorrupt;
    };
    const size_t at = random.below(128);
    const auto bit = static_cast<std::byte>(1u << random.below(8));
    EXPECT_TRUE(fails([&](InclusionProof& p) { p.record[at] ^= bit; }));
    EXPECT_TRUE(fails([&](InclusionProof& p) { p.status ^= 1; }));
    EXPECT_TRUE(fails([&](InclusionProof& p) { p.link.head.root[at / 4] ^= bit; }));
    EXPECT_TRUE(fails([&](InclusionProof& p) { p.index = count; }));
    EXPECT_TRUE(fails([&](InclusionProof& p) { p.index = 0xffff'ffff; }));
    EXPECT_TRUE(fails([&](InclusionProof& p) { p.link.count = 0; }));
    EXPECT_TRUE(fails([&](InclusionProof& p) { p.link.op = 0; }));
    EXPECT_TRUE(fails([&](InclusionProof& p) { p.path.emplace_back(); }));
    if (count > 1) {
      EXPECT_TRUE(fails([&](InclusionProof& p) { p.index = p.index == 0 ? 1 : p.index - 1; }));
      EXPECT_TRUE(fails([&](InclusionProof& p) { p.path.pop_back(); }));
      EXPECT_TRUE(fails([&](InclusionProof& p) { p.path[random.below(p.path.size())][at / 4] ^= bit; }));
      EXPECT_TRUE(fails([&](InclusionProof& p) { p.path.assign(1000, Hash{}); }));
    }
  }
}

TEST(Chain, the_first_command_follows_the_head_of_zeros) {
  base::SeededRandom random(5);
  InclusionProof proof = random_proof(random, 4);
  proof.link.op = 1;
  EXPECT_FALSE(check(proof));
  proof.link.head.previous = {};
  EXPECT_TRUE(check(proof));
}

TEST(Chain, every_field_of_a_link_changes_the_head_after_it) {
  base::SeededRandom random(6);
  const BatchLink link = random_proof(random, 4).link;
  auto differs = [&](auto change) {
    BatchLink changed = link;
    change(changed);
    return changed.head_after() != link.head_after();
  };
  EXPECT_TRUE(differs([](BatchLink& l) { ++l.op; }));
  EXPECT_TRUE(differs([](BatchLink& l) { ++l.timestamp; }));
  EXPECT_TRUE(differs([](BatchLink& l) { ++l.operation; }));
  EXPECT_TRUE(differs([](BatchLink& l) { ++l.count; }));
  EXPECT_TRUE(differs([](BatchLink& l) { l.head.previous[0] ^= std::byte{1}; }));
  EXPECT_TRUE(differs([](BatchLink& l) { l.head.root[31] ^= std::byte{128}; }));
}

}  // namespace
}  // namespace polis::ledger
