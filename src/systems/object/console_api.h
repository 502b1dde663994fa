// What the console needs beyond the admin API: the live picture of stripes on drives, plans that remove objects, and
// the gateway that lets a browser speak S3 through the main port (gateway.h). On the Service's shard; handlers hop to
// it.
#pragma once

#include "kernel/http/router.h"
#include "kernel/io/shard.h"
#include "systems/live.h"
#include "systems/object/service.h"
#include "systems/plan.h"

namespace polis::object {

class ConsoleApi {
 public:
  // On the service's shard; all of them outlive it.
  ConsoleApi(Service& service, systems::Plans& plans) : service_(service), plans_(plans), home_(io::Shard::current()) {}

  // During start.
  void mount(http::Router& router);
  Result<void> declare_topics(systems::LiveTopics& topics);

 private:
  struct Removal;
  Task<Result<systems::PlanDraft>> plan_removal(http::Request& request);
  Task<Result<systems::PlanDraft>> draft_removal(Removal removal);
  Task<Result<bool>> list(Removal& removal, const std::string& prefix, size_t limit);
  Task<Result<std::string>> remove(const Removal& removal);

  Service& service_;
  systems::Plans& plans_;
  io::Shard& home_;
};

// The topic "object.stripes" as JSON:
//   {"data_units":4,"parity_units":2,"slice_bytes":N,"rows":{"<extent>.<slice>":{"extent":E,"from":B,"to":B,"cells":"oooooo"}},
//    "repairing":true,"extents":N,"stored_bytes":N,"live_bytes":N}
// A row is a slice of an extent, a cell what one drive holds of it: o sound, m on a drive that is away, d damaged, s
// perhaps missing (the drive was away and no repair has found it complete since), r being rebuilt. At most
// kStripeRowsMax rows: slices double until they fit.
inline constexpr size_t kStripeRowsMax = 32;
std::string stripes_json(const blob::PoolPicture& picture, const std::vector<blob::DriveStatus>& drives);

}  // namespace polis::object
