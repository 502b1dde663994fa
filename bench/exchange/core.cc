// What the core of the venue can do, without sockets and disks: matching alone, risk and matching together, and the
// control of map_book.h on the same work. Prints one JSON object a line for bench/exchange.py.
//
//     exchange_core saturated [STEPS]             million steps a second, mixed load and inserts, each in turn
//     exchange_core growth [MOST]                 ns a step with 10^3 .. MOST resting orders
//     exchange_core open RATE constant|poisson [SAMPLES]   latency of risk and matching at so many steps a second
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>

#include "exchange/map_book.h"
#include "exchange/open_loop.h"
#include "exchange/venue_load.h"

namespace polis::bench {
namespace {

using exchange::Events;
using exchange::Matching;

constexpr size_t kOrdersMax = 1'000'000;

double seconds(auto work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void say(std::string_view what, std::string_view by, double steps, double took) {
  fmt::print("{{\"what\": \"{}\", \"by\": \"{}\", \"steps\": {:.0f}, \"seconds\": {:.6f}}}\n", what, by, steps, took);
  std::fflush(stdout);
}

struct PlainBook {
  explicit PlainBook(const exchange::InstrumentRules& rules) : book(rules) {
    events.reserve(4096);
    book.populate(rules.orders_max);
    book.set_phase(1, exchange::Phase::kContinuous, events);
  }
  void run(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      events.clear();
      apply(book, step, 1, events);
    }
  }
  // As an engine does that sees what lies ahead in its queue.
  void run_looking_ahead(const std::vector<Step>& steps) {
    for (size_t i = 0; i < steps.size(); ++i) {
      if (i + 12 < steps.size()) book.prefetch(steps[i + 12].order);
      if (i + 6 < steps.size()) book.prefetch_neighbours(steps[i + 6].order);
      events.clear();
      apply(book, steps[i], 1, events);
    }
  }
  Matching book;
  Events events;
};

void saturated(size_t count) {
  const MixedLoad load;
  const Tape tape = TapeMaker(load, 7).make(count);
  const VenueTape requests = venue_tape(load, tape, kOrdersMax);
  const std::vector<Step> adds = inserts(count, 1);
  fmt::print("{{\"what\": \"load\", \"trading_share\": {:.4f}, \"resting\": {}, \"levels\": {}}}\n",
             static_cast<double>(tape.steps_that_trade) / static_cast<double>(count), tape.resting_at_end,
             tape.levels_at_end);
  for (int round = 0; round < 5; ++round) {
    {
      LoadedVenue venue(load, kOrdersMax);
      for (const exchange::Request& request : requests.fill) venue.send(request);
      say("mixed", "risk and matching", static_cast<double>(count), seconds([&] {
            for (const exchange::Request& request : requests.steps) venue.send(request);
          }));
    }
    {
      LoadedVenue venue(load, kOrdersMax);
      for (const exchange::Request& request : requests.fill) venue.send(request);
      say("mixed", "risk and matching, looking ahead in the queue", static_cast<double>(count),
          seconds([&] { venue.send_looking_ahead(requests.steps); }));
    }
    {
      PlainBook book(rules_for(load.resting));
      book.run(tape.fill);
      say("mixed", "matching", static_cast<double>(count), seconds([&] { book.run(tape.steps); }));
    }
    {
      MapBook book;
      MapBook::Fills fills;
      for (const Step& step : tape.fill) book.apply(step, fills);
      say("mixed", "map book", static_cast<double>(count), seconds([&] {
            for (const Step& step : tape.steps) {
              fills.clear();
              book.apply(step, fills);
            }
          }));
    }
    {
      PlainBook book({.id = 1, .orders_max = count + 1});
      say("inserts", "matching", static_cast<double>(count), seconds([&] { book.run(adds); }));
    }
    {
      MapBook book;
      MapBook::Fills fills;
      say("inserts", "map book", static_cast<double>(count), seconds([&] {
            for (const Step& step : adds) {
              fills.clear();
              book.apply(step, fills);
            }
          }));
    }
  }
}

void growth(size_t most) {
  constexpr size_t kSteps = 500'000;
  for (size_t resting = 1000; resting <= most; resting *= 10) {
    const Tape tape = TapeMaker({.resting = resting}, 7).make(kSteps);
    for (int round = 0; round < 3; ++round) {
      PlainBook book(rules_for(resting));
      book.run(tape.fill);
      const std::string one = fmt::format("{}", resting);
      // Half of the tape each way, in turns of a tenth.
      double alone = 0, ahead = 0;
      for (size_t part = 0; part < 10; ++part) {
        const auto begin = tape.steps.begin() + static_cast<ptrdiff_t>(part * kSteps / 10);
        const std::vector<Step> steps(begin, begin + static_cast<ptrdiff_t>(kSteps / 10));
        (part % 2 == 0 ? alone : ahead) +=
            seconds([&] { part % 2 == 0 ? book.run(steps) : book.run_looking_ahead(steps); });
      }
      say("growth " + one, "one by one", kSteps / 2, alone);
      say("growth " + one, "looking ahead", kSteps / 2, ahead);
    }
  }
}

void say_percentiles(std::string_view name, const base::Histogram& of) {
  fmt::print("\"{}\": {{\"p50\": {}, \"p99\": {}, \"p99.9\": {}, \"p99.99\": {}, \"max\": {}}}", name,
             of.percentile(50), of.percentile(99), of.percentile(99.9), of.percentile(99.99), of.max());
}

void open(double rate, Arrivals arrivals, size_t samples) {
  const MixedLoad load;
  const size_t warm_up = std::min<size_t>(1'000'000, samples);
  const Tape tape = TapeMaker(load, 7).make(warm_up + samples);
  const VenueTape requests = venue_tape(load, tape, kOrdersMax);
  for (int round = 0; round < 5; ++round) {
    LoadedVenue venue(load, kOrdersMax);
    for (const exchange::Request& request : requests.fill) venue.send(request);
    const std::vector<uint64_t> due = schedule(arrivals, requests.steps.size(), rate, static_cast<uint64_t>(round) + 1);
    const OpenLoop result = open_loop(due, warm_up, [&](size_t i) { venue.send(requests.steps[i]); });
    fmt::print("{{\"what\": \"open\", \"rate\": {:.0f}, \"arrivals\": \"{}\", \"done\": {:.0f}, ", rate,
               arrivals == Arrivals::kConstant ? "constant" : "poisson", static_cast<double>(samples) / result.seconds);
    say_percentiles("latency", result.latency);
    fmt::print(", ");
    say_percentiles("control", result.control);
    fmt::print("}}\n");
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace polis::bench

int main(int argc, char** argv) {
  using namespace polis::bench;
  const std::string_view what = argc > 1 ? argv[1] : "";
  const auto number = [&](int at, double otherwise) { return argc > at ? std::strtod(argv[at], nullptr) : otherwise; };
  if (what == "saturated") {
    saturated(static_cast<size_t>(number(2, 1e6)));
  } else if (what == "growth") {
    growth(static_cast<size_t>(number(2, 1e7)));
  } else if (what == "open" && argc > 3) {
    open(number(2, 1e6), std::strcmp(argv[3], "poisson") == 0 ? Arrivals::kPoisson : Arrivals::kConstant,
         static_cast<size_t>(number(4, 2e6)));
  } else {
    fmt::print(stderr,
               "usage: exchange_core saturated [STEPS] | growth [MOST] | open RATE constant|poisson [SAMPLES]\n");
    return 2;
  }
  return 0;
}
