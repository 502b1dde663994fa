// The books, checked from the outside: what clients know of them, and what must hold of any books at all.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "systems/ledger/engine.h"

namespace polis::ledger {

// What is known of the transfers that were sent. An id is always sent with the same event.
class Witnesses {
 public:
  // Before it is sent; again for a repetition.
  void sent(const Transfer& event);
  // Its result arrived. What cannot be, empty if all is well.
  std::string answered(Id id, const CreateResult& result);
  // It was sent, and the answer was lost.
  void lost(Id id);

  bool known(Id id) const { return transfers_.contains(id); }
  uint64_t created() const { return created_; }
  uint64_t refused() const { return refused_; }

  // Everything in the engine against everything known. Empty if all is well.
  std::string compare(const Engine& engine) const;

 private:
  struct Known {
    Transfer event;
    std::optional<CreateResult> result;
    bool lost = false;     // at least one answer
    uint64_t created = 0;  // its timestamp
  };
  std::map<Id, Known> transfers_;
  uint64_t created_ = 0, refused_ = 0;
};

// Sums every account up from its transfers and compares: with its record, with account_at(), and debits with credits.
// Empty if all is well.
std::string check_sums(const Engine& engine);

}  // namespace polis::ledger
