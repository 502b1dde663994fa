// A file system under RocksDB that keeps written bytes in this process until they are synced, so that kill -9 is a
// power cut (POLIS_TEST_DISK=volatile), and that fails on demand. For crash tests only: unsynced bytes cost memory,
// files are flushed to the operating system and no further.
//
// Names are not volatile: making, renaming and removing files takes effect at once. RangeSync promises nothing about
// durability on Linux, so it keeps nothing here.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace rocksdb {
class Env;
}

namespace polis::store {

// Shared between a test and the file system it breaks.
struct DiskFaults {
  std::atomic<bool> ignore_syncs{false};  // sync answers "done" and does nothing: the lie of a bad disk
  std::atomic<bool> fail_syncs{false};    // sync answers an input/output error
  std::atomic<bool> fail_writes{false};   // append answers "no space"
  // Nothing becomes durable any more: syncs, renames and new files fail, and what is unsynced is lost.
  std::atomic<bool> power_cut{false};
  std::atomic<uint64_t> syncs{0};
};

std::unique_ptr<rocksdb::Env> make_volatile_env(std::shared_ptr<DiskFaults> faults);

}  // namespace polis::store
