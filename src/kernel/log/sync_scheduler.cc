#include "kernel/log/sync_scheduler.h"

namespace polis::log {

Task<Result<void>> SyncScheduler::sync(std::shared_ptr<io::File> file) {
  asked_++;
  auto [place, fresh] = lines_.try_emplace(file.get());
  Line& line = place->second;
  if (!line.collecting) line.collecting = std::make_shared<Group>();
  const auto group = line.collecting;
  if (fresh) tasks_.spawn(run(std::move(file), line));
  CO_TRY(co_await group->done.wait());
  co_return *group->result;
}

Task<void> SyncScheduler::run(std::shared_ptr<io::File> file, Line& line) {
  while (line.collecting) {
    // The tasks of the scheduler are never stopped, so the wait cannot fail.
    const bool permitted = (co_await permits_.acquire()).has_value();
    POLIS_ASSERT(permitted);
    const auto group = std::exchange(line.collecting, nullptr);
    syncs_++;
    group->result = co_await file->sync();
    permits_.release();
    group->done.set();
  }
  lines_.erase(file.get());
}

}  // namespace polis::log
