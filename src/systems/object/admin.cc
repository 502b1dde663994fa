#include "systems/object/admin.h"

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>

#include "kernel/base/text_encoding.h"
#include "kernel/base/time_format.h"
#include "kernel/blob/durability.h"
#include "kernel/http/uri.h"
#include "systems/api.h"

namespace polis::object {
namespace {

namespace json = boost::json;

std::string_view name(blob::DriveState state) {
  switch (state) {
    case blob::DriveState::kOnline:
      return "online";
    case blob::DriveState::kMissing:
      return "missing";
    case blob::DriveState::kReplacing:
      return "replacing";
    case blob::DriveState::kFailed:
      return "failed";
  }
  return "";
}

// Within so long a whole drive must be rebuilt: then 4+2 gives 11 nines at 0.81 % of drives a year (durability.h).
constexpr double kRepairGateHours = 8.5;
// A repair of less says nothing about the rate of a large one.
constexpr uint64_t kMeasuredBytesMin = uint64_t{64} << 20;

double milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

std::string_view name(Versioning versioning) {
  switch (versioning) {
    case Versioning::kUnversioned:
      return "unversioned";
    case Versioning::kEnabled:
      return "enabled";
    case Versioning::kSuspended:
      return "suspended";
  }
  return "";
}

json::object drive_json(const blob::DriveStatus& drive) {
  return {{"index", drive.index},
          {"path", drive.path},
          {"state", name(drive.state)},
          {"used_bytes", drive.used_bytes},
          {"available_bytes", drive.available_bytes},
          {"read_errors", drive.read_errors},
          {"write_errors", drive.write_errors},
          {"corrupt_blocks", drive.corrupt_blocks}};
}

json::object blob_json(const blob::BlobStatistics& blob) {
  return {{"extents", blob.extents},
          {"live_bytes", blob.live_bytes},
          {"stored_bytes", blob.stored_bytes},
          {"puts", blob.puts},
          {"gets", blob.gets},
          {"degraded_reads", blob.degraded_reads},
          {"repaired_units", blob.repaired_units},
          {"syncs", blob.syncs},
          {"repair_queue", blob.repair_queue},
          {"scrubbed_bytes", blob.scrubbed_bytes},
          {"scrub_errors", blob.scrub_errors}};
}

// Of the classes that hold anything: by name, so that a live patch names only what changed.
json::object classes_json(const Usage& usage) {
  json::object out;
  for (size_t at = 0; at < kStorageClasses; ++at) {
    const auto storage_class = static_cast<StorageClass>(at);
    const auto held = usage.of_class(storage_class);
    if (held.versions == 0 && held.size_bytes == 0) continue;
    out[name(storage_class)] = json::object{{"versions", held.versions}, {"size_bytes", held.size_bytes}};
  }
  return out;
}

json::object bucket_json(const Bucket& bucket, const Usage& usage) {
  return {{"name", bucket.name},
          {"owner", bucket.owner.canonical_id},
          {"created_at", base::format_rfc3339(bucket.created_at)},
          {"versioning", name(bucket.versioning)},
          {"objects", usage.objects},
          {"versions", usage.versions},
          {"delete_markers", usage.delete_markers},
          {"size_bytes", usage.size_bytes},
          {"classes", classes_json(usage)},
          {"encryption", bucket.encryption.kind == EncryptionKind::kS3    ? "SSE-S3"
                         : bucket.encryption.kind == EncryptionKind::kKms ? "SSE-KMS"
                                                                          : "none"},
          {"object_lock", bucket.object_lock},
          {"lifecycle_rules", bucket.lifecycle.size()},
          {"has_policy", !bucket.policy.empty()},
          {"public_access_blocked", bucket.public_access_block.has_value()}};
}

json::object job_json(const Job& job, WallTime now) {
  json::object out{{"kind", job.kind},
                   {"running", job.running},
                   {"done", job.done},
                   {"total", job.total},
                   {"begun_at", base::format_rfc3339(job.begun_at)},
                   {"took_ms", milliseconds(job.running ? now - job.begun_at : job.took)}};
  if (!job.error.empty()) out["error"] = job.error;
  if (!job.report.empty()) out["report"] = json::parse(job.report);
  return out;
}

json::object report_json(const blob::RepairReport& report) {
  return {{"rows_checked", report.rows_checked},
          {"units_rebuilt", report.units_rebuilt},
          {"rows_lost", report.rows_lost},
          {"bytes_read", report.bytes_read},
          {"bytes_written", report.bytes_written}};
}

Error as_error(const Failure& failure) {
  Code code = Code::kInvalid;
  switch (shape(failure.code()).status) {
    case 403:
      code = Code::kDenied;
      break;
    case 404:
      code = Code::kNotFound;
      break;
    case 409:
      code = Code::kConflict;
      break;
    case 503:
      code = Code::kBusy;
      break;
    case 500:
      code = Code::kIo;
      break;
  }
  return Error(code, failure.message());
}

// Plans act without the bucket's policy, so they are for its own account and for administrators.
Result<void> check_own(const Bucket& bucket, const auth::Principal& who) {
  if (who.administrator || who.account_id == bucket.owner.account_id) return {};
  return fail(Code::kDenied, "the bucket " + bucket.name + " belongs to another account");
}

// Directories of one file system are one drive in truth; what that protects against must be said.
bool one_file_system(const std::vector<blob::DriveStatus>& drives) {
  return std::all_of(drives.begin(), drives.end(),
                     [&](const blob::DriveStatus& drive) { return drive.device == drives.front().device; });
}

}  // namespace

Admin::Admin(Server& server, auth::Directory& directory, systems::Plans& plans, const Clock& clock)
    : server_(server), directory_(directory), plans_(plans), clock_(clock), home_(io::Shard::current()) {}

void Admin::mount(http::Router& router) {
  constexpr std::string_view kRead = "object:ReadStatus";
  constexpr std::string_view kManage = "object:ManageDrives";
  auto at = [](std::string_view path) { return "/api/object/v1" + std::string(path); };
  auto get = [&](std::string_view path, Json (Admin::*handler)()) {
    systems::mount(router, http::Method::kGet, at(path), std::string(kRead), [this, handler](http::Request&) {
      return io::on(home_, [this, handler] { return (this->*handler)(); });
    });
  };
  get("/status", &Admin::status);
  get("/drives", &Admin::drives);
  get("/buckets", &Admin::buckets);
  get("/puts", &Admin::puts);
  get("/access", &Admin::access);
  get("/jobs", &Admin::jobs);
  systems::mount(router, http::Method::kGet, at("/buckets/{bucket}"), std::string(kRead),
                 [this](http::Request& request) {
                   return io::on(home_, [this, name = std::string(request.param("bucket"))] { return bucket(name); });
                 });
  systems::mount(router, http::Method::kGet, at("/durability"), std::string(kRead), [this](http::Request& request) {
    return io::on(home_, [this, query = std::string(request.query())] { return durability(query); });
  });
  for (std::string_view kind : {"scrub", "repair", "compact"}) {
    systems::mount(
        router, http::Method::kPost, at("/jobs/" + std::string(kind)), std::string(kManage),
        [this, kind](http::Request&) { return io::on(home_, [this, kind] { return start_job(std::string(kind)); }); });
  }
  systems::mount(router, http::Method::kPost, at("/drives/{index}/online"), std::string(kManage),
                 [this](http::Request& request) {
                   return io::on(home_, [this, text = std::string(request.param("index"))]() -> Json {
                     unsigned index = UINT32_MAX;
                     std::from_chars(text.data(), text.data() + text.size(), index);
                     return set_drive(index, blob::DriveState::kOnline);
                   });
                 });
  systems::mount(router, http::Method::kPost, at("/accounts"), "iam:CreateAccount",
                 [this](http::Request& request) -> Json {
                   Bytes body = CO_TRY(co_await request.read_all(systems::kApiBodySizeBytesMax));
                   auto actor = systems::actor(request);
                   co_return co_await io::on(
                       home_, [this, actor, text = std::string(as_text(body))] { return add_account(actor, text); });
                 });
  systems::mount(router, http::Method::kPost, at("/presign"), "", [this](http::Request& request) -> Json {
    Bytes body = CO_TRY(co_await request.read_all(systems::kApiBodySizeBytesMax));
    co_return co_await presign(systems::principal(request), std::string(as_text(body)));
  });
  auto plan_drive_at = [&](std::string_view path, blob::DriveState state) {
    systems::mount_plan(
        router, http::Method::kPost, at(path), std::string(kManage), plans_, [this, state](http::Request& request) {
          return io::on(
              home_, [this, state, index = std::string(request.param("index"))] { return plan_drive(index, state); });
        });
  };
  plan_drive_at("/drives/{index}/kill", blob::DriveState::kMissing);
  plan_drive_at("/drives/{index}/replace", blob::DriveState::kReplacing);
  systems::mount_plan(router, http::Method::kPost, at("/drives"), std::string(kManage), plans_,
                      [this](http::Request& request) -> Task<Result<systems::PlanDraft>> {
                        Bytes body = CO_TRY(co_await request.read_all(systems::kApiBodySizeBytesMax));
                        co_return co_await io::on(
                            home_, [this, text = std::string(as_text(body))] { return plan_new_drive(text); });
                      });
  systems::mount_plan(router, http::Method::kDelete, at("/buckets/{bucket}/objects"), "s3:DeleteObject", plans_,
                      [this](http::Request& request) -> Task<Result<systems::PlanDraft>> {
                        auto prefix = CO_TRY(request.query_value("prefix"));
                        co_return co_await io::on(
                            home_, [this, name = std::string(request.param("bucket")), below = prefix.value_or(""),
                                    who = systems::principal(request)] { return plan_removal(name, below, who); });
                      });
  systems::mount_plan(router, http::Method::kDelete, at("/buckets/{bucket}"), "s3:DeleteBucket", plans_,
                      [this](http::Request& request) {
                        return io::on(home_,
                                      [this, name = std::string(request.param("bucket")),
                                       who = systems::principal(request)] { return plan_bucket_removal(name, who); });
                      });
}

Result<void> Admin::declare_topics(systems::LiveTopics& topics) {
  TRY(topics.declare({.name = "object.grid",
                      .action = "object:ReadStatus",
                      .interval = std::chrono::milliseconds(250),
                      .sample = [this] { return grid(); }}));
  TRY(topics.declare({.name = "object.access",
                      .action = "object:ReadStatus",
                      .interval = std::chrono::milliseconds(500),
                      .sample = [this] { return access(); }}));
  return topics.declare({.name = "object.puts",
                         .action = "object:ReadStatus",
                         .interval = std::chrono::milliseconds(500),
                         .sample = [this] { return puts(); }});
}

Task<void> Admin::stop() {
  running_.stop();
  co_await running_.join();
}

Admin::Condition Admin::condition() const {
  Condition out;
  unsigned away = 0;
  std::string which;
  for (const blob::DriveStatus& drive : server_.blob().drives()) {
    if (drive.state == blob::DriveState::kOnline) continue;
    ++away;
    which += (which.empty() ? "" : ", ") + std::to_string(drive.index) + " (" + std::string(name(drive.state)) + ")";
  }
  if (auto failure = server_.store().failure()) {
    out.failed = true;
    out.message = "The metadata store refuses writes: " + failure->text();
  } else if (away > 0) {
    // Drives that were rebuilt elsewhere are missed by nobody.
    const blob::BlobStatistics blob = server_.blob().statistics();
    const blob::Scheme scheme = server_.blob().default_scheme();
    const size_t up = server_.blob().drives().size() - away;
    out.failed = blob.unreadable_extents > 0 || up < scheme.data_units;
    out.degraded = !out.failed;
    if (out.failed) {
      out.message = "Too many drives are out of service: " + which +
                    ". Bring one back with `polis object drive-online INDEX`.";
    } else {
      out.message = "Out of service: drive " + which + ". Reads go on; ";
      if (up < scheme.units() - (scheme.parity_units - 1u))
        out.message += "writes are refused until one is back or replaced.";
      else if (blob.reduced_extents > 0)
        out.message += "replace or return it, then `polis object repair`.";
      else
        out.message += "everything that was on it lies on others by now.";
    }
  }
  return out;
}

// --- reading

Admin::Json Admin::status() {
  ServiceStatistics service = co_await server_.statistics();
  http::ServerStatistics http = co_await server_.http_statistics();
  json::object operations;
  for (const auto& [operation, count] : service.operations) operations[operation] = count;
  Condition state = condition();
  json::object out{{"state", state.failed     ? "failed"
                             : state.degraded ? "degraded"
                                              : "healthy"},
                   {"message", state.message},
                   {"requests", service.requests},
                   {"errors_client", service.errors_client},
                   {"errors_server", service.errors_server},
                   {"slowed_down", service.slowed_down},
                   {"in_flight", service.in_flight},
                   {"received_bytes", service.received_bytes},
                   {"sent_bytes", service.sent_bytes},
                   {"connections_open", http.connections_open},
                   {"operations", std::move(operations)},
                   {"lifecycle", json::object{{"expired", service.lifecycle_expired},
                                              {"removed", service.lifecycle_removed},
                                              {"moved", service.lifecycle_transitions},
                                              {"aborted", service.lifecycle_aborted}}},
                   {"blob", blob_json(server_.blob().statistics())}};
  co_return json::serialize(out);
}

Admin::Json Admin::drives() {
  auto all = server_.blob().drives();
  json::array list;
  for (const blob::DriveStatus& drive : all) list.push_back(drive_json(drive));
  bool shared = one_file_system(all);
  json::object out{
      {"drives", std::move(list)},
      {"one_file_system", shared},
      {"protects",
       shared
           ? "The drives are directories of one file system: this protects against corruption, not against losing it."
           : "Any two drives may be lost."},
      {"blob", blob_json(server_.blob().statistics())}};
  co_return json::serialize(out);
}

Admin::Json Admin::buckets() {
  auto txn = CO_TRY(co_await server_.store().begin());
  const Engine& engine = server_.engine();
  json::array list;
  std::string after;
  for (bool more = true; more;) {
    auto page = co_await engine.list_buckets(*txn, nullptr, "", after, kListKeysMax);
    if (!page) co_return fail(as_error(page.error()));
    for (const Bucket& one : page->buckets) {
      auto usage = co_await engine.usage(*txn, one.id);
      if (!usage) co_return fail(as_error(usage.error()));
      list.push_back(bucket_json(one, *usage));
      after = one.name;
    }
    more = page->more;
    co_await io::yield();
  }
  co_return json::serialize(json::object{{"buckets", std::move(list)}});
}

Admin::Json Admin::bucket(std::string bucket_name) {
  auto txn = CO_TRY(co_await server_.store().begin());
  auto found = co_await server_.engine().bucket(*txn, bucket_name);
  if (!found) co_return fail(as_error(found.error()));
  auto usage = co_await server_.engine().usage(*txn, found->id);
  if (!usage) co_return fail(as_error(usage.error()));
  co_return json::serialize(bucket_json(*found, *usage));
}

Admin::Json Admin::puts() {
  json::object list;
  for (const PutTimes& put : co_await server_.recent_puts()) {
    list[put.request_id] = json::object{{"bucket", put.bucket},
                                        {"key", put.key},
                                        {"size_bytes", put.size_bytes},
                                        {"at", base::format_rfc3339(put.at)},
                                        {"authenticate_ms", milliseconds(put.authenticate)},
                                        {"authorize_ms", milliseconds(put.authorize)},
                                        {"bytes_ms", milliseconds(put.bytes)},
                                        {"metadata_ms", milliseconds(put.metadata)},
                                        {"total_ms", milliseconds(put.total)}};
  }
  co_return json::serialize(json::object{{"puts", std::move(list)}});
}

Admin::Json Admin::access() {
  // What a screen holds; by request id, so that a patch names only what is new.
  constexpr size_t kShownMax = 100;
  std::vector<AccessLine> all = co_await server_.access_tail();
  json::object list;
  for (size_t at = all.size() - std::min(all.size(), kShownMax); at < all.size(); ++at) {
    const AccessLine& line = all[at];
    json::object out{{"at", base::format_rfc3339(line.at)},
                     {"method", line.method},
                     {"operation", line.operation},
                     {"bucket", line.bucket},
                     {"key", line.key},
                     {"user", line.user},
                     {"address", line.address},
                     {"status", line.status},
                     {"error", line.error},
                     {"received_bytes", line.received_bytes},
                     {"sent_bytes", line.sent_bytes},
                     {"took_ms", milliseconds(line.took)}};
    list[line.request_id] = std::move(out);
  }
  co_return json::serialize(json::object{{"requests", std::move(list)}});
}

Admin::Json Admin::grid() {
  json::object list;
  for (const blob::DriveStatus& drive : server_.blob().drives()) list[std::to_string(drive.index)] = drive_json(drive);
  json::object jobs;
  for (const auto& [kind, job] : jobs_) jobs[kind] = job_json(job, clock_.wall());
  ServiceStatistics service = co_await server_.statistics();
  // Extents are the rows of the picture: by id, so that a patch names only what changed. The newest 200 fill a screen.
  blob::PoolPicture picture = server_.blob().picture();
  json::object extents;
  size_t skip = picture.extents.size() > 200 ? picture.extents.size() - 200 : 0;
  for (size_t i = skip; i < picture.extents.size(); ++i) {
    const blob::ExtentStatus& extent = picture.extents[i];
    extents[std::to_string(extent.id)] =
        json::object{{"file_bytes", extent.file_bytes},
                     {"live_bytes", extent.live_bytes},
                     {"growing", extent.growing},
                     {"absent", extent.absent},
                     {"repaired", picture.repairing != 0 && extent.id < picture.repair_extent}};
  }
  json::object damaged;
  for (const blob::DamagedRow& row : picture.damaged)
    damaged[std::to_string(row.extent) + ":" + std::to_string(row.offset)] = row.drives;
  json::object out{{"drives", std::move(list)},
                   {"data_units", picture.data_units},
                   {"parity_units", picture.parity_units},
                   {"stale", picture.stale},
                   {"repairing", picture.repairing},
                   {"repair_extent", picture.repair_extent},
                   {"repair_offset", picture.repair_offset},
                   {"extents", std::move(extents)},
                   {"damaged", std::move(damaged)},
                   {"jobs", std::move(jobs)},
                   {"blob", blob_json(server_.blob().statistics())},
                   {"requests", service.requests},
                   {"received_bytes", service.received_bytes},
                   {"sent_bytes", service.sent_bytes}};
  co_return json::serialize(out);
}

Admin::Json Admin::jobs() {
  json::array list;
  for (const auto& [kind, job] : jobs_) list.push_back(job_json(job, clock_.wall()));
  co_return json::serialize(json::object{{"jobs", std::move(list)}});
}

Admin::Json Admin::durability(std::string query) {
  blob::DurabilityAssumptions wanted;
  // Measured is the rate; what counts is how long a whole drive would take at it.
  uint64_t drive_bytes = 0;
  for (const blob::DriveStatus& drive : server_.blob().drives())
    drive_bytes = std::max(drive_bytes, drive.used_bytes + drive.available_bytes);
  double measured_hours = 0;
  if (repair_bytes_s_ > 0 && drive_bytes > 0)
    measured_hours = std::clamp(static_cast<double>(drive_bytes) / repair_bytes_s_ / 3600, 0.01, 8766.0);
  if (measured_hours > 0) wanted.repair_hours = measured_hours;
  auto number = [&](std::string_view key, double fallback, double min, double max) -> Result<double> {
    auto text = TRY(http::query_value(query, key));
    if (!text) return fallback;
    double value = 0;
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size() || !(value >= min) || !(value <= max))
      return fail(Code::kInvalid, std::string(key) + " must be a number between " + std::to_string(min) + " and " +
                                      std::to_string(max));
    return value;
  };
  wanted.data_units = static_cast<unsigned>(CO_TRY(number("k", wanted.data_units, 1, 64)));
  wanted.parity_units = static_cast<unsigned>(CO_TRY(number("m", wanted.parity_units, 0, 64)));
  wanted.annual_failure_rate = CO_TRY(number("afr", wanted.annual_failure_rate, 1e-6, 1));
  wanted.repair_hours = CO_TRY(number("repair_hours", wanted.repair_hours, 1e-3, 8766));
  // At 0.81 % a year "11 nines for 4+2, 6 for three copies" is the third line beside the last: repaired coding beside
  // copies that nobody repairs. Backblaze's own 11 nines are of 17+3 at half that rate.
  struct Line {
    std::string_view what;
    unsigned k, m;
    double hours;
    double rate = 0;  // 0: the one that was asked for
  };
  constexpr Line kLines[] = {{"4+2, repair in 6.5 days", 4, 2, 156},
                             {"4+2, repair in 1 day", 4, 2, 24},
                             {"4+2, repair in 8.5 hours", 4, 2, kRepairGateHours},
                             {"4+2, repair in 1 hour", 4, 2, 1},
                             {"4+2, never repaired", 4, 2, 8766},
                             {"2+1, repair in 1 day", 2, 1, 24},
                             {"8+3, repair in 1 day", 8, 3, 24},
                             {"17+3, repair in 6.5 days, 0.405 % fail", 17, 3, 156, 0.00405},
                             {"3 copies, repair in 6.5 days", 1, 2, 156},
                             {"3 copies, never repaired", 1, 2, 8766}};
  json::array table;
  for (const Line& line : kLines) {
    blob::DurabilityAssumptions one{line.k, line.m, line.rate > 0 ? line.rate : wanted.annual_failure_rate, line.hours};
    table.push_back(json::object{{"what", line.what},
                                 {"data_units", line.k},
                                 {"parity_units", line.m},
                                 {"annual_failure_rate", one.annual_failure_rate},
                                 {"overhead", static_cast<double>(line.m) / line.k},
                                 {"repair_hours", line.hours},
                                 {"nines", blob::annual_durability_nines(one)},
                                 {"loss_a_year", blob::annual_loss_probability(one)}});
  }
  json::object out{
      {"assumptions",
       json::object{{"data_units", wanted.data_units},
                    {"parity_units", wanted.parity_units},
                    {"annual_failure_rate", wanted.annual_failure_rate},
                    {"repair_hours", wanted.repair_hours},
                    {"repair_measured", repair_bytes_s_ > 0},
                    {"repair_gate_hours", kRepairGateHours},
                    {"leaves_out", "correlated failures: one machine, one batch of drives, one bug, one operator"}}},
      {"nines", blob::annual_durability_nines(wanted)},
      {"loss_a_year", blob::annual_loss_probability(wanted)},
      {"table", std::move(table)}};
  if (measured_hours > 0)
    out["measured"] = json::object{{"repair_bytes_per_second", repair_bytes_s_},
                                   {"drive_bytes", drive_bytes},
                                   {"repair_hours", measured_hours},
                                   {"within_gate", measured_hours <= kRepairGateHours}};
  co_return json::serialize(out);
}

// --- doing

Admin::Json Admin::start_job(std::string kind) {
  Job& job = jobs_[kind];
  if (job.running) co_return fail(Code::kBusy, "a " + kind + " is running already; see GET /api/object/v1/jobs");
  job = Job{.kind = kind, .running = true, .begun_at = clock_.wall()};
  running_.spawn(run_job(job));
  co_return json::serialize(job_json(job, clock_.wall()));
}

Task<void> Admin::run_job(Job& job) {
  SteadyTime begun = clock_.steady();
  blob::Blob& blob = server_.blob();
  blob::Progress progress = [this, &job](uint64_t done, uint64_t total) {
    job.done = done;
    job.total = total;
    return !running_.scope().stopped();
  };
  std::optional<Error> failed;
  if (job.kind == "compact") {
    auto freed = co_await blob.compact(progress);
    if (freed)
      job.report = json::serialize(json::object{{"freed_bytes", *freed}});
    else
      failed = freed.error();
  } else {
    auto report = job.kind == "scrub" ? co_await blob.scrub(progress) : co_await blob.repair(progress);
    if (report) {
      job.report = json::serialize(report_json(*report));
      double seconds = std::chrono::duration<double>(clock_.steady() - begun).count();
      if (job.kind == "repair" && report->bytes_written >= kMeasuredBytesMin && seconds > 0)
        repair_bytes_s_ = static_cast<double>(report->bytes_written) / seconds;
    } else {
      failed = report.error();
    }
  }
  if (failed) job.error = failed->text();
  job.running = false;
  job.ended_at = clock_.wall();
  job.took = clock_.steady() - begun;
}

Admin::Json Admin::set_drive(unsigned index, blob::DriveState state) {
  blob::Blob& blob = server_.blob();
  if (index >= blob.drives().size()) co_return fail(Code::kNotFound, "there is no drive of that number");
  CO_TRY(co_await blob.set_drive(index, state));
  co_return json::serialize(drive_json(blob.drives()[index]));
}

Admin::Json Admin::add_account(auth::Actor actor, std::string body) {
  json::error_code error;
  json::value root = json::parse(body, error);
  if (error || !root.is_object()) co_return fail(Code::kInvalid, "an account is a JSON object");
  auto text = [&](std::string_view key) -> std::string {
    const json::value* value = root.get_object().if_contains(key);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  auth::Account account = CO_TRY(co_await directory_.create_account(
      actor, {.name = text("name"), .email = text("email"), .id = text("id"), .canonical_id = text("canonical_id")}));
  auth::User user = CO_TRY(co_await directory_.create_user(
      actor,
      {.account_id = account.id, .name = "root", .display_name = account.name, .email = account.email, .root = true}));
  auth::IssuedAccessKey key = CO_TRY(co_await directory_.create_access_key(actor, user.id, "made with the account",
                                                                           text("access_key"), text("secret_key")));
  co_return json::serialize(json::object{{"account_id", account.id},
                                         {"canonical_id", account.canonical_id},
                                         {"name", account.name},
                                         {"access_key", key.id},
                                         {"secret_key", key.secret}});
}

Task<Result<systems::PlanDraft>> Admin::plan_drive(std::string text, blob::DriveState state) {
  unsigned index = UINT32_MAX;
  std::from_chars(text.data(), text.data() + text.size(), index);
  auto drives = server_.blob().drives();
  if (index >= drives.size()) co_return fail(Code::kNotFound, "there is no drive " + text);
  const blob::DriveStatus& drive = drives[index];
  bool replace = state == blob::DriveState::kReplacing;
  systems::PlanDraft draft;
  draft.title = (replace ? "Replace drive " : "Take drive ") + std::to_string(index) +
                (replace ? " by an empty one" : " out of service");
  draft.touches = {drive.path + ", " + std::to_string(drive.used_bytes) + " bytes, now " +
                   std::string(name(drive.state))};
  if (replace) draft.touches.push_back("what it holds is dropped and rebuilt from the other drives by the next repair");
  draft.touched_count = 1;
  draft.touched_bytes = drive.used_bytes;
  draft.apply = [this, index, state, before = drive.state]() -> Json {
    if (server_.blob().drives()[index].state != before)
      co_return fail(Code::kConflict, "the drive's state has changed since the plan was made");
    co_return co_await set_drive(index, state);
  };
  co_return draft;
}

// Body: {"path":"/mnt/disk7"}.
Task<Result<systems::PlanDraft>> Admin::plan_new_drive(std::string body) {
  json::error_code error;
  json::value root = json::parse(body, error);
  const json::value* path = !error && root.is_object() ? root.get_object().if_contains("path") : nullptr;
  if (!path || !path->is_string()) co_return fail(Code::kInvalid, "the body must be a JSON object with \"path\"");
  const std::string directory(path->get_string());
  const size_t count = server_.blob().drives().size();
  systems::PlanDraft draft;
  draft.title = "Add " + directory + " as drive " + std::to_string(count);
  draft.touches = {directory + ", which must be absent or empty, becomes part of the pool for good",
                   "new bytes go where most room is; what is stored stays where it is"};
  draft.touched_count = 1;
  draft.apply = [this, directory, count]() -> Json {
    if (server_.blob().drives().size() != count)
      co_return fail(Code::kConflict, "a drive was added since the plan was made");
    const unsigned index = CO_TRY(co_await server_.blob().add_drive(directory));
    co_return json::serialize(drive_json(server_.blob().drives()[index]));
  };
  co_return draft;
}

Task<Result<systems::PlanDraft>> Admin::plan_removal(std::string bucket_name, std::string prefix,
                                                     auth::PrincipalPtr who) {
  // What a plan holds in memory: 10,000 entries of about 500 bytes.
  constexpr size_t kListedMax = 10'000;
  auto txn = CO_TRY(co_await server_.store().begin());
  const Engine& engine = server_.engine();
  auto found = co_await engine.bucket(*txn, bucket_name);
  if (!found) co_return fail(as_error(found.error()));
  CO_TRY(check_own(*found, *who));
  // Markers in a versioned bucket need an owner with an account.
  const Owner owner = who->canonical_id.empty() ? found->owner : Owner{who->account_id, who->canonical_id};
  std::vector<ListEntry> listed;
  ListQuery query{.prefix = prefix};
  for (bool more = true; more;) {
    auto page = co_await engine.list(*txn, found->id, query);
    if (!page) co_return fail(as_error(page.error()));
    std::move(page->entries.begin(), page->entries.end(), std::back_inserter(listed));
    if (listed.size() > kListedMax)
      co_return fail(Code::kTooLarge, "more than 10,000 objects: name a longer prefix, or remove the bucket");
    more = page->truncated;
    query.after = page->last;
  }
  systems::PlanDraft draft;
  draft.title = "Remove " + std::to_string(listed.size()) + " objects of bucket " + bucket_name;
  for (const ListEntry& entry : listed) {
    if (draft.touches.size() < 999)
      draft.touches.push_back(entry.key + ", " + std::to_string(entry.version.size_bytes) + " bytes");
    draft.touched_bytes += entry.version.size_bytes;
  }
  if (listed.size() > 999) draft.touches.push_back("and " + std::to_string(listed.size() - 999) + " more");
  draft.touched_count = listed.size();
  draft.apply = [this, bucket_name, listed = std::move(listed), owner]() -> Json {
    auto removed = co_await server_.service().remove_listed(bucket_name, listed, owner);
    if (!removed) co_return fail(as_error(removed.error()));
    co_return json::serialize(json::object{{"bucket", bucket_name}, {"objects_removed", *removed}});
  };
  co_return draft;
}

Admin::Json Admin::presign(auth::PrincipalPtr principal, std::string body) {
  // The URL is signed with an access key, which no scope narrows.
  if (!principal->scopes.empty())
    co_return fail(Code::kDenied,
                   "a token with scopes cannot make pre-signed URLs: they would do what the token may not");
  json::error_code error;
  json::value root = json::parse(body, error);
  if (error || !root.is_object())
    co_return fail(Code::kInvalid, "send a JSON object: bucket, key, method, expires_s, endpoint");
  auto text = [&](std::string_view key) -> std::string {
    const json::value* value = root.get_object().if_contains(key);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  };
  const json::value* expires = root.get_object().if_contains("expires_s");
  int64_t seconds = expires && expires->is_int64() ? expires->get_int64() : 3600;
  if (seconds < 1 || seconds > kPresignSecondsMax)
    co_return fail(Code::kInvalid, "expires_s must lie between 1 and 604800");
  std::string bucket = text("bucket"), key = text("key"), endpoint = text("endpoint"), method = text("method");
  if (bucket.empty() || key.empty() || endpoint.empty())
    co_return fail(Code::kInvalid, "bucket, key and endpoint are needed");
  // "https://localhost:9443" or only the address; the signature covers the Host.
  std::string scheme = "http://";
  if (endpoint.starts_with("https://")) scheme = "https://";
  if (endpoint.starts_with(scheme)) endpoint.erase(0, scheme.size());
  if (method.empty()) method = "GET";
  // Signed with a key of the caller: the URL can do what the caller may, no more. The command line on this machine acts
  // as root without being a user, and takes root's key.
  std::string user_id = principal->user_id;
  if (principal->administrator && principal->credential == auth::CredentialKind::kInternal) {
    auth::Account main = CO_TRY(co_await directory_.main_account());
    for (const auth::User& user : CO_TRY(co_await directory_.users(main.id)))
      if (user.root) user_id = user.id;
  }
  for (const auth::AccessKeyRecord& record : CO_TRY(co_await directory_.access_keys(user_id))) {
    if (!record.active) continue;
    auth::AccessKeyPtr access_key = CO_TRY(co_await directory_.access_key(record.id));
    std::string target = "/" + base::url_encode(bucket) + "/" + base::url_encode(key, base::Slash::kKeep);
    HeaderView host{"host", endpoint};
    RequestView view{.method = method, .target = target, .headers = {&host, 1}};
    SigningIdentity identity{.access_key = access_key->id, .secret_key = access_key->secret};
    std::string signed_target = object::presign(view, identity, seconds, clock_.wall());
    co_return json::serialize(
        json::object{{"url", scheme + endpoint + signed_target}, {"method", method}, {"expires_s", seconds}});
  }
  co_return fail(Code::kNotFound, "you have no active access key: make one with `polis key add`");
}

Task<Result<systems::PlanDraft>> Admin::plan_bucket_removal(std::string bucket_name, auth::PrincipalPtr who) {
  auto txn = CO_TRY(co_await server_.store().begin());
  const Engine& engine = server_.engine();
  auto found = co_await engine.bucket(*txn, bucket_name);
  if (!found) co_return fail(as_error(found.error()));
  CO_TRY(check_own(*found, *who));
  auto usage = co_await engine.usage(*txn, found->id);
  auto listing = co_await engine.list_versions(*txn, found->id, {.limit = 999});
  if (!usage) co_return fail(as_error(usage.error()));
  if (!listing) co_return fail(as_error(listing.error()));
  systems::PlanDraft draft;
  draft.title = "Remove bucket " + bucket_name + " with " + std::to_string(usage->objects) + " objects";
  for (const VersionListEntry& entry : listing->entries)
    draft.touches.push_back(entry.key + (entry.version.null_version ? "" : " version " + entry.version.version_id()));
  uint64_t count = static_cast<uint64_t>(std::max<int64_t>(0, usage->versions + usage->delete_markers));
  if (listing->truncated) draft.touches.push_back("and " + std::to_string(count - listing->entries.size()) + " more");
  draft.touched_count = count;
  draft.touched_bytes = static_cast<uint64_t>(std::max<int64_t>(0, usage->size_bytes));
  draft.apply = [this, bucket_name, id = found->id, before = *usage]() -> Json {
    {
      auto now_txn = CO_TRY(co_await server_.store().begin());
      auto now = co_await server_.engine().bucket(*now_txn, bucket_name);
      auto usage_now = co_await server_.engine().usage(*now_txn, id);
      if (!now || now->id != id || !usage_now || *usage_now != before)
        co_return fail(Code::kConflict, "the bucket has changed since the plan was made");
    }
    auto removed = co_await server_.service().empty_bucket(bucket_name, true);
    if (!removed) co_return fail(as_error(removed.error()));
    co_return json::serialize(json::object{{"bucket", bucket_name}, {"versions_removed", *removed}});
  };
  co_return draft;
}

}  // namespace polis::object
