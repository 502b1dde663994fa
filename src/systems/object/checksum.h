// The additional checksums of S3 (x-amz-checksum-*): names, computing one while bytes pass, and the checksum of a whole
// made from those of its parts. Pure; one Checksummer belongs to one body.
#pragma once

#include <span>
#include <variant>

#include "kernel/base/digest.h"
#include "systems/object/types.h"

namespace polis::object {

// "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"; empty for kNone.
std::string_view name(ChecksumAlgorithm algorithm);
// "FULL_OBJECT", "COMPOSITE".
std::string_view name(ChecksumType type);
// "x-amz-checksum-crc32" and so on.
std::string_view header_name(ChecksumAlgorithm algorithm);
// Case ignored; nothing for an unknown name.
std::optional<ChecksumAlgorithm> checksum_algorithm_named(std::string_view name);
std::optional<ChecksumAlgorithm> checksum_algorithm_of_header(std::string_view header);
inline constexpr ChecksumAlgorithm kChecksumAlgorithms[] = {ChecksumAlgorithm::kCrc32, ChecksumAlgorithm::kCrc32c,
                                                            ChecksumAlgorithm::kCrc64Nvme, ChecksumAlgorithm::kSha1,
                                                            ChecksumAlgorithm::kSha256};
size_t size_bytes(ChecksumAlgorithm algorithm);

// What an upload gets that names no type: COMPOSITE, and FULL_OBJECT for CRC64NVME.
ChecksumType default_type(ChecksumAlgorithm algorithm);
// CRC64NVME has no composite form, SHA no full-object one.
bool type_allowed(ChecksumAlgorithm algorithm, ChecksumType type);

// base64 of exactly the algorithm's bytes; kBadDigest otherwise.
Answer<Checksum> parse_checksum(ChecksumAlgorithm algorithm, std::string_view base64);
// base64, with "-N" behind for a composite of N parts.
std::string text(const Checksum& checksum, uint32_t part_count = 0);

class Checksummer {
 public:
  explicit Checksummer(ChecksumAlgorithm algorithm);
  void update(BytesView bytes);
  Checksum finish();

 private:
  ChecksumAlgorithm algorithm_;
  std::variant<uint64_t, base::Sha1, base::Sha256> state_;
};

struct PartChecksum {
  Checksum checksum;
  uint64_t size_bytes = 0;
};
// FULL_OBJECT: the CRC of all parts in a row, combined in O(parts) without touching their bytes. COMPOSITE: the
// checksum of the parts' checksums. kInvalidRequest if a part has none of this algorithm.
Answer<Checksum> combine(ChecksumAlgorithm algorithm, ChecksumType type, std::span<const PartChecksum> parts);

}  // namespace polis::object
