// Reads the TOML form of a configuration file into flat entries; internal to base. The one place that knows the TOML
// library, whose headers take ten seconds to compile.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "kernel/base/result.h"

namespace polis::base {

struct FileEntry {
  std::string name;  // "system.key"
  std::variant<bool, int64_t, std::string, std::vector<std::string>> value;
  size_t line;  // from 1
};

// kInvalid names file and line: not TOML, a key outside a table, a table in a table, or a value of a kind that no
// option has (fractions, dates).
Result<std::vector<FileEntry>> read_toml(const std::string& text, const std::string& file_name);

}  // namespace polis::base
