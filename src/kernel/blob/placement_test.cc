// Pools with more drives than an extent has units: where extents lie, drives that join, drives that are lost for good,
// and blobs of several schemes side by side.
#include "kernel/blob/placement.h"

#include <gtest/gtest.h>
#include <set>

#include "kernel/base/text_encoding.h"
#include "kernel/blob/conformance.h"
#include "kernel/blob/row_encoder.h"
#include "kernel/blob/simulated_pool_test.h"

namespace polis::blob {
namespace {

constexpr Scheme kSmall{2, 1}, kWide{8, 3};

ExtentBlobOptions wide_pool(unsigned drives) {
  ExtentBlobOptions options = small_extents();
  options.drives.clear();
  for (unsigned i = 0; i < drives; ++i) options.drives.push_back("/pool/" + std::string(1, static_cast<char>('a' + i)));
  options.added_drives_file = "/added";
  return options;
}

std::unique_ptr<BlobUnderTest> pool_with(unsigned drives, Scheme scheme) {
  auto pool = std::make_unique<SimulatedPool>(wide_pool(drives));
  pool->scheme = scheme;
  return pool;
}

INSTANTIATE_TEST_SUITE_P(seven_drives, BlobConformance, testing::Values([] { return pool_with(7, {}); }));
INSTANTIATE_TEST_SUITE_P(small_of_six, BlobConformance, testing::Values([] { return pool_with(6, kSmall); }));
INSTANTIATE_TEST_SUITE_P(wide_of_twelve, BlobConformance, testing::Values([] { return pool_with(12, kWide); }));
INSTANTIATE_TEST_SUITE_P(three_and_two_of_nine, BlobConformance, testing::Values([] { return pool_with(9, {3, 2}); }));

struct Placed {
  Receipt receipt;
  Bytes bytes;
  Scheme scheme;
};

std::vector<Placed> fill_pool(SimulatedPool& pool, Random& random, int count, std::vector<Scheme> schemes = {{}}) {
  std::vector<Placed> kept;
  for (int i = 0; i < count; ++i) {
    Bytes bytes = random_bytes(random, 1 + random.below(i % 4 == 0 ? 900'000 : i % 4 == 1 ? 200'000 : 20'000));
    pool.scheme = schemes[static_cast<size_t>(i) % schemes.size()];
    auto receipt = pool.put(bytes);
    if (!receipt) {
      ADD_FAILURE() << receipt.error().text();
      break;
    }
    kept.push_back({*receipt, std::move(bytes), pool.scheme});
  }
  return kept;
}

void expect_stored(SimulatedPool& pool, const std::vector<Placed>& kept, const std::string& when) {
  for (const Placed& blob : kept) {
    auto got = pool.get(blob.receipt);
    ASSERT_TRUE(got.has_value()) << when << ": " << got.error().text();
    ASSERT_TRUE(*got == blob.bytes) << when;
  }
}

void append(std::vector<Placed>& all, std::vector<Placed> more) {
  for (Placed& blob : more) all.push_back(std::move(blob));
}

void lose(SimulatedPool& pool, std::initializer_list<unsigned> drives) {
  for (unsigned drive : drives) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kMissing)));
}
void bring_back(SimulatedPool& pool, std::initializer_list<unsigned> drives) {
  for (unsigned drive : drives) ASSERT_OK(pool.run(pool.blob().set_drive(drive, DriveState::kOnline)));
}

// --- names and drive files

TEST(Placement, file_names_tell_scheme_unit_and_generation_and_nothing_else_is_one) {
  const ExtentFile file{.extent = 0x1f, .scheme = {8, 3}, .unit = 10, .generation = 2};
  EXPECT_EQ(extent_file_name(file), "000000000000001f.8-3.10.2.ext");
  EXPECT_EQ(parse_extent_file_name("000000000000001f.8-3.10.2.ext"), file);
  EXPECT_EQ(parse_extent_file_name("000000000000001f.ext"), (ExtentFile{.extent = 0x1f, .scheme = {}}));
  base::SeededRandom random(1);
  for (int i = 0; i < 1000; ++i) {
    ExtentFile one{.extent = random.next(), .scheme = {}};
    one.scheme.data_units = static_cast<uint8_t>(1 + random.below(15));
    one.scheme.parity_units = static_cast<uint8_t>(1 + random.below(16u - one.scheme.data_units));
    one.unit = static_cast<uint8_t>(random.below(one.scheme.units()));
    one.generation = static_cast<uint16_t>(random.next());
    EXPECT_EQ(parse_extent_file_name(extent_file_name(one)), one);
  }
  for (const char* wrong :
       {"000000000000001f.8-3.11.0.ext", "000000000000001f.0-3.0.0.ext", "000000000000001f.3-0.0.0.ext",
        "000000000000001f.15-2.0.0.ext", "000000000000001f.08-3.0.0.ext", "000000000000001f.8-3.0.65536.ext",
        "000000000000001f.8-3.0.ext", "000000000000001f.8-3.0.0.0.ext", "000000000000001f..ext",
        "000000000000001f.8-3.-1.0.ext", "000000000000001f.8-3.+1.0.ext", "000000000000001f.8-3.0.0.ext.part",
        "000000000000001f.8-3.0.1 .ext", "000000000000001f8-3.0.1.ext"}) {
    EXPECT_FALSE(parse_extent_file_name(wrong)) << wrong;
  }
}

TEST(Placement, a_drive_file_that_names_the_number_of_drives_is_none_for_an_older_polis) {
  DriveFile drive{.pool = {1, 2}, .index = 6, .data_units = 4, .parity_units = 2, .epoch = 9, .extent_floor = 17};
  EXPECT_EQ(encode_drive_file(drive)[4], std::byte{1});
  drive.drives = 7;
  const Bytes bytes = encode_drive_file(drive);
  EXPECT_EQ(bytes[4], std::byte{2});
  EXPECT_EQ(decode_drive_file(bytes).value(), drive);
}

// --- pools of before

// A pool as it was written when every extent lay on all drives: bytes given, not encoded here.
TEST(Placement, a_pool_of_before_opens_unchanged_and_stays_as_it_was) {
  base::SeededRandom random(2);
  ExtentBlobOptions options = small_extents(2, 1);
  SimulatedPool pool(options);
  pool.close();
  for (unsigned i = 0; i < 3; ++i) {
    for (const std::string& name : pool.world.disk().files(options.drives[i])) {
      ASSERT_OK(pool.world.run(pool.world.disk().remove(name)));
    }
  }
  // "PDR1", version 1, pool, index, 2, 1, epoch 5, floor 17, nothing stale; "PTX1", version 1, pool, extent 7, unit,
  // 2, 1.
  const char* drive_files[3] = {
      "5044523101000807060504030201181716151413121100020105000000000000"
      "00110000000000000000000000000000000000000000000000000000d93343ae",
      "5044523101000807060504030201181716151413121101020105000000000000"
      "00110000000000000000000000000000000000000000000000000000f993cced",
      "5044523101000807060504030201181716151413121102020105000000000000"
      "0011000000000000000000000000000000000000000000000000000099735c29",
  };
  const char* superblocks[3] = {
      "5054583101000807060504030201181716151413121107000000000000000002"
      "01000000000000000000000000000000000000000000000000000000ab6a2b74",
      "5054583101000807060504030201181716151413121107000000000000000102"
      "01000000000000000000000000000000000000000000000000000000a22b9061",
      "5054583101000807060504030201181716151413121107000000000000000202"
      "01000000000000000000000000000000000000000000000000000000b9e85d5f",
  };
  const PoolId pool_id{0x0102030405060708, 0x1112131415161718};
  const Bytes blob = random_bytes(random, 50'000);
  const Erasure erasure = *Erasure::make(2, 1);
  RowHeader header;
  header.shape = {kSuperblockBytes, 0, static_cast<uint32_t>(align_up(blob.size(), kAlignBytes))};
  header.nonce = extent_nonce(pool_id, 7);
  header.kind = RowKind::kPacked;
  header.data_units = 2;
  header.parity_units = 1;
  header.written = 0b101;
  header.payload_bytes = static_cast<uint32_t>(blob.size());
  header.entries = {{.unit = 0, .inner = 0, .length = static_cast<uint32_t>(blob.size())}};
  header.shape.header_bytes = packed_header_bytes(header.shape.unit_bytes, header.entries);
  Bytes unit = blob, parity(header.shape.unit_bytes), headers;
  unit.resize(header.shape.unit_bytes);
  headers.reserve(size_t{3} * header.shape.header_bytes);
  RowWrites writes;
  const std::byte* data[] = {unit.data(), nullptr};
  encode_row(erasure, header, data, parity, headers, writes);
  for (unsigned i = 0; i < 3; ++i) {
    pool.world.disk().put(options.drives[i] + "/drive.polis", *base::hex_decode(drive_files[i]));
    Bytes file = *base::hex_decode(superblocks[i]);
    for (const UnitRun& run : writes.units[i])
      for (BytesView part : run.parts) file.insert(file.end(), part.begin(), part.end());
    pool.world.disk().put(options.drives[i] + "/0000000000000007.ext", file);
  }
  const Receipt receipt{join_segments(std::vector<Location>{{.kind = RowKind::kPacked,
                                                             .extent = 7,
                                                             .offset = kSuperblockBytes,
                                                             .length = blob.size(),
                                                             .unit = 0,
                                                             .header_bytes = header.shape.header_bytes,
                                                             .unit_bytes = header.shape.unit_bytes,
                                                             .inner = 0}}),
                        blob.size()};
  ASSERT_OK(pool.open());
  auto got = pool.get(receipt);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == blob);
  for (unsigned i = 0; i < 3; ++i) {
    lose(pool, {i});
    auto degraded = pool.get(receipt);
    ASSERT_OK(degraded);
    EXPECT_TRUE(*degraded == blob);
    bring_back(pool, {i});
  }
  const Bytes more = random_bytes(random, 400'000);
  auto put = pool.put(more);
  ASSERT_OK(put);
  for (unsigned i = 0; i < 3; ++i) {
    // What is written now an older polis would read, too.
    const auto files = pool.extent_files(i);
    ASSERT_EQ(files.size(), 2u);
    for (const std::string& file : files) EXPECT_EQ(file.substr(file.rfind('/') + 1).size(), 20u) << file;
    EXPECT_EQ(pool.world.disk().content(options.drives[i] + "/drive.polis")[4], std::byte{1});
  }
  // And it grows.
  pool.close();
  pool.options().drives.push_back("/pool/new");
  ASSERT_OK(pool.open());
  ASSERT_OK(pool.get(receipt));
  pool.reopen();
  lose(pool, {1});
  ASSERT_OK(pool.run(pool.blob().repair({})));
  lose(pool, {0});
  got = pool.get(receipt);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == blob);
  got = pool.get(*put);
  ASSERT_OK(got);
  EXPECT_TRUE(*got == more);
}

// --- schemes side by side

TEST(Placement, blobs_of_several_schemes_share_a_pool_and_each_survives_as_many_losses_as_it_has_parity) {
  base::SeededRandom random(3);
  SimulatedPool pool(wide_pool(12));
  EXPECT_EQ(pool.blob().default_scheme(), (Scheme{4, 2}));
  const auto kept = fill_pool(pool, random, 36, {{}, kSmall, kWide});
  for (int round = 0; round < 2; ++round) {
    expect_stored(pool, kept, "all drives");
    std::map<unsigned, std::set<uint32_t>> places;
    for (const PoolPicture picture = pool.picture(); const ExtentStatus& extent : picture.extents) {
      EXPECT_EQ(std::popcount(extent.drives), static_cast<int>(extent.scheme.units()));
      places[extent.scheme.units()].insert(extent.drives);
    }
    EXPECT_EQ(places.size(), 3u);
    for (unsigned a = 0; a < 12; ++a) {
      for (const Scheme scheme : {kSmall, kWide, Scheme{}}) {
        const unsigned losses = scheme == kSmall ? 1 : scheme == kWide ? 3 : 2;
        std::set<unsigned> lost;
        while (lost.size() < losses) lost.insert(lost.empty() ? a : static_cast<unsigned>(random.below(12)));
        for (unsigned drive : lost) lose(pool, {drive});
        for (const Placed& blob : kept) {
          if (blob.scheme != scheme) continue;
          auto got = pool.get(blob.receipt);
          ASSERT_OK(got);
          ASSERT_TRUE(*got == blob.bytes);
        }
        for (unsigned drive : lost) bring_back(pool, {drive});
      }
    }
    pool.reopen();
  }
}

TEST(Placement, schemes_that_do_not_fit_the_pool_are_refused_before_anything_is_read) {
  SimulatedPool pool(wide_pool(6));
  for (Scheme scheme : {kWide, Scheme{0, 2}, Scheme{4, 0}, Scheme{6, 1}, Scheme{200, 100}}) {
    EXPECT_FALSE(pool.blob().offers(scheme));
    BytesSource source(as_bytes(std::string_view("x")), 0);  // fails when it is read
    auto refused = pool.run(pool.blob().put(source, 1, scheme));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), Code::kInvalid);
  }
  EXPECT_TRUE(pool.blob().offers(kSmall));
  EXPECT_TRUE(pool.blob().offers({}));
}

TEST(Placement, a_pool_in_order_with_another_scheme_in_it_is_reopened_and_an_older_polis_keeps_out) {
  base::SeededRandom random(4);
  SimulatedPool pool(small_extents());
  auto kept = fill_pool(pool, random, 4);
  EXPECT_EQ(pool.world.disk().content("/pool/0/drive.polis")[4], std::byte{1});
  append(kept, fill_pool(pool, random, 4, {kSmall}));
  EXPECT_EQ(pool.world.disk().content("/pool/0/drive.polis")[4], std::byte{2});
  pool.crash();
  ASSERT_OK(pool.open());
  expect_stored(pool, kept, "opened again");
  lose(pool, {2});
  expect_stored(pool, kept, "one drive out");
}

// --- drives of a pool

TEST(Placement, a_drive_joins_a_running_pool_and_is_found_again) {
  base::SeededRandom random(5);
  ExtentBlobOptions options = small_extents();
  options.added_drives_file = "/added";
  SimulatedPool pool(options);
  auto kept = fill_pool(pool, random, 8);
  for (const char* wrong : {"", "pool/6", "/", "/pool/0", "/pool/0/", "/a\nb"})
    EXPECT_FALSE(pool.run(pool.blob().add_drive(wrong)).has_value()) << wrong;
  pool.world.disk().put("/used/0000000000000001.ext", as_bytes(std::string_view("x")));
  EXPECT_FALSE(pool.run(pool.blob().add_drive("/used")).has_value());
  EXPECT_FALSE(pool.blob().offers({5, 2}));
  for (unsigned i = 6; i < 9; ++i) {
    auto added = pool.run(pool.blob().add_drive("/pool/" + std::to_string(i) + "/"));
    ASSERT_OK(added);
    EXPECT_EQ(*added, i);
    append(kept, fill_pool(pool, random, 12));
  }
  EXPECT_TRUE(pool.blob().offers({5, 2}));
  EXPECT_EQ(pool.blob().drives().size(), 9u);
  EXPECT_GT(pool.world.disk().files("/pool/8").size(), 1u) << "nothing was written to it";
  expect_stored(pool, kept, "grown");
  pool.crash();
  ASSERT_OK(pool.open());
  EXPECT_EQ(pool.blob().drives().size(), 9u);
  expect_stored(pool, kept, "opened again");
  lose(pool, {7, 0});
  expect_stored(pool, kept, "two lost");
  pool.close();
  // Whoever forgets the added ones is told.
  pool.options().added_drives_file = "/nothing";
  auto forgotten = pool.open();
  ASSERT_FALSE(forgotten.has_value());
  EXPECT_EQ(forgotten.error().code(), Code::kInvalid);
  EXPECT_NE(forgotten.error().text().find("9 drives"), std::string::npos) << forgotten.error().text();
}

TEST(Placement, what_a_lost_drive_held_is_rebuilt_elsewhere_and_two_more_may_go) {
  base::SeededRandom random(6);
  SimulatedPool pool(wide_pool(8));
  auto kept = fill_pool(pool, random, 30);
  lose(pool, {1});
  append(kept, fill_pool(pool, random, 6));
  auto report = pool.run(pool.blob().repair({}));
  ASSERT_OK(report);
  EXPECT_GT(report->units_rebuilt, 0u);
  EXPECT_EQ(report->rows_lost, 0u);
  for (const PoolPicture picture = pool.picture(); const ExtentStatus& extent : picture.extents)
    EXPECT_EQ(extent.homeless, 0u);
  EXPECT_EQ(pool.blob().statistics().reduced_extents, 0u);
  lose(pool, {4});
  EXPECT_GT(pool.blob().statistics().reduced_extents, 0u);
  EXPECT_EQ(pool.blob().statistics().unreadable_extents, 0u);
  ASSERT_OK(pool.run(pool.blob().repair({})));
  for (const PoolPicture picture = pool.picture(); const ExtentStatus& extent : picture.extents) {
    EXPECT_EQ(extent.homeless, 0u);
    EXPECT_EQ(std::popcount(extent.drives), 6);
    EXPECT_EQ(extent.drives & (1u << 1 | 1u << 4), 0u);
  }
  lose(pool, {0, 7});
  expect_stored(pool, kept, "four of eight are lost, two were rebuilt");
  bring_back(pool, {0, 7});
  pool.reopen();  // all directories are there again, with what was moved away
  expect_stored(pool, kept, "the lost ones came back");
  ASSERT_OK(pool.run(pool.blob().repair({})));
  std::map<std::string, int> units;
  for (unsigned i = 0; i < 8; ++i) {
    for (const std::string& file : pool.extent_files(i)) ++units[file.substr(file.rfind('/') + 1).substr(0, 16)];
  }
  for (const auto& [extent, count] : units) EXPECT_EQ(count, 6) << extent << ": copies of before were not removed";
  for (auto [a, b] : {std::pair(1u, 4u), {2u, 3u}, {5u, 6u}}) {
    lose(pool, {a, b});
    expect_stored(pool, kept, "two lost");
    bring_back(pool, {a, b});
  }
  EXPECT_EQ(pool.blob().statistics().repair_queue, 0u);
  auto clean = pool.run(pool.blob().scrub({}));
  ASSERT_OK(clean);
  EXPECT_EQ(pool.blob().statistics().scrub_errors, 0u);
}

TEST(Placement, a_replaced_drive_of_a_larger_pool_is_rebuilt_in_its_place) {
  base::SeededRandom random(7);
  SimulatedPool pool(wide_pool(8));
  auto kept = fill_pool(pool, random, 30);
  lose(pool, {3});
  pool.world.disk().replace_drive(pool.options().drives[3]);
  ASSERT_OK(pool.run(pool.blob().set_drive(3, DriveState::kReplacing)));
  append(kept, fill_pool(pool, random, 4));
  ASSERT_OK(pool.run(pool.blob().repair({})));
  EXPECT_EQ(pool.blob().drives()[3].state, DriveState::kOnline);
  EXPECT_EQ(pool.picture().stale, 0u);
  for (auto [a, b] : {std::pair(0u, 1u), {2u, 4u}, {6u, 7u}}) {
    lose(pool, {a, b});
    expect_stored(pool, kept, "rebuilt");
    bring_back(pool, {a, b});
  }
}

TEST(Placement, compaction_goes_on_when_a_dead_drive_was_rebuilt_elsewhere) {
  base::SeededRandom random(8);
  SimulatedPool pool(wide_pool(7));
  MapOwner owner;
  pool.blob().set_owner(&owner);
  auto kept = fill_pool(pool, random, 24, {{}, kSmall});
  for (size_t i = 0; i < kept.size(); ++i) {
    if (i % 5 == 0 && segments(kept[i].receipt).size() == 1)
      owner.rows.emplace(segments(kept[i].receipt)[0], kept[i].bytes);
    else
      pool.blob().erase(kept[i].receipt);
  }
  lose(pool, {2});
  pool.pass_time(std::chrono::hours(2));
  ASSERT_OK(pool.run(pool.blob().repair({})));
  const uint64_t before = pool.blob().statistics().stored_bytes;
  uint64_t freed = 0;
  for (int round = 0; round < 3; ++round) {
    auto compacted = pool.run(pool.blob().compact({}));
    ASSERT_OK(compacted);
    freed += *compacted;
    pool.pass_time(std::chrono::hours(2));
  }
  EXPECT_GT(freed, 0u);
  EXPECT_LT(pool.blob().statistics().stored_bytes, before);
  for (int round = 0; round < 2; ++round) {
    std::set<Scheme, decltype([](Scheme a, Scheme b) { return a.data_units < b.data_units; })> schemes;
    for (const PoolPicture picture = pool.picture(); const ExtentStatus& extent : picture.extents)
      schemes.insert(extent.scheme);
    EXPECT_TRUE(schemes.contains(kSmall)) << "a blob lost its scheme when it moved";
    for (const auto& [id, bytes] : owner.rows) {
      auto got = pool.get(receipt_of(id, bytes.size()));
      ASSERT_OK(got);
      EXPECT_TRUE(*got == bytes);
    }
    pool.reopen();  // drive 2 is back with what was deleted meanwhile
    pool.blob().set_owner(&owner);
    ASSERT_OK(pool.run(pool.blob().repair({})));
    for (int more = 0; more < 2; ++more) {
      ASSERT_OK(pool.run(pool.blob().compact({})));
      pool.pass_time(std::chrono::hours(30));
    }
  }
}

// A disk whose drives differ in size.
class UnequalDisk final : public io::Disk {
 public:
  UnequalDisk(io::Disk& under, sim::Disk& inner, std::map<std::string, uint64_t> capacity)
      : under_(under), inner_(inner), capacity_(std::move(capacity)) {}
  Task<Result<std::unique_ptr<io::File>>> open(std::string path, io::OpenMode mode) override {
    return under_.open(std::move(path), mode);
  }
  Task<Result<void>> remove(std::string path) override { return under_.remove(std::move(path)); }
  Task<Result<void>> rename(std::string from, std::string to) override {
    return under_.rename(std::move(from), std::move(to));
  }
  Task<Result<std::vector<io::DirectoryEntry>>> list(std::string directory) override {
    return under_.list(std::move(directory));
  }
  Task<Result<void>> make_directories(std::string path) override { return under_.make_directories(std::move(path)); }
  Task<Result<void>> sync_directory(std::string path) override { return under_.sync_directory(std::move(path)); }
  Task<Result<Space>> space(std::string path) override {
    uint64_t used = 0;
    for (const std::string& file : inner_.files(path)) used += inner_.content(file).size();
    const uint64_t total = capacity_.at(path);
    // All drives of a simulation are taken for one file system, which is shared out among them.
    co_return Space{total, (total - std::min(total, used)) * capacity_.size()};
  }

 private:
  io::Disk& under_;
  sim::Disk& inner_;
  const std::map<std::string, uint64_t> capacity_;
};

TEST(Placement, drives_of_unequal_size_fill_by_the_room_they_have) {
  base::SeededRandom random(9);
  auto options = wide_pool(9);
  options.space_reserve_bytes = 1 << 20;
  std::map<std::string, uint64_t> capacity;
  uint64_t total = 0;
  for (unsigned i = 0; i < 9; ++i) {
    capacity[options.drives[i]] = (i < 6 ? uint64_t{10} : uint64_t{20}) << 20;
    total += capacity[options.drives[i]];
  }
  SimulatedPool pool(options, 1, [&](io::Disk& under) {
    return std::make_unique<UnequalDisk>(under, static_cast<sim::Disk&>(under), capacity);
  });
  std::vector<Placed> kept;
  uint64_t stored = 0;
  for (int i = 0; i < 400; ++i) {
    Bytes bytes = random_bytes(random, 500'000);
    auto receipt = pool.put(bytes);
    if (!receipt) {
      EXPECT_EQ(receipt.error().code(), Code::kNoSpace) << receipt.error().text();
      break;
    }
    stored += bytes.size() * 6 / 4;
    kept.push_back({*receipt, std::move(bytes), {}});
  }
  // Were every extent on the smallest drives, 6 x 10 MiB would be all.
  EXPECT_GT(stored, total * 7 / 10);
  for (const DriveStatus& drive : pool.blob().drives()) EXPECT_EQ(drive.state, DriveState::kOnline);
  lose(pool, {0, 8});
  expect_stored(pool, kept, "full, two lost");
}

// --- power cuts and readers

#ifdef POLIS_DEBUG
constexpr uint64_t kPlacementSeeds = 10, kRaceSeeds = 3;
#else
constexpr uint64_t kPlacementSeeds = 100, kRaceSeeds = 10;
#endif

struct PlacedLoad {
  std::vector<Placed> acknowledged;
  MapOwner owner;
};

Task<void> put_placed(Blob* blob, PlacedLoad* load, Bytes bytes, Scheme scheme) {
  BytesSource source(bytes);
  auto receipt = co_await blob->put(source, bytes.size() % 3 == 0 ? UINT64_MAX : bytes.size(), scheme);
  if (!receipt) co_return;
  for (const BlobId& id : segments(*receipt))
    load->owner.rows.emplace(id, segments(*receipt).size() == 1 ? bytes : Bytes{});
  load->acknowledged.push_back({*receipt, std::move(bytes), scheme});
}

Task<void> put_placed_many(Blob* blob, PlacedLoad* load, Random* random) {
  static constexpr Scheme kSchemes[] = {{}, {}, {2, 2}, {5, 2}};
  io::TaskGroup group;
  const uint64_t count = 5 + random->below(30);
  for (uint64_t i = 0; i < count; ++i) {
    group.spawn(put_placed(blob, load, random_bytes(*random, random->below(random->chance(1, 5) ? 1'200'000 : 30'000)),
                           kSchemes[random->below(4)]));
    if (random->chance(1, 4)) co_await group.join();
  }
  co_await group.join();
}

Task<void> add_quietly(Blob* blob, std::string path) {
  (void)co_await blob->add_drive(std::move(path));
}

TEST(PlacementPowerCuts, every_acknowledged_receipt_of_a_growing_pool_reads_back) {
  auto round = [](uint64_t seed) {
    base::SeededRandom random(seed);
    auto options = wide_pool(7);
    SimulatedPool pool(options, seed);
    PlacedLoad load;
    for (int life = 0; life < 4; ++life) {
      pool.world.disk().crash_after(1 + random.below(400));
      if (random.chance(1, 2)) pool.run_task(add_quietly(&pool.blob(), "/pool/z" + std::to_string(life)));
      pool.run_task(put_placed_many(&pool.blob(), &load, &random));
      pool.world.disk().crash_after(0);
      pool.crash();
      auto opened = pool.open();
      ASSERT_TRUE(opened.has_value()) << "seed " << seed << ": " << opened.error().text();
      for (const DriveStatus& drive : pool.blob().drives())
        ASSERT_EQ(drive.state, DriveState::kOnline) << "seed " << seed;
      expect_stored(pool, load.acknowledged, "seed " + std::to_string(seed));
      EXPECT_EQ(pool.blob().statistics().degraded_reads, 0u)
          << "seed " << seed << ": an acknowledged unit was not durable";
    }
    const unsigned n = static_cast<unsigned>(pool.blob().drives().size());
    const unsigned a = static_cast<unsigned>(random.below(n)),
                   b = static_cast<unsigned>((a + 1 + random.below(n - 1)) % n);
    lose(pool, {a, b});
    expect_stored(pool, load.acknowledged, "two out, seed " + std::to_string(seed));
    ASSERT_OK(pool.run(pool.blob().repair({})));
    const unsigned c = static_cast<unsigned>((b + 1) % n == a ? (b + 2) % n : (b + 1) % n);
    if (n >= 9) {  // all that was lost has found another place
      lose(pool, {c});
      expect_stored(pool, load.acknowledged, "two rebuilt, a third out, seed " + std::to_string(seed));
    }
  };
  const uint64_t broken =
      sim::for_each_seed(sim::seeds(kPlacementSeeds), round, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "POLIS_SEED=" << broken;
}

TEST(PlacementPowerCuts, units_that_move_survive_them_and_drives_that_come_back_bring_nothing_wrong) {
  auto round = [](uint64_t seed) {
    base::SeededRandom random(seed);
    auto options = wide_pool(9);
    options.delete_grace = {};
    SimulatedPool pool(options, seed);
    PlacedLoad load;
    pool.run_task(put_placed_many(&pool.blob(), &load, &random));
    std::erase_if(load.owner.rows, [&](const auto& row) { return random.chance(1, 2) || row.second.empty(); });
    auto expect_rows = [&](const char* when) {
      for (auto& [id, bytes] : load.owner.rows) {
        auto got = pool.get(receipt_of(id, bytes.size()));
        ASSERT_TRUE(got.has_value()) << when << ", seed " << seed << ": " << got.error().text();
        ASSERT_TRUE(*got == bytes) << when << ", seed " << seed;
      }
    };
    for (int life = 0; life < 6; ++life) {
      pool.blob().set_owner(&load.owner);
      pool.pass_time(std::chrono::hours(30));
      // Drives go and come; in between everything is rebuilt, or not, or half of it.
      const unsigned lost = static_cast<unsigned>(random.below(9));
      lose(pool, {lost});
      pool.world.disk().crash_after(1 + random.below(1500));
      (void)pool.run(pool.blob().repair({}));
      PlacedLoad more;
      pool.run_task(put_placed_many(&pool.blob(), &more, &random));
      for (const Placed& blob : more.acknowledged) {
        if (segments(blob.receipt).size() == 1) load.owner.rows.emplace(segments(blob.receipt)[0], blob.bytes);
      }
      if (random.chance(1, 2)) {
        (void)pool.run(pool.blob().set_drive(lost, DriveState::kOnline));
        (void)pool.run(pool.blob().repair({}));
      }
      (void)pool.run(pool.blob().compact({}));
      pool.world.disk().crash_after(0);
      if (pool.world.disk().powered()) expect_rows("before the power cut");
      pool.crash();
      auto opened = pool.open();
      ASSERT_TRUE(opened.has_value()) << "seed " << seed << ": " << opened.error().text();
      expect_rows("after the power cut");
    }
    auto report = pool.run(pool.blob().repair({}));
    ASSERT_TRUE(report.has_value()) << "seed " << seed << ": " << report.error().text();
    EXPECT_EQ(pool.picture().stale, 0u);
    const unsigned a = static_cast<unsigned>(random.below(9)), b = static_cast<unsigned>((a + 1 + random.below(8)) % 9);
    lose(pool, {a, b});
    expect_rows("repaired, two drives out");
  };
  const uint64_t broken =
      sim::for_each_seed(sim::seeds(kPlacementSeeds), round, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "POLIS_SEED=" << broken;
}

struct Readers {
  Blob* blob = nullptr;
  MapOwner* owner = nullptr;
  base::SeededRandom random{1};
  bool stop = false, resting = false;
  int reads = 0, failures = 0;
  std::string first_error;
};

// Looks a receipt up and reads it, as a system does, over and over.
Task<void> read_over_and_over(Readers* readers) {
  while (!readers->stop && !readers->owner->rows.empty()) {
    if (readers->resting) {
      (void)co_await io::sleep_for(std::chrono::seconds(5));
      continue;
    }
    auto row = readers->owner->rows.begin();
    std::advance(row, static_cast<ptrdiff_t>(readers->random.below(readers->owner->rows.size())));
    const BlobId id = row->first;
    const Bytes bytes = row->second;
    BytesSink sink;
    auto got = co_await readers->blob->get(receipt_of(id, bytes.size()), {0, bytes.size()}, sink);
    ++readers->reads;
    if (!got || sink.got != bytes) {
      ++readers->failures;
      if (readers->first_error.empty()) readers->first_error = got ? "wrong bytes" : got.error().text();
    }
  }
}

Task<void> care_under_readers(ExtentBlob* blob, Readers* readers, base::SeededRandom* random, unsigned drives) {
  io::TaskGroup group;
  for (int i = 0; i < 8; ++i) group.spawn(read_over_and_over(readers));
  for (int round = 0; round < 6; ++round) {
    const auto lost = static_cast<unsigned>(random->below(drives));
    (void)co_await blob->set_drive(lost, DriveState::kMissing);
    (void)co_await blob->repair({});
    (void)co_await blob->compact({});
    (void)co_await blob->set_drive(lost, DriveState::kOnline);
    (void)co_await blob->repair({});
    (void)co_await blob->compact({});
    readers->resting = true;
    (void)co_await io::sleep_for(std::chrono::minutes(2));
    readers->resting = false;
  }
  readers->stop = true;
  co_await group.join();
}

TEST(PlacementRaces, no_reader_notices_repair_moves_and_compaction) {
  for (uint64_t seed = 1; seed <= kRaceSeeds; ++seed) {
    for (unsigned drives : {6u, 8u}) {
      base::SeededRandom random(seed);
      SimulatedPool pool(wide_pool(drives), seed);
      MapOwner owner;
      pool.blob().set_owner(&owner);
      const auto kept = fill_pool(pool, random, 40, {{}, {2, 2}});
      for (const Placed& blob : kept) {
        if (segments(blob.receipt).size() == 1 && random.chance(1, 3))
          owner.rows.emplace(segments(blob.receipt)[0], blob.bytes);
        else
          pool.blob().erase(blob.receipt);
      }
      pool.pass_time(std::chrono::hours(2));
      Readers readers{.blob = &pool.blob(), .owner = &owner, .random = base::SeededRandom(seed), .first_error = {}};
      pool.run_task(care_under_readers(&pool.extents(), &readers, &random, drives));
      EXPECT_GT(readers.reads, 100);
      ASSERT_EQ(readers.failures, 0) << "seed " << seed << ", " << drives << " drives: " << readers.first_error;
    }
  }
}

}  // namespace
}  // namespace polis::blob
