#include "kernel/obs/log.h"

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <fcntl.h>
#include <mutex>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "kernel/base/hash.h"

namespace polis::obs {
namespace {

std::atomic<Log*> installed{nullptr};

// Lines of one event and level in the present second. Two events that meet in a slot take it from each other, which
// lets a few more lines pass; 256 slots are far more than the events that repeat at one time.
struct Repetition {
  uint64_t event_hash = 0;
  SteadyTime window_begin{};
  uint32_t passed = 0;
  uint64_t suppressed = 0;
};
constexpr size_t kRepetitionSlots = 256;
constexpr Duration kRepetitionWindow = std::chrono::seconds(1);

// False if the descriptor refused. EINTR and short writes are gone on with.
bool write_whole(int descriptor, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

Result<int> open_file(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor < 0) return fail(base::system_error(errno, "cannot open the log file " + path));
  return descriptor;
}

}  // namespace

namespace detail {
std::atomic<Level> installed_level{Level::kWarning};
}

struct Log::State {
  const Clock& clock;
  LogOptions options;

  mutable std::mutex mutex;
  std::condition_variable wake_writer;
  std::condition_variable wake_flushers;
  std::string queue;             // whole lines, each with its end
  uint64_t queued_batches = 0;   // flushes asked for or lines queued: a ticket
  uint64_t written_batches = 0;  // tickets whose lines are written
  bool stopping = false;
  bool reopen_wanted = false;
  std::deque<LogLine> recent;
  size_t recent_bytes = 0;
  uint64_t last_sequence = 0;
  std::array<Repetition, kRepetitionSlots> repetitions;
  uint64_t dropped = 0;
  uint64_t suppressed = 0;
  uint64_t write_errors = 0;

  // The writer's own.
  int descriptor;
  bool owns_descriptor;
  uint64_t file_size_bytes = 0;
  std::thread writer;

  State(const Clock& clock_in, LogOptions options_in, int descriptor_in, bool owns)
      : clock(clock_in), options(std::move(options_in)), descriptor(descriptor_in), owns_descriptor(owns) {
    measure_file();
    writer = std::thread([this] { run(); });
  }
  ~State() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
    }
    wake_writer.notify_one();
    writer.join();
    if (owns_descriptor) ::close(descriptor);
  }

  void measure_file() {
    struct stat status;
    file_size_bytes = owns_descriptor && fstat(descriptor, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  }

  // Nothing if the line may pass without remark, else how many before it did not; UINT64_MAX: suppress this one too.
  uint64_t count_repetition(Level level, std::string_view event) {
    if (options.lines_per_second_max == 0) return 0;
    uint64_t hash = base::xxh3_64(event, static_cast<uint64_t>(level) + 1);
    Repetition& slot = repetitions[hash % kRepetitionSlots];
    SteadyTime now = clock.steady();
    if (slot.event_hash != hash) slot = {.event_hash = hash, .window_begin = now};
    uint64_t before = 0;
    if (now - slot.window_begin >= kRepetitionWindow) {
      before = slot.suppressed;
      slot = {.event_hash = hash, .window_begin = now};
    }
    if (slot.passed >= options.lines_per_second_max) {
      ++slot.suppressed;
      ++suppressed;
      return UINT64_MAX;
    }
    ++slot.passed;
    return before;
  }

  void remember(LogLine line) {
    recent_bytes += line.json.size() + line.event.size();
    recent.push_back(std::move(line));
    while (recent.size() > options.recent_lines_max || recent_bytes > options.recent_bytes_max) {
      recent_bytes -= recent.front().json.size() + recent.front().event.size();
      recent.pop_front();
    }
  }

  void run() {
    std::unique_lock lock(mutex);
    std::string batch;
    while (true) {
      wake_writer.wait(lock, [&] { return stopping || reopen_wanted || written_batches != queued_batches; });
      if (written_batches == queued_batches && !reopen_wanted) return;
      batch.swap(queue);
      uint64_t ticket = queued_batches;
      bool reopen_now = std::exchange(reopen_wanted, false);
      lock.unlock();
      if (reopen_now) replace_file();
      bool written = write_batch(batch);
      batch.clear();
      lock.lock();
      if (!written) ++write_errors;
      written_batches = ticket;
      wake_flushers.notify_all();
    }
  }

  bool write_batch(std::string_view batch) {
    if (owns_descriptor && file_size_bytes > 0 && file_size_bytes + batch.size() > options.file_size_bytes_max) {
      std::string older = options.file + ".1";
      // A failed rename leaves the file growing, which beats losing lines.
      if (::rename(options.file.c_str(), older.c_str()) == 0) replace_file();
    }
    file_size_bytes += batch.size();
    return write_whole(descriptor, batch);
  }

  // Keeps the old file if the new one cannot be opened.
  void replace_file() {
    if (!owns_descriptor) return;
    Result<int> opened = open_file(options.file);
    if (!opened) return;
    ::close(descriptor);
    descriptor = *opened;
    measure_file();
  }
};

Result<std::unique_ptr<Log>> Log::open(const Clock& clock, LogOptions options) {
  if (options.file.empty()) return to_descriptor(clock, std::move(options), STDERR_FILENO);
  int descriptor = TRY(open_file(options.file));
  Level level = options.level;
  return std::unique_ptr<Log>(new Log(std::make_unique<State>(clock, std::move(options), descriptor, true), level));
}

std::unique_ptr<Log> Log::to_descriptor(const Clock& clock, LogOptions options, int descriptor) {
  Level level = options.level;
  return std::unique_ptr<Log>(new Log(std::make_unique<State>(clock, std::move(options), descriptor, false), level));
}

Log::Log(std::unique_ptr<State> state, Level level) : state_(std::move(state)), level_(level) {}

Log::~Log() {
  Log* self = this;
  if (installed.compare_exchange_strong(self, nullptr)) detail::installed_level.store(Level::kWarning);
}

void Log::install() {
  installed.store(this);
  detail::installed_level.store(level_.load());
}

void Log::set_level(Level level) {
  level_.store(level);
  if (installed.load() == this) detail::installed_level.store(level);
}

void Log::write(Level level, std::string_view event, Fields fields) {
  if (!enabled(level)) return;
  uint64_t suppressed_before = 0;
  {
    std::lock_guard lock(state_->mutex);
    suppressed_before = state_->count_repetition(level, event);
  }
  if (suppressed_before == UINT64_MAX) return;

  WallTime now = state_->clock.wall();
  std::string json = format_json(now, level, event, fields);
  std::string text = state_->options.format == LogFormat::kJson ? json : format_text(now, level, event, fields);
  if (suppressed_before > 0) {
    std::string count = std::to_string(suppressed_before);
    json.insert(json.size() - 1, ",\"suppressed\":" + count);
    if (state_->options.format == LogFormat::kJson)
      text = json;
    else
      text.append(" suppressed=" + count);
  }
  text.push_back('\n');

  std::lock_guard lock(state_->mutex);
  state_->remember({++state_->last_sequence, now, level, std::string(event.substr(0, kLineBytesMax)), std::move(json)});
  if (state_->queue.size() + text.size() > state_->options.queue_bytes_max) {
    ++state_->dropped;
    return;
  }
  state_->queue.append(text);
  ++state_->queued_batches;
  state_->wake_writer.notify_one();
}

void Log::flush() {
  std::unique_lock lock(state_->mutex);
  uint64_t ticket = state_->queued_batches;
  state_->wake_flushers.wait(lock, [&] { return state_->written_batches >= ticket; });
}

Result<void> Log::reopen() {
  if (!state_->owns_descriptor) return {};
  // Opened once here, so that the caller hears why it fails; the writer, who owns the descriptor, opens it again.
  ::close(TRY(open_file(state_->options.file)));
  std::unique_lock lock(state_->mutex);
  state_->reopen_wanted = true;
  uint64_t ticket = ++state_->queued_batches;
  state_->wake_writer.notify_one();
  state_->wake_flushers.wait(lock, [&] { return state_->written_batches >= ticket; });
  return {};
}

std::vector<LogLine> Log::recent(size_t lines_max, Level level_min, uint64_t after_sequence) const {
  std::vector<LogLine> lines;
  std::lock_guard lock(state_->mutex);
  for (auto line = state_->recent.rbegin(); line != state_->recent.rend() && lines.size() < lines_max; ++line) {
    if (line->sequence <= after_sequence) break;
    if (line->level >= level_min) lines.push_back(*line);
  }
  return {std::make_move_iterator(lines.rbegin()), std::make_move_iterator(lines.rend())};
}

uint64_t Log::lines_dropped() const {
  std::lock_guard lock(state_->mutex);
  return state_->dropped;
}
uint64_t Log::lines_suppressed() const {
  std::lock_guard lock(state_->mutex);
  return state_->suppressed;
}
uint64_t Log::write_errors() const {
  std::lock_guard lock(state_->mutex);
  return state_->write_errors;
}

Log* installed_log() {
  return installed.load(std::memory_order_acquire);
}

void log(Level level, std::string_view event, Fields fields) {
  if (Log* target = installed_log()) return target->write(level, event, fields);
  if (level < Level::kWarning) return;
  // Before main has read its configuration: rare lines, worth waiting for.
  static const base::SystemClock clock;
  write_whole(STDERR_FILENO, format_text(clock.wall(), level, event, fields) + "\n");
}

}  // namespace polis::obs
