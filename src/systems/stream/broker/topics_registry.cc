#include "systems/stream/broker/topics_registry.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <fmt/format.h>
#include <mutex>
#include <set>
#include <unordered_map>

#include "kernel/base/hash.h"
#include "kernel/log/sync_scheduler.h"
#include "systems/stream/broker/coordinators.h"
#include "systems/stream/broker/topic_row.h"

namespace polis::stream {
namespace {

using TopicPtr = std::shared_ptr<const Topic>;  // shared by the pictures of all shards

// Segment files that the partitions of a shard keep open together; a process of few descriptors has 4,096.
constexpr size_t kSegmentFilesMax = 1024;
// Opening and closing waits for the disk: so many at once keep it busy without taking all threads of the pool.
constexpr size_t kOpeningAtOnce = 16;
constexpr Duration kTendTurn = std::chrono::seconds(1);
constexpr Duration kSpaceTurn = std::chrono::seconds(5);

struct TopicIdHash {
  size_t operator()(const Uuid& id) const { return base::xxh3_64(BytesView(id.bytes)); }
};

class TopicPicture final : public TopicTable {
 public:
  explicit TopicPicture(std::vector<TopicPtr> topics) : topics_(std::move(topics)) {
    std::ranges::sort(topics_, {}, [](const TopicPtr& topic) { return std::string_view(topic->name); });
    by_name_.reserve(topics_.size());
    by_id_.reserve(topics_.size());
    for (const TopicPtr& topic : topics_) {
      by_name_.emplace(topic->name, topic.get());
      by_id_.emplace(topic->id, topic.get());
      partitions_ += topic->partitions;
    }
  }
  const Topic* find(std::string_view name) const override { return found(by_name_, name); }
  const Topic* find(const Uuid& id) const override { return found(by_id_, id); }
  std::span<const TopicPtr> all() const override { return topics_; }
  int64_t partitions() const { return partitions_; }

  // This one with a topic more, exchanged or gone.
  std::shared_ptr<const TopicPicture> with(TopicPtr topic) const {
    std::vector<TopicPtr> topics = others(topic->name);
    topics.push_back(std::move(topic));
    return std::make_shared<const TopicPicture>(std::move(topics));
  }
  std::shared_ptr<const TopicPicture> without(std::string_view name) const {
    return std::make_shared<const TopicPicture>(others(name));
  }

 private:
  template <class Map, class Key>
  static const Topic* found(const Map& map, const Key& key) {
    const auto place = map.find(key);
    return place == map.end() ? nullptr : place->second;
  }
  std::vector<TopicPtr> others(std::string_view name) const {
    std::vector<TopicPtr> topics;
    topics.reserve(topics_.size() + 1);
    for (const TopicPtr& topic : topics_)
      if (topic->name != name) topics.push_back(topic);
    return topics;
  }

  std::vector<TopicPtr> topics_;
  std::unordered_map<std::string_view, const Topic*> by_name_;  // the names lie in the topics
  std::unordered_map<Uuid, const Topic*, TopicIdHash> by_id_;
  int64_t partitions_ = 0;
};
using TopicPicturePtr = std::shared_ptr<const TopicPicture>;  // shared by the shards and by whoever looks at it

struct WantedPartition {
  TopicPtr topic;
  int32_t number = 0;
};

// Shared by the slot and those who use the partition while its topic is erased.
struct PartitionSlot {
  std::shared_ptr<Partition> partition;
  std::unique_ptr<Error> error;  // why there is none
};

// What one shard has. Only that shard touches it.
struct TopicsHome {
  log::SyncScheduler scheduler;
  log::OpenFiles files{kSegmentFilesMax};
  TopicPicturePtr picture;
  std::unordered_map<Uuid, std::vector<PartitionSlot>, TopicIdHash>
      topics;                                    // by partition number; empty where another shard has it
  std::vector<std::pair<Uuid, int32_t>> rounds;  // whom to tend, in turn
  size_t next_tended = 0;
  const Partition* tending = nullptr;
  io::Event tended;
  io::TaskGroup tasks;

  PartitionSlot* find(const Uuid& id, int32_t partition) {
    const auto topic = topics.find(id);
    if (topic == topics.end() || partition < 0 || static_cast<size_t>(partition) >= topic->second.size())
      return nullptr;
    return &topic->second[static_cast<size_t>(partition)];
  }
};

Refusal change_refusal(const Error& error) {
  const ErrorCode code = error.code() == Code::kBusy || error.code() == Code::kConflict
                             ? ErrorCode::kThrottlingQuotaExceeded
                             : ErrorCode::kKafkaStorageError;
  return {code, error.text()};
}

}  // namespace

struct TopicRegistry::State {
  State(TopicsParts parts_in, TopicsOptions options_in) : parts(std::move(parts_in)), options(std::move(options_in)) {
    for (size_t i = 0; i < parts.shards.size(); ++i) {
      POLIS_ASSERT(parts.shards[i]->index() == i);
      homes.push_back(std::make_unique<TopicsHome>());
    }
  }

  io::Shard& first_shard() const { return *parts.shards.front(); }
  size_t home_index(const Uuid& id, int32_t partition) const {
    return base::xxh3_64(BytesView(id.bytes), static_cast<uint64_t>(partition)) % parts.shards.size();
  }
  TopicsHome& here() const { return *homes[io::Shard::current().index()]; }
  std::string path_of(std::string_view topic, int32_t partition) const {
    return options.directory + "/" + partition_name(topic, partition);
  }

  Task<Result<void>> start();
  Task<Result<std::vector<TopicPtr>>> read_rows();
  Task<Result<std::set<std::string>>> clean(const TopicPicture& picture);
  Task<Result<void>> remove_tree(std::string path);
  Task<void> open_all(const std::vector<TopicPtr>& topics, const std::set<std::string>& present);

  Task<void> open_some(TopicsHome& home, const std::vector<WantedPartition>& wanted,
                       const std::set<std::string>* present, size_t& next, std::optional<Error>* failed);
  Task<void> open_on(TopicsHome& home, const std::vector<WantedPartition>& wanted, const std::set<std::string>* present,
                     std::optional<Error>* failed);
  Task<Result<void>> open_new(const TopicPtr& topic, int32_t first, int32_t count);
  Task<void> close_partition(TopicsHome& home, std::shared_ptr<Partition> partition);
  Task<void> close_some(TopicsHome& home, std::vector<std::shared_ptr<Partition>>& partitions);
  Task<void> close_on(TopicsHome& home, std::vector<std::shared_ptr<Partition>> partitions);
  Task<void> drop_from(const Uuid& id, int32_t first);
  Task<void> publish(TopicPicturePtr next);
  Task<Result<void>> write_row(const Topic& topic);

  Refusal judge_new(const NewTopic& wanted, Topic& topic) const;
  Task<Refusal> create(const NewTopic& wanted, bool validate_only, bool internal);
  Task<Refusal> erase(const std::string& name);
  Task<Refusal> add_partitions(const std::string& name, int32_t total, bool validate_only);
  Task<Refusal> configure(const std::string& name, const std::map<std::string, std::optional<std::string>>& changes,
                          bool replace_all, bool validate_only);
  // One change at a time, on the first shard; whoever asked may leave, the change goes on to its end.
  template <class F>
  Task<Refusal> change(F make) {
    const auto work = [this, &make]() -> Task<Refusal> {
      if (auto turn = co_await changing.acquire(); !turn)
        co_return Refusal{ErrorCode::kRequestTimedOut, turn.error().text()};
      Refusal refusal{ErrorCode::kNotLeaderOrFollower, "the broker is going down"};
      if (!closing) {
        auto made = make().within(whole);
        refusal = co_await made;
      }
      changing.release();
      co_return refusal;
    };
    co_return co_await io::on(first_shard(), std::cref(work));
  }

  Task<void> tend_rounds(TopicsHome& home);
  Task<void> watch_space();
  Task<void> look_at_space();
  void note_problem(const std::string& name, const Error& error);
  void clear_problem(const std::string& name);

  const TopicsParts parts;
  const TopicsOptions options;
  std::vector<std::unique_ptr<TopicsHome>> homes;  // by shard

  // --- the first shard's
  io::Semaphore changing{1};
  io::Scope whole{nullptr};  // never stopped: what changes runs to its end
  bool closing = false;
  std::set<std::string> leftovers;  // directories of erased topics that could not be removed
  std::function<Task<void>(std::string name)> erased;

  // --- any shard's
  std::atomic<bool> full{false};
  std::atomic<uint64_t> total_bytes{0}, usable_bytes{0};
  mutable std::mutex problems_mutex;  // problems are rare: nobody waits
  std::map<std::string, Error> problems;
};

// --- start

Task<Result<std::unique_ptr<TopicRegistry>>> TopicRegistry::open(TopicsParts parts, TopicsOptions options) {
  auto state = std::make_unique<State>(std::move(parts), std::move(options));
  CO_TRY(co_await state->start());
  co_return std::unique_ptr<TopicRegistry>(new TopicRegistry(std::move(state)));
}

TopicRegistry::TopicRegistry(std::unique_ptr<State> state) : state_(std::move(state)) {}
TopicRegistry::~TopicRegistry() = default;

Task<Result<void>> TopicRegistry::State::start() {
  CO_TRY(co_await parts.disk.make_directories(options.directory));
  const auto topics = CO_TRY(co_await read_rows());
  const auto picture = std::make_shared<const TopicPicture>(topics);
  const auto present = CO_TRY(co_await clean(*picture));
  co_await open_all(topics, present);
  co_await publish(picture);
  co_await look_at_space();
  for (size_t i = 0; i < homes.size(); ++i) {
    const auto begin = [this, i]() -> Task<void> {
      homes[i]->tasks.spawn(tend_rounds(*homes[i]));
      if (i == 0) homes[i]->tasks.spawn(watch_space());
      co_return;
    };
    co_await io::on(*parts.shards[i], begin);
  }
  co_return {};
}

Task<Result<std::vector<TopicPtr>>> TopicRegistry::State::read_rows() {
  std::vector<TopicPtr> topics;
  auto txn = CO_TRY(co_await parts.store.begin());
  store::KeyRange range = store::prefix_range(kTopicRowPrefix);
  while (true) {
    const auto scan = CO_TRY(co_await txn->scan(parts.rows, range));
    for (const store::Row& row : scan.rows)
      topics.push_back(std::make_shared<const Topic>(CO_TRY(decode_topic(row.key, row.value))));
    if (!scan.more) break;
    range.begin = scan.rows.back().key + '\0';
  }
  co_return topics;
}

// Removes the directories that no row names, which a crash left; answers those that stay.
Task<Result<std::set<std::string>>> TopicRegistry::State::clean(const TopicPicture& picture) {
  std::set<std::string> present;
  bool removed = false;
  for (const io::DirectoryEntry& entry : CO_TRY(co_await parts.disk.list(options.directory))) {
    const auto partition = parse_partition_name(entry.name);
    if (!entry.directory || !partition) continue;  // not ours
    const Topic* topic = picture.find(partition->first);
    if (topic && partition->second < topic->partitions) {
      present.insert(entry.name);
      continue;
    }
    removed = true;
    if (auto gone = co_await remove_tree(options.directory + "/" + entry.name); !gone) {
      leftovers.insert(entry.name);
      note_problem(entry.name, Error(gone.error().code(), "its topic was erased, but its files stay", gone.error()));
    }
  }
  if (removed) CO_TRY(co_await parts.disk.sync_directory(options.directory));
  co_return present;
}

Task<Result<void>> TopicRegistry::State::remove_tree(std::string path) {
  auto entries = co_await parts.disk.list(path);
  if (!entries && entries.error().code() == Code::kNotFound) co_return Result<void>();
  if (!entries) co_return fail(entries.error());
  for (const io::DirectoryEntry& entry : *entries) {
    const std::string inside = path + "/" + entry.name;
    if (entry.directory) {
      CO_TRY(co_await remove_tree(inside));
    } else if (auto gone = co_await parts.disk.remove(inside); !gone && gone.error().code() != Code::kNotFound) {
      co_return fail(gone.error());
    }
  }
  CO_TRY(co_await parts.disk.sync_directory(path));  // files first: a crash leaves no directory without its parent
  co_return co_await parts.disk.remove(path);
}

Task<void> TopicRegistry::State::open_all(const std::vector<TopicPtr>& topics, const std::set<std::string>& present) {
  std::vector<std::vector<WantedPartition>> wanted(homes.size());
  for (const TopicPtr& topic : topics)
    for (int32_t number = 0; number < topic->partitions; ++number)
      wanted[home_index(topic->id, number)].push_back({topic, number});
  io::TaskGroup group;
  const auto open_there = [](State& state, size_t i, const std::vector<WantedPartition>& keys,
                             const std::set<std::string>& names) -> Task<void> {
    const auto work = [&] { return state.open_on(*state.homes[i], keys, &names, nullptr); };
    co_await io::on(*state.parts.shards[i], work);
  };
  for (size_t i = 0; i < homes.size(); ++i) group.spawn(open_there(*this, i, wanted[i], present));
  co_await group.join();
}

// --- partitions, on their shard

// One of the workers that share `next`. With `present`, a partition must have its directory and one that cannot be
// opened stays closed with its error; without, it is new and the first error is told.
Task<void> TopicRegistry::State::open_some(TopicsHome& home, const std::vector<WantedPartition>& wanted,
                                           const std::set<std::string>* present, size_t& next,
                                           std::optional<Error>* failed) {
  while (next < wanted.size() && !(failed && *failed)) {
    const WantedPartition& key = wanted[next++];
    const std::string name = partition_name(key.topic->name, key.number);
    Result<std::unique_ptr<Partition>> opened =
        fail(Code::kCorrupt, fmt::format("{} is missing: restore it from a backup, or erase the topic",
                                         path_of(key.topic->name, key.number)));
    if (!present || present->contains(name))
      opened = co_await Partition::open(
          parts.disk, home.scheduler, parts.clock, parts.random,
          {.directory = path_of(key.topic->name, key.number), .config = key.topic->config, .files = &home.files});
    auto& slots = home.topics[key.topic->id];
    if (slots.size() < static_cast<size_t>(key.topic->partitions))
      slots.resize(static_cast<size_t>(key.topic->partitions));
    PartitionSlot& slot = slots[static_cast<size_t>(key.number)];
    if (opened) {
      slot.partition = std::move(*opened);
      home.rounds.emplace_back(key.topic->id, key.number);
      continue;
    }
    if (failed && !*failed) *failed = opened.error();
    slot.error = std::make_unique<Error>(opened.error());
    if (!failed) note_problem(name, opened.error());
  }
}

Task<void> TopicRegistry::State::open_on(TopicsHome& home, const std::vector<WantedPartition>& wanted,
                                         const std::set<std::string>* present, std::optional<Error>* failed) {
  size_t next = 0;
  io::TaskGroup group;
  for (size_t i = 0; i < std::min(kOpeningAtOnce, wanted.size()); ++i)
    group.spawn(open_some(home, wanted, present, next, failed));
  co_await group.join();
}

// On the first shard: the new partitions of a topic, all or none.
Task<Result<void>> TopicRegistry::State::open_new(const TopicPtr& topic, int32_t first, int32_t count) {
  std::optional<Error> error;
  for (int32_t number = first; number < first + count; ++number) {
    const std::string name = partition_name(topic->name, number);
    if (!leftovers.contains(name)) continue;
    if (auto gone = co_await remove_tree(options.directory + "/" + name); !gone)
      co_return fail(Error(gone.error().code(), "an erased topic of that name still has files", gone.error()));
    leftovers.erase(name);
    clear_problem(name);
  }
  for (size_t i = 0; i < homes.size() && !error; ++i) {
    std::vector<WantedPartition> wanted;
    for (int32_t number = first; number < first + count; ++number)
      if (home_index(topic->id, number) == i) wanted.push_back({topic, number});
    if (wanted.empty()) continue;
    const auto work = [&] { return open_on(*homes[i], wanted, nullptr, &error); };
    co_await io::on(*parts.shards[i], work);
  }
  if (!error) co_return Result<void>();
  co_await drop_from(topic->id, first);
  for (int32_t number = first; number < first + count; ++number)
    if (!co_await remove_tree(path_of(topic->name, number))) leftovers.insert(partition_name(topic->name, number));
  co_return fail(*error);
}

Task<void> TopicRegistry::State::close_partition(TopicsHome& home, std::shared_ptr<Partition> partition) {
  while (home.tending == partition.get()) (void)co_await home.tended.wait();
  (void)co_await partition->close();  // a log that had failed has told it already
}

Task<void> TopicRegistry::State::close_some(TopicsHome& home, std::vector<std::shared_ptr<Partition>>& partitions) {
  while (!partitions.empty()) {
    auto partition = std::move(partitions.back());
    partitions.pop_back();
    co_await close_partition(home, std::move(partition));
  }
}

Task<void> TopicRegistry::State::close_on(TopicsHome& home, std::vector<std::shared_ptr<Partition>> partitions) {
  io::TaskGroup group;
  const size_t workers = std::min(kOpeningAtOnce, partitions.size());
  for (size_t i = 0; i < workers; ++i) group.spawn(close_some(home, partitions));
  co_await group.join();
}

// Closes a topic's partitions from number `first` on, on every shard.
Task<void> TopicRegistry::State::drop_from(const Uuid& id, int32_t first) {
  for (size_t i = 0; i < homes.size(); ++i) {
    const auto work = [this, i, &id, first]() -> Task<void> {
      TopicsHome& home = *homes[i];
      const auto topic = home.topics.find(id);
      if (topic == home.topics.end()) co_return;
      std::vector<std::shared_ptr<Partition>> open;
      for (size_t number = static_cast<size_t>(first); number < topic->second.size(); ++number)
        if (topic->second[number].partition) open.push_back(std::move(topic->second[number].partition));
      if (first == 0)
        home.topics.erase(topic);
      else if (topic->second.size() > static_cast<size_t>(first))
        topic->second.resize(static_cast<size_t>(first));
      co_await close_on(home, std::move(open));
    };
    co_await io::on(*parts.shards[i], work);
  }
}

// Gives every shard the picture, and its partitions their options.
Task<void> TopicRegistry::State::publish(TopicPicturePtr next) {
  for (size_t i = 0; i < homes.size(); ++i) {
    const auto work = [this, i, &next]() -> Task<void> {
      homes[i]->picture = next;
      co_return;
    };
    co_await io::on(*parts.shards[i], work);
  }
}

Task<Result<void>> TopicRegistry::State::write_row(const Topic& topic) {
  auto txn = CO_TRY(co_await parts.store.begin());
  CO_TRY(txn->put(parts.rows, topic_key(topic.name), encode_topic(topic)));
  CO_TRY(co_await txn->commit());
  co_return {};
}

// --- changes

Refusal TopicRegistry::State::judge_new(const NewTopic& wanted, Topic& topic) const {
  const TopicPicture& picture = *homes[0]->picture;
  if (!is_topic_name(wanted.name))
    return {
        ErrorCode::kInvalidTopic,
        "a topic's name has 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-', and is not \".\" or \"..\""};
  if (picture.find(wanted.name))
    return {ErrorCode::kTopicAlreadyExists, fmt::format("Topic '{}' already exists.", wanted.name)};
  if (wanted.name == kOffsetsTopic && !topic.internal)
    return {ErrorCode::kInvalidTopic,
            fmt::format("Topic '{}' is the broker's own: the first group makes it.", wanted.name)};
  topic.name = wanted.name;
  topic.partitions = wanted.partitions == -1 ? options.default_partitions : wanted.partitions;
  if (topic.partitions < 1 || topic.partitions > kPartitionsMax)
    return {ErrorCode::kInvalidPartitions,
            fmt::format("Number of partitions must be from 1 to {}, not {}.", kPartitionsMax, topic.partitions)};
  if (picture.partitions() + topic.partitions > options.partitions_max)
    return {ErrorCode::kPolicyViolation, fmt::format("all topics together may have {} partitions, there are {}",
                                                     options.partitions_max, picture.partitions())};
  const bool more = wanted.replication_factor > 1 && options.fewer_replicas;
  if (wanted.replication_factor != -1 && wanted.replication_factor != 1 && !more)
    return {ErrorCode::kInvalidReplicationFactor,
            fmt::format("Replication factor: {} is not 1: this broker is alone.", wanted.replication_factor)};
  for (const auto& [option, value] : wanted.config) {
    if (auto set = topic.config.set(option, value); !set) return {ErrorCode::kInvalidConfig, set.error().text()};
    topic.overrides[option] = value;
  }
  return {};
}

Task<Refusal> TopicRegistry::State::create(const NewTopic& wanted, bool validate_only, bool internal) {
  Topic made;
  made.internal = internal;
  if (Refusal refusal = judge_new(wanted, made); !refusal.ok() || validate_only) co_return refusal;
  // Tools take an id on the command line: its text must not begin with a dash, so its first six bits are not 62.
  do parts.random.fill(made.id.bytes);
  while (std::to_integer<int>(made.id.bytes[0]) >> 2 == 62);
  const auto topic = std::make_shared<const Topic>(std::move(made));
  if (auto opened = co_await open_new(topic, 0, topic->partitions); !opened) co_return change_refusal(opened.error());
  if (auto written = co_await write_row(*topic); !written) {
    // Whether the row is there only the next start can know: the files, which are empty, stay until then.
    co_await drop_from(topic->id, 0);
    co_return change_refusal(written.error());
  }
  co_await publish(homes[0]->picture->with(topic));
  co_return Refusal{};
}

Task<Refusal> TopicRegistry::State::erase(const std::string& name) {
  const TopicPicturePtr before = homes[0]->picture;
  const Topic* topic = before->find(name);
  if (!topic) co_return Refusal{ErrorCode::kUnknownTopicOrPartition, fmt::format("There is no topic '{}'.", name)};
  if (topic->internal)
    co_return Refusal{ErrorCode::kPolicyViolation, fmt::format("Topic '{}' is the broker's own.", name)};
  const auto erase_row = [&]() -> Task<Result<void>> {
    auto txn = CO_TRY(co_await parts.store.begin());
    CO_TRY(txn->erase(parts.rows, topic_key(name)));
    CO_TRY(co_await txn->commit());
    co_return {};
  };
  if (auto erased_row = co_await erase_row(); !erased_row) co_return change_refusal(erased_row.error());
  co_await publish(before->without(name));
  co_await drop_from(topic->id, 0);
  for (int32_t number = 0; number < topic->partitions; ++number) {
    const std::string directory = partition_name(name, number);
    clear_problem(directory);
    if (auto gone = co_await remove_tree(path_of(name, number)); !gone) {
      leftovers.insert(directory);
      note_problem(directory, Error(gone.error().code(), "its topic was erased, but its files stay", gone.error()));
    }
  }
  (void)co_await parts.disk.sync_directory(options.directory);  // if not, the next start removes them again
  if (erased) co_await erased(name);
  co_return Refusal{};
}

Task<Refusal> TopicRegistry::State::add_partitions(const std::string& name, int32_t total, bool validate_only) {
  const TopicPicturePtr before = homes[0]->picture;
  const Topic* topic = before->find(name);
  if (!topic) co_return Refusal{ErrorCode::kUnknownTopicOrPartition, fmt::format("There is no topic '{}'.", name)};
  if (total == topic->partitions)
    co_return Refusal{ErrorCode::kInvalidPartitions, fmt::format("Topic already has {} partitions.", total)};
  if (total < topic->partitions)
    co_return Refusal{ErrorCode::kInvalidPartitions,
                      fmt::format("The topic {} currently has {} partition(s); {} would not be an increase.", name,
                                  topic->partitions, total)};
  if (topic->internal)  // groups and their offsets lie where the number of partitions sends them
    co_return Refusal{ErrorCode::kPolicyViolation, fmt::format("Topic '{}' is the broker's own.", name)};
  const int32_t more = total - topic->partitions;
  if (total > kPartitionsMax || before->partitions() + more > options.partitions_max)
    co_return Refusal{ErrorCode::kInvalidPartitions, fmt::format("a topic may have {} partitions, all together {}",
                                                                 kPartitionsMax, options.partitions_max)};
  if (validate_only) co_return Refusal{};
  Topic grown = *topic;
  grown.partitions = total;
  const auto next = std::make_shared<const Topic>(std::move(grown));
  if (auto opened = co_await open_new(next, topic->partitions, more); !opened) co_return change_refusal(opened.error());
  if (auto written = co_await write_row(*next); !written) {
    co_await drop_from(topic->id, topic->partitions);
    co_return change_refusal(written.error());
  }
  co_await publish(before->with(next));
  co_return Refusal{};
}

Task<Refusal> TopicRegistry::State::configure(const std::string& name,
                                              const std::map<std::string, std::optional<std::string>>& changes,
                                              bool replace_all, bool validate_only) {
  const TopicPicturePtr before = homes[0]->picture;
  const Topic* topic = before->find(name);
  if (!topic) co_return Refusal{ErrorCode::kUnknownTopicOrPartition, fmt::format("There is no topic '{}'.", name)};
  Topic changed = *topic;
  if (replace_all) changed.overrides.clear();
  for (const auto& [option, value] : changes) {
    if (value) {
      changed.overrides[option] = *value;
    } else {
      if (auto known = TopicConfig{}.set(option, ""); !known && known.error().code() == Code::kNotFound)
        co_return Refusal{ErrorCode::kInvalidConfig, known.error().text()};
      changed.overrides.erase(option);
    }
  }
  changed.config = {};
  for (const auto& [option, value] : changed.overrides)
    if (auto set = changed.config.set(option, value); !set)
      co_return Refusal{ErrorCode::kInvalidConfig, set.error().text()};
  if (validate_only) co_return Refusal{};
  const auto next = std::make_shared<const Topic>(std::move(changed));
  if (auto written = co_await write_row(*next); !written) co_return change_refusal(written.error());
  co_await publish(before->with(next));
  for (size_t i = 0; i < homes.size(); ++i) {
    const auto work = [this, i, &next]() -> Task<void> {
      const auto slots = homes[i]->topics.find(next->id);
      if (slots == homes[i]->topics.end()) co_return;
      for (const PartitionSlot& slot : slots->second)
        if (slot.partition) slot.partition->configure(next->config);
    };
    co_await io::on(*parts.shards[i], work);
  }
  co_return Refusal{};
}

// --- rounds

// So many a second that each has its turn once in `tend_every`: no timer a partition, and idle ones cost a few
// instructions a turn.
Task<void> TopicRegistry::State::tend_rounds(TopicsHome& home) {
  const auto turns = std::max<int64_t>(1, options.tend_every / kTendTurn);
  double due = 0;  // partitions, so that each has its turn once in tend_every, however few there are
  while (co_await io::sleep_for(std::min(kTendTurn, options.tend_every))) {
    due = std::min(due + static_cast<double>(home.rounds.size()) / static_cast<double>(turns),
                   static_cast<double>(home.rounds.size()));
    for (; due >= 1 && !home.rounds.empty(); due -= 1) {
      if (home.next_tended >= home.rounds.size()) home.next_tended = 0;
      const auto [id, number] = home.rounds[home.next_tended];
      const PartitionSlot* slot = home.find(id, number);
      const Topic* topic = home.picture->find(id);
      if (!slot || !slot->partition) {  // erased
        home.rounds[home.next_tended] = home.rounds.back();
        home.rounds.pop_back();
        continue;
      }
      ++home.next_tended;
      const std::shared_ptr<Partition> partition = slot->partition;  // shared: erasing the topic may go on meanwhile
      const std::string name = topic ? partition_name(topic->name, number) : std::string();
      home.tending = partition.get();
      home.tended.reset();
      const auto done = co_await partition->tend();
      home.tending = nullptr;
      home.tended.set();
      if (partition->failure()) {
        note_problem(name, *partition->failure());
      } else if (!done && done.error().code() != Code::kCancelled && done.error().code() != Code::kClosed) {
        note_problem(name, done.error());
      } else if (done) {
        clear_problem(name);
      }
      co_await io::yield();
    }
  }
}

Task<void> TopicRegistry::State::watch_space() {
  while (co_await io::sleep_for(kSpaceTurn)) co_await look_at_space();
}

Task<void> TopicRegistry::State::look_at_space() {
  const auto space = co_await parts.disk.space(options.directory);
  if (!space) co_return;  // the disk tells what is wrong where something is written
  total_bytes = space->total_bytes;
  usable_bytes = space->available_bytes;
  const auto used_percent = 100.0 - 100.0 * static_cast<double>(space->available_bytes) /
                                        static_cast<double>(std::max<uint64_t>(1, space->total_bytes));
  full = used_percent >= options.disk_full_percent;
}

void TopicRegistry::State::note_problem(const std::string& name, const Error& error) {
  const std::lock_guard lock(problems_mutex);
  problems.insert_or_assign(name, error);
}

void TopicRegistry::State::clear_problem(const std::string& name) {
  const std::lock_guard lock(problems_mutex);
  problems.erase(name);
}

// --- the interface

Task<void> TopicRegistry::close() {
  State& state = *state_;
  auto turn = state.changing.acquire().within(state.whole);
  (void)co_await turn;
  state.closing = true;
  state.changing.release();
  for (size_t i = 0; i < state.homes.size(); ++i) {
    const auto work = [&state, i]() -> Task<void> {
      TopicsHome& home = *state.homes[i];
      home.tasks.stop();
      co_await home.tasks.join();
      std::vector<std::shared_ptr<Partition>> open;
      for (auto& [id, slots] : home.topics)
        for (PartitionSlot& slot : slots)
          if (slot.partition) open.push_back(std::move(slot.partition));
      home.topics.clear();
      home.rounds.clear();
      co_await state.close_on(home, std::move(open));
      co_await home.scheduler.drain();
    };
    co_await io::on(*state.parts.shards[i], work);
  }
}

std::shared_ptr<const TopicTable> TopicRegistry::table() const {
  return state_->here().picture;
}

Task<Refusal> TopicRegistry::create(NewTopic topic, bool validate_only, bool internal) {
  const auto make = [&] { return state_->create(topic, validate_only, internal); };
  co_return co_await state_->change(std::cref(make));
}

Task<Refusal> TopicRegistry::erase(std::string name) {
  const auto make = [&] { return state_->erase(name); };
  co_return co_await state_->change(std::cref(make));
}

Task<Refusal> TopicRegistry::add_partitions(std::string name, int32_t total, bool validate_only) {
  const auto make = [&] { return state_->add_partitions(name, total, validate_only); };
  co_return co_await state_->change(std::cref(make));
}

Task<Refusal> TopicRegistry::configure(std::string name, std::map<std::string, std::optional<std::string>> changes,
                                       bool replace_all, bool validate_only) {
  const auto make = [&] { return state_->configure(name, changes, replace_all, validate_only); };
  co_return co_await state_->change(std::cref(make));
}

io::Shard& TopicRegistry::shard_of(const Topic& topic, int32_t partition) const {
  return *state_->parts.shards[state_->home_index(topic.id, partition)];
}

std::shared_ptr<Partition> TopicRegistry::open_partition(const Topic& topic, int32_t partition) const {
  const PartitionSlot* slot = state_->here().find(topic.id, partition);
  return slot ? slot->partition : nullptr;
}

Error TopicRegistry::why_closed(const Topic& topic, int32_t partition) const {
  const PartitionSlot* slot = state_->here().find(topic.id, partition);
  if (slot && slot->error) return *slot->error;
  return Error(Code::kNotFound, partition_name(topic.name, partition) + " is not here");
}

void TopicRegistry::when_erased(std::function<Task<void>(std::string name)> told) {
  state_->erased = std::move(told);
}

bool TopicRegistry::disk_full() const {
  return state_->full.load(std::memory_order_relaxed);
}

Storage TopicRegistry::storage() const {
  return {
      .directory = state_->options.directory, .total_bytes = state_->total_bytes, .usable_bytes = state_->usable_bytes};
}

std::vector<PartitionProblem> TopicRegistry::problems() const {
  const std::lock_guard lock(state_->problems_mutex);
  std::vector<PartitionProblem> all;
  for (const auto& [name, error] : state_->problems) all.push_back({name, error});
  return all;
}

}  // namespace polis::stream
