#include "kernel/obs/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <thread>

namespace polis::obs {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, a_counter_sums_what_all_threads_added) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 20; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) counter.add();
    });
  for (std::thread& thread : threads) thread.join();
  counter.add(5);
  EXPECT_EQ(counter.value(), 200'005u);
}

TEST(Metrics, threads_beyond_the_cells_share_one_and_lose_nothing) {
  Counter counter;
  BucketHistogram histogram({1, 2});
  std::vector<std::thread> threads;
  std::atomic<unsigned> waiting{0};
  unsigned count = detail::cell_count() + 8;
  for (unsigned t = 0; t < count; ++t)
    threads.emplace_back([&] {
      counter.add();  // Takes the cell, then holds it until all threads are here.
      ++waiting;
      while (waiting.load() < count) std::this_thread::yield();
      for (int i = 0; i < 2'000; ++i) {
        counter.add();
        histogram.observe(1.5);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), count * 2'001u);
  EXPECT_EQ(histogram.snapshot().count, count * 2'000u);
  EXPECT_DOUBLE_EQ(histogram.snapshot().sum, count * 3'000.0);
}

TEST(Metrics, a_histogram_counts_up_to_and_including_a_bound) {
  BucketHistogram histogram({1, 2, 5});
  for (double value : {-3.0, 1.0, 1.5, 2.0, 5.0, 6.0, std::numeric_limits<double>::infinity()})
    histogram.observe(value);
  histogram.observe(std::numeric_limits<double>::quiet_NaN());
  BucketHistogram::Snapshot snapshot = histogram.snapshot();
  EXPECT_THAT(snapshot.counts, testing::ElementsAre(2, 2, 1, 2));
  EXPECT_EQ(snapshot.count, 7u);
  BucketHistogram times(latency_bounds_seconds());
  times.observe(std::chrono::milliseconds(1));
  EXPECT_DOUBLE_EQ(times.snapshot().sum, 0.001);
}

TEST(Metrics, quantiles_lie_inside_their_bucket) {
  BucketHistogram histogram({10, 20, 30});
  EXPECT_EQ(histogram.snapshot().quantile(0.5), 0);
  for (int i = 0; i < 10; ++i) histogram.observe(15);
  EXPECT_DOUBLE_EQ(histogram.snapshot().quantile(0.5), 15);
  EXPECT_DOUBLE_EQ(histogram.snapshot().quantile(1), 20);
  histogram.observe(1000);
  EXPECT_DOUBLE_EQ(histogram.snapshot().quantile(1), 30);
}

TEST(Registry, one_name_and_labels_in_any_order_are_one_metric) {
  Registry registry;
  Counter& one = registry.counter("requests", "Requests.", {{"system", "object"}, {"method", "GET"}});
  Counter& same = registry.counter("requests", "Requests.", {{"method", "GET"}, {"system", "object"}});
  Counter& other = registry.counter("requests", "Requests.", {{"system", "object"}, {"method", "PUT"}});
  EXPECT_EQ(&one, &same);
  EXPECT_NE(&one, &other);
}

TEST(Registry, both_expositions_are_as_their_specifications_write_them) {
  Registry registry;
  registry.counter("polis_requests", "Requests \"served\".", {{"method", "GET"}}).add(3);
  registry.gauge("polis_temperature", "A\\B\nC", {{"where", "in \"the\"\\rack\n1"}}).set(-1.5);
  BucketHistogram& histogram = registry.histogram("polis_put_seconds", "Puts.", {0.25, 1});
  histogram.observe(0.1);
  histogram.observe(0.5);
  histogram.observe(7.0);
  EXPECT_EQ(render(registry.snapshot(), Exposition::kPrometheus),
            "# HELP polis_put_seconds Puts.\n"
            "# TYPE polis_put_seconds histogram\n"
            "polis_put_seconds_bucket{le=\"0.25\"} 1\n"
            "polis_put_seconds_bucket{le=\"1\"} 2\n"
            "polis_put_seconds_bucket{le=\"+Inf\"} 3\n"
            "polis_put_seconds_sum 7.6\n"
            "polis_put_seconds_count 3\n"
            "# HELP polis_requests_total Requests \"served\".\n"
            "# TYPE polis_requests_total counter\n"
            "polis_requests_total{method=\"GET\"} 3\n"
            "# HELP polis_temperature A\\\\B\\nC\n"
            "# TYPE polis_temperature gauge\n"
            "polis_temperature{where=\"in \\\"the\\\"\\\\rack\\n1\"} -1.5\n");
  EXPECT_EQ(render(registry.snapshot(), Exposition::kOpenMetrics),
            "# HELP polis_put_seconds Puts.\n"
            "# TYPE polis_put_seconds histogram\n"
            "# UNIT polis_put_seconds seconds\n"
            "polis_put_seconds_bucket{le=\"0.25\"} 1\n"
            "polis_put_seconds_bucket{le=\"1.0\"} 2\n"
            "polis_put_seconds_bucket{le=\"+Inf\"} 3\n"
            "polis_put_seconds_sum 7.6\n"
            "polis_put_seconds_count 3\n"
            "# HELP polis_requests Requests \\\"served\\\".\n"
            "# TYPE polis_requests counter\n"
            "polis_requests_total{method=\"GET\"} 3\n"
            "# HELP polis_temperature A\\\\B\\nC\n"
            "# TYPE polis_temperature gauge\n"
            "polis_temperature{where=\"in \\\"the\\\"\\\\rack\\n1\"} -1.5\n"
            "# EOF\n");
}

TEST(Registry, extreme_numbers_are_written_without_loss) {
  Registry registry;
  registry.gauge("a", "").set(9'007'199'254'740'991.0);
  registry.gauge("b", "").set(std::numeric_limits<double>::quiet_NaN());
  registry.gauge("c", "").set(-std::numeric_limits<double>::infinity());
  registry.gauge("d", "").set(0.1 + 0.2);
  registry.gauge("e", "").set(1e300);
  std::string text = render(registry.snapshot(), Exposition::kPrometheus);
  for (const char* line : {"a 9007199254740991\n", "b NaN\n", "c -Inf\n", "d 0.30000000000000004\n", "e 1e+300\n"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_EQ(render({}, Exposition::kOpenMetrics), "# EOF\n");
}

TEST(Registry, an_observed_value_lives_as_long_as_its_handle) {
  Registry registry;
  double value = 1;
  {
    Registry::Observed observed = registry.observe_gauge("level", "", {{"a", "b"}}, [&] { return value; });
    value = 2;
    EXPECT_THAT(render(registry.snapshot(), Exposition::kPrometheus), HasSubstr("level{a=\"b\"} 2\n"));
    Registry::Observed replacement = registry.observe_gauge("level", "", {{"a", "b"}}, [] { return 7; });
    observed.remove();
    EXPECT_THAT(render(registry.snapshot(), Exposition::kPrometheus), HasSubstr("level{a=\"b\"} 7\n"));
    observed = std::move(replacement);
  }
  EXPECT_EQ(render(registry.snapshot(), Exposition::kPrometheus), "");
}

TEST(Registry, label_values_without_end_meet_in_one_overflow_series) {
  Registry registry;
  for (size_t i = 0; i < Registry::kSeriesMax + 50; ++i)
    registry.counter("c", "", {{"bucket", std::to_string(i)}}).add();
  std::vector<Registry::Family> families = registry.snapshot();
  EXPECT_EQ(families[0].series.size(), Registry::kSeriesMax + 1);
  EXPECT_THAT(render(families, Exposition::kPrometheus), HasSubstr("c_total{overflow=\"true\"} 50\n"));
}

TEST(Registry, the_process_is_measured) {
  Registry registry;
  auto observed = observe_process(registry);
  for (const Registry::Family& family : registry.snapshot()) EXPECT_GT(family.series[0].value, 0) << family.name;
  EXPECT_THAT(render(registry.snapshot(), Exposition::kPrometheus), HasSubstr("process_cpu_seconds_total "));
  EXPECT_THAT(render(registry.snapshot(), Exposition::kPrometheus), Not(HasSubstr("NaN")));
}

TEST(Registry, the_accept_header_chooses_the_exposition) {
  for (const char* accept :
       {"application/openmetrics-text", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4",
        "text/plain, application/openmetrics-text ; version=0.0.1"})
    EXPECT_EQ(choose_exposition(accept), Exposition::kOpenMetrics) << accept;
  for (const char* accept :
       {"", "*/*", "text/plain", "application/openmetrics-text;q=0", "application/openmetrics-text;q=0.000",
        "application/openmetrics-textual", "application/openmetrics-text;version=2.0.0", ";;,,"})
    EXPECT_EQ(choose_exposition(accept), Exposition::kPrometheus) << accept;
}

TEST(RegistryDeathTest, malformed_names_and_changed_types_end_the_process) {
  Registry registry;
  registry.counter("requests", "");
  EXPECT_DEATH(registry.gauge("requests", ""), "broken invariant");
  EXPECT_DEATH(registry.counter("requests_total", ""), "broken invariant");
  EXPECT_DEATH(registry.counter("1requests", ""), "broken invariant");
  EXPECT_DEATH(registry.counter("a", "", {{"le", "1"}}), "broken invariant");
  EXPECT_DEATH(registry.counter("a", "", {{"x", "1"}, {"x", "2"}}), "broken invariant");
  EXPECT_DEATH(registry.histogram("a", "", {2, 1}), "broken invariant");
}

}  // namespace
}  // namespace polis::obs
