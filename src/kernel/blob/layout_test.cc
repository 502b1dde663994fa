#include "kernel/blob/layout.h"

#include <gtest/gtest.h>
#include <numeric>

#include "kernel/base/random.h"
#include "kernel/blob/packing.h"

namespace polis::blob {
namespace {

RowHeader some_header(Random& random) {
  RowHeader header;
  header.kind = RowKind::kPacked;
  header.unit = 2;
  header.data_units = 4;
  header.parity_units = 2;
  header.written = 0b110111;
  header.written_ms = 1'700'000'000'000;
  header.nonce = random.next();
  header.shape.offset = 64 * random.below(1 << 20) + 64;
  header.shape.unit_bytes = static_cast<uint32_t>(64 * (1 + random.below(1024)));
  uint32_t at = 0;
  while (at + 100 < header.shape.unit_bytes && header.entries.size() < 100) {
    header.entries.push_back({static_cast<uint8_t>(random.below(4)), at, static_cast<uint32_t>(1 + random.below(99))});
    at += 100;
  }
  header.shape.header_bytes = packed_header_bytes(header.shape.unit_bytes, header.entries);
  header.block_crcs.resize(header.shape.blocks());
  for (uint32_t& crc : header.block_crcs) crc = static_cast<uint32_t>(random.next());
  header.payload_bytes = 1234;
  return header;
}

TEST(Layout, a_row_header_comes_back) {
  base::SeededRandom random(1);
  for (int i = 0; i < 200; ++i) {
    const RowHeader header = some_header(random);
    Bytes bytes(header.shape.header_bytes);
    encode_row_header(header, bytes);
    auto back = decode_row_header(bytes, header.nonce, header.shape.offset);
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(back->entries, header.entries);
    EXPECT_EQ(back->block_crcs, header.block_crcs);
    EXPECT_EQ(back->written, header.written);
    EXPECT_EQ(back->shape.unit_bytes, header.shape.unit_bytes);
  }
}

TEST(Layout, a_row_header_with_any_flipped_bit_or_in_another_place_is_refused) {
  base::SeededRandom random(2);
  const RowHeader header = some_header(random);
  Bytes bytes(header.shape.header_bytes);
  encode_row_header(header, bytes);
  EXPECT_FALSE(decode_row_header(bytes, header.nonce + 1, header.shape.offset));
  EXPECT_FALSE(decode_row_header(bytes, header.nonce, header.shape.offset + 64));
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(decode_row_header(BytesView(bytes).first(cut), header.nonce, header.shape.offset)) << cut;
  }
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes flipped = bytes;
    flipped[bit / 8] ^= std::byte{1} << bit % 8;
    EXPECT_FALSE(decode_row_header(flipped, header.nonce, header.shape.offset)) << bit;
  }
}

TEST(Layout, one_location_has_one_encoding) {
  base::SeededRandom random(3);
  for (int i = 0; i < 1000; ++i) {
    Location location;
    location.kind = random.chance(1, 2) ? RowKind::kPacked : RowKind::kSpread;
    location.extent = random.next() >> random.below(64);
    location.offset = 64 * (1 + random.below(uint64_t{1} << 35));
    location.length = 1 + random.below(kSegmentBytesMax);
    if (location.kind == RowKind::kPacked) {
      location.unit = static_cast<uint8_t>(random.below(4));
      location.header_bytes = static_cast<uint32_t>(64 * (1 + random.below(64)));
      location.unit_bytes = static_cast<uint32_t>(64 * (1 + random.below(1024)));
      location.length = 1 + random.below(location.unit_bytes);
      location.inner = static_cast<uint32_t>(random.below(location.unit_bytes - location.length + 1));
    }
    const std::string id = encode_location(location);
    EXPECT_LE(id.size(), kLocationBytesMax);
    auto back = decode_location(as_bytes(id), 4);
    ASSERT_TRUE(back) << back.error().text();
    EXPECT_EQ(*back, location);
    for (size_t cut = 0; cut < id.size(); ++cut) EXPECT_FALSE(decode_location(as_bytes(id.substr(0, cut)), 4));
    EXPECT_FALSE(decode_location(as_bytes(id + '\0'), 4));
    for (size_t bit = 0; bit < id.size() * 8; ++bit) {
      std::string other = id;
      other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
      if (auto changed = decode_location(as_bytes(other), 4)) {
        EXPECT_EQ(encode_location(*changed), other);
      }
    }
  }
}

TEST(Layout, random_bytes_are_no_receipt) {
  base::SeededRandom random(4);
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes(random.below(60));
    random.fill(bytes);
    if (auto parts = split_segments(as_text(bytes), 100, 4)) EXPECT_EQ(join_segments(*parts), as_text(bytes));
  }
}

TEST(Layout, drive_file_and_superblock_find_every_flipped_bit) {
  const DriveFile drive{
      .pool = {1, 2}, .index = 3, .data_units = 4, .parity_units = 2, .epoch = 9, .extent_floor = 17, .stale = 8};
  const Superblock superblock{.pool = {1, 2}, .extent = 7, .unit = 5, .data_units = 4, .parity_units = 2};
  const Bytes a = encode_drive_file(drive), b = encode_superblock(superblock);
  EXPECT_EQ(decode_drive_file(a).value(), drive);
  EXPECT_EQ(decode_superblock(b).value(), superblock);
  EXPECT_FALSE(decode_drive_file(b));
  EXPECT_FALSE(decode_superblock(a));
  EXPECT_FALSE(decode_drive_file({}));
  for (size_t bit = 0; bit < a.size() * 8; ++bit) {
    Bytes flipped = a;
    flipped[bit / 8] ^= std::byte{1} << bit % 8;
    EXPECT_FALSE(decode_drive_file(flipped));
  }
}

TEST(Layout, file_names_are_exact) {
  EXPECT_EQ(extent_file_name(0x1f), "000000000000001f.ext");
  EXPECT_EQ(parse_extent_file_name("000000000000001f.ext")->extent, 0x1fu);
  for (const char* wrong : {"", "1f.ext", "000000000000001F.ext", "000000000000001f.tmp", "00000000000000 1f.ext"}) {
    EXPECT_FALSE(parse_extent_file_name(wrong)) << wrong;
  }
}

TEST(Layout, the_rows_of_a_segment_hold_exactly_its_bytes) {
  for (unsigned k : {1u, 2u, 4u, 8u}) {
    for (uint64_t length :
         {uint64_t{1}, uint64_t{65'537}, row_bytes(k) - 1, row_bytes(k), row_bytes(k) + 1, 10 * row_bytes(k) + 77}) {
      uint64_t offset = kSuperblockBytes;
      for (uint64_t row = 0; row < spread_rows(length, k); ++row) {
        const RowShape shape = spread_row(kSuperblockBytes, length, row, k);
        EXPECT_EQ(shape.offset, offset);
        EXPECT_GE(uint64_t{shape.unit_bytes} * k, std::min(row_bytes(k), length - row * row_bytes(k)));
        offset = shape.end();
      }
      EXPECT_EQ(offset - kSuperblockBytes, spread_file_bytes(length, k));
    }
  }
}

TEST(Packing, every_blob_lies_whole_in_one_unit_and_none_overlap) {
  base::SeededRandom random(5);
  for (int round = 0; round < 300; ++round) {
    const unsigned k = static_cast<unsigned>(1 + random.below(8));
    std::vector<uint32_t> sizes(1 + random.below(200));
    for (uint32_t& size : sizes)
      size = static_cast<uint32_t>(1 + random.below(random.chance(1, 4) ? kUnitBytesMax : 5000));
    std::vector<int> seen(sizes.size());
    for (const PlannedRow& row : plan_rows(sizes, k)) {
      ASSERT_LE(row.header_bytes, kHeaderBytesMax);
      ASSERT_LE(row.unit_bytes, kUnitBytesMax);
      std::vector<uint32_t> end(k);
      for (size_t i = 0; i < row.entries.size(); ++i) {
        const PackedEntry& entry = row.entries[i];
        ASSERT_LT(entry.unit, k);
        EXPECT_EQ(entry.length, sizes[row.blobs[i]]);
        EXPECT_GE(entry.inner, end[entry.unit]);
        end[entry.unit] = entry.inner + entry.length;
        EXPECT_LE(end[entry.unit], row.unit_bytes);
        EXPECT_TRUE(row.data_units >> entry.unit & 1);
        ++seen[row.blobs[i]];
      }
    }
    EXPECT_TRUE(std::ranges::all_of(seen, [](int times) { return times == 1; }));
  }
}

TEST(Packing, a_mix_of_4_KiB_to_1_MiB_costs_at_most_1_53_of_its_payload) {
  base::SeededRandom random(6);
  uint64_t payload = 0, stored = 0;
  std::vector<uint32_t> small;
  for (int i = 0; i < 4000; ++i) {
    const uint64_t size = uint64_t{4096} << random.below(9);  // 4 KiB, 8 KiB ... 1 MiB
    payload += size;
    if (size <= kUnitBytesMax)
      small.push_back(static_cast<uint32_t>(size));
    else
      stored += 6 * spread_file_bytes(size, 4);
  }
  // As group commit does under load: 1 MiB at a time.
  for (size_t begin = 0; begin < small.size();) {
    size_t end = begin;
    uint64_t bytes = 0;
    while (end < small.size() && bytes + small[end] <= 1 << 20) bytes += small[end++];
    for (const PlannedRow& row : plan_rows(std::span(small).subspan(begin, end - begin), 4)) {
      stored += uint64_t{row.header_bytes + row.unit_bytes} * static_cast<unsigned>(2 + std::popcount(row.data_units));
    }
    begin = end;
  }
  EXPECT_LE(static_cast<double>(stored) / static_cast<double>(payload), 1.53);
}

}  // namespace
}  // namespace polis::blob
