// Definitions: what the door knows of the venue's instruments, accounts and sessions: a copy, taken between two steps
// of the venue and taken again when an operator has changed something. Home shard of the gateway.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange::gateway {

class Definitions {
 public:
  // Null for what is not defined.
  const InstrumentDefinition* instrument(InstrumentId id) const {
    return id - 1 < instruments_.size() ? &instruments_[id - 1] : nullptr;
  }
  const InstrumentDefinition* instrument(std::string_view symbol) const;
  const AccountDefinition* account(AccountId id) const {
    return id - 1 < accounts_.size() ? &accounts_[id - 1] : nullptr;
  }
  const SessionDefinition* session(SessionId id) const {
    return id - 1 < sessions_.size() ? &sessions_[id - 1] : nullptr;
  }
  const SessionDefinition* session(std::string_view name) const;
  InstrumentId instruments() const { return static_cast<InstrumentId>(instruments_.size()); }
  SessionId sessions() const { return static_cast<SessionId>(sessions_.size()); }

  // Takes what is new; `all`: what is known already too, for it may have changed.
  Task<Result<void>> refresh(VenueRuntime& venue, bool all);

  // What refresh() does with each; for tests.
  void put(const InstrumentDefinition& definition);
  void put(const AccountDefinition& definition);
  void put(const SessionDefinition& definition);

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::vector<InstrumentDefinition> instruments_;  // by id, from 1
  std::vector<AccountDefinition> accounts_;
  std::vector<SessionDefinition> sessions_;
  std::unordered_map<uint64_t, InstrumentId> by_symbol_;  // the eight characters as a number
  std::unordered_map<std::string, SessionId, TextHash, std::equal_to<>> by_name_;
};

}  // namespace polis::exchange::gateway
