#include "systems/exchange/gateway/gateway.h"

#include <algorithm>

#include "kernel/io/peer_certificate.h"
#include "kernel/obs/log.h"
#include "systems/exchange/gateway/connection.h"

namespace polis::exchange::gateway {
namespace {

// Between two tries to hand over what the venue had no room for.
constexpr Duration kBusyPause = std::chrono::milliseconds(1);
// What is known already is looked at again so often at most: 100,000 accounts are a hundred looks.
constexpr Duration kRefreshPause = std::chrono::seconds(1);

std::string_view message_type(RequestKind kind) {
  switch (kind) {
    case RequestKind::kNewOrder:
      return "D";
    case RequestKind::kCancel:
      return "F";
    case RequestKind::kReplace:
      return "G";
    case RequestKind::kStatus:
      return "H";
    case RequestKind::kMassCancel:
      return "q";
    default:
      return {};
  }
}

// What an order becomes that the venue has no room for.
void refuse_as_busy(Request& request) {
  const std::string_view type = message_type(request.kind);
  if (type.empty()) return;
  RefusalFields refusal;
  refusal.reason = static_cast<uint32_t>(Refusal::kBusy);
  refusal.client_id = request.body.order.client_id;
  refusal.original_id = ClientOrderId(type);
  request.kind = RequestKind::kMessageLogged;
  request.instrument = 0;
  request.body = Request::Body();
  request.body.refusal = refusal;
}

}  // namespace

class Gateway::AwayTimer final : public io::Timer {
 public:
  AwayTimer(Gateway& gateway, SessionId id) : gateway_(gateway), id_(id) {}

 private:
  void fired() override { gateway_.grace_is_over(id_); }
  Gateway& gateway_;
  const SessionId id_;
};

Gateway::Gateway(GatewayParts parts, GatewayOptions options, std::unique_ptr<RecentReports> recent)
    : parts_(parts), options_(std::move(options)), home_(io::Shard::current()), recent_(std::move(recent)) {
  if (parts_.metrics) {
    obs::Registry& registry = *parts_.metrics;
    metrics_ = Metrics{
        .connections = &registry.gauge("polis_exchange_fix_connections", "FIX connections that are open"),
        .in = &registry.counter("polis_exchange_fix_messages_in", "application messages of FIX clients"),
        .out = &registry.counter("polis_exchange_fix_messages_out", "application messages to FIX clients"),
        .refused = &registry.counter("polis_exchange_fix_refused", "messages that found the venue busy"),
        .resent = &registry.counter("polis_exchange_fix_resent", "application messages that were asked for again"),
    };
  }
}

Gateway::~Gateway() {
  POLIS_ASSERT(!acceptor_);  // drained before
}

Task<Result<std::unique_ptr<Gateway>>> Gateway::open(GatewayParts parts, GatewayOptions options,
                                                     std::unique_ptr<RecentReports> recent) {
  std::unique_ptr<Gateway> gateway(new Gateway(parts, std::move(options), std::move(recent)));
  gateway->passwords_ = CO_TRY(Passwords::open(parts.store, parts.clock, parts.random));
  CO_TRY(co_await gateway->recover());
  gateway->acceptor_ = std::make_unique<io::Acceptor>(
      io::AcceptorOptions{.connections_max = gateway->options_.connections_max}, gateway->open_,
      [raw = gateway.get()](std::unique_ptr<io::Stream> stream, size_t door) {
        return raw->run_connection(std::move(stream), door);
      });
  gateway->tasks_.spawn(gateway->watch_definitions());
  co_return std::move(gateway);
}

Task<Result<void>> Gateway::recover() {
  CO_TRY(co_await definitions_.refresh(parts_.venue, true));
  std::vector<SessionNumbers> numbers;
  CO_TRY(co_await parts_.venue.inspect([&numbers](const Venue& venue) {
    numbers.resize(venue.orders().sessions() + 1);
    for (SessionId id = 1; id < numbers.size(); ++id) numbers[id] = venue.sessions().numbers(id);
  }));
  for (SessionId id = 1; id < numbers.size(); ++id) {
    State& session = state(id);
    session.next_in = session.announced_in = numbers[id].next_in;
    session.next_out = numbers[id].next_out;
    recent_->anchor(id, numbers[id].reports);
  }
  parts_.venue.subscribe(*this);
  // Who was connected when the venue went down and wants its orders cancelled then has its grace from now on.
  for (SessionId id = 1; id <= definitions_.sessions(); ++id) {
    adopt(id);
    away(id);
  }
  co_return {};
}

Task<Result<uint16_t>> Gateway::listen(io::Endpoint endpoint, Door door) {
  if (draining_) co_return fail(Code::kClosed, "the FIX gateway is closing");
  auto listener = CO_TRY(io::Listener::bind(endpoint));
  const uint16_t port = listener->local().port;
  doors_.push_back(door);
  acceptor_->listen(std::move(listener), std::move(door.tls), doors_.size() - 1);
  co_return port;
}

void Gateway::serve(std::unique_ptr<io::Stream> stream) {
  doors_.push_back({});
  acceptor_->serve(std::move(stream), nullptr, doors_.size() - 1);
}

Task<void> Gateway::run_connection(std::unique_ptr<io::Stream> stream, size_t door) {
  std::string common_name = doors_[door].certificates ? io::peer_common_name(*stream) : std::string();
  Connection connection(*this, std::move(stream), doors_[door], std::move(common_name));
  connections_.push_back(&connection);
  accepted_.fetch_add(1, std::memory_order_relaxed);
  if (metrics_) metrics_->connections->add(1);
  co_await connection.serve();
  if (metrics_) metrics_->connections->add(-1);
  std::erase(connections_, &connection);
  std::erase(touched_, &connection);
}

Task<void> Gateway::drain(Duration grace) {
  draining_ = true;
  co_await acceptor_->drain(grace, [this] {
    for (Connection* connection : connections_) connection->goodbye("Venue closes");
  });
  acceptor_.reset();
  tasks_.stop();
  co_await tasks_.join();
  for (State& session : states_) session.away.reset();
  parts_.venue.unsubscribe(*this);
}

// --- definitions

Gateway::State& Gateway::state(SessionId id) {
  if (id >= states_.size()) states_.resize(id + 1);
  return states_[id];
}

void Gateway::adopt(SessionId id) {
  const SessionDefinition* definition = definitions_.session(id);
  if (!definition || definition->id == 0) return;
  State& session = state(id);
  if (session.rate != definition->rate_per_second || session.burst != definition->rate_burst) {
    session.rate = definition->rate_per_second;
    session.burst = definition->rate_burst;
    session.throttle.configure(session.rate, session.burst);
  }
  if (!definition->enabled && session.connection) session.connection->goodbye("Session is disabled");
}

Task<void> Gateway::watch_definitions() {
  bool owed = false;  // a look at everything
  SteadyTime looked = home_.clock().steady();
  while (true) {
    const Duration since = home_.clock().steady() - looked;
    if (!owed) {
      if (!co_await stale_.wait()) co_return;
    } else if (since < kRefreshPause) {
      auto waited = co_await io::with_timeout<Result<void>>(kRefreshPause - since, stale_.wait());
      if (!waited && waited.error().code() != Code::kTimeout) co_return;
    }
    stale_.reset();
    const bool all = home_.clock().steady() - looked >= kRefreshPause;
    if (all) looked = home_.clock().steady();
    auto refreshed = co_await definitions_.refresh(parts_.venue, all);
    if (!refreshed && refreshed.error().code() == Code::kCancelled) co_return;
    for (SessionId id = 1; id <= definitions_.sessions(); ++id) adopt(id);
    owed = !all;
  }
}

Task<Result<SessionDefinition>> Gateway::fresh_definition(SessionId id) {
  std::optional<SessionDefinition> found;
  std::optional<AccountDefinition> account;
  CO_TRY(co_await parts_.venue.inspect([&found, &account, id](const Venue& venue) {
    if (const SessionDefinition* definition = venue.orders().session(id)) found = *definition;
    if (!found) return;
    if (const AccountDefinition* owner = venue.orders().account(found->account)) account = *owner;
  }));
  if (!found) co_return fail(Code::kNotFound, "the session is not defined");
  definitions_.put(*found);
  if (account) definitions_.put(*account);
  adopt(id);
  co_return *found;
}

// --- to the venue

Gateway::Waiting& Gateway::gather() {
  if (ahead_.filled - ahead_.handed == Ahead::kSize) hand_over_oldest();
  return ahead_.ring[ahead_.filled % Ahead::kSize];
}

void Gateway::gathered() {
  parts_.venue.prefetch(ahead_.ring[ahead_.filled % Ahead::kSize].request, 0);
  ++ahead_.filled;
}

void Gateway::hand_over_oldest() {
  const auto look_ahead = [this](size_t distance, unsigned stage) {
    const size_t place = ahead_.handed + distance;
    if (place < ahead_.filled) parts_.venue.prefetch(ahead_.ring[place % Ahead::kSize].request, stage);
  };
  look_ahead(8, 1);
  look_ahead(4, 2);
  const Waiting& oldest = ahead_.ring[ahead_.handed++ % Ahead::kSize];
  hand(oldest.request, oldest.possible_resend);
}

void Gateway::flush() {
  while (ahead_.handed != ahead_.filled) hand_over_oldest();
}

void Gateway::submit(const Request& request, bool possible_resend) {
  flush();
  hand(request, possible_resend);
}

void Gateway::hand(const Request& request, bool possible_resend) {
  if (waiting_.empty() && !possible_resend) {
    auto taken = parts_.venue.submit(request);
    if (taken) return;
    if (taken.error().code() != Code::kBusy) {
      for (Connection* connection : connections_) connection->cut();
      return;
    }
    busy_ = true;
  }
  waiting_.push_back({request, possible_resend});
  if (busy_) {
    refuse_as_busy(waiting_.back().request);
    waiting_.back().possible_resend = false;
    refused_.fetch_add(1, std::memory_order_relaxed);
    if (metrics_) metrics_->refused->add();
  }
  relieved_.reset();
  if (handing_over_) return;
  handing_over_ = true;
  tasks_.spawn(hand_over());
}

Task<Result<bool>> Gateway::seen(const Request& request) {
  bool known = false;
  CO_TRY(co_await parts_.venue.inspect([&known, &request](const Venue& venue) {
    known = venue.orders().order(request.session, request.body.order.client_id.view()).has_value();
  }));
  co_return known;
}

Task<void> Gateway::hand_over() {
  while (!waiting_.empty()) {
    Waiting& next = waiting_.front();
    if (next.possible_resend) {
      const auto known = co_await seen(next.request);
      next.possible_resend = false;
      if (known && *known) {  // it has had its effect: the client is told how the order stands
        next.request.kind = RequestKind::kStatus;
        next.request.body.order.original_id = next.request.body.order.client_id;
        next.request.body.order.refused = 0;
      }
      continue;
    }
    auto taken = parts_.venue.submit(next.request);
    if (taken) {
      waiting_.pop_front();
    } else if (taken.error().code() == Code::kBusy) {
      busy_ = true;
      if (!co_await io::sleep_for(kBusyPause)) break;
    } else {
      for (Connection* connection : connections_) connection->cut();
      waiting_.clear();
    }
  }
  busy_ = false;
  handing_over_ = false;
  relieved_.set();
}

// --- from the venue

void Gateway::on_report(Sequence sequence, VenueTime time, const Report& report) {
  if (report.session == 0) {
    // An operator's request was carried out: it may have defined something.
    if (report.kind == ReportKind::kDone && report.tag != 0) stale_.set();
    return;
  }
  State& session = state(report.session);
  if (has_message(report)) {
    recent_->add(sequence, time, report);
    if (session.reset_tag != 0) return;  // it stood before the reset, and its number is not asked for any more
    if (session.connection)
      session.connection->report(sequence, time, report);
    else
      ++session.next_out;
    return;
  }
  // Of our own announcements; operators' tags have the highest bit.
  if (report.tag == 0 || report.tag > tag_) return;
  if (report.tag == session.reset_tag) session.reset_tag = 0;
  if (session.connection) session.connection->safe(report.tag);
}

const fix::Moment& Gateway::batch_moment() {
  if (!moment_known_) {
    moment_known_ = true;
    moment_ = {parts_.clock.wall().time_since_epoch().count(), parts_.clock.steady().time_since_epoch().count()};
  }
  return moment_;
}

void Gateway::on_batch_end() {
  moment_known_ = false;
  for (Connection* connection : touched_) {
    connection->in_touched = false;
    connection->settle();
  }
  touched_.clear();
}

void Gateway::touched(Connection& connection) {
  if (connection.in_touched) return;
  connection.in_touched = true;
  touched_.push_back(&connection);
}

// --- who comes and goes

void Gateway::arrived(Connection& connection) {
  state(connection.id()).away.reset();
  logged_on_.fetch_add(1, std::memory_order_relaxed);
}

void Gateway::left(Connection& connection) {
  const SessionId id = connection.id();
  State& session = state(id);
  session.connection = nullptr;
  session.next_in = connection.next_in();
  session.next_out = connection.next_out();
  if (session.next_in != session.announced_in) {
    // What nobody has told the venue: the peer's last messages were the session's own.
    Request request;
    request.kind = RequestKind::kSessionNumbers;
    request.session = id;
    NumbersFields& numbers = request.body.numbers = NumbersFields();
    numbers.next_in = session.next_in;
    numbers.next_out = session.next_out;
    session.announced_in = session.next_in;
    submit(request, false);
  }
  if (!connection.counted()) return;
  logged_on_.fetch_sub(1, std::memory_order_relaxed);
  if (!draining_) away(id);
}

void Gateway::away(SessionId id) {
  const SessionDefinition* definition = definitions_.session(id);
  if (!definition || definition->cancel_on_disconnect_seconds < 0) return;
  State& session = state(id);
  session.away = std::make_unique<AwayTimer>(*this, id);
  session.away->arm(home_.clock().steady() + std::chrono::seconds(definition->cancel_on_disconnect_seconds));
}

void Gateway::grace_is_over(SessionId id) {
  Request request;
  request.kind = RequestKind::kDisconnected;
  request.session = id;
  submit(request, false);
}

// --- asked from any shard

Task<Result<void>> Gateway::set_password(std::string session, std::string password) {
  return passwords_->set(std::move(session), std::move(password));
}

Task<Result<void>> Gateway::clear_password(std::string session) {
  return passwords_->clear(std::move(session));
}

Task<Result<void>> Gateway::disconnect(std::string session, std::string why) {
  auto work = [this, &session, &why]() -> Task<Result<void>> {
    const SessionDefinition* definition = definitions_.session(session);
    Connection* connection = definition ? state(definition->id).connection : nullptr;
    if (!connection) co_return fail(Code::kNotFound, "session " + session + " is not connected");
    connection->goodbye(why);
    co_return {};
  };
  co_return co_await io::on(home_, work);
}

Task<std::vector<SessionView>> Gateway::sessions() {
  auto work = [this]() -> Task<std::vector<SessionView>> {
    std::vector<SessionView> views;
    for (SessionId id = 1; id <= definitions_.sessions(); ++id) {
      const SessionDefinition* definition = definitions_.session(id);
      const State& known = state(id);
      SessionView view;
      view.id = id;
      view.name = std::string(definition->name.view());
      view.role = definition->role;
      view.next_in = known.next_in;
      view.next_out = known.next_out;
      if (known.connection) {
        view.logged_on = known.connection->logged_on();
        view.peer = known.connection->peer();
        view.next_in = known.connection->next_in();
        view.next_out = known.connection->next_out();
        view.waiting_bytes = known.connection->waiting_bytes();
      }
      views.push_back(std::move(view));
    }
    co_return views;
  };
  co_return co_await io::on(home_, work);
}

GatewayStatistics Gateway::statistics() const {
  return {.accepted = accepted_.load(std::memory_order_relaxed),
          .connections = open_.load(std::memory_order_relaxed),
          .logged_on = logged_on_.load(std::memory_order_relaxed),
          .messages_in = messages_in_.load(std::memory_order_relaxed),
          .messages_out = messages_out_.load(std::memory_order_relaxed),
          .refused = refused_.load(std::memory_order_relaxed),
          .resent = resent_.load(std::memory_order_relaxed)};
}

}  // namespace polis::exchange::gateway
