// What survives when the process or the power goes: in this process with the volatile disk, and in a child that is
// killed.
#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <spawn.h>
#include <sys/wait.h>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/sim/seeds.h"
#include "kernel/store/rocks_fixture.h"
#include "kernel/store/rocks_store.h"
#include "kernel/store/volatile_env.h"

namespace polis::store {
namespace {

struct Acknowledged {
  CommitTime at;
  std::string key;
  Sync sync;
};

// One client: commits pairs of rows in two keyspaces until the store refuses, at most `times`.
Task<void> write_pairs(Store& store, Keyspace left, Keyspace right, std::string name, int times, uint64_t seed,
                       std::vector<Acknowledged>& acks, int report_to) {
  base::SeededRandom random(seed);
  for (int i = 0; i < times; ++i) {
    const std::string key = name + "/" + std::to_string(i);
    const Sync sync = random.chance(1, 3) ? Sync::kOs : Sync::kDisk;
    auto txn = co_await store.begin();
    if (!txn || !(*txn)->put(left, key, key) || !(*txn)->put(right, key, key) ||
        !(*txn)->put(left, name, std::to_string(i)))
      co_return;
    auto at = co_await (*txn)->commit(sync);
    if (!at) co_return;
    acks.push_back({*at, key, sync});
    if (report_to >= 0 && sync == Sync::kDisk) {
      const std::string line = key + "\n";
      if (::write(report_to, line.data(), line.size()) != static_cast<ssize_t>(line.size())) co_return;
    }
  }
}

Task<int> write_from_clients(Store& store, Keyspace left, Keyspace right, int clients, int times, uint64_t seed,
                             std::vector<Acknowledged>& acks, int report_to) {
  io::TaskGroup group(co_await io::this_scope());
  for (int i = 0; i < clients; ++i)
    group.spawn(write_pairs(store, left, right, "client" + std::to_string(i), times, seed + static_cast<uint64_t>(i),
                            acks, report_to));
  co_await group.join();
  co_return 0;
}

Task<Result<std::map<std::string, CommitTime>>> read_all(Store& store, Keyspace keyspace) {
  std::map<std::string, CommitTime> found;
  auto txn = CO_TRY(co_await store.begin());
  KeyRange range;
  while (true) {
    const auto page = CO_TRY(co_await txn->scan(keyspace, range));
    for (const Row& row : page.rows) found[row.key] = row.committed_at;
    if (!page.more) co_return std::move(found);
    range.begin = page.rows.back().key + '\0';
  }
}

// What is left in both keyspaces; a pair that is torn fails the test.
std::map<std::string, CommitTime> survivors(io::Runtime& runtime, const std::string& directory,
                                            bool volatile_disk = false) {
  auto store = RocksStore::open({.directory = directory, .volatile_disk = volatile_disk});
  EXPECT_TRUE(store) << store.error().text();
  if (!store) return {};
  const Keyspace left = (*store)->keyspace("left").value(), right = (*store)->keyspace("right").value();
  auto lefts = runtime.call(0, [&] { return read_all(**store, left); });
  auto rights = runtime.call(0, [&] { return read_all(**store, right); });
  EXPECT_TRUE(lefts && rights);
  if (!lefts || !rights) return {};
  std::erase_if(*lefts, [](const auto& row) { return row.first.find('/') == std::string::npos; });
  EXPECT_EQ(*lefts, *rights);
  return *lefts;
}

Task<void> cut_after(DiskFaults& faults, RocksStore& store, int turns, bool flush) {
  for (int i = 0; i < turns; ++i) {
    co_await io::yield();
    if (flush && i == turns / 2) (void)co_await store.compact();
  }
  faults.power_cut = true;
}

Task<int> write_until_cut(DiskFaults& faults, RocksStore& store, Keyspace left, Keyspace right, uint64_t seed,
                          std::vector<Acknowledged>& acks) {
  base::SeededRandom random(seed);
  io::TaskGroup group(co_await io::this_scope());
  for (uint64_t i = 0; i < 6; ++i)
    group.spawn(write_pairs(store, left, right, "client" + std::to_string(i), 30, seed * 10 + i, acks, -1));
  group.spawn(cut_after(faults, store, static_cast<int>(random.below(400)), random.chance(1, 4)));
  co_await group.join();
  co_return 0;
}

void power_cut_round(io::Runtime& runtime, uint64_t seed) {
  SCOPED_TRACE("POLIS_SEED=" + std::to_string(seed));
  TemporaryDirectory directory;
  auto faults = std::make_shared<DiskFaults>();
  std::vector<Acknowledged> acks;
  {
    auto store = RocksStore::open({.directory = directory.path(), .volatile_disk = true, .faults = faults});
    ASSERT_TRUE(store) << store.error().text();
    const Keyspace left = (*store)->keyspace("left").value(), right = (*store)->keyspace("right").value();
    runtime.call(0, [&] { return write_until_cut(*faults, **store, left, right, seed, acks); });
  }
  const auto left = survivors(runtime, directory.path(), true);
  CommitTime newest = 0;
  for (const auto& [key, at] : left) newest = std::max(newest, at);
  for (const Acknowledged& ack : acks) {
    if (ack.sync == Sync::kDisk) EXPECT_TRUE(left.contains(ack.key)) << ack.key << " was acknowledged and is lost";
    // What a surviving commit may have read survived with it.
    if (ack.at <= newest) EXPECT_TRUE(left.contains(ack.key)) << ack.key << " is lost although a later commit is not";
  }
}

TEST(RocksCrash, a_power_cut_at_any_moment_keeps_a_prefix_with_all_that_was_acknowledged) {
  io::Runtime runtime({.shards = 1, .blocking_threads = 2});
  runtime.start();
  const uint64_t broken = sim::for_each_seed(
      sim::seeds(), [&](uint64_t seed) { power_cut_round(runtime, seed); }, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "POLIS_SEED=" << broken;
}

// --- a child that is killed

// Runs in the child only: writes acknowledged keys to descriptor 3 until it is killed.
TEST(RocksCrash, DISABLED_child) {
  const char* directory = std::getenv("POLIS_STORE_TEST_DIRECTORY");
  ASSERT_TRUE(directory);
  auto faults = std::make_shared<DiskFaults>();
  auto store = RocksStore::open(
      {.directory = directory, .volatile_disk = std::getenv("POLIS_STORE_TEST_VOLATILE") != nullptr, .faults = faults});
  ASSERT_TRUE(store) << store.error().text();
  const Keyspace left = (*store)->keyspace("left").value(), right = (*store)->keyspace("right").value();
  faults->ignore_syncs = std::getenv("POLIS_STORE_TEST_NO_SYNC") != nullptr;
  io::Runtime runtime({.shards = 1, .blocking_threads = 2});
  runtime.start();
  std::vector<Acknowledged> acks;
  runtime.call(0, [&] { return write_from_clients(**store, left, right, 8, 1'000'000, 1, acks, 3); });
}

// Starts the child, reads `acknowledged` keys from it, kills it, and answers all keys that it wrote to the pipe.
std::set<std::string> run_and_kill(const std::string& directory, bool volatile_disk, bool sync, size_t acknowledged) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  std::vector<std::string> settings{"POLIS_STORE_TEST_DIRECTORY=" + directory, "TMPDIR=/tmp"};
  if (volatile_disk) settings.push_back("POLIS_STORE_TEST_VOLATILE=1");
  if (!sync) settings.push_back("POLIS_STORE_TEST_NO_SYNC=1");
  if (const char* options = std::getenv("ASAN_OPTIONS")) settings.push_back(std::string("ASAN_OPTIONS=") + options);
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  environment.push_back(nullptr);
  std::string program = "/proc/self/exe", filter = "--gtest_filter=RocksCrash.DISABLED_child",
              disabled = "--gtest_also_run_disabled_tests", brief = "--gtest_brief=1";
  char* arguments[] = {program.data(), filter.data(), disabled.data(), brief.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, ends[1], 3);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  EXPECT_EQ(::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environment.data()), 0);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);

  std::string text;
  char buffer[4096];
  bool killed = false;
  while (true) {
    const ssize_t size = ::read(ends[0], buffer, sizeof buffer);
    if (size <= 0) break;
    text.append(buffer, static_cast<size_t>(size));
    if (!killed && static_cast<size_t>(std::count(text.begin(), text.end(), '\n')) >= acknowledged) {
      ::kill(child, SIGKILL);
      killed = true;
    }
  }
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(killed) << "the child ended by itself after " << text.size() << " bytes";
  std::set<std::string> keys;
  for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    keys.insert(text.substr(at, end - at));
  return keys;
}

size_t lost(const std::set<std::string>& acknowledged, const std::map<std::string, CommitTime>& left) {
  return static_cast<size_t>(
      std::count_if(acknowledged.begin(), acknowledged.end(), [&](const auto& key) { return !left.contains(key); }));
}

class RocksKill : public testing::Test {
 protected:
  void SetUp() override { runtime_.start(); }
  io::Runtime runtime_{{.shards = 1, .blocking_threads = 2}};
  TemporaryDirectory directory_;
};

TEST_F(RocksKill, kill_9_loses_nothing_acknowledged) {
  for (int round = 0; round < 3; ++round) {
    const auto acknowledged = run_and_kill(directory_.path(), false, true, 100);
    EXPECT_EQ(lost(acknowledged, survivors(runtime_, directory_.path())), 0u);
  }
}

TEST_F(RocksKill, kill_9_on_a_volatile_disk_loses_nothing_acknowledged) {
  for (int round = 0; round < 3; ++round) {
    const auto acknowledged = run_and_kill(directory_.path(), true, true, 100);
    EXPECT_EQ(lost(acknowledged, survivors(runtime_, directory_.path())), 0u);
  }
}

TEST_F(RocksKill, without_syncs_the_volatile_disk_loses_commits) {
  const auto acknowledged = run_and_kill(directory_.path(), true, false, 100);
  EXPECT_GT(lost(acknowledged, survivors(runtime_, directory_.path())), 0u)
      << "the volatile disk keeps what it should lose";
}

}  // namespace
}  // namespace polis::store
