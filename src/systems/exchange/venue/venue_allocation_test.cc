// No memory is asked for on the way of an order, once a day like this one has been seen.
#include <atomic>
#include <cstdlib>
#include <gtest/gtest.h>
#include <new>

#include "kernel/base/random.h"
#include "systems/exchange/venue/venue_test_support.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<size_t> allocations{0};

void* counted(size_t size, size_t alignment) {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, size == 0 ? 1 : size) != 0) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t size) {
  return counted(size, alignof(std::max_align_t));
}
void* operator new(size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace polis::exchange::testing_venue {
namespace {

// Orders, trades, replaces and cancels of two sessions; about as many rest all the time.
void trade_for_a_day(TestVenue& it, uint32_t day, int orders) {
  base::SeededRandom random(day);
  for (int i = 0; i < orders; ++i) {
    const auto session = static_cast<SessionId>(1 + random.below(2));
    const auto side = static_cast<Side>(random.below(2));
    const Price price =
        side == Side::kBuy ? 100 - static_cast<Price>(random.below(8)) : 99 + static_cast<Price>(random.below(8));
    char id[24], other[24];
    std::snprintf(id, sizeof id, "%d", i);
    it.send(order(session, 1, id, side, 1 + static_cast<Quantity>(random.below(20)), price));
    if (i > 300 && i % 3 == 0) {
      // The order from some while ago, of whichever session.
      std::snprintf(other, sizeof other, "%d", i - 200);
      std::snprintf(id, sizeof id, "c%d", i);
      if (i % 2 == 0) {
        it.send(cancel(session, id, other));
      } else {
        it.send(replace(session, id, other, 5, price));
      }
    }
    if (i % 500 == 499) {
      Request everything = request(RequestKind::kMassCancel);
      OrderFields fields;
      everything.body.order = fields;
      it.send(everything);
    }
  }
}

TEST(VenueAllocation, an_order_asks_for_no_memory_on_its_way) {
  allocations = 0;
  counting = true;
  TestVenue it;
  it.prepare();
  EXPECT_GT(allocations.load(), 0u) << "nobody counts";
  counting = false;
  for (const AccountId account : {2u, 3u}) it.send(risk(account, {.rate_per_second = 0}));
  for (uint32_t day = 1; day <= 3; ++day) {
    trade_for_a_day(it, day, 100'000);
    it.send(settle(day));
  }
  allocations = 0;
  counting = true;
  trade_for_a_day(it, 2, 100'000);
  counting = false;
  EXPECT_EQ(allocations.load(), 0u);
}

}  // namespace
}  // namespace polis::exchange::testing_venue
