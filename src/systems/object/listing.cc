// Listings: a walk over rows in the order of keys that seeks past everything a result has already covered: the rest of
// a common prefix, the older versions of a key.
#include <algorithm>

#include "systems/object/engine.h"

namespace polis::object {
namespace {

// Rows looked at in one scan. Without a delimiter nearly every row is a result; with one, most rows of a scan may lie
// under a common prefix that its first row has settled, so scans start small and grow while they pay. They shrink again
// when they do not: among keys with thousands of versions, or behind a thousand keys in a region of common prefixes.
constexpr size_t kScanMin = 8;                 // a seek costs about as much as so many rows
constexpr size_t kScanMax = kListKeysMax + 1;  // one more than a page tells whether another follows

// `key` up to and including the first delimiter behind the prefix; empty if it has none there.
std::string_view common_prefix_of(std::string_view key, std::string_view prefix, std::string_view delimiter) {
  if (delimiter.empty()) return {};
  size_t at = key.find(delimiter, prefix.size());
  return at == key.npos ? std::string_view() : key.substr(0, at + delimiter.size());
}

// Whether a marker is a common prefix that an earlier page gave out: then the page goes on behind all of it.
bool is_common_prefix(std::string_view marker, std::string_view prefix, std::string_view delimiter) {
  return marker.starts_with(prefix) && common_prefix_of(marker, prefix, delimiter) == marker;
}

// The moving front of a walk.
struct Walk {
  store::KeyRange range;
  size_t scan_limit;

  Walk(store::KeyRange whole, bool delimited, size_t results_max)
      : range(std::move(whole)), scan_limit(delimited ? kScanMin : std::min(results_max + 1, kScanMax)) {}
  bool passed(const std::string& row_key) const { return row_key < range.begin; }
  void skip_to(std::string row_key) { range.begin = std::max(range.begin, std::move(row_key)); }
  void next_scan(const store::Scan& scan, size_t useful) {
    if (!scan.rows.empty()) skip_to(scan.rows.back().key + '\0');
    if (useful * 2 > scan.rows.size())
      scan_limit = std::min(scan_limit * 4, kScanMax);
    else if (useful * 4 < scan.rows.size())
      scan_limit = std::min(scan_limit, std::max(kScanMin, useful * 4));
  }
  // What the next scan may hand out if so many results are still wanted.
  size_t limit(size_t results_left) const { return std::min(scan_limit, std::max(kScanMin, results_left + 1)); }
  bool done() const { return !range.end.empty() && range.begin >= range.end; }
};

}  // namespace

Task<Answer<Listing>> Engine::list(store::Txn& txn, BucketId bucket, const ListQuery& query) const {
  Listing out;
  if (query.limit == 0) co_return out;
  Walk walk({seek_key(bucket, query.prefix), behind_prefix(bucket, query.prefix)}, !query.delimiter.empty(),
            query.limit);
  if (!query.after.empty())
    walk.skip_to(is_common_prefix(query.after, query.prefix, query.delimiter) ? behind_prefix(bucket, query.after)
                                                                              : behind_key(bucket, query.after));
  auto full = [&] { return out.entries.size() + out.common_prefixes.size() == query.limit; };

  while (!walk.done()) {
    const size_t left = query.limit - out.entries.size() - out.common_prefixes.size();
    auto scan = CO_ASK(co_await txn.scan(keyspace_, walk.range, {.limit = walk.limit(left)}));
    size_t useful = 0;
    // Versions are large: none moves because the list grows.
    if (query.delimiter.empty()) out.entries.reserve(out.entries.size() + std::min(left, scan.rows.size()));
    for (size_t i = 0; i < scan.rows.size(); ++i) {
      const store::Row& row = scan.rows[i];
      if (walk.passed(row.key)) continue;
      VersionKey at = CO_ASK(parse_version_key(row.key));
      if (!at.newest) {
        // Many older versions: seek past them once they fill the scan.
        if (i + 1 == scan.rows.size()) walk.skip_to(behind_key(bucket, at.key));
        continue;
      }
      ObjectVersion version = CO_ASK(decode_version(row.value));
      if (version.delete_marker) continue;
      if (full()) {
        out.truncated = true;
        co_return out;
      }
      ++useful;
      std::string_view common = common_prefix_of(at.key, query.prefix, query.delimiter);
      if (!common.empty()) {
        out.common_prefixes.emplace_back(common);
        out.last = common;
        walk.skip_to(behind_prefix(bucket, common));
        continue;
      }
      out.last = at.key;
      ListEntry& entry = out.entries.emplace_back();
      entry.key = std::move(at.key);
      entry.version = std::move(version);
    }
    if (!scan.more) break;
    walk.next_scan(scan, useful);
  }
  co_return out;
}

Task<Answer<VersionListing>> Engine::list_versions(store::Txn& txn, BucketId bucket,
                                                   const VersionListQuery& query) const {
  VersionListing out;
  if (query.limit == 0) co_return out;
  Walk walk({seek_key(bucket, query.prefix), behind_prefix(bucket, query.prefix)}, !query.delimiter.empty(),
            query.limit);
  if (!query.key_after.empty()) {
    if (query.version_after) {
      auto marker = co_await version(txn, bucket, query.key_after, query.version_after);
      Sequence sequence = marker ? marker->sequence : query.version_after->sequence;
      walk.skip_to(sequence == 0 ? behind_key(bucket, query.key_after)
                                 : older_key(bucket, query.key_after, sequence) + '\0');
    } else {
      walk.skip_to(is_common_prefix(query.key_after, query.prefix, query.delimiter)
                       ? behind_prefix(bucket, query.key_after)
                       : behind_key(bucket, query.key_after));
    }
  }

  while (!walk.done()) {
    const size_t left = query.limit - out.entries.size() - out.common_prefixes.size();
    auto scan = CO_ASK(co_await txn.scan(keyspace_, walk.range, {.limit = walk.limit(left)}));
    size_t useful = 0;
    for (const store::Row& row : scan.rows) {
      if (walk.passed(row.key)) continue;
      if (out.entries.size() + out.common_prefixes.size() == query.limit) {
        out.truncated = true;
        co_return out;
      }
      ++useful;
      VersionKey at = CO_ASK(parse_version_key(row.key));
      std::string_view common = common_prefix_of(at.key, query.prefix, query.delimiter);
      if (!common.empty()) {
        out.common_prefixes.emplace_back(common);
        out.last_key = common;
        out.last_version_id.clear();
        walk.skip_to(behind_prefix(bucket, common));
        continue;
      }
      ObjectVersion version = CO_ASK(decode_version(row.value));
      out.last_key = at.key;
      out.last_version_id = version.version_id();
      out.entries.push_back({std::move(at.key), std::move(version), at.newest});
    }
    if (!scan.more) break;
    walk.next_scan(scan, useful);
  }
  co_return out;
}

Task<Answer<UploadListing>> Engine::list_uploads(store::Txn& txn, BucketId bucket, const UploadListQuery& query) const {
  UploadListing out;
  if (query.limit == 0) co_return out;
  Walk walk({upload_seek_key(bucket, query.prefix), upload_behind_prefix(bucket, query.prefix)},
            !query.delimiter.empty(), query.limit);
  if (!query.key_after.empty()) {
    if (!query.upload_after.empty()) {
      walk.skip_to(upload_key(bucket, query.key_after, query.upload_after) + '\0');
    } else {
      walk.skip_to(is_common_prefix(query.key_after, query.prefix, query.delimiter)
                       ? upload_behind_prefix(bucket, query.key_after)
                       : upload_behind_key(bucket, query.key_after));
    }
  }

  while (!walk.done()) {
    const size_t left = query.limit - out.uploads.size() - out.common_prefixes.size();
    auto scan = CO_ASK(co_await txn.scan(keyspace_, walk.range, {.limit = walk.limit(left)}));
    size_t useful = 0;
    for (const store::Row& row : scan.rows) {
      if (walk.passed(row.key)) continue;
      if (out.uploads.size() + out.common_prefixes.size() == query.limit) {
        out.truncated = true;
        co_return out;
      }
      ++useful;
      Upload upload = CO_ASK(decode_upload(row.value));
      std::string_view common = common_prefix_of(upload.key, query.prefix, query.delimiter);
      if (!common.empty()) {
        out.common_prefixes.emplace_back(common);
        out.last_key = common;
        out.last_upload.clear();
        walk.skip_to(upload_behind_prefix(bucket, common));
        continue;
      }
      out.last_key = upload.key;
      out.last_upload = upload.id;
      out.uploads.push_back(std::move(upload));
    }
    if (!scan.more) break;
    walk.next_scan(scan, useful);
  }
  co_return out;
}

}  // namespace polis::object
