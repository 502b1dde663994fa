// Admin: the venue over JSON for those who run it, below /api/exchange/v1/admin on the main port. Who asks was proved
// before a handler runs (app); what he may do is a right of its own for each role:
//
//     exchange:Describe      look at everything                          reader
//     exchange:Define        instruments, accounts, sessions             market operator
//     exchange:Operate       phases, halts, trade breaks, going on       market operator
//     exchange:SetRisk       limits, restrictions, the kill switch       risk manager
//     exchange:MoveMoney     funding and withdrawals                     settlement clerk
//     exchange:Settle        closing a day                               settlement clerk
//
// Every change is a request of the venue, sequenced and journalled like an order, and leaves an audit record. Bodies
// are read on the connection's shard; everything else happens on the venue's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "kernel/http/request.h"
#include "kernel/http/router.h"
#include "kernel/io/shard.h"
#include "systems/body.h"
#include "systems/exchange/faces/roster.h"
#include "systems/exchange/faces/travel.h"
#include "systems/json_writer.h"
#include "systems/live.h"
#include "systems/plan.h"

namespace polis::auth {
class Directory;
}

namespace polis::exchange {

namespace gateway {
class Gateway;
}
class ApiKeys;
class Funding;
class Settlement;

// All of it outlives the Admin. The pointers are null where the polis runs without a ledger or the part is not there.
struct AdminParts {
  VenueRuntime& venue;
  Roster& roster;
  Travel& travel;
  systems::Plans& plans;
  auth::Directory& auth;
  const Clock& clock;
  ApiKeys& keys;
  gateway::Gateway* gateway = nullptr;
  Funding* funding = nullptr;
  Settlement* settlement = nullptr;
};

// Holds one permit of a semaphore that it did not acquire itself.
class ChangingTurn {
 public:
  explicit ChangingTurn(io::Semaphore& semaphore) : semaphore_(semaphore) {}
  ~ChangingTurn() { semaphore_.release(); }
  ChangingTurn(const ChangingTurn&) = delete;
  ChangingTurn& operator=(const ChangingTurn&) = delete;

 private:
  io::Semaphore& semaphore_;
};

class Admin {
 public:
  // On the venue's home shard.
  explicit Admin(AdminParts parts);

  // During start of the system, once.
  void mount(http::Router& router);
  Result<void> declare_topics(systems::LiveTopics& topics);

 private:
  using Json = Task<Result<std::string>>;
  using Draft = Task<Result<systems::PlanDraft>>;
  using Handler = Json (Admin::*)(http::Request& request, systems::Body& body);
  using Drafter = Draft (Admin::*)(http::Request& request, systems::Body& body);

  // The venue's answer; kDenied of the venue as an error that says why.
  Task<Result<Report>> ask(const Request& request);
  // Draws on the live venue, between two steps.
  Json draw(std::function<void(systems::JsonWriter&, const Venue&)> picture);
  // What a name stands for; kNotFound says what there is none of.
  Result<InstrumentDefinition> instrument(std::string_view symbol) const;
  Result<AccountDefinition> account(std::string_view name) const;
  Result<AssetDefinition> asset(std::string_view symbol) const;
  Task<void> record(const http::Request& request, std::string action, std::string resource);
  // --- admin.cc
  Json status(http::Request& request, systems::Body& body);
  Json live();
  std::string status_json() const;

  // --- admin_define.cc
  Json list_instruments(http::Request& request, systems::Body& body);
  Json put_instrument(http::Request& request, systems::Body& body);
  Json list_accounts(http::Request& request, systems::Body& body);
  Json show_account(http::Request& request, systems::Body& body);
  Json put_account(http::Request& request, systems::Body& body);
  Json list_sessions(http::Request& request, systems::Body& body);
  Json put_session(http::Request& request, systems::Body& body);
  Task<Result<AssetId>> defined_asset(AssetDefinition asset);
  Json list_keys(http::Request& request, systems::Body& body);
  Json make_key(http::Request& request, systems::Body& body);
  Json remove_key(http::Request& request, systems::Body& body);

  // --- admin_operate.cc
  Json show_book(http::Request& request, systems::Body& body);
  Json list_orders(http::Request& request, systems::Body& body);
  Json set_phase(http::Request& request, systems::Body& body);
  Json cancel_all(http::Request& request, systems::Body& body);
  Json go_on(http::Request& request, systems::Body& body);
  Draft plan_break(http::Request& request, systems::Body& body);
  Json show_risk(http::Request& request, systems::Body& body);
  Json put_risk(http::Request& request, systems::Body& body);
  Json kill(http::Request& request, systems::Body& body);
  Json restrict(http::Request& request, systems::Body& body);
  Json replay(http::Request& request, systems::Body& body);
  Task<Result<RiskLimits>> limits_of(AccountId account);

  // --- admin_money.cc
  Json fund(http::Request& request, systems::Body& body);
  Json withdraw(http::Request& request, systems::Body& body);
  Draft plan_settle(http::Request& request, systems::Body& body);

  const AdminParts parts_;
  io::Shard& home_;
  // Changes that begin with a look: ids are given one after the other, limits change one by one.
  io::Semaphore changing_{1};
};

}  // namespace polis::exchange
