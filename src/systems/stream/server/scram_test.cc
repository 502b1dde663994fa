#include "systems/stream/server/scram.h"

#include <gtest/gtest.h>

#include "kernel/base/random.h"
#include "kernel/base/text_encoding.h"

namespace polis::stream {
namespace {

// RFC 7677 §3; the proofs of SHA-512 are the same exchange computed with Python's hashlib and hmac.
constexpr std::string_view kClientNonce = "rOprNGfwEbeRWgbNEkqO", kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view kSalt = "W22ZaJ0SNY7soEsUEjb6gQ==";
struct Vector {
  ScramMechanism mechanism;
  std::string_view proof, signature;
};
constexpr Vector kVectors[] = {
    {ScramMechanism::kSha256,
     "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
    {ScramMechanism::kSha512,
     "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
     "ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw=="},
};

ScramCredential pencil(ScramMechanism mechanism) {
  return *make_scram_credential(mechanism, "pencil", *base::base64_decode(kSalt), 4096);
}
std::string both_nonces() {
  return std::string(kClientNonce) + std::string(kServerNonce);
}
Code code_of(const auto& result) {
  return result ? Code{255} : result.error().code();
}

TEST(Scram, the_examples_of_rfc_7677) {
  for (const Vector& vector : kVectors) {
    ScramExchange exchange(vector.mechanism, std::string(kServerNonce));
    EXPECT_EQ(exchange.begin(as_bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")).value_or(""), "user");
    const Bytes challenge = exchange.challenge(pencil(vector.mechanism));
    EXPECT_EQ(as_text(challenge), "r=" + both_nonces() + ",s=" + std::string(kSalt) + ",i=4096");
    const std::string final = "c=biws,r=" + both_nonces() + ",p=" + std::string(vector.proof);
    const auto answer = exchange.finish(as_bytes(final));
    ASSERT_TRUE(answer) << answer.error().text();
    EXPECT_EQ(as_text(*answer), "v=" + std::string(vector.signature));
  }
}

TEST(Scram, a_wrong_password_or_user_gives_a_wrong_proof) {
  ScramExchange exchange(ScramMechanism::kSha256, std::string(kServerNonce));
  ASSERT_TRUE(exchange.begin(as_bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")));
  exchange.challenge(*make_scram_credential(ScramMechanism::kSha256, "crayon", *base::base64_decode(kSalt), 4096));
  const std::string final = "c=biws,r=" + both_nonces() + ",p=" + std::string(kVectors[0].proof);
  EXPECT_EQ(code_of(exchange.finish(as_bytes(final))), Code::kUnauthenticated);
}

// Whose client-final message repeats the client's nonce: "r=" client, client, server.
TEST(Scram, the_doubled_nonce_of_old_librdkafka_is_taken) {
  ScramExchange exchange(ScramMechanism::kSha256, std::string(kServerNonce));
  const std::string bare = "n=user,r=" + std::string(kClientNonce);
  ASSERT_TRUE(exchange.begin(as_bytes("n,," + bare)));
  const Bytes challenge = exchange.challenge(pencil(ScramMechanism::kSha256));
  const auto final = [&](const std::string& nonce) {
    const std::string without_proof = "c=biws,r=" + nonce;
    const std::string message = bare + "," + std::string(as_text(challenge)) + "," + without_proof;
    const Bytes salted = scram_salted_password(ScramMechanism::kSha256, "pencil", *base::base64_decode(kSalt), 4096);
    const Bytes key = scram_hmac(ScramMechanism::kSha256, salted, as_bytes("Client Key"));
    Bytes proof = scram_hmac(ScramMechanism::kSha256, scram_hash(ScramMechanism::kSha256, key), as_bytes(message));
    for (size_t i = 0; i < proof.size(); ++i) proof[i] ^= key[i];
    return without_proof + ",p=" + base::base64_encode(proof);
  };
  EXPECT_TRUE(exchange.finish(as_bytes(final(std::string(kClientNonce) + both_nonces()))));
  EXPECT_FALSE(exchange.finish(as_bytes(final("x" + both_nonces()))));
}

TEST(Scram, names_with_commas_and_equals_signs) {
  const auto name_of = [](std::string_view first) {
    return ScramExchange(ScramMechanism::kSha256, "x").begin(as_bytes(first));
  };
  EXPECT_EQ(name_of("n,,n=a=2Cb=3Dc,r=x").value_or(""), "a,b=c");
  EXPECT_EQ(name_of("y,,n=u,r=x").value_or(""), "u");
  EXPECT_EQ(name_of("n,a=u,n=u,r=x").value_or(""), "u");
  EXPECT_EQ(name_of("n,a=a=2Cb,n=a=2Cb,r=x").value_or(""), "a,b");
}

TEST(Scram, what_the_grammar_does_not_allow_is_refused) {
  for (const std::string_view first :
       {"", "n", "n,", "n,,", "n,,n=u", "n,,n=,r=x", "n,,r=x,n=u", "n,,n=u,r=", "n,,n=u,r=a b", "p=tls-unique,,n=u,r=x",
        "n,a=other,n=u,r=x", "n,b=u,n=u,r=x", "n,,m=ext,n=u,r=x", "n,,n=u,r=x,tokenauth=true", "n,,n=a=b,r=x",
        "n,,n=a=2,r=x", "n,,n=a=2c,r=x", "x,,n=u,r=x", "n,,n=\xff,r=x"}) {
    EXPECT_EQ(code_of(ScramExchange(ScramMechanism::kSha256, "s").begin(as_bytes(first))), Code::kInvalid) << first;
  }
  const std::string long_name = "n,,n=" + std::string(kUserNameBytesMax + 1, 'x') + ",r=x";
  EXPECT_EQ(code_of(ScramExchange(ScramMechanism::kSha256, "s").begin(as_bytes(long_name))), Code::kInvalid);
}

TEST(Scram, the_last_message_must_repeat_what_was_said) {
  const std::string proof = ",p=" + std::string(kVectors[0].proof);
  for (const std::string& final : std::initializer_list<std::string>{
           "", "c=biws", proof, "c=biws,r=" + both_nonces(), "c=biws,r=" + both_nonces() + ",p=",
           "c=biws,r=" + both_nonces() + ",p=AAAA", "c=biws,r=" + std::string(kClientNonce) + proof,
           "c=eSws,r=" + both_nonces() + proof, "c=!!,r=" + both_nonces() + proof,
           "r=" + both_nonces() + ",c=biws" + proof, "c=biws,r=" + both_nonces() + proof + "!"}) {
    ScramExchange exchange(ScramMechanism::kSha256, std::string(kServerNonce));
    ASSERT_TRUE(exchange.begin(as_bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")));
    exchange.challenge(pencil(ScramMechanism::kSha256));
    EXPECT_EQ(code_of(exchange.finish(as_bytes(final))), Code::kInvalid) << final;
  }
}

TEST(Scram, any_changed_byte_is_noticed) {
  base::SeededRandom random(3);
  const std::string final = "c=biws,r=" + both_nonces() + ",p=" + std::string(kVectors[0].proof);
  for (int round = 0; round < 500; ++round) {
    std::string changed = final;
    changed[random.below(changed.size())] = static_cast<char>(random.below(256));
    if (changed == final) continue;
    ScramExchange exchange(ScramMechanism::kSha256, std::string(kServerNonce));
    ASSERT_TRUE(exchange.begin(as_bytes("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")));
    exchange.challenge(pencil(ScramMechanism::kSha256));
    EXPECT_FALSE(exchange.finish(as_bytes(changed))) << changed;
  }
}

TEST(Scram, weak_and_broken_credentials_cannot_be_made) {
  const Bytes salt(16);
  EXPECT_FALSE(make_scram_credential(ScramMechanism::kSha256, "pencil", salt, 4095));
  EXPECT_FALSE(make_scram_credential(ScramMechanism::kSha256, "pencil", salt, 16385));
  EXPECT_FALSE(make_scram_credential(ScramMechanism::kSha256, "pencil", {}, 4096));
  EXPECT_FALSE(make_scram_credential(ScramMechanism::kSha256, "", salt, 4096));
  EXPECT_FALSE(make_scram_credential(ScramMechanism::kUnknown, "pencil", salt, 4096));
  EXPECT_FALSE(credential_from_salted(ScramMechanism::kSha512, Bytes(32), salt, 4096));
  EXPECT_TRUE(credential_from_salted(ScramMechanism::kSha512, Bytes(64), salt, 4096));
}

}  // namespace
}  // namespace polis::stream
