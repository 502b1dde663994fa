// For tests of the console's API: real books in a temporary directory, a real server on a loopback port of its own, and
// JSON in and out.
#pragma once

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
#include "systems/ledger/faces/console_api.h"
#include "systems/ledger/service.h"

namespace polis::ledger {

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

}  // namespace polis::ledger
