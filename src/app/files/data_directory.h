// DataDirectory: DIR, held by one process at a time. Makes the folders that every start needs, takes the lock, and
// writes the small files that others read: run/ready.json, root-credentials.json. Blocking calls; used by main before
// the shards start and after they stop.
//
//     DIR/format                  "polis 1\n": the version of the layout; a newer one is refused
//     DIR/run/polis.lock          flock; holds the pid of the owner
//     DIR/run/polis.sock          API for the command line, 0600
//     DIR/run/ready.json          {"pid": 1, "ports": {"object.s3": 9000}}, while every listener answers
//     DIR/polis.toml              configuration, if there is no --config
//     DIR/root-credentials.json   0600, from the first start
//     DIR/keys-not-restored       left by a restore without the keys, until the next start has made new ones
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "kernel/base/result.h"

namespace polis::app {

inline constexpr int kLayoutVersion = 1;
inline constexpr std::string_view kKeysNotRestored = "keys-not-restored";

// --data, else POLIS_DATA, else ~/.polis; absolute.
Result<std::string> choose_data_directory(std::string_view given);

class DataDirectory {
 public:
  // Makes it (0700) if absent. kBusy names the process that holds it; kUnsupported: a newer polis wrote it.
  static Result<std::unique_ptr<DataDirectory>> open(std::string path);
  // Removes ready.json and the socket, then lets go of the lock.
  ~DataDirectory();

  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }
  std::string socket_path() const { return file("run/polis.sock"); }

  // Atomically; other readers see all of it or the file before.
  Result<void> write_ready(const std::map<std::string, uint16_t>& ports);
  Result<void> write_credentials(std::string_view json);

 private:
  DataDirectory(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::string path_;
  int lock_;
};

// The parts of ready.json, for the command line. kNotFound when no polis runs on this directory.
struct Ready {
  int pid = 0;
  std::map<std::string, uint16_t> ports;
};
Result<Ready> read_ready(const std::string& data_directory);

// Whole small files. write_private makes the file with mode 0600, synced, in one step for readers.
Result<std::string> read_text_file(const std::string& path, size_t size_bytes_max);
Result<void> write_private_file(const std::string& path, std::string_view content);

}  // namespace polis::app
