// Multipart uploads. A completed object keeps its part rows where they are: completing writes one version row that
// names them, and no byte is copied.
#include <algorithm>
#include <iterator>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "systems/object/checksum.h"
#include "systems/object/engine.h"

namespace polis::object {
namespace {

std::string_view without_quotes(std::string_view etag) {
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') return etag.substr(1, etag.size() - 2);
  return etag;
}

// What S3 checks before it looks at any part.
Answer<void> check_order(const std::vector<CompletedPart>& parts) {
  if (parts.empty()) return refuse(ErrorCode::kMalformedXml, "A multipart upload must have at least one part");
  if (parts.size() > kPartNumberMax)
    return refuse(ErrorCode::kMalformedXml, "A multipart upload has at most 10,000 parts");
  for (size_t i = 1; i < parts.size(); ++i)
    if (parts[i].number < parts[i - 1].number) return refuse(ErrorCode::kInvalidPartOrder);
  return {};
}

// A client that sent a part twice may name it twice: the later one counts.
void drop_repeated(std::vector<CompletedPart>& parts) {
  auto end =
      std::unique(parts.rbegin(), parts.rend(), [](const auto& a, const auto& b) { return a.number == b.number; });
  parts.erase(parts.begin(), end.base());
}

struct Assembled {
  std::vector<PartRun> runs;
  std::vector<std::string> md5s;
  std::vector<PartChecksum> checksums;
  uint64_t size_bytes = 0;
};

bool is_hex_of(std::string_view text, std::string_view raw) {
  static constexpr char kDigits[] = "0123456789abcdef";
  if (text.size() != raw.size() * 2) return false;
  for (size_t i = 0; i < raw.size(); ++i) {
    const auto byte = static_cast<unsigned char>(raw[i]);
    if (text[2 * i] != kDigits[byte >> 4] || text[2 * i + 1] != kDigits[byte & 15]) return false;
  }
  return true;
}

// Both in ascending order of numbers.
Answer<Assembled> assemble(const std::vector<CompletedPart>& wanted, const std::vector<Part>& stored) {
  Assembled out;
  out.md5s.reserve(wanted.size());
  out.checksums.reserve(wanted.size());
  auto found = stored.begin();
  for (size_t i = 0; i < wanted.size(); ++i) {
    const CompletedPart& want = wanted[i];
    while (found != stored.end() && found->number < want.number) ++found;
    auto invalid = [&] {
      return refuse(Failure(ErrorCode::kInvalidPart)
                        .detail("PartNumber", std::to_string(want.number))
                        .detail("ETag", std::string(without_quotes(want.etag))));
    };
    if (found == stored.end() || found->number != want.number) return invalid();
    const Part& part = *found;
    if (!is_hex_of(without_quotes(want.etag), part.md5)) return invalid();
    if (want.checksum && part.checksum &&
        (want.checksum.algorithm != part.checksum.algorithm || want.checksum.raw != part.checksum.raw))
      return invalid();
    if (part.size_bytes < kPartBytesMin && i + 1 < wanted.size())
      return refuse(Failure(ErrorCode::kEntityTooSmall)
                        .detail("PartNumber", std::to_string(want.number))
                        .detail("ProposedSize", std::to_string(part.size_bytes))
                        .detail("MinSizeAllowed", std::to_string(kPartBytesMin)));
    PartRun* run = out.runs.empty() ? nullptr : &out.runs.back();
    if (run && run->size_bytes == part.size_bytes && run->first_number + run->count == part.number) {
      ++run->count;
    } else {
      out.runs.push_back({.first_number = part.number, .count = 1, .size_bytes = part.size_bytes});
    }
    out.md5s.push_back(part.md5);
    out.checksums.push_back({part.checksum, part.size_bytes});
    out.size_bytes += part.size_bytes;
  }
  return out;
}

}  // namespace

std::string multipart_etag(std::span<const std::string> part_md5s) {
  base::Md5 hash;
  for (const std::string& md5 : part_md5s) hash.update(std::string_view(md5));
  auto digest = hash.finish();
  return base::hex_encode(digest) + "-" + std::to_string(part_md5s.size());
}

Task<Answer<void>> Engine::create_upload(Write& write, const Bucket& bucket, Upload upload) const {
  upload.initiated_at = write.now;
  CO_ASK(write.txn.insert(keyspace_, upload_key(bucket.id, upload.key, upload.id), encode(upload)));
  LifecycleReading reading(bucket, upload.key, write.now, calendar_);
  reading.upload(upload);
  if (!reading.due().empty() || reading.next())
    CO_ASK(remind_at(write, bucket, upload.key, reading.next().value_or(write.now)));
  CO_ASK(co_await count(write, bucket.id, {}));
  co_return Answer<void>();
}

Task<Answer<Upload>> Engine::upload(store::Txn& txn, BucketId bucket, std::string_view key, const UploadId& id) const {
  auto row = CO_ASK(co_await txn.get(keyspace_, upload_key(bucket, key, id)));
  if (!row) co_return refuse(Failure(ErrorCode::kNoSuchUpload).detail("UploadId", base::hex_encode(as_bytes(id))));
  co_return CO_ASK(decode_upload(row->value));
}

Task<Answer<void>> Engine::put_part(Write& write, BucketId bucket, std::string_view key, const UploadId& id,
                                    Part part) const {
  auto upload_row = CO_ASK(co_await write.txn.get_for_update(keyspace_, upload_key(bucket, key, id)));
  if (!upload_row)
    co_return refuse(Failure(ErrorCode::kNoSuchUpload).detail("UploadId", base::hex_encode(as_bytes(id))));
  part.modified_at = write.now;
  std::string row_key = part_key(id, part.number);
  if (auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, row_key))) {
    Part before = CO_ASK(decode_part(row->value));
    if (!before.inlined) CO_ASK(release(write, before.blob));
  }
  CO_ASK(write.txn.put(keyspace_, row_key, encode(part)));
  if (!part.inlined)
    CO_ASK(refer(write, part.blob, {.kind = BackReference::Kind::kPart, .upload = id, .part_number = part.number}));
  co_return Answer<void>();
}

Task<Answer<PutOutcome>> Engine::complete(Write& write, const Bucket& bucket, CompleteUpload complete) const {
  CO_ASK(check_order(complete.parts));
  drop_repeated(complete.parts);
  std::string upload_row_key = upload_key(bucket.id, complete.key, complete.upload);
  auto upload_row = CO_ASK(co_await write.txn.get_for_update(keyspace_, upload_row_key));
  auto newest = CO_ASK(co_await read_version(write.txn, newest_key(bucket.id, complete.key), true));

  if (!upload_row) {
    // A client that lost our first answer asks again: the same list gets the same answer while the object is there.
    std::vector<std::string> md5s;
    for (const CompletedPart& part : complete.parts) {
      auto md5 = base::hex_decode(without_quotes(part.etag));
      md5s.emplace_back(md5 ? as_text(*md5) : std::string_view());
    }
    bool repeated = newest && newest->upload == complete.upload && newest->etag == multipart_etag(md5s);
    if (repeated) co_return PutOutcome{std::move(*newest)};
    co_return refuse(Failure(ErrorCode::kNoSuchUpload).detail("UploadId", base::hex_encode(as_bytes(complete.upload))));
  }
  Upload upload = CO_ASK(decode_upload(upload_row->value));
  CO_ASK(check_write(complete.conditions, newest ? &*newest : nullptr));

  std::vector<Part> stored;
  stored.reserve(complete.parts.size());
  while (true) {
    const uint32_t after = stored.empty() ? 0 : stored.back().number;
    PartListing page = CO_ASK(co_await list_parts(write.txn, complete.upload, after, kPartNumberMax));
    std::move(page.parts.begin(), page.parts.end(), std::back_inserter(stored));
    if (!page.truncated) break;
  }
  Assembled assembled = CO_ASK(assemble(complete.parts, stored));
  if (complete.size_bytes && *complete.size_bytes != assembled.size_bytes)
    co_return refuse(ErrorCode::kInvalidRequest, "The x-amz-mp-object-size does not match the size of the parts");

  ObjectVersion version;
  version.owner = upload.owner;
  version.size_bytes = assembled.size_bytes;
  version.etag = multipart_etag(assembled.md5s);
  version.metadata = std::move(upload.metadata);
  version.encryption = std::move(upload.encryption);  // each part has its own seal
  version.tags = std::move(upload.tags);
  version.acl = std::move(upload.acl);
  version.retention = upload.retention;
  version.legal_hold = upload.legal_hold;
  version.upload = complete.upload;
  version.parts = std::move(assembled.runs);
  if (complete.checksum_type && upload.checksum && *complete.checksum_type != upload.checksum.type)
    co_return refuse(ErrorCode::kInvalidRequest,
                     "The x-amz-checksum-type does not match the one the upload was created with");
  if (upload.checksum) {
    bool all = std::all_of(assembled.checksums.begin(), assembled.checksums.end(), [&](const PartChecksum& part) {
      return part.checksum.algorithm == upload.checksum.algorithm;
    });
    if (all) version.checksum = CO_ASK(combine(upload.checksum.algorithm, upload.checksum.type, assembled.checksums));
  }
  if (complete.checksum && version.checksum && complete.checksum.algorithm == version.checksum.algorithm &&
      complete.checksum.raw != version.checksum.raw)
    co_return refuse(ErrorCode::kBadDigest,
                     "The checksum you specified did not match the checksum of the completed object");

  auto named = complete.parts.begin();
  for (const Part& part : stored) {
    while (named != complete.parts.end() && named->number < part.number) ++named;
    if (named != complete.parts.end() && named->number == part.number) continue;
    if (!part.inlined) CO_ASK(release(write, part.blob));
    CO_ASK(write.txn.erase(keyspace_, part_key(complete.upload, part.number)));
  }
  CO_ASK(co_await install(write, bucket, complete.key, version, "", newest));
  CO_ASK(write.txn.erase(keyspace_, upload_row_key));
  co_return PutOutcome{std::move(version)};
}

Task<Answer<void>> Engine::abort(Write& write, BucketId bucket, std::string_view key, const UploadId& id) const {
  std::string row_key = upload_key(bucket, key, id);
  auto row = CO_ASK(co_await write.txn.get_for_update(keyspace_, row_key));
  if (!row) co_return refuse(Failure(ErrorCode::kNoSuchUpload).detail("UploadId", base::hex_encode(as_bytes(id))));
  CO_ASK(write.txn.erase(keyspace_, row_key));
  CO_ASK(write.txn.put(keyspace_, garbage_key(id), ""));
  write.made_garbage = true;
  co_return Answer<void>();
}

Task<Answer<PartListing>> Engine::list_parts(store::Txn& txn, const UploadId& id, uint32_t number_after,
                                             size_t limit) const {
  PartListing out;
  store::KeyRange range = store::prefix_range(parts_prefix(id));
  range.begin = part_key(id, number_after + 1);
  while (out.parts.size() < limit) {
    // A row has at most 2.5 KB (inlined), usually 150 bytes.
    auto scan =
        CO_ASK(co_await txn.scan(keyspace_, range, {.limit = limit - out.parts.size(), .bytes_limit = 4u << 20}));
    for (const store::Row& row : scan.rows) out.parts.push_back(CO_ASK(decode_part(row.value)));
    out.truncated = scan.more;
    if (!scan.more) break;
    range.begin = scan.rows.back().key + '\0';
  }
  co_return out;
}

Task<Answer<bool>> Engine::parts_stay(store::Txn& txn, const UploadId& id) const {
  if (CO_ASK(co_await txn.get(keyspace_, garbage_key(id)))) co_return false;
  PartListing first = CO_ASK(co_await list_parts(txn, id, 0, 1));
  co_return !first.parts.empty();
}

Task<Answer<std::vector<UploadId>>> Engine::garbage(store::Txn& txn, size_t limit, const UploadId& after) const {
  store::KeyRange range = store::prefix_range(garbage_prefix());
  if (!after.empty()) range.begin = garbage_key(after) + '\0';
  auto scan = CO_ASK(co_await txn.scan(keyspace_, range, {.limit = limit, .keys_only = true}));
  std::vector<UploadId> ids;
  for (const store::Row& row : scan.rows) ids.push_back(row.key.substr(1));
  co_return ids;
}

Task<Answer<bool>> Engine::reap(Write& write, const UploadId& id, size_t limit) const {
  PartListing page = CO_ASK(co_await list_parts(write.txn, id, 0, limit));
  for (const Part& part : page.parts) {
    if (!part.inlined) CO_ASK(release(write, part.blob));
    CO_ASK(write.txn.erase(keyspace_, part_key(id, part.number)));
  }
  if (!page.truncated) CO_ASK(write.txn.erase(keyspace_, garbage_key(id)));
  co_return !page.truncated;
}

}  // namespace polis::object
