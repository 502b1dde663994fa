#include "systems/exchange/fix/certify.h"

#include <cstdlib>
#include <gtest/gtest.h>

#include "kernel/io/shard.h"
#include "systems/exchange/fix/fix_test_support.h"

namespace polis::exchange::fix {
namespace {

std::string failure(std::string_view text) {
  const Definition definition{"test", test::bytes(text)};
  return io::run([&]() -> Task<Result<std::string>> {
           const auto target = reflecting_acceptor();
           const auto outcome = co_await certify(definition, *target);
           co_return outcome.failure;
         })
      .value();
}

constexpr std::string_view kLogon =
    "iCONNECT\n"
    "I8=FIX.4.4|35=A|34=1|49=TW44|52=<TIME>|56=ISLD|98=0|108=30|\n"
    "E8=FIX.4.4|9=63|35=A|34=1|49=ISLD|52=00000000-00:00:00.000|56=TW44|98=0|108=30|10=0|\n";

std::string after_logon(std::string_view text) {
  return std::string(kLogon) + std::string(text);
}

TEST(certification, passes_an_acceptor_that_does_as_the_definition_says) {
  // Times of the form 00000000 are no times: only what comes is looked at.
  EXPECT_EQ(failure("# nothing\n\n"), "");
  EXPECT_EQ(failure(after_logon("I8=FIX.4.4|35=5|34=2|49=TW44|52=<TIME>|56=ISLD|\n"
                                "E8=FIX.4.4|35=5|34=2|49=ISLD|52=00000000-00:00:00.000|56=TW44|\n"
                                "eDISCONNECT")),
            "");
  EXPECT_EQ(failure(after_logon("i2,CONNECT\n"
                                "I2,8=FIX.4.4|35=A|34=1|49=TW44|52=<TIME>|56=ISLD|98=0|108=30|\n"
                                "e2,DISCONNECT\n"
                                "i1,DISCONNECT\n")),
            "");
}

TEST(certification, fails_on_any_difference_and_names_the_line) {
  EXPECT_EQ(failure(after_logon("E8=FIX.4.4|35=0|34=2|49=ISLD|52=<TIME>|56=TW44|\n")), "line 4: nothing came for 10 s");
  EXPECT_TRUE(failure(after_logon("I8=FIX.4.4|35=1|34=2|49=TW44|52=<TIME>|56=ISLD|112=a|\n"
                                  "E8=FIX.4.4|35=0|34=2|49=ISLD|52=<TIME>|56=TW44|112=b|\n"))
                  .starts_with("line 5: expected 8=FIX.4.4|"));
  EXPECT_TRUE(failure(after_logon("I8=FIX.4.4|35=1|34=2|49=TW44|52=<TIME>|56=ISLD|112=a|\n"
                                  "E8=FIX.4.4|9=1|35=0|34=2|49=ISLD|52=<TIME>|56=TW44|112=a|\n"))
                  .starts_with("line 5: expected"));
  EXPECT_TRUE(failure(after_logon("I8=FIX.4.4|35=1|34=2|49=TW44|52=<TIME>|56=ISLD|112=a|\neDISCONNECT\n"))
                  .starts_with("line 5: expected the end of the connection"));
  EXPECT_TRUE(failure(after_logon("I8=FIX.4.4|35=5|34=2|49=TW44|52=<TIME>|56=ISLD|\n"
                                  "E8=FIX.4.4|35=5|34=2|49=ISLD|52=00000000-00:00:00.000|56=TW44|\n"
                                  "E8=FIX.4.4|35=5|34=3|49=ISLD|52=00000000-00:00:00.000|56=TW44|\n"))
                  .ends_with("the connection ended"));
  EXPECT_EQ(failure("I8=FIX.4.4|\n"), "line 1: connection 1 is closed");
  EXPECT_EQ(failure("XYZ\n"), "line 1: neither I, E, iCONNECT, iDISCONNECT nor eDISCONNECT");
}

TEST(certification, wants_a_directory_with_definitions) {
  EXPECT_EQ(read_definitions("/nowhere").error().code(), Code::kNotFound);
  EXPECT_EQ(read_definitions(".").has_value(), false);
}

TEST(certification, of_the_published_definitions_is_complete) {
  const char* directory = std::getenv("POLIS_FIX44_DEFINITIONS");
  if (directory == nullptr)
    GTEST_SKIP() << "POLIS_FIX44_DEFINITIONS does not name a directory with fix44/*.def of QuickFIX";
  const auto definitions = read_definitions(directory);
  ASSERT_TRUE(definitions) << definitions.error().text();
  size_t passed = 0;
  const auto run = [&]() -> Task<Result<void>> {
    // One acceptor for all: a definition leaves nothing behind.
    const auto target = reflecting_acceptor();
    for (const auto& definition : *definitions) {
      const auto outcome = co_await certify(definition, *target);
      EXPECT_EQ(outcome.failure, "") << outcome.name;
      passed += outcome.failure.empty();
    }
    co_return Result<void>();
  };
  ASSERT_TRUE(io::run(run));
  EXPECT_EQ(passed, definitions->size());
  EXPECT_EQ(passed, 59u);
}

}  // namespace
}  // namespace polis::exchange::fix
