// What was committed lately, by key: lets the committer check a transaction without reading. Exact for every commit
// above floor(); a key that is missing here was last written at or before floor(). Belongs to the committer thread.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "kernel/store/store.h"

namespace polis::store {

// The newest committed version of a key, as far as somebody knows it.
struct Newest {
  CommitTime committed_at = 0;  // 0: never written, or long gone
  uint64_t version = 0;         // 0 when not live
  bool live = false;            // false: no row, or a tombstone
};

class RecentWrites {
 public:
  // Commits up to `floor` are unknown here.
  RecentWrites(CommitTime floor, size_t bytes_max) : floor_(floor), bytes_max_(bytes_max) {}

  const Newest* find(Keyspace keyspace, std::string_view key);
  // Times of successive calls never fall.
  void record(Keyspace keyspace, std::string_view key, const Newest& newest);
  // Forgets what no transaction can conflict with (commits up to `oldest_view`), and more if memory runs out.
  void evict(CommitTime oldest_view);

  CommitTime floor() const { return floor_; }
  size_t size_bytes() const { return bytes_; }

 private:
  using Map = std::unordered_map<std::string, Newest>;
  struct Written {
    CommitTime committed_at;
    Map::value_type* entry;  // stable until erased
  };
  const std::string& compose(Keyspace keyspace, std::string_view key);
  static size_t cost(std::string_view key) { return key.size() + 128; }  // node, bucket, queue entry

  Map newest_;
  std::deque<Written> order_;
  std::string scratch_;
  CommitTime floor_;
  size_t bytes_max_;
  size_t bytes_ = 0;
};

}  // namespace polis::store
