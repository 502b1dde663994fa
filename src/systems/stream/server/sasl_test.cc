#include "systems/stream/server/sasl.h"

#include <gmock/gmock.h>

#include "kernel/base/text_encoding.h"
#include "systems/stream/server/handlers_test_support.h"
#include "systems/stream/server/scram.h"

namespace polis::stream {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using State = SaslExchange::State;

constexpr auto kSha256 = ScramMechanism::kSha256;

std::string plain(std::string_view user, std::string_view password, std::string_view authorization = {}) {
  std::string token(authorization);
  token += '\0';
  token += user;
  token += '\0';
  token += password;
  return token;
}

class SaslTest : public ServerTest {
 protected:
  ErrorCode handshake(Session& session, std::string_view mechanism, int16_t version = 1) {
    return static_cast<ErrorCode>(ask(session, SaslHandshakeRequest{mechanism}, version).error_code);
  }
  SaslAuthenticateResponse token(Session& session, std::string_view text) {
    return ask(session, SaslAuthenticateRequest{as_bytes(text)});
  }
  ErrorCode authenticate(Session& session, std::string_view user, std::string_view password) {
    if (const ErrorCode refused = handshake(session, "PLAIN"); refused != ErrorCode::kNone) return refused;
    return static_cast<ErrorCode>(token(session, plain(user, password)).error_code);
  }
  // Plays a client of SCRAM.
  SaslAuthenticateResponse scram_exchange(Session& session, std::string_view user, std::string_view password,
                                          ScramMechanism mechanism = kSha256) {
    const std::string bare = "n=" + std::string(user) + ",r=abc";
    SaslAuthenticateResponse first = token(session, "n,," + bare);
    if (first.error_code != 0) return first;
    const std::string challenge(as_text(first.auth_bytes));
    const size_t salt_at = challenge.find(",s=") + 3, iterations_at = challenge.find(",i=");
    const Bytes salt = *base::base64_decode(challenge.substr(salt_at, iterations_at - salt_at));
    const Bytes salted =
        scram_salted_password(mechanism, password, salt, std::stoi(challenge.substr(iterations_at + 3)));
    const Bytes key = scram_hmac(mechanism, salted, as_bytes("Client Key"));
    const std::string without_proof = "c=biws," + challenge.substr(0, salt_at - 3);
    const std::string message = bare + "," + challenge + "," + without_proof;
    Bytes proof = scram_hmac(mechanism, scram_hash(mechanism, key), as_bytes(message));
    for (size_t i = 0; i < proof.size(); ++i) proof[i] ^= key[i];
    return token(session, without_proof + ",p=" + base::base64_encode(proof));
  }
  void put_scram(std::string user, std::string_view password, std::string user_id = {}) {
    ScramCredential credential = must(make_scram_credential(kSha256, password, Bytes(16), 4096));
    credential.user_id = std::move(user_id);
    must(world.run(scram->put(std::move(user), credential)));
  }
  bool current(Session& session) {
    world.run_for(11s);
    return world.run(rights_are_current(*parts, session));
  }
};

TEST_F(SaslTest, a_user_of_polis_comes_in_with_his_password) {
  add_user("alice");
  Session session = sasl_client();
  EXPECT_EQ(authenticate(session, "alice", kPassword), ErrorCode::kNone);
  EXPECT_EQ(session.identity->name, "User:alice");
  EXPECT_EQ(session.identity->principal->user_name, "alice");
  EXPECT_EQ(session.identity->host, "192.0.2.7");
  EXPECT_FALSE(closed);
}

TEST_F(SaslTest, an_access_key_and_its_secret_are_as_good_and_name_its_user) {
  Session session = sasl_client();
  EXPECT_EQ(authenticate(session, root.access_key, root.secret_key), ErrorCode::kNone);
  EXPECT_EQ(session.identity->name, "User:root");
  EXPECT_TRUE(session.identity->principal->administrator);
  Session other = sasl_client();
  EXPECT_EQ(authenticate(other, root.access_key, "not the secret"), ErrorCode::kSaslAuthenticationFailed);
}

TEST_F(SaslTest, one_user_has_one_name_however_he_writes_it) {
  const auth::User alice = add_user("alice");
  Session session = sasl_client();
  EXPECT_EQ(authenticate(session, alice.account_id + "/alice", kPassword), ErrorCode::kNone);
  EXPECT_EQ(session.identity->name, "User:alice");
}

TEST_F(SaslTest, wrong_passwords_and_unknown_users_get_the_same_answer_after_the_same_time_and_a_closed_door) {
  add_user("alice");
  std::optional<std::string> told;
  for (const std::string_view user : {"alice", "nobody"}) {
    Session session = sasl_client();
    ASSERT_EQ(handshake(session, "PLAIN"), ErrorCode::kNone);
    const Duration before = world.elapsed();
    const auto response = token(session, plain(user, "wrong password"));
    EXPECT_GE(world.elapsed() - before, 200ms);
    EXPECT_EQ(response.error_code, 58);
    if (told) EXPECT_EQ(*response.error_message, *told);
    told = response.error_message;
    EXPECT_TRUE(closed);
    EXPECT_EQ(session.sasl.state, State::kFailed);
    EXPECT_EQ(session.identity->name, "User:ANONYMOUS");
  }
  auto records = must(world.run(directory->audit().query({.action_pattern = "stream:SignIn"})));
  EXPECT_EQ(records.records.size(), 2U);
}

TEST_F(SaslTest, guessing_is_slow_for_one_name_and_leaves_others_alone) {
  add_user("alice");
  add_user("bob");
  const Duration begun = world.elapsed();
  for (int i = 0; i < 40; ++i) {
    Session session = sasl_client();
    EXPECT_EQ(authenticate(session, "alice", "guess number " + std::to_string(i)),
              ErrorCode::kSaslAuthenticationFailed);
  }
  // Ten at once, then six a minute, whether refused early or late.
  EXPECT_GE(world.elapsed() - begun, 150s);
  Session session = sasl_client();
  EXPECT_EQ(authenticate(session, "bob", kPassword), ErrorCode::kNone);
}

TEST_F(SaslTest, plain_tokens_that_cannot_be_are_refused) {
  const std::string nul(1, '\0');
  for (const std::string& bad : {std::string(), std::string("alice"), "alice" + nul + "x", plain("", "x"),
                                 plain("a", ""), plain("alice", "x", "bob"), plain("a", "b") + nul + "c",
                                 plain("\xff", "x"), plain(std::string(300, 'a'), "x"), std::string(5000, 'x')}) {
    Session session = sasl_client();
    ASSERT_EQ(handshake(session, "PLAIN"), ErrorCode::kNone);
    EXPECT_EQ(token(session, bad).error_code, 58);
    EXPECT_TRUE(closed);
  }
}

TEST_F(SaslTest, scram_lets_in_who_knows_the_password) {
  put_scram("carol", "pencil");
  Session session = sasl_client();
  ASSERT_EQ(handshake(session, "SCRAM-SHA-256"), ErrorCode::kNone);
  const auto response = scram_exchange(session, "carol", "pencil");
  EXPECT_EQ(response.error_code, 0);
  EXPECT_TRUE(as_text(response.auth_bytes).starts_with("v="));
  EXPECT_EQ(session.identity->name, "User:carol");
  EXPECT_TRUE(session.identity->principal->anonymous());  // no user of polis has that name
  EXPECT_FALSE(access->allowed(*session.identity, ResourceType::kTopic, "t", Operation::kRead));
  Session wrong = sasl_client();
  ASSERT_EQ(handshake(wrong, "SCRAM-SHA-256"), ErrorCode::kNone);
  EXPECT_EQ(scram_exchange(wrong, "carol", "crayon").error_code, 58);
  EXPECT_TRUE(closed);
}

TEST_F(SaslTest, scram_answers_for_unknown_users_with_a_challenge_that_stays_the_same) {
  const auto salt_for = [&](std::string_view user) {
    Session session = sasl_client();
    EXPECT_EQ(handshake(session, "SCRAM-SHA-256"), ErrorCode::kNone);
    const std::string challenge(as_text(token(session, "n,,n=" + std::string(user) + ",r=abc").auth_bytes));
    return challenge.substr(challenge.find(",s="));
  };
  const std::string first = salt_for("nobody");
  EXPECT_NE(salt_for("somebody"), first);
  restart();
  EXPECT_EQ(salt_for("nobody"), first);
  Session session = sasl_client();
  ASSERT_EQ(handshake(session, "SCRAM-SHA-256"), ErrorCode::kNone);
  EXPECT_EQ(scram_exchange(session, "nobody", "pencil").error_code, 58);
}

TEST_F(SaslTest, a_user_of_polis_has_his_rights_by_scram_too) {
  const auth::User alice = add_user("alice");
  put_scram("alice", "pencil", alice.id);
  Session session = sasl_client();
  ASSERT_EQ(handshake(session, "SCRAM-SHA-256"), ErrorCode::kNone);
  EXPECT_EQ(scram_exchange(session, "alice", "pencil").error_code, 0);
  EXPECT_EQ(session.identity->principal->user_id, alice.id);
}

TEST_F(SaslTest, a_credential_made_before_there_was_such_a_user_does_not_become_his) {
  put_scram("alice", "pencil");
  add_user("alice");
  Session session = sasl_client();
  ASSERT_EQ(handshake(session, "SCRAM-SHA-256"), ErrorCode::kNone);
  EXPECT_EQ(scram_exchange(session, "alice", "pencil").error_code, 58);
}

TEST_F(SaslTest, only_the_user_himself_and_administrators_may_set_his_scram_credential) {
  const auth::User alice = add_user("alice");
  const Bytes salt(16), salted(32);
  const AlterUserScramCredentialsRequest request{
      .deletions = {},
      .upsertions = {{.name = "alice", .mechanism = 1, .iterations = 4096, .salt = salt, .salted_password = salted}}};
  Session stranger = plain_client();
  EXPECT_EQ(ask(stranger, request).results.at(0).error_code, 31);
  Session admin = administrator();
  EXPECT_EQ(ask(admin, request).results.at(0).error_code, 0);
  EXPECT_EQ(must(world.run(scram->find("alice", kSha256)))->user_id, alice.id);
}

TEST_F(SaslTest, the_handshake_names_what_there_is) {
  Session session = sasl_client();
  const auto response = ask(session, SaslHandshakeRequest{"GSSAPI"}, int16_t{1});
  EXPECT_EQ(response.error_code, 33);
  EXPECT_EQ(response.mechanisms, (std::vector<std::string>{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}));
  EXPECT_TRUE(closed);
}

TEST_F(SaslTest, out_of_order_is_out_of_state) {
  Session early = sasl_client();
  EXPECT_EQ(token(early, plain("a", "b")).error_code, 34);
  Session twice = sasl_client();
  EXPECT_EQ(handshake(twice, "PLAIN"), ErrorCode::kNone);
  EXPECT_EQ(handshake(twice, "PLAIN"), ErrorCode::kIllegalSaslState);
  EXPECT_TRUE(closed);
  Session elsewhere = plain_client();
  EXPECT_EQ(handshake(elsewhere, "PLAIN"), ErrorCode::kIllegalSaslState);
  EXPECT_FALSE(closed);
  EXPECT_EQ(token(elsewhere, plain("a", "b")).error_code, 34);
}

TEST_F(SaslTest, old_clients_send_bare_tokens_after_a_handshake_of_version_0) {
  add_user("alice");
  Session session = sasl_client();
  ASSERT_EQ(handshake(session, "PLAIN", 0), ErrorCode::kNone);
  EXPECT_TRUE(session.sasl.raw_tokens);
  const std::string bare = plain("alice", kPassword);
  EXPECT_TRUE(world.run(sasl_token(*parts, session, as_bytes(bare))).ok());
  EXPECT_FALSE(session.sasl.raw_tokens);
  EXPECT_EQ(session.identity->name, "User:alice");
}

TEST_F(SaslTest, only_the_exchange_is_answered_before_it_is_done) {
  add_user("alice");
  Session session = sasl_client();
  const SteadyTime now = world.shard().now();
  const auto may = [&](int16_t key) { return may_request(session, key, now); };
  EXPECT_TRUE(may(18));
  EXPECT_TRUE(may(17));
  EXPECT_FALSE(may(3));
  EXPECT_FALSE(may(0));
  ASSERT_EQ(handshake(session, "PLAIN"), ErrorCode::kNone);
  EXPECT_TRUE(may(36));
  EXPECT_FALSE(may(18));
  EXPECT_FALSE(may(3));
  EXPECT_EQ(token(session, plain("alice", kPassword)).error_code, 0);
  EXPECT_TRUE(may(3));
  ASSERT_EQ(handshake(session, "PLAIN"), ErrorCode::kNone);
  EXPECT_FALSE(may(3));
  EXPECT_EQ(token(session, plain("alice", "wrong password")).error_code, 58);
  EXPECT_FALSE(may(17));
  Session plain_door = plain_client();
  EXPECT_TRUE(may_request(plain_door, 3, now));
}

TEST_F(SaslTest, a_session_lasts_as_long_as_the_broker_says_and_is_renewed_in_time) {
  add_user("alice");
  EXPECT_TRUE(world.run(configs->alter(false, {{"connections.max.reauth.ms", "60000"}}, false, false)).ok());
  Session session = sasl_client();
  ASSERT_EQ(handshake(session, "PLAIN"), ErrorCode::kNone);
  EXPECT_EQ(token(session, plain("alice", kPassword)).session_lifetime_ms, 60000);
  EXPECT_TRUE(may_request(session, 3, world.shard().now() + 59s));
  EXPECT_FALSE(may_request(session, 3, world.shard().now() + 61s));
  EXPECT_TRUE(may_request(session, 17, world.shard().now() + 61s));
  world.run_for(61s);
  EXPECT_EQ(authenticate(session, "alice", kPassword), ErrorCode::kNone);
  EXPECT_TRUE(may_request(session, 3, world.shard().now() + 59s));
}

TEST_F(SaslTest, who_authenticates_again_is_the_same_and_does_it_the_same_way) {
  add_user("alice");
  add_user("bob");
  Session session = sasl_client();
  ASSERT_EQ(authenticate(session, "alice", kPassword), ErrorCode::kNone);
  ASSERT_EQ(handshake(session, "PLAIN"), ErrorCode::kNone);
  const auto response = token(session, plain("bob", kPassword));
  EXPECT_EQ(response.error_code, 58);
  EXPECT_THAT(*response.error_message, HasSubstr("Cannot change principals"));
  EXPECT_TRUE(closed);
  EXPECT_EQ(session.identity->name, "User:alice");
  Session other = sasl_client();
  ASSERT_EQ(authenticate(other, "alice", kPassword), ErrorCode::kNone);
  EXPECT_EQ(handshake(other, "SCRAM-SHA-256"), ErrorCode::kIllegalSaslState);
  EXPECT_TRUE(closed);
}

TEST_F(SaslTest, a_disabled_user_is_out_and_new_policies_hold_within_seconds) {
  const auth::User alice = add_user("alice");
  Session session = sasl_client();
  ASSERT_EQ(authenticate(session, "alice", kPassword), ErrorCode::kNone);
  EXPECT_TRUE(current(session));
  must(world.run(directory->put_user_policy(actor(), alice.id, "all", R"({"Version":"2012-10-17","Statement":[
      {"Effect":"Allow","Action":"stream:*","Resource":"*"}]})")));
  EXPECT_FALSE(access->allowed(*session.identity, ResourceType::kTopic, "t", Operation::kRead));
  EXPECT_TRUE(current(session));
  EXPECT_TRUE(access->allowed(*session.identity, ResourceType::kTopic, "t", Operation::kRead));
  must(world.run(directory->set_disabled(actor(), alice.id, true)));
  EXPECT_FALSE(current(session));
}

TEST_F(SaslTest, a_deleted_access_key_or_scram_credential_ends_its_sessions) {
  Session key = sasl_client();
  ASSERT_EQ(authenticate(key, root.access_key, root.secret_key), ErrorCode::kNone);
  put_scram("carol", "pencil");
  Session carol = sasl_client();
  ASSERT_EQ(handshake(carol, "SCRAM-SHA-256"), ErrorCode::kNone);
  ASSERT_EQ(scram_exchange(carol, "carol", "pencil").error_code, 0);
  EXPECT_TRUE(current(key));
  EXPECT_TRUE(current(carol));
  must(world.run(directory->delete_access_key(actor(), root.access_key)));
  EXPECT_TRUE(must(world.run(scram->erase("carol", kSha256))));
  EXPECT_FALSE(current(key));
  EXPECT_FALSE(current(carol));
  Session anonymous = plain_client();
  EXPECT_TRUE(current(anonymous));
}

TEST_F(SaslTest, nobody_can_be_named_as_those_who_proved_nothing) {
  for (const std::string& name :
       {std::string("ANONYMOUS"), std::string("*"), std::string(), std::string("a\nb"), std::string(300, 'x')}) {
    ScramCredential credential = must(make_scram_credential(kSha256, "pencil", Bytes(16), 4096));
    EXPECT_FALSE(world.run(scram->put(name, credential)));
  }
}

}  // namespace
}  // namespace polis::stream
