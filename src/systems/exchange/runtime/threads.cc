#include "systems/exchange/runtime/threads.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <fmt/format.h>
#include <mutex>
#include <pthread.h>
#include <sched.h>
#include <thread>
#include <vector>

#include "systems/exchange/bus/spsc_queue.h"
#include "systems/exchange/runtime/parker.h"

namespace polis::exchange {
namespace {

// Commands that the engine has not answered: 1,024 answers of a few events stay in its second-level cache.
constexpr size_t kCommandsInFlight = 1024;
// An answer's vector that grew beyond this (an auction's) gives its memory back.
constexpr size_t kAnswerEventsKept = 4096;
constexpr size_t kInboundShardsMax = 256;
// Readers are told after so many slots, or when nothing can be done at once.
constexpr Sequence kSlotsPerWake = 64;
constexpr uint64_t kSleepNs = 1'000'000'000;
// How old next_time() may be.
constexpr uint64_t kNextTimeNs = 1'000'000;
constexpr VenueTime kNever = static_cast<VenueTime>(INT64_MAX);

class SplitCore final : public Core {
 public:
  explicit SplitCore(const CoreParts& parts)
      : parts_(parts),
        commands_(kCommandsInFlight),
        answers_(kCommandsInFlight),
        orders_parker_(parts.options.wait),
        engine_parker_(parts.options.wait),
        told_(parts.bus.next()),
        last_time_(parts.last_time),
        next_time_(parts.venue.next_time().value_or(kNever)) {
    unsent_ = parts.venue.take_unanswered();
  }
  ~SplitCore() override { SplitCore::stop(); }

  Result<void> start();

  Result<void> submit(const Request& request) override;
  Task<Result<void>> inspect(std::function<void(const Venue&)> look) override;
  void room_made() override { orders_parker_.wake(); }
  void stop() override;
  VenueTime next_time() const override { return next_time_.load(std::memory_order_relaxed); }

 private:
  struct Inbound {
    Inbound(io::Shard& shard, size_t capacity) : owner(&shard), queue(capacity) {}
    io::Shard* owner;
    SpscQueue<Request> queue;
  };
  struct Answer {
    Venue::Unanswered to;
    Events events;
  };
  struct Look {
    std::function<void(const Venue&)> look;
    io::Completion<Result<void>> done;
  };

  Inbound* inbound_of(io::Shard& shard);

  // The order manager's thread.
  void run_orders();
  bool orders_ready();
  bool handle_answer();
  bool handle_request();
  void put_on_bus(const Stamp& stamp, const Request* request);
  Inbound* next_inbound();
  void send_commands();
  void tell_readers();
  void run_looks(bool closed);
  bool is_quiet() const { return !writing_ && unsent_.empty() && in_flight_ == 0; }
  VenueTime now();

  // The engine's.
  void run_engine();

  const CoreParts parts_;
  std::atomic<bool> stopping_{false}, engine_stopping_{false};
  bool stopped_ = false;
  enum class Begin : uint8_t { kNotYet, kGo, kNever };
  std::atomic<Begin> begin_{Begin::kNotYet};
  std::thread orders_thread_, engine_thread_;

  std::mutex inbound_mutex_;  // of registering a shard
  std::array<std::unique_ptr<Inbound>, kInboundShardsMax> inbound_;
  std::atomic<size_t> inbound_count_{0};

  SpscQueue<Venue::Unanswered> commands_;
  SpscQueue<Answer> answers_;
  Parker orders_parker_, engine_parker_;

  // Of the order manager's thread alone.
  Outputs outputs_;
  StepWriter writer_;
  Request request_;  // of the step that is being written
  bool writing_ = false;
  std::vector<Venue::Unanswered> unsent_;  // commands that found no room, from unsent_next_ on
  size_t unsent_next_ = 0;
  size_t in_flight_ = 0;
  size_t turn_ = 0;  // of the shards' queues
  Sequence told_;    // what readers were woken for
  VenueTime last_time_;

  std::mutex looks_mutex_;
  std::vector<Look*> looks_;
  bool looks_closed_ = false;
  std::atomic<bool> looks_waiting_{false};

  alignas(128) std::atomic<VenueTime> next_time_;
};

Result<void> pin_thread(std::thread& thread, unsigned cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  const int error = cpu < CPU_SETSIZE ? ::pthread_setaffinity_np(thread.native_handle(), sizeof set, &set) : EINVAL;
  if (error != 0)
    return fail(Error(Code::kInvalid, fmt::format("pin a thread of the venue to CPU {} (option cpus)", cpu),
                      system_error(error, "pthread_setaffinity_np")));
  return {};
}

Result<void> SplitCore::start() {
  orders_thread_ = std::thread([this] {
    begin_.wait(Begin::kNotYet);
    if (begin_.load() == Begin::kGo) run_orders();
  });
  engine_thread_ = std::thread([this] {
    begin_.wait(Begin::kNotYet);
    if (begin_.load() == Begin::kGo) run_engine();
  });
  (void)::pthread_setname_np(orders_thread_.native_handle(), "venue-orders");
  (void)::pthread_setname_np(engine_thread_.native_handle(), "venue-engine");
  const std::vector<unsigned>& cpus = parts_.options.cpus;
  Result<void> pinned;
  if (!cpus.empty()) pinned = pin_thread(orders_thread_, cpus[0]);
  if (cpus.size() > 1 && pinned) pinned = pin_thread(engine_thread_, cpus[1]);
  begin_.store(pinned ? Begin::kGo : Begin::kNever);
  begin_.notify_all();
  return pinned;
}

// --- any shard

SplitCore::Inbound* SplitCore::inbound_of(io::Shard& shard) {
  const size_t count = inbound_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i)
    if (inbound_[i]->owner == &shard) return inbound_[i].get();
  std::lock_guard lock(inbound_mutex_);
  const size_t place = inbound_count_.load(std::memory_order_relaxed);
  if (place == kInboundShardsMax) return nullptr;
  inbound_[place] = std::make_unique<Inbound>(shard, parts_.options.inbound_max);
  inbound_count_.store(place + 1, std::memory_order_release);
  return inbound_[place].get();
}

Result<void> SplitCore::submit(const Request& request) {
  if (stopping_.load(std::memory_order_relaxed)) return fail(Code::kClosed, "the venue is stopping");
  Inbound* inbound = inbound_of(io::Shard::current());
  if (inbound == nullptr) return fail(Code::kBusy, "too many shards hand requests to the venue");
  if (!inbound->queue.push(request)) return fail(Code::kBusy, "too many requests wait for the venue");
  orders_parker_.wake();
  return {};
}

Task<Result<void>> SplitCore::inspect(std::function<void(const Venue&)> look) {
  Look waiting{std::move(look), {}};
  {
    std::lock_guard lock(looks_mutex_);
    if (looks_closed_) co_return fail(Code::kClosed, "the venue has stopped");
    looks_.push_back(&waiting);
    looks_waiting_.store(true, std::memory_order_release);
  }
  orders_parker_.wake();
  co_return co_await waiting.done;
}

void SplitCore::stop() {
  if (stopped_) return;
  stopped_ = true;
  stopping_.store(true);
  orders_parker_.wake();
  if (orders_thread_.joinable()) orders_thread_.join();
  engine_stopping_.store(true);
  engine_parker_.wake();
  if (engine_thread_.joinable()) engine_thread_.join();
  run_looks(true);
}

// --- the order manager's thread

// Never before the last one: steps of one venue have times that do not fall.
VenueTime SplitCore::now() {
  last_time_ = std::max<VenueTime>(last_time_, parts_.clock.wall().time_since_epoch().count());
  return last_time_;
}

void SplitCore::run_orders() {
  const auto ready = [this] { return orders_ready(); };
  for (;;) {
    bool busy = false;
    if (writing_ && writer_.go_on(parts_.bus)) {
      writing_ = false;
      busy = true;
    }
    if (!writing_) busy |= handle_answer();
    if (!writing_) busy |= handle_request();
    if (!busy || parts_.bus.next() - told_ >= kSlotsPerWake) tell_readers();
    if (busy) continue;
    if (looks_waiting_.load(std::memory_order_acquire) && is_quiet()) {
      run_looks(false);
      continue;
    }
    // Stopping: everything accepted is handled, but for want of room, which nobody makes any more.
    if (stopping_.load(std::memory_order_acquire) && (writing_ || (is_quiet() && !next_inbound()))) return;
    orders_parker_.wait(ready, kSleepNs);
  }
}

bool SplitCore::orders_ready() {
  if (stopping_.load(std::memory_order_acquire)) return true;
  if (writing_) return parts_.bus.room(kRequestSlots);
  if (answers_.front() != nullptr) return true;
  if (looks_waiting_.load(std::memory_order_acquire)) return is_quiet();
  return unsent_.empty() && next_inbound() != nullptr;
}

bool SplitCore::handle_answer() {
  const Answer* answer = answers_.front();
  if (answer == nullptr) return false;
  const Stamp turn{parts_.bus.next(), now()};
  outputs_.clear();
  parts_.venue.answer_half(turn.sequence, answer->to, answer->events, unsent_, outputs_);
  answers_.pop();
  --in_flight_;
  send_commands();
  put_on_bus(turn, nullptr);
  return true;
}

// The next queue with something in it, in turns.
SplitCore::Inbound* SplitCore::next_inbound() {
  const size_t count = inbound_count_.load(std::memory_order_acquire);
  for (size_t i = 0; i < count; ++i) {
    Inbound* inbound = inbound_[(turn_ + i) % count].get();
    if (inbound->queue.front() != nullptr) return inbound;
  }
  return nullptr;
}

bool SplitCore::handle_request() {
  // Commands that wait go first; and whoever looks gets a venue with nothing under way.
  if (!unsent_.empty() || looks_waiting_.load(std::memory_order_acquire)) return false;
  Inbound* inbound = next_inbound();
  if (inbound == nullptr) return false;
  ++turn_;
  // What others of this shard that wait will touch of the order manager's; the engine's is the other thread's.
  if (const Request* coming = inbound->queue.peek(12)) {
    parts_.venue.sessions().prefetch(coming->session);
    (void)parts_.venue.orders().prefetch(*coming, 0);
  }
  if (const Request* coming = inbound->queue.peek(8)) (void)parts_.venue.orders().prefetch(*coming, 1);
  request_ = *inbound->queue.front();
  inbound->queue.pop();
  const Stamp stamp{parts_.bus.next(), now()};
  outputs_.clear();
  parts_.venue.request_half(stamp, request_, unsent_, outputs_);
  send_commands();
  put_on_bus(stamp, &request_);
  return true;
}

void SplitCore::put_on_bus(const Stamp& stamp, const Request* request) {
  writer_.begin(stamp, request, 0, outputs_);
  writing_ = !writer_.go_on(parts_.bus);
}

// As many as there is room for in the ring of answers, so the engine never waits for the order manager.
void SplitCore::send_commands() {
  if (unsent_.empty()) return;
  const size_t before = unsent_next_;
  while (unsent_next_ < unsent_.size() && in_flight_ < kCommandsInFlight && commands_.push(unsent_[unsent_next_])) {
    ++unsent_next_;
    ++in_flight_;
  }
  if (unsent_next_ != before) engine_parker_.wake();
  if (unsent_next_ == unsent_.size()) {
    unsent_.clear();
    unsent_next_ = 0;
  }
}

// Also of a step that is not whole yet: one that is larger than the ring needs them to make room.
void SplitCore::tell_readers() {
  if (parts_.bus.next() == told_) return;
  told_ = parts_.bus.next();
  parts_.bus.wake();
  parts_.written();
}

void SplitCore::run_looks(bool closed) {
  std::vector<Look*> looks;
  {
    std::lock_guard lock(looks_mutex_);
    looks.swap(looks_);
    looks_closed_ = closed;
    looks_waiting_.store(false, std::memory_order_release);
  }
  for (Look* look : looks) {
    if (!closed) look->look(parts_.venue);
    look->done.set(closed ? Result<void>(fail(Code::kClosed, "the venue has stopped")) : Result<void>());
  }
}

// --- the engine's thread

// Brings near what commands that wait will touch: measured at ten million resting orders, an eighth of the time.
void prefetch(const Engine& engine, const Venue::Unanswered* coming, bool neighbours) {
  if (coming == nullptr) return;
  const Command& command = coming->command;
  const bool cancels = command.kind == Command::Kind::kCancel;
  if (!cancels && command.kind != Command::Kind::kReplace) return;
  const Matching* book = engine.find(command.instrument);
  if (book == nullptr) return;
  const OrderId order = cancels ? command.body.cancel.order : command.body.replace.order;
  if (neighbours) {
    book->prefetch_neighbours(order);
  } else {
    book->prefetch(order);
  }
}

void SplitCore::run_engine() {
  Engine& engine = parts_.venue.engine_half();
  const auto steady_ns = [this] { return static_cast<uint64_t>(parts_.clock.steady().time_since_epoch().count()); };
  const auto ready = [this] {
    return commands_.front() != nullptr || engine_stopping_.load(std::memory_order_acquire);
  };
  bool changed = false;
  uint64_t refreshed = 0;
  uint32_t handled = 0;
  for (;;) {
    const Venue::Unanswered* next = commands_.front();
    if (next == nullptr || ++handled == 4096) {
      handled = 0;
      if (const uint64_t time = steady_ns(); changed && time - refreshed >= kNextTimeNs) {
        next_time_.store(engine.next_time().value_or(kNever), std::memory_order_relaxed);
        refreshed = time;
        changed = false;
      }
    }
    if (next == nullptr) {
      if (engine_stopping_.load(std::memory_order_acquire)) return;
      engine_parker_.wait(ready, changed ? kNextTimeNs : kSleepNs);
      continue;
    }
    exchange::prefetch(engine, commands_.peek(8), false);
    exchange::prefetch(engine, commands_.peek(4), true);
    Answer* answer = answers_.claim();
    POLIS_ASSERT(answer != nullptr);  // in_flight_ is bounded by their number
    answer->to = *next;
    if (answer->events.capacity() > kAnswerEventsKept) answer->events = {};
    answer->events.clear();
    engine.execute(answer->to.command, answer->events);
    commands_.pop();
    changed = true;
    answers_.publish();
    orders_parker_.wake();
  }
}

}  // namespace

Result<std::unique_ptr<Core>> start_split_core(const CoreParts& parts) {
  auto core = std::make_unique<SplitCore>(parts);
  TRY(core->start());
  return core;
}

}  // namespace polis::exchange
