// How a venue comes back: newest sound snapshot, what the journal has behind it, and what the ring of a killed process
// has behind that.
#include <filesystem>
#include <fmt/format.h>

#include "kernel/log/segment_journal.h"
#include "systems/exchange/runtime/live_runtime.h"

namespace polis::exchange {
namespace {

constexpr uint64_t kSegmentBytes = uint64_t{256} << 20;

void tell_reports(const JournalStep& step, const Outputs& outputs, const LiveRuntime::Recovered& recovered) {
  if (!recovered) return;
  Sequence sequence = step.stamp.sequence + (step.turn ? kTurnSlots : kRequestSlots);
  for (const auto& item : outputs.items()) {
    if (item.is_report) recovered(sequence, step.stamp.now, outputs.report_at(item));
    sequence += item.is_report ? kReportSlots : kEventSlots;
  }
}

}  // namespace

Task<Result<void>> LiveRuntime::redo_journal(const Recovered& recovered) {
  auto loaded = CO_TRY(co_await load_venue(disk_, options_.snapshot_directory, options_.limits, UINT64_MAX));
  venue_ = std::move(loaded.venue);
  place_ = loaded.place;
  const log::Position last = journal_->last();
  if (place_.record > last + 1)
    co_return fail(Code::kCorrupt, fmt::format("the snapshot of sequence {} holds more than the journal in {}, which "
                                               "ends with record {}",
                                               place_.next, options_.journal_directory, last));
  if (last == 0) co_return {};
  const uint64_t before = place_.steps;
  const std::function<void(const JournalStep&, const Outputs&)> tell =
      [&recovered](const JournalStep& step, const Outputs& outputs) { tell_reports(step, outputs, recovered); };
  StepsAhead steps;
  // The last record is read in any case: it says how the venue ended.
  auto files = CO_TRY(co_await JournalFiles::open(disk_, options_.journal_directory, std::min(place_.record, last)));
  while (files.position() <= last) {
    const auto record = CO_TRY(co_await files.next(last));
    if (!record)
      co_return fail(Code::kCorrupt, fmt::format("{}: record {} cannot be read, the last one is {}",
                                                 options_.journal_directory, files.position(), last));
    if (record->position == last) last_record_ = CO_TRY(JournalBatchReader::open(record->payload)).head();
    CO_TRY(redo_record(*venue_, *record, 0, place_, outputs_, steps, tell));
    co_await io::yield();
  }
  replayed_.store(place_.steps - before);
  co_return {};
}

// Steps that are whole on the ring, and what they gave, which must come out again.
Result<void> LiveRuntime::take_ring_steps(BusReader& reader, const Recovered& recovered) {
  BusRecord record;
  alignas(8) std::byte payload[kBusRecordBytesMax];
  Outputs found;
  bool in_step = false;
  while (reader.poll(record, payload)) {
    switch (record.type) {
      case BusType::kRequest:
      case BusType::kTurn:
        in_step = true;
        step_.stamp = {record.sequence, static_cast<VenueTime>(record.ns)};
        step_.turn = record.type == BusType::kTurn;
        step_.answered_at_once = (record.flags & kAnsweredAtOnce) != 0;
        if (!step_.turn) std::memcpy(static_cast<void*>(&step_.request), payload, sizeof step_.request);
        found.clear();
        break;
      case BusType::kReport: {
        Report report;
        std::memcpy(static_cast<void*>(&report), payload, sizeof report);
        found.report(report);
        break;
      }
      case BusType::kEvent: {
        Event event;
        std::memcpy(static_cast<void*>(&event), payload, sizeof event);
        found.event(event);
        break;
      }
      case BusType::kEmpty:
        break;
    }
    if (!in_step || (record.flags & kEndOfStep) == 0) continue;
    in_step = false;
    step_.slots = record.sequence + record.slots - step_.stamp.sequence;
    step_.digest = found.digest();
    step_.rolling.reset();
    TRY(redo(*venue_, step_, place_, outputs_));
    if (place_.steps % kRollingSteps == 0) step_.rolling = place_.hash;
    batch_.add(step_);
    tell_reports(step_, outputs_, recovered);
    replayed_.fetch_add(1, std::memory_order_relaxed);
    if (batch_.size_bytes() >= size_t{1} << 20) {
      place_.record = TRY(journal_->append(batch_.parts(options_.ack == AckMode::kBus))) + 1;
      batch_.clear();
    }
  }
  return {};
}

Result<void> LiveRuntime::step_in_recovery(const Request* request, const Recovered& recovered) {
  const auto wall = static_cast<VenueTime>(clock_.wall().time_since_epoch().count());
  step_.stamp = {place_.next, std::max(place_.now, wall)};
  step_.turn = request == nullptr;
  step_.answered_at_once = request != nullptr;
  if (request) {
    step_.request = *request;
    step_.slots = venue_->step(step_.stamp, *request, outputs_);
  } else {
    step_.slots = venue_->answer(step_.stamp.sequence, outputs_);
  }
  step_.digest = outputs_.digest();
  place_.hash = roll(place_.hash, step_.stamp.sequence, step_.digest);
  place_.next += step_.slots;
  place_.now = step_.stamp.now;
  ++place_.steps;
  step_.rolling.reset();
  if (place_.steps % kRollingSteps == 0) step_.rolling = place_.hash;
  batch_.add(step_);
  tell_reports(step_, outputs_, recovered);
  return {};
}

Task<Result<void>> LiveRuntime::recover(const Recovered& recovered) {
  journal_ = CO_TRY(co_await log::open_segment_journal(disk_, scheduler_, random_,
                                                       {.directory = options_.journal_directory,
                                                        .segment_size_bytes = kSegmentBytes,
                                                        .eager = options_.ack == AckMode::kDisk}));
  CO_TRY(co_await redo_journal(recovered));

  std::error_code ignored;  // the bus says what is wrong with the path
  std::filesystem::create_directories(std::filesystem::path(options_.bus_path).parent_path(), ignored);
  BusTail tail;
  bus_ = CO_TRY(Bus::open({.path = options_.bus_path,
                           .slots = options_.bus_slots,
                           .venue_id = options_.venue_id,
                           // Of a ring that had to be made anew: no place of a venue with a past, so that an end
                           // before restart() leaves no ring that looks whole.
                           .first = 1,
                           .lock_memory = options_.lock_memory},
                          tail));
  // What was told from the bus alone is there whole, or the venue does not know what it told.
  bool lost = last_record_.acknowledged_from_bus && !last_record_.closed;
  if (tail.same_boot && tail.first <= place_.next && place_.next <= tail.next) {
    lost = false;
    if (place_.next < tail.next) {
      auto reader = CO_TRY(bus_->reader("recovery", false, place_.next));
      CO_TRY(take_ring_steps(*reader, recovered));
    }
  }
  while (venue_->pending()) CO_TRY(step_in_recovery(nullptr, recovered));
  if (lost && !venue_->orders().halted()) {
    Request request;
    request.kind = RequestKind::kHalt;
    CO_TRY(step_in_recovery(&request, recovered));
  }
  if (venue_->orders().halted()) {
    halted_.store(true);
    halted_why_ = lost
                      ? "the host was lost while orders were acknowledged from the bus: what the journal holds must be "
                        "accepted by an operator"
                      : "halted before the restart";
  }
  if (!batch_.empty()) {
    place_.record = CO_TRY(journal_->append(batch_.parts(options_.ack == AckMode::kBus))) + 1;
    batch_.clear();
  }
  if (journal_->last() != 0) CO_TRY(co_await journal_->wait(journal_->last(), log::Durability::kDisk));
  durable_record_ = journal_->last();
  // From here on the ring's past is gone, which the journal has.
  CO_TRY(bus_->restart(place_.next));
  reader_ = CO_TRY(bus_->reader("journal", true, place_.next));
  released_ = place_.next;
  next_.store(place_.next);
  durable_.store(place_.next);
  co_return {};
}

}  // namespace polis::exchange
