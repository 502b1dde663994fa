#include "kernel/machine/replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

#include "kernel/machine/model_test.h"
#include "kernel/sim/seeds.h"

namespace polis::machine {
namespace {

using namespace std::chrono_literals;

// Accounts that never go below zero. Behaviour 2 charges a fee of 1 for each transfer.
template <uint32_t Newest>
struct BankOf {
  static constexpr std::string_view kName = "bank";
  static constexpr uint32_t kBehaviour = Newest;
  static constexpr uint32_t kOldestBehaviour = 1;

  struct Command {
    uint32_t from = 0;  // 0: from outside
    uint32_t to = 0;
    uint64_t amount = 0;
  };
  struct Reply {
    bool done = false;
    uint64_t balance = 0;  // of `to`, afterwards
    bool operator==(const Reply&) const = default;
  };

  uint32_t behaviour = 0;
  std::map<uint32_t, uint64_t> accounts;
  uint64_t broken = 0;  // a machine that cheats adds this to its replies

  void behave_as(uint32_t number) { behaviour = number; }
  Reply apply(const Command& command) {
    const uint64_t fee = behaviour >= 2 && command.from != 0 ? 1 : 0;
    if (command.from != 0) {
      uint64_t& balance = accounts[command.from];
      if (balance < command.amount + fee) return {false, accounts[command.to]};
      balance -= command.amount + fee;
    }
    return {true, (accounts[command.to] += command.amount) + broken};
  }

  static void encode(const Command& command, base::Writer& out) {
    out.u32(command.from);
    out.u32(command.to);
    out.varint(command.amount);
  }
  static Result<Command> decode(BytesView in) {
    base::Reader reader(in);
    Command command{reader.u32(), reader.u32(), reader.varint()};
    TRY(reader.finish());
    return command;
  }
  static uint64_t digest(const Reply& reply) { return reply.balance * 2 + reply.done; }

  class Saver {
   public:
    explicit Saver(const BankOf& bank) : bank_(bank), at_(bank.accounts.begin()) {}
    bool next(base::Writer& piece) {
      if (at_ == bank_.accounts.end()) return false;
      for (int i = 0; i < 3 && at_ != bank_.accounts.end(); ++i, ++at_) {
        piece.u32(at_->first);
        piece.u64(at_->second);
      }
      return true;
    }

   private:
    const BankOf& bank_;
    std::map<uint32_t, uint64_t>::const_iterator at_;
  };
  Result<void> load(BytesView piece) {
    base::Reader reader(piece);
    while (reader.ok() && reader.remaining_bytes() > 0) {
      const uint32_t account = reader.u32();
      accounts[account] = reader.u64();
    }
    return reader.finish();
  }
};
using Bank = BankOf<1>;
using BankWithFees = BankOf<2>;
static_assert(Machine<Bank>);

struct BankSpec {
  using Machine = Bank;
  struct Model {
    uint64_t balance[8] = {};
    Bank::Reply apply(const Bank::Command& c) {
      const bool done = c.from == 0 || balance[c.from] >= c.amount;
      if (done && c.from != 0) balance[c.from] -= c.amount;
      if (done) balance[c.to] += c.amount;
      return {done, balance[c.to]};
    }
  };
  static std::unique_ptr<Bank> make() { return std::make_unique<Bank>(); }
  static Bank::Command random_command(Random& random) {
    return {static_cast<uint32_t>(random.below(8)), static_cast<uint32_t>(1 + random.below(7)), random.below(100)};
  }
  static bool same(const Bank::Reply& a, const Bank::Reply& b) { return a == b; }
  static bool same(const Bank& bank, const Model& model) {
    for (uint32_t account = 1; account < 8; ++account) {
      const auto found = bank.accounts.find(account);
      if ((found == bank.accounts.end() ? 0 : found->second) != model.balance[account]) return false;
    }
    return true;
  }
};

TEST(Replica, nothing_acknowledged_is_lost_and_the_state_is_the_models_wherever_the_power_is_cut) {
  const uint64_t broken = sim::for_each_seed(sim::seeds(), run_machine_model<BankSpec>, HasFailure);
  EXPECT_EQ(broken, 0u) << "run again with POLIS_SEED=" << broken;
}

class ReplicaTest : public testing::Test {
 protected:
  template <class M>
  Result<std::unique_ptr<Replica<M>>> open(uint64_t broken = 0, uint64_t snapshot_every = 0) {
    return world.run(open_task<M>(broken, snapshot_every));
  }
  template <class M>
  Task<Result<std::unique_ptr<Replica<M>>>> open_task(uint64_t broken, uint64_t snapshot_every) {
    auto journal = CO_TRY(co_await log::open_segment_journal(world.disk(), scheduler, random,
                                                             {.directory = "journal", .segment_size_bytes = 1 << 10}));
    co_return co_await Replica<M>::open(
        world.disk(), std::move(journal),
        {.snapshot_directory = "snapshot", .snapshot_every_commands = snapshot_every, .waiting_max = 5}, [broken] {
          auto machine = std::make_unique<M>();
          machine->broken = broken;
          return machine;
        });
  }
  template <class M>
  typename M::Reply submit(Replica<M>& replica, uint32_t from, uint32_t to, uint64_t amount) {
    auto reply = world.run(replica.submit({from, to, amount}));
    if (!reply) ADD_FAILURE() << reply.error().text();
    return reply ? *reply : typename M::Reply{};
  }
  template <class M>
  void close(std::unique_ptr<Replica<M>>& replica) {
    auto closed = world.run(replica->close());
    EXPECT_TRUE(closed) << closed.error().text();
    replica.reset();
  }
  template <class M>
  void fill(uint64_t commands, int snapshots) {
    auto replica = std::move(*open<M>());
    for (uint64_t i = 0; i < commands; ++i) {
      submit(*replica, 0, 1, 1);
      if (snapshots > 0 && i % (commands / static_cast<uint64_t>(snapshots)) == 0) {
        EXPECT_TRUE(world.run(replica->snapshot()));
      }
    }
    close(replica);
  }

  sim::World world{1};
  log::SyncScheduler scheduler;
  base::SeededRandom random{1};
};

TEST_F(ReplicaTest, state_comes_back_from_the_journal_alone) {
  fill<Bank>(10, 0);
  auto replica = std::move(*open<Bank>());
  EXPECT_EQ(replica->statistics().replayed, 10u);
  EXPECT_EQ(submit(*replica, 1, 2, 4).balance, 4u);
  EXPECT_FALSE(submit(*replica, 1, 2, 7).done);
  EXPECT_EQ(*world.run(replica->query([](const Bank& bank) { return bank.accounts.at(1); })), 6u);
  close(replica);
}

TEST_F(ReplicaTest, a_snapshot_shortens_replay_and_trims_the_journal) {
  fill<Bank>(200, 4);
  EXPECT_EQ(world.disk().files("snapshot").size(), 2u);
  auto replica = std::move(*open<Bank>());
  EXPECT_EQ(replica->statistics().replayed, 49u);
  EXPECT_GT(replica->journal().first(), 1u);
  EXPECT_EQ(replica->machine().accounts.at(1), 200u);
  EXPECT_EQ(replica->statistics().commands, 200u);
  close(replica);
}

TEST_F(ReplicaTest, snapshots_are_made_by_themselves_while_commands_go_on) {
  auto replica = std::move(*open<Bank>(0, 20));
  for (int i = 0; i < 100; ++i) submit(*replica, 0, 1, 1);
  EXPECT_GE(replica->statistics().snapshots, 2u);
  EXPECT_FALSE(replica->snapshot_failure());
  close(replica);
}

TEST_F(ReplicaTest, a_damaged_snapshot_costs_a_longer_replay_and_two_are_reported) {
  fill<Bank>(200, 4);
  const auto files = world.disk().files("snapshot");
  ASSERT_EQ(files.size(), 2u);
  world.disk().flip_random_bit(files[1]);
  auto replica = std::move(*open<Bank>());
  EXPECT_EQ(replica->statistics().unsound_snapshots, 1u);
  EXPECT_EQ(replica->machine().accounts.at(1), 200u);
  close(replica);
  world.disk().flip_random_bit(files[0]);
  auto none = open<Bank>();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code(), Code::kCorrupt);
  EXPECT_THAT(none.error().text(), testing::HasSubstr("no sound snapshot"));
}

TEST_F(ReplicaTest, every_flipped_bit_of_a_snapshot_is_noticed) {
  fill<Bank>(40, 1);
  const std::string file = world.disk().files("snapshot").at(0);
  const size_t size_bytes = world.disk().content(file).size();
  for (size_t offset = 0; offset < size_bytes; ++offset) {
    world.disk().flip_bit(file, offset, offset % 8);
    auto replica = open<Bank>();
    // A version of the future is refused rather than passed over.
    if (replica) {
      EXPECT_EQ((*replica)->statistics().unsound_snapshots, 1u) << "byte " << offset;
      EXPECT_EQ((*replica)->machine().accounts.at(1), 40u);
      close(*replica);
    } else {
      ADD_FAILURE() << "byte " << offset << ": " << replica.error().text();
    }
    world.disk().flip_bit(file, offset, offset % 8);
  }
}

TEST_F(ReplicaTest, a_snapshot_cut_short_anywhere_is_noticed) {
  fill<Bank>(40, 1);
  const std::string file = world.disk().files("snapshot").at(0);
  const Bytes whole = world.disk().content(file);
  for (size_t size_bytes = 0; size_bytes < whole.size(); ++size_bytes) {
    world.disk().put(file, BytesView(whole).first(size_bytes));
    auto replica = std::move(*open<Bank>());
    EXPECT_EQ(replica->statistics().unsound_snapshots, 1u) << size_bytes << " bytes";
    close(replica);
  }
}

TEST_F(ReplicaTest, replay_with_another_outcome_stops_with_both_digests) {
  fill<Bank>(10, 0);
  auto replica = open<Bank>(5);
  ASSERT_FALSE(replica);
  EXPECT_EQ(replica.error().code(), Code::kCorrupt);
  EXPECT_THAT(replica.error().text(), testing::HasSubstr("bank: command 1 (position 2 of the journal)"));
  EXPECT_THAT(replica.error().text(), testing::HasSubstr("was acknowledged"));
}

TEST_F(ReplicaTest, old_commands_are_replayed_by_the_behaviour_they_were_given) {
  {
    auto replica = std::move(*open<Bank>());
    submit(*replica, 0, 1, 10);
    EXPECT_TRUE(submit(*replica, 1, 2, 10).done);
    close(replica);
  }
  {
    auto replica = std::move(*open<BankWithFees>());
    EXPECT_EQ(replica->machine().accounts.at(2), 10u) << "no fee in the old days";
    EXPECT_FALSE(submit(*replica, 2, 1, 10).done) << "the fee is due now";
    EXPECT_TRUE(submit(*replica, 2, 1, 9).done);
    close(replica);
  }
  {
    auto replica = std::move(*open<BankWithFees>());
    EXPECT_EQ(replica->machine().accounts.at(2), 0u);
    EXPECT_TRUE(world.run(replica->snapshot()));
    close(replica);
  }
  auto replica = open<Bank>();
  ASSERT_FALSE(replica);
  EXPECT_EQ(replica.error().code(), Code::kUnsupported);
}

Task<void> submit_one(Replica<Bank>& replica, std::vector<Code>& codes) {
  const auto reply = co_await replica.submit({0, 1, 1});
  if (!reply) codes.push_back(reply.error().code());
}

Task<void> submit_many(Replica<Bank>& replica, int count, std::vector<Code>& codes) {
  io::TaskGroup group;
  for (int i = 0; i < count; ++i) group.spawn(submit_one(replica, codes));
  co_await group.join();
}

TEST_F(ReplicaTest, too_many_waiting_commands_are_busy_and_change_nothing) {
  auto replica = std::move(*open<Bank>());
  std::vector<Code> codes;
  world.run(submit_many(*replica, 8, codes));
  EXPECT_EQ(codes, std::vector<Code>(3, Code::kBusy));
  EXPECT_EQ(replica->machine().accounts.at(1), 5u);
  close(replica);
}

TEST_F(ReplicaTest, a_failed_sync_ends_answers_of_every_kind) {
  auto replica = std::move(*open<Bank>());
  submit(*replica, 0, 1, 1);
  world.disk().set_faults("journal", {.sync_error_ppm = 1'000'000});
  EXPECT_EQ(world.run(replica->submit({0, 1, 1})).error().code(), Code::kUnavailable);
  EXPECT_TRUE(replica->failure());
  EXPECT_FALSE(world.run(replica->submit({0, 1, 1})));
  const auto balance = [](const Bank& bank) { return bank.accounts.at(1); };
  EXPECT_FALSE(world.run(replica->query(balance, Durability::kMemory)));
  EXPECT_FALSE(world.run(replica->query(balance)));
  EXPECT_FALSE(world.run(replica->snapshot()));
  EXPECT_FALSE(world.run(replica->close()));
  world.disk().clear_faults();
}

TEST_F(ReplicaTest, a_full_disk_fails_the_snapshot_and_keeps_the_one_before) {
  auto replica = std::move(*open<Bank>());
  submit(*replica, 0, 1, 1);
  EXPECT_TRUE(world.run(replica->snapshot()));
  submit(*replica, 0, 1, 1);
  world.disk().set_faults("snapshot", {.write_error_ppm = 1'000'000});
  EXPECT_EQ(world.run(replica->snapshot()).error().code(), Code::kIo);
  world.disk().clear_faults();
  submit(*replica, 0, 1, 1);
  close(replica);
  auto again = std::move(*open<Bank>());
  EXPECT_EQ(again->machine().accounts.at(1), 3u);
  EXPECT_EQ(again->statistics().unsound_snapshots, 0u);
  close(again);
}

// --- a machine that saves itself while it runs, with a wide digest and commands that own nothing

struct Tape {
  static constexpr std::string_view kName = "tape";
  static constexpr uint32_t kBehaviour = 1;
  static constexpr uint32_t kOldestBehaviour = 1;
  static constexpr bool kSavesWhileRunning = true;
  struct Command {
    BytesView text;
  };
  struct Reply {
    uint64_t line = 0;
    bool operator==(const Reply&) const = default;
  };
  struct Digest {
    uint64_t line = 0;
    uint64_t sum = 0;
    bool operator==(const Digest&) const = default;
  };

  std::vector<std::string> lines;
  uint64_t sum = 0;  // of all lengths; not saved: load_finished() makes it again
  bool finished = true;

  void behave_as(uint32_t) {}
  Reply apply(const Command& command) {
    lines.emplace_back(as_text(command.text));
    sum += command.text.size();
    return {lines.size()};
  }
  static void encode(const Command& command, base::Writer& out) { out.bytes(command.text); }
  static Result<Command> decode(BytesView in) { return Command{in}; }
  static Digest digest(const Reply& reply) { return {reply.line, reply.line * 3}; }
  class Saver {
   public:
    explicit Saver(const Tape& tape) : tape_(tape), lines_(tape.lines.size()) {}
    bool next(base::Writer& piece) {
      if (at_ == lines_) return false;
      piece.sized(std::string_view(tape_.lines[at_++]));
      return true;
    }

   private:
    const Tape& tape_;
    const size_t lines_;
    size_t at_ = 0;
  };
  Result<void> load(BytesView piece) {
    finished = false;
    base::Reader reader(piece);
    lines.emplace_back(reader.sized_text());
    return reader.finish();
  }
  Result<void> load_finished() {
    for (const std::string& line : lines) sum += line.size();
    finished = true;
    return {};
  }
};
static_assert(Machine<Tape> && kSavesWhileRunning<Tape> && !kSavesWhileRunning<Bank>);

struct TapeSpec {
  using Machine = Tape;
  struct Request {
    std::string text;
  };
  struct Model {
    std::string all;
    uint64_t lines = 0;
    Tape::Reply apply(const Tape::Command& c) {
      all += std::string(as_text(c.text)) + "\n";
      return {++lines};
    }
  };
  static std::unique_ptr<Tape> make() { return std::make_unique<Tape>(); }
  static Request random_command(Random& random) {
    return {std::string(random.below(200), static_cast<char>('a' + random.below(26)))};
  }
  static Tape::Command command(const Request& request) { return {as_bytes(request.text)}; }
  static bool same(const Tape::Reply& a, const Tape::Reply& b) { return a == b; }
  static bool same(const Tape& tape, const Model& model) {
    std::string all;
    for (const std::string& line : tape.lines) all += line + "\n";
    return all == model.all && tape.finished && tape.sum + tape.lines.size() == all.size();
  }
};

TEST(RunningSaves, nothing_acknowledged_is_lost_and_snapshots_of_the_running_machine_are_whole) {
  const uint64_t broken = sim::for_each_seed(sim::seeds(), run_machine_model<TapeSpec>, HasFailure);
  EXPECT_EQ(broken, 0u) << "run again with POLIS_SEED=" << broken;
}

class TapeTest : public testing::Test {
 protected:
  Task<Result<std::unique_ptr<Replica<Tape>>>> open_task(ReplicaOptions options) {
    auto journal = CO_TRY(co_await log::open_segment_journal(world.disk(), scheduler, random,
                                                             {.directory = "journal", .segment_size_bytes = 1 << 10}));
    options.snapshot_directory = "snapshot";
    co_return co_await Replica<Tape>::open(world.disk(), std::move(journal), std::move(options), &TapeSpec::make);
  }
  std::unique_ptr<Replica<Tape>> open(ReplicaOptions options = {.snapshot_every_commands = 0, .keep_journal = true}) {
    auto opened = world.run(open_task(std::move(options)));
    if (!opened) ADD_FAILURE() << opened.error().text();
    return opened ? std::move(*opened) : nullptr;
  }
  void write(Replica<Tape>& replica, int count) {
    for (int i = 0; i < count; ++i) EXPECT_TRUE(world.run(replica.submit({as_bytes("a line of the tape")})));
  }
  void close(std::unique_ptr<Replica<Tape>>& replica) {
    EXPECT_TRUE(world.run(replica->close()));
    replica.reset();
  }
  sim::World world{1};
  log::SyncScheduler scheduler;
  base::SeededRandom random{1};
};

TEST_F(TapeTest, a_snapshot_holds_what_was_there_when_it_began_and_not_what_came_meanwhile) {
  auto replica = open();
  write(*replica, 50);
  bool published = false;
  Result<Position> made;
  // The snapshot begins, then lines are written while its pieces go out.
  auto both = [&]() -> Task<void> {
    io::TaskGroup group;
    auto snapshot = [&]() -> Task<void> {
      made = co_await replica->snapshot();
      published = true;
    };
    group.spawn(snapshot());
    co_await io::yield();
    while (!published) EXPECT_TRUE(co_await replica->submit({as_bytes("meanwhile")}));
    co_await group.join();
  };
  world.run(both());
  ASSERT_TRUE(made);
  EXPECT_EQ(*made, 51u) << "50 lines behind the behaviour";
  EXPECT_GT(replica->statistics().commands, 51u);
  close(replica);
  replica = open();
  EXPECT_GT(replica->statistics().replayed, 0u);
  EXPECT_EQ(replica->machine().lines[49], "a line of the tape");
  EXPECT_EQ(replica->machine().lines[50], "meanwhile");
  EXPECT_EQ(replica->journal().first(), 1u) << "the journal is kept";
  close(replica);
}

TEST_F(TapeTest, a_snapshot_is_published_only_behind_the_hook) {
  Result<void> answer = fail(Code::kIo, "the chunks are not on disk");
  auto hook = [&]() -> Task<Result<void>> {
    EXPECT_TRUE(std::ranges::none_of(world.disk().files("snapshot"),
                                     [](const std::string& file) { return file.ends_with(".snapshot"); }));
    co_return answer;
  };
  auto replica = open({.snapshot_every_commands = 0, .before_publish = hook});
  write(*replica, 3);
  EXPECT_EQ(world.run(replica->snapshot()).error().code(), Code::kIo);
  EXPECT_EQ(replica->statistics().snapshot_position, 0u);
  answer = {};
  EXPECT_TRUE(world.run(replica->snapshot()));
  close(replica);
}

TEST_F(TapeTest, bytes_of_the_journal_bring_a_snapshot_too) {
  auto replica = open({.snapshot_every_commands = 0, .snapshot_every_bytes = 500});
  write(*replica, 100);
  EXPECT_GE(replica->statistics().snapshots, 3u);
  EXPECT_FALSE(replica->snapshot_failure());
  close(replica);
}

TEST_F(TapeTest, a_start_with_a_long_replay_makes_a_snapshot_at_once) {
  auto replica = open();
  write(*replica, 100);
  close(replica);
  replica = open({.snapshot_every_commands = 0, .snapshot_every_bytes = 500, .keep_journal = true});
  world.run_for(1s);
  EXPECT_EQ(replica->statistics().snapshots, 1u);
  close(replica);
  replica = open();
  EXPECT_EQ(replica->statistics().replayed, 0u);
  close(replica);
}

TEST_F(TapeTest, what_the_hook_does_not_admit_is_refused_and_changes_nothing) {
  bool full = true;
  auto replica = open({.admit = [&]() -> Result<void> {
    if (full) return fail(Code::kBusy, "files are behind");
    return {};
  }});
  EXPECT_EQ(world.run(replica->submit({as_bytes("x")})).error().code(), Code::kBusy);
  EXPECT_EQ(replica->statistics().commands, 0u);
  full = false;
  EXPECT_TRUE(world.run(replica->submit({as_bytes("x")})));
  close(replica);
}

TEST_F(TapeTest, verification_replays_everything_and_finds_a_state_that_differs) {
  auto replica = open();
  write(*replica, 100);
  EXPECT_TRUE(world.run(replica->snapshot()));
  uint64_t last = 0;
  auto verified = world.run(replica->verify(&TapeSpec::make, [&](uint64_t done, uint64_t) { last = done; }));
  ASSERT_TRUE(verified) << verified.error().text();
  EXPECT_EQ(verified->commands, 100u);
  EXPECT_EQ(verified->machine->lines.size(), 100u);
  EXPECT_EQ(last, 100u);
  // As a stray write into memory would.
  const_cast<Tape&>(replica->machine()).lines[70][3] ^= 1;
  auto differs = world.run(replica->verify(&TapeSpec::make, {}));
  ASSERT_FALSE(differs);
  EXPECT_EQ(differs.error().code(), Code::kCorrupt);
  EXPECT_THAT(differs.error().text(), testing::HasSubstr("piece 70 differs"));
  close(replica);
}

TEST_F(TapeTest, every_flipped_byte_of_an_old_segment_is_found_and_named_by_verification) {
  auto replica = open();
  write(*replica, 60);
  close(replica);
  const auto files = world.disk().files("journal");
  ASSERT_GE(files.size(), 3u);
  const std::string file = files[1];
  const size_t size_bytes = world.disk().content(file).size();
  for (size_t offset = 0; offset < size_bytes; offset += 7) {
    world.disk().flip_bit(file, offset, offset % 8);
    auto opened = world.run(open_task({.snapshot_every_commands = 0, .keep_journal = true}));
    ASSERT_FALSE(opened) << "without a snapshot everything is read; byte " << offset;
    EXPECT_EQ(opened.error().code(), Code::kCorrupt) << opened.error().text();
    EXPECT_THAT(opened.error().text(), testing::HasSubstr(file.substr(file.rfind('/') + 1))) << offset;
    world.disk().flip_bit(file, offset, offset % 8);
  }
}

TEST_F(TapeTest, a_damaged_snapshot_is_found_before_it_is_needed) {
  auto replica = open();
  write(*replica, 30);
  EXPECT_TRUE(world.run(replica->snapshot()));
  EXPECT_TRUE(world.run(replica->check_snapshots()));
  const std::string file = world.disk().files("snapshot").at(0);
  world.disk().flip_bit(file, 100, 1);
  const auto checked = world.run(replica->check_snapshots());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), Code::kCorrupt);
  EXPECT_THAT(checked.error().text(), testing::HasSubstr(file));
  close(replica);
}

TEST_F(TapeTest, closing_ends_a_verification) {
  auto replica = open();
  write(*replica, 100);
  auto both = [&]() -> Task<void> {
    io::TaskGroup group;
    auto verify = [&]() -> Task<void> {
      const auto verified = co_await replica->verify(&TapeSpec::make, {});
      EXPECT_FALSE(verified);
      if (!verified) EXPECT_EQ(verified.error().code(), Code::kCancelled);
    };
    group.spawn(verify());
    co_await io::yield();
    EXPECT_TRUE(co_await replica->close());
    co_await group.join();
  };
  world.run(both());
  replica.reset();
}

TEST(Entry, damaged_and_foreign_records_are_refused) {
  EXPECT_FALSE(decode_entry({}, 8));
  const std::byte unknown[] = {std::byte{9}};
  EXPECT_FALSE(decode_entry(unknown, 8));
  Bytes record = behaviour_entry(7);
  EXPECT_EQ(decode_entry(record, 8)->behaviour, 7u);
  record.push_back({});
  EXPECT_FALSE(decode_entry(record, 8));
  Bytes command = {std::byte{1}, std::byte{3}, std::byte{7}, std::byte{7}, std::byte{7}, std::byte{5}};
  EXPECT_EQ(decode_entry(command, 3)->digest.size(), 3u);
  EXPECT_EQ(decode_entry(command, 3)->command.size(), 1u);
  EXPECT_THAT(decode_entry(command, 8).error().text(), testing::HasSubstr("a digest of another size"));
  for (size_t size = 0; size < 5; ++size) EXPECT_FALSE(decode_entry(BytesView(command).first(size), 3)) << size;
}

}  // namespace
}  // namespace polis::machine
