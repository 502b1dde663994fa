// Replica: runs a Machine on a Journal, which is the only durable home of its state.
//
//     submit ─► sequence ─► apply ─► append(command, digest of the reply) ─► wait ─► reply
//                           (memory)  (journal's buffer)                     (one sync for all that wait)
//
//     open:     newest sound snapshot ─► replay the journal behind it, comparing digests
//     snapshot: the running machine is saved in slices if it can be (kSavesWhileRunning); otherwise a shadow machine is
//               rebuilt beside it and saved; then old segments are trimmed
//     verify:   a second machine replays the whole journal beside the running one; both must have the same state
//
// Commands pipeline: a later one is applied while earlier ones still wait for the disk, and replies leave only when
// everything before them is durable too. Nothing here makes time or randomness: the caller puts both into commands.
// Lives on one shard. close() before it is destroyed.
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

using Admit = std::function<Result<void>()>;

struct ReplicaOptions {
  std::string snapshot_directory;
  // A snapshot is made after so many commands, or after so many bytes of the journal, whichever is first; 0: not for
  // this reason. A million small commands replay in about a second.
  uint64_t snapshot_every_commands = 1'000'000;
  uint64_t snapshot_every_bytes = 0;
  // Two, so that one damaged snapshot costs only a longer replay. The journal is kept behind the oldest of them.
  size_t snapshots_kept = 2;
  // The journal is the archive and never trimmed: everything can be rebuilt and verified from its beginning.
  bool keep_journal = false;
  // Submissions that wait for durability; beyond it submit answers kBusy.
  size_t waiting_max = 65'536;
  // Work of recovery, snapshots and verification between two looks at the others on the shard.
  Duration slice = std::chrono::milliseconds(1);
  // Asked before a command is applied; an error refuses it and changes nothing. For a machine that has limits of its
  // own (files that it writes behind). Recovery waits while it answers kBusy. May be empty.
  Admit admit = nullptr;
  // Awaited before a snapshot gets its name: what the snapshot refers to is made durable here. May be empty.
  std::function<Task<Result<void>>()> before_publish = nullptr;
};

struct ReplicaStatistics {
  uint64_t commands = 0;           // applied in the machine's whole life
  Position position = 0;           // of the last one in the journal
  Position snapshot_position = 0;  // of the newest snapshot; 0: none
  uint64_t snapshot_commands = 0;  // how many commands it holds
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
  // Told now and then how far long work is: commands done, and how many there are.
  using Progress = std::function<void(uint64_t done, uint64_t all)>;
  // Told after a command was applied and appended, before it is durable; must not block.
  using Observer = std::function<void(Position, const Command&, const Reply&)>;

  // Recovers. kCorrupt, with the position, if replay gives another outcome than the journal says, or if no sound
  // snapshot reaches the beginning of the journal; kUnsupported for a behaviour that this build does not know. `disk`
  // outlives the replica.
  static Task<Result<std::unique_ptr<Replica>>> open(io::Disk& disk, std::unique_ptr<log::Journal> journal,
                                                     ReplicaOptions options, Make make, Progress progress = {});
  ~Replica() { POLIS_ASSERT(waiting_ == 0 && !snapshotting_); }
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // Applied in the order of the calls; the reply arrives when it is that durable. Errors mean: kBusy and kTooLarge,
  // nothing happened; any other, the outcome is unknown (the command may be found applied after recovery). Cancelling
  // gives up the reply, not the command. A command is applied before the first suspension; it must live until then.
  Task<Result<Reply>> submit(const Command& command, Durability durability = Durability::kDisk);

  // Calls `ask(const M&)` now and answers its value (which must not point into the machine) once everything that it may
  // have seen is that durable.
  template <class F>
  auto query(F ask, Durability durability = Durability::kDisk) -> Task<Result<std::invoke_result_t<F&, const M&>>>;

  // Makes a snapshot of the state at the time of the call and trims; answers its position. kBusy while one is being
  // made.
  Task<Result<Position>> snapshot();

  // Replays the whole journal into a machine that `make` gives, in slices, comparing digests. If the machine saves
  // while running, both states are then compared piece by piece at the same position. Answers the second machine as it
  // is there. kCorrupt names the command that differs or cannot be read; kOutOfRange if the journal was trimmed; kBusy
  // while a snapshot is being made or another verification runs. `admit` holds the replay back, as options.admit does.
  struct Verified {
    std::unique_ptr<M> machine;
    Position position = 0;
    uint64_t commands = 0;
  };
  Task<Result<Verified>> verify(Make make, Progress progress, Admit admit = {});

  // Reads every snapshot on disk, in slices. kCorrupt names the first file that is not as it was written.
  Task<Result<void>> check_snapshots();

  void observe(Observer observer) { observer_ = std::move(observer); }

  // The running state, which may be ahead of what is durable: for metrics and tests, never for answers.
  const M& machine() const { return *machine_; }
  Position position() const { return position_; }
  // Why nothing is accepted any more; empty while healthy.
  std::optional<Error> failure() const { return journal_->failure(); }
  // Why the last automatic snapshot failed; the journal grows until one succeeds.
  const std::optional<Error>& snapshot_failure() const { return snapshot_failure_; }
  // Why open() passed over snapshots, the newest first.
  const std::vector<Error>& passed_over() const { return passed_over_; }
  ReplicaStatistics statistics() const;
  log::Journal& journal() { return *journal_; }

  // Ends a snapshot or verification in the making (it answers kCancelled), makes everything durable. Answers the
  // journal's failure if there was one.
  Task<Result<void>> close();

 private:
  // A machine on its way through the journal.
  struct State {
    std::unique_ptr<M> machine;
    Position position = 0;
    uint64_t commands = 0;
    uint64_t bytes = 0;      // of the journal, since the snapshot it was loaded from
    uint32_t behaviour = 0;  // 0: none recorded yet
    Admit admit = nullptr;   // asked during replay
  };
  class Slice;
  class LongWork;

  Replica(io::Disk& disk, std::unique_ptr<log::Journal> journal, ReplicaOptions options, Make make)
      : disk_(disk), journal_(std::move(journal)), options_(std::move(options)), make_(std::move(make)) {}

  Task<Result<void>> recover(Progress progress);
  Task<Result<State>> load_newest();
  Task<Result<State>> load(Position position);
  Task<Result<void>> replay(State& state, Position upto, const Progress& progress);
  Task<Result<void>> until_admitted(const State& state);
  Result<void> replay_one(State& state, Position position, BytesView record);
  Task<Result<Position>> make_snapshot();
  Task<Result<State>> save_shadow(Position upto);
  Task<Result<State>> save_running();
  Task<Result<void>> save(typename M::Saver& saver, const State& state);
  Task<Result<void>> publish(SnapshotWriter& writer);
  Task<Result<void>> drop_old();
  Task<void> snapshot_in_background();
  Task<Result<Verified>> make_verified(Make make, Progress progress, Admit admit);
  Task<Result<void>> compare(typename M::Saver& running, typename M::Saver& replayed, uint64_t commands);
  bool snapshot_due() const;
  void begin_long_work();

  io::Disk& disk_;
  const std::unique_ptr<log::Journal> journal_;
  const ReplicaOptions options_;
  const Make make_;
  std::unique_ptr<M> machine_;
  Observer observer_;
  Position position_ = 0;
  uint64_t commands_ = 0;
  uint64_t bytes_ = 0;  // of the journal, since the newest snapshot
  uint64_t commands_at_snapshot_ = 0;
  Position snapshot_position_ = 0;
  Bytes scratch_;  // the record being made
  size_t waiting_ = 0;
  bool snapshotting_ = false;  // or verifying: whatever keeps a Saver or a second machine
  bool closing_ = false;
  std::optional<Error> snapshot_failure_;
  std::vector<Error> passed_over_;
  uint64_t snapshots_ = 0, replayed_ = 0;
  io::Event quiet_;  // set while no long work runs
  io::TaskGroup tasks_;
};

}  // namespace polis::machine

#include "kernel/machine/replica_inl.h"
