#include "systems/ledger/storage/chunked_log.h"

#include <algorithm>
#include <bit>

namespace polis::ledger {
namespace {

constexpr uint32_t kRowsPerChunkMax = 1 << 24;
constexpr size_t kNameBytesMax = 32;
constexpr uint8_t kSavedVersion = 1;
constexpr uint8_t kSavedHead = 1, kSavedRows = 2;
constexpr size_t kSavedRowsHeadBytes = 13;

}  // namespace

struct ChunkedLog::Part {
  std::vector<uint64_t> memory;  // the rows; words, for their alignment
  std::vector<RunIndex> runs;
};

ChunkedLog::ChunkedLog(ChunkedLogOptions options, ChunkStore* chunks)
    : options_(std::move(options)),
      chunks_(chunks),
      row_bytes_(options_.row_bytes),
      chunk_bits_(static_cast<unsigned>(std::countr_zero(options_.rows_per_chunk))),
      run_bits_(static_cast<unsigned>(std::countr_zero(options_.rows_per_run))),
      chunk_mask_(options_.rows_per_chunk - 1) {
  POLIS_ASSERT(row_bytes_ >= 8 && row_bytes_ <= 128 && row_bytes_ % 8 == 0);
  POLIS_ASSERT(std::has_single_bit(options_.rows_per_chunk) && options_.rows_per_chunk <= kRowsPerChunkMax);
  POLIS_ASSERT(std::has_single_bit(options_.rows_per_run) && options_.rows_per_run <= kRowsPerRunMax);
  POLIS_ASSERT(options_.rows_per_run <= options_.rows_per_chunk);
  POLIS_ASSERT(options_.fields <= kFieldsMax && (options_.fields == 0 || options_.index));
  POLIS_ASSERT(!options_.name.empty() && options_.name.size() <= kNameBytesMax);
}

ChunkedLog::~ChunkedLog() = default;

// --- appending

// The slot size() begins a chunk: points append() at it, making it unless truncate() left it behind.
void ChunkedLog::open_tail() {
  const size_t chunk = size_ >> chunk_bits_;
  if (chunk == rows_.size()) {
    auto part = std::make_unique<Part>();
    part->memory.resize(uint64_t{options_.rows_per_chunk} * row_bytes_ / sizeof(uint64_t));
    rows_.push_back({.begin = reinterpret_cast<std::byte*>(part->memory.data())});
    parts_.push_back(std::move(part));
  }
  aim_append();
}

void ChunkedLog::aim_append() {
  const Rows& rows = rows_[size_ >> chunk_bits_];
  append_at_ = rows.begin + (size_ & chunk_mask_) * row_bytes_;
  append_end_ = rows.begin + uint64_t{options_.rows_per_chunk} * row_bytes_;
}

void ChunkedLog::truncate(uint64_t size) {
  POLIS_ASSERT(size >= sealed_ && size <= size_);
  if (size == size_) return;
  size_ = size;
  aim_append();
}

void ChunkedLog::seal() {
  while (size_ - sealed_ >= options_.rows_per_run) seal_run();
}

void ChunkedLog::seal_run() {
  if (options_.fields > 0)
    parts_[sealed_ >> chunk_bits_]->runs.push_back(
        RunIndex::build(memory_row(sealed_), options_.rows_per_run, row_bytes_, options_.fields, options_.index));
  sealed_ += options_.rows_per_run;
}

// --- searching

bool ChunkedLog::carries(const std::byte* row, std::span<const FieldValue> either,
                         std::span<const FieldValue> all) const {
  if (either.empty() && all.empty()) return true;
  FieldValue values[kFieldsMax];
  const size_t count = options_.index(row, values);
  const auto has = [&](const FieldValue& wanted) {
    for (size_t i = 0; i < count; ++i)
      if (values[i].field == wanted.field && values[i].value == wanted.value) return true;
    return false;
  };
  return (either.empty() || std::ranges::any_of(either, has)) && std::ranges::all_of(all, has);
}

bool ChunkedLog::scan(std::span<const FieldValue> either, std::span<const FieldValue> all, uint64_t begin, uint64_t end,
                      bool descending, const Visit& visit) const {
  for (uint64_t i = 0; i < end - begin; ++i) {
    const uint64_t slot = descending ? end - 1 - i : begin + i;
    const std::byte* at = row(slot);
    if (carries(at, either, all) && !visit(slot, at)) return false;
  }
  return true;
}

// Inside one run, one chunk with its own index, or the rows that have none.
bool ChunkedLog::search_slots(std::span<const FieldValue> either, std::span<const FieldValue> all, uint64_t begin,
                              uint64_t end, bool descending, const Visit& visit) const {
  if (begin >= sealed_ || (either.empty() && all.empty())) return scan(either, all, begin, end, descending, visit);
  const uint64_t first = begin >> run_bits_ << run_bits_;
  const RunIndex& run = parts_[begin >> chunk_bits_]->runs[(begin & chunk_mask_) >> run_bits_];
  PostingSearch search(descending);
  bool any = either.empty();
  for (const FieldValue& wanted : either) {
    const Posting posting = run.find(wanted.field, index_value(wanted.value));
    any = any || !posting.none();
    search.add_either(posting);
  }
  if (!any) return true;
  for (const FieldValue& wanted : all) {
    const Posting posting = run.find(wanted.field, index_value(wanted.value));
    if (posting.none()) return true;
    search.add_all(posting);
  }
  const uint32_t low = static_cast<uint32_t>(begin - first), high = static_cast<uint32_t>(end - first);
  uint32_t rank = search.next(descending ? high - 1 : low);
  while (rank != Posting::kEnd && rank >= low && rank < high) {
    if (!visit(first + rank, row(first + rank))) return false;
    if (rank == (descending ? low : high - 1)) break;
    rank = search.next(descending ? rank - 1 : rank + 1);
  }
  return true;
}

void ChunkedLog::search(std::span<const FieldValue> either, std::span<const FieldValue> all, uint64_t begin,
                        uint64_t end, bool descending, const Visit& visit) const {
  end = std::min(end, size_);
  for (const FieldValue& wanted : either) POLIS_ASSERT(wanted.field < options_.fields);
  for (const FieldValue& wanted : all) POLIS_ASSERT(wanted.field < options_.fields);
  const bool indexed = !either.empty() || !all.empty();
  // The pieces that have one index each, in the order of the search.
  while (begin < end) {
    const uint64_t at = descending ? end - 1 : begin;
    uint64_t piece_begin = begin, piece_end = end;
    if (indexed && at < sealed_) {
      piece_begin = std::max(begin, at >> run_bits_ << run_bits_);
      piece_end = std::min(end, ((at >> run_bits_) + 1) << run_bits_);
    } else if (indexed) {
      piece_begin = std::max(begin, sealed_);
    }
    if (!search_slots(either, all, piece_begin, piece_end, descending, visit)) return;
    (descending ? end : begin) = descending ? piece_begin : piece_end;
  }
}

uint64_t ChunkedLog::lower_bound(const std::function<bool(const std::byte* row)>& before) const {
  uint64_t low = 0, high = size_;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (before(row(middle))) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// --- snapshots: head, then rows
//
//     head := 1:u8 version:u8 row_bytes:u32 rows_per_chunk:u32 size:u64 chunks:u64
//     rows := 2:u8 first_slot:u64 count:u32 bytes

ChunkedLog::Saver::Saver(const ChunkedLog& log)
    : log_(log), size_(log.size_), chunks_(log.put_), next_(log.put_ << log.chunk_bits_) {}

bool ChunkedLog::Saver::next(base::Writer& piece, size_t size_bytes_max) {
  if (first_) {
    first_ = false;
    piece.u8(kSavedHead);
    piece.u8(kSavedVersion);
    piece.u32(log_.row_bytes_);
    piece.u32(log_.options_.rows_per_chunk);
    piece.u64(size_);
    piece.u64(chunks_);
    return true;
  }
  if (next_ == size_) return false;
  POLIS_ASSERT(size_bytes_max >= kSavedRowsHeadBytes + log_.row_bytes_);
  const uint64_t chunk_end = std::min(size_, ((next_ >> log_.chunk_bits_) + 1) << log_.chunk_bits_);
  const uint64_t count =
      std::min<uint64_t>(chunk_end - next_, (size_bytes_max - kSavedRowsHeadBytes) / log_.row_bytes_);
  piece.u8(kSavedRows);
  piece.u64(next_);
  piece.u32(static_cast<uint32_t>(count));
  for (uint64_t i = 0; i < count; ++i) piece.bytes({log_.row(next_ + i), log_.row_bytes_});
  next_ += count;
  return true;
}

Result<void> ChunkedLog::load(base::Reader& part) {
  const auto damaged = [&](const std::string& why) {
    return fail(Code::kCorrupt, "the saved log " + options_.name + " cannot be loaded: " + why);
  };
  const uint8_t kind = part.u8();
  if (kind == kSavedHead) {
    const uint8_t version = part.u8();
    const uint32_t row_bytes = part.u32(), rows_per_chunk = part.u32();
    const uint64_t size = part.u64(), chunks = part.u64();
    TRY(part.status());
    if (version != kSavedVersion) return damaged("it has version " + std::to_string(version) + ", this polis knows 1");
    if (row_bytes != row_bytes_) return damaged("its rows have " + std::to_string(row_bytes) + " bytes");
    if (rows_per_chunk != options_.rows_per_chunk)
      return damaged("its chunks have " + std::to_string(rows_per_chunk) + " rows, here they have " +
                     std::to_string(options_.rows_per_chunk));
    if (size_ != 0 || load_size_ != 0) return damaged("it has two heads");
    if (chunks > size >> chunk_bits_) return damaged("it names more chunks than it has rows for");
    if (chunks > 0) return damaged("it refers to chunk files, and there are none");
    load_size_ = size;
    return {};
  }
  if (kind != kSavedRows) return damaged("it has a part of unknown kind " + std::to_string(kind));
  const uint64_t first = part.u64();
  const uint32_t count = part.u32();
  TRY(part.status());
  if (first != size_) return damaged("rows from " + std::to_string(size_) + " on are missing");
  if (count > load_size_ - size_) return damaged("it has more rows than its head says");
  const BytesView rows = part.bytes(uint64_t{count} * row_bytes_);
  TRY(part.status());
  for (uint32_t i = 0; i < count; ++i) append(rows.data() + uint64_t{i} * row_bytes_);
  return {};
}

Result<void> ChunkedLog::finish_load(const std::function<void(uint64_t slot, uint64_t hash)>& key) {
  if (size_ != load_size_)
    return fail(Code::kCorrupt, "the saved log " + options_.name + " has " + std::to_string(size_) + " rows of " +
                                    std::to_string(load_size_));
  if (options_.key && key)
    for (uint64_t slot = 0; slot < size_; ++slot) key(slot, options_.key(row(slot), options_.key_seed));
  seal();
  return {};
}

uint64_t ChunkedLog::memory_bytes() const {
  uint64_t size_bytes = 0;
  for (const auto& part : parts_) {
    size_bytes += sizeof(Part) + part->memory.capacity() * sizeof(uint64_t);
    for (const RunIndex& run : part->runs) size_bytes += run.memory_bytes();
  }
  return size_bytes;
}

}  // namespace polis::ledger
