// Face: the event log over JSON, below /api/stream/v1 on the main port, and what the console sees move. README.md lists
// every path. Who asks was proved before a handler runs (app); what he may do is judged by the same rules as on the
// protocol's doors (server/access.h), so a Deny holds here, too.
//
// Made, started and stopped on shard 0; handlers run on every shard and hop to where the state lives.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/http/request.h"
#include "kernel/http/router.h"
#include "systems/body.h"
#include "systems/live.h"
#include "systems/plan.h"
#include "systems/stream/faces/path_lab.h"
#include "systems/stream/faces/queue_desk.h"
#include "systems/stream/server/call.h"

namespace polis::stream {

// All of it outlives the Face.
struct FaceParts {
  ServerParts& server;
  systems::Plans& plans;
  obs::Registry& metrics;
  const Clock& clock;
  // Where queues keep what is with their workers.
  store::Store& store;
  store::Keyspace rows;
};

// What one answer of messages may read of the log, and how many records it shows.
inline constexpr uint64_t kMessagesBytesMax = uint64_t{8} << 20;
inline constexpr uint64_t kMessagesMax = 500;
// Of a key, value or header as the console shows them; longer ones are cut and say so.
inline constexpr size_t kShownBytesMax = size_t{16} << 10;
// Of one record; and of all that one answer shows.
inline constexpr size_t kShownHeadersMax = 20, kShownNameBytesMax = 255;
inline constexpr uint64_t kShownTotalBytesMax = uint64_t{4} << 20;
// Records that a search for duplicates looks at.
inline constexpr uint64_t kDuplicatesLookedAtMax = 100'000;
inline constexpr uint64_t kDuplicateKeyBytesMax = uint64_t{64} << 20;
// Partitions and groups that the live picture holds: a sample of a live topic ends at 256 KiB.
inline constexpr size_t kLivePartitionsMax = 400, kLiveTopicsMax = 100, kLiveGroupsMax = 50, kLivePositionsMax = 800;
// Topics and groups of one page of a list.
inline constexpr size_t kListMax = 10'000;

class Face {
 public:
  explicit Face(FaceParts parts);
  ~Face();

  // During start of the system, once.
  void mount(http::Router& router);
  Result<void> declare_topics(systems::LiveTopics& topics);
  // Before the broker closes, when no handler runs any more.
  Task<void> stop();

 private:
  using Json = Task<Result<std::string>>;
  using Draft = Task<Result<systems::PlanDraft>>;
  using Handler = Json (Face::*)(http::Request& request);
  using Drafter = Draft (Face::*)(http::Request& request);

  // One partition as it stands.
  struct PartitionPicture {
    std::shared_ptr<const Topic> topic;
    int32_t partition = 0;
    PartitionStatistics statistics;
    std::string error;  // why it is not open
  };
  // Of all partitions of these topics, in their order, at most `limit`.
  Task<std::vector<PartitionPicture>> pictures(std::vector<std::shared_ptr<const Topic>> topics, size_t limit);
  std::shared_ptr<const Topic> find(std::string_view name) const;
  // kUnauthenticated, kDenied.
  Result<void> may(const http::Request& request, ResourceType type, std::string_view name, Operation operation) const;
  // Leaves an audit record of a change that was made.
  Task<void> record(const http::Request& request, std::string action, std::string resource);
  // The topic named by the path or by the query "topic", if it exists and who asks may do this; what he may not even
  // see is not there.
  Result<std::shared_ptr<const Topic>> topic_of(const http::Request& request, std::string_view name,
                                                Operation operation) const;

  // --- face_topics.cc
  Json list_topics(http::Request& request);
  Json create_topic(http::Request& request);
  Json show_topic(http::Request& request);
  Json change_topic(http::Request& request);
  Draft plan_topic_removal(http::Request& request);
  Draft plan_record_removal(http::Request& request);
  Task<Result<std::string>> topic_json(std::shared_ptr<const Topic> topic);
  Json cluster(http::Request& request);

  // --- face_groups.cc
  Json list_groups(http::Request& request);
  Json show_group(http::Request& request);
  Draft plan_group_reset(http::Request& request);
  Draft plan_group_removal(http::Request& request);
  Json list_transactions(http::Request& request);
  Draft plan_transaction_abort(http::Request& request);
  struct Position {
    std::string topic;
    int32_t partition = 0;
    Offset committed = -1;
    std::string metadata;
  };
  Task<Result<std::vector<Position>>> positions(std::string group);

  // --- face_messages.cc
  Json messages(http::Request& request);
  Json duplicates(http::Request& request);
  Json append_message(http::Request& request);

  // --- face_queues.cc
  Result<QueueOptions> queue_of(const http::Request& request, systems::Body& body) const;
  Json list_queues(http::Request& request);
  Json receive_from_queue(http::Request& request);
  Json acknowledge_in_queue(http::Request& request);
  Json give_back_to_queue(http::Request& request);

  // --- face_access.cc
  Json list_rules(http::Request& request);
  Json add_rule(http::Request& request);
  Draft plan_rule_removal(http::Request& request);
  Json list_users(http::Request& request);
  Json put_user(http::Request& request);
  Draft plan_user_removal(http::Request& request);
  Json list_quotas(http::Request& request);
  Json set_quota(http::Request& request);

  // --- face_live.cc
  Json live();
  Json live_groups();
  Json path_lab(http::Request& request);
  Json start_path_lab(http::Request& request);
  std::string path_lab_json() const;
  Task<void> run_path_lab(std::shared_ptr<const Topic> topic, int32_t partition, uint64_t bytes);

  const FaceParts parts_;
  Broker& broker_;
  io::Shard& home_;
  PathLab lab_;       // on the home shard
  QueueDesk queues_;  // on the home shard
  io::TaskGroup tasks_;
};

// Offsets go out as texts: a JSON reader may hold numbers as doubles.
inline std::string digits(Offset offset) {
  return std::to_string(offset);
}
// As the access rules know who asks.
Identity identity_of(const http::Request& request);
// kUnauthenticated for who has not proved who he is.
Result<void> signed_in(const http::Request& request);
// A refusal of the broker as an Error.
Result<void> outcome(const Refusal& refusal, std::string_view what);

}  // namespace polis::stream
