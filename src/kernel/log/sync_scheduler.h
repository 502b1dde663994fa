// SyncScheduler: all fdatasyncs of one device. Who asks for a file while a sync of it runs joins the next one: however
// many ask, one sync answers all that wait. At most `running_max` files sync at the same time; the others collect
// meanwhile.
//
// One a device and shard. Outlives every log that uses it.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "kernel/io/file.h"
#include "kernel/io/shard.h"

namespace polis::log {

class SyncScheduler {
 public:
  // Two: the file system's journal commits both at once while the device is busy with the first; more only lengthens
  // the wait.
  explicit SyncScheduler(size_t running_max = 2) : permits_(running_max) {}

  // Everything written to the file before this call is durable when it returns well. After a failure the file is not to
  // be trusted again. Cancelling gives up the answer, not the sync.
  Task<Result<void>> sync(std::shared_ptr<io::File> file);

  uint64_t asked() const { return asked_; }
  uint64_t syncs() const { return syncs_; }
  // Waits until nothing runs; before the scheduler is destroyed by an owner whose callers were cancelled.
  Task<void> drain() { return tasks_.join(); }

 private:
  struct Group {
    io::Event done;
    std::optional<Result<void>> result;
  };
  struct Line {
    std::shared_ptr<Group> collecting;  // shared by those who wait and the sync that answers them
  };
  Task<void> run(std::shared_ptr<io::File> file, Line& line);

  std::map<const io::File*, Line> lines_;  // of the files that sync or wait for it
  io::Semaphore permits_;
  io::TaskGroup tasks_;
  uint64_t asked_ = 0;
  uint64_t syncs_ = 0;
};

}  // namespace polis::log
