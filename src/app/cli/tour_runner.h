// TourRunner: takes the tour of every system that a running polis has, prints a row a step as it ends (step, what
// happened, time), and remembers whether all held.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/cli/terminal.h"
#include "systems/system.h"
#include "systems/tour.h"

namespace polis::app {

struct TourSettings {
  std::map<std::string, uint16_t> ports;  // of the running polis
  std::string access_key, secret_key;
  std::string region;
  std::string unique_name;
};

class TourRunner final : public systems::Tour {
 public:
  TourRunner(TourSettings settings, systems::ApiClient& api, Terminal& terminal)
      : settings_(std::move(settings)), api_(api), terminal_(terminal) {}

  // Every system of `systems` with a port in the running polis. A failed step ends that system's tour, not the others'.
  Task<Result<void>> run(const std::vector<const systems::System*>& systems);

  Task<Result<void>> step(std::string name, std::function<Task<Result<std::string>>()> what) override;
  systems::ApiClient& api() override { return api_; }
  uint16_t port(std::string_view name) const override;
  const std::string& access_key() const override { return settings_.access_key; }
  const std::string& secret_key() const override { return settings_.secret_key; }
  const std::string& region() const override { return settings_.region; }
  const std::string& unique_name() const override { return settings_.unique_name; }

 private:
  struct Row {
    std::string system, step, outcome;
    Duration duration{};
    bool held = false;
  };
  void show(const Row& row);
  void show_json(bool held);

  TourSettings settings_;
  systems::ApiClient& api_;
  Terminal& terminal_;
  std::string current_;
  std::vector<Row> rows_;
};

}  // namespace polis::app
