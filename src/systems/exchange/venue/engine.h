// Engine: the books of all instruments behind one face. One thread; commands in, events out.
#pragma once

#include <memory>
#include <vector>

#include "kernel/base/binary.h"
#include "systems/exchange/matching/matching.h"
#include "systems/exchange/messages.h"

namespace polis::exchange {

class Engine {
 public:
  explicit Engine(uint32_t instruments_max);

  // Appends the answer. A command for an instrument that was never defined is the caller's mistake.
  void execute(const Command& command, Events& events);

  const Matching* find(InstrumentId id) const { return id < books_.size() ? books_[id].get() : nullptr; }
  // When a kTime command has something to do in some instrument; nothing if never. One read.
  std::optional<VenueTime> next_time() const;

  // Memory now for so many more orders, evenly over the books that there are.
  void populate(size_t orders);

  // Piece by piece, each 1 byte .. 1 MiB; a piece belongs to one instrument.
  class Saver;
  std::unique_ptr<Saver> save() const;
  Result<void> load(BytesView piece);
  // Whether every book that was begun is whole.
  bool loaded() const;

 private:
  static constexpr VenueTime kNever = INT64_MAX;
  void define(const InstrumentDefinition& definition);
  void note_time(InstrumentId id);

  std::vector<std::unique_ptr<Matching>> books_;  // by id
  // When each has something to do, and above them the earlier of two, up to times_[1]: a tree in an array.
  std::vector<VenueTime> times_;
  size_t leaves_ = 1;
};

class Engine::Saver {
 public:
  virtual ~Saver() = default;
  virtual bool next(base::Writer& piece) = 0;
};

}  // namespace polis::exchange
