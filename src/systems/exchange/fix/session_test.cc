#include "systems/exchange/fix/session.h"

#include <deque>
#include <gtest/gtest.h>
#include <map>
#include <random>
#include <utility>

#include "systems/exchange/fix/fix_test_support.h"
#include "systems/exchange/fix/reflector.h"

namespace polis::exchange::fix {
namespace {

using Lines = std::vector<std::string>;
constexpr int64_t kSecond = 1'000'000'000;

// A session of POLIS with BRK, its host and its clock.
class Desk : public SessionHost {
 public:
  explicit Desk(SessionConfig config = {}, uint32_t next_in = 1, uint32_t next_out = 1)
      : session(
            [&] {
              config.our_comp_id = "POLIS";
              config.their_comp_id = "BRK";
              return config;
            }(),
            next_in, next_out, *this) {
    session.connected(now);
  }

  // "35=0|34=2|112=x|": the rest of the header comes behind 34, unless it names 49.
  Lines in(std::string_view text, std::string_view version = "FIX.4.4") {
    std::string full(text);
    if (full.find("49=") == full.npos) {
      const size_t number = full.find("34=");
      const size_t behind = full.find('|', number == full.npos ? 0 : number) + 1;
      full.insert(behind, fmt::format("49=BRK|52={}|56=POLIS|", test::timestamp(now.wall)));
    }
    const std::string frame = test::whole(full, version);
    Message message;
    if (message.parse(frame)) {
      session.received(now, message);
    } else {
      session.garbled(now);
    }
    return out();
  }
  Lines out() {
    Lines lines;
    for (const auto& frame : test::frames_of(session.output())) lines.push_back(test::brief(frame));
    session.output().clear();
    return lines;
  }
  Lines wait(double seconds) {
    Lines all;
    const int64_t until = now.steady + static_cast<int64_t>(seconds * kSecond);
    while (true) {
      const int64_t next = std::min(until, session.next_tick());
      advance(next - now.steady);
      session.tick(now);
      for (auto& line : out()) all.push_back(line);
      if (now.steady >= until) return all;
    }
  }
  void advance(int64_t by) {
    if (by <= 0) return;
    now.wall += by;
    now.steady += by;
  }
  void log_on(std::string_view extra = "") {
    EXPECT_EQ(in(fmt::format("35=A|34={}|98=0|108=30|{}", session.next_in(), extra)).size(), 1u);
    EXPECT_TRUE(session.logged_on());
  }

  void on_logon(const Message& logon) override {
    password = logon.find(tag::kPassword).value_or("");
    if (decide) session.accept_logon(now);
  }
  void on_message(const Message& message, uint32_t number) override {
    taken.push_back(fmt::format("{} {}", message.type(), number));
    if (reflect) reflector.on_message(session, message, number, now);
  }
  void on_resend(uint32_t first, uint32_t last) override {
    asked.emplace_back(first, last);
    if (reflect) reflector.on_resend(session, first, last, now);
  }
  void on_reset() override {
    ++resets;
    reflector.on_reset();
  }
  void on_administrative(uint32_t number) override { administrative.push_back(number); }
  void on_reject(const Message& message) override { rejected.emplace_back(message.type()); }

  Moment now{1'704'187'800 * kSecond, 1000};
  bool decide = true, reflect = true;
  std::string password;
  Lines taken, rejected;
  std::vector<std::pair<uint32_t, uint32_t>> asked;
  std::vector<uint32_t> administrative;
  int resets = 0;
  Reflector reflector;
  Session session;
};

std::string order(uint32_t number, std::string_view header = "") {
  return fmt::format("35=D|34={}|{}11=o{}|54=1|55=ABC|60=20240102-09:30:00|40=1|38=1|", number, header, number);
}

// --- Logon

TEST(session, answers_a_logon_with_its_interval) {
  Desk desk;
  EXPECT_EQ(desk.in("35=A|34=1|98=0|108=30|"), Lines{"A 34=1 98=0 108=30"});
  EXPECT_TRUE(desk.session.logged_on());
  EXPECT_EQ(desk.session.next_in(), 2u);
  EXPECT_EQ(desk.session.next_out(), 2u);
  EXPECT_EQ(desk.administrative, std::vector<uint32_t>{1});
}

TEST(session, starts_at_one_again_when_a_logon_says_so) {
  Desk desk({}, 7, 9);
  EXPECT_EQ(desk.in("35=A|34=1|98=0|108=30|141=Y|"), Lines{"A 34=1 98=0 108=30 141=Y"});
  EXPECT_EQ(desk.resets, 1);
  Desk always({.reset_on_logon = true}, 7, 9);
  EXPECT_EQ(always.in("35=A|34=1|98=0|108=30|"), Lines{"A 34=1 98=0 108=30"});
  EXPECT_EQ(always.resets, 1);
}

TEST(session, closes_without_a_word_on_what_is_no_logon) {
  const auto closed_silently = [](std::string_view text, std::string_view version = "FIX.4.4") {
    Desk desk;
    const Lines answer = desk.in(text, version);
    return answer.empty() && desk.session.closing() && desk.session.next_out() == 1 && desk.session.next_in() == 1;
  };
  EXPECT_TRUE(closed_silently("35=0|34=1|"));
  EXPECT_TRUE(closed_silently("35=A|34=1|98=0|108=30|", "FIX.4.2"));
  EXPECT_TRUE(closed_silently("35=A|34=1|49=WHO|52=20240102-09:30:00|56=POLIS|98=0|108=30|"));
  EXPECT_TRUE(closed_silently("35=A|34=1|49=BRK|52=20240102-09:30:00|56=WHO|98=0|108=30|"));
  EXPECT_TRUE(closed_silently("35=A|34=1|49=BRK|52=20240102-09:27:59|56=POLIS|98=0|108=30|"));
  EXPECT_TRUE(closed_silently("35=A|34=1|108=30|"));
  EXPECT_TRUE(closed_silently("35=A|34=1|98=0|108=x|"));
  EXPECT_TRUE(closed_silently("35=A|98=0|108=30|"));
  EXPECT_TRUE(closed_silently("35=A|x=1|"));
}

TEST(session, says_why_it_refuses_an_interval_or_encryption) {
  EXPECT_EQ(Desk().in("35=A|34=1|98=0|108=-1|"), Lines{"5 34=1 58=HeartBtInt must not be negative"});
  EXPECT_EQ(Desk().in("35=A|34=1|98=0|108=99999|"), Lines{"5 34=1 58=HeartBtInt is too large"});
  EXPECT_EQ(Desk().in("35=A|34=1|98=2|108=30|"), Lines{"5 34=1 58=EncryptMethod must be 0"});
}

TEST(session, waits_for_the_host_to_decide_about_a_logon) {
  Desk desk;
  desk.decide = false;
  EXPECT_EQ(desk.in("35=A|34=1|98=0|108=30|553=u|554=secret|"), Lines{});
  EXPECT_EQ(desk.password, "secret");
  EXPECT_TRUE(desk.session.awaits_decision());
  desk.session.refuse_logon(desk.now, "Bad password");
  EXPECT_EQ(desk.out(), Lines{"5 34=1 58=Bad password"});
  EXPECT_TRUE(desk.session.closing());
  EXPECT_EQ(desk.session.end(), SessionEnd::kRefused);

  Desk later;
  later.decide = false;
  later.in("35=A|34=1|98=0|108=30|");
  later.session.accept_logon(later.now);
  EXPECT_EQ(later.out(), Lines{"A 34=1 98=0 108=30"});
  // A decision that comes too late changes nothing.
  later.session.disconnected();
  later.session.accept_logon(later.now);
  later.session.refuse_logon(later.now, "x");
  EXPECT_FALSE(later.session.is_connected());
}

TEST(session, answers_a_logon_from_the_future_and_asks_for_what_it_missed) {
  Desk desk({}, 3, 5);
  EXPECT_EQ(desk.in("35=A|34=8|98=0|108=30|"), (Lines{"A 34=5 98=0 108=30", "2 34=6 7=3 16=0"}));
  // The Logon's own number counts once the gap is closed.
  desk.in("35=4|34=3|43=Y|122=20240102-09:30:00|36=8|123=Y|");
  EXPECT_EQ(desk.session.next_in(), 9u);
}

TEST(session, refuses_a_logon_from_the_past) {
  Desk desk({}, 3, 5);
  EXPECT_EQ(desk.in("35=A|34=2|98=0|108=30|"), Lines{"5 34=5 58=MsgSeqNum too low, expecting 3 but received 2"});
  EXPECT_TRUE(desk.session.closing());
}

TEST(session, tells_and_obeys_next_expected_numbers_if_configured) {
  Desk desk({.next_expected_number = true}, 1, 1);
  desk.log_on("789=1|");
  desk.in(order(2));
  desk.in(order(3));
  desk.session.disconnected();
  desk.session.connected(desk.now);
  EXPECT_EQ(desk.in("35=A|34=4|98=0|108=30|789=2|"),
            (Lines{"A 34=4 98=0 108=30 789=5", "D 34=2 43=Y 122 11=o2 38=1 40=1 54=1 55=ABC 60=20240102-09:30:00",
                   "D 34=3 43=Y 122 11=o3 38=1 40=1 54=1 55=ABC 60=20240102-09:30:00"}));
  desk.session.disconnected();
  desk.session.connected(desk.now);
  EXPECT_EQ(desk.in("35=A|34=5|98=0|108=30|789=9|"),
            Lines{"5 34=5 58=NextExpectedMsgSeqNum too high, expecting 5 but received 9"});
}

TEST(session, puts_the_last_processed_number_into_headers_if_configured) {
  Desk desk({.last_processed_number = true});
  EXPECT_EQ(desk.in("35=A|34=1|98=0|108=30|"), Lines{"A 34=1 369=1 98=0 108=30"});
  EXPECT_EQ(desk.in("35=1|34=2|112=x|"), Lines{"0 34=2 369=2 112=x"});
}

// --- numbers

TEST(session, takes_each_number_once_and_in_order) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in("35=0|34=2|"), Lines{});
  EXPECT_EQ(desk.in(order(5)), Lines{"2 34=2 7=3 16=0"});
  EXPECT_EQ(desk.in(order(4)), Lines{});  // one request is outstanding
  EXPECT_EQ(desk.taken, Lines{});
  desk.in(order(3, "43=Y|122=20240102-09:30:00|"));
  EXPECT_EQ(desk.taken, (Lines{"D 3", "D 4", "D 5"}));
  EXPECT_EQ(desk.in(order(4, "43=Y|122=20240102-09:30:00|")), Lines{});
  EXPECT_EQ(desk.session.next_in(), 6u);
  EXPECT_EQ(desk.taken.size(), 3u);
}

TEST(session, asks_for_a_gap_in_chunks_if_configured) {
  Desk desk({.resend_chunk = 3});
  desk.log_on();
  EXPECT_EQ(desk.in("35=0|34=10|"), Lines{"2 34=2 7=2 16=4"});
  desk.in("35=0|34=2|43=Y|122=20240102-09:30:00|");
  desk.in("35=0|34=3|43=Y|122=20240102-09:30:00|");
  EXPECT_EQ(desk.in("35=0|34=4|43=Y|122=20240102-09:30:00|"), Lines{"2 34=3 7=5 16=7"});
  EXPECT_EQ(desk.in("35=4|34=5|43=Y|122=20240102-09:30:00|36=8|123=Y|"), Lines{"2 34=4 7=8 16=0"});
  desk.in("35=4|34=8|43=Y|122=20240102-09:30:00|36=10|123=Y|");
  EXPECT_EQ(desk.session.next_in(), 11u);
}

TEST(session, asks_again_when_an_answer_itself_has_a_gap) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in(order(6)), Lines{"2 34=2 7=2 16=0"});
  desk.in(order(2, "43=Y|122=20240102-09:30:00|"));
  EXPECT_EQ(desk.in(order(4, "43=Y|122=20240102-09:30:00|")).back(), "2 34=4 7=3 16=0");
  EXPECT_EQ(desk.in(order(5, "43=Y|122=20240102-09:30:00|")), Lines{});
  // The first one again and again: not before 30 s have passed.
  desk.advance(31 * kSecond);
  EXPECT_EQ(desk.in(order(7)), Lines{"2 34=5 7=3 16=0"});
  desk.in(order(3));
  EXPECT_EQ(desk.session.next_in(), 8u);
}

TEST(session, holds_no_more_ahead_of_a_gap_than_configured) {
  Desk desk({.held_messages_max = 2});
  desk.log_on();
  for (const uint32_t number : {4, 5, 6, 7}) desk.in(order(number));
  EXPECT_EQ(desk.in(order(2)).size(), 1u);
  desk.in(order(3));
  EXPECT_EQ(desk.session.next_in(), 6u);
  EXPECT_EQ(desk.in(order(8)), Lines{"2 34=7 7=6 16=0"});
}

TEST(session, says_goodbye_when_a_number_is_too_low) {
  Desk desk;
  desk.log_on();
  desk.in("35=0|34=2|");
  EXPECT_EQ(desk.in("35=0|34=2|"), Lines{"5 34=2 58=MsgSeqNum too low, expecting 3 but received 2"});
  EXPECT_TRUE(desk.session.closing());
  EXPECT_EQ(desk.session.end(), SessionEnd::kNumberTooLow);
}

TEST(session, looks_at_the_original_time_of_duplicates) {
  Desk desk;
  desk.log_on();
  desk.in(order(2));
  EXPECT_EQ(desk.in(order(2, "43=Y|")), Lines{"3 34=3 45=2 58=Required tag missing 371=122 372=D 373=1"});
  EXPECT_EQ(desk.in(order(2, "43=Y|122=20240102-09:30:00|")), Lines{});
  EXPECT_EQ(desk.in("35=4|34=2|43=Y|36=3|123=Y|"), Lines{});
  EXPECT_EQ(desk.in(order(2, "43=Y|122=20240102-09:31:00|")),
            (Lines{"3 34=4 45=2 58=SendingTime accuracy problem 372=D 373=10", "5 34=5"}));
  EXPECT_EQ(desk.in("35=5|34=3|"), Lines{});
  EXPECT_TRUE(desk.session.closing());
  EXPECT_EQ(desk.taken.size(), 1u);
}

TEST(session, cannot_go_on_without_a_number) {
  for (const auto* text : {"35=0|", "35=0|34=x|", "35=0|34=99999999999|", "35=0|34=-1|"}) {
    Desk desk;
    desk.log_on();
    EXPECT_EQ(desk.in(text), Lines{"5 34=2 58=Received message without MsgSeqNum"}) << text;
    EXPECT_TRUE(desk.session.closing());
  }
}

// --- what is acted on whatever its number

TEST(session, acts_on_logout_and_resend_request_whatever_their_number) {
  Desk desk;
  desk.log_on();
  desk.in(order(2));
  EXPECT_EQ(desk.in("35=2|34=9|7=1|16=0|"),
            (Lines{"4 34=1 43=Y 122 36=2 123=Y", "D 34=2 43=Y 122 11=o2 38=1 40=1 54=1 55=ABC 60=20240102-09:30:00"}));
  EXPECT_EQ(desk.session.next_in(), 3u);
  EXPECT_EQ(desk.in("35=2|34=1|7=2|16=2|").size(), 1u);
  EXPECT_EQ(desk.in("35=2|34=3|7=2|16=2|").size(), 1u);
  EXPECT_EQ(desk.session.next_in(), 4u);
  EXPECT_EQ(desk.in("35=5|34=99|"), Lines{"5 34=3"});
  EXPECT_TRUE(desk.session.closing());
  EXPECT_EQ(desk.session.next_in(), 4u);
}

TEST(session, does_not_hold_back_a_reject_from_the_future) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in("35=3|34=3|45=1|"), Lines{});
  EXPECT_EQ(desk.rejected, Lines{"3"});
  EXPECT_EQ(desk.session.next_in(), 2u);
  EXPECT_EQ(desk.in("35=0|34=4|"), Lines{"2 34=2 7=2 16=0"});
  desk.in("35=0|34=2|");
  EXPECT_EQ(desk.session.next_in(), 5u);
}

TEST(session, resets_its_numbers_when_a_logon_comes_again) {
  Desk desk;
  desk.log_on();
  desk.in(order(2));
  EXPECT_EQ(desk.in("35=A|34=1|98=0|108=10|141=Y|"), Lines{"A 34=1 98=0 108=10 141=Y"});
  EXPECT_EQ(desk.resets, 1);
  EXPECT_EQ(desk.session.next_in(), 2u);
  EXPECT_EQ(desk.in("35=A|34=2|98=0|108=20|"), Lines{"A 34=2 98=0 108=20"});
  EXPECT_EQ(desk.wait(20.5), Lines{"0 34=3"});
  // From the future: answered, and the gap is asked for.
  EXPECT_EQ(desk.in("35=A|34=5|98=0|108=20|"), (Lines{"A 34=4 98=0 108=20", "2 34=5 7=3 16=0"}));
  EXPECT_EQ(desk.in("35=A|34=1|98=0|108=20|").size(), 1u);
  EXPECT_TRUE(desk.session.closing());
}

// --- sequence resets

TEST(session, obeys_gap_fills_by_their_number_and_resets_without_it) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in("35=4|34=5|36=20|123=Y|"), Lines{"2 34=2 7=2 16=0"});
  desk.in("35=4|34=2|36=5|123=Y|");
  EXPECT_EQ(desk.session.next_in(), 20u);
  desk.in("35=4|34=1|36=30|");
  EXPECT_EQ(desk.session.next_in(), 30u);
  EXPECT_EQ(desk.in("35=4|34=1|36=3|"),
            Lines{"3 34=3 45=1 58=Value is incorrect (out of range) for this tag 372=4 373=5"});
  EXPECT_EQ(desk.session.next_in(), 30u);
  EXPECT_EQ(desk.in("35=4|34=29|36=40|123=Y|"), Lines{"5 34=4 58=MsgSeqNum too low, expecting 30 but received 29"});
}

TEST(session, takes_what_it_holds_though_a_gap_fill_goes_over_it) {
  Desk desk;
  desk.log_on();
  desk.in(order(4));
  desk.in("35=1|34=6|112=x|");
  desk.in(order(9));
  EXPECT_EQ(desk.in("35=4|34=2|43=Y|122=20240102-09:30:00|36=8|123=Y|").size(), 2u);
  EXPECT_EQ(desk.taken, Lines{"D 4"});
  EXPECT_EQ(desk.session.next_in(), 8u);
  // A reset forgets.
  desk.in("35=4|34=1|36=20|");
  EXPECT_EQ(desk.session.next_in(), 20u);
  EXPECT_EQ(desk.taken, Lines{"D 4"});
}

// --- rejects

TEST(session, rejects_what_the_dictionary_forbids_and_counts_it) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in("35=0|34=2|999=x|"), Lines{"3 34=2 45=2 58=Invalid tag number 371=999 372=0 373=0"});
  EXPECT_EQ(desk.in("35=*|34=3|"), Lines{"3 34=3 45=3 58=Invalid MsgType 372=* 373=11"});
  EXPECT_EQ(desk.session.next_in(), 4u);
  EXPECT_EQ(desk.taken, Lines{});
}

TEST(session, sends_rejects_back_the_way_the_message_came) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in("35=0|34=2|115=A|116=B|144=C|999=x|"),
            Lines{"3 34=2 128=A 129=B 145=C 45=2 58=Invalid tag number 371=999 372=0 373=0"});
  EXPECT_EQ(desk.in("35=0|34=3|128=A|129=B|145=C|999=x|"),
            Lines{"3 34=3 115=A 116=B 144=C 45=3 58=Invalid tag number 371=999 372=0 373=0"});
}

TEST(session, ends_with_who_sends_a_bad_time_or_another_name) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in("35=0|34=2|49=BRK|52=20240102-09:27:59|56=POLIS|"),
            (Lines{"3 34=2 45=2 58=SendingTime accuracy problem 372=0 373=10", "5 34=3"}));
  // Nothing counts any more but the answer, and the connection ends without it after 2 s.
  EXPECT_EQ(desk.in(order(3)), Lines{});
  EXPECT_EQ(desk.taken, Lines{});
  EXPECT_EQ(desk.wait(1.9), Lines{});
  EXPECT_FALSE(desk.session.closing());
  desk.wait(0.2);
  EXPECT_TRUE(desk.session.closing());

  Desk other;
  other.log_on();
  EXPECT_EQ(other.in("35=0|34=2|49=WHO|52=20240102-09:30:00|56=POLIS|"),
            (Lines{"3 34=2 45=2 58=CompID problem 372=0 373=9", "5 34=3"}));
  other.in("35=5|34=3|");
  EXPECT_TRUE(other.session.closing());
}

TEST(session, ends_with_another_version) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in("35=0|34=2|", "FIX.4.2"), Lines{"5 34=2 58=Incorrect BeginString"});
  EXPECT_EQ(desk.session.next_in(), 3u);
}

TEST(session, drops_garbled_messages_once_somebody_is_logged_on) {
  Desk desk;
  desk.log_on();
  EXPECT_EQ(desk.in("35=0|x=1|"), Lines{});
  EXPECT_TRUE(desk.session.logged_on());
  EXPECT_EQ(desk.session.next_in(), 2u);
}

// --- time

TEST(session, sends_heartbeats_and_asks_whether_somebody_is_there) {
  Desk desk;
  desk.in("35=A|34=1|98=0|108=10|");
  EXPECT_EQ(desk.wait(9.9), Lines{});
  EXPECT_EQ(desk.wait(0.2), Lines{"0 34=2"});
  EXPECT_EQ(desk.wait(2), Lines{"1 34=3 112=TEST"});
  // No heartbeats meanwhile.
  EXPECT_EQ(desk.wait(11.8), Lines{});
  EXPECT_FALSE(desk.session.closing());
  desk.wait(0.2);
  EXPECT_TRUE(desk.session.closing());
  EXPECT_EQ(desk.session.end(), SessionEnd::kSilent);

  Desk lively;
  lively.in("35=A|34=1|98=0|108=10|");
  EXPECT_EQ(lively.wait(12.1).size(), 2u);
  EXPECT_EQ(lively.in("35=0|34=2|112=TEST|"), Lines{});
  EXPECT_EQ(lively.wait(10), Lines{"0 34=4"});
  EXPECT_EQ(lively.in("35=1|34=3|112=are you there|"), Lines{"0 34=5 112=are you there"});
}

TEST(session, with_an_interval_of_zero_waits_for_ever) {
  Desk desk;
  desk.in("35=A|34=1|98=0|108=0|");
  EXPECT_EQ(desk.session.next_tick(), INT64_MAX);
  EXPECT_EQ(desk.wait(100'000), Lines{});
  EXPECT_TRUE(desk.session.logged_on());
}

TEST(session, closes_when_no_logon_comes) {
  Desk desk;
  desk.wait(9.9);
  EXPECT_FALSE(desk.session.closing());
  desk.wait(0.2);
  EXPECT_TRUE(desk.session.closing());
  EXPECT_EQ(desk.session.end(), SessionEnd::kNotLoggedOn);
}

TEST(session, says_goodbye_when_told_to) {
  Desk desk;
  desk.log_on();
  desk.session.logout(desk.now, "End of day");
  EXPECT_EQ(desk.out(), Lines{"5 34=2 58=End of day"});
  desk.in("35=5|34=2|");
  EXPECT_TRUE(desk.session.closing());
  EXPECT_EQ(desk.session.end(), SessionEnd::kOurLogout);
}

// --- sending

TEST(session, counts_what_it_sends_without_a_connection_and_sends_it_when_asked) {
  Desk desk;
  desk.session.disconnected();
  FieldWriter body;
  body.text(58, "x");
  EXPECT_EQ(desk.session.send("B", desk.now.wall, body.view(), desk.now), 1u);
  EXPECT_TRUE(desk.session.output().empty());
  desk.session.connected(desk.now);
  desk.reflect = false;
  desk.in("35=A|34=1|98=0|108=30|");
  EXPECT_EQ(desk.in("35=2|34=2|7=1|16=0|"), Lines{});
  EXPECT_EQ(desk.asked, (std::vector<std::pair<uint32_t, uint32_t>>{{1, 2}}));
  // What comes meanwhile waits behind the answer.
  desk.session.send("B", desk.now.wall, body.view(), desk.now);
  EXPECT_EQ(desk.in("35=1|34=3|112=x|"), Lines{});
  desk.session.resend_message(1, "B", desk.now.wall, body.view(), desk.now);
  EXPECT_EQ(desk.out(), Lines{"B 34=1 43=Y 122 58=x"});
  desk.session.resend_end(desk.now);
  EXPECT_EQ(desk.out(), (Lines{"4 34=2 43=Y 122 36=3 123=Y", "B 34=3 58=x", "0 34=4 112=x"}));
}

TEST(session, answers_requests_that_come_during_a_resend_one_after_the_other) {
  Desk desk;
  desk.reflect = false;
  desk.log_on();
  desk.session.send("B", desk.now.wall, test::bytes("58=x|"), desk.now);
  desk.in("35=2|34=2|7=2|16=0|");
  desk.in("35=2|34=3|7=1|16=1|");
  desk.in("35=2|34=4|7=2|16=2|");
  EXPECT_EQ(desk.asked.size(), 1u);
  desk.session.resend_end(desk.now);
  EXPECT_EQ(desk.asked.back(), (std::pair<uint32_t, uint32_t>{1, 2}));
  desk.session.resend_end(desk.now);
  EXPECT_EQ(desk.out(), (Lines{"4 34=2 43=Y 122 36=3 123=Y", "4 34=1 43=Y 122 36=3 123=Y"}));
  // Nothing was asked for: nothing is said.
  desk.session.resend_message(1, "B", desk.now.wall, "", desk.now);
  desk.session.resend_end(desk.now);
  EXPECT_EQ(desk.in("35=2|34=5|7=9|16=0|"), Lines{});
  EXPECT_EQ(desk.in("35=2|34=6|7=2|16=1|"), Lines{});
  EXPECT_EQ(desk.asked.size(), 2u);
}

TEST(session, keeps_the_time_of_the_first_sending) {
  Desk desk;
  desk.log_on();
  desk.in(order(2));
  desk.advance(60 * kSecond);
  const auto first = test::timestamp(desk.now.wall - 60 * kSecond);
  desk.in("35=0|34=3|");
  EXPECT_EQ(desk.session.output(), "");
  Message request;
  const auto frame =
      test::whole(fmt::format("35=2|34=4|49=BRK|52={}|56=POLIS|7=2|16=2|", test::timestamp(desk.now.wall)));
  ASSERT_TRUE(request.parse(frame));
  desk.session.received(desk.now, request);
  const auto answers = test::frames_of(desk.session.output());
  ASSERT_EQ(answers.size(), 1u);
  Message answer;
  ASSERT_TRUE(answer.parse(answers[0]));
  EXPECT_EQ(answer.find(tag::kOrigSendingTime), first);
  EXPECT_EQ(answer.find(tag::kSendingTime), test::timestamp(desk.now.wall));
  EXPECT_EQ(validate(answer), std::nullopt);
}

// --- two ends that lose their connection all the time

// The other side, as plainly as possible: remembers what it sent, asks for what it misses.
struct Initiator {
  uint32_t next_in = 1, next_out = 1;
  std::map<uint32_t, std::string> sent;  // applications' bodies by number
  std::vector<std::string> received;     // in order
  std::deque<std::string> to_send;       // whole messages
  uint32_t asked = 0;                    // the number it waits for again; 0: none
  std::string when = "20240102-09:30:00";

  void put(uint32_t number, std::string_view type, std::string_view header, std::string_view body) {
    to_send.push_back(
        test::whole(fmt::format("35={}|34={}|49=BRK|52={}|56=POLIS|{}{}", type, number, when, header, body)));
  }
  void log_on() {
    to_send.clear();
    asked = 0;
    put(next_out++, "A", "", "98=0|108=0|");
  }
  void order(int id) {
    sent[next_out] = fmt::format("11=c{}|54=1|55=ABC|60=20240102-09:30:00|40=1|38=1|", id);
    put(next_out, "D", "", sent[next_out]);
    ++next_out;
  }
  void read(std::string_view frame) {
    Message message;
    ASSERT_TRUE(message.parse(frame)) << test::readable(frame);
    ASSERT_EQ(validate(message), std::nullopt) << test::readable(frame);
    const uint32_t number = *message.number(tag::kMsgSeqNum);
    const bool duplicate = message.flag(tag::kPossDupFlag);
    if (message.type() == "2") resend(*message.number(tag::kBeginSeqNo), *message.number(tag::kEndSeqNo));
    if (number > next_in) {
      if (asked == 0) put(next_out++, "2", "", fmt::format("7={}|16=0|", next_in));
      asked = next_in;
      return;
    }
    if (number < next_in) {
      ASSERT_TRUE(duplicate) << test::readable(frame);
      return;
    }
    next_in = message.type() == "4" ? *message.number(tag::kNewSeqNo) : number + 1;
    if (message.type() == "D") received.emplace_back(*message.find(11));
    ASSERT_NE(message.type(), "3") << test::readable(frame);
    ASSERT_NE(message.type(), "5") << test::readable(frame);
  }
  void resend(uint32_t first, uint32_t last) {
    if (last == 0) last = next_out - 1;
    for (uint32_t number = first; number <= last;) {
      const std::string header = fmt::format("43=Y|122={}|", when);
      if (const auto found = sent.find(number); found != sent.end()) {
        put(number++, "D", header, found->second);
        continue;
      }
      uint32_t next = number;
      while (next <= last && !sent.contains(next)) ++next;
      put(number, "4", header, fmt::format("36={}|123=Y|", next));
      number = next;
    }
  }
};

void lossy_round(uint64_t seed) {
  std::mt19937_64 random(seed);
  SessionConfig config;
  if (seed % 3 == 0) config.resend_chunk = 1 + static_cast<uint32_t>(random() % 4);
  if (seed % 5 == 0) config.held_messages_max = 3;
  Desk desk(config);
  Initiator peer;
  desk.session.disconnected();
  std::string wire;  // from the session to the peer
  int orders = 0;
  const auto deliver = [&] {
    for (const auto& frame : test::frames_of(wire)) {
      peer.read(frame);
      if (::testing::Test::HasFatalFailure()) return;
    }
    wire.clear();
    if (peer.asked != 0 && peer.next_in > peer.asked) peer.asked = 0;
  };
  const auto feed = [&] {
    while (!peer.to_send.empty()) {
      Message message;
      const std::string frame = std::move(peer.to_send.front());
      peer.to_send.pop_front();
      ASSERT_TRUE(message.parse(frame));
      if (random() % 20 == 0 && message.type() == "D") continue;  // lost on the way
      desk.session.received(desk.now, message);
      wire += desk.session.output();
      desk.session.output().clear();
      ASSERT_FALSE(desk.session.closing()) << name(desk.session.end());
    }
  };
  const auto connect = [&] {
    desk.session.disconnected();
    wire.clear();
    desk.session.connected(desk.now);
    peer.log_on();
  };
  connect();
  for (int step = 0; step < 300; ++step) {
    switch (random() % 8) {
      case 0:
        connect();
        break;
      case 1:
      case 2:
      case 3:
        peer.order(orders++);
        break;
      case 4:
        if (desk.session.logged_on()) peer.put(peer.next_out++, "1", "", "112=x|");
        break;
      case 5:
        deliver();
        break;
      default:
        feed();
    }
    if (::testing::Test::HasFatalFailure()) return;
  }
  // Quiet, until both agree.
  connect();
  const auto done = [&] { return static_cast<int>(peer.received.size()) == orders; };
  for (int round = 0; round < 1000 && !done(); ++round) {
    feed();
    if (::testing::Test::HasFatalFailure()) return;
    deliver();
    if (::testing::Test::HasFatalFailure()) return;
    desk.advance(31 * kSecond);
    peer.when = test::timestamp(desk.now.wall).substr(0, 17);
    peer.put(peer.next_out++, "1", "", "112=end|");
    desk.session.send("B", desk.now.wall, test::bytes("33=1|58=x|148=x|"), desk.now);
  }
  Lines expected;
  for (int i = 0; i < orders; ++i) expected.push_back(fmt::format("c{}", i));
  EXPECT_EQ(desk.taken.size(), expected.size());
  EXPECT_EQ(peer.received, expected) << "each order is reflected once and in order";
}

TEST(session, delivers_everything_once_and_in_order_over_lost_connections) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    lossy_round(seed);
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "seed " << seed;
      return;
    }
  }
}

}  // namespace
}  // namespace polis::exchange::fix
