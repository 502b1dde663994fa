#include "systems/ledger/faces/live_seconds.h"

#include <algorithm>
#include <boost/json.hpp>

namespace polis::ledger {

void LiveSeconds::record(int64_t second, uint64_t transfers, uint64_t latency_us) {
  end(second);
  transfers_ += transfers;
  latency_us_.record(latency_us);
}

// Closes the current second if `second` is a later one.
void LiveSeconds::end(int64_t second) {
  if (second <= current_) return;
  if (latency_us_.count() > 0)
    ended_.push_back({.second = current_,
                      .batches = latency_us_.count(),
                      .transfers = transfers_,
                      .latency_us_p50 = latency_us_.percentile(50),
                      .latency_us_p99 = latency_us_.percentile(99),
                      .latency_us_max = latency_us_.max()});
  transfers_ = 0;
  latency_us_.reset();
  current_ = second;
  while (!ended_.empty() && ended_.front().second < second - kLiveSecondsMax) ended_.pop_front();
}

const std::deque<LiveSeconds::Second>& LiveSeconds::ended(int64_t second) {
  end(second);
  return ended_;
}

std::string LiveSeconds::to_json(int64_t second) {
  boost::json::object seconds;
  for (const Second& one : ended(second))
    seconds[std::to_string(one.second)] = {one.transfers, one.batches, one.latency_us_p50, one.latency_us_p99,
                                           one.latency_us_max};
  return boost::json::serialize(boost::json::object{
      {"begin", std::max(begin_, current_ - kLiveSecondsMax)}, {"end", current_}, {"seconds", std::move(seconds)}});
}

}  // namespace polis::ledger
