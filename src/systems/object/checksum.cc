#include "systems/object/checksum.h"

#include "kernel/base/ascii.h"
#include "kernel/base/crc.h"
#include "kernel/base/text_encoding.h"

namespace polis::object {
namespace {

uint64_t read_big(std::string_view raw) {
  uint64_t value = 0;
  for (char c : raw) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

std::string write_big(uint64_t value, size_t size) {
  std::string raw(size, '\0');
  for (size_t i = size; i-- > 0; value >>= 8) raw[i] = static_cast<char>(value);
  return raw;
}

}  // namespace

std::string_view name(ChecksumAlgorithm algorithm) {
  switch (algorithm) {
    case ChecksumAlgorithm::kNone:
      return "";
    case ChecksumAlgorithm::kCrc32:
      return "CRC32";
    case ChecksumAlgorithm::kCrc32c:
      return "CRC32C";
    case ChecksumAlgorithm::kCrc64Nvme:
      return "CRC64NVME";
    case ChecksumAlgorithm::kSha1:
      return "SHA1";
    case ChecksumAlgorithm::kSha256:
      return "SHA256";
  }
  return "";
}

std::string_view name(ChecksumType type) {
  return type == ChecksumType::kComposite ? "COMPOSITE" : "FULL_OBJECT";
}

std::string_view header_name(ChecksumAlgorithm algorithm) {
  switch (algorithm) {
    case ChecksumAlgorithm::kNone:
      return "";
    case ChecksumAlgorithm::kCrc32:
      return "x-amz-checksum-crc32";
    case ChecksumAlgorithm::kCrc32c:
      return "x-amz-checksum-crc32c";
    case ChecksumAlgorithm::kCrc64Nvme:
      return "x-amz-checksum-crc64nvme";
    case ChecksumAlgorithm::kSha1:
      return "x-amz-checksum-sha1";
    case ChecksumAlgorithm::kSha256:
      return "x-amz-checksum-sha256";
  }
  return "";
}

std::optional<ChecksumAlgorithm> checksum_algorithm_named(std::string_view text) {
  for (ChecksumAlgorithm algorithm : kChecksumAlgorithms)
    if (base::equal_ignoring_case(name(algorithm), text)) return algorithm;
  return std::nullopt;
}

std::optional<ChecksumAlgorithm> checksum_algorithm_of_header(std::string_view header) {
  for (ChecksumAlgorithm algorithm : kChecksumAlgorithms)
    if (base::equal_ignoring_case(header_name(algorithm), header)) return algorithm;
  return std::nullopt;
}

size_t size_bytes(ChecksumAlgorithm algorithm) {
  switch (algorithm) {
    case ChecksumAlgorithm::kNone:
      return 0;
    case ChecksumAlgorithm::kCrc32:
    case ChecksumAlgorithm::kCrc32c:
      return 4;
    case ChecksumAlgorithm::kCrc64Nvme:
      return 8;
    case ChecksumAlgorithm::kSha1:
      return 20;
    case ChecksumAlgorithm::kSha256:
      return 32;
  }
  return 0;
}

ChecksumType default_type(ChecksumAlgorithm algorithm) {
  return algorithm == ChecksumAlgorithm::kCrc64Nvme ? ChecksumType::kFullObject : ChecksumType::kComposite;
}

bool type_allowed(ChecksumAlgorithm algorithm, ChecksumType type) {
  if (algorithm == ChecksumAlgorithm::kCrc64Nvme) return type == ChecksumType::kFullObject;
  if (algorithm == ChecksumAlgorithm::kSha1 || algorithm == ChecksumAlgorithm::kSha256)
    return type == ChecksumType::kComposite;
  return true;
}

Answer<Checksum> parse_checksum(ChecksumAlgorithm algorithm, std::string_view base64) {
  auto raw = base::base64_decode(base64);
  if (!raw || raw->size() != size_bytes(algorithm))
    return refuse(ErrorCode::kBadDigest, "Value for " + std::string(header_name(algorithm)) + " header is invalid.");
  return Checksum{.algorithm = algorithm, .raw = std::string(as_text(*raw))};
}

std::string text(const Checksum& checksum, uint32_t part_count) {
  std::string out = base::base64_encode(as_bytes(checksum.raw));
  if (checksum.type == ChecksumType::kComposite && part_count > 0) out += "-" + std::to_string(part_count);
  return out;
}

Checksummer::Checksummer(ChecksumAlgorithm algorithm) : algorithm_(algorithm), state_(uint64_t{0}) {
  if (algorithm == ChecksumAlgorithm::kSha1) state_.emplace<base::Sha1>();
  if (algorithm == ChecksumAlgorithm::kSha256) state_.emplace<base::Sha256>();
}

void Checksummer::update(BytesView bytes) {
  switch (algorithm_) {
    case ChecksumAlgorithm::kNone:
      return;
    case ChecksumAlgorithm::kCrc32: {
      auto& state = std::get<uint64_t>(state_);
      state = base::crc32(static_cast<uint32_t>(state), bytes);
      return;
    }
    case ChecksumAlgorithm::kCrc32c: {
      auto& state = std::get<uint64_t>(state_);
      state = base::crc32c(static_cast<uint32_t>(state), bytes);
      return;
    }
    case ChecksumAlgorithm::kCrc64Nvme: {
      auto& state = std::get<uint64_t>(state_);
      state = base::crc64_nvme(state, bytes);
      return;
    }
    case ChecksumAlgorithm::kSha1:
      std::get<base::Sha1>(state_).update(bytes);
      return;
    case ChecksumAlgorithm::kSha256:
      std::get<base::Sha256>(state_).update(bytes);
      return;
  }
}

Checksum Checksummer::finish() {
  Checksum checksum{.algorithm = algorithm_};
  if (auto* sha1 = std::get_if<base::Sha1>(&state_)) {
    auto digest = sha1->finish();
    checksum.raw = as_text(digest);
  } else if (auto* sha256 = std::get_if<base::Sha256>(&state_)) {
    auto digest = sha256->finish();
    checksum.raw = as_text(digest);
  } else {
    checksum.raw = write_big(std::get<uint64_t>(state_), size_bytes(algorithm_));
  }
  return checksum;
}

Answer<Checksum> combine(ChecksumAlgorithm algorithm, ChecksumType type, std::span<const PartChecksum> parts) {
  for (const PartChecksum& part : parts)
    if (part.checksum.algorithm != algorithm)
      return refuse(ErrorCode::kInvalidRequest, "The upload was created using a " + std::string(name(algorithm)) +
                                                    " checksum; each part must have one.");
  if (type == ChecksumType::kComposite) {
    Checksummer whole(algorithm);
    for (const PartChecksum& part : parts) whole.update(as_bytes(part.checksum.raw));
    Checksum checksum = whole.finish();
    checksum.type = type;
    return checksum;
  }
  uint64_t crc = 0;
  for (const PartChecksum& part : parts) {
    uint64_t next = read_big(part.checksum.raw);
    switch (algorithm) {
      case ChecksumAlgorithm::kCrc32:
        crc = base::crc32_combine(static_cast<uint32_t>(crc), static_cast<uint32_t>(next), part.size_bytes);
        break;
      case ChecksumAlgorithm::kCrc32c:
        crc = base::crc32c_combine(static_cast<uint32_t>(crc), static_cast<uint32_t>(next), part.size_bytes);
        break;
      case ChecksumAlgorithm::kCrc64Nvme:
        crc = base::crc64_nvme_combine(crc, next, part.size_bytes);
        break;
      default:
        return refuse(ErrorCode::kInvalidRequest, "A SHA checksum of a multipart object is always COMPOSITE");
    }
  }
  return Checksum{.algorithm = algorithm, .type = type, .raw = write_big(crc, size_bytes(algorithm))};
}

}  // namespace polis::object
