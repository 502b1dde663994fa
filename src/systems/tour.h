// Tour: a guided drive through a running polis that proves each claim on real bytes. A system drives itself through its
// own protocol; app prints the table (step, what happened, time) and decides the exit status.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/io/task.h"
#include "systems/command.h"

namespace polis::systems {

class Tour {
 public:
  virtual ~Tour() = default;

  // Runs one step, prints its row, and remembers whether it held. `what` answers what happened, in a few words with
  // numbers
  // ("16 objects, 87.1 MB, every byte equal"). A failed step returns its error, so `CO_TRY` ends the tour there.
  virtual Task<Result<void>> step(std::string name, std::function<Task<Result<std::string>>()> what) = 0;

  virtual ApiClient& api() = 0;
  // The port of a listener of the polis under way: "object.s3".
  virtual uint16_t port(std::string_view name) const = 0;
  // The root user's access key pair.
  virtual const std::string& access_key() const = 0;
  virtual const std::string& secret_key() const = 0;
  virtual const std::string& region() const = 0;
  // A name no earlier tour used, fit for buckets, topics and tables: "tour-01jd...". What a tour makes carries it, so
  // that the console can mark it; the tour removes what it made when all steps held.
  virtual const std::string& unique_name() const = 0;
};

}  // namespace polis::systems
