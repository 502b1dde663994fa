#include "kernel/sim/disk.h"

#include <algorithm>
#include <unordered_map>

#include "kernel/base/hash.h"
#include "kernel/sim/world.h"

namespace polis::sim {
namespace {

constexpr uint64_t kSectorBytes = 512;  // What a disk writes whole or not at all.

// "a//b/" as "/a/b"; the root is "".
std::string normal(std::string_view path) {
  std::string out;
  size_t at = 0;
  while (at < path.size()) {
    size_t end = std::min(path.find('/', at), path.size());
    std::string_view part = path.substr(at, end - at);
    if (!part.empty() && part != ".") out.append("/").append(part);
    at = end + 1;
  }
  return out;
}

std::string parent(const std::string& path) {
  return path.substr(0, path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
}

bool under(std::string_view path, std::string_view prefix) {
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

void place(Bytes& content, uint64_t offset, BytesView part) {
  if (part.empty()) return;
  if (content.size() < offset + part.size()) content.resize(offset + part.size());
  std::memcpy(content.data() + offset, part.data(), part.size());
}

std::unexpected<Error> no_power(const std::string& path) {
  return fail(Code::kUnavailable, path + ": the simulated power is cut");
}
std::unexpected<Error> injected(const char* what, const std::string& path) {
  return fail(Code::kIo, std::string(what) + " " + path + ": injected error");
}

}  // namespace

// A change of one file that the disk has not been told to keep yet.
struct PendingWrite {
  uint64_t number;
  uint64_t offset;  // the new size, for a resize
  Bytes bytes;
  bool resize;
};

struct Disk::Inode {
  Bytes seen;
  Bytes durable;
  std::vector<PendingWrite> pending;
  uint64_t reserved_bytes = 0;
  bool visited = false;  // by the crash in progress

  uint64_t allocated_bytes() const { return std::max<uint64_t>(seen.size(), reserved_bytes); }
};

struct Disk::NameChange {
  std::string removed;           // empty: none
  std::string added;             // empty: none
  std::shared_ptr<Inode> inode;  // of `added`; shared with the files open on it
  uint64_t number = 0;

  bool touches(const std::string& directory) const {
    return (!added.empty() && parent(added) == directory) || (!removed.empty() && parent(removed) == directory);
  }
};

struct Disk::WriteInFlight {
  Disk& disk;
  std::shared_ptr<Inode> inode;
  uint64_t offset;
  Bytes bytes;
  WriteInFlight* next;

  WriteInFlight(Disk& d, std::shared_ptr<Inode> i, uint64_t at, Bytes b)
      : disk(d), inode(std::move(i)), offset(at), bytes(std::move(b)), next(d.writes_in_flight_) {
    disk.writes_in_flight_ = this;
  }
  ~WriteInFlight() {
    WriteInFlight** link = &disk.writes_in_flight_;
    while (*link != this) link = &(*link)->next;
    *link = next;
  }
};

// --- OpenFile

class OpenFile final : public io::File {
 public:
  OpenFile(Disk& disk, std::shared_ptr<Disk::Inode> inode, std::string path, bool writable)
      : disk_(disk), inode_(std::move(inode)), path_(std::move(path)), epoch_(disk.epoch_), writable_(writable) {}

  using io::File::write_at;

  Task<Result<size_t>> read_at(uint64_t offset, MutableBytes into) override {
    disk_.statistics_.reads++;
    CO_TRY(co_await disk_.pass(path_, disk_.options_.read, epoch_));
    const Faults& faults = disk_.faults_for(path_);
    if (disk_.by_chance(faults.read_error_ppm)) {
      disk_.statistics_.errors++;
      co_return injected("read", path_);
    }
    const Bytes& seen = inode_->seen;
    const size_t size_bytes = offset >= seen.size() ? 0 : std::min<uint64_t>(into.size(), seen.size() - offset);
    if (size_bytes) std::memcpy(into.data(), seen.data() + offset, size_bytes);
    if (size_bytes && disk_.by_chance(faults.read_flip_ppm)) {
      disk_.statistics_.errors++;
      into[disk_.random_.below(size_bytes)] ^= std::byte{1} << disk_.random_.below(8);
    }
    disk_.statistics_.read_bytes += size_bytes;
    co_return size_bytes;
  }

  Task<Result<void>> write_at(uint64_t offset, std::span<const BytesView> parts) override {
    disk_.statistics_.writes++;
    if (!writable_) co_return fail(Code::kInvalid, path_ + ": opened for reading, cannot write");
    Bytes bytes;
    for (BytesView part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
    const size_t asked_bytes = bytes.size();
    Disk::WriteInFlight write(disk_, inode_, offset, std::move(bytes));
    CO_TRY(co_await disk_.pass(path_, disk_.options_.write, epoch_));
    size_t fitting_bytes = asked_bytes;
    const bool broken = disk_.by_chance(disk_.faults_for(path_).write_error_ppm);
    if (broken) fitting_bytes = disk_.random_.below(asked_bytes + 1);
    const uint64_t room_end = inode_->allocated_bytes() + disk_.options_.capacity_bytes -
                              std::min(disk_.options_.capacity_bytes, disk_.used_bytes());
    const bool full = offset + fitting_bytes > room_end;
    if (full) fitting_bytes = room_end > offset ? room_end - offset : 0;
    write.bytes.resize(fitting_bytes);
    keep(offset, std::move(write.bytes), false);
    if (broken) {
      disk_.statistics_.errors++;
      co_return injected("write", path_);
    }
    if (full) co_return fail(Code::kNoSpace, "write " + path_ + ": the simulated disk is full");
    disk_.statistics_.written_bytes += fitting_bytes;
    co_return {};
  }

  Task<Result<void>> sync() override {
    disk_.statistics_.syncs++;
    const uint64_t upto = disk_.next_write_;
    Latency latency = disk_.options_.sync;
    if (disk_.options_.serial_syncs) {
      const SteadyTime now = disk_.world_.clock().steady();
      const Duration wait = std::max(disk_.device_free_ - now, Duration{0});
      const Duration own = disk_.draw(latency);
      disk_.device_free_ = now + wait + own;
      latency = {wait + own, wait + own};
    }
    CO_TRY(co_await disk_.pass(path_, latency, epoch_));
    const bool broken = disk_.by_chance(disk_.faults_for(path_).sync_error_ppm);
    auto& pending = inode_->pending;
    size_t count = 0;
    for (; count < pending.size() && pending[count].number < upto; ++count)
      if (!broken || disk_.random_.chance(1, 2)) settle(pending[count]);
    pending.erase(pending.begin(), pending.begin() + static_cast<ptrdiff_t>(count));
    if (broken) {
      disk_.statistics_.errors++;
      co_return injected("fdatasync", path_);
    }
    co_return {};
  }

  Task<Result<void>> resize(uint64_t size_bytes) override {
    disk_.statistics_.writes++;
    if (!writable_) co_return fail(Code::kInvalid, path_ + ": opened for reading, cannot resize");
    CO_TRY(co_await disk_.pass(path_, disk_.options_.write, epoch_));
    if (size_bytes > inode_->allocated_bytes() &&
        size_bytes - inode_->allocated_bytes() + disk_.used_bytes() > disk_.options_.capacity_bytes)
      co_return fail(Code::kNoSpace, "resize " + path_ + ": the simulated disk is full");
    keep(size_bytes, {}, true);
    co_return {};
  }

  Task<Result<void>> reserve(uint64_t size_bytes) override {
    CO_TRY(co_await disk_.pass(path_, disk_.options_.write, epoch_));
    const uint64_t more = size_bytes - std::min(size_bytes, inode_->allocated_bytes());
    if (more + disk_.used_bytes() > disk_.options_.capacity_bytes)
      co_return fail(Code::kNoSpace, "reserve " + path_ + ": the simulated disk is full");
    disk_.allocated_bytes_ += static_cast<int64_t>(more);
    inode_->reserved_bytes = std::max(inode_->reserved_bytes, size_bytes);
    co_return {};
  }

  Result<uint64_t> size() const override {
    TRY(disk_.usable(path_, epoch_));
    return inode_->seen.size();
  }
  const std::string& path() const override { return path_; }

 private:
  // Shows the change to readers and remembers it until a sync.
  void keep(uint64_t offset, Bytes bytes, bool resize) {
    const uint64_t before = inode_->allocated_bytes();
    if (resize) {
      inode_->seen.resize(offset);
      if (offset < inode_->reserved_bytes) inode_->reserved_bytes = offset;
    } else {
      place(inode_->seen, offset, bytes);
    }
    disk_.allocated_bytes_ += static_cast<int64_t>(inode_->allocated_bytes()) - static_cast<int64_t>(before);
    disk_.world_.trace(offset ^ (bytes.size() << 40) ^ (resize ? 0x5a : 0));
    disk_.world_.trace(bytes);
    inode_->pending.push_back({disk_.next_write_++, offset, std::move(bytes), resize});
  }
  void settle(const PendingWrite& write) {
    if (write.resize) {
      inode_->durable.resize(write.offset);
    } else {
      place(inode_->durable, write.offset, write.bytes);
    }
  }

  Disk& disk_;
  std::shared_ptr<Disk::Inode> inode_;
  const std::string path_;
  const uint64_t epoch_;
  const bool writable_;
};

// --- Disk: operations

Disk::Disk(World& world, uint64_t seed, DiskOptions options) : world_(world), options_(options), random_(seed) {}
Disk::~Disk() = default;

Duration Disk::draw(Latency latency) {
  if (latency.max <= latency.min) return latency.min;
  return latency.min +
         Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>((latency.max - latency.min).count()) + 1)));
}

const Faults& Disk::faults_for(const std::string& path) const {
  static constexpr Faults kNone;
  const Faults* best = &kNone;
  size_t best_size = 0;
  for (const auto& [prefix, faults] : faults_)
    if (path.starts_with(prefix) && prefix.size() >= best_size) {
      best = &faults;
      best_size = prefix.size();
    }
  return *best;
}

Result<void> Disk::usable(const std::string& path, uint64_t epoch) const {
  if (!powered_ || epoch != epoch_) return no_power(path);
  for (const std::string& prefix : lost_drives_)
    if (under(path, prefix)) return fail(Code::kIo, path + ": the simulated drive is gone");
  return {};
}

Task<Result<void>> Disk::pass(const std::string& path, Latency latency, uint64_t epoch) {
  CO_TRY(usable(path, epoch));
  Duration delay = draw(latency);
  if (const Faults& faults = faults_for(path); by_chance(faults.slow_ppm)) delay += faults.slow;
  if (crash_countdown_ > 0 && --crash_countdown_ == 0) {
    const uint64_t armed_epoch = epoch_;
    world_.after(draw({Duration{0}, delay}), [this, armed_epoch] {
      if (armed_epoch == epoch_ && powered_) crash(crash_survival_);
    });
  }
  ++in_flight_;
  co_await world_.pause(delay);
  --in_flight_;
  co_return usable(path, epoch);
}

bool Disk::directory_exists(const std::string& path) const {
  return path.empty() || directories_.contains(path);
}

void Disk::apply(const NameChange& change, Names& names) {
  if (!change.removed.empty()) names.erase(change.removed);
  if (!change.added.empty()) names[change.added] = change.inode;
}

void Disk::change_name(NameChange change) {
  if (auto old = names_.find(change.added); old != names_.end() && old->second != change.inode)
    allocated_bytes_ -= static_cast<int64_t>(old->second->allocated_bytes());
  world_.trace(base::xxh3_64(change.removed) ^ base::xxh3_64(change.added, 1));
  apply(change, names_);
  if (options_.strict_names) {
    change.number = next_write_++;
    name_changes_.push_back(std::move(change));
  } else {
    apply(change, durable_names_);
  }
}

uint64_t Disk::used_bytes() const {
  return static_cast<uint64_t>(std::max<int64_t>(allocated_bytes_, 0));
}

Task<Result<std::unique_ptr<io::File>>> Disk::open(std::string path, io::OpenMode mode) {
  path = normal(path);
  statistics_.name_operations++;
  CO_TRY(co_await pass(path, options_.name, epoch_));
  if (directory_exists(path)) co_return fail(Code::kInvalid, "open " + path + ": is a directory");
  if (!directory_exists(parent(path))) co_return fail(Code::kNotFound, "open " + path + ": no such directory");
  const bool creates = mode == io::OpenMode::kCreate || mode == io::OpenMode::kCreateNew;
  auto found = names_.find(path);
  if (found == names_.end()) {
    if (!creates) co_return fail(Code::kNotFound, "open " + path + ": no such file");
    change_name({.removed = {}, .added = path, .inode = std::make_shared<Inode>()});
    found = names_.find(path);
  } else if (mode == io::OpenMode::kCreateNew) {
    co_return fail(Code::kExists, "open " + path + ": exists already");
  }
  co_return std::make_unique<OpenFile>(*this, found->second, path, mode != io::OpenMode::kRead);
}

Task<Result<void>> Disk::remove(std::string path) {
  path = normal(path);
  statistics_.name_operations++;
  CO_TRY(co_await pass(path, options_.name, epoch_));
  if (directories_.contains(path)) {
    for (const auto& [name, inode] : names_)
      if (under(name, path)) co_return fail(Code::kInvalid, "remove " + path + ": the directory is not empty");
    for (const std::string& name : directories_)
      if (name != path && under(name, path))
        co_return fail(Code::kInvalid, "remove " + path + ": the directory is not empty");
    directories_.erase(path);
    co_return {};
  }
  auto found = names_.find(path);
  if (found == names_.end()) co_return fail(Code::kNotFound, "remove " + path + ": no such file");
  allocated_bytes_ -= static_cast<int64_t>(found->second->allocated_bytes());
  change_name({.removed = path, .added = {}, .inode = {}});
  co_return {};
}

Task<Result<void>> Disk::rename(std::string from, std::string to) {
  from = normal(from);
  to = normal(to);
  statistics_.name_operations++;
  CO_TRY(co_await pass(from, options_.name, epoch_));
  CO_TRY(usable(to, epoch_));
  auto found = names_.find(from);
  if (found == names_.end()) co_return fail(Code::kNotFound, "rename " + from + ": no such file");
  if (directory_exists(to)) co_return fail(Code::kInvalid, "rename " + from + " to " + to + ": is a directory");
  if (!directory_exists(parent(to)))
    co_return fail(Code::kNotFound, "rename " + from + " to " + to + ": no such directory");
  if (from != to) change_name({.removed = from, .added = to, .inode = found->second});
  co_return {};
}

Task<Result<std::vector<io::DirectoryEntry>>> Disk::list(std::string directory) {
  directory = normal(directory);
  statistics_.name_operations++;
  CO_TRY(co_await pass(directory, options_.name, epoch_));
  if (!directory_exists(directory)) co_return fail(Code::kNotFound, "list " + directory + ": no such directory");
  const std::string prefix = directory + "/";
  std::vector<io::DirectoryEntry> entries;
  for (auto it = names_.lower_bound(prefix); it != names_.end() && it->first.starts_with(prefix); ++it)
    if (it->first.find('/', prefix.size()) == std::string::npos)
      entries.push_back({it->first.substr(prefix.size()), it->second->seen.size(), false});
  for (auto it = directories_.lower_bound(prefix); it != directories_.end() && it->starts_with(prefix); ++it)
    if (it->find('/', prefix.size()) == std::string::npos) entries.push_back({it->substr(prefix.size()), 0, true});
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  co_return entries;
}

Task<Result<void>> Disk::make_directories(std::string path) {
  path = normal(path);
  statistics_.name_operations++;
  CO_TRY(co_await pass(path, options_.name, epoch_));
  for (std::string at = path; !at.empty(); at = parent(at)) {
    if (names_.contains(at)) co_return fail(Code::kExists, "make directory " + path + ": " + at + " is a file");
  }
  for (std::string at = path; !at.empty(); at = parent(at)) directories_.insert(at);
  co_return {};
}

Task<Result<void>> Disk::sync_directory(std::string path) {
  path = normal(path);
  statistics_.syncs++;
  const uint64_t upto = next_write_;
  CO_TRY(co_await pass(path, options_.sync, epoch_));
  if (!directory_exists(path)) co_return fail(Code::kNotFound, "sync " + path + ": no such directory");
  if (by_chance(faults_for(path).sync_error_ppm)) {
    statistics_.errors++;
    co_return injected("sync directory", path);
  }
  std::vector<bool> settled(name_changes_.size(), false);
  std::set<std::string> touched;  // settling a change settles what it builds on
  for (size_t i = name_changes_.size(); i-- > 0;) {
    const NameChange& change = name_changes_[i];
    const bool asked = change.number < upto && change.touches(path);
    if (!asked && !touched.contains(change.added) && !touched.contains(change.removed)) continue;
    settled[i] = true;
    if (!change.added.empty()) touched.insert(change.added);
    if (!change.removed.empty()) touched.insert(change.removed);
  }
  std::vector<NameChange> left;
  for (size_t i = 0; i < name_changes_.size(); ++i) {
    if (settled[i]) {
      apply(name_changes_[i], durable_names_);
    } else {
      left.push_back(std::move(name_changes_[i]));
    }
  }
  name_changes_ = std::move(left);
  co_return {};
}

Task<Result<io::Disk::Space>> Disk::space(std::string path) {
  path = normal(path);
  CO_TRY(co_await pass(path, options_.name, epoch_));
  const uint64_t used = std::min(used_bytes(), options_.capacity_bytes);
  co_return Space{options_.capacity_bytes, options_.capacity_bytes - used};
}

// --- Disk: what breaks

void Disk::lose_pending(Inode& inode, Survival survival) {
  if (inode.visited) return;
  inode.visited = true;
  auto& pending = inode.pending;
  if (survival == Survival::kBySeed) survival = static_cast<Survival>(1 + random_.below(4));
  // How many of the writes that touched a sector reached it; the cache writes a sector as it is at that moment, so a
  // later write carries the earlier ones with it.
  std::unordered_map<uint64_t, uint32_t> touches, quota;
  size_t whole = 0;  // writes that survive whatever their sectors draw
  switch (survival) {
    case Survival::kAll:
      whole = pending.size();
      break;
    case Survival::kPrefix:
      whole = random_.below(pending.size() + 1);
      break;
    default:
      break;
  }
  const size_t last = survival == Survival::kSectors  ? pending.size()
                      : survival == Survival::kPrefix ? std::min(whole + 1, pending.size())
                                                      : whole;
  for (size_t i = whole; i < last; ++i)
    if (!pending[i].bytes.empty())
      for (uint64_t s = pending[i].offset / kSectorBytes;
           s * kSectorBytes < pending[i].offset + pending[i].bytes.size(); ++s)
        touches[s]++;
  for (size_t i = 0; i < last; ++i) {
    const PendingWrite& write = pending[i];
    if (write.resize) {
      if (i < whole || random_.chance(1, 2)) inode.durable.resize(write.offset);
      continue;
    }
    if (i < whole) {
      place(inode.durable, write.offset, write.bytes);
      continue;
    }
    const uint64_t end = write.offset + write.bytes.size();
    for (uint64_t s = write.offset / kSectorBytes; s * kSectorBytes < end; ++s) {
      auto [entry, fresh] = quota.try_emplace(s, 0);
      if (fresh) entry->second = static_cast<uint32_t>(random_.below(touches[s] + 1));
      if (entry->second == 0) continue;
      entry->second--;
      const uint64_t from = std::max(write.offset, s * kSectorBytes);
      const uint64_t to = std::min(end, (s + 1) * kSectorBytes);
      place(inode.durable, from, BytesView(write.bytes).subspan(from - write.offset, to - from));
    }
    // The new size may reach the disk before the bytes do: the gap reads as zeros.
    if (end > inode.durable.size() && random_.chance(1, 4)) inode.durable.resize(end);
  }
  pending.clear();
  inode.seen = inode.durable;
  inode.reserved_bytes = 0;
}

void Disk::crash(Survival survival) {
  POLIS_ASSERT(powered_);
  for (WriteInFlight* write = writes_in_flight_; write; write = write->next)
    if (random_.chance(1, 2)) write->inode->pending.push_back({next_write_++, write->offset, write->bytes, false});
  std::vector<Inode*> inodes;
  for (const Names* names : {&names_, &durable_names_})
    for (const auto& [name, inode] : *names) inodes.push_back(inode.get());
  for (const NameChange& change : name_changes_)
    if (change.inode) inodes.push_back(change.inode.get());
  for (Inode* inode : inodes) lose_pending(*inode, survival);
  for (Inode* inode : inodes) inode->visited = false;

  uint64_t surviving = name_changes_.size();
  if (survival == Survival::kNothing) surviving = 0;
  if (survival != Survival::kAll && surviving > 0) surviving = random_.below(surviving + 1);
  for (uint64_t i = 0; i < surviving; ++i) apply(name_changes_[i], durable_names_);
  name_changes_.clear();
  names_ = durable_names_;
  allocated_bytes_ = 0;
  for (const auto& [name, inode] : names_) allocated_bytes_ += static_cast<int64_t>(inode->seen.size());

  crash_countdown_ = 0;
  device_free_ = {};
  powered_ = false;
  ++epoch_;
  statistics_.crashes++;
  world_.trace(0xc4a54 + epoch_);
  for (const auto& [name, inode] : names_) {
    world_.trace(base::xxh3_64(name));
    world_.trace(inode->durable);
  }
}

void Disk::crash_after(uint64_t operations, Survival survival) {
  crash_countdown_ = operations;
  crash_survival_ = survival;
}

void Disk::restart() {
  powered_ = true;
}

void Disk::set_faults(std::string path_prefix, Faults faults) {
  // A prefix may end inside a name ("/journal/0000"), so only its beginning is brought into the normal form.
  faults_[normal(path_prefix)] = faults;
}
void Disk::lose_drive(std::string path_prefix) {
  lost_drives_.insert(normal(path_prefix));
}
void Disk::return_drive(const std::string& path_prefix) {
  lost_drives_.erase(normal(path_prefix));
}

void Disk::replace_drive(std::string path_prefix) {
  const std::string prefix = normal(path_prefix);
  for (Names* names : {&names_, &durable_names_})
    std::erase_if(*names, [&](const auto& entry) {
      if (!under(entry.first, prefix)) return false;
      if (names == &names_) allocated_bytes_ -= static_cast<int64_t>(entry.second->allocated_bytes());
      return true;
    });
  std::erase_if(name_changes_, [&](const NameChange& c) { return under(c.added, prefix) || under(c.removed, prefix); });
  std::erase_if(directories_, [&](const std::string& name) { return name != prefix && under(name, prefix); });
  for (std::string at = prefix; !at.empty(); at = parent(at)) directories_.insert(at);
  lost_drives_.erase(prefix);
}

// --- Disk: what tests look at

std::vector<std::string> Disk::files(std::string path_prefix) const {
  const std::string prefix = normal(path_prefix);
  std::vector<std::string> found;
  for (const auto& [name, inode] : names_)
    if (under(name, prefix)) found.push_back(name);
  return found;
}

Bytes Disk::content(const std::string& path) const {
  auto found = names_.find(normal(path));
  return found == names_.end() ? Bytes{} : found->second->seen;
}

Bytes Disk::durable_content(const std::string& path) const {
  auto found = durable_names_.find(normal(path));
  return found == durable_names_.end() ? Bytes{} : found->second->durable;
}

void Disk::put(const std::string& path, BytesView content) {
  const std::string name = normal(path);
  auto inode = std::make_shared<Inode>();
  inode->seen.assign(content.begin(), content.end());
  inode->durable = inode->seen;
  std::erase_if(name_changes_, [&](const NameChange& c) { return c.added == name || c.removed == name; });
  if (auto old = names_.find(name); old != names_.end())
    allocated_bytes_ -= static_cast<int64_t>(old->second->allocated_bytes());
  allocated_bytes_ += static_cast<int64_t>(content.size());
  names_[name] = inode;
  durable_names_[name] = inode;
  for (std::string at = parent(name); !at.empty(); at = parent(at)) directories_.insert(at);
}

bool Disk::flip_bit(const std::string& path, uint64_t offset, unsigned bit) {
  auto found = names_.find(normal(path));
  if (found == names_.end() || offset >= found->second->seen.size()) return false;
  const std::byte mask = std::byte{1} << (bit % 8);
  Inode& inode = *found->second;
  inode.seen[offset] ^= mask;
  if (offset < inode.durable.size()) inode.durable[offset] ^= mask;
  for (PendingWrite& write : inode.pending)
    if (!write.resize && offset >= write.offset && offset - write.offset < write.bytes.size())
      write.bytes[offset - write.offset] ^= mask;
  return true;
}

uint64_t Disk::flip_random_bit(const std::string& path, uint64_t begin, uint64_t end) {
  auto found = names_.find(normal(path));
  if (found == names_.end()) return UINT64_MAX;
  end = std::min<uint64_t>(end, found->second->seen.size());
  if (begin >= end) return UINT64_MAX;
  const uint64_t offset = begin + random_.below(end - begin);
  flip_bit(path, offset, static_cast<unsigned>(random_.below(8)));
  return offset;
}

}  // namespace polis::sim
