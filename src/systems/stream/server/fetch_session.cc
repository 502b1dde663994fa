#include "systems/stream/server/fetch_session.h"

namespace polis::stream {
namespace {

FetchTarget target_of(const FetchRequest::FetchTopic& topic, const FetchRequest::FetchTopic::FetchPartition& one) {
  return {.topic = std::string(topic.topic),
          .topic_id = topic.topic_id,
          .partition = one.partition,
          .current_leader_epoch = one.current_leader_epoch,
          .last_fetched_epoch = one.last_fetched_epoch,
          .fetch_offset = one.fetch_offset,
          .bytes_max = one.partition_max_bytes};
}

}  // namespace

std::list<FetchTarget> targets_of(const FetchRequest& request) {
  std::list<FetchTarget> targets;
  for (const auto& topic : request.topics)
    for (const auto& one : topic.partitions) targets.push_back(target_of(topic, one));
  return targets;
}

FetchSession::Key FetchSession::key(std::string_view topic, const Uuid& id, int32_t partition) {
  // A name never begins with a zero byte.
  std::string name(topic);
  if (name.empty()) name.append(1, '\0').append(as_text(BytesView(id.bytes)));
  return {std::move(name), partition};
}

void FetchSession::advance() {
  next_epoch_ = next_epoch_ == INT32_MAX ? 1 : next_epoch_ + 1;
}

void FetchSession::update(const FetchRequest& request) {
  for (const auto& topic : request.topics) {
    for (const auto& one : topic.partitions) {
      FetchTarget target = target_of(topic, one);
      const auto [place, fresh] = by_name_.try_emplace(key(topic.topic, topic.topic_id, one.partition));
      if (fresh) {
        place->second = targets_.insert(targets_.end(), std::move(target));
      } else {
        target.high_watermark = place->second->high_watermark;
        target.log_start_offset = place->second->log_start_offset;
        *place->second = std::move(target);
      }
    }
  }
  for (const auto& topic : request.forgotten_topics_data) {
    for (const int32_t partition : topic.partitions) {
      const auto found = by_name_.find(key(topic.topic, topic.topic_id, partition));
      if (found == by_name_.end()) continue;
      targets_.erase(found->second);
      by_name_.erase(found);
    }
  }
}

}  // namespace polis::stream
