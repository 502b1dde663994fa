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

// By the 16 bits above bit 32, keeping the order of equal ones: two counting passes of 8 bits, for which no comparison
// has to be guessed by the processor. A bucket of a million rows has some 256 pairs.
void sort_by_tag(std::vector<uint64_t>& pairs, std::vector<uint64_t>& scratch) {
  if (std::all_of(pairs.begin(), pairs.end(), [&](uint64_t pair) { return pair >> 32 == pairs[0] >> 32; })) return;
  scratch.resize(pairs.size());
  for (const unsigned shift : {32u, 40u}) {
    uint32_t places[256] = {};
    for (uint64_t pair : pairs) ++places[pair >> shift & 255];
    uint32_t total = 0;
    for (uint32_t& place : places) {
      const uint32_t size = place;
      place = total;
      total += size;
    }
    for (uint64_t pair : pairs) scratch[places[pair >> shift & 255]++] = pair;
    pairs.swap(scratch);
  }
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

ChunkBuilder::ChunkBuilder(ChunkOptions options, uint64_t number, bool to_be_built, Used used)
    : options_(std::move(options)), number_(number), memory_(std::move(used.memory)), used_runs_(std::move(used.runs)) {
  const uint64_t size_bytes =
      to_be_built ? size_bytes_max(options_) : kChunkPageBytes + uint64_t{options_.rows} * options_.row_bytes;
  if (!memory_) memory_ = std::make_unique<ChunkMemory>(size_bytes);
  POLIS_ASSERT(memory_->size_bytes() == size_bytes);
}

void ChunkBuilder::add_run(RunIndex::Scratch& scratch) {
  const uint64_t first = runs_.size() * uint64_t{options_.rows_per_run};
  POLIS_ASSERT(first < options_.rows);
  RunIndex run;
  if (!used_runs_.empty()) {
    run = std::move(used_runs_.back());
    used_runs_.pop_back();
  }
  run.build(rows() + first * options_.row_bytes, options_.rows_per_run, options_.row_bytes, options_.fields,
            options_.index, scratch);
  runs_.push_back(std::move(run));
}

// The rows, the keys, the runs, and the index, which is about as large as they are.
uint64_t ChunkBuilder::room_bytes() const {
  const uint64_t row_bytes = options_.row_bytes + (options_.key ? sizeof(uint64_t) : 0);
  return options_.rows * row_bytes + 2 * runs_memory_bytes();
}

uint64_t ChunkBuilder::runs_memory_bytes() const {
  uint64_t size_bytes = 0;
  for (const RunIndex& run : runs_) size_bytes += run.memory_bytes();
  return size_bytes;
}

void ChunkBuilder::build_keys(uint64_t keys_at) {
  auto* keys = reinterpret_cast<uint64_t*>(memory_->data() + keys_at);
  for (uint32_t i = 0; i < options_.rows; ++i)
    keys[i] = options_.key(rows() + uint64_t{i} * options_.row_bytes, options_.key_seed);
  zero_page_from(keys_at + uint64_t{options_.rows} * sizeof(uint64_t));
}

// What lies between a section and the next, for the memory may have held another chunk.
void ChunkBuilder::zero_page_from(uint64_t at) {
  std::memset(memory_->data() + at, 0, (kChunkPageBytes - at % kChunkPageBytes) % kChunkPageBytes);
}

// Bucket after bucket: the pairs of all runs, in the order of the runs and so of rank, sorted by what the bucket leaves
// of the value.
ChunkHeader::Field ChunkBuilder::build_field(uint8_t field, uint64_t entries_at) {
  const unsigned run_bits = static_cast<unsigned>(std::countr_zero(options_.rows_per_run));
  auto* const entries = reinterpret_cast<ChunkEntry*>(memory_->data() + entries_at);
  uint32_t values = 0;
  std::vector<uint32_t> postings;
  std::vector<uint64_t> pairs, scratch;  // tag << 32 | rank

  const auto emit = [&](uint32_t value, std::span<const uint64_t> ranks) {
    ChunkEntry entry{
        .value = value, .begin = static_cast<uint32_t>(postings.size()), .count = static_cast<uint32_t>(ranks.size())};
    if (entry.count == 1) {
      entry.begin = static_cast<uint32_t>(ranks[0]);
    } else if (entry.count == options_.rows) {
      entry.begin = 0;
    } else if (entry.count >= options_.rows / 32) {
      postings.resize(postings.size() + (options_.rows + 31) / 32);
      uint32_t* words = postings.data() + entry.begin;
      for (uint64_t pair : ranks) words[static_cast<uint32_t>(pair) / 32] |= uint32_t{1} << pair % 32;
    } else {
      for (uint64_t pair : ranks) postings.push_back(static_cast<uint32_t>(pair));
    }
    entries[values++] = entry;
  };

  for (uint32_t bucket = 0; bucket < uint32_t{1} << kBucketBits; ++bucket) {
    pairs.clear();
    for (size_t run = 0; run < runs_.size(); ++run) {
      const uint64_t first = uint64_t{run} << run_bits;
      for (uint32_t entry : runs_[run].bucket(field, bucket))
        pairs.push_back(uint64_t{entry >> kRankBits} << 32 | first | (entry & (kRowsPerRunMax - 1)));
    }
    sort_by_tag(pairs, scratch);
    // A row that carries a value twice carries it once.
    pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    for (size_t begin = 0, end = 0; begin < pairs.size(); begin = end) {
      const uint64_t tag = pairs[begin] >> 32;
      while (end < pairs.size() && pairs[end] >> 32 == tag) ++end;
      emit(bucket << kTagBits | static_cast<uint32_t>(tag), std::span(pairs).subspan(begin, end - begin));
    }
  }
  if (!postings.empty())
    std::memcpy(static_cast<void*>(entries + values), postings.data(), postings.size() * sizeof(uint32_t));
  zero_page_from(entries_at + uint64_t{values} * sizeof(ChunkEntry) + postings.size() * sizeof(uint32_t));
  return {.values = values, .postings = static_cast<uint32_t>(postings.size())};
}

uint32_t ChunkBuilder::build_checks(const ChunkLayout& layout) {
  std::byte* const checks = memory_->data() + layout.checks_at;
  std::memset(checks, 0, sizeof(uint32_t));
  for (uint64_t page = 1; page < layout.pages(); ++page) {
    const uint32_t crc = base::crc32c(BytesView(memory_->data() + page * kChunkPageBytes, kChunkPageBytes));
    std::memcpy(checks + page * sizeof crc, &crc, sizeof crc);
  }
  return base::crc32c(BytesView(checks, layout.pages() * sizeof(uint32_t)));
}

BytesView ChunkBuilder::build() {
  POLIS_ASSERT(options_.fields == 0 || runs_.size() == options_.rows / options_.rows_per_run);
  ChunkHeader header;
  header.name = options_.name;
  header.number = number_;
  header.row_bytes = options_.row_bytes;
  header.rows = options_.rows;
  header.has_keys = options_.key != nullptr;
  header.key_seed = options_.key_seed;
  header.identity =
      chunk_identity(rows(), rows() + uint64_t{options_.rows - 1} * options_.row_bytes, options_.row_bytes);
  zero_page_from(ChunkLayout(header).rows_at + uint64_t{options_.rows} * options_.row_bytes);
  if (options_.key) build_keys(ChunkLayout(header).keys_at);
  for (uint8_t field = 0; field < options_.fields; ++field) {
    header.fields.push_back({});
    header.fields[field] = build_field(field, ChunkLayout(header).fields[field].entries_at);
  }
  const ChunkLayout layout(header);
  POLIS_ASSERT(layout.size_bytes <= memory_->size_bytes());
  header.checks_crc = build_checks(layout);
  const Bytes page = encode_header(header);
  std::memcpy(memory_->data(), page.data(), page.size());
  return {memory_->data(), layout.size_bytes};
}

}  // namespace polis::ledger
