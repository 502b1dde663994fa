// What the console needs beyond the admin API: the live picture of stripes on drives, plans that remove objects, and
// the gateway that lets a browser speak S3 through the main port (gateway.h).
#pragma once

#include "kernel/http/router.h"
#include "systems/live.h"
#include "systems/object/server.h"
#include "systems/plan.h"

namespace polis::object {

class ConsoleApi {
 public:
  // Both outlive it.
  ConsoleApi(Server& server, systems::Plans& plans) : server_(server), plans_(plans) {}

  // During start.
  void mount(http::Router& router);
  Result<void> declare_topics(systems::LiveTopics& topics);

 private:
  struct Removal;
  Task<Result<systems::PlanDraft>> plan_removal(http::Request& request);
  Task<Result<systems::PlanDraft>> draft_removal(Removal removal);
  Task<Result<bool>> list(Removal& removal, const std::string& prefix, size_t limit);
  Task<Result<void>> list_versions(Removal& removal);
  Task<Result<std::string>> remove(const Removal& removal);

  Server& server_;
  systems::Plans& plans_;
};

// The topic "object.stripes" as JSON:
//   {"data_units":4,"parity_units":2,"slice_bytes":N,"rows":{"<extent>.<slice>":{"extent":E,"from":B,"to":B,"cells":"oooooo"}},
//    "repairing":true,"extents":N,"hidden_extents":N,"hidden_reduced":N,"file_bytes":N,"live_bytes":N}
// A row is a slice of an extent, a cell what one drive holds of it: o sound, m on a drive that is away, d damaged, s
// perhaps missing (the drive was away and no repair has found it complete since), r being rebuilt, . nothing: the extent has no
// unit there. Rows of another scheme than the pool's say "data_units" and "parity_units"; "homeless" counts units that
// lie on no drive that is there. Slices double until
// the rows are at most kStripeRowsMax, or one an extent. Of more than kStripeExtentsMax extents only the newest are
// rows; of the hidden ones it says how many are below full redundancy.
inline constexpr size_t kStripeRowsMax = 32;
inline constexpr size_t kStripeExtentsMax = 128;
std::string stripes_json(const blob::PoolPicture& picture, const std::vector<blob::DriveStatus>& drives);

}  // namespace polis::object
