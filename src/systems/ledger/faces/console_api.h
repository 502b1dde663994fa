// What the ledger's console page asks: live topics, and endpoints below /api/ledger/v1/console on the main port. All of
// it stands on Ledger (ledger.h); nothing here reaches into the engine but by a query.
//
//   GET  accounts?q&ledger&code&after&limit&at_op   a page of accounts, with their balances now or after a command
//   GET  accounts/{id}?before&limit&at_op           one account and its transfers, newest first
//   GET  trial-balance                              sums of every ledger
//   GET  flows?ledger&by&transfers&to_op            who paid whom: the newest transfers, added up
//   GET  chain?to&limit                             links of the hash chain
//   GET  chain/op-at?time                           the last command at or before a time
//   GET  head                                       the signed head
//   GET  proof/{transfer}                           an inclusion proof
//   GET  verify, POST verify                        the server's own check of the whole journal
//   GET  lab, POST lab                              the contention lab
//   POST accounts, transfers, transfers/{id}/post, transfers/{id}/void
//
// Reading takes the right ledger:Read (of one ledger where only that is shown), posting ledger:Post on the ledger, and
// verifying and the lab ledger:Manage.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "kernel/http/router.h"
#include "kernel/io/shard.h"
#include "kernel/store/store.h"
#include "systems/ledger/faces/contention_lab.h"
#include "systems/ledger/faces/live_seconds.h"
#include "systems/ledger/faces/name_book.h"
#include "systems/ledger/ledger.h"
#include "systems/live.h"

namespace polis::ledger {

// Accounts on a page, at most; balances of a past moment are summed up from history one by one.
inline constexpr uint64_t kAccountsPageMax = 100;
// A page of past balances ends early when it took so long; the next page goes on behind it.
inline constexpr Duration kPastBalancesTimeMax = std::chrono::milliseconds(300);
inline constexpr uint64_t kAccountTransfersMax = 200;
// Transfers that a picture of flows adds up, at most.
inline constexpr uint64_t kFlowTransfersMax = 100'000;
inline constexpr size_t kFlowEndsMax = 10;  // of each side; more cannot be told apart on a screen
inline constexpr uint64_t kChainLinksMax = 1'000;

struct ConsoleParts {
  Ledger& ledger;
  store::Store& store;
  store::Keyspace lab;  // for the contention lab alone
  const Clock& clock;
  Random& random;             // fit for ids: different after every start
  NameBook* names = nullptr;  // null: accounts have no names
};

class ConsoleApi {
 public:
  // On shard 0, where live topics are sampled; everything in `parts` outlives it.
  explicit ConsoleApi(ConsoleParts parts);
  ~ConsoleApi();

  // Begins to watch what is committed. Then mount and declare, once.
  Task<Result<void>> start();
  void mount(http::Router& router);
  Result<void> declare_topics(systems::LiveTopics& topics);
  // Ends what runs, before the ledger closes. Handlers may not run any more.
  Task<void> stop();

 private:
  using Json = Task<Result<std::string>>;

  // --- console_api.cc: what moves
  Json live();
  Json seconds();
  Json trial_balance();
  Json start_verify();
  Json start_lab(LabOptions options);
  std::string verify_json() const;
  std::string lab_json() const;
  Task<void> run_verify();
  Task<void> run_lab(LabOptions options);

  // --- console_questions.cc: what is asked
  Json accounts(http::Request& request);
  Json account(http::Request& request);
  Json flows(http::Request& request);
  Json chain(http::Request& request);
  Json op_at(http::Request& request);
  Json head();
  Json proof(http::Request& request);
  struct Moment {
    uint64_t op = 0;
    uint64_t timestamp = kTimestampMax;
    bool past = false;
  };
  // The query parameter `name`: an op; absent or the last one: now.
  Task<Result<Moment>> moment(const http::Request& request, std::string_view name);
  Task<Result<std::vector<Account>>> find_accounts(std::string text, uint32_t ledger, uint16_t code);
  Task<Result<std::vector<std::string>>> names_of(std::vector<Id> accounts);

  // --- console_booking.cc: what is booked
  Json make_account(http::Request& request);
  Json make_transfer(http::Request& request);
  Json finish_transfer(http::Request& request, uint16_t flag);
  Json book(Transfer transfer);
  Id new_id();

  // Written on the ledger's shard after every command; read there too, by a query.
  struct Recent {
    explicit Recent(int64_t second) : seconds(second) {}
    LiveSeconds seconds;
    std::deque<Ledger::Committed> batches;
  };
  struct Verify {
    bool running = false;
    std::atomic<uint64_t> done{0}, total{0};  // told from the ledger's shard
    std::optional<WallTime> begun;
    Ledger::Verified result;
    std::string error;
  };
  // The sums cost a look at every account, so they are kept for twenty times as long as they took.
  struct Trial {
    SteadyTime good_until{};
    uint64_t op = 0;
    std::string json;
  };

  const ConsoleParts parts_;
  Ledger& ledger_;
  io::Shard& home_;
  ContentionLab lab_;
  const std::unique_ptr<Recent> recent_;
  std::optional<uint64_t> watch_;
  Verify verify_;
  Trial trial_;
  io::TaskGroup tasks_;
};

}  // namespace polis::ledger
