// GroupCoordinator: the groups of one partition of `__consumer_offsets`: their members (group.h), their committed
// offsets, and those that an open transaction may still commit. Everything is the fold of the partition's records.
//
//     request ──► Group decides ──► record appended ──► wait: one fsync for all that came meanwhile ──► known, answered
//
// What a fetch shows is durable. The exception shows earlier, on purpose: an offset of a transaction counts as pending
// from the moment it is appended, in the same breath in which the member's generation was checked, so that the next
// owner of a partition cannot read past it (KIP-447).
//
// Lives on the shard of its partition. close() before it is destroyed.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernel/io/shard.h"
#include "systems/stream/broker/group.h"
#include "systems/stream/broker/groups.h"
#include "systems/stream/broker/offset_records.h"
#include "systems/stream/partition/partition.h"

namespace polis::stream {

class GroupCoordinator {
 public:
  // Null when the partition is not open (any more).
  using FindPartition = std::function<std::shared_ptr<Partition>()>;
  // Whether offsets of that topic that are read back count: it was there when polis started, and still is.
  using KnowsTopic = std::function<bool(std::string_view topic)>;

  GroupCoordinator(FindPartition partition, KnowsTopic knows_topic, const Clock& clock, Random& random,
                   const GroupsOptions& options);
  ~GroupCoordinator();
  GroupCoordinator(const GroupCoordinator&) = delete;
  GroupCoordinator& operator=(const GroupCoordinator&) = delete;

  // Reads the partition, in the background, if that was not begun yet or has failed.
  void load();
  // kNone once it is read; waits a moment for that. Everything below needs it.
  Task<ErrorCode> ready();
  Task<void> close();

  Task<JoinGroupResponse> join(const JoinGroupRequest& request, const GroupClient& client);
  Task<SyncGroupResponse> sync(const SyncGroupRequest& request);
  HeartbeatResponse heartbeat(const HeartbeatRequest& request);
  Task<LeaveGroupResponse> leave(const LeaveGroupRequest& request, int16_t version);
  Task<OffsetCommitResponse> commit(const OffsetCommitRequest& request);
  Task<TxnOffsetCommitResponse> commit_in_transaction(const TxnOffsetCommitRequest& request);
  OffsetFetchResponse::OffsetFetchResponseGroup fetch(const OffsetFetchRequest::OffsetFetchRequestGroup& request,
                                                      bool require_stable) const;
  Task<OffsetDeleteResponse> erase_offsets(const OffsetDeleteRequest& request);
  DescribeGroupsResponse::DescribedGroup describe(std::string_view group) const;
  void list(const ListGroupsRequest& request, std::vector<ListGroupsResponse::ListedGroup>& groups) const;
  Task<ErrorCode> erase(std::string_view group);
  void end_transaction(int64_t producer_id, bool commit);
  Task<void> topic_erased(std::string_view topic);
  // Offsets that nobody needs any more go, and groups without any.
  Task<void> tend();

 private:
  using Offsets = std::map<std::string, std::map<int32_t, CommittedOffset>, std::less<>>;
  struct Entry;
  using EntryPtr = std::shared_ptr<Entry>;  // shared with the requests that wait for it
  struct Change {
    std::string topic;
    int32_t partition = 0;
    std::optional<CommittedOffset> value;
  };
  struct Queued {
    Offset next = 0;
    EntryPtr entry;
    std::vector<Change> changes;
  };
  struct Appended {
    ErrorCode code = ErrorCode::kNone;
    Offset base = -1, next = -1;
  };
  enum class Loading : uint8_t { kNot, kBegun, kDone, kFailed };

  EntryPtr find(std::string_view group) const;
  EntryPtr find_or_make(std::string_view group);  // null: too many
  int64_t now_ms() const;
  SteadyTime now() const { return clock_.steady(); }

  Task<void> run_load();
  Task<Result<void>> read(Partition& partition);
  Result<void> replay(BytesView batches, Offset& next, std::map<std::string, std::pair<Bytes, int64_t>>& generations);

  Appended append(BatchBuilder& builder);
  Task<ErrorCode> durable(Offset next);
  Task<ErrorCode> durable_generation(EntryPtr entry);
  // The disk is behind: until it has caught up.
  Task<void> let_disk_catch_up();
  void settle(Entry& entry);
  void tick(Entry& entry);
  void rearm(Entry& entry);
  void apply_up_to(Offset next);
  static void apply(Entry& entry, const Change& change);
  static void drop_pending(Entry& entry, const Change& change);
  // The offsets that the request may commit as records, and for each of its partitions the answer.
  template <class Request, class Response>
  void collect(const Request& request, Response& response, std::vector<Change>& changes) const;
  template <class Request>
  bool fits(const Request& request) const;
  Task<ErrorCode> forget(EntryPtr entry, std::vector<Change> changes, bool with_group, bool until_durable = true);
  Task<void> forget_lost_topics();
  std::set<TopicPartition> partitions_of(const Entry& entry) const;
  bool pending(const Entry& entry, std::string_view topic, int32_t partition) const;

  FindPartition partition_;
  KnowsTopic knows_topic_;
  const Clock& clock_;
  Random& random_;
  const GroupsOptions& options_;
  Loading loading_ = Loading::kNot;
  SteadyTime load_ended_{};
  io::Event loaded_;  // or failed
  std::map<std::string, EntryPtr, std::less<>> groups_;
  std::unordered_map<int64_t, std::set<std::string>> transactions_;  // producer → groups with pending offsets
  io::Semaphore commit_turn_{1};  // held until a commit has its place: who waits for the disk is not overtaken
  std::deque<Queued> queue_;      // appended, not yet durable; in their order
  io::TaskGroup tasks_;
};

}  // namespace polis::stream
