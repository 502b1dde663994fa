// A transaction of RocksStore: a view, a buffer of writes, and the guards it took. One operation at a time; belongs to
// the shard that began it.
#pragma once

#include <map>
#include <string>
#include <unordered_map>

#include "kernel/store/commit_pipeline.h"
#include "kernel/store/live_views.h"
#include "kernel/store/rocks_reader.h"
#include "kernel/store/store.h"

namespace polis::store {

class RocksTxn final : public Txn {
 public:
  RocksTxn(const RocksReader& reader, LiveViews& views, CommitPipeline& pipeline, Isolation isolation);
  ~RocksTxn() override;

  Task<Result<std::optional<Row>>> get(Keyspace keyspace, std::string_view key) override;
  Task<Result<std::optional<Row>>> get_for_update(Keyspace keyspace, std::string_view key) override;
  Task<Result<Scan>> scan(Keyspace keyspace, KeyRange range, ScanOptions options = {}) override;
  Result<void> put(Keyspace keyspace, std::string_view key, std::string_view value) override;
  Result<void> put_blind(Keyspace keyspace, std::string_view key, std::string_view value) override;
  Result<void> insert(Keyspace keyspace, std::string_view key, std::string_view value) override;
  Result<void> update_if_version(Keyspace keyspace, std::string_view key, uint64_t version,
                                 std::string_view value) override;
  Result<void> erase(Keyspace keyspace, std::string_view key) override;
  Task<Result<CommitTime>> commit(Sync sync = Sync::kDisk) override;
  void rollback() override;
  CommitTime view() const override { return view_; }

 private:
  // A row that was read at view_: commit need not read it again.
  struct Known {
    uint32_t keyspace_id;
    std::string key;
    Newest newest;
  };

  Result<void> usable(Keyspace keyspace) const;
  Result<void> usable(Keyspace keyspace, std::string_view key) const;
  Result<void> charge(size_t size_bytes);
  Result<Write*> buffer(Keyspace keyspace, std::string_view key, std::string_view value);
  void begin_statement();
  void remember(Keyspace keyspace, std::string_view key, const Newest& newest);
  const Newest* known(Keyspace keyspace, std::string_view key) const;
  Write* own(Keyspace keyspace, std::string_view key);
  Task<Result<void>> find_bases();
  void end();

  const RocksReader& reader_;
  LiveViews& views_;
  CommitPipeline& pipeline_;
  const bool view_per_statement_;
  CommitTime view_;
  const uint64_t id_;
  bool over_ = false;
  bool running_ = false;  // an operation is under way
  size_t size_bytes_ = 0;
  std::map<uint32_t, KeyWrites> writes_;
  std::map<uint32_t, KeyGuards> guards_;
  std::vector<Known> known_;  // a ring of the last few
  size_t known_next_ = 0;
};

}  // namespace polis::store
