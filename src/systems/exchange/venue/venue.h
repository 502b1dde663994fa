// Venue: order manager, engine and session book as one deterministic machine, with the sequencer's bookkeeping between
// them. Whoever runs it (one loop, two threads, a replay, a shadow) decides only in which order requests and answers
// are handled; that order is the journal, and the same order gives the same outputs, bit by bit.
//
//     fused   request() then answer() until nothing is pending: one step a request
//     split   the order manager's half on one thread, the engine on another, a FIFO each way (see threads.h)
//
// Sequences. A request takes kRequestSlots places on the bus, then come its outputs in order, each its own slots. The
// answer to a command that was pending takes one slot (kTurn) before its outputs, unless the request said that answers
// follow at once.
#pragma once

#include <memory>

#include "systems/exchange/venue/engine.h"
#include "systems/exchange/venue/order_manager.h"
#include "systems/exchange/venue/sessions.h"

namespace polis::exchange {

inline constexpr uint32_t kRequestSlots = 2;  // 192 bytes
inline constexpr uint32_t kReportSlots = 2;
inline constexpr uint32_t kEventSlots = 1;
inline constexpr uint32_t kTurnSlots = 1;

class Venue {
 public:
  explicit Venue(const VenueLimits& limits);

  // One request, and every answer that it leads to at once. `outputs` is cleared first. Returns how many slots it took,
  // its own included.
  uint64_t step(const Stamp& stamp, const Request& request, Outputs& outputs);

  // The halves of it, for journals that were written by split threads: the request alone, then one pending answer.
  uint64_t request(const Stamp& stamp, const Request& request, Outputs& outputs);
  bool pending() const { return !unanswered_.empty(); }
  // `sequence`: of the turn.
  uint64_t answer(Sequence sequence, Outputs& outputs);

  // --- the two halves apart, each on a thread of its own; what they share are the commands and events that the threads
  // hand over. Same results as request() and answer().
  struct Unanswered {
    Command command;
    Stamp stamp;  // of the request that caused it
  };
  // Order manager's half. Appends commands for the engine.
  uint64_t request_half(const Stamp& stamp, const Request& request, std::vector<Unanswered>& commands,
                        Outputs& outputs);
  uint64_t answer_half(Sequence sequence, const Unanswered& asked, std::span<const Event> events,
                       std::vector<Unanswered>& commands, Outputs& outputs);
  // Engine's half: its thread alone, while there are two.
  Engine& engine_half() { return engine_; }
  // What was pending, in order, for the engine's thread to begin with; and back when the threads have ended.
  std::vector<Unanswered> take_unanswered();
  void give_unanswered(std::vector<Unanswered> unanswered);

  // For whoever holds requests that wait for their step (a queue, a journal that is replayed): brings near what they
  // will touch, stage 0 some twelve requests ahead, 1 some eight, 2 some four. Never changes what comes out.
  void prefetch(const Request& request, unsigned stage) const;
  // Memory now for so many more orders with their client order ids and trades, evenly over the instruments that there
  // are, so that none of them waits for the system to give it: some 500 bytes each. At the start, before anybody waits.
  void populate(size_t orders);

  const OrderManager& orders() const { return orders_; }
  const Engine& engine() const { return engine_; }
  const SessionBook& sessions() const { return sessions_; }
  // When a kTime request has something to do (orders good till a date, pauses, calendars); nothing if never.
  std::optional<VenueTime> next_time() const;

  // Snapshot of the state between two steps, pending commands included.
  class Saver;
  std::unique_ptr<Saver> save() const;
  Result<void> load(BytesView piece);

 private:
  void on_request(const Request& request);
  uint64_t count_outputs(const Outputs& outputs);
  uint64_t step_behind_unanswered(const Stamp& stamp, const Request& request, Outputs& outputs);
  void put_unanswered(const Stamp& stamp);

  OrderManager orders_;
  Engine engine_;
  SessionBook sessions_;
  // A queue from unanswered_first_ on; empty when all are answered.
  std::vector<Unanswered> unanswered_;
  size_t unanswered_first_ = 0;
  // Of the step at work; kept for their memory.
  Commands commands_;
};

class Venue::Saver {
 public:
  virtual ~Saver() = default;
  virtual bool next(base::Writer& piece) = 0;
};

}  // namespace polis::exchange
