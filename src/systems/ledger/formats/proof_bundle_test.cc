#include "systems/ledger/formats/proof_bundle.h"

#include <gtest/gtest.h>
#include <map>

#include "kernel/base/digest.h"
#include "kernel/base/text_encoding.h"
#include "systems/ledger/formats/proof_test_support.h"

namespace polis::ledger::formats {
namespace {

Code code_of(const Result<void>& result) {
  return result ? Code::kUnsupported : result.error().code();
}

TEST(ProofBundle, a_true_proof_holds_and_comes_back_from_its_json) {
  base::SeededRandom random(41);
  for (uint32_t count : {1u, 2u, 3u, 7u, 8189u})
    for (size_t links : {1u, 2u, 30u}) {
      const SignedProof proof = random_signed_proof(random, count, links);
      ASSERT_TRUE(check(proof)) << check(proof).error().text();
      const std::string json = to_json(proof);
      auto parsed = parse_signed_proof(json);
      ASSERT_TRUE(parsed) << parsed.error().text();
      EXPECT_TRUE(check(*parsed)) << check(*parsed).error().text();
      EXPECT_EQ(to_json(*parsed), json);
    }
}

TEST(ProofBundle, whatever_is_changed_is_found) {
  base::SeededRandom random(42);
  const SignedProof proof = random_signed_proof(random, 13, 5);
  auto changed = [&](auto change) {
    SignedProof other = proof;
    change(other);
    return code_of(check(other));
  };
  EXPECT_EQ(changed([](SignedProof& p) { p.inclusion.record[5] ^= std::byte{1}; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.inclusion.path[1][5] ^= std::byte{1}; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.links[0].count++; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.links[2].head.root[0] ^= std::byte{1}; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.links[3].head.previous[0] ^= std::byte{1}; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.links.erase(p.links.begin() + 2); }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.links.pop_back(); }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.links.erase(p.links.begin()); }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.links[4].timestamp = p.links[3].timestamp; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.head.head[31] ^= std::byte{1}; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.head.signed_at++; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.head.op++; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.head.signature[0] ^= std::byte{1}; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.public_key_pem = HeadKey::from_seed({}).public_key_pem(); }),
            Code::kCorrupt);
  EXPECT_EQ(changed([](SignedProof& p) { p.public_key_pem = "none"; }), Code::kInvalid);
  EXPECT_EQ(changed([](SignedProof& p) { p.links.clear(); }), Code::kInvalid);
}

TEST(ProofBundle, json_that_is_no_proof_is_refused_with_the_place) {
  base::SeededRandom random(43);
  const std::string json = to_json(random_signed_proof(random, 3, 2));
  auto error_of = [&](std::string_view from, std::string_view to) {
    std::string other = json;
    const size_t at = other.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    other.replace(at, from.size(), to);
    auto parsed = parse_signed_proof(other);
    EXPECT_FALSE(parsed) << from;
    return parsed ? "" : parsed.error().text();
  };
  EXPECT_EQ(error_of("proof 1", "proof 2"), "proof: 'format' is not 'polis ledger proof 1'");
  EXPECT_EQ(error_of("\"record\":\"", "\"record\":\"00"), "proof: 'record' is not 128 bytes in hex");
  EXPECT_EQ(error_of("\"record\":\"", "\"record\":\"zz"), "proof: 'record' is not 128 bytes in hex");
  EXPECT_EQ(error_of("\"path\":[", "\"path\":[1,"), "proof: 'path' holds something that is no text");
  EXPECT_EQ(error_of("\"path\":[", "\"path\":[\"00\","), "proof: 'path' is not 32 bytes in hex");
  EXPECT_EQ(error_of("\"path\"", "\"way\""), "proof: 'path' is missing");
  EXPECT_EQ(error_of("\"links\":[", "\"links\":[7,"), "proof: 'links' holds something that is no link");
  EXPECT_EQ(error_of("\"operation\":147", "\"operation\":256"), "proof: 'operation' is above 255");
  EXPECT_EQ(error_of("\"operation\":147", "\"operation\":-1"), "proof: 'operation' is not a number");
  EXPECT_EQ(error_of("\"status\":4294967295", "\"status\":4294967296"), "proof: 'status' is above 4294967295");
  EXPECT_EQ(error_of("\"op\":\"", "\"op\":\"x"), "proof: 'op' is not a number: a number has only the digits 0 to 9");
  EXPECT_EQ(error_of("\"signature\":\"", "\"signature\":\"AAAA"), "proof: 'signature' is not 64 bytes in base64");
  EXPECT_FALSE(error_of("signed_at", "Signed_at").empty());
  EXPECT_FALSE(error_of("polis ledger head", "polis ledger feet").empty());
  for (size_t size = 0; size < json.size() - 2; size += 7) EXPECT_FALSE(parse_signed_proof(json.substr(0, size)));
  std::string deep(100'000, '[');
  EXPECT_FALSE(parse_signed_proof(deep));
  EXPECT_FALSE(parse_signed_proof("[]"));
  EXPECT_FALSE(parse_signed_proof("{\"format\":7}"));
  std::string many = json;
  many.replace(
      many.find("\"path\":["), 8, "\"path\":[" + [] {
        std::string siblings;
        for (int i = 0; i < 33; ++i) siblings += "\"\",";
        return siblings;
      }());
  EXPECT_EQ(parse_signed_proof(many).error().text(), "proof: 'path' has more than 32 elements");
}

TEST(ProofBundle, each_file_holds_the_digest_of_the_one_before_and_the_last_is_the_signed_head) {
  base::SeededRandom random(44);
  for (uint32_t count : {1u, 2u, 5u, 100u})
    for (size_t links : {1u, 4u}) {
      const SignedProof proof = random_signed_proof(random, count, links);
      std::map<std::string, std::string> files;
      for (ProofFile& file : proof_files(proof)) {
        EXPECT_EQ(file.executable, file.name == "check.sh");
        files[file.name] = file.content;
      }
      EXPECT_EQ(files["head.txt"], proof.head.to_text());
      EXPECT_EQ(files["head.sig"].size(), 64u);
      ASSERT_EQ(files["leaf.bin"].size(), 133u);
      auto digest = base::sha256(files["leaf.bin"]);
      for (size_t i = 0; i < proof.inclusion.path.size(); ++i) {
        const std::string& node = files[std::string("node-0") + static_cast<char>('0' + i) + ".bin"];
        ASSERT_EQ(node.size(), 65u);
        const size_t at = node.find(as_text(digest));
        ASSERT_TRUE(at == 1 || at == 33);
        digest = base::sha256(node);
      }
      ASSERT_EQ(files["links.bin"].size(), links * 86);
      for (size_t i = 0; i < links; ++i) {
        const std::string link = files["links.bin"].substr(i * 86, 86);
        ASSERT_EQ(link.substr(i == 0 ? 54 : 1, 32), as_text(digest));
        digest = base::sha256(link);
      }
      EXPECT_EQ(digest, proof.head.head);
      EXPECT_EQ(files["README.txt"].find('{'), std::string::npos);
    }
}

}  // namespace
}  // namespace polis::ledger::formats
