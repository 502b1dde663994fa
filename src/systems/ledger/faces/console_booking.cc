// What the page books: single accounts and transfers, as a person would enter them. A request that is sent again with
// the same id never books twice: it answers what was booked the first time.
#include <boost/json.hpp>

#include "systems/api.h"
#include "systems/ledger/faces/console_api.h"
#include "systems/ledger/faces/console_request.h"
#include "systems/ledger/faces/refusal.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;

constexpr std::string_view kPost = "ledger:Post";
// A chain or an import needs more than one event.
constexpr uint16_t kAccountFlags = account_flags::kAll & ~(account_flags::kLinked | account_flags::kImported);
constexpr uint16_t kTransferFlags = transfer_flags::kPending | transfer_flags::kBalancingDebit |
                                    transfer_flags::kBalancingCredit | transfer_flags::kClosingDebit |
                                    transfer_flags::kClosingCredit;

std::string booked_json(Id id, uint64_t timestamp, bool replayed) {
  return json::serialize(
      json::object{{"id", to_decimal(id)}, {"timestamp", std::to_string(timestamp)}, {"replayed", replayed}});
}

Result<uint16_t> flags_of(Body& body, uint16_t allowed) {
  const auto flags = static_cast<uint16_t>(TRY(number(body, "flags", UINT16_MAX, 0)));
  if (flags & ~allowed)
    return fail(Code::kInvalid, "\"flags\" may hold " + std::to_string(allowed) + " at most: no links, no imports");
  return flags;
}

}  // namespace

// Rises with time, so that ids lie near each other in the books: 48 bits of milliseconds, 80 random ones.
Id ConsoleApi::new_id() {
  const auto milliseconds = static_cast<uint64_t>(base::milliseconds_since_epoch(parts_.clock.wall()));
  const Id random = (Id{parts_.random.next() & 0xFFFF} << 64) | parts_.random.next();
  return (Id{milliseconds & 0xFFFF'FFFF'FFFF} << 80) | random;
}

Task<Result<std::string>> ConsoleApi::make_account(http::Request& request) {
  Body body = CO_TRY(co_await Body::read(request));
  Account account;
  account.id = CO_TRY(number(body, "id", kU128Max, new_id()));
  account.ledger = static_cast<uint32_t>(CO_TRY(number(body, "ledger", UINT32_MAX)));
  account.code = static_cast<uint16_t>(CO_TRY(number(body, "code", UINT16_MAX)));
  account.flags = CO_TRY(flags_of(body, kAccountFlags));
  account.user_data_128 = CO_TRY(number(body, "user_data_128", kU128Max, 0));
  account.user_data_64 = static_cast<uint64_t>(CO_TRY(number(body, "user_data_64", UINT64_MAX, 0)));
  account.user_data_32 = static_cast<uint32_t>(CO_TRY(number(body, "user_data_32", UINT32_MAX, 0)));
  CO_TRY(body.finish());
  CO_TRY(systems::authorize(request, kPost, ledger_resource(account.ledger)));
  auto results = CO_TRY(co_await ledger_.create_accounts(std::span(&account, 1)));
  const auto status = static_cast<AccountStatus>(results.front().status);
  if (status != AccountStatus::kCreated && status != AccountStatus::kExists) co_return fail(refusal(status));
  co_return booked_json(account.id, results.front().timestamp, status == AccountStatus::kExists);
}

Task<Result<std::string>> ConsoleApi::make_transfer(http::Request& request) {
  Body body = CO_TRY(co_await Body::read(request));
  Transfer transfer;
  transfer.id = CO_TRY(number(body, "id", kU128Max, new_id()));
  transfer.debit_account_id = CO_TRY(number(body, "debit_account_id", kU128Max));
  transfer.credit_account_id = CO_TRY(number(body, "credit_account_id", kU128Max));
  transfer.amount = CO_TRY(number(body, "amount", kU128Max));
  transfer.ledger = static_cast<uint32_t>(CO_TRY(number(body, "ledger", UINT32_MAX)));
  transfer.code = static_cast<uint16_t>(CO_TRY(number(body, "code", UINT16_MAX)));
  transfer.flags = CO_TRY(flags_of(body, kTransferFlags));
  transfer.timeout = static_cast<uint32_t>(CO_TRY(number(body, "timeout", UINT32_MAX, 0)));
  transfer.user_data_128 = CO_TRY(number(body, "user_data_128", kU128Max, 0));
  transfer.user_data_64 = static_cast<uint64_t>(CO_TRY(number(body, "user_data_64", UINT64_MAX, 0)));
  transfer.user_data_32 = static_cast<uint32_t>(CO_TRY(number(body, "user_data_32", UINT32_MAX, 0)));
  CO_TRY(body.finish());
  CO_TRY(systems::authorize(request, kPost, ledger_resource(transfer.ledger)));
  co_return co_await book(transfer);
}

// Posts or voids the pending transfer of the path. Body: {"id"?, "amount"?}; without an amount all of it.
Task<Result<std::string>> ConsoleApi::finish_transfer(http::Request& request, uint16_t flag) {
  const Id pending_id = CO_TRY(parse_id("id", request.param("id")));
  Body body = CO_TRY(co_await Body::read(request));
  Transfer transfer;
  transfer.flags = flag;
  transfer.pending_id = pending_id;
  transfer.id = CO_TRY(number(body, "id", kU128Max, new_id()));
  // 2^128-1 posts what was reserved, whatever that is; a void gives all of it back.
  const bool posts = flag == transfer_flags::kPostPending;
  if (posts) transfer.amount = CO_TRY(number(body, "amount", kU128Max, kU128Max));
  CO_TRY(body.finish());
  auto pending = CO_TRY(co_await ledger_.query([&](const Engine& engine) { return engine.transfer(pending_id); }));
  CO_TRY(systems::authorize(request, kPost, ledger_resource(pending ? pending->ledger : 0)));
  // Asked of the books, an unknown one would use up the new transfer's id.
  if (!pending) co_return fail(refusal(TransferStatus::kPendingTransferNotFound));
  co_return co_await book(transfer);
}

Task<Result<std::string>> ConsoleApi::book(Transfer transfer) {
  auto results = CO_TRY(co_await ledger_.create_transfers(std::span(&transfer, 1)));
  const auto status = static_cast<TransferStatus>(results.front().status);
  if (status != TransferStatus::kCreated && status != TransferStatus::kExists) co_return fail(refusal(status));
  co_return booked_json(transfer.id, results.front().timestamp, status == TransferStatus::kExists);
}

}  // namespace polis::ledger
