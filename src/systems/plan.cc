#include "systems/plan.h"

#include <boost/json.hpp>

#include "kernel/base/time_format.h"

namespace polis::systems {

std::string to_json(const Plan& plan) {
  boost::json::array touches(plan.touches.begin(), plan.touches.end());
  return boost::json::serialize(boost::json::object{{"id", plan.id},
                                                    {"title", plan.title},
                                                    {"touches", std::move(touches)},
                                                    {"touched_count", plan.touched_count},
                                                    {"touched_bytes", plan.touched_bytes},
                                                    {"expires_at", base::format_rfc3339_seconds(plan.expires_at)}});
}

}  // namespace polis::systems
