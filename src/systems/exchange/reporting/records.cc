#include "systems/exchange/reporting/records.h"

#include "kernel/base/ordered_key.h"

namespace polis::exchange {
namespace {

// Raises with the encoding; older rows stay readable, newer ones are refused.
constexpr uint8_t kRecordVersion = 1;
constexpr size_t kProblemBytesMax = 512;

void append_part(std::string& key, uint64_t part) {
  Bytes bytes;
  base::append_key_u64(bytes, part);
  key += as_text(bytes);
}

template <size_t N>
void write_text(base::Writer& out, const Text<N>& text) {
  out.sized(text.view());
}
template <class T>
T read_text(base::Reader& in) {
  const std::string_view text = in.sized_text(sizeof(T));
  if (!T::fits(text)) in.reject("a text that does not fit");
  return T(text);
}
// An enumerator up to and including `last`.
template <class E>
E read_enum(base::Reader& in, E last) {
  const uint8_t value = in.u8();
  if (value > static_cast<uint8_t>(last)) in.reject("an unknown enumerator");
  return static_cast<E>(value);
}
template <class E>
void write_enum(base::Writer& out, E value) {
  out.u8(static_cast<uint8_t>(value));
}
uint32_t read_u32(base::Reader& in) {
  return static_cast<uint32_t>(in.varint_up_to(UINT32_MAX));
}
void write_version(base::Writer& out) {
  out.u8(kRecordVersion);
}
void read_version(base::Reader& in) {
  if (in.u8() != kRecordVersion) in.reject("an unknown version of a row");
}

template <class Record, class Decode>
Result<Record> decode_one(std::string_view value, Decode decode) {
  base::Reader in(as_bytes(value));
  Record record;
  read_version(in);
  decode(in, record);
  TRY(in.finish());
  return record;
}
// Records to the end. Each is longer than nothing, so it ends.
template <class Record, class Decode>
Result<std::vector<Record>> decode_chunk(std::string_view chunk, Decode decode) {
  base::Reader in(as_bytes(chunk));
  std::vector<Record> records;
  while (in.ok() && in.remaining_bytes() > 0) decode(in, records.emplace_back());
  TRY(in.finish());
  return records;
}

}  // namespace

std::string row_key(RowKind kind) {
  return std::string(1, static_cast<char>(kind));
}
std::string row_key(RowKind kind, uint64_t first) {
  std::string key = row_key(kind);
  append_part(key, first);
  return key;
}
std::string row_key(RowKind kind, uint64_t first, uint64_t second) {
  std::string key = row_key(kind, first);
  append_part(key, second);
  return key;
}

Result<uint64_t> key_part(std::string_view key, size_t n) {
  if (key.size() < 1 + (n + 1) * sizeof(uint64_t)) return fail(Code::kCorrupt, "a row of the reporter has a short key");
  BytesView part = as_bytes(key.substr(1 + n * sizeof(uint64_t)));
  return base::take_key_u64(part);
}

OrderRecord order_of(Sequence sequence, VenueTime time, const Report& report) {
  return {.order = report.order,
          .account = report.account,
          .session = report.session,
          .instrument = report.instrument,
          .side = report.side,
          .type = report.type,
          .time_in_force = report.time_in_force,
          .status = report.status,
          .price = report.price,
          .stop_price = report.stop_price,
          .quantity = report.quantity,
          .filled = report.filled,
          .left = report.left,
          .notional = report.notional,
          .client_id = report.client_id,
          .entered_sequence = sequence,
          .changed_sequence = sequence,
          .entered = time,
          .changed = time};
}

std::string_view name(MovementKind kind) {
  switch (kind) {
    case MovementKind::kDeposit:
      return "deposit";
    case MovementKind::kWithdrawal:
      return "withdrawal";
    case MovementKind::kTrade:
      return "trade";
    case MovementKind::kFee:
      return "fee";
    case MovementKind::kFeeIncome:
      return "fee income";
    case MovementKind::kTradeBreak:
      return "trade break";
  }
  return "";
}

// --- single records

void encode(const OrderRecord& record, base::Writer& out) {
  write_version(out);
  out.varint(record.order);
  out.varint(record.account);
  out.varint(record.session);
  out.varint(record.instrument);
  write_enum(out, record.side);
  write_enum(out, record.type);
  write_enum(out, record.time_in_force);
  write_enum(out, record.status);
  out.zigzag(record.price);
  out.zigzag(record.stop_price);
  out.zigzag(record.quantity);
  out.zigzag(record.filled);
  out.zigzag(record.left);
  out.zigzag(record.notional);
  write_text(out, record.client_id);
  out.varint(record.entered_sequence);
  out.varint(record.changed_sequence);
  out.zigzag(record.entered);
  out.zigzag(record.changed);
}

Result<OrderRecord> decode_order(std::string_view value) {
  return decode_one<OrderRecord>(value, [](base::Reader& in, OrderRecord& record) {
    record.order = in.varint();
    record.account = read_u32(in);
    record.session = read_u32(in);
    record.instrument = read_u32(in);
    record.side = read_enum(in, Side::kSell);
    record.type = read_enum(in, OrderType::kMarketToLimit);
    record.time_in_force = read_enum(in, TimeInForce::kAtClose);
    record.status = read_enum(in, OrderStatus::kRejected);
    record.price = in.zigzag();
    record.stop_price = in.zigzag();
    record.quantity = in.zigzag();
    record.filled = in.zigzag();
    record.left = in.zigzag();
    record.notional = in.zigzag();
    record.client_id = read_text<ClientOrderId>(in);
    record.entered_sequence = in.varint();
    record.changed_sequence = in.varint();
    record.entered = in.zigzag();
    record.changed = in.zigzag();
  });
}

void encode(const DayRecord& record, base::Writer& out) {
  write_version(out);
  out.varint(record.day);
  out.varint(record.previous_day);
  out.varint(record.first);
  out.varint(record.last);
  out.zigzag(record.closed);
  write_enum(out, record.state);
  out.varint(record.file_chunks);
  out.varint(record.file_bytes);
  out.varint(record.lines);
  out.sized(record.sha256);
  out.sized(std::string_view(record.problem).substr(0, kProblemBytesMax));
}

Result<DayRecord> decode_day(std::string_view value) {
  return decode_one<DayRecord>(value, [](base::Reader& in, DayRecord& record) {
    record.day = read_u32(in);
    record.previous_day = read_u32(in);
    record.first = in.varint();
    record.last = in.varint();
    record.closed = in.zigzag();
    record.state = read_enum(in, DayState::kWritten);
    record.file_chunks = in.varint();
    record.file_bytes = in.varint();
    record.lines = in.varint();
    record.sha256 = in.sized_text(64);
    record.problem = in.sized_text(kProblemBytesMax);
  });
}

void encode(const WithdrawalRecord& record, base::Writer& out) {
  write_version(out);
  out.varint(record.sequence);
  out.zigzag(record.time);
  out.varint(record.account);
  out.varint(record.asset);
  out.zigzag(record.amount);
  out.u64(record.wallet_low);
  out.u64(record.wallet_high);
  out.varint(record.attempt);
  out.sized(std::string_view(record.problem).substr(0, kProblemBytesMax));
}

Result<WithdrawalRecord> decode_withdrawal(std::string_view value) {
  return decode_one<WithdrawalRecord>(value, [](base::Reader& in, WithdrawalRecord& record) {
    record.sequence = in.varint();
    record.time = in.zigzag();
    record.account = read_u32(in);
    record.asset = read_u32(in);
    record.amount = in.zigzag();
    record.wallet_low = in.u64();
    record.wallet_high = in.u64();
    record.attempt = read_u32(in);
    record.problem = in.sized_text(kProblemBytesMax);
  });
}

void encode(const ProgressRecord& record, base::Writer& out) {
  write_version(out);
  out.varint(record.committed);
  out.zigzag(record.first_time);
  out.zigzag(record.last_time);
  out.varint(record.day);
  out.varint(record.day_first);
}

Result<ProgressRecord> decode_progress(std::string_view value) {
  return decode_one<ProgressRecord>(value, [](base::Reader& in, ProgressRecord& record) {
    record.committed = in.varint();
    record.first_time = in.zigzag();
    record.last_time = in.zigzag();
    record.day = read_u32(in);
    record.day_first = in.varint();
  });
}

// --- chunks

void encode(const StoredReport& record, base::Writer& out) {
  const Report& report = record.report;
  out.varint(record.sequence);
  out.zigzag(record.time);
  write_enum(out, report.kind);
  write_enum(out, report.status);
  write_enum(out, report.side);
  write_enum(out, report.type);
  write_enum(out, report.time_in_force);
  write_enum(out, report.refusal);
  write_enum(out, report.cancel);
  out.u8(report.flags);
  out.varint(report.account);
  out.varint(report.instrument);
  out.varint(report.message_number);
  out.varint(report.tag);
  out.varint(report.order);
  for (const int64_t number : {report.price, report.stop_price, report.quantity, report.filled, report.left,
                               report.last_price, report.last_quantity, report.notional, report.fee})
    out.zigzag(number);
  out.varint(report.match);
  write_text(out, report.client_id);
  write_text(out, report.original_id);
}

Result<std::vector<StoredReport>> decode_reports(std::string_view chunk, SessionId session) {
  return decode_chunk<StoredReport>(chunk, [session](base::Reader& in, StoredReport& record) {
    Report& report = record.report;
    record.sequence = in.varint();
    record.time = in.zigzag();
    report.kind = read_enum(in, ReportKind::kHalted);
    report.status = read_enum(in, OrderStatus::kRejected);
    report.side = read_enum(in, Side::kSell);
    report.type = read_enum(in, OrderType::kMarketToLimit);
    report.time_in_force = read_enum(in, TimeInForce::kAtClose);
    report.refusal = read_enum(in, Refusal::kBusy);
    report.cancel = read_enum(in, CancelReason::kNotAuctioned);
    report.flags = in.u8();
    report.session = session;
    report.account = read_u32(in);
    report.instrument = read_u32(in);
    report.message_number = read_u32(in);
    report.tag = in.varint();
    report.order = in.varint();
    for (int64_t* number : {&report.price, &report.stop_price, &report.quantity, &report.filled, &report.left,
                            &report.last_price, &report.last_quantity, &report.notional, &report.fee})
      *number = in.zigzag();
    report.match = in.varint();
    report.client_id = read_text<ClientOrderId>(in);
    report.original_id = read_text<ClientOrderId>(in);
  });
}

void encode(const AccountOrder& record, base::Writer& out) {
  out.varint(record.sequence);
  out.varint(record.order);
}

Result<std::vector<AccountOrder>> decode_account_orders(std::string_view chunk) {
  return decode_chunk<AccountOrder>(chunk, [](base::Reader& in, AccountOrder& record) {
    record.sequence = in.varint();
    record.order = in.varint();
  });
}

void encode(const FillRecord& record, base::Writer& out) {
  out.varint(record.sequence);
  out.zigzag(record.time);
  out.varint(record.order);
  out.varint(record.instrument);
  write_enum(out, record.side);
  out.u8(static_cast<uint8_t>(record.maker | record.auction << 1 | record.broken << 2));
  out.zigzag(record.price);
  out.zigzag(record.quantity);
  out.zigzag(record.left);
  out.varint(record.match);
  out.zigzag(record.fee);
  write_text(out, record.client_id);
}

Result<std::vector<FillRecord>> decode_fills(std::string_view chunk) {
  return decode_chunk<FillRecord>(chunk, [](base::Reader& in, FillRecord& record) {
    record.sequence = in.varint();
    record.time = in.zigzag();
    record.order = in.varint();
    record.instrument = read_u32(in);
    record.side = read_enum(in, Side::kSell);
    const uint8_t flags = in.u8();
    if (flags > 7) in.reject("unknown flags of a fill");
    record.maker = flags & 1;
    record.auction = flags & 2;
    record.broken = flags & 4;
    record.price = in.zigzag();
    record.quantity = in.zigzag();
    record.left = in.zigzag();
    record.match = in.varint();
    record.fee = in.zigzag();
    record.client_id = read_text<ClientOrderId>(in);
  });
}

void encode(const TradeRecord& record, base::Writer& out) {
  out.varint(record.match);
  out.varint(record.sequence);
  out.zigzag(record.time);
  write_enum(out, record.side);
  out.boolean(record.auction);
  out.zigzag(record.price);
  out.zigzag(record.quantity);
}

Result<std::vector<TradeRecord>> decode_trades(std::string_view chunk) {
  return decode_chunk<TradeRecord>(chunk, [](base::Reader& in, TradeRecord& record) {
    record.match = in.varint();
    record.sequence = in.varint();
    record.time = in.zigzag();
    record.side = read_enum(in, Side::kSell);
    record.auction = in.boolean();
    record.price = in.zigzag();
    record.quantity = in.zigzag();
  });
}

void encode(const Movement& record, base::Writer& out) {
  out.varint(record.sequence);
  out.zigzag(record.time);
  write_enum(out, record.kind);
  out.varint(record.asset);
  out.zigzag(record.amount);
  out.varint(record.instrument);
  out.varint(record.match);
  out.varint(record.order);
}

Result<std::vector<Movement>> decode_movements(std::string_view chunk) {
  return decode_chunk<Movement>(chunk, [](base::Reader& in, Movement& record) {
    record.sequence = in.varint();
    record.time = in.zigzag();
    record.kind = read_enum(in, MovementKind::kTradeBreak);
    record.asset = read_u32(in);
    record.amount = in.zigzag();
    record.instrument = read_u32(in);
    record.match = in.varint();
    record.order = in.varint();
  });
}

void encode(const AssetAmount& record, base::Writer& out) {
  out.varint(record.asset);
  out.zigzag(record.amount);
}

Result<std::vector<AssetAmount>> decode_amounts(std::string_view chunk) {
  return decode_chunk<AssetAmount>(chunk, [](base::Reader& in, AssetAmount& record) {
    record.asset = read_u32(in);
    record.amount = in.zigzag();
  });
}

}  // namespace polis::exchange
