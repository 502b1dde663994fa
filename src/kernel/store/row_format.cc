#include "kernel/store/row_format.h"

#include <cstring>

#include "kernel/base/endian.h"

namespace polis::store {
namespace {

using base::load_big;
using base::load_little;

constexpr char kZero = '\x00';
constexpr char kEscaped = '\xff';
constexpr char kEnd = '\x01';
constexpr char kBehind = '\x02';

void append_u64(std::string& out, uint64_t value) {
  char raw[8];
  base::store_little(raw, value);
  out.append(raw, sizeof raw);
}

}  // namespace

void append_escaped_key(std::string& out, std::string_view key) {
  while (true) {
    const size_t zero = key.find(kZero);
    out.append(key.substr(0, zero));
    if (zero == std::string_view::npos) break;
    out.push_back(kZero);
    out.push_back(kEscaped);
    key.remove_prefix(zero + 1);
  }
  out.push_back(kZero);
  out.push_back(kEnd);
}

void append_version_suffix(std::string& out, CommitTime committed_at) {
  char raw[8];
  base::store_big(raw, ~committed_at);
  out.append(raw, sizeof raw);
}

std::string behind_all_versions(std::string_view escaped) {
  std::string out(escaped);
  out.back() = kBehind;
  return out;
}

size_t escaped_key_length(std::string_view entry) {
  size_t at = 0;
  while ((at = entry.find(kZero, at)) != std::string_view::npos && at + 1 < entry.size()) {
    if (entry[at + 1] == kEnd) return at + 2;
    at += 2;
  }
  return 0;
}

std::optional<EntryKey> parse_entry_key(std::string_view entry) {
  if (entry.size() < kVersionSuffixBytes + 3) return std::nullopt;
  const size_t length = entry.size() - kVersionSuffixBytes;
  if (entry[length - 2] != kZero || entry[length - 1] != kEnd) return std::nullopt;
  return EntryKey{entry.substr(0, length), ~load_big<uint64_t>(entry.data() + length)};
}

bool unescape_key(std::string_view escaped, std::string& key) {
  key.clear();
  if (escaped.size() < 2) return false;
  while (true) {
    const size_t zero = escaped.find(kZero);
    if (zero == std::string_view::npos || zero + 1 >= escaped.size()) return false;
    key.append(escaped.substr(0, zero));
    const char mark = escaped[zero + 1];
    escaped.remove_prefix(zero + 2);
    if (mark == kEnd) return escaped.empty();
    if (mark != kEscaped) return false;
    key.push_back(kZero);
  }
}

void append_row_header(std::string& out, const RowHeader& header) {
  out.push_back(header.tombstone ? 1 : 0);
  append_u64(out, header.transaction_id);
  append_u64(out, header.version);
  append_u64(out, header.roll);
}

std::optional<RowHeader> parse_row_header(std::string_view value) {
  if (value.size() < kRowHeaderBytes) return std::nullopt;
  const auto flags = static_cast<unsigned char>(value[0]);
  if (flags > 1) return std::nullopt;
  return RowHeader{flags == 1, load_little<uint64_t>(value.data() + 1), load_little<uint64_t>(value.data() + 9),
                   load_little<uint64_t>(value.data() + 17)};
}

std::string encode_state(const StoreState& state) {
  std::string out;
  append_u64(out, state.newest);
  append_u64(out, state.ceiling);
  append_u64(out, state.transaction_id);
  return out;
}

std::optional<StoreState> decode_state(std::string_view bytes) {
  if (bytes.size() != 24) return std::nullopt;
  return StoreState{load_little<uint64_t>(bytes.data()), load_little<uint64_t>(bytes.data() + 8),
                    load_little<uint64_t>(bytes.data() + 16)};
}

std::string printable(std::string_view key) {
  constexpr char kHex[] = "0123456789abcdef";
  constexpr size_t kShownBytes = 64;
  std::string out;
  for (const char c : key.substr(0, kShownBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\\') {
      out.push_back(c);
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  if (key.size() > kShownBytes) out += "... (" + std::to_string(key.size()) + " bytes)";
  return out;
}

}  // namespace polis::store
