#include "systems/stream/broker/group.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "kernel/sim/seeds.h"
#include "systems/stream/protocol/wire.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

ErrorCode code(int16_t number) {
  return static_cast<ErrorCode>(number);
}

Bytes subscription(std::initializer_list<std::string_view> topics) {
  Bytes bytes;
  Encoder out(bytes);
  out.field(int16_t{0});
  out.length(topics.size(), 4);
  for (const std::string_view topic : topics) out.field(topic);
  out.length(std::nullopt, 4);
  return bytes;
}

struct Joining {
  std::string member = {};
  std::optional<std::string> instance = {};
  int16_t version = 5;
  int32_t session_ms = 10'000, rebalance_ms = 60'000;
  std::vector<std::string> protocols = {"range"};
  std::string type = "consumer";
  Bytes metadata = subscription({"orders"});
};

// One group, a clock, and the requests as short calls. Texts live as long as the fixture.
class GroupTest : public testing::Test {
 public:
  struct Answer {
    std::optional<JoinGroupResponse> join;
    std::optional<SyncGroupResponse> sync;
    ErrorCode error() const { return code(join ? join->error_code : sync->error_code); }
    bool given() const { return join || sync; }
  };
  using AnswerPtr = std::shared_ptr<Answer>;

  AnswerPtr join(Joining joining) {
    auto answer = std::make_shared<Answer>();
    JoinGroupRequest request{.group_id = "g",
                             .session_timeout_ms = joining.session_ms,
                             .rebalance_timeout_ms = joining.rebalance_ms,
                             .member_id = joining.member,
                             .group_instance_id = {},
                             .protocol_type = joining.type,
                             .protocols = {},
                             .reason = {}};
    if (joining.instance) request.group_instance_id = *joining.instance;
    for (const auto& protocol : joining.protocols) request.protocols.push_back({protocol, joining.metadata});
    group->join(now, request, {.client_id = "c", .client_host = "/h", .version = joining.version},
                [answer](JoinGroupResponse response) {
                  EXPECT_FALSE(answer->join) << "answered twice";
                  answer->join = std::move(response);
                });
    return answer;
  }
  // Asks for an id first, as clients since version 4 do.
  std::pair<std::string, AnswerPtr> join_new(Joining joining = {}) {
    const AnswerPtr first = join(joining);
    EXPECT_TRUE(first->join);
    EXPECT_EQ(first->error(), ErrorCode::kMemberIdRequired);
    joining.member = first->join->member_id;
    return {joining.member, join(joining)};
  }
  AnswerPtr sync(const std::string& member, int32_t generation,
                 const std::map<std::string, std::string>& assignments = {}, std::optional<std::string> instance = {}) {
    auto answer = std::make_shared<Answer>();
    SyncGroupRequest request{.group_id = "g",
                             .generation_id = generation,
                             .member_id = member,
                             .group_instance_id = {},
                             .protocol_type = {},
                             .protocol_name = {},
                             .assignments = {}};
    if (instance) request.group_instance_id = *instance;
    for (const auto& [id, text] : assignments) request.assignments.push_back({id, as_bytes(text)});
    group->sync(now, request, [answer](SyncGroupResponse response) {
      EXPECT_FALSE(answer->sync) << "answered twice";
      answer->sync = std::move(response);
    });
    return answer;
  }
  ErrorCode heartbeat(const std::string& member, int32_t generation, std::optional<std::string> instance = {}) {
    HeartbeatRequest request{
        .group_id = "g", .generation_id = generation, .member_id = member, .group_instance_id = {}};
    if (instance) request.group_instance_id = *instance;
    return code(group->heartbeat(now, request).error_code);
  }
  LeaveGroupResponse leave(const std::string& member, std::optional<std::string> instance = {}) {
    LeaveGroupRequest request{.group_id = "g", .member_id = {}, .members = {{member, {}, {}}}};
    if (instance) request.members[0].group_instance_id = *instance;
    return group->leave(now, request, 3);
  }
  void pass(Duration duration) {
    for (const SteadyTime end = now + duration;;) {
      const auto next = group->next_tick();
      if (!next || *next > end) {
        now = end;
        return;
      }
      now = std::max(now, *next);
      group->tick(now);
      const auto after = group->next_tick();
      ASSERT_TRUE(!after || *after > now) << "a tick leaves work that is due";
    }
  }
  // A stable group of so many members; the first leads.
  std::vector<std::string> stable(size_t count, std::optional<std::string> instance_of_last = {}) {
    std::vector<std::string> ids;
    std::vector<AnswerPtr> answers;
    for (size_t i = 0; i < count; ++i) {
      Joining joining;
      if (i + 1 == count && instance_of_last) {
        joining.instance = instance_of_last;
        answers.push_back(join(joining));
        ids.emplace_back();
      } else {
        auto [id, answer] = join_new();
        ids.push_back(id);
        answers.push_back(answer);
      }
      for (size_t j = 0; i > 0 && j < i; ++j) answers[j] = join({.member = ids[j]});
      if (i + 1 == count && instance_of_last) ids[i] = answers[i]->join->member_id;
    }
    for (const auto& answer : answers) EXPECT_EQ(answer->error(), ErrorCode::kNone);
    std::map<std::string, std::string> assignments;
    for (const auto& id : ids) assignments[id] = "for " + id;
    const std::string leader = answers[0]->join->leader;
    std::vector<AnswerPtr> synced;
    for (const auto& id : ids)
      if (id != leader) synced.push_back(sync(id, group->generation()));
    synced.push_back(sync(leader, group->generation(), assignments));
    for (const auto& answer : synced) EXPECT_TRUE(answer->given() && answer->error() == ErrorCode::kNone);
    EXPECT_EQ(group->state(), GroupState::kStable);
    return ids;
  }

  base::SeededRandom random{7};
  SteadyTime now{1h};
  std::unique_ptr<Group> group = std::make_unique<Group>("g", GroupLimits{}, random);
};

TEST_F(GroupTest, the_first_member_leads_and_gets_what_it_assigns_itself) {
  EXPECT_EQ(group->state(), GroupState::kEmpty);
  auto [id, answer] = join_new();
  ASSERT_TRUE(answer->given());
  EXPECT_EQ(answer->error(), ErrorCode::kNone);
  EXPECT_EQ(answer->join->generation_id, 1);
  EXPECT_EQ(answer->join->leader, id);
  ASSERT_EQ(answer->join->members.size(), 1u);
  EXPECT_EQ(answer->join->members[0].metadata, subscription({"orders"}));
  EXPECT_EQ(group->state(), GroupState::kCompletingRebalance);
  EXPECT_EQ(group->changes(), 0u);
  const AnswerPtr synced = sync(id, 1, {{id, "all"}});
  EXPECT_EQ(as_text(synced->sync->assignment), "all");
  EXPECT_EQ(group->state(), GroupState::kStable);
  EXPECT_EQ(group->changes(), 1u);
}

TEST_F(GroupTest, a_new_member_makes_the_others_join_again) {
  const auto ids = stable(1);
  auto [second, answer] = join_new();
  EXPECT_FALSE(answer->given());
  EXPECT_EQ(heartbeat(ids[0], 1), ErrorCode::kRebalanceInProgress);
  const AnswerPtr again = join({.member = ids[0]});
  ASSERT_TRUE(answer->given());
  ASSERT_TRUE(again->given());
  EXPECT_EQ(answer->join->generation_id, 2);
  EXPECT_EQ(again->join->leader, ids[0]);
  EXPECT_EQ(again->join->members.size(), 2u);
  EXPECT_TRUE(answer->join->members.empty()) << "only the leader assigns";
  const AnswerPtr waits = sync(second, 2);
  EXPECT_FALSE(waits->given());
  (void)sync(ids[0], 2, {{ids[0], "a"}, {second, "b"}});
  ASSERT_TRUE(waits->given());
  EXPECT_EQ(as_text(waits->sync->assignment), "b");
}

TEST_F(GroupTest, who_does_not_join_again_in_time_is_gone) {
  const auto ids = stable(2);
  auto [third, answer] = join_new();
  const AnswerPtr again = join({.member = ids[0]});
  for (int i = 0; i < 59; ++i) {
    pass(1s);
    EXPECT_EQ(heartbeat(ids[1], 2), ErrorCode::kRebalanceInProgress);
    EXPECT_FALSE(answer->given());
  }
  pass(2s);
  ASSERT_TRUE(answer->given());
  EXPECT_EQ(again->join->members.size(), 2u);
  EXPECT_EQ(heartbeat(ids[1], 3), ErrorCode::kUnknownMemberId);
}

TEST_F(GroupTest, a_member_without_a_sign_of_life_is_taken_out) {
  const auto ids = stable(2);
  pass(9s);
  EXPECT_EQ(heartbeat(ids[0], group->generation()), ErrorCode::kNone);
  pass(2s);
  EXPECT_EQ(group->state(), GroupState::kPreparingRebalance);
  EXPECT_EQ(heartbeat(ids[1], 2), ErrorCode::kUnknownMemberId);
  pass(10min);
  EXPECT_EQ(group->state(), GroupState::kEmpty);
  EXPECT_EQ(group->members(), 0u);
  EXPECT_FALSE(group->next_tick()) << "an empty group costs no timer";
}

TEST_F(GroupTest, a_join_of_version_0_has_its_session_as_rebalance_timeout) {
  const AnswerPtr old = join({.version = 0, .session_ms = 6000, .rebalance_ms = -1});
  ASSERT_TRUE(old->given());
  EXPECT_EQ(old->error(), ErrorCode::kNone) << "it is not asked to come again with an id";
  (void)sync(old->join->member_id, 1, {{old->join->member_id, "all"}});
  const AnswerPtr second = join({.version = 0, .session_ms = 6000, .rebalance_ms = -1});
  pass(5s);
  EXPECT_FALSE(second->given());
  (void)heartbeat(old->join->member_id, 1);
  pass(2s);
  EXPECT_TRUE(second->given());
}

TEST_F(GroupTest, a_member_with_a_name_comes_back_without_a_rebalance_and_fences_its_former_self) {
  const auto ids = stable(2, "printer");
  const int32_t generation = group->generation();
  const uint64_t changes = group->changes();
  const AnswerPtr back = join({.member = "", .instance = "printer"});
  ASSERT_TRUE(back->given());
  EXPECT_EQ(back->error(), ErrorCode::kNone);
  EXPECT_EQ(back->join->generation_id, generation);
  EXPECT_NE(back->join->member_id, ids[1]);
  EXPECT_EQ(group->state(), GroupState::kStable);
  EXPECT_GT(group->changes(), changes) << "the new id is to be stored";
  const AnswerPtr synced = sync(back->join->member_id, generation, {}, "printer");
  EXPECT_EQ(as_text(synced->sync->assignment), "for " + ids[1]);
  EXPECT_EQ(heartbeat(ids[1], generation, "printer"), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(group->may_commit(now, ids[1], "printer", generation, false), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(group->may_commit(now, ids[1], "printer", generation, true), ErrorCode::kFencedInstanceId);
  EXPECT_EQ(group->may_commit(now, back->join->member_id, "printer", generation, true), ErrorCode::kNone);
}

TEST_F(GroupTest, a_leader_with_a_name_that_comes_back_does_not_assign_again) {
  const AnswerPtr first = join({.instance = "a"});
  (void)sync(first->join->member_id, 1, {{first->join->member_id, "all"}}, "a");
  const AnswerPtr old_client = join({.instance = "a", .version = 8});
  EXPECT_EQ(old_client->join->leader, first->join->member_id) << "it must not believe that it leads";
  EXPECT_TRUE(old_client->join->members.empty());
  const AnswerPtr new_client = join({.instance = "a", .version = 9});
  EXPECT_EQ(new_client->join->leader, new_client->join->member_id);
  EXPECT_TRUE(new_client->join->skip_assignment);
  EXPECT_EQ(new_client->join->members.size(), 1u);
}

TEST_F(GroupTest, an_operator_removes_a_member_by_its_name) {
  (void)stable(2, "printer");
  const LeaveGroupResponse left = leave("", "printer");
  EXPECT_EQ(left.members[0].error_code, 0);
  EXPECT_EQ(group->state(), GroupState::kPreparingRebalance);
  EXPECT_EQ(code(leave("", "printer").members[0].error_code), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(code(leave("nobody").members[0].error_code), ErrorCode::kUnknownMemberId);
}

TEST_F(GroupTest, a_protocol_that_the_others_do_not_know_is_refused) {
  (void)stable(1);
  EXPECT_EQ(join({.protocols = {"sticky"}})->error(), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(join({.type = "connect"})->error(), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(join({.protocols = {}})->error(), ErrorCode::kInconsistentGroupProtocol);
  EXPECT_EQ(join({.protocols = {"sticky", "range"}})->error(), ErrorCode::kMemberIdRequired);
}

TEST_F(GroupTest, the_protocol_is_the_one_that_most_prefer_among_those_that_all_know) {
  auto [first, one] = join_new({.protocols = {"range", "roundrobin", "sticky"}});
  auto [second, two] = join_new({.protocols = {"roundrobin", "range"}});
  auto [third, three] = join_new({.protocols = {"sticky", "roundrobin", "range"}});
  one = join({.member = first, .protocols = {"range", "roundrobin", "sticky"}});
  ASSERT_TRUE(three->given());
  EXPECT_EQ(three->join->protocol_name, "roundrobin");
}

TEST_F(GroupTest, stale_generations_and_strangers_are_told_so) {
  const auto ids = stable(2);
  const int32_t generation = group->generation();
  EXPECT_EQ(heartbeat(ids[0], generation - 1), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(sync(ids[0], generation + 1)->error(), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(sync("nobody", generation)->error(), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(join({.member = "nobody"})->error(), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(join({.session_ms = 5999})->error(), ErrorCode::kInvalidSessionTimeout);
  EXPECT_EQ(join({.session_ms = 1'800'001})->error(), ErrorCode::kInvalidSessionTimeout);
  EXPECT_EQ(group->may_commit(now, ids[0], {}, generation, false), ErrorCode::kNone);
  EXPECT_EQ(group->may_commit(now, ids[0], {}, generation - 1, false), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(group->may_commit(now, ids[0], {}, generation - 1, true), ErrorCode::kIllegalGeneration);
  EXPECT_EQ(group->may_commit(now, "nobody", {}, generation, false), ErrorCode::kUnknownMemberId);
  EXPECT_EQ(group->may_commit(now, "", {}, -1, false), ErrorCode::kUnknownMemberId) << "the group has members";
  EXPECT_EQ(group->may_commit(now, "", {}, -1, true), ErrorCode::kNone) << "a transaction from before KIP-447";
}

TEST_F(GroupTest, offsets_wait_until_the_assignment_is_made) {
  auto [id, answer] = join_new();
  EXPECT_EQ(group->may_commit(now, id, {}, 1, false), ErrorCode::kRebalanceInProgress);
  (void)sync(id, 1);
  EXPECT_EQ(group->may_commit(now, id, {}, 1, false), ErrorCode::kNone);
  // While others join, a member may still save what it did.
  (void)join_new();
  EXPECT_EQ(group->state(), GroupState::kPreparingRebalance);
  EXPECT_EQ(group->may_commit(now, id, {}, 1, false), ErrorCode::kNone);
}

TEST_F(GroupTest, an_empty_group_takes_offsets_from_anybody) {
  EXPECT_EQ(group->may_commit(now, "", {}, -1, false), ErrorCode::kNone);
  EXPECT_EQ(group->may_commit(now, "someone", {}, 3, false), ErrorCode::kUnknownMemberId);
}

TEST_F(GroupTest, who_does_not_fetch_its_assignment_is_taken_out) {
  const auto ids = stable(1);
  auto [second, answer] = join_new();
  (void)join({.member = ids[0]});
  (void)sync(ids[0], 2, {{ids[0], "a"}});
  for (int i = 0; i < 31; ++i) {
    pass(2s);
    (void)heartbeat(ids[0], group->generation());
    (void)heartbeat(second, group->generation());
  }
  EXPECT_EQ(group->state(), GroupState::kPreparingRebalance);
  EXPECT_EQ(heartbeat(second, 2), ErrorCode::kUnknownMemberId);
}

TEST_F(GroupTest, a_full_group_takes_nobody) {
  GroupLimits limits;
  limits.members_max = 2;
  group = std::make_unique<Group>("g", limits, random);
  (void)stable(2);
  EXPECT_EQ(join({})->error(), ErrorCode::kGroupMaxSizeReached);
  EXPECT_EQ(group->members(), 2u);
}

TEST_F(GroupTest, ids_that_nobody_comes_back_with_are_forgotten) {
  (void)join({});
  EXPECT_EQ(group->pending_members(), 1u);
  pass(11s);
  EXPECT_EQ(group->pending_members(), 0u);
  EXPECT_FALSE(group->next_tick());
}

TEST_F(GroupTest, the_first_generation_waits_for_more_if_told_to) {
  GroupLimits limits;
  limits.initial_rebalance_delay = 3s;
  group = std::make_unique<Group>("g", limits, random);
  auto [first, one] = join_new();
  pass(2s);
  EXPECT_FALSE(one->given());
  auto [second, two] = join_new();
  pass(2s);
  EXPECT_FALSE(one->given()) << "somebody came: it waits once more";
  pass(2s);
  ASSERT_TRUE(one->given());
  EXPECT_EQ(one->join->members.size() + two->join->members.size(), 2u);
}

TEST_F(GroupTest, members_go_on_after_a_restart) {
  const auto ids = stable(3, "printer");
  const int32_t generation = group->generation();
  auto other = std::make_unique<Group>("g", GroupLimits{}, random);
  ASSERT_TRUE(other->restore(group->encode(1), now));
  std::swap(group, other);
  EXPECT_EQ(group->state(), GroupState::kStable);
  for (const auto& id : ids) EXPECT_EQ(heartbeat(id, generation), ErrorCode::kNone);
  EXPECT_EQ(as_text(sync(ids[1], generation)->sync->assignment), "for " + ids[1]);
  EXPECT_EQ(group->encode(1), other->encode(1));
  EXPECT_TRUE(group->subscribes_to("orders"));
  EXPECT_FALSE(group->subscribes_to("clicks"));
  pass(11s);
  EXPECT_EQ(heartbeat(ids[0], generation), ErrorCode::kUnknownMemberId) << "sessions begin anew, and end";
}

TEST_F(GroupTest, a_stored_generation_that_is_damaged_is_refused) {
  (void)stable(2);
  const Bytes whole = group->encode(1);
  for (size_t size = 0; size < whole.size(); ++size) {
    Group other("g", GroupLimits{}, random);
    EXPECT_FALSE(other.restore(BytesView(whole).first(size), now)) << size;
  }
  Bytes newer = whole;
  newer[1] = std::byte{9};
  Group other("g", GroupLimits{}, random);
  EXPECT_FALSE(other.restore(newer, now));
}

TEST_F(GroupTest, a_closed_group_answers_who_waits) {
  const auto ids = stable(1);
  auto [second, answer] = join_new();
  group->close();
  ASSERT_TRUE(answer->given());
  EXPECT_EQ(answer->error(), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(heartbeat(ids[0], 1), ErrorCode::kCoordinatorNotAvailable);
  EXPECT_EQ(join({})->error(), ErrorCode::kCoordinatorNotAvailable);
}

// --- many clients that behave like the real ones, and much that goes wrong

class Crowd {
 public:
  explicit Crowd(uint64_t seed) : random_(seed) {
    limits_.members_max = 1 + random_.below(12);
    if (random_.chance(1, 3)) limits_.initial_rebalance_delay = 3s;
    limits_.new_member_timeout = 60s;
    group_ = std::make_unique<Group>("g", limits_, random_);
    clients_.resize(1 + random_.below(9));
    for (size_t i = 0; i < clients_.size(); ++i) {
      Client& client = clients_[i];
      client.version = static_cast<int16_t>(random_.below(10));
      if (client.version >= 5 && random_.chance(1, 3)) client.instance = "static-" + std::to_string(i);
      client.session_ms = 6000 + static_cast<int32_t>(random_.below(20'000));
      client.rebalance_ms = client.version == 0 ? -1 : 5000 + static_cast<int32_t>(random_.below(30'000));
    }
  }

  void run() {
    for (int step = 0; step < 600 && !testing::Test::HasFailure(); ++step) {
      advance(Duration(std::chrono::milliseconds(random_.below(step % 50 == 0 ? 30'000 : 1500))));
      Client& client = clients_[random_.below(clients_.size())];
      if (random_.chance(1, 60)) restart();
      switch (random_.below(16)) {
        case 0:
          crash(client);
          break;
        case 1:
          if (client.state == Client::kIn) leave(client);
          break;
        case 2:
          if (client.state == Client::kIn) {
            ++client.subscription;
            join(client);
          }
          break;
        case 3:
          if (client.instance) {  // restarted: it has forgotten its id
            crash(client);
            join(client);
          }
          break;
        default:
          work(client);
      }
      check();
    }
    settle();
    group_->close();
    for (const auto& [token, times] : answers_) EXPECT_EQ(times, 1) << "request " << token << " was not answered once";
  }

 private:
  struct Client {
    enum State : uint8_t { kOut, kJoining, kMustSync, kSyncing, kIn, kDead } state = kOut;
    int16_t version = 0;
    std::optional<std::string> instance;
    int32_t session_ms = 0, rebalance_ms = 0, subscription = 0;
    std::string member;
    int32_t generation = -1;
    bool leads = false;
    std::vector<std::string> to_assign;
    std::string assignment;
    uint64_t waits_for = 0;  // the request whose answer it still listens to
  };

  std::optional<std::string_view> instance_of(const Client& client) const {
    return client.instance ? std::optional<std::string_view>(*client.instance) : std::nullopt;
  }
  // Two incarnations of the coordinator may count the same number: the first did not live to store it.
  using Generation = std::pair<uint64_t, int32_t>;

  void advance(Duration by) {
    const SteadyTime end = now_ + by;
    while (true) {
      const auto next = group_->next_tick();
      if (!next || *next > end) break;
      now_ = std::max(now_, *next);
      group_->tick(now_);
      noticed();
      const auto after = group_->next_tick();
      ASSERT_TRUE(!after || *after > now_) << "a tick leaves work that is due";
    }
    now_ = end;
  }
  // What would be stored now.
  void noticed() {
    if (group_->changes() == stored_changes_) return;
    stored_changes_ = group_->changes();
    stored_ = group_->encode(1);
  }
  void restart() {
    group_->close();
    group_ = std::make_unique<Group>("g", limits_, random_);
    if (stored_) ASSERT_TRUE(group_->restore(*stored_, now_));
    stored_changes_ = group_->changes();
    ++incarnation_;
    last_generation_ = group_->generation();
  }
  void crash(Client& client) {
    client.state = Client::kOut;
    client.member.clear();
    client.generation = -1;
    client.waits_for = 0;
  }

  void join(Client& client) {
    const std::string metadata = "v" + std::to_string(client.subscription);
    const uint64_t token = ++last_token_;
    answers_[token] = 0;
    client.waits_for = token;
    client.state = Client::kJoining;
    JoinGroupRequest request{.group_id = "g",
                             .session_timeout_ms = client.session_ms,
                             .rebalance_timeout_ms = client.rebalance_ms,
                             .member_id = client.member,
                             .group_instance_id = instance_of(client),
                             .protocol_type = "consumer",
                             .protocols = {{"range", as_bytes(metadata)}, {"sticky", as_bytes(metadata)}},
                             .reason = {}};
    const std::string asked_as = client.member;
    group_->join(now_, request, {.client_id = "c", .client_host = "/h", .version = client.version},
                 [this, &client, token](JoinGroupResponse response) { joined(client, token, std::move(response)); });
    noticed();
  }
  void joined(Client& client, uint64_t token, JoinGroupResponse response) {
    ++answers_[token];
    if (client.waits_for != token) return;
    client.waits_for = 0;
    client.state = Client::kOut;
    switch (code(response.error_code)) {
      case ErrorCode::kMemberIdRequired:
        EXPECT_GE(client.version, 4);
        EXPECT_FALSE(client.instance);
        client.member = response.member_id;
        return;
      case ErrorCode::kUnknownMemberId:
      case ErrorCode::kGroupMaxSizeReached:
        client.member.clear();
        return;
      case ErrorCode::kFencedInstanceId:
        client.state = Client::kDead;
        return;
      case ErrorCode::kRebalanceInProgress:
      case ErrorCode::kCoordinatorNotAvailable:
        return;
      case ErrorCode::kNone:
        break;
      default:
        FAIL() << "join: " << name(code(response.error_code));
    }
    client.member = response.member_id;
    client.generation = response.generation_id;
    client.leads = response.leader == response.member_id && !response.skip_assignment;
    client.state = Client::kMustSync;
    client.to_assign.clear();
    for (const auto& one : response.members) client.to_assign.push_back(one.member_id);
    if (!client.leads) return;
    const auto [leader, first] =
        leaders_.try_emplace(Generation(incarnation_, response.generation_id), response.member_id);
    EXPECT_EQ(leader->second, response.member_id) << "two leaders of one generation";
    EXPECT_EQ(std::ranges::count(client.to_assign, client.member), 1);
  }

  void sync(Client& client) {
    std::vector<std::string> texts;
    SyncGroupRequest request{.group_id = "g",
                             .generation_id = client.generation,
                             .member_id = client.member,
                             .group_instance_id = instance_of(client),
                             .protocol_type = {},
                             .protocol_name = {},
                             .assignments = {}};
    for (const auto& member : client.to_assign)
      texts.push_back(std::to_string(++last_assignment_) + " in " + std::to_string(client.generation) + " for " +
                      member);
    for (size_t i = 0; i < texts.size() && client.leads; ++i)
      request.assignments.push_back({client.to_assign[i], as_bytes(texts[i])});
    const uint64_t token = ++last_token_;
    answers_[token] = 0;
    client.waits_for = token;
    client.state = Client::kSyncing;
    group_->sync(now_, request,
                 [this, &client, token](SyncGroupResponse response) { synced(client, token, std::move(response)); });
    noticed();
  }
  void synced(Client& client, uint64_t token, SyncGroupResponse response) {
    ++answers_[token];
    if (client.waits_for != token) return;
    client.waits_for = 0;
    client.state = Client::kOut;
    switch (code(response.error_code)) {
      case ErrorCode::kUnknownMemberId:
      case ErrorCode::kIllegalGeneration:
        client.member.clear();
        return;
      case ErrorCode::kFencedInstanceId:
        client.state = Client::kDead;
        return;
      case ErrorCode::kRebalanceInProgress:
      case ErrorCode::kCoordinatorNotAvailable:
        return;
      case ErrorCode::kNone:
        break;
      default:
        FAIL() << "sync: " << name(code(response.error_code));
    }
    client.state = Client::kIn;
    client.assignment = std::string(as_text(response.assignment));
    EXPECT_NE(client.assignment.find(" in " + std::to_string(client.generation) + " for "), std::string::npos)
        << "an assignment of another generation: " << client.assignment;
    if (!client.instance) EXPECT_TRUE(client.assignment.ends_with(client.member)) << client.assignment;
  }

  void leave(Client& client) {
    LeaveGroupRequest request{.group_id = "g", .member_id = client.member, .members = {}};
    if (client.version >= 3) request.members = {{client.member, instance_of(client), {}}};
    (void)group_->leave(now_, request, client.version >= 3 ? 3 : 0);
    noticed();
    crash(client);
  }

  // What a client does next, as a real one would.
  void work(Client& client) {
    switch (client.state) {
      case Client::kOut:
        return join(client);
      case Client::kMustSync:
        return sync(client);
      case Client::kIn:
        break;
      case Client::kDead:
        if (!settling_ && random_.chance(1, 4)) crash(client);
        return;
      default:
        return;  // waits
    }
    const HeartbeatRequest request{.group_id = "g",
                                   .generation_id = client.generation,
                                   .member_id = client.member,
                                   .group_instance_id = instance_of(client)};
    switch (const ErrorCode answer = code(group_->heartbeat(now_, request).error_code)) {
      case ErrorCode::kNone:
        return;
      case ErrorCode::kRebalanceInProgress:
        return join(client);
      case ErrorCode::kUnknownMemberId:
      case ErrorCode::kIllegalGeneration:
        return crash(client);
      case ErrorCode::kFencedInstanceId:
        client.state = Client::kDead;
        return;
      default:
        FAIL() << "heartbeat: " << name(answer);
    }
  }

  void check() {
    EXPECT_GE(group_->generation(), last_generation_);
    last_generation_ = group_->generation();
    const auto described = group_->describe();
    std::set<std::string> members, names;
    for (const auto& one : described.members) {
      members.insert(one.member_id);
      if (one.group_instance_id) EXPECT_TRUE(names.insert(*one.group_instance_id).second) << "one name, two members";
    }
    // Static members that have not come back yet keep their place while others take the room.
    if (group_->state() == GroupState::kStable) EXPECT_LE(members.size(), limits_.members_max + names.size());
    EXPECT_EQ(members.empty(), group_->state() == GroupState::kEmpty ||
                                   (group_->state() == GroupState::kPreparingRebalance && members.empty()));
    std::map<std::string, const Client*> holders;
    for (const Client& client : clients_) {
      if (client.member.empty() || client.generation < 0) continue;
      const ErrorCode may = group_->may_commit(now_ - 1h, client.member, instance_of(client), client.generation, true);
      if (may != ErrorCode::kNone) continue;
      EXPECT_TRUE(members.contains(client.member) && client.generation == group_->generation());
      if (client.state != Client::kIn) continue;
      const auto [holder, alone] = holders.emplace(client.assignment, &client);
      EXPECT_TRUE(alone) << "two members may commit for one assignment: " << client.assignment;
    }
    if (group_->state() == GroupState::kStable) {
      Group other("g", limits_, random_);
      EXPECT_TRUE(other.restore(group_->encode(5), now_));
      EXPECT_EQ(other.encode(5), group_->encode(5));
      EXPECT_EQ(other.generation(), group_->generation());
    }
  }

  // Nothing goes wrong any more: everybody finds together, and who is gone is forgotten.
  void settle() {
    settling_ = true;
    for (size_t i = 0; i < clients_.size(); ++i) {
      crash(clients_[i]);
      if (i >= limits_.members_max || random_.chance(1, 3)) clients_[i].state = Client::kDead;
    }
    for (int second = 0; second < 600 && !testing::Test::HasFailure(); ++second) {
      for (Client& client : clients_) work(client);
      check();
      advance(1s);
    }
    std::set<std::string> alive, members;
    for (const Client& client : clients_) {
      if (client.state == Client::kDead) continue;
      EXPECT_EQ(client.state, Client::kIn) << "a client found no place";
      EXPECT_EQ(client.generation, group_->generation());
      alive.insert(client.member);
    }
    for (const auto& one : group_->describe().members) members.insert(one.member_id);
    EXPECT_EQ(members, alive);
    EXPECT_EQ(group_->state(), alive.empty() ? GroupState::kEmpty : GroupState::kStable);
  }

  base::SeededRandom random_;
  SteadyTime now_{24h};
  GroupLimits limits_;
  std::unique_ptr<Group> group_;
  std::vector<Client> clients_;
  std::map<uint64_t, int> answers_;
  std::map<Generation, std::string> leaders_;
  std::optional<Bytes> stored_;
  uint64_t stored_changes_ = 0, incarnation_ = 0, last_token_ = 0, last_assignment_ = 0;
  int32_t last_generation_ = 0;
  bool settling_ = false;
};

TEST(GroupCrowd, however_members_come_and_go_each_generation_has_one_leader_and_each_assignment_one_owner) {
  const uint64_t broken = sim::for_each_seed(
      sim::seeds(150), [](uint64_t seed) { Crowd(seed).run(); }, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "POLIS_SEED=" << broken;
}

}  // namespace
}  // namespace polis::stream
