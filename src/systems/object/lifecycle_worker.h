// LifecycleWorker: does what the rules of buckets ask for when it is due. Looks at the engine's reminders that are
// over, never at keys that wait; what takes rows alone is done for many keys in one transaction, transitions and
// uploads one by one before. A crash at any point leaves the reminder, and what is still due is done again. One a
// process, on the home shard.
#pragma once

#include <cstdint>

#include "systems/object/service.h"

namespace polis::object {

class LifecycleWorker {
 public:
  // The service outlives it.
  explicit LifecycleWorker(Service& service) : service_(service) {}

  // Until its scope stops. Once an hour it also forgets the tokens of old renames.
  Task<void> run();

 private:
  Task<Answer<void>> index();
  Task<Answer<void>> work();
  // Aborts the uploads and moves the bytes that are due of these keys.
  Task<void> prepare(const std::vector<Reminder>& reminders);
  Task<Answer<void>> prepare_one(const Reminder& reminder);
  Task<Answer<void>> obey(const std::vector<Reminder>& reminders);
  Task<Answer<void>> transition(const Bucket& bucket, const std::string& key, const LifecycleAction& action);
  Task<Answer<void>> transition_parts(const ObjectVersion& version, blob::Scheme scheme);
  // The same bytes once more, by another code.
  Task<Answer<blob::Receipt>> copy_of(const blob::Receipt& receipt, blob::Scheme scheme);
  Task<Answer<void>> abort(const Bucket& bucket, const std::string& key, const UploadId& id);
  WallTime retry_at() const;

  Service& service_;
  bool followed_ = false;  // something was done since the last look that found nothing
};

}  // namespace polis::object
