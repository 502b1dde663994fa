// Which partition a key belongs to: the choice of Kafka's own clients (murmur2), so that records of one key written by
// them and by polis meet in one partition. Pure.
#pragma once

#include "kernel/base/bytes.h"

namespace polis::stream {

uint32_t murmur2(BytesView bytes);
// partitions > 0
int32_t partition_of_key(BytesView key, int32_t partitions);

}  // namespace polis::stream
