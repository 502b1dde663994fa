// How a row version lies in RocksDB: one column family a keyspace, one entry a version. Format 1, a promise to later
// releases.
//
//   entry key    = escaped user key, ~commit time       newest version of a key first
//   escaped      = each 00 as 00 FF, then the end mark 00 01 (as kernel/base/ordered_key.h)
//   ~commit time = 8 bytes big endian, every bit flipped
//   entry value  = flags u8 (bit 0: tombstone), transaction id u64, version u64, roll u64, payload; little endian
//   roll         = commit time of the version before this one, 0 at the first
//
// The default column family holds two records of the store itself: "format" and "state" (StoreState).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/store/store.h"

namespace polis::store {

inline constexpr size_t kVersionSuffixBytes = 8;
inline constexpr size_t kRowHeaderBytes = 1 + 8 + 8 + 8;

void append_escaped_key(std::string& out, std::string_view key);
void append_version_suffix(std::string& out, CommitTime committed_at);

// Sorts behind every version of the key and before every other key: `escaped` with its end mark replaced by 00 02.
std::string behind_all_versions(std::string_view escaped);

struct EntryKey {
  std::string_view escaped;  // points into the entry
  CommitTime committed_at = 0;
};
// Nothing if no writer of format 1 can have made it.
std::optional<EntryKey> parse_entry_key(std::string_view entry);
// Undoes append_escaped_key; false if malformed.
bool unescape_key(std::string_view escaped, std::string& key);
// The length of the escaped key at the front of `entry`, end mark included; 0 if there is no end mark.
size_t escaped_key_length(std::string_view entry);

struct RowHeader {
  bool tombstone = false;
  uint64_t transaction_id = 0;
  uint64_t version = 0;  // 0 for a tombstone: a row made again starts at 1
  CommitTime roll = 0;
};
void append_row_header(std::string& out, const RowHeader& header);
// The payload is the rest of the value behind kRowHeaderBytes.
std::optional<RowHeader> parse_row_header(std::string_view value);

// Rewritten in every batch that commits, so that recovery finds the clock where the last surviving commit left it.
struct StoreState {
  CommitTime newest = 0;        // of this batch
  CommitTime ceiling = 0;       // no commit time above it was ever handed out; durable before one could be
  uint64_t transaction_id = 0;  // highest so far
};
std::string encode_state(const StoreState& state);
std::optional<StoreState> decode_state(std::string_view bytes);

// A key for messages: printable characters as they are, others as \xNN, at most 64 bytes of it.
std::string printable(std::string_view key);

}  // namespace polis::store
