// The venue's FIX gateway for fix_load, with the whole way behind it: fused loop, order manager, book, bus, journal,
// shadow.
//
//     fix_server DIR bus|disk        on any free port of 127.0.0.1, which it prints; until standard input ends
#include <cstdio>
#include <string_view>
#include <unistd.h>

#include "kernel/base/random.h"
#include "kernel/io/file.h"
#include "kernel/store/rocks_store.h"
#include "systems/exchange/gateway/gateway.h"
#include "systems/exchange/venue/venue_test_support.h"

namespace polis::exchange {
namespace {

namespace make = testing_venue;

Task<Result<void>> define(VenueRuntime& venue, Request request) {
  const Report report = CO_TRY(co_await venue.ask(request));
  if (report.refusal != Refusal::kNone) co_return fail(Code::kInvalid, std::string(refusal_text(report.refusal)));
  co_return {};
}

Task<Result<void>> serve(std::string directory, AckMode ack) {
  base::SystemClock clock;
  base::SystemRandom random;
  const auto disk = io::make_system_disk();
  auto store = CO_TRY(store::RocksStore::open({.directory = directory + "/store"}));
  RuntimeOptions options;
  options.journal_directory = directory + "/journal";
  options.snapshot_directory = directory + "/snapshot";
  options.bus_path = directory + "/exchange.bus";
  options.limits = {
      .assets_max = 4, .instruments_max = 4, .accounts_max = 16, .sessions_max = 16, .orders_max = 10'000'000};
  options.threads = ThreadMode::kFused;
  options.ack = ack;
  auto venue = CO_TRY(co_await VenueRuntime::open(*disk, clock, random, options, {}, {}));
  auto door =
      CO_TRY(co_await gateway::Gateway::open({.venue = *venue, .store = *store, .clock = clock, .random = random}, {},
                                             std::make_unique<gateway::RecentReports>(nullptr)));
  CO_TRY(co_await define(*venue, make::asset(1, "ABC", 0)));
  CO_TRY(co_await define(*venue, make::asset(2, "USD", 2)));
  CO_TRY(co_await define(*venue, make::instrument(make::shares(1, "ABC", 1, 2))));
  CO_TRY(co_await define(*venue, make::account(2, "A7")));
  Request session = make::session(1, "BRK1", 2);
  session.body.session.rate_per_second = 0;
  CO_TRY(co_await define(*venue, session));
  RiskLimits limits;
  limits.open_orders_max = 0;
  limits.rate_per_second = 0;
  CO_TRY(co_await define(*venue, make::risk(2, limits)));
  CO_TRY(co_await define(*venue, make::deposit(2, 2, int64_t{1} << 55, 1)));
  CO_TRY(co_await define(*venue, make::phase(1, Phase::kContinuous)));
  const uint16_t port = CO_TRY(co_await door->listen({.address = "127.0.0.1", .port = 0}, {}));
  std::printf("%u\n", port);
  std::fflush(stdout);
  co_await io::blocking([] {
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
  });
  co_await door->drain(std::chrono::seconds(1));
  auto closed = co_await venue->close();
  door.reset();
  venue.reset();
  CO_TRY(co_await store->close());
  co_return closed;
}

}  // namespace
}  // namespace polis::exchange

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto ack =
      std::string_view(argv[2]) == "disk" ? polis::exchange::AckMode::kDisk : polis::exchange::AckMode::kBus;
  polis::io::Runtime runtime({.shards = 1});
  runtime.start();
  auto outcome = runtime.call(0, [&] { return polis::exchange::serve(argv[1], ack); });
  if (!outcome) std::fprintf(stderr, "%s\n", outcome.error().text().c_str());
  return outcome ? 0 : 1;
}
