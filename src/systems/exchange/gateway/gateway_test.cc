#include "systems/exchange/gateway/gateway.h"

#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/store/rocks_store.h"
#include "systems/exchange/fix/validator.h"
#include "systems/exchange/gateway/direct_venue_test_support.h"

namespace polis::exchange::gateway {
namespace {

using namespace std::chrono_literals;

// A FIX client that counts its own numbers and says what it is told. Fields are separated by '|' here.
class Client {
 public:
  static Task<Result<std::unique_ptr<Client>>> connect(const Clock& clock, uint16_t port, std::string name,
                                                       std::shared_ptr<io::TlsContext> tls = nullptr) {
    auto client = std::make_unique<Client>(clock, std::move(name));
    client->stream_ = CO_TRY(co_await io::connect({.address = "127.0.0.1", .port = port}));
    if (tls) client->stream_ = CO_TRY(co_await io::tls_connect(std::move(client->stream_), tls, "localhost"));
    co_return std::move(client);
  }
  Client(const Clock& clock, std::string name) : clock_(clock), name_(std::move(name)) {}

  // With the next number, or another.
  Task<void> send(std::string type, std::string body, uint32_t number = 0, std::string header = {}) {
    const std::string bytes = message(std::move(type), std::move(body), number, std::move(header));
    (void)co_await stream_->write(as_bytes(bytes));
  }
  std::string message(std::string type, std::string body, uint32_t number = 0, std::string header = {}) {
    char time[21];
    fix::write_timestamp(clock_.wall().time_since_epoch().count(), time);
    if (number == 0) number = next++;
    std::string inside = fmt::format("35={}|34={}|{}49={}|52={}|56=POLIS|{}", type, number, header, name_,
                                     std::string_view(time, 21), body);
    std::string whole = fmt::format("8=FIX.4.4|9={}|{}", inside.size(), inside);
    std::replace(whole.begin(), whole.end(), '|', fix::kSeparator);
    unsigned sum = 0;
    for (char c : whole) sum += static_cast<uint8_t>(c);
    return whole + fmt::format("10={:03}", sum % 256) + fix::kSeparator;
  }
  Task<void> raw(std::string bytes) { (void)co_await stream_->write(as_bytes(bytes)); }

  // The next message, with '|'; "closed" at the end, "nothing" if none comes.
  Task<std::string> receive(Duration wait = 5s) {
    auto got = co_await io::with_timeout<Result<std::string>>(wait, read());
    if (got) co_return *got;
    co_return got.error().code() == Code::kTimeout ? "nothing" : "closed";
  }
  // The next one without what differs from run to run.
  Task<std::string> brief() { co_return strip(co_await receive()); }
  static std::string strip(const std::string& whole) {
    std::string kept;
    for (size_t at = 0; at < whole.size();) {
      const size_t end = std::min(whole.find('|', at), whole.size() - 1);
      const std::string field = whole.substr(at, end - at + 1);
      const std::string tag = field.substr(0, field.find('='));
      static const std::string kVolatile[] = {"8", "9", "10", "49", "52", "56", "60", "122", "17", "37"};
      if (std::find(std::begin(kVolatile), std::end(kVolatile), tag) == std::end(kVolatile)) kept += field;
      at = end + 1;
    }
    return kept;
  }
  static std::string field(const std::string& whole, std::string tag) {
    const size_t at = ("|" + whole).find("|" + tag + "=");
    if (at == std::string::npos) return {};
    const size_t begin = at + tag.size() + 1;
    return whole.substr(begin, whole.find('|', begin) - begin);
  }
  Task<std::string> logon(std::string more = {}) {
    co_await send("A", "98=0|108=30|" + more);
    co_return co_await brief();
  }
  void close() { stream_->close(); }

  uint32_t next = 1;

 private:
  Task<Result<std::string>> read() {
    fix::Message parsed;
    while (true) {
      const auto found = framer_.next();
      if (found == fix::Framer::Found::kFrame) {
        if (!parsed.parse(framer_.frame())) co_return std::string("garbled");
        if (const auto violation = fix::validate(parsed))
          ADD_FAILURE() << "the venue sent what the dictionary does not allow: " << parsed.frame();
        std::string text(framer_.frame());
        std::replace(text.begin(), text.end(), fix::kSeparator, '|');
        co_return text;
      }
      if (found == fix::Framer::Found::kGarbled) co_return std::string("garbled");
      const size_t got = CO_TRY(co_await stream_->read_some(std::as_writable_bytes(framer_.room())));
      framer_.filled(got);
    }
  }
  const Clock& clock_;
  const std::string name_;
  std::unique_ptr<io::Stream> stream_;
  fix::Framer framer_;
};

constexpr SessionId kBroker = 1, kMarket = 2, kCopy = 3, kAlert = 4;

struct World {
  World() {
    std::string pattern = (std::filesystem::temp_directory_path() / "polis-gateway-XXXXXX").string();
    POLIS_ASSERT(mkdtemp(pattern.data()) != nullptr);
    directory = pattern;
    store = std::move(*store::RocksStore::open({.directory = directory + "/store"}));
  }
  ~World() {
    store.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }

  Task<void> define(Request request, std::string what) {
    auto report = co_await venue.ask(request);
    EXPECT_TRUE(report && report->kind == ReportKind::kDone)
        << what << ": " << (report ? refusal_text(report->refusal) : report.error().text());
  }
  Task<void> asset(AssetId id, std::string symbol, uint8_t decimals) {
    Request request;
    request.kind = RequestKind::kAsset;
    request.body.asset = {id, Symbol(symbol), decimals};
    co_await define(request, symbol);
  }
  Task<void> session(SessionDefinition definition) {
    Request request;
    request.kind = RequestKind::kSession;
    request.body.session = definition;
    co_await define(request, "session");
  }
  Task<void> deposit(AccountId account, AssetId asset, Amount amount) {
    Request request;
    request.kind = RequestKind::kDeposit;
    request.body.transfer = TransferFields{.account = account,
                                           .asset = asset,
                                           .amount = amount,
                                           .id_low = ++transfers,
                                           .id_high = 1,
                                           .ledger_time = transfers};
    auto report = co_await venue.ask(request);
    EXPECT_TRUE(report && report->kind == ReportKind::kDeposited);
  }
  SessionDefinition broker() {
    SessionDefinition definition;
    definition.id = kBroker;
    definition.account = 2;
    definition.name = Name("BRK1");
    return definition;
  }
  // An instrument ABC with tick 0.01 and lot 1 against USD, two accounts with money, and sessions.
  Task<void> open() {
    co_await asset(1, "USD", 2);
    co_await asset(2, "ABC", 0);
    Request request;
    request.kind = RequestKind::kInstrument;
    InstrumentDefinition instrument;
    instrument.id = 1;
    instrument.base = 2;
    instrument.quote = 1;
    instrument.symbol = Symbol("ABC");
    instrument.tick = {1, -2};
    instrument.lot = {1, 0};
    instrument.base_per_lot = 1;
    instrument.quote_per_tick_lot = 1;
    instrument.orders_max = 100'000;
    request.body.instrument = instrument;
    co_await define(request, "instrument");
    for (AccountId id = 2; id <= 3; ++id) {
      Request account;
      account.kind = RequestKind::kAccount;
      account.body.account = {id, Name(id == 2 ? "A7" : "MM")};
      co_await define(account, "account");
      co_await deposit(id, 1, 1'000'000'000'00);
      co_await deposit(id, 2, 1'000'000);
    }
    co_await session(broker());
    SessionDefinition market = broker();
    market.id = kMarket;
    market.account = 3;
    market.name = Name("MM");
    co_await session(market);
    SessionDefinition copy;
    copy.id = kCopy;
    copy.name = Name("COPY");
    copy.role = SessionRole::kDropCopy;
    co_await session(copy);
    SessionDefinition alert = broker();
    alert.id = kAlert;
    alert.name = Name("COD");
    alert.cancel_on_disconnect_seconds = 0;
    co_await session(alert);
    Request phase;
    phase.kind = RequestKind::kPhase;
    phase.body.phase = Phase::kContinuous;
    co_await define(phase, "phase");
    co_await start();
  }
  Task<void> start() {
    auto opened = co_await Gateway::open({.venue = venue, .store = *store, .clock = clock, .random = random}, options,
                                         std::make_unique<RecentReports>(nullptr));
    EXPECT_TRUE(opened) << opened.error().text();
    gateway = std::move(*opened);
    auto listening = co_await gateway->listen({.address = "127.0.0.1", .port = 0}, {});
    EXPECT_TRUE(listening);
    port = *listening;
  }
  Task<void> stop() {
    co_await gateway->drain(1s);
    gateway.reset();
  }
  Task<std::unique_ptr<Client>> client(std::string name) {
    auto connected = co_await Client::connect(clock, port, std::move(name));
    EXPECT_TRUE(connected);
    co_return std::move(*connected);
  }
  // A limit order of the market maker that rests.
  void rest(Side side, Price price, Quantity quantity) {
    Request request;
    request.kind = RequestKind::kNewOrder;
    request.instrument = 1;
    OrderFields& order = request.body.order = OrderFields();
    order.account = 3;
    order.side = side;
    order.price = price;
    order.quantity = quantity;
    EXPECT_TRUE(venue.submit(request));
  }

  base::SystemClock clock;
  base::SystemRandom random;
  std::string directory;
  std::unique_ptr<store::RocksStore> store;
  DirectVenue venue{clock};
  GatewayOptions options;
  std::unique_ptr<Gateway> gateway;
  uint16_t port = 0;
  uint64_t transfers = 0;
};

// Runs a scene in a world that is open, and closes it.
template <class Scene>
void play(Scene scene) {
  World world;
  auto whole = [&]() -> Task<int> {
    co_await world.open();
    auto played = scene(world);
    co_await played;
    if (world.gateway) co_await world.stop();
    co_return 0;
  };
  io::run(whole);
}

std::string order(std::string id, std::string more) {
  return fmt::format("11={}|{}55=ABC|60=20240102-09:30:00.000|", id, more);
}

TEST(gateway, the_order_of_the_example_gives_six_messages) {
  play([](World& world) -> Task<void> {
    for (Quantity size : {200, 400, 1100, 100}) world.rest(Side::kSell, 10010, size);
    for (Quantity size : {900, 700, 400}) world.rest(Side::kSell, 10011, size);
    auto client = co_await world.client("BRK1");
    EXPECT_EQ(co_await client->logon(), "35=A|34=1|98=0|108=30|");
    co_await client->send("D", "11=a1|38=2700|40=1|54=1|55=ABC|59=3|60=20240102-09:30:00.000|");
    EXPECT_EQ(co_await client->brief(),
              "35=8|34=2|1=A7|6=0|11=a1|14=0|38=2700|39=0|40=1|54=1|55=ABC|59=3|150=0|151=2700|");
    EXPECT_EQ(co_await client->brief(),
              "35=8|34=3|1=A7|6=100.10|11=a1|14=200|31=100.10|32=200|38=2700|39=1|40=1|54=1|55=ABC|59=3|150=F|151=2500|"
              "527=1|851=2|");
    for (int i = 0; i < 3; ++i) (void)co_await client->brief();
    EXPECT_EQ(
        co_await client->brief(),
        "35=8|34=7|1=A7|6=100.10333333|11=a1|14=2700|31=100.11|32=900|38=2700|39=2|40=1|54=1|55=ABC|59=3|150=F|151=0|"
        "527=5|851=2|");
  });
}

TEST(gateway, orders_that_are_wrong_are_answered_with_the_reason) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    struct Case {
      std::string fields, text, reason;
    };
    const Case cases[] = {
        {"38=1|40=2|44=100.105|54=1|", "Price is not a multiple of the tick", "99"},
        {"38=1|40=2|54=1|", "Incorrect price", "99"},
        {"38=1|40=2|44=-1|54=1|", "Incorrect price", "99"},
        {"38=0|40=2|44=1|54=1|", "Incorrect quantity", "13"},
        {"38=0.5|40=2|44=1|54=1|", "Quantity is not a multiple of the lot", "13"},
        {"38=99999999999|40=2|44=1|54=1|", "Incorrect quantity", "13"},
        {"38=1|40=P|44=1|54=1|", "Unsupported order characteristic", "11"},
        {"38=1|40=2|44=1|54=7|", "Unsupported order characteristic", "11"},
        {"1=OTHER|38=1|40=2|44=1|54=1|", "Unknown account", "15"},
    };
    int number = 0;
    for (const Case& wrong : cases) {
      co_await client->send("D", order(fmt::format("w{}", ++number), wrong.fields));
      const std::string answer = co_await client->receive();
      EXPECT_EQ(Client::field(answer, "35"), "8") << answer;
      EXPECT_EQ(Client::field(answer, "39"), "8") << answer;
      EXPECT_EQ(Client::field(answer, "150"), "8") << answer;
      EXPECT_EQ(Client::field(answer, "58"), wrong.text) << answer;
      EXPECT_EQ(Client::field(answer, "103"), wrong.reason) << answer;
      EXPECT_EQ(Client::field(answer, "11"), fmt::format("w{}", number));
    }
    co_await client->send("D", "11=s|38=1|40=2|44=1|54=1|55=NOSUCHTHING|60=20240102-09:30:00.000|");
    std::string answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "58"), "Unknown symbol");
    EXPECT_EQ(Client::field(answer, "103"), "1");
    EXPECT_EQ(Client::field(answer, "55"), "NOSUCHTHING");
    // A client order id that does not fit, and a message that nobody serves.
    co_await client->send("D", order(std::string(37, 'x'), "38=1|40=2|44=1|54=1|"));
    answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "35"), "j");
    EXPECT_EQ(Client::field(answer, "372"), "D");
    co_await client->send("V", "146=1|55=ABC|262=r|263=0|264=1|267=1|269=0|");
    answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "380"), "3") << answer;
    EXPECT_EQ(Client::field(answer, "372"), "V");
    EXPECT_EQ(Client::field(answer, "58"), "Unsupported Message Type");
  });
}

TEST(gateway, an_order_is_replaced_asked_for_and_cancelled) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    co_await client->send("D", order("o1", "38=10|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await client->receive(), "150"), "0");
    co_await client->send("G", order("o2", "38=20|40=2|41=o1|44=99.51|54=1|"));
    std::string answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "150"), "5") << answer;
    EXPECT_EQ(Client::field(answer, "11"), "o2");
    EXPECT_EQ(Client::field(answer, "41"), "o1");
    EXPECT_EQ(Client::field(answer, "44"), "99.51");
    const std::string id = Client::field(answer, "37");
    co_await client->send("H", "11=o2|54=1|55=ABC|");
    answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "150"), "I") << answer;
    EXPECT_EQ(Client::field(answer, "39"), "0");
    EXPECT_EQ(Client::field(answer, "37"), id);
    co_await client->send("F", order("c1", "41=o1|54=1|"));
    answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "35"), "9") << answer;
    EXPECT_EQ(Client::field(answer, "434"), "1");
    co_await client->send("F", order("c2", "41=o2|54=1|"));
    answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "150"), "4") << answer;
    EXPECT_EQ(Client::field(answer, "39"), "4");
    EXPECT_EQ(Client::field(answer, "151"), "0");
    co_await client->send("F", order("c3", "41=c2|54=1|"));
    answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "102"), "0") << answer;
    co_await client->send("D", order("o3", "38=10|40=2|44=99.5|54=1|"));
    (void)co_await client->receive();
    co_await client->send("q", "11=m1|530=7|60=20240102-09:30:00.000|");
    std::string all;
    for (int i = 0; i < 2; ++i) all += co_await client->receive();
    EXPECT_NE(all.find("|35=r|"), std::string::npos) << all;
    EXPECT_NE(all.find("|531=7|533=1|"), std::string::npos) << all;
    EXPECT_NE(all.find("|150=4|"), std::string::npos) << all;
  });
}

TEST(gateway, what_was_missed_is_sent_again_as_it_was) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    co_await client->send("D", order("o1", "38=10|40=2|44=99.5|54=1|"));
    const std::string first = co_await client->receive();
    client->close();
    // Meanwhile, and with a number of its own: a fill.
    world.rest(Side::kSell, 9950, 4);
    auto again = co_await world.client("BRK1");
    again->next = client->next;
    EXPECT_EQ(co_await again->logon(), "35=A|34=4|98=0|108=30|");
    co_await again->send("2", "7=2|16=0|");
    const std::string resent = co_await again->receive();
    EXPECT_EQ(Client::field(resent, "43"), "Y") << resent;
    EXPECT_EQ(Client::field(resent, "122"), Client::field(first, "52"));
    EXPECT_EQ(Client::field(resent, "17"), Client::field(first, "17"));
    EXPECT_EQ(Client::field(resent, "150"), "0");
    const std::string fill = co_await again->receive();
    EXPECT_EQ(Client::field(fill, "34"), "3") << fill;
    EXPECT_EQ(Client::field(fill, "32"), "4");
    const std::string gap = co_await again->receive();
    EXPECT_EQ(Client::field(gap, "35"), "4") << gap;
    EXPECT_EQ(Client::field(gap, "34"), "4");
    EXPECT_EQ(Client::field(gap, "36"), "5");
  });
}

TEST(gateway, numbers_survive_a_restart_and_a_change_of_gateway) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    co_await client->send("D", order("o1", "38=10|40=2|44=99.5|54=1|"));
    (void)co_await client->receive();
    co_await client->send("1", "112=hello|");
    EXPECT_EQ(co_await client->brief(), "35=0|34=3|112=hello|");
    co_await world.stop();
    EXPECT_EQ(co_await client->brief(), "35=5|34=4|58=Venue closes|");
    co_await world.start();
    auto again = co_await world.client("BRK1");
    again->next = client->next;
    EXPECT_EQ(co_await again->logon(), "35=A|34=5|98=0|108=30|");
    co_await again->send("D", order("o2", "38=10|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await again->receive(), "34"), "6");
  });
}

TEST(gateway, nothing_leaves_before_it_is_safe) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    world.venue.hold = true;
    co_await client->send("A", "98=0|108=30|");
    EXPECT_EQ(co_await client->receive(50ms), "nothing");
    world.venue.release();
    EXPECT_EQ(Client::field(co_await client->receive(), "35"), "A");
    world.venue.hold = true;
    co_await client->send("D", order("o1", "38=10|40=2|44=99.5|54=1|"));
    co_await client->send("1", "112=t|");
    EXPECT_EQ(co_await client->receive(50ms), "nothing");
    world.venue.release();
    // The test request's answer took its number first.
    EXPECT_EQ(co_await client->brief(), "35=0|34=2|112=t|");
    EXPECT_EQ(Client::field(co_await client->receive(), "34"), "3");
    // And so does the venue count.
    co_await client->send("2", "7=2|16=3|");
    std::string answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "35"), "4") << answer;
    EXPECT_EQ(Client::field(answer, "36"), "3");
    answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "34"), "3") << answer;
    EXPECT_EQ(Client::field(answer, "150"), "0");
  });
}

TEST(gateway, a_reset_begins_anew_and_later_reports_follow_it) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    co_await client->send("D", order("o1", "38=10|40=2|44=99.5|54=1|"));
    (void)co_await client->receive();
    client->close();
    world.rest(Side::kSell, 9950, 4);
    auto again = co_await world.client("BRK1");
    EXPECT_EQ(co_await again->logon("141=Y|"), "35=A|34=1|98=0|108=30|141=Y|");
    world.rest(Side::kSell, 9950, 1);
    std::string fill = co_await again->receive();
    EXPECT_EQ(Client::field(fill, "34"), "2") << fill;
    EXPECT_EQ(Client::field(fill, "14"), "5");
    co_await again->send("2", "7=1|16=0|");
    EXPECT_EQ(Client::field(co_await again->receive(), "36"), "2");
    fill = co_await again->receive();
    EXPECT_EQ(Client::field(fill, "34"), "2") << fill;
    EXPECT_EQ(Client::field(fill, "32"), "1");
  });
}

TEST(gateway, passwords_are_asked_for_and_a_live_session_is_not_touched) {
  play([](World& world) -> Task<void> {
    EXPECT_TRUE(co_await world.gateway->set_password("BRK1", "correct horse"));
    auto wrong = co_await world.client("BRK1");
    co_await wrong->send("A", "98=0|108=30|553=BRK1|554=battery staple|");
    EXPECT_EQ(co_await wrong->brief(), "35=5|34=1|58=Unknown user or wrong password|");
    EXPECT_EQ(co_await wrong->receive(), "closed");
    wrong.reset();
    auto right = co_await world.client("BRK1");
    co_await right->send("A", "98=0|108=30|553=BRK1|554=correct horse|");
    EXPECT_EQ(Client::field(co_await right->receive(), "35"), "A");
    auto second = co_await world.client("BRK1");
    co_await second->send("A", "98=0|108=30|553=BRK1|554=correct horse|");
    EXPECT_EQ(co_await second->receive(), "closed");
    auto stranger = co_await world.client("NOBODY");
    co_await stranger->send("A", "98=0|108=30|");
    EXPECT_EQ(co_await stranger->receive(), "closed");
    auto garbled = co_await world.client("BRK1");
    co_await garbled->raw(
        "8=FIX.4.4\x01"
        "9=5\x01"
        "35=A\x01"
        "10=000\x01");
    EXPECT_EQ(co_await garbled->receive(), "closed");
    co_await right->send("1", "112=alive|");
    EXPECT_EQ(Client::field(co_await right->receive(), "112"), "alive");
    const auto views = co_await world.gateway->sessions();
    EXPECT_TRUE(views.size() == 4 && views[0].logged_on && !views[1].logged_on);
    EXPECT_TRUE(co_await world.gateway->disconnect("BRK1", "Go away"));
    EXPECT_EQ(Client::field(co_await right->receive(), "58"), "Go away");
  });
}

TEST(gateway, a_session_that_asked_for_it_loses_its_orders_when_it_goes) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("COD");
    (void)co_await client->logon();
    co_await client->send("D", order("o1", "38=10|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await client->receive(), "39"), "0");
    client->close();
    for (int i = 0; i < 500 && world.venue.history.back().report.kind != ReportKind::kCancelled; ++i)
      (void)co_await io::sleep_for(2ms);
    auto again = co_await world.client("COD");
    again->next = client->next;
    (void)co_await again->logon();
    co_await again->send("2", "7=3|16=3|");
    const std::string gone = co_await again->receive();
    EXPECT_EQ(Client::field(gone, "150"), "4") << gone;
  });
}

TEST(gateway, who_sends_too_much_is_told_and_then_sent_away) {
  play([](World& world) -> Task<void> {
    SessionDefinition slow = world.broker();
    slow.rate_per_second = 1;
    slow.rate_burst = 2;
    co_await world.session(slow);
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    for (int i = 0; i < 3; ++i) co_await client->send("D", order(fmt::format("r{}", i), "38=1|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await client->receive(), "35"), "8");
    EXPECT_EQ(Client::field(co_await client->receive(), "35"), "8");
    const std::string told = co_await client->receive();
    EXPECT_EQ(Client::field(told, "35"), "j") << told;
    EXPECT_EQ(Client::field(told, "380"), "0");
    EXPECT_EQ(Client::field(told, "58"), "Rate limit");
    EXPECT_EQ(Client::field(told, "379"), "r2");
    EXPECT_EQ(Client::field(told, "45"), "4");
  });
}

TEST(gateway, a_busy_venue_refuses_in_order_and_then_goes_on) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    world.venue.busy = true;
    co_await client->send("D", order("b1", "38=1|40=2|44=99.5|54=1|"));
    co_await client->send("D", order("b2", "38=1|40=2|44=99.5|54=1|"));
    EXPECT_EQ(co_await client->receive(50ms), "nothing");
    world.venue.busy = false;
    for (std::string id : {"b1", "b2"}) {
      const std::string told = co_await client->receive();
      EXPECT_EQ(Client::field(told, "380"), "4") << told;
      EXPECT_EQ(Client::field(told, "379"), id);
    }
    co_await client->send("D", order("b3", "38=1|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await client->receive(), "150"), "0");
  });
}

TEST(gateway, orders_of_one_read_are_handled_in_their_order_and_none_is_left_behind) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    // More than are gathered, a question of the session's own and a cancel among them, and one that was sent before.
    std::string bytes;
    std::vector<std::string> expected;
    for (int i = 0; i < 45; ++i) {
      const std::string id = fmt::format("o{}", i);
      if (i == 20) {
        bytes += client->message("1", "112=ping|");
      } else if (i == 30) {
        bytes += client->message("F", "11=" + id + "|41=o29|54=1|55=ABC|60=20240102-09:30:00.000|");
      } else if (i == 40) {
        bytes += client->message("D", "97=Y|" + order("o39", "38=1|40=2|44=99.5|54=1|"));
      } else {
        bytes += client->message("D", order(id, "38=1|40=2|44=99.5|54=1|"));
      }
      if (i != 20) expected.push_back(i == 40 ? "o39" : id);
    }
    co_await client->raw(bytes);
    std::vector<std::string> told;
    for (uint32_t number = 2; number < 47; ++number) {
      const std::string message = co_await client->receive();
      EXPECT_EQ(Client::field(message, "34"), std::to_string(number)) << message;
      if (Client::field(message, "35") == "0") continue;
      told.push_back(Client::field(message, "11"));
    }
    EXPECT_EQ(told, expected);
    // One alone does not wait for others.
    co_await client->send("D", order("alone", "38=1|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await client->receive(), "11"), "alone");
  });
}

TEST(gateway, a_possible_resend_has_its_effect_once) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    co_await client->send("D", order("p1", "38=1|40=2|44=99.5|54=1|"));
    (void)co_await client->receive();
    // 97=Y stands in the header, behind 56.
    co_await client->send("D", "97=Y|" + order("p1", "38=1|40=2|44=99.5|54=1|"));
    std::string answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "150"), "I") << answer;
    co_await client->send("D", "97=Y|" + order("p2", "38=1|40=2|44=99.5|54=1|"));
    answer = co_await client->receive();
    EXPECT_EQ(Client::field(answer, "150"), "0") << answer;
  });
}

TEST(gateway, who_does_not_read_is_cut_off_and_misses_nothing) {
  play([](World& world) -> Task<void> {
    co_await world.stop();
    world.options.egress_bytes_max = 100'000;
    co_await world.start();
    Request risk;
    risk.kind = RequestKind::kRisk;
    risk.body.risk.account = 3;
    risk.body.risk.limits.rate_per_second = 0;
    co_await world.define(risk, "risk");
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    co_await client->send("D", order("slow", "38=300000|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await client->receive(), "150"), "0");
    uint32_t fills = 0;
    // The kernel's buffers take some megabytes before the gateway's own fills.
    while (world.gateway->statistics().connections != 0 && fills < 200'000) {
      for (int i = 0; i < 50; ++i, ++fills) world.rest(Side::kSell, 9950, 1);
      co_await io::yield();
    }
    EXPECT_LT(fills, 200'000u);
    auto again = co_await world.client("BRK1");
    again->next = client->next;
    EXPECT_EQ(Client::field(
                  co_await [](Client& late) -> Task<std::string> {
                    co_await late.send("A", "98=0|108=30|");
                    co_return co_await late.receive();
                  }(*again),
                  "34"),
              std::to_string(fills + 3));
    co_await again->send("2", fmt::format("7={}|16={}|", fills + 2, fills + 2));
    const std::string last = co_await again->receive();
    EXPECT_EQ(Client::field(last, "14"), std::to_string(fills)) << last;
  });
}

TEST(gateway, over_tls_a_certificate_names_the_session) {
  play([](World& world) -> Task<void> {
    const std::string host[] = {"localhost"}, broker[] = {"BRK1"};
    const auto ours = io::make_self_signed(host, 1h).value(), theirs = io::make_self_signed(broker, 1h).value();
    Door door;
    door.tls = io::TlsContext::server({.certificate_chain_pem = ours.chain_pem,
                                       .private_key_pem = ours.key_pem,
                                       .protocols = {},
                                       .client_authorities_pem = theirs.chain_pem})
                   .value();
    door.certificates = true;
    EXPECT_TRUE(co_await world.gateway->set_password("BRK1", "not needed with a certificate"));
    auto port = co_await world.gateway->listen({.address = "127.0.0.1", .port = 0}, door);
    EXPECT_TRUE(port);
    auto context = io::TlsContext::client({.authorities_pem = ours.chain_pem,
                                           .verify = true,
                                           .protocols = {},
                                           .certificate_chain_pem = theirs.chain_pem,
                                           .private_key_pem = theirs.key_pem})
                       .value();
    auto stranger = co_await Client::connect(world.clock, *port, "MM", context);
    EXPECT_TRUE(stranger);
    co_await (*stranger)->send("A", "98=0|108=30|");
    EXPECT_EQ(Client::field(co_await (*stranger)->receive(), "58"), "The certificate is another session's");
    auto named = co_await Client::connect(world.clock, *port, "BRK1", context);
    EXPECT_TRUE(named);
    EXPECT_EQ(co_await (*named)->logon(), "35=A|34=1|98=0|108=30|");
    co_await (*named)->send("D", order("t1", "38=1|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await (*named)->receive(), "39"), "0");
  });
}

TEST(gateway, instruments_and_trading_sessions_can_be_asked_for) {
  play([](World& world) -> Task<void> {
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    co_await client->send("x", "320=r1|559=4|");
    EXPECT_EQ(co_await client->brief(), "35=y|34=2|146=1|55=ABC|561=1|320=r1|322=r1|393=1|560=0|893=Y|");
    co_await client->send("x", "55=NONE|320=r2|559=0|");
    EXPECT_EQ(co_await client->brief(), "35=y|34=3|320=r2|322=r2|393=0|560=2|893=Y|");
    co_await client->send("g", "263=0|335=r3|336=ABC|");
    EXPECT_EQ(co_await client->brief(), "35=h|34=4|335=r3|336=ABC|340=2|");
    co_await client->send("g", "263=0|335=r4|336=XYZ|");
    EXPECT_EQ(co_await client->brief(), "35=h|34=5|335=r4|336=XYZ|340=6|567=1|");
    co_await client->send("g", "263=0|335=r5|");
    EXPECT_EQ(co_await client->brief(), "35=h|34=6|335=r5|336=ALL|340=2|");
    co_await client->send("2", "7=2|16=0|");
    const std::string gap = co_await client->receive();
    EXPECT_EQ(Client::field(gap, "36"), "7") << gap;
  });
}

TEST(gateway, drop_copies_tell_of_all_orders) {
  play([](World& world) -> Task<void> {
    auto copy = co_await world.client("COPY");
    (void)co_await copy->logon();
    auto client = co_await world.client("BRK1");
    (void)co_await client->logon();
    co_await client->send("D", order("d1", "38=1|40=2|44=99.5|54=1|"));
    const std::string own = co_await client->receive(), copied = co_await copy->receive();
    EXPECT_EQ(Client::field(copied, "11"), "d1") << copied;
    EXPECT_EQ(Client::field(copied, "37"), Client::field(own, "37"));
    co_await copy->send("D", order("d2", "38=1|40=2|44=99.5|54=1|"));
    EXPECT_EQ(Client::field(co_await copy->receive(), "35"), "j");
  });
}

}  // namespace
}  // namespace polis::exchange::gateway
