#include "systems/ledger/faces/command_call.h"

#include "kernel/base/text_encoding.h"

namespace polis::ledger {

std::string api_path(std::initializer_list<std::string_view> parts) {
  std::string path(kApi);
  for (std::string_view part : parts) (path += '/') += base::url_encode(part);
  return path;
}

void add_query(std::string& path, std::string_view name, std::string_view value) {
  path += path.find('?') == std::string::npos ? '?' : '&';
  ((path += name) += '=') += base::url_encode(value);
}

void add_flags(std::string& path, const systems::Invocation& call,
               std::initializer_list<std::pair<std::string_view, std::string_view>> flags_and_names) {
  for (const auto& [name, parameter] : flags_and_names)
    if (std::string value = flag(call, std::string(name)); !value.empty()) add_query(path, parameter, value);
}

std::string flag(const systems::Invocation& call, const std::string& name) {
  auto at = call.flags.find(name);
  return at == call.flags.end() ? std::string() : at->second;
}

}  // namespace polis::ledger
