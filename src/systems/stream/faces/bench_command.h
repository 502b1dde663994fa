// `polis stream bench path|acks|eos`: what the archive says of the log, measured on this machine through the protocol.
#pragma once

#include <string>
#include <vector>

#include "systems/command.h"
#include "systems/stream/client/client.h"
#include "systems/stream/faces/path_lab.h"

namespace polis::stream {

// --- the two read paths

struct PathRun {
  uint64_t bytes = 0;
  double seconds = 0;
  double server_cpu_s = 0;  // of the whole server, user and system
  double cpu_per_gib() const {
    return bytes > 0 ? server_cpu_s / (static_cast<double>(bytes) / static_cast<double>(1 << 30)) : 0;
  }
};

// What the server measured at each arrow (path_lab.h); nothing where it could not.
struct PathArrows {
  bool measured = false;
  PathArrow read, write, sendfile;
  std::string why_not;
  double cpu_saved_percent() const;
};

struct PathBench {
  uint64_t bytes = 0;  // in the topic
  PathRun copy, sendfile;
  PathArrows arrows;
  double cpu_saved_percent() const;
  double time_saved_percent() const;
};

struct PathBenchOptions {
  uint64_t size_bytes = uint64_t{512} << 20;
  int32_t record_bytes = 1024;
  int32_t fetch_bytes = 1 << 20;
  int rounds = 2;  // each path, in turns
};

// Fills a topic of its own, reads it by both paths, and deletes it.
Task<Result<PathBench>> bench_paths(systems::ApiClient& api, Client& client, PathBenchOptions options);

// --- what the benchmarks share

// CPU seconds that the server has used since its start.
Task<Result<double>> server_cpu_seconds(systems::ApiClient& api);
// Values that no codec makes much smaller.
std::string payload(size_t bytes, uint64_t seed);
// A batch of `records` such values.
Bytes payload_batch(int32_t records, int32_t record_bytes, BatchBuilder::Producer producer = {});

std::vector<systems::Command> bench_commands();

}  // namespace polis::stream
