#include "systems/ledger/verification_chunks.h"

#include <algorithm>
#include <fmt/format.h>

namespace polis::ledger {

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
  const uint64_t differs = co_await io::blocking([&] {
    const BytesView stored = chunk->bytes();
    return static_cast<uint64_t>(std::ranges::mismatch(stored, replayed).in1 - stored.begin());
  });
  if (differs == chunk->bytes().size() && replayed.size() == differs) co_return {};
  co_return fail(Code::kCorrupt,
                 fmt::format("ledger: {} is not what the journal gives: byte {} differs ({}). Stop polis, remove "
                             "DIR/snapshot/ledger and start it again: all of it is rebuilt from the journal",
                             name, differs, chunk->what_is_on(differs / kChunkPageBytes)));
}

}  // namespace polis::ledger
