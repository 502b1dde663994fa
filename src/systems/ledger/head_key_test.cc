#include "systems/ledger/head_key.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "kernel/base/text_encoding.h"
#include "kernel/io/shard.h"

namespace polis::ledger {
namespace {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "polis_head_key_XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

class HeadKeyTest : public testing::Test {
 protected:
  Result<HeadKey> open(const std::string& path) {
    return io::run([&]() -> Task<Result<HeadKey>> { return HeadKey::open(*disk_, path, random_); });
  }
  Result<HeadKey> create(const std::string& path) {
    return io::run([&]() -> Task<Result<HeadKey>> { return HeadKey::create(*disk_, path, random_); });
  }
  Result<HeadKey> read(const std::string& path) {
    return io::run([&]() -> Task<Result<HeadKey>> { return HeadKey::read(*disk_, path); });
  }

  TemporaryDirectory files_;
  std::unique_ptr<io::Disk> disk_ = io::make_system_disk();
  base::SystemRandom random_;
};

template <class T>
Code code_of(const Result<T>& result) {
  EXPECT_FALSE(result);
  return result ? Code::kUnsupported : result.error().code();
}

std::array<std::byte, 32> bytes_of(std::string_view hex) {
  std::array<std::byte, 32> bytes;
  auto decoded = base::hex_decode(hex);
  POLIS_ASSERT(decoded && decoded->size() == bytes.size());
  std::copy(decoded->begin(), decoded->end(), bytes.begin());
  return bytes;
}

HeadKey key_of_rfc_8032() {
  return HeadKey::from_seed(bytes_of("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
}

Hash some_hash(uint8_t fill) {
  Hash hash;
  hash.fill(std::byte{fill});
  return hash;
}

TEST_F(HeadKeyTest, the_first_start_makes_a_key_that_only_its_owner_reads_and_later_ones_use_it) {
  const std::string path = files_.path("keys/ledger.key");
  EXPECT_EQ(code_of(read(path)), Code::kNotFound);
  auto first = open(path);
  ASSERT_TRUE(first) << first.error().text();
  auto second = open(path);
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_EQ(first->public_key_pem(), second->public_key_pem());
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  auto other = open(files_.path("keys/other.key"));
  ASSERT_TRUE(other);
  EXPECT_NE(other->public_key_pem(), first->public_key_pem());
}

TEST_F(HeadKeyTest, a_key_is_never_replaced) {
  const std::string path = files_.path("keys/ledger.key");
  auto first = create(path);
  ASSERT_TRUE(first) << first.error().text();
  EXPECT_EQ(code_of(create(path)), Code::kExists);
  EXPECT_EQ(read(path)->public_key_pem(), first->public_key_pem());
}

TEST_F(HeadKeyTest, a_file_that_is_no_private_ed25519_key_is_refused_and_left_alone) {
  const std::string path = files_.path("ledger.key");
  // A public key, a key of another kind, one that needs a pass phrase, and noise.
  constexpr std::string_view kX25519 =
      "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH\n"
      "-----END PRIVATE KEY-----\n";
  constexpr std::string_view kEncrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi1\n"
      "-----END ENCRYPTED PRIVATE KEY-----\n";
  const std::string public_pem = key_of_rfc_8032().public_key_pem();
  for (std::string_view content : {std::string_view(), std::string_view("noise\n"), kX25519, kEncrypted,
                                   std::string_view(public_pem), std::string_view("-----BEGIN PRIVATE KEY-----\n")}) {
    std::ofstream(path, std::ios::binary) << content;
    EXPECT_EQ(code_of(open(path)), Code::kCorrupt) << content;
    std::ifstream file(path, std::ios::binary);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), content);
  }
  std::ofstream(path, std::ios::binary) << std::string(5000, 'x');
  EXPECT_EQ(code_of(open(path)), Code::kTooLarge);
}

TEST(HeadKey, the_key_of_rfc_8032_has_its_public_half) {
  // RFC 8032 §7.1 test 1: d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a after the 12 bytes that
  // RFC 8410 puts before it.
  auto der =
      base::hex_decode("302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(key_of_rfc_8032().public_key_pem(),
            "-----BEGIN PUBLIC KEY-----\n" + base::base64_encode(*der) + "\n-----END PUBLIC KEY-----\n");
}

TEST(HeadKey, a_signature_holds_for_its_head_and_for_no_other) {
  const HeadKey key = key_of_rfc_8032();
  const SignedHead head = key.sign(7, 1'800'000'000'000'000'001, some_hash(0xab), 1'800'000'001'000'000'000);
  EXPECT_EQ(head.to_text(), "polis ledger head\nop 7\ntimestamp 1800000000000000001\nhead " +
                                base::hex_encode(some_hash(0xab)) + "\nsigned_at 1800000001000000000\n");
  EXPECT_TRUE(verify(head, key.public_key_pem()));
  auto changed = [&](auto change) {
    SignedHead other = head;
    change(other);
    return code_of(verify(other, key.public_key_pem()));
  };
  EXPECT_EQ(changed([](SignedHead& h) { ++h.op; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedHead& h) { ++h.timestamp; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedHead& h) { h.head[31] ^= std::byte{1}; }), Code::kCorrupt);
  EXPECT_EQ(changed([](SignedHead& h) { --h.signed_at; }), Code::kCorrupt);
  for (size_t i = 0; i < head.signature.size(); ++i)
    EXPECT_EQ(changed([i](SignedHead& h) { h.signature[i] ^= std::byte{0x10}; }), Code::kCorrupt);
}

TEST(HeadKey, another_public_key_and_text_that_is_none_are_told_apart) {
  const SignedHead head = key_of_rfc_8032().sign(1, 2, some_hash(3), 4);
  EXPECT_EQ(code_of(verify(head, HeadKey::from_seed(some_hash(9)).public_key_pem())), Code::kCorrupt);
  EXPECT_EQ(code_of(verify(head, "")), Code::kInvalid);
  EXPECT_EQ(code_of(verify(head, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")), Code::kInvalid);
  EXPECT_EQ(code_of(verify(head, std::string(5000, 'x'))), Code::kInvalid);
}

TEST(SignedHead, its_text_parses_back_and_no_second_text_does) {
  const SignedHead head{.op = 0, .timestamp = 18'446'744'073'709'551'615u, .head = some_hash(0xef), .signed_at = 5};
  const std::string text = head.to_text();
  auto parsed = parse_signed_head(text);
  ASSERT_TRUE(parsed) << parsed.error().text();
  EXPECT_EQ(parsed->to_text(), text);
  for (size_t i = 0; i < text.size(); ++i) EXPECT_FALSE(parse_signed_head(text.substr(0, i))) << i;
  EXPECT_FALSE(parse_signed_head(text + "\n"));
  auto replaced = [&](std::string_view from, std::string_view to) {
    std::string other = text;
    other.replace(other.find(from), from.size(), to);
    return code_of(parse_signed_head(other));
  };
  EXPECT_EQ(replaced("op 0", "op 00"), Code::kInvalid);
  EXPECT_EQ(replaced("op 0", "op -1"), Code::kInvalid);
  EXPECT_EQ(replaced("op 0", "op 18446744073709551616"), Code::kInvalid);
  EXPECT_EQ(replaced("op 0", "OP 0"), Code::kInvalid);
  EXPECT_EQ(replaced("head\n", "head \n"), Code::kInvalid);
  EXPECT_EQ(replaced("efef", "EFEF"), Code::kInvalid);
  EXPECT_EQ(replaced("efef", "ef"), Code::kInvalid);
}

}  // namespace
}  // namespace polis::ledger
