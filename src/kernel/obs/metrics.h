// Metrics: counters, gauges and histograms that cost a few nanoseconds to change, and their rendering for Prometheus.
//
// A Registry owns its metrics; what it returns lives as long as it does and may be changed from any thread. Each thread
// adds to a cell of its own, without a lock and without a shared cache line; a scrape sums the cells. Registering takes
// a lock: do it at start, or once per label value, never per request.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"

namespace polis::obs {

using Labels = std::vector<std::pair<std::string, std::string>>;

namespace detail {

// Which cell of every metric this thread uses. Threads below cell_count() - 1 own theirs alone; the rest share the
// last.
struct Cell {
  uint32_t index;
  bool shared;
};
Cell this_thread_cell();
// As many as there are processors, a few for other threads, at most 64.
uint32_t cell_count();

template <class T>
inline void add_to(std::atomic<T>& target, T by, bool shared) {
  if (shared) [[unlikely]]
    target.fetch_add(by, std::memory_order_relaxed);
  else  // The only writer: no locked instruction is needed.
    target.store(target.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

inline constexpr size_t kCacheLineBytes = 64;

}  // namespace detail

// Only rises.
class Counter {
 public:
  Counter();
  void add(uint64_t by = 1) {
    detail::Cell cell = detail::this_thread_cell();
    detail::add_to(cells_[cell.index].value, by, cell.shared);
  }
  uint64_t value() const;

 private:
  struct alignas(detail::kCacheLineBytes) Padded {
    std::atomic<uint64_t> value{0};
  };
  std::unique_ptr<Padded[]> cells_;
};

// Rises and falls. set() is one store; add() one locked instruction on a line that all threads share.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Counts of values up to fixed bounds, in base units (seconds, bytes). For exact percentiles see base::Histogram.
class BucketHistogram {
 public:
  struct Snapshot {
    std::vector<double> bounds;    // rising, without the last, which is infinite
    std::vector<uint64_t> counts;  // one more than bounds; not cumulative
    double sum = 0;
    uint64_t count = 0;
    // The value below which the share `quantile` (0..1) lies, by linear interpolation inside its bucket, as Prometheus
    // does it. 0 when empty; the last bound when it lies beyond.
    double quantile(double quantile) const;
  };

  // `bounds` rise strictly, 1..64 of them.
  explicit BucketHistogram(std::vector<double> bounds);
  void observe(double value);
  // In seconds.
  void observe(Duration duration) { observe(std::chrono::duration<double>(duration).count()); }
  // Not one instant: values observed meanwhile may be in or out.
  Snapshot snapshot() const;

 private:
  std::atomic<uint64_t>* counts_of(uint32_t cell) const { return counts_.get() + cell * stride_; }

  std::vector<double> bounds_;
  size_t stride_;  // counters of a cell, rounded up to whole cache lines
  std::unique_ptr<std::atomic<uint64_t>[]> counts_;
  struct alignas(detail::kCacheLineBytes) PaddedSum {
    std::atomic<double> value{0};
  };
  std::unique_ptr<PaddedSum[]> sums_;
};

// 50 µs .. 10 s in steps of about 2 and 2.5: from a reply out of memory to a client's patience.
std::vector<double> latency_bounds_seconds();
// 64 B .. 64 MiB by factors of 4.
std::vector<double> size_bounds_bytes();

enum class MetricType : uint8_t { kCounter, kGauge, kHistogram };

class Registry {
 public:
  // Series beyond this many share one with the label overflow="true": label values that clients choose must not eat the
  // memory.
  static constexpr size_t kSeriesMax = 10'000;

  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The metric of that name and those labels, made on the first call. Names are [a-zA-Z_:][a-zA-Z0-9_:]* with the unit
  // last and without "_total", which counters get when rendered: "polis_object_requests", "polis_object_put_seconds".
  // Label names are [a-zA-Z_][a-zA-Z0-9_]*. A malformed name, or one name with two types, is a broken invariant.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  BucketHistogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                             Labels labels = {});

  // A value that is read at each scrape, on the scraping thread; what `read` refers to outlives the returned handle,
  // whose end removes the series. A second one of the same name and labels replaces the first.
  class [[nodiscard]] Observed {
   public:
    Observed() = default;
    ~Observed() { remove(); }
    Observed(Observed&& other) noexcept
        : registry_(std::exchange(other.registry_, nullptr)), name_(std::move(other.name_)), number_(other.number_) {}
    Observed& operator=(Observed&& other) noexcept;
    void remove();

   private:
    friend class Registry;
    Observed(Registry& registry, std::string name, uint64_t number)
        : registry_(&registry), name_(std::move(name)), number_(number) {}
    Registry* registry_ = nullptr;
    std::string name_;
    uint64_t number_ = 0;
  };
  Observed observe_gauge(std::string_view name, std::string_view help, Labels labels, std::function<double()> read);
  Observed observe_counter(std::string_view name, std::string_view help, Labels labels, std::function<double()> read);

  // Everything, sorted by name and labels; for rendering and for the console.
  struct Series {
    Labels labels;
    double value = 0;                     // counter, gauge
    BucketHistogram::Snapshot histogram;  // histogram
  };
  struct Family {
    std::string name;
    std::string help;
    MetricType type;
    std::vector<Series> series;
  };
  std::vector<Family> snapshot() const;

 private:
  struct State;
  Observed observe(MetricType type, std::string_view name, std::string_view help, Labels labels,
                   std::function<double()> read);
  std::unique_ptr<State> state_;
};

// Prometheus' text format 0.0.4, and OpenMetrics 1.0.
enum class Exposition : uint8_t { kPrometheus, kOpenMetrics };
std::string render(const std::vector<Registry::Family>& families, Exposition exposition);
// By a request's Accept header: OpenMetrics if it is named there with a weight above zero, else Prometheus.
Exposition choose_exposition(std::string_view accept);
std::string_view content_type(Exposition exposition);

// process_resident_memory_bytes, process_cpu_seconds, process_open_fds, process_max_fds, process_start_time_seconds,
// under the names that Prometheus' own clients use; from /proc/self, read at each scrape.
std::vector<Registry::Observed> observe_process(Registry& registry);

}  // namespace polis::obs
