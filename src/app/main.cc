// polis: one program with two lives. `polis up` is the server; every other command is a client of it, or works without
// one.
#include <cstdio>
#include <cstdlib>
#include <fmt/format.h>

#include "app/cli/api_connection.h"
#include "app/cli/command_line.h"
#include "app/cli/commands.h"
#include "app/cli/terminal.h"
#include "app/files/data_directory.h"
#include "app/restore_command.h"
#include "app/systems.h"
#include "app/tour_command.h"
#include "app/up.h"
#include "app/version.h"
#include "kernel/io/shard.h"

namespace polis::app {
namespace {

// 0 done, 1 it did not work, 2 the command line itself is wrong.
constexpr int kUsage = 2;

CommandLine declare_commands(const SystemList& systems) {
  CommandGroup own{.name = "", .summary = "", .commands = {up_command(), tour_command()}};
  for (systems::Command& command : node_commands()) own.commands.push_back(std::move(command));
  own.commands.push_back(restore_command());
  for (systems::Command& command : identity_commands()) own.commands.push_back(std::move(command));
  own.commands.push_back(
      {.name = "config default", .help = "A complete configuration file: every option with its help, at its default"});
  own.commands.push_back({.name = "config manual", .help = "The manual of all options, in Markdown"});
  own.commands.push_back({.name = "completion",
                          .help = "Script for the shell: source <(polis completion bash)",
                          .arguments = {{.name = "shell", .help = "bash"}}});
  std::vector<CommandGroup> groups{std::move(own)};
  for (const auto& system : systems)
    groups.push_back({.name = std::string(system->name()),
                      .summary = std::string(system->summary()),
                      .commands = system->commands()});
  return CommandLine(std::move(groups));
}

std::string flag_or_environment(const ParsedCommand& parsed, std::string_view flag, const char* variable) {
  auto at = parsed.flags.find(std::string(flag));
  if (at != parsed.flags.end()) return at->second;
  const char* value = std::getenv(variable);
  return value ? value : "";
}

Task<Result<void>> run_client(const ParsedCommand& parsed, Terminal& terminal) {
  ApiTarget target{
      .data_directory = CO_TRY(choose_data_directory(flag_or_environment(parsed, kDataFlag, "POLIS_DATA"))),
      .url = flag_or_environment(parsed, kUrlFlag, "POLIS_URL"),
      .token = flag_or_environment(parsed, kTokenFlag, "POLIS_TOKEN")};
  auto api = make_api_connection(std::move(target), terminal);
  systems::Invocation call{
      .arguments = parsed.arguments, .flags = parsed.flags, .api = *api, .output = terminal, .plan_and_apply = {}};
  bool yes = parsed.flags.contains(std::string(kYesFlag));
  std::function<bool(std::string_view)> confirm;
  if (terminal.interactive()) confirm = [&terminal](std::string_view question) { return terminal.confirm(question); };
  call.plan_and_apply = [&](std::string method, std::string path, std::string body) {
    return plan_and_apply(call, yes, confirm, std::move(method), std::move(path), std::move(body));
  };
  co_return co_await parsed.command->run(call);
}

int print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

int run(const CommandLine& line, const SystemList& systems, const ParsedCommand& parsed) {
  Terminal terminal(stdout, stderr, parsed.flags.contains(std::string(kJsonFlag)));
  if (parsed.full_name == "up") return run_up(parsed, terminal);
  if (parsed.full_name == "tour") return run_tour(parsed, systems, terminal);
  if (parsed.full_name == "restore") return run_restore(parsed, terminal);
  if (parsed.full_name == "config default") return print(declare_options(systems).default_file());
  if (parsed.full_name == "config manual") return print(declare_options(systems).manual());
  if (parsed.full_name == "completion") {
    if (parsed.arguments[0] == "bash") return print(line.bash_completion());
    terminal.error(
        Error(Code::kUnsupported, fmt::format("completion is there for bash, not for {}", parsed.arguments[0])));
    return kUsage;
  }
  Result<void> done = io::run([&] { return run_client(parsed, terminal); });
  if (done) return 0;
  terminal.error(done.error());
  return 1;
}

int main(int count, char** words) {
  std::vector<std::string> given(words + 1, words + count);
  if (given.size() == 1 && given[0] == "--version") return print(fmt::format("polis {}\n", version()));
  SystemList systems = all_systems();
  CommandLine line = declare_commands(systems);
  auto parsed = line.parse(given);
  if (!parsed) {
    std::fputs(("polis: " + parsed.error().message() + "\n").c_str(), stderr);
    return kUsage;
  }
  if (!parsed->command) return print(parsed->help);
  return run(line, systems, *parsed->command);
}

}  // namespace
}  // namespace polis::app

int main(int count, char** words) {
  return polis::app::main(count, words);
}
