#include "systems/object/rows.h"

// Whatever lies in the store: a row decodes to something that encodes to the very same row (one of an older format: to
// a row that decodes), or is corrupt.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace polis::object;
  std::string_view row(reinterpret_cast<const char*>(bytes), size);
  if (auto version = decode_version(row))
    POLIS_ASSERT(encode(*version) == row || (row[0] == 1 && decode_version(encode(*version))));
  if (auto bucket = decode_bucket(row))
    POLIS_ASSERT(encode(*bucket) == row || (row[0] == 1 && decode_bucket(encode(*bucket))));
  if (auto upload = decode_upload(row))
    POLIS_ASSERT(encode(*upload) == row || (row[0] == 1 && decode_upload(encode(*upload))));
  if (auto part = decode_part(row)) POLIS_ASSERT(encode(*part) == row || (row[0] == 1 && decode_part(encode(*part))));
  if (auto usage = decode_usage(row))
    POLIS_ASSERT(encode(*usage) == row || (row[0] == 1 && decode_usage(encode(*usage))));
  if (auto reference = decode_reference(row))
    POLIS_ASSERT(encode(*reference) == row || (row[0] == 1 && decode_reference(encode(*reference))));
  if (auto indexing = decode_indexing(row))
    POLIS_ASSERT(encode(*indexing) == row || (row[0] == 1 && decode_indexing(encode(*indexing))));
  if (auto renamed = decode_renamed(row))
    POLIS_ASSERT(encode(*renamed) == row || (row[0] == 1 && decode_renamed(encode(*renamed))));
  if (auto reminder = parse_reminder_key(row))
    POLIS_ASSERT(reminder_key(reminder->at_s, reminder->bucket, reminder->key) == row);
  (void)parse_indexing_key(row);
  if (auto key = parse_version_key(row)) POLIS_ASSERT(!key->key.empty() || row.size() >= 11);
  (void)parse_upload_key(row);
  (void)parse_part_number(row);
  return 0;
}
