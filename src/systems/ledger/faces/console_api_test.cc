// The console's API over HTTP, on real books: they lie in a temporary directory, and a real server on a loopback port
// of its own gives JSON for JSON.
#include "systems/ledger/faces/console_api.h"

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>

#include "kernel/auth/policy.h"
#include "kernel/http/client.h"
#include "kernel/http/server.h"
#include "kernel/store/rocks_store.h"
#include "systems/api.h"
#include "systems/ledger/faces/flow_sums.h"
#include "systems/ledger/faces/past_account.h"
#include "systems/ledger/service.h"

namespace polis::ledger {
namespace {

namespace json = boost::json;

struct JsonReply {
  int status = 0;
  boost::json::value body;
  const boost::json::value& operator[](std::string_view field) const { return body.at(field); }
  std::string text(std::string_view field) const { return std::string(body.at(field).as_string()); }
  int64_t number(std::string_view field) const { return body.at(field).to_number<int64_t>(); }
  std::string detail() const { return std::string(body.as_object().at("detail").as_string()); }
};

// Names as the JSON face would know them.
class KnownNames final : public NameBook {
 public:
  Task<Result<std::vector<std::string>>> names(std::vector<Id> accounts) override {
    std::vector<std::string> found;
    for (Id id : accounts) found.push_back(known.contains(id) ? known.at(id) : "");
    co_return found;
  }
  Task<Result<std::vector<Id>>> find(std::string text, size_t limit) override {
    std::vector<Id> found;
    for (const auto& [id, name] : known)
      if (name.find(text) != name.npos && found.size() < limit) found.push_back(id);
    co_return found;
  }
  Task<Result<std::vector<LedgerName>>> ledgers() override {
    co_return std::vector<LedgerName>{{.ledger = 840, .asset = "USD", .scale = 2}};
  }
  std::map<Id, std::string> known;
};

class KeptTopics final : public systems::LiveTopics {
 public:
  Result<void> declare(systems::LiveTopic topic) override {
    topics.emplace(topic.name, std::move(topic));
    return {};
  }
  std::map<std::string, systems::LiveTopic> topics;
};

class ConsoleWorld {
 public:
  ConsoleWorld() : runtime_({.shards = 2, .blocking_threads = 4}) {
    std::string pattern = (std::filesystem::temp_directory_path() / "polis-ledger-console-XXXXXX").string();
    POLIS_ASSERT(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    store::StoreOptions options;
    options.directory = path_ + "/store";
    store_ = store::RocksStore::open(options).value();
    runtime_.start();
    runtime_.call(0, [this] { return open(); });
  }
  ~ConsoleWorld() {
    runtime_.call(0, [this] { return close(); });
    runtime_.stop();
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  // `as`: "root", "nobody", or "clerk", who may read and post ledger 840.
  JsonReply ask(std::string method, std::string target, std::string body = {}, std::string as = "root") {
    return runtime_.call(0, [&] { return send(method, target, body, as); });
  }
  JsonReply get(std::string target) { return ask("GET", std::move(target)); }
  JsonReply post(std::string target, std::string body = {}) { return ask("POST", std::move(target), std::move(body)); }
  boost::json::object sample(const std::string& topic) {
    auto text = runtime_.call(0, [&] { return topics_.topics.at(topic).sample(); });
    if (!text) ADD_FAILURE() << text.error().text();
    return boost::json::parse(text.value()).as_object();
  }
  Ledger& ledger() { return *ledger_; }
  // As when polis stops.
  void stop_console() {
    runtime_.call(0, [this]() -> Task<bool> {
      co_await console_->stop();
      co_return true;
    });
  }
  template <class F>
  auto call(F work) {
    return runtime_.call(0, std::move(work));
  }
  KnownNames names;

 private:
  Task<bool> open() {
    ServiceOptions options;
    options.data_directory = path_;
    ledger_ = (co_await LedgerService::open(*disk_, clock_, random_, options)).value();
    auto keyspace = store_->keyspace("ledger_lab").value();
    console_ = std::make_unique<ConsoleApi>(ConsoleParts{
        .ledger = *ledger_, .store = *store_, .lab = keyspace, .clock = clock_, .random = random_, .names = &names});
    (co_await console_->start()).value();
    console_->mount(router_);
    console_->declare_topics(topics_).value();
    clerk_ = make_clerk();
    server_ = std::make_unique<http::Server>(
        [this](http::Request& request, http::Response& response) -> Task<void> {
          std::string_view as = request.field("x-as").value_or("");
          if (as == "root") systems::set_principal(request, auth::internal_principal("test"));
          if (as == "clerk") systems::set_principal(request, clerk_);
          co_await router_.handle(request, response);
        },
        http::ServerOptions{});
    port_ = server_->listen(io::Endpoint::parse("127.0.0.1:0").value()).value().port;
    client_ = std::make_unique<http::Client>();
    co_return true;
  }
  Task<bool> close() {
    client_.reset();
    co_await server_->drain(std::chrono::seconds(2));
    server_.reset();
    co_await console_->stop();
    console_.reset();
    (void)co_await ledger_->close();
    ledger_.reset();
    (void)co_await store_->close();
    co_return true;
  }
  static auth::PrincipalPtr make_clerk() {
    auth::Principal clerk;
    clerk.user_id = "u-clerk";
    clerk.user_name = "clerk";
    clerk.arn = "arn:aws:iam::1:user/clerk";
    clerk.account_id = "1";
    clerk.of_main_account = true;
    auto policy = auth::Policy::parse(
        R"({"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ledger:Read","ledger:Post"],)"
        R"("Resource":"arn:polis:ledger:::ledger/840"}]})",
        auth::PolicyKind::kIdentity);
    clerk.policies.push_back({"books", std::move(policy).value()});
    return std::make_shared<const auth::Principal>(std::move(clerk));
  }

  Task<JsonReply> send(std::string method, std::string target, std::string body, std::string as) {
    http::ClientRequest request{
        .method = method,
        .url =
            http::Url::parse("http://127.0.0.1:" + std::to_string(port_) + "/api/ledger/v1/console/" + target).value(),
        .fields = {{"x-as", as}},
        .body = as_bytes(body)};
    auto response = co_await client_->send(std::move(request));
    JsonReply reply;
    if (!response) {
      ADD_FAILURE() << response.error().text();
      co_return reply;
    }
    reply.status = response->status();
    auto bytes = co_await response->read_all(16u << 20);
    boost::system::error_code error;
    if (bytes) reply.body = boost::json::parse(as_text(*bytes), error);
    if (error) ADD_FAILURE() << target << " did not answer JSON: " << as_text(*bytes);
    co_return reply;
  }

  std::string path_;
  base::SystemClock clock_;
  base::SystemRandom random_;
  std::unique_ptr<io::Disk> disk_ = io::make_system_disk();
  io::Runtime runtime_;
  std::unique_ptr<store::RocksStore> store_;
  std::unique_ptr<LedgerService> ledger_;
  std::unique_ptr<ConsoleApi> console_;
  http::Router router_;
  KeptTopics topics_;
  auth::PrincipalPtr clerk_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<http::Client> client_;
  uint16_t port_ = 0;
};

class ConsoleApiTest : public testing::Test {
 protected:
  // Two accounts of ledger 840, and what `amounts` says moved from 1 to 2.
  void make_books(std::initializer_list<int> amounts) {
    for (const char* id : {"1", "2"})
      ASSERT_EQ(world.post("accounts", std::string(R"({"ledger":840,"code":2,"id":)") + id + "}").status, 200);
    for (int amount : amounts) transfer(amount);
  }
  std::string transfer(int amount, std::string more = "") {
    JsonReply reply =
        world.post("transfers", R"({"debit_account_id":"1","credit_account_id":"2","ledger":840,"code":1,"amount":)" +
                                    std::to_string(amount) + more + "}");
    EXPECT_EQ(reply.status, 200) << json::serialize(reply.body);
    return reply.text("id");
  }
  static json::object first(const JsonReply& reply, std::string_view list) {
    return reply[list].as_array().at(0).as_object();
  }
  static std::string text(const json::value& value, std::string_view field) {
    return std::string(value.at(field).as_string());
  }

  ConsoleWorld world;
};

// --- booking

TEST_F(ConsoleApiTest, an_account_and_a_transfer_are_booked_and_seen) {
  make_books({250});
  JsonReply account = world.get("accounts/2");
  ASSERT_EQ(account.status, 200);
  EXPECT_EQ(text(account["account"], "credits_posted"), "250");
  EXPECT_EQ(text(account["account"], "debits_posted"), "0");
  ASSERT_EQ(account["transfers"].as_array().size(), 1u);
  EXPECT_EQ(text(first(account, "transfers"), "debit_account_id"), "1");
  EXPECT_EQ(text(first(account, "transfers"), "state"), "");
}

TEST_F(ConsoleApiTest, the_same_id_sent_again_books_once) {
  make_books({});
  std::string id = transfer(10, R"(,"id":"77")");
  JsonReply again = world.post(
      "transfers", R"({"id":"77","debit_account_id":"1","credit_account_id":"2","ledger":840,"code":1,"amount":10})");
  ASSERT_EQ(again.status, 200);
  EXPECT_TRUE(again["replayed"].as_bool());
  EXPECT_EQ(text(world.get("accounts/1")["account"], "debits_posted"), "10");
  JsonReply other = world.post(
      "transfers", R"({"id":"77","debit_account_id":"1","credit_account_id":"2","ledger":840,"code":1,"amount":11})");
  EXPECT_EQ(other.status, 409);
  EXPECT_NE(other.detail().find("exists_with_different_amount"), std::string::npos) << other.detail();
}

TEST_F(ConsoleApiTest, a_pending_transfer_is_reserved_and_then_posted_in_part) {
  make_books({});
  std::string pending = transfer(100, R"(,"flags":2,"timeout":3600)");
  JsonReply reserved = world.get("accounts/1");
  EXPECT_EQ(text(reserved["account"], "debits_pending"), "100");
  EXPECT_EQ(text(first(reserved, "transfers"), "state"), "pending");
  EXPECT_EQ(world.post("transfers/" + pending + "/post", R"({"amount":"60"})").status, 200);
  JsonReply posted = world.get("accounts/1");
  EXPECT_EQ(text(posted["account"], "debits_pending"), "0");
  EXPECT_EQ(text(posted["account"], "debits_posted"), "60");
  EXPECT_EQ(text(posted["transfers"].as_array().at(1), "state"), "posted");
  EXPECT_EQ(world.post("transfers/" + pending + "/void").status, 409);
}

TEST_F(ConsoleApiTest, a_pending_transfer_is_voided_and_an_empty_body_posts_all) {
  make_books({});
  std::string given_back = transfer(100, R"(,"flags":2)"), kept = transfer(30, R"(,"flags":2)");
  EXPECT_EQ(world.post("transfers/" + given_back + "/void").status, 200);
  EXPECT_EQ(world.post("transfers/" + kept + "/post").status, 200);
  JsonReply account = world.get("accounts/2");
  EXPECT_EQ(text(account["account"], "credits_pending"), "0");
  EXPECT_EQ(text(account["account"], "credits_posted"), "30");
}

TEST_F(ConsoleApiTest, what_the_books_refuse_is_said_in_words) {
  make_books({});
  JsonReply missing =
      world.post("transfers", R"({"debit_account_id":"1","credit_account_id":"9","ledger":840,"code":1,"amount":"5"})");
  EXPECT_EQ(missing.status, 404);
  EXPECT_NE(missing.detail().find("no such account to credit"), std::string::npos) << missing.detail();
  EXPECT_EQ(world.post("accounts", R"({"id":3,"ledger":840,"code":2,"flags":2})").status, 200);
  JsonReply poor =
      world.post("transfers", R"({"debit_account_id":"3","credit_account_id":"2","ledger":840,"code":1,"amount":"5"})");
  EXPECT_EQ(poor.status, 409);
  EXPECT_NE(poor.detail().find("exceeds_credits"), std::string::npos) << poor.detail();
  EXPECT_EQ(world.post("transfers/12345/post").status, 404);
}

TEST_F(ConsoleApiTest, bodies_that_say_nothing_sensible_are_refused) {
  make_books({});
  for (const char* body :
       {"[]", "{", "7", "{}", R"({"ledger":840})", R"({"ledger":-1,"code":1})", R"({"ledger":4294967296,"code":1})",
        R"({"ledger":1.5,"code":1})", R"({"ledger":840,"code":70000})", R"({"ledger":840,"code":1,"flags":1})",
        R"({"ledger":840,"code":1,"flags":64})", R"({"ledger":840,"code":1,"cdoe":2})", R"({"ledger":0,"code":1})",
        R"({"id":"0","ledger":840,"code":1})",
        R"({"id":"340282366920938463463374607431768211455","ledger":1,"code":1})",
        R"({"id":"340282366920938463463374607431768211456","ledger":1,"code":1})",
        R"({"id":"1e3","ledger":1,"code":1})", R"({"ledger":[[[[[[[1]]]]]]],"code":1})"})
    EXPECT_EQ(world.post("accounts", body).status, 400) << body;
  for (const char* body :
       {"", R"({"debit_account_id":"1","credit_account_id":"1","ledger":840,"code":1,"amount":1})",
        R"({"debit_account_id":"1","credit_account_id":"2","ledger":840,"code":1,"amount":"-1"})",
        R"({"debit_account_id":"1","credit_account_id":"2","ledger":840,"code":1})",
        R"({"debit_account_id":"1","credit_account_id":"2","ledger":840,"code":1,"amount":1,"flags":4})",
        R"({"debit_account_id":"1","credit_account_id":"2","ledger":840,"code":1,"amount":1,"timeout":9})"})
    EXPECT_EQ(world.post("transfers", body).status, 400) << body;
  EXPECT_EQ(world.post("transfers/x/post").status, 400);
  EXPECT_EQ(world.get("accounts/1")["transfers"].as_array().size(), 0u);
}

// --- accounts, now and then

TEST_F(ConsoleApiTest, accounts_come_in_pages_and_each_once) {
  for (int id = 1; id <= 7; ++id)
    ASSERT_EQ(world.post("accounts", R"({"ledger":840,"code":2,"id":)" + std::to_string(id) + "}").status, 200);
  std::string after = "0", seen;
  for (int pages = 0; pages < 10; ++pages) {
    JsonReply page = world.get("accounts?limit=3&after=" + after);
    ASSERT_EQ(page.status, 200);
    for (const json::value& one : page["accounts"].as_array()) seen += text(one, "id") + " ";
    after = page.text("next");
    if (after.empty()) break;
  }
  EXPECT_EQ(seen, "1 2 3 4 5 6 7 ");
  EXPECT_EQ(world.get("accounts?ledger=1")["accounts"].as_array().size(), 0u);
}

TEST_F(ConsoleApiTest, accounts_are_found_by_id_and_by_name) {
  make_books({});
  world.names.known = {{2, "alice"}};
  EXPECT_EQ(text(first(world.get("accounts?q=ali"), "accounts"), "id"), "2");
  EXPECT_EQ(text(first(world.get("accounts?q=1"), "accounts"), "id"), "1");
  EXPECT_EQ(text(first(world.get("accounts?q=2"), "accounts"), "name"), "alice");
  EXPECT_EQ(world.get("accounts?q=bob")["accounts"].as_array().size(), 0u);
  EXPECT_EQ(world.get("accounts?q=alice&ledger=1")["accounts"].as_array().size(), 0u);
  transfer(5);
  EXPECT_EQ(text(world.get("accounts/1")["names"], "2"), "alice");
}

TEST_F(ConsoleApiTest, balances_at_every_op_are_those_that_stood_then) {
  make_books({5, 10, 20});
  // Ops 1 and 2 make the accounts; each transfer is one more.
  const char* expected[] = {nullptr, "0", "0", "5", "15", "35"};
  for (int op = 1; op <= 5; ++op) {
    JsonReply page = world.get("accounts?at_op=" + std::to_string(op));
    ASSERT_EQ(page.status, 200);
    EXPECT_EQ(page.number("op"), op);
    ASSERT_EQ(page["accounts"].as_array().size(), op == 1 ? 1u : 2u) << op;
    EXPECT_EQ(text(first(page, "accounts"), "debits_posted"), expected[op]) << op;
  }
  EXPECT_EQ(world.get("accounts?at_op=0")["accounts"].as_array().size(), 0u);
  EXPECT_EQ(world.get("accounts?at_op=6").status, 416);
  JsonReply then = world.get("accounts/2?at_op=4");
  EXPECT_EQ(text(then["account"], "credits_posted"), "15");
  EXPECT_EQ(then["transfers"].as_array().size(), 2u);
  EXPECT_EQ(world.get("accounts/2?at_op=1").status, 404);
}

TEST_F(ConsoleApiTest, sums_in_slices_are_what_the_engine_says_at_every_moment) {
  make_books({});
  base::SeededRandom random(7);
  std::vector<Id> pending;
  const auto book = [&](Transfer transfer) {
    return world.call([this, transfer]() -> Task<bool> {
      co_return (co_await world.ledger().create_transfers(std::span(&transfer, 1))).value().at(0).created();
    });
  };
  for (uint64_t id = 100; id < 160; ++id) {
    Transfer transfer;
    transfer.id = id;
    const uint64_t kind = random.below(5);
    if (kind < 2 && !pending.empty()) {
      transfer.pending_id = pending.back();
      pending.pop_back();
      transfer.flags = kind == 0 ? transfer_flags::kPostPending : transfer_flags::kVoidPending;
      if (kind == 0) transfer.amount = kU128Max;
    } else {
      const bool back = random.below(2) == 1;
      transfer.debit_account_id = back ? 2 : 1;
      transfer.credit_account_id = back ? 1 : 2;
      transfer.amount = 1 + random.below(1000);
      transfer.ledger = 840;
      transfer.code = 1;
      if (kind == 2) {
        transfer.flags = transfer_flags::kPending;
        pending.push_back(id);
      }
    }
    ASSERT_TRUE(book(transfer));
  }
  world.call([this]() -> Task<bool> {
    Ledger& ledger = world.ledger();
    auto now = (co_await ledger.query([](const Engine& engine) { return engine.account(1); })).value();
    for (uint64_t op = 2; op <= 62; ++op)
      for (uint32_t slice : {1u, 3u, 1000u}) {
        auto at =
            (co_await ledger.query([op](const Engine& engine) { return engine.link(op).value().timestamp; })).value();
        auto expected =
            (co_await ledger.query([at](const Engine& engine) { return engine.account_at(1, at); })).value();
        PastAccount then = (co_await past_account(ledger, *now, at, {.slice = slice})).value();
        EXPECT_TRUE(then.known);
        EXPECT_EQ(then.account, *expected) << "op " << op << ", slice " << slice;
      }
    PastAccount unknown =
        (co_await past_account(ledger, *now, kTimestampMax, {.slice = 4, .transfers_max = 20})).value();
    EXPECT_FALSE(unknown.known);
    co_return true;
  });
}

TEST_F(ConsoleApiTest, an_accounts_entries_go_back_page_by_page) {
  make_books({1, 2, 3, 4, 5});
  JsonReply page = world.get("accounts/1?limit=2");
  EXPECT_TRUE(page["more"].as_bool());
  EXPECT_EQ(text(first(page, "transfers"), "amount"), "5");
  std::string before = text(page["transfers"].as_array().at(1), "timestamp");
  JsonReply next = world.get("accounts/1?limit=10&before=" + before);
  EXPECT_FALSE(next["more"].as_bool());
  ASSERT_EQ(next["transfers"].as_array().size(), 3u);
  EXPECT_EQ(text(first(next, "transfers"), "amount"), "3");
}

TEST_F(ConsoleApiTest, questions_out_of_bounds_are_refused) {
  make_books({});
  for (const char* target : {"accounts?limit=0", "accounts?limit=101", "accounts?after=x", "accounts?at_op=-1",
                             "accounts/0", "accounts/abc", "accounts/1?limit=201", "flows", "flows?ledger=x",
                             "flows?ledger=840&by=colour", "flows?ledger=840&transfers=100001", "chain?limit=0",
                             "chain?limit=1001", "chain/op-at?time=yesterday", "chain/op-at", "proof/0"})
    EXPECT_EQ(world.get(target).status, 400) << target;
  EXPECT_EQ(world.get("accounts?q=" + std::string(200, 'a')).status, 413);
  EXPECT_EQ(world.get("accounts/99").status, 404);
  EXPECT_EQ(world.get("proof/99").status, 404);
}

// --- flows

TEST_F(ConsoleApiTest, flows_add_up_what_moved_and_leave_out_what_was_only_reserved) {
  make_books({100, 50});
  std::string pending = transfer(40, R"(,"flags":2)");
  transfer(7, R"(,"flags":2)");
  ASSERT_EQ(world.post("transfers/" + pending + "/post").status, 200);
  JsonReply flows = world.get("flows?ledger=840");
  ASSERT_EQ(flows.status, 200);
  ASSERT_EQ(flows["flows"].as_array().size(), 1u);
  EXPECT_EQ(text(first(flows, "flows"), "amount"), "190");
  EXPECT_EQ(flows.number("transfers"), 3);
  EXPECT_EQ(flows.number("pending"), 2);
  EXPECT_EQ(flows.number("read"), 5);
  EXPECT_EQ(text(first(world.get("flows?ledger=840&by=code"), "flows"), "debit"), "2");
  EXPECT_EQ(text(first(world.get("flows?ledger=840&transfers=1"), "flows"), "amount"), "40");
  EXPECT_EQ(text(first(world.get("flows?ledger=840&to_op=3"), "flows"), "amount"), "100");
}

TEST(FlowSums, the_largest_ends_stay_and_the_rest_are_one) {
  FlowSums sums;
  for (u128 from = 1; from <= 20; ++from) sums.add(from, 1000 + from, from * 10);
  u128 total = 0;
  uint64_t transfers = 0;
  bool others = false;
  for (const FlowSums::Flow& flow : sums.largest(5)) {
    total += flow.sum.amount;
    transfers += flow.sum.transfers;
    others |= flow.debit.empty() && flow.credit.empty();
    if (!flow.debit.empty()) EXPECT_GE(parse_decimal(flow.debit).value(), 16u);
  }
  EXPECT_TRUE(others);
  EXPECT_EQ(total, sums.total().amount) << "nothing is lost";
  EXPECT_EQ(transfers, 20u);
}

TEST(FlowSums, sums_that_run_over_stay_at_the_largest_number) {
  FlowSums sums;
  sums.add(1, 2, kU128Max - 1);
  sums.add(1, 2, 5);
  EXPECT_EQ(sums.total().amount, kU128Max);
  EXPECT_EQ(sums.largest(3).at(0).sum.amount, kU128Max);
}

// --- the chain

TEST_F(ConsoleApiTest, links_follow_each_other_from_zero_to_the_signed_head) {
  make_books({1, 2, 3});
  JsonReply chain = world.get("chain");
  EXPECT_EQ(chain.number("ops"), 5);
  std::string before(64, '0');
  for (const json::value& link : chain["links"].as_array()) {
    EXPECT_EQ(text(link, "previous"), before);
    before = text(link, "head");
  }
  JsonReply head = world.get("head");
  ASSERT_EQ(head.status, 200);
  EXPECT_EQ(head.text("head"), before);
  EXPECT_NE(head.text("text").find("head " + before), std::string::npos);
  EXPECT_NE(head.text("public_key_pem").find("BEGIN PUBLIC KEY"), std::string::npos);
  JsonReply part = world.get("chain?to=3&limit=2");
  ASSERT_EQ(part["links"].as_array().size(), 2u);
  EXPECT_EQ(part["links"].as_array().at(1).at("op").to_number<int>(), 3);
}

TEST_F(ConsoleApiTest, an_empty_chain_is_a_list_without_links) {
  JsonReply chain = world.get("chain");
  EXPECT_EQ(chain.status, 200);
  EXPECT_EQ(chain["links"].as_array().size(), 0u);
  EXPECT_EQ(world.get("accounts")["accounts"].as_array().size(), 0u);
  EXPECT_EQ(world.get("trial-balance")["ledgers"].as_object().size(), 0u);
}

TEST_F(ConsoleApiTest, the_op_at_a_time_is_the_last_one_before_it) {
  make_books({1});
  JsonReply chain = world.get("chain");
  for (const json::value& link : chain["links"].as_array()) {
    std::string at = text(link, "timestamp");
    EXPECT_EQ(world.get("chain/op-at?time=" + at).number("op"), link.at("op").to_number<int64_t>());
    EXPECT_EQ(world.get("chain/op-at?time=" + std::to_string(std::stoull(at) - 1)).number("op"),
              link.at("op").to_number<int64_t>() - 1);
  }
  EXPECT_EQ(world.get("chain/op-at?time=2000-01-01T00:00:00Z").number("op"), 0);
  EXPECT_EQ(world.get("chain/op-at?time=2200-01-01T00:00:00Z").number("op"), 3);
}

TEST_F(ConsoleApiTest, a_proof_holds_what_was_booked) {
  make_books({1, 2});
  std::string id = transfer(33);
  JsonReply reply = world.get("proof/" + id);
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(text(reply["transfer"], "amount"), "33");
  EXPECT_EQ(reply.text("record").size(), 256u);
  EXPECT_EQ(reply["link"].at("op").to_number<int>(), 5);
}

TEST_F(ConsoleApiTest, the_server_verifies_its_journal_once_at_a_time) {
  make_books({1, 2, 3});
  JsonReply begun = world.post("verify");
  ASSERT_EQ(begun.status, 200);
  JsonReply state = begun;
  for (int i = 0; i < 5000 && state["running"].as_bool(); ++i) state = world.get("verify");
  EXPECT_FALSE(state["running"].as_bool());
  EXPECT_EQ(state.text("error"), "");
  EXPECT_EQ(state.number("ops"), 5);
  EXPECT_EQ(state.number("transfers"), 3);
  EXPECT_EQ(state.text("head"), world.get("head").text("head"));
}

// --- what moves

TEST_F(ConsoleApiTest, live_topics_tell_of_what_was_committed) {
  make_books({1, 2});
  json::object live = world.sample("ledger.live");
  EXPECT_EQ(live.at("op").to_number<int>(), 4);
  EXPECT_EQ(live.at("transfers").to_number<int>(), 2);
  EXPECT_EQ(live.at("accounts").to_number<int>(), 2);
  EXPECT_EQ(live.at("batches").at("3").at("operation").as_string(), "create_transfers");
  EXPECT_GT(live.at("journal_bytes").to_number<int>(), 0);
  json::object trial = world.sample("ledger.trial");
  const json::value& books = trial.at("ledgers").at("840");
  EXPECT_EQ(text(books, "debits_posted"), "3");
  EXPECT_EQ(text(books, "credits_posted"), "3");
  EXPECT_EQ(text(books, "asset"), "USD");
  EXPECT_EQ(world.sample("ledger.seconds").at("seconds").as_object().size() < 4, true);
}

TEST(LiveSeconds, a_second_is_told_of_when_it_has_ended) {
  LiveSeconds seconds(100);
  seconds.record(100, 7, 500);
  seconds.record(100, 3, 1500);
  EXPECT_EQ(seconds.ended(100).size(), 0u);
  ASSERT_EQ(seconds.ended(101).size(), 1u);
  EXPECT_EQ(seconds.ended(101).front().transfers, 10u);
  EXPECT_EQ(seconds.ended(101).front().batches, 2u);
  EXPECT_GE(seconds.ended(101).front().latency_us_max, 1500u);
  seconds.record(90, 1, 10);  // the clock stepped back
  EXPECT_EQ(seconds.ended(102).size(), 2u);
  json::object text = json::parse(seconds.to_json(102)).as_object();
  EXPECT_EQ(text.at("seconds").at("100").as_array().at(0).to_number<int>(), 10);
}

TEST(LiveSeconds, it_keeps_a_quarter_of_an_hour_and_stays_below_what_a_topic_may_hold) {
  LiveSeconds seconds(1'700'000'000);
  for (int64_t at = 0; at < 3000; ++at) seconds.record(1'700'000'000 + at, 12'345'678, 59'999'999);
  std::string text = seconds.to_json(1'700'003'000);
  EXPECT_LT(text.size(), 128u * 1024);
  json::object value = json::parse(text).as_object();
  EXPECT_EQ(value.at("seconds").as_object().size(), static_cast<size_t>(kLiveSecondsMax));
  EXPECT_EQ(value.at("begin").to_number<int64_t>(), 1'700'003'000 - kLiveSecondsMax);
}

// --- the contention lab

TEST_F(ConsoleApiTest, the_lab_measures_every_way_and_leaves_the_books_balanced) {
  JsonReply begun = world.post("lab", R"({"workers":[1,4],"point_ms":20})");
  ASSERT_EQ(begun.status, 200) << json::serialize(begun.body);
  EXPECT_TRUE(begun["running"].as_bool());
  EXPECT_EQ(world.post("lab", R"({"workers":[1],"point_ms":20})").status, 503);
  JsonReply state = begun;
  // It measures real work: bounded by the time that a busy machine may take, not by how often it is asked.
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (state["running"].as_bool() && std::chrono::steady_clock::now() < patience) state = world.get("lab");
  EXPECT_FALSE(state["running"].as_bool());
  EXPECT_EQ(state.text("error"), "");
  const json::object& points = state["points"].as_object();
  ASSERT_EQ(points.size(), 6u);
  for (const auto& [name, point] : points) EXPECT_GT(point.at("commits").to_number<int64_t>(), 0) << name;
  EXPECT_EQ(points.at("optimistic.1").at("retries").to_number<int64_t>(), 0);
  EXPECT_EQ(points.at("pessimistic.4").at("retries").to_number<int64_t>(), 0);
  auto account = world.call([this]() -> Task<std::optional<Account>> {
    co_return (co_await world.ledger().query([](const Engine& engine) {
      return engine.account(kLabHotAccount);
    })).value();
  });
  ASSERT_TRUE(account.has_value());
  EXPECT_GT(account->credits_posted, 0u);
  EXPECT_EQ(text(world.get("accounts/" + to_decimal(kLabHotAccount))["account"], "name"), "contention lab, hot row");
  EXPECT_EQ(account->credits_posted, account->debits_posted);
}

TEST_F(ConsoleApiTest, a_lab_that_is_cut_off_brings_its_balances_back_all_the_same) {
  JsonReply state = world.post("lab", R"({"workers":[1,1,1,1,1,1,1,1],"point_ms":100})");
  ASSERT_EQ(state.status, 200);
  for (int i = 0; i < 20'000 && !state["points"].as_object().contains("single_writer.1"); ++i) state = world.get("lab");
  world.stop_console();
  state = world.get("lab");
  EXPECT_FALSE(state["running"].as_bool());
  EXPECT_NE(state.text("error"), "");
  world.call([this]() -> Task<bool> {
    auto totals =
        (co_await world.ledger().query([](const Engine& engine) { return engine.account(kLabHotAccount); })).value();
    EXPECT_GT(totals->credits_posted, 0u);
    EXPECT_EQ(totals->credits_posted, totals->debits_posted);
    co_return true;
  });
}

TEST_F(ConsoleApiTest, a_verification_ends_when_polis_stops) {
  make_books({1, 2, 3});
  ASSERT_EQ(world.post("verify").status, 200);
  world.stop_console();
  EXPECT_FALSE(world.get("verify")["running"].as_bool());
}

TEST_F(ConsoleApiTest, the_lab_refuses_what_it_cannot_measure) {
  for (const char* body :
       {R"({"workers":[]})", R"({"workers":[0]})", R"({"workers":[65]})", R"({"workers":"many"})", R"({"point_ms":9})",
        R"({"point_ms":2001})", R"({"mode":"fast"})", R"({"workers":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]})"})
    EXPECT_EQ(world.post("lab", body).status, 400) << body;
}

// --- rights

TEST_F(ConsoleApiTest, nobody_sees_and_books_nothing) {
  make_books({});
  for (const char* target : {"accounts", "accounts/1", "flows?ledger=840", "chain", "chain/op-at?time=1", "head",
                             "proof/1", "trial-balance", "verify", "lab"})
    EXPECT_EQ(world.ask("GET", target, "", "nobody").status, 401) << target;
  EXPECT_EQ(world.ask("POST", "accounts", R"({"ledger":840,"code":1})", "nobody").status, 401);
  for (const char* target : {"verify", "lab", "transfers/1/void"})
    EXPECT_EQ(world.ask("POST", target, "", "nobody").status, 401) << target;
}

TEST_F(ConsoleApiTest, a_right_on_one_ledger_reaches_no_other) {
  make_books({9});
  ASSERT_EQ(world.post("accounts", R"({"id":5,"ledger":978,"code":1})").status, 200);
  EXPECT_EQ(world.ask("GET", "accounts/1", "", "clerk").status, 200);
  EXPECT_EQ(world.ask("GET", "accounts/5", "", "clerk").status, 403);
  EXPECT_EQ(world.ask("GET", "flows?ledger=840", "", "clerk").status, 200);
  EXPECT_EQ(world.ask("GET", "flows?ledger=978", "", "clerk").status, 403);
  EXPECT_EQ(world.ask("GET", "accounts", "", "clerk").status, 403) << "a list over all ledgers";
  EXPECT_EQ(world.ask("POST", "accounts", R"({"ledger":840,"code":1})", "clerk").status, 200);
  EXPECT_EQ(world.ask("POST", "accounts", R"({"ledger":978,"code":1})", "clerk").status, 403);
  EXPECT_EQ(world.ask("POST", "lab", "", "clerk").status, 403);
  EXPECT_EQ(world.ask("POST", "verify", "", "clerk").status, 403);
}

}  // namespace
}  // namespace polis::ledger
