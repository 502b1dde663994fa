// Plans: nothing is destroyed by surprise. A destructive request first makes a plan: an id and the list of exactly what
// it will touch. Applying the plan does exactly that, once. Owned by app; called from any shard.
//
// The API of every plan is the same: a system's endpoint answers 202 with the plan, and POST /api/plan/v1/<id> applies
// it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::http {
class Request;
}

namespace polis::systems {

struct PlanDraft {
  std::string user_id;               // who asks; only the same user may apply
  std::string title;                 // "Remove bucket photos with 1,204 objects"
  std::vector<std::string> touches;  // what exactly, at most 1000 lines; longer lists end with a count
  uint64_t touched_count = 0;
  uint64_t touched_bytes = 0;
  // Does it, on shard 0, and answers a JSON object as text for the caller. Must check that the world still matches what
  // was listed, and answer kConflict if it does not.
  std::function<Task<Result<std::string>>()> apply;
  // Whether this request may apply it: the user alone does not say, a token may hold less than all of his rights. Set by
  // mount_plan; null: whoever is the user.
  std::function<Result<void>(const http::Request&)> admit;
};

struct Plan {
  std::string id;
  std::string title;
  std::vector<std::string> touches;
  uint64_t touched_count = 0;
  uint64_t touched_bytes = 0;
  WallTime expires_at{};
};

// As the API and `--json` show it.
std::string to_json(const Plan& plan);

class Plans {
 public:
  virtual ~Plans() = default;
  // Valid for ten minutes and one use. kBusy when 1000 plans are open.
  virtual Task<Result<Plan>> propose(PlanDraft draft) = 0;
  // kNotFound: unknown, expired, used, or made by somebody else; kDenied: `request` may not, and the plan stays open.
  // Audited by the caller. `request` (null: in tests) lives until the call returns.
  virtual Task<Result<std::string>> apply(std::string id, std::string user_id, const http::Request* request) = 0;
};

}  // namespace polis::systems
