// Terminal: where the command line writes. Answers go to standard output (text, or one JSON document under --json);
// remarks, progress bars and errors go to standard error, so that a pipe gets answers alone.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"
#include "systems/command.h"

namespace polis::app {

// An aligned table; columns whose cells are all numbers with units or plain numbers stand to the right.
std::string format_table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows);

// A JSON document for a person: an array of objects as a table, an object as "name  value" lines. Text that is no JSON
// stays.
std::string format_document(std::string_view json);

// "1.5 MiB", "0 B". Binary units, at most one decimal.
std::string readable_size(uint64_t size_bytes);
// "12 µs", "3.4 ms", "2.1 s", "4 min 5 s".
std::string readable_duration(Duration duration);

class Terminal final : public systems::Output {
 public:
  // `out` and `err` outlive it.
  Terminal(std::FILE* out, std::FILE* err, bool json);
  ~Terminal() override;

  bool json() const override { return json_; }
  void document(std::string_view json) override;
  void table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows) override;
  void line(std::string_view text) override;
  void remark(std::string_view text) override;
  void progress(std::string_view what, uint64_t done, uint64_t total) override;

  // One error: text on standard error, or {"error":{"code","message"}} on standard output under --json.
  void error(const Error& error);
  // True when a person sits at both ends: questions may be asked.
  bool interactive() const;
  // Asks a yes/no question on standard error; no is the default and the answer at the end of input.
  bool confirm(std::string_view question);

 private:
  void clear_progress();

  std::FILE* out_;
  std::FILE* err_;
  bool json_;
  bool err_is_terminal_;
  size_t progress_width_ = 0;  // characters of the bar that stands on the line; 0: none
  std::chrono::steady_clock::time_point progress_at_{};
};

}  // namespace polis::app
