// `polis stream <verb>`: they run in the process of the command line. What is administered goes through the admin API
// below /api/stream/v1; producing, consuming and the benchmarks speak the Kafka protocol, as any client outside.
#pragma once

#include <vector>

#include "systems/command.h"

namespace polis::stream {

std::vector<systems::Command> commands();

// --- by subject
std::vector<systems::Command> topic_commands();
std::vector<systems::Command> record_commands();  // produce, consume
std::vector<systems::Command> group_commands();   // groups, transactions, the broker
std::vector<systems::Command> queue_commands();
std::vector<systems::Command> access_commands();  // access rules, users, quotas
std::vector<systems::Command> bench_commands();

}  // namespace polis::stream
