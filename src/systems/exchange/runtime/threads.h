// SplitCore: the venue on two threads, each with a CPU of its own if told so, and nothing but queues between them.
//
//     shards ──► a queue each ──► order manager ──► commands ──► engine
//                                  (sequencer, ◄── answers  ◄──
//                                   bus writer)
//
// The order manager's thread is the sequencer: it stamps and writes whatever it handles next, a request of a shard or
// the engine's answer to the oldest command that is open (a turn), and that order is what the journal keeps. So a
// replay on one thread makes the same outputs, bit by bit, though another run may have interleaved them otherwise.
//
// No allocation, lock or system call while it runs under load; whoever has nothing to do waits as WaitMode says. The
// engine's answers are made in place in a ring of vectors, so no answer is too large and none is copied.
#pragma once

#include <memory>

#include "kernel/base/result.h"
#include "systems/exchange/runtime/core.h"

namespace polis::exchange {

// Home shard. Starts both threads; kInvalid: a CPU of `cpus` that this process may not use.
Result<std::unique_ptr<Core>> start_split_core(const CoreParts& parts);

}  // namespace polis::exchange
