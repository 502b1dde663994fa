#include "app/up.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "app/server/node.h"
#include "app/systems.h"
#include "app/version.h"
#include "kernel/obs/log.h"

namespace polis::app {
namespace {

// Stopping takes at most 5 s; a second more, and the process ends the hard way: what was acknowledged is durable
// anyway.
constexpr unsigned kStopSecondsMax = 6;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

std::string flag_of(const ParsedCommand& parsed, std::string_view name) {
  auto at = parsed.flags.find(std::string(name));
  return at == parsed.flags.end() ? "" : at->second;
}

// Keeps the named systems, in the order of the list; all without names.
Result<SystemList> chosen_systems(const std::vector<std::string>& names) {
  SystemList all = all_systems();
  if (names.empty()) return all;
  std::vector<std::string> known;
  for (const auto& system : all) known.emplace_back(system->name());
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    auto close = nearest(name, known);
    return fail(Code::kNotFound,
                fmt::format("no system is called '{}'.{} There are: {}", name,
                            close ? fmt::format(" Did you mean '{}'?", *close) : "", fmt::join(known, ", ")));
  }
  std::erase_if(
      all, [&](const auto& system) { return std::find(names.begin(), names.end(), system->name()) == names.end(); });
  return all;
}

// Beside the binary when installed, in the source tree when built there.
std::string find_console(const std::string& configured) {
  if (!configured.empty()) return configured;
  std::error_code error;
  std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& candidate : {here / "console", here / "../../console/dist"})
    if (std::filesystem::exists(candidate / "index.html", error))
      return std::filesystem::canonical(candidate, error).string();
  return "";
}

void raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<NodeOptions> node_options(const ParsedCommand& parsed) {
  NodeOptions options;
  std::string path = TRY(choose_data_directory(flag_of(parsed, kDataFlag)));
  options.systems = TRY(chosen_systems(parsed.arguments));
  options.free_ports = parsed.flags.contains("free-ports");
  options.version = std::string(version());
  // Every system's options are known, also of those that do not start: one configuration file serves all.
  base::ConfigSchema schema = declare_options(all_systems());
  SettingsSources sources{
      .data_directory = path, .config_path = flag_of(parsed, "config"), .settings = lines_of(flag_of(parsed, "set"))};
  options.config = TRY(resolve_settings(schema, sources));
  TRY(check_listeners(options.config, options.systems));
  options.console_directory = find_console(options.config.text("main.console_directory"));
  options.config_path = sources.config_path.empty() ? path + "/polis.toml" : sources.config_path;
  // The lock last: a mistake in the configuration leaves no trace on the disk.
  options.directory = TRY(DataDirectory::open(std::move(path)));
  return options;
}

void announce(const Node& node, const std::string& path, Terminal& terminal) {
  std::string ports;
  for (const auto& [name, port] : node.ports()) ports += fmt::format("{}{} {}", ports.empty() ? "" : ", ", name, port);
  terminal.remark(fmt::format("polis is ready on {} (process {}): {}", path, ::getpid(), ports));
  if (!node.credentials_path().empty())
    terminal.remark(
        fmt::format("First start: user, password and access key of root are in {}", node.credentials_path()));
}

// Heeds SIGTERM and SIGINT while systems recover, which may take as long as their journals are: the process ends as
// kill -9 would end it, for nothing was acknowledged yet and recovery can always begin again.
class StopWhileStarting {
 public:
  explicit StopWhileStarting(std::string ready_path)
      : ready_path_(std::move(ready_path)), thread_([this] { watch(); }) {}
  ~StopWhileStarting() {
    started_ = true;
    thread_.join();
  }

 private:
  void watch() const {
    sigset_t signals;
    sigemptyset(&signals);
    for (int number : {SIGTERM, SIGINT}) sigaddset(&signals, number);
    constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 20'000'000};
    while (!started_) {
      const int number = ::sigtimedwait(&signals, nullptr, &kLook);
      if (number < 0) continue;
      if (started_) {
        ::kill(::getpid(), number);  // for wait_for_stop, in order
        return;
      }
      ::unlink(ready_path_.c_str());  // written at the end of the start
      obs::log_info("stopped before it was ready");
      if (obs::Log* log = obs::installed_log()) log->flush();
      ::_exit(0);
    }
  }
  const std::string ready_path_;
  std::atomic<bool> started_{false};
  std::thread thread_;
};

// Returns on SIGTERM or SIGINT; SIGHUP opens the log file anew.
void wait_for_stop(const sigset_t& signals) {
  for (;;) {
    int number = 0;
    if (::sigwait(&signals, &number) != 0) continue;
    if (number != SIGHUP) return;
    if (obs::Log* log = obs::installed_log())
      if (auto reopened = log->reopen(); !reopened)
        obs::log_error("the log file cannot be opened anew", {{"error", reopened.error()}});
  }
}

}  // namespace

systems::Command up_command() {
  return {
      .name = "up",
      .help = "Starts polis with all systems, or with those named, until SIGTERM",
      .arguments = {{.name = "system", .help = "only these", .required = false, .repeated = true}},
      .flags = {{.name = "config", .help = "TOML file [default DIR/polis.toml, if it is there]", .value = "FILE"},
                {.name = "set",
                 .help = "one option (`polis config default` lists them)",
                 .value = "system.key=value",
                 .repeated = true},
                {.name = "free-ports", .help = "every listener takes any free port; DIR/run/ready.json names them"}}};
}

int run_up(const ParsedCommand& parsed, Terminal& terminal) {
  ::umask(0077);
  raise_file_limit();
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread starts: all inherit it

  Result<NodeOptions> options = node_options(parsed);
  if (!options) {
    terminal.error(options.error());
    return 1;
  }
  base::SystemClock clock;
  auto log = obs::Log::open(clock, obs::log_options(options->config));
  if (!log) {
    terminal.error(log.error());
    return 1;
  }
  (*log)->install();
  std::string path = options->directory->path();
  {
    Result<std::unique_ptr<Node>> node = [&] {
      const StopWhileStarting heeded(path + "/run/ready.json");
      return Node::start(std::move(*options));
    }();
    if (!node) {
      (*log)->flush();
      terminal.error(node.error());
      return 1;
    }
    announce(**node, path, terminal);
    wait_for_stop(signals);
    obs::log_info("stopping");
    // A second signal, or a stop that hangs, ends the process at once.
    ::signal(SIGALRM, SIG_DFL);
    ::alarm(kStopSecondsMax);
    ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  }
  ::alarm(0);
  obs::log_info("stopped");
  return 0;
}

}  // namespace polis::app
