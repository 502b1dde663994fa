#include "kernel/blob/durability.h"

#include <gtest/gtest.h>

namespace polis::blob {
namespace {

struct Case {
  unsigned data_units, parity_units;
  double annual_failure_rate, repair_hours, nines;
  FailureCount count = FailureCount::kBinomial;
};

constexpr double kNoRepairHours = 365.25 * 24;

TEST(Durability, the_published_figures_come_out) {
  const Case cases[] = {
      {4, 2, 0.0081, 6.5 * 24, 8.47},                            // 4+2, repaired within 6.5 days
      {4, 2, 0.0081, 24, 10.10},                                 // within a day
      {4, 2, 0.0081, 8.5, 11.0},                                 // within 8.5 hours: eleven nines
      {4, 2, 0.0081, 1, 12.86},                                  //
      {4, 2, 0.0081, kNoRepairHours, 4.98},                      // never repaired
      {1, 2, 0.0081, 6.5 * 24, 9.77},                            // 3 copies
      {1, 2, 0.0081, kNoRepairHours, 6.27},                      // 3 copies, never repaired: the six nines
      {17, 3, 0.00405, 6.5 * 24, 11.0, FailureCount::kPoisson},  // Backblaze's vaults
  };
  for (const Case& c : cases) {
    EXPECT_NEAR(annual_durability_nines({c.data_units, c.parity_units, c.annual_failure_rate, c.repair_hours}, c.count),
                c.nines, 0.006)
        << c.data_units << "+" << c.parity_units << " in " << c.repair_hours << " h";
  }
}

TEST(Durability, faster_repair_and_more_parity_never_hurt) {
  double before = 0;
  for (double hours : {8766.0, 1000.0, 100.0, 10.0, 1.0, 0.1}) {
    const double now = annual_durability_nines({4, 2, 0.0081, hours});
    EXPECT_GT(now, before);
    EXPECT_GT(annual_durability_nines({4, 3, 0.0081, hours}), now);
    before = now;
  }
}

TEST(Durability, hopeless_drives_lose_everything) {
  EXPECT_NEAR(annual_loss_probability({4, 2, 1.0, kNoRepairHours}), 1.0, 1e-9);
  EXPECT_EQ(annual_loss_probability({4, 2, 0.0, 24}), 0.0);
}

}  // namespace
}  // namespace polis::blob
