#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>
#include <map>

#include "kernel/base/text_encoding.h"
#include "systems/stream/client/records.h"
#include "systems/stream/faces/face.h"

namespace polis::stream {
namespace {

namespace json = boost::json;

constexpr size_t kDuplicateKeysMax = 200, kDuplicateOffsetsMax = 20;
// Partitions that a tail over a whole topic looks into.
constexpr int32_t kTailPartitionsMax = 64;

// A part of a log, copied out, with what a reader must know to judge its transactions.
struct Excerpt {
  Bytes bytes;
  Offset log_start_offset = 0, high_watermark = 0, last_stable_offset = 0;
  std::vector<AbortedRange> aborted;
};

// On the partition's shard. Everything below the high watermark is read, also what no consumer of committed records
// sees: the reader is told which is which.
Task<Result<Excerpt>> excerpt(Partition& open, Offset from, uint64_t bytes_max) {
  Fetched fetched = co_await open.fetch(from, bytes_max, Isolation::kReadUncommitted);
  if (!fetched.refusal.ok()) co_return fail(outcome(fetched.refusal, "the log").error());
  Excerpt found{.bytes = std::move(fetched.bytes),
                .log_start_offset = fetched.log_start_offset,
                .high_watermark = fetched.high_watermark,
                .last_stable_offset = fetched.last_stable_offset,
                .aborted = {}};
  if (fetched.file) {
    found.bytes.resize(fetched.range.size);
    const size_t got = CO_TRY(co_await fetched.file->read_at(fetched.range.offset, found.bytes));
    if (got < found.bytes.size()) found.bytes.resize(got);
  }
  if (from < fetched.last_stable_offset) {
    const Fetched committed = co_await open.fetch(from, bytes_max, Isolation::kReadCommitted);
    for (const AbortedTransaction& one : committed.aborted)
      found.aborted.push_back({.producer_id = one.producer_id, .first_offset = one.first_offset});
  }
  co_return found;
}

// {"text"} or, where it is no UTF-8, {"base64"}; null where there is none; "size_bytes" is the whole.
json::value shown(const std::optional<BytesView>& bytes) {
  if (!bytes) return nullptr;
  BytesView part = bytes->first(std::min(bytes->size(), kShownBytesMax));
  if (part.size() < bytes->size())  // not in the middle of a character
    while (!part.empty() && (static_cast<unsigned char>((*bytes)[part.size()]) & 0xC0) == 0x80)
      part = part.first(part.size() - 1);
  json::object one{{"size_bytes", bytes->size()}, {"cut", part.size() < bytes->size()}};
  if (base::utf8_valid(as_text(part)))
    one["text"] = as_text(part);
  else
    one["base64"] = base::base64_encode(part);
  return one;
}

// Names of headers are texts; one that is not is shown as base64.
std::string shown_text(std::string_view text) {
  return base::utf8_valid(text) ? std::string(text) : base::base64_encode(as_bytes(text));
}

uint64_t shown_bytes(const Record& record) {
  const auto part = [](const std::optional<BytesView>& bytes) {
    return bytes ? std::min(bytes->size(), kShownBytesMax) : size_t{0};
  };
  uint64_t size = 200 + part(record.key) + part(record.value);
  for (size_t at = 0; at < std::min(record.headers.size(), kShownHeadersMax); ++at)
    size += kShownNameBytesMax + part(record.headers[at].value);
  return size;
}

// What read_committed makes of the record.
std::string_view state_of(const RecordPlace& place, Offset offset, Offset last_stable_offset) {
  if (place.batch.control()) return "marker";
  if (place.aborted) return "aborted";
  if (place.batch.transactional() && offset >= last_stable_offset) return "open";
  return "committed";
}

json::object message_json(int32_t partition, const Record& record, const RecordPlace& place, Offset last_stable) {
  json::array headers;
  for (const Header& header : record.headers) {
    if (headers.size() == kShownHeadersMax) break;
    headers.push_back(
        json::object{{"key", shown_text(header.key.substr(0, kShownNameBytesMax))}, {"value", shown(header.value)}});
  }
  const bool producer = place.batch.producer_id() >= 0;
  json::object one{
      {"partition", partition},
      {"offset", std::to_string(record.offset)},
      {"timestamp_ms", record.timestamp},
      {"timestamp_type",
       (place.batch.attributes() & batch_attributes::kLogAppendTime) != 0 ? "LogAppendTime" : "CreateTime"},
      {"key", place.batch.control() ? json::value(nullptr) : shown(record.key)},
      {"value", place.batch.control() ? json::value(nullptr) : shown(record.value)},
      {"headers", std::move(headers)},
      {"codec", kCompressionNames[std::min<size_t>(static_cast<size_t>(place.batch.compression()), 4)]},
      {"state", state_of(place, record.offset, last_stable)},
      {"producer_id", producer ? std::to_string(place.batch.producer_id()) : std::string()},
      {"batch_offset", std::to_string(place.batch.base_offset())},
      {"batch_bytes", place.batch.bytes().size()}};
  if (place.batch.control())
    one["marker"] = record.key && record.key->size() >= 4 && (*record.key)[3] == std::byte{1} ? "commit" : "abort";
  else
    one["marker"] = "";
  return one;
}

// Offset to begin at: a number, "earliest", "latest" (the last `limit`), or "time:MS".
struct Begin {
  std::optional<Offset> offset;
  int64_t timestamp = kLatestOffset;
};

Result<Begin> parse_begin(const std::string& text) {
  if (text.empty() || text == "latest") return Begin{};
  if (text == "earliest") return Begin{.offset = {}, .timestamp = kEarliestOffset};
  const bool time = text.starts_with("time:");
  const std::string_view number = std::string_view(text).substr(time ? 5 : 0);
  int64_t value = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (number.empty() || error != std::errc() || end != number.data() + number.size() || value < 0)
    return fail(Code::kInvalid, "\"offset\" is a number, earliest, latest, or time:MILLISECONDS");
  if (time) return Begin{.offset = {}, .timestamp = value};
  return Begin{.offset = value};
}

struct Page {
  json::array messages;
  Offset next = 0;
  PartitionStatistics statistics;
};

Task<Result<Offset>> begin_offset(Partition& open, Begin begin, int64_t limit) {
  if (begin.offset) co_return std::clamp(*begin.offset, open.log_start_offset(), open.high_watermark());
  if (begin.timestamp == kEarliestOffset) co_return open.log_start_offset();
  if (begin.timestamp == kLatestOffset) co_return std::max(open.log_start_offset(), open.high_watermark() - limit);
  const OffsetAndTimestamp found = CO_TRY(co_await open.offset_for(begin.timestamp, Isolation::kReadUncommitted));
  co_return found.offset < 0 ? open.high_watermark() : found.offset;
}

// On the partition's shard.
Task<Result<Page>> read_page(Partition& open, int32_t partition, Begin begin, int64_t limit) {
  Page page;
  page.next = CO_TRY(co_await begin_offset(open, begin, limit));
  uint64_t bytes = 0, told = 0;
  while (static_cast<int64_t>(page.messages.size()) < limit && page.next < open.high_watermark() &&
         bytes < kMessagesBytesMax && told < kShownTotalBytesMax) {
    const Offset from = page.next;
    const Excerpt part = CO_TRY(co_await excerpt(open, from, kMessagesBytesMax / 8));
    if (part.bytes.empty()) break;
    bytes += part.bytes.size();
    page.next = CO_TRY(
        scan_records(part.bytes, {.from = from, .aborted = part.aborted, .markers = true, .aborted_records = true},
                     [&](const Record& record, const RecordPlace& place) {
                       if (static_cast<int64_t>(page.messages.size()) >= limit || told >= kShownTotalBytesMax)
                         return false;
                       told += shown_bytes(record);
                       page.messages.push_back(message_json(partition, record, place, part.last_stable_offset));
                       return true;
                     }));
    if (page.next <= from) break;
    co_await io::yield();
  }
  page.statistics = open.statistics();
  co_return page;
}

}  // namespace

Face::Json Face::messages(http::Request& request) {
  const std::string name = CO_TRY(systems::text_parameter(request, "topic"));
  const std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, name, Operation::kRead));
  const auto only = static_cast<int32_t>(CO_TRY(systems::number_parameter(request, "partition", -1, 0, topic->partitions - 1)));
  const Begin begin = CO_TRY(parse_begin(CO_TRY(systems::text_parameter(request, "offset"))));
  const int64_t limit = CO_TRY(systems::number_parameter(request, "limit", 50, 1, kMessagesMax));
  if (only < 0 && begin.offset)
    co_return fail(Code::kInvalid, "an offset belongs to one partition: name it by \"partition\"");

  std::vector<int32_t> partitions;
  for (int32_t partition = 0; partition < topic->partitions && partition < kTailPartitionsMax; ++partition)
    if (only < 0 || partition == only) partitions.push_back(partition);
  if (only >= kTailPartitionsMax) partitions = {only};
  const auto share = std::max<int64_t>(1, limit / static_cast<int64_t>(partitions.size()));
  json::array messages;
  json::object next;
  for (int32_t partition : partitions) {
    const auto read = [partition, begin, share](Partition& open) { return read_page(open, partition, begin, share); };
    Page page = CO_TRY(co_await broker_.topics.with(*topic, partition, read));
    for (json::value& one : page.messages) messages.push_back(std::move(one));
    next[std::to_string(partition)] =
        json::object{{"next", std::to_string(page.next)},
                     {"log_start_offset", std::to_string(page.statistics.log_start_offset)},
                     {"high_watermark", std::to_string(page.statistics.high_watermark)},
                     {"last_stable_offset", std::to_string(page.statistics.last_stable_offset)}};
  }
  co_return json::serialize(
      json::object{{"topic", name}, {"messages", std::move(messages)}, {"partitions", std::move(next)}});
}

// --- duplicates by key

namespace {

struct KeyCount {
  uint64_t records = 0;
  std::vector<Offset> offsets;  // the newest ones
};

struct DuplicateSearch {
  std::map<std::string, KeyCount, std::less<>> keys;
  uint64_t looked_at = 0, without_key = 0, bytes = 0, key_bytes = 0;
  Offset from = 0, to = 0;
};

Task<Result<DuplicateSearch>> search_duplicates(Partition& open, int64_t records) {
  DuplicateSearch search;
  search.from = std::max(open.log_start_offset(), open.last_stable_offset() - records);
  search.to = search.from;
  while (search.to < open.last_stable_offset() && search.bytes < 8 * kMessagesBytesMax &&
         search.key_bytes < kDuplicateKeyBytesMax) {
    const Offset from = search.to;
    const Excerpt part = CO_TRY(co_await excerpt(open, from, kMessagesBytesMax / 8));
    if (part.bytes.empty()) break;
    search.bytes += part.bytes.size();
    search.to = CO_TRY(scan_records(part.bytes, {.from = from, .aborted = part.aborted},
                                    [&](const Record& record, const RecordPlace&) {
                                      ++search.looked_at;
                                      if (!record.key) {
                                        ++search.without_key;
                                        return true;
                                      }
                                      if (search.key_bytes >= kDuplicateKeyBytesMax) return false;
                                      KeyCount& count = search.keys[std::string(as_text(*record.key))];
                                      if (count.records == 0) search.key_bytes += record.key->size() + 64;
                                      ++count.records;
                                      count.offsets.push_back(record.offset);
                                      if (count.offsets.size() > kDuplicateOffsetsMax)
                                        count.offsets.erase(count.offsets.begin());
                                      return true;
                                    }));
    if (search.to <= from) break;
    co_await io::yield();
  }
  co_return search;
}

}  // namespace

// Keys that stand more than once among the newest records that are committed: what a consumer with at-least-once
// delivery would have to drop.
Face::Json Face::duplicates(http::Request& request) {
  const std::string name = CO_TRY(systems::text_parameter(request, "topic"));
  const std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, name, Operation::kRead));
  const auto partition =
      static_cast<int32_t>(CO_TRY(systems::number_parameter(request, "partition", 0, 0, topic->partitions - 1)));
  const int64_t records = CO_TRY(systems::number_parameter(request, "records", 10'000, 1, kDuplicatesLookedAtMax));
  const auto work = [records](Partition& open) { return search_duplicates(open, records); };
  DuplicateSearch search = CO_TRY(co_await broker_.topics.with(*topic, partition, work));

  std::vector<std::pair<std::string, KeyCount>> found;
  uint64_t repeated = 0;
  for (auto& [key, count] : search.keys)
    if (count.records > 1) {
      repeated += count.records - 1;
      found.emplace_back(key, std::move(count));
    }
  std::ranges::sort(found, {}, [](const auto& one) { return std::pair(~one.second.records, one.first); });
  json::array keys;
  for (const auto& [key, count] : found) {
    if (keys.size() >= kDuplicateKeysMax) break;
    json::array offsets;
    for (Offset offset : count.offsets) offsets.push_back(json::string(std::to_string(offset)));
    keys.push_back(
        json::object{{"key", shown(as_bytes(key))}, {"records", count.records}, {"offsets", std::move(offsets)}});
  }
  co_return json::serialize(json::object{{"topic", name},
                                         {"partition", partition},
                                         {"from", std::to_string(search.from)},
                                         {"to", std::to_string(search.to)},
                                         {"records", search.looked_at},
                                         {"without_key", search.without_key},
                                         {"distinct_keys", search.keys.size()},
                                         {"repeated_keys", found.size()},
                                         {"repeated_records", repeated},
                                         {"keys", std::move(keys)}});
}

// --- one message by hand

Face::Json Face::append_message(http::Request& request) {
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const std::string name = CO_TRY(body.text("topic"));
  const std::shared_ptr<const Topic> topic = CO_TRY(topic_of(request, name, Operation::kWrite));
  const auto partition = static_cast<int32_t>(CO_TRY(body.number("partition", 0, topic->partitions - 1, 0)));
  const bool keyed = body.has("key"), valued = body.has("value");
  const std::string key = CO_TRY(body.text("key", "")), value = CO_TRY(body.text("value", ""));
  const auto given = CO_TRY(body.texts("headers"));
  CO_TRY(body.finish());
  if (broker_.topics.disk_full()) co_return fail(Code::kNoSpace, "the disk is full: the log takes no more records");
  std::vector<Header> headers;
  for (const auto& [header, text] : given)
    headers.push_back({.key = header, .value = text ? std::optional(as_bytes(*text)) : std::nullopt});
  BatchBuilder builder;
  const int64_t now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(parts_.clock.wall().time_since_epoch()).count();
  builder.add(now_ms, keyed ? std::optional(as_bytes(key)) : std::nullopt,
              valued ? std::optional(as_bytes(value)) : std::nullopt, headers);
  const Bytes batch = builder.finish();
  const auto append = [&batch](Partition& open) -> Task<Result<Offset>> {
    const AppendResult appended = open.append(batch, AppendOrigin::kClient);
    CO_TRY(outcome(appended.refusal, "the record"));
    CO_TRY(co_await open.wait(appended.next_offset));
    co_return appended.base_offset;
  };
  const Offset offset = CO_TRY(co_await broker_.topics.with(*topic, partition, append));
  co_return json::serialize(
      json::object{{"topic", name}, {"partition", partition}, {"offset", std::to_string(offset)}});
}

}  // namespace polis::stream
