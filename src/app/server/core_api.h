// What the main port answers besides the systems' own APIs: health, metrics, status, configuration, traces, logs,
// plans, backup.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "app/backup/backup.h"
#include "kernel/base/config.h"
#include "kernel/http/router.h"
#include "kernel/obs/metrics.h"
#include "kernel/obs/trace.h"
#include "systems/live.h"
#include "systems/plan.h"
#include "systems/system.h"

namespace polis::app {

// A system of this node and how it listens. Fixed once it has started.
struct RunningSystem {
  systems::System* system = nullptr;
  systems::OpenPorts ports;
};

// All of it outlives the router.
struct CoreApi {
  const base::Config& config;
  const Clock& clock;
  obs::Registry& metrics;
  obs::Tracer& tracer;
  systems::Plans& plans;
  Backup& backup;
  io::TaskGroup& background;  // on `home`
  io::Shard& home;            // where backup and background live
  const std::vector<RunningSystem>& systems;
  std::string version;
  std::string data_directory;
  WallTime started_at;
};

void mount_core_api(http::Router& router, CoreApi core);
// Whether a Host field names this machine as far as its own people are concerned: an address, localhost, or one of
// `names`.
bool own_host(std::string_view authority, const std::vector<std::string>& names);
// "polis.home": every system's health, and all counters, so that a page draws rates.
systems::LiveTopic home_topic(const CoreApi& core);

}  // namespace polis::app
