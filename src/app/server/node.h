// Node: one running polis. Opens what all systems share, starts the systems and the main port, and takes everything
// down again in the reverse order. Made, stopped and destroyed by the main thread, which is no shard; everything inside
// lives on the shards.
//
//     lock ─► log ─► shards ─► store ─► blob ─► auth ─► systems ─► main port, Unix socket ─► ready.json
#pragma once

#include <memory>
#include <string>

#include "app/files/data_directory.h"
#include "app/server/settings.h"
#include "kernel/base/config.h"
#include "kernel/base/result.h"

namespace polis::app {

struct NodeOptions {
  std::unique_ptr<DataDirectory> directory;
  base::Config config;
  std::string config_path;        // empty: none was read
  SystemList systems;             // those to start
  bool free_ports = false;        // every listener takes any free port
  std::string console_directory;  // empty: no console
  std::string version;
};

class Node {
 public:
  // Returns when every listener answers and ready.json says so. On failure nothing is left running.
  static Result<std::unique_ptr<Node>> start(NodeOptions options);
  // Stops in an orderly way: at most 5 s.
  ~Node();

  // "object.s3" -> 9000
  const std::map<std::string, uint16_t>& ports() const;
  // Where the first start wrote the root user's credentials; empty at later starts.
  const std::string& credentials_path() const;

 private:
  struct State;
  explicit Node(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace polis::app
