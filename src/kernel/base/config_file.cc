#include "kernel/base/config_file.h"

#include <sstream>
#include <toml.hpp>

#include "kernel/base/text_encoding.h"

namespace polis::base {
namespace {

// The deepest sensible nesting is a list in a table. The library recurses once a level, so hostile brackets would
// exhaust the stack.
constexpr size_t kNestingMax = 16;

std::string at(const std::string& file_name, size_t line) {
  return file_name + ":" + std::to_string(line) + ": ";
}

Result<void> check_before_parsing(const std::string& text, const std::string& file_name) {
  if (!utf8_valid(text)) return fail(Code::kInvalid, file_name + " is not UTF-8 text");
  size_t line = 1;
  size_t opened = 0;
  for (char c : text) {
    if (c == '\0') return fail(Code::kInvalid, at(file_name, line) + "holds a NUL character");
    if (c == '[' || c == '{') ++opened;
    // Closing brackets inside texts do not fool this: they only lower the count by what opening ones beside them raised
    // it.
    if ((c == ']' || c == '}') && opened > 0) --opened;
    if (c == '\n') ++line;
    if (opened > kNestingMax) return fail(Code::kInvalid, at(file_name, line) + "brackets are nested too deeply");
  }
  return {};
}

// The first line of the library's drawing of the error, without its tag: "[error] toml::parse_table: invalid line
// format".
std::string first_line(std::string_view drawing) {
  drawing = drawing.substr(0, drawing.find('\n'));
  size_t tag = drawing.find("toml::");
  if (tag != drawing.npos) {
    drawing.remove_prefix(tag + 6);
    size_t colon = drawing.find(": ");
    if (colon != drawing.npos) drawing.remove_prefix(colon + 2);
  }
  return std::string(drawing);
}

Result<FileEntry> read_entry(const std::string& name, const toml::value& value, const std::string& file_name) {
  FileEntry entry{name, false, value.location().line()};
  if (value.is_boolean()) {
    entry.value = value.as_boolean();
  } else if (value.is_integer()) {
    entry.value = static_cast<int64_t>(value.as_integer());
  } else if (value.is_string()) {
    entry.value = value.as_string().str;
  } else if (value.is_array()) {
    std::vector<std::string> list;
    for (const toml::value& element : value.as_array()) {
      if (!element.is_string())
        return fail(Code::kInvalid, at(file_name, entry.line) + name + ": a list holds texts in quotes only");
      list.push_back(element.as_string().str);
    }
    entry.value = std::move(list);
  } else {
    return fail(Code::kInvalid, at(file_name, entry.line) + name +
                                    ": expected true or false, a whole number, a text in quotes or a list of texts");
  }
  return entry;
}

}  // namespace

Result<std::vector<FileEntry>> read_toml(const std::string& text, const std::string& file_name) {
  TRY(check_before_parsing(text, file_name));
  toml::value root;
  try {
    std::istringstream stream(text);
    root = toml::parse(stream, file_name);
  } catch (const toml::exception& error) {
    return fail(Code::kInvalid, at(file_name, error.location().line()) + first_line(error.what()));
  } catch (const std::exception& error) {  // Numbers beyond 64 bits surface as std::out_of_range.
    return fail(Code::kInvalid, file_name + " is not valid TOML: " + first_line(error.what()));
  }
  std::vector<FileEntry> entries;
  for (const auto& [table_name, table] : root.as_table()) {
    if (!table.is_table())
      return fail(Code::kInvalid,
                  at(file_name, table.location().line()) + "'" + table_name + "' stands outside a [system] table");
    for (const auto& [key, value] : table.as_table())
      entries.push_back(TRY(read_entry(table_name + "." + key, value, file_name)));
  }
  return entries;
}

}  // namespace polis::base
