#include "systems/stream/faces/path_lab.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>

namespace polis::stream {
namespace {

constexpr Duration kLimit = std::chrono::seconds(5);

// A file without a name, of so many bytes.
class LabFile {
 public:
  explicit LabFile(size_t size_bytes) {
    std::string path = testing::TempDir() + "path-lab-XXXXXX";
    descriptor_ = mkstemp(path.data());
    unlink(path.c_str());
    const std::string content(size_bytes, 'x');
    EXPECT_EQ(write(descriptor_, content.data(), content.size()), static_cast<ssize_t>(size_bytes));
  }
  ~LabFile() { close(descriptor_); }
  LabFile(const LabFile&) = delete;
  LabFile& operator=(const LabFile&) = delete;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

TEST(PathLab, sends_the_same_bytes_both_ways) {
  const LabFile file(3 << 20);
  const PathRange ranges[] = {{file.descriptor(), {.offset = 100, .size = (1 << 20) + 7}},
                              {file.descriptor(), {.offset = 2 << 20, .size = 1000}}};
  const auto measured = measure_paths(ranges, 5 << 20, kLimit);
  ASSERT_TRUE(measured) << measured.error().text();
  EXPECT_GE(measured->read.bytes, uint64_t{5} << 20);
  EXPECT_EQ(measured->write.bytes, measured->read.bytes);
  EXPECT_GE(measured->sendfile.bytes, measured->read.bytes);
  for (const PathArrow& arrow : {measured->read, measured->write, measured->sendfile}) {
    EXPECT_GT(arrow.calls, 0u);
    EXPECT_GT(arrow.wall_ns, 0u);
    EXPECT_GT(arrow.cpu_ns, 0u);
  }
}

TEST(PathLab, nothing_to_send_is_told) {
  EXPECT_EQ(measure_paths({}, 1 << 20, kLimit).error().code(), Code::kInvalid);
}

TEST(PathLab, a_file_that_ends_too_early_is_told_and_nothing_hangs) {
  const LabFile file(1000);
  const PathRange ranges[] = {{file.descriptor(), {.offset = 0, .size = 1 << 20}}};
  EXPECT_EQ(measure_paths(ranges, 1 << 20, kLimit).error().code(), Code::kConflict);
}

TEST(PathLab, a_closed_file_is_told_and_nothing_hangs) {
  const PathRange ranges[] = {{-1, {.offset = 0, .size = 1000}}};
  EXPECT_FALSE(measure_paths(ranges, 1 << 20, kLimit));
}

}  // namespace
}  // namespace polis::stream
