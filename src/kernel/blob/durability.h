// The durability figure: how likely a year passes without losing data. The model is the one that the industry quotes
// (Backblaze, 2018): shards fail independently at a constant rate; time is cut into windows as long as one repair; data
// is lost in a window in which more than m of k + m shards fail. It leaves out correlated failures (one machine, one
// batch of drives, one bug, one operator), which is why whoever shows the number shows the assumptions. Pure.
#pragma once

#include <algorithm>
#include <cmath>

namespace polis::blob {

struct DurabilityAssumptions {
  unsigned data_units = 4, parity_units = 2;
  double annual_failure_rate = 0.0081;  // of one drive: 0.81 %
  double repair_hours = 156;            // from a failure to full redundancy; 156 h are 6.5 days
};

// How failures of one window are counted: kPoisson lets a replaced drive fail again within the window and is the
// published form; kBinomial counts each of the k + m drives once, which is what the table of the object system uses.
enum class FailureCount : unsigned char { kBinomial, kPoisson };

// Probability of losing data within a year.
inline double annual_loss_probability(const DurabilityAssumptions& assumptions,
                                      FailureCount count = FailureCount::kBinomial) {
  constexpr double kHoursPerYear = 365.25 * 24;
  const unsigned units = assumptions.data_units + assumptions.parity_units;
  const double windows = std::max(1.0, kHoursPerYear / assumptions.repair_hours);
  const double fails = std::min(1 - 1e-12, assumptions.annual_failure_rate / windows);  // of one drive in one window
  // P(0 failures), then each further failure from the one before; the upper tail is summed directly, because a
  // difference to 1 would lose every digit of it.
  const double rate = fails * units;
  double term = count == FailureCount::kPoisson ? std::exp(-rate) : std::pow(1 - fails, units);
  double tail = 0;
  const unsigned failures_max = count == FailureCount::kPoisson ? units + 60 : units;
  for (unsigned failures = 1; failures <= failures_max; ++failures) {
    term *=
        count == FailureCount::kPoisson ? rate / failures : (units - failures + 1.0) / failures * fails / (1 - fails);
    if (failures > assumptions.parity_units) tail += term;
  }
  return -std::expm1(windows * std::log1p(-std::min(tail, 1.0)));
}

// 11.0 is 99.999999999 %.
inline double annual_durability_nines(const DurabilityAssumptions& assumptions,
                                      FailureCount count = FailureCount::kBinomial) {
  return -std::log10(annual_loss_probability(assumptions, count));
}

}  // namespace polis::blob
