#include "systems/exchange/venue/venue.h"

#include <utility>

namespace polis::exchange {

Venue::Venue(const VenueLimits& limits) : orders_(limits), engine_(limits.instruments_max) {}

// --- one step

inline void Venue::on_request(const Request& request) {
  const bool tells_numbers = request.message_number != 0 || request.kind == RequestKind::kSessionNumbers;
  if (tells_numbers && request.session != 0 && orders_.session(request.session) != nullptr)
    sessions_.on_request(request);
}

// Numbers the reports; returns how many slots all outputs take.
inline uint64_t Venue::count_outputs(const Outputs& outputs) {
  for (const Report& report : outputs.reports()) sessions_.on_report(report);
  return outputs.reports().size() * kReportSlots + outputs.events_listed() * kEventSlots;
}

uint64_t Venue::step(const Stamp& stamp, const Request& request, Outputs& outputs) {
  outputs.clear();
  if (pending()) [[unlikely]]
    return step_behind_unanswered(stamp, request, outputs);
  commands_.clear();
  sessions_.prefetch(request.session);  // whose numbers come last
  on_request(request);
  orders_.on_request(stamp, request, commands_, outputs);
  // Each may put others behind it.
  for (size_t i = 0; i < commands_.size(); ++i) {
    engine_.execute(commands_[i], outputs.engine_events());
    orders_.on_answer(stamp, commands_[i], commands_, outputs);
  }
  return kRequestSlots + count_outputs(outputs);
}

// What a journal of split threads left open comes first.
uint64_t Venue::step_behind_unanswered(const Stamp& stamp, const Request& request, Outputs& outputs) {
  uint64_t slots = this->request(stamp, request, outputs);
  Outputs more;
  while (pending()) {
    slots += answer(stamp.sequence + slots - kTurnSlots, more) - kTurnSlots;
    outputs.append(more);
  }
  return slots;
}

void Venue::put_unanswered(const Stamp& stamp) {
  for (const Command& command : commands_) unanswered_.push_back({.command = command, .stamp = stamp});
}

uint64_t Venue::request(const Stamp& stamp, const Request& request, Outputs& outputs) {
  outputs.clear();
  commands_.clear();
  on_request(request);
  orders_.on_request(stamp, request, commands_, outputs);
  put_unanswered(stamp);
  return kRequestSlots + count_outputs(outputs);
}

uint64_t Venue::answer(Sequence, Outputs& outputs) {
  outputs.clear();
  const Unanswered asked = unanswered_[unanswered_first_++];
  if (unanswered_first_ == unanswered_.size()) {
    unanswered_.clear();
    unanswered_first_ = 0;
  } else if (unanswered_first_ >= 4096 && unanswered_first_ * 2 >= unanswered_.size()) {
    unanswered_.erase(unanswered_.begin(), unanswered_.begin() + static_cast<ptrdiff_t>(unanswered_first_));
    unanswered_first_ = 0;
  }
  engine_.execute(asked.command, outputs.engine_events());
  commands_.clear();
  orders_.on_answer(asked.stamp, asked.command, commands_, outputs);
  put_unanswered(asked.stamp);
  return kTurnSlots + count_outputs(outputs);
}

std::optional<VenueTime> Venue::next_time() const {
  return engine_.next_time();
}

void Venue::prefetch(const Request& request, unsigned stage) const {
  if (stage == 0) sessions_.prefetch(request.session);
  const OrderManager::Ahead ahead = orders_.prefetch(request, stage);
  const Matching* book = ahead.instrument == 0 ? nullptr : engine_.find(ahead.instrument);
  if (book == nullptr) return;
  if (stage != 1) return book->prefetch_neighbours(ahead.order, ahead.price);
  book->prefetch(ahead.order);
  for (const Side side : {Side::kBuy, Side::kSell}) book->side(side).prefetch(ahead.price);
}

void Venue::populate(size_t orders) {
  orders_.populate(orders);
  engine_.populate(orders);
}

// --- the halves apart

uint64_t Venue::request_half(const Stamp& stamp, const Request& request, std::vector<Unanswered>& commands,
                             Outputs& outputs) {
  outputs.clear();
  commands_.clear();
  on_request(request);
  orders_.on_request(stamp, request, commands_, outputs);
  for (const Command& command : commands_) commands.push_back({.command = command, .stamp = stamp});
  return kRequestSlots + count_outputs(outputs);
}

uint64_t Venue::answer_half(Sequence, const Unanswered& asked, std::span<const Event> events,
                            std::vector<Unanswered>& commands, Outputs& outputs) {
  outputs.clear();
  commands_.clear();
  outputs.engine_events().append(events);
  orders_.on_answer(asked.stamp, asked.command, commands_, outputs);
  for (const Command& command : commands_) commands.push_back({.command = command, .stamp = asked.stamp});
  return kTurnSlots + count_outputs(outputs);
}

std::vector<Venue::Unanswered> Venue::take_unanswered() {
  std::vector<Unanswered> taken(unanswered_.begin() + static_cast<ptrdiff_t>(unanswered_first_), unanswered_.end());
  unanswered_.clear();
  unanswered_first_ = 0;
  return taken;
}

void Venue::give_unanswered(std::vector<Unanswered> unanswered) {
  unanswered_ = std::move(unanswered);
  unanswered_first_ = 0;
}

}  // namespace polis::exchange
