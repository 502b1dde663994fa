#include "systems/stream/broker/topic_row.h"

#include <charconv>
#include <cstring>
#include <fmt/format.h>

#include "kernel/base/binary.h"

namespace polis::stream {
namespace {

constexpr uint8_t kTopicRowVersion = 1;
// Options have short names and short values; twice what the longest could be.
constexpr size_t kTopicOptionBytesMax = 4096;

}  // namespace

std::string topic_key(std::string_view name) {
  return std::string(kTopicRowPrefix) + std::string(name);
}

std::string encode_topic(const Topic& topic) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kTopicRowVersion);
  out.bytes(topic.id.bytes);
  out.varint(static_cast<uint64_t>(topic.partitions));
  out.boolean(topic.internal);
  out.varint(topic.overrides.size());
  for (const auto& [option, value] : topic.overrides) {
    out.sized(option);
    out.sized(value);
  }
  return std::string(as_text(bytes));
}

Result<Topic> decode_topic(std::string_view key, std::string_view value) {
  Topic topic;
  topic.name = std::string(key.substr(std::min(key.size(), kTopicRowPrefix.size())));
  base::Reader in(as_bytes(value));
  if (const uint8_t version = in.u8(); in.ok() && version != kTopicRowVersion)
    return fail(Code::kUnsupported,
                fmt::format("topic {} was written by a later polis (row version {})", topic.name, version));
  const BytesView id = in.bytes(topic.id.bytes.size());
  if (in.ok()) std::memcpy(topic.id.bytes.data(), id.data(), id.size());
  topic.partitions = static_cast<int32_t>(in.varint_up_to(kPartitionsMax));
  topic.internal = in.boolean();
  const size_t options = in.count(2);
  for (size_t i = 0; i < options && in.ok(); ++i) {
    const std::string option(in.sized_text(kTopicOptionBytesMax));
    topic.overrides[option] = std::string(in.sized_text(kTopicOptionBytesMax));
  }
  if (in.ok() && (topic.partitions < 1 || !is_topic_name(topic.name))) in.reject("no name or no partitions");
  if (auto whole = in.finish(); !whole)
    return fail(Error(Code::kCorrupt, fmt::format("the row of topic {} cannot be read", topic.name), whole.error()));
  for (const auto& [option, text] : topic.overrides)
    if (auto set = topic.config.set(option, text); !set)
      return fail(Error(Code::kCorrupt, fmt::format("an option of topic {} cannot be read", topic.name), set.error()));
  return topic;
}

std::string partition_name(std::string_view topic, int32_t partition) {
  return fmt::format("{}-{}", topic, partition);
}

std::optional<std::pair<std::string, int32_t>> parse_partition_name(std::string_view directory) {
  const size_t dash = directory.rfind('-');
  if (dash == directory.npos || !is_topic_name(directory.substr(0, dash))) return std::nullopt;
  const std::string_view digits = directory.substr(dash + 1);
  int32_t number = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number < 0) return std::nullopt;
  if (digits.size() > 1 && digits[0] == '0') return std::nullopt;  // no second spelling
  return std::pair(std::string(directory.substr(0, dash)), number);
}

}  // namespace polis::stream
