#include "kernel/obs/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <mutex>
#include <thread>

namespace polis::obs {
namespace detail {
namespace {

constexpr uint32_t kCellsMax = 64;

// Hands out the cells that belong to one thread alone; a thread gives its own back when it ends. The mutex orders the
// last write of the old owner before the first of the new one.
class CellOwners {
 public:
  Cell take() {
    std::lock_guard lock(mutex_);
    for (uint32_t index = 0; index + 1 < cell_count(); ++index) {
      if (taken_ & uint64_t{1} << index) continue;
      taken_ |= uint64_t{1} << index;
      return {index, false};
    }
    return {cell_count() - 1, true};
  }
  void give(Cell cell) {
    if (cell.shared) return;
    std::lock_guard lock(mutex_);
    taken_ &= ~(uint64_t{1} << cell.index);
  }

 private:
  std::mutex mutex_;
  uint64_t taken_ = 0;
};

// Never destroyed: threads may end after static destructors have begun.
CellOwners& cell_owners() {
  static auto* const owners = new CellOwners;
  return *owners;
}

// Set once the thread's cell is given back: whatever else of the thread still counts then shares the last cell.
constinit thread_local bool thread_ending = false;

struct ThreadCell {
  Cell cell = cell_owners().take();
  ~ThreadCell() {
    thread_ending = true;
    cell_owners().give(cell);
  }
};

}  // namespace

uint32_t cell_count() {
  // A few beyond the shards: file pool, committer, log writer.
  static const uint32_t count = std::clamp(std::thread::hardware_concurrency() + 6, 8u, kCellsMax);
  return count;
}

Cell this_thread_cell() {
  if (thread_ending) [[unlikely]]
    return {cell_count() - 1, true};
  thread_local ThreadCell own;
  return own.cell;
}

}  // namespace detail

namespace {

bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool valid_label_name(std::string_view name) {
  return !name.empty() && letter(name[0]) &&
         std::ranges::all_of(name, [](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}
bool valid_metric_name(std::string_view name) {
  std::string without_colons(name);
  std::ranges::replace(without_colons, ':', '_');
  return valid_label_name(without_colons);
}

}  // namespace

Counter::Counter() : cells_(std::make_unique<Padded[]>(detail::cell_count())) {}

uint64_t Counter::value() const {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < detail::cell_count(); ++i) sum += cells_[i].value.load(std::memory_order_relaxed);
  return sum;
}

BucketHistogram::BucketHistogram(std::vector<double> bounds) : bounds_(std::move(bounds)) {
  POLIS_ASSERT(!bounds_.empty() && bounds_.size() <= 64);
  POLIS_ASSERT(std::ranges::adjacent_find(bounds_, std::greater_equal<>()) == bounds_.end());
  constexpr size_t kPerLine = detail::kCacheLineBytes / sizeof(uint64_t);
  stride_ = (bounds_.size() + 1 + kPerLine - 1) / kPerLine * kPerLine;
  counts_ = std::make_unique<std::atomic<uint64_t>[]>(stride_ * detail::cell_count());
  sums_ = std::make_unique<PaddedSum[]>(detail::cell_count());
}

void BucketHistogram::observe(double value) {
  if (std::isnan(value)) return;  // A NaN would poison the sum for ever.
  auto bucket = static_cast<size_t>(std::ranges::lower_bound(bounds_, value) - bounds_.begin());
  detail::Cell cell = detail::this_thread_cell();
  detail::add_to(counts_of(cell.index)[bucket], uint64_t{1}, cell.shared);
  detail::add_to(sums_[cell.index].value, value, cell.shared);
}

BucketHistogram::Snapshot BucketHistogram::snapshot() const {
  Snapshot snapshot{.bounds = bounds_, .counts = std::vector<uint64_t>(bounds_.size() + 1)};
  for (uint32_t cell = 0; cell < detail::cell_count(); ++cell) {
    for (size_t i = 0; i < snapshot.counts.size(); ++i)
      snapshot.counts[i] += counts_of(cell)[i].load(std::memory_order_relaxed);
    snapshot.sum += sums_[cell].value.load(std::memory_order_relaxed);
  }
  for (uint64_t count : snapshot.counts) snapshot.count += count;
  return snapshot;
}

double BucketHistogram::Snapshot::quantile(double share) const {
  if (count == 0) return 0;
  double rank = std::clamp(share, 0.0, 1.0) * static_cast<double>(count);
  double below = 0;
  for (size_t i = 0; i < bounds.size(); ++i) {
    auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= rank) {
      double low = i == 0 ? std::min(0.0, bounds[0]) : bounds[i - 1];
      return low + (bounds[i] - low) * std::max(0.0, rank - below) / here;
    }
    below += here;
  }
  return bounds.back();
}

std::vector<double> latency_bounds_seconds() {
  return {5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
}

std::vector<double> size_bounds_bytes() {
  std::vector<double> bounds;
  for (double bound = 64; bound <= 64.0 * 1024 * 1024; bound *= 4) bounds.push_back(bound);
  return bounds;
}

struct Registry::State {
  struct Metric {
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<BucketHistogram> histogram;
    std::function<double()> read;
    uint64_t read_number = 0;  // which observation this is
  };
  struct NamedFamily {
    std::string help;
    MetricType type;
    std::map<Labels, Metric> metrics;
  };

  mutable std::mutex mutex;
  std::map<std::string, NamedFamily, std::less<>> families;
  size_t series = 0;
  uint64_t last_observation = 0;

  Metric& find_or_add(std::string_view name, std::string_view help, MetricType type, Labels labels) {
    POLIS_ASSERT(valid_metric_name(name) && !name.ends_with("_total"));
    std::ranges::sort(labels);
    for (size_t i = 0; i < labels.size(); ++i) {
      POLIS_ASSERT(valid_label_name(labels[i].first) && labels[i].first != "le");
      POLIS_ASSERT(i == 0 || labels[i].first != labels[i - 1].first);
    }
    auto found = families.find(name);
    if (found == families.end())
      found = families.emplace(std::string(name), NamedFamily{std::string(help), type, {}}).first;
    NamedFamily& family = found->second;
    POLIS_ASSERT(family.type == type);
    if (auto metric = family.metrics.find(labels); metric != family.metrics.end()) return metric->second;
    if (series >= kSeriesMax) {
      labels = {{"overflow", "true"}};
      if (auto metric = family.metrics.find(labels); metric != family.metrics.end()) return metric->second;
    }
    ++series;
    return family.metrics[std::move(labels)];
  }
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

Counter& Registry::counter(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard lock(state_->mutex);
  auto& metric = state_->find_or_add(name, help, MetricType::kCounter, std::move(labels));
  if (!metric.counter) metric.counter = std::make_unique<Counter>();
  return *metric.counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, Labels labels) {
  std::lock_guard lock(state_->mutex);
  auto& metric = state_->find_or_add(name, help, MetricType::kGauge, std::move(labels));
  if (!metric.gauge) metric.gauge = std::make_unique<Gauge>();
  return *metric.gauge;
}

BucketHistogram& Registry::histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                                     Labels labels) {
  std::lock_guard lock(state_->mutex);
  auto& metric = state_->find_or_add(name, help, MetricType::kHistogram, std::move(labels));
  if (!metric.histogram) metric.histogram = std::make_unique<BucketHistogram>(std::move(bounds));
  return *metric.histogram;
}

Registry::Observed Registry::observe(MetricType type, std::string_view name, std::string_view help, Labels labels,
                                     std::function<double()> read) {
  std::lock_guard lock(state_->mutex);
  auto& metric = state_->find_or_add(name, help, type, std::move(labels));
  metric.read = std::move(read);
  metric.read_number = ++state_->last_observation;
  return Observed(*this, std::string(name), metric.read_number);
}

Registry::Observed Registry::observe_gauge(std::string_view name, std::string_view help, Labels labels,
                                           std::function<double()> read) {
  return observe(MetricType::kGauge, name, help, std::move(labels), std::move(read));
}
Registry::Observed Registry::observe_counter(std::string_view name, std::string_view help, Labels labels,
                                             std::function<double()> read) {
  return observe(MetricType::kCounter, name, help, std::move(labels), std::move(read));
}

Registry::Observed& Registry::Observed::operator=(Observed&& other) noexcept {
  if (this == &other) return *this;
  remove();
  registry_ = std::exchange(other.registry_, nullptr);
  name_ = std::move(other.name_);
  number_ = other.number_;
  return *this;
}

void Registry::Observed::remove() {
  Registry* registry = std::exchange(registry_, nullptr);
  if (registry == nullptr) return;
  State& state = *registry->state_;
  std::lock_guard lock(state.mutex);
  auto family = state.families.find(name_);
  if (family == state.families.end()) return;
  auto& metrics = family->second.metrics;
  auto found = std::ranges::find_if(metrics, [&](const auto& entry) { return entry.second.read_number == number_; });
  if (found == metrics.end()) return;  // Another observation has replaced it.
  found->second.read = nullptr;
  found->second.read_number = 0;
  if (found->second.counter || found->second.gauge) return;
  metrics.erase(found);
  --state.series;
}

std::vector<Registry::Family> Registry::snapshot() const {
  std::vector<Family> families;
  std::lock_guard lock(state_->mutex);
  for (const auto& [name, family] : state_->families) {
    if (family.metrics.empty()) continue;
    Family& out = families.emplace_back(Family{name, family.help, family.type, {}});
    for (const auto& [labels, metric] : family.metrics) {
      Series& series = out.series.emplace_back();
      series.labels = labels;
      if (metric.read)
        series.value = metric.read();
      else if (metric.counter)
        series.value = static_cast<double>(metric.counter->value());
      else if (metric.gauge)
        series.value = metric.gauge->value();
      else if (metric.histogram)
        series.histogram = metric.histogram->snapshot();
    }
  }
  return families;
}

}  // namespace polis::obs
