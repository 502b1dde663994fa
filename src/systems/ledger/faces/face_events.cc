#include <charconv>
#include <fmt/format.h>

#include "systems/ledger/faces/answers.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/face.h"

namespace polis::ledger {
namespace {

// Changes of one visit to the ledger's shard.
constexpr uint32_t kChangesMax = 256;
// A line now and then, so that proxies and clients know that the stream is alive.
constexpr Duration kSilenceMax = std::chrono::seconds(15);

// Wakes a stream on its own shard. Shared: the ledger's shard may hold it a moment longer than the stream lives.
struct Wake {
  explicit Wake(io::Shard& of) : shard(of) {}
  io::Shard& shard;
  std::atomic<bool> posted{false};
  io::Event event;  // on `shard`
};

void ring(const std::shared_ptr<Wake>& wake) {
  if (wake->posted.exchange(true)) return;
  wake->shard.post([wake] {
    wake->posted = false;
    wake->event.set();
  });
}

std::string_view kind_of(PendingState kind) {
  switch (kind) {
    case PendingState::kNone:
      return "single_phase";
    case PendingState::kPending:
      return "two_phase_pending";
    case PendingState::kPosted:
      return "two_phase_posted";
    case PendingState::kVoided:
      return "two_phase_voided";
    case PendingState::kExpired:
      return "two_phase_expired";
  }
  return "";
}

void write_side(JsonWriter& out, std::string_view side, const Account& account) {
  out.key(side).begin_object().digits("id", account.id);
  out.digits("debits_pending", account.debits_pending).digits("debits_posted", account.debits_posted);
  out.digits("credits_pending", account.credits_pending).digits("credits_posted", account.credits_posted).end_object();
}

std::string event_text(const ChangeEvent& change) {
  JsonWriter out;
  out.begin_object().member("type", kind_of(change.kind)).digits("timestamp", change.timestamp).key("transfer");
  write(out, change.transfer, TransferNames{});
  write_side(out, "debit_account", change.debit_account);
  write_side(out, "credit_account", change.credit_account);
  return fmt::format("id: {}\nevent: transfer\ndata: {}\n\n", change.timestamp, out.end_object().take());
}

}  // namespace

// Server-sent events (HTML Living Standard §9.2): every change of the books, in order, each exactly once. The id is the
// change's timestamp; Last-Event-ID (or ?after=) goes on behind it, without either the stream begins now.
Task<Result<void>> Face::events(http::Request& request, http::Response& response) {
  const auto ledger = static_cast<uint32_t>(CO_TRY(number_parameter(request, "ledger", 0, 0, UINT32_MAX)));
  CO_TRY(may(request, "ledger:Read", ledger));
  uint64_t after = CO_TRY(number_parameter(request, "after", kTimestampMax, 0, kTimestampMax));
  if (auto last = request.field("Last-Event-ID"))
    after = CO_TRY(parse_number("Last-Event-ID", *last, 0, kTimestampMax));
  if (after == kTimestampMax)
    after = CO_TRY(co_await parts_.ledger.query([](const Engine& engine) { return engine.counts().timestamp_last; }));

  if (event_streams_.fetch_add(1) >= kEventStreamsMax) {
    event_streams_.fetch_sub(1);
    co_return fail(Code::kBusy, fmt::format("{} streams of events are open already", kEventStreamsMax));
  }
  auto wake = std::make_shared<Wake>(io::Shard::current());
  const uint64_t watch = co_await parts_.ledger.watch([wake](const Ledger::Committed&) { ring(wake); });
  const bool head_only = request.method() == http::Method::kHead;
  Result<void> done = co_await send_events(response, ledger, after, wake->event, head_only);
  co_await parts_.ledger.unwatch(watch);
  event_streams_.fetch_sub(1);
  co_return done;
}

Task<Result<void>> Face::send_events(http::Response& response, uint32_t ledger, uint64_t after, io::Event& committed,
                                     bool head_only) {
  response.status(200).set(http::Field::kContentType, "text/event-stream").set(http::Field::kCacheControl, "no-store");
  if (head_only) co_return co_await response.send();
  CO_TRY(co_await response.write(": the books from here on\nretry: 1000\n\n"));
  for (;;) {
    committed.reset();
    auto changes = CO_TRY(co_await parts_.ledger.query(
        [after](const Engine& engine) { return engine.changes(after + 1, kTimestampMax, kChangesMax); }));
    std::string text;
    for (const ChangeEvent& change : changes) {
      after = change.timestamp;
      if (ledger == 0 || change.transfer.ledger == ledger) text += event_text(change);
    }
    if (!text.empty()) CO_TRY(co_await response.write(text));
    if (changes.size() == kChangesMax) continue;
    auto woken = co_await io::with_timeout(kSilenceMax, committed.wait());
    if (woken) continue;
    if (woken.error().code() != Code::kTimeout) co_return fail(std::move(woken).error());
    CO_TRY(co_await response.write(": still here\n\n"));
  }
}

}  // namespace polis::ledger
