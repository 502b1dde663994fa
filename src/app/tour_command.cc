#include "app/tour_command.h"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "app/cli/api_connection.h"
#include "app/cli/commands.h"
#include "app/cli/tour_runner.h"
#include "app/files/data_directory.h"
#include "kernel/base/uuid.h"
#include "kernel/io/shard.h"

extern char** environ;

namespace polis::app {
namespace {

constexpr auto kReadyWithin = std::chrono::seconds(30);

// A polis of its own, in a temporary directory; both are gone with this object.
class OwnPolis {
 public:
  static Result<std::unique_ptr<OwnPolis>> start() {
    std::unique_ptr<OwnPolis> own(new OwnPolis());
    std::string pattern = (std::filesystem::temp_directory_path() / "polis-tour-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) return fail(system_error(errno, "make a temporary directory"));
    own->directory_ = pattern;
    std::string data = own->data(), log = "log.file=" + pattern + "/polis.log";
    const char* words[] = {"polis", "up", "--data", data.c_str(), "--free-ports", "--set", log.c_str(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (pattern + "/start.log").c_str(), O_WRONLY | O_CREAT,
                                     0600);
    int failed = ::posix_spawn(&own->pid_, "/proc/self/exe", &actions, nullptr, const_cast<char**>(words), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
      own->pid_ = -1;
      return fail(system_error(failed, "start polis"));
    }
    TRY(own->wait_until_ready());
    return own;
  }

  ~OwnPolis() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    std::error_code error;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
  }

  std::string data() const { return directory_ + "/data"; }

 private:
  OwnPolis() = default;

  Result<void> wait_until_ready() {
    auto end = std::chrono::steady_clock::now() + kReadyWithin;
    while (!read_ready(data())) {
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        return fail(Code::kUnavailable,
                    "polis ended at its start: " + read_text_file(directory_ + "/start.log", 1 << 16).value_or(""));
      }
      if (std::chrono::steady_clock::now() > end) return fail(Code::kTimeout, "polis was not ready within 30 s");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return {};
  }

  pid_t pid_ = -1;
  std::string directory_;
};

Result<TourSettings> tour_settings(const std::string& data) {
  TourSettings settings;
  settings.ports = TRY(read_ready(data)).ports;
  std::string path = data + "/root-credentials.json";
  auto credentials = read_text_file(path, 1 << 16);
  if (!credentials)
    return fail(Code::kNotFound, fmt::format("the tour needs the root user's access key, and {} cannot be read: run it "
                                             "as the owner of the data directory",
                                             path));
  settings.access_key = json_member(*credentials, "access_key");
  settings.secret_key = json_member(*credentials, "secret_key");
  base::SystemRandom random;
  settings.unique_name = "tour-" + base::Uuid::v7(random, base::SystemClock().wall()).text().substr(0, 18);
  return settings;
}

Task<Result<void>> take_tour(std::string data, std::vector<const systems::System*> systems, Terminal& terminal) {
  TourSettings settings = CO_TRY(tour_settings(data));
  auto api = make_api_connection({.data_directory = data, .url = {}, .token = {}}, terminal);
  auto config = CO_TRY(co_await api->request("GET", "/api/polis/v1/about"));
  settings.region = json_member(config.body, "region");
  TourRunner runner(std::move(settings), *api, terminal);
  co_return co_await runner.run(systems);
}

Result<void> tour(const ParsedCommand& parsed, const SystemList& all, Terminal& terminal) {
  std::vector<const systems::System*> systems;
  for (const auto& system : all)
    if (parsed.arguments.empty() ||
        std::find(parsed.arguments.begin(), parsed.arguments.end(), system->name()) != parsed.arguments.end())
      systems.push_back(system.get());
  if (systems.empty()) return fail(Code::kNotFound, "no such system: `polis tour` without a name shows all");
  auto given = parsed.flags.find(std::string(kDataFlag));
  std::unique_ptr<OwnPolis> own;
  std::string data;
  if (parsed.flags.contains("once") && given == parsed.flags.end()) {
    own = TRY(OwnPolis::start());
    data = own->data();
  } else {
    data = TRY(choose_data_directory(given == parsed.flags.end() ? "" : given->second));
  }
  return io::run([&] { return take_tour(data, systems, terminal); });
}

}  // namespace

systems::Command tour_command() {
  return {
      .name = "tour",
      .help = "Drives every system through its own protocol on real bytes and shows what happened",
      .arguments = {{.name = "system", .help = "only these", .required = false, .repeated = true}},
      .flags = {{.name = "once", .help = "on a polis of its own in a temporary directory, unless --data names one"}}};
}

int run_tour(const ParsedCommand& parsed, const SystemList& systems, Terminal& terminal) {
  Result<void> held = tour(parsed, systems, terminal);
  if (held) return 0;
  terminal.error(held.error());
  return 1;
}

}  // namespace polis::app
