#include "systems/ledger/storage/chunked_log.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace polis::ledger {
namespace {

constexpr uint8_t kSavedVersion = 1;
constexpr uint8_t kSavedHead = 1, kSavedChunks = 2, kSavedRows = 3;
constexpr size_t kSavedPartHeadBytes = 13;
// So many unfinished rows are scanned in 20 us; more get an index of their own.
constexpr uint64_t kScannedMax = 1024;

}  // namespace

ChunkedLog::ChunkedLog(ChunkedLogOptions options, ChunkStore* chunks)
    : options_(std::move(options)),
      chunks_(chunks),
      row_bytes_(options_.row_bytes),
      chunk_bits_(static_cast<unsigned>(std::countr_zero(options_.rows_per_chunk))),
      run_bits_(static_cast<unsigned>(std::countr_zero(options_.rows_per_run))),
      chunk_mask_(options_.rows_per_chunk - 1) {
  POLIS_ASSERT(row_bytes_ >= 8 && row_bytes_ <= kRowBytesMax && row_bytes_ % 8 == 0);
  POLIS_ASSERT(std::has_single_bit(options_.rows_per_chunk) && options_.rows_per_chunk <= kRowsPerChunkMax);
  POLIS_ASSERT(std::has_single_bit(options_.rows_per_run) && options_.rows_per_run <= kRowsPerRunMax);
  POLIS_ASSERT(options_.rows_per_run <= options_.rows_per_chunk);
  POLIS_ASSERT(options_.fields <= kFieldsMax && (options_.fields == 0 || options_.index));
  POLIS_ASSERT(!options_.name.empty() && options_.name.size() <= kChunkNameBytesMax);
}

ChunkedLog::~ChunkedLog() = default;

// --- appending

// The slot size() begins a chunk: points append() at it, making it unless truncate() left it behind.
void ChunkedLog::open_tail() {
  const uint64_t number = size_ >> chunk_bits_;
  if (number == rows_.size()) {
    parts_.push_back(
        {.builder = std::make_shared<ChunkBuilder>(ChunkOptions{.name = options_.name,
                                                                .row_bytes = row_bytes_,
                                                                .rows = options_.rows_per_chunk,
                                                                .rows_per_run = options_.rows_per_run,
                                                                .fields = options_.fields,
                                                                .index = options_.index,
                                                                .key = options_.key,
                                                                .key_seed = options_.key_seed},
                                                   number, chunks_ != nullptr, std::exchange(spare_, {}))});
    rows_.push_back({.begin = parts_.back().builder->rows()});
  }
  aim_append();
}

void ChunkedLog::aim_append() {
  std::byte* const rows = parts_[size_ >> chunk_bits_].builder->rows();
  append_at_ = rows + (size_ & chunk_mask_) * row_bytes_;
  append_end_ = rows + uint64_t{options_.rows_per_chunk} * row_bytes_;
}

void ChunkedLog::truncate(uint64_t size) {
  POLIS_ASSERT(size >= sealed_ && size <= size_);
  if (size == size_) return;
  size_ = size;
  std::erase_if(fresh_, [&](const Fresh& fresh) { return fresh.first + fresh.count > size; });
  aim_append();
}

void ChunkedLog::seal() {
  while (size_ - sealed_ >= options_.rows_per_run) {
    if (options_.fields > 0) parts_[sealed_ >> chunk_bits_].builder->add_run(scratch_);
    sealed_ += options_.rows_per_run;
    fresh_.clear();
  }
  if (!chunks_) return;
  put_full_chunks();
  adopt_ready_chunks();
}

void ChunkedLog::put_full_chunks() {
  for (; put_ < sealed_ >> chunk_bits_; ++put_) {
    Part& part = parts_[put_];
    const uint64_t first = put_ << chunk_bits_;
    part.identity = chunk_identity(row(first), row(first + chunk_mask_), row_bytes_);
    chunks_->put(options_.name, put_, part.builder);
  }
}

void ChunkedLog::adopt_ready_chunks() {
  while (adopted_ < put_) {
    const Chunk* chunk = chunks_->get(options_.name, adopted_);
    if (!chunk) return;
    adopt(adopted_, *chunk);
  }
}

// Reads the chunk from the store from now on and lets its memory go, or keeps it for the next tail: fresh memory costs
// 20 to 60 ns a row. It is kept when rows arrive fast: many came while the chunk was built and written.
void ChunkedLog::adopt(uint64_t number, const Chunk& chunk) {
  POLIS_ASSERT(number == adopted_);
  auto& builder = parts_[number].builder;
  const bool fast = size_ > ((number + 1) << chunk_bits_) + options_.rows_per_chunk / 16;
  if (fast && !spare_.memory && builder && builder.use_count() == 1) spare_ = builder->give_used();
  parts_[number].builder.reset();
  parts_[number].chunk = &chunk;
  rows_[number] = {.begin = chunk.rows(), .check = chunk.row_check()};
  ++adopted_;
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

template <class Find>
bool ChunkedLog::search_index(uint64_t first, Find find, std::span<const FieldValue> either,
                              std::span<const FieldValue> all, uint64_t begin, uint64_t end, bool descending,
                              const Visit& visit) const {
  PostingSearch search(descending);
  for (const FieldValue& wanted : either) search.add_either(find(wanted.field, index_value(wanted.value)));
  for (const FieldValue& wanted : all) search.add_all(find(wanted.field, index_value(wanted.value)));
  const uint32_t low = static_cast<uint32_t>(begin - first), high = static_cast<uint32_t>(end - first);
  uint32_t rank = search.next(descending ? high - 1 : low);
  while (rank != Posting::kEnd && rank >= low && rank < high) {
    if (!visit(first + rank, row(first + rank))) return false;
    if (rank == (descending ? low : high - 1)) break;
    rank = search.next(descending ? rank - 1 : rank + 1);
  }
  return true;
}

// Behind the last run, so that many questions between two runs do not scan the same rows each.
void ChunkedLog::index_fresh_rows() const {
  uint64_t begin = fresh_.empty() ? sealed_ : fresh_.back().first + fresh_.back().count;
  while (size_ - begin > kScannedMax) {
    // Rows of one chunk lie together; a command may reach over its end before it is sealed.
    const uint64_t chunk_end = ((begin >> chunk_bits_) + 1) << chunk_bits_;
    const uint64_t count = std::min<uint64_t>({size_ - begin, chunk_end - begin, kRowsPerRunMax});
    Fresh& fresh = fresh_.emplace_back(Fresh{.first = begin, .count = static_cast<uint32_t>(count)});
    fresh.run.build(row(begin), fresh.count, row_bytes_, options_.fields, options_.index, scratch_);
    begin += count;
  }
}

void ChunkedLog::search(std::span<const FieldValue> either, std::span<const FieldValue> all, uint64_t begin,
                        uint64_t end, bool descending, const Visit& visit) const {
  end = std::min(end, size_);
  for (const FieldValue& wanted : either) POLIS_ASSERT(wanted.field < options_.fields);
  for (const FieldValue& wanted : all) POLIS_ASSERT(wanted.field < options_.fields);
  if (either.empty() && all.empty()) {
    if (begin < end) scan(either, all, begin, end, descending, visit);
    return;
  }
  if (end > sealed_) index_fresh_rows();
  // The pieces that have one index each, in the order of the search.
  while (begin < end) {
    const uint64_t at = descending ? end - 1 : begin;
    uint64_t first = 0, past = 0;
    const Chunk* chunk = nullptr;
    const RunIndex* run = nullptr;
    if (at >> chunk_bits_ < adopted_) {
      first = at & ~chunk_mask_;
      past = first + chunk_mask_ + 1;
      chunk = parts_[at >> chunk_bits_].chunk;
    } else if (at < sealed_) {
      first = at >> run_bits_ << run_bits_;
      past = first + options_.rows_per_run;
      run = &parts_[at >> chunk_bits_].builder->runs()[(at & chunk_mask_) >> run_bits_];
    } else {
      first = sealed_;
      past = size_;
      for (const Fresh& fresh : fresh_) {
        first = std::max(first, fresh.first + fresh.count);
        if (at < fresh.first || at >= fresh.first + fresh.count) continue;
        first = fresh.first;
        past = fresh.first + fresh.count;
        run = &fresh.run;
        break;
      }
    }
    const uint64_t from = std::max(begin, first), to = std::min(end, past);
    bool go_on = false;
    if (chunk) {
      go_on = search_index(
          first, [&](uint8_t field, uint32_t value) { return chunk->find(field, value); }, either, all, from, to,
          descending, visit);
    } else if (run) {
      go_on = search_index(
          first, [&](uint8_t field, uint32_t value) { return run->find(field, value); }, either, all, from, to,
          descending, visit);
    } else {
      go_on = scan(either, all, from, to, descending, visit);
    }
    if (!go_on) return;
    (descending ? end : begin) = descending ? from : to;
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

// --- snapshots
//
//     parts  := head chunks* rows*
//     head   := 1:u8 version:u8 row_bytes:u32 rows_per_chunk:u32 size:u64 chunks:u64
//     chunks := 2:u8 first_number:u64 count:u32 identity:u64{count}
//     rows   := 3:u8 first_slot:u64 count:u32 row{count}

ChunkedLog::Saver::Saver(const ChunkedLog& log)
    : log_(log), size_(log.size_), chunks_(log.put_), rows_done_(log.put_ << log.chunk_bits_) {}

bool ChunkedLog::Saver::next(base::Writer& piece, size_t size_bytes_max) {
  POLIS_ASSERT(size_bytes_max >= kSavedPartHeadBytes + kRowBytesMax);
  const size_t room = size_bytes_max - kSavedPartHeadBytes;
  if (!head_done_) {
    head_done_ = true;
    piece.u8(kSavedHead);
    piece.u8(kSavedVersion);
    piece.u32(log_.row_bytes_);
    piece.u32(log_.options_.rows_per_chunk);
    piece.u64(size_);
    piece.u64(chunks_);
    return true;
  }
  if (chunks_done_ < chunks_) {
    const uint64_t count = std::min<uint64_t>(chunks_ - chunks_done_, room / sizeof(uint64_t));
    piece.u8(kSavedChunks);
    piece.u64(chunks_done_);
    piece.u32(static_cast<uint32_t>(count));
    for (uint64_t i = 0; i < count; ++i) piece.u64(log_.parts_[chunks_done_ + i].identity);
    chunks_done_ += count;
    return true;
  }
  if (rows_done_ == size_) return false;
  const uint64_t count = std::min<uint64_t>(size_ - rows_done_, room / log_.row_bytes_);
  piece.u8(kSavedRows);
  piece.u64(rows_done_);
  piece.u32(static_cast<uint32_t>(count));
  for (uint64_t i = 0; i < count; ++i) piece.bytes({log_.row(rows_done_ + i), log_.row_bytes_});
  rows_done_ += count;
  return true;
}

std::unexpected<Error> ChunkedLog::damaged(const std::string& why) const {
  return fail(Code::kCorrupt, "the saved log \"" + options_.name + "\" cannot be loaded: " + why);
}

Result<void> ChunkedLog::load(base::Reader& part) {
  const uint8_t kind = part.u8();
  TRY(part.status());
  if (kind == kSavedHead) return load_head(part);
  if (kind == kSavedChunks) return load_chunks(part);
  if (kind == kSavedRows) return load_rows(part);
  return damaged("it has a part of unknown kind " + std::to_string(kind));
}

Result<void> ChunkedLog::load_head(base::Reader& part) {
  const uint8_t version = part.u8();
  const uint32_t row_bytes = part.u32(), rows_per_chunk = part.u32();
  const uint64_t size = part.u64(), chunks = part.u64();
  TRY(part.status());
  if (version != kSavedVersion)
    return damaged("it has version " + std::to_string(version) + ", this polis knows " + std::to_string(kSavedVersion));
  if (row_bytes != row_bytes_)
    return damaged("its rows have " + std::to_string(row_bytes) + " bytes, here they have " +
                   std::to_string(row_bytes_));
  if (rows_per_chunk != options_.rows_per_chunk)
    return damaged("its chunks have " + std::to_string(rows_per_chunk) + " rows, here they have " +
                   std::to_string(options_.rows_per_chunk));
  if (size_ != 0 || load_size_ != 0) return damaged("it has two heads");
  if (chunks > size >> chunk_bits_) return damaged("it names more chunks than it has rows for");
  if (chunks > 0 && !chunks_) return damaged("it refers to chunks, and there is no place that has them");
  load_size_ = size;
  load_chunks_ = chunks;
  if (chunks_) chunks_->drop_from(options_.name, chunks);
  return {};
}

Result<void> ChunkedLog::match(const ChunkHeader& header, uint64_t number, uint64_t identity) const {
  const std::string what = "chunk " + std::to_string(number);
  if (header.row_bytes != row_bytes_ || header.rows != options_.rows_per_chunk)
    return damaged(what + " has other rows than the log");
  if (header.fields.size() != options_.fields)
    return damaged(what + " has an index of " + std::to_string(header.fields.size()) + " fields, here it has " +
                   std::to_string(options_.fields));
  if (header.identity != identity) return damaged(what + " is of another history than the snapshot");
  return {};
}

Result<void> ChunkedLog::load_chunks(base::Reader& part) {
  const uint64_t first = part.u64();
  const uint32_t count = part.u32();
  TRY(part.status());
  if (first != adopted_) return damaged("chunks from " + std::to_string(adopted_) + " on are missing");
  if (count > load_chunks_ - adopted_) return damaged("it has more chunks than its head says");
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t number = adopted_, identity = part.u64();
    TRY(part.status());
    const Chunk* chunk = chunks_->get(options_.name, number);
    if (!chunk) return damaged("chunk " + std::to_string(number) + " is missing");
    TRY(match(chunk->header(), number, identity));
    parts_.push_back({.identity = identity});
    rows_.emplace_back();
    adopt(number, *chunk);
  }
  put_ = adopted_;
  size_ = sealed_ = adopted_ << chunk_bits_;
  return {};
}

Result<void> ChunkedLog::load_rows(base::Reader& part) {
  const uint64_t first = part.u64();
  const uint32_t count = part.u32();
  TRY(part.status());
  if (adopted_ != load_chunks_) return damaged("chunks from " + std::to_string(adopted_) + " on are missing");
  if (first != size_) return damaged("rows from " + std::to_string(size_) + " on are missing");
  if (count > load_size_ - size_) return damaged("it has more rows than its head says");
  const BytesView rows = part.bytes(uint64_t{count} * row_bytes_);
  TRY(part.status());
  for (uint32_t i = 0; i < count; ++i) append(rows.data() + uint64_t{i} * row_bytes_);
  return {};
}

Result<void> ChunkedLog::finish_load(const std::function<void(uint64_t slot, uint64_t hash)>& key) {
  if (size_ != load_size_ || adopted_ != load_chunks_)
    return damaged("it has " + std::to_string(size_) + " rows of " + std::to_string(load_size_));
  if (options_.key && key) {
    for (uint64_t number = 0; number < adopted_; ++number) {
      const Chunk& chunk = *parts_[number].chunk;
      const uint64_t first = number << chunk_bits_;
      if (chunk.header().has_keys && chunk.header().key_seed == options_.key_seed) {
        const auto keys = chunk.keys();
        for (uint64_t i = 0; i < keys.size(); ++i) key(first + i, keys[i]);
      } else {
        for (uint64_t slot = first; slot <= (first | chunk_mask_); ++slot)
          key(slot, options_.key(row(slot), options_.key_seed));
      }
    }
    for (uint64_t slot = adopted_ << chunk_bits_; slot < size_; ++slot)
      key(slot, options_.key(row(slot), options_.key_seed));
  }
  seal();
  return {};
}

uint64_t ChunkedLog::memory_bytes() const {
  uint64_t size_bytes = rows_.capacity() * sizeof(Rows) + parts_.capacity() * sizeof(Part);
  for (uint64_t number = adopted_; number < parts_.size(); ++number) {
    const uint64_t first = number << chunk_bits_;
    const uint64_t rows = size_ > first ? std::min<uint64_t>(size_ - first, options_.rows_per_chunk) : 0;
    size_bytes += sizeof(ChunkBuilder) + rows * row_bytes_ + parts_[number].builder->runs_memory_bytes();
  }
  for (const Fresh& fresh : fresh_) size_bytes += fresh.run.memory_bytes();
  if (spare_.memory) size_bytes += uint64_t{options_.rows_per_chunk} * row_bytes_;
  return size_bytes;
}

}  // namespace polis::ledger
