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
//       static uint64_t digest(const Reply&);                  // of everything that a caller sees: what replay must
//                                                              // reproduce
//
//       class Saver {                                          // the state in pieces, each made in well under 1 ms
//        public:
//         explicit Saver(const Counter&);
//         bool next(base::Writer& piece);                      // a piece of 1 byte .. 1 MiB; false: none is left
//       };
//       Result<void> load(BytesView piece);                    // the same pieces in the same order, into a fresh one
//     };
//
// Three things a machine may add:
//
//     using Digest = ...;             A digest of 1 .. 64 bytes instead of uint64_t, stored beside each command: any
//     type
//                                     without pointers and padding.
//     kSavesWhileRunning = true;      Its Saver keeps the state as it was at construction while apply() goes on, so a
//                                     snapshot needs no second machine. One Saver at a time.
//     Result<void> load_finished();   Called behind the last piece, to rebuild what pieces leave out.
//
// A Command may point to bytes that it does not own: they live until submit() has returned, or as long as the record
// that it was decoded from.
#pragma once

#include <concepts>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "kernel/base/binary.h"
#include "kernel/base/result.h"
#include "kernel/machine/entry.h"

namespace polis::machine {

namespace detail {
template <class M>
struct DigestOf {
  using Type = uint64_t;
};
template <class M>
  requires requires { typename M::Digest; }
struct DigestOf<M> {
  using Type = typename M::Digest;
};
template <class M>
consteval bool saves_while_running() {
  if constexpr (requires { M::kSavesWhileRunning; }) return M::kSavesWhileRunning;
  return false;
}
}  // namespace detail

template <class M>
using DigestOf = typename detail::DigestOf<M>::Type;
template <class M>
inline constexpr bool kSavesWhileRunning = detail::saves_while_running<M>();

template <class M>
concept Machine =
    std::has_unique_object_representations_v<DigestOf<M>> && sizeof(DigestOf<M>) <= kDigestBytesMax &&
    requires(M machine, const M& frozen, const typename M::Command& command, const typename M::Reply& reply,
             base::Writer& out, BytesView in, typename M::Saver saver, uint32_t behaviour) {
      { M::kName } -> std::convertible_to<std::string_view>;
      { M::kBehaviour } -> std::convertible_to<uint32_t>;
      { M::kOldestBehaviour } -> std::convertible_to<uint32_t>;
      { machine.behave_as(behaviour) } -> std::same_as<void>;
      { machine.apply(command) } -> std::same_as<typename M::Reply>;
      { M::encode(command, out) } -> std::same_as<void>;
      { M::decode(in) } -> std::same_as<Result<typename M::Command>>;
      { M::digest(reply) } -> std::convertible_to<DigestOf<M>>;
      { typename M::Saver(frozen) };
      { saver.next(out) } -> std::same_as<bool>;
      { machine.load(in) } -> std::same_as<Result<void>>;
    };

}  // namespace polis::machine
