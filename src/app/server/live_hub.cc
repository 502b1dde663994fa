#include "app/server/live_hub.h"

#include <boost/json.hpp>
#include <fmt/format.h>

namespace polis::app {
namespace {

namespace json = boost::json;

json::object difference(const json::object& from, const json::object& to) {
  json::object patch;
  for (const auto& member : from)
    if (!to.contains(member.key())) patch[member.key()] = nullptr;
  for (const auto& member : to) {
    const json::value* old = from.if_contains(member.key());
    if (old && *old == member.value()) continue;
    if (old && old->is_object() && member.value().is_object())
      patch[member.key()] = difference(old->get_object(), member.value().get_object());
    else
      patch[member.key()] = member.value();
  }
  return patch;
}

Result<json::object> parse_object(std::string_view text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) return fail(Code::kInvalid, "a live sample is not a JSON object");
  return std::move(value.get_object());
}

std::string frame_of(std::string_view op, std::string_view topic, uint64_t sequence, int64_t at_ms,
                     std::string_view member, std::string_view text) {
  // The value is JSON already and is set in as it stands.
  return fmt::format(R"({{"op":"{}","topic":{},"seq":{},"at_ms":{},"{}":{}}})", op,
                     json::serialize(json::string(topic)), sequence, at_ms, member, text);
}

}  // namespace

Result<std::string> merge_patch(std::string_view from, std::string_view to) {
  json::object patch = difference(TRY(parse_object(from)), TRY(parse_object(to)));
  return patch.empty() ? std::string() : json::serialize(patch);
}

LiveHub::~LiveHub() {
  POLIS_ASSERT(samplers_.running() == 0);
}

Result<void> LiveHub::declare(systems::LiveTopic topic) {
  POLIS_ASSERT(topic.interval >= std::chrono::milliseconds(50) && topic.interval <= std::chrono::seconds(60) &&
               topic.sample);
  std::string name = topic.name;
  auto entry = std::make_unique<Topic>();
  entry->declared = std::move(topic);
  if (!topics_.try_emplace(name, std::move(entry)).second)
    return fail(Code::kExists, fmt::format("the live topic '{}' is declared twice", name));
  return {};
}

const systems::LiveTopic* LiveHub::find(std::string_view topic) const {
  auto at = topics_.find(topic);
  return at == topics_.end() ? nullptr : &at->second->declared;
}

std::vector<std::string> LiveHub::topic_names() const {
  std::vector<std::string> names;
  for (const auto& [name, topic] : topics_) names.push_back(name);
  return names;
}

Result<LiveHub::SubscriberId> LiveHub::connect() {
  if (stopping_) return fail(Code::kClosed, "polis is stopping");
  if (subscribers_.size() >= kSubscribersMax)
    return fail(Code::kBusy, fmt::format("{} live connections are open: close a console page", kSubscribersMax));
  subscribers_.emplace(++last_id_, std::make_shared<Subscriber>());
  return last_id_;
}

void LiveHub::disconnect(SubscriberId id) {
  auto at = subscribers_.find(id);
  if (at == subscribers_.end()) return;
  for (const auto& [name, subscription] : at->second->subscriptions) --topics_.find(name)->second->subscribers;
  at->second->gone = true;
  at->second->wake.set();
  subscribers_.erase(at);
}

Result<void> LiveHub::subscribe(SubscriberId id, const std::string& name) {
  auto at = subscribers_.find(id);
  if (at == subscribers_.end()) return fail(Code::kClosed, "the live connection is closed");
  auto found = topics_.find(name);
  if (found == topics_.end()) return fail(Code::kNotFound, fmt::format("no live topic '{}'", name));
  Subscriber& subscriber = *at->second;
  Topic& topic = *found->second;
  if (subscriber.subscriptions.contains(name)) return {};
  if (subscriber.subscriptions.size() >= kTopicsPerSubscriberMax)
    return fail(Code::kTooLarge, fmt::format("a connection subscribes to at most {} topics", kTopicsPerSubscriberMax));
  Subscription& subscription = subscriber.subscriptions[name];
  ++topic.subscribers;
  if (topic.sampling) {
    deliver(topic, subscriber, subscription);
  } else if (!stopping_) {
    // The last sample is from when somebody last looked: start afresh.
    topic.value.clear();
    topic.error.clear();
    topic.sampling = true;
    samplers_.spawn(sample(&topic));
  }
  return {};
}

void LiveHub::unsubscribe(SubscriberId id, const std::string& name) {
  auto at = subscribers_.find(id);
  if (at == subscribers_.end() || at->second->subscriptions.erase(name) == 0) return;
  --topics_.find(name)->second->subscribers;
}

void LiveHub::acknowledge(SubscriberId id, const std::string& name, uint64_t sequence) {
  auto at = subscribers_.find(id);
  if (at == subscribers_.end()) return;
  auto subscription = at->second->subscriptions.find(name);
  if (subscription == at->second->subscriptions.end()) return;
  Subscription& mine = subscription->second;
  // An acknowledgement of the future is a client's mistake and changes nothing.
  if (sequence > mine.sequence || sequence <= mine.acknowledged) return;
  mine.acknowledged = sequence;
  deliver(*topics_.find(name)->second, *at->second, mine);
}

Task<Result<std::vector<std::string>>> LiveHub::next(SubscriberId id) {
  auto at = subscribers_.find(id);
  if (at == subscribers_.end()) co_return fail(Code::kClosed, "the live connection is closed");
  std::shared_ptr<Subscriber> subscriber = at->second;
  while (subscriber->frames.empty() && !subscriber->gone) {
    subscriber->wake.reset();
    CO_TRY(co_await subscriber->wake.wait());
  }
  if (subscriber->gone) co_return fail(Code::kClosed, "the live connection is closed");
  std::vector<std::string> frames(std::make_move_iterator(subscriber->frames.begin()),
                                  std::make_move_iterator(subscriber->frames.end()));
  subscriber->frames.clear();
  co_return frames;
}

Task<void> LiveHub::stop() {
  stopping_ = true;
  while (!subscribers_.empty()) disconnect(subscribers_.begin()->first);
  samplers_.stop();
  co_await samplers_.join();
}

Task<void> LiveHub::sample(Topic* topic) {
  while (topic->subscribers > 0 && !stopping_) {
    Result<std::string> value = co_await topic->declared.sample();
    if (value && value->size() > kSampleSizeBytesMax)
      value = fail(Code::kTooLarge, fmt::format("the picture of '{}' has {} bytes, more than {}", topic->declared.name,
                                                value->size(), kSampleSizeBytesMax));
    if (value) {
      topic->value = std::move(*value);
      topic->error.clear();
    } else {
      topic->error = value.error().text();
    }
    std::vector<SubscriberId> too_slow;
    for (auto& [id, subscriber] : subscribers_) {
      auto subscription = subscriber->subscriptions.find(topic->declared.name);
      if (subscription == subscriber->subscriptions.end()) continue;
      deliver(*topic, *subscriber, subscription->second);
      const Subscription& mine = subscription->second;
      if (mine.sequence - mine.acknowledged >= kUnacknowledgedMax && clock_.steady() - mine.stalled_since > kSilenceMax)
        too_slow.push_back(id);
    }
    for (SubscriberId id : too_slow) disconnect(id);
    if (!co_await io::sleep_for(topic->declared.interval)) break;
  }
  topic->sampling = false;
}

void LiveHub::deliver(Topic& topic, Subscriber& subscriber, Subscription& subscription) {
  const std::string& name = topic.declared.name;
  if (!topic.error.empty()) {
    if (subscription.error == topic.error) return;
    subscription.error = topic.error;
    push(subscriber, json::serialize(json::object{
                         {"op", "error"}, {"topic", name}, {"code", "unavailable"}, {"message", topic.error}}));
    return;
  }
  if (topic.value.empty() || subscription.sent == topic.value) return;
  if (subscription.sequence - subscription.acknowledged >= kUnacknowledgedMax) return;
  int64_t at_ms = base::milliseconds_since_epoch(clock_.wall());
  std::string frame;
  if (subscription.sent.empty()) {
    frame = frame_of("snapshot", name, subscription.sequence + 1, at_ms, "value", topic.value);
  } else {
    Result<std::string> patch = merge_patch(subscription.sent, topic.value);
    if (!patch) {
      topic.error = patch.error().text();
      return;
    }
    if (patch->empty()) return;
    frame = frame_of("delta", name, subscription.sequence + 1, at_ms, "patch", *patch);
  }
  subscription.sent = topic.value;
  subscription.error.clear();
  ++subscription.sequence;
  if (subscription.sequence - subscription.acknowledged >= kUnacknowledgedMax)
    subscription.stalled_since = clock_.steady();
  push(subscriber, std::move(frame));
}

void LiveHub::push(Subscriber& subscriber, std::string frame) {
  // Errors are not acknowledged: the bound on unread frames is this one.
  if (subscriber.frames.size() < kFramesMax) subscriber.frames.push_back(std::move(frame));
  subscriber.wake.set();
}

}  // namespace polis::app
