#include "systems/ledger/faces/bench_command.h"

#include <charconv>
#include <fmt/format.h>
#include <sys/resource.h>

#include "kernel/base/histogram.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "systems/ledger/faces/bench_load.h"
#include "systems/ledger/tigerbeetle/client.h"

namespace polis::ledger {
namespace {

using systems::Invocation;
using tigerbeetle::Client;
using tigerbeetle::WireOperation;

constexpr uint64_t kEventsMax = 8'189;    // of one request: a message of 1 MiB
constexpr uint64_t kSecondsMax = 86'400;  // a count a second is kept
constexpr uint64_t kConnectionsMax = 64;  // 2 MiB of buffers each
constexpr uint64_t kAccountsMax = 10'000'000;
constexpr uint64_t kWindowSeconds = 10;  // the first and the last of a run are compared

struct Plan {
  BenchWorkload workload;
  uint64_t transfers = 0;  // 0: until the time is over
  uint64_t seconds = 0;    // 0: until all are booked
  uint64_t batch = kEventsMax;
  uint64_t connections = 4;
  uint64_t rate = 0;  // transfers/s, open loop; 0: as fast as replies come
};

// What all connections share; they run on one shard.
struct Run {
  const Plan& plan;
  BenchLoad load;
  SteadyTime begin{};
  SteadyTime end{};          // the last reply
  uint64_t next_number = 0;  // of a transfer
  uint64_t next_batch = 0;   // of the open loop's schedule
  uint64_t booked = 0, refused = 0, batches = 0;
  u128 amount = 0;  // posted to accounts
  base::Histogram latency_us = base::Histogram();
  std::vector<uint64_t> per_second;  // booked in each second of the run
  std::optional<Error> error;
};

SteadyTime now() {
  return io::Shard::current().clock().steady();
}

Result<uint64_t> whole(const Invocation& call, const char* flag, uint64_t min, uint64_t max) {
  auto at = call.flags.find(flag);
  if (at == call.flags.end() || at->second.empty()) return 0;
  uint64_t value = 0;
  const std::string& text = at->second;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max)
    return fail(Code::kInvalid, fmt::format("--{} is a whole number from {} to {}, not '{}'", flag, min, max, text));
  return value;
}

Result<Plan> read_plan(const Invocation& call) {
  base::SystemRandom random;
  Plan plan;
  plan.workload.accounts = TRY(whole(call, "accounts", 2, kAccountsMax));
  plan.workload.hot_percent = static_cast<uint32_t>(TRY(whole(call, "hot", 0, 100)));
  plan.workload.two_phase = call.has("two-phase");
  plan.workload.ledger = static_cast<uint32_t>(TRY(whole(call, "ledger", 1, UINT32_MAX)));
  plan.workload.books = TRY(whole(call, "books", 1, UINT64_MAX - 1));
  if (plan.workload.books == 0) plan.workload.books = random.next() >> 1 | 1;
  plan.workload.run = random.next() >> 1 | 1;
  plan.transfers = TRY(whole(call, "transfers", 1, uint64_t{1} << 40));
  plan.seconds = TRY(whole(call, "seconds", 1, kSecondsMax));
  if (plan.transfers == 0 && plan.seconds == 0) plan.seconds = 10;
  plan.batch = TRY(whole(call, "batch", 1, kEventsMax));
  plan.connections = TRY(whole(call, "connections", 1, kConnectionsMax));
  plan.rate = TRY(whole(call, "rate", 1, 1'000'000'000));
  return plan;
}

Task<Result<Client>> open_session(uint16_t port) {
  base::SystemRandom random;
  auto stream = CO_TRY(co_await io::connect(io::Endpoint{.address = "127.0.0.1", .port = port}));
  Client client(std::move(stream), {.client = Id{random.next()} << 64 | random.next() | 1});
  CO_TRY(co_await client.enroll());
  co_return client;
}

// --- accounts

Task<Result<void>> make_accounts(Client& client, const Run& run) {
  const uint64_t accounts = run.plan.workload.accounts;
  for (uint64_t first = 0; first < accounts; first += kEventsMax) {
    const size_t count = std::min(kEventsMax, accounts - first);
    run.load.write_accounts(client.body(), first, count);
    BytesView reply = CO_TRY(co_await client.send(WireOperation::kCreateAccounts, count * sizeof(Account)));
    for (size_t i = 0; i < reply.size() / sizeof(CreateResult); ++i) {
      const auto result = record_at<CreateResult>(reply, i);
      const auto status = static_cast<AccountStatus>(result.status);
      if (!result.created() && status != AccountStatus::kExists)
        co_return fail(Code::kConflict, fmt::format("account {} of these books: {}", first + i, status_name(status)));
    }
  }
  co_return Result<void>();
}

struct Sums {
  u128 debits = 0, credits = 0, pending = 0;
};

Task<Result<Sums>> add_up(Client& client, const Run& run) {
  Sums sums;
  const uint64_t accounts = run.plan.workload.accounts;
  for (uint64_t first = 0; first < accounts; first += kEventsMax) {
    std::vector<Id> ids;
    for (uint64_t i = first; i < std::min(accounts, first + kEventsMax); ++i) ids.push_back(run.load.account_id(i));
    auto found = CO_TRY(co_await client.lookup_accounts(ids));
    if (found.size() != ids.size())
      co_return fail(Code::kCorrupt, fmt::format("{} of {} accounts are there", found.size(), ids.size()));
    for (const Account& account : found) {
      sums.debits += account.debits_posted;
      sums.credits += account.credits_posted;
      sums.pending += account.debits_pending + account.credits_pending;
    }
  }
  co_return sums;
}

// --- load

// Waits for the next batch's turn. The time it was due (of an open loop) or now; empty when the run is over.
Task<std::optional<SteadyTime>> turn(Run& run) {
  const Plan& plan = run.plan;
  if (run.error || (plan.transfers && run.next_number >= plan.transfers)) co_return std::nullopt;
  SteadyTime due = now();
  if (plan.rate) {
    // Replies come when they come: the schedule does not wait for them, and what is late counts as late.
    const double each_s = static_cast<double>(plan.batch) / static_cast<double>(plan.rate);
    due = run.begin + Duration(static_cast<int64_t>(static_cast<double>(run.next_batch++) * each_s * 1e9));
    if (due > now() && !co_await io::sleep_until(due)) co_return std::nullopt;
  }
  if (plan.seconds && now() >= run.begin + std::chrono::seconds(plan.seconds)) co_return std::nullopt;
  co_return due;
}

Task<Result<void>> book(Run& run, Client& client, uint64_t first, size_t count, bool post, SteadyTime due) {
  const u128 amount = run.load.write_transfers(client.body(), first, count, post);
  if (!run.plan.rate) due = now();
  BytesView reply = CO_TRY(co_await client.send(WireOperation::kCreateTransfers, count * sizeof(Transfer)));
  run.end = now();
  if (reply.size() != count * sizeof(CreateResult))
    co_return fail(Code::kCorrupt, fmt::format("{} bytes of results for {} transfers", reply.size(), count));
  size_t created = 0;
  for (size_t i = 0; i < count; ++i) created += record_at<CreateResult>(reply, i).created();
  ++run.batches;
  run.booked += created;
  run.refused += count - created;
  if (post || !run.plan.workload.two_phase) run.amount += amount;
  run.latency_us.record(static_cast<uint64_t>((run.end - due).count() / 1000));
  const auto second = static_cast<size_t>((run.end - run.begin) / std::chrono::seconds(1));
  if (second >= run.per_second.size()) run.per_second.resize(second + 1);
  run.per_second[second] += created;
  co_return Result<void>();
}

Task<void> drive(Run& run, Client& client) {
  const Plan& plan = run.plan;
  while (std::optional<SteadyTime> due = co_await turn(run)) {
    const uint64_t left = plan.transfers ? plan.transfers - std::min(plan.transfers, run.next_number) : plan.batch;
    const size_t count = std::min(plan.batch, left);
    if (count == 0) break;
    const uint64_t first = run.next_number;
    run.next_number += count;
    Result<void> done = co_await book(run, client, first, count, false, *due);
    if (done && plan.workload.two_phase) {
      if (plan.rate) due = co_await turn(run);
      // What was reserved is posted, even if the time is over.
      done = co_await book(run, client, first, count, true, due.value_or(now()));
    }
    if (!done) {
      if (!run.error) run.error = done.error();
      break;
    }
  }
}

// --- what was measured

double seconds_of(timeval time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

double mean(std::span<const uint64_t> counts) {
  uint64_t sum = 0;
  for (uint64_t count : counts) sum += count;
  return counts.empty() ? 0 : static_cast<double>(sum) / static_cast<double>(counts.size());
}

std::string report(const Run& run, double cpu_s) {
  const Plan& plan = run.plan;
  const double seconds = std::chrono::duration<double>(run.end - run.begin).count();
  // The last second is not a whole one.
  std::span<const uint64_t> whole_seconds(run.per_second.data(),
                                          run.per_second.empty() ? 0 : run.per_second.size() - 1);
  const size_t window = std::min<size_t>(kWindowSeconds, whole_seconds.size() / 2);
  return fmt::format(
      R"({{"transfers":{},"refused":{},"seconds":{:.3f},"transfers_per_second":{:.0f},"batches":{},"batch":{},"connections":{},)"
      R"("accounts":{},"hot_percent":{},"two_phase":{},"rate":{},"latency_us":{{"p50":{},"p90":{},"p99":{},"p999":{},"max":{}}},)"
      R"("window_seconds":{},"first_window_per_second":{:.0f},"last_window_per_second":{:.0f},"client_cpu_seconds":{:.2f},)"
      R"("books":"{}"}})",
      run.booked, run.refused, seconds, seconds > 0 ? static_cast<double>(run.booked) / seconds : 0.0, run.batches,
      plan.batch, plan.connections, plan.workload.accounts, plan.workload.hot_percent, plan.workload.two_phase,
      plan.rate, run.latency_us.percentile(50), run.latency_us.percentile(90), run.latency_us.percentile(99),
      run.latency_us.percentile(99.9), run.latency_us.max(), window, mean(whole_seconds.first(window)),
      mean(whole_seconds.last(window)), cpu_s, plan.workload.books);
}

Task<Result<void>> bench(Invocation& call) {
  const Plan plan = CO_TRY(read_plan(call));
  const uint16_t port = CO_TRY(co_await call.api.port("ledger.tigerbeetle"));
  std::vector<Client> clients;
  for (uint64_t i = 0; i < plan.connections; ++i) clients.push_back(CO_TRY(co_await open_session(port)));
  Run run{.plan = plan, .load = BenchLoad(plan.workload)};
  CO_TRY(co_await make_accounts(clients[0], run));
  const Sums before = CO_TRY(co_await add_up(clients[0], run));
  call.output.remark(fmt::format("booking into {} accounts, {} connections, {} transfers a batch",
                                 plan.workload.accounts, plan.connections, plan.batch));

  const double cpu_before_s = cpu_seconds();
  run.begin = run.end = now();
  io::TaskGroup group(co_await io::this_scope());
  for (Client& client : clients) group.spawn(drive(run, client));
  co_await group.join();
  const double cpu_s = cpu_seconds() - cpu_before_s;
  if (run.error) co_return std::unexpected(*run.error);

  // Whoever measures wrong books measures nothing.
  const Sums after = CO_TRY(co_await add_up(clients[0], run));
  if (after.debits != after.credits)
    co_return fail(Code::kCorrupt,
                   fmt::format("debits {} but credits {}", to_decimal(after.debits), to_decimal(after.credits)));
  if (run.refused == 0 && (after.debits - before.debits != run.amount || after.pending != before.pending))
    co_return fail(Code::kCorrupt,
                   fmt::format("{} was booked, but the accounts moved by {}, {} pending", to_decimal(run.amount),
                               to_decimal(after.debits - before.debits), to_decimal(after.pending)));
  call.output.document(report(run, cpu_s));
  co_return Result<void>();
}

}  // namespace

systems::Command bench_command() {
  return {
      .name = "bench",
      .help = "Books transfers between accounts made for it as fast as the ledger takes them, and measures",
      .flags = {{.name = "transfers", .help = "how many to book", .value = "count"},
                {.name = "seconds", .help = "how long to book; 10 unless --transfers is given", .value = "seconds"},
                {.name = "accounts",
                 .help = "how many accounts; 2 are the hottest case",
                 .value = "count",
                 .value_default = "10000"},
                {.name = "hot", .help = "this share of the accounts takes 80 % of the bookings", .value = "percent"},
                {.name = "two-phase", .help = "reserve every amount first, then post it"},
                {.name = "batch", .help = "transfers of one request", .value = "count", .value_default = "8189"},
                {.name = "connections",
                 .help = "sessions; each has one request under way",
                 .value = "count",
                 .value_default = "4"},
                {.name = "rate",
                 .help = "transfers a second on a fixed schedule; lateness counts as latency",
                 .value = "count"},
                {.name = "ledger",
                 .help = "number of the ledger that the accounts are in",
                 .value = "number",
                 .value_default = "1"},
                {.name = "books",
                 .help = "number of a set of accounts, to book into the same ones again",
                 .value = "number"}},
      .run = bench};
}

}  // namespace polis::ledger
