// What is the embedded adapter's own: garbage, failures, checkpoints, the clock, its directory.
#include <fstream>
#include <gtest/gtest.h>
#include <thread>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/store/rocks_fixture.h"
#include "kernel/store/rocks_store.h"
#include "kernel/store/volatile_env.h"

namespace polis::store {
namespace {

using base::ManualClock;

class RocksLife : public testing::Test {
 protected:
  void SetUp() override {
    runtime_.start();
    options_.directory = directory_.path() + "/db";
    options_.clock = &clock_;
    open();
  }
  void TearDown() override { store_.reset(); }

  void open() {
    store_.reset();
    auto opened = RocksStore::open(options_);
    ASSERT_TRUE(opened) << opened.error().text();
    store_ = std::move(*opened);
    rows_ = store_->keyspace("rows").value();
  }
  std::unique_ptr<Txn> begin() {
    return runtime_.call(0, [&] { return store_->begin(); }).value();
  }
  Result<CommitTime> commit(Txn& txn, Sync sync = Sync::kDisk) {
    return runtime_.call(0, [&] { return txn.commit(sync); });
  }
  Result<CommitTime> put(std::string_view key, std::string_view value, Sync sync = Sync::kDisk) {
    auto txn = begin();
    EXPECT_TRUE(txn->put(rows_, key, value));
    return commit(*txn, sync);
  }
  Result<CommitTime> erase(std::string_view key) {
    auto txn = begin();
    EXPECT_TRUE(txn->erase(rows_, key));
    return commit(*txn);
  }
  std::string get(Txn& txn, std::string_view key) {
    auto row = runtime_.call(0, [&] { return txn.get(rows_, key); });
    if (!row) return "error: " + row.error().text();
    return *row ? (*row)->value : "(none)";
  }
  std::string get(std::string_view key) { return get(*begin(), key); }
  std::vector<RowVersion> versions(std::string key) {
    return runtime_.call(0, [&] { return store_->versions(rows_, key); }).value();
  }
  void compact() {
    const auto done = runtime_.call(0, [&] { return store_->compact(); });
    ASSERT_TRUE(done) << done.error().text();
  }

  ManualClock clock_;
  TemporaryDirectory directory_;
  io::Runtime runtime_{{.shards = 1, .blocking_threads = 2}};
  StoreOptions options_;
  std::unique_ptr<RocksStore> store_;
  Keyspace rows_;
};

// --- garbage

TEST_F(RocksLife, a_version_points_to_the_one_before) {
  const CommitTime first = put("a", "100").value();
  const CommitTime second = put("a", "200").value();
  const auto chain = versions("a");
  ASSERT_EQ(chain.size(), 2u);
  EXPECT_EQ(chain[0].committed_at, second);
  EXPECT_EQ(chain[0].roll, first);
  EXPECT_EQ(chain[0].version, 2u);
  EXPECT_EQ(chain[0].value, "200");
  EXPECT_EQ(chain[1].committed_at, first);
  EXPECT_EQ(chain[1].roll, 0u);
  EXPECT_LT(chain[1].transaction_id, chain[0].transaction_id);
}

TEST_F(RocksLife, versions_stay_as_long_as_retain_says) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(put("a", std::to_string(i)));
  compact();
  EXPECT_EQ(versions("a").size(), 5u);
  clock_.advance(std::chrono::minutes(11));
  compact();
  ASSERT_EQ(versions("a").size(), 1u);
  EXPECT_EQ(get("a"), "4");
}

TEST_F(RocksLife, versions_stay_as_long_as_a_view_sees_them) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(put("a", std::to_string(i)));
  auto reader = begin();
  for (int i = 3; i < 6; ++i) ASSERT_TRUE(put("a", std::to_string(i)));
  ASSERT_TRUE(erase("a"));
  clock_.advance(std::chrono::minutes(11));
  compact();
  EXPECT_EQ(get(*reader, "a"), "2");
  EXPECT_EQ(versions("a").size(), 5u);  // what the reader sees and everything after
  reader.reset();
  compact();
  EXPECT_EQ(get("a"), "(none)");
}

TEST_F(RocksLife, an_erased_row_leaves_nothing_behind_in_the_end) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(put("k" + std::to_string(i), "x"));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(erase("k" + std::to_string(i)));
  ASSERT_TRUE(put("k7", "again"));
  clock_.advance(std::chrono::minutes(11));
  ASSERT_TRUE(put("other", "x"));
  compact();
  // The committer erases in the background what the compaction found dead; a commit behind it in the queue waits for
  // it.
  for (int i = 0; i < 1000 && !versions("k99").empty(); ++i) ASSERT_TRUE(put("other", "x", Sync::kOs));
  for (int i = 0; i < 1000 && !versions("k0").empty(); ++i) ASSERT_TRUE(put("other", "x", Sync::kOs));
  EXPECT_EQ(versions("k0").size(), 0u);
  EXPECT_EQ(versions("k99").size(), 0u);
  ASSERT_EQ(versions("k7").size(), 1u);
  EXPECT_EQ(get("k7"), "again");
  ASSERT_TRUE(put("k0", "new"));
  EXPECT_EQ(versions("k0")[0].version, 1u);
  open();
  EXPECT_EQ(get("k0"), "new");
  EXPECT_EQ(get("k1"), "(none)");
}

TEST_F(RocksLife, a_tombstone_never_uncovers_what_it_erased) {
  ASSERT_TRUE(put("a", "old"));
  compact();  // the old version lies deep
  ASSERT_TRUE(erase("a"));
  clock_.advance(std::chrono::hours(1));
  ASSERT_TRUE(put("b", "x"));
  compact();
  compact();
  EXPECT_EQ(get("a"), "(none)");
  open();
  compact();
  EXPECT_EQ(get("a"), "(none)");
}

// --- the clock
// --- reads between flushes and compactions

TEST_F(RocksLife, reads_agree_with_the_commits_while_compactions_replace_every_file) {
  ASSERT_TRUE(put("a", "0"));
  for (int round = 1; round <= 30; ++round) {
    auto before = begin();
    EXPECT_EQ(get(*before, "a"), std::to_string(round - 1));
    ASSERT_TRUE(put("a", std::to_string(round)));
    EXPECT_EQ(get("a"), std::to_string(round));
    clock_.advance(std::chrono::minutes(11));
    if (round % 3 == 0) compact();
    EXPECT_EQ(get(*before, "a"), std::to_string(round - 1));
    EXPECT_EQ(get("a"), std::to_string(round));
  }
}

TEST_F(RocksLife, a_scan_goes_on_behind_the_end_of_a_file_when_the_next_one_is_not_in_memory) {
  options_.write_buffer_bytes = 256 << 10;  // many files
  open();
  constexpr size_t kRows = 20'000;
  auto name = [](size_t number) {
    return "row " + std::string(6 - std::to_string(number).size(), '0') + std::to_string(number);
  };
  for (size_t at = 0; at < kRows;) {
    auto txn = begin();
    for (size_t end = at + 501; at < std::min(end, kRows); ++at)
      ASSERT_TRUE(txn->put(rows_, name(at), std::string(130, 'x')));
    ASSERT_TRUE(commit(*txn, Sync::kOs));
  }
  for (size_t page : {8, 40, 1000}) {
    open();  // with nothing in memory
    auto txn = begin();
    size_t seen = 0;
    KeyRange range = prefix_range("row");
    for (bool more = true; more;) {
      auto scan = runtime_.call(0, [&] { return txn->scan(rows_, range, {.limit = page}); }).value();
      for (const Row& row : scan.rows) ASSERT_EQ(row.key, name(seen++));
      more = scan.more;
      if (more) range.begin = scan.rows.back().key + '\0';
    }
    EXPECT_EQ(seen, kRows) << "in pages of " << page;
  }
}

TEST_F(RocksLife, files_that_a_compaction_replaced_go_although_nobody_reads_any_more) {
  const auto tables = [&] {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(options_.directory))
      count += entry.path().extension() == ".sst";
    return count;
  };
  // Two rows: their versions interleave, so each compaction merges all files into one.
  const auto put_two_and_compact = [&] {
    ASSERT_TRUE(put("a", "v"));
    ASSERT_TRUE(put("b", "v"));
    compact();
  };
  put_two_and_compact();
  const size_t tables_before = tables();
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(get("a"), "v");  // leaves an idle iterator over these files
    put_two_and_compact();
  }
  // RocksDB deletes on a thread of its own; the limit is for a machine that hangs.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (tables() > tables_before && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_LE(tables(), tables_before);
}

TEST_F(RocksLife, commit_times_rise_although_the_clock_steps_back) {
  const CommitTime first = put("a", "1").value();
  clock_.step_wall(-std::chrono::hours(24));
  const CommitTime second = put("a", "2").value();
  EXPECT_GT(second, first);
  open();
  const CommitTime third = put("a", "3").value();
  EXPECT_GT(third, second);
  EXPECT_EQ(get("a"), "3");
}

TEST_F(RocksLife, commit_times_that_a_power_cut_took_back_are_not_given_again) {
  options_.volatile_disk = true;
  options_.directory = directory_.path() + "/volatile";
  options_.faults = std::make_shared<DiskFaults>();
  open();
  ASSERT_TRUE(put("a", "durable"));
  CommitTime told = 0;
  for (int i = 0; i < 10; ++i) told = put("a", "relaxed", Sync::kOs).value();
  options_.faults->power_cut = true;
  clock_.step_wall(-std::chrono::hours(24));
  store_.reset();
  options_.faults = std::make_shared<DiskFaults>();
  open();
  EXPECT_EQ(get("a"), "durable");
  EXPECT_GT(put("a", "after").value(), told);
}

TEST_F(RocksLife, times_carry_the_wall_clock) {
  const CommitTime at = put("a", "1").value();
  EXPECT_EQ(at, static_cast<CommitTime>(clock_.wall().time_since_epoch().count()));
}

// --- durability levels

TEST_F(RocksLife, relaxed_commits_do_not_sync_and_a_strict_reader_of_them_does) {
  ASSERT_TRUE(put("a", "1"));
  const uint64_t before = store_->statistics().syncs;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put("a", "2", Sync::kOs));
  EXPECT_EQ(store_->statistics().syncs, before);
  auto reader = begin();
  EXPECT_EQ(get(*reader, "a"), "2");
  ASSERT_TRUE(commit(*reader, Sync::kDisk));
  EXPECT_EQ(store_->statistics().syncs, before + 1);
  auto again = begin();
  ASSERT_TRUE(commit(*again, Sync::kDisk));
  EXPECT_EQ(store_->statistics().syncs, before + 1);  // free: nothing new to make durable
}

// --- failures

class RocksFailure : public RocksLife {
 protected:
  void SetUp() override {
    options_.volatile_disk = true;
    options_.faults = std::make_shared<DiskFaults>();
    RocksLife::SetUp();
    ASSERT_TRUE(put("a", "durable"));
  }
  void expect_stopped() {
    ASSERT_TRUE(store_->failure());
    options_.faults->fail_syncs = false;
    options_.faults->fail_writes = false;
    const auto later = put("c", "x");
    ASSERT_FALSE(later);
    EXPECT_EQ(later.error().code(), Code::kUnavailable);
    EXPECT_EQ(get("a"), "durable");
  }
};

TEST_F(RocksFailure, a_failed_sync_stops_the_writers_for_good_and_is_seen_by_nobody) {
  EXPECT_FALSE(store_->failure());
  options_.faults->fail_syncs = true;
  const auto lost = put("a", "lost");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code(), Code::kUnavailable);
  expect_stopped();
  EXPECT_EQ(store_->failure()->code(), Code::kIo);
}

TEST_F(RocksFailure, a_failed_write_stops_the_writers_for_good) {
  options_.faults->fail_writes = true;
  ASSERT_FALSE(put("a", "lost"));
  expect_stopped();
}

TEST_F(RocksFailure, the_engine_keeps_no_file_of_remarks_that_a_full_disk_could_break) {
  options_.faults->fail_writes = true;
  ASSERT_FALSE(put("a", "lost"));
  for (const auto& entry : std::filesystem::directory_iterator(options_.directory))
    EXPECT_FALSE(entry.path().filename().string().starts_with("LOG")) << entry.path();
}

TEST_F(RocksFailure, after_a_failure_a_restart_serves_again) {
  options_.faults->fail_syncs = true;
  ASSERT_FALSE(put("a", "lost"));
  const auto closed = runtime_.call(0, [&] { return store_->close(); });
  EXPECT_FALSE(closed);
  options_.faults = std::make_shared<DiskFaults>();
  open();
  EXPECT_FALSE(store_->failure());
  EXPECT_TRUE(put("b", "x"));
}

// --- checkpoints

TEST_F(RocksLife, a_checkpoint_opens_as_a_store_with_everything_up_to_its_time) {
  ASSERT_TRUE(put("a", "1"));
  const CommitTime newest = put("b", "2").value();
  const std::string copy = directory_.path() + "/backup/copy";
  const auto taken = runtime_.call(0, [&] { return store_->checkpoint(copy); });
  ASSERT_TRUE(taken) << taken.error().text();
  EXPECT_GE(*taken, newest);
  ASSERT_TRUE(put("a", "later"));
  options_.directory = copy;
  open();
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(get("b"), "2");
  EXPECT_TRUE(put("a", "3"));
}

TEST_F(RocksLife, a_checkpoint_goes_into_an_empty_directory_and_never_over_files) {
  ASSERT_TRUE(put("a", "1"));
  const std::string empty = directory_.path() + "/empty", full = directory_.path() + "/full";
  std::filesystem::create_directory(empty);
  std::filesystem::create_directory(full);
  std::ofstream(full + "/precious") << "x";
  EXPECT_TRUE(runtime_.call(0, [&] { return store_->checkpoint(empty); }));
  const auto refused = runtime_.call(0, [&] { return store_->checkpoint(full); });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kExists);
  EXPECT_TRUE(std::filesystem::exists(full + "/precious"));
}

// --- opening and closing

TEST_F(RocksLife, a_directory_is_open_once) {
  const auto second = RocksStore::open(options_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::kBusy) << second.error().text();
}

TEST_F(RocksLife, close_waits_for_no_transaction_but_says_that_one_lives) {
  auto txn = begin();
  const auto busy = runtime_.call(0, [&] { return store_->close(); });
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code(), Code::kBusy);
  txn.reset();
  EXPECT_TRUE(runtime_.call(0, [&] { return store_->close(); }));
  EXPECT_TRUE(runtime_.call(0, [&] { return store_->close(); }));
  const auto late = runtime_.call(0, [&] { return store_->begin(); });
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::kClosed);
  EXPECT_FALSE(store_->keyspace("x"));
  EXPECT_EQ(store_->statistics().commits, 0u);
}

TEST_F(RocksLife, levels_that_are_not_offered_say_so) {
  for (const Isolation level : {Isolation::kReadUncommitted, Isolation::kSerializable}) {
    const auto txn = runtime_.call(0, [&] { return store_->begin(level); });
    ASSERT_FALSE(txn);
    EXPECT_EQ(txn.error().code(), Code::kUnsupported);
  }
}

TEST_F(RocksLife, a_directory_that_cannot_be_made_is_an_error) {
  std::ofstream(directory_.path() + "/file") << "x";
  const auto refused = RocksStore::open({.directory = directory_.path() + "/file/db"});
  EXPECT_FALSE(refused);
  EXPECT_FALSE(RocksStore::open({.directory = ""}));
}

TEST_F(RocksLife, a_damaged_manifest_is_reported_and_not_served) {
  store_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(options_.directory)) {
    if (entry.path().filename().string().starts_with("MANIFEST")) {
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(10);
      file << "damage";
    }
  }
  const auto refused = RocksStore::open(options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kCorrupt) << refused.error().text();
}

TEST_F(RocksLife, a_damaged_block_is_kCorrupt_for_its_rows_only) {
  const Keyspace other = store_->keyspace("other").value();
  std::string value(4000, 'v');
  base::SeededRandom(1).fill(as_writable_bytes(value));  // incompressible: the rows fill blocks
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(put("k" + std::to_string(100 + i), value + std::to_string(i)));
  auto txn = begin();
  ASSERT_TRUE(txn->put(other, "sound", "1"));
  ASSERT_TRUE(commit(*txn));
  txn.reset();
  compact();
  store_.reset();
  std::filesystem::path largest;
  uintmax_t size = 0;
  for (const auto& entry : std::filesystem::directory_iterator(options_.directory)) {
    if (entry.path().extension() != ".sst" || entry.file_size() <= size) continue;
    largest = entry.path();
    size = entry.file_size();
  }
  {
    std::fstream file(largest, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(100);
    file << "damage damage damage";
  }
  open();
  auto reader = begin();
  const auto row = runtime_.call(0, [&] { return reader->get(rows_, "k100"); });
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().code(), Code::kCorrupt) << row.error().text();
  const auto scan = runtime_.call(0, [&] { return reader->scan(rows_, {}); });
  ASSERT_FALSE(scan);
  EXPECT_EQ(scan.error().code(), Code::kCorrupt);
  const auto sound = runtime_.call(0, [&] { return reader->get(other, "sound"); });
  ASSERT_TRUE(sound && *sound);
  EXPECT_EQ((*sound)->value, "1");
}

// --- limits

Task<int> flood(Store& store, Keyspace rows, int clients) {
  struct Client {
    static Task<void> run(Store& target, Keyspace keyspace, int index, int& busy) {
      auto txn = co_await target.begin();
      EXPECT_TRUE((*txn)->put(keyspace, "k" + std::to_string(index), std::string(100'000, 'v')));
      const auto done = co_await (*txn)->commit();
      if (!done && done.error().code() == Code::kBusy) ++busy;
    }
  };
  int busy = 0;
  io::TaskGroup group(co_await io::this_scope());
  for (int i = 0; i < clients; ++i) group.spawn(Client::run(store, rows, i, busy));
  co_await group.join();
  co_return busy;
}

TEST_F(RocksLife, commits_beyond_the_queue_are_kBusy_and_nothing_is_stuck) {
  options_.commit_queue_bytes = 250'000;
  options_.directory = directory_.path() + "/small";
  open();
  const int busy = runtime_.call(0, [&] { return flood(*store_, rows_, 50); });
  EXPECT_GT(busy, 0);
  EXPECT_LT(busy, 50);
  EXPECT_TRUE(put("after", "x"));
}

TEST_F(RocksLife, conflicts_are_found_when_the_memory_of_recent_writes_is_tiny) {
  options_.recent_writes_bytes = 1;
  options_.directory = directory_.path() + "/forgetful";
  open();
  ASSERT_TRUE(put("a", "1"));
  auto late = begin();
  ASSERT_TRUE(late->put(rows_, "a", "late"));
  auto guarded = begin();
  ASSERT_TRUE(runtime_.call(0, [&] { return guarded->get_for_update(rows_, "a"); }));
  ASSERT_TRUE(guarded->put(rows_, "z", "x"));
  auto innocent = begin();
  ASSERT_TRUE(innocent->put(rows_, "b", "x"));
  ASSERT_TRUE(put("a", "2"));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(put("filler" + std::to_string(i), "x"));
  const auto conflict = commit(*late);
  ASSERT_FALSE(conflict);
  EXPECT_EQ(conflict.error().code(), Code::kConflict);
  EXPECT_FALSE(commit(*guarded));
  EXPECT_TRUE(commit(*innocent));
  EXPECT_EQ(versions("a").size(), 2u);
}

}  // namespace
}  // namespace polis::store
