// RocksDB iterators that wait for their next point read: making one takes about a fifth of the whole read.
//
// An iterator sees what was written when it was made or refreshed last, so it serves every view up to the newest it
// was made for, and is refreshed, cheaply while no flush or compaction came between, for a later one. It also holds
// memtables, files and blocks: the pool drops a keyspace's idle iterators whenever a flush or compaction replaced those
// (drop()), so that an idle one never holds more than what is current anyway.
//
// Thread-safe: shards take and give, RocksDB's background threads drop. An iterator is used by who took it alone.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "kernel/store/store.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
class Iterator;
}  // namespace rocksdb

namespace polis::store {

// 256: a keyspace costs a memtable of its own, and polis has some 35 systems with a few each.
inline constexpr size_t kKeyspacesMax = 256;

struct Seeker {
  Seeker();
  ~Seeker();
  std::unique_ptr<rocksdb::Iterator> iterator;
  CommitTime serves_to = 0;  // sees every commit up to this moment
  uint32_t epoch = 0;        // of its keyspace when it was made
};

class Seekers {
 public:
  Seekers() = default;
  ~Seekers() { drop_all(); }
  Seekers(const Seekers&) = delete;
  Seekers& operator=(const Seekers&) = delete;

  // An iterator over the keyspace that looks at memory alone and serves `view`, which is visible already. Null: RocksDB
  // cannot refresh the idle one; make do without.
  std::unique_ptr<Seeker> take(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family, Keyspace keyspace,
                               CommitTime view);
  // Gives it back, healthy: the last seek ended with status OK.
  void give(Keyspace keyspace, std::unique_ptr<Seeker> seeker);

  // After a flush or compaction of this keyspace.
  void drop(uint32_t keyspace_id);
  // Before RocksDB closes; nobody takes or gives any more.
  void drop_all();

 private:
  // Idle iterators a keyspace. A shard finds its own by its index; shards beyond share, which only costs making some
  // anew.
  static constexpr size_t kPlaces = 8;
  struct alignas(64) Place {  // shards write to different cache lines
    std::array<std::atomic<Seeker*>, kKeyspacesMax> idle{};
  };
  static size_t place_of_thread();

  std::array<Place, kPlaces> places_;
  std::array<std::atomic<uint32_t>, kKeyspacesMax> epochs_{};
};

}  // namespace polis::store
