// What the commands share: paths of the admin API, its answers taken apart, and a client of the protocol.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "systems/command_call.h"
#include "systems/stream/client/client.h"

namespace polis::stream {

inline std::string api_path(std::initializer_list<std::string_view> parts) {
  return systems::api_path("/api/stream/v1", parts);
}
using systems::add_query, systems::flag, systems::number_flag, systems::object_of, systems::pairs, systems::text_of;

// --- the protocol
// Flags of a command that speaks it: where, and as whom.
std::vector<systems::Flag> client_flags();
// To the running polis, or where --broker says; as --user with --password on a door that asks.
Task<Result<Client>> open_client(systems::Invocation& call);
// Of this shard's clock.
int64_t now_ms();
SteadyTime steady_now();
// A name that nobody else has.
std::string fresh_name(std::string_view prefix);

}  // namespace polis::stream
