// Restores a backup into an absent or empty data directory. No polis runs on it; plain blocking file calls.
#pragma once

#include <functional>
#include <string>

#include "kernel/base/result.h"

namespace polis::app {

struct RestoreReport {
  uint64_t files = 0;
  uint64_t size_bytes = 0;
  bool with_keys = false;
  std::string remark;  // what the person should know before the first start; may be empty
};

using CopyProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// Compares every file with its digest while it copies. On failure what was copied is removed again. kExists:
// `data_directory` is not empty. kCorrupt: the backup is not whole. kDenied: the passphrase is wrong; empty, it
// restores without the keys.
Result<RestoreReport> restore_backup(const std::string& backup, const std::string& data_directory,
                                     std::string_view passphrase, const CopyProgress& progress);

}  // namespace polis::app
