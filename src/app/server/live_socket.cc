#include "app/server/live_socket.h"

#include <boost/json.hpp>
#include <set>

#include "app/server/auth_api.h"
#include "kernel/auth/principal.h"
#include "kernel/http/websocket.h"
#include "systems/api.h"

namespace polis::app {
namespace {

namespace json = boost::json;

constexpr size_t kMessageBytesMax = 64 * 1024;
// A session that ended, or rights that were taken, show within so long. The answer comes from the shard's cache.
constexpr Duration kProofInterval = std::chrono::seconds(30);
constexpr uint16_t kTryAgainLater = 1013;  // of the registry that RFC 6455 §11.7 opened

std::string error_frame(std::string_view topic, const Error& error) {
  return json::serialize(
      json::object{{"op", "error"}, {"topic", topic}, {"code", name(error.code())}, {"message", error.text()}});
}

// One client's wish; kInvalid says what is wrong with it.
struct Wish {
  std::string op, topic;
  uint64_t sequence = 0;
};

Result<Wish> parse_wish(std::string_view text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) return fail(Code::kInvalid, "a message must be one JSON object");
  const json::object& object = value.get_object();
  Wish wish;
  const json::value* op = object.if_contains("op");
  const json::value* topic = object.if_contains("topic");
  if (!op || !op->is_string() || !topic || !topic->is_string())
    return fail(Code::kInvalid, "a message needs the texts \"op\" and \"topic\"");
  wish.op = op->get_string();
  wish.topic = topic->get_string();
  if (wish.op != "subscribe" && wish.op != "unsubscribe" && wish.op != "ack")
    return fail(Code::kInvalid, "\"op\" is subscribe, unsubscribe or ack");
  if (const json::value* sequence = object.if_contains("seq")) {
    wish.sequence = sequence->to_number<uint64_t>(error);
    if (error) return fail(Code::kInvalid, "\"seq\" must be a whole number");
  }
  return wish;
}

// One connection: a reader of wishes and a writer of frames, both on the connection's shard; the subscriptions live on
// the hub's.
class LiveConnection {
 public:
  LiveConnection(LiveHub& hub, auth::Directory& directory, io::Shard& home, http::Request& request,
                 http::WebSocket& socket)
      : hub_(hub), directory_(directory), home_(home), request_(request), socket_(socket) {}

  Task<void> run() {
    auto id = co_await io::on(home_, [this]() -> Task<Result<LiveHub::SubscriberId>> { co_return hub_.connect(); });
    if (!id) {
      socket_.close(kTryAgainLater, id.error().message());
      co_return;
    }
    id_ = *id;
    io::TaskGroup writer(co_await io::this_scope());
    writer.spawn(write());
    writer.spawn(prove_again());
    co_await read();
    co_await io::on(home_, [this]() -> Task<void> {
      hub_.disconnect(id_);
      co_return;
    });
    writer.stop();
    co_await writer.join();
  }

 private:
  Task<void> read() {
    for (;;) {
      auto message = co_await socket_.receive();
      if (!message) co_return;
      Result<Wish> wish = parse_wish(as_text(message->payload));
      if (!wish) {
        if (!socket_.post_text(error_frame("", wish.error()))) co_return;
        continue;
      }
      Result<void> done = co_await fulfil(*wish);
      if (done) continue;
      if (done.error().code() == Code::kClosed) co_return;
      if (!socket_.post_text(error_frame(wish->topic, done.error()))) co_return;
    }
  }

  // Who asked at the start may have signed out, or been locked out, while the socket stayed open.
  Task<void> prove_again() {
    const std::string user_id = systems::principal(request_)->user_id;
    while (co_await io::sleep_for(kProofInterval)) {
      auto who = co_await identify(directory_, request_);
      if (!who && who.error().code() != Code::kUnauthenticated && who.error().code() != Code::kDenied)
        continue;  // the store cannot say now; asked again soon
      if (!who || (*who)->user_id != user_id) co_return socket_.close(http::ws::kPolicy, "the session has ended");
      systems::set_principal(request_, std::move(*who));
      for (const std::string& name : topics_) {
        const systems::LiveTopic* topic = hub_.find(name);
        if (topic && !systems::authorize(request_, topic->action))
          co_return socket_.close(http::ws::kPolicy, "a right to what is shown here was taken");
      }
    }
  }

  Task<Result<void>> fulfil(const Wish& wish) {
    if (wish.op == "subscribe") {
      const systems::LiveTopic* topic = hub_.find(wish.topic);
      if (!topic) co_return fail(Code::kNotFound, "no live topic '" + wish.topic + "'");
      CO_TRY(systems::authorize(request_, topic->action));
      topics_.insert(wish.topic);  // of those that exist, so their number is bounded
    } else if (wish.op == "unsubscribe") {
      topics_.erase(wish.topic);
    }
    co_return co_await io::on(home_, [this, &wish]() -> Task<Result<void>> {
      if (wish.op == "subscribe") co_return hub_.subscribe(id_, wish.topic);
      if (wish.op == "unsubscribe")
        hub_.unsubscribe(id_, wish.topic);
      else
        hub_.acknowledge(id_, wish.topic, wish.sequence);
      co_return Result<void>();
    });
  }

  Task<void> write() {
    for (;;) {
      auto frames = co_await io::on(home_, [this] { return hub_.next(id_); });
      if (!frames) break;
      for (const std::string& frame : *frames) {
        while (true) {
          Result<void> posted = socket_.post_text(frame);
          if (posted) break;
          // The queue is full: wait until the client has taken it. Any other error ends the connection.
          if (posted.error().code() != Code::kBusy || !co_await socket_.drained()) co_return;
        }
      }
    }
    socket_.close(http::ws::kGoingAway, "no longer served");
  }

  LiveHub& hub_;
  auth::Directory& directory_;
  io::Shard& home_;
  http::Request& request_;
  http::WebSocket& socket_;
  LiveHub::SubscriberId id_ = 0;
  std::set<std::string, std::less<>> topics_;  // subscribed
};

Task<void> serve(LiveHub& hub, auth::Directory& directory, io::Shard& home, http::Request& request,
                 http::Response& response) {
  if (systems::principal(request)->anonymous())
    co_return co_await systems::answer_error(response,
                                             Error(Code::kUnauthenticated, "sign in first, or send a bearer token"));
  co_await http::serve_websocket(request, response,
                                 [&](http::WebSocket& socket) -> Task<void> {
                                   LiveConnection connection(hub, directory, home, request, socket);
                                   co_await connection.run();
                                 },
                                 {.message_size_bytes_max = kMessageBytesMax});
}

}  // namespace

void mount_live_socket(http::Router& router, LiveHub& hub, auth::Directory& directory, io::Shard& home) {
  router.get("/api/live", [&hub, &directory, &home](http::Request& request, http::Response& response) {
    return serve(hub, directory, home, request, response);
  });
}

}  // namespace polis::app
