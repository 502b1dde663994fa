// Hostile bodies of every operation: what decode_request() accepts can be answered within one reply, and a question is
// answered by books that hold a few accounts.
#include "systems/ledger/tigerbeetle/operations.h"

using namespace polis;
using namespace polis::ledger;
using namespace polis::ledger::tigerbeetle;

namespace {

// Ten accounts, and nine transfers between them.
const Engine& books() {
  static const auto engine = [] {
    auto made = std::make_unique<Engine>();
    std::vector<Account> accounts(10);
    std::vector<Transfer> transfers(9);
    for (size_t i = 0; i < accounts.size(); ++i) {
      accounts[i].id = i + 1;
      accounts[i].ledger = 1 + i % 2;
      accounts[i].code = 1;
      accounts[i].flags = account_flags::kHistory;
    }
    for (size_t i = 0; i < transfers.size(); ++i) {
      transfers[i].id = i + 1;
      transfers[i].debit_account_id = 1;
      transfers[i].credit_account_id = 3;
      transfers[i].amount = 1;
      transfers[i].ledger = 1;
      transfers[i].code = 1;
    }
    auto apply = [&](Operation operation, BytesView events) {
      Command command;
      command.operation = operation;
      command.events = events;
      command.timestamp = made->next_timestamp(1'000'000, events.size() / 128);
      (void)made->apply(command);
    };
    apply(Operation::kCreateAccounts, std::as_bytes(std::span(accounts)));
    apply(Operation::kCreateTransfers, std::as_bytes(std::span(transfers)));
    return made;
  }();
  return *engine;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto shape = shape_of(data[0]);
  if (!shape) return 0;
  Bytes body(reinterpret_cast<const std::byte*>(data + 2), reinterpret_cast<const std::byte*>(data + size));
  if (body.size() > kBodyBytesMax) return 0;
  if ((data[1] & 1) && shape->multi_batch) {
    // A right trailer behind whole events, so that what is behind it is reached.
    body.resize(body.size() / shape->event_bytes * shape->event_bytes);
    const size_t events = body.size() / shape->event_bytes;
    if (shape->one_event) {
      const std::vector<uint16_t> counts(std::max<size_t>(events, 1), 1);
      if (events > 0) append_trailer(body, counts, shape->event_bytes);
    } else {
      const uint16_t counts[] = {static_cast<uint16_t>(events / 2), static_cast<uint16_t>(events - events / 2)};
      append_trailer(body, counts, shape->event_bytes);
    }
  }
  const auto request = decode_request(*shape, body);
  if (!request) {
    POLIS_ASSERT(request.error().code() == Code::kInvalid);
    return 0;
  }
  if (shape->creates()) {
    std::vector<uint16_t> batches;
    const Command command = to_command(*request, {}, batches);
    size_t events = 0;
    for (uint16_t count : command.batches) events += count;
    POLIS_ASSERT(command.batches.empty() || events == request->event_count());
    const std::vector<CreateResult> failed(request->event_count(), CreateResult{.timestamp = 1, .status = 1});
    POLIS_ASSERT(create_answer(*request, failed).size() <= kBodyBytesMax);
    return 0;
  }
  Answer answer(*request);
  const MayRead may_read = (data[1] & 2) ? [](uint32_t ledger) { return ledger == 1; } : MayRead();
  while (!answer.run(books(), may_read)) {
  }
  const Answered answered = std::move(answer).finish();
  POLIS_ASSERT(answered.body.size() <= kBodyBytesMax && answered.op == 2);
  if (request->counts.size() == 1) POLIS_ASSERT(payload_of(*shape, answered.body).has_value());
  return 0;
}
