// What one order costs at the door, apart from sockets and the venue: 35=D taken apart and understood, 35=8 written.
#include <algorithm>
#include <benchmark/benchmark.h>
#include <string>

#include "systems/exchange/fix/session.h"
#include "systems/exchange/fix/validator.h"
#include "systems/exchange/gateway/execution_report.h"
#include "systems/exchange/gateway/order_entry.h"

namespace polis::exchange::gateway {
namespace {

Definitions bench_definitions() {
  Definitions known;
  InstrumentDefinition instrument;
  instrument.id = 1;
  instrument.symbol = Symbol("ABC");
  instrument.tick = {1, -2};
  instrument.lot = {1, 0};
  known.put(instrument);
  known.put(AccountDefinition{.id = 2, .name = Name("A7")});
  return known;
}

std::string bench_order() {
  std::string inside =
      "35=D|34=2|49=BRK1|52=20240102-09:30:00.000|56=POLIS|11=1234567890|38=2700|40=2|44=100.11|54=1|55=ABC|59=1|"
      "60=20240102-09:30:00.000|";
  std::string frame = "8=FIX.4.4|9=" + std::to_string(inside.size()) + "|" + inside;
  std::replace(frame.begin(), frame.end(), '|', fix::kSeparator);
  unsigned sum = 0;
  for (char c : frame) sum += static_cast<uint8_t>(c);
  const std::string digits = std::to_string(sum % 256);
  return frame + "10=" + std::string(3 - digits.size(), '0') + digits + fix::kSeparator;
}

SessionDefinition bench_session() {
  SessionDefinition session;
  session.id = 1;
  session.account = 2;
  return session;
}

void parse(benchmark::State& state) {
  const std::string frame = bench_order();
  fix::Message message;
  for (auto _ : state) benchmark::DoNotOptimize(message.parse(frame));
}
BENCHMARK(parse);

void validate(benchmark::State& state) {
  const std::string frame = bench_order();
  fix::Message message;
  message.parse(frame);
  for (auto _ : state) benchmark::DoNotOptimize(fix::validate(message));
}
BENCHMARK(validate);

void understand(benchmark::State& state) {
  const std::string frame = bench_order();
  const Definitions definitions = bench_definitions();
  const SessionDefinition session = bench_session();
  fix::Message message;
  message.parse(frame);
  Request request;
  for (auto _ : state) {
    benchmark::DoNotOptimize(order_entry(message, session, 2, definitions, request));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(understand);

Report bench_report() {
  Report report;
  report.kind = ReportKind::kTrade;
  report.status = OrderStatus::kPartiallyFilled;
  report.session = 1;
  report.account = 2;
  report.instrument = 1;
  report.order = 4294967299;
  report.price = 10011;
  report.quantity = 2700;
  report.filled = 700;
  report.left = 2000;
  report.last_price = 10010;
  report.last_quantity = 700;
  report.notional = 200 * 10010 + 500 * 10011;
  report.match = 77;
  report.client_id = ClientOrderId("1234567890");
  return report;
}

void write_fill(benchmark::State& state) {
  const Definitions definitions = bench_definitions();
  const Report report = bench_report();
  fix::FieldWriter body;
  VenueTime now = 1'704'188'100'000'000'000;
  for (auto _ : state) benchmark::DoNotOptimize(write_report(123456, now += 10'000, report, definitions, body));
}
BENCHMARK(write_fill);

class Nobody final : public fix::SessionHost {
  void on_logon(const fix::Message&) override {}
  void on_message(const fix::Message&, uint32_t) override {}
  void on_resend(uint32_t, uint32_t) override {}
  void on_reset() override {}
  void on_administrative(uint32_t) override {}
};

void frame_fill(benchmark::State& state) {
  const Definitions definitions = bench_definitions();
  const Report report = bench_report();
  fix::FieldWriter body;
  write_report(123456, 1'704'188'100'000'000'000, report, definitions, body);
  Nobody host;
  fix::SessionConfig config;
  config.our_comp_id = "POLIS";
  config.their_comp_id = "BRK1";
  config.sending_time_tolerance = INT64_MAX / 4;
  fix::Session session(config, 1, 1, host);
  fix::Moment now{1'704'188'100'000'000'000, 0};
  session.connected(now);
  std::string logon = "35=A|34=1|49=BRK1|52=20240102-09:35:00.000|56=POLIS|98=0|108=30|";
  std::string frame = "8=FIX.4.4|9=" + std::to_string(logon.size()) + "|" + logon;
  std::replace(frame.begin(), frame.end(), '|', fix::kSeparator);
  unsigned sum = 0;
  for (char c : frame) sum += static_cast<uint8_t>(c);
  const std::string digits = std::to_string(sum % 256);
  frame += "10=" + std::string(3 - digits.size(), '0') + digits + fix::kSeparator;
  fix::Message message;
  if (!message.parse(frame)) return state.SkipWithError("the Logon is wrong");
  session.received(now, message);
  session.accept_logon(now);
  if (!session.logged_on()) return state.SkipWithError("not logged on");
  for (auto _ : state) {
    session.send("8", now.wall += 10'000, body.view(), now);
    if (session.output().size() > 100'000) session.output().clear();
  }
}
BENCHMARK(frame_fill);

}  // namespace
}  // namespace polis::exchange::gateway
