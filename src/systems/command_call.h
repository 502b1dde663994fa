// What commands of all systems share: paths of the admin API, flags, and answers taken apart.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "systems/command.h"

namespace boost::json {
class object;
}

namespace polis::systems {

// "/api/stream/v1/topics/orders" of "/api/stream/v1" and its parts, each of them encoded.
std::string api_path(std::string_view base, std::initializer_list<std::string_view> parts);
void add_query(std::string& path, std::string_view name, std::string_view value);
// Empty where it was not given.
std::string flag(const Invocation& call, const std::string& name);
// The number that a flag holds; its default where it is not given. kInvalid names the flag.
Result<int64_t> number_flag(const Invocation& call, const std::string& name, int64_t least, int64_t most,
                            int64_t otherwise = 0);
// Lines of "name=value"; a line without '=' is kInvalid and called `what`.
Result<std::map<std::string, std::string>> pairs(std::string_view lines, std::string_view what);

// --- answers
Result<boost::json::object> object_of(const std::string& text);
// The member as text: a number's digits, an empty text where there is none.
std::string text_of(const boost::json::object& object, std::string_view name);

}  // namespace polis::systems
