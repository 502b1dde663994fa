// polis' own commands that speak to a running polis. (`up`, `restore`, `completion` and `config default` need none;
// main runs them.)
#pragma once

#include <vector>

#include "systems/command.h"

namespace polis::app {

// status, apply, config show, logs, backup
std::vector<systems::Command> node_commands();
// user, key, token, policy, audit
std::vector<systems::Command> identity_commands();

// Asks for a plan with this request, shows it and applies it (Invocation::plan_and_apply). `confirm` puts the question;
// null where nobody can be asked.
Task<Result<void>> plan_and_apply(systems::Invocation& call, bool yes,
                                  std::function<bool(std::string_view question)> confirm, std::string method,
                                  std::string target, std::string body);

// The first line of standard input: secrets do not belong on a command line, where every process sees them. kInvalid if
// it is empty.
Result<std::string> line_of_input(std::string_view what);

// JSON text of an object with these members, all strings; empty values are left out.
std::string json_object(std::initializer_list<std::pair<std::string_view, std::string_view>> members);
// One member of a JSON object as text; "" if it is not there.
std::string json_member(std::string_view object, std::string_view member);

}  // namespace polis::app
