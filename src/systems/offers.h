// Offers: what one system gives the others of its process, by the type of its public header: the event log is found as
// stream::EventLog. Who uses whom is in README.md; a system that stands earlier in the list (app/systems.cc) starts
// earlier, and one that System::uses() names stops later, so what start() finds here lives until stop() has returned.
//
// Shard 0, from start() to stop().
#pragma once

#include <map>
#include <typeindex>

#include "kernel/base/result.h"

namespace polis::systems {

class Offers {
 public:
  // One of a type.
  template <class T>
  void offer(T& what) {
    POLIS_ASSERT(all_.emplace(std::type_index(typeid(T)), &what).second);
  }
  template <class T>
  void withdraw() {
    all_.erase(std::type_index(typeid(T)));
  }
  // Null if the system that offers it is not part of this polis, or comes later in the list.
  template <class T>
  T* find() const {
    const auto found = all_.find(std::type_index(typeid(T)));
    return found == all_.end() ? nullptr : static_cast<T*>(found->second);
  }

 private:
  std::map<std::type_index, void*> all_;
};

}  // namespace polis::systems
