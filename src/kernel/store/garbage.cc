#include "kernel/store/garbage.h"

#include <algorithm>
#include <rocksdb/compaction_filter.h>

#include "kernel/store/row_format.h"

namespace polis::store {
namespace {

// 4 MiB: what is not remembered is found again by a later compaction.
constexpr size_t kDeadBytesMax = size_t{4} << 20;

class VersionFilter final : public rocksdb::CompactionFilter {
 public:
  VersionFilter(Garbage& garbage, uint32_t keyspace_id)
      : garbage_(garbage), keyspace_id_(keyspace_id), horizon_(garbage.horizon()) {}

  const char* Name() const override { return "polis.store.versions"; }

  // Called in key order: the newest version of a key first.
  Decision FilterV2(int, const rocksdb::Slice& key, ValueType type, const rocksdb::Slice& value, std::string*,
                    std::string*) const override {
    if (type != ValueType::kValue) return Decision::kKeep;
    const auto entry = parse_entry_key({key.data(), key.size()});
    if (!entry) return Decision::kKeep;  // reads report it as corrupt
    const bool same_key = entry->escaped == escaped_;
    if (same_key && settled_) return Decision::kRemove;
    if (!same_key) escaped_ = entry->escaped;
    settled_ = entry->committed_at <= horizon_;
    if (settled_ && !same_key && value.size() > 0 && (value[0] & 1) != 0) garbage_.report_dead(keyspace_id_, escaped_);
    return Decision::kKeep;
  }

 private:
  Garbage& garbage_;
  const uint32_t keyspace_id_;
  const CommitTime horizon_;
  // RocksDB makes one filter a (sub)compaction and calls it from one thread, but declares the call const.
  mutable std::string escaped_;
  mutable bool settled_ = false;  // every view sees this or a newer version of the key
};

class VersionFilterFactory final : public rocksdb::CompactionFilterFactory {
 public:
  explicit VersionFilterFactory(Garbage& garbage) : garbage_(garbage) {}
  const char* Name() const override { return "polis.store.versions"; }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override {
    return std::make_unique<VersionFilter>(garbage_, context.column_family_id);
  }

 private:
  Garbage& garbage_;
};

}  // namespace

CommitTime Garbage::horizon() const {
  const int64_t retained_since_ns = (clock_.wall().time_since_epoch() - retain_).count();
  return std::min(views_.oldest(), retained_since_ns > 0 ? static_cast<CommitTime>(retained_since_ns) : 0);
}

std::shared_ptr<rocksdb::CompactionFilterFactory> Garbage::filter_factory() {
  return std::make_shared<VersionFilterFactory>(*this);
}

void Garbage::on_dead(std::function<void()> wake) {
  std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

void Garbage::report_dead(uint32_t keyspace_id, std::string_view escaped) {
  std::lock_guard lock(mutex_);
  if (dead_bytes_ >= kDeadBytesMax) return;
  dead_bytes_ += escaped.size() + sizeof(DeadKey);
  dead_.push_back({{keyspace_id}, std::string(escaped)});
  any_dead_.store(true, std::memory_order_release);
  if (dead_.size() == 1 && wake_) wake_();
}

std::vector<DeadKey> Garbage::take_dead(size_t most) {
  std::lock_guard lock(mutex_);
  std::vector<DeadKey> taken;
  while (!dead_.empty() && taken.size() < most) {
    dead_bytes_ -= dead_.back().escaped.size() + sizeof(DeadKey);
    taken.push_back(std::move(dead_.back()));
    dead_.pop_back();
  }
  any_dead_.store(!dead_.empty(), std::memory_order_release);
  return taken;
}

}  // namespace polis::store
