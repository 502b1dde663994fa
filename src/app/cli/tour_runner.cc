#include "app/cli/tour_runner.h"

#include <algorithm>
#include <boost/json.hpp>
#include <fmt/format.h>

#include "kernel/io/shard.h"

namespace polis::app {

Task<Result<void>> TourRunner::run(const std::vector<const systems::System*>& systems) {
  for (const systems::System* system : systems) {
    current_ = system->name();
    bool present = std::any_of(settings_.ports.begin(), settings_.ports.end(),
                               [&](const auto& port) { return port.first.starts_with(current_ + "."); });
    if (!present) continue;
    terminal_.line(fmt::format("{}: {}", system->name(), system->summary()));
    terminal_.line(fmt::format("  {:<34} {:<72} {:>10}", "step", "what happened", "time"));
    Result<void> toured = co_await system->tour(*this);
    // An error outside of a step is one more row: nothing fails unseen.
    if (!toured && (rows_.empty() || rows_.back().held)) {
      rows_.push_back({.system = current_, .step = "tour", .outcome = toured.error().text()});
      show(rows_.back());
    }
  }
  if (rows_.empty())
    co_return fail(Code::kNotFound, "no system took a tour: start polis with the systems you want to see");
  auto failed = std::count_if(rows_.begin(), rows_.end(), [](const Row& row) { return !row.held; });
  if (terminal_.json()) show_json(failed == 0);
  if (failed > 0) co_return fail(Code::kIo, fmt::format("{} of {} steps did not hold", failed, rows_.size()));
  terminal_.line(fmt::format("All {} steps held.", rows_.size()));
  co_return Result<void>();
}

Task<Result<void>> TourRunner::step(std::string name, std::function<Task<Result<std::string>>()> what) {
  const Clock& clock = io::Shard::current().clock();
  SteadyTime begin = clock.steady();
  Result<std::string> outcome = co_await what();
  rows_.push_back({.system = current_,
                   .step = std::move(name),
                   .outcome = outcome ? *outcome : outcome.error().text(),
                   .duration = clock.steady() - begin,
                   .held = outcome.has_value()});
  show(rows_.back());
  if (!outcome) co_return fail(outcome.error());
  co_return Result<void>();
}

uint16_t TourRunner::port(std::string_view name) const {
  auto at = settings_.ports.find(std::string(name));
  return at == settings_.ports.end() ? 0 : at->second;
}

void TourRunner::show(const Row& row) {
  terminal_.line(fmt::format("{} {:<34} {:<72} {:>10}", row.held ? "✓" : "✗", row.step, row.outcome,
                             readable_duration(row.duration)));
}

void TourRunner::show_json(bool held) {
  boost::json::array steps;
  for (const Row& row : rows_)
    steps.push_back({{"system", row.system},
                     {"step", row.step},
                     {"held", row.held},
                     {"what", row.outcome},
                     {"duration_us", std::chrono::duration_cast<std::chrono::microseconds>(row.duration).count()}});
  terminal_.document(boost::json::serialize(boost::json::object{{"held", held}, {"steps", std::move(steps)}}));
}

}  // namespace polis::app
