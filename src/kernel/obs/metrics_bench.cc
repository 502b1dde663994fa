// What instrumentation costs the code that it watches.
#include <benchmark/benchmark.h>

#include "kernel/obs/log.h"
#include "kernel/obs/metrics.h"
#include "kernel/obs/trace.h"

namespace polis::obs {
namespace {

void counter_add(benchmark::State& state) {
  static Counter counter;
  for (auto _ : state) counter.add();
}
BENCHMARK(counter_add)->Threads(1)->Threads(2);

void gauge_add(benchmark::State& state) {
  static Gauge gauge;
  for (auto _ : state) gauge.add(1);
}
BENCHMARK(gauge_add)->Threads(1)->Threads(2);

void histogram_observe(benchmark::State& state) {
  static BucketHistogram histogram(latency_bounds_seconds());
  for (auto _ : state) histogram.observe(0.003);
}
BENCHMARK(histogram_observe)->Threads(1)->Threads(2);

void log_below_level(benchmark::State& state) {
  for (auto _ : state) log_debug("event", {{"n", 1}});
}
BENCHMARK(log_below_level);

void span_recorded(benchmark::State& state) {
  base::SystemClock clock;
  base::SystemRandom random;
  Tracer tracer(clock, random, {});
  for (auto _ : state) tracer.start_request("", "request").attribute("n", 1);
}
BENCHMARK(span_recorded);

void span_not_sampled(benchmark::State& state) {
  base::SystemClock clock;
  base::SystemRandom random;
  Tracer tracer(clock, random, {.sample_one_in = 0});
  for (auto _ : state) benchmark::DoNotOptimize(tracer.start_request("", "request"));
}
BENCHMARK(span_not_sampled);

void scrape_of_1000_series(benchmark::State& state) {
  Registry registry;
  for (int i = 0; i < 1000; ++i) registry.counter("requests", "Requests.", {{"i", std::to_string(i)}}).add();
  for (auto _ : state) benchmark::DoNotOptimize(render(registry.snapshot(), Exposition::kPrometheus));
}
BENCHMARK(scrape_of_1000_series);

}  // namespace
}  // namespace polis::obs
