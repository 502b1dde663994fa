#include "systems/exchange/venue/engine.h"

#include <algorithm>
#include <bit>

namespace polis::exchange {
namespace {

InstrumentRules rules_of(const InstrumentDefinition& definition) {
  return {.id = definition.id,
          .orders_max = definition.orders_max,
          .window_ticks = definition.window_ticks,
          .collar_bp = definition.collar_bp,
          .band_bp = definition.band_bp,
          .pause_ns = VenueTime{definition.pause_seconds} * 1'000'000'000};
}

}  // namespace

Engine::Engine(uint32_t instruments_max)
    : books_(size_t{instruments_max} + 1), leaves_(std::bit_ceil(size_t{instruments_max} + 1)) {
  times_.assign(2 * leaves_, kNever);
}

void Engine::note_time(InstrumentId id) {
  const VenueTime time = books_.data()[id]->due_at();
  size_t at = leaves_ + id;
  if (times_.data()[at] == time) return;
  times_[at] = time;
  while (at > 1) {
    at /= 2;
    const VenueTime earlier = std::min(times_[2 * at], times_[2 * at + 1]);
    if (times_[at] == earlier) return;
    times_[at] = earlier;
  }
}

std::optional<VenueTime> Engine::next_time() const {
  if (times_[1] == kNever) return std::nullopt;
  return times_[1];
}

void Engine::define(const InstrumentDefinition& definition) {
  std::unique_ptr<Matching>& book = books_[definition.id];
  if (book == nullptr) {
    book = std::make_unique<Matching>(rules_of(definition));
  } else {
    book->change_rules(rules_of(definition));
  }
}

void Engine::execute(const Command& command, Events& events) {
  if (command.kind == Command::Kind::kTime) {
    while (times_[1] <= command.now) {
      // The leftmost of the earliest.
      size_t at = 1;
      while (at < leaves_) at = times_[2 * at] == times_[at] ? 2 * at : 2 * at + 1;
      const auto id = static_cast<InstrumentId>(at - leaves_);
      books_[id]->on_time(command.now, events);
      note_time(id);
    }
    return;
  }
  if (command.kind == Command::Kind::kDefine) return define(command.body.define);
  Matching& book = *books_.data()[command.instrument];
  switch (command.kind) {
    case Command::Kind::kReplace:
      book.replace(command.now, command.body.replace, events);
      break;
    case Command::Kind::kSubmit:
      book.submit(command.now, command.body.submit, events);
      break;
    case Command::Kind::kCancel:
      book.cancel(command.now, command.body.cancel.order, command.body.cancel.reference, events);
      break;
    case Command::Kind::kPhase:
      book.set_phase(command.now, command.body.phase, events);
      break;
    case Command::Kind::kDefine:
    case Command::Kind::kTime:
      return;
  }
  note_time(command.instrument);
}

void Engine::populate(size_t orders) {
  const auto books = std::count_if(books_.begin(), books_.end(), [](const auto& book) { return book != nullptr; });
  for (const auto& book : books_)
    if (book != nullptr) book->populate(orders / static_cast<size_t>(books));
}

// --- snapshots

namespace {

class BooksSaver final : public Engine::Saver {
 public:
  explicit BooksSaver(const std::vector<std::unique_ptr<Matching>>& books) : books_(books) {}
  bool next(base::Writer& piece) override {
    for (; id_ < books_.size(); ++id_, saver_.reset()) {
      if (books_[id_] == nullptr) continue;
      if (saver_ == nullptr) saver_ = books_[id_]->save();
      scratch_.clear();
      base::Writer writer(scratch_);
      if (!saver_->next(writer)) continue;
      piece.u32(static_cast<uint32_t>(id_));
      piece.bytes(scratch_);
      return true;
    }
    return false;
  }

 private:
  const std::vector<std::unique_ptr<Matching>>& books_;
  size_t id_ = 0;
  std::unique_ptr<Matching::Saver> saver_;
  Bytes scratch_;
};

}  // namespace

std::unique_ptr<Engine::Saver> Engine::save() const {
  return std::make_unique<BooksSaver>(books_);
}

Result<void> Engine::load(BytesView piece) {
  base::Reader reader(piece);
  const InstrumentId id = reader.u32();
  if (!reader.ok() || id == 0 || id >= books_.size()) return fail(Code::kCorrupt, "a book of no instrument");
  if (books_[id] == nullptr) {
    books_[id] = TRY(Matching::load_first(reader.rest()));
    if (books_[id]->rules().id != id) return fail(Code::kCorrupt, "a book of another instrument");
  } else {
    TRY(books_[id]->load(reader.rest()));
  }
  if (books_[id]->loaded()) note_time(id);
  return {};
}

bool Engine::loaded() const {
  for (const auto& book : books_)
    if (book != nullptr && !book->loaded()) return false;
  return true;
}

}  // namespace polis::exchange
