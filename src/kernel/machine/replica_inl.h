// Templates of replica.h; included by it only.
#pragma once

#include <cstring>
#include <string>

#include "kernel/base/text_encoding.h"

namespace polis::machine {

// Says when long work should let others run.
template <Machine M>
class Replica<M>::Slice {
 public:
  explicit Slice(Duration limit) : limit_(limit), begin_(io::Shard::current().clock().steady()) {}
  // `bytes` of work were done since the last call.
  bool over(size_t bytes) {
    // The clock costs about as much as a small command: look at it now and then.
    bytes_ += bytes;
    ++steps_;
    if (steps_ % 16 != 0 && bytes_ < kBytesUnseen) return false;
    bytes_ = 0;
    const SteadyTime now = io::Shard::current().clock().steady();
    if (now - begin_ < limit_ && steps_ < 4096) return false;
    begin_ = now;
    steps_ = 0;
    return true;
  }

 private:
  static constexpr size_t kBytesUnseen = 16 << 10;
  const Duration limit_;
  SteadyTime begin_;
  unsigned steps_ = 0;
  size_t bytes_ = 0;
};

// Ends what begin_long_work() began.
template <Machine M>
class Replica<M>::LongWork {
 public:
  explicit LongWork(Replica& replica) : replica_(replica) {}
  ~LongWork() {
    replica_.snapshotting_ = false;
    replica_.quiet_.set();
  }
  LongWork(const LongWork&) = delete;
  LongWork& operator=(const LongWork&) = delete;

 private:
  Replica& replica_;
};

// From here no snapshot or verification begins, and close() waits.
template <Machine M>
void Replica<M>::begin_long_work() {
  POLIS_ASSERT(!snapshotting_);
  snapshotting_ = true;
  quiet_.reset();
}

namespace detail {

inline std::string digest_text(BytesView digest) {
  if (digest.size() == sizeof(uint64_t)) return std::to_string(base::load_little<uint64_t>(digest.data()));
  return base::hex_encode(digest);
}

template <class M>
std::string command_text(uint64_t number, Position position) {
  return std::string(M::kName) + ": command " + std::to_string(number) + " (position " + std::to_string(position) +
         " of the journal)";
}

inline std::unexpected<Error> closing() {
  return fail(Code::kCancelled, "the replica is closing");
}

}  // namespace detail

// --- recovery

template <Machine M>
Task<Result<std::unique_ptr<Replica<M>>>> Replica<M>::open(io::Disk& disk, std::unique_ptr<log::Journal> journal,
                                                           ReplicaOptions options, Make make, Progress progress) {
  std::unique_ptr<Replica> replica(new Replica(disk, std::move(journal), std::move(options), std::move(make)));
  auto recovered = co_await replica->recover(std::move(progress));
  if (!recovered) {
    // The first error is the one to tell.
    (void)co_await replica->journal_->close();
    co_return fail(recovered.error());
  }
  co_return replica;
}

template <Machine M>
Task<Result<void>> Replica<M>::recover(Progress progress) {
  State state = CO_TRY(co_await load_newest());
  state.admit = options_.admit;
  snapshot_position_ = state.position;
  commands_at_snapshot_ = state.commands;
  CO_TRY(co_await replay(state, journal_->last(), progress));
  replayed_ = state.commands - commands_at_snapshot_;
  if (state.behaviour != M::kBehaviour) {
    const Bytes record = behaviour_entry(M::kBehaviour);
    state.position = CO_TRY(journal_->append(BytesView(record)));
    state.machine->behave_as(M::kBehaviour);
  }
  machine_ = std::move(state.machine);
  position_ = state.position;
  commands_ = state.commands;
  bytes_ = state.bytes;
  quiet_.set();
  // After a long replay at once, so that the next start is not as long.
  if (snapshot_due()) {
    begin_long_work();
    tasks_.spawn(snapshot_in_background());
  }
  co_return {};
}

template <Machine M>
Task<Result<typename Replica<M>::State>> Replica<M>::load_newest() {
  const std::string name(M::kName);
  const auto positions = CO_TRY(co_await list_snapshots(disk_, options_.snapshot_directory));
  std::vector<Error> passed_over;
  for (const Position position : positions) {
    auto state = co_await load(position);
    if (state) {
      if (!machine_) passed_over_ = std::move(passed_over);
      if (state->position > journal_->last())
        co_return fail(Code::kCorrupt, name + ": the snapshot holds position " + std::to_string(state->position) +
                                           ", but the journal ends at " + std::to_string(journal_->last()) +
                                           ": records are lost. Restore both from one backup");
      if (journal_->first() > state->position + 1) break;  // trimmed behind a newer snapshot, which is damaged
      co_return state;
    }
    if (state.error().code() != Code::kCorrupt) co_return fail(state.error());
    passed_over.push_back(state.error());
  }
  if (journal_->first() > 1) {
    std::string message = name + ": the journal begins at position " + std::to_string(journal_->first()) +
                          " and no sound snapshot reaches it. Restore from a backup";
    if (!passed_over.empty()) co_return fail(Error(Code::kCorrupt, std::move(message), passed_over.back()));
    co_return fail(Code::kCorrupt, std::move(message));
  }
  if (!machine_) passed_over_ = std::move(passed_over);
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
    if (!piece) break;
    CO_TRY(state.machine->load(*piece));
    if (slice.over(piece->size())) co_await io::yield();
    if (closing_) co_return detail::closing();
  }
  if constexpr (requires { state.machine->load_finished(); }) CO_TRY(state.machine->load_finished());
  co_return state;
}

template <Machine M>
Task<Result<void>> Replica<M>::replay(State& state, Position upto, const Progress& progress) {
  if (state.position >= upto) co_return {};
  auto reader = CO_TRY(journal_->read(state.position + 1));
  Slice slice(options_.slice);
  while (state.position < upto) {
    const auto record = co_await reader->next();
    if (!record)
      co_return fail(Error(record.error().code(),
                           detail::command_text<M>(state.commands + 1, state.position + 1) + " cannot be read",
                           record.error()));
    if (!*record)
      co_return fail(Code::kCorrupt, std::string(M::kName) + ": the journal ends at position " +
                                         std::to_string(state.position) + ", before " + std::to_string(upto));
    const BytesView payload = (*record)->payload;
    CO_TRY(replay_one(state, (*record)->position, payload));
    if (slice.over(payload.size())) {
      if (progress) progress(state.commands, state.commands + (upto - state.position));
      co_await io::yield();
      CO_TRY(co_await until_admitted(state));
    }
    if (closing_) co_return detail::closing();
  }
  if (progress) progress(state.commands, state.commands);
  co_return {};
}

// What holds back new commands holds back replay too.
template <Machine M>
Task<Result<void>> Replica<M>::until_admitted(const State& state) {
  while (state.admit && !closing_) {
    const auto admitted = state.admit();
    if (admitted) co_return {};
    if (admitted.error().code() != Code::kBusy) co_return admitted;
    CO_TRY(co_await io::sleep_for(std::chrono::milliseconds(1)));
  }
  co_return {};
}

template <Machine M>
Result<void> Replica<M>::replay_one(State& state, Position position, BytesView record) {
  const auto where = [&] { return detail::command_text<M>(state.commands + 1, position); };
  const auto entry = decode_entry(record, sizeof(DigestOf<M>));
  if (!entry) return fail(Error(Code::kCorrupt, where() + " cannot be read", entry.error()));
  state.position = position;
  state.bytes += record.size();
  if (entry->kind == EntryKind::kBehaviour) {
    if (entry->behaviour < M::kOldestBehaviour || entry->behaviour > M::kBehaviour)
      return fail(Code::kUnsupported, std::string(M::kName) + ": position " + std::to_string(position) +
                                          " of the journal asks for behaviour " + std::to_string(entry->behaviour) +
                                          "; this polis knows " + std::to_string(M::kOldestBehaviour) + " to " +
                                          std::to_string(M::kBehaviour));
    state.behaviour = entry->behaviour;
    state.machine->behave_as(entry->behaviour);
    return {};
  }
  if (state.behaviour == 0) return fail(Code::kCorrupt, where() + " comes before any behaviour");
  auto command = M::decode(entry->command);
  if (!command) return fail(Error(Code::kCorrupt, where() + " holds no command", command.error()));
  const DigestOf<M> digest = M::digest(state.machine->apply(*command));
  if (std::memcmp(&digest, entry->digest.data(), sizeof digest) != 0)
    return fail(
        Code::kCorrupt,
        where() + ": replay under behaviour " + std::to_string(state.behaviour) + " gives outcome " +
            detail::digest_text({reinterpret_cast<const std::byte*>(&digest), sizeof digest}) + ", but " +
            detail::digest_text(entry->digest) +
            " was acknowledged. This build does not behave as the one that wrote it: use that one, and report it");
  state.commands++;
  return {};
}

// --- commands and queries

template <Machine M>
Task<Result<typename Replica<M>::Reply>> Replica<M>::submit(const Command& command, Durability durability) {
  if (closing_) co_return fail(Code::kClosed, std::string(M::kName) + " is closing");
  if (waiting_ >= options_.waiting_max)
    co_return fail(Code::kBusy,
                   std::string(M::kName) + ": " + std::to_string(waiting_) + " commands wait for the disk; try later");
  if (options_.admit) CO_TRY(options_.admit());
  // From here to append nothing suspends: the order of application is the order of the journal.
  constexpr size_t kHeaderBytes = command_header_bytes(sizeof(DigestOf<M>));
  scratch_.resize(kHeaderBytes);
  base::Writer writer(scratch_);
  M::encode(command, writer);
  CO_TRY(writer.finish());
  CO_TRY(journal_->admit(scratch_.size()));
  Reply reply = machine_->apply(command);
  const DigestOf<M> digest = M::digest(reply);
  scratch_[0] = static_cast<std::byte>(EntryKind::kCommand);
  scratch_[1] = static_cast<std::byte>(sizeof digest);
  std::memcpy(scratch_.data() + 2, &digest, sizeof digest);
  const auto position = journal_->append(BytesView(scratch_));
  POLIS_ASSERT(position);  // It was admitted: a state that the journal does not have must not go on.
  position_ = *position;
  commands_++;
  bytes_ += scratch_.size();
  if (observer_) observer_(*position, command, reply);
  if (snapshot_due()) {
    begin_long_work();
    tasks_.spawn(snapshot_in_background());
  }
  ++waiting_;
  auto waited = co_await journal_->wait(*position, durability);
  --waiting_;
  if (!waited) co_return fail(waited.error());
  co_return reply;
}

template <Machine M>
bool Replica<M>::snapshot_due() const {
  if (snapshotting_ || closing_) return false;
  return (options_.snapshot_every_commands != 0 &&
          commands_ - commands_at_snapshot_ >= options_.snapshot_every_commands) ||
         (options_.snapshot_every_bytes != 0 && bytes_ >= options_.snapshot_every_bytes);
}

template <Machine M>
template <class F>
auto Replica<M>::query(F ask, Durability durability) -> Task<Result<std::invoke_result_t<F&, const M&>>> {
  if (closing_) co_return fail(Code::kClosed, std::string(M::kName) + " is closing");
  using Value = std::invoke_result_t<F&, const M&>;
  if constexpr (std::is_void_v<Value>) {
    ask(std::as_const(*machine_));
    ++waiting_;
    auto waited = co_await journal_->wait(position_, durability);
    --waiting_;
    co_return waited;
  } else {
    auto value = ask(std::as_const(*machine_));
    ++waiting_;
    auto waited = co_await journal_->wait(position_, durability);
    --waiting_;
    if (!waited) co_return fail(waited.error());
    co_return value;
  }
}

// --- snapshots

template <Machine M>
Task<Result<Position>> Replica<M>::snapshot() {
  if (closing_) co_return fail(Code::kClosed, std::string(M::kName) + " is closing");
  if (snapshotting_) co_return fail(Code::kBusy, std::string(M::kName) + ": a snapshot is being made");
  begin_long_work();
  LongWork work(*this);
  co_return co_await make_snapshot();
}

template <Machine M>
Task<void> Replica<M>::snapshot_in_background() {
  LongWork work(*this);
  auto made = co_await make_snapshot();
  if (made) {
    snapshot_failure_.reset();
  } else if (made.error().code() != Code::kCancelled) {
    snapshot_failure_ = made.error();
    // Try again after as many commands, not at each one.
    commands_at_snapshot_ = commands_;
    bytes_ = 0;
  }
}

template <Machine M>
Task<Result<Position>> Replica<M>::make_snapshot() {
  const Position upto = position_;
  if (snapshot_position_ == upto && upto != 0) co_return upto;
  const uint64_t bytes_before = bytes_;
  State saved;
  if constexpr (kSavesWhileRunning<M>) {
    saved = CO_TRY(co_await save_running());
  } else {
    saved = CO_TRY(co_await save_shadow(upto));
  }
  snapshot_position_ = saved.position;
  commands_at_snapshot_ = saved.commands;
  bytes_ -= std::min(bytes_, bytes_before);
  ++snapshots_;
  CO_TRY(co_await drop_old());
  co_return upto;
}

template <Machine M>
Task<Result<typename Replica<M>::State>> Replica<M>::save_shadow(Position upto) {
  // Only what is on disk: a snapshot must never know more than the journal keeps.
  CO_TRY(co_await journal_->wait(upto, Durability::kDisk));
  State shadow = CO_TRY(co_await load_newest());
  const Position loaded = shadow.position;
  CO_TRY(co_await replay(shadow, upto, {}));
  if (shadow.position != loaded) {
    typename M::Saver saver(std::as_const(*shadow.machine));
    CO_TRY(co_await save(saver, shadow));
  }
  co_return shadow;
}

template <Machine M>
Task<Result<typename Replica<M>::State>> Replica<M>::save_running() {
  // The machine as it is now; its position is this one, whatever is applied while the pieces are written.
  State state{.position = position_, .commands = commands_, .behaviour = M::kBehaviour};
  typename M::Saver saver(std::as_const(*machine_));
  CO_TRY(co_await save(saver, state));
  co_return state;
}

template <Machine M>
Task<Result<void>> Replica<M>::save(typename M::Saver& saver, const State& state) {
  auto writer = CO_TRY(co_await SnapshotWriter::begin(disk_, options_.snapshot_directory,
                                                      {.machine = machine_number(M::kName),
                                                       .behaviour = state.behaviour,
                                                       .position = state.position,
                                                       .commands = state.commands}));
  Bytes piece;
  Slice slice(options_.slice);
  while (true) {
    piece.clear();
    base::Writer out(piece, kSnapshotPieceBytesMax);
    if (!saver.next(out)) break;
    CO_TRY(out.finish());
    CO_TRY(co_await writer.piece(piece));
    if (slice.over(piece.size())) co_await io::yield();
    if (closing_) co_return detail::closing();
  }
  // A snapshot must never know more than is on disk: of the journal, and of what else it refers to.
  CO_TRY(co_await journal_->wait(state.position, Durability::kDisk));
  if (options_.before_publish) CO_TRY(co_await options_.before_publish());
  if (closing_) co_return detail::closing();
  co_return co_await writer.finish();
}

template <Machine M>
Task<Result<void>> Replica<M>::drop_old() {
  const auto positions = CO_TRY(co_await list_snapshots(disk_, options_.snapshot_directory));
  const size_t kept = std::max<size_t>(options_.snapshots_kept, 1);
  for (size_t i = kept; i < positions.size(); ++i)
    CO_TRY(co_await disk_.remove(snapshot_path(options_.snapshot_directory, positions[i])));
  if (options_.keep_journal) co_return {};
  // The journal reaches back to the oldest one kept, once there are as many as should be.
  if (positions.size() >= kept) CO_TRY(co_await journal_->trim(positions[kept - 1] + 1));
  co_return {};
}

// --- verification

template <Machine M>
Task<Result<typename Replica<M>::Verified>> Replica<M>::verify(Make make, Progress progress, Admit admit) {
  if (closing_) co_return fail(Code::kClosed, std::string(M::kName) + " is closing");
  if (snapshotting_)
    co_return fail(Code::kBusy,
                   std::string(M::kName) + ": a snapshot is being made or a verification runs; try again soon");
  if (journal_->first() > 1)
    co_return fail(Code::kOutOfRange, std::string(M::kName) + ": the journal begins at position " +
                                          std::to_string(journal_->first()) + ": what came before was trimmed");
  begin_long_work();
  LongWork work(*this);
  co_return co_await make_verified(std::move(make), std::move(progress), std::move(admit));
}

template <Machine M>
Task<Result<typename Replica<M>::Verified>> Replica<M>::make_verified(Make make, Progress progress, Admit admit) {
  State second{.machine = make(), .admit = std::move(admit)};
  // Commands go on meanwhile: come close first, so that the running state is kept aside for the last stretch only.
  constexpr int kApproaches = 3;
  for (int i = 0; i < kApproaches; ++i) {
    const Position upto = position_;
    CO_TRY(co_await journal_->wait(upto, Durability::kDisk));
    CO_TRY(co_await replay(second, upto, progress));
  }
  const Position upto = position_;
  [[maybe_unused]] const uint64_t commands = commands_;
  if constexpr (kSavesWhileRunning<M>) {
    typename M::Saver running(std::as_const(*machine_));
    CO_TRY(co_await journal_->wait(upto, Durability::kDisk));
    CO_TRY(co_await replay(second, upto, progress));
    POLIS_ASSERT(second.commands == commands);
    typename M::Saver replayed(std::as_const(*second.machine));
    CO_TRY(co_await compare(running, replayed, commands));
  } else {
    CO_TRY(co_await journal_->wait(upto, Durability::kDisk));
    CO_TRY(co_await replay(second, upto, progress));
  }
  co_return Verified{std::move(second.machine), second.position, second.commands};
}

template <Machine M>
Task<Result<void>> Replica<M>::compare(typename M::Saver& running, typename M::Saver& replayed, uint64_t commands) {
  Bytes here, there;
  Slice slice(options_.slice);
  for (uint64_t pieces = 0;; ++pieces) {
    here.clear();
    there.clear();
    base::Writer out_here(here, kSnapshotPieceBytesMax), out_there(there, kSnapshotPieceBytesMax);
    const bool more_here = running.next(out_here), more_there = replayed.next(out_there);
    if (more_here != more_there || here != there) {
      const auto differs = std::mismatch(here.begin(), here.end(), there.begin(), there.end());
      co_return fail(Code::kCorrupt, std::string(M::kName) + ": after command " + std::to_string(commands) +
                                         " the running state is not what the journal gives: piece " +
                                         std::to_string(pieces) + " differs at byte " +
                                         std::to_string(differs.first - here.begin()) +
                                         ". Restart polis with its snapshots removed, and report it");
    }
    if (!more_here) co_return {};
    if (slice.over(here.size())) co_await io::yield();
    if (closing_) co_return detail::closing();
  }
}

template <Machine M>
Task<Result<void>> Replica<M>::check_snapshots() {
  if (snapshotting_) co_return fail(Code::kBusy, std::string(M::kName) + ": a snapshot is being made; try again soon");
  begin_long_work();
  LongWork work(*this);
  Slice slice(options_.slice);
  for (const Position position : CO_TRY(co_await list_snapshots(disk_, options_.snapshot_directory))) {
    auto reader = CO_TRY(co_await SnapshotReader::open(disk_, snapshot_path(options_.snapshot_directory, position),
                                                       machine_number(M::kName)));
    while (const auto piece = CO_TRY(co_await reader.next())) {
      if (slice.over(piece->size())) co_await io::yield();
      if (closing_) co_return detail::closing();
    }
  }
  co_return {};
}

template <Machine M>
ReplicaStatistics Replica<M>::statistics() const {
  return {.commands = commands_,
          .position = position_,
          .snapshot_position = snapshot_position_,
          .snapshot_commands = snapshots_ == 0 && snapshot_position_ == 0 ? 0 : commands_at_snapshot_,
          .snapshots = snapshots_,
          .replayed = replayed_,
          .unsound_snapshots = passed_over_.size(),
          .waiting = waiting_};
}

template <Machine M>
Task<Result<void>> Replica<M>::close() {
  closing_ = true;
  co_await tasks_.join();
  // Who called snapshot() or verify() still holds on to the machine. Not cancellable: like join().
  io::Scope root(nullptr);
  auto quiet = quiet_.wait();
  (void)co_await std::move(quiet).within(root);
  co_return co_await journal_->close();
}

}  // namespace polis::machine
