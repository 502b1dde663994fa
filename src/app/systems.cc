#include "app/systems.h"

#include "systems/exchange/faces/system.h"
#include "systems/ledger/faces/system.h"
#include "systems/object/system.h"
#include "systems/stream/faces/system.h"

namespace polis::app {

SystemList all_systems() {
  SystemList list;
  list.push_back(object::make_system());
  list.push_back(ledger::make_system());
  list.push_back(stream::make_system());
  list.push_back(exchange::make_system());
  return list;
}

}  // namespace polis::app
