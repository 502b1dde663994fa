#include "systems/stream/broker/group.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>
#include <utility>

#include "kernel/base/uuid.h"
#include "systems/stream/protocol/wire.h"

namespace polis::stream {
namespace {

using JoinReply = std::function<void(JoinGroupResponse)>;
using SyncReply = std::function<void(SyncGroupResponse)>;

constexpr int16_t kMemberIdRequiredFrom = 4;     // JoinGroup; KIP-394
constexpr int16_t kSkipAssignmentFrom = 9;       // JoinGroup; KIP-814
constexpr int16_t kManyMembersLeaveFrom = 3;     // LeaveGroup; KIP-345
constexpr int16_t kGroupValueVersion = 3;        // what is written; 0 to 3 are read
constexpr size_t kNameBytesMax = 4096;           // of a protocol or an instance
constexpr int32_t kTimeoutMsMax = 24 * 3600000;  // a rebalance that waits longer than a day waits for nobody

Duration milliseconds(int32_t count) {
  return std::chrono::milliseconds(std::clamp(count, 0, kTimeoutMsMax));
}
int32_t to_ms(Duration duration) {
  return static_cast<int32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}
Bytes copy(BytesView bytes) {
  return Bytes(bytes.begin(), bytes.end());
}

// The topics in what a consumer says of itself: version:i16 topics:[string] ...; nothing if it says something else.
std::optional<std::vector<std::string_view>> subscribed_topics(BytesView subscription) {
  Decoder in(subscription);
  int16_t version = -1;
  std::vector<std::string_view> topics;
  in.field(version);
  in.array(topics, [&](std::string_view& topic) { in.field(topic); });
  if (!in.ok() || version < 0) return std::nullopt;
  return topics;
}

}  // namespace

std::string_view name(GroupState state) {
  switch (state) {
    case GroupState::kEmpty:
      return "Empty";
    case GroupState::kPreparingRebalance:
      return "PreparingRebalance";
    case GroupState::kCompletingRebalance:
      return "CompletingRebalance";
    case GroupState::kStable:
      return "Stable";
    case GroupState::kDead:
      break;
  }
  return "Dead";
}

struct Group::State {
  struct Protocol {
    std::string name;
    Bytes metadata;
    bool operator==(const Protocol&) const = default;
  };
  struct Member {
    std::optional<std::string> instance;
    std::string client_id, client_host;
    Duration session_timeout{}, rebalance_timeout{};
    std::vector<Protocol> protocols;  // in the member's order of preference
    Bytes assignment;
    // Nothing: a rebalance that it takes part in holds its session.
    std::optional<SteadyTime> session_ends;
    bool fresh = false;      // was never told its id: its first join is not answered yet
    bool owes_sync = false;  // of this generation
    JoinReply join;
    SyncReply sync;

    size_t metadata_bytes() const {
      size_t bytes = 0;
      for (const Protocol& protocol : protocols) bytes += protocol.name.size() + protocol.metadata.size();
      return bytes;
    }
  };
  using Members = std::map<std::string, Member, std::less<>>;

  State(std::string id_in, const GroupLimits& limits_in, Random& random_in)
      : group_id(std::move(id_in)), limits(limits_in), random(random_in) {}

  // --- members
  std::string new_member_id(const std::string& prefix) { return prefix + "-" + base::Uuid::v4(random).text(); }
  ErrorCode validate(std::string_view member, const std::optional<std::string_view>& instance) const;
  bool accepts(std::string_view member) const;
  bool supports(const JoinGroupRequest& request) const;
  bool matches(const Member& member, const JoinGroupRequest& request) const;
  Duration rebalance_timeout() const;
  size_t waiting_for_join() const {
    return static_cast<size_t>(std::ranges::count_if(members, [](const auto& one) { return !!one.second.join; }));
  }
  bool all_joined() const { return pending.empty() && waiting_for_join() == members.size(); }
  void update(Member& member, const JoinGroupRequest& request, JoinReply reply);
  void renew(SteadyTime now, Member& member) { member.session_ends = now + member.session_timeout; }
  void remove(std::string_view member);  // answers what it waits for
  std::string choose_protocol() const;
  const Bytes& metadata_of(const Member& member) const;
  size_t metadata_bytes() const;

  // --- joining
  void join_new(SteadyTime now, const JoinGroupRequest& request, const GroupClient& client, JoinReply reply);
  void join_again(SteadyTime now, const JoinGroupRequest& request, const GroupClient& client, JoinReply reply);
  void add(SteadyTime now, std::string member, const JoinGroupRequest& request, const GroupClient& client,
           JoinReply reply);
  void replace_static(SteadyTime now, const std::string& old_id, const JoinGroupRequest& request,
                      const GroupClient& client, JoinReply reply);
  JoinGroupResponse joined(const std::string& member, bool with_members) const;
  void answer_join(Member& member, JoinGroupResponse response) {
    if (JoinReply reply = std::exchange(member.join, nullptr)) reply(std::move(response));
  }
  void refuse_join(Member& member, ErrorCode code, std::string member_id = {}) {
    answer_join(member, refusal(code, std::move(member_id)));
  }
  static JoinGroupResponse refusal(ErrorCode code, std::string member_id) {
    JoinGroupResponse response;
    response.error_code = number(code);
    response.member_id = std::move(member_id);
    return response;
  }

  // --- rebalancing
  bool can_rebalance() const { return state != GroupState::kPreparingRebalance && state != GroupState::kDead; }
  void rebalance(SteadyTime now);
  void rebalance_or_complete(SteadyTime now);
  void maybe_complete(SteadyTime now);
  void complete_join(SteadyTime now);
  bool elect_leader();
  void answer_syncs(SteadyTime now, ErrorCode code);
  void answer_sync(SteadyTime now, Member& member, ErrorCode code);
  void synced(Member& member);
  void expire(SteadyTime now, const std::string& member);
  void initial_join_due(SteadyTime now);
  void sync_due(SteadyTime now);
  void learn_topics() const;

  const std::string group_id;
  const GroupLimits limits;
  Random& random;

  GroupState state = GroupState::kEmpty;
  int32_t generation = 0;
  std::string protocol_type, chosen, leader;  // chosen: the protocol of this generation
  Members members;
  std::map<std::string, std::string, std::less<>> instances;  // of static members: their present id
  std::map<std::string, SteadyTime, std::less<>> pending;     // given an id, and until when it may come back with it
  std::optional<SteadyTime> join_due, sync_deadline;
  // Of a group that was empty: how much longer the first generation may wait, and whether somebody came meanwhile.
  bool initial = false, somebody_came = false;
  Duration initial_left{};
  uint64_t changes = 0;
  // What the members of this generation read; nothing inside: not understood. Derived.
  mutable std::optional<std::optional<std::set<std::string, std::less<>>>> topics;
};

Group::Group(std::string id, const GroupLimits& limits, Random& random)
    : state_(std::make_unique<State>(std::move(id), limits, random)) {}

Group::~Group() {
  close();
}

void Group::close() {
  State& state = *state_;
  state.state = GroupState::kDead;
  state.join_due.reset();
  state.sync_deadline.reset();
  state.pending.clear();
  for (auto& [id, member] : state.members) {
    state.refuse_join(member, ErrorCode::kCoordinatorNotAvailable, id);
    state.answer_sync({}, member, ErrorCode::kCoordinatorNotAvailable);
    member.session_ends.reset();
  }
}

// --- members

// Whether this is a member, and of a static one the newest incarnation (KIP-345).
ErrorCode Group::State::validate(std::string_view member, const std::optional<std::string_view>& instance) const {
  if (instance) {
    const auto found = instances.find(*instance);
    if (found == instances.end()) return ErrorCode::kUnknownMemberId;
    if (found->second != member) return ErrorCode::kFencedInstanceId;
  }
  return members.contains(member) ? ErrorCode::kNone : ErrorCode::kUnknownMemberId;
}

// Whether there is room. In a rebalance those count that have joined it: the slowest find the group full.
bool Group::State::accepts(std::string_view member) const {
  if (member.empty() && pending.size() >= limits.members_max) return false;
  const auto known = members.find(member);
  switch (state) {
    case GroupState::kPreparingRebalance:
      return (known != members.end() && known->second.join) || waiting_for_join() < limits.members_max;
    case GroupState::kCompletingRebalance:
    case GroupState::kStable:
      return known != members.end() || members.size() < limits.members_max;
    case GroupState::kEmpty:
    case GroupState::kDead:
      break;
  }
  return true;
}

bool Group::State::supports(const JoinGroupRequest& request) const {
  if (request.protocol_type.empty() || request.protocols.empty()) return false;
  if (members.empty()) return true;
  if (request.protocol_type != protocol_type) return false;
  return std::ranges::any_of(request.protocols, [&](const auto& offered) {
    return std::ranges::all_of(members, [&](const auto& one) {
      return std::ranges::find(one.second.protocols, offered.name, &Protocol::name) != one.second.protocols.end();
    });
  });
}

bool Group::State::matches(const Member& member, const JoinGroupRequest& request) const {
  return std::ranges::equal(member.protocols, request.protocols, [](const Protocol& has, const auto& offered) {
    return has.name == offered.name && std::ranges::equal(has.metadata, offered.metadata);
  });
}

Duration Group::State::rebalance_timeout() const {
  Duration longest{};
  for (const auto& [id, member] : members) longest = std::max(longest, member.rebalance_timeout);
  return longest;
}

void Group::State::update(Member& member, const JoinGroupRequest& request, JoinReply reply) {
  // The client has given up the earlier request, or sends two at once.
  refuse_join(member, ErrorCode::kRebalanceInProgress, std::string(request.member_id));
  member.protocols.clear();
  for (const auto& offered : request.protocols)
    member.protocols.push_back({std::string(offered.name), copy(offered.metadata)});
  member.session_timeout = milliseconds(request.session_timeout_ms);
  // JoinGroup v0 has none.
  member.rebalance_timeout =
      request.rebalance_timeout_ms < 0 ? member.session_timeout : milliseconds(request.rebalance_timeout_ms);
  member.join = std::move(reply);
}

void Group::State::remove(std::string_view id) {
  if (const auto waiting = pending.find(id); waiting != pending.end()) pending.erase(waiting);
  const auto found = members.find(id);
  if (found == members.end()) return;
  Member& member = found->second;
  refuse_join(member, ErrorCode::kUnknownMemberId);
  answer_sync({}, member, ErrorCode::kUnknownMemberId);
  if (member.instance) {
    const auto instance = instances.find(*member.instance);
    if (instance != instances.end() && instance->second == id) instances.erase(instance);
  }
  const bool led = leader == id;
  members.erase(found);
  if (led) leader = members.empty() ? std::string() : members.begin()->first;
}

// Every member votes for what it likes best among what all can do.
std::string Group::State::choose_protocol() const {
  std::map<std::string_view, size_t> speakers, votes;
  for (const auto& [id, member] : members) {
    std::set<std::string_view> own;
    for (const Protocol& one : member.protocols)
      if (own.insert(one.name).second) ++speakers[one.name];
  }
  for (const auto& [id, member] : members) {
    const auto best = std::ranges::find_if(member.protocols,
                                           [&](const Protocol& one) { return speakers[one.name] == members.size(); });
    POLIS_ASSERT(best != member.protocols.end());  // supports() let nobody else in
    ++votes[best->name];
  }
  const auto won = std::ranges::max_element(votes, {}, [](const auto& candidate) { return candidate.second; });
  return won == votes.end() ? std::string() : std::string(won->first);
}

const Bytes& Group::State::metadata_of(const Member& member) const {
  static const Bytes kNothing;
  const auto found = std::ranges::find(member.protocols, chosen, &Protocol::name);
  return found == member.protocols.end() ? kNothing : found->metadata;
}

size_t Group::State::metadata_bytes() const {
  size_t bytes = 0;
  for (const auto& [id, member] : members) bytes += member.metadata_bytes();
  return bytes;
}

// --- joining

void Group::join(SteadyTime now, const JoinGroupRequest& request, const GroupClient& client, JoinReply reply) {
  State& state = *state_;
  const std::string member(request.member_id);
  const auto refuse = [&](ErrorCode code, std::string member_id) { reply(State::refusal(code, std::move(member_id))); };
  const auto session = std::chrono::milliseconds(request.session_timeout_ms);
  if (session < state.limits.session_timeout_min || session > state.limits.session_timeout_max)
    return refuse(ErrorCode::kInvalidSessionTimeout, member);
  const bool names_fit =
      request.protocol_type.size() <= kNameBytesMax && request.group_instance_id.value_or("").size() <= kNameBytesMax &&
      std::ranges::all_of(request.protocols, [](const auto& one) { return one.name.size() <= kNameBytesMax; });
  if (!names_fit) return refuse(ErrorCode::kInvalidRequest, member);
  if (state.state == GroupState::kDead) return refuse(ErrorCode::kCoordinatorNotAvailable, member);
  size_t bytes = state.metadata_bytes();
  for (const auto& offered : request.protocols) bytes += offered.name.size() + offered.metadata.size();
  if (!state.accepts(member) || bytes > state.limits.metadata_bytes_max) {
    // Who is not let in again has left.
    const bool was_member = state.members.contains(member);
    state.remove(member);
    refuse(ErrorCode::kGroupMaxSizeReached, {});
    if (was_member) state.rebalance_or_complete(now);
    return;
  }
  if (!state.supports(request)) return refuse(ErrorCode::kInconsistentGroupProtocol, member);
  if (member.empty()) return state.join_new(now, request, client, std::move(reply));
  state.join_again(now, request, client, std::move(reply));
}

void Group::State::join_new(SteadyTime now, const JoinGroupRequest& request, const GroupClient& client,
                            JoinReply reply) {
  if (request.group_instance_id) {
    const auto known = instances.find(*request.group_instance_id);
    if (known != instances.end()) {
      const std::string old_id = known->second;
      return replace_static(now, old_id, request, client, std::move(reply));
    }
    return add(now, new_member_id(std::string(*request.group_instance_id)), request, client, std::move(reply));
  }
  std::string member = new_member_id(client.client_id);
  if (client.version < kMemberIdRequiredFrom) return add(now, std::move(member), request, client, std::move(reply));
  pending[member] = now + milliseconds(request.session_timeout_ms);
  reply(refusal(ErrorCode::kMemberIdRequired, std::move(member)));
}

void Group::State::join_again(SteadyTime now, const JoinGroupRequest& request, const GroupClient& client,
                              JoinReply reply) {
  const std::string id(request.member_id);
  if (pending.contains(id) && !request.group_instance_id) return add(now, id, request, client, std::move(reply));
  if (const ErrorCode code = validate(id, request.group_instance_id); code != ErrorCode::kNone)
    return reply(refusal(code, id));
  Member& member = members.find(id)->second;
  const bool unchanged = matches(member, request);
  // It did not hear the answer, or only asks where it stands: it is told again.
  const bool told_again = (state == GroupState::kCompletingRebalance && unchanged) ||
                          (state == GroupState::kStable && unchanged && leader != id);
  if (told_again) {
    renew(now, member);
    return reply(joined(id, state == GroupState::kCompletingRebalance && leader == id));
  }
  // A leader that joins again wants a new assignment: it has seen the topics change.
  update(member, request, std::move(reply));
  rebalance_or_complete(now);
}

void Group::State::add(SteadyTime now, std::string id, const JoinGroupRequest& request, const GroupClient& client,
                       JoinReply reply) {
  pending.erase(id);
  Member& member = members[id];
  if (request.group_instance_id) {
    member.instance = std::string(*request.group_instance_id);
    instances[*member.instance] = id;
  }
  member.client_id = client.client_id;
  member.client_host = client.client_host;
  member.fresh = true;
  update(member, request, std::move(reply));
  member.session_ends = now + limits.new_member_timeout;
  if (members.size() == 1) protocol_type = request.protocol_type;
  if (leader.empty()) leader = id;
  if (state == GroupState::kPreparingRebalance && initial) somebody_came = true;
  rebalance_or_complete(now);
}

// A static member came back under a new id: it keeps its place and its assignment, and whoever still uses the old id is
// fenced. Without a change of protocol nobody else notices.
void Group::State::replace_static(SteadyTime now, const std::string& old_id, const JoinGroupRequest& request,
                                  const GroupClient& client, JoinReply reply) {
  const std::string new_id = new_member_id(std::string(*request.group_instance_id));
  const std::string old_leader = leader;
  auto node = members.extract(old_id);
  POLIS_ASSERT(!node.empty());
  refuse_join(node.mapped(), ErrorCode::kFencedInstanceId, old_id);
  answer_sync({}, node.mapped(), ErrorCode::kFencedInstanceId);
  node.key() = new_id;
  Member& member = members.insert(std::move(node)).position->second;
  instances[*member.instance] = new_id;
  if (leader == old_id) leader = new_id;
  member.client_id = client.client_id;
  member.client_host = client.client_host;
  update(member, request, std::move(reply));
  renew(now, member);
  switch (state) {
    case GroupState::kStable: {
      if (choose_protocol() != chosen) return rebalance_or_complete(now);
      ++changes;  // the id
      topics.reset();
      const bool leads = leader == new_id;
      const bool skips = client.version >= kSkipAssignmentFrom;
      JoinGroupResponse response = joined(new_id, leads && skips);
      response.skip_assignment = leads && skips;
      // An older client that heard that it leads would assign anew, which nobody asked for.
      if (!skips) response.leader = old_leader;
      return answer_join(member, std::move(response));
    }
    case GroupState::kCompletingRebalance:
      // The leader may be assigning to the old id.
      return rebalance(now);
    default:
      return maybe_complete(now);
  }
}

JoinGroupResponse Group::State::joined(const std::string& member_id, bool with_members) const {
  JoinGroupResponse response;
  response.generation_id = generation;
  response.protocol_type = protocol_type;
  response.protocol_name = chosen;
  response.leader = leader;
  response.member_id = member_id;
  if (with_members)
    for (const auto& [id, member] : members) response.members.push_back({id, member.instance, metadata_of(member)});
  return response;
}

// --- rebalancing

void Group::State::rebalance_or_complete(SteadyTime now) {
  if (can_rebalance()) return rebalance(now);
  maybe_complete(now);
}

void Group::State::rebalance(SteadyTime now) {
  if (state == GroupState::kCompletingRebalance) {
    for (auto& [id, member] : members) member.assignment.clear();
    answer_syncs(now, ErrorCode::kRebalanceInProgress);
  }
  sync_deadline.reset();
  for (auto& [id, member] : members) member.owes_sync = false;
  initial = state == GroupState::kEmpty;
  state = GroupState::kPreparingRebalance;
  if (!initial) {
    if (all_joined()) return complete_join(now);
    join_due = now + rebalance_timeout();
    return;
  }
  somebody_came = false;
  initial_left = std::max(rebalance_timeout() - limits.initial_rebalance_delay, Duration{});
  join_due = now + limits.initial_rebalance_delay;
  if (limits.initial_rebalance_delay <= Duration{}) complete_join(now);
}

void Group::State::maybe_complete(SteadyTime now) {
  if (state == GroupState::kPreparingRebalance && !initial && all_joined()) complete_join(now);
}

void Group::State::initial_join_due(SteadyTime now) {
  if (!somebody_came || initial_left <= Duration{}) return complete_join(now);
  somebody_came = false;
  const Duration more = std::min(limits.initial_rebalance_delay, initial_left);
  initial_left -= more;
  join_due = now + more;
}

// The leader stays if it has joined; else somebody who has.
bool Group::State::elect_leader() {
  const auto current = members.find(leader);
  if (current != members.end() && current->second.join) return true;
  const auto first = std::ranges::find_if(members, [](const auto& one) { return !!one.second.join; });
  if (first == members.end()) return false;
  leader = first->first;
  return true;
}

// Everybody has joined, or the time is over: who has not is no member any more, but for static members, who have until
// their session ends.
void Group::State::complete_join(SteadyTime now) {
  join_due.reset();
  for (auto one = members.begin(); one != members.end();) {
    const auto next = std::next(one);
    if (!one->second.join && !one->second.instance) remove(std::string(one->first));
    one = next;
  }
  if (!members.empty() && !elect_leader()) {
    join_due = now + std::max<Duration>(rebalance_timeout(), std::chrono::seconds(1));  // a member may have named 0
    return;
  }
  initial = false;
  topics.reset();
  generation = generation == std::numeric_limits<int32_t>::max() ? 1 : generation + 1;
  if (members.empty()) {
    chosen.clear();
    leader.clear();
    state = GroupState::kEmpty;
    ++changes;
    return;
  }
  chosen = choose_protocol();
  state = GroupState::kCompletingRebalance;
  sync_deadline = now + rebalance_timeout();
  for (auto& [id, member] : members) {
    member.owes_sync = true;
    member.fresh = false;
    renew(now, member);
    if (member.join) answer_join(member, joined(id, id == leader));
  }
}

void Group::State::answer_sync(SteadyTime now, Member& member, ErrorCode code) {
  SyncReply reply = std::exchange(member.sync, nullptr);
  if (!reply) return;
  SyncGroupResponse response;
  response.error_code = number(code);
  if (code == ErrorCode::kNone) {
    response.protocol_type = protocol_type;
    response.protocol_name = chosen;
    response.assignment = member.assignment;
  }
  renew(now, member);
  reply(std::move(response));
}

void Group::State::answer_syncs(SteadyTime now, ErrorCode code) {
  for (auto& [id, member] : members) answer_sync(now, member, code);
}

void Group::State::synced(Member& member) {
  member.owes_sync = false;
  if (std::ranges::none_of(members, [](const auto& one) { return one.second.owes_sync; })) sync_deadline.reset();
}

void Group::sync(SteadyTime now, const SyncGroupRequest& request, SyncReply reply) {
  State& state = *state_;
  const auto refuse = [&](ErrorCode code) {
    SyncGroupResponse response;
    response.error_code = number(code);
    reply(std::move(response));
  };
  if (state.state == GroupState::kDead) return refuse(ErrorCode::kCoordinatorNotAvailable);
  if (const ErrorCode code = state.validate(request.member_id, request.group_instance_id); code != ErrorCode::kNone)
    return refuse(code);
  if (request.generation_id != state.generation) return refuse(ErrorCode::kIllegalGeneration);
  if (request.protocol_type.value_or(state.protocol_type) != state.protocol_type ||
      request.protocol_name.value_or(state.chosen) != state.chosen)
    return refuse(ErrorCode::kInconsistentGroupProtocol);
  State::Member& member = state.members.find(request.member_id)->second;
  switch (state.state) {
    case GroupState::kPreparingRebalance:
      return refuse(ErrorCode::kRebalanceInProgress);
    case GroupState::kStable:
      state.answer_sync(now, member, ErrorCode::kNone);
      member.sync = std::move(reply);
      state.answer_sync(now, member, ErrorCode::kNone);
      return state.synced(member);
    case GroupState::kCompletingRebalance:
      break;
    case GroupState::kEmpty:
    case GroupState::kDead:
      return refuse(ErrorCode::kUnknownMemberId);
  }
  if (state.leader != request.member_id) {
    state.answer_sync(now, member, ErrorCode::kRebalanceInProgress);  // the client has given up the earlier one
    member.sync = std::move(reply);
    return state.synced(member);
  }
  size_t bytes = 0;
  for (const auto& one : request.assignments) bytes += one.assignment.size();
  if (bytes > state.limits.metadata_bytes_max) return refuse(ErrorCode::kInvalidRequest);
  for (auto& [id, each] : state.members) each.assignment.clear();
  for (const auto& one : request.assignments) {
    const auto found = state.members.find(one.member_id);
    if (found != state.members.end()) found->second.assignment = copy(one.assignment);
  }
  state.answer_sync(now, member, ErrorCode::kRebalanceInProgress);
  member.sync = std::move(reply);
  state.synced(member);
  state.state = GroupState::kStable;
  ++state.changes;
  state.answer_syncs(now, ErrorCode::kNone);
}

HeartbeatResponse Group::heartbeat(SteadyTime now, const HeartbeatRequest& request) {
  State& state = *state_;
  HeartbeatResponse response;
  const auto answer = [&](ErrorCode code) {
    response.error_code = number(code);
    return response;
  };
  if (state.state == GroupState::kDead) return answer(ErrorCode::kCoordinatorNotAvailable);
  if (const ErrorCode code = state.validate(request.member_id, request.group_instance_id); code != ErrorCode::kNone)
    return answer(code);
  if (request.generation_id != state.generation) return answer(ErrorCode::kIllegalGeneration);
  if (state.state == GroupState::kEmpty) return answer(ErrorCode::kUnknownMemberId);
  state.renew(now, state.members.find(request.member_id)->second);
  return answer(state.state == GroupState::kPreparingRebalance ? ErrorCode::kRebalanceInProgress : ErrorCode::kNone);
}

LeaveGroupResponse Group::leave(SteadyTime now, const LeaveGroupRequest& request, int16_t version) {
  State& state = *state_;
  LeaveGroupResponse response;
  if (state.state == GroupState::kDead) {
    response.error_code = number(ErrorCode::kCoordinatorNotAvailable);
    return response;
  }
  bool somebody_left = false;
  const auto leave_one = [&](std::string_view id, const std::optional<std::string_view>& instance) {
    std::string leaving(id);
    if (id.empty()) {
      // An operator removes a static member by its name.
      const auto known = instance ? state.instances.find(*instance) : state.instances.end();
      if (known == state.instances.end()) return ErrorCode::kUnknownMemberId;
      leaving = known->second;
    } else if (!state.pending.contains(id)) {
      if (const ErrorCode code = state.validate(id, instance); code != ErrorCode::kNone) return code;
    }
    state.remove(leaving);
    somebody_left = true;
    return ErrorCode::kNone;
  };
  if (version < kManyMembersLeaveFrom) {
    response.error_code = number(leave_one(request.member_id, std::nullopt));
  } else {
    for (const auto& one : request.members) {
      const ErrorCode code = leave_one(one.member_id, one.group_instance_id);
      std::optional<std::string> instance;
      if (one.group_instance_id) instance = std::string(*one.group_instance_id);
      response.members.push_back({std::string(one.member_id), std::move(instance), number(code)});
    }
  }
  if (somebody_left && state.state != GroupState::kEmpty) state.rebalance_or_complete(now);
  return response;
}

ErrorCode Group::may_commit(SteadyTime now, std::string_view member, const std::optional<std::string_view>& instance,
                            int32_t generation, bool transactional) {
  State& state = *state_;
  if (state.state == GroupState::kDead) return ErrorCode::kCoordinatorNotAvailable;
  if (generation < 0 && state.state == GroupState::kEmpty) return ErrorCode::kNone;
  if (generation >= 0 || !member.empty() || instance) {
    if (const ErrorCode code = state.validate(member, instance); code != ErrorCode::kNone) return code;
    if (generation != state.generation) return ErrorCode::kIllegalGeneration;
  } else if (!transactional) {
    return ErrorCode::kUnknownMemberId;
  }
  // Transactions of clients older than KIP-447 name no member; their producer's epoch fences them.
  if (transactional) return ErrorCode::kNone;
  if (state.state == GroupState::kCompletingRebalance) return ErrorCode::kRebalanceInProgress;
  if (const auto found = state.members.find(member); found != state.members.end()) state.renew(now, found->second);
  return ErrorCode::kNone;
}

// --- time

// A session is over. Members that a rebalance keeps waiting cannot heartbeat and are not blamed for it.
void Group::State::expire(SteadyTime now, const std::string& id) {
  const auto found = members.find(id);
  if (found == members.end()) return;
  Member& member = found->second;
  if (!member.session_ends || *member.session_ends > now) return;
  if (!member.fresh && (member.join || member.sync)) {
    member.session_ends.reset();  // set again when it is answered
    return;
  }
  remove(id);
  if (state == GroupState::kPreparingRebalance)
    maybe_complete(now);
  else
    rebalance_or_complete(now);
}

// Who has not asked for its assignment within the rebalance timeout is gone.
void Group::State::sync_due(SteadyTime now) {
  sync_deadline.reset();
  std::vector<std::string> silent;
  for (const auto& [id, member] : members)
    if (member.owes_sync) silent.push_back(id);
  if (silent.empty() || !can_rebalance() || state == GroupState::kEmpty) return;
  for (const std::string& id : silent) remove(id);
  rebalance(now);
}

void Group::tick(SteadyTime now) {
  State& state = *state_;
  std::vector<std::string> over;
  for (const auto& [id, until] : state.pending)
    if (until <= now) over.push_back(id);
  for (const std::string& id : over) state.pending.erase(id);
  if (!over.empty()) state.maybe_complete(now);

  over.clear();
  for (const auto& [id, member] : state.members)
    if (member.session_ends && *member.session_ends <= now) over.push_back(id);
  for (const std::string& id : over) state.expire(now, id);

  if (state.sync_deadline && *state.sync_deadline <= now) state.sync_due(now);
  if (state.join_due && *state.join_due <= now) {  // after what may have emptied the group, which then waits for nobody
    if (state.initial)
      state.initial_join_due(now);
    else
      state.complete_join(now);
  }
}

std::optional<SteadyTime> Group::next_tick() const {
  const State& state = *state_;
  std::optional<SteadyTime> first;
  const auto consider = [&](const std::optional<SteadyTime>& time) {
    if (time && (!first || *time < *first)) first = time;
  };
  consider(state.join_due);
  consider(state.sync_deadline);
  for (const auto& [id, until] : state.pending) consider(until);
  for (const auto& [id, member] : state.members) consider(member.session_ends);
  return first;
}

// --- what there is

GroupState Group::state() const {
  return state_->state;
}
std::string_view Group::protocol_type() const {
  return state_->protocol_type;
}
size_t Group::members() const {
  return state_->members.size();
}
size_t Group::pending_members() const {
  return state_->pending.size();
}
int32_t Group::generation() const {
  return state_->generation;
}
uint64_t Group::changes() const {
  return state_->changes;
}

DescribeGroupsResponse::DescribedGroup Group::describe() const {
  const State& state = *state_;
  const bool stable = state.state == GroupState::kStable;
  DescribeGroupsResponse::DescribedGroup described;
  described.group_id = state.group_id;
  described.group_state = name(state.state);
  described.protocol_type = state.protocol_type;
  if (stable) described.protocol_data = state.chosen;
  for (const auto& [id, member] : state.members) {
    // Between generations neither says anything.
    described.members.push_back({.member_id = id,
                                 .group_instance_id = member.instance,
                                 .client_id = member.client_id,
                                 .client_host = member.client_host,
                                 .member_metadata = stable ? state.metadata_of(member) : Bytes(),
                                 .member_assignment = stable ? member.assignment : Bytes()});
  }
  return described;
}

void Group::State::learn_topics() const {
  if (topics) return;
  topics.emplace();
  if (protocol_type != "consumer") return;
  std::set<std::string, std::less<>> all;
  for (const auto& [id, member] : members) {
    const auto some = subscribed_topics(metadata_of(member));
    if (!some) return;
    all.insert(some->begin(), some->end());
  }
  *topics = std::move(all);
}

bool Group::subscribes_to(std::string_view topic) const {
  if (state_->members.empty()) return false;
  state_->learn_topics();
  return !*state_->topics || (*state_->topics)->contains(topic);
}

// --- the stored form
//
// value := version:i16 protocol_type:string generation:i32 protocol:string? leader:string? since_ms:i64 (v2+)
//          members:[ id:string instance:string? (v3+) client_id:string client_host:string rebalance_ms:i32 (v1+)
//                    session_ms:i32 subscription:bytes assignment:bytes ]

Bytes Group::encode(int64_t now_ms) const {
  const State& state = *state_;
  Bytes bytes;
  Encoder out(bytes);
  const auto text_or_null = [&](const std::string& text) {
    out.field(text.empty() ? std::optional<std::string_view>() : std::optional<std::string_view>(text), true);
  };
  out.field(kGroupValueVersion);
  out.field(state.protocol_type);
  out.field(state.generation);
  text_or_null(state.chosen);
  text_or_null(state.leader);
  out.field(now_ms);
  out.length(state.members.size(), 4);
  for (const auto& [id, member] : state.members) {
    out.field(id);
    out.field(member.instance, true);
    out.field(member.client_id);
    out.field(member.client_host);
    out.field(to_ms(member.rebalance_timeout));
    out.field(to_ms(member.session_timeout));
    out.field(state.metadata_of(member));
    out.field(member.assignment);
  }
  return bytes;
}

Result<void> Group::restore(BytesView value, SteadyTime now) {
  Decoder in(value);
  int16_t version = -1;
  in.field(version);
  if (in.ok() && (version < 0 || version > kGroupValueVersion))
    return fail(Code::kUnsupported, "a group's generation of version " + std::to_string(version));
  std::optional<std::string> protocol, leader;
  std::string protocol_type;
  int32_t generation = 0;
  int64_t since_ms = -1;
  in.field(protocol_type);
  in.field(generation);
  in.field(protocol, true);
  in.field(leader, true);
  if (version >= 2) in.field(since_ms);
  struct Stored {
    std::string id;
    std::optional<std::string> instance;
    std::string client_id, client_host;
    int32_t rebalance_ms = -1, session_ms = 0;
    Bytes subscription, assignment;
  };
  std::vector<Stored> stored;
  in.array(stored, [&](Stored& one) {
    in.field(one.id);
    if (version >= 3) in.field(one.instance, true);
    in.field(one.client_id);
    in.field(one.client_host);
    if (version >= 1) in.field(one.rebalance_ms);
    in.field(one.session_ms);
    in.field(one.subscription);
    in.field(one.assignment);
  });
  if (auto whole = in.status(); !whole)
    return fail(
        Error(Code::kCorrupt, "the generation of group " + state_->group_id + " cannot be read", whole.error()));
  if (!stored.empty() && !protocol)
    return fail(Code::kCorrupt, "the generation of group " + state_->group_id + " has members but no protocol");

  auto fresh = std::make_unique<State>(state_->group_id, state_->limits, state_->random);
  State& state = *fresh;
  state.protocol_type = std::move(protocol_type);
  state.generation = generation;
  for (Stored& one : stored) {
    State::Member member;
    member.client_id = std::move(one.client_id);
    member.client_host = std::move(one.client_host);
    member.session_timeout = milliseconds(one.session_ms);
    member.rebalance_timeout = one.rebalance_ms < 0 ? member.session_timeout : milliseconds(one.rebalance_ms);
    member.protocols.push_back({*protocol, std::move(one.subscription)});
    member.assignment = std::move(one.assignment);
    state.renew(now, member);
    if (one.instance) state.instances[*one.instance] = one.id;
    member.instance = std::move(one.instance);
    state.members.insert_or_assign(std::move(one.id), std::move(member));
  }
  if (!state.members.empty()) {
    state.state = GroupState::kStable;
    state.chosen = std::move(*protocol);
    state.leader = leader && state.members.contains(*leader) ? std::move(*leader) : state.members.begin()->first;
  }
  POLIS_ASSERT(state_->members.empty());
  state.changes = state_->changes;
  state_ = std::move(fresh);
  return {};
}

}  // namespace polis::stream
