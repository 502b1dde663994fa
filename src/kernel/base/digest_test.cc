#include "kernel/base/digest.h"

#include <gtest/gtest.h>

#include "kernel/base/hash.h"
#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"

namespace polis::base {
namespace {

TEST(Digest, the_vectors_of_rfc_1321_and_fips_180_hold) {
  EXPECT_EQ(hex_encode(md5("")), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(hex_encode(md5("message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(hex_encode(sha1("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(hex_encode(sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(hex_encode(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex_encode(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, the_vectors_of_rfc_2202_and_rfc_4231_hold) {
  Bytes key(20, std::byte{0x0b});
  EXPECT_EQ(hex_encode(hmac_sha1(key, as_bytes("Hi There"))), "b617318655057264e28bc0b6fb378c8ef146be00");
  EXPECT_EQ(hex_encode(hmac_sha256(key, "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex_encode(hmac_sha256(as_bytes("Jefe"), "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  Bytes long_key(131, std::byte{0xaa});
  EXPECT_EQ(hex_encode(hmac_sha256(long_key, "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(hex_encode(hmac_sha256({}, "")), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Digest, pieces_give_the_digest_of_the_whole_and_a_peek_changes_nothing) {
  SeededRandom random(4);
  Bytes bytes(10'000);
  random.fill(bytes);
  Sha256 hasher;
  Md5 other;
  BytesView left = bytes;
  while (!left.empty()) {
    size_t size_bytes = std::min<size_t>(left.size(), random.below(300));
    hasher.update(left.first(size_bytes));
    other.update(left.first(size_bytes));
    left = left.subspan(size_bytes);
    (void)hasher.peek();
  }
  EXPECT_EQ(hasher.peek(), sha256(bytes));
  EXPECT_EQ(hasher.finish(), sha256(bytes));
  EXPECT_EQ(other.finish(), md5(bytes));
}

TEST(Digest, a_finished_hasher_starts_over_and_a_moved_one_goes_on) {
  Sha1 hasher;
  hasher.update("anything");
  (void)hasher.finish();
  hasher.update("a");
  Sha1 moved = std::move(hasher);
  moved.update("bc");
  EXPECT_EQ(hex_encode(moved.finish()), "a9993e364706816aba3e25717850c26c9cd0d89d");
  hasher = Sha1();
  hasher.update("abc");
  EXPECT_EQ(hasher.finish(), sha1("abc"));
}

TEST(Digest, constant_time_equal_compares_lengths_and_bytes) {
  EXPECT_TRUE(constant_time_equal({}, {}));
  EXPECT_TRUE(constant_time_equal(as_bytes("secret"), as_bytes("secret")));
  EXPECT_FALSE(constant_time_equal(as_bytes("secret"), as_bytes("secreT")));
  EXPECT_FALSE(constant_time_equal(as_bytes("secret"), as_bytes("secre")));
}

TEST(Hash, xxh3_gives_its_published_values) {
  EXPECT_EQ(xxh3_64(""), 0x2d06800538d394c2u);
  Hash128 empty = xxh3_128({});
  EXPECT_EQ(empty.low, 0x6001c324468d497fu);
  EXPECT_EQ(empty.high, 0x99aa06d3014798d8u);
  EXPECT_NE(xxh3_64("a", 1), xxh3_64("a", 2));
}

}  // namespace
}  // namespace polis::base
