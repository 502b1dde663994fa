// What a Replica writes into its journal, one record each, integers little endian:
//
//     entry := 1:u8 size:u8 digest:size command    a command, and the digest of the reply that it had
//            | 2:u8 behaviour:u32                  the commands behind it follow this behaviour
//
// The digest has the size that the machine gives it, 1 to 64 bytes.
#pragma once

#include "kernel/base/binary.h"
#include "kernel/base/endian.h"
#include "kernel/base/result.h"

namespace polis::machine {

enum class EntryKind : uint8_t { kCommand = 1, kBehaviour = 2 };

inline constexpr size_t kDigestBytesMax = 64;
constexpr size_t command_header_bytes(size_t digest_bytes) {
  return 2 + digest_bytes;
}

struct Entry {
  EntryKind kind = EntryKind::kCommand;
  BytesView digest;  // both inside the record
  BytesView command;
  uint32_t behaviour = 0;
};

// `digest_bytes` is the machine's: an entry with a digest of another size was written by another machine.
inline Result<Entry> decode_entry(BytesView record, size_t digest_bytes) {
  base::Reader reader(record);
  Entry entry;
  switch (const uint8_t kind = reader.u8(); static_cast<EntryKind>(kind)) {
    case EntryKind::kCommand:
      if (reader.u8() != digest_bytes) reader.reject("a digest of another size than this machine's");
      entry.digest = reader.bytes(digest_bytes);
      entry.command = reader.rest();
      break;
    case EntryKind::kBehaviour:
      entry.kind = EntryKind::kBehaviour;
      entry.behaviour = reader.u32();
      break;
    default:
      reader.reject("an entry of an unknown kind");
  }
  TRY(reader.finish());
  return entry;
}

inline Bytes behaviour_entry(uint32_t behaviour) {
  Bytes record;
  base::Writer writer(record);
  writer.u8(static_cast<uint8_t>(EntryKind::kBehaviour));
  writer.u32(behaviour);
  return record;
}

}  // namespace polis::machine
