#include "systems/exchange/venue/sessions.h"

#include <gtest/gtest.h>
#include <map>

#include "kernel/base/random.h"

namespace polis::exchange {
namespace {

Request numbers_told(SessionId session, const NumbersFields& fields) {
  Request request;
  request.kind = RequestKind::kSessionNumbers;
  request.session = session;
  request.body.numbers = fields;
  return request;
}

Report told_to(SessionId session, ReportKind kind = ReportKind::kNew) {
  Report report;
  report.session = session;
  report.kind = kind;
  return report;
}

SessionBook saved_and_loaded(const SessionBook& book, size_t bytes) {
  SessionBook fresh;
  for (SessionId next = 1; next != 0;) {
    Bytes piece;
    base::Writer writer(piece);
    next = book.save(next, bytes, writer);
    base::Reader reader(piece);
    EXPECT_TRUE(fresh.load(reader, 100).has_value());
    EXPECT_TRUE(reader.finish().has_value());
  }
  return fresh;
}

// What a gateway does: it numbers reports as they come to it, and administrative messages in between; reports may be
// on the bus already that it has not seen when it tells of one.
TEST(SessionBook, knows_what_every_number_was_while_reports_overtake_administrative_messages) {
  base::SeededRandom random(7);
  SessionBook book;
  struct Gateway {
    std::vector<uint64_t> waiting;         // ordinals of reports that are on the bus and have no number yet
    std::map<uint32_t, uint64_t> numbers;  // 0: administrative
    uint32_t next = 1;
    uint64_t reports = 0;
  };
  std::map<SessionId, Gateway> gateways;
  for (int i = 0; i < 20'000; ++i) {
    const auto session = static_cast<SessionId>(1 + random.below(5));
    Gateway& gateway = gateways[session];
    const auto number_one = [&] {
      gateway.numbers[gateway.next++] = gateway.waiting.front();
      gateway.waiting.erase(gateway.waiting.begin());
    };
    const uint64_t what = random.below(100);
    if (what < 60) {
      book.on_report(told_to(session));
      gateway.waiting.push_back(++gateway.reports);
      book.on_report(told_to(session, ReportKind::kDone));  // no message
    } else if (what < 80) {
      while (!gateway.waiting.empty() && random.below(4) != 0) number_one();
    } else if (what < 99) {
      const auto count = static_cast<uint32_t>(1 + random.below(3));
      book.on_request(numbers_told(session, {.admin_first = gateway.next, .admin_count = count}));
      for (uint32_t n = 0; n < count; ++n) gateway.numbers[gateway.next++] = 0;
    } else if (random.below(20) == 0) {
      book.on_request(numbers_told(session, {.next_in = 2, .admin_first = 1, .admin_count = 1, .reset = true}));
      gateway.waiting.clear();
      gateway.numbers.clear();
      gateway.next = 1;
      gateway.numbers[gateway.next++] = 0;
    }
    if (i % 1000 == 0) book = saved_and_loaded(book, 1 + random.below(5000));
  }
  for (auto& [session, gateway] : gateways) {
    while (!gateway.waiting.empty()) {
      gateway.numbers[gateway.next++] = gateway.waiting.front();
      gateway.waiting.erase(gateway.waiting.begin());
    }
    EXPECT_EQ(book.numbers(session).next_out, gateway.next);
    EXPECT_EQ(book.numbers(session).reports, gateway.reports);
    for (const auto& [number, ordinal] : gateway.numbers)
      ASSERT_EQ(book.ordinal(session, number).value_or(0), ordinal) << session << ' ' << number;
    EXPECT_FALSE(book.ordinal(session, gateway.next).has_value());
    EXPECT_FALSE(book.ordinal(session, 0).has_value());
  }
}

TEST(SessionBook, takes_the_next_number_in_from_what_came) {
  SessionBook book;
  Request order;
  order.kind = RequestKind::kNewOrder;
  order.session = 3;
  order.message_number = 17;
  book.on_request(order);
  EXPECT_EQ(book.numbers(3).next_in, 18u);
  book.on_request(numbers_told(3, {.next_in = 25}));
  EXPECT_EQ(book.numbers(3).next_in, 25u);
  EXPECT_EQ(book.numbers(3).next_out, 1u);
  EXPECT_EQ(book.numbers(99).next_in, 1u);
}

TEST(SessionBook, forgets_the_oldest_administrative_runs_and_still_counts_right) {
  SessionBook book;
  uint32_t next = 1;
  for (int i = 0; i < 70'000; ++i) {
    book.on_request(numbers_told(1, {.admin_first = next, .admin_count = 1}));
    book.on_report(told_to(1));
    next += 2;
  }
  EXPECT_EQ(book.numbers(1).next_out, next);
  EXPECT_EQ(book.ordinal(1, next - 1), 70'000u);
  EXPECT_FALSE(book.ordinal(1, next - 2).has_value());
  EXPECT_FALSE(book.ordinal(1, 2).has_value());  // too old to tell: filled as a gap
  Bytes piece;
  base::Writer writer(piece);
  EXPECT_EQ(book.save(1, 1000, writer), 0u);
  EXPECT_LE(piece.size(), size_t{1} << 20);
}

TEST(SessionBook, refuses_pieces_that_it_never_wrote) {
  SessionBook book;
  book.on_request(numbers_told(2, {.next_in = 9, .admin_first = 1, .admin_count = 4}));
  book.on_report(told_to(2));
  book.on_request(numbers_told(2, {.admin_first = 6, .admin_count = 1}));
  Bytes piece;
  base::Writer writer(piece);
  book.save(1, 1000, writer);
  for (size_t size = 0; size < piece.size(); ++size) {
    SessionBook fresh;
    base::Reader reader(BytesView(piece).first(size));
    EXPECT_FALSE(fresh.load(reader, 100).has_value()) << size;
  }
  SessionBook fresh;
  base::Reader reader(piece);
  EXPECT_FALSE(fresh.load(reader, 1).has_value()) << "a session that nobody defined";
}

}  // namespace
}  // namespace polis::exchange
