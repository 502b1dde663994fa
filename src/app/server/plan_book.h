// PlanBook: the open plans of all systems. Lives on shard 0; callable from any shard. Nothing is kept across a restart:
// a plan is a question to a person, and an old answer must not destroy anything.
#pragma once

#include <map>
#include <string>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "systems/plan.h"

namespace polis::app {

class PlanBook final : public systems::Plans {
 public:
  static constexpr size_t kOpenMax = 1000;
  static constexpr size_t kLinesMax = 1000;
  static constexpr Duration kLifetime = std::chrono::minutes(10);

  // Made on its home shard; references outlive it.
  PlanBook(const Clock& clock, Random& random) : home_(io::Shard::current()), clock_(clock), random_(random) {}

  Task<Result<systems::Plan>> propose(systems::PlanDraft draft) override;
  Task<Result<std::string>> apply(std::string id, std::string user_id, const http::Request* request = nullptr) override;

 private:
  struct Open {
    systems::PlanDraft draft;
    WallTime expires_at;
  };
  Task<Result<systems::Plan>> propose_here(systems::PlanDraft& draft);
  Task<Result<std::string>> apply_here(const std::string& id, const std::string& user_id, const http::Request* request);
  void drop_expired();

  io::Shard& home_;
  const Clock& clock_;
  Random& random_;
  std::map<std::string, Open> open_;
};

}  // namespace polis::app
