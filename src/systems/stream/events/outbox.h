// Outbox: events of a system leave through rows of the very transaction that made them, and come to a topic exactly
// once, in the order of the commits.
//
//     put(txn) ─► row "o" name ──commit──► relay: rows by commit ─► batches, each record with its number in a header
//                                          ─► durable in the topic ─► one transaction: rows go, positions move
//
// The positions are rows too: where in each partition everything below is known to be settled. After a crash the relay
// reads from there on which numbers have come, and sends only the others. So nothing is lost and nothing comes twice,
// whatever breaks in between, as long as the topic keeps what it acknowledged (polis.durability=fsync).
//
// Opened on one shard, where its relay lives; put() and notify() on any.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/io/shard.h"
#include "kernel/store/store.h"
#include "systems/stream/events/event_log.h"

namespace polis::stream {

// Of every record that came through an outbox: "<name>:<number>". A consumer elsewhere may tell repeats by it.
inline constexpr std::string_view kOutboxHeader = "polis-outbox";
inline constexpr size_t kOutboxRecordBytesMax = 1'000'000;

struct OutboxParts {
  Broker& broker;
  store::Store& store;
  store::Keyspace rows;  // of stream
};

struct OutboxOptions {
  std::string name;  // of one source of events, [a-z0-9_.-]{1,64}
  size_t batch_records_max = 1000;
  size_t batch_bytes_max = 512 << 10;
  // Rows of a transaction whose committer did not call notify() are seen after so long.
  Duration look_every = std::chrono::seconds(1);
};

struct OutboxStatistics {
  uint64_t sent = 0, repeats_left_out = 0;
  std::string error;  // what it is waiting for; empty while all goes well
};

class Outbox {
 public:
  static Task<Result<std::unique_ptr<Outbox>>> open(OutboxParts parts, OutboxOptions options);
  ~Outbox();  // after close()
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  // The record is sent once the transaction has committed, and only then. kInvalid, kTooLarge.
  Result<void> put(store::Txn& txn, std::string_view topic, const NewRecord& record,
                   std::optional<int32_t> partition = std::nullopt);
  // After the commit: the relay looks at once.
  void notify();

  // Until everything committed before is in its topic. The shard of the outbox.
  Task<Result<void>> settled();
  OutboxStatistics statistics() const;  // any thread
  // What is committed and not yet sent goes out after the next open.
  Task<void> close();

 private:
  struct Waiting;
  using Lane = std::pair<std::string, int32_t>;  // topic, partition
  Outbox(OutboxParts parts, OutboxOptions options);
  Task<Result<void>> begin();
  Task<void> relay();
  Task<Result<size_t>> relay_some();
  Task<Result<std::vector<Waiting>>> waiting_rows();
  Task<Result<void>> read_back();
  Task<Result<void>> read_back_lane(const Lane& lane, Offset from);
  Task<Result<void>> keep_position(const Lane& lane);
  Task<Result<void>> send(const Lane& lane, const std::vector<const Waiting*>& waiting);
  Task<Result<void>> settle(const std::vector<Waiting>& waiting);
  void report(std::string error);
  std::string row_key(char kind) const;

  const OutboxParts parts_;
  const OutboxOptions options_;
  io::Shard& home_;
  std::atomic<uint64_t> next_number_{0};
  std::atomic<bool> notified_{false};
  // Wakes the relay. Shared with what notify() posted, which may run after the end.
  std::shared_ptr<io::Event> look_ = std::make_shared<io::Event>();
  std::map<Lane, Offset> positions_;  // as the rows have them
  std::map<Lane, Offset> ends_;       // behind what was sent last
  std::set<uint64_t> came_;           // numbers found in the topics, whose rows are still there
  bool doubtful_ = true;              // what came must be read back before anything is sent
  uint64_t rounds_ = 0;               // of the relay that found nothing more
  io::Event round_;
  std::atomic<uint64_t> sent_{0}, repeats_{0};
  mutable std::mutex error_mutex_;  // written once a failure
  std::string error_;
  io::TaskGroup tasks_;
};

}  // namespace polis::stream
