// What one order costs on its way in: found in the stream, taken apart, validated; and a report on its way out.
#include <benchmark/benchmark.h>

#include "systems/exchange/fix/fix_test_support.h"
#include "systems/exchange/fix/session.h"

namespace polis::exchange::fix {
namespace {

const std::string kOrderText =
    "35=D|34=2|49=BRK1|52=20240102-09:30:00.000|56=POLIS|11=a1|38=2700|40=2|44=100.10|54=1|55=ABC|59=3|"
    "60=20240102-09:30:00.000|";

void parse_order(benchmark::State& state) {
  const std::string frame = test::whole(kOrderText);
  Message message;
  for (auto _ : state) benchmark::DoNotOptimize(message.parse(frame));
}
BENCHMARK(parse_order);

void frame_and_parse_order(benchmark::State& state) {
  const std::string frame = test::whole(kOrderText);
  Framer framer;
  Message message;
  for (auto _ : state) {
    std::copy_n(frame.data(), frame.size(), framer.room().data());
    framer.filled(frame.size());
    framer.next();
    benchmark::DoNotOptimize(message.parse(framer.frame()));
  }
}
BENCHMARK(frame_and_parse_order);

void validate_order(benchmark::State& state) {
  const std::string frame = test::whole(kOrderText);
  Message message;
  message.parse(frame);
  for (auto _ : state) benchmark::DoNotOptimize(validate(message));
}
BENCHMARK(validate_order);

class Nobody : public SessionHost {
  void on_logon(const Message&) override { session->accept_logon(now); }
  void on_message(const Message&, uint32_t) override {}
  void on_resend(uint32_t, uint32_t) override {}
  void on_reset() override {}
  void on_administrative(uint32_t) override {}

 public:
  Moment now{1'704'187'800'000'000'000, 1};
  Session* session = nullptr;
};

void send_report(benchmark::State& state) {
  Nobody host;
  Session session({.our_comp_id = "POLIS", .their_comp_id = "BRK1"}, 1, 1, host);
  host.session = &session;
  session.connected(host.now);
  Message logon;
  const std::string frame = test::whole("35=A|34=1|49=BRK1|52=20240102-09:30:00.000|56=POLIS|98=0|108=30|");
  logon.parse(frame);
  session.received(host.now, logon);
  FieldWriter body;
  for (auto _ : state) {
    body.clear();
    body.decimal(6, 10010, 2);
    body.text(11, "a1");
    body.number(14, 200);
    body.number(17, 4711);
    body.decimal(31, 10010, 2);
    body.number(32, 200);
    body.number(37, 815);
    body.number(38, 2700);
    body.character(39, '1');
    body.character(54, '1');
    body.text(55, "ABC");
    body.time(60, host.now.wall);
    body.character(150, 'F');
    body.number(151, 2500);
    session.send("8", host.now.wall, body.view(), host.now);
    if (session.output().size() > 60'000) session.output().clear();
  }
}
BENCHMARK(send_report);

}  // namespace
}  // namespace polis::exchange::fix
