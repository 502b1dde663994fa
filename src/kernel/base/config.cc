#include "kernel/base/config.h"

#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <fmt/format.h>
#include <set>
#include <unistd.h>

#include "kernel/base/config_file.h"

extern char** environ;

namespace polis::base {
namespace {

constexpr std::string_view kEnvironmentPrefix = "POLIS_";

bool valid_name(std::string_view name) {
  size_t dot = name.find('.');
  if (dot == name.npos || dot == 0 || dot + 1 == name.size()) return false;
  for (size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    if (i != dot && !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) return false;
  }
  return true;
}

std::string_view table_of(std::string_view option_name) {
  return option_name.substr(0, option_name.find('.'));
}
std::string_view key_of(std::string_view option_name) {
  return option_name.substr(option_name.find('.') + 1);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

// As it stands in the file.
std::string toml_text(OptionType type, const OptionValue& value) {
  switch (type) {
    case OptionType::kBool:
      return std::get<bool>(value) ? "true" : "false";
    case OptionType::kInteger:
      return std::to_string(std::get<int64_t>(value));
    case OptionType::kSize:
      return quoted(format_size(static_cast<uint64_t>(std::get<int64_t>(value))));
    case OptionType::kDuration:
      return quoted(format_duration(std::get<Duration>(value)));
    case OptionType::kText:
      return quoted(std::get<std::string>(value));
    case OptionType::kList: {
      std::string out = "[";
      for (const std::string& element : std::get<std::vector<std::string>>(value)) {
        if (out.size() > 1) out += ", ";
        out += quoted(element);
      }
      return out + "]";
    }
  }
  return {};
}

std::string number_text(OptionType type, int64_t number) {
  if (type == OptionType::kSize) return format_size(static_cast<uint64_t>(number));
  if (type == OptionType::kDuration) return format_duration(Duration(number));
  return std::to_string(number);
}

std::string joined(const std::vector<std::string>& words, std::string_view between) {
  std::string out;
  for (const std::string& word : words) out.append(out.empty() ? "" : between).append(word);
  return out;
}

// "1..65535", "at least 1", "disk or os"; empty if anything goes.
std::string range_text(const Option& option) {
  if (!option.choices.empty()) return joined(option.choices, " or ");
  if (option.type == OptionType::kBool || option.type == OptionType::kText || option.type == OptionType::kList)
    return {};
  bool has_min = option.range.min != std::numeric_limits<int64_t>::min() &&
                 (option.type == OptionType::kInteger || option.range.min > 0);
  bool has_max = option.range.max != std::numeric_limits<int64_t>::max();
  std::string min = number_text(option.type, option.range.min), max = number_text(option.type, option.range.max);
  if (has_max) return min + ".." + max;
  return has_min ? "at least " + min : "";
}

Result<int64_t> in_range(const Option& option, int64_t number) {
  if (number >= option.range.min && number <= option.range.max) return number;
  return fail(Code::kOutOfRange, number_text(option.type, number) + " is outside its range: " + range_text(option));
}

Result<OptionValue> checked_text(const Option& option, std::string text) {
  if (option.choices.empty() || std::ranges::find(option.choices, text) != option.choices.end()) return text;
  return fail(Code::kInvalid, quoted(text) + " is none of: " + joined(option.choices, ", "));
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> list;
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    std::string_view element = text.substr(0, comma);
    while (element.starts_with(' ')) element.remove_prefix(1);
    while (element.ends_with(' ')) element.remove_suffix(1);
    if (!element.empty()) list.emplace_back(element);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return list;
}

// A value written as plain text: from --set, the environment, or inside quotes in the file.
Result<OptionValue> parse_value(const Option& option, const std::string& text) {
  switch (option.type) {
    case OptionType::kBool:
      if (text == "true") return true;
      if (text == "false") return false;
      return fail(Code::kInvalid, "expected true or false, not " + quoted(text));
    case OptionType::kInteger: {
      int64_t number = 0;
      auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc() || end != text.data() + text.size() || text.empty())
        return fail(Code::kInvalid, "expected a whole number, not " + quoted(text));
      return TRY(in_range(option, number));
    }
    case OptionType::kSize: {
      uint64_t size_bytes = TRY(parse_size(text));
      return TRY(in_range(option, static_cast<int64_t>(size_bytes)));
    }
    case OptionType::kDuration: {
      Duration duration = TRY(parse_duration(text));
      return Duration(TRY(in_range(option, duration.count())));
    }
    case OptionType::kText:
      return checked_text(option, text);
    case OptionType::kList:
      return split_list(text);
  }
  return fail(Code::kInvalid, "unknown type");
}

// A value with the type that the file gave it.
Result<OptionValue> convert_value(const Option& option, const FileEntry& entry) {
  auto wrong = [&] { return fail(Code::kInvalid, "expected a " + std::string(name(option.type))); };
  if (const auto* flag = std::get_if<bool>(&entry.value)) {
    if (option.type == OptionType::kBool) return *flag;
    return wrong();
  }
  if (const auto* number = std::get_if<int64_t>(&entry.value)) {
    if (option.type == OptionType::kInteger || option.type == OptionType::kSize) return TRY(in_range(option, *number));
    if (option.type == OptionType::kDuration && *number == 0) return Duration(TRY(in_range(option, 0)));
    if (option.type == OptionType::kDuration) return fail(Code::kInvalid, "a duration needs its unit, like \"10s\"");
    return wrong();
  }
  if (const auto* text = std::get_if<std::string>(&entry.value)) {
    if (option.type == OptionType::kSize || option.type == OptionType::kDuration || option.type == OptionType::kText)
      return parse_value(option, *text);
    return wrong();
  }
  if (option.type != OptionType::kList) return wrong();
  return std::get<std::vector<std::string>>(entry.value);
}

// Levenshtein distance, for "did you mean".
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

using Options = std::map<std::string, Option, std::less<>>;

std::string unknown_option(const Options& options, std::string_view wanted) {
  constexpr size_t kNameSizeMax = 100;  // Bounds the work on names that nobody would mean.
  std::string_view best;
  size_t best_distance = 3;  // Two slips of the finger are a typing error, more a different name.
  if (wanted.size() <= kNameSizeMax)
    for (const auto& [name, option] : options) {
      size_t distance = edit_distance(wanted, name);
      if (distance < best_distance) {
        best_distance = distance;
        best = name;
      }
    }
  std::string message = "there is no such option";
  if (!best.empty()) message += fmt::format("; did you mean {}?", best);
  return message;
}

// Gathers values from all sources, the weaker first, and every problem on the way.
class Resolution {
 public:
  Resolution(const Options& options, std::map<std::string, ConfigEntry, std::less<>>& entries)
      : options_(options), entries_(entries) {
    for (const auto& [name, option] : options) entries[name] = {&option, option.default_value, "default"};
  }

  void file(const ConfigSources& sources) {
    if (!sources.file_text) return;
    if (sources.file_text->size() > ConfigSchema::kFileSizeBytesMax)
      return problem(sources.file_name + " is larger than 1 MiB");
    auto read = read_toml(*sources.file_text, sources.file_name);
    if (!read) return problem(read.error().message());
    std::ranges::sort(*read, {}, &FileEntry::line);
    for (const FileEntry& entry : *read) {
      std::string place = fmt::format("{}:{}", sources.file_name, entry.line);
      auto found = options_.find(entry.name);
      if (found == options_.end())
        problem(place + ": " + entry.name + ": " + unknown_option(options_, entry.name));
      else
        put(found->second, convert_value(found->second, entry), place, place + ": " + entry.name);
    }
  }

  void environment(const ConfigSources& sources) {
    std::map<std::string, const Option*, std::less<>> by_variable;
    std::set<std::string, std::less<>> prefixes;
    for (const auto& [name, option] : options_) {
      by_variable[environment_name(name)] = &option;
      prefixes.insert(environment_name(table_of(name)) + "_");
    }
    for (const auto& [variable, value] : sources.environment) {
      auto found = by_variable.find(variable);
      if (found != by_variable.end()) {
        put(*found->second, parse_value(*found->second, value), variable, variable);
      } else if (std::ranges::any_of(prefixes,
                                     [&](const std::string& prefix) { return variable.starts_with(prefix); })) {
        problem(variable + ": there is no such option");
      }
    }
  }

  void settings(const ConfigSources& sources) {
    for (const std::string& setting : sources.settings) {
      size_t equals = setting.find('=');
      if (equals == setting.npos) {
        problem("--set " + setting + ": expected system.key=value");
        continue;
      }
      std::string name = setting.substr(0, equals);
      auto found = options_.find(name);
      if (found == options_.end())
        problem("--set " + name + ": " + unknown_option(options_, name));
      else
        put(found->second, parse_value(found->second, setting.substr(equals + 1)), "--set", "--set " + name);
    }
  }

  Result<void> finish() const {
    if (problems_.empty()) return {};
    return fail(Code::kInvalid, joined(problems_, "\n"));
  }

 private:
  void put(const Option& option, Result<OptionValue> value, std::string source, const std::string& place) {
    if (!value) {
      // A mistyped secret is a secret still.
      return problem(place + ": " + (option.secret ? "the value is not allowed" : value.error().message()));
    }
    ConfigEntry& entry = entries_.at(option.name);
    entry.value = *std::move(value);
    entry.source = std::move(source);
  }

  void problem(std::string text) {
    constexpr size_t kProblemsMax = 50;
    if (problems_.size() < kProblemsMax) problems_.push_back(std::move(text));
  }

  const Options& options_;
  std::map<std::string, ConfigEntry, std::less<>>& entries_;
  std::vector<std::string> problems_;
};

}  // namespace

std::string_view name(OptionType type) {
  switch (type) {
    case OptionType::kBool:
      return "true or false";
    case OptionType::kInteger:
      return "whole number";
    case OptionType::kSize:
      return "size";
    case OptionType::kDuration:
      return "duration";
    case OptionType::kText:
      return "text";
    case OptionType::kList:
      return "list of texts";
  }
  return "unknown";
}

const ConfigEntry& Config::entry(std::string_view name, OptionType type) const {
  auto found = entries_.find(name);
  POLIS_ASSERT(found != entries_.end());
  POLIS_ASSERT(found->second.option->type == type);
  return found->second;
}

bool Config::boolean(std::string_view name) const {
  return std::get<bool>(entry(name, OptionType::kBool).value);
}
int64_t Config::integer(std::string_view name) const {
  return std::get<int64_t>(entry(name, OptionType::kInteger).value);
}
uint64_t Config::size_bytes(std::string_view name) const {
  return static_cast<uint64_t>(std::get<int64_t>(entry(name, OptionType::kSize).value));
}
Duration Config::duration(std::string_view name) const {
  return std::get<Duration>(entry(name, OptionType::kDuration).value);
}
const std::string& Config::text(std::string_view name) const {
  return std::get<std::string>(entry(name, OptionType::kText).value);
}
const std::vector<std::string>& Config::list(std::string_view name) const {
  return std::get<std::vector<std::string>>(entry(name, OptionType::kList).value);
}

std::string Config::shown(const ConfigEntry& entry) {
  if (entry.option->secret && !std::get<std::string>(entry.value).empty()) return "***";
  return toml_text(entry.option->type, entry.value);
}

void ConfigSchema::add(Option option) {
  POLIS_ASSERT(valid_name(option.name));
  for (const auto& [name, other] : options_) POLIS_ASSERT(environment_name(name) != environment_name(option.name));
  if (const auto* number = std::get_if<int64_t>(&option.default_value))
    POLIS_ASSERT(in_range(option, *number).has_value());
  if (const auto* duration = std::get_if<Duration>(&option.default_value))
    POLIS_ASSERT(in_range(option, duration->count()).has_value());
  if (const auto* text = std::get_if<std::string>(&option.default_value))
    POLIS_ASSERT(checked_text(option, *text).has_value());
  std::string name = option.name;
  options_.emplace(std::move(name), std::move(option));
}

void ConfigSchema::add_bool(std::string name, bool default_value, std::string help) {
  add({.name = std::move(name), .type = OptionType::kBool, .default_value = default_value, .help = std::move(help)});
}
void ConfigSchema::add_integer(std::string name, int64_t default_value, OptionRange range, std::string help) {
  add({.name = std::move(name),
       .type = OptionType::kInteger,
       .default_value = default_value,
       .help = std::move(help),
       .range = range});
}
void ConfigSchema::add_size(std::string name, uint64_t default_bytes, OptionRange range_bytes, std::string help) {
  POLIS_ASSERT(default_bytes <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) && range_bytes.min >= 0);
  add({.name = std::move(name),
       .type = OptionType::kSize,
       .default_value = static_cast<int64_t>(default_bytes),
       .help = std::move(help),
       .range = range_bytes});
}
void ConfigSchema::add_duration(std::string name, Duration default_value, DurationRange range, std::string help) {
  add({.name = std::move(name),
       .type = OptionType::kDuration,
       .default_value = default_value,
       .help = std::move(help),
       .range = {range.min.count(), range.max.count()}});
}
void ConfigSchema::add_text(std::string name, std::string default_value, std::string help) {
  add({.name = std::move(name),
       .type = OptionType::kText,
       .default_value = std::move(default_value),
       .help = std::move(help)});
}
void ConfigSchema::add_choice(std::string name, std::string default_value, std::vector<std::string> choices,
                              std::string help) {
  add({.name = std::move(name),
       .type = OptionType::kText,
       .default_value = std::move(default_value),
       .help = std::move(help),
       .choices = std::move(choices)});
}
void ConfigSchema::add_secret(std::string name, std::string help) {
  add({.name = std::move(name),
       .type = OptionType::kText,
       .default_value = std::string(),
       .help = std::move(help),
       .secret = true});
}
void ConfigSchema::add_list(std::string name, std::vector<std::string> default_value, std::string help) {
  add({.name = std::move(name),
       .type = OptionType::kList,
       .default_value = std::move(default_value),
       .help = std::move(help)});
}

Result<Config> ConfigSchema::resolve(const ConfigSources& sources) const {
  Config config;
  config.options_ = std::make_shared<const Options>(options_);
  Resolution resolution(*config.options_, config.entries_);
  resolution.file(sources);
  resolution.environment(sources);
  resolution.settings(sources);
  TRY(resolution.finish());
  return config;
}

std::string ConfigSchema::default_file() const {
  std::string out =
      "# Configuration of polis. Every option stands here at its default; take the # away to change one.\n";
  std::string_view table;
  for (const auto& [name, option] : options_) {
    if (table_of(name) != table) {
      table = table_of(name);
      out += fmt::format("\n[{}]\n", table);
    }
    std::string range = range_text(option);
    out += fmt::format("\n# {}{}\n#{} = {}\n", option.help, range.empty() ? "" : " (" + range + ")", key_of(name),
                       toml_text(option.type, option.default_value));
  }
  return out;
}

std::string ConfigSchema::manual() const {
  std::string out;
  std::string_view table;
  for (const auto& [name, option] : options_) {
    if (table_of(name) != table) {
      table = table_of(name);
      out += fmt::format("{}## {}\n\n| option | type | default | range | meaning |\n|---|---|---|---|---|\n",
                         out.empty() ? "" : "\n", table);
    }
    out += fmt::format("| `{}` | {} | `{}` | {} | {} |\n", name, base::name(option.type),
                       toml_text(option.type, option.default_value), range_text(option), option.help);
  }
  return out;
}

std::string environment_name(std::string_view option_name) {
  std::string out(kEnvironmentPrefix);
  for (char c : option_name)
    out.push_back(c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  return out;
}

std::vector<std::pair<std::string, std::string>> polis_environment() {
  std::vector<std::pair<std::string, std::string>> variables;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    std::string_view variable = *at;
    size_t equals = variable.find('=');
    if (!variable.starts_with(kEnvironmentPrefix) || equals == variable.npos) continue;
    variables.emplace_back(variable.substr(0, equals), variable.substr(equals + 1));
  }
  return variables;
}

Result<std::string> read_config_file(const std::string& path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail(system_error(errno, "cannot open the configuration file " + path));
  std::string text;
  char buffer[16384];
  ssize_t got;
  while ((got = read(file, buffer, sizeof buffer)) > 0 && text.size() <= ConfigSchema::kFileSizeBytesMax)
    text.append(buffer, static_cast<size_t>(got));
  int error_number = errno;
  close(file);
  if (got < 0) return fail(system_error(error_number, "cannot read the configuration file " + path));
  if (text.size() > ConfigSchema::kFileSizeBytesMax)
    return fail(Code::kTooLarge, "the configuration file " + path + " is larger than 1 MiB");
  return text;
}

}  // namespace polis::base
