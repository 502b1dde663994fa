// Structured logs. A line is an event (a short fixed text that one can search for) with fields:
//
//   obs::log_warning("drive is slow", {{"drive", path}, {"latency_ms", latency_ms}});
//
//   2026-11-21T23:06:25.123Z WARNING drive is slow drive=/data/2 latency_ms=812
//   {"time":"2026-11-21T23:06:25.123Z","level":"warning","event":"drive is slow","drive":"/data/2","latency_ms":812}
//
// The calling thread formats the line and leaves it in a bounded queue under a short mutex; a thread of the Log's own
// writes, so a slow terminal or disk never holds a shard. When the queue is full, lines are dropped and counted.
// Secrets never go into fields.
//
// The process has one Log that the free functions reach (the one exception to "no global state": a line must be
// possible from everywhere). Until main installs it, warnings and errors go to standard error at once and the rest
// nowhere.
#pragma once

#include <atomic>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"

namespace polis::base {
class Config;
class ConfigSchema;
}  // namespace polis::base

namespace polis::obs {

enum class Level : uint8_t { kDebug, kInfo, kWarning, kError, kNone };
std::string_view name(Level level);  // "debug", "info", "warning", "error", "none"
Result<Level> parse_level(std::string_view text);

// A key and a value. Texts are viewed, not copied: they live until the call that takes the field returns.
class Field {
 public:
  using Value = std::variant<bool, int64_t, uint64_t, double, std::string_view, std::string>;

  template <std::signed_integral T>
  Field(std::string_view key, T value) : key_(key), value_(static_cast<int64_t>(value)) {}
  template <std::unsigned_integral T>
    requires(!std::same_as<T, bool>)
  Field(std::string_view key, T value) : key_(key), value_(static_cast<uint64_t>(value)) {}
  template <std::same_as<bool> T>
  Field(std::string_view key, T value) : key_(key), value_(value) {}
  Field(std::string_view key, double value) : key_(key), value_(value) {}
  Field(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  Field(std::string_view key, const std::string& value) : key_(key), value_(std::string_view(value)) {}
  Field(std::string_view key, const char* value) : key_(key), value_(std::string_view(value)) {}
  // With its unit, as in "1m30s".
  Field(std::string_view key, Duration value);
  // The whole chain of causes.
  Field(std::string_view key, const Error& error) : key_(key), value_(error.text()) {}

  std::string_view key() const { return key_; }
  const Value& value() const { return value_; }

 private:
  std::string_view key_;
  Value value_;
};
using Fields = std::initializer_list<Field>;

// One line that was logged, for the console.
struct LogLine {
  uint64_t sequence;  // from 1, without gaps
  WallTime time;
  Level level;
  std::string event;
  std::string json;  // the whole line
};

enum class LogFormat : uint8_t { kText, kJson };

struct LogOptions {
  Level level = Level::kInfo;
  LogFormat format = LogFormat::kText;
  std::string file;  // empty: standard error
  // The file becomes FILE.1 (replacing an older one) and a new one begins: at most twice this on disk.
  uint64_t file_size_bytes_max = uint64_t{64} << 20;
  size_t queue_bytes_max = size_t{1} << 20;  // waiting to be written
  size_t recent_lines_max = 2000;            // kept for recent(), at most
  size_t recent_bytes_max = size_t{1} << 20;
  // Of one event and level, this many lines pass each second; the first line of a later second says how many were
  // suppressed. Errors repeat in storms just like the rest. 0: no limit.
  uint32_t lines_per_second_max = 50;
};

class Log {
 public:
  // A longer line is cut: text for people, not a store of payloads.
  static constexpr size_t kLineBytesMax = 8192;

  // Opens the file (append, 0600). kDenied, kNotFound, kIo as open(2) says. `clock` outlives the Log.
  static Result<std::unique_ptr<Log>> open(const Clock& clock, LogOptions options);
  // Writes to a descriptor that stays the caller's.
  static std::unique_ptr<Log> to_descriptor(const Clock& clock, LogOptions options, int descriptor);
  // Writes what is queued. If installed, uninstalls first; no other thread may be logging by then.
  ~Log();

  // Makes this the Log of the free functions.
  void install();

  void write(Level level, std::string_view event, Fields fields);
  bool enabled(Level level) const { return level >= level_.load(std::memory_order_relaxed); }
  void set_level(Level level);
  // Returns when everything logged before the call is written (or has failed to be).
  void flush();
  // Opens the file anew, after someone moved it away. Nothing for descriptors.
  Result<void> reopen();

  // The latest lines, oldest first, of at least `level_min`, after `after_sequence`; at most `lines_max` (the latest
  // ones win).
  std::vector<LogLine> recent(size_t lines_max, Level level_min = Level::kDebug, uint64_t after_sequence = 0) const;

  uint64_t lines_dropped() const;     // the queue was full
  uint64_t lines_suppressed() const;  // too many of one event
  uint64_t write_errors() const;

 private:
  struct State;
  explicit Log(std::unique_ptr<State> state, Level level);
  std::unique_ptr<State> state_;
  std::atomic<Level> level_;
};

namespace detail {
extern std::atomic<Level> installed_level;
}

// Cheap enough for any path: one relaxed load. Worth asking before fields that cost something to make.
inline bool log_enabled(Level level) {
  return level >= detail::installed_level.load(std::memory_order_relaxed);
}
void log(Level level, std::string_view event, Fields fields = {});

inline void log_debug(std::string_view event, Fields fields = {}) {
  if (log_enabled(Level::kDebug)) log(Level::kDebug, event, fields);
}
inline void log_info(std::string_view event, Fields fields = {}) {
  if (log_enabled(Level::kInfo)) log(Level::kInfo, event, fields);
}
inline void log_warning(std::string_view event, Fields fields = {}) {
  if (log_enabled(Level::kWarning)) log(Level::kWarning, event, fields);
}
inline void log_error(std::string_view event, Fields fields = {}) {
  if (log_enabled(Level::kError)) log(Level::kError, event, fields);
}
// The installed Log, for recent() and set_level(); null before install().
Log* installed_log();

// [log] level, format, file, file_size_max, lines_per_second_max
void declare_log_options(base::ConfigSchema& schema);
LogOptions log_options(const base::Config& config);

// The two forms of a line, without its end; exposed for tests. Control characters and broken UTF-8 are escaped, so no
// value can forge a line.
std::string format_text(WallTime time, Level level, std::string_view event, Fields fields);
std::string format_json(WallTime time, Level level, std::string_view event, Fields fields);

}  // namespace polis::obs
