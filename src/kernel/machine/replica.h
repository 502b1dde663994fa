// Replica: runs a Machine on a Journal, which is the only durable home of its state.
//
//     submit ─► sequence ─► apply ─► append(command, digest of the reply) ─► wait ─► reply
//                           (memory)  (journal's buffer)                     (one sync for all that wait)
//
//     open:     newest sound snapshot ─► replay the journal behind it, comparing digests
//     snapshot: a shadow machine is rebuilt the same way beside the running one, and saved; then old segments are
//     trimmed
//
// Commands pipeline: a later one is applied while earlier ones still wait for the disk, and replies leave only when
// everything before them is durable too. Nothing here makes time or randomness: the caller puts both into commands.
// Lives on one shard. close() before it is destroyed. Provisional until `ledger` uses it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/io/shard.h"
#include "kernel/log/journal.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/machine.h"
#include "kernel/machine/snapshot.h"

namespace polis::machine {

using log::Durability;

struct ReplicaOptions {
  std::string snapshot_directory;
  // A snapshot is made after so many commands; 0: only on request. A million small commands replay in about a second.
  uint64_t snapshot_every_commands = 1'000'000;
  // Two, so that one damaged snapshot costs only a longer replay. The journal is kept behind the oldest of them.
  size_t snapshots_kept = 2;
  // Submissions that wait for durability; beyond it submit answers kBusy.
  size_t waiting_max = 65'536;
  // Work of recovery and snapshots between two looks at the others on the shard.
  Duration slice = std::chrono::milliseconds(1);
};

struct ReplicaStatistics {
  uint64_t commands = 0;           // applied in the machine's whole life
  Position position = 0;           // of the last one in the journal
  Position snapshot_position = 0;  // of the newest snapshot; 0: none
  uint64_t snapshots = 0;          // made since open
  uint64_t replayed = 0;           // commands replayed by open
  uint64_t unsound_snapshots = 0;  // passed over by open
  size_t waiting = 0;
};

template <Machine M>
class Replica {
 public:
  using Command = typename M::Command;
  using Reply = typename M::Reply;
  // Makes a machine in its first state, the same one every time.
  using Make = std::function<std::unique_ptr<M>()>;

  // Recovers. kCorrupt, with the position, if replay gives another outcome than the journal says, or if no sound
  // snapshot reaches the beginning of the journal; kUnsupported for a behaviour that this build does not know. `disk`
  // outlives the replica.
  static Task<Result<std::unique_ptr<Replica>>> open(io::Disk& disk, std::unique_ptr<log::Journal> journal,
                                                     ReplicaOptions options, Make make);
  ~Replica() { POLIS_ASSERT(waiting_ == 0 && !snapshotting_); }
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // Applied in the order of the calls; the reply arrives when it is that durable. Errors mean: kBusy and kTooLarge,
  // nothing happened; any other, the outcome is unknown (the command may be found applied after recovery). Cancelling
  // gives up the reply, not the command.
  Task<Result<Reply>> submit(Command command, Durability durability = Durability::kDisk);

  // Calls `ask(const M&)` now and answers its value (which must not point into the machine) once everything that it may
  // have seen is that durable.
  template <class F>
  auto query(F ask, Durability durability = Durability::kDisk) -> Task<Result<std::invoke_result_t<F&, const M&>>>;

  // Makes a snapshot of the state at the time of the call and trims; answers its position. kBusy while one is being
  // made.
  Task<Result<Position>> snapshot();

  // The running state, which may be ahead of what is durable: for metrics and tests, never for answers.
  const M& machine() const { return *machine_; }
  Position position() const { return position_; }
  // Why nothing is accepted any more; empty while healthy.
  std::optional<Error> failure() const { return journal_->failure(); }
  // Why the last automatic snapshot failed; the journal grows until one succeeds.
  const std::optional<Error>& snapshot_failure() const { return snapshot_failure_; }
  ReplicaStatistics statistics() const;
  log::Journal& journal() { return *journal_; }

  // Ends a snapshot in the making, makes everything durable. Answers the journal's failure if there was one.
  Task<Result<void>> close();

 private:
  // A machine on its way through the journal.
  struct State {
    std::unique_ptr<M> machine;
    Position position = 0;
    uint64_t commands = 0;
    uint32_t behaviour = 0;  // 0: none recorded yet
  };
  class Slice;

  Replica(io::Disk& disk, std::unique_ptr<log::Journal> journal, ReplicaOptions options, Make make)
      : disk_(disk), journal_(std::move(journal)), options_(std::move(options)), make_(std::move(make)) {}

  Task<Result<void>> recover();
  Task<Result<State>> load_newest();
  Task<Result<State>> load(Position position);
  Task<Result<void>> replay(State& state, Position upto);
  Result<void> replay_one(State& state, Position position, BytesView record);
  Task<Result<Position>> make_snapshot();
  Task<Result<void>> save(State& state);
  Task<Result<void>> drop_old();
  Task<void> snapshot_in_background();

  io::Disk& disk_;
  const std::unique_ptr<log::Journal> journal_;
  const ReplicaOptions options_;
  const Make make_;
  std::unique_ptr<M> machine_;
  Position position_ = 0;
  uint64_t commands_ = 0;
  uint64_t commands_at_snapshot_ = 0;
  Position snapshot_position_ = 0;
  Bytes scratch_;  // the record being made
  size_t waiting_ = 0;
  bool snapshotting_ = false;
  bool closing_ = false;
  std::optional<Error> snapshot_failure_;
  uint64_t snapshots_ = 0, replayed_ = 0, unsound_snapshots_ = 0;
  io::TaskGroup tasks_;
};

}  // namespace polis::machine

#include "kernel/machine/replica_inl.h"
