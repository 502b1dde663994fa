#include "app/server/core_api.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <fmt/format.h>
#include <unistd.h>

#include "app/server/document.h"
#include "kernel/base/time_format.h"
#include "kernel/obs/log.h"
#include "systems/api.h"

namespace polis::app {
namespace {

namespace json = boost::json;
using http::Method;
using http::Request;
using http::Response;

constexpr std::string_view name_of(systems::HealthState state) {
  switch (state) {
    case systems::HealthState::kHealthy:
      return "healthy";
    case systems::HealthState::kDegraded:
      return "degraded";
    case systems::HealthState::kFailed:
      return "failed";
  }
  return "failed";
}

json::object describe(const systems::Health& health) {
  json::object object{{"state", name_of(health.state)}};
  if (!health.message.empty()) object["message"] = health.message;
  if (health.since != WallTime()) object["since"] = base::format_rfc3339_seconds(health.since);
  return object;
}

json::object describe(const RunningSystem& running) {
  const systems::System& system = *running.system;
  json::object object = describe(system.health());
  systems::ConsolePage page = system.console_page();
  json::object ports;
  for (const auto& [name, port] : running.ports) ports[name] = port;
  object["name"] = system.name();
  object["summary"] = system.summary();
  object["ports"] = std::move(ports);
  object["page"] = json::object{{"id", page.id}, {"title", page.title}, {"group", page.group}};
  return object;
}

std::string status_text(const CoreApi& core) {
  json::array list;
  for (const RunningSystem& running : core.systems) list.emplace_back(describe(running));
  auto uptime = std::chrono::duration_cast<std::chrono::seconds>(core.clock.wall() - core.started_at);
  return json::serialize(json::object{{"version", core.version},
                                      {"pid", ::getpid()},
                                      {"data_directory", core.data_directory},
                                      {"started_at", base::format_rfc3339_seconds(core.started_at)},
                                      {"uptime_s", uptime.count()},
                                      {"systems", std::move(list)}});
}

std::string config_text(const base::Config& config) {
  json::array list;
  for (const auto& [name, entry] : config.entries())
    list.push_back({{"name", name},
                    {"value", base::Config::shown(entry)},
                    {"source", entry.source},
                    {"help", entry.option->help}});
  return json::serialize(list);
}

Task<void> answer_ready(const CoreApi& core, Response& response) {
  json::array reasons;
  for (const RunningSystem& running : core.systems) {
    systems::Health health = running.system->health();
    if (health.state == systems::HealthState::kFailed)
      reasons.push_back({{"system", running.system->name()}, {"message", health.message}});
  }
  int status = reasons.empty() ? 200 : 503;
  std::string text = json::serialize(json::object{{"ready", status == 200}, {"failed", std::move(reasons)}});
  co_await systems::answer_json(response, status, text);
}

}  // namespace

bool own_host(std::string_view authority, const std::vector<std::string>& names) {
  if (authority.empty()) return true;  // no browser leaves it out
  std::string_view host = authority;
  if (host.starts_with('[')) return true;  // IPv6: an address needs no resolving
  host = host.substr(0, host.rfind(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.find_first_not_of("0123456789.") == host.npos) return true;
  if (http::equal_ignoring_case(host, "localhost")) return true;
  return std::ranges::any_of(names, [&](const std::string& name) { return http::equal_ignoring_case(host, name); });
}

namespace {

Task<void> answer_metrics(const CoreApi& core, Request& request, Response& response) {
  bool near = request.peer().unix_socket || request.local().unix_socket || request.peer().loopback();
  // A page of another site can make its name resolve to 127.0.0.1 and read what its browser then fetches: the name it
  // used stands in Host.
  near = near && own_host(request.authority(), core.config.list("main.names"));
  if (!near || !core.config.boolean("main.public_metrics")) {
    auto admitted = systems::authorize(request, "polis:ReadMetrics");
    if (!admitted) co_return co_await systems::answer_error(response, admitted.error());
  }
  obs::Exposition exposition = obs::choose_exposition(request.field(http::Field::kAccept).value_or(""));
  std::string text = obs::render(core.metrics.snapshot(), exposition);
  (void)co_await response.send(obs::content_type(exposition), text);
}

std::string backup_text(const BackupProgress& progress) {
  json::object object{
      {"running", progress.running}, {"done_bytes", progress.done_bytes}, {"total_bytes", progress.total_bytes}};
  if (progress.report)
    object["report"] = json::object{
        {"files", progress.report->files},
        {"size_bytes", progress.report->size_bytes},
        {"commit_time", progress.report->commit_time},
        {"duration_ms", std::chrono::duration_cast<std::chrono::milliseconds>(progress.report->duration).count()}};
  if (progress.error)
    object["error"] = json::object{{"code", name(progress.error->code())}, {"message", progress.error->text()}};
  return json::serialize(object);
}

Result<size_t> limit_of(const Request& request, size_t value_default, size_t max) {
  auto text = TRY(request.query_value("limit"));
  if (!text) return value_default;
  size_t number = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size() || number < 1 || number > max)
    return fail(Code::kInvalid, fmt::format("limit must lie between 1 and {}", max));
  return number;
}

std::string log_text(size_t limit, uint64_t after) {
  json::array list;
  if (const obs::Log* log = obs::installed_log())
    for (const obs::LogLine& line : log->recent(limit, obs::Level::kDebug, after))
      list.push_back({{"sequence", line.sequence}, {"level", obs::name(line.level)}, {"line", line.json}});
  return json::serialize(list);
}

void mount_open(http::Router& router, const std::shared_ptr<const CoreApi>& core) {
  router.get("/healthz", [](Request&, Response& response) -> Task<void> {
    co_await systems::answer_json(response, 200, R"({"alive":true})");
  });
  router.get("/readyz", [core](Request&, Response& response) -> Task<void> { co_await answer_ready(*core, response); });
  router.get("/metrics", [core](Request& request, Response& response) -> Task<void> {
    co_await answer_metrics(*core, request, response);
  });
}

void mount_backup(http::Router& router, const std::shared_ptr<const CoreApi>& core) {
  systems::mount(router, Method::kPost, "/api/polis/v1/backup", "polis:Backup",
                 [core](Request& request) -> Task<Result<std::string>> {
                   Document body = CO_TRY(co_await Document::read(request));
                   BackupRequest wanted{.directory = CO_TRY(body.text("directory")),
                                        .with_keys = CO_TRY(body.boolean("with_keys", false)),
                                        .passphrase = CO_TRY(body.text("passphrase", ""))};
                   co_return co_await io::on(core->home, [core, &wanted]() -> Task<Result<std::string>> {
                     CO_TRY(core->backup.start(core->background, std::move(wanted)));
                     co_return backup_text(core->backup.progress());
                   });
                 });
  systems::mount(
      router, Method::kGet, "/api/polis/v1/backup", "polis:Backup", [core](Request&) -> Task<Result<std::string>> {
        co_return co_await io::on(
            core->home, [core]() -> Task<Result<std::string>> { co_return backup_text(core->backup.progress()); });
      });
}

}  // namespace

void mount_core_api(http::Router& router, CoreApi api) {
  // Shared by the handlers, which live as long as the router.
  auto core = std::make_shared<const CoreApi>(std::move(api));
  mount_open(router, core);
  mount_backup(router, core);
  systems::mount(router, Method::kGet, "/api/polis/v1/status", "",
                 [core](Request&) -> Task<Result<std::string>> { co_return status_text(*core); });
  systems::mount(router, Method::kGet, "/api/polis/v1/about", "", [core](Request&) -> Task<Result<std::string>> {
    co_return json::serialize(json::object{{"version", core->version}, {"region", core->config.text("main.region")}});
  });
  systems::mount(router, Method::kGet, "/api/polis/v1/config", "polis:ReadConfig",
                 [core](Request&) -> Task<Result<std::string>> { co_return config_text(core->config); });
  systems::mount(router, Method::kGet, "/api/polis/v1/traces", "polis:ReadTraces",
                 [core](Request& request) -> Task<Result<std::string>> {
                   co_return obs::to_json(core->tracer.recent(CO_TRY(limit_of(request, 50, 1000))));
                 });
  systems::mount(router, Method::kGet, "/api/polis/v1/traces/{trace}", "polis:ReadTraces",
                 [core](Request& request) -> Task<Result<std::string>> {
                   co_return obs::to_json(core->tracer.find(CO_TRY(obs::TraceId::parse(request.param("trace")))));
                 });
  systems::mount(router, Method::kGet, "/api/polis/v1/logs", "polis:ReadLogs",
                 [](Request& request) -> Task<Result<std::string>> {
                   uint64_t after = 0;
                   if (auto text = CO_TRY(request.query_value("after")))
                     std::from_chars(text->data(), text->data() + text->size(), after);
                   co_return log_text(CO_TRY(limit_of(request, 200, 2000)), after);
                 });
  systems::mount(router, Method::kPost, "/api/plan/v1/{plan}", "",
                 [core](Request& request) -> Task<Result<std::string>> {
                   co_return co_await core->plans.apply(std::string(request.param("plan")),
                                                        systems::principal(request)->user_id, &request);
                 });
}

systems::LiveTopic home_topic(const CoreApi& core) {
  return {.name = "polis.home",
          .action = "polis:ReadStatus",
          .interval = std::chrono::seconds(1),
          .sample = [&systems = core.systems, &metrics = core.metrics]() -> Task<Result<std::string>> {
            json::object list, counters, gauges;
            for (const RunningSystem& running : systems)
              list[running.system->name()] = describe(running.system->health());
            for (const obs::Registry::Family& family : metrics.snapshot()) {
              if (family.type == obs::MetricType::kHistogram) continue;
              double sum = 0;
              for (const auto& series : family.series) sum += series.value;
              (family.type == obs::MetricType::kCounter ? counters : gauges)[family.name] = sum;
            }
            co_return json::serialize(json::object{
                {"systems", std::move(list)}, {"counters", std::move(counters)}, {"gauges", std::move(gauges)}});
          }};
}

}  // namespace polis::app
