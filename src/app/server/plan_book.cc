#include "app/server/plan_book.h"

#include <fmt/format.h>

#include "kernel/base/text_encoding.h"

namespace polis::app {

Task<Result<systems::Plan>> PlanBook::propose(systems::PlanDraft draft) {
  co_return co_await io::on(home_, [&] { return propose_here(draft); });
}

Task<Result<std::string>> PlanBook::apply(std::string id, std::string user_id, const http::Request* request) {
  co_return co_await io::on(home_, [&] { return apply_here(id, user_id, request); });
}

void PlanBook::drop_expired() {
  std::erase_if(open_, [now = clock_.wall()](const auto& entry) { return entry.second.expires_at <= now; });
}

Task<Result<systems::Plan>> PlanBook::propose_here(systems::PlanDraft& draft) {
  drop_expired();
  if (open_.size() >= kOpenMax)
    co_return fail(Code::kBusy,
                   fmt::format("{} plans are open: apply one, or wait until they expire (ten minutes)", kOpenMax));
  if (draft.touches.size() > kLinesMax) {
    size_t left = draft.touches.size() - kLinesMax + 1;
    draft.touches.resize(kLinesMax - 1);
    draft.touches.push_back(fmt::format("... and {} more", left));
  }
  // 64 random bits: the id also is what the person types.
  std::byte bits[8];
  random_.fill(bits);
  std::string id = base::hex_encode(bits);
  systems::Plan plan{.id = id,
                     .title = draft.title,
                     .touches = draft.touches,
                     .touched_count = draft.touched_count,
                     .touched_bytes = draft.touched_bytes,
                     .expires_at = clock_.wall() + kLifetime};
  open_.emplace(std::move(id), Open{.draft = std::move(draft), .expires_at = plan.expires_at});
  co_return plan;
}

Task<Result<std::string>> PlanBook::apply_here(const std::string& id, const std::string& user_id,
                                               const http::Request* request) {
  drop_expired();
  auto at = open_.find(id);
  if (at == open_.end() || at->second.draft.user_id != user_id)
    co_return fail(
        Code::kNotFound,
        fmt::format(
            "no open plan '{}': it was applied, expired after ten minutes, or is somebody else's; ask for it again",
            id));
  if (request && at->second.draft.admit) CO_TRY(at->second.draft.admit(*request));
  // Taken out before it runs: a second request finds nothing.
  Open open = std::move(at->second);
  open_.erase(at);
  co_return co_await open.draft.apply();
}

}  // namespace polis::app
