#include "app/cli/terminal.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cctype>
#include <cmath>
#include <fmt/format.h>
#include <unistd.h>

namespace polis::app {
namespace {

namespace json = boost::json;

// Columns a terminal shows for this UTF-8 text, when none of it is wide: its code points.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string padded(std::string_view text, size_t width, bool right) {
  std::string blanks(width > width_of(text) ? width - width_of(text) : 0, ' ');
  return right ? blanks + std::string(text) : std::string(text) + blanks;
}

bool looks_numeric(std::string_view text) {
  return text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) ||
         (text.size() > 1 && text[0] == '-' && std::isdigit(static_cast<unsigned char>(text[1])));
}

std::string cell(const json::value& value) {
  if (value.is_null()) return "";
  if (const auto* text = value.if_string()) return std::string(*text);
  // Six digits say enough to a person; an exponent says too little.
  if (const auto* number = value.if_double())
    return std::abs(*number) >= 1000 ? fmt::format("{:.0f}", *number) : fmt::format("{:.6g}", *number);
  if (value.is_array() && std::all_of(value.get_array().begin(), value.get_array().end(),
                                      [](const json::value& v) { return v.is_string(); })) {
    std::string joined;
    for (const json::value& entry : value.get_array())
      joined += (joined.empty() ? "" : ", ") + std::string(entry.get_string());
    return joined;
  }
  return json::serialize(value);
}

std::string array_of_objects(const json::array& array) {
  std::vector<std::string> columns;
  for (const json::value& entry : array)
    for (const auto& member : entry.get_object())
      if (std::find(columns.begin(), columns.end(), member.key()) == columns.end()) columns.emplace_back(member.key());
  std::vector<std::vector<std::string>> rows;
  for (const json::value& entry : array) {
    auto& row = rows.emplace_back();
    for (const std::string& column : columns) {
      const json::value* value = entry.get_object().if_contains(column);
      row.push_back(value ? cell(*value) : "");
    }
  }
  return format_table(columns, rows);
}

bool is_table(const json::value& value) {
  const json::array* array = value.if_array();
  return array && !array->empty() &&
         std::all_of(array->begin(), array->end(), [](const json::value& v) { return v.is_object(); });
}

std::string render(const json::value& value) {
  if (is_table(value)) return array_of_objects(value.get_array());
  if (const json::array* array = value.if_array()) {
    std::string text;
    for (const json::value& entry : *array) text += cell(entry) + "\n";
    return text;
  }
  const json::object* object = value.if_object();
  if (!object) return cell(value) + "\n";
  // Plain members first, then each list under its name.
  std::string text, lists;
  size_t width = 0;
  for (const auto& member : *object) width = std::max(width, member.key().size());
  for (const auto& member : *object) {
    if (is_table(member.value()))
      lists += fmt::format("\n{}\n{}", std::string_view(member.key()), array_of_objects(member.value().get_array()));
    else
      text += fmt::format("{:<{}}  {}\n", std::string_view(member.key()), width, cell(member.value()));
  }
  return text + lists;
}

}  // namespace

std::string format_table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(columns.size());
  std::vector<bool> right(columns.size(), !rows.empty());
  for (size_t i = 0; i < columns.size(); ++i) {
    widths[i] = width_of(columns[i]);
    for (const auto& row : rows) {
      if (i >= row.size()) continue;
      widths[i] = std::max(widths[i], width_of(row[i]));
      if (!looks_numeric(row[i])) right[i] = false;
    }
  }
  std::string text;
  auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t i = 0; i < columns.size(); ++i)
      line += (i ? "  " : "") + padded(i < row.size() ? row[i] : "", widths[i], right[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  };
  add(columns);
  for (const auto& row : rows) add(row);
  return text;
}

std::string format_document(std::string_view document) {
  boost::system::error_code error;
  json::value value = json::parse(document, error);
  if (error) return std::string(document) + "\n";
  return render(value);
}

std::string readable_size(uint64_t size_bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  double value = static_cast<double>(size_bytes);
  while (value >= 1024 && unit + 1 < std::size(kUnits)) value /= 1024, ++unit;
  if (unit == 0) return fmt::format("{} B", size_bytes);
  return value == static_cast<double>(static_cast<uint64_t>(value)) ? fmt::format("{:.0f} {}", value, kUnits[unit])
                                                                    : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string readable_duration(Duration duration) {
  double seconds = std::chrono::duration<double>(duration).count();
  if (seconds < 1e-3) return fmt::format("{:.0f} µs", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.1f} ms", seconds * 1e3);
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  auto whole = static_cast<uint64_t>(seconds);
  return fmt::format("{} min {} s", whole / 60, whole % 60);
}

Terminal::Terminal(std::FILE* out, std::FILE* err, bool json)
    : out_(out), err_(err), json_(json), err_is_terminal_(isatty(fileno(err)) == 1) {}

Terminal::~Terminal() {
  clear_progress();
}

void Terminal::document(std::string_view json) {
  clear_progress();
  std::string text = json_ ? std::string(json) + "\n" : format_document(json);
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

void Terminal::table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows) {
  if (!json_) {
    clear_progress();
    std::string text = format_table(columns, rows);
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fflush(out_);
    return;
  }
  json::array array;
  for (const auto& row : rows) {
    json::object& object = array.emplace_back(json::object()).get_object();
    for (size_t i = 0; i < columns.size() && i < row.size(); ++i) object[columns[i]] = row[i];
  }
  document(json::serialize(array));
}

void Terminal::line(std::string_view text) {
  if (json_) return;
  clear_progress();
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fputc('\n', out_);
  std::fflush(out_);
}

void Terminal::remark(std::string_view text) {
  clear_progress();
  std::fwrite(text.data(), 1, text.size(), err_);
  std::fputc('\n', err_);
}

void Terminal::progress(std::string_view what, uint64_t done, uint64_t total) {
  if (!err_is_terminal_) return;
  if (done >= total) {
    clear_progress();
    return;
  }
  // Ten pictures a second are enough for the eye.
  auto now = std::chrono::steady_clock::now();
  if (progress_width_ && now - progress_at_ < std::chrono::milliseconds(100)) return;
  progress_at_ = now;
  clear_progress();
  constexpr size_t kBarWidth = 30;
  size_t filled = static_cast<size_t>(static_cast<double>(done) / static_cast<double>(total) * kBarWidth);
  std::string text = fmt::format(
      "{} [{}{}] {:.0f} %  {} of {}", what, std::string(filled, '='), std::string(kBarWidth - filled, ' '),
      100.0 * static_cast<double>(done) / static_cast<double>(total), readable_size(done), readable_size(total));
  std::fwrite(text.data(), 1, text.size(), err_);
  std::fflush(err_);
  progress_width_ = text.size();
}

void Terminal::clear_progress() {
  if (progress_width_ == 0) return;
  std::fputs("\r\033[K", err_);
  progress_width_ = 0;
}

void Terminal::error(const Error& error) {
  clear_progress();
  if (!json_) {
    std::string text = "polis: " + error.text() + "\n";
    std::fwrite(text.data(), 1, text.size(), err_);
    return;
  }
  json::object object{{"error", {{"code", name(error.code())}, {"message", error.text()}}}};
  document(json::serialize(object));
}

bool Terminal::interactive() const {
  return !json_ && err_is_terminal_ && isatty(STDIN_FILENO) == 1;
}

bool Terminal::confirm(std::string_view question) {
  clear_progress();
  std::string text = fmt::format("{} [y/N] ", question);
  std::fwrite(text.data(), 1, text.size(), err_);
  std::fflush(err_);
  int first = std::getc(stdin);
  for (int c = first; c != '\n' && c != EOF;) c = std::getc(stdin);
  return first == 'y' || first == 'Y';
}

}  // namespace polis::app
