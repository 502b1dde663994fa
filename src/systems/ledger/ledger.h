// Ledger: the books as other systems and the faces of this one use them, in process and without a socket. Every wallet,
// payment, trade and stock count of polis posts here.
//
//     any shard ──on(ledger's shard)──► Replica<Engine>: apply, journal, one sync for all that wait ──► results
//
// All functions may be called on any shard; they run on the ledger's and answer on the caller's. A result says what is
// on disk: after kill -9 and power loss it is still true. Errors: kInvalid for what cannot be a batch, kBusy when too
// much waits for the disk (try later), kUnavailable when the journal has failed or the ledger is closing. After
// kUnavailable the outcome is unknown: ask again with the same ids, which never book twice.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernel/io/task.h"
#include "systems/ledger/engine.h"

namespace polis::ledger {

struct SignedHead {
  uint64_t op = 0;
  uint64_t timestamp = 0;  // ns, of the command `op`
  Hash head{};             // after it
  uint64_t signed_at = 0;  // ns
  // Ed25519 (RFC 8032) over the text that to_text() gives, which is what openssl is given to verify.
  std::array<std::byte, 64> signature{};
  // "polis ledger head\nop N\ntimestamp T\nhead HEX\nsigned_at T\n"
  std::string to_text() const;
};

class Ledger {
 public:
  virtual ~Ledger() = default;

  // --- booking: at most kBatchEventsMax events, one batch; linked chains must end inside. One result an event, in
  // order.
  virtual Task<Result<std::vector<CreateResult>>> create_accounts(std::span<const Account> events) = 0;
  virtual Task<Result<std::vector<CreateResult>>> create_transfers(std::span<const Transfer> events) = 0;
  // A command that a protocol server has checked, for a session. `command.timestamp` is set here. The bytes it points
  // to live until the answer.
  virtual Task<Result<Reply>> submit(Command command) = 0;

  // --- asking. `ask` runs on the ledger's shard, must be short (1 ms) and return a value that owns its memory; it is
  // answered when all that it saw is on disk.
  template <class F>
  auto query(F ask) -> Task<Result<std::invoke_result_t<F&, const Engine&>>> {
    std::optional<std::invoke_result_t<F&, const Engine&>> value;
    CO_TRY(co_await run_query([&](const Engine& engine) { value.emplace(ask(engine)); }));
    co_return std::move(*value);
  }

  // --- the chain
  virtual Task<Result<SignedHead>> signed_head() = 0;  // of now; at most a second old
  virtual const std::string& public_key_pem() const = 0;

  // Reads the whole journal again, in the background of the ledger's shard: recomputes every result, root and head, and
  // at the end compares accounts and history with the running books. `progress` is called now and then with (op done,
  // op last) and may be empty. kCorrupt names the op and what differs.
  struct Verified {
    uint64_t ops = 0, events = 0, accounts = 0, transfers = 0;
    Hash head{};
    double seconds = 0;
  };
  virtual Task<Result<Verified>> verify(std::function<void(uint64_t, uint64_t)> progress) = 0;

  // As verify, and at the end calls `look` with the books that were made from the journal alone, on the ledger's shard:
  // whoever does not trust stored balances asks these. `look` is called only if they agree with the running ones.
  virtual Task<Result<Verified>> replay(std::function<void(const Engine&)> look,
                                        std::function<void(uint64_t, uint64_t)> progress) = 0;

  // Told after each command is durable, on the ledger's shard, in order; must not block. The number ends it.
  struct Committed {
    uint64_t op = 0;
    uint64_t timestamp = 0;
    Operation operation = Operation::kCreateTransfers;
    uint32_t events = 0, created = 0;
    uint64_t latency_us = 0;  // from submit to durable
  };
  virtual Task<uint64_t> watch(std::function<void(const Committed&)> listener) = 0;
  virtual Task<void> unwatch(uint64_t number) = 0;

  struct Statistics {
    Engine::Counts counts;
    uint64_t journal_bytes = 0, journal_syncs = 0, waiting = 0;
    uint64_t snapshots = 0, snapshot_op = 0;
    std::vector<std::pair<double, uint64_t>> latency_us;  // (quantile, value) of batches since start
  };
  virtual Task<Statistics> statistics() = 0;

 private:
  virtual Task<Result<void>> run_query(std::function<void(const Engine&)> ask) = 0;
};

}  // namespace polis::ledger
