#include "systems/exchange/runtime/recovery.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

#include "kernel/io/shard.h"
#include "kernel/machine/snapshot.h"

namespace polis::exchange {
namespace {

constexpr std::string_view kMachine = "polis exchange";
constexpr uint8_t kPlaceVersion = 1;

Bytes encode_place(const ReplayPlace& place) {
  Bytes bytes;
  base::Writer out(bytes);
  out.u8(kPlaceVersion);
  out.u64(place.next);
  out.u64(static_cast<uint64_t>(place.now));
  out.u64(place.hash.low);
  out.u64(place.hash.high);
  out.u64(place.steps);
  out.u64(place.record);
  return bytes;
}

Result<ReplayPlace> decode_place(BytesView piece) {
  base::Reader in(piece);
  if (in.u8() != kPlaceVersion) in.reject("no such version");
  ReplayPlace place;
  place.next = in.u64();
  place.now = static_cast<VenueTime>(in.u64());
  place.hash.low = in.u64();
  place.hash.high = in.u64();
  place.steps = in.u64();
  place.record = in.u64();
  if (place.now < 0 || place.next == 0 || place.record == 0) in.reject("no such place");
  TRY(in.finish());
  return place;
}

std::unexpected<Error> differs(const JournalStep& step, std::string_view what) {
  return fail(Code::kCorrupt,
              fmt::format("the step at sequence {} does not come out as it did: {}", step.stamp.sequence, what));
}

// The newest first. Unlike machine::list_snapshots it changes nothing: the owner may be writing one.
Task<Result<std::vector<Sequence>>> snapshots_there(io::Disk& disk, std::string directory) {
  std::vector<Sequence> found;
  auto entries = co_await disk.list(directory);
  if (!entries) {
    if (entries.error().code() == Code::kNotFound) co_return found;
    co_return fail(entries.error());
  }
  for (const auto& entry : *entries) {
    Sequence next = 0;
    const char* const end = entry.name.data() + entry.name.size();
    const auto [stopped, error] = std::from_chars(entry.name.data(), end, next);
    if (error == std::errc() && machine::snapshot_path(directory, next) == directory + "/" + entry.name)
      found.push_back(next);
  }
  std::sort(found.rbegin(), found.rend());
  co_return found;
}

// Whether every piece of the file is sound and it is one of ours.
Task<Result<void>> check_snapshot(io::Disk& disk, std::string path) {
  auto reader = CO_TRY(co_await machine::SnapshotReader::open(disk, path, machine::machine_number(kMachine)));
  if (reader.header().behaviour != kVenueBehaviour)
    co_return fail(Code::kUnsupported, fmt::format("{}: of other rules ({}, these are {})", path,
                                                   reader.header().behaviour, kVenueBehaviour));
  while (CO_TRY(co_await reader.next())) {
  }
  co_return {};
}

}  // namespace

Result<void> redo(Venue& venue, const JournalStep& step, ReplayPlace& place, Outputs& outputs) {
  if (step.stamp.sequence != place.next)
    return fail(Code::kCorrupt, fmt::format("the journal has a gap: sequence {} comes, {} was expected",
                                            step.stamp.sequence, place.next));
  if (step.stamp.now < place.now) return differs(step, "its time is before the one of the step in front");
  uint64_t slots = 0;
  if (step.turn) {
    if (!venue.pending()) return differs(step, "an answer, and nothing waits for one");
    slots = venue.answer(step.stamp.sequence, outputs);
  } else if (step.answered_at_once) {
    slots = venue.step(step.stamp, step.request, outputs);
  } else {
    slots = venue.request(step.stamp, step.request, outputs);
  }
  const uint64_t digest = outputs.digest();
  if (digest != step.digest)
    return differs(step, fmt::format("digest {:016x}, the journal has {:016x}", digest, step.digest));
  if (slots != step.slots)
    return differs(step, fmt::format("{} places on the bus, the journal has {}", slots, step.slots));
  place.hash = roll(place.hash, step.stamp.sequence, digest);
  if (step.rolling && *step.rolling != place.hash)
    return differs(step, "the hash over all steps so far is another one");
  place.next += slots;
  place.now = step.stamp.now;
  ++place.steps;
  return {};
}

Result<void> redo_record(Venue& venue, const log::Record& record, Sequence to, ReplayPlace& place, Outputs& outputs,
                         StepsAhead& steps, const std::function<void(const JournalStep&, const Outputs&)>& each) {
  auto reader = TRY(JournalBatchReader::open(record.payload));
  const JournalRecordHead& head = reader.head();
  if (head.first > place.next)
    return fail(Code::kCorrupt,
                fmt::format("the journal has a gap: sequence {} comes, {} was expected", head.first, place.next));
  const auto look_at = [&](size_t index, unsigned stage) {
    const JournalStep& step = steps[index % steps.size()];
    if (!step.turn) venue.prefetch(step.request, stage);
  };
  size_t read = 0, done = 0;
  std::optional<Error> broken;  // behind the steps that were read
  for (bool more = true;; ++done) {
    while (more && read - done < steps.size()) {
      JournalStep& step = steps[read % steps.size()];
      auto got = reader.next(step);
      if (!got) broken = std::move(got.error());
      more = got && *got;
      if (!more || step.stamp.sequence < place.next) continue;
      look_at(read++, 0);
    }
    if (done == read) break;
    if (done + 8 < read) look_at(done + 8, 1);
    if (done + 4 < read) look_at(done + 4, 2);
    const JournalStep& step = steps[done % steps.size()];
    if (to != 0 && step.stamp.sequence >= to) return {};
    if (head.behaviour != kVenueBehaviour)
      return fail(Code::kUnsupported,
                  fmt::format("record {} of the journal is of other rules ({}, these are {}): its steps from sequence "
                              "{} on would not come out as they did; take the polis that wrote it",
                              record.position, head.behaviour, kVenueBehaviour, step.stamp.sequence));
    TRY(redo(venue, step, place, outputs));
    if (each) each(step, outputs);
  }
  if (broken) return fail(std::move(*broken));
  place.record = record.position + 1;
  return {};
}

Task<Result<void>> write_snapshot(io::Disk& disk, std::string directory, const Venue& venue, ReplayPlace place,
                                  size_t kept) {
  CO_TRY(co_await disk.make_directories(directory));
  auto writer = CO_TRY(co_await machine::SnapshotWriter::begin(disk, directory,
                                                               {.machine = machine::machine_number(kMachine),
                                                                .behaviour = kVenueBehaviour,
                                                                .position = place.next,
                                                                .commands = place.steps}));
  const Bytes first = encode_place(place);
  CO_TRY(co_await writer.piece(first));
  const auto saver = venue.save();
  Bytes piece;
  while (true) {
    piece.clear();
    base::Writer out(piece);
    if (!saver->next(out)) break;
    CO_TRY(out.finish());
    CO_TRY(co_await writer.piece(piece));
  }
  CO_TRY(co_await writer.finish());
  const auto all = CO_TRY(co_await machine::list_snapshots(disk, directory));
  for (size_t i = std::max<size_t>(kept, 1); i < all.size(); ++i)
    CO_TRY(co_await disk.remove(machine::snapshot_path(directory, all[i])));
  co_return {};
}

Task<Result<ReplayPlace>> read_snapshot(io::Disk& disk, std::string directory, Sequence next, Venue& venue) {
  const std::string path = machine::snapshot_path(directory, next);
  auto reader = CO_TRY(co_await machine::SnapshotReader::open(disk, path, machine::machine_number(kMachine)));
  if (reader.header().behaviour != kVenueBehaviour) co_return fail(Code::kUnsupported, path + ": of other rules");
  const auto first = CO_TRY(co_await reader.next());
  if (!first) co_return fail(Code::kCorrupt, path + ": is empty");
  const ReplayPlace place = CO_TRY(decode_place(*first));
  if (place.next != next) co_return fail(Code::kCorrupt, path + ": is not what its name says");
  while (const auto piece = CO_TRY(co_await reader.next())) CO_TRY(venue.load(*piece));
  co_return place;
}

Task<Result<LoadedVenue>> load_venue(io::Disk& disk, std::string directory, const VenueLimits& limits,
                                     Sequence at_most) {
  LoadedVenue loaded;
  for (const log::Position next : CO_TRY(co_await machine::list_snapshots(disk, directory))) {
    if (next > at_most) continue;
    loaded.venue = std::make_unique<Venue>(limits);
    auto place = co_await read_snapshot(disk, directory, next, *loaded.venue);
    if (place) {
      loaded.place = *place;
      co_return loaded;
    }
    // A disk that cannot be read is no reason to begin from an older state; a damaged file is.
    if (place.error().code() != Code::kCorrupt && place.error().code() != Code::kUnsupported)
      co_return fail(place.error());
    loaded.skipped += place.error().text() + "; ";
  }
  loaded.venue = std::make_unique<Venue>(limits);
  co_return loaded;
}

Task<Result<Replayed>> replay(io::Disk& disk, const ReplayOptions& options, Venue& venue,
                              std::function<void(const Stamp&, const Request*, const Outputs&)> each) {
  const Clock& clock = io::Shard::current().clock();
  const auto begun = clock.steady();
  ReplayPlace place;
  if (!options.from_beginning) {
    for (const Sequence next : CO_TRY(co_await snapshots_there(disk, options.snapshot_directory))) {
      if (options.to != 0 && next > options.to) continue;
      if (!co_await check_snapshot(disk, machine::snapshot_path(options.snapshot_directory, next))) continue;
      place = CO_TRY(co_await read_snapshot(disk, options.snapshot_directory, next, venue));
      break;
    }
  }
  Replayed replayed;
  const uint64_t steps_before = place.steps;
  Outputs outputs;
  StepsAhead steps;
  const std::function<void(const JournalStep&, const Outputs&)> count = [&](const JournalStep& one,
                                                                            const Outputs& out) {
    replayed.reports += out.reports().size();
    replayed.events += out.events().size();
    if (each) each(one.stamp, one.turn ? nullptr : &one.request, out);
  };
  auto files = CO_TRY(co_await JournalFiles::open(disk, options.journal_directory, place.record));
  while (options.to == 0 || place.next < options.to) {
    if (options.stopped && options.stopped->load(std::memory_order_relaxed))
      co_return fail(Code::kCancelled, "the replay was stopped");
    const log::Position before = place.record;
    const auto record = CO_TRY(co_await files.next());
    if (!record) break;
    CO_TRY(redo_record(venue, *record, options.to, place, outputs, steps, count));
    if (place.record == before) break;  // at `to`
    co_await io::yield();
  }
  replayed.next = place.next;
  replayed.steps = place.steps - steps_before;
  replayed.hash = place.hash;
  replayed.seconds = std::chrono::duration<double>(clock.steady() - begun).count();
  co_return replayed;
}

}  // namespace polis::exchange
