// For tests: rows in memory that outlive a simulated crash, behind the Store port. Conflicts are found as the real one
// finds them; reads see the newest committed rows instead of a snapshot.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernel/store/store.h"

namespace polis::stream {

class MemoryStore final : public store::Store {
 public:
  Result<store::Keyspace> keyspace(std::string_view name) override {
    for (uint32_t id = 0; id < names_.size(); ++id)
      if (names_[id] == name) return store::Keyspace{id};
    names_.emplace_back(name);
    return store::Keyspace{static_cast<uint32_t>(names_.size() - 1)};
  }
  Task<Result<std::unique_ptr<store::Txn>>> begin(store::Isolation) override {
    co_return std::unique_ptr<store::Txn>(new MemoryTxn(*this));
  }
  Task<Result<store::CommitTime>> checkpoint(std::string) override {
    co_return fail(Code::kUnsupported, "rows in memory have no files");
  }
  store::StoreStatistics statistics() const override { return {.commits = newest_}; }
  std::optional<Error> failure() const override { return std::nullopt; }
  Task<Result<void>> close() override { co_return {}; }

  // The next commits fail with this, without a change.
  std::optional<Error> refuse_commits;

 private:
  using Key = std::pair<uint32_t, std::string>;
  class MemoryTxn final : public store::Txn {
   public:
    explicit MemoryTxn(MemoryStore& store) : store_(store), begun_(store.newest_) {}
    Task<Result<std::optional<store::Row>>> get(store::Keyspace keyspace, std::string_view key) override {
      co_return look(keyspace, key);
    }
    Task<Result<std::optional<store::Row>>> get_for_update(store::Keyspace keyspace, std::string_view key) override {
      locked_.push_back(Key(keyspace.id, key));
      co_return look(keyspace, key);
    }
    Task<Result<store::Scan>> scan(store::Keyspace keyspace, store::KeyRange range,
                                   store::ScanOptions options) override {
      std::map<std::string, store::Row> merged;
      const auto inside = [&](const Key& key) {
        return key.first == keyspace.id && key.second >= range.begin && (range.end.empty() || key.second < range.end);
      };
      for (const auto& [key, row] : store_.rows_)
        if (inside(key)) merged[key.second] = row;
      for (const auto& [key, value] : writes_) {
        if (!inside(key)) continue;
        if (value)
          merged[key.second] = {.key = key.second, .value = *value};
        else
          merged.erase(key.second);
      }
      store::Scan scan;
      const auto take = [&](const store::Row& row) {
        if (scan.rows.size() >= options.limit)
          scan.more = true;
        else
          scan.rows.push_back(row);
      };
      if (options.reverse)
        for (auto row = merged.rbegin(); row != merged.rend(); ++row) take(row->second);
      else
        for (const auto& [key, row] : merged) take(row);
      if (options.keys_only)
        for (auto& row : scan.rows) row.value.clear();
      co_return scan;
    }
    Result<void> put(store::Keyspace keyspace, std::string_view key, std::string_view value) override {
      writes_[Key(keyspace.id, key)] = std::string(value);
      return {};
    }
    Result<void> insert(store::Keyspace keyspace, std::string_view key, std::string_view value) override {
      absent_.push_back(Key(keyspace.id, key));
      return put(keyspace, key, value);
    }
    Result<void> update_if_version(store::Keyspace keyspace, std::string_view key, uint64_t version,
                                   std::string_view value) override {
      versions_[Key(keyspace.id, key)] = version;
      return put(keyspace, key, value);
    }
    Result<void> erase(store::Keyspace keyspace, std::string_view key) override {
      writes_[Key(keyspace.id, key)] = std::nullopt;
      return {};
    }
    Task<Result<store::CommitTime>> commit(store::Sync) override {
      if (store_.refuse_commits) co_return fail(*store_.refuse_commits);
      const auto newer = [&](const Key& key) {
        const auto row = store_.rows_.find(key);
        return row != store_.rows_.end() && row->second.committed_at > begun_;
      };
      for (const Key& key : absent_)
        if (store_.rows_.contains(key)) co_return fail(Code::kExists, "the row exists: " + key.second);
      for (const auto& [key, version] : versions_) {
        const auto row = store_.rows_.find(key);
        if ((row == store_.rows_.end() ? 0 : row->second.version) != version)
          co_return fail(Code::kVersionMismatch, "another version: " + key.second);
      }
      for (const Key& key : locked_)
        if (newer(key)) co_return fail(Code::kConflict, "changed meanwhile: " + key.second);
      for (const auto& [key, value] : writes_)
        if (newer(key)) co_return fail(Code::kConflict, "changed meanwhile: " + key.second);
      if (!writes_.empty()) ++store_.newest_;
      for (const auto& [key, value] : writes_) {
        if (!value) {
          store_.rows_.erase(key);
          continue;
        }
        store::Row& row = store_.rows_[key];
        row = {.key = key.second, .value = *value, .version = row.version + 1, .committed_at = store_.newest_};
      }
      co_return store_.newest_;
    }
    void rollback() override { writes_.clear(); }
    store::CommitTime view() const override { return begun_; }

   private:
    std::optional<store::Row> look(store::Keyspace keyspace, std::string_view name) const {
      const Key key(keyspace.id, name);
      if (const auto written = writes_.find(key); written != writes_.end()) {
        if (!written->second) return std::nullopt;
        return store::Row{.key = key.second, .value = *written->second};
      }
      const auto row = store_.rows_.find(key);
      return row == store_.rows_.end() ? std::nullopt : std::optional(row->second);
    }
    MemoryStore& store_;
    const store::CommitTime begun_;
    std::map<Key, std::optional<std::string>> writes_;
    std::vector<Key> locked_, absent_;
    std::map<Key, uint64_t> versions_;
  };

  std::vector<std::string> names_;
  std::map<Key, store::Row> rows_;
  store::CommitTime newest_ = 0;
};

}  // namespace polis::stream
