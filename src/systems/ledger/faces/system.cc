#include "systems/ledger/faces/system.h"

#include <fmt/format.h>

#include "kernel/auth/directory.h"
#include "kernel/base/config.h"
#include "kernel/base/random.h"
#include "kernel/store/store.h"
#include "systems/certificate.h"
#include "systems/ledger/faces/commands.h"
#include "systems/ledger/faces/console_api.h"
#include "systems/ledger/faces/face.h"
#include "systems/ledger/faces/tour.h"
#include "systems/ledger/service.h"
#include "systems/ledger/tigerbeetle/server.h"
#include "systems/offers.h"

namespace polis::ledger {
namespace {

constexpr std::string_view kPort = "tigerbeetle";
constexpr std::string_view kTlsPort = "tigerbeetle_tls";
// Requests under way may end so long; a stop has 4 s in all.
constexpr Duration kDrain = std::chrono::seconds(2);

class LedgerSystem final : public systems::System {
 public:
  std::string_view name() const override { return "ledger"; }
  std::string_view summary() const override { return "double-entry ledger, hash-chained, for TigerBeetle clients"; }
  std::vector<systems::Port> ports() const override {
    return {{.name = std::string(kPort), .port = 3000, .what = "TigerBeetle clients", .authenticated = false},
            {.name = std::string(kTlsPort),
             .port = 3001,
             .what = "TigerBeetle clients over mutual TLS, if ledger.tls_certificate is set"}};
  }
  systems::Placement placement() const override { return systems::Placement::kOneShard; }
  systems::ConsolePage console_page() const override { return {.id = "ledger", .title = "Ledger", .group = "money"}; }

  void declare_options(base::ConfigSchema& schema) const override {
    const ServiceOptions service;
    schema.add_size("ledger.snapshot_every", service.snapshot_every_bytes, {int64_t{1} << 20, int64_t{1} << 40},
                    "A snapshot is made after so many bytes of journal; a start replays at most about so many.");
    schema.add_size("ledger.journal_segment", service.segment_size_bytes, {int64_t{1} << 20, int64_t{1} << 34},
                    "Size of a journal file. The newest one is read whole at a start.");
    schema.add_size("ledger.journal_buffer", service.journal_buffer_bytes_max, {int64_t{2} << 20, int64_t{1} << 34},
                    "Memory for commands on their way to the disk; beyond it clients wait.");
    schema.add_size("ledger.history_backlog", service.chunk_backlog_bytes_max, {int64_t{64} << 20, int64_t{1} << 40},
                    "Memory for history on its way to the disk; beyond it clients wait.");
    schema.add_text("ledger.witness_file", "",
                    "Signed heads of the chain are appended to this file, one a second of change; best on another "
                    "machine's file system.");
    schema.add_text("ledger.cluster", "0", "Cluster number that TigerBeetle clients must name.");
    schema.add_text("ledger.tls_certificate", "", "Certificate chain for port 3001, a PEM file; empty: no such port.");
    schema.add_text("ledger.tls_key", "", "Its private key, a PEM file.");
    schema.add_text("ledger.tls_client_authorities", "",
                    "Authorities whose client certificates are taken, a PEM file. The certificate's common name is the "
                    "user whose rights hold.");
  }

  std::vector<systems::Command> commands() const override { return ledger::commands(); }

  Task<Result<systems::OpenPorts>> start(systems::Context& context) override {
    auto ports = co_await open(context);
    if (!ports) co_await stop();
    co_return ports;
  }

  Task<void> stop() override {
    if (server_) co_await server_->drain(kDrain);
    server_.reset();
    if (offers_) offers_->withdraw<Ledger>();
    offers_ = nullptr;
    if (console_) co_await console_->stop();
    console_.reset();
    if (face_) co_await face_->stop();
    face_.reset();
    if (service_) (void)co_await service_->close();  // a failed journal has told health() already
    service_.reset();
  }

  systems::Health health() const override {
    if (!service_) return {};
    LedgerService::Condition condition = service_->condition();
    systems::Health health{.message = std::move(condition.message)};
    if (condition.degraded) health.state = systems::HealthState::kDegraded;
    if (condition.failed) health.state = systems::HealthState::kFailed;
    return health;
  }

  Task<Result<void>> tour(systems::Tour& tour) const override { co_return co_await take_tour(tour); }

 private:
  Task<Result<systems::OpenPorts>> open(systems::Context& context) {
    const base::Config& config = context.config;
    tigerbeetle::ServerOptions protocol{.metrics = &context.metrics};
    protocol.cluster = CO_TRY(parse_decimal(config.text("ledger.cluster")));
    tigerbeetle::Door door;
    if (!config.text("ledger.tls_certificate").empty()) door = CO_TRY(co_await secure_door(context));

    ServiceOptions options{.data_directory = context.data_directory,
                           .segment_size_bytes = config.size_bytes("ledger.journal_segment"),
                           .journal_buffer_bytes_max = config.size_bytes("ledger.journal_buffer"),
                           .snapshot_every_bytes = config.size_bytes("ledger.snapshot_every"),
                           .chunk_backlog_bytes_max = config.size_bytes("ledger.history_backlog"),
                           .witness_file = config.text("ledger.witness_file"),
                           .metrics = &context.metrics};
    // The last shard: with two or more, the sockets of the first share the work with the engine.
    io::Shard& shard = context.runtime.shard(context.runtime.size() - 1);
    service_ = CO_TRY(co_await io::on(
        shard, [&] { return LedgerService::open(context.disk, context.clock, context.random, options); }));
    context.offers.offer<Ledger>(*service_);
    offers_ = &context.offers;

    const store::Keyspace rows = CO_TRY(context.store.keyspace("ledger"));
    const store::Keyspace lab = CO_TRY(context.store.keyspace("ledger_lab"));
    face_ = std::make_unique<Face>(
        FaceParts{.ledger = *service_, .store = context.store, .rows = rows, .clock = context.clock});
    CO_TRY(co_await face_->start());
    face_->mount(context.api);
    console_ = std::make_unique<ConsoleApi>(ConsoleParts{.ledger = *service_,
                                                         .store = context.store,
                                                         .lab = lab,
                                                         .clock = context.clock,
                                                         .random = random_,
                                                         .names = &face_->names()});
    CO_TRY(co_await console_->start());
    console_->mount(context.api);
    CO_TRY(console_->declare_topics(context.live));

    server_ = std::make_unique<tigerbeetle::Server>(context.runtime, *service_, std::move(protocol));
    systems::OpenPorts ports;
    ports[std::string(kPort)] = CO_TRY(co_await server_->listen(context.listen.at(std::string(kPort))));
    if (door.tls)
      ports[std::string(kTlsPort)] =
          CO_TRY(co_await server_->listen(context.listen.at(std::string(kTlsPort)), std::move(door)));
    co_return ports;
  }

  // Certificates of port 3001, and whose rights a client has.
  static Task<Result<tigerbeetle::Door>> secure_door(systems::Context& context) {
    io::TlsContext::ServerOptions tls{.protocols = {}};
    tls.certificate_chain_pem = CO_TRY(co_await pem(context, "ledger.tls_certificate"));
    tls.private_key_pem = CO_TRY(co_await pem(context, "ledger.tls_key"));
    tls.client_authorities_pem = CO_TRY(co_await pem(context, "ledger.tls_client_authorities"));
    tigerbeetle::Door door{.tls = CO_TRY(io::TlsContext::server(tls))};
    door.identify = [&auth = context.auth](std::string name) { return auth.authenticate_certificate(std::move(name)); };
    co_return door;
  }

  static Task<Result<std::string>> pem(systems::Context& context, std::string option) {
    std::string content = CO_TRY(co_await systems::pem_of_option(context, option));
    if (content.empty())
      co_return fail(Code::kInvalid, option +
                                         " is empty: port 3001 needs a certificate, its key and the authorities of "
                                         "its clients");
    co_return content;
  }

  base::SystemRandom random_;
  std::unique_ptr<LedgerService> service_;
  systems::Offers* offers_ = nullptr;  // while service_ is offered
  std::unique_ptr<Face> face_;
  std::unique_ptr<ConsoleApi> console_;
  std::unique_ptr<tigerbeetle::Server> server_;
};

}  // namespace

std::unique_ptr<systems::System> make_system() {
  return std::make_unique<LedgerSystem>();
}

}  // namespace polis::ledger
