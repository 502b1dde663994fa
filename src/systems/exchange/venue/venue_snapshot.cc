// The venue in pieces: a byte that says whose piece it is, then the part's own.
#include "systems/exchange/venue/fields.h"
#include "systems/exchange/venue/venue.h"

namespace polis::exchange {
namespace {

enum class Part : uint8_t { kOrders = 1, kEngine, kSessions, kUnanswered, kEnd };

// 128 KiB and one session more, which has at most 65,536 runs of 13 bytes.
constexpr size_t kSessionBytes = 128 << 10;
constexpr size_t kUnansweredBytes = 512 << 10;

template <class Fields, class C>
void command_fields(Fields& fields, C& command) {
  fields.choice(command.kind, Command::Kind::kTime);
  fields(command.instrument, command.now);
  switch (command.kind) {
    case Command::Kind::kDefine: {
      auto& define = command.body.define;
      fields(define.id, define.base, define.quote, define.symbol, define.tick.mantissa, define.tick.exponent,
             define.lot.mantissa, define.lot.exponent, define.base_per_lot, define.quote_per_tick_lot, define.band_bp,
             define.collar_bp, define.pause_seconds, define.maker_fee_hundredths_bp, define.taker_fee_hundredths_bp,
             define.window_ticks, define.orders_max);
      fields.choice(define.calendar, Calendar::kUsEquity);
      return;
    }
    case Command::Kind::kSubmit: {
      auto& order = command.body.submit;
      fields(order.reference, order.account, order.self_match_id);
      fields.choice(order.self_match, SelfMatch::kDecrement);
      fields.choice(order.side, Side::kSell);
      fields.choice(order.type, OrderType::kMarketToLimit);
      fields.choice(order.time_in_force, TimeInForce::kAtClose);
      fields(order.post_only, order.price, order.stop_price, order.quantity, order.minimum, order.shown,
             order.expires_at);
      return;
    }
    case Command::Kind::kCancel:
      return fields(command.body.cancel.order, command.body.cancel.reference);
    case Command::Kind::kReplace: {
      auto& replace = command.body.replace;
      return fields(replace.order, replace.reference, replace.price, replace.stop_price, replace.quantity);
    }
    case Command::Kind::kPhase:
      return fields.choice(command.body.phase, Phase::kHalted);
    case Command::Kind::kTime:
      return;
  }
}

// The union's member of a kind comes to life before its fields are read into it.
struct LoadedCommand {
  Command command;
  base::Reader& in;
  void load(LoadedFields& fields) {
    base::Reader ahead = in;
    const auto kind = static_cast<Command::Kind>(ahead.u8());
    switch (kind) {
      case Command::Kind::kDefine:
        command.body.define = InstrumentDefinition{};
        break;
      case Command::Kind::kSubmit:
        command.body.submit = NewOrder{};
        break;
      case Command::Kind::kReplace:
        command.body.replace = ReplaceOrder{};
        break;
      case Command::Kind::kCancel:
        command.body.cancel = {};
        break;
      case Command::Kind::kPhase:
      case Command::Kind::kTime:
        break;
    }
    command_fields(fields, command);
  }
};

class VenueSaver final : public Venue::Saver {
 public:
  VenueSaver(const Venue& venue, std::span<const Venue::Unanswered> unanswered)
      : orders_(venue.orders().save()),
        engine_(venue.engine().save()),
        sessions_(venue.sessions()),
        unanswered_(unanswered) {}

  bool next(base::Writer& piece) override {
    if (orders_ != nullptr) {
      if (part(piece, Part::kOrders, *orders_)) return true;
      orders_.reset();
    }
    if (engine_ != nullptr) {
      if (part(piece, Part::kEngine, *engine_)) return true;
      engine_.reset();
    }
    if (next_session_ != 0) {
      piece.u8(static_cast<uint8_t>(Part::kSessions));
      next_session_ = sessions_.save(next_session_, kSessionBytes, piece);
      return true;
    }
    if (next_unanswered_ < unanswered_.size()) {
      piece.u8(static_cast<uint8_t>(Part::kUnanswered));
      piece.u64(next_unanswered_);
      SavedFields fields(piece);
      for (; next_unanswered_ < unanswered_.size() && piece.size_bytes() < kUnansweredBytes; ++next_unanswered_) {
        const Venue::Unanswered& one = unanswered_[next_unanswered_];
        fields(one.stamp.sequence, one.stamp.now);
        command_fields(fields, one.command);
      }
      return true;
    }
    if (ended_) return false;
    ended_ = true;
    piece.u8(static_cast<uint8_t>(Part::kEnd));
    return true;
  }

 private:
  template <class PartSaver>
  bool part(base::Writer& piece, Part part, PartSaver& saver) {
    scratch_.clear();
    base::Writer writer(scratch_);
    if (!saver.next(writer)) return false;
    piece.u8(static_cast<uint8_t>(part));
    piece.bytes(scratch_);
    return true;
  }

  std::unique_ptr<OrderManager::Saver> orders_;
  std::unique_ptr<Engine::Saver> engine_;
  const SessionBook& sessions_;
  std::span<const Venue::Unanswered> unanswered_;
  SessionId next_session_ = 1;
  size_t next_unanswered_ = 0;
  bool ended_ = false;
  Bytes scratch_;
};

}  // namespace

std::unique_ptr<Venue::Saver> Venue::save() const {
  return std::make_unique<VenueSaver>(*this, std::span(unanswered_).subspan(unanswered_first_));
}

Result<void> Venue::load(BytesView piece) {
  base::Reader in(piece);
  switch (static_cast<Part>(in.u8())) {
    case Part::kOrders:
      return orders_.load(in.rest());
    case Part::kEngine:
      return engine_.load(in.rest());
    case Part::kSessions:
      TRY(sessions_.load(in, orders_.sessions()));
      return in.finish();
    case Part::kUnanswered:
      if (in.u64() != unanswered_.size()) in.reject("commands out of order");
      while (in.ok() && in.remaining_bytes() > 0) {
        Unanswered one;
        LoadedFields fields(in);
        fields(one.stamp.sequence, one.stamp.now);
        LoadedCommand command{.command = {}, .in = in};
        command.load(fields);
        one.command = command.command;
        if (one.command.kind != Command::Kind::kTime &&
            (one.command.instrument == 0 || one.command.instrument > orders_.instruments()))
          in.reject("a command for no instrument");
        unanswered_.push_back(one);
      }
      return in.finish();
    case Part::kEnd:
      TRY(in.finish());
      if (!engine_.loaded()) return fail(Code::kCorrupt, "a book of the venue's snapshot is not whole");
      return {};
    default:
      return fail(Code::kCorrupt, "an unknown piece of a venue's snapshot");
  }
}

}  // namespace polis::exchange
