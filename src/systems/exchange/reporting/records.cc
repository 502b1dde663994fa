#include "systems/exchange/reporting/records.h"

#include "systems/exchange/reporting/record_codec.h"

namespace polis::exchange {
namespace {

// Raises with the encoding; rows of another one are refused.
constexpr char kRecordVersion = 2;

// Behind `value`.
template <class Record>
void append_record(std::string& value, const Record& record, const Record& before) {
  RecordWriter writer;
  visit_fields(writer, record, before);
  value += as_text(writer.finish());
}
template <class Record>
void read_record(base::Reader& in, Record& record, const Record& before) {
  RecordReader reader(in);
  visit_fields(reader, record, before);
  reader.finish();
}
void read_version(base::Reader& in) {
  if (in.u8() != kRecordVersion) in.reject("an unknown version of a row");
}

}  // namespace

// --- the last enumerators

static constexpr Side last_of(Side) {
  return Side::kSell;
}
static constexpr OrderType last_of(OrderType) {
  return OrderType::kMarketToLimit;
}
static constexpr TimeInForce last_of(TimeInForce) {
  return TimeInForce::kAtClose;
}
static constexpr OrderStatus last_of(OrderStatus) {
  return OrderStatus::kRejected;
}
static constexpr ReportKind last_of(ReportKind) {
  return ReportKind::kHalted;
}
static constexpr Refusal last_of(Refusal) {
  return Refusal::kBusy;
}
static constexpr CancelReason last_of(CancelReason) {
  return CancelReason::kNotAuctioned;
}
static constexpr MovementKind last_of(MovementKind) {
  return MovementKind::kTradeBreak;
}
static constexpr DayState last_of(DayState) {
  return DayState::kWritten;
}

// --- the fields, those that change from record to record first

static constexpr auto fields_of(const Report&) {
  using R = Report;
  return std::tuple(&R::kind, &R::status, &R::order, &R::tag, &R::message_number, &R::client_id, &R::left, &R::side,
                    &R::price, &R::quantity, &R::filled, &R::last_price, &R::last_quantity, &R::notional, &R::match,
                    &R::fee, &R::flags, &R::original_id, &R::cancel, &R::refusal, &R::type, &R::time_in_force,
                    &R::stop_price, &R::instrument, &R::account);
}
static constexpr auto fields_of(const StoredReport&) {
  using R = StoredReport;
  return std::tuple(&R::sequence, &R::time, &R::report);
}
static constexpr auto fields_of(const OrderRecord&) {
  using R = OrderRecord;
  return std::tuple(&R::order, &R::account, &R::session, &R::instrument, &R::side, &R::status, &R::price, &R::quantity,
                    &R::client_id, &R::changed_sequence, &R::changed, &R::entered_sequence, &R::entered, &R::filled,
                    &R::left, &R::notional, &R::type, &R::time_in_force, &R::stop_price);
}
static constexpr auto fields_of(const AccountOrder&) {
  using R = AccountOrder;
  return std::tuple(&R::sequence, &R::order);
}
static constexpr auto fields_of(const FillRecord&) {
  using R = FillRecord;
  return std::tuple(&R::sequence, &R::time, &R::order, &R::client_id, &R::match, &R::side, &R::price, &R::quantity,
                    &R::left, &R::fee, &R::maker, &R::instrument, &R::auction, &R::broken);
}
static constexpr auto fields_of(const TradeRecord&) {
  using R = TradeRecord;
  return std::tuple(&R::match, &R::sequence, &R::time, &R::side, &R::price, &R::quantity, &R::auction);
}
static constexpr auto fields_of(const Movement&) {
  using R = Movement;
  return std::tuple(&R::amount, &R::asset, &R::kind, &R::sequence, &R::time, &R::match, &R::order, &R::instrument);
}
static constexpr auto fields_of(const AssetAmount&) {
  using R = AssetAmount;
  return std::tuple(&R::asset, &R::amount);
}
static constexpr auto fields_of(const DayRecord&) {
  using R = DayRecord;
  return std::tuple(&R::day, &R::previous_day, &R::first, &R::last, &R::closed, &R::state, &R::file_chunks,
                    &R::file_bytes, &R::lines, &R::sha256, &R::problem);
}
static constexpr auto fields_of(const WithdrawalRecord&) {
  using R = WithdrawalRecord;
  return std::tuple(&R::sequence, &R::time, &R::account, &R::asset, &R::amount, &R::wallet_low, &R::wallet_high,
                    &R::attempt, &R::problem);
}
static constexpr auto fields_of(const ProgressRecord&) {
  using R = ProgressRecord;
  return std::tuple(&R::committed, &R::first_time, &R::last_time, &R::day, &R::day_first);
}

// --- keys

void append_part(std::string& key, uint64_t part) {
  const int bytes = (std::bit_width(part) + 7) / 8;
  key.push_back(static_cast<char>(bytes));
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) key.push_back(static_cast<char>(part >> shift));
}

Result<uint64_t> key_part(std::string_view key, size_t n) {
  base::Reader in(as_bytes(key));
  (void)in.u8();
  uint64_t part = 0;
  for (size_t i = 0; i <= n; ++i) {
    part = 0;
    const BytesView bytes = in.bytes(in.u8());
    if (bytes.size() > sizeof part) in.reject("a part that is too long");
    for (const std::byte byte : bytes) part = part << 8 | static_cast<uint64_t>(byte);
  }
  TRY(in.status());
  return part;
}

// --- values

template <class Record>
std::string encoded(const Record& record) {
  std::string value(1, kRecordVersion);
  append_record(value, record, Record());
  return value;
}

template <class Record>
Result<Record> decode(std::string_view value) {
  base::Reader in(as_bytes(value));
  Record record;
  read_version(in);
  read_record(in, record, Record());
  TRY(in.finish());
  return record;
}

template <class Record>
void ChunkWriter<Record>::append(const Record& record) {
  if (value_.empty()) value_.push_back(kRecordVersion);
  append_record(value_, record, before_);
  before_ = record;
  ++records_;
}

template <class Record>
std::string ChunkWriter<Record>::take() {
  before_ = Record();
  records_ = 0;
  return std::exchange(value_, {});
}

template <class Record>
Result<std::vector<Record>> decode_chunk(std::string_view value) {
  base::Reader in(as_bytes(value));
  std::vector<Record> records;
  Record before;
  read_version(in);
  while (in.ok() && in.remaining_bytes() > 0) {
    read_record(in, records.emplace_back(), before);
    before = records.back();
  }
  TRY(in.finish());
  return records;
}

Result<std::vector<StoredReport>> decode_reports(std::string_view chunk, SessionId session) {
  std::vector<StoredReport> reports = TRY(decode_chunk<StoredReport>(chunk));
  for (StoredReport& stored : reports) stored.report.session = session;
  return reports;
}

template std::string encoded(const OrderRecord&);
template std::string encoded(const DayRecord&);
template std::string encoded(const WithdrawalRecord&);
template std::string encoded(const ProgressRecord&);
template Result<OrderRecord> decode(std::string_view);
template Result<DayRecord> decode(std::string_view);
template Result<WithdrawalRecord> decode(std::string_view);
template Result<ProgressRecord> decode(std::string_view);

template class ChunkWriter<OrderRecord>;
template class ChunkWriter<StoredReport>;
template class ChunkWriter<AccountOrder>;
template class ChunkWriter<FillRecord>;
template class ChunkWriter<TradeRecord>;
template class ChunkWriter<Movement>;
template class ChunkWriter<AssetAmount>;
template Result<std::vector<OrderRecord>> decode_chunk(std::string_view);
template Result<std::vector<StoredReport>> decode_chunk(std::string_view);
template Result<std::vector<AccountOrder>> decode_chunk(std::string_view);
template Result<std::vector<FillRecord>> decode_chunk(std::string_view);
template Result<std::vector<TradeRecord>> decode_chunk(std::string_view);
template Result<std::vector<Movement>> decode_chunk(std::string_view);
template Result<std::vector<AssetAmount>> decode_chunk(std::string_view);

// --- what is said of them

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

}  // namespace polis::exchange
