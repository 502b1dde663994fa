// What a Replica writes into its journal, one record each, integers little endian:
//
//     entry := 1:u8 digest:u64 command     a command, and the digest of the reply that it had
//            | 2:u8 behaviour:u32          the commands behind it follow this behaviour
#pragma once

#include "kernel/base/binary.h"
#include "kernel/base/endian.h"
#include "kernel/base/result.h"

namespace polis::machine {

enum class EntryKind : uint8_t { kCommand = 1, kBehaviour = 2 };

inline constexpr size_t kCommandHeaderBytes = 9;

struct Entry {
  EntryKind kind = EntryKind::kCommand;
  uint64_t digest = 0;
  BytesView command;  // inside the record
  uint32_t behaviour = 0;
};

inline Result<Entry> decode_entry(BytesView record) {
  base::Reader reader(record);
  Entry entry;
  switch (const uint8_t kind = reader.u8(); static_cast<EntryKind>(kind)) {
    case EntryKind::kCommand:
      entry.digest = reader.u64();
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
