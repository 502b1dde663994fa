#include <algorithm>
#include <charconv>

#include "kernel/base/config.h"
#include "kernel/base/time_format.h"
#include "kernel/obs/json_text.h"
#include "kernel/obs/log.h"

namespace polis::obs {
namespace {

constexpr std::string_view kLevelNames[] = {"debug", "info", "warning", "error", "none"};
constexpr std::string_view kLevelTags[] = {"DEBUG", "INFO", "WARNING", "ERROR", "NONE"};

// Fields are for a line; a caller that passes a payload gets its beginning.
constexpr size_t kValueBytesMax = 4096;

template <class Number>
void append_number(std::string& out, Number number) {
  char buffer[32];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, number);
  out.append(buffer, end);
}

bool plain(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '=' && c != '\\'; });
}

// Only ASCII letters and signs that need no quotes; for events, spaces too.
void append_plain_or_quoted(std::string& out, std::string_view text, bool spaces) {
  bool fine = spaces ? std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }) : plain(text);
  if (fine)
    out.append(text);
  else
    append_json_text(out, text);
}

// Calls visit with the value, texts cut to their limit.
template <class Visit>
void visit_value(const Field& field, Visit visit) {
  std::visit(
      [&](const auto& value) {
        if constexpr (std::convertible_to<decltype(value), std::string_view>)
          visit(std::string_view(value).substr(0, kValueBytesMax));
        else
          visit(value);
      },
      field.value());
}

}  // namespace

std::string_view name(Level level) {
  return kLevelNames[static_cast<size_t>(level)];
}

Result<Level> parse_level(std::string_view text) {
  for (size_t i = 0; i < std::size(kLevelNames); ++i)
    if (kLevelNames[i] == text) return static_cast<Level>(i);
  return fail(Code::kInvalid, "a log level is one of debug, info, warning, error, none");
}

Field::Field(std::string_view key, Duration value) : key_(key), value_(base::format_duration(value)) {}

std::string format_text(WallTime time, Level level, std::string_view event, Fields fields) {
  std::string line = base::format_rfc3339(time);
  line.append(" ").append(kLevelTags[static_cast<size_t>(level)]).append(" ");
  append_plain_or_quoted(line, event.substr(0, kValueBytesMax), true);
  for (const Field& field : fields) {
    line.push_back(' ');
    append_plain_or_quoted(line, field.key(), false);
    line.push_back('=');
    visit_value(field, [&](auto value) {
      if constexpr (std::same_as<decltype(value), std::string_view>)
        append_plain_or_quoted(line, value, false);
      else if constexpr (std::same_as<decltype(value), bool>)
        line.append(value ? "true" : "false");
      else
        append_number(line, value);
    });
    if (line.size() > Log::kLineBytesMax) break;
  }
  if (line.size() > Log::kLineBytesMax) {
    line.resize(Log::kLineBytesMax - 3);
    // Not in the middle of a character.
    while ((line.back() & 0xc0) == 0x80) line.pop_back();
    if ((line.back() & 0x80) != 0) line.pop_back();
    line.append("...");
  }
  return line;
}

std::string format_json(WallTime time, Level level, std::string_view event, Fields fields) {
  std::string line =
      "{\"time\":\"" + base::format_rfc3339(time) + "\",\"level\":\"" + std::string(name(level)) + "\",\"event\":";
  append_json_text(line, event.substr(0, kValueBytesMax));
  for (const Field& field : fields) {
    size_t before = line.size();
    line.push_back(',');
    append_json_text(line, field.key());
    line.push_back(':');
    visit_value(field, [&](auto value) {
      if constexpr (std::same_as<decltype(value), std::string_view>)
        append_json_text(line, value);
      else if constexpr (std::same_as<decltype(value), bool>)
        line.append(value ? "true" : "false");
      else if constexpr (std::same_as<decltype(value), double>)
        append_json_number(line, value);
      else
        append_number(line, value);
    });
    // JSON cannot be cut anywhere: a field that does not fit is left out whole, and the line says so.
    constexpr std::string_view kCut = ",\"cut\":true";
    if (line.size() + kCut.size() + 1 > Log::kLineBytesMax) {
      line.resize(before);
      line.append(kCut);
      break;
    }
  }
  line.push_back('}');
  return line;
}

void declare_log_options(base::ConfigSchema& schema) {
  schema.add_choice("log.level", "info", {"debug", "info", "warning", "error", "none"}, "Least level that is logged.");
  schema.add_choice("log.format", "text", {"text", "json"}, "Lines for people, or one JSON object a line.");
  schema.add_text("log.file", "", "File to append to; empty for standard error.");
  schema.add_size("log.file_size_max", uint64_t{64} << 20, {1 << 20, int64_t{1} << 40},
                  "Size at which the file becomes FILE.1 and a new one begins.");
  schema.add_integer("log.lines_per_second_max", 50, {0, 1'000'000},
                     "Lines of one event and level that pass each second; 0 for no limit.");
}

LogOptions log_options(const base::Config& config) {
  LogOptions options;
  options.level =
      parse_level(config.text("log.level")).value_or(Level::kInfo);  // The choices above are the level's names.
  options.format = config.text("log.format") == "json" ? LogFormat::kJson : LogFormat::kText;
  options.file = config.text("log.file");
  options.file_size_bytes_max = config.size_bytes("log.file_size_max");
  options.lines_per_second_max = static_cast<uint32_t>(config.integer("log.lines_per_second_max"));
  return options;
}

}  // namespace polis::obs
