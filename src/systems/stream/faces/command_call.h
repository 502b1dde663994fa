// What the commands share: paths of the admin API, its answers taken apart, and a client of the protocol.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "systems/command.h"
#include "systems/stream/client/client.h"

namespace boost::json {
class object;
}

namespace polis::stream {

// "/api/stream/v1/topics/orders", each part encoded.
std::string api_path(std::initializer_list<std::string_view> parts);
void add_query(std::string& path, std::string_view name, std::string_view value);
std::string flag(const systems::Invocation& call, const std::string& name);
// The number that a flag holds; its default where it is not given. kInvalid names the flag.
Result<int64_t> number_flag(const systems::Invocation& call, const std::string& name, int64_t least, int64_t most,
                            int64_t otherwise = 0);
// Lines of "name=value"; a line without '=' is kInvalid unless `bare` allows it.
Result<std::map<std::string, std::string>> pairs(std::string_view lines, std::string_view what);

// --- answers
Result<boost::json::object> object_of(const std::string& text);
// The member as text: a number's digits, an empty text where there is none.
std::string text_of(const boost::json::object& object, std::string_view name);

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
