// Queues over JSON: workers that compete for the messages of a topic and acknowledge each alone.
#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>

#include "kernel/base/text_encoding.h"
#include "systems/stream/faces/face.h"

namespace polis::stream {
namespace {

namespace json = boost::json;

constexpr int64_t kReceiveMax = 1000, kWaitMsMax = 30'000;

json::value whole(const std::optional<Bytes>& bytes) {
  if (!bytes) return nullptr;
  if (base::utf8_valid(as_text(*bytes))) return json::object{{"text", as_text(*bytes)}};
  return json::object{{"base64", base::base64_encode(*bytes)}};
}

json::object queue_message_json(const Message& message) {
  json::array headers;
  for (const auto& [name, value] : message.headers)
    headers.push_back(json::object{{"key", name}, {"value", whole(value)}});
  return {{"id", fmt::format("{}@{}", message.id.partition, message.id.offset)},
          {"tries", message.tries},
          {"timestamp_ms", message.timestamp_ms},
          {"key", whole(message.key)},
          {"value", whole(message.value)},
          {"headers", std::move(headers)}};
}

// "3@1742"
Result<MessageId> parse_message_id(std::string_view text) {
  MessageId id;
  const size_t at = text.find('@');
  const auto number = [](std::string_view digits_of, auto& value) {
    auto [end, error] = std::from_chars(digits_of.data(), digits_of.data() + digits_of.size(), value);
    return !digits_of.empty() && error == std::errc() && end == digits_of.data() + digits_of.size() && value >= 0;
  };
  if (at == std::string_view::npos || !number(text.substr(0, at), id.partition) ||
      !number(text.substr(at + 1), id.offset))
    return fail(Code::kInvalid, fmt::format("a message is named PARTITION@OFFSET, not '{}'", text));
  return id;
}

Result<std::vector<MessageId>> message_ids(systems::Body& body) {
  std::vector<MessageId> ids;
  for (const std::string& text : TRY(body.list("messages", kReceiveMax))) ids.push_back(TRY(parse_message_id(text)));
  if (ids.empty()) return fail(Code::kInvalid, "\"messages\" names none");
  return ids;
}

}  // namespace

// Who works on a queue reads the topic, and reads as the group of the queue's name.
Result<QueueOptions> Face::queue_of(const http::Request& request, systems::Body& body) const {
  QueueOptions options;
  options.name = std::string(request.param("queue"));
  options.topic = TRY(body.text("topic"));
  TRY(topic_of(request, options.topic, Operation::kRead));
  TRY(may(request, ResourceType::kGroup, options.name, Operation::kRead));
  const int64_t again_ms = TRY(body.number("redeliver_after_ms", 100, 86'400'000, 30'000));
  options.redeliver_after = std::chrono::milliseconds(again_ms);
  options.tries_max = static_cast<int32_t>(TRY(body.number("tries_max", 1, 1000, 5)));
  return options;
}

Face::Json Face::list_queues(http::Request& request) {
  CO_TRY(signed_in(request));
  const auto look = [this]() -> Task<std::vector<QueueDesk::Opened>> { co_return queues_.list(); };
  json::array queues;
  for (const QueueDesk::Opened& one : co_await io::on(home_, look)) {
    if (!may(request, ResourceType::kGroup, one.options.name, Operation::kDescribe)) continue;
    const auto again = std::chrono::duration_cast<std::chrono::milliseconds>(one.options.redeliver_after);
    queues.push_back(json::object{{"queue", one.options.name},
                                  {"topic", one.options.topic},
                                  {"redeliver_after_ms", again.count()},
                                  {"tries_max", one.options.tries_max},
                                  {"received", one.statistics.received},
                                  {"acknowledged", one.statistics.acknowledged},
                                  {"redelivered", one.statistics.redelivered},
                                  {"dead", one.statistics.dead},
                                  {"with_workers", one.statistics.with_workers},
                                  {"waiting_again", one.statistics.waiting_again}});
  }
  co_return json::serialize(json::object{{"queues", std::move(queues)}});
}

Face::Json Face::receive_from_queue(http::Request& request) {
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const QueueOptions options = CO_TRY(queue_of(request, body));
  const auto most = static_cast<size_t>(CO_TRY(body.number("most", 1, kReceiveMax, 1)));
  const Duration wait = std::chrono::milliseconds(CO_TRY(body.number("wait_ms", 0, kWaitMsMax, 0)));
  CO_TRY(body.finish());
  const auto work = [this, &options, most, wait]() -> Json {
    const QueueDesk::Use queue = CO_TRY(co_await queues_.use(options));
    json::array messages;
    for (const Message& message : CO_TRY(co_await queue->receive(most, wait)))
      messages.push_back(queue_message_json(message));
    co_return json::serialize(json::object{{"messages", std::move(messages)}});
  };
  co_return co_await io::on(home_, work);
}

Face::Json Face::acknowledge_in_queue(http::Request& request) {
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const QueueOptions options = CO_TRY(queue_of(request, body));
  const std::vector<MessageId> ids = CO_TRY(message_ids(body));
  CO_TRY(body.finish());
  const auto work = [this, &options, &ids]() -> Json {
    const QueueDesk::Use queue = CO_TRY(co_await queues_.use(options));
    CO_TRY(co_await queue->acknowledge(ids));
    co_return json::serialize(json::object{{"acknowledged", ids.size()}});
  };
  co_return co_await io::on(home_, work);
}

Face::Json Face::give_back_to_queue(http::Request& request) {
  systems::Body body = CO_TRY(co_await systems::Body::read(request));
  const QueueOptions options = CO_TRY(queue_of(request, body));
  const std::vector<MessageId> ids = CO_TRY(message_ids(body));
  CO_TRY(body.finish());
  const auto work = [this, &options, &ids]() -> Json {
    const QueueDesk::Use queue = CO_TRY(co_await queues_.use(options));
    for (const MessageId& id : ids) CO_TRY(queue->give_back(id));
    co_return json::serialize(json::object{{"given_back", ids.size()}});
  };
  co_return co_await io::on(home_, work);
}

}  // namespace polis::stream
