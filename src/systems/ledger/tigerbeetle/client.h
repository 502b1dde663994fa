// A client of the wire: for the load generator, the tour, tests, and for who keeps books in another polis or in a
// TigerBeetle cluster. One session, one request in flight; belongs to one shard.
//
//     Client client(co_await io::connect(endpoint), {.client = id});
//     co_await client.enroll();
//     co_await client.create_transfers(transfers);
//
// A load generator fills body() in place instead, and sends it again and again with send().
#pragma once

#include <memory>

#include "kernel/io/stream.h"
#include "systems/ledger/tigerbeetle/message.h"
#include "systems/ledger/tigerbeetle/operations.h"

namespace polis::ledger::tigerbeetle {

struct ClientOptions {
  u128 cluster = 0;
  u128 client = 0;  // chosen at random, never 0, never used by two at once
  uint32_t release = kReleaseOurs;
  // A session that was opened before, on another connection: then enroll() is not called.
  uint64_t session = 0;
  uint32_t request = 0;  // the last number that was used in it
  u128 parent = 0;       // the context of the last reply
};

class Client {
 public:
  Client(std::unique_ptr<io::Stream> stream, ClientOptions options);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Opens the session. Errors of this and of all that follow: kDenied with the reason if the server ended the session,
  // kCorrupt for a damaged reply, the stream's own. After an error only resend_over() is of use.
  Task<Result<void>> enroll();

  // --- requests of one batch
  // At most 8,189 events; kTooLarge beyond.
  Task<Result<std::vector<CreateResult>>> create_accounts(std::span<const Account> events);
  Task<Result<std::vector<CreateResult>>> create_transfers(std::span<const Transfer> events);
  // Those that exist, in the order asked.
  Task<Result<std::vector<Account>>> lookup_accounts(std::span<const Id> ids);
  Task<Result<std::vector<Transfer>>> lookup_transfers(std::span<const Id> ids);
  Task<Result<std::vector<Transfer>>> account_transfers(const AccountFilter& filter);
  Task<Result<std::vector<AccountBalance>>> account_balances(const AccountFilter& filter);
  Task<Result<std::vector<Account>>> query_accounts(const QueryFilter& filter);
  Task<Result<std::vector<Transfer>>> query_transfers(const QueryFilter& filter);

  // --- in place
  // Room for a body; stays as the caller left it, except for the bytes behind `payload_bytes` of a send(), where the
  // trailer is written. 128-byte aligned.
  MutableBytes body();
  // Sends the first `payload_bytes` of body() as one batch of `operation` and answers with the reply's payload: a view
  // until the next request. kInvalid if they are not whole events, kTooLarge if they do not fit.
  Task<Result<BytesView>> send(WireOperation operation, size_t payload_bytes);
  // Sends the last request again, byte for byte: on this connection, or on a new one that takes its place.
  Task<Result<BytesView>> resend();
  Task<Result<BytesView>> resend_over(std::unique_ptr<io::Stream> stream);
  // Waits for the answer.
  Task<Result<void>> ping();

  uint64_t session() const;
  uint32_t request() const;
  u128 parent() const;  // what the next request names: the context of the last reply
  // Of the last reply: what makes it the same reply, bit for bit.
  const Reply& last_reply() const;
  io::Stream& stream();

 private:
  struct State;
  Task<Result<BytesView>> exchange();
  template <class Event, class Answer>
  Task<Result<std::vector<Answer>>> ask(WireOperation operation, std::span<const Event> events);
  std::unique_ptr<State> state_;
};

}  // namespace polis::ledger::tigerbeetle
