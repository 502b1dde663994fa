#include "kernel/store/rocks_reader.h"

#include <rocksdb/db.h>
#include <rocksdb/iterator.h>

#include "kernel/store/row_format.h"

namespace polis::store {
namespace {

std::string_view view_of(const rocksdb::Slice& text) {
  return {text.data(), text.size()};
}

rocksdb::ReadOptions read_options(Tier tier) {
  rocksdb::ReadOptions options;
  options.read_tier = tier == Tier::kMemory ? rocksdb::kBlockCacheTier : rocksdb::kReadAllTier;
  // There are none. With them RocksDB 7.8 stops at the border between two files to look, and forgets on the way why the
  // next file could not be read: "not in memory" and "damaged" alike then looked like the end of all rows.
  options.ignore_range_deletions = true;
  return options;
}

Error corrupt_entry(std::string_view entry) {
  return Error(Code::kCorrupt, "the store holds an entry that is no row version: key " + printable(entry) +
                                   "; restore this keyspace from a backup");
}

// The first entry at or behind `target` (escaped key, version), if it is a version of the same key.
Result<std::optional<Seen>> seek(rocksdb::Iterator& iterator, std::string_view target, Tier tier, bool want_value) {
  const std::string_view escaped = target.substr(0, target.size() - kVersionSuffixBytes);
  iterator.Seek(rocksdb::Slice(target));
  if (!iterator.Valid()) {
    const rocksdb::Status status = iterator.status();
    if (status.ok()) return Seen{};
    if (status.IsIncomplete() && tier == Tier::kMemory) return std::optional<Seen>{};
    return fail(store_error(status, "read row " + printable(escaped)));
  }
  const std::string_view found = view_of(iterator.key());
  const auto entry = parse_entry_key(found);
  if (!entry) return fail(corrupt_entry(found));
  if (entry->escaped != escaped) return Seen{};
  const std::string_view value = view_of(iterator.value());
  const auto header = parse_row_header(value);
  if (!header) return fail(corrupt_entry(found));
  std::optional<Seen> seen(Seen{{entry->committed_at, header->version, !header->tombstone}, {}});
  if (want_value && seen->version.live) seen->value = value.substr(kRowHeaderBytes);
  return seen;
}

}  // namespace

Error store_error(const rocksdb::Status& status, std::string_view what) {
  Code code = Code::kIo;
  if (status.IsCorruption()) code = Code::kCorrupt;
  if (status.IsNoSpace()) code = Code::kNoSpace;
  if (status.IsBusy() || status.IsTryAgain()) code = Code::kBusy;
  if (status.IsNotSupported()) code = Code::kUnsupported;
  if (status.IsInvalidArgument()) code = Code::kInvalid;
  return Error(code, std::string(what) + ": " + status.ToString());
}

Result<std::optional<Seen>> RocksReader::lookup(Keyspace keyspace, std::string_view key, CommitTime view, Tier tier,
                                                bool want_value) const {
  thread_local std::string target;  // reused: one lookup is the whole work of many transactions
  target.clear();
  append_escaped_key(target, key);
  append_version_suffix(target, view);

  if (tier == Tier::kMemory) {
    auto seeker = seekers_.take(*database_, family(keyspace), keyspace, view);
    if (!seeker) return std::optional<Seen>{};
    auto seen = seek(*seeker->iterator, target, tier, want_value);
    // An iterator that met something else than rows may be halfway between two states: it goes.
    if (seen && *seen) seekers_.give(keyspace, std::move(seeker));
    return seen;
  }
  rocksdb::ReadOptions options = read_options(tier);
  options.prefix_same_as_start = true;  // as in seekers.cc
  const std::unique_ptr<rocksdb::Iterator> iterator(database_->NewIterator(options, family(keyspace)));
  return seek(*iterator, target, tier, want_value);
}

// --- ScanCursor

struct ScanCursor::Bounds {
  rocksdb::Slice lower, upper;
};

ScanCursor::ScanCursor(const RocksReader& reader, Keyspace keyspace, const KeyRange& range, const ScanOptions& options,
                       CommitTime view, const KeyWrites* own)
    : reader_(reader),
      keyspace_(keyspace),
      options_(options),
      view_(view),
      range_(range),
      bounds_(std::make_unique<Bounds>()),
      own_(own) {
  if (!range_.begin.empty()) append_escaped_key(lower_, range_.begin);
  if (!range_.end.empty()) append_escaped_key(upper_, range_.end);
  if (own_) {
    own_first_ = own_->lower_bound(range_.begin);
    own_last_ = range_.end.empty() ? own_->end() : own_->lower_bound(range_.end);
  }
}

ScanCursor::~ScanCursor() = default;

void ScanCursor::open(Tier tier) {
  bounds_->lower = rocksdb::Slice(lower_);
  bounds_->upper = rocksdb::Slice(upper_);
  rocksdb::ReadOptions options = read_options(tier);
  options.total_order_seek = true;
  if (!lower_.empty()) options.iterate_lower_bound = &bounds_->lower;
  if (!upper_.empty()) options.iterate_upper_bound = &bounds_->upper;
  iterator_.reset(reader_.database()->NewIterator(options, reader_.family(keyspace_)));
  if (options_.reverse) {
    if (!position_.empty()) {
      iterator_->SeekForPrev(rocksdb::Slice(position_));  // before every version of that key
    } else if (upper_.empty()) {
      iterator_->SeekToLast();
    } else {
      iterator_->SeekForPrev(rocksdb::Slice(upper_));
    }
  } else if (position_.empty()) {
    iterator_->Seek(rocksdb::Slice(lower_));
  } else {
    iterator_->Seek(rocksdb::Slice(behind_all_versions(position_)));
  }
}

Result<ScanCursor::Step> ScanCursor::not_valid() const {
  if (iterator_->status().ok()) return Step::kEnd;
  if (iterator_->status().IsIncomplete()) return Step::kPause;
  return fail(store_error(iterator_->status(), "scan from " + printable(range_.begin)));
}

// Takes a version as the visible one of its key. False: a tombstone, no row.
Result<bool> ScanCursor::consider(std::string_view escaped, CommitTime committed_at, std::string_view value) {
  const auto header = parse_row_header(value);
  Row row;
  if (!header || !unescape_key(escaped, row.key)) return fail(corrupt_entry(escaped));
  if (header->tombstone) return false;
  row.version = header->version;
  row.committed_at = committed_at;
  if (!options_.keys_only) row.value = value.substr(kRowHeaderBytes);
  committed_ = std::move(row);
  return true;
}

// Versions of one key that are stepped over before seeking costs less than stepping (a seek is some ten steps).
constexpr int kStepsBeforeSeek = 8;

Result<ScanCursor::Step> ScanCursor::next_forward() {
  int steps = 0;
  while (iterator_->Valid()) {
    if (entries_left_-- == 0) {
      entries_left_ = 0;
      return Step::kPause;
    }
    const auto entry = parse_entry_key(view_of(iterator_->key()));
    if (!entry) return fail(corrupt_entry(view_of(iterator_->key())));
    if (entry->escaped == position_) {  // an older version of the row before
      if (++steps < kStepsBeforeSeek) {
        iterator_->Next();
      } else {
        iterator_->Seek(rocksdb::Slice(behind_all_versions(position_)));
        steps = 0;
      }
    } else if (entry->committed_at > view_) {  // too new: look for the version of our view
      if (++steps < kStepsBeforeSeek) {
        iterator_->Next();
      } else {
        std::string target(entry->escaped);
        append_version_suffix(target, view_);
        iterator_->Seek(rocksdb::Slice(target));
        steps = 0;
      }
    } else {
      position_ = entry->escaped;
      steps = 0;
      if (TRY(consider(entry->escaped, entry->committed_at, view_of(iterator_->value())))) return Step::kRow;
    }
  }
  return not_valid();
}

// Backwards the oldest version of a key comes first. Steps towards newer ones while they are visible, and seeks when
// there are many.
Result<ScanCursor::Step> ScanCursor::next_backward() {
  std::string escaped, value;
  while (iterator_->Valid()) {
    auto entry = parse_entry_key(view_of(iterator_->key()));
    if (!entry) return fail(corrupt_entry(view_of(iterator_->key())));
    escaped = entry->escaped;
    if (escaped == position_) {
      iterator_->SeekForPrev(rocksdb::Slice(position_));
      continue;
    }
    CommitTime found = 0;
    for (int steps = 0; entry && entry->escaped == escaped && entry->committed_at <= view_; ++steps) {
      if (entries_left_ == 0) return Step::kPause;
      --entries_left_;
      if (steps == kStepsBeforeSeek) {
        std::string target = escaped;
        append_version_suffix(target, view_);
        iterator_->Seek(rocksdb::Slice(target));
        if (!iterator_->Valid()) return not_valid();
        entry = parse_entry_key(view_of(iterator_->key()));
        POLIS_ASSERT(entry && entry->escaped == escaped);  // at least the version we came from
        found = entry->committed_at;
        value = view_of(iterator_->value());
        break;
      }
      found = entry->committed_at;
      value = view_of(iterator_->value());
      iterator_->Prev();
      if (!iterator_->Valid()) {
        if (!iterator_->status().ok()) return not_valid();
        break;
      }
      entry = parse_entry_key(view_of(iterator_->key()));
      if (!entry) return fail(corrupt_entry(view_of(iterator_->key())));
    }
    if (entries_left_ == 0) return Step::kPause;
    --entries_left_;
    // The key is settled only here, so that a pause above begins it anew.
    position_ = escaped;
    const bool row = found != 0 && TRY(consider(escaped, found, value));
    // Past versions of this key that are too new to see, when any are left in front of the iterator.
    if (iterator_->Valid() && view_of(iterator_->key()).starts_with(escaped))
      iterator_->SeekForPrev(rocksdb::Slice(position_));
    if (row) return Step::kRow;
  }
  return not_valid();
}

Result<ScanCursor::Step> ScanCursor::next_committed() {
  return options_.reverse ? next_backward() : next_forward();
}

bool ScanCursor::own_left() const {
  return own_ && own_first_ != own_last_;
}

bool ScanCursor::emit(Row row) {
  if (scan_.rows.size() >= options_.limit || bytes_ >= options_.bytes_limit) {
    scan_.more = true;
    return false;
  }
  bytes_ += row.key.size() + row.value.size();
  scan_.rows.push_back(std::move(row));
  return true;
}

Result<ScanCursor::Outcome> ScanCursor::run(Tier tier, size_t entries_max) {
  entries_left_ = entries_max;
  if (!range_.end.empty() && range_.begin >= range_.end) return Outcome::kDone;
  struct Closer {
    std::unique_ptr<rocksdb::Iterator>& iterator;
    ~Closer() { iterator.reset(); }
  } closer{iterator_};
  if (!committed_end_) open(tier);

  while (true) {
    if (!committed_ && !committed_end_) {
      switch (TRY(next_committed())) {
        case Step::kRow:
          break;
        case Step::kEnd:
          committed_end_ = true;
          break;
        case Step::kPause:
          return Outcome::kGoOn;
      }
    }
    if (!own_left()) {
      if (!committed_) return Outcome::kDone;
      if (!emit(std::move(*committed_))) return Outcome::kDone;
      committed_.reset();
      continue;
    }
    const auto own = options_.reverse ? std::prev(own_last_) : own_first_;
    const int order =
        committed_ ? (options_.reverse ? committed_->key.compare(own->first) : own->first.compare(committed_->key))
                   : -1;
    if (order > 0) {
      if (!emit(std::move(*committed_))) return Outcome::kDone;
      committed_.reset();
      continue;
    }
    const uint64_t version = order == 0 ? committed_->version + 1 : 1;
    if (!own->second.tombstone &&
        !emit({own->first, options_.keys_only ? std::string() : own->second.value, version, 0}))
      return Outcome::kDone;
    if (order == 0) committed_.reset();
    options_.reverse ? void(--own_last_) : void(++own_first_);
  }
}

}  // namespace polis::store
