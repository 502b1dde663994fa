#include "app/backup/sealed_keys.h"

#include <gtest/gtest.h>

namespace polis::app {
namespace {

TEST(SealedKeys, open_with_their_passphrase_alone) {
  base::SeededRandom random(1);
  KeyFiles files{{"node.key", std::string("\0\1\2binary", 9)}, {"tls-key.pem", "PEM"}};
  auto sealed = seal_keys(files, "open sesame", random);
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->find("PEM"), std::string::npos);
  EXPECT_EQ(unseal_keys(*sealed, "open sesame"), files);
  EXPECT_EQ(unseal_keys(*sealed, "open sesamE").error().code(), Code::kDenied);
  EXPECT_EQ(seal_keys(files, "short", random).error().code(), Code::kInvalid);
}

TEST(SealedKeys, any_changed_or_missing_byte_is_found) {
  base::SeededRandom random(2);
  std::string sealed = *seal_keys({{"node.key", "secret"}}, "open sesame", random);
  // Each open costs a tenth of a second of scrypt: one byte of each part.
  for (size_t position : {size_t{0}, size_t{8}, size_t{12}, size_t{30}, sealed.size() - 20, sealed.size() - 1}) {
    std::string changed = sealed;
    changed[position] ^= 1;
    EXPECT_FALSE(unseal_keys(changed, "open sesame")) << position;
  }
  for (size_t size : {size_t{0}, size_t{8}, size_t{40}, sealed.size() - 1})
    EXPECT_FALSE(unseal_keys(std::string_view(sealed).substr(0, size), "open sesame")) << size;
}

TEST(SealedKeys, a_name_that_leads_elsewhere_is_refused) {
  base::SeededRandom random(3);
  for (const char* name : {"../evil", "/etc/passwd", ".hidden", ""}) {
    std::string sealed = *seal_keys({{name, "x"}}, "open sesame", random);
    EXPECT_EQ(unseal_keys(sealed, "open sesame").error().code(), Code::kCorrupt) << name;
  }
}

}  // namespace
}  // namespace polis::app
