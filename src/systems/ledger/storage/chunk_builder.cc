#include "systems/ledger/storage/chunk_builder.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <sys/mman.h>

#include "kernel/base/crc.h"

namespace polis::ledger {
namespace {

// Below this a chunk is a test's, and the allocator serves it.
constexpr uint64_t kMappedBytesMin = uint64_t{1} << 20;
// In pages of 4 KiB, so that a log with a few rows takes a few of them.
constexpr uint64_t kSmallPagesBytes = uint64_t{4} << 20;

// The most that a chunk can take: each row carries as many values as there are fields, each value once.
uint64_t size_bytes_max(const ChunkOptions& options) {
  const uint64_t rows_end = kChunkPageBytes + uint64_t{options.rows} * options.row_bytes + kChunkPageBytes;
  const uint64_t keys = options.key ? uint64_t{options.rows} * sizeof(uint64_t) + kChunkPageBytes : 0;
  const uint64_t index = options.fields * (uint64_t{options.rows} * (sizeof(ChunkEntry) + 4) + 2 * kChunkPageBytes);
  const uint64_t content = rows_end + keys + index;
  return content + content / kChunkPageBytes * sizeof(uint32_t) + kChunkPageBytes;
}

}  // namespace

ChunkMemory::ChunkMemory(uint64_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes < kMappedBytesMin) {
    data_ = static_cast<std::byte*>(::operator new(size_bytes, std::align_val_t{kChunkPageBytes}));
    std::memset(data_, 0, size_bytes);
    return;
  }
  void* at = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(at);
  if (size_bytes > kSmallPagesBytes)  // a hint: where it is refused, pages stay small
    (void)madvise(data_ + kSmallPagesBytes, size_bytes - kSmallPagesBytes, MADV_HUGEPAGE);
}

ChunkMemory::~ChunkMemory() {
  if (size_bytes_ < kMappedBytesMin) {
    ::operator delete(data_, std::align_val_t{kChunkPageBytes});
  } else {
    munmap(data_, size_bytes_);
  }
}

ChunkBuilder::ChunkBuilder(ChunkOptions options, uint64_t number, bool to_be_built)
    : options_(std::move(options)),
      number_(number),
      memory_(to_be_built ? size_bytes_max(options_) : kChunkPageBytes + uint64_t{options_.rows} * options_.row_bytes) {
}

void ChunkBuilder::add_run() {
  const uint64_t first = runs_.size() * uint64_t{options_.rows_per_run};
  POLIS_ASSERT(first < options_.rows);
  runs_.push_back(RunIndex::build(rows() + first * options_.row_bytes, options_.rows_per_run, options_.row_bytes,
                                  options_.fields, options_.index));
}

uint64_t ChunkBuilder::room_bytes() const {
  return memory_.size_bytes();
}

uint64_t ChunkBuilder::runs_memory_bytes() const {
  uint64_t size_bytes = 0;
  for (const RunIndex& run : runs_) size_bytes += run.memory_bytes();
  return size_bytes;
}

// All runs are sorted by value. The values are cut into ranges of equal width, about 256 pairs each; what the runs have
// in a range is put together in the order of the runs and sorted while it is in the first cache.
void ChunkBuilder::build_field(uint8_t field, ChunkHeader::Field& counts, uint64_t entries_at) {
  const unsigned rank_bits = static_cast<unsigned>(std::countr_zero(options_.rows));
  const unsigned run_bits = static_cast<unsigned>(std::countr_zero(options_.rows_per_run));
  const unsigned range_bits = rank_bits > 8 ? rank_bits - 8 : 0;
  const uint64_t rank_mask = options_.rows - 1;
  std::vector<std::span<const uint64_t>> left;
  for (const RunIndex& run : runs_) left.push_back(run.entries(field));
  std::vector<uint64_t> pairs;  // (the value's bits below the range) << rank_bits | rank
  std::vector<uint32_t> postings;
  auto* const entries = reinterpret_cast<ChunkEntry*>(memory_.data() + entries_at);
  uint32_t values = 0;

  const auto emit = [&](uint64_t value, std::span<const uint64_t> ranks) {
    ChunkEntry entry{
        .value = value, .begin = static_cast<uint32_t>(postings.size()), .count = static_cast<uint32_t>(ranks.size())};
    if (entry.count == 1) {
      entry.begin = static_cast<uint32_t>(ranks[0] & rank_mask);
    } else if (entry.count == options_.rows) {
    } else if (entry.count >= options_.rows / 32) {
      postings.resize(postings.size() + (options_.rows + 31) / 32);
      uint32_t* words = postings.data() + entry.begin;
      for (uint64_t pair : ranks) words[(pair & rank_mask) / 32] |= uint32_t{1} << (pair & rank_mask) % 32;
    } else {
      for (uint64_t pair : ranks) postings.push_back(static_cast<uint32_t>(pair & rank_mask));
    }
    entries[values++] = entry;
  };

  for (uint64_t range = 0; range < uint64_t{1} << range_bits; ++range) {
    pairs.clear();
    // The first entry (value << 16 | rank) of the next range; there is none behind the last.
    const bool last = range + 1 == uint64_t{1} << range_bits;
    const uint64_t range_end = last ? 0 : (range + 1) << (64 - range_bits);
    for (size_t run = 0; run < left.size(); ++run) {
      auto& entries_left = left[run];
      size_t i = 0;
      for (; i < entries_left.size() && (last || entries_left[i] < range_end); ++i) {
        const uint64_t value = entries_left[i] >> kRankBits & ((uint64_t{1} << (kValueBits - range_bits)) - 1);
        pairs.push_back(value << rank_bits | uint64_t{run} << run_bits | (entries_left[i] & (kRowsPerRunMax - 1)));
      }
      entries_left = entries_left.subspan(i);
    }
    if (!std::is_sorted(pairs.begin(), pairs.end())) std::sort(pairs.begin(), pairs.end());
    for (size_t begin = 0, end = 0; begin < pairs.size(); begin = end) {
      while (end < pairs.size() && pairs[end] >> rank_bits == pairs[begin] >> rank_bits) ++end;
      emit(range << (kValueBits - range_bits) | pairs[begin] >> rank_bits,
           std::span(pairs).subspan(begin, end - begin));
    }
  }
  counts = {.values = values, .postings = static_cast<uint32_t>(postings.size())};
  std::memcpy(static_cast<void*>(entries + values), postings.data(), postings.size() * sizeof(uint32_t));
}

BytesView ChunkBuilder::build() {
  POLIS_ASSERT(options_.fields == 0 || runs_.size() == options_.rows / options_.rows_per_run);
  const std::byte* last_row = rows() + uint64_t{options_.rows - 1} * options_.row_bytes;
  ChunkHeader header{.name = options_.name,
                     .number = number_,
                     .row_bytes = options_.row_bytes,
                     .rows = options_.rows,
                     .has_keys = options_.key != nullptr,
                     .key_seed = options_.key_seed,
                     .identity = chunk_identity(rows(), last_row, options_.row_bytes)};
  std::byte* const bytes = memory_.data();
  if (options_.key) {
    auto* keys = reinterpret_cast<uint64_t*>(bytes + ChunkLayout(header).keys_at);
    for (uint32_t i = 0; i < options_.rows; ++i)
      keys[i] = options_.key(rows() + uint64_t{i} * options_.row_bytes, options_.key_seed);
  }
  for (uint8_t field = 0; field < options_.fields; ++field) {
    header.fields.push_back({});
    build_field(field, header.fields[field], ChunkLayout(header).fields[field].entries_at);
  }
  const ChunkLayout layout(header);
  POLIS_ASSERT(layout.size_bytes <= memory_.size_bytes());
  const BytesView checks(bytes + layout.checks_at, layout.pages() * sizeof(uint32_t));
  for (uint64_t page = 0; page < layout.pages(); ++page) {
    const uint32_t crc = page == 0 ? 0 : base::crc32c(BytesView(bytes + page * kChunkPageBytes, kChunkPageBytes));
    std::memcpy(bytes + layout.checks_at + page * sizeof crc, &crc, sizeof crc);
  }
  header.checks_crc = base::crc32c(checks);
  const Bytes page = encode_header(header);
  std::memcpy(bytes, page.data(), page.size());
  return {bytes, layout.size_bytes};
}

}  // namespace polis::ledger
