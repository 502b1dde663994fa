#include "kernel/store/seekers.h"

#include <rocksdb/db.h>
#include <rocksdb/iterator.h>

#include "kernel/io/shard.h"

namespace polis::store {

Seeker::Seeker() = default;
Seeker::~Seeker() = default;

size_t Seekers::place_of_thread() {
  const io::Shard* shard = io::Shard::current_or_null();
  return shard ? shard->index() % kPlaces : 0;
}

std::unique_ptr<Seeker> Seekers::take(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family, Keyspace keyspace,
                                      CommitTime view) {
  std::unique_ptr<Seeker> seeker(places_[place_of_thread()].idle[keyspace.id].exchange(nullptr));
  if (seeker) {
    if (view <= seeker->serves_to) return seeker;
    // Commits were published after they were written, so what is refreshed now sees all of the view.
    if (!seeker->iterator->Refresh().ok()) return nullptr;
    seeker->serves_to = view;
    return seeker;
  }
  rocksdb::ReadOptions options;
  options.read_tier = rocksdb::kBlockCacheTier;
  options.prefix_same_as_start = true;    // the prefix is the escaped key: Bloom filters rule out files and memtables
  options.ignore_range_deletions = true;  // there are none; spares looking
  options.background_purge_on_iterator_cleanup = true;  // a shard never deletes files
  seeker = std::make_unique<Seeker>();
  seeker->epoch = epochs_[keyspace.id].load();  // before the iterator: what comes between drops it too early, not late
  seeker->iterator.reset(database.NewIterator(options, family));
  seeker->serves_to = view;
  return seeker;
}

void Seekers::give(Keyspace keyspace, std::unique_ptr<Seeker> seeker) {
  std::atomic<uint32_t>& epoch = epochs_[keyspace.id];
  if (seeker->epoch != epoch.load()) return;
  const uint32_t made = seeker->epoch;
  std::atomic<Seeker*>& place = places_[place_of_thread()].idle[keyspace.id];
  Seeker* none = nullptr;
  if (!place.compare_exchange_strong(none, seeker.get())) return;
  (void)seeker.release();
  // drop() raises the epoch and then looks; this looks after it has given: one of the two finds it (both are
  // sequentially consistent).
  if (made != epoch.load()) delete place.exchange(nullptr);
}

void Seekers::drop(uint32_t keyspace_id) {
  if (keyspace_id >= kKeyspacesMax) return;
  epochs_[keyspace_id].fetch_add(1);
  for (Place& place : places_) delete place.idle[keyspace_id].exchange(nullptr);
}

void Seekers::drop_all() {
  for (uint32_t id = 0; id < kKeyspacesMax; ++id) drop(id);
}

}  // namespace polis::store
