#include "app/server/live_hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/server/auth_api.h"
#include "app/server/core_api.h"
#include "app/server/plan_book.h"
#include "app/server/settings.h"

namespace polis::app {
namespace {

using ::testing::HasSubstr;

// A shard that moves only when told to.
struct World {
  base::ManualClock clock;
  io::Shard shard{0, clock, nullptr, false};
  io::ShardBinding binding{shard};

  // Runs the task to its end; fires timers up to `within`.
  template <class T>
  T run(Task<T> task, Duration within = std::chrono::minutes(10)) {
    std::optional<T> value;
    io::TaskGroup group;
    group.spawn(keep(std::move(task), &value));
    SteadyTime end = clock.steady() + within;
    shard.run_ready();
    while (!value && clock.steady() < end) advance(std::chrono::milliseconds(10));
    POLIS_ASSERT(value.has_value());
    return std::move(*value);
  }
  void advance(Duration by) {
    clock.advance(by);
    shard.fire_timers();
    shard.run_ready();
  }

 private:
  template <class T>
  static Task<void> keep(Task<T> task, std::optional<T>* value) {
    value->emplace(co_await task);
  }
};

struct Hub : ::testing::Test {
  Hub() {
    EXPECT_TRUE(hub.declare({.name = "t",
                             .action = "polis:ReadStatus",
                             .interval = std::chrono::milliseconds(100),
                             .sample = [this]() -> Task<Result<std::string>> {
                               ++samples;
                               if (broken) co_return fail(Code::kUnavailable, "the drive is gone");
                               co_return value;
                             }}));
  }
  ~Hub() override {
    io::TaskGroup group;
    group.spawn(hub.stop());
    world.shard.run_ready();
  }
  std::vector<std::string> next(LiveHub::SubscriberId id) {
    auto frames = world.run(hub.next(id));
    return frames ? *frames : std::vector<std::string>{"closed"};
  }
  void pass(Duration time) {
    for (Duration gone{}; gone < time; gone += std::chrono::milliseconds(10))
      world.advance(std::chrono::milliseconds(10));
  }

  World world;
  LiveHub hub{world.clock};
  std::string value = R"({"a":1,"list":{"x":{"n":1}}})";
  bool broken = false;
  int samples = 0;
};

TEST_F(Hub, a_subscriber_gets_a_snapshot_and_then_only_what_changed) {
  auto id = hub.connect();
  ASSERT_TRUE(id && hub.subscribe(*id, "t"));
  auto frames = next(*id);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_THAT(frames[0], HasSubstr(R"("op":"snapshot","topic":"t","seq":1)"));
  value = R"({"a":2,"list":{"x":{"n":1},"y":{"n":3}}})";
  frames = next(*id);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_THAT(frames[0], HasSubstr(R"("op":"delta","topic":"t","seq":2)"));
  EXPECT_THAT(frames[0], HasSubstr(R"("patch":{"a":2,"list":{"y":{"n":3}}})"));
}

TEST_F(Hub, nothing_is_sampled_while_nobody_looks) {
  pass(std::chrono::seconds(2));
  EXPECT_EQ(samples, 0);
  auto id = hub.connect();
  ASSERT_TRUE(hub.subscribe(*id, "t"));
  pass(std::chrono::seconds(1));
  EXPECT_GT(samples, 5);
  hub.unsubscribe(*id, "t");
  pass(std::chrono::milliseconds(300));
  int before = samples;
  pass(std::chrono::seconds(2));
  EXPECT_EQ(samples, before);
}

TEST_F(Hub, a_slow_client_gets_one_delta_with_everything_that_changed_meanwhile) {
  auto id = hub.connect();
  ASSERT_TRUE(hub.subscribe(*id, "t"));
  for (int i = 2; i <= 20; ++i) {
    pass(std::chrono::milliseconds(200));
    value = R"({"a":)" + std::to_string(i) + "}";
  }
  pass(std::chrono::milliseconds(200));
  auto frames = next(*id);
  EXPECT_EQ(frames.size(), LiveHub::kUnacknowledgedMax);
  hub.acknowledge(*id, "t", 4);
  frames = next(*id);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_THAT(frames[0], HasSubstr(R"("seq":5)"));
  EXPECT_THAT(frames[0], HasSubstr(R"("patch":{"a":20})"));
}

TEST_F(Hub, a_client_that_acknowledges_nothing_is_dropped_after_half_a_minute) {
  auto id = hub.connect();
  ASSERT_TRUE(hub.subscribe(*id, "t"));
  for (int i = 2; i <= 10; ++i) {
    pass(std::chrono::milliseconds(200));
    value = R"({"a":)" + std::to_string(i) + "}";
  }
  pass(LiveHub::kSilenceMax + std::chrono::seconds(1));
  EXPECT_EQ(next(*id), std::vector<std::string>{"closed"});
}

TEST_F(Hub, an_error_is_told_once_and_the_next_sample_goes_on) {
  auto id = hub.connect();
  broken = true;
  ASSERT_TRUE(hub.subscribe(*id, "t"));
  pass(std::chrono::seconds(1));
  auto frames = next(*id);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_THAT(frames[0], HasSubstr("the drive is gone"));
  broken = false;
  EXPECT_THAT(next(*id)[0], HasSubstr("snapshot"));
}

TEST_F(Hub, wishes_that_cannot_be_are_refused) {
  auto id = hub.connect();
  EXPECT_EQ(hub.subscribe(*id, "no").error().code(), Code::kNotFound);
  EXPECT_EQ(hub.subscribe(*id + 1, "t").error().code(), Code::kClosed);
  ASSERT_TRUE(hub.subscribe(*id, "t"));
  hub.acknowledge(*id, "t", 99);  // of the future: ignored
  hub.disconnect(*id);
  hub.disconnect(*id);
  EXPECT_EQ(next(*id), std::vector<std::string>{"closed"});
  for (size_t i = 0; i < LiveHub::kSubscribersMax; ++i) ASSERT_TRUE(hub.connect());
  EXPECT_EQ(hub.connect().error().code(), Code::kBusy);
}

TEST(MergePatch, names_what_is_new_other_or_gone) {
  EXPECT_EQ(*merge_patch(R"({"a":1,"b":{"c":2,"d":3}})", R"({"a":1,"b":{"c":2,"d":3}})"), "");
  EXPECT_EQ(*merge_patch(R"({"a":1,"b":{"c":2,"d":3}})", R"({"b":{"c":2,"d":4},"e":[1]})"),
            R"({"a":null,"b":{"d":4},"e":[1]})");
  EXPECT_EQ(*merge_patch(R"({"a":{"b":1}})", R"({"a":[1]})"), R"({"a":[1]})");
  EXPECT_EQ(merge_patch("[]", "{}").error().code(), Code::kInvalid);
  EXPECT_EQ(merge_patch("{", "{}").error().code(), Code::kInvalid);
}

struct Plans : ::testing::Test {
  World world;
  base::SeededRandom random{1};
  PlanBook book{world.clock, random};
  int done = 0;
  systems::PlanDraft draft(std::string user) {
    systems::PlanDraft draft;
    draft.user_id = std::move(user);
    draft.title = "Remove a thing";
    draft.apply = [this]() -> Task<Result<std::string>> {
      ++done;
      co_return "{}";
    };
    return draft;
  }
};

TEST_F(Plans, a_plan_is_applied_once_and_only_by_who_made_it) {
  auto plan = world.run(book.propose(draft("ann")));
  ASSERT_TRUE(plan);
  EXPECT_EQ(world.run(book.apply(plan->id, "bob")).error().code(), Code::kNotFound);
  EXPECT_TRUE(world.run(book.apply(plan->id, "ann")));
  EXPECT_EQ(world.run(book.apply(plan->id, "ann")).error().code(), Code::kNotFound);
  EXPECT_EQ(done, 1);
}

TEST_F(Plans, a_request_that_may_not_apply_leaves_the_plan_open) {
  auto guarded = draft("ann");
  bool may = false;
  guarded.admit = [&may](const http::Request&) -> Result<void> {
    if (!may) return fail(Code::kDenied, "the token's scopes do not allow it");
    return {};
  };
  auto plan = world.run(book.propose(std::move(guarded)));
  const http::Request* request = reinterpret_cast<const http::Request*>(&may);  // only handed through
  EXPECT_EQ(world.run(book.apply(plan->id, "ann", request)).error().code(), Code::kDenied);
  EXPECT_EQ(done, 0);
  may = true;
  EXPECT_TRUE(world.run(book.apply(plan->id, "ann", request)));
  EXPECT_EQ(done, 1);
}

TEST_F(Plans, a_plan_expires) {
  auto plan = world.run(book.propose(draft("ann")));
  world.clock.advance(PlanBook::kLifetime);
  EXPECT_EQ(world.run(book.apply(plan->id, "ann")).error().code(), Code::kNotFound);
  EXPECT_EQ(done, 0);
}

TEST_F(Plans, long_lists_are_cut_and_many_plans_are_refused) {
  auto large = draft("ann");
  large.touches.assign(5000, "line");
  auto plan = world.run(book.propose(std::move(large)));
  EXPECT_EQ(plan->touches.size(), PlanBook::kLinesMax);
  EXPECT_EQ(plan->touches.back(), "... and 4001 more");
  for (size_t i = 1; i < PlanBook::kOpenMax; ++i) ASSERT_TRUE(world.run(book.propose(draft("ann"))));
  EXPECT_EQ(world.run(book.propose(draft("ann"))).error().code(), Code::kBusy);
}

TEST(Cookie, finds_exactly_the_named_one) {
  EXPECT_EQ(cookie_value("a=1; polis_session=abc ; b=2", "polis_session"), "abc");
  EXPECT_EQ(cookie_value("xpolis_session=abc", "polis_session"), "");
  EXPECT_EQ(cookie_value("polis_session", "polis_session"), "");
  EXPECT_EQ(cookie_value(";;; ;", "polis_session"), "");
  EXPECT_EQ(cookie_value("", "polis_session"), "");
}

TEST(Metrics, are_open_to_addresses_localhost_and_configured_names_only) {
  for (std::string_view own :
       {"", "127.0.0.1:7400", "127.0.0.1", "[::1]:7400", "localhost:7400", "LOCALHOST", "box.lan:80", "localhost."})
    EXPECT_TRUE(own_host(own, {"box.lan"})) << own;
  for (std::string_view foreign :
       {"evil.example:7400", "localhost.evil.example", "127.0.0.1.evil.example", "box.lan.evil", "a"})
    EXPECT_FALSE(own_host(foreign, {"box.lan"})) << foreign;
}

TEST(Exposure, a_port_without_authentication_stays_on_loopback) {
  EXPECT_TRUE(check_exposure("x.y_listen", {.address = "127.0.0.1", .port = 1}, false));
  EXPECT_TRUE(check_exposure("x.y_listen", {.address = "::1", .port = 1}, false));
  EXPECT_TRUE(check_exposure("x.y_listen", {.address = "0.0.0.0", .port = 1}, true));
  auto refused = check_exposure("x.y_listen", {.address = "0.0.0.0", .port = 1}, false);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("x.y_listen"));
}

}  // namespace
}  // namespace polis::app
