#include "app/cli/command_line.h"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>

namespace polis::app {
namespace {

using systems::Argument;
using systems::Command;
using systems::Flag;

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

std::string hint(std::string_view word, const std::vector<std::string>& candidates) {
  auto close = nearest(word, candidates);
  return close ? fmt::format(" Did you mean '{}'?", *close) : std::string();
}

std::string usage_of(const Argument& argument) {
  std::string text = argument.name;
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  if (argument.repeated) text += "...";
  return argument.required ? text : "[" + text + "]";
}

std::string usage_of(const Flag& flag) {
  return flag.value.empty() ? "--" + flag.name : fmt::format("--{} {}", flag.name, flag.value);
}

std::string describe(const Flag& flag) {
  std::string text = flag.help;
  if (!flag.choices.empty()) text += fmt::format(" ({})", fmt::join(flag.choices, ", "));
  if (!flag.value_default.empty()) text += fmt::format(" [default {}]", flag.value_default);
  if (flag.repeated) text += " (may be repeated)";
  return text;
}

// Lines of two columns, the first as wide as its widest entry.
std::string columns(const std::vector<std::pair<std::string, std::string>>& rows) {
  size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  std::string text;
  for (const auto& [left, right] : rows) text += fmt::format("  {:<{}}  {}\n", left, width, right);
  return text;
}

const Flag* find_flag(const Command& command, std::string_view name) {
  for (const auto* flags : {&command.flags, &CommandLine::global_flags()})
    for (const Flag& flag : *flags)
      if (flag.name == name) return &flag;
  return nullptr;
}

std::vector<std::string> flag_names(const Command& command) {
  std::vector<std::string> names;
  for (const auto* flags : {&command.flags, &CommandLine::global_flags()})
    for (const Flag& flag : *flags) names.push_back("--" + flag.name);
  names.emplace_back("--help");
  return names;
}

Result<void> set_flag(ParsedCommand& parsed, const Flag& flag, std::string value) {
  if (!flag.choices.empty() && std::find(flag.choices.begin(), flag.choices.end(), value) == flag.choices.end())
    return fail(Code::kInvalid, fmt::format("--{} cannot be '{}': it is one of {}.{}", flag.name, value,
                                            fmt::join(flag.choices, ", "), hint(value, flag.choices)));
  auto [at, fresh] = parsed.flags.try_emplace(flag.name, value);
  if (fresh) return {};
  if (!flag.repeated) return fail(Code::kInvalid, fmt::format("--{} is given twice: give it once.", flag.name));
  at->second += "\n" + value;
  return {};
}

Result<void> check_arguments(const ParsedCommand& parsed) {
  const auto& declared = parsed.command->arguments;
  size_t needed = 0;
  for (const Argument& argument : declared) needed += argument.required;
  if (parsed.arguments.size() < needed)
    return fail(Code::kInvalid, fmt::format("polis {} needs {}: {}. See `polis {} --help`.", parsed.full_name,
                                            usage_of(declared[parsed.arguments.size()]),
                                            declared[parsed.arguments.size()].help, parsed.full_name));
  bool open_ended = !declared.empty() && declared.back().repeated;
  if (parsed.arguments.size() > declared.size() && !open_ended)
    return fail(Code::kInvalid,
                fmt::format("polis {} takes {} argument{}, '{}' is one too many. See `polis {} --help`.",
                            parsed.full_name, declared.size(), declared.size() == 1 ? "" : "s",
                            parsed.arguments[declared.size()], parsed.full_name));
  return {};
}

// Everything behind the command's own words.
Result<void> parse_rest(const std::vector<std::string>& words, size_t at, ParsedCommand& parsed) {
  bool only_arguments = false;
  for (; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (only_arguments || word.size() < 2 || word[0] != '-') {
      parsed.arguments.push_back(word);
      continue;
    }
    if (word == "--") {
      only_arguments = true;
      continue;
    }
    std::string name = word == "-y" ? "yes" : word.substr(word.starts_with("--") ? 2 : 1);
    std::optional<std::string> value;
    if (size_t equals = name.find('='); equals != std::string::npos) {
      value = name.substr(equals + 1);
      name.resize(equals);
    }
    const Flag* flag = word.starts_with("--") || word == "-y" ? find_flag(*parsed.command, name) : nullptr;
    if (!flag)
      return fail(Code::kInvalid, fmt::format("polis {} does not know {}.{} See `polis {} --help`.", parsed.full_name,
                                              word, hint("--" + name, flag_names(*parsed.command)), parsed.full_name));
    if (flag->value.empty()) {
      if (value) return fail(Code::kInvalid, fmt::format("--{} is a switch and takes no value.", name));
      parsed.flags[flag->name] = "true";
      continue;
    }
    if (!value) {
      if (at + 1 >= words.size())
        return fail(Code::kInvalid, fmt::format("--{} needs a value: --{} {}.", name, name, flag->value));
      value = words[++at];
    }
    TRY(set_flag(parsed, *flag, std::move(*value)));
  }
  return {};
}

// Flags that stand everywhere may stand in front of the command, too: they go behind its first words.
Result<std::vector<std::string>> with_flags_last(const std::vector<std::string>& words) {
  const auto is_word = [](const std::string& word) {
    return !word.starts_with("-") || word == "-h" || word == "--help";
  };
  std::vector<std::string> flags;
  size_t at = 0;
  while (at < words.size() && !is_word(words[at])) {
    const std::string name = words[at] == "-y" ? "yes" : words[at].substr(words[at].starts_with("--") ? 2 : 1);
    const auto& known = CommandLine::global_flags();
    const auto flag = std::find_if(known.begin(), known.end(), [&](const Flag& one) {
      return name == one.name || name.starts_with(one.name + "=");
    });
    if (flag == known.end())
      return fail(Code::kInvalid,
                  fmt::format("polis does not know {} in front of a command. See `polis --help`.", words[at]));
    flags.push_back(words[at++]);
    if (flag->value.empty() || name != flag->name) continue;
    if (at == words.size())
      return fail(Code::kInvalid, fmt::format("--{} needs a value: --{} {}.", name, name, flag->value));
    flags.push_back(words[at++]);
  }
  // "--" ends the flags, so they go in front of it.
  std::vector<std::string> sorted(words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
  sorted.insert(std::find(sorted.begin(), sorted.end(), "--"), flags.begin(), flags.end());
  return sorted;
}

bool asks_for_help(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "--") return false;
    if (word == "--help" || word == "-h") return true;
  }
  return false;
}

// "Usage: polis" as a list of words a shell function can hold.
std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'')
      out += "'\\''";
    else
      out += c;
  }
  return out + "'";
}

}  // namespace

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

const std::vector<Flag>& CommandLine::global_flags() {
  static const std::vector<Flag> flags = {
      {.name = std::string(kDataFlag), .help = "data directory [default ~/.polis, or POLIS_DATA]", .value = "DIR"},
      {.name = std::string(kUrlFlag),
       .help = "speak to this polis instead of the one of the data directory",
       .value = "URL"},
      {.name = std::string(kTokenFlag), .help = "API token for --url, or POLIS_TOKEN", .value = "TOKEN"},
      {.name = std::string(kJsonFlag), .help = "one JSON document on standard output"},
      {.name = std::string(kYesFlag), .help = "apply the plan of a destructive command without asking (-y)"},
  };
  return flags;
}

CommandLine::CommandLine(std::vector<CommandGroup> groups) : groups_(std::move(groups)) {}

Result<CommandLine::Parsed> CommandLine::parse(const std::vector<std::string>& given) const {
  const std::vector<std::string> words = TRY(with_flags_last(given));
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") return Parsed{.help = help()};
  const CommandGroup* group = &groups_.front();
  size_t at = 0;
  for (const CommandGroup& candidate : groups_)
    if (!candidate.name.empty() && candidate.name == words[0]) {
      group = &candidate;
      at = 1;
    }

  // The command with the most words that match wins: "drive list" before "drive".
  const Command* found = nullptr;
  size_t found_words = 0;
  for (const Command& command : group->commands) {
    auto names = split_words(command.name);
    if (names.size() <= found_words || at + names.size() > words.size()) continue;
    if (std::equal(names.begin(), names.end(), words.begin() + static_cast<std::ptrdiff_t>(at))) {
      found = &command;
      found_words = names.size();
    }
  }
  if (!found) {
    std::vector<std::string> known;
    for (const Command& command : group->commands) known.push_back(command.name);
    if (at == 0)
      for (const CommandGroup& other : groups_)
        if (!other.name.empty()) known.push_back(other.name);
    if (at >= words.size() || words[at].starts_with("-"))
      return Parsed{.help = group->name.empty() ? help() : help(*group)};
    // The first word of a two-word command alone ("polis user") lists its verbs.
    CommandGroup verbs{.name = group->name, .summary = {}, .commands = {}};
    for (const Command& command : group->commands)
      if (split_words(command.name).front() == words[at]) verbs.commands.push_back(command);
    std::string prefix = group->name.empty() ? "polis" : "polis " + group->name;
    if (!verbs.commands.empty()) {
      if (at + 1 >= words.size() || words[at + 1].starts_with("-")) return Parsed{.help = help(verbs)};
      known.clear();
      for (const Command& command : verbs.commands) known.push_back(command.name);
      std::string verb = words[at] + " " + words[at + 1];
      return fail(Code::kInvalid, fmt::format("{} does not know the command '{}'.{} See `{} {} --help`.", prefix, verb,
                                              hint(verb, known), prefix, words[at]));
    }
    return fail(Code::kInvalid, fmt::format("{} does not know the command '{}'.{} See `{} --help`.", prefix, words[at],
                                            hint(words[at], known), prefix));
  }
  if (asks_for_help(words)) return Parsed{.help = help(*group, *found)};

  ParsedCommand parsed;
  parsed.command = found;
  parsed.full_name = group->name.empty() ? found->name : group->name + " " + found->name;
  TRY(parse_rest(words, at + found_words, parsed));
  TRY(check_arguments(parsed));
  for (const Flag& flag : found->flags)
    if (!flag.value_default.empty()) parsed.flags.try_emplace(flag.name, flag.value_default);
  return Parsed{.command = std::move(parsed)};
}

std::string CommandLine::help() const {
  std::string text =
      "polis: the backend systems of an internet company in one binary.\n\nUsage: polis COMMAND [ARGUMENT]... "
      "[--FLAG]...\n\n";
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Command& command : groups_.front().commands) rows.emplace_back(command.name, command.help);
  text += columns(rows);
  rows.clear();
  for (const CommandGroup& group : groups_)
    if (!group.name.empty()) rows.emplace_back(group.name, group.summary);
  if (!rows.empty()) text += "\nSystems (each has commands of its own, `polis NAME --help`):\n" + columns(rows);
  rows.clear();
  for (const Flag& flag : global_flags()) rows.emplace_back(usage_of(flag), describe(flag));
  return text + "\nEverywhere:\n" + columns(rows);
}

std::string CommandLine::help(const CommandGroup& group) const {
  std::string text = group.summary.empty() ? "" : group.summary + "\n\n";
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Command& command : group.commands)
    rows.emplace_back(fmt::format("polis {}{}{}", group.name, group.name.empty() ? "" : " ", command.name),
                      command.help);
  return text + columns(rows);
}

std::string CommandLine::help(const CommandGroup& group, const Command& command) const {
  std::string text =
      fmt::format("{}\n\nUsage: polis {}{}{}", command.help, group.name, group.name.empty() ? "" : " ", command.name);
  for (const Argument& argument : command.arguments) text += " " + usage_of(argument);
  text += " [--FLAG]...\n";
  if (command.destructive)
    text += "\nDestructive: it first shows a plan of what it will touch, and then does exactly that.\n";
  std::vector<std::pair<std::string, std::string>> rows;
  for (const Argument& argument : command.arguments) rows.emplace_back(usage_of(argument), argument.help);
  if (!rows.empty()) text += "\n" + columns(rows);
  rows.clear();
  for (const Flag& flag : command.flags) rows.emplace_back(usage_of(flag), describe(flag));
  if (!rows.empty()) text += "\nFlags:\n" + columns(rows);
  rows.clear();
  for (const Flag& flag : global_flags()) rows.emplace_back(usage_of(flag), describe(flag));
  return text + "\nEverywhere:\n" + columns(rows);
}

std::string CommandLine::bash_completion() const {
  // For each sequence of words, the words that may follow; the longest match of what stands on the line is offered.
  std::map<std::string, std::vector<std::string>> following;
  std::map<std::string, std::vector<std::string>> choices;
  auto offer = [&](const std::string& after, std::string word) {
    auto& list = following[after];
    if (std::find(list.begin(), list.end(), word) == list.end()) list.push_back(std::move(word));
  };
  for (const CommandGroup& group : groups_) {
    if (!group.name.empty()) offer("", group.name);
    for (const Command& command : group.commands) {
      std::string path = group.name;
      for (const std::string& word : split_words(command.name)) {
        offer(path, word);
        path += (path.empty() ? "" : " ") + word;
      }
      for (std::string& flag : flag_names(command)) offer(path, std::move(flag));
      for (const Flag& flag : command.flags)
        if (!flag.choices.empty()) choices["--" + flag.name] = flag.choices;
    }
  }

  std::string script =
      "# Completion of polis for bash; generated from the declared commands.\n_polis() {\n  local -A following=(\n";
  for (const auto& [path, words] : following)
    script += fmt::format("    [{}]={}\n", shell_quoted("polis" + (path.empty() ? "" : " " + path)),
                          shell_quoted(fmt::format("{}", fmt::join(words, " "))));
  script += "  )\n  local -A choices=(\n";
  for (const auto& [flag, values] : choices)
    script += fmt::format("    [{}]={}\n", shell_quoted(flag), shell_quoted(fmt::format("{}", fmt::join(values, " "))));
  script += R"(  )
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path=polis i
  if [[ -n ${choices[$previous]:-} ]]; then
    COMPREPLY=($(compgen -W "${choices[$previous]}" -- "$word"))
    return
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ -n ${following["$path ${COMP_WORDS[i]}"]:-} ]] && path+=" ${COMP_WORDS[i]}"
  done
  COMPREPLY=($(compgen -W "${following[$path]:-}" -- "$word"))
  # Nothing declared fits: a file name may.
  [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$word"))
}
complete -F _polis polis
)";
  return script;
}

}  // namespace polis::app
