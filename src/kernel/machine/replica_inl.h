// Templates of replica.h; included by it only.
#pragma once

#include <string>

namespace polis::machine {

// Says when long work should let others run.
template <Machine M>
class Replica<M>::Slice {
 public:
  explicit Slice(Duration limit) : limit_(limit), begin_(io::Shard::current().clock().steady()) {}
  bool over() {
    // The clock costs about as much as a small command: look at it now and then.
    if (++steps_ % 16 != 0) return false;
    const SteadyTime now = io::Shard::current().clock().steady();
    if (now - begin_ < limit_ && steps_ < 4096) return false;
    begin_ = now;
    steps_ = 0;
    return true;
  }

 private:
  const Duration limit_;
  SteadyTime begin_;
  unsigned steps_ = 0;
};

// --- recovery

template <Machine M>
Task<Result<std::unique_ptr<Replica<M>>>> Replica<M>::open(io::Disk& disk, std::unique_ptr<log::Journal> journal,
                                                           ReplicaOptions options, Make make) {
  std::unique_ptr<Replica> replica(new Replica(disk, std::move(journal), std::move(options), std::move(make)));
  auto recovered = co_await replica->recover();
  if (!recovered) {
    // The first error is the one to tell.
    (void)co_await replica->journal_->close();
    co_return fail(recovered.error());
  }
  co_return replica;
}

template <Machine M>
Task<Result<void>> Replica<M>::recover() {
  State state = CO_TRY(co_await load_newest());
  snapshot_position_ = state.position;
  commands_at_snapshot_ = state.commands;
  CO_TRY(co_await replay(state, journal_->last()));
  replayed_ = state.commands - commands_at_snapshot_;
  if (state.behaviour != M::kBehaviour) {
    const Bytes record = behaviour_entry(M::kBehaviour);
    state.position = CO_TRY(journal_->append(BytesView(record)));
    state.machine->behave_as(M::kBehaviour);
  }
  machine_ = std::move(state.machine);
  position_ = state.position;
  commands_ = state.commands;
  co_return {};
}

template <Machine M>
Task<Result<typename Replica<M>::State>> Replica<M>::load_newest() {
  const std::string name(M::kName);
  const auto positions = CO_TRY(co_await list_snapshots(disk_, options_.snapshot_directory));
  std::optional<Error> unsound;
  uint64_t passed_over = 0;
  for (const Position position : positions) {
    auto state = co_await load(position);
    if (state) {
      unsound_snapshots_ = passed_over;
      if (state->position > journal_->last())
        co_return fail(Code::kCorrupt, name + ": the snapshot holds position " + std::to_string(state->position) +
                                           ", but the journal ends at " + std::to_string(journal_->last()) +
                                           ": records are lost. Restore both from one backup");
      if (journal_->first() > state->position + 1) break;  // trimmed behind a newer snapshot, which is damaged
      co_return state;
    }
    if (state.error().code() != Code::kCorrupt) co_return fail(state.error());
    unsound = state.error();
    ++passed_over;
  }
  unsound_snapshots_ = passed_over;
  if (journal_->first() > 1) {
    std::string message = name + ": the journal begins at position " + std::to_string(journal_->first()) +
                          " and no sound snapshot reaches it. Restore from a backup";
    if (unsound) co_return fail(Error(Code::kCorrupt, std::move(message), *unsound));
    co_return fail(Code::kCorrupt, std::move(message));
  }
  co_return State{.machine = make_()};
}

template <Machine M>
Task<Result<typename Replica<M>::State>> Replica<M>::load(Position position) {
  auto reader = CO_TRY(co_await SnapshotReader::open(disk_, snapshot_path(options_.snapshot_directory, position),
                                                     machine_number(M::kName)));
  const SnapshotHeader& header = reader.header();
  if (header.position != position) co_return fail(Code::kCorrupt, "the snapshot's name and its header disagree");
  if (header.behaviour < M::kOldestBehaviour || header.behaviour > M::kBehaviour)
    co_return fail(Code::kUnsupported, std::string(M::kName) + ": the snapshot has behaviour " +
                                           std::to_string(header.behaviour) + "; this polis knows " +
                                           std::to_string(M::kOldestBehaviour) + " to " +
                                           std::to_string(M::kBehaviour));
  State state{.machine = make_(), .position = position, .commands = header.commands, .behaviour = header.behaviour};
  state.machine->behave_as(header.behaviour);
  Slice slice(options_.slice);
  while (true) {
    const auto piece = CO_TRY(co_await reader.next());
    if (!piece) co_return state;
    CO_TRY(state.machine->load(*piece));
    if (slice.over()) co_await io::yield();
    if (closing_) co_return fail(Code::kCancelled, "the replica is closing");
  }
}

template <Machine M>
Task<Result<void>> Replica<M>::replay(State& state, Position upto) {
  if (state.position >= upto) co_return {};
  auto reader = CO_TRY(journal_->read(state.position + 1));
  Slice slice(options_.slice);
  while (state.position < upto) {
    const auto record = CO_TRY(co_await reader->next());
    if (!record)
      co_return fail(Code::kCorrupt, std::string(M::kName) + ": the journal ends at position " +
                                         std::to_string(state.position) + ", before " + std::to_string(upto));
    CO_TRY(replay_one(state, record->position, record->payload));
    if (slice.over()) co_await io::yield();
    if (closing_) co_return fail(Code::kCancelled, "the replica is closing");
  }
  co_return {};
}

template <Machine M>
Result<void> Replica<M>::replay_one(State& state, Position position, BytesView record) {
  const auto where = [&] {
    return std::string(M::kName) + ": position " + std::to_string(position) + " of the journal";
  };
  const auto entry = decode_entry(record);
  if (!entry) return fail(Error(Code::kCorrupt, where() + " cannot be read", entry.error()));
  state.position = position;
  if (entry->kind == EntryKind::kBehaviour) {
    if (entry->behaviour < M::kOldestBehaviour || entry->behaviour > M::kBehaviour)
      return fail(Code::kUnsupported, where() + " asks for behaviour " + std::to_string(entry->behaviour) +
                                          "; this polis knows " + std::to_string(M::kOldestBehaviour) + " to " +
                                          std::to_string(M::kBehaviour));
    state.behaviour = entry->behaviour;
    state.machine->behave_as(entry->behaviour);
    return {};
  }
  if (state.behaviour == 0) return fail(Code::kCorrupt, where() + " holds a command before any behaviour");
  auto command = M::decode(entry->command);
  if (!command) return fail(Error(Code::kCorrupt, where() + " holds no command", command.error()));
  const uint64_t digest = M::digest(state.machine->apply(*command));
  if (digest != entry->digest)
    return fail(
        Code::kCorrupt,
        where() + ": replay under behaviour " + std::to_string(state.behaviour) + " gives outcome " +
            std::to_string(digest) + ", but " + std::to_string(entry->digest) +
            " was acknowledged. This build does not behave as the one that wrote it: use that one, and report it");
  state.commands++;
  return {};
}

// --- commands and queries

template <Machine M>
Task<Result<typename Replica<M>::Reply>> Replica<M>::submit(Command command, Durability durability) {
  if (closing_) co_return fail(Code::kClosed, std::string(M::kName) + " is closing");
  if (waiting_ >= options_.waiting_max)
    co_return fail(Code::kBusy,
                   std::string(M::kName) + ": " + std::to_string(waiting_) + " commands wait for the disk; try later");
  // From here to append nothing suspends: the order of application is the order of the journal.
  scratch_.resize(kCommandHeaderBytes);
  base::Writer writer(scratch_);
  M::encode(command, writer);
  CO_TRY(writer.finish());
  CO_TRY(journal_->admit(scratch_.size()));
  Reply reply = machine_->apply(command);
  scratch_[0] = static_cast<std::byte>(EntryKind::kCommand);
  base::store_little<uint64_t>(scratch_.data() + 1, M::digest(reply));
  const auto position = journal_->append(BytesView(scratch_));
  POLIS_ASSERT(position);  // It was admitted: a state that the journal does not have must not go on.
  position_ = *position;
  commands_++;
  if (options_.snapshot_every_commands != 0 && !snapshotting_ &&
      commands_ - commands_at_snapshot_ >= options_.snapshot_every_commands) {
    snapshotting_ = true;
    tasks_.spawn(snapshot_in_background());
  }
  ++waiting_;
  auto waited = co_await journal_->wait(*position, durability);
  --waiting_;
  if (!waited) co_return fail(waited.error());
  co_return reply;
}

template <Machine M>
template <class F>
auto Replica<M>::query(F ask, Durability durability) -> Task<Result<std::invoke_result_t<F&, const M&>>> {
  if (closing_) co_return fail(Code::kClosed, std::string(M::kName) + " is closing");
  auto value = ask(std::as_const(*machine_));
  ++waiting_;
  auto waited = co_await journal_->wait(position_, durability);
  --waiting_;
  if (!waited) co_return fail(waited.error());
  co_return value;
}

// --- snapshots

template <Machine M>
Task<Result<Position>> Replica<M>::snapshot() {
  if (closing_) co_return fail(Code::kClosed, std::string(M::kName) + " is closing");
  if (snapshotting_) co_return fail(Code::kBusy, std::string(M::kName) + ": a snapshot is being made");
  snapshotting_ = true;
  auto made = co_await make_snapshot();
  snapshotting_ = false;
  co_return made;
}

template <Machine M>
Task<void> Replica<M>::snapshot_in_background() {
  auto made = co_await make_snapshot();
  snapshotting_ = false;
  if (made) {
    snapshot_failure_.reset();
  } else {
    snapshot_failure_ = made.error();
    commands_at_snapshot_ = commands_;  // try again after as many commands, not at each one
  }
}

template <Machine M>
Task<Result<Position>> Replica<M>::make_snapshot() {
  // Only what is on disk: a snapshot must never know more than the journal keeps.
  const Position upto = position_;
  CO_TRY(co_await journal_->wait(upto, Durability::kDisk));
  State shadow = CO_TRY(co_await load_newest());
  const Position loaded = shadow.position;
  CO_TRY(co_await replay(shadow, upto));
  if (shadow.position != loaded) CO_TRY(co_await save(shadow));
  snapshot_position_ = shadow.position;
  commands_at_snapshot_ = shadow.commands;
  ++snapshots_;
  CO_TRY(co_await drop_old());
  co_return upto;
}

template <Machine M>
Task<Result<void>> Replica<M>::save(State& state) {
  auto writer = CO_TRY(co_await SnapshotWriter::begin(disk_, options_.snapshot_directory,
                                                      {.machine = machine_number(M::kName),
                                                       .behaviour = state.behaviour,
                                                       .position = state.position,
                                                       .commands = state.commands}));
  typename M::Saver saver(std::as_const(*state.machine));
  Bytes piece;
  Slice slice(options_.slice);
  while (true) {
    piece.clear();
    base::Writer out(piece, kSnapshotPieceBytesMax);
    if (!saver.next(out)) break;
    CO_TRY(out.finish());
    CO_TRY(co_await writer.piece(piece));
    if (slice.over()) co_await io::yield();
    if (closing_) co_return fail(Code::kCancelled, "the replica is closing");
  }
  co_return co_await writer.finish();
}

template <Machine M>
Task<Result<void>> Replica<M>::drop_old() {
  const auto positions = CO_TRY(co_await list_snapshots(disk_, options_.snapshot_directory));
  const size_t kept = std::max<size_t>(options_.snapshots_kept, 1);
  for (size_t i = kept; i < positions.size(); ++i)
    CO_TRY(co_await disk_.remove(snapshot_path(options_.snapshot_directory, positions[i])));
  // The journal reaches back to the oldest one kept, once there are as many as should be.
  if (positions.size() >= kept) CO_TRY(co_await journal_->trim(positions[kept - 1] + 1));
  co_return {};
}

template <Machine M>
ReplicaStatistics Replica<M>::statistics() const {
  return {.commands = commands_,
          .position = position_,
          .snapshot_position = snapshot_position_,
          .snapshots = snapshots_,
          .replayed = replayed_,
          .unsound_snapshots = unsound_snapshots_,
          .waiting = waiting_};
}

template <Machine M>
Task<Result<void>> Replica<M>::close() {
  closing_ = true;
  co_await tasks_.join();
  co_return co_await journal_->close();
}

}  // namespace polis::machine
