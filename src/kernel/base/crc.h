// Cyclic redundancy checks against accidental damage. Each function continues from the checksum of what came before (0
// at the start): crc32c(crc32c(0, a), b) == crc32c(0, ab). Pure; any thread.
//
//   crc32      IEEE 802.3, as in zip, gzip and S3's CRC32         check value of "123456789": cbf43926
//   crc32c     Castagnoli, RFC 3720 B.4, as in Kafka, S3's CRC32C                             e3069283
//   crc64_nvme NVM Express 64b CRC, as in S3's CRC64NVME                                      ae8b14860a799888
//
// Long inputs use carry-less multiplication where the processor has it (chosen at run time) and tables where not.
#pragma once

#include "kernel/base/bytes.h"

namespace polis::base {

uint32_t crc32(uint32_t before, BytesView bytes);
uint32_t crc32c(uint32_t before, BytesView bytes);
uint64_t crc64_nvme(uint64_t before, BytesView bytes);

inline uint32_t crc32(BytesView bytes) {
  return crc32(0, bytes);
}
inline uint32_t crc32c(BytesView bytes) {
  return crc32c(0, bytes);
}
inline uint64_t crc64_nvme(BytesView bytes) {
  return crc64_nvme(0, bytes);
}

// The checksum of A followed by B, from both checksums and B's length: O(log length), no bytes touched.
uint32_t crc32_combine(uint32_t first, uint32_t second, uint64_t second_size_bytes);
uint32_t crc32c_combine(uint32_t first, uint32_t second, uint64_t second_size_bytes);
uint64_t crc64_nvme_combine(uint64_t first, uint64_t second, uint64_t second_size_bytes);

// The table forms, which serve short inputs and processors without the instructions; public so that tests compare the
// two.
uint32_t crc32_portable(uint32_t before, BytesView bytes);
uint32_t crc32c_portable(uint32_t before, BytesView bytes);
uint64_t crc64_nvme_portable(uint64_t before, BytesView bytes);

}  // namespace polis::base
