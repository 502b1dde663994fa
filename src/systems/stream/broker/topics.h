// Topics: which topics there are, and where their partitions live. The list is rows of the Store; every shard holds an
// immutable picture of it, so that looking up a topic costs no lock and no hop.
//
//     rows   "t" name → topic (id, partitions, overrides)        keyspace "stream"; one transaction a change
//     files  DIR/stream/<topic>-<partition>/                     segments of one partition (partition/partition.h)
//
// A partition lives on the shard that a hash of (topic id, number) names, and is opened at start. Changes run on shard
// 0, one at a time. What comes: files, then the row, then every shard's picture; what goes: the row, the pictures, the
// files. So every row has its files, and files without a row are what a crash left behind: they go at the next start.
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

// What a call answers that may itself fail to be made: Result<T> of T and of Result<T> alike.
template <class T>
struct FlatResultOf {
  using type = Result<T>;
};
template <class T>
struct FlatResultOf<Result<T>> {
  using type = Result<T>;
};
template <class T>
using FlatResult = typename FlatResultOf<T>::type;

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
  std::map<std::string, std::string> config = {};
};

// Where the partitions lie; any shard, at most a few seconds old.
struct Storage {
  std::string directory;
  uint64_t total_bytes = 0, usable_bytes = 0;
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

  // Calls `use(Partition&)`, a coroutine that answers a value or a Result, on the partition's shard and answers it on
  // the caller's; why_closed()
  // when the partition is not open. The partition outlives `use`; erasing its topic meanwhile closes it, and what waits
  // in it is answered.
  template <class F>
  auto with(const Topic& topic, int32_t partition, F use)
      -> Task<FlatResult<typename std::invoke_result_t<F&, Partition&>::value_type>> {
    using Answer = FlatResult<typename std::invoke_result_t<F&, Partition&>::value_type>;
    // Held by this frame, which outlives the call.
    const auto work = [this, &topic, partition, &use]() -> Task<Answer> {
      const std::shared_ptr<Partition> open = open_partition(topic, partition);
      if (!open) co_return fail(why_closed(topic, partition));
      co_return co_await use(*open);
    };
    co_return co_await io::on(shard_of(topic, partition), std::cref(work));
  }

  virtual io::Shard& shard_of(const Topic& topic, int32_t partition) const = 0;
  // On the partition's shard only; null if it is not (or no longer) open.
  virtual std::shared_ptr<Partition> open_partition(const Topic& topic, int32_t partition) const = 0;
  // There, when open_partition() gave null: kNotFound, or what kept it from being opened.
  virtual Error why_closed(const Topic& topic, int32_t partition) const = 0;

  // Called on shard 0 for every topic that was erased, before erase() answers. Set before the first erase.
  virtual void when_erased(std::function<Task<void>(std::string name)> told) = 0;

  // The disk is so full that clients may append no more; what the broker itself must write goes on. Any shard, at most
  // a few seconds old.
  virtual bool disk_full() const = 0;
  virtual Storage storage() const = 0;
};

}  // namespace polis::stream
