#include "kernel/store/seekers.h"

#include <atomic>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <thread>

#include "kernel/io/shard.h"
#include "kernel/store/rocks_fixture.h"

namespace polis::store {
namespace {

// Moments count the writes, as commits do.
class SeekersTest : public testing::Test {
 protected:
  void SetUp() override {
    rocksdb::Options options;
    options.create_if_missing = true;
    // Everything stays in memory: an iterator that finds nothing there would say nothing about the rows.
    rocksdb::BlockBasedTableOptions table;
    table.prepopulate_block_cache = rocksdb::BlockBasedTableOptions::PrepopulateBlockCache::kFlushOnly;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    options.disable_auto_compactions = true;
    rocksdb::DB* raw = nullptr;
    const auto opened = rocksdb::DB::Open(options, directory_.path() + "/db", &raw);
    ASSERT_TRUE(opened.ok()) << opened.ToString();
    database_.reset(raw);
  }
  void TearDown() override { seekers_.drop_all(); }

  void put(const std::string& key) {
    const auto status = database_->Put({}, key, "v");
    ASSERT_TRUE(status.ok()) << status.ToString();
    ++moment_;
  }
  void flush() {
    const auto status = database_->Flush({});
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  std::unique_ptr<Seeker> take(CommitTime view) {
    return seekers_.take(*database_, database_->DefaultColumnFamily(), rows_, view);
  }
  static bool finds(Seeker& seeker, const std::string& key) {
    seeker.iterator->Seek(key);
    return seeker.iterator->Valid() && seeker.iterator->key() == key;
  }
  // Sets of files and memtables that somebody holds.
  uint64_t versions_held() {
    uint64_t count = 0;
    EXPECT_TRUE(database_->GetIntProperty(rocksdb::DB::Properties::kNumLiveVersions, &count));
    return count;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<rocksdb::DB> database_;
  Seekers seekers_;
  const Keyspace rows_{0};
  std::atomic<CommitTime> moment_{0};
};

TEST_F(SeekersTest, an_iterator_that_was_given_back_is_taken_again) {
  put("a");
  auto seeker = take(moment_);
  EXPECT_TRUE(finds(*seeker, "a"));
  const rocksdb::Iterator* iterator = seeker->iterator.get();
  seekers_.give(rows_, std::move(seeker));
  seeker = take(moment_);
  EXPECT_EQ(seeker->iterator.get(), iterator);
  EXPECT_TRUE(finds(*seeker, "a"));
}

TEST_F(SeekersTest, a_later_view_sees_what_was_written_since_across_flushes_too) {
  put("a");
  seekers_.give(rows_, take(moment_));
  put("b");
  auto seeker = take(moment_);
  EXPECT_TRUE(finds(*seeker, "b"));
  seekers_.give(rows_, std::move(seeker));
  flush();  // nobody drops: the refresh alone must find the new file and memtable
  put("c");
  seeker = take(moment_);
  EXPECT_TRUE(finds(*seeker, "b"));
  EXPECT_TRUE(finds(*seeker, "c"));
}

TEST_F(SeekersTest, two_at_a_time_are_two_iterators) {
  put("a");
  auto first = take(moment_), second = take(moment_);
  EXPECT_NE(first->iterator.get(), second->iterator.get());
  seekers_.give(rows_, std::move(first));
  seekers_.give(rows_, std::move(second));  // no place left: it goes
  EXPECT_TRUE(finds(*take(moment_), "a"));
}

TEST_F(SeekersTest, a_drop_frees_what_idle_iterators_held) {
  put("a");
  seekers_.give(rows_, take(moment_));
  flush();
  EXPECT_EQ(versions_held(), 2u);
  seekers_.drop(rows_.id);
  EXPECT_EQ(versions_held(), 1u);
}

TEST_F(SeekersTest, an_iterator_taken_before_a_drop_is_not_kept_after_it) {
  put("a");
  auto seeker = take(moment_);
  flush();
  seekers_.drop(rows_.id);
  EXPECT_EQ(versions_held(), 2u);
  seekers_.give(rows_, std::move(seeker));
  EXPECT_EQ(versions_held(), 1u);
}

TEST_F(SeekersTest, a_drop_of_another_keyspace_changes_nothing) {
  put("a");
  auto seeker = take(moment_);
  const rocksdb::Iterator* iterator = seeker->iterator.get();
  seekers_.drop(rows_.id + 1);
  seekers_.drop(UINT32_MAX);  // RocksDB's word, not checked before
  seekers_.give(rows_, std::move(seeker));
  EXPECT_EQ(take(moment_)->iterator.get(), iterator);
}

TEST_F(SeekersTest, threads_take_and_give_while_another_writes_flushes_and_drops) {
  put("0");
  std::atomic<bool> over{false};
  std::atomic<uint64_t> missed{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!over) {
        const CommitTime view = moment_;
        auto seeker = take(view);
        if (!finds(*seeker, std::to_string(view - 1))) ++missed;
        seekers_.give(rows_, std::move(seeker));
      }
    });
  }
  for (int i = 1; i <= 200; ++i) {
    put(std::to_string(i));
    if (i % 20 == 0) flush();
    if (i % 5 == 0) seekers_.drop(rows_.id);
  }
  over = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(missed, 0u);
  seekers_.drop(rows_.id);
  EXPECT_EQ(versions_held(), 1u);
}

}  // namespace
}  // namespace polis::store
