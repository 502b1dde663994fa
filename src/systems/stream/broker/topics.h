// Topics: which topics there are, and where their partitions live. The list is rows of the Store; every shard holds an
// immutable picture of it, so that looking up a topic costs no lock and no hop.
//
//     rows   "t" name → topic (id, partitions, overrides)        keyspace "stream"; one transaction a change
//     files  DIR/stream/<topic>-<partition>/                     segments of one partition (partition/partition.h)
//
// A partition lives on the shard that a hash of (topic id, number) names, and is opened at start. Changes run on shard
// 0, one at a time: rows first, then files, then every shard's picture; a crash in between is finished at start.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernel/io/shard.h"
#include "kernel/io/task.h"
#include "kernel/store/store.h"
#include "systems/stream/partition/partition.h"
#include "systems/stream/types.h"

namespace polis::stream {

// The picture of all topics at one moment.
class TopicTable {
 public:
  virtual ~TopicTable() = default;
  virtual const Topic* find(std::string_view name) const = 0;
  virtual const Topic* find(const Uuid& id) const = 0;
  virtual std::span<const std::shared_ptr<const Topic>> all() const = 0;  // by name
};

struct NewTopic {
  std::string name;
  int32_t partitions = -1;          // -1: the broker's default
  int16_t replication_factor = -1;  // -1 or 1
  std::map<std::string, std::string> config;
};

class Topics {
 public:
  virtual ~Topics() = default;

  // The current picture; any shard. Valid as long as it is held.
  virtual std::shared_ptr<const TopicTable> table() const = 0;

  // Any shard; run on shard 0. Refusals carry the protocol's code and a sentence.
  virtual Task<Refusal> create(NewTopic topic, bool validate_only, bool internal = false) = 0;
  virtual Task<Refusal> erase(std::string name) = 0;
  virtual Task<Refusal> add_partitions(std::string name, int32_t total, bool validate_only) = 0;
  // Replaces all overrides, or changes some: an empty value takes the override away.
  virtual Task<Refusal> configure(std::string name, std::map<std::string, std::optional<std::string>> changes,
                                  bool replace_all, bool validate_only) = 0;

  // Calls `use(Partition&)`, a coroutine, on the partition's shard and answers its value on the caller's: kNotFound
  // when the partition is unknown or being erased. The partition stays open until `use` has returned.
  template <class F>
  auto with(const Topic& topic, int32_t partition, F use)
      -> Task<Result<typename std::invoke_result_t<F&, Partition&>::value_type>> {
    using Value = typename std::invoke_result_t<F&, Partition&>::value_type;
    // Held by this frame, which outlives the call.
    const auto work = [this, &topic, partition, &use]() -> Task<Result<Value>> {
      const std::shared_ptr<Partition> open = open_partition(topic, partition);
      if (!open) co_return fail(Code::kNotFound, topic.name + "-" + std::to_string(partition) + " is not here");
      co_return co_await use(*open);
    };
    co_return co_await io::on(shard_of(topic, partition), work);
  }

  virtual io::Shard& shard_of(const Topic& topic, int32_t partition) const = 0;
  // On the partition's shard only; null if it is not (or no longer) open.
  virtual std::shared_ptr<Partition> open_partition(const Topic& topic, int32_t partition) const = 0;
};

}  // namespace polis::stream
