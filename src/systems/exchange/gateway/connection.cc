#include "systems/exchange/gateway/connection.h"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/obs/log.h"
#include "systems/exchange/gateway/execution_report.h"
#include "systems/exchange/gateway/order_entry.h"
#include "systems/exchange/gateway/reference.h"

namespace polis::exchange::gateway {
namespace {

constexpr int64_t kFirstMessageMax = 10'000'000'000;
// After our last byte the peer may read it and close; then we do.
constexpr Duration kLingerMax = std::chrono::seconds(1);
// What is left to write when a session closes has so long.
constexpr int64_t kClosingMax = 5'000'000'000;
// A client that connects anew may be quicker than the end of its old connection.
constexpr Duration kPredecessorMax = std::chrono::milliseconds(200);
constexpr Duration kPredecessorPause = std::chrono::milliseconds(5);
// A resend goes on when less than this waits for the client.
constexpr size_t kResendWaitingMax = 1 << 20;
constexpr Duration kArchivePause = std::chrono::milliseconds(20);
constexpr uint32_t kResendNumbers = 500;  // looked up at a time: one short look at the venue
// What a writing buffer keeps of its size after a burst.
constexpr size_t kSendingKept = 1 << 20;

bool serves(SessionRole role) {
  return role == SessionRole::kOrders;
}

}  // namespace

class Connection::Alarm final : public io::Timer {
 public:
  explicit Alarm(Connection& connection) : connection_(connection) {}

 private:
  void fired() override { connection_.tick(); }
  Connection& connection_;
};

Connection::Connection(Gateway& gateway, std::unique_ptr<io::Stream> stream, const Door& door, std::string common_name)
    : gateway_(gateway),
      stream_(std::move(stream)),
      by_certificate_(door.certificates),
      common_name_(std::move(common_name)),
      alarm_(std::make_unique<Alarm>(*this)) {}

Connection::~Connection() = default;

fix::Moment Connection::now() const {
  const Clock& clock = gateway_.parts_.clock;
  return {clock.wall().time_since_epoch().count(), clock.steady().time_since_epoch().count()};
}

Task<void> Connection::serve() {
  arm(now().steady + kFirstMessageMax);
  tasks_.spawn(write());
  while (!over_) {
    const std::span<char> room = framer_.room();
    auto got = co_await stream_->read_some(std::as_writable_bytes(room));
    if (!got) break;
    if (ended()) {
      framer_.clear();  // nobody listens any more; what comes is taken until the peer closes
      continue;
    }
    framer_.filled(*got);
    fix::Moment at = now();
    for (bool more = true; more && !ended();) {
      switch (framer_.next()) {
        case fix::Framer::Found::kNeedMore:
          more = false;
          break;
        case fix::Framer::Found::kFrame:
          if (!session_) {
            co_await wait_for_predecessor(framer_.frame());
            if (over_) break;
            at = now();
          }
          more = handle(framer_.frame(), at);
          break;
        case fix::Framer::Found::kGarbled:
          more = garbled(at);
          break;
      }
      if (session_ && session_->awaits_decision()) {
        gateway_.flush();
        (void)co_await decided_.wait();
        decided_.reset();
        at = now();
      }
    }
    gateway_.flush();
    if (abused_ && !ended()) goodbye("Rate limit");
    settle();
    // Who sends more while the venue is busy waits in the kernel's buffers.
    while (gateway_.congested() && !over_)
      if (!co_await gateway_.relieved_.wait()) break;
  }
  cut();
  tasks_.stop();
  co_await tasks_.join();
  alarm_->disarm();
  give_up_session();
}

void Connection::give_up_session() {
  if (!session_ || given_up_) return;
  given_up_ = true;
  session_->disconnected();
  gateway_.left(*this);
}

Task<void> Connection::wait_for_predecessor(std::string_view frame) {
  if (!message_.parse(frame)) co_return;
  const SessionDefinition* definition =
      gateway_.definitions_.session(message_.find(fix::tag::kSenderCompId).value_or(std::string_view()));
  if (!definition) co_return;
  const SessionId id = definition->id;
  for (Duration waited{}; waited < kPredecessorMax && gateway_.state(id).connection && !over_;
       waited += kPredecessorPause)
    if (!co_await io::sleep_for(kPredecessorPause)) co_return;
}

bool Connection::garbled(const fix::Moment& at) {
  if (!session_) {
    cut();
    return false;
  }
  session_->garbled(at);
  announce();
  return !ended();
}

bool Connection::handle(std::string_view frame, const fix::Moment& at) {
  if (!message_.parse(frame)) return garbled(at);
  if (!session_ && !identify(at)) {
    cut();
    return false;
  }
  operation_start_ = produced();
  steady_ = at.steady;
  session_->received(at, message_);
  announce();
  return !ended();
}

bool Connection::identify(const fix::Moment& at) {
  const SessionDefinition* definition =
      gateway_.definitions_.session(message_.find(fix::tag::kSenderCompId).value_or(std::string_view()));
  if (!definition || message_.find(fix::tag::kTargetCompId) != gateway_.options_.comp_id) return false;
  Gateway::State& state = gateway_.state(definition->id);
  if (state.connection) return false;  // the live session is not touched
  id_ = definition->id;
  state.connection = this;
  if (definition->role != SessionRole::kReflect)
    state.reflector.reset();
  else if (!state.reflector)
    state.reflector = std::make_unique<fix::Reflector>();
  fix::SessionConfig config;
  config.our_comp_id = gateway_.options_.comp_id;
  config.their_comp_id = std::string(definition->name.view());
  config.reset_on_logon = definition->reset_on_logon;
  config.resend_chunk = definition->resend_chunk;
  session_ = std::make_unique<fix::Session>(std::move(config), state.next_in, state.next_out, *this);
  session_->connected(at);
  return true;
}

// --- what the session says

void Connection::on_logon(const fix::Message& logon) {
  decided_.reset();
  const std::string_view password =
      logon.find(fix::tag::kPassword).value_or(logon.find(96).value_or(std::string_view()));
  tasks_.spawn(
      authenticate(std::string(logon.find(fix::tag::kUsername).value_or(std::string_view())), std::string(password)));
}

Task<void> Connection::authenticate(std::string username, std::string password) {
  constexpr std::string_view kWrong = "Unknown user or wrong password";
  std::string refusal;
  const auto definition = co_await gateway_.fresh_definition(id_);
  if (!definition) {
    refusal = "Venue is not available";
  } else if (!definition->enabled) {
    refusal = "Session is disabled";
  } else if (!username.empty() && username != definition->name.view()) {
    refusal = kWrong;
  } else if (by_certificate_ && common_name_ != definition->name.view()) {
    refusal = "The certificate is another session's";
  } else {
    const auto answer =
        co_await gateway_.passwords_->check(std::string(definition->name.view()), password, stream_->peer().address);
    const bool known_otherwise = by_certificate_ || stream_->peer().loopback();
    if (!answer) {
      refusal = "Venue is not available";
    } else if (*answer == Passwords::Answer::kTooOften) {
      refusal = "Too many attempts, try later";
    } else if (*answer == Passwords::Answer::kNone && !known_otherwise) {
      refusal = "Session has no password: loopback only";
    } else if (*answer == Passwords::Answer::kWrong && !(by_certificate_ && password.empty())) {
      refusal = kWrong;
    }
  }
  decided_.set();
  if (over_) co_return;
  operation_start_ = produced();
  if (refusal.empty()) {
    session_->accept_logon(now());
    gateway_.arrived(*this);
    counted_ = true;
  } else {
    obs::log_info("a FIX logon was refused",
                  {{"session", session_->config().their_comp_id}, {"peer", peer()}, {"why", refusal}});
    session_->refuse_logon(now(), refusal);
  }
  announce();
  settle();
}

template <class Call>
bool Connection::reflect(Call call) {
  fix::Reflector* reflector = gateway_.state(id_).reflector.get();
  if (!reflector) return false;
  const uint32_t first = session_->next_out();
  call(*reflector);
  for (uint32_t number = first; number < session_->next_out(); ++number) on_administrative(number);
  return true;
}

void Connection::on_message(const fix::Message& message, uint32_t number) {
  announce();  // what went before stands before it on the bus
  gateway_.messages_in_.fetch_add(1, std::memory_order_relaxed);
  if (gateway_.metrics_) gateway_.metrics_->in->add();
  if (reflect([&](fix::Reflector& reflector) { reflector.on_message(*session_, message, number, now()); })) return;
  Gateway::State& state = gateway_.state(id_);
  const SessionDefinition* definition = gateway_.definitions_.session(id_);
  OrderEntry entry;
  Gateway::Waiting& next = gateway_.gather();
  if (!state.throttle.take(steady_)) {
    refused_message(message, id_, number, Refusal::kRateLimit, next.request);
    abused_ = abused_ || state.throttle.abused();
  } else if (inquire(message)) {
    return;
  } else {
    if (serves(definition->role))
      entry = order_entry(message, *definition, number, gateway_.definitions_, next.request);
    if (!entry.served) refused_message(message, id_, number, Refusal::kUnsupported, next.request);
  }
  state.announced_in = number + 1;
  next.possible_resend = entry.possible_resend;
  gateway_.gathered();
}

bool Connection::inquire(const fix::Message& message) {
  if (message.type() == "x") {
    for (InstrumentId next = 1; next != 0;) {
      next = write_security_list(message, gateway_.definitions_, next, body_);
      send_own("y");
    }
    return true;
  }
  if (message.type() != "g") return false;
  tasks_.spawn(tell_session_status(std::string(message.find(335).value_or(std::string_view())),
                                   std::string(message.find(336).value_or(std::string_view()))));
  return true;
}

void Connection::send_own(std::string_view type) {
  const fix::Moment at = now();
  on_administrative(session_->send(type, at.wall, body_.view(), at));
}

Task<void> Connection::tell_session_status(std::string request_id, std::string trading_session) {
  const InstrumentDefinition* instrument = gateway_.definitions_.instrument(trading_session);
  SessionStatus status{.known = trading_session.empty() || instrument, .halted = false, .phase = {}};
  auto looked =
      co_await gateway_.parts_.venue.inspect([&status, id = instrument ? instrument->id : 0](const Venue& venue) {
        status.halted = venue.orders().halted();
        if (const Matching* book = id == 0 ? nullptr : venue.engine().find(id)) status.phase = book->phase();
      });
  if (!looked) co_return cut();
  if (ended() || !logged_on()) co_return;
  write_session_status(request_id, trading_session, status, body_);
  operation_start_ = produced();
  send_own("h");
  announce();
  settle();
}

void Connection::on_reset() {
  announce();
  if (fix::Reflector* reflector = gateway_.state(id_).reflector.get()) reflector->on_reset();
  reset_ = true;
}

void Connection::on_administrative(uint32_t number) {
  if (own_count_ != 0 && number != own_first_ + own_count_) announce();
  if (own_count_ == 0) own_first_ = number;
  ++own_count_;
}

void Connection::announce() {
  if (own_count_ == 0 && !reset_) return;
  Gateway::State& state = gateway_.state(id_);
  Request request;
  request.kind = RequestKind::kSessionNumbers;
  request.session = id_;
  request.tag = gateway_.next_tag();
  NumbersFields& numbers = request.body.numbers = NumbersFields();
  numbers.next_in = session_->next_in();
  numbers.next_out = session_->next_out();
  numbers.admin_first = own_count_ == 0 ? 0 : own_first_;
  numbers.admin_count = own_count_;
  numbers.reset = reset_;
  unsafe_.push_back({request.tag, std::max(operation_start_, taken_)});
  calm_.reset();
  if (reset_) state.reset_tag = request.tag;
  state.announced_in = numbers.next_in;
  own_count_ = 0;
  reset_ = false;
  gateway_.submit(request, false);
}

void Connection::safe(uint64_t tag) {
  while (!unsafe_.empty() && unsafe_.front().tag <= tag) unsafe_.pop_front();
  if (unsafe_.empty()) calm_.set();
  gateway_.touched(*this);
}

// --- what the venue says

void Connection::report(Sequence sequence, VenueTime time, const Report& report) {
  const std::string_view type = write_report(sequence, time, report, gateway_.definitions_, body_);
  session_->send(type, time, body_.view(), gateway_.batch_moment());
  gateway_.messages_out_.fetch_add(1, std::memory_order_relaxed);
  if (gateway_.metrics_) gateway_.metrics_->out->add();
  gateway_.touched(*this);
  if (over_ || waiting_bytes() <= gateway_.options_.egress_bytes_max) return;
  obs::log_warning("a FIX client does not read what it is sent and was cut off",
                   {{"session", session_->config().their_comp_id}, {"peer", peer()}, {"bytes", waiting_bytes()}});
  cut();
}

// --- resends

void Connection::on_resend(uint32_t first, uint32_t last) {
  if (reflect([&](fix::Reflector& reflector) { reflector.on_resend(*session_, first, last, now()); })) return;
  tasks_.spawn(resend(first, last));
}

Task<Result<void>> Connection::reports_of(uint64_t first, uint64_t last, std::vector<StoredReport>& into) {
  ReportArchive* archive = gateway_.parts_.archive;
  for (int overlapping = 0; !over_;) {
    into.clear();
    if (gateway_.recent_->find(id_, first, last, into)) co_return {};
    if (!archive) co_return {};
    const Sequence committed = archive->committed();
    into = CO_TRY(co_await archive->of_session(id_, first, last - first + 1));
    if (into.size() > last - first + 1) into.resize(last - first + 1);
    // What the archive has not got yet is in memory.
    if (into.size() <= last - first) gateway_.recent_->find(id_, first + into.size(), last, into);
    if (into.size() == last - first + 1) co_return {};
    // After a start the archive is told again what it had not committed, while memory has what is newer than the
    // snapshot: between them may be a hole for a while. To fill it with nothing would take it out of a client's
    // history.
    const Sequence oldest = gateway_.recent_->oldest();
    if (committed >= (oldest != 0 ? oldest : gateway_.parts_.venue.statistics().sequence) && ++overlapping == 3)
      co_return fail(Code::kCorrupt, fmt::format("reports {} to {} of the session are not in the archive any more",
                                                 first + into.size(), last));
    CO_TRY(co_await io::sleep_for(kArchivePause));
  }
  co_return fail(Code::kClosed, "the connection has ended");
}

Task<void> Connection::resend(uint32_t first, uint32_t last) {
  // The venue knows which numbers were the session's own once all of them are told.
  while (!unsafe_.empty() && !over_)
    if (!co_await calm_.wait()) co_return;
  std::vector<std::pair<uint32_t, uint64_t>> wanted;  // number, ordinal
  std::vector<StoredReport> reports;
  for (uint64_t number = first; number <= last && !ended(); number += kResendNumbers) {
    const uint64_t behind = std::min<uint64_t>(uint64_t{last} + 1, number + kResendNumbers);
    wanted.clear();
    auto looked = co_await gateway_.parts_.venue.inspect([&wanted, number, behind, id = id_](const Venue& venue) {
      for (uint64_t n = number; n < behind; ++n)
        if (const auto ordinal = venue.sessions().ordinal(id, static_cast<uint32_t>(n)))
          wanted.emplace_back(static_cast<uint32_t>(n), *ordinal);
    });
    if (!looked) co_return cut();
    if (wanted.empty()) continue;
    const uint64_t from = wanted.front().second;
    auto found = co_await reports_of(from, wanted.back().second, reports);
    if (!found) {
      obs::log_warning("messages that a FIX client asked for again could not be read",
                       {{"session", session_->config().their_comp_id}, {"error", found.error()}});
      co_return cut();  // it will ask again
    }
    if (ended()) co_return;
    operation_start_ = produced();
    for (const auto& [message_number, ordinal] : wanted) {
      if (ordinal - from >= reports.size()) break;
      const StoredReport& stored = reports[ordinal - from];
      const std::string_view type =
          write_report(stored.sequence, stored.time, stored.report, gateway_.definitions_, body_);
      session_->resend_message(message_number, type, stored.time, body_.view(), now());
      gateway_.resent_.fetch_add(1, std::memory_order_relaxed);
      if (gateway_.metrics_) gateway_.metrics_->resent->add();
    }
    settle();
    while (waiting_bytes() > kResendWaitingMax && !over_) {
      drained_.reset();
      if (!co_await drained_.wait()) co_return;
    }
  }
  if (ended()) co_return;
  operation_start_ = produced();
  session_->resend_end(now());
  announce();
  settle();
}

// --- bytes and time

size_t Connection::sendable() const {
  if (!session_) return 0;
  if (unsafe_.empty()) return session_->output().size();
  return static_cast<size_t>(std::max(unsafe_.front().start, taken_) - taken_);
}

struct Connection::Wake {
  Connection& connection;
  bool await_ready() const noexcept { return connection.wake_; }
  void await_suspend(std::coroutine_handle<> writer) const { connection.writer_ = writer; }
  void await_resume() const noexcept { connection.wake_ = false; }
};

void Connection::wake_writer() {
  wake_ = true;
  if (writer_) std::exchange(writer_, {}).resume();
}

Task<void> Connection::write() {
  while (!over_) {
    const size_t size = sendable();
    if (size == 0) {
      if (session_ && session_->closing() && session_->output().empty()) break;
      co_await Wake{*this};
      continue;
    }
    std::string& output = session_->output();
    if (size == output.size()) {
      sending_.swap(output);
    } else {
      sending_.assign(output, 0, size);
      output.erase(0, size);
    }
    taken_ += size;
    auto written = co_await stream_->write(as_bytes(sending_));
    sending_.clear();
    if (sending_.capacity() > kSendingKept) sending_ = std::string();
    if (!written) co_return cut();
    drained_.set();
  }
  // Who woke this may be in the midst of telling reports: what follows has a turn of its own.
  co_await io::yield();
  if (over_) co_return;
  // The session may be taken up again while the peer still reads.
  give_up_session();
  (void)co_await stream_->finish();
  (void)co_await io::sleep_for(kLingerMax);
  cut();
}

void Connection::settle() {
  if (over_ || given_up_ || !session_) return;
  if (sendable() != 0 || session_->closing()) wake_writer();
  if (session_->awaits_decision()) return;
  if (session_->closing()) {
    if (!closing_) arm(now().steady + kClosingMax);
    closing_ = true;
    return;
  }
  if (const int64_t next = session_->next_tick(); next < alarm_at_) arm(next);
}

void Connection::arm(int64_t at) {
  alarm_at_ = at;
  alarm_->arm(SteadyTime(Duration(at)));
}

void Connection::tick() {
  alarm_at_ = INT64_MAX;
  if (over_) return;
  if (given_up_) return;
  // Not one message in time, or the last ones do not become safe, or are not read.
  if (!session_ || session_->closing()) return cut();
  if (session_->awaits_decision()) return arm(now().steady + 1'000'000'000);
  operation_start_ = produced();
  session_->tick(now());
  announce();
  settle();
  if (!ended() && alarm_at_ == INT64_MAX) arm(session_->next_tick());
}

void Connection::goodbye(std::string_view why) {
  if (!logged_on()) return cut();
  operation_start_ = produced();
  session_->logout(now(), why);
  announce();
  settle();
}

void Connection::cut() {
  over_ = true;
  stream_->close();
  wake_ = true;
  if (writer_) io::Shard::current().schedule(std::exchange(writer_, {}));
  drained_.set();
  calm_.set();
}

}  // namespace polis::exchange::gateway
