#include "systems/stream/faces/commands.h"

namespace polis::stream {

std::vector<systems::Command> commands() {
  std::vector<systems::Command> all;
  for (auto subject :
       {topic_commands, record_commands, group_commands, queue_commands, access_commands, bench_commands})
    for (systems::Command& command : subject()) all.push_back(std::move(command));
  return all;
}

}  // namespace polis::stream
