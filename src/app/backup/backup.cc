#include "app/backup/backup.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fmt/format.h>

#include "app/backup/sealed_keys.h"
#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "kernel/log/checkpoint.h"
#include "kernel/log/index_file.h"
#include "kernel/obs/log.h"

namespace polis::app {
namespace {

namespace json = boost::json;

// One read and one write at a time: large enough for a disk, small enough to leave the shard responsive.
constexpr size_t kBlockBytes = size_t{1} << 20;

std::string parent_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// "<hex>  name\n", as sha256sum writes it.
std::string sum_line(const base::Sha256Digest& digest, std::string_view name) {
  return fmt::format("{}  {}\n", base::hex_encode(digest), name);
}

bool absent(const Error& error) {
  return error.code() == Code::kNotFound;
}

}  // namespace

Result<void> Backup::start(io::TaskGroup& group, BackupRequest request) {
  if (progress_.running)
    return fail(Code::kBusy, "a backup is running already: wait for it (GET /api/polis/v1/backup)");
  progress_ = {.running = true};
  report_ = {};
  group.spawn(run(std::move(request)));
  return {};
}

Task<void> Backup::run(BackupRequest request) {
  SteadyTime begin = sources_.clock.steady();
  Result<BackupReport> made = co_await make(request);
  progress_.running = false;
  if (!made) {
    obs::log_error("backup failed", {{"directory", request.directory}, {"error", made.error()}});
    progress_.error = made.error();
    co_return;
  }
  made->duration = sources_.clock.steady() - begin;
  obs::log_info("backup made", {{"directory", request.directory},
                                {"files", made->files},
                                {"size_bytes", made->size_bytes},
                                {"duration", made->duration}});
  progress_.report = *made;
}

Task<Result<BackupReport>> Backup::make(BackupRequest& request) {
  const std::string& target = request.directory;
  if (target.empty() || target[0] != '/')
    co_return fail(Code::kInvalid, "the backup's directory must be an absolute path");
  if (target.starts_with(sources_.data_directory + "/"))
    co_return fail(Code::kInvalid, "a backup inside the data directory would be lost with it: choose another place");
  CO_TRY(co_await target_disk_->make_directories(target));
  if (!CO_TRY(co_await target_disk_->list(target)).empty())
    co_return fail(Code::kExists, fmt::format("{} is not empty: choose a fresh directory", target));

  std::string keys;
  if (request.with_keys) keys = CO_TRY(co_await sealed_keys(request.passphrase));

  // Nothing that the checkpoint refers to is deleted before it is copied (README.md).
  const std::shared_ptr<const void> held = sources_.blob.hold_all();
  report_.commit_time = CO_TRY(co_await sources_.store.checkpoint(target + "/store"));
  std::vector<Entry> entries;
  std::vector<unsigned> drives;
  for (const blob::DriveStatus& drive : sources_.blob.drives()) {
    if (drive.state != blob::DriveState::kOnline) continue;
    CO_TRY(co_await list_tree(drive.path, fmt::format("blob/{}", drive.index), Opening::kHeld, entries));
    drives.push_back(drive.index);
  }
  // Snapshots first: a journal that is listed later reaches at least as far as they do, never the other way round.
  CO_TRY(co_await list_tree(sources_.data_directory + "/snapshot", "snapshot", Opening::kNow, entries));
  CO_TRY(co_await list_tree(sources_.data_directory + "/journal", "journal", Opening::kNow, entries));
  const std::vector<std::string> empty_folders = CO_TRY(co_await list_partitions(entries));
  for (const Entry& entry : entries) progress_.total_bytes += entry.size_bytes;

  std::string sums;
  CO_TRY(co_await sum_store(target + "/store", sums));
  for (Entry& entry : entries) {
    if (!entry.file) {
      auto file = co_await sources_.disk.open(entry.path, io::OpenMode::kRead);
      if (!file && absent(file.error())) continue;  // nothing of the checkpoint is in it, or check_drives says so
      if (!file) co_return fail(file.error());
      entry.file = std::move(*file);
    }
    CO_TRY(co_await copy(entry, target, sums));
    entry.file.reset();
  }
  CO_TRY(check_drives(drives));
  auto small_file = [&](std::string name, std::string_view content) -> Task<Result<void>> {
    sums += sum_line(base::sha256(content), name);
    ++report_.files;
    report_.size_bytes += content.size();
    co_return co_await target_disk_->replace_file(target + "/" + name, as_bytes(content));
  };
  for (const std::string& folder : empty_folders) {
    CO_TRY(co_await target_disk_->make_directories(target + "/" + folder));
    CO_TRY(co_await small_file(folder + "/.keep", ""));
  }
  if (!sources_.config_path.empty()) {
    auto config = co_await target_disk_->read_file(sources_.config_path, 1 << 20);
    if (config)
      CO_TRY(co_await small_file("polis.toml", as_text(*config)));
    else if (!absent(config.error()))
      co_return fail(config.error());
  }
  if (!keys.empty()) CO_TRY(co_await small_file("keys.sealed", keys));
  CO_TRY(co_await target_disk_->replace_file(target + "/SHA256SUMS", as_bytes(sums)));

  json::object manifest{{"format", kBackupFormat},
                        {"polis", sources_.version},
                        {"created_at", base::format_rfc3339_seconds(sources_.clock.wall())},
                        {"commit_time", report_.commit_time},
                        {"drives", json::array(drives.begin(), drives.end())},
                        {"with_keys", request.with_keys},
                        {"files", report_.files},
                        {"size_bytes", report_.size_bytes},
                        {"sums", base::hex_encode(base::sha256(sums))}};
  std::string text = json::serialize(manifest) + "\n";
  CO_TRY(co_await target_disk_->replace_file(target + "/manifest.json", as_bytes(text)));
  co_return report_;
}

// A drive that went while its files were copied may have taken some along.
Result<void> Backup::check_drives(const std::vector<unsigned>& drives) const {
  for (const blob::DriveStatus& drive : sources_.blob.drives())
    if (drive.state != blob::DriveState::kOnline && std::ranges::find(drives, drive.index) != drives.end())
      return fail(Code::kUnavailable,
                  fmt::format("drive {} ({}) went out of service while it was copied: make the backup again",
                              drive.index, drive.path));
  return {};
}

Task<Result<void>> Backup::list_tree(std::string source, std::string name, Opening opening,
                                     std::vector<Entry>& entries) {
  auto listed = co_await sources_.disk.list(source);
  if (!listed && absent(listed.error())) co_return Result<void>();
  if (!listed) co_return fail(listed.error());
  for (const io::DirectoryEntry& entry : *listed) {
    // It speaks of the running segments, which may be ahead of the copies.
    if (opening != Opening::kHeld && (entry.name == log::kCheckpointName || log::index_first(entry.name))) continue;
    std::string path = source + "/" + entry.name, inside = name + "/" + entry.name;
    if (entry.directory) {
      CO_TRY(co_await list_tree(path, inside, opening, entries));
      continue;
    }
    if (opening != Opening::kNow) {
      entries.push_back(
          {.name = std::move(inside), .path = std::move(path), .file = nullptr, .size_bytes = entry.size_bytes});
      continue;
    }
    auto file = co_await sources_.disk.open(path, io::OpenMode::kRead);
    if (!file && absent(file.error())) continue;  // went between list and open: nothing of the checkpoint is in it
    if (!file) co_return fail(file.error());
    uint64_t size = CO_TRY((*file)->size());
    entries.push_back(
        {.name = std::move(inside), .path = std::move(path), .file = std::move(*file), .size_bytes = size});
  }
  co_return Result<void>();
}

// The segments of the event log, of which there may be more than files can be open. Retention takes the oldest of a
// partition, so the newest is copied first: what may be missing in the end is what was to go. Answers the partitions
// that have no file yet.
Task<Result<std::vector<std::string>>> Backup::list_partitions(std::vector<Entry>& entries) {
  std::vector<std::string> empty;
  const std::string source = sources_.data_directory + "/stream";
  auto listed = co_await sources_.disk.list(source);
  if (!listed && absent(listed.error())) co_return empty;
  if (!listed) co_return fail(listed.error());
  for (const io::DirectoryEntry& entry : *listed) {
    if (!entry.directory) continue;
    const std::string folder = "stream/" + entry.name;
    const size_t before = entries.size();
    CO_TRY(co_await list_tree(source + "/" + entry.name, folder, Opening::kLater, entries));
    std::reverse(entries.begin() + static_cast<ptrdiff_t>(before), entries.end());
    if (entries.size() == before) empty.push_back(folder);
  }
  co_return empty;
}

Task<Result<void>> Backup::copy(Entry& entry, const std::string& target, std::string& sums) {
  std::string path = target + "/" + entry.name;
  CO_TRY(co_await target_disk_->make_directories(parent_of(path)));
  auto out = CO_TRY(co_await target_disk_->open(path, io::OpenMode::kCreateNew));
  base::Sha256 hasher;
  Bytes block(kBlockBytes);
  // Only what was there when it was listed: a file that grows is cut where it was then.
  for (uint64_t offset = 0; offset < entry.size_bytes;) {
    MutableBytes window = MutableBytes(block).first(std::min<uint64_t>(kBlockBytes, entry.size_bytes - offset));
    size_t size = CO_TRY(co_await entry.file->read_at(offset, window));
    if (size == 0) break;
    BytesView piece = window.first(size);
    hasher.update(piece);
    CO_TRY(co_await out->write_at(offset, piece));
    offset += size;
    progress_.done_bytes += size;
    report_.size_bytes += size;
    co_await io::yield();
  }
  CO_TRY(co_await out->sync());
  CO_TRY(co_await target_disk_->sync_directory(parent_of(path)));
  sums += sum_line(hasher.finish(), entry.name);
  ++report_.files;
  co_return Result<void>();
}

Task<Result<void>> Backup::sum_store(const std::string& directory, std::string& sums) {
  for (const io::DirectoryEntry& entry : CO_TRY(co_await target_disk_->list(directory))) {
    auto file = CO_TRY(co_await target_disk_->open(directory + "/" + entry.name, io::OpenMode::kRead));
    base::Sha256 hasher;
    Bytes block(kBlockBytes);
    uint64_t offset = 0;
    while (size_t size = CO_TRY(co_await file->read_at(offset, block))) {
      hasher.update(BytesView(block).first(size));
      offset += size;
      co_await io::yield();
    }
    sums += sum_line(hasher.finish(), "store/" + entry.name);
    ++report_.files;
    report_.size_bytes += offset;
  }
  co_return Result<void>();
}

Task<Result<std::string>> Backup::sealed_keys(const std::string& passphrase) {
  KeyFiles files;
  std::string folder = sources_.data_directory + "/keys";
  for (const io::DirectoryEntry& entry : CO_TRY(co_await sources_.disk.list(folder))) {
    if (entry.directory || entry.name.starts_with('.')) continue;
    Bytes content = CO_TRY(co_await sources_.disk.read_file(folder + "/" + entry.name, 1 << 20));
    files[entry.name] = std::string(as_text(content));
  }
  // scrypt takes a tenth of a second: not on a shard.
  co_return co_await io::blocking([&] { return seal_keys(files, passphrase, sources_.random); });
}

}  // namespace polis::app
