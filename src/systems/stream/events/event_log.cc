#include "systems/stream/events/event_log.h"

#include "systems/stream/events/refusals.h"

namespace polis::stream {

Task<Result<std::shared_ptr<const TopicTable>>> EventLog::ensure_topic(NewTopic topic) {
  const std::string name = topic.name;
  if (!broker_.topics.table()->find(name)) {
    const Refusal made = co_await broker_.topics.create(std::move(topic), false);
    if (!made.ok() && made.code != ErrorCode::kTopicAlreadyExists) co_return fail(error_of(made, name));
  }
  co_return broker_.topics.table();
}

Task<Result<std::unique_ptr<Producer>>> EventLog::producer(ProducerOptions options) {
  return Producer::open(broker_, std::move(options));
}

Task<Result<std::unique_ptr<Consumer>>> EventLog::consumer(ConsumerOptions options) {
  return Consumer::open(broker_, std::move(options));
}

}  // namespace polis::stream
