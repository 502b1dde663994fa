#include <charconv>
#include <ctime>
#include <dirent.h>
#include <fcntl.h>
#include <limits>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/obs/metrics.h"

namespace polis::obs {
namespace {

// procfs answers from memory and never waits for a disk.
std::string read_proc(const char* path) {
  char buffer[2048];
  int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  ssize_t got = ::read(file, buffer, sizeof buffer);
  ::close(file);
  return got > 0 ? std::string(buffer, static_cast<size_t>(got)) : std::string();
}

// The space-separated number at `index`; NaN if it is not there.
double number_at(std::string_view text, size_t index) {
  for (; index > 0; --index) {
    size_t space = text.find(' ');
    if (space == text.npos) return std::numeric_limits<double>::quiet_NaN();
    text.remove_prefix(space + 1);
  }
  double value = std::numeric_limits<double>::quiet_NaN();
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

double resident_bytes() {
  return number_at(read_proc("/proc/self/statm"), 1) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](timeval time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double open_descriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return std::numeric_limits<double>::quiet_NaN();
  int count = -3;  // ".", ".." and the directory itself
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

double descriptors_max() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur == RLIM_INFINITY ? std::numeric_limits<double>::infinity()
                                         : static_cast<double>(limit.rlim_cur);
}

// Field 22 of stat(5) counts clock ticks since boot; the name in parentheses before it may hold spaces.
double start_time_seconds() {
  std::string stat = read_proc("/proc/self/stat");
  size_t name_end = stat.rfind(") ");
  std::string boot = read_proc("/proc/uptime");
  if (name_end == stat.npos || boot.empty()) return std::numeric_limits<double>::quiet_NaN();
  double started_after_boot =
      number_at(std::string_view(stat).substr(name_end + 2), 19) / static_cast<double>(sysconf(_SC_CLK_TCK));
  auto now = static_cast<double>(base::SystemClock().wall().time_since_epoch().count()) * 1e-9;
  return now - number_at(boot, 0) + started_after_boot;
}

}  // namespace

std::vector<Registry::Observed> observe_process(Registry& registry) {
  std::vector<Registry::Observed> observed;
  observed.push_back(registry.observe_gauge("process_resident_memory_bytes", "Resident memory.", {}, resident_bytes));
  observed.push_back(registry.observe_counter("process_cpu_seconds", "User and system CPU time.", {}, cpu_seconds));
  observed.push_back(registry.observe_gauge("process_open_fds", "Open file descriptors.", {}, open_descriptors));
  observed.push_back(registry.observe_gauge("process_max_fds", "Limit of open file descriptors.", {}, descriptors_max));
  observed.push_back(registry.observe_gauge("process_start_time_seconds", "Start of the process since 1970.", {},
                                            [start = start_time_seconds()] { return start; }));
  return observed;
}

}  // namespace polis::obs
