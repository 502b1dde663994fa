// A pool of drives on a simulated disk, for the tests of extents.
#pragma once

#include <functional>
#include <gtest/gtest.h>

#include "kernel/blob/blob_under_test.h"
#include "kernel/blob/extent_blob.h"
#include "kernel/sim/seeds.h"
#include "kernel/sim/world.h"

namespace polis::blob {

inline ExtentBlobOptions small_extents(unsigned data_units = 4, unsigned parity_units = 2) {
  ExtentBlobOptions options;
  for (unsigned i = 0; i < data_units + parity_units; ++i) options.drives.push_back("/pool/" + std::to_string(i));
  options.data_units = data_units;
  options.parity_units = parity_units;
  options.extent_payload_bytes = 4 << 20;
  return options;
}

inline sim::WorldOptions fast_world() {
  sim::WorldOptions options;
  options.disk.sync = {std::chrono::microseconds(200), std::chrono::milliseconds(1)};
  options.time_max = std::chrono::hours(1000);
  return options;
}

inline Task<PoolPicture> draw(const Blob* blob) {
  co_return blob->picture();
}

// A pool on a simulated disk.
class SimulatedPool final : public BlobUnderTest {
 public:
  // `wrap` puts another disk between the pool and the simulated one.
  explicit SimulatedPool(ExtentBlobOptions options, uint64_t seed = 1,
                         std::function<std::unique_ptr<io::Disk>(io::Disk&)> wrap = {})
      : world(seed, fast_world()), options_(std::move(options)) {
    if (wrap) wrapped_ = wrap(world.disk());
    auto opened = open();
    if (!opened) ADD_FAILURE() << opened.error().text();
  }
  ~SimulatedPool() override { close(); }

  Blob& blob() override { return *blob_; }
  void run_task(Task<void> task) override { world.run(std::move(task)); }
  void pass_time(Duration duration) override { world.run_for(duration); }
  void reopen() override {
    close();
    auto opened = open();
    if (!opened) ADD_FAILURE() << opened.error().text();
  }

  Result<void> open() {
    auto opened = world.run(ExtentBlob::open(wrapped_ ? *wrapped_ : world.disk(), options_, world.random()));
    if (!opened) return fail(opened.error());
    blob_ = std::move(*opened);
    return {};
  }
  void close() {
    if (!blob_) return;
    (void)world.run(blob_->close());
    blob_.reset();
  }
  // The process dies with the power.
  void crash() {
    if (world.disk().powered()) world.disk().crash();
    close();
    world.disk().restart();
  }

  ExtentBlob& extents() { return *blob_; }
  PoolPicture picture() { return run(draw(blob_.get())); }
  ExtentBlobOptions& options() { return options_; }
  // The files of a drive that hold extents.
  std::vector<std::string> extent_files(unsigned drive) {
    std::vector<std::string> names;
    for (std::string& name : world.disk().files(options_.drives[drive])) {
      if (name.ends_with(".ext")) names.push_back(std::move(name));
    }
    return names;
  }

  sim::World world;

 private:
  ExtentBlobOptions options_;
  std::unique_ptr<io::Disk> wrapped_;
  std::unique_ptr<ExtentBlob> blob_;
};

}  // namespace polis::blob
