// Machine: a deterministic engine that a Replica can run. Given the same commands in the same order, apply() makes the
// same state and the same replies, on every machine and in every later build that still knows the behaviour: no clock,
// no randomness, no addresses, no hash order; time and seeds arrive inside commands.
//
//     struct Counter {
//       static constexpr std::string_view kName = "counter";   // of the stored format; never changes
//       static constexpr uint32_t kBehaviour = 2;              // raised when apply() answers differently than before
//       static constexpr uint32_t kOldestBehaviour = 1;        // the oldest that this build still replays
//       struct Command {...};
//       struct Reply {...};
//
//       void behave_as(uint32_t behaviour);                    // commands from now on follow these rules
//       Reply apply(const Command& command);                   // never fails: a refusal is a Reply
//
//       static void encode(const Command&, base::Writer&);     // the journal's form of a command
//       static Result<Command> decode(BytesView);              // its reverse, of bytes that passed a checksum
//       static uint64_t digest(const Reply&);                  // of everything that a caller sees; what replay must
//       reproduce
//
//       class Saver {                                          // the state in pieces, each made in well under 1 ms
//        public:
//         explicit Saver(const Counter&);
//         bool next(base::Writer& piece);                      // one piece of 1 byte .. 1 MiB; false when there is
//         none left
//       };
//       Result<void> load(BytesView piece);                    // the same pieces in the same order, into a fresh
//       machine
//     };
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>

#include "kernel/base/binary.h"
#include "kernel/base/result.h"

namespace polis::machine {

template <class M>
concept Machine =
    requires(M machine, const M& frozen, const typename M::Command& command, const typename M::Reply& reply,
             base::Writer& out, BytesView in, typename M::Saver saver, uint32_t behaviour) {
      { M::kName } -> std::convertible_to<std::string_view>;
      { M::kBehaviour } -> std::convertible_to<uint32_t>;
      { M::kOldestBehaviour } -> std::convertible_to<uint32_t>;
      { machine.behave_as(behaviour) } -> std::same_as<void>;
      { machine.apply(command) } -> std::same_as<typename M::Reply>;
      { M::encode(command, out) } -> std::same_as<void>;
      { M::decode(in) } -> std::same_as<Result<typename M::Command>>;
      { M::digest(reply) } -> std::convertible_to<uint64_t>;
      { typename M::Saver(frozen) };
      { saver.next(out) } -> std::same_as<bool>;
      { machine.load(in) } -> std::same_as<Result<void>>;
    };

}  // namespace polis::machine
