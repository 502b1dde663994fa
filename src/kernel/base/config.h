// Configuration. An option is declared once, with its type, default, range and help; from that declaration come the
// parser of every source, the default file and the manual. Sources, the stronger first:
//
//   --set system.key=value      the command line
//   POLIS_SYSTEM_KEY=value      the environment
//   [system] key = value        one TOML file
//   the default
//
// ConfigSchema is filled at start by one thread; the Config that it resolves never changes and may be read from any
// shard.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"

namespace polis::base {

enum class OptionType {
  kBool,      // true, false
  kInteger,   // 64 bits, signed
  kSize,      // bytes: 4096, "64KiB", "1GB"
  kDuration,  // "250ms", "10s", "1h30m"
  kText,
  kList,  // texts: ["a", "b"] in the file, a,b elsewhere
};
std::string_view name(OptionType type);

// An inclusive range of an integer, of bytes, or of nanoseconds.
struct OptionRange {
  int64_t min = 0;
  int64_t max = std::numeric_limits<int64_t>::max();
};
struct DurationRange {
  Duration min{0};
  Duration max = Duration::max();
};

using OptionValue = std::variant<bool, int64_t, Duration, std::string, std::vector<std::string>>;

// One declared option, as the manual shows it.
struct Option {
  std::string name;  // "system.key", each part of a-z, 0-9 and _
  OptionType type;
  OptionValue default_value;
  std::string help;                  // one or two sentences
  OptionRange range;                 // kInteger, kSize, kDuration
  std::vector<std::string> choices;  // kText: allowed values; empty: any
  bool secret = false;               // shown as *** wherever values are listed
};

// What an option resolved to, and where that came from: "default", "polis.toml:12", "POLIS_OBJECT_S3_LISTEN", "--set".
struct ConfigEntry {
  const Option* option;
  OptionValue value;
  std::string source;
};

// Looking up a name that nobody declared, or by another type, is a broken invariant.
class Config {
 public:
  bool boolean(std::string_view name) const;
  int64_t integer(std::string_view name) const;
  uint64_t size_bytes(std::string_view name) const;
  Duration duration(std::string_view name) const;
  const std::string& text(std::string_view name) const;
  const std::vector<std::string>& list(std::string_view name) const;

  bool declared(std::string_view name) const { return entries_.contains(name); }
  // Everything, by name; lives as long as this Config.
  const std::map<std::string, ConfigEntry, std::less<>>& entries() const { return entries_; }
  // The value as it would stand in the file; *** for a secret that is not empty.
  static std::string shown(const ConfigEntry& entry);

 private:
  friend class ConfigSchema;
  const ConfigEntry& entry(std::string_view name, OptionType type) const;

  // Shared with copies of this Config: entries point to the options.
  std::shared_ptr<const std::map<std::string, Option, std::less<>>> options_;
  std::map<std::string, ConfigEntry, std::less<>> entries_;
};

struct ConfigSources {
  std::optional<std::string> file_text;
  std::string file_name = "polis.toml";                          // for messages
  std::vector<std::pair<std::string, std::string>> environment;  // name, value; names without POLIS_ are ignored
  std::vector<std::string> settings;  // "system.key=value"; of two for one option the later wins
};

class ConfigSchema {
 public:
  // A configuration file is a few hundred lines; a megabyte is something else by mistake.
  static constexpr size_t kFileSizeBytesMax = size_t{1} << 20;

  // Each declares an option. A malformed or repeated name, or a default outside its own range, is a broken invariant.
  void add_bool(std::string name, bool default_value, std::string help);
  void add_integer(std::string name, int64_t default_value, OptionRange range, std::string help);
  void add_size(std::string name, uint64_t default_bytes, OptionRange range_bytes, std::string help);
  void add_duration(std::string name, Duration default_value, DurationRange range, std::string help);
  void add_text(std::string name, std::string default_value, std::string help);
  void add_choice(std::string name, std::string default_value, std::vector<std::string> choices, std::string help);
  void add_secret(std::string name, std::string help);  // a text, empty by default
  void add_list(std::string name, std::vector<std::string> default_value, std::string help);

  // kInvalid lists every problem of every source, one a line, each with its place ("polis.toml:12: ...", "--set
  // object.prot: ..."). An unknown key is a problem; so is an unknown POLIS_<system>_ variable of a declared system,
  // while other POLIS_ names belong to other purposes and are let be.
  Result<Config> resolve(const ConfigSources& sources) const;

  // A complete TOML file: every option with its help, commented out at its default.
  std::string default_file() const;
  // A Markdown table for each system.
  std::string manual() const;
  const std::map<std::string, Option, std::less<>>& options() const { return options_; }

 private:
  void add(Option option);
  std::map<std::string, Option, std::less<>> options_;
};

// "object.s3_listen" -> "POLIS_OBJECT_S3_LISTEN"
std::string environment_name(std::string_view option_name);
// The variables of this process that begin with POLIS_.
std::vector<std::pair<std::string, std::string>> polis_environment();
// Reads a configuration file whole, for start-up and the command line. kNotFound, kTooLarge, kIo.
Result<std::string> read_config_file(const std::string& path);

// Sizes: digits and B, kB, MB, GB, TB (powers of 1,000) or KiB, MiB, GiB, TiB (of 1,024); without a unit, bytes.
Result<uint64_t> parse_size(std::string_view text);
// The largest unit of 1,024 that leaves a whole number: "64MiB".
std::string format_size(uint64_t size_bytes);
// Parts of digits and ns, us, ms, s, m, h, d, the larger first: "1h30m". "0" needs no unit.
Result<Duration> parse_duration(std::string_view text);
// "90s" as "1m30s"; negative durations do not occur in configuration and print with a '-'.
std::string format_duration(Duration duration);

}  // namespace polis::base
