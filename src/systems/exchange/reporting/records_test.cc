#include "systems/exchange/reporting/records.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"

namespace polis::exchange {
namespace {

WithdrawalRecord a_withdrawal() {
  return {.sequence = 1'000'000,
          .time = -5,
          .account = 7,
          .asset = 3,
          .amount = INT64_MAX,
          .wallet_low = UINT64_MAX,
          .wallet_high = 1,
          .attempt = 2,
          .problem = "exceeds_credits"};
}

TEST(Records, come_back_as_they_were) {
  EXPECT_EQ(*decode<WithdrawalRecord>(encoded(a_withdrawal())), a_withdrawal());
  const DayRecord day{.day = 20261122,
                      .previous_day = 20261121,
                      .first = 5,
                      .last = 900,
                      .closed = 77,
                      .state = DayState::kWritten,
                      .file_chunks = 3,
                      .file_bytes = 400'000,
                      .lines = 9,
                      .sha256 = std::string(64, 'a'),
                      .problem = "sums"};
  EXPECT_EQ(*decode<DayRecord>(encoded(day)), day);
  const ProgressRecord progress{.committed = 4, .first_time = 3, .last_time = 9, .day = 20261122, .day_first = 2};
  EXPECT_EQ(*decode<ProgressRecord>(encoded(progress)), progress);

  StoredReport stored{.sequence = 12, .time = 13, .report = {}};
  stored.report.kind = ReportKind::kTrade;
  stored.report.session = 6;
  stored.report.client_id = ClientOrderId("a-1");
  stored.report.notional = INT64_MIN;
  stored.report.match = UINT64_MAX;
  ChunkWriter<StoredReport> chunk;
  chunk.append({});
  chunk.append(stored);
  const auto reports = decode_reports(chunk.take(), 6);
  ASSERT_TRUE(reports);
  ASSERT_EQ(reports->size(), 2u);
  EXPECT_EQ(std::memcmp(&reports->at(1).report, &stored.report, sizeof(Report)), 0);
}

TEST(Records, of_a_chunk_come_back_whatever_stands_before_them) {
  base::SeededRandom random{5};
  const auto text = [&] {
    std::string made(random.below(37), 'a');
    for (char& c : made) c = static_cast<char>('a' + random.below(2));
    return ClientOrderId(made);
  };
  // Numbers that repeat, that are near, and that are as far apart as they can be.
  const auto number = [&]() -> int64_t {
    const int64_t kEdges[] = {0, 1, -1, 7, INT64_MAX, INT64_MIN};
    return kEdges[random.below(std::size(kEdges))];
  };
  for (int round = 0; round < 200; ++round) {
    ChunkWriter<FillRecord> chunk;
    std::vector<FillRecord> fills(1 + random.below(20));
    for (FillRecord& fill : fills) {
      fill = {.sequence = static_cast<Sequence>(number()),
              .time = number(),
              .order = static_cast<OrderId>(number()),
              .instrument = static_cast<InstrumentId>(number()),
              .side = static_cast<Side>(random.below(2)),
              .maker = random.chance(1, 2),
              .auction = random.chance(1, 2),
              .broken = random.chance(1, 2),
              .price = number(),
              .quantity = number(),
              .left = number(),
              .match = static_cast<MatchId>(number()),
              .fee = number(),
              .client_id = text()};
      chunk.append(fill);
    }
    EXPECT_EQ(chunk.records(), fills.size());
    EXPECT_EQ(*decode_chunk<FillRecord>(chunk.take()), fills);
  }
}

TEST(Records, have_one_form_alone) {
  ChunkWriter<AccountOrder> chunk;
  chunk.append({.sequence = 5, .order = 9});
  const std::string whole = chunk.take();
  EXPECT_EQ(decode_chunk<AccountOrder>(whole)->size(), 1u);
  const char version = whole[0];
  const auto code = [&](std::string_view rest) {
    return decode_chunk<AccountOrder>(version + std::string(rest)).error().code();
  };
  using namespace std::literals;
  EXPECT_EQ(code("\x01\x00"sv), Code::kCorrupt);      // a difference of 0
  EXPECT_EQ(code("\x04\x02"sv), Code::kCorrupt);      // a field that there is not
  EXPECT_EQ(code("\x81\x00\x02"sv), Code::kCorrupt);  // a mask that could be shorter
}

TEST(Records, that_are_cut_or_damaged_are_refused) {
  const std::string whole = encoded(a_withdrawal());
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_EQ(decode<WithdrawalRecord>(std::string_view(whole).substr(0, size)).error().code(), Code::kCorrupt) << size;
  EXPECT_EQ(decode<WithdrawalRecord>(whole + '\0').error().code(), Code::kCorrupt);
  EXPECT_EQ(decode<WithdrawalRecord>('\x01' + whole.substr(1)).error().code(), Code::kCorrupt);
  EXPECT_EQ(decode_chunk<Movement>("\x01\x02\xFF").error().code(), Code::kCorrupt);
  EXPECT_EQ(key_part(row_key(RowKind::kDay), 0).error().code(), Code::kCorrupt);
}

TEST(Records, noise_ends_nothing) {
  base::SeededRandom random{3};
  for (int i = 0; i < 20'000; ++i) {
    std::string noise(random.below(80), 0);
    random.fill(as_writable_bytes(noise));
    (void)decode<OrderRecord>(noise);
    (void)decode<DayRecord>(noise);
    (void)decode<ProgressRecord>(noise);
    (void)decode_reports(noise, 1);
    (void)decode_chunk<FillRecord>(noise);
    (void)decode_chunk<TradeRecord>(noise);
    (void)decode_chunk<AssetAmount>(noise);
    (void)decode_chunk<AccountOrder>(noise);
  }
}

TEST(Records, keys_sort_as_their_numbers) {
  EXPECT_LT(row_key(RowKind::kFills, 2, 255), row_key(RowKind::kFills, 2, 256));
  EXPECT_LT(row_key(RowKind::kFills, 2, UINT64_MAX), row_key(RowKind::kFills, 3, 0));
  for (uint64_t part = 1; part < UINT64_MAX / 3; part *= 3) {
    EXPECT_LT(row_key(RowKind::kFills, part - 1), row_key(RowKind::kFills, part));
    EXPECT_EQ(*key_part(row_key(RowKind::kFills, 2, part), 1), part);
  }
  EXPECT_EQ(*key_part(row_key(RowKind::kFills, 0, UINT64_MAX), 0), 0u);
  EXPECT_EQ(*key_part(row_key(RowKind::kFills, 0, UINT64_MAX), 1), UINT64_MAX);
  EXPECT_EQ(key_part("f\x09"
                     "123456789",
                     0)
                .error()
                .code(),
            Code::kCorrupt);
}

}  // namespace
}  // namespace polis::exchange
