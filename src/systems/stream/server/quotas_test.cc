#include "systems/stream/server/quotas.h"

#include <limits>

#include "systems/stream/server/handlers_test_support.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;

class QuotasTest : public ServerTest {
 protected:
  Refusal set(QuotaEntity entity, std::string key, std::optional<double> limit, bool validate_only = false) {
    return world.run(quotas->alter(std::move(entity), {{std::move(key), limit}}, validate_only));
  }
  Duration produce(std::string user, std::string_view client, double bytes) {
    return quotas->charge(*named(std::move(user)).identity, client, QuotaKind::kProducerBytes, bytes);
  }
};

TEST_F(QuotasTest, nobody_waits_without_a_quota) {
  EXPECT_EQ(produce("alice", "c", 1e12), 0s);
}

TEST_F(QuotasTest, who_is_over_waits_until_it_is_paid_back) {
  EXPECT_TRUE(set({{"user", "alice"}}, "producer_byte_rate", 1000).ok());
  EXPECT_EQ(produce("alice", "c", 1000), 0s);
  EXPECT_EQ(produce("alice", "c", 2000), 2s);
  EXPECT_EQ(produce("alice", "d", 0), 2s);  // the user's, whatever the client
  EXPECT_EQ(produce("bob", "c", 5000), 0s);
  world.run_for(2s);
  EXPECT_EQ(produce("alice", "c", 0), 0s);
  EXPECT_EQ(produce("alice", "c", 1e9), 30s);  // never longer
}

TEST_F(QuotasTest, shards_count_together) {
  EXPECT_TRUE(set({{"user", std::nullopt}}, "producer_byte_rate", 1000).ok());
  EXPECT_EQ(produce("alice", "c", 2000), 1s);
  const auto elsewhere = [&]() -> Task<Duration> { co_return produce("alice", "c", 1000); };
  EXPECT_EQ(world.run(io::on(world.shard(1), elsewhere)), 2s);
}

TEST_F(QuotasTest, the_most_special_one_counts) {
  const auto limit_seen = [&](double amount) {
    // A fresh bucket lets one second's worth through.
    const Duration wait = produce("alice", "c", amount);
    return amount / (std::chrono::duration<double>(wait).count() + 1);
  };
  const QuotaEntity order[] = {{{"client-id", std::nullopt}},
                               {{"client-id", "c"}},
                               {{"user", std::nullopt}},
                               {{"user", std::nullopt}, {"client-id", std::nullopt}},
                               {{"user", std::nullopt}, {"client-id", "c"}},
                               {{"user", "alice"}},
                               {{"user", "alice"}, {"client-id", std::nullopt}},
                               {{"user", "alice"}, {"client-id", "c"}}};
  double limit = 1000;
  for (const QuotaEntity& entity : order) {
    EXPECT_TRUE(set(entity, "producer_byte_rate", limit).ok());
    world.run_for(120s);
    EXPECT_NEAR(limit_seen(10'000), limit, 1) << limit;
    limit += 500;
  }
}

TEST_F(QuotasTest, they_survive_a_restart_and_can_be_taken_away) {
  EXPECT_TRUE(set({{"user", "alice"}, {"client-id", std::nullopt}}, "consumer_byte_rate", 5).ok());
  EXPECT_TRUE(set({{"user", "alice"}, {"client-id", std::nullopt}}, "request_percentage", 12.5).ok());
  EXPECT_TRUE(set({{"ip", "192.0.2.7"}}, "connection_creation_rate", 10).ok());
  EXPECT_TRUE(set({{"user", "bob"}}, "request_percentage", 1, true).ok());  // only asked
  restart();
  const std::vector<Quota> all = quotas->all();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].limits.at("request_percentage"), 12.5);
  EXPECT_EQ(all[0].entity.at("client-id"), std::nullopt);
  EXPECT_EQ(quotas->charge(*named("x").identity, "", QuotaKind::kConnections, 20), 1s);
  EXPECT_TRUE(set({{"ip", "192.0.2.7"}}, "connection_creation_rate", std::nullopt).ok());
  restart();
  EXPECT_EQ(quotas->all().size(), 1U);
}

TEST_F(QuotasTest, what_cannot_be_is_refused) {
  const auto refused = [&](QuotaEntity entity, std::string key, double limit) {
    return set(std::move(entity), std::move(key), limit).code == ErrorCode::kInvalidRequest;
  };
  EXPECT_TRUE(refused({}, "producer_byte_rate", 1));
  EXPECT_TRUE(refused({{"planet", "mars"}}, "producer_byte_rate", 1));
  EXPECT_TRUE(refused({{"user", ""}}, "producer_byte_rate", 1));
  EXPECT_TRUE(refused({{"user", std::string(257, 'x')}}, "producer_byte_rate", 1));
  EXPECT_TRUE(refused({{"ip", "192.0.2.1"}, {"user", "a"}}, "connection_creation_rate", 1));
  EXPECT_TRUE(refused({{"user", "a"}}, "connection_creation_rate", 1));
  EXPECT_TRUE(refused({{"ip", "192.0.2.1"}}, "producer_byte_rate", 1));
  EXPECT_TRUE(refused({{"user", "a"}}, "no_such_rate", 1));
  for (const double bad :
       {0.0, -1.0, 0.5, 1e300, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    EXPECT_TRUE(refused({{"user", "a"}}, "producer_byte_rate", bad)) << bad;
  EXPECT_TRUE(quotas->all().empty());
}

}  // namespace
}  // namespace polis::stream
