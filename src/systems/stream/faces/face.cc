#include "systems/stream/faces/face.h"

#include <map>

#include "systems/api.h"
#include "systems/stream/client/connection.h"

namespace polis::stream {

using http::Method;

Face::Face(FaceParts parts)
    : parts_(parts),
      broker_(parts.server.broker),
      home_(io::Shard::current()),
      queues_({.broker = parts.server.broker, .store = parts.store, .rows = parts.rows}) {}
Face::~Face() = default;

Task<void> Face::stop() {
  tasks_.stop();
  co_await tasks_.join();
  co_await queues_.stop();
}

void Face::mount(http::Router& router) {
  const auto path = [](std::string_view rest) { return "/api/stream/v1/" + std::string(rest); };
  const auto add = [&](Method method, std::string_view rest, Handler handler) {
    systems::mount(router, method, path(rest), "",
                   [this, handler](http::Request& request) { return (this->*handler)(request); });
  };
  const auto plan = [&](Method method, std::string_view rest, Drafter drafter) {
    systems::mount_plan(router, method, path(rest), "", parts_.plans,
                        [this, drafter](http::Request& request) { return (this->*drafter)(request); });
  };
  using enum Method;
  add(kGet, "topics", &Face::list_topics);
  add(kPost, "topics", &Face::create_topic);
  add(kGet, "topics/{topic}", &Face::show_topic);
  add(kPatch, "topics/{topic}", &Face::change_topic);
  plan(kDelete, "topics/{topic}", &Face::plan_topic_removal);
  plan(kPost, "topics/{topic}/delete-records", &Face::plan_record_removal);
  add(kGet, "cluster", &Face::cluster);

  add(kGet, "groups", &Face::list_groups);
  add(kGet, "groups/{group}", &Face::show_group);
  plan(kPost, "groups/{group}/reset", &Face::plan_group_reset);
  plan(kDelete, "groups/{group}", &Face::plan_group_removal);
  add(kGet, "txns", &Face::list_transactions);
  plan(kPost, "txns/{id}/abort", &Face::plan_transaction_abort);

  add(kGet, "messages", &Face::messages);
  add(kPost, "messages", &Face::append_message);
  add(kGet, "duplicates", &Face::duplicates);

  add(kGet, "queues", &Face::list_queues);
  add(kPost, "queues/{queue}/receive", &Face::receive_from_queue);
  add(kPost, "queues/{queue}/acknowledge", &Face::acknowledge_in_queue);
  add(kPost, "queues/{queue}/give-back", &Face::give_back_to_queue);

  add(kGet, "acls", &Face::list_rules);
  add(kPost, "acls", &Face::add_rule);
  plan(kPost, "acls/remove", &Face::plan_rule_removal);
  add(kGet, "users", &Face::list_users);
  add(kPut, "users/{user}", &Face::put_user);
  plan(kDelete, "users/{user}", &Face::plan_user_removal);
  add(kGet, "quotas", &Face::list_quotas);
  add(kPost, "quotas", &Face::set_quota);

  add(kGet, "path", &Face::path_lab);
  add(kPost, "path", &Face::start_path_lab);
}

Result<void> Face::declare_topics(systems::LiveTopics& topics) {
  TRY(topics.declare({.name = "stream.live",
                      .action = "stream:Describe",
                      .interval = std::chrono::milliseconds(250),
                      .sample = [this] { return live(); }}));
  TRY(topics.declare({.name = "stream.groups",
                      .action = "stream:Describe",
                      .interval = std::chrono::milliseconds(500),
                      .sample = [this] { return live_groups(); }}));
  return topics.declare({.name = "stream.path",
                         .action = "stream:Describe",
                         .interval = std::chrono::milliseconds(500),
                         .sample = [this]() -> Json { co_return path_lab_json(); }});
}

// --- rights

Result<void> outcome(const Refusal& refusal, std::string_view what) {
  return check(static_cast<int16_t>(refusal.code), what, refusal.message);
}

Result<void> signed_in(const http::Request& request) {
  if (systems::principal(request)->anonymous())
    return fail(Code::kUnauthenticated, "sign in first, or send a bearer token");
  return {};
}

Identity identity_of(const http::Request& request) {
  const auth::PrincipalPtr& who = systems::principal(request);
  return {.name = principal_name(*who),
          .host = request.peer().address,
          .principal = who,
          .plain_door = false,
          .encrypted = request.encrypted()};
}

Task<void> Face::record(const http::Request& request, std::string action, std::string resource) {
  auth::AuditLog& audit = parts_.server.auth.audit();
  // The change is made and durable; a full audit log is told by its own health.
  static_cast<void>(co_await audit.record(audit.describe(systems::actor(request), action, resource)));
}

Result<void> Face::may(const http::Request& request, ResourceType type, std::string_view name,
                       Operation operation) const {
  TRY(signed_in(request));
  const Identity identity = identity_of(request);
  if (parts_.server.access.allowed(identity, type, name, operation)) return {};
  return fail(Code::kDenied, identity.name + " may not do that to " + std::string(name));
}

std::shared_ptr<const Topic> Face::find(std::string_view name) const {
  for (const std::shared_ptr<const Topic>& topic : broker_.topics.table()->all())
    if (topic->name == name) return topic;
  return nullptr;
}

Result<std::shared_ptr<const Topic>> Face::topic_of(const http::Request& request, std::string_view name,
                                                    Operation operation) const {
  TRY(signed_in(request));
  std::shared_ptr<const Topic> topic = find(name);
  if (!topic || !may(request, ResourceType::kTopic, name, Operation::kDescribe))
    return fail(Code::kNotFound, "there is no topic " + std::string(name));
  if (operation != Operation::kDescribe) TRY(may(request, ResourceType::kTopic, name, operation));
  return topic;
}

// --- pictures

namespace {

// A look takes about a microsecond; other requests of the shard are served in between.
constexpr size_t kLooksATurn = 256;

struct PictureWork {
  Topics* topics = nullptr;
  struct Item {
    const Topic* topic = nullptr;
    int32_t partition = 0;
    PartitionStatistics statistics;
    std::string error;
  };
  std::vector<Item> items;
};

// On the partitions' shard.
Task<void> look(PictureWork& work) {
  for (size_t at = 0; at < work.items.size(); ++at) {
    if (at % kLooksATurn == kLooksATurn - 1) co_await io::yield();
    PictureWork::Item& item = work.items[at];
    const std::shared_ptr<Partition> open = work.topics->open_partition(*item.topic, item.partition);
    if (!open) {
      item.error = work.topics->why_closed(*item.topic, item.partition).text();
      continue;
    }
    item.statistics = open->statistics();
    if (const std::optional<Error>& failure = open->failure()) item.error = failure->text();
  }
}

}  // namespace

Task<std::vector<Face::PartitionPicture>> Face::pictures(std::vector<std::shared_ptr<const Topic>> topics,
                                                         size_t limit) {
  std::vector<PartitionPicture> found;
  std::map<unsigned, PictureWork> by_shard;
  std::map<unsigned, std::vector<size_t>> places;
  for (const std::shared_ptr<const Topic>& topic : topics)
    for (int32_t partition = 0; partition < topic->partitions && found.size() < limit; ++partition) {
      const unsigned shard = broker_.topics.shard_of(*topic, partition).index();
      PictureWork& work = by_shard[shard];
      work.topics = &broker_.topics;
      work.items.push_back({.topic = topic.get(), .partition = partition, .statistics = {}, .error = {}});
      places[shard].push_back(found.size());
      found.push_back({.topic = topic, .partition = partition, .statistics = {}, .error = {}});
    }
  for (auto& [shard, work] : by_shard) {
    const auto there = [&work] { return look(work); };
    co_await io::on(broker_.runtime.shard(shard), there);
    for (size_t at = 0; at < work.items.size(); ++at) {
      PartitionPicture& picture = found[places[shard][at]];
      picture.statistics = work.items[at].statistics;
      picture.error = std::move(work.items[at].error);
    }
  }
  co_return found;
}

}  // namespace polis::stream
