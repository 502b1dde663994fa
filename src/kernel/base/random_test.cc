#include "kernel/base/random.h"

#include <array>
#include <gtest/gtest.h>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "kernel/base/uuid.h"

namespace polis::base {
namespace {

TEST(Random, a_seed_gives_the_published_stream) {
  // xoshiro256** from SplitMix64(0), as the reference code of its authors prints it.
  SeededRandom random(0);
  EXPECT_EQ(random.next(), 0x99ec5f36cb75f2b4u);
  EXPECT_EQ(random.next(), 0xbf6e1f784956452au);
  EXPECT_EQ(random.next(), 0x1a5f849d4933e6e0u);
}

TEST(Random, fill_and_next_read_one_stream) {
  SeededRandom words(42), raw(42);
  std::array<std::byte, 16> bytes;
  raw.fill(bytes);
  uint64_t first;
  std::memcpy(&first, bytes.data(), sizeof first);
  EXPECT_EQ(first, words.next());
}

TEST(Random, below_is_uniform_and_never_reaches_its_bound) {
  SeededRandom random(1);
  std::array<int, 7> seen{};
  for (int i = 0; i < 70'000; ++i) ++seen[random.below(7)];
  for (int count : seen) EXPECT_NEAR(count, 10'000, 500);  // five standard deviations are 463
  EXPECT_EQ(random.below(1), 0u);
  for (int i = 0; i < 1000; ++i) EXPECT_LT(random.below((uint64_t{1} << 63) + 1), (uint64_t{1} << 63) + 1);
}

TEST(Random, system_bytes_differ_between_calls_threads_and_forked_children) {
  SystemRandom random;
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.next());
  std::thread([&] { seen.insert(SystemRandom().next()); }).join();
  EXPECT_EQ(seen.size(), 1001u);

  int channel[2];
  ASSERT_EQ(pipe(channel), 0);
  random.next();  // The buffer is now partly used in parent and child.
  pid_t child = fork();
  if (child == 0) {
    uint64_t value = SystemRandom().next();
    _exit(write(channel[1], &value, sizeof value) == sizeof value ? 0 : 1);
  }
  uint64_t theirs = 0;
  ASSERT_EQ(read(channel[0], &theirs, sizeof theirs), static_cast<ssize_t>(sizeof theirs));
  waitpid(child, nullptr, 0);
  EXPECT_NE(random.next(), theirs);
  close(channel[0]);
  close(channel[1]);
}

TEST(Random, large_and_empty_fills_are_whole) {
  SystemRandom random;
  Bytes large(100'000);
  random.fill(large);
  EXPECT_NE(std::count(large.begin(), large.end(), std::byte{0}), 100'000);
  random.fill({});
}

TEST(Uuid, versions_carry_their_marks_and_come_back_from_text) {
  SeededRandom random(3);
  Uuid four = Uuid::v4(random);
  EXPECT_EQ(four.version(), 4);
  EXPECT_EQ(four.text().size(), 36u);
  EXPECT_EQ(Uuid::parse(four.text()).value(), four);
  EXPECT_TRUE(std::string("89ab").contains(four.text()[19]));

  WallTime now(std::chrono::milliseconds(0x017f22e279b0));  // RFC 9562 appendix A.6
  Uuid seven = Uuid::v7(random, now);
  EXPECT_EQ(seven.version(), 7);
  EXPECT_EQ(seven.time_ms(), 0x017f22e279b0);
  EXPECT_EQ(seven.text().substr(0, 13), "017f22e2-79b0");
  EXPECT_LT(seven, Uuid::v7(random, now + std::chrono::milliseconds(1)));
}

TEST(Uuid, malformed_text_is_refused) {
  for (const char* text : {"", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2079b0-7cc3-98c4-dc0c0c07398f",
                           "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}"})
    EXPECT_FALSE(Uuid::parse(text)) << text;
  EXPECT_EQ(Uuid::parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F").value().text(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

}  // namespace
}  // namespace polis::base
