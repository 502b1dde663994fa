#include "systems/ledger/storage/chunk_files.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fmt/format.h>

#include "systems/ledger/storage/chunk_builder.h"

namespace polis::ledger {
namespace {

constexpr std::string_view kSuffix = ".chunk";
constexpr std::string_view kUnfinished = ".new";
constexpr size_t kNumberDigits = 12;
// Pages that one call to the pool verifies: 1 MiB, a few hundred microseconds when cached.
constexpr uint64_t kPagesPerSlice = 256;

struct ChunkName {
  std::string log;
  uint64_t number = 0;
};

std::optional<ChunkName> parse_name(std::string_view name) {
  if (!name.ends_with(kSuffix)) return {};
  name.remove_suffix(kSuffix.size());
  if (name.size() < kNumberDigits + 2 || name[name.size() - kNumberDigits - 1] != '-') return {};
  ChunkName parsed{.log = std::string(name.substr(0, name.size() - kNumberDigits - 1))};
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(end - kNumberDigits, end, parsed.number);
  if (error != std::errc() || stop != end) return {};
  return parsed;
}

std::string page_message(const std::string& path, const Chunk& chunk, uint64_t page) {
  return fmt::format("{} is damaged: bytes {} to {} ({}) do not match their checksum", path, page * kChunkPageBytes,
                     (page + 1) * kChunkPageBytes - 1, chunk.what_is_on(page));
}

}  // namespace

ChunkFiles::ChunkFiles(io::Disk& disk, std::string directory, ChunkFilesOptions options)
    : disk_(disk), directory_(std::move(directory)), options_(std::move(options)) {}

ChunkFiles::~ChunkFiles() = default;

std::string ChunkFiles::path(std::string_view log, uint64_t number) const {
  return fmt::format("{}/{}-{:012}{}", directory_, log, number, kSuffix);
}

// --- damage

// The names of chunks lie in the machine's file system wherever pages are checked late, so a plain rename reaches them;
// nothing may wait here, as a search has just met the page.
void ChunkFiles::end_process(const std::string& path, const Chunk& chunk, uint64_t page) const {
  std::string message = "polis: ledger: " + page_message(path, chunk, page);
  if (std::rename(path.c_str(), (path + ".damaged").c_str()) == 0) {
    message += ". It was renamed to *.damaged; start polis again, and the ledger is rebuilt from its journal";
  } else {
    message += ". Remove it and start polis again, and the ledger is rebuilt from its journal";
  }
  if (options_.damaged) options_.damaged(message);
  std::fprintf(stderr, "%s\n", message.c_str());
  std::abort();
}

Chunk::Damaged ChunkFiles::damaged_in(std::string path) const {
  return [this, path = std::move(path)](const Chunk& chunk, uint64_t page) { end_process(path, chunk, page); };
}

Task<Result<void>> ChunkFiles::move_aside(std::string path, Error why) {
  set_aside_.push_back(path + " is damaged and was renamed to *.damaged: " + why.text());
  CO_TRY(co_await disk_.rename(path, path + ".damaged"));
  co_return {};
}

// --- opening

Task<Result<std::unique_ptr<ChunkFiles>>> ChunkFiles::open(io::Disk& disk, std::string directory,
                                                           ChunkFilesOptions options) {
  std::unique_ptr<ChunkFiles> files(new ChunkFiles(disk, std::move(directory), std::move(options)));
  CO_TRY(co_await files->open_all());
  co_return std::move(files);
}

Task<Result<void>> ChunkFiles::open_all() {
  CO_TRY(co_await disk_.make_directories(directory_));
  const auto entries = CO_TRY(co_await disk_.list(directory_));
  for (const auto& entry : entries) {
    if (entry.directory) continue;
    const std::string file = directory_ + "/" + entry.name;
    if (entry.name.ends_with(kUnfinished)) {
      CO_TRY(co_await disk_.remove(file));
      continue;
    }
    const auto name = parse_name(entry.name);
    if (!name) continue;
    // In order of name: behind a gap nothing can be used.
    auto& chunks = logs_[name->log];
    if (name->number != chunks.size()) continue;
    auto chunk = co_await open_chunk(file, name->log, name->number);
    if (chunk) {
      chunks.push_back(std::move(*chunk));
    } else if (chunk.error().code() == Code::kCorrupt) {
      CO_TRY(co_await move_aside(file, chunk.error()));
    } else {
      co_return fail(Error(chunk.error().code(), "open " + file, chunk.error()));
    }
  }
  if (!set_aside_.empty()) CO_TRY(co_await disk_.sync_directory(directory_));
  co_return {};
}

Task<Result<ChunkFiles::Shared>> ChunkFiles::open_chunk(std::string path, std::string log, uint64_t number) {
  auto file = CO_TRY(co_await disk_.open(path, io::OpenMode::kRead));
  const uint64_t size_bytes = CO_TRY(file->size());
  if (size_bytes < kChunkPageBytes) co_return fail(Code::kCorrupt, "the file ends inside its header");
  Shared chunk;
  auto mapping = file->map(size_bytes);
  if (mapping) {
    // Shared: the chunk's memory is of different kinds.
    std::shared_ptr<const io::Mapping> memory = std::move(*mapping);
    chunk = CO_TRY(co_await io::blocking([&] { return Chunk::from_disk(memory, memory->bytes(), damaged_in(path)); }));
  } else if (mapping.error().code() == Code::kUnsupported) {
    chunk = CO_TRY(co_await read_whole(std::move(file), size_bytes));
  } else {
    co_return fail(mapping.error());
  }
  if (chunk->header().name != log || chunk->header().number != number)
    co_return fail(Code::kCorrupt,
                   fmt::format("it holds chunk {} of \"{}\"", chunk->header().number, chunk->header().name));
  co_return std::move(chunk);
}

Task<Result<ChunkFiles::Shared>> ChunkFiles::read_whole(std::unique_ptr<io::File> file, uint64_t size_bytes) {
  // The header bounds what is read; memory is aligned as a mapping's.
  Bytes head(kChunkPageBytes);
  CO_TRY(co_await file->read_at(0, head));
  CO_TRY(decode_header(head, size_bytes));
  auto memory = std::make_shared<ChunkMemory>(size_bytes);
  const size_t read = CO_TRY(co_await file->read_at(0, {memory->data(), size_bytes}));
  if (read != size_bytes) co_return fail(Code::kCorrupt, "the file ends early");
  const BytesView bytes(memory->data(), size_bytes);
  Shared checked = CO_TRY(Chunk::from_disk(memory, bytes, damaged_in(file->path())));
  for (uint64_t page = 0; page < checked->pages(); ++page)
    if (!checked->verify_page(page)) co_return fail(Code::kCorrupt, page_message(file->path(), *checked, page));
  co_return std::move(checked);
}

Task<void> ChunkFiles::close() {
  closing_ = true;
  tasks_.stop();
  co_await tasks_.join();
  changed_.set();
}

// --- the store

const Chunk* ChunkFiles::get(std::string_view log, uint64_t number) const {
  const auto found = logs_.find(log);
  return found == logs_.end() || number >= found->second.size() ? nullptr : found->second[number].get();
}

void ChunkFiles::drop_from(std::string_view log, uint64_t number) {
  const auto found = logs_.find(log);
  if (found != logs_.end() && found->second.size() > number) found->second.resize(number);
}

void ChunkFiles::put(std::string_view log, uint64_t number, std::shared_ptr<ChunkImage> image) {
  auto& chunks = logs_[std::string(log)];
  POLIS_ASSERT(number <= chunks.size());
  chunks.resize(number);
  chunks.push_back(nullptr);
  backlog_bytes_ += image->room_bytes();
  queue_.push_back({.log = std::string(log), .number = number, .image = std::move(image)});
  ++put_;
  write_in_background();
}

Task<Result<void>> ChunkFiles::sync() {
  const uint64_t upto = put_;
  if (done_ < upto) {
    write_in_background();
    const uint64_t failures = write_failures_;
    while (done_ < upto && !closing_) {
      // Each chunk gets one try of its own: the disk may have room again since the last.
      if (write_failures_ != failures) co_return fail(*failure_);
      changed_.reset();
      CO_TRY(co_await changed_.wait());
    }
    if (done_ < upto) co_return fail(Code::kClosed, "the chunk files are closing");
  }
  co_return {};
}

// --- writing

void ChunkFiles::write_in_background() {
  try_again_.set();
  if (writing_ || closing_ || queue_.empty()) return;
  writing_ = true;
  tasks_.spawn(write_queue());
}

Task<void> ChunkFiles::write_queue() {
  while (!queue_.empty() && !closing_) {
    auto chunk = co_await write(queue_.front());
    if (!chunk) {
      failure_ = chunk.error();
      ++write_failures_;
      changed_.set();
      try_again_.reset();
      (void)co_await io::with_timeout(options_.retry_after, try_again_.wait());  // either way it is tried again
      continue;
    }
    Waiting& done = queue_.front();
    // Put again meanwhile, the newer one comes behind it.
    auto& chunks = logs_[done.log];
    const bool replaced = std::any_of(queue_.begin() + 1, queue_.end(), [&](const Waiting& later) {
      return later.log == done.log && later.number <= done.number;
    });
    if (!replaced && done.number < chunks.size()) chunks[done.number] = std::move(*chunk);
    backlog_bytes_ -= done.image->room_bytes();
    queue_.pop_front();
    ++done_;
    ++written_;
    failure_.reset();
    changed_.set();
  }
  writing_ = false;
  changed_.set();
}

Task<Result<ChunkFiles::Shared>> ChunkFiles::write(Waiting& chunk) {
  if (chunk.bytes.empty()) chunk.bytes = co_await io::blocking([&] { return chunk.image->build(); });
  const std::string target = path(chunk.log, chunk.number), unfinished = target + std::string(kUnfinished);
  if (auto removed = co_await disk_.remove(unfinished); !removed && removed.error().code() != Code::kNotFound)
    co_return fail(removed.error());
  auto file = CO_TRY(co_await disk_.open(unfinished, io::OpenMode::kCreateNew));
  for (uint64_t offset = 0; offset < chunk.bytes.size(); offset += options_.slice_bytes) {
    const uint64_t size_bytes = std::min<uint64_t>(options_.slice_bytes, chunk.bytes.size() - offset);
    CO_TRY(co_await file->write_at(offset, chunk.bytes.subspan(offset, size_bytes)));
    CO_TRY(co_await file->sync());
  }
  CO_TRY(co_await disk_.rename(unfinished, target));
  CO_TRY(co_await disk_.sync_directory(directory_));

  auto mapping = file->map(chunk.bytes.size());
  if (!mapping && mapping.error().code() != Code::kUnsupported) co_return fail(mapping.error());
  if (!mapping) co_return CO_TRY(Chunk::in_memory(chunk.image, chunk.bytes));
  std::shared_ptr<const io::Mapping> memory = std::move(*mapping);
  co_return CO_TRY(
      co_await io::blocking([&] { return Chunk::from_disk(memory, memory->bytes(), damaged_in(target)); }));
}

// --- verification

Task<Result<uint64_t>> ChunkFiles::verify() {
  std::vector<Shared> chunks;
  for (const auto& [log, of_log] : logs_)
    for (const Shared& chunk : of_log)
      if (chunk) chunks.push_back(chunk);
  uint64_t size_bytes = 0;
  for (const Shared& chunk : chunks) {
    for (uint64_t begin = 0; begin < chunk->pages(); begin += kPagesPerSlice) {
      const uint64_t end = std::min(chunk->pages(), begin + kPagesPerSlice);
      const uint64_t sound = co_await io::blocking([&] {
        uint64_t page = begin;
        while (page < end && chunk->verify_page(page)) ++page;
        return page;
      });
      const auto& header = chunk->header();
      if (sound < end) co_return fail(Code::kCorrupt, page_message(path(header.name, header.number), *chunk, sound));
      if (closing_) co_return fail(Code::kClosed, "the chunk files are closing");
    }
    size_bytes += chunk->bytes().size();
  }
  co_return size_bytes;
}

ChunkFiles::Statistics ChunkFiles::statistics() const {
  Statistics statistics{.written = written_, .write_failures = write_failures_, .waiting = queue_.size()};
  for (const auto& [log, chunks] : logs_)
    for (const Shared& chunk : chunks)
      if (chunk) {
        ++statistics.chunks;
        statistics.chunk_bytes += chunk->bytes().size();
      }
  return statistics;
}

}  // namespace polis::ledger
