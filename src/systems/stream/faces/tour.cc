#include "systems/stream/faces/tour.h"

#include <boost/json.hpp>
#include <fmt/format.h>
#include <set>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "systems/stream/client/group_member.h"
#include "systems/stream/faces/bench_command.h"
#include "systems/stream/faces/command_call.h"

namespace polis::stream {
namespace {

namespace json = boost::json;

constexpr int32_t kTourPartitions = 6;
constexpr size_t kRecordsOfCodec = 2'000;
constexpr Compression kTourCodecs[] = {Compression::kNone, Compression::kGzip, Compression::kSnappy, Compression::kLz4,
                                       Compression::kZstd};
constexpr int64_t kRedeliverAfterMs = 300;
constexpr std::string_view kTourQueue = "tour-workers";
constexpr uint64_t kTourPathBytes = uint64_t{128} << 20;

class StreamTour {
 public:
  explicit StreamTour(systems::Tour& tour)
      : tour_(tour), name_(tour.unique_name()), orders_(name_ + "-orders"), payments_(name_ + "-payments") {}

  Task<Result<void>> run() {
    client_.emplace(CO_TRY(co_await open()));
    CO_TRY(co_await step("make two topics", &StreamTour::make_topics));
    CO_TRY(co_await step("produce with each of five codecs", &StreamTour::produce_codecs));
    CO_TRY(co_await step("every byte comes back", &StreamTour::read_back));
    CO_TRY(co_await step("two members share a group", &StreamTour::share_group));
    CO_TRY(co_await step("one leaves, the other takes over", &StreamTour::take_over));
    CO_TRY(co_await step("a batch sent twice is there once", &StreamTour::send_twice));
    CO_TRY(co_await step("an aborted transaction is not seen", &StreamTour::abort_transaction));
    CO_TRY(co_await step("consume, produce, commit: exactly once", &StreamTour::exactly_once));
    CO_TRY(co_await step("a zombie producer is fenced off", &StreamTour::fence));
    CO_TRY(co_await step("find a record by its time", &StreamTour::find_by_time));
    CO_TRY(co_await step("a queue redelivers what nobody finished", &StreamTour::redeliver));
    CO_TRY(co_await step("copying against sendfile", &StreamTour::measure_paths));
    co_return co_await step("delete what the tour made", &StreamTour::clean);
  }

 private:
  using Outcome = Task<Result<std::string>>;

  Task<Result<void>> step(std::string name, Outcome (StreamTour::*what)()) {
    co_return co_await tour_.step(std::move(name), [this, what] { return (this->*what)(); });
  }

  Task<Result<Client>> open() {
    co_return co_await Client::open({.address = "127.0.0.1", .port = tour_.port("stream.kafka")}, "polis-tour");
  }
  Client& client() { return *client_; }

  // Values of every record that a reader sees, in order.
  Task<Result<std::vector<std::string>>> read_all(std::string topic, int32_t partition, bool committed_only,
                                                  Offset from = 0) {
    std::vector<std::string> values;
    Offset end = from;
    do {
      const FetchedBytes fetched = CO_TRY(co_await client().fetch(
          {.topic = topic, .partition = partition, .from = from, .wait_ms = 0, .committed_only = committed_only}));
      end = committed_only ? fetched.last_stable_offset : fetched.high_watermark;
      const Offset next = CO_TRY(scan_records(fetched.batches, {.from = from, .aborted = fetched.aborted},
                                              [&](const Record& record, const RecordPlace&) {
                                                values.emplace_back(as_text(*record.value));
                                                return true;
                                              }));
      if (next == from) break;
      from = next;
    } while (from < end);
    co_return values;
  }

  // --- the steps

  Outcome make_topics() {
    CO_TRY(co_await client().create_topic(orders_, kTourPartitions));
    CO_TRY(co_await client().create_topic(payments_, 1, {{"retention.ms", "3600000"}}));
    const int32_t partitions = CO_TRY(co_await client().partitions_of(orders_));
    if (partitions != kTourPartitions) co_return fail(Code::kCorrupt, fmt::format("{} partitions", partitions));
    auto again = co_await client().create_topic(orders_, 1);
    if (again || again.error().code() != Code::kExists) co_return fail(Code::kCorrupt, "a topic was made twice");
    auto bad = co_await client().create_topic("no/such name", 1);
    if (bad) co_return fail(Code::kCorrupt, "a topic has a bad name");
    co_return fmt::format("{} of {} partitions, {} of 1; twice and badly named: refused", orders_, kTourPartitions,
                          payments_);
  }

  std::string value_of(size_t codec, size_t number) const {
    return fmt::format(R"({{"order":{},"codec":"{}","item":"watch","price":"{}.00 USD"}})", number,
                       kCompressionNames[codec], 100 + number % 900);
  }

  Outcome produce_codecs() {
    std::string sizes;
    for (size_t codec = 0; codec < std::size(kTourCodecs); ++codec) {
      std::vector<std::string> keys, values;
      for (size_t number = 0; number < kRecordsOfCodec; ++number) {
        keys.push_back(fmt::format("customer-{}", number % 100));
        values.push_back(value_of(codec, number));
      }
      const Bytes batch = make_batch(keys, values, now_ms(), kTourCodecs[codec]);
      CO_TRY(co_await client().produce(orders_, static_cast<int32_t>(codec), batch));
      sizes += fmt::format("{}{} {} kB", sizes.empty() ? "" : ", ", kCompressionNames[codec], batch.size() / 1000);
    }
    co_return fmt::format("{} records each, on disk before the answer: {}", kRecordsOfCodec, sizes);
  }

  Outcome read_back() {
    for (size_t codec = 0; codec < std::size(kTourCodecs); ++codec) {
      const std::vector<std::string> values = CO_TRY(co_await read_all(orders_, static_cast<int32_t>(codec), false));
      if (values.size() != kRecordsOfCodec)
        co_return fail(Code::kCorrupt,
                       fmt::format("{}: {} of {} records", kCompressionNames[codec], values.size(), kRecordsOfCodec));
      for (size_t number = 0; number < values.size(); ++number)
        if (values[number] != value_of(codec, number))
          co_return fail(Code::kCorrupt, fmt::format("{}: record {} differs", kCompressionNames[codec], number));
    }
    co_return fmt::format("{} records equal; stored as sent, opened by the reader",
                          kRecordsOfCodec * std::size(kTourCodecs));
  }

  // A join waits for the others, so members that join together must do it at the same time.
  static Task<void> join(GroupMember& member, Result<void>& outcome) { outcome = co_await member.join(); }

  Task<Result<void>> join_both() {
    Result<void> first, second;
    io::TaskGroup group(co_await io::this_scope());
    group.spawn(join(*members_[0], first));
    group.spawn(join(*members_[1], second));
    co_await group.join();
    CO_TRY(std::move(first));
    co_return second;
  }

  Outcome share_group() {
    for (auto& member : members_)
      member.emplace(CO_TRY(co_await open()), GroupMemberOptions{.group = group(), .topics = {orders_}});
    for (int tries = 0; tries < 20; ++tries) {
      CO_TRY(co_await join_both());
      if (members_[0]->generation() == members_[1]->generation()) break;
    }
    std::set<int32_t> shared;
    for (auto& member : members_)
      for (const TopicPartition& one : member->assignment()) shared.insert(one.partition);
    const size_t first = members_[0]->assignment().size(), second = members_[1]->assignment().size();
    if (shared.size() != kTourPartitions || first + second != kTourPartitions || first == 0 || second == 0)
      co_return fail(Code::kCorrupt, fmt::format("{} and {} of {} partitions", first, second, kTourPartitions));
    size_t read = 0;
    for (auto& member : members_)
      for (const TopicPartition& one : member->assignment()) {
        const auto values = CO_TRY(co_await read_all(orders_, one.partition, false));
        read += values.size();
        CO_TRY(co_await member->commit(orders_, one.partition, static_cast<Offset>(values.size())));
      }
    if (read != kRecordsOfCodec * std::size(kTourCodecs))
      co_return fail(Code::kCorrupt, fmt::format("{} records read", read));
    co_return fmt::format("{} partitions each, generation {}; {} records read once, positions committed", first,
                          members_[0]->generation(), read);
  }

  Outcome take_over() {
    CO_TRY(co_await members_[1]->leave());
    const SteadyTime begin = steady_now();
    while (CO_TRY(co_await members_[0]->heartbeat())) CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(5)));
    CO_TRY(co_await members_[0]->join());
    const double ms = std::chrono::duration<double, std::milli>(steady_now() - begin).count();
    if (members_[0]->assignment().size() != kTourPartitions)
      co_return fail(Code::kCorrupt, fmt::format("it has {} partitions", members_[0]->assignment().size()));
    const Offset at = CO_TRY(co_await members_[0]->position(orders_, kTourPartitions - 2, kEarliestOffset));
    if (at != kRecordsOfCodec) co_return fail(Code::kCorrupt, fmt::format("it would go on at {}", at));
    CO_TRY(co_await members_[0]->leave());
    co_return fmt::format("all {} partitions after {:.0f} ms, where the other one stopped", kTourPartitions, ms);
  }

  Outcome send_twice() {
    const ProducerId producer = CO_TRY(co_await client().init_producer());
    const auto batch = [&](int32_t sequence) {
      return make_batch(
          {"order-1"}, {fmt::format("payment {}", sequence)}, now_ms(), Compression::kNone,
          {.id = producer.id, .epoch = producer.epoch, .base_sequence = sequence, .transactional = false});
    };
    const Bytes first = batch(0);
    const Produced once = CO_TRY(co_await client().produce(payments_, 0, first));
    const Produced twice = CO_TRY(co_await client().produce(payments_, 0, first));
    if (once.base_offset != twice.base_offset) co_return fail(Code::kCorrupt, "it was appended twice");
    auto gap = co_await client().produce(payments_, 0, batch(7));
    if (gap || !gap.error().message().starts_with("OUT_OF_ORDER_SEQUENCE_NUMBER"))
      co_return fail(Code::kCorrupt, "a gap in the sequence was taken");
    const auto values = CO_TRY(co_await read_all(payments_, 0, false));
    if (values.size() != 1) co_return fail(Code::kCorrupt, fmt::format("{} records", values.size()));
    co_return fmt::format("both answers say offset {}; a gap in the sequence is refused (45)", once.base_offset);
  }

  Task<Result<int32_t>> send_in_transaction(const std::string& id, ProducerId producer, int32_t sequence,
                                            std::vector<std::string> values) {
    CO_TRY(co_await client().add_partition(id, producer, payments_, 0));
    const Bytes batch =
        make_batch({}, values, now_ms(), Compression::kZstd,
                   {.id = producer.id, .epoch = producer.epoch, .base_sequence = sequence, .transactional = true});
    CO_TRY(co_await client().produce(payments_, 0, batch, -1, id));
    co_return sequence + static_cast<int32_t>(values.size());
  }

  Outcome abort_transaction() {
    const std::string id = name_ + "-teller";
    const ProducerId producer = CO_TRY(co_await client().init_producer(id));
    const size_t before = CO_TRY(co_await read_all(payments_, 0, true)).size();
    int32_t sequence = CO_TRY(co_await send_in_transaction(id, producer, 0, {"aborted 1", "aborted 2", "aborted 3"}));
    const size_t open = CO_TRY(co_await read_all(payments_, 0, true)).size();
    if (open != before) co_return fail(Code::kCorrupt, "an open transaction was read");
    CO_TRY(co_await client().end_transaction(id, producer, false));
    CO_TRY(co_await send_in_transaction(id, producer, sequence, {"committed 1", "committed 2"}));
    CO_TRY(co_await client().end_transaction(id, producer, true));
    const auto committed = CO_TRY(co_await read_all(payments_, 0, true));
    const auto all = CO_TRY(co_await read_all(payments_, 0, false));
    // read_uncommitted gets no list of aborted ones: it sees them.
    if (committed.size() != before + 2 || all.size() != before + 5)
      co_return fail(Code::kCorrupt,
                     fmt::format("read_committed sees {}, read_uncommitted {}", committed.size(), all.size()));
    for (const std::string& value : committed)
      if (value.starts_with("aborted")) co_return fail(Code::kCorrupt, "an aborted record was read");
    co_return "3 aborted, 2 committed: read_committed sees 2, read_uncommitted 5";
  }

  // Reads two orders, writes a payment for each and commits the position with them, twice: once in vain.
  Outcome exactly_once() {
    const std::string id = name_ + "-processor", group = name_ + "-processing";
    const ProducerId producer = CO_TRY(co_await client().init_producer(id));
    const size_t before = CO_TRY(co_await read_all(payments_, 0, true)).size();
    int32_t sequence = 0;
    for (bool commit : {false, true}) {
      sequence = CO_TRY(co_await send_in_transaction(id, producer, sequence, {"paid order 0", "paid order 1"}));
      CO_TRY(co_await client().commit_offset_in_transaction(id, producer, group, orders_, 0, 2));
      CO_TRY(co_await client().end_transaction(id, producer, commit));
      const std::optional<Offset> position = CO_TRY(co_await client().committed(group, orders_, 0));
      const size_t payments = CO_TRY(co_await read_all(payments_, 0, true)).size() - before;
      if (position.has_value() != commit || payments != (commit ? 2u : 0u))
        co_return fail(Code::kCorrupt, fmt::format("after {}: position {}, {} payments", commit ? "commit" : "abort",
                                                   position.value_or(-1), payments));
    }
    co_return "after the abort: no payment, no position; after the commit: 2 payments, position 2";
  }

  Outcome fence() {
    const std::string id = name_ + "-teller";
    const ProducerId zombie = CO_TRY(co_await client().init_producer(id));
    const ProducerId heir = CO_TRY(co_await client().init_producer(id));
    auto refused = co_await send_in_transaction(id, zombie, 0, {"from beyond"});
    if (refused) co_return fail(Code::kCorrupt, "the old producer still writes");
    const std::string why = refused.error().message().substr(0, refused.error().message().find(':'));
    co_return fmt::format("epoch {} is out by epoch {}: {}", zombie.epoch, heir.epoch, why);
  }

  Outcome find_by_time() {
    const int64_t between = now_ms() + 1;
    CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(5)));
    const Produced late = CO_TRY(co_await client().produce(orders_, 0, make_batch({}, {"late"}, now_ms())));
    const Offset found = CO_TRY(co_await client().offset_for(orders_, 0, between));
    if (found != late.base_offset)
      co_return fail(Code::kCorrupt, fmt::format("{} in place of {}", found, late.base_offset));
    co_return fmt::format("the first record after that millisecond has offset {}", found);
  }

  // What one worker got: ids, in the order given.
  Task<Result<std::vector<std::pair<std::string, int64_t>>>> receive(int most, int wait_ms) {
    const json::object body{{"topic", jobs()},
                            {"most", most},
                            {"wait_ms", wait_ms},
                            {"redeliver_after_ms", kRedeliverAfterMs},
                            {"tries_max", 2}};
    const auto answer = CO_TRY(
        co_await tour_.api().request("POST", api_path({"queues", kTourQueue, "receive"}), json::serialize(body)));
    const json::object list = CO_TRY(object_of(answer.body));
    std::vector<std::pair<std::string, int64_t>> got;
    for (const json::value& one : list.at("messages").as_array())
      got.emplace_back(text_of(one.as_object(), "id"), one.at("tries").to_number<int64_t>());
    co_return got;
  }
  Task<Result<void>> acknowledge(std::string id) {
    const json::object body{{"topic", jobs()}, {"messages", json::array{json::string(id)}}};
    CO_TRY(
        co_await tour_.api().request("POST", api_path({"queues", kTourQueue, "acknowledge"}), json::serialize(body)));
    co_return Result<void>();
  }

  // Three jobs, two tries each: one is done at once, one at its second try, one never.
  Outcome redeliver() {
    CO_TRY(co_await client().create_topic(jobs(), 1));
    CO_TRY(co_await client().produce(jobs(), 0, make_batch({}, {"first", "second", "third"}, now_ms())));
    const auto first = CO_TRY(co_await receive(1, 5000));
    const auto second = CO_TRY(co_await receive(2, 5000));
    if (first.size() != 1 || second.size() != 2) co_return fail(Code::kCorrupt, "three jobs were not given out once");
    CO_TRY(co_await acknowledge(first[0].first));
    std::vector<std::pair<std::string, int64_t>> again;
    for (int tries = 0; tries < 10 && again.size() < 2; ++tries)
      for (const auto& one : CO_TRY(co_await receive(2, 2000))) {
        if (one.second != 2) co_return fail(Code::kCorrupt, "a job came again as if for the first time");
        if (again.empty()) CO_TRY(co_await acknowledge(one.first));
        again.push_back(one);
      }
    if (again.size() != 2) co_return fail(Code::kCorrupt, "what nobody acknowledged did not come again");
    const SteadyTime end = steady_now() + std::chrono::seconds(20);
    while (steady_now() < end) {
      auto letters = co_await client().offset_for(jobs() + ".dead-letter", 0, kLatestOffset);
      if (letters && *letters == 1)
        co_return fmt::format("3 jobs: 1 done at once, 2 again after {} ms, 1 of them dead after 2 tries",
                              kRedeliverAfterMs);
      CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(50)));
    }
    co_return fail(Code::kCorrupt, "the job that nobody could do is not in the dead-letter topic");
  }
  std::string jobs() const { return name_ + "-jobs"; }

  Outcome measure_paths() {
    const PathBench bench =
        CO_TRY(co_await bench_paths(tour_.api(), client(), {.size_bytes = kTourPathBytes, .rounds = 1}));
    co_return fmt::format("{} MiB: copy {:.2f} s CPU/GiB, sendfile {:.2f}: {:.0f} % less; calls alone {:.0f} % less",
                          bench.bytes >> 20, bench.copy.cpu_per_gib(), bench.sendfile.cpu_per_gib(),
                          bench.cpu_saved_percent(), bench.arrows.cpu_saved_percent());
  }

  Outcome clean() {
    for (const std::string& topic : {orders_, payments_, jobs(), jobs() + ".dead-letter"})
      CO_TRY(co_await client().erase_topic(topic));
    DeleteGroupsRequest request;
    const std::string groups[] = {group(), name_ + "-processing"};
    for (const std::string& one : groups) request.groups_names.push_back(one);
    const auto answer = CO_TRY(co_await client().connection().call(request));
    // The positions of a deleted topic are gone, and with them perhaps the group.
    for (const auto& result : answer.results)
      if (result.error_code != static_cast<int16_t>(ErrorCode::kGroupIdNotFound))
        CO_TRY(check(result.error_code, result.group_id));
    auto gone = co_await client().partitions_of(orders_);
    if (gone) co_return fail(Code::kCorrupt, "the topic is still there");
    co_return "4 topics, 2 groups";
  }

  std::string group() const { return name_ + "-shop"; }

  systems::Tour& tour_;
  const std::string name_, orders_, payments_;
  std::optional<Client> client_;
  std::optional<GroupMember> members_[2];
};

}  // namespace

Task<Result<void>> take_tour(systems::Tour& tour) {
  StreamTour stream(tour);
  co_return co_await stream.run();
}

}  // namespace polis::stream
