#include "systems/ledger/storage/paged_table.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::ledger {
namespace {

struct Record {
  uint64_t value = 0, filler[15] = {};
};

// Appends, changes and undoes while an old state is read, against plain arrays.
TEST(PagedTable, an_old_state_is_read_whole_while_records_change) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    base::SeededRandom random(seed);
    PagedTable<Record> table;
    std::vector<uint64_t> model, frozen;
    const auto change_something = [&] {
      switch (random.below(4)) {
        case 0:
        case 1:
          model.push_back(random.next());
          ASSERT_EQ(table.append({.value = model.back()}), model.size() - 1);
          break;
        case 2:
          if (!model.empty()) {
            const uint64_t slot = random.below(model.size());
            table.change(slot).value = model[slot] = random.next();
          }
          break;
        default:
          model.resize(model.size() - random.below(std::min<size_t>(model.size() + 1, 3)));
          table.truncate(model.size());
      }
    };
    for (int round = 0; round < 5; ++round) {
      for (uint64_t n = random.below(300); n > 0; --n) change_something();
      frozen = model;
      table.freeze();
      for (uint64_t n = random.below(300); n > 0; --n) change_something();
      ASSERT_EQ(table.frozen_size(), frozen.size());
      for (uint64_t slot = 0; slot < frozen.size(); ++slot) ASSERT_EQ(table.frozen(slot).value, frozen[slot]);
      table.thaw();
      ASSERT_EQ(table.size(), model.size());
      for (uint64_t slot = 0; slot < model.size(); ++slot) ASSERT_EQ(table[slot].value, model[slot]);
    }
  }
}

TEST(PagedTable, kept_pages_count_as_memory_until_the_thaw) {
  PagedTable<Record> table;
  for (uint64_t i = 0; i < 320; ++i) table.append({.value = i});
  const uint64_t before = table.memory_bytes();
  table.freeze();
  for (uint64_t i = 0; i < 320; ++i) table.change(i).value = 0;
  EXPECT_GE(table.memory_bytes(), before + 320 * sizeof(Record));
  table.thaw();
  EXPECT_EQ(table.memory_bytes(), before);
}

}  // namespace
}  // namespace polis::ledger
