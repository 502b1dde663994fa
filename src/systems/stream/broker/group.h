// Group: the members of one consumer group and who reads what: the classic group protocol as a state machine without
// clock or socket. Time comes in with each call; what must be answered, and when to call again, comes out.
//
//     Empty ──join──► PreparingRebalance ──all joined, or time──► CompletingRebalance ──leader's sync──► Stable
//       ▲                    ▲                                                                            │
//       └──last one left─────┴───────────── join, leave, session lost, new subscription ◄─────────────────┘
//
// The assignment is the leader's; the group only carries it. Lives on the shard of its coordinator.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "systems/stream/protocol/messages.h"
#include "systems/stream/types.h"

namespace polis::stream {

enum class GroupState : uint8_t { kEmpty, kPreparingRebalance, kCompletingRebalance, kStable, kDead };
std::string_view name(GroupState state);  // "PreparingRebalance"

struct GroupLimits {
  Duration initial_rebalance_delay{};  // how long the first generation waits for more members
  Duration session_timeout_min = std::chrono::seconds(6), session_timeout_max = std::chrono::minutes(30);
  size_t members_max = 1000;
  // A member that has never been answered cannot heartbeat; its JoinGroup is given up after so long.
  Duration new_member_timeout = std::chrono::minutes(5);
  // Of all members together: subscriptions, and assignments. A generation is one record of `__consumer_offsets`.
  size_t metadata_bytes_max = 32 << 20;
};

// What a client of a group is; the version decides which rules apply to it.
struct GroupClient {
  std::string client_id, client_host;
  int16_t version = 0;  // of the request
};

class Group {
 public:
  Group(std::string id, const GroupLimits& limits, Random& random);
  ~Group();

  // Answers now or later, exactly once, through `reply`, which must not call back into the group.
  void join(SteadyTime now, const JoinGroupRequest& request, const GroupClient& client,
            std::function<void(JoinGroupResponse)> reply);
  void sync(SteadyTime now, const SyncGroupRequest& request, std::function<void(SyncGroupResponse)> reply);
  HeartbeatResponse heartbeat(SteadyTime now, const HeartbeatRequest& request);
  LeaveGroupResponse leave(SteadyTime now, const LeaveGroupRequest& request, int16_t version);
  // Whether offsets may be committed by this member of this generation; also counts as a sign of life.
  // Generation -1 without a member: only while the group is empty ("simple" consumers).
  ErrorCode may_commit(SteadyTime now, std::string_view member, const std::optional<std::string_view>& instance,
                       int32_t generation, bool transactional);
  // Answers who still waits, and everything from now on, with kCoordinatorNotAvailable: the group is deleted, or its
  // coordinator ends. The destructor does it too.
  void close();
  // Session and rebalance deadlines that have passed.
  void tick(SteadyTime now);
  std::optional<SteadyTime> next_tick() const;

  GroupState state() const;
  std::string_view protocol_type() const;  // "consumer"; empty: never joined
  size_t members() const;
  // Members that were given an id and asked to come again (KIP-394).
  size_t pending_members() const;
  int32_t generation() const;
  DescribeGroupsResponse::DescribedGroup describe() const;
  // The stored form of a generation (Kafka's group metadata value), and back: after a restart members go on without a
  // rebalance.
  Bytes encode(int64_t now_ms) const;
  Result<void> restore(BytesView value, SteadyTime now);
  // Raised when a new generation is stable or the group has emptied: what encode() gives has changed.
  uint64_t changes() const;
  // Whether a member of this generation reads the topic; true if the members' subscriptions cannot be understood.
  bool subscribes_to(std::string_view topic) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polis::stream
