// CommandLine: the declared commands as a tree, and everything that follows from the declaration: parsing, help, and
// the completion script for bash. Pure: reads no file, prints nothing.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"
#include "systems/command.h"

namespace polis::app {

// What every command understands.
inline constexpr std::string_view kDataFlag = "data";
inline constexpr std::string_view kJsonFlag = "json";
inline constexpr std::string_view kYesFlag = "yes";
inline constexpr std::string_view kUrlFlag = "url";
inline constexpr std::string_view kTokenFlag = "token";

struct CommandGroup {
  std::string name;  // "object"; empty for polis' own commands
  std::string summary;
  std::vector<systems::Command> commands;
};

struct ParsedCommand {
  const systems::Command* command = nullptr;  // lives as long as the CommandLine
  std::string full_name;                      // "object mb"
  std::vector<std::string> arguments;
  std::map<std::string, std::string> flags;  // given or defaulted, the global ones too
};

class CommandLine {
 public:
  explicit CommandLine(std::vector<CommandGroup> groups);

  // `words` without the program's name. Either a command to run, or a text to print and leave (help). A mistake is
  // kInvalid with a message that names the nearest thing that exists.
  struct Parsed {
    std::optional<ParsedCommand> command;
    std::string help;
  };
  Result<Parsed> parse(const std::vector<std::string>& given) const;

  std::string help() const;
  std::string help(const CommandGroup& group) const;
  std::string help(const CommandGroup& group, const systems::Command& command) const;
  // A script for bash: `source <(polis completion bash)`.
  std::string bash_completion() const;
  static const std::vector<systems::Flag>& global_flags();

 private:
  std::vector<CommandGroup> groups_;
};

// The entry of `candidates` with the smallest edit distance to `word`, if that is at most a third of its length.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace polis::app
