#include "kernel/base/encoding.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

#include "kernel/base/random.h"

namespace polis::base {
namespace {

Bytes bytes_of(std::initializer_list<unsigned> values) {
  Bytes bytes;
  for (unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Bytes bytes_up_to(SeededRandom& random, size_t size_bytes_max) {
  Bytes bytes(random.below(size_bytes_max + 1));
  random.fill(bytes);
  return bytes;
}

TEST(Endian, bytes_lie_in_the_named_order) {
  std::byte memory[9];
  store_little<uint32_t>(memory + 1, 0x01020304);
  EXPECT_EQ(memory[1], std::byte{4});
  EXPECT_EQ(load_big<uint32_t>(memory + 1), 0x04030201u);
  store_big<uint64_t>(memory + 1, 0x0102030405060708);
  EXPECT_EQ(memory[1], std::byte{1});
  EXPECT_EQ(load_little<uint64_t>(memory + 1), 0x0807060504030201u);
}

TEST(Varint, numbers_of_every_length_come_back_and_their_size_is_foretold) {
  for (int bits = 0; bits <= 64; ++bits) {
    for (uint64_t near : {-1, 0, 1}) {
      uint64_t value = (bits == 64 ? 0 : uint64_t{1} << bits) + near;
      std::byte out[kVarintBytesMax];
      size_t size_bytes = varint_encode(value, out);
      EXPECT_EQ(size_bytes, varint_size_bytes(value));
      uint64_t back = 0;
      EXPECT_EQ(varint_decode({out, size_bytes}, back), size_bytes);
      EXPECT_EQ(back, value);
      EXPECT_EQ(varint_decode({out, size_bytes - 1}, back), 0u);
    }
  }
}

TEST(Varint, long_forms_and_numbers_beyond_64_bits_are_refused) {
  uint64_t value = 0;
  EXPECT_EQ(varint_decode(bytes_of({0x80, 0x00}), value), 0u);
  EXPECT_EQ(varint_decode(bytes_of({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}), value), 0u);
  EXPECT_EQ(varint_decode(bytes_of({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}), value), 0u);
  EXPECT_EQ(varint_decode({}, value), 0u);
}

TEST(Varint, zigzag_keeps_small_magnitudes_small) {
  EXPECT_EQ(zigzag_encode(0), 0u);
  EXPECT_EQ(zigzag_encode(-1), 1u);
  EXPECT_EQ(zigzag_encode(1), 2u);
  for (int64_t value : {std::numeric_limits<int64_t>::min(), int64_t{-77}, std::numeric_limits<int64_t>::max()})
    EXPECT_EQ(zigzag_decode(zigzag_encode(value)), value);
}

TEST(Binary, a_record_comes_back_field_by_field) {
  Bytes record;
  Writer writer(record);
  writer.u8(1);
  writer.u16(0x0203);
  writer.u32(4);
  writer.u64(5);
  writer.u16_big(6);
  writer.u32_big(7);
  writer.u64_big(8);
  writer.boolean(true);
  writer.varint(300);
  writer.zigzag(-300);
  writer.sized("name");
  writer.bytes(as_bytes("tail"));
  ASSERT_TRUE(writer.finish());
  EXPECT_EQ(writer.size_bytes(), record.size());

  Reader reader(record);
  EXPECT_EQ(reader.u8(), 1);
  EXPECT_EQ(reader.u16(), 0x0203);
  EXPECT_EQ(reader.u32(), 4u);
  EXPECT_EQ(reader.u64(), 5u);
  EXPECT_EQ(reader.u16_big(), 6);
  EXPECT_EQ(reader.u32_big(), 7u);
  EXPECT_EQ(reader.u64_big(), 8u);
  EXPECT_TRUE(reader.boolean());
  EXPECT_EQ(reader.varint(), 300u);
  EXPECT_EQ(reader.zigzag(), -300);
  EXPECT_EQ(reader.sized_text(10), "name");
  EXPECT_EQ(as_text(reader.rest()), "tail");
  EXPECT_TRUE(reader.finish());
}

TEST(Binary, every_cut_of_a_record_is_corrupt_and_later_reads_stay_empty) {
  Bytes record;
  Writer writer(record);
  writer.u32(1);
  writer.sized("some text");
  writer.u64_big(2);
  for (size_t cut = 0; cut < record.size(); ++cut) {
    Reader reader(BytesView(record).first(cut));
    reader.u32();
    reader.sized();
    reader.u64_big();
    EXPECT_EQ(reader.finish().error().code(), Code::kCorrupt) << cut;
    EXPECT_EQ(reader.u8(), 0);
    EXPECT_EQ(reader.remaining_bytes(), 0u);
  }
}

TEST(Binary, bytes_after_the_record_are_corrupt) {
  Reader reader(as_bytes("xy"));
  reader.u8();
  EXPECT_TRUE(reader.status());
  EXPECT_EQ(reader.finish().error().code(), Code::kCorrupt);
}

TEST(Binary, hostile_lengths_and_counts_are_refused_before_anything_is_allocated) {
  Bytes record;
  Writer writer(record);
  writer.varint(std::numeric_limits<uint64_t>::max());
  writer.u32(0);
  EXPECT_TRUE(Reader(record).sized().empty());
  EXPECT_EQ(Reader(record).count(1), 0u);
  Reader counted(record);
  counted.count(4);
  EXPECT_FALSE(counted.ok());

  Bytes four;
  Writer(four).varint(2);
  Writer(four).u32(0);
  EXPECT_EQ(Reader(four).count(2), 2u);
  Reader three(four);
  EXPECT_EQ(three.count(3), 0u);
  EXPECT_FALSE(three.ok());
  Reader limited(four);
  EXPECT_EQ(limited.varint_up_to(1), 0u);
  EXPECT_FALSE(limited.ok());
}

TEST(Binary, a_boolean_is_0_or_1) {
  Reader reader(as_bytes("\x02"));
  reader.boolean();
  EXPECT_FALSE(reader.ok());
}

TEST(Binary, a_record_does_not_grow_past_its_limit) {
  Bytes record = bytes_of({9, 9});
  Writer writer(record, 5);
  writer.u32(1);
  writer.u16(2);
  writer.u8(3);
  EXPECT_EQ(writer.finish().error().code(), Code::kTooLarge);
  EXPECT_EQ(record.size(), 6u);
}

TEST(Hex, known_text_and_random_bytes_come_back) {
  EXPECT_EQ(hex_encode(bytes_of({0x00, 0xfe, 0x10})), "00fe10");
  EXPECT_EQ(hex_decode("00Fe10").value(), bytes_of({0x00, 0xfe, 0x10}));
  EXPECT_FALSE(hex_decode("0"));
  EXPECT_FALSE(hex_decode("0g"));
  EXPECT_FALSE(hex_decode("0x10"));
}

TEST(Base64Text, the_vectors_of_rfc_4648_hold) {
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (auto [plain, encoded] : cases) {
    EXPECT_EQ(base64_encode(as_bytes(plain)), encoded);
    EXPECT_EQ(as_text(base64_decode(encoded).value()), plain);
    std::string unpadded = encoded;
    while (unpadded.ends_with('=')) unpadded.pop_back();
    EXPECT_EQ(base64_encode(as_bytes(plain), Base64::kUrl), unpadded);
    EXPECT_EQ(as_text(base64_decode(unpadded, Base64::kUrl).value()), plain);
  }
  EXPECT_EQ(base64_encode(bytes_of({0xfb, 0xff})), "+/8=");
  EXPECT_EQ(base64_encode(bytes_of({0xfb, 0xff}), Base64::kUrl), "-_8");
}

TEST(Base64Text, anything_but_the_one_right_text_is_refused) {
  for (const char* text :
       {"Zg", "Zg=", "Zg===", "Zg== ", "Z===", "====", "=", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "-_8=", "Zg==Zg=="})
    EXPECT_FALSE(base64_decode(text)) << text;
  for (const char* text : {"Z", "Zg==", "Zh", "+/8", "Zm9vY"}) EXPECT_FALSE(base64_decode(text, Base64::kUrl)) << text;
}

TEST(Base64Text, random_bytes_come_back) {
  SeededRandom random(6);
  for (int round = 0; round < 500; ++round) {
    Bytes bytes = bytes_up_to(random, 100);
    EXPECT_EQ(base64_decode(base64_encode(bytes)).value(), bytes);
    EXPECT_EQ(base64_decode(base64_encode(bytes, Base64::kUrl), Base64::kUrl).value(), bytes);
    EXPECT_EQ(hex_decode(hex_encode(bytes)).value(), bytes);
  }
}

TEST(Url, the_unreserved_stay_and_all_else_is_escaped_in_upper_case) {
  EXPECT_EQ(url_encode("AZaz09-._~"), "AZaz09-._~");
  EXPECT_EQ(url_encode("a/b c+d\xc3\xa9"), "a%2Fb%20c%2Bd%C3%A9");
  EXPECT_EQ(url_encode("a/b", Slash::kKeep), "a/b");
}

TEST(Url, decoding_inverts_encoding_and_reads_forms) {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  EXPECT_EQ(url_decode(url_encode(all)).value(), all);
  EXPECT_EQ(url_decode("a+b%2b").value(), "a+b+");
  EXPECT_EQ(url_decode("a+b%2b", Plus::kSpace).value(), "a b+");
  for (const char* text : {"%", "%4", "a%", "%g0", "%0g", "%%41"}) EXPECT_FALSE(url_decode(text)) << text;
}

TEST(Utf8, well_formed_text_passes) {
  EXPECT_TRUE(utf8_valid(""));
  EXPECT_TRUE(utf8_valid("plain ascii, longer than eight bytes"));
  EXPECT_TRUE(utf8_valid("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"));
  EXPECT_TRUE(utf8_valid("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"));
}

TEST(Utf8, overlong_forms_surrogates_and_cut_sequences_do_not) {
  for (std::string_view text :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xe2\x28\xa1", "12345678\xc3"})
    EXPECT_FALSE(utf8_valid(text));
}

TEST(OrderedKey, keys_sort_as_their_parts) {
  SeededRandom random(7);
  auto part = [&] {
    Bytes bytes(random.below(4));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(3) == 0 ? 0xff : random.below(3));
    return bytes;
  };
  auto before = [](const Bytes& a, const Bytes& b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  };
  for (int round = 0; round < 5000; ++round) {
    std::pair<Bytes, Bytes> left{part(), part()}, right{part(), part()};
    Bytes left_key, right_key;
    append_key_bytes(left_key, left.first);
    append_key_bytes(left_key, left.second);
    append_key_bytes(right_key, right.first);
    append_key_bytes(right_key, right.second);
    bool parts_before =
        before(left.first, right.first) || (left.first == right.first && before(left.second, right.second));
    ASSERT_EQ(before(left_key, right_key), parts_before);
    BytesView view = left_key;
    ASSERT_EQ(take_key_bytes(view).value(), left.first);
    ASSERT_EQ(take_key_bytes(view).value(), left.second);
    ASSERT_TRUE(view.empty());
  }
}

TEST(OrderedKey, numbers_sort_by_value_across_the_sign) {
  const int64_t numbers[] = {std::numeric_limits<int64_t>::min(), -2, -1, 0, 1, std::numeric_limits<int64_t>::max()};
  Bytes last;
  for (int64_t number : numbers) {
    Bytes key;
    append_key_i64(key, number);
    EXPECT_TRUE(std::lexicographical_compare(last.begin(), last.end(), key.begin(), key.end()));
    BytesView view = key;
    EXPECT_EQ(take_key_i64(view).value(), number);
    last = key;
  }
}

TEST(OrderedKey, broken_keys_are_corrupt_and_stay_where_they_are) {
  for (const Bytes& key : {bytes_of({}), bytes_of({1, 2}), bytes_of({1, 0}), bytes_of({0, 2}), bytes_of({0, 0xff})}) {
    BytesView view = key;
    EXPECT_EQ(take_key_bytes(view).error().code(), Code::kCorrupt);
    EXPECT_EQ(view.size(), key.size());
    EXPECT_EQ(take_key_u64(view).error().code(), Code::kCorrupt);
  }
}

TEST(OrderedKey, the_end_of_a_prefix_skips_trailing_ff) {
  EXPECT_EQ(key_after_prefix(bytes_of({1, 2})), bytes_of({1, 3}));
  EXPECT_EQ(key_after_prefix(bytes_of({1, 0xff, 0xff})), bytes_of({2}));
  EXPECT_TRUE(key_after_prefix(bytes_of({0xff})).empty());
  EXPECT_TRUE(key_after_prefix({}).empty());
}

}  // namespace
}  // namespace polis::base
