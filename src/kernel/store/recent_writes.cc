#include "kernel/store/recent_writes.h"

namespace polis::store {

const std::string& RecentWrites::compose(Keyspace keyspace, std::string_view key) {
  scratch_.assign(reinterpret_cast<const char*>(&keyspace.id), sizeof keyspace.id);
  scratch_.append(key);
  return scratch_;
}

const Newest* RecentWrites::find(Keyspace keyspace, std::string_view key) {
  if (newest_.empty()) return nullptr;
  const auto found = newest_.find(compose(keyspace, key));
  return found == newest_.end() ? nullptr : &found->second;
}

void RecentWrites::record(Keyspace keyspace, std::string_view key, const Newest& newest) {
  auto [at, fresh] = newest_.try_emplace(compose(keyspace, key), newest);
  const bool queued = !fresh && at->second.committed_at == newest.committed_at;
  at->second = newest;
  if (queued) return;
  order_.push_back({newest.committed_at, &*at});
  bytes_ += cost(at->first);
}

void RecentWrites::evict(CommitTime oldest_view) {
  while (!order_.empty() && (order_.front().committed_at <= oldest_view || bytes_ > bytes_max_)) {
    const Written written = order_.front();
    order_.pop_front();
    floor_ = written.committed_at;
    bytes_ -= cost(written.entry->first);
    // A later write of the same key keeps the entry; its own place in the queue removes it.
    if (written.entry->second.committed_at == written.committed_at) newest_.erase(newest_.find(written.entry->first));
  }
}

}  // namespace polis::store
