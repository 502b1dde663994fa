#include "systems/stream/events/outbox.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/base/binary.h"
#include "systems/stream/broker/topic_row.h"
#include "systems/stream/client/partitioner.h"
#include "systems/stream/events/refusals.h"
#include "systems/stream/protocol/batch_compression.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

// keys    "o" name 0 "r" number:8 bytes big endian     a record that waits
//         "o" name 0 "p" topic 0 partition:4 bytes     settled below this offset:varint
// record := version:u8 topic:sized partition:zigzag timestamp:zigzag parts:u8 [key:sized] [value:sized]
//           headers:varint { key:sized has:u8 [value:sized] }
constexpr char kRecordRow = 'r', kPositionRow = 'p';
constexpr uint8_t kOutboxRowVersion = 1;
constexpr uint8_t kHasKey = 1, kHasValue = 2;
constexpr size_t kOutboxNameMax = 64;
// A position this far behind is written anew before something is sent, so that reading back stays short.
constexpr Offset kStaleOffsets = 10'000;
constexpr uint64_t kReadBackBytes = 1 << 20;
constexpr Duration kOutboxPause = 200ms;

std::string big_endian(uint64_t number) {
  const uint64_t big = base::to_big(number);
  return std::string(reinterpret_cast<const char*>(&big), sizeof big);
}

bool is_outbox_name(std::string_view name) {
  return !name.empty() && name.size() <= kOutboxNameMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
  });
}

}  // namespace

struct Outbox::Waiting {
  std::string key;
  uint64_t number = 0;
  store::CommitTime committed_at = 0;
  std::string row;  // what the views below point into
  std::string_view topic;
  std::optional<int32_t> partition;
  NewRecord record;
};

namespace {

Bytes encode_waiting(std::string_view topic, const NewRecord& record, std::optional<int32_t> partition,
                     int64_t timestamp_ms) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kOutboxRowVersion);
  out.sized(topic);
  out.zigzag(partition.value_or(-1));
  out.zigzag(timestamp_ms);
  out.u8(static_cast<uint8_t>((record.key ? kHasKey : 0) | (record.value ? kHasValue : 0)));
  if (record.key) out.sized(*record.key);
  if (record.value) out.sized(*record.value);
  out.varint(record.headers.size());
  for (const Header& header : record.headers) {
    out.sized(header.key);
    out.boolean(header.value.has_value());
    if (header.value) out.sized(*header.value);
  }
  return bytes;
}

Result<void> decode_waiting(std::string_view row, std::string_view& topic, std::optional<int32_t>& partition,
                            NewRecord& record) {
  base::Reader in(as_bytes(row));
  if (in.u8() != kOutboxRowVersion) in.reject("an unknown version");
  topic = in.sized_text(kTopicNameBytesMax);
  if (const int64_t number = in.zigzag(); number >= 0) partition = static_cast<int32_t>(number);
  record.timestamp_ms = in.zigzag();
  const uint8_t has = in.u8();
  if (has & kHasKey) record.key = in.sized();
  if (has & kHasValue) record.value = in.sized();
  const size_t headers = in.count(2);
  for (size_t i = 0; i < headers && in.ok(); ++i) {
    Header header{.key = in.sized_text(), .value = {}};
    if (in.boolean()) header.value = in.sized();
    record.headers.push_back(header);
  }
  return in.finish();
}

}  // namespace

Outbox::Outbox(OutboxParts parts, OutboxOptions options)
    : parts_(parts), options_(std::move(options)), home_(io::Shard::current()) {}

Outbox::~Outbox() {
  POLIS_ASSERT(tasks_.running() == 0);
}

std::string Outbox::row_key(char kind) const {
  return "o" + options_.name + '\0' + kind;
}

Task<Result<std::unique_ptr<Outbox>>> Outbox::open(OutboxParts parts, OutboxOptions options) {
  if (!is_outbox_name(options.name))
    co_return fail(Code::kInvalid,
                   fmt::format("\"{}\" is no name of an outbox: a-z, 0-9, '_', '.', '-'", options.name));
  std::unique_ptr<Outbox> outbox(new Outbox(parts, std::move(options)));
  CO_TRY(co_await outbox->begin());
  outbox->tasks_.spawn(outbox->relay());
  co_return outbox;
}

// Numbers go on behind every row that waits and, if the clock was set back meanwhile, behind it.
Task<Result<void>> Outbox::begin() {
  auto txn = CO_TRY(co_await parts_.store.begin());
  const auto newest = CO_TRY(co_await txn->scan(parts_.rows, store::prefix_range(row_key(kRecordRow)),
                                                {.limit = 1, .reverse = true, .keys_only = true}));
  const auto microseconds =
      std::chrono::duration_cast<std::chrono::microseconds>(parts_.broker.clock.wall().time_since_epoch()).count();
  uint64_t next = static_cast<uint64_t>(std::max<int64_t>(1, microseconds));
  if (!newest.rows.empty()) {
    base::Reader in(as_bytes(newest.rows[0].key).subspan(row_key(kRecordRow).size()));
    next = std::max(next, in.u64_big() + 1);
  }
  store::KeyRange range = store::prefix_range(row_key(kPositionRow));
  while (true) {
    const auto scan = CO_TRY(co_await txn->scan(parts_.rows, range));
    for (const store::Row& row : scan.rows) {
      const std::string_view rest = std::string_view(row.key).substr(row_key(kPositionRow).size());
      const size_t end = rest.find('\0');
      if (end == rest.npos || rest.size() != end + 5)
        co_return fail(Code::kCorrupt, "a position of outbox " + options_.name);
      base::Reader number(as_bytes(rest.substr(end + 1))), value(as_bytes(row.value));
      const Lane lane(rest.substr(0, end), static_cast<int32_t>(number.u32_big()));
      positions_[lane] = static_cast<Offset>(value.varint());
      CO_TRY(value.finish());
    }
    if (!scan.more) break;
    range.begin = scan.rows.back().key + '\0';
  }
  next_number_ = next;
  co_return Result<void>();
}

// --- any shard

Result<void> Outbox::put(store::Txn& txn, std::string_view topic, const NewRecord& record,
                         std::optional<int32_t> partition) {
  if (!is_topic_name(topic)) return fail(Code::kInvalid, fmt::format("\"{}\" is no name of a topic", topic));
  const int64_t now_ms = base::milliseconds_since_epoch(parts_.broker.clock.wall());
  const Bytes row = encode_waiting(topic, record, partition, record.timestamp_ms >= 0 ? record.timestamp_ms : now_ms);
  if (row.size() > kOutboxRecordBytesMax)
    return fail(Code::kTooLarge,
                fmt::format("an event of {} bytes; {} are the most", row.size(), kOutboxRecordBytesMax));
  return txn.put(parts_.rows, row_key(kRecordRow) + big_endian(next_number_++), as_text(row));
}

void Outbox::notify() {
  if (notified_.exchange(true)) return;  // it will look
  home_.post([look = look_] { look->set(); });
}

OutboxStatistics Outbox::statistics() const {
  const std::lock_guard lock(error_mutex_);
  return {.sent = sent_, .repeats_left_out = repeats_, .error = error_};
}

void Outbox::report(std::string error) {
  const std::lock_guard lock(error_mutex_);
  error_ = std::move(error);
}

// --- the relay

Task<void> Outbox::relay() {
  while (true) {
    notified_ = false;
    look_->reset();
    auto done = co_await relay_some();
    if (!done) {
      // The order of events is kept: those behind wait, too.
      report(done.error().text());
      doubtful_ = true;
      if (!co_await io::sleep_for(kOutboxPause)) co_return;
      continue;
    }
    report({});
    if (*done > 0) continue;
    ++rounds_;
    round_.set();
    round_.reset();
    const auto waited = co_await io::with_timeout(options_.look_every, look_->wait());
    if (!waited && waited.error().code() == Code::kCancelled) co_return;
  }
}

Task<Result<void>> Outbox::settled() {
  // The round that runs may have looked before the commit; the one after it has not.
  const uint64_t wanted = rounds_ + 2;
  while (rounds_ < wanted) {
    look_->set();
    CO_TRY(co_await round_.wait());
  }
  co_return Result<void>();
}

// How many rows were dealt with.
Task<Result<size_t>> Outbox::relay_some() {
  const std::vector<Waiting> waiting = CO_TRY(co_await waiting_rows());
  if (waiting.empty()) co_return size_t{0};
  if (doubtful_) CO_TRY(co_await read_back());
  const auto table = parts_.broker.topics.table();
  std::map<Lane, std::vector<const Waiting*>> lanes;
  for (const Waiting& one : waiting) {
    if (came_.contains(one.number)) {
      ++repeats_;
      continue;
    }
    const Topic* topic = table->find(one.topic);
    if (!topic)
      co_return fail(Code::kNotFound, fmt::format("there is no topic \"{}\" for outbox {}", one.topic, options_.name));
    const int32_t partition = one.partition ? *one.partition
                              : one.record.key
                                  ? partition_of_key(*one.record.key, topic->partitions)
                                  : static_cast<int32_t>(one.number % static_cast<uint64_t>(topic->partitions));
    if (partition >= topic->partitions)
      co_return fail(Code::kNotFound, fmt::format("{} has no partition {}", one.topic, partition));
    lanes[Lane(one.topic, partition)].push_back(&one);
  }
  for (const auto& [lane, records] : lanes) {
    CO_TRY(co_await keep_position(lane));
    CO_TRY(co_await send(lane, records));
  }
  CO_TRY(co_await settle(waiting));
  co_return waiting.size();
}

Task<Result<std::vector<Outbox::Waiting>>> Outbox::waiting_rows() {
  auto txn = CO_TRY(co_await parts_.store.begin());
  auto scan = CO_TRY(co_await txn->scan(parts_.rows, store::prefix_range(row_key(kRecordRow)),
                                        {.limit = options_.batch_records_max, .bytes_limit = 4 << 20}));
  std::vector<Waiting> waiting;
  waiting.reserve(scan.rows.size());
  for (store::Row& row : scan.rows) {
    Waiting& one = waiting.emplace_back();
    one.key = std::move(row.key);
    one.committed_at = row.committed_at;
    one.row = std::move(row.value);
    base::Reader number(as_bytes(one.key).subspan(row_key(kRecordRow).size()));
    one.number = number.u64_big();
    if (auto whole = decode_waiting(one.row, one.topic, one.partition, one.record); !whole)
      co_return fail(Error(Code::kCorrupt, fmt::format("an event of outbox {}", options_.name), whole.error()));
  }
  std::ranges::sort(waiting, {}, [](const Waiting& one) { return std::pair(one.committed_at, one.number); });
  co_return waiting;
}

// Which numbers are in the topics already, above what is settled.
Task<Result<void>> Outbox::read_back() {
  came_.clear();
  for (const auto& [lane, from] : positions_) CO_TRY(co_await read_back_lane(lane, from));
  doubtful_ = false;
  co_return Result<void>();
}

Task<Result<void>> Outbox::read_back_lane(const Lane& lane, Offset from) {
  const auto table = parts_.broker.topics.table();
  const Topic* topic = table->find(lane.first);
  if (!topic) co_return Result<void>();  // erased, with everything that came
  const std::string mine = options_.name + ":";
  Offset next = from;
  const auto use = [&](Partition& open) -> Task<Result<bool>> {
    next = std::max(next, open.log_start_offset());
    Fetched fetched = co_await open.fetch(next, kReadBackBytes, Isolation::kReadUncommitted);
    if (fetched.refusal.code == ErrorCode::kOffsetOutOfRange) co_return false;  // another topic of that name
    if (!fetched.refusal.ok()) co_return fail(error_of(fetched.refusal, lane.first));
    Bytes bytes = std::move(fetched.bytes);
    if (fetched.file) {
      bytes.resize(fetched.range.size);
      if (CO_TRY(co_await fetched.file->read_at(fetched.range.offset, bytes)) != bytes.size())
        co_return fail(Code::kUnavailable, "the segment became shorter");
    }
    if (bytes.empty()) co_return false;
    BytesView rest = bytes;
    while (!rest.empty()) {
      const auto size = CO_TRY(RecordBatch::size_of(rest));
      if (!size || *size > rest.size()) break;
      const RecordBatch batch(rest.first(*size));
      rest = rest.subspan(*size);
      next = batch.last_offset() + 1;
      if (batch.control()) continue;
      Bytes storage;
      const BytesView records = CO_TRY(open_records(batch, storage));
      RecordReader reader(batch, records);
      while (const auto record = CO_TRY(reader.next()))
        for (const Header& header : record->headers) {
          if (header.key != kOutboxHeader || !header.value) continue;
          const std::string_view text = as_text(*header.value);
          if (text.starts_with(mine))
            came_.insert(std::strtoull(std::string(text.substr(mine.size())).c_str(), nullptr, 10));
        }
    }
    co_return true;
  };
  // Only what has reached the disk counts: what was appended and is not yet there is waited for.
  const auto reach = [](Partition& open) { return open.wait(open.end_offset()); };
  CO_TRY(co_await parts_.broker.topics.with(*topic, lane.second, reach));
  while (CO_TRY(co_await parts_.broker.topics.with(*topic, lane.second, use))) {
  }
  co_return Result<void>();
}

// Before something is sent to a partition, a row must say from where to read back.
Task<Result<void>> Outbox::keep_position(const Lane& lane) {
  const auto table = parts_.broker.topics.table();
  const Topic* topic = table->find(lane.first);
  if (!topic) co_return fail(Code::kNotFound, fmt::format("there is no topic \"{}\"", lane.first));
  const auto end_of = [](Partition& open) -> Task<Result<Offset>> { co_return open.end_offset(); };
  const Offset end = CO_TRY(co_await parts_.broker.topics.with(*topic, lane.second, end_of));
  const auto known = positions_.find(lane);
  if (known != positions_.end() && known->second <= end && end - known->second < kStaleOffsets)
    co_return Result<void>();
  if (known != positions_.end() && !came_.empty()) co_return Result<void>();  // first what came is settled
  auto txn = CO_TRY(co_await parts_.store.begin());
  Bytes value;
  base::Writer(value).varint(static_cast<uint64_t>(end));
  CO_TRY(txn->put(parts_.rows,
                  row_key(kPositionRow) + lane.first + '\0' + big_endian(static_cast<uint64_t>(lane.second)).substr(4),
                  as_text(value)));
  CO_TRY(co_await txn->commit());
  positions_[lane] = end;
  co_return Result<void>();
}

Task<Result<void>> Outbox::send(const Lane& lane, const std::vector<const Waiting*>& waiting) {
  const auto table = parts_.broker.topics.table();
  const Topic* topic = table->find(lane.first);
  if (!topic) co_return fail(Code::kNotFound, fmt::format("there is no topic \"{}\"", lane.first));
  if (parts_.broker.topics.disk_full()) co_return fail(Code::kNoSpace, "the disk is full");
  const size_t bytes_max = std::min(options_.batch_bytes_max, static_cast<size_t>(topic->config.max_message_bytes) / 2);
  std::vector<Bytes> batches;
  BatchBuilder builder;
  for (const Waiting* one : waiting) {
    if (builder.count() > 0 && builder.size_bytes() + one->row.size() > bytes_max) batches.push_back(builder.finish());
    const std::string mark = fmt::format("{}:{}", options_.name, one->number);
    std::vector<Header> headers = one->record.headers;
    headers.push_back({.key = kOutboxHeader, .value = as_bytes(mark)});
    builder.add(one->record.timestamp_ms, one->record.key, one->record.value, headers);
  }
  if (builder.count() > 0) batches.push_back(builder.finish());
  const auto use = [&](Partition& open) -> Task<Result<Offset>> {
    Offset next = 0;
    for (const Bytes& batch : batches) {
      const AppendResult appended = open.append(batch, AppendOrigin::kClient);
      if (!appended.refusal.ok()) co_return fail(error_of(appended.refusal, partition_name(lane.first, lane.second)));
      next = appended.next_offset;
    }
    CO_TRY(co_await open.wait(next));
    co_return next;
  };
  ends_[lane] = CO_TRY(co_await parts_.broker.topics.with(*topic, lane.second, use));
  co_return Result<void>();
}

// Rows go and positions move in one transaction.
Task<Result<void>> Outbox::settle(const std::vector<Waiting>& waiting) {
  auto txn = CO_TRY(co_await parts_.store.begin());
  for (const Waiting& one : waiting) CO_TRY(txn->erase(parts_.rows, one.key));
  // What was found when it was read back may lie above: positions stay until its rows are gone.
  size_t left = came_.size();
  for (const Waiting& one : waiting) left -= came_.contains(one.number) ? 1 : 0;
  if (left == 0) {
    for (const auto& [lane, end] : ends_) {
      Bytes value;
      base::Writer(value).varint(static_cast<uint64_t>(end));
      CO_TRY(
          txn->put(parts_.rows,
                   row_key(kPositionRow) + lane.first + '\0' + big_endian(static_cast<uint64_t>(lane.second)).substr(4),
                   as_text(value)));
    }
  }
  CO_TRY(co_await txn->commit());
  for (const Waiting& one : waiting)
    if (came_.erase(one.number) == 0) ++sent_;
  if (left == 0) {
    for (const auto& [lane, end] : ends_) positions_[lane] = end;
    ends_.clear();
  }
  co_return Result<void>();
}

Task<void> Outbox::close() {
  tasks_.stop();
  co_await tasks_.join();
}

}  // namespace polis::stream
