#include "systems/object/system.h"

#include "kernel/auth/node_key.h"
#include "kernel/base/config.h"
#include "kernel/base/random.h"
#include "systems/certificate.h"
#include "systems/object/admin.h"
#include "systems/object/commands.h"
#include "systems/object/console_api.h"
#include "systems/object/key_ring_admin.h"
#include "systems/object/server.h"
#include "systems/object/tour.h"

namespace polis::object {
namespace {

class ObjectSystem final : public systems::System {
 public:
  std::string_view name() const override { return "object"; }
  std::string_view summary() const override { return "S3 object store, erasure-coded 4+2"; }
  std::vector<systems::Port> ports() const override {
    return {{.name = "s3", .port = 9000, .what = "S3 over HTTP", .authenticated = true},
            {.name = "s3_tls", .port = 9443, .what = "S3 over HTTPS", .authenticated = true}};
  }
  systems::Placement placement() const override { return systems::Placement::kAny; }
  systems::ConsolePage console_page() const override {
    return {.id = "object", .title = "Object store", .group = "storage"};
  }

  void declare_options(base::ConfigSchema& schema) const override {
    schema.add_list("object.domains", {},
                    "Domains of virtual-host style: with \"s3.local\", bucket.s3.local names a bucket.");
    schema.add_bool("object.sigv2", false, "Accept AWS Signature Version 2, for clients from before 2014.");
    schema.add_bool("object.strict_region", false, "Refuse signatures made for another region than this one.");
    schema.add_integer("object.requests_max", 1024, {.min = 1, .max = 65536},
                       "Requests in flight; beyond it clients are told to slow down.");
    schema.add_duration("object.upload_age_max", std::chrono::hours(24 * 7), {.min = std::chrono::minutes(1)},
                        "Multipart uploads abandoned for so long are aborted.");
    systems::declare_certificate_options(schema, "object");
    schema.add_bool("object.insecure_ssec", false,
                    "Accept SSE-C over plain HTTP, where anybody on the way can read the customer's key.");
    schema.add_bool("object.strict_ssec", false,
                    "Completing a multipart upload under SSE-C needs the customer's key again, as Ceph wants it.");
    schema.add_duration("object.lifecycle_day", std::chrono::hours(24), {.min = std::chrono::seconds(1)},
                        "How long a day of lifecycle rules is; shorter than a real one for tests alone.");
    const CareOptions care;
    schema.add_duration("object.compaction_interval", care.compaction_interval,
                        {.min = std::chrono::seconds(1), .max = std::chrono::hours(24)},
                        "Between looks for extents that are less than half live; these are compacted.");
    schema.add_duration("object.scrub_interval", care.scrub_interval,
                        {.min = std::chrono::minutes(1), .max = std::chrono::hours(24 * 365)},
                        "Every byte is read and verified once in so long.");
    schema.add_size("object.scrub_bytes_per_second", care.scrub_bytes_per_second, {int64_t{1} << 16, int64_t{1} << 34},
                    "How fast the scrub reads; a pool too large for that within the interval is read faster.");
  }

  std::vector<systems::Command> commands() const override {
    auto all = object::commands();
    for (systems::Command& one : key_ring_commands()) all.push_back(std::move(one));
    return all;
  }

  Task<Result<systems::OpenPorts>> start(systems::Context& context) override {
    const base::Config& config = context.config;
    ServiceOptions options;
    options.region = context.region;
    options.any_region = !config.boolean("object.strict_region");
    options.domains = config.list("object.domains");
    options.version2 = config.boolean("object.sigv2");
    options.requests_max = static_cast<size_t>(config.integer("object.requests_max"));
    options.upload_age_max = config.duration("object.upload_age_max");
    options.lifecycle_day = config.duration("object.lifecycle_day");
    options.insecure_ssec = config.boolean("object.insecure_ssec");
    options.strict_ssec = config.boolean("object.strict_ssec");
    options.encryption_key = KeyRing::installation_key(
        CO_TRY(co_await auth::NodeKey::read(context.disk, context.data_directory + "/keys/node.key")));
    const CareOptions care{.compaction_interval = config.duration("object.compaction_interval"),
                           .scrub_interval = config.duration("object.scrub_interval"),
                           .scrub_bytes_per_second = config.size_bytes("object.scrub_bytes_per_second")};
    store::Keyspace keyspace = CO_TRY(context.store.keyspace("object"));
    auto tls = CO_TRY(co_await certified(context));
    server_ = std::make_unique<Server>(context.runtime, context.store, keyspace, context.blob, context.auth,
                                       context.clock, random_, std::move(options), care);
    auto ports = co_await listen(context, std::move(tls));
    if (!ports) {
      co_await server_->stop({});
      server_.reset();
      co_return std::unexpected(std::move(ports).error());
    }
    admin_ = std::make_unique<Admin>(*server_, context.auth, context.plans, context.clock);
    admin_->mount(context.api);
    console_ = std::make_unique<ConsoleApi>(*server_, context.plans);
    console_->mount(context.api);
    mount_key_ring(context.api, *server_, context.auth, context.clock, random_);
    for (auto declared : {admin_->declare_topics(context.live), console_->declare_topics(context.live)}) {
      if (declared) continue;
      co_await stop();
      co_return std::unexpected(std::move(declared).error());
    }
    co_return std::move(*ports);
  }

  Task<void> stop() override {
    if (!server_) co_return;
    if (admin_) co_await admin_->stop();
    co_await server_->stop(std::chrono::seconds(3));
    console_.reset();
    admin_.reset();
    server_.reset();
  }

  // Drives say how they are; the Blob keeps their states so that any thread may read them.
  systems::Health health() const override {
    if (!admin_) return {};
    Admin::Condition condition = admin_->condition();
    systems::Health health{.message = std::move(condition.message)};
    if (condition.degraded) health.state = systems::HealthState::kDegraded;
    if (condition.failed) health.state = systems::HealthState::kFailed;
    return health;
  }

  Task<Result<void>> tour(systems::Tour& tour) const override { co_return co_await take_tour(tour); }

 private:
  // A certificate made here also names the domains of virtual-host style and the buckets in them.
  static Task<Result<std::shared_ptr<io::TlsContext>>> certified(systems::Context& context) {
    std::vector<std::string> names;
    for (const std::string& domain : context.config.list("object.domains")) {
      names.push_back(domain);
      names.push_back("*." + domain);
    }
    io::Certificate certificate = CO_TRY(co_await systems::port_certificate(context, "object", std::move(names)));
    co_return io::TlsContext::server(
        {.certificate_chain_pem = std::move(certificate.chain_pem), .private_key_pem = std::move(certificate.key_pem)});
  }

  Task<Result<systems::OpenPorts>> listen(systems::Context& context, std::shared_ptr<io::TlsContext> tls) {
    systems::OpenPorts ports;
    ports["s3"] = CO_TRY(co_await server_->start(context.listen.at("s3")));
    ports["s3_tls"] = CO_TRY(co_await server_->listen_tls(context.listen.at("s3_tls"), std::move(tls)));
    co_return ports;
  }

  base::SystemRandom random_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Admin> admin_;
  std::unique_ptr<ConsoleApi> console_;
};

}  // namespace

std::unique_ptr<systems::System> make_system() {
  return std::make_unique<ObjectSystem>();
}

}  // namespace polis::object
