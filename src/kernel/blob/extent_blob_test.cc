#include "kernel/blob/extent_blob.h"

#include <gtest/gtest.h>

#include "kernel/blob/conformance.h"
#include "kernel/blob/simulated_pool.h"

namespace polis::blob {
namespace {

INSTANTIATE_TEST_SUITE_P(four_and_two, BlobConformance,
                         testing::Values([] { return std::make_unique<SimulatedPool>(small_extents()); }));
INSTANTIATE_TEST_SUITE_P(two_and_one, BlobConformance,
                         testing::Values([] { return std::make_unique<SimulatedPool>(small_extents(2, 1)); }));
INSTANTIATE_TEST_SUITE_P(eight_and_three, BlobConformance,
                         testing::Values([] { return std::make_unique<SimulatedPool>(small_extents(8, 3)); }));

}  // namespace
}  // namespace polis::blob
