// What a refused account or transfer means to the person who sent it: the status in the protocol's word, and what to do
// about it.
#pragma once

#include "kernel/base/result.h"
#include "systems/ledger/types.h"

namespace polis::ledger {

// Not for kCreated. kNotFound where something named does not exist, kConflict where the present state of the books
// refuses it, kInvalid where nothing but another request can help.
Error refusal(AccountStatus status);
Error refusal(TransferStatus status);

}  // namespace polis::ledger
