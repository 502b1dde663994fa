#include "kernel/store/live_views.h"

#include <algorithm>

namespace polis::store {

void LiveViews::end(CommitTime view) {
  std::lock_guard lock(mutex_);
  auto moment =
      std::lower_bound(live_.begin(), live_.end(), view, [](const Moment& m, CommitTime at) { return m.view < at; });
  POLIS_ASSERT(moment != live_.end() && moment->view == view && moment->count > 0);
  --moment->count;
  --total_;
  while (!live_.empty() && live_.front().count == 0) live_.pop_front();
}

}  // namespace polis::store
