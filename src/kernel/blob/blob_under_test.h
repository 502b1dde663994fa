// A Blob in a test, and an owner of its receipts. The suite itself is conformance.h.
#pragma once

#include <gtest/gtest.h>
#include <map>
#include <optional>

#include "kernel/blob/blob.h"
#include "kernel/blob/test_streams.h"

#define ASSERT_OK(result) ASSERT_TRUE(polis::blob::is_ok(result))
#define EXPECT_OK(result) EXPECT_TRUE(polis::blob::is_ok(result))

namespace polis::blob {

template <class T>
testing::AssertionResult is_ok(const Result<T>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << result.error().text();
}

// One Blob and the world it lives in.
class BlobUnderTest {
 public:
  virtual ~BlobUnderTest() = default;
  virtual Blob& blob() = 0;
  virtual void reopen() = 0;                   // close, then open on the same bytes
  virtual void run_task(Task<void> task) = 0;  // until it is done
  virtual void pass_time(Duration duration) = 0;

  template <class T>
  T run(Task<T> task) {
    std::optional<T> value;
    run_task(keep(std::move(task), value));
    return std::move(*value);
  }

  Scheme scheme;  // of the puts below

  Result<Receipt> put(BytesView bytes, uint64_t hint) {
    BytesSource source(bytes);
    return run(blob().put(source, hint, scheme));
  }
  Result<Receipt> put(BytesView bytes) { return put(bytes, bytes.size()); }
  Result<Bytes> get(const Receipt& receipt, Range range) {
    BytesSink sink;
    auto got = run(blob().get(receipt, range, sink));
    if (!got) return fail(got.error());
    return std::move(sink.got);
  }
  Result<Bytes> get(const Receipt& receipt) { return get(receipt, {0, receipt.size_bytes}); }

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>& value) {
    Task<T> inside = std::move(task);
    value.emplace(co_await inside);
  }
};

// An owner with a plain map of rows, as the metadata of a system would be.
class MapOwner final : public Owner {
 public:
  Task<Result<std::vector<bool>>> referenced(std::vector<BlobId> ids) override {
    std::vector<bool> answer;
    for (const BlobId& id : ids) answer.push_back(rows.contains(id));
    co_return answer;
  }
  Task<Result<void>> moved(BlobId from, BlobId to) override {
    auto found = rows.find(from);
    if (found == rows.end()) co_return fail(Code::kNotFound, "deleted meanwhile");
    Bytes bytes = std::move(found->second);
    rows.erase(found);
    rows.emplace(std::move(to), std::move(bytes));
    co_return {};
  }
  std::map<BlobId, Bytes> rows;
};

inline Receipt receipt_of(const BlobId& id, uint64_t size_bytes) {
  return {static_cast<char>(id.size()) + id, size_bytes};
}

}  // namespace polis::blob
