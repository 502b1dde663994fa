#include "systems/ledger/verification_chunks.h"

#include <algorithm>
#include <fmt/format.h>

namespace polis::ledger {
namespace {

// The first byte in [begin, end) that differs, or `end`.
uint64_t first_difference(BytesView stored, BytesView replayed, uint64_t begin, uint64_t end) {
  const BytesView part = stored.subspan(begin, end - begin);
  return begin +
         static_cast<uint64_t>(std::ranges::mismatch(part, replayed.subspan(begin, end - begin)).in1 - part.begin());
}

// The same for whole chunks; their size if they say the same. Hashes of ids depend on a secret of the installation,
// which a restored backup need not have: behind another secret they were checked as they were written, and nobody asks
// them.
uint64_t difference(const Chunk& chunk, BytesView replayed) {
  const BytesView stored = chunk.bytes();
  const uint64_t size_bytes = stored.size();
  if (replayed.size() != size_bytes) return std::min<uint64_t>(replayed.size(), size_bytes - 1);
  const auto header = decode_header(replayed.first(kChunkPageBytes), size_bytes);
  if (!header || header->key_seed == chunk.header().key_seed) return first_difference(stored, replayed, 0, size_bytes);
  const ChunkLayout layout(*header);
  if (ChunkLayout(chunk.header()).size_bytes != layout.size_bytes || header->identity != chunk.header().identity)
    return 0;
  if (const uint64_t at = first_difference(stored, replayed, layout.rows_at, layout.keys_at); at < layout.keys_at)
    return at;
  const uint64_t keys_end = layout.keys_at + (header->has_keys ? uint64_t{header->rows} * sizeof(uint64_t) : 0);
  const uint64_t at = first_difference(stored, replayed, keys_end, layout.checks_at);
  return at < layout.checks_at ? at : size_bytes;
}

}  // namespace

void VerificationChunks::put(std::string_view log, uint64_t number, std::shared_ptr<ChunkImage> image) {
  ++waiting_;
  tasks_.spawn(compare(std::string(log), number, std::move(image)));
}

const Chunk* VerificationChunks::get(std::string_view log, uint64_t number) const {
  const auto compared = compared_.find(log);
  if (compared == compared_.end() || number >= compared->second) return nullptr;
  return running_.get(log, number);
}

void VerificationChunks::drop_from(std::string_view log, uint64_t number) {
  const auto compared = compared_.find(log);
  if (compared != compared_.end()) compared->second = std::min(compared->second, number);
}

Task<Result<void>> VerificationChunks::sync() {
  return settle();
}

Task<Result<void>> VerificationChunks::settle() {
  co_await tasks_.join();
  if (difference_) co_return fail(*difference_);
  co_return {};
}

Task<void> VerificationChunks::compare(std::string log, uint64_t number, std::shared_ptr<ChunkImage> image) {
  // Not cancelled: nobody stops this group.
  if (co_await one_.acquire()) {
    if (!difference_) {
      const auto same = co_await compare_one(log, number, *image);
      if (!same) difference_ = same.error();
      if (same) compared_[log] = number + 1;
    }
    one_.release();
  }
  --waiting_;
}

Task<Result<void>> VerificationChunks::compare_one(const std::string& log, uint64_t number, ChunkImage& image) {
  const BytesView replayed = co_await io::blocking([&] { return image.build(); });
  // The running engine is ahead of the replay: it has put this chunk, which may still be on its way to the disk.
  const Chunk* chunk = running_.get(log, number);
  if (!chunk) {
    CO_TRY(co_await running_.sync());
    chunk = running_.get(log, number);
  }
  const std::string name = fmt::format("chunk {} of the log \"{}\"", number, log);
  if (!chunk) co_return fail(Code::kCorrupt, "ledger: " + name + " is missing");
  const uint64_t differs = co_await io::blocking([&] { return difference(*chunk, replayed); });
  if (differs == chunk->bytes().size()) co_return {};
  co_return fail(Code::kCorrupt,
                 fmt::format("ledger: {} is not what the journal gives: byte {} differs ({}). Stop polis, remove "
                             "DIR/snapshot/ledger and start it again: all of it is rebuilt from the journal",
                             name, differs, chunk->what_is_on(differs / kChunkPageBytes)));
}

}  // namespace polis::ledger
