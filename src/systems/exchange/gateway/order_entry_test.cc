#include "systems/exchange/gateway/order_entry.h"

#include <algorithm>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "systems/exchange/gateway/execution_report.h"
#include "systems/exchange/gateway/recent_reports.h"
#include "systems/exchange/gateway/throttle.h"

namespace polis::exchange::gateway {
namespace {

Definitions definitions() {
  Definitions known;
  InstrumentDefinition instrument;
  instrument.id = 1;
  instrument.symbol = Symbol("ABC");
  instrument.tick = {5, -2};
  instrument.lot = {1, 2};
  known.put(instrument);
  known.put(AccountDefinition{.id = 2, .name = Name("A7")});
  return known;
}

SessionDefinition session() {
  SessionDefinition definition;
  definition.id = 7;
  definition.account = 2;
  return definition;
}

// The request of a message whose body stands here with '|'.
Request entered(std::string type, std::string body, bool* possible_resend = nullptr) {
  std::string inside = fmt::format("35={}|34=9|{}", type, body);
  std::string frame = fmt::format("8=FIX.4.4|9={}|{}", inside.size(), inside);
  std::replace(frame.begin(), frame.end(), '|', fix::kSeparator);
  unsigned sum = 0;
  for (char c : frame) sum += static_cast<uint8_t>(c);
  frame += fmt::format("10={:03}", sum % 256) + fix::kSeparator;
  fix::Message message;
  EXPECT_TRUE(message.parse(frame));
  Request request;
  const OrderEntry entry = order_entry(message, session(), 9, definitions(), request);
  EXPECT_TRUE(entry.served);
  if (possible_resend) *possible_resend = entry.possible_resend;
  EXPECT_EQ(request.session, 7u);
  EXPECT_EQ(request.message_number, 9u);
  return request;
}

Refusal refusal_of(const Request& request) {
  return static_cast<Refusal>(request.body.order.refused);
}

TEST(order_entry, every_field_of_an_order_is_taken_over) {
  const Request request = entered("D",
                                  "1=A7|11=id|18=6 G|38=1200|40=4|44=100.15|54=2|55=ABC|59=6|99=99.95|110=300|111=500|"
                                  "126=20300102-03:04:05.678|7928=44|8000=B|");
  EXPECT_EQ(request.kind, RequestKind::kNewOrder);
  EXPECT_EQ(request.instrument, 1u);
  const OrderFields& order = request.body.order;
  EXPECT_EQ(refusal_of(request), Refusal::kNone);
  EXPECT_EQ(order.account, 2u);
  EXPECT_EQ(order.client_id.view(), "id");
  EXPECT_EQ(order.side, Side::kSell);
  EXPECT_EQ(order.type, OrderType::kStopLimit);
  EXPECT_EQ(order.time_in_force, TimeInForce::kGoodTillDate);
  EXPECT_TRUE(order.post_only && order.all_or_none);
  EXPECT_EQ(order.price, 2003);
  EXPECT_EQ(order.stop_price, 1999);
  EXPECT_EQ(order.quantity, 12);
  EXPECT_EQ(order.minimum, 3);
  EXPECT_EQ(order.shown, 5);
  EXPECT_EQ(order.expires_at, 1'893'553'445'678'000'000);
  EXPECT_EQ(order.self_match_id, 44u);
  EXPECT_EQ(order.self_match, SelfMatch::kCancelBoth);
}

TEST(order_entry, what_is_left_out_is_what_fix_says) {
  const Request request = entered("D", "11=id|38=100.00|40=1|54=1|55=ABC|");
  EXPECT_EQ(refusal_of(request), Refusal::kNone);
  EXPECT_EQ(request.body.order.time_in_force, TimeInForce::kDay);
  EXPECT_EQ(request.body.order.shown, kShowAll);
  EXPECT_EQ(request.body.order.price, 0);
  EXPECT_EQ(request.body.order.quantity, 1);
}

TEST(order_entry, a_date_ends_with_its_last_nanosecond) {
  const Request request = entered("D", "11=id|38=100|40=2|44=1|54=1|55=ABC|59=6|432=20240229|");
  EXPECT_EQ(refusal_of(request), Refusal::kNone);
  EXPECT_EQ(request.body.order.expires_at, 1'709'251'199'999'999'999);
}

TEST(order_entry, the_first_thing_that_is_wrong_is_told) {
  const std::pair<std::string, Refusal> cases[] = {
      {"40=2|44=1|54=1|", Refusal::kBadQuantity},
      {"38=150|40=2|44=1|54=1|", Refusal::kLot},
      {"38=-100|40=2|44=1|54=1|", Refusal::kBadQuantity},
      {"38=429496729600|40=2|44=1|54=1|", Refusal::kBadQuantity},
      {"38=100|40=2|44=1.01|54=1|", Refusal::kTick},
      {"38=100|40=2|44=1e3|54=1|", Refusal::kBadPrice},
      {"38=100|40=2|44=0|54=1|", Refusal::kBadPrice},
      {"38=100|40=2|44=999999999|54=1|", Refusal::kBadPrice},
      {"38=100|40=3|54=1|", Refusal::kBadPrice},
      {"38=100|40=2|44=1|54=1|59=5|", Refusal::kUnsupported},
      {"38=100|40=2|44=1|54=1|59=6|", Refusal::kUnsupported},
      {"38=100|40=2|44=1|54=1|59=6|432=20241332|", Refusal::kUnsupported},
      {"38=100|40=2|44=1|54=1|18=1|", Refusal::kUnsupported},
      {"38=100|40=2|44=1|54=1|8000=X|", Refusal::kUnsupported},
      {"38=100|40=2|44=1|54=1|7928=-1|", Refusal::kUnsupported},
      {"38=100|40=2|44=1|54=1|111=50|", Refusal::kLot},
      {"1=a7|38=100|40=2|44=1|54=1|", Refusal::kBadAccount},
  };
  for (const auto& [fields, refusal] : cases)
    EXPECT_EQ(refusal_of(entered("D", "11=id|55=ABC|" + fields)), refusal) << fields;
  const Request unknown = entered("D", "11=id|55=abc|38=100|40=2|44=1|54=1|");
  EXPECT_EQ(refusal_of(unknown), Refusal::kUnknownInstrument);
  EXPECT_EQ(unknown.body.order.original_id.view(), "abc");
}

TEST(order_entry, orders_are_named_by_their_clients_or_by_the_venue) {
  Request request = entered("F", "11=new|41=old|54=1|55=ABC|");
  EXPECT_EQ(request.kind, RequestKind::kCancel);
  EXPECT_EQ(request.body.order.original_id.view(), "old");
  bool possible_resend = false;
  request = entered("G", "97=Y|11=new|38=200|40=2|41=old|44=2|54=1|55=ABC|", &possible_resend);
  EXPECT_TRUE(possible_resend);
  EXPECT_EQ(request.kind, RequestKind::kReplace);
  EXPECT_EQ(request.body.order.quantity, 2);
  request = entered("H", "11=mine|54=1|55=ABC|");
  EXPECT_EQ(request.body.order.original_id.view(), "mine");
  EXPECT_FALSE(request.body.order.by_order_id);
  request = entered("H", "11=mine|37=4294967297|54=1|55=ABC|");
  EXPECT_TRUE(request.body.order.by_order_id);
  EXPECT_EQ(request.body.order.order_id, 4294967297u);
  request = entered("q", "11=all|54=2|530=1|55=ABC|");
  EXPECT_TRUE(request.body.order.one_side);
  EXPECT_EQ(request.instrument, 1u);
  request = entered("q", "11=all|530=7|55=ABC|");
  EXPECT_EQ(request.instrument, 0u);
  EXPECT_EQ(refusal_of(entered("q", "11=all|530=4|")), Refusal::kUnsupported);
  // Too long to be an order's name.
  request = entered("D", "11=" + std::string(37, 'x') + "|38=100|40=2|44=1|54=1|55=ABC|");
  EXPECT_EQ(request.kind, RequestKind::kMessageLogged);
  EXPECT_EQ(request.body.refusal.original_id.view(), "D");
}

TEST(execution_report, decimals_are_those_of_the_instrument) {
  Report report;
  report.kind = ReportKind::kTrade;
  report.status = OrderStatus::kPartiallyFilled;
  report.session = 7;
  report.account = 2;
  report.instrument = 1;
  report.order = 99;
  report.price = 2003;
  report.quantity = 12;
  report.filled = 3;
  report.left = 9;
  report.last_price = 2001;
  report.last_quantity = 1;
  report.notional = 2 * 2000 + 2001;
  report.match = 5;
  report.client_id = ClientOrderId("id");
  fix::FieldWriter body;
  EXPECT_EQ(write_report(1234, 1'704'188'100'000'000'000, report, definitions(), body), "8");
  std::string text(body.view());
  std::replace(text.begin(), text.end(), fix::kSeparator, '|');
  EXPECT_EQ(
      text,
      "1=A7|6=100.01666667|11=id|14=300|17=1234|31=100.05|32=100|37=99|38=1200|39=1|40=2|44=100.15|54=1|55=ABC|59=0|"
      "60=20240102-09:35:00.000|150=F|151=900|527=5|851=2|");
}

TEST(throttle, a_burst_then_the_rate) {
  Throttle throttle;
  throttle.configure(10, 5);
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t now = 77 * kSecond;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(throttle.take(now));
  EXPECT_FALSE(throttle.take(now));
  now += kSecond / 10;
  EXPECT_TRUE(throttle.take(now));
  EXPECT_FALSE(throttle.take(now));
  EXPECT_FALSE(throttle.abused());
  for (int i = 0; i < 100; ++i) {
    now += kSecond / 25;
    (void)throttle.take(now);
  }
  EXPECT_TRUE(throttle.abused());
  now += 10 * kSecond;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(throttle.take(now));
  EXPECT_FALSE(throttle.take(now));
  EXPECT_FALSE(throttle.abused());
  throttle.configure(0, 0);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(throttle.take(now));
}

class Archive final : public ReportArchive {
 public:
  Task<Result<std::vector<StoredReport>>> of_session(SessionId, uint64_t, size_t) override {
    co_return std::vector<StoredReport>();
  }
  Sequence committed() const override { return upto; }
  Sequence upto = 0;
};

TEST(recent_reports, are_found_by_ordinal_until_they_are_committed_and_old) {
  Archive archive;
  RecentReports recent(&archive);
  recent.anchor(2, 100);
  constexpr uint64_t kReports = 50'000;
  for (uint64_t i = 1; i <= kReports; ++i) {
    Report report;
    report.session = 1 + static_cast<SessionId>(i % 2);
    report.tag = i;
    recent.add(i, 0, report);
  }
  EXPECT_EQ(recent.newest(2), 100 + kReports / 2);
  std::vector<StoredReport> found;
  EXPECT_TRUE(recent.find(2, 101, 100 + kReports / 2, found));
  EXPECT_EQ(found.size(), kReports / 2);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].report.tag, 2 * i + 1);
  EXPECT_FALSE(recent.find(2, 100, 101, found));
  EXPECT_FALSE(recent.find(2, 101, 101 + kReports / 2, found));
  EXPECT_FALSE(recent.find(3, 1, 1, found));
  archive.upto = kReports;
  for (uint64_t i = 1; i <= kReports; ++i) {
    Report report;
    report.session = 1;
    recent.add(kReports + i, 0, report);
  }
  EXPECT_FALSE(recent.find(2, 101, 101, found));
  EXPECT_LE(recent.size(), size_t{1} << 17);
  found.clear();
  EXPECT_TRUE(recent.find(1, kReports / 2 + kReports, kReports / 2 + kReports, found));
  EXPECT_EQ(found.front().sequence, 2 * kReports);
}

}  // namespace
}  // namespace polis::exchange::gateway
