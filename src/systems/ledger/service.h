// LedgerService: the Ledger of a running polis. One Engine on one shard, made durable by a Replica on a journal of
// segment files; everything else here only feeds it and tells of it:
//
//     any shard ──on(ledger's shard)──► session check ─► timestamp ─► Replica: apply, append ─► one sync for all ─►
//     result
//                                                                        └► watchers, latency, head (in order, durable)
//     timer ──► kExpire when a pending transfer is due          every second of change ──► signed head ──► witness file
//
//     DIR/journal/ledger            the only source of truth, never trimmed
//     DIR/snapshot/ledger           snapshots, and chunks/ with full chunks of history: may be deleted while polis is
//                                   stopped; the next start makes them again from the journal
//     DIR/keys/ledger.key           the signing key
//
// Lives on the shard that opens it. close() before it is destroyed.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "kernel/base/histogram.h"
#include "kernel/base/random.h"
#include "kernel/io/file.h"
#include "kernel/log/sync_scheduler.h"
#include "kernel/machine/replica.h"
#include "systems/ledger/head_key.h"
#include "systems/ledger/ledger.h"

namespace polis::obs {
class Registry;
}

namespace polis::ledger {

class ChunkFiles;

struct ServiceOptions {
  std::string data_directory;
  // Opening reads the newest segment, and rolling costs three syncs: two a second at 500 MB/s.
  uint64_t segment_size_bytes = uint64_t{256} << 20;
  // Appended and not yet written; 64 of the largest batches, 0.16 s of a disk that writes 400 MB/s.
  uint64_t journal_buffer_bytes_max = uint64_t{64} << 20;
  // Four million transfers, which replay in about three seconds.
  uint64_t snapshot_every_bytes = uint64_t{512} << 20;
  // Chunks that wait to be written; beyond it commands wait too. Two full chunks of transfers with their indexes.
  uint64_t chunk_backlog_bytes_max = uint64_t{512} << 20;
  // Commands that wait for room when the disk is behind, and how long; then kBusy.
  size_t waiting_for_room_max = 8'192;
  Duration patience = std::chrono::seconds(2);
  // Signed heads are appended here; empty: nowhere. Put it on another machine's file system, and nobody who can write
  // to this one can rewrite history unseen.
  std::string witness_file;
  EngineOptions engine;              // its chunk store is the service's own
  obs::Registry* metrics = nullptr;  // null: none
};

class LedgerService final : public Ledger {
 public:
  // Recovers; the calling shard becomes the ledger's. kCorrupt names the file or command that is damaged. `disk`,
  // `clock` and `random` outlive the service.
  static Task<Result<std::unique_ptr<LedgerService>>> open(io::Disk& disk, const Clock& clock, Random& random,
                                                           ServiceOptions options);
  ~LedgerService() override;

  // Refuses new work, makes what was accepted durable and ends. Any shard. Answers the journal's failure if there was
  // one.
  Task<Result<void>> close();

  Task<Result<std::vector<CreateResult>>> create_accounts(std::span<const Account> events) override;
  Task<Result<std::vector<CreateResult>>> create_transfers(std::span<const Transfer> events) override;
  // For a session: a request that is the session's last answers again what it answered (`replayed`), once that is
  // durable, and books nothing. kConflict: an older request of the session; kNotFound: no such session;
  // kVersionMismatch: the client has a newer one; kOutOfRange: the session does not exist yet.
  Task<Result<Reply>> submit(Command command) override;
  Task<Result<SignedHead>> signed_head() override;
  const std::string& public_key_pem() const override { return key_->public_key_pem(); }
  Task<Result<Verified>> verify(std::function<void(uint64_t, uint64_t)> progress) override;
  Task<Result<Verified>> replay(std::function<void(const Engine&)> look,
                                std::function<void(uint64_t, uint64_t)> progress) override;
  Task<uint64_t> watch(std::function<void(const Committed&)> listener) override;
  Task<void> unwatch(uint64_t number) override;
  Task<Statistics> statistics() override;

  // Makes a snapshot now; kBusy while one is being made. Any shard.
  Task<Result<void>> snapshot();

  // How it is; any thread.
  struct Condition {
    bool failed = false, degraded = false;
    std::string message;
  };
  Condition condition() const;
  io::Shard& shard() { return shard_; }

 private:
  using Books = machine::Replica<Engine>;
  // Applied, not yet on disk.
  struct Applied {
    machine::Position position = 0;
    SteadyTime since{};
    Committed committed;
  };
  class Call;
  class Room;
  struct Metrics;

  LedgerService(io::Disk& disk, const Clock& clock, Random& random, ServiceOptions options);
  Task<Result<void>> recover();
  Task<Result<void>> open_witness();
  std::unique_ptr<Engine> make_engine(ChunkStore& chunks) const;

  // All of these run on the ledger's shard.
  template <class F>
  auto here(F work) -> std::invoke_result_t<F&>;
  template <class F>
  auto when_quiet(F work) -> std::invoke_result_t<F&>;
  Task<Result<void>> run_query(std::function<void(const Engine&)> ask) override;
  Task<Result<void>> ask_here(std::function<void(const Engine&)>& ask);
  Task<Result<Reply>> book(Command& command);
  Result<std::optional<Reply>> answered(const Command& command) const;
  Task<Result<std::vector<CreateResult>>> create(Operation operation, BytesView events);
  Result<void> check(const Command& command) const;
  Task<Result<SignedHead>> head_here();
  Task<Result<Verified>> replay_here(std::function<void(const Engine&)>& look,
                                     std::function<void(uint64_t, uint64_t)>& progress);
  Task<Result<Verified>> replay_journal(std::function<void(const Engine&)>& look,
                                        std::function<void(uint64_t, uint64_t)>& progress);
  Task<Result<void>> snapshot_here();
  Task<Result<void>> close_here();

  void applied(machine::Position position, const Command& command, const Reply& reply);
  Task<void> tell_committed();
  Task<void> expire_when_due();
  Task<void> sign_heads();
  Task<Result<void>> witness(const SignedHead& head);
  SignedHead sign_durable();
  void look_at_condition();
  uint64_t now_ns() const;

  io::Shard& shard_;
  io::Disk& disk_;
  const Clock& clock_;
  Random& random_;
  const ServiceOptions options_;
  log::SyncScheduler scheduler_;
  std::unique_ptr<ChunkFiles> chunks_;
  std::unique_ptr<Books> books_;
  std::optional<HeadKey> key_;

  std::deque<Applied> applied_;
  bool telling_ = false;
  SteadyTime submitted_{};  // of the command that is being applied
  uint64_t durable_op_ = 0;
  std::map<uint64_t, std::function<void(const Committed&)>> watchers_;
  uint64_t next_watcher_ = 1;
  base::Histogram latency_us_{60'000'000, 2};
  std::unique_ptr<Metrics> metrics_;

  uint64_t expiry_armed_ = UINT64_MAX;
  io::Event expiry_changed_;
  io::Event head_changed_;
  std::optional<SignedHead> signed_head_;
  std::unique_ptr<io::File> witness_;
  uint64_t witness_offset_ = 0;
  std::optional<Error> witness_failure_;

  io::Event room_;
  size_t waiting_for_room_ = 0;
  size_t calls_ = 0;
  io::Event idle_;
  bool closing_ = false;
  bool verifying_ = false;
  io::TaskGroup background_;  // stopped by close()
  io::TaskGroup telling_group_;

  std::string derived_damage_;  // what of snapshots and chunks was damaged at the start
  // Shared with readers on other threads, who may still look at the last one while the next is put there.
  std::atomic<std::shared_ptr<const Condition>> condition_;
};

}  // namespace polis::ledger
