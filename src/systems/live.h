// LiveTopics: what the console sees move. A topic is a name and a sampler; the server asks the sampler only while
// somebody is subscribed, sends the first sample whole and later ones as JSON merge patches (RFC 7396), and skips a
// beat for a subscriber that has not yet taken the one before. So a topic costs nothing unseen, and a slow reader costs
// nothing either.
//
// Make lists objects keyed by id ({"drives": {"0": {...}}}), so that a patch names only what changed;
// a member that is null cannot be told from one that is gone, so leave it out.
#pragma once

#include <functional>
#include <string>

#include "kernel/base/clock.h"
#include "kernel/base/result.h"
#include "kernel/io/task.h"

namespace polis::systems {

struct LiveTopic {
  std::string name;    // "<system>.<what>": "object.grid"
  std::string action;  // the right a subscriber needs, as in policies: "object:ReadStatus"
  Duration interval = std::chrono::milliseconds(250);  // between samples, 50 ms..60 s
  // Runs on shard 0; returns one JSON object as text, at most 256 KiB. An error is shown to the subscriber as it is.
  std::function<Task<Result<std::string>>()> sample;
};

class LiveTopics {
 public:
  virtual ~LiveTopics() = default;
  // During start only. A second topic of the same name is kExists.
  virtual Result<void> declare(LiveTopic topic) = 0;
};

}  // namespace polis::systems
