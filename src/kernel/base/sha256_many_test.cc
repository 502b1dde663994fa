#include "kernel/base/sha256_many.h"

#include <gtest/gtest.h>

#include "kernel/base/endian.h"
#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"

namespace polis::base {
namespace {

constexpr Sha256Form kForms[] = {Sha256Form::kOneByOne, Sha256Form::kShaInstructions, Sha256Form::kAvx512};

std::vector<Sha256Form> available_forms() {
  std::vector<Sha256Form> forms;
  for (Sha256Form form : kForms)
    if (sha256_form_available(form)) forms.push_back(form);
  return forms;
}

// `offset` bytes, then the messages in their padded form.
Bytes padded(std::span<const Bytes> messages, size_t size_bytes, size_t offset = 0) {
  const size_t stride_bytes = sha256_padded_bytes(size_bytes);
  Bytes all(offset + messages.size() * stride_bytes, std::byte{0xee});
  for (size_t i = 0; i < messages.size(); ++i) {
    std::byte* at = all.data() + offset + i * stride_bytes;
    std::copy(messages[i].begin(), messages[i].end(), at);
    sha256_pad(at, size_bytes);
  }
  return all;
}

TEST(Sha256Many, padding_ends_on_a_block_and_leaves_room_for_the_length) {
  EXPECT_EQ(sha256_padded_bytes(0), 64u);
  EXPECT_EQ(sha256_padded_bytes(55), 64u);
  EXPECT_EQ(sha256_padded_bytes(56), 128u);
  EXPECT_EQ(sha256_padded_bytes(119), 128u);
  EXPECT_EQ(sha256_padded_bytes(120), 192u);
  Bytes block(64, std::byte{0xff});
  sha256_pad(block.data(), 3);
  EXPECT_EQ(hex_encode(block), "ffffff80" + std::string(104, '0') + "0000000000000018");
}

TEST(Sha256Many, the_vectors_of_fips_180_hold_in_every_lane_of_every_form) {
  struct Vector {
    std::string text;
    std::string_view digest;
  };
  const Vector vectors[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrst"
       "u",
       "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
      {std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const Vector& vector : vectors) {
    const BytesView text = as_bytes(vector.text);
    const std::vector<Bytes> messages(text.size() > 1000 ? 17 : 35, Bytes(text.begin(), text.end()));
    const Bytes all = padded(messages, text.size());
    for (Sha256Form form : available_forms()) {
      std::vector<Sha256Digest> digests(messages.size());
      sha256_many_by(form, all.data(), text.size(), messages.size(), digests.data());
      for (const Sha256Digest& digest : digests) ASSERT_EQ(hex_encode(digest), vector.digest) << static_cast<int>(form);
    }
  }
}

TEST(Sha256Many, random_messages_of_every_length_and_count_hash_as_openssl_hashes_them) {
  SeededRandom random(7);
  for (size_t round = 0; round < 400; ++round) {
    const size_t size_bytes = round < 200 ? round : random.below(1000);
    const size_t count = random.below(70);
    const size_t offset = random.below(64);
    std::vector<Bytes> messages(count, Bytes(size_bytes));
    for (Bytes& message : messages) random.fill(message);
    const Bytes all = padded(messages, size_bytes, offset);
    for (Sha256Form form : available_forms()) {
      std::vector<Sha256Digest> digests(count + 1);
      sha256_many_by(form, all.data() + offset, size_bytes, count, digests.data());
      for (size_t i = 0; i < count; ++i)
        ASSERT_EQ(digests[i], sha256(messages[i])) << static_cast<int>(form) << " " << size_bytes << " " << i;
      ASSERT_EQ(digests[count], Sha256Digest{}) << "written past the last";
    }
    std::vector<Sha256Digest> digests(count);
    sha256_many(all.data() + offset, size_bytes, count, digests.data());
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(digests[i], sha256(messages[i]));
  }
}

TEST(Sha256Many, a_framed_message_is_its_prefix_body_and_suffix_in_one) {
  SeededRandom random(9);
  for (size_t body_bytes : {0, 64, 128, 192, 256}) {
    for (size_t count : {0, 1, 2, 3, 15, 16, 17, 33, 50}) {
      for (bool suffixed : {false, true}) {
        Bytes bodies(count * body_bytes + 1);  // at an odd address
        random.fill(bodies);
        std::vector<uint32_t> suffixes(count);
        for (uint32_t& suffix : suffixes)
          suffix = random.chance(1, 2) ? 0xffff'ffff : static_cast<uint32_t>(random.next());
        const auto prefix = static_cast<std::byte>(random.below(256));
        std::vector<Sha256Digest> expected;
        for (size_t i = 0; i < count; ++i) {
          Sha256 hasher;
          hasher.update(BytesView(&prefix, 1));
          hasher.update(BytesView(bodies).subspan(1 + i * body_bytes, body_bytes));
          std::byte suffix[4];
          store_little(suffix, suffixes[i]);
          if (suffixed) hasher.update(BytesView(suffix));
          expected.push_back(hasher.finish());
        }
        for (Sha256Form form : available_forms()) {
          std::vector<Sha256Digest> digests(count);
          sha256_framed_by(form, prefix, bodies.data() + 1, body_bytes, suffixed ? suffixes.data() : nullptr, count,
                           digests.data());
          ASSERT_EQ(digests, expected) << static_cast<int>(form) << " " << body_bytes << " " << count << suffixed;
        }
        std::vector<Sha256Digest> digests(count);
        sha256_framed(prefix, bodies.data() + 1, body_bytes, suffixed ? suffixes.data() : nullptr, count,
                      digests.data());
        ASSERT_EQ(digests, expected);
      }
    }
  }
}

TEST(Sha256Many, nodes_may_take_the_place_of_their_children) {
  SeededRandom random(10);
  for (Sha256Form form : available_forms()) {
    for (size_t pairs : {1, 2, 15, 16, 17, 40, 100}) {
      std::vector<Sha256Digest> level(2 * pairs);
      for (Sha256Digest& child : level) random.fill(child);
      std::vector<Sha256Digest> parents(pairs);
      sha256_framed_by(form, std::byte{1}, level[0].data(), 64, nullptr, pairs, parents.data());
      sha256_framed_by(form, std::byte{1}, level[0].data(), 64, nullptr, pairs, level.data());
      level.resize(pairs);
      ASSERT_EQ(level, parents) << static_cast<int>(form) << " " << pairs;
    }
  }
}

TEST(Sha256Many, a_bit_changed_in_one_lane_changes_that_digest_only) {
  SeededRandom random(8);
  std::vector<Bytes> messages(32, Bytes(133));
  for (Bytes& message : messages) random.fill(message);
  for (Sha256Form form : available_forms()) {
    Bytes all = padded(messages, 133);
    std::vector<Sha256Digest> before(32), after(32);
    sha256_many_by(form, all.data(), 133, 32, before.data());
    for (size_t lane = 0; lane < 32; ++lane) {
      std::byte& changed = all[lane * sha256_padded_bytes(133) + random.below(133)];
      changed ^= std::byte{1};
      sha256_many_by(form, all.data(), 133, 32, after.data());
      for (size_t i = 0; i < 32; ++i) ASSERT_EQ(before[i] == after[i], i != lane);
      changed ^= std::byte{1};
    }
  }
}

}  // namespace
}  // namespace polis::base
