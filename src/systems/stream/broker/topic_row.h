// The row of a topic, and the names of its directories.
//
//     key    "t" name
//     value  version:u8 id:16 partitions:varint internal:bool count:varint { option:sized value:sized }
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "kernel/base/result.h"
#include "systems/stream/types.h"

namespace polis::stream {

inline constexpr std::string_view kTopicRowPrefix = "t";

std::string topic_key(std::string_view name);
std::string encode_topic(const Topic& topic);
// kCorrupt if it is no such row, kUnsupported if a later polis wrote it.
Result<Topic> decode_topic(std::string_view key, std::string_view value);

// "orders-3", and back; nothing if no partition can have that directory.
std::string partition_name(std::string_view topic, int32_t partition);
std::optional<std::pair<std::string, int32_t>> parse_partition_name(std::string_view directory);

}  // namespace polis::stream
