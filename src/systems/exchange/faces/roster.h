// Roster: what is defined in the venue, by name, as its operators see it: assets, instruments, accounts, sessions. A
// copy that the admin API keeps; nobody else defines anything, so it is complete. Home shard of the venue.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "systems/exchange/runtime/runtime.h"

namespace polis::exchange {

class Roster {
 public:
  // Everything, from the venue as it stands.
  Task<Result<void>> load(VenueRuntime& venue);

  // Null for what is not defined.
  const AssetDefinition* asset(std::string_view symbol) const { return find(assets_, symbol); }
  const AssetDefinition* asset(AssetId id) const { return find(assets_, id); }
  const InstrumentDefinition* instrument(std::string_view symbol) const { return find(instruments_, symbol); }
  const InstrumentDefinition* instrument(InstrumentId id) const { return find(instruments_, id); }
  const AccountDefinition* account(std::string_view name) const { return find(accounts_, name); }
  const AccountDefinition* account(AccountId id) const { return find(accounts_, id); }
  const SessionDefinition* session(std::string_view name) const { return find(sessions_, name); }
  // By id, from 1.
  const std::vector<AssetDefinition>& assets() const { return assets_.all; }
  const std::vector<InstrumentDefinition>& instruments() const { return instruments_.all; }
  const std::vector<AccountDefinition>& accounts() const { return accounts_.all; }
  const std::vector<SessionDefinition>& sessions() const { return sessions_.all; }

  // What the venue has taken: new, or in place of the one with its id.
  void put(const AssetDefinition& one) { put(assets_, one, one.symbol.view()); }
  void put(const InstrumentDefinition& one) { put(instruments_, one, one.symbol.view()); }
  void put(const AccountDefinition& one) { put(accounts_, one, one.name.view()); }
  void put(const SessionDefinition& one) { put(sessions_, one, one.name.view()); }

 private:
  template <class Definition>
  struct Table {
    std::vector<Definition> all;
    std::map<std::string, uint32_t, std::less<>> by_name;
  };
  template <class Definition>
  static const Definition* find(const Table<Definition>& table, std::string_view name) {
    const auto found = table.by_name.find(name);
    return found == table.by_name.end() ? nullptr : find(table, found->second);
  }
  template <class Definition>
  static const Definition* find(const Table<Definition>& table, uint32_t id) {
    return id - 1 < table.all.size() ? &table.all[id - 1] : nullptr;
  }
  template <class Definition>
  static void put(Table<Definition>& table, const Definition& one, std::string_view name) {
    if (one.id == 0 || one.id > table.all.size() + 1) return;  // ids have no gaps
    if (one.id == table.all.size() + 1) table.all.emplace_back();
    table.all[one.id - 1] = one;
    table.by_name[std::string(name)] = one.id;
  }

  Table<AssetDefinition> assets_;
  Table<InstrumentDefinition> instruments_;
  Table<AccountDefinition> accounts_;
  Table<SessionDefinition> sessions_;
};

}  // namespace polis::exchange
