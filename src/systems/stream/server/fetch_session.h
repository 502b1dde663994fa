// Fetch sessions (KIP-227): a consumer names its partitions once, then only what has changed; the broker answers with
// the partitions that have something new. A session belongs to the connection that made it: one is enough for every
// client there is, and it goes with the connection. A client that comes with the session of an earlier connection is
// told to begin a new one.
#pragma once

#include <list>
#include <map>
#include <string>
#include <vector>

#include "systems/stream/protocol/messages.h"
#include "systems/stream/types.h"

namespace polis::stream {

// A partition that a consumer reads.
struct FetchTarget {
  std::string topic;  // empty where the client names topics by id (version 13)
  Uuid topic_id;
  int32_t partition = 0;
  int32_t current_leader_epoch = -1;
  int32_t last_fetched_epoch = -1;
  Offset fetch_offset = 0;
  int32_t bytes_max = 0;
  // What the last answer of the session said.
  Offset high_watermark = -1, log_start_offset = -1;
};

class FetchSession {
 public:
  explicit FetchSession(int32_t id) : id_(id) {}

  int32_t id() const { return id_; }
  // The epoch that the next request must carry; after 2^31-1 comes 1.
  int32_t next_epoch() const { return next_epoch_; }
  void advance();

  // Adds, changes and forgets partitions.
  void update(const FetchRequest& request);
  bool empty() const { return targets_.empty(); }
  size_t size() const { return targets_.size(); }
  // In the order in which they are served: who was given records goes to the end.
  std::list<FetchTarget>& targets() { return targets_; }
  void served(std::list<FetchTarget>::iterator target) { targets_.splice(targets_.end(), targets_, target); }

 private:
  using Key = std::pair<std::string, int32_t>;
  static Key key(std::string_view topic, const Uuid& id, int32_t partition);

  const int32_t id_;
  int32_t next_epoch_ = 1;
  std::list<FetchTarget> targets_;
  std::map<Key, std::list<FetchTarget>::iterator> by_name_;
};

// The partitions that a request names itself.
std::list<FetchTarget> targets_of(const FetchRequest& request);

}  // namespace polis::stream
