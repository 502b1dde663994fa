#include "systems/stream/broker/offset_records.h"

#include "systems/stream/protocol/wire.h"

namespace polis::stream {
namespace {

constexpr int16_t kOffsetKeyVersion = 1, kGenerationKeyVersion = 2;
constexpr int16_t kExpiringValueVersion = 1, kEpochValueVersion = 3;

// One step of UTF-8, or the replacement character for what is none.
char32_t next_character(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xf0 && first < 0xf8 ? 4
                        : first >= 0xe0 && first < 0xf0 ? 3
                        : first >= 0xc0 && first < 0xe0 ? 2
                                                        : 0;
  if (length == 0 || at + length > text.size()) {
    ++at;
    return U'\ufffd';
  }
  char32_t character = length == 1 ? first : first & (0x7fU >> length);
  for (size_t i = 1; i < length; ++i) character = character << 6 | (byte(at + i) & 0x3fU);
  at += length;
  return character;
}

}  // namespace

// The hash is Java's of a string, over its UTF-16 units.
int32_t offsets_partition_of(std::string_view group, int32_t partitions) {
  uint32_t hash = 0;
  for (size_t at = 0; at < group.size();) {
    const char32_t character = next_character(group, at);
    if (character >= 0x10000) {
      hash = hash * 31 + (0xd800 + ((character - 0x10000) >> 10 & 0x3ff));
      hash = hash * 31 + (0xdc00 + ((character - 0x10000) & 0x3ff));
    } else {
      hash = hash * 31 + character;
    }
  }
  return static_cast<int32_t>(hash & 0x7fffffff) % partitions;
}

Bytes encode(const OffsetKey& key) {
  Bytes bytes;
  Encoder out(bytes);
  out.field(kOffsetKeyVersion);
  out.field(key.group);
  out.field(key.topic);
  out.field(key.partition);
  return bytes;
}

Bytes encode(const GenerationKey& key) {
  Bytes bytes;
  Encoder out(bytes);
  out.field(kGenerationKeyVersion);
  out.field(key.group);
  return bytes;
}

Bytes encode(const CommittedOffset& value) {
  Bytes bytes;
  Encoder out(bytes);
  const bool expires = value.expires_ms >= 0;
  out.field(expires ? kExpiringValueVersion : kEpochValueVersion);
  out.field(value.offset);
  if (!expires) out.field(value.leader_epoch);
  out.field(value.metadata);
  out.field(value.committed_ms);
  if (expires) out.field(value.expires_ms);
  return bytes;
}

Result<OffsetsTopicKey> decode_offsets_key(BytesView key) {
  Decoder in(key);
  int16_t version = -1;
  in.field(version);
  OffsetsTopicKey decoded;
  if (in.ok() && version >= 0 && version <= kOffsetKeyVersion) {
    OffsetKey offset;
    in.field(offset.group);
    in.field(offset.topic);
    in.field(offset.partition);
    decoded = offset;
  } else if (in.ok() && version == kGenerationKeyVersion) {
    GenerationKey generation;
    in.field(generation.group);
    decoded = generation;
  }
  TRY(in.status());
  return decoded;
}

Result<CommittedOffset> decode_committed_offset(BytesView value) {
  Decoder in(value);
  int16_t version = -1;
  in.field(version);
  if (in.ok() && (version < 0 || version > kEpochValueVersion))
    return fail(Code::kUnsupported, "a committed offset of version " + std::to_string(version));
  CommittedOffset decoded;
  in.field(decoded.offset);
  if (version >= kEpochValueVersion) in.field(decoded.leader_epoch);
  in.field(decoded.metadata);
  in.field(decoded.committed_ms);
  if (version == kExpiringValueVersion) in.field(decoded.expires_ms);
  TRY(in.status());
  return decoded;
}

}  // namespace polis::stream
