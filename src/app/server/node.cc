#include "app/server/node.h"

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fmt/format.h>

#include "app/backup/backup.h"
#include "app/server/auth_api.h"
#include "app/server/core_api.h"
#include "app/server/first_start.h"
#include "app/server/live_hub.h"
#include "app/server/live_socket.h"
#include "app/server/plan_book.h"
#include "app/server/tls_files.h"
#include "kernel/blob/extent_blob.h"
#include "kernel/http/server.h"
#include "kernel/http/static_files.h"
#include "kernel/obs/log.h"
#include "kernel/store/rocks_store.h"
#include "systems/api.h"
#include "systems/offers.h"

namespace polis::app {
namespace {

// Of the 5 s that stopping may take: running requests, then the systems (4 s), then the stores.
constexpr Duration kDrainGrace = std::chrono::seconds(1);
constexpr Duration kCareInterval = std::chrono::hours(1);

bool volatile_disk() {
  const char* mode = std::getenv("POLIS_TEST_DISK");
  return mode && std::string_view(mode) == "volatile";
}

// For crash tests of compaction: what nobody refers to is swept after so many seconds, not after an hour.
std::optional<int> sweep_seconds_of_test() {
  const char* text = std::getenv("POLIS_TEST_SWEEP_S");
  if (!text) return std::nullopt;
  return std::clamp(std::atoi(text), 1, 3600);
}

// Drives that were added while a node ran, one path a line.
constexpr const char* kAddedDrives = "blob.added";

std::vector<std::string> drives_of(const base::Config& config, const DataDirectory& directory) {
  std::vector<std::string> drives = config.list("blob.drives");
  if (drives.empty())
    for (int i = 0; i < 6; ++i) drives.push_back(directory.file(fmt::format("blob/{}", i)));
  // A pool that had grown and was restored from a backup has its drives side by side.
  if (config.list("blob.drives").empty() && !std::filesystem::exists(directory.file(kAddedDrives))) {
    size_t count = blob::kDrivesMax;
    while (count > drives.size() &&
           !std::filesystem::exists(directory.file(fmt::format("blob/{}/{}", count - 1, blob::kDriveFileName))))
      --count;
    while (drives.size() < count) drives.push_back(directory.file(fmt::format("blob/{}", drives.size())));
  }
  return drives;
}

io::RuntimeOptions runtime_options(const base::Config& config, const Clock& clock) {
  return {.shards = static_cast<unsigned>(config.integer("runtime.shards")),
          .blocking_threads = static_cast<unsigned>(config.integer("runtime.blocking_threads")),
          .clock = &clock};
}

}  // namespace

// Members in the order of their making; destroyed in the reverse.
struct Node::State {
  explicit State(NodeOptions given) : options(std::move(given)), runtime(runtime_options(options.config, clock)) {}

  Task<Result<void>> open_stores();
  Task<Result<void>> open_directory();
  Task<Result<void>> start_systems();
  Task<Result<void>> open_main_port();
  Task<Result<void>> start();
  Task<void> stop();
  struct Stopping {
    systems::System* system;
    std::unique_ptr<io::Event> stopped;
  };
  Task<void> stop_system(Stopping& mine, const std::deque<Stopping>& all);
  Task<void> care();
  bool is_api(std::string_view path) const;
  Task<void> answer(http::Request& request, http::Response& response);
  http::Handler gate();

  NodeOptions options;
  base::SystemClock clock;
  base::SystemRandom random;
  obs::Registry metrics;
  obs::Tracer tracer{clock, random, {}};
  std::vector<obs::Registry::Observed> process_metrics;
  io::Runtime runtime;

  // From here on everything is made and destroyed on shard 0.
  std::unique_ptr<io::Disk> disk;
  std::unique_ptr<store::Store> store;
  std::unique_ptr<blob::Blob> blob;
  std::unique_ptr<auth::Directory> directory;
  std::unique_ptr<PlanBook> plans;
  std::unique_ptr<LiveHub> live;
  std::unique_ptr<Backup> backup;
  std::unique_ptr<io::TaskGroup> background;
  std::shared_ptr<http::Router> router;  // shared with the servers of all shards
  std::unique_ptr<http::StaticFiles> console;
  systems::Offers offers;
  std::unique_ptr<systems::Context> context;
  std::vector<RunningSystem> running;
  std::unique_ptr<http::ServerSet> servers;
  std::map<std::string, uint16_t> ports;
  std::string credentials_path;
  WallTime started_at{};
};

Task<Result<void>> Node::State::open_stores() {
  disk = volatile_disk() ? io::make_volatile_disk() : io::make_system_disk();
  if (volatile_disk())
    obs::log_warning("the disk is volatile: what is not synced dies with this process (POLIS_TEST_DISK)");
  store::StoreOptions wanted;
  wanted.directory = options.directory->file("store");
  wanted.clock = &clock;
  wanted.block_cache_bytes = options.config.size_bytes("store.cache_bytes");
  wanted.volatile_disk = volatile_disk();
  store = CO_TRY(co_await io::blocking([&] { return store::RocksStore::open(std::move(wanted)); }));
  blob::ExtentBlobOptions extents;
  extents.drives = drives_of(options.config, *options.directory);
  extents.added_drives_file = options.directory->file(kAddedDrives);
  extents.clock = &clock;
  if (auto seconds = sweep_seconds_of_test()) {
    extents.sweep_after = std::chrono::seconds(*seconds);
    extents.delete_grace = std::chrono::seconds(*seconds);
    extents.mark_interval = std::chrono::seconds(1);
    obs::log_warning("bytes are swept sooner than is safe (POLIS_TEST_SWEEP_S)", {{"seconds", *seconds}});
  }
  for (const std::string& drive : extents.drives) CO_TRY(co_await disk->make_directories(drive));
  blob = CO_TRY(co_await blob::ExtentBlob::open(*disk, std::move(extents), random));
  co_return Result<void>();
}

Task<Result<void>> Node::State::open_directory() {
  auth::DirectoryOptions wanted;
  wanted.keys_directory = options.directory->file("keys");
  wanted.shards = runtime.size();
  std::string marker = options.directory->file(kKeysNotRestored);
  wanted.forget_sealed = read_text_file(marker, 4096).has_value();
  const bool forgotten = wanted.forget_sealed;
  directory = CO_TRY(co_await auth::Directory::open(*store, *disk, clock, random, std::move(wanted)));
  if (forgotten) {
    CO_TRY(co_await disk->remove(marker));
    obs::log_warning("restored without the keys: access keys made before are gone, passwords are as they were");
  }
  auto path = CO_TRY(co_await make_root_user(*directory, *options.directory, presets_of_environment(), random));
  if (path) {
    credentials_path = *path;
    obs::log_info("first start: the root user's credentials are in this file", {{"file", credentials_path}});
  }
  co_return Result<void>();
}

Task<Result<void>> Node::State::start_systems() {
  context.reset(new systems::Context{.config = options.config,
                                     .runtime = runtime,
                                     .disk = *disk,
                                     .clock = clock,
                                     .random = random,
                                     .store = *store,
                                     .blob = *blob,
                                     .auth = *directory,
                                     .metrics = metrics,
                                     .tracer = tracer,
                                     .api = *router,
                                     .live = *live,
                                     .plans = *plans,
                                     .offers = offers,
                                     .data_directory = options.directory->path(),
                                     .region = options.config.text("main.region")});
  for (const auto& system : options.systems) {
    for (const systems::Port& port : system->ports()) {
      std::string option = listen_option(system->name(), port);
      context->listen[port.name] = CO_TRY(listen_endpoint(options.config, option, options.free_ports));
    }
    auto opened = co_await system->start(*context);
    if (!opened)
      co_return fail(Error(opened.error().code(), fmt::format("{} did not start", system->name()), opened.error()));
    for (const auto& [name, port] : *opened) ports[fmt::format("{}.{}", system->name(), name)] = port;
    running.push_back({.system = system.get(), .ports = std::move(*opened)});
    context->listen.clear();
  }
  co_return Result<void>();
}

// Below /api every system has its admin API; one that offers more to the world has it below /<system>/v1.
bool Node::State::is_api(std::string_view path) const {
  if (path.starts_with("/api/")) return true;
  return std::ranges::any_of(options.systems, [&](const auto& system) {
    std::string_view rest = path;
    if (!rest.starts_with('/')) return false;
    rest.remove_prefix(1);
    if (!rest.starts_with(system->name())) return false;
    rest.remove_prefix(system->name().size());
    return rest.starts_with("/v1/");
  });
}

// Proves who asks before any API's handler runs; everything else on this port is open by nature.
Task<void> Node::State::answer(http::Request& request, http::Response& response) {
  if (is_api(request.path()) || request.path() == "/metrics") {
    Result<auth::PrincipalPtr> who = co_await identify(*directory, request);
    if (!who) co_return co_await systems::answer_error(response, who.error());
    systems::set_principal(request, std::move(*who));
  }
  co_await router->handle(request, response);
}

http::Handler Node::State::gate() {
  return [this](http::Request& request, http::Response& response) { return answer(request, response); };
}

Task<Result<void>> Node::State::open_main_port() {
  CoreApi core{.config = options.config,
               .clock = clock,
               .metrics = metrics,
               .tracer = tracer,
               .plans = *plans,
               .backup = *backup,
               .background = *background,
               .home = runtime.shard(0),
               .systems = running,
               .version = options.version,
               .data_directory = options.directory->path(),
               .started_at = started_at};
  CO_TRY(live->declare(home_topic(core)));
  mount_core_api(*router, core);
  mount_auth_api(*router, *directory, *plans);
  mount_live_socket(*router, *live, *directory, runtime.shard(0));
  if (!options.console_directory.empty()) {
    console = std::make_unique<http::StaticFiles>(
        *disk, options.console_directory,
        http::StaticOptions{.fall_back_to_index = true, .immutable_prefix = "assets/"});
    router->any("/{path...}", console->handler("path"));
    // An unknown path of the API is unknown, not a page.
    router->any("/api/{path...}", [](http::Request&, http::Response& response) -> Task<void> {
      co_await systems::answer_error(response, Error(Code::kNotFound, "no such path in the API"));
    });
  }

  servers =
      std::make_unique<http::ServerSet>(runtime, gate(), http::ServerOptions{.metrics = &metrics, .listener = "main"});
  io::Endpoint main = CO_TRY(listen_endpoint(options.config, "main.listen", options.free_ports));
  ports["main"] = CO_TRY(co_await servers->listen(main)).port;
  if (!options.config.text("main.tls_listen").empty()) {
    io::Endpoint secure = CO_TRY(listen_endpoint(options.config, "main.tls_listen", options.free_ports));
    auto tls = CO_TRY(co_await open_tls(*disk, options.config.text("main.tls_certificate"),
                                        options.config.text("main.tls_key"), options.directory->file("keys")));
    ports["main.tls"] = CO_TRY(co_await servers->listen(secure, std::move(tls))).port;
  }
  // Made with the process' umask of 0077: who may open it owns the directory.
  CO_TRY(co_await servers->listen({.address = options.directory->socket_path(), .port = 0, .unix_socket = true}));
  co_return Result<void>();
}

Task<void> Node::State::care() {
  while (co_await io::sleep_for(kCareInterval)) {
    if (auto swept = co_await directory->sweep(); !swept)
      obs::log_warning("expired sessions stay for now", {{"error", swept.error()}});
    if (auto trimmed = co_await directory->audit().trim(); !trimmed)
      obs::log_warning("the audit trail is not trimmed", {{"error", trimmed.error()}});
  }
}

Task<Result<void>> Node::State::start() {
  started_at = clock.wall();
  background = std::make_unique<io::TaskGroup>();
  plans = std::make_unique<PlanBook>(clock, random);
  live = std::make_unique<LiveHub>(clock);
  router = std::make_shared<http::Router>();
  process_metrics = obs::observe_process(metrics);
  CO_TRY(co_await open_stores());
  CO_TRY(co_await open_directory());
  backup = std::make_unique<Backup>(Backup::Sources{.data_directory = options.directory->path(),
                                                    .version = options.version,
                                                    .config_path = options.config_path,
                                                    .disk = *disk,
                                                    .store = *store,
                                                    .blob = *blob,
                                                    .clock = clock,
                                                    .random = random});
  CO_TRY(co_await start_systems());
  CO_TRY(co_await open_main_port());
  background->spawn(care());
  CO_TRY(options.directory->write_ready(ports));
  co_return Result<void>();
}

// All at once, but whoever others use comes after them.
Task<void> Node::State::stop_system(Stopping& mine, const std::deque<Stopping>& all) {
  for (const Stopping& other : all) {
    const auto used = other.system->uses();
    if (std::find(used.begin(), used.end(), mine.system->name()) != used.end()) (void)co_await other.stopped->wait();
  }
  co_await mine.system->stop();
  mine.stopped->set();
}

Task<void> Node::State::stop() {
  if (live) co_await live->stop();
  if (servers) co_await servers->drain(kDrainGrace);
  io::TaskGroup stopping;
  std::deque<Stopping> all;
  for (const RunningSystem& entry : running) all.push_back({entry.system, std::make_unique<io::Event>()});
  for (Stopping& one : all) stopping.spawn(stop_system(one, all));
  co_await stopping.join();
  if (background) {
    background->stop();
    co_await background->join();
  }
  servers.reset();
  console.reset();
  router.reset();
  context.reset();
  running.clear();
  options.systems.clear();
  backup.reset();
  live.reset();
  plans.reset();
  background.reset();
  directory.reset();
  if (blob)
    if (auto closed = co_await blob->close(); !closed)
      obs::log_error("the blob store did not close", {{"error", closed.error()}});
  blob.reset();
  if (store)
    if (auto closed = co_await store->close(); !closed)
      obs::log_error("the row store did not close", {{"error", closed.error()}});
  co_await io::blocking([this] { store.reset(); });
  disk.reset();
  process_metrics.clear();
}

Node::Node(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Node>> Node::start(NodeOptions options) {
  std::unique_ptr<Node> node(new Node(std::make_unique<State>(std::move(options))));
  State& state = *node->state_;
  state.runtime.start();
  Result<void> started = state.runtime.call(0, [&] { return state.start(); });
  if (!started) return fail(started.error());
  return node;
}

Node::~Node() {
  state_->runtime.call(0, [this] { return state_->stop(); });
  state_->runtime.stop();
}

const std::map<std::string, uint16_t>& Node::ports() const {
  return state_->ports;
}
const std::string& Node::credentials_path() const {
  return state_->credentials_path;
}

}  // namespace polis::app
