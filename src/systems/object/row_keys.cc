// The keys of rows, built and taken apart; the grammar is in rows.h.
#include "kernel/base/ordered_key.h"
#include "systems/object/rows.h"

namespace polis::object {
namespace {

constexpr size_t kUploadIdBytes = 16;

void append_u64(std::string& key, uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(value >> shift));
}

uint64_t read_u64(std::string_view bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<uint8_t>(bytes[static_cast<size_t>(i)]);
  return value;
}

// As base::append_key_bytes, without the end mark.
void append_escaped(std::string& key, std::string_view part) {
  for (char c : part) {
    key.push_back(c);
    if (c == '\0') key.push_back('\xFF');
  }
}

std::string under(char kind, BucketId bucket) {
  std::string key(1, kind);
  append_u64(key, bucket);
  return key;
}

std::string exactly(char kind, BucketId bucket, std::string_view object_key) {
  std::string key = under(kind, bucket);
  key.reserve(key.size() + object_key.size() + 10);
  append_escaped(key, object_key);
  key.append("\0\1", 2);
  return key;
}

std::string from(char kind, BucketId bucket, std::string_view object_key) {
  std::string key = under(kind, bucket);
  append_escaped(key, object_key);
  return key;
}

std::string behind(char kind, BucketId bucket, std::string_view object_key) {
  std::string key = under(kind, bucket);
  append_escaped(key, object_key);
  key.append("\0\2", 2);
  return key;
}

std::string successor(std::string key) {
  Bytes next = base::key_after_prefix(as_bytes(key));
  return std::string(as_text(next));
}

// The escape keeps prefixes: every key that begins with `prefix` has a row key that begins with the escaped prefix.
std::string behind_all(char kind, BucketId bucket, std::string_view prefix) {
  return successor(from(kind, bucket, prefix));
}

// Takes "<kind> <bucket>" and the escaped key from the front; what stays is the tail after the end mark.
Result<std::string> take_object_key(std::string_view& row_key, char kind) {
  if (row_key.size() < 9 || row_key.front() != kind)
    return fail(Code::kCorrupt, "a row key of the object store has the wrong kind");
  BytesView rest = as_bytes(row_key.substr(9));
  Bytes key = TRY(base::take_key_bytes(rest));
  row_key = as_text(rest);
  return std::string(as_text(key));
}

}  // namespace

std::string bucket_key(std::string_view name) {
  return "b" + std::string(name);
}
std::string bucket_keys() {
  return "b";
}

std::string versions_key_prefix(BucketId bucket) {
  return under('o', bucket);
}
std::string newest_key(BucketId bucket, std::string_view key) {
  return exactly('o', bucket, key);
}
std::string older_key(BucketId bucket, std::string_view key, Sequence sequence) {
  std::string row_key = exactly('o', bucket, key);
  append_u64(row_key, ~sequence);
  return row_key;
}
std::string seek_key(BucketId bucket, std::string_view key) {
  return from('o', bucket, key);
}
std::string behind_key(BucketId bucket, std::string_view key) {
  return behind('o', bucket, key);
}
std::string behind_prefix(BucketId bucket, std::string_view prefix) {
  return behind_all('o', bucket, prefix);
}

Result<VersionKey> parse_version_key(std::string_view row_key) {
  VersionKey parsed;
  parsed.key = TRY(take_object_key(row_key, 'o'));
  if (row_key.empty()) return parsed;
  if (row_key.size() != 8) return fail(Code::kCorrupt, "a version's row key has a tail of the wrong length");
  parsed.newest = false;
  parsed.sequence = ~read_u64(row_key);
  return parsed;
}

std::string inline_key(BucketId bucket, std::string_view key, Sequence sequence) {
  std::string row_key = exactly('i', bucket, key);
  append_u64(row_key, sequence);
  return row_key;
}

std::string uploads_key_prefix(BucketId bucket) {
  return under('u', bucket);
}
std::string upload_key(BucketId bucket, std::string_view key, const UploadId& id) {
  return exactly('u', bucket, key) + id;
}
std::string upload_seek_key(BucketId bucket, std::string_view key) {
  return from('u', bucket, key);
}
std::string upload_behind_key(BucketId bucket, std::string_view key) {
  return behind('u', bucket, key);
}
std::string upload_behind_prefix(BucketId bucket, std::string_view prefix) {
  return behind_all('u', bucket, prefix);
}

Result<UploadKey> parse_upload_key(std::string_view row_key) {
  UploadKey parsed;
  parsed.key = TRY(take_object_key(row_key, 'u'));
  if (row_key.size() != kUploadIdBytes)
    return fail(Code::kCorrupt, "an upload's row key has a tail of the wrong length");
  parsed.id = std::string(row_key);
  return parsed;
}

std::string parts_prefix(const UploadId& upload) {
  return "p" + upload;
}
std::string part_key(const UploadId& upload, uint32_t number) {
  std::string key = parts_prefix(upload);
  for (int shift = 24; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
  return key;
}
Result<uint32_t> parse_part_number(std::string_view row_key) {
  if (row_key.size() != 1 + kUploadIdBytes + 4) return fail(Code::kCorrupt, "a part's row key has the wrong length");
  uint32_t number = 0;
  for (char c : row_key.substr(row_key.size() - 4)) number = number << 8 | static_cast<uint8_t>(c);
  return number;
}

std::string reference_key(const blob::BlobId& id) {
  return "x" + id;
}
std::string garbage_prefix() {
  return "g";
}
std::string garbage_key(const UploadId& upload) {
  return "g" + upload;
}
std::string usage_prefix(BucketId bucket) {
  return under('c', bucket);
}
std::string usage_key(BucketId bucket, uint16_t slot) {
  std::string key = usage_prefix(bucket);
  key.push_back(static_cast<char>(slot >> 8));
  key.push_back(static_cast<char>(slot));
  return key;
}
std::string scrub_key() {
  return "s";
}
std::string kms_key_key(std::string_view name) {
  return "k" + std::string(name);
}
std::string kms_keys_prefix() {
  return "k";
}
std::string last_bucket_id_key() {
  return "n";
}
std::string reminders_prefix() {
  return "l";
}
std::string reminder_key(uint64_t at_s, BucketId bucket, std::string_view key) {
  std::string row_key = under('l', at_s);
  append_u64(row_key, bucket);
  append_escaped(row_key, key);
  row_key.append("\0\1", 2);
  return row_key;
}
std::string reminders_behind(uint64_t at_s) {
  return at_s == UINT64_MAX ? successor(reminders_prefix()) : under('l', at_s + 1);
}
Result<Reminder> parse_reminder_key(std::string_view row_key) {
  if (row_key.size() < 17 || row_key.front() != 'l')
    return fail(Code::kCorrupt, "a reminder's row key is too short or of the wrong kind");
  Reminder parsed{
      .at_s = read_u64(row_key.substr(1)), .bucket = read_u64(row_key.substr(9)), .key = {}, .bucket_name = {}};
  BytesView rest = as_bytes(row_key.substr(17));
  Bytes key = TRY(base::take_key_bytes(rest));
  if (!rest.empty()) return fail(Code::kCorrupt, "a reminder's row key has a tail");
  parsed.key = std::string(as_text(key));
  return parsed;
}
std::string renamed_from(uint64_t hour) {
  return under('y', hour);
}
std::string renamed_key(uint64_t hour, BucketId bucket, std::string_view token) {
  std::string row_key = renamed_from(hour);
  append_u64(row_key, bucket);
  return row_key.append(token);
}
std::string indexing_prefix() {
  return "j";
}
std::string indexing_key(BucketId bucket) {
  return under('j', bucket);
}
Result<BucketId> parse_indexing_key(std::string_view row_key) {
  if (row_key.size() != 9 || row_key.front() != 'j')
    return fail(Code::kCorrupt, "the row key of a bucket's indexing has the wrong length or kind");
  return read_u64(row_key.substr(1));
}

}  // namespace polis::object
