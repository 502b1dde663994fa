// TopicRegistry: the topics of one polis (topics.h): rows, directories, open partitions, and the rounds that tend them.
//
//     shard 0      the truth: rows, changes one at a time, the picture that all shards get, the disk's free space
//     every shard  its partitions, one scheduler of syncs, one loop that tends a few partitions a second
//
// A partition that cannot be opened or has stopped does not stop the others: problems() tells of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/file.h"
#include "systems/stream/broker/topics.h"

namespace polis::stream {

struct TopicsOptions {
  std::string directory;  // DIR/stream; made if absent
  int32_t default_partitions = 1;
  bool fewer_replicas = false;  // more replicas than one are asked for: one is made, instead of a refusal
  // Of all topics together: about 15 KiB of memory and two descriptors each when busy.
  int32_t partitions_max = 100'000;
  // Every partition is tended once in so long: retention, compaction, rolling by age.
  Duration tend_every = std::chrono::seconds(30);
  // Clients may append no more when so much of the disk is used.
  uint32_t disk_full_percent = 95;
};

struct TopicsParts {
  io::Disk& disk;
  store::Store& store;
  store::Keyspace rows;
  const Clock& clock;
  Random& random;                  // thread-safe
  std::vector<io::Shard*> shards;  // the first makes the changes
};

// What is wrong with a partition, for a person.
struct PartitionProblem {
  std::string name;  // "orders-3"
  Error error;
};

class TopicRegistry final : public Topics {
 public:
  // On the first shard. Opens every partition there is and ends what a crash left half done. Fails only if the rows or
  // the directory cannot be read.
  static Task<Result<std::unique_ptr<TopicRegistry>>> open(TopicsParts parts, TopicsOptions options);
  ~TopicRegistry() override;
  // Ends the rounds, then makes everything durable and closes it. Nobody may use a partition any more. First shard.
  Task<void> close();

  std::shared_ptr<const TopicTable> table() const override;
  Task<Refusal> create(NewTopic topic, bool validate_only, bool internal) override;
  Task<Refusal> erase(std::string name) override;
  Task<Refusal> add_partitions(std::string name, int32_t total, bool validate_only) override;
  Task<Refusal> configure(std::string name, std::map<std::string, std::optional<std::string>> changes, bool replace_all,
                          bool validate_only) override;
  io::Shard& shard_of(const Topic& topic, int32_t partition) const override;
  std::shared_ptr<Partition> open_partition(const Topic& topic, int32_t partition) const override;
  Error why_closed(const Topic& topic, int32_t partition) const override;
  void when_erased(std::function<Task<void>(std::string name)> told) override;
  bool disk_full() const override;
  Storage storage() const override;

  // Any thread.
  std::vector<PartitionProblem> problems() const;

 private:
  struct State;
  explicit TopicRegistry(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polis::stream
