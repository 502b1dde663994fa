// The reading end of the bus on the home shard: journal, egress, durability, and what the runtime does now and then.
#include <algorithm>
#include <chrono>

#include "kernel/obs/log.h"
#include "systems/exchange/runtime/live_runtime.h"

namespace polis::exchange {
namespace {

// A record of the journal ends here; the next step begins a new one.
constexpr size_t kBatchBytes = 256 << 10;
// Acknowledged from the bus, the disk is asked so often and not for every record.
constexpr Duration kLazySync = std::chrono::milliseconds(5);
constexpr Duration kTick = std::chrono::milliseconds(20);
constexpr unsigned kTicksOfCheck = 50;  // a second
// Of batches that are kept to be filled again: as many as wait for the disk at once.
constexpr size_t kSpareBytes = 32 << 20;

}  // namespace

void LiveRuntime::PumpJob::run() {
  runtime.pump_posted_.store(false, std::memory_order_release);
  runtime.pump_now_.set();
}

void LiveRuntime::written() {
  if (io::Shard::current_or_null() == &home_) return pump_now_.set();
  if (!pump_posted_.exchange(true, std::memory_order_acq_rel)) home_.post(pump_job_);
}

Task<void> LiveRuntime::pump_when_written() {
  while (true) {
    co_await pump_now_.wait();
    if (stopping_) co_return;
    pump();
  }
}

void LiveRuntime::begin_step(const BusRecord& record, const std::byte* payload) {
  in_step_ = true;
  step_.stamp = {record.sequence, static_cast<VenueTime>(record.ns)};
  step_.turn = record.type == BusType::kTurn;
  step_.answered_at_once = (record.flags & kAnsweredAtOnce) != 0;
  if (!step_.turn) std::memcpy(static_cast<void*>(&step_.request), payload, sizeof step_.request);
  outputs_.clear();
}

void LiveRuntime::end_step(Sequence next) {
  in_step_ = false;
  step_.slots = next - step_.stamp.sequence;
  step_.digest = outputs_.digest();
  place_.hash = roll(place_.hash, step_.stamp.sequence, step_.digest);
  place_.next = next;
  place_.now = step_.stamp.now;
  ++place_.steps;
  step_.rolling.reset();
  if (place_.steps % kRollingSteps == 0) step_.rolling = place_.hash;
  batch_.add(step_);

  const bool asked = !step_.turn && (step_.request.tag & kAskTag) != 0 && step_.answered_at_once;
  if (egress_.wanted() || !asked_.empty()) {
    if (!egress_batch_) egress_batch_ = take_egress_batch();
    Sequence sequence = step_.stamp.sequence + (step_.turn ? kTurnSlots : kRequestSlots);
    for (const auto& item : outputs_.items()) {
      if (item.is_report) {
        egress_batch_->report(sequence, step_.stamp.now, outputs_.report_at(item));
        sequence += kReportSlots;
      } else {
        egress_batch_->event(sequence, step_.stamp.now, outputs_.event_at(item));
        sequence += kEventSlots;
      }
    }
    if (asked) egress_batch_->asked.push_back(step_.request.tag);
  }
  if (!step_.turn) {
    requests_.fetch_add(1, std::memory_order_relaxed);
    if (step_.request.kind == RequestKind::kHalt) halted_.store(true, std::memory_order_relaxed);
    if (step_.request.kind == RequestKind::kAccept) halted_.store(false, std::memory_order_relaxed);
  }
  reports_.fetch_add(outputs_.reports().size(), std::memory_order_relaxed);
  const auto events = outputs_.events();
  trades_.fetch_add(static_cast<uint64_t>(std::count_if(events.begin(), events.end(),
                                                        [](const Event& e) { return e.kind == Event::Kind::kTrade; })),
                    std::memory_order_relaxed);
}

std::shared_ptr<EgressBatch> LiveRuntime::take_egress_batch() {
  if (spare_.empty()) return std::make_shared<EgressBatch>();
  std::shared_ptr<EgressBatch> batch = std::move(spare_.back());
  spare_.pop_back();
  spare_bytes_ -= batch->capacity_bytes();
  return batch;
}

void LiveRuntime::deliver(const std::shared_ptr<EgressBatch>& batch) {
  if (!asked_.empty()) {
    const auto answer = [&](uint64_t tag, Result<Report> report) {
      const auto found = asked_.find(tag);
      if (found == asked_.end()) return;
      found->second->answer.emplace(std::move(report));
      found->second->done.set();
      asked_.erase(found);
    };
    for (const Report& report : batch->reports)
      if ((report.tag & kAskTag) != 0) answer(report.tag, report);
    for (const uint64_t tag : batch->asked)
      answer(tag, fail(Code::kInvalid, "a request that the venue answers with nothing"));
  }
  if (egress_.tell(batch) && spare_bytes_ + batch->capacity_bytes() <= kSpareBytes) {
    batch->clear();
    spare_bytes_ += batch->capacity_bytes();
    spare_.push_back(batch);
  }
}

Result<bool> LiveRuntime::append_batch() {
  if (batch_.empty()) return true;
  const auto parts = batch_.parts(options_.ack == AckMode::kBus);
  const auto admitted = journal_->admit(parts[0].size() + parts[1].size());
  if (!admitted && admitted.error().code() == Code::kBusy) {
    // The ring fills meanwhile, and then the door is shut. Who waits for the page cache calls again.
    ring_tight_.set();
    return false;
  }
  const log::Position record = TRY(journal_->append(parts));
  journal_bytes_.fetch_add(parts[0].size() + parts[1].size(), std::memory_order_relaxed);
  unreleased_.push_back({record, batch_.next()});
  held_.push_back({record, batch_.next(), options_.ack == AckMode::kDisk ? std::move(egress_batch_) : nullptr});
  if (options_.ack == AckMode::kDisk) egress_batch_.reset();
  batch_.clear();
  append_done_.set();
  return true;
}

void LiveRuntime::pump() {
  if (failed_.load(std::memory_order_relaxed)) return;
  BusRecord record;
  alignas(8) std::byte payload[kBusRecordBytesMax];
  while (batch_.size_bytes() < kBatchBytes && reader_->poll(record, payload)) {
    switch (record.type) {
      case BusType::kRequest:
      case BusType::kTurn:
        POLIS_ASSERT(!in_step_);
        begin_step(record, payload);
        break;
      case BusType::kReport:
        std::memcpy(static_cast<void*>(&outputs_.report()), payload, sizeof(Report));
        break;
      case BusType::kEvent: {
        Event event;
        std::memcpy(static_cast<void*>(&event), payload, sizeof event);
        outputs_.event(event);
        break;
      }
      case BusType::kEmpty:
        break;
    }
    if ((record.flags & kEndOfStep) == 0) continue;
    end_step(record.sequence + record.slots);
    if (batch_.size_bytes() < kBatchBytes) continue;
    if (auto appended = append_batch(); !appended) return fail_with(appended.error());
  }
  bus_->wake();
  next_.store(place_.next, std::memory_order_release);
  if (options_.ack == AckMode::kBus && egress_batch_) deliver(std::exchange(egress_batch_, nullptr));
  if (auto appended = append_batch(); !appended) return fail_with(appended.error());
  let_slots_go();
  if (reader_->next() - released_ > bus_->slots() / 2) ring_tight_.set();
}

void LiveRuntime::let_slots_go() {
  const log::Position reached = journal_->reached(log::Durability::kOs);
  Sequence release = released_;
  while (!unreleased_.empty() && unreleased_.front().record <= reached) {
    release = unreleased_.front().next;
    unreleased_.pop_front();
  }
  // Of a step that is not whole yet nothing was told: what was read of it is in memory, and that is enough.
  if (unreleased_.empty() && batch_.empty()) release = reader_->next();
  if (release == released_) return;
  released_ = release;
  reader_->release(release);
  core_->room_made();
}

// While the ring is more than half full: has the page cache take what is in the journal's buffer.
Task<void> LiveRuntime::relieve_ring() {
  while (true) {
    co_await ring_tight_.wait();
    if (stopping_) co_return;
    if (unreleased_.empty()) {
      let_slots_go();
      continue;
    }
    const auto reached = co_await journal_->wait(unreleased_.back().record, log::Durability::kOs);
    if (!reached) {
      fail_with(reached.error());
      co_return;
    }
    let_slots_go();
    pump();
  }
}

void LiveRuntime::note_durable(log::Position position) {
  durable_record_ = position;
  Sequence next = 0;
  while (!held_.empty() && held_.front().record <= position) {
    next = held_.front().next;
    const auto batch = std::move(held_.front().batch);
    held_.pop_front();
    if (batch) deliver(batch);
  }
  if (next != 0) durable_.store(next, std::memory_order_release);
  shadow_->advance(position);
  durable_changed_.set();
  durable_changed_.reset();
}

Task<void> LiveRuntime::make_durable() {
  while (true) {
    if (journal_->last() == durable_record_) {
      if (stopping_) co_return;
      co_await append_done_.wait();
      continue;
    }
    // Acknowledged from disk the journal syncs by itself, and each sync is told: whatever it has covered.
    if (options_.ack == AckMode::kBus && !stopping_) (void)co_await io::sleep_for(kLazySync);
    const log::Position next = options_.ack == AckMode::kDisk ? durable_record_ + 1 : journal_->last();
    const auto reached = co_await journal_->wait(next, log::Durability::kDisk);
    if (!reached) {
      fail_with(reached.error());
      co_return;
    }
    syncs_.store(journal_->statistics().syncs, std::memory_order_relaxed);
    note_durable(journal_->reached(log::Durability::kDisk));
    let_slots_go();
  }
}

// Timers of the venue, and each second whether its sums are right.
Task<void> LiveRuntime::keep_house() {
  Sequence checked = 0;
  for (unsigned tick = 1; !stopping_; ++tick) {
    (void)co_await io::sleep_for(kTick);
    if (stopping_ || failed_.load(std::memory_order_relaxed)) continue;
    if (core_->next_time() <= clock_.wall().time_since_epoch().count()) {
      Request request;
      request.kind = RequestKind::kTime;
      // Full or closing: it stays due.
      (void)core_->submit(request);
    }
    if (tick % kTicksOfCheck != 0 || next_.load(std::memory_order_relaxed) == checked) continue;
    checked = next_.load(std::memory_order_relaxed);
    Result<void> sums;
    bool halted = false;
    const auto looked = co_await core_->inspect([&sums, &halted](const Venue& venue) {
      sums = venue.orders().check_sums(false);
      halted = venue.orders().halted();
    });
    if (!looked) continue;
    halted_.store(halted, std::memory_order_relaxed);
    if (!sums) halt(sums.error().text());
  }
}

// --- when something is wrong

void LiveRuntime::fail_with(Error error) {
  if (failed_.exchange(true)) return;
  obs::log_error("the venue has stopped", {{"why", error}});
  {
    std::lock_guard lock(mutex_);
    failure_ = error;
  }
  for (auto& [tag, asked] : asked_) {
    asked->answer.emplace(fail(Code::kUnavailable, error.text()));
    asked->done.set();
  }
  asked_.clear();
  durable_changed_.set();
  durable_changed_.reset();
}

void LiveRuntime::halt(std::string why) {
  {
    std::lock_guard lock(mutex_);
    if (!halted_why_.empty() && halted_.load(std::memory_order_relaxed)) return;
    halted_why_ = why;
  }
  obs::log_error("the venue has halted itself", {{"why", why}});
  Request request;
  request.kind = RequestKind::kHalt;
  halted_.store(true, std::memory_order_relaxed);
  // If it is full: the next check finds the same.
  if (!core_->submit(request)) halted_.store(false, std::memory_order_relaxed);
}

}  // namespace polis::exchange
