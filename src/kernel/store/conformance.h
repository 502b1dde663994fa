// What every adapter of the Store port must do, as one suite of GoogleTest. An adapter's test file includes this header
// and adds
//
//   INSTANTIATE_TEST_SUITE_P(Rocks, StoreConformance, testing::Values(StoreFactory{"rocks", [] { return ...; }}),
//   factory_name);
//
// Included by one test file a program. Histories come from seeds: POLIS_SEEDS how many (100), POLIS_SEED exactly one.
#pragma once

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/sim/seeds.h"
#include "kernel/store/store.h"

namespace polis::store {

// One store with a place of its own to live in, which its destructor removes.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual Store& store() = 0;
  // Closes and opens again what is there. No transaction is alive.
  virtual void reopen() = 0;
  // As a power cut: what was not acknowledged by a commit with Sync::kDisk may be gone. False: this adapter cannot.
  virtual bool power_cut() { return false; }
};

struct StoreFactory {
  std::string name;
  std::function<std::unique_ptr<StoreUnderTest>()> make;
};
inline std::string factory_name(const testing::TestParamInfo<StoreFactory>& parameter) {
  return parameter.param.name;
}

// A transaction driven from the test's thread: every call runs on shard 0 of the runtime and waits for the answer.
class Driven {
 public:
  Driven(io::Runtime& runtime, std::unique_ptr<Txn> txn) : runtime_(&runtime), txn_(std::move(txn)) {}
  Driven(Driven&&) = default;
  Driven& operator=(Driven&& other) {
    end();
    runtime_ = other.runtime_;
    txn_ = std::move(other.txn_);
    return *this;
  }
  ~Driven() { end(); }

  Result<std::optional<Row>> get(Keyspace keyspace, std::string_view key) {
    return runtime_->call(0, [&] { return txn_->get(keyspace, key); });
  }
  Result<std::optional<Row>> get_for_update(Keyspace keyspace, std::string_view key) {
    return runtime_->call(0, [&] { return txn_->get_for_update(keyspace, key); });
  }
  Result<Scan> scan(Keyspace keyspace, KeyRange range = {}, ScanOptions options = {}) {
    return runtime_->call(0, [&] { return txn_->scan(keyspace, range, options); });
  }
  Result<CommitTime> commit(Sync sync = Sync::kDisk) {
    return runtime_->call(0, [&] { return txn_->commit(sync); });
  }
  Txn* operator->() { return txn_.get(); }
  void end() {
    if (txn_) runtime_->call(0, [this] { return drop(); });
  }

 private:
  Task<int> drop() {
    txn_.reset();
    co_return 0;
  }
  io::Runtime* runtime_;
  std::unique_ptr<Txn> txn_;
};

class StoreConformance : public testing::TestWithParam<StoreFactory> {
 protected:
  void SetUp() override {
    runtime_.start();
    under_test_ = GetParam().make();
    ASSERT_TRUE(under_test_);
    rows_ = open("rows");
  }
  void TearDown() override {
    under_test_.reset();
    runtime_.stop();
  }

  Store& store() { return under_test_->store(); }
  Keyspace open(std::string_view name) {
    auto keyspace = store().keyspace(name);
    EXPECT_TRUE(keyspace) << keyspace.error().text();
    return keyspace.value_or(Keyspace{});
  }
  Driven begin(Isolation isolation = Isolation::kRepeatableRead) {
    auto txn = runtime_.call(0, [&] { return store().begin(isolation); });
    EXPECT_TRUE(txn) << txn.error().text();
    return Driven(runtime_, std::move(*txn));
  }
  // Commits these rows at once.
  CommitTime write(std::vector<std::pair<std::string, std::string>> rows) {
    Driven txn = begin();
    for (const auto& [key, value] : rows) EXPECT_TRUE(txn->put(rows_, key, value));
    auto at = txn.commit();
    EXPECT_TRUE(at) << at.error().text();
    return at.value_or(0);
  }
  std::string value_of(Driven& txn, std::string_view key) {
    auto row = txn.get(rows_, key);
    if (!row) return "error: " + row.error().text();
    return *row ? (*row)->value : "(none)";
  }
  std::string value_now(std::string_view key) {
    Driven txn = begin();
    return value_of(txn, key);
  }
  // "key=value key=value" in scan order, with " +" when more is left.
  std::string scanned(Driven& txn, KeyRange range = {}, ScanOptions options = {}) {
    auto scan = txn.scan(rows_, range, options);
    if (!scan) return "error: " + scan.error().text();
    std::string out;
    for (const Row& row : scan->rows) out += (out.empty() ? "" : " ") + row.key + "=" + row.value;
    return out + (scan->more ? " +" : "");
  }

  io::Runtime runtime_{{.shards = 2, .blocking_threads = 2}};
  std::unique_ptr<StoreUnderTest> under_test_;
  Keyspace rows_;
};

#define EXPECT_CODE(code_wanted, ...)                                                               \
  do {                                                                                              \
    auto&& expect_code_result = (__VA_ARGS__);                                                      \
    ASSERT_FALSE(expect_code_result) << "succeeded";                                                \
    EXPECT_EQ(expect_code_result.error().code(), code_wanted) << expect_code_result.error().text(); \
  } while (false)

// --- rows

TEST_P(StoreConformance, a_committed_row_is_read_with_its_version_and_commit_time) {
  const CommitTime first = write({{"a", "1"}});
  const CommitTime second = write({{"a", "2"}});
  EXPECT_GT(second, first);
  Driven txn = begin();
  auto row = txn.get(rows_, "a");
  ASSERT_TRUE(row && *row);
  EXPECT_EQ((*row)->key, "a");
  EXPECT_EQ((*row)->value, "2");
  EXPECT_EQ((*row)->version, 2u);
  EXPECT_EQ((*row)->committed_at, second);
  EXPECT_GE(txn->view(), second);
}

TEST_P(StoreConformance, an_absent_row_is_nothing_and_no_error) {
  Driven txn = begin();
  auto row = txn.get(rows_, "absent");
  ASSERT_TRUE(row);
  EXPECT_FALSE(*row);
}

TEST_P(StoreConformance, an_erased_row_is_gone_and_starts_again_at_version_1) {
  write({{"a", "1"}});
  write({{"a", "2"}});
  Driven eraser = begin();
  ASSERT_TRUE(eraser->erase(rows_, "a"));
  ASSERT_TRUE(eraser.commit());
  EXPECT_EQ(value_now("a"), "(none)");
  write({{"a", "3"}});
  Driven txn = begin();
  auto row = txn.get(rows_, "a");
  ASSERT_TRUE(row && *row);
  EXPECT_EQ((*row)->version, 1u);
}

TEST_P(StoreConformance, a_blind_put_is_a_row_of_version_1_and_meets_no_conflict) {
  write({{"a", "1"}});
  write({{"a", "2"}});
  Driven older = begin();
  Driven blind = begin();
  EXPECT_EQ(value_of(older, "a"), "2");
  ASSERT_TRUE(blind->put_blind(rows_, "b", "new"));
  ASSERT_TRUE(blind->put_blind(rows_, "a", "3"));
  EXPECT_EQ(value_of(blind, "a"), "3");
  write({{"a", "meanwhile"}});
  ASSERT_TRUE(blind.commit());
  EXPECT_EQ(value_of(older, "a"), "2");
  Driven txn = begin();
  const auto row = txn.get(rows_, "a");
  ASSERT_TRUE(row && *row);
  EXPECT_EQ((*row)->value, "3");
  EXPECT_EQ((*row)->version, 1u);
  EXPECT_EQ(value_of(txn, "b"), "new");
  // What others do with the row afterwards is as ever.
  write({{"a", "4"}});
  EXPECT_EQ(value_now("a"), "4");
}

TEST_P(StoreConformance, a_blind_put_that_is_changed_in_its_transaction_is_not_blind_any_more) {
  write({{"a", "1"}, {"b", "1"}});
  Driven txn = begin();
  ASSERT_TRUE(txn->put_blind(rows_, "a", "2"));
  ASSERT_TRUE(txn->put(rows_, "a", "3"));
  ASSERT_TRUE(txn->put_blind(rows_, "b", "2"));
  ASSERT_TRUE(txn->erase(rows_, "b"));
  ASSERT_TRUE(txn.commit());
  Driven reader = begin();
  EXPECT_EQ((*reader.get(rows_, "a"))->version, 2u);
  EXPECT_EQ(value_now("b"), "(none)");
  Driven guarded = begin();
  ASSERT_TRUE(guarded->insert(rows_, "a", "x"));
  ASSERT_TRUE(guarded->put_blind(rows_, "a", "y"));
  EXPECT_EQ(guarded.commit().error().code(), Code::kExists);
}

TEST_P(StoreConformance, keyspaces_hold_the_same_key_apart) {
  const Keyspace other = open("other");
  write({{"a", "here"}});
  Driven txn = begin();
  ASSERT_TRUE(txn->put(other, "a", "there"));
  ASSERT_TRUE(txn.commit());
  Driven reader = begin();
  EXPECT_EQ(value_of(reader, "a"), "here");
  EXPECT_EQ((*reader.get(other, "a"))->value, "there");
  EXPECT_EQ(open("other").id, other.id);
}

TEST_P(StoreConformance, own_writes_are_read_before_commit_and_by_nobody_else) {
  write({{"a", "old"}, {"gone", "x"}});
  Driven writer = begin();
  ASSERT_TRUE(writer->put(rows_, "a", "new"));
  ASSERT_TRUE(writer->put(rows_, "b", "made"));
  ASSERT_TRUE(writer->erase(rows_, "gone"));
  EXPECT_EQ(value_of(writer, "a"), "new");
  EXPECT_EQ(value_of(writer, "b"), "made");
  EXPECT_EQ(value_of(writer, "gone"), "(none)");
  EXPECT_EQ((*writer.get(rows_, "a"))->version, 2u);
  EXPECT_EQ((*writer.get(rows_, "b"))->version, 1u);
  Driven other = begin();
  EXPECT_EQ(scanned(other), "a=old gone=x");
  EXPECT_EQ(scanned(writer), "a=new b=made");
}

TEST_P(StoreConformance, a_rollback_leaves_nothing) {
  Driven txn = begin();
  ASSERT_TRUE(txn->put(rows_, "a", "1"));
  txn->rollback();
  EXPECT_EQ(value_now("a"), "(none)");
  EXPECT_CODE(Code::kInvalid, txn.commit());
  EXPECT_CODE(Code::kInvalid, txn->put(rows_, "a", "1"));
  EXPECT_CODE(Code::kInvalid, txn.get(rows_, "a"));
}

TEST_P(StoreConformance, a_transaction_that_is_dropped_leaves_nothing) {
  {
    Driven txn = begin();
    ASSERT_TRUE(txn->put(rows_, "a", "1"));
  }
  EXPECT_EQ(value_now("a"), "(none)");
}

TEST_P(StoreConformance, an_empty_value_is_a_row) {
  write({{"a", ""}});
  Driven txn = begin();
  auto row = txn.get(rows_, "a");
  ASSERT_TRUE(row && *row);
  EXPECT_EQ((*row)->value, "");
}

TEST_P(StoreConformance, a_commit_without_writes_succeeds) {
  const CommitTime at = write({{"a", "1"}});
  Driven txn = begin();
  EXPECT_EQ(value_of(txn, "a"), "1");
  auto committed = txn.commit();
  ASSERT_TRUE(committed);
  EXPECT_GE(*committed, at);
}

// --- bad input

TEST_P(StoreConformance, an_empty_key_is_refused) {
  Driven txn = begin();
  EXPECT_CODE(Code::kInvalid, txn->put(rows_, "", "x"));
  EXPECT_CODE(Code::kInvalid, txn->insert(rows_, "", "x"));
  EXPECT_CODE(Code::kInvalid, txn->update_if_version(rows_, "", 1, "x"));
  EXPECT_CODE(Code::kInvalid, txn->erase(rows_, ""));
  EXPECT_CODE(Code::kInvalid, txn.get(rows_, ""));
  EXPECT_CODE(Code::kInvalid, txn.get_for_update(rows_, ""));
}

TEST_P(StoreConformance, keys_of_8_KiB_are_kept_and_longer_ones_refused) {
  const std::string longest(8192, '\0');
  write({{longest, "zeros"}, {std::string(8192, '\xff'), "ones"}});
  EXPECT_EQ(value_now(longest), "zeros");
  EXPECT_EQ(value_now(std::string(8192, '\xff')), "ones");
  Driven txn = begin();
  EXPECT_CODE(Code::kTooLarge, txn->put(rows_, longest + "x", "x"));
  EXPECT_CODE(Code::kTooLarge, txn.get(rows_, longest + "x"));
}

TEST_P(StoreConformance, values_of_16_MiB_are_kept_and_larger_ones_refused) {
  const std::string largest(size_t{16} << 20, 'v');
  write({{"large", largest}});
  EXPECT_EQ(value_now("large"), largest);
  Driven txn = begin();
  EXPECT_CODE(Code::kTooLarge, txn->put(rows_, "larger", largest + "v"));
}

TEST_P(StoreConformance, a_transaction_of_more_than_64_MiB_is_refused_and_what_fits_can_commit) {
  const std::string value(size_t{15} << 20, 'v');
  Driven txn = begin();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(txn->put(rows_, "k" + std::to_string(i), value));
  EXPECT_CODE(Code::kTooLarge, txn->put(rows_, "k4", value));
  ASSERT_TRUE(txn.commit());
  EXPECT_EQ(value_now("k4"), "(none)");
  EXPECT_EQ(value_now("k3"), value);
}

TEST_P(StoreConformance, a_value_written_again_and_again_is_charged_once) {
  const std::string value(size_t{15} << 20, 'v');
  Driven txn = begin();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(txn->put(rows_, "k", value));
  ASSERT_TRUE(txn->erase(rows_, "k"));
  ASSERT_TRUE(txn->put(rows_, "k", "small"));
  ASSERT_TRUE(txn.commit());
  EXPECT_EQ(value_now("k"), "small");
}

TEST_P(StoreConformance, a_keyspace_that_nobody_opened_is_refused) {
  Driven txn = begin();
  EXPECT_CODE(Code::kInvalid, txn->put(Keyspace{4711}, "a", "x"));
  EXPECT_CODE(Code::kInvalid, txn.get(Keyspace{4711}, "a"));
  EXPECT_CODE(Code::kInvalid, txn.scan(Keyspace{4711}));
}

TEST_P(StoreConformance, names_of_keyspaces_are_checked) {
  for (const std::string& name : {std::string(), std::string("Upper"), std::string("a/b"), std::string("a b"),
                                  std::string(65, 'a'), std::string("a\0b", 3)})
    EXPECT_CODE(Code::kInvalid, store().keyspace(name));
  EXPECT_TRUE(store().keyspace(std::string(64, 'a')));
  EXPECT_TRUE(store().keyspace("default"));
}

TEST_P(StoreConformance, limits_of_a_scan_are_checked) {
  Driven txn = begin();
  EXPECT_CODE(Code::kInvalid, txn.scan(rows_, {}, {.limit = 0}));
  EXPECT_CODE(Code::kInvalid, txn.scan(rows_, {}, {.limit = 100'001}));
  EXPECT_CODE(Code::kInvalid, txn.scan(rows_, {}, {.bytes_limit = 0}));
  EXPECT_CODE(Code::kTooLarge, txn.scan(rows_, {std::string(10'000, 'a'), ""}));
}

// --- isolation

TEST_P(StoreConformance, repeatable_read_sees_the_moment_of_begin_throughout) {
  write({{"a", "100"}, {"b", "1"}});
  Driven reader = begin();
  EXPECT_EQ(value_of(reader, "a"), "100");
  write({{"a", "200"}, {"c", "new"}});
  Driven eraser = begin();
  ASSERT_TRUE(eraser->erase(rows_, "b"));
  ASSERT_TRUE(eraser.commit());
  EXPECT_EQ(value_of(reader, "a"), "100");
  EXPECT_EQ(scanned(reader), "a=100 b=1");
  EXPECT_EQ(value_now("a"), "200");
}

TEST_P(StoreConformance, read_committed_sees_each_commit_at_the_next_statement) {
  write({{"a", "1"}});
  Driven reader = begin(Isolation::kReadCommitted);
  EXPECT_EQ(value_of(reader, "a"), "1");
  Driven writer = begin();
  ASSERT_TRUE(writer->put(rows_, "a", "2"));
  EXPECT_EQ(value_of(reader, "a"), "1");
  ASSERT_TRUE(writer.commit());
  EXPECT_EQ(value_of(reader, "a"), "2");
  EXPECT_EQ(scanned(reader), "a=2");
}

TEST_P(StoreConformance, read_committed_writes_win_over_what_was_committed_meanwhile) {
  write({{"a", "1"}});
  Driven txn = begin(Isolation::kReadCommitted);
  EXPECT_EQ(value_of(txn, "a"), "1");
  write({{"a", "2"}});
  ASSERT_TRUE(txn->put(rows_, "a", "3"));
  ASSERT_TRUE(txn.commit());
  Driven reader = begin();
  EXPECT_EQ((*reader.get(rows_, "a"))->value, "3");
  EXPECT_EQ((*reader.get(rows_, "a"))->version, 3u);
}

TEST_P(StoreConformance, read_committed_keeps_the_promise_of_get_for_update) {
  write({{"a", "1"}});
  Driven txn = begin(Isolation::kReadCommitted);
  ASSERT_TRUE(txn.get_for_update(rows_, "a"));
  write({{"a", "2"}});
  EXPECT_EQ(value_of(txn, "a"), "2");
  ASSERT_TRUE(txn->put(rows_, "b", "x"));
  EXPECT_CODE(Code::kConflict, txn.commit());
}

TEST_P(StoreConformance, the_first_committer_of_a_row_wins) {
  write({{"a", "0"}});
  Driven first = begin();
  Driven second = begin();
  ASSERT_TRUE(first->put(rows_, "a", "first"));
  ASSERT_TRUE(second->put(rows_, "a", "second"));
  ASSERT_TRUE(second.commit());
  EXPECT_CODE(Code::kConflict, first.commit());
  EXPECT_EQ(value_now("a"), "second");
}

TEST_P(StoreConformance, the_first_committer_wins_on_rows_that_did_not_exist) {
  Driven first = begin();
  Driven second = begin();
  ASSERT_TRUE(first->put(rows_, "a", "first"));
  ASSERT_TRUE(second->put(rows_, "a", "second"));
  ASSERT_TRUE(first.commit());
  EXPECT_CODE(Code::kConflict, second.commit());
  EXPECT_EQ(value_now("a"), "first");
}

TEST_P(StoreConformance, an_erase_conflicts_with_a_write_of_the_same_row) {
  write({{"a", "0"}});
  Driven eraser = begin();
  Driven writer = begin();
  ASSERT_TRUE(eraser->erase(rows_, "a"));
  ASSERT_TRUE(writer->put(rows_, "a", "1"));
  ASSERT_TRUE(eraser.commit());
  EXPECT_CODE(Code::kConflict, writer.commit());
  EXPECT_EQ(value_now("a"), "(none)");
}

TEST_P(StoreConformance, a_conflict_on_one_row_undoes_all_of_them) {
  write({{"a", "0"}, {"z", "0"}});
  Driven txn = begin();
  ASSERT_TRUE(txn->put(rows_, "a", "1"));
  ASSERT_TRUE(txn->put(rows_, "z", "1"));
  write({{"z", "2"}});
  EXPECT_CODE(Code::kConflict, txn.commit());
  EXPECT_EQ(value_now("a"), "0");
}

TEST_P(StoreConformance, write_skew_is_allowed_under_snapshot_isolation) {
  write({{"x", "1"}, {"y", "1"}});
  Driven first = begin();
  Driven second = begin();
  EXPECT_EQ(value_of(first, "y"), "1");
  EXPECT_EQ(value_of(second, "x"), "1");
  ASSERT_TRUE(first->put(rows_, "x", "0"));
  ASSERT_TRUE(second->put(rows_, "y", "0"));
  EXPECT_TRUE(first.commit());
  EXPECT_TRUE(second.commit());
}

TEST_P(StoreConformance, get_for_update_prevents_write_skew) {
  write({{"x", "1"}, {"y", "1"}});
  Driven first = begin();
  Driven second = begin();
  ASSERT_TRUE(first.get_for_update(rows_, "y"));
  ASSERT_TRUE(second.get_for_update(rows_, "x"));
  ASSERT_TRUE(first->put(rows_, "x", "0"));
  ASSERT_TRUE(second->put(rows_, "y", "0"));
  EXPECT_TRUE(first.commit());
  EXPECT_CODE(Code::kConflict, second.commit());
}

TEST_P(StoreConformance, get_for_update_of_an_absent_row_conflicts_with_whoever_makes_it) {
  Driven txn = begin();
  auto row = txn.get_for_update(rows_, "absent");
  ASSERT_TRUE(row);
  EXPECT_FALSE(*row);
  ASSERT_TRUE(txn->put(rows_, "b", "x"));
  write({{"absent", "now here"}});
  EXPECT_CODE(Code::kConflict, txn.commit());
  EXPECT_EQ(value_now("b"), "(none)");
}

TEST_P(StoreConformance, get_for_update_alone_is_checked_at_commit) {
  write({{"a", "0"}});
  Driven calm = begin();
  ASSERT_TRUE(calm.get_for_update(rows_, "a"));
  EXPECT_TRUE(calm.commit());
  Driven txn = begin();
  ASSERT_TRUE(txn.get_for_update(rows_, "a"));
  write({{"a", "1"}});
  EXPECT_CODE(Code::kConflict, txn.commit());
}

// --- conditions

TEST_P(StoreConformance, insert_of_an_existing_row_is_kExists_at_commit) {
  write({{"a", "0"}});
  Driven txn = begin();
  ASSERT_TRUE(txn->insert(rows_, "a", "1"));
  EXPECT_CODE(Code::kExists, txn.commit());
  EXPECT_EQ(value_now("a"), "0");
}

TEST_P(StoreConformance, of_two_inserts_one_exists_already) {
  Driven first = begin();
  Driven second = begin();
  ASSERT_TRUE(first->insert(rows_, "a", "first"));
  ASSERT_TRUE(second->insert(rows_, "a", "second"));
  EXPECT_TRUE(second.commit());
  EXPECT_CODE(Code::kExists, first.commit());
  EXPECT_EQ(value_now("a"), "second");
}

TEST_P(StoreConformance, insert_sees_the_transactions_own_writes) {
  write({{"there", "0"}});
  Driven txn = begin();
  ASSERT_TRUE(txn->put(rows_, "mine", "1"));
  EXPECT_CODE(Code::kExists, txn->insert(rows_, "mine", "2"));
  ASSERT_TRUE(txn->erase(rows_, "there"));
  ASSERT_TRUE(txn->insert(rows_, "there", "again"));
  ASSERT_TRUE(txn.commit());
  EXPECT_EQ(value_now("mine"), "1");
  EXPECT_EQ(value_now("there"), "again");
}

TEST_P(StoreConformance, insert_keeps_its_condition_when_the_value_changes) {
  Driven txn = begin();
  ASSERT_TRUE(txn->insert(rows_, "a", "1"));
  ASSERT_TRUE(txn->put(rows_, "a", "2"));
  write({{"a", "other"}});
  EXPECT_CODE(Code::kExists, txn.commit());
}

TEST_P(StoreConformance, update_if_version_takes_exactly_the_version) {
  write({{"a", "1"}});
  Driven right = begin();
  ASSERT_TRUE(right->update_if_version(rows_, "a", 1, "2"));
  ASSERT_TRUE(right.commit());
  for (const uint64_t wrong : {0, 1, 3}) {
    Driven txn = begin();
    ASSERT_TRUE(txn->update_if_version(rows_, "a", wrong, "x"));
    EXPECT_CODE(Code::kVersionMismatch, txn.commit());
  }
  EXPECT_EQ(value_now("a"), "2");
}

TEST_P(StoreConformance, update_if_version_0_means_absent) {
  Driven txn = begin();
  ASSERT_TRUE(txn->update_if_version(rows_, "a", 0, "made"));
  ASSERT_TRUE(txn.commit());
  Driven again = begin();
  ASSERT_TRUE(again->update_if_version(rows_, "a", 0, "made twice"));
  EXPECT_CODE(Code::kVersionMismatch, again.commit());
  Driven absent = begin();
  ASSERT_TRUE(absent->update_if_version(rows_, "b", 1, "x"));
  EXPECT_CODE(Code::kVersionMismatch, absent.commit());
}

TEST_P(StoreConformance, of_two_updates_of_one_version_one_wins) {
  write({{"a", "0"}});
  Driven first = begin();
  Driven second = begin();
  ASSERT_TRUE(first->update_if_version(rows_, "a", 1, "first"));
  ASSERT_TRUE(second->update_if_version(rows_, "a", 1, "second"));
  EXPECT_TRUE(first.commit());
  EXPECT_CODE(Code::kVersionMismatch, second.commit());
  EXPECT_EQ(value_now("a"), "first");
}

TEST_P(StoreConformance, two_versions_asked_of_one_row_cannot_both_hold) {
  Driven txn = begin();
  ASSERT_TRUE(txn->update_if_version(rows_, "a", 1, "x"));
  EXPECT_CODE(Code::kVersionMismatch, txn->update_if_version(rows_, "a", 2, "y"));
}

TEST_P(StoreConformance, erasing_what_is_not_there_changes_nothing) {
  Driven txn = begin();
  ASSERT_TRUE(txn->erase(rows_, "absent"));
  ASSERT_TRUE(txn.commit());
  ASSERT_TRUE(begin()->insert(rows_, "absent", "x"));
  write({{"absent", "1"}});
  Driven reader = begin();
  EXPECT_EQ((*reader.get(rows_, "absent"))->version, 1u);
}

// --- scans

TEST_P(StoreConformance, a_scan_is_half_open_and_in_order_both_ways) {
  write({{"b", "2"}, {"a", "1"}, {"d", "4"}, {"c", "3"}});
  Driven txn = begin();
  EXPECT_EQ(scanned(txn), "a=1 b=2 c=3 d=4");
  EXPECT_EQ(scanned(txn, {"b", "d"}), "b=2 c=3");
  EXPECT_EQ(scanned(txn, {"b", "d"}, {.reverse = true}), "c=3 b=2");
  EXPECT_EQ(scanned(txn, {"bb", ""}), "c=3 d=4");
  EXPECT_EQ(scanned(txn, {"", "bb"}, {.reverse = true}), "b=2 a=1");
  EXPECT_EQ(scanned(txn, {"d", "b"}), "");
  EXPECT_EQ(scanned(txn, {"b", "b"}), "");
  EXPECT_EQ(scanned(txn, {"x", ""}), "");
}

TEST_P(StoreConformance, more_is_said_exactly_when_a_limit_cut_rows_off) {
  write({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  Driven eraser = begin();
  ASSERT_TRUE(eraser->put(rows_, "d", "4"));
  ASSERT_TRUE(eraser.commit());
  Driven again = begin();
  ASSERT_TRUE(again->erase(rows_, "d"));
  ASSERT_TRUE(again.commit());
  Driven txn = begin();
  EXPECT_EQ(scanned(txn, {}, {.limit = 2}), "a=1 b=2 +");
  EXPECT_EQ(scanned(txn, {}, {.limit = 3}), "a=1 b=2 c=3");
  EXPECT_EQ(scanned(txn, {}, {.limit = 2, .reverse = true}), "c=3 b=2 +");
  EXPECT_EQ(scanned(txn, {"", "c"}, {.limit = 2}), "a=1 b=2");
}

TEST_P(StoreConformance, the_bytes_limit_stops_after_the_row_that_reaches_it) {
  write({{"a", std::string(100, 'x')}, {"b", std::string(100, 'y')}, {"c", std::string(100, 'z')}});
  Driven txn = begin();
  auto scan = txn.scan(rows_, {}, {.bytes_limit = 102});
  ASSERT_TRUE(scan);
  EXPECT_EQ(scan->rows.size(), 2u);
  EXPECT_TRUE(scan->more);
  scan = txn.scan(rows_, {}, {.bytes_limit = 101});
  EXPECT_EQ(scan->rows.size(), 1u);
  scan = txn.scan(rows_, {}, {.bytes_limit = 303});
  EXPECT_EQ(scan->rows.size(), 3u);
  EXPECT_FALSE(scan->more);
}

TEST_P(StoreConformance, keys_only_leaves_values_out) {
  write({{"a", "1"}});
  Driven txn = begin();
  ASSERT_TRUE(txn->put(rows_, "b", "2"));
  EXPECT_EQ(scanned(txn, {}, {.keys_only = true}), "a= b=");
}

TEST_P(StoreConformance, a_scan_merges_own_writes_both_ways) {
  write({{"b", "2"}, {"d", "4"}, {"f", "6"}});
  Driven txn = begin();
  ASSERT_TRUE(txn->put(rows_, "a", "own"));
  ASSERT_TRUE(txn->put(rows_, "d", "own"));
  ASSERT_TRUE(txn->put(rows_, "e", "own"));
  ASSERT_TRUE(txn->erase(rows_, "b"));
  ASSERT_TRUE(txn->put(rows_, "z", "own"));
  EXPECT_EQ(scanned(txn), "a=own d=own e=own f=6 z=own");
  EXPECT_EQ(scanned(txn, {}, {.reverse = true}), "z=own f=6 e=own d=own a=own");
  EXPECT_EQ(scanned(txn, {"b", "f"}), "d=own e=own");
  EXPECT_EQ(scanned(txn, {"b", "f"}, {.limit = 1, .reverse = true}), "e=own +");
  EXPECT_EQ(scanned(txn, {}, {.limit = 3}), "a=own d=own e=own +");
}

TEST_P(StoreConformance, keys_of_any_bytes_sort_bytewise) {
  using namespace std::string_literals;
  const std::vector<std::string> keys = {"\0"s,   "\0\0"s, "\0\0\1"s, "\0\1"s,   "\0\2"s,    "\0\xff"s, "\1"s,
                                         "a"s,    "a\0"s,  "a\0\0"s,  "a\0\1"s,  "a\0\xff"s, "a\1"s,    "aa"s,
                                         "\x7f"s, "\x80"s, "\xff"s,   "\xff\0"s, "\xff\xff"s};
  ASSERT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  for (const std::string& key : keys) write({{key, "1"}});
  for (const std::string& key : keys) write({{key, "2"}});
  Driven txn = begin();
  auto forward = txn.scan(rows_);
  ASSERT_TRUE(forward);
  ASSERT_EQ(forward->rows.size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(forward->rows[i].key, keys[i]);
    EXPECT_EQ(value_of(txn, keys[i]), "2");
  }
  auto backward = txn.scan(rows_, {}, {.reverse = true});
  ASSERT_TRUE(backward);
  ASSERT_EQ(backward->rows.size(), keys.size());
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(backward->rows[keys.size() - 1 - i].key, keys[i]);
  for (const std::string& prefix : {"a"s, "\0"s, "\xff"s, "a\0"s}) {
    auto scan = txn.scan(rows_, prefix_range(prefix));
    ASSERT_TRUE(scan);
    EXPECT_EQ(scan->rows.size(), static_cast<size_t>(std::count_if(
                                     keys.begin(), keys.end(), [&](const auto& k) { return k.starts_with(prefix); })));
  }
}

TEST_P(StoreConformance, long_chains_of_versions_are_stepped_over_both_ways) {
  for (int i = 0; i < 40; ++i) write({{"a", std::to_string(i)}, {"b", std::to_string(i)}});
  Driven middle = begin();
  for (int i = 40; i < 80; ++i) write({{"a", std::to_string(i)}, {"b", std::to_string(i)}, {"new", "x"}});
  EXPECT_EQ(scanned(middle), "a=39 b=39");
  EXPECT_EQ(scanned(middle, {}, {.reverse = true}), "b=39 a=39");
  EXPECT_EQ(value_of(middle, "b"), "39");
  Driven now = begin();
  EXPECT_EQ(scanned(now, {}, {.reverse = true}), "new=x b=79 a=79");
}

TEST_P(StoreConformance, pages_of_a_scan_join_without_gap_or_repeat) {
  constexpr int kRows = 3000;
  Driven writer = begin();
  for (int i = 0; i < kRows; ++i) ASSERT_TRUE(writer->put(rows_, "k" + std::to_string(100'000 + i), "v"));
  ASSERT_TRUE(writer.commit());
  Driven txn = begin();
  for (const bool reverse : {false, true}) {
    KeyRange range;
    std::vector<std::string> seen;
    while (true) {
      auto page = txn.scan(rows_, range, {.limit = 700, .reverse = reverse});
      ASSERT_TRUE(page);
      for (const Row& row : page->rows) seen.push_back(row.key);
      if (!page->more) break;
      (reverse ? range.end : range.begin) = seen.back() + (reverse ? "" : std::string(1, '\0'));
    }
    if (reverse) std::reverse(seen.begin(), seen.end());
    ASSERT_EQ(seen.size(), static_cast<size_t>(kRows));
    for (int i = 0; i < kRows; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], "k" + std::to_string(100'000 + i));
  }
}

// --- many at once

namespace conformance {

inline Task<void> increment(Store& store, Keyspace rows, int times, int& failed) {
  for (int i = 0; i < times; ++i) {
    auto done = co_await transact(
        store,
        [rows](Txn& txn) -> Task<Result<int>> {
          const auto row = CO_TRY(co_await txn.get(rows, "counter"));
          const int next = row ? std::stoi(row->value) + 1 : 1;
          CO_TRY(txn.put(rows, "counter", std::to_string(next)));
          co_return next;
        },
        Sync::kDisk, 1000);
    if (!done) ++failed;
  }
}

inline Task<int> increment_all(Store& store, Keyspace rows, int clients, int times) {
  int failed = 0;
  io::TaskGroup group(co_await io::this_scope());
  for (int i = 0; i < clients; ++i) group.spawn(increment(store, rows, times, failed));
  co_await group.join();
  co_return failed;
}

inline constexpr int kAccounts = 8;
inline std::string account(uint64_t index) {
  return "account" + std::to_string(index);
}

inline Task<void> transfer(Store& store, Keyspace rows, uint64_t seed, int times, int& failed) {
  base::SeededRandom random(seed);
  for (int i = 0; i < times; ++i) {
    const uint64_t from = random.below(kAccounts), to = (from + 1 + random.below(kAccounts - 1)) % kAccounts;
    auto done = co_await transact(
        store,
        [rows, from, to](Txn& txn) -> Task<Result<int>> {
          const auto source = CO_TRY(co_await txn.get(rows, account(from)));
          const auto target = CO_TRY(co_await txn.get(rows, account(to)));
          CO_TRY(txn.put(rows, account(from), std::to_string(std::stoi(source->value) - 1)));
          CO_TRY(txn.put(rows, account(to), std::to_string(std::stoi(target->value) + 1)));
          co_return 0;
        },
        i % 2 == 0 ? Sync::kDisk : Sync::kOs, 1000);
    if (!done) ++failed;
  }
}

inline Task<void> audit(Store& store, Keyspace rows, int times, int& failed) {
  for (int i = 0; i < times; ++i) {
    auto sum = co_await transact(store, [rows](Txn& txn) -> Task<Result<int>> {
      const auto scan = CO_TRY(co_await txn.scan(rows, prefix_range("account")));
      int total = 0;
      for (const Row& row : scan.rows) total += std::stoi(row.value);
      co_return total;
    });
    if (!sum || *sum != kAccounts * 100) ++failed;
    co_await io::yield();
  }
}

inline Task<int> transfer_all(Store& store, Keyspace rows, uint64_t seed) {
  int failed = 0;
  io::TaskGroup group(co_await io::this_scope());
  for (uint64_t i = 0; i < 4; ++i) group.spawn(transfer(store, rows, seed + i, 25, failed));
  group.spawn(audit(store, rows, 50, failed));
  co_await group.join();
  co_return failed;
}

inline Task<int> transfer_on_two_shards(io::Runtime& runtime, Store& store, Keyspace rows) {
  int failed = 0;
  auto remote = io::on(runtime.shard(1), [&] { return transfer_all(store, rows, 100); });
  auto local = transfer_all(store, rows, 200);
  // Both at a time: the remote half runs in a task of its own.
  io::TaskGroup group(co_await io::this_scope());
  struct Half {
    static Task<void> run(Task<int>& half, int& sum) { sum += co_await half; }
  };
  group.spawn(Half::run(remote, failed));
  group.spawn(Half::run(local, failed));
  co_await group.join();
  co_return failed;
}

}  // namespace conformance

TEST_P(StoreConformance, no_increment_of_many_clients_is_lost) {
  constexpr int kClients = 16, kTimes = 10;
  const int failed = runtime_.call(0, [&] { return conformance::increment_all(store(), rows_, kClients, kTimes); });
  EXPECT_EQ(failed, 0);
  Driven txn = begin();
  auto row = txn.get(rows_, "counter");
  ASSERT_TRUE(row && *row);
  EXPECT_EQ((*row)->value, std::to_string(kClients * kTimes));
  EXPECT_EQ((*row)->version, static_cast<uint64_t>(kClients * kTimes));
}

TEST_P(StoreConformance, transfers_on_two_shards_keep_every_snapshot_balanced) {
  Driven writer = begin();
  for (uint64_t i = 0; i < conformance::kAccounts; ++i) ASSERT_TRUE(writer->put(rows_, conformance::account(i), "100"));
  ASSERT_TRUE(writer.commit());
  EXPECT_EQ(runtime_.call(0, [&] { return conformance::transfer_on_two_shards(runtime_, store(), rows_); }), 0);
}

TEST_P(StoreConformance, transact_returns_the_bodys_own_error_and_writes_nothing) {
  auto done = runtime_.call(0, [&] {
    return transact(store(), [this](Txn& txn) -> Task<Result<int>> {
      CO_TRY(txn.put(rows_, "a", "1"));
      co_return fail(Code::kDenied, "no");
    });
  });
  EXPECT_CODE(Code::kDenied, done);
  EXPECT_EQ(value_now("a"), "(none)");
}

// --- life

TEST_P(StoreConformance, rows_versions_and_rising_times_survive_a_reopen) {
  write({{"a", "1"}});
  const CommitTime before = write({{"a", "2"}, {"b", "x"}});
  under_test_->reopen();
  rows_ = open("rows");
  Driven txn = begin();
  auto row = txn.get(rows_, "a");
  ASSERT_TRUE(row && *row);
  EXPECT_EQ((*row)->value, "2");
  EXPECT_EQ((*row)->version, 2u);
  EXPECT_EQ((*row)->committed_at, before);
  EXPECT_GE(txn->view(), before);
  txn.end();
  EXPECT_GT(write({{"a", "3"}}), before);
}

TEST_P(StoreConformance, acknowledged_commits_survive_a_power_cut) {
  const CommitTime before = write({{"a", "1"}});
  Driven relaxed = begin();
  ASSERT_TRUE(relaxed->put(rows_, "relaxed", "maybe"));
  ASSERT_TRUE(relaxed.commit(Sync::kOs));
  Driven strict = begin();
  EXPECT_EQ(value_of(strict, "relaxed"), "maybe");
  ASSERT_TRUE(strict->put(rows_, "strict", "saw relaxed"));
  ASSERT_TRUE(strict.commit());
  relaxed.end();
  strict.end();
  if (!under_test_->power_cut()) GTEST_SKIP() << "this adapter cannot cut the power";
  rows_ = open("rows");
  Driven txn = begin();
  EXPECT_EQ(scanned(txn), "a=1 relaxed=maybe strict=saw relaxed");
  txn.end();
  EXPECT_GT(write({{"a", "2"}}), before);
}

// --- the model

namespace conformance {

// What a store is: for each key its committed versions.
struct Model {
  struct Version {
    CommitTime at;
    uint64_t version;
    std::optional<std::string> value;
  };
  std::map<std::string, std::vector<Version>> rows;

  Version seen(const std::string& key, CommitTime view) const {
    Version newest{0, 0, {}};
    if (const auto row = rows.find(key); row != rows.end())
      for (const Version& version : row->second)
        if (version.at <= view) newest = version;
    return newest;
  }
};

struct ModelWrite {
  std::optional<std::string> value;
  std::optional<uint64_t> expected;  // 0: absent
  bool insert = false;
};

struct ModelTxn {
  Driven txn;
  CommitTime view;
  std::map<std::string, ModelWrite> writes;
  std::set<std::string> guards;
};

// Short keys over bytes that the key encoding treats specially, so that neighbours and prefixes abound.
inline std::string random_key(Random& random) {
  static constexpr char kBytes[] = {'\x00', '\x01', '\x02', 'a', '\xff'};
  std::string key;
  for (uint64_t i = 0, n = 1 + random.below(3); i < n; ++i) key.push_back(kBytes[random.below(5)]);
  return key;
}

}  // namespace conformance

class StoreHistory : public StoreConformance {
 protected:
  using Model = conformance::Model;
  using ModelTxn = conformance::ModelTxn;

  void play(uint64_t seed) {
    SCOPED_TRACE("POLIS_SEED=" + std::to_string(seed));
    base::SeededRandom random(seed);
    keyspace_ = open("history" + std::to_string(seed % 64));  // seeds share keyspaces so as not to run out of them
    prefix_ = "s" + std::to_string(seed) + "/";
    model_ = {};
    std::vector<ModelTxn> live;
    for (int step = 0; step < 150 && !HasFailure(); ++step) {
      if (live.size() < 2 || (live.size() < 6 && random.chance(1, 6))) {
        Driven txn = begin();
        const CommitTime view = txn->view();
        live.push_back({std::move(txn), view, {}, {}});
      }
      const size_t index = random.below(live.size());
      if (random.chance(1, 8)) {
        commit(live[index], random);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(index));
      } else if (random.chance(1, 40)) {
        live[index].txn->rollback();
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(index));
      } else {
        operate(live[index], random);
      }
    }
  }

 private:
  std::optional<std::string> expected(const ModelTxn& txn, const std::string& key, uint64_t& version) const {
    const auto own = txn.writes.find(key);
    const auto committed = model_.seen(key, txn.view);
    version = committed.version + (own == txn.writes.end() ? 0 : 1);
    return own == txn.writes.end() ? committed.value : own->second.value;
  }

  void operate(ModelTxn& txn, Random& random) {
    const std::string key = prefix_ + conformance::random_key(random);
    const std::string value = std::to_string(random.below(1000));
    const auto own = txn.writes.find(key);
    const bool fresh = own == txn.writes.end();
    switch (random.below(9)) {
      case 0:
      case 1: {
        ASSERT_TRUE(txn.txn->put(keyspace_, key, value));
        txn.writes[key].value = value;
        break;
      }
      case 2: {
        ASSERT_TRUE(txn.txn->erase(keyspace_, key));
        txn.writes[key].value.reset();
        break;
      }
      case 3: {
        const auto done = txn.txn->insert(keyspace_, key, value);
        if (!fresh && own->second.value) {
          EXPECT_CODE(Code::kExists, done);
          break;
        }
        ASSERT_TRUE(done);
        if (fresh) txn.writes[key].insert = true;
        txn.writes[key].value = value;
        break;
      }
      case 4: {
        const uint64_t version = random.chance(1, 4) ? random.below(3) : model_.seen(key, txn.view).version;
        const auto done = txn.txn->update_if_version(keyspace_, key, version, value);
        const bool other = !fresh && ((own->second.insert && version != 0) ||
                                      (own->second.expected && *own->second.expected != version));
        if (other) {
          EXPECT_CODE(Code::kVersionMismatch, done);
          break;
        }
        ASSERT_TRUE(done);
        auto& write = txn.writes[key];
        if (!write.insert && !write.expected) write.expected = version;
        write.value = value;
        break;
      }
      case 5: {
        check_row(txn, key, txn.txn.get_for_update(keyspace_, key));
        txn.guards.insert(key);
        break;
      }
      case 6:
        check_scan(txn, random);
        break;
      default:
        check_row(txn, key, txn.txn.get(keyspace_, key));
    }
  }

  void check_row(const ModelTxn& txn, const std::string& key, const Result<std::optional<Row>>& row) {
    uint64_t version = 0;
    const auto wanted = expected(txn, key, version);
    ASSERT_TRUE(row) << row.error().text();
    ASSERT_EQ(row->has_value(), wanted.has_value());
    if (!wanted) return;
    EXPECT_EQ((*row)->value, *wanted);
    EXPECT_EQ((*row)->version, version);
  }

  void check_scan(ModelTxn& txn, Random& random) {
    KeyRange range = prefix_range(prefix_);
    if (random.chance(1, 2)) range.begin = prefix_ + conformance::random_key(random);
    if (random.chance(1, 2)) range.end = prefix_ + conformance::random_key(random);
    ScanOptions options{.limit = 1 + random.below(12), .reverse = random.chance(1, 2)};
    std::set<std::string> keys;
    for (const auto& [key, versions] : model_.rows) keys.insert(key);
    for (const auto& [key, write] : txn.writes) keys.insert(key);
    std::vector<Row> wanted;
    for (const std::string& key : keys) {
      uint64_t version = 0;
      if (key < range.begin || key >= range.end) continue;
      if (const auto value = expected(txn, key, version)) wanted.push_back({key, *value, version, 0});
    }
    if (options.reverse) std::reverse(wanted.begin(), wanted.end());
    const auto scan = txn.txn.scan(keyspace_, range, options);
    ASSERT_TRUE(scan) << scan.error().text();
    EXPECT_EQ(scan->more, wanted.size() > options.limit);
    wanted.resize(std::min(wanted.size(), options.limit));
    ASSERT_EQ(scan->rows.size(), wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_EQ(scan->rows[i].key, wanted[i].key);
      EXPECT_EQ(scan->rows[i].value, wanted[i].value);
      EXPECT_EQ(scan->rows[i].version, wanted[i].version);
    }
  }

  void commit(ModelTxn& txn, Random& random) {
    std::set<Code> allowed;  // which of several reasons is told first is up to the adapter
    const auto changed = [&](const std::string& key) { return model_.seen(key, UINT64_MAX).at > txn.view; };
    for (const std::string& key : txn.guards)
      if (changed(key)) allowed.insert(Code::kConflict);
    for (const auto& [key, write] : txn.writes) {
      const auto newest = model_.seen(key, UINT64_MAX);
      if (write.insert && newest.value) {
        allowed.insert(Code::kExists);
      } else if (write.expected && *write.expected != newest.version) {
        allowed.insert(Code::kVersionMismatch);
      } else if (changed(key)) {
        allowed.insert(Code::kConflict);
      }
    }
    const auto committed = txn.txn.commit(random.chance(1, 8) ? Sync::kDisk : Sync::kOs);
    ASSERT_EQ(committed.has_value(), allowed.empty()) << (committed ? "committed" : committed.error().text());
    if (!committed) {
      EXPECT_TRUE(allowed.contains(committed.error().code())) << committed.error().text();
      return;
    }
    bool wrote = false;
    for (const auto& [key, write] : txn.writes) {
      const auto before = model_.seen(key, UINT64_MAX);
      if (!write.value && !before.value) continue;
      model_.rows[key].push_back({*committed, write.value ? before.version + 1 : 0, write.value});
      wrote = true;
    }
    if (!wrote) return;
    EXPECT_GT(*committed, newest_);
    newest_ = *committed;
  }

  Keyspace keyspace_;
  std::string prefix_;
  Model model_;
  CommitTime newest_ = 0;
};

TEST_P(StoreHistory, random_histories_agree_with_a_map_of_versions) {
  const uint64_t broken =
      sim::for_each_seed(sim::seeds(), [&](uint64_t seed) { play(seed); }, [] { return testing::Test::HasFailure(); });
  EXPECT_EQ(broken, 0u) << "POLIS_SEED=" << broken;
}

}  // namespace polis::store
