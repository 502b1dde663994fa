// The contention lab: one hot row, more and more workers that all want to change it, and three ways to keep them apart,
// measured on this machine.
//
//     optimistic     read the row and its version, write if the version still holds, else back off and begin again
//     pessimistic    wait for the row's lock, read, write, commit, let go: one sync after another
//     single writer  hand a transfer to the ledger: it decides in memory in one order, and one sync commits all that
//     wait
//
// The first two change one row of the Store, the third a balance in the books; all three answer after their sync. The
// workers are coroutines of one shard: what is compared is what they wait for, not how many cores there are. Lives on
// one shard.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernel/base/clock.h"
#include "kernel/base/histogram.h"
#include "kernel/base/random.h"
#include "kernel/io/shard.h"
#include "kernel/store/store.h"
#include "systems/ledger/ledger.h"

namespace polis::ledger {

// The lab's own books. Its two accounts stay, its transfers too (nothing is ever deleted), but every run ends with the
// one that brings their balances back to where they were.
inline constexpr uint32_t kLabLedger = 4'294'967'280;
inline constexpr uint16_t kLabCode = 65'000;
inline constexpr Id kLabHotAccount = (Id{0x706F'6C69'736C'6162} << 64) | 1;  // "polislab"
inline constexpr Id kLabOtherAccount = (Id{0x706F'6C69'736C'6162} << 64) | 2;

enum class LabMode : uint8_t { kOptimistic, kPessimistic, kSingleWriter };
std::string_view name(LabMode mode);  // "optimistic", "pessimistic", "single_writer"

struct LabOptions {
  std::vector<unsigned> workers = {1, 2, 4, 8, 16, 32, 64};  // each 1..kLabWorkersMax
  Duration point = std::chrono::milliseconds(500);           // 10 ms .. 2 s
};
inline constexpr unsigned kLabWorkersMax = 64;
inline constexpr size_t kLabPointsMax = 16;

struct LabPoint {
  LabMode mode = LabMode::kOptimistic;
  unsigned workers = 0;
  uint64_t commits = 0;
  uint64_t retries = 0;  // attempts that lost against another worker
  double seconds = 0;
  uint64_t latency_us_p50 = 0, latency_us_p99 = 0;  // of a change, all its attempts included
};

class ContentionLab {
 public:
  // All outlive it.
  ContentionLab(Ledger& ledger, store::Store& store, store::Keyspace keyspace, const Clock& clock, Random& random)
      : ledger_(ledger), store_(store), keyspace_(keyspace), clock_(clock), random_(random) {}

  // Measures every mode at every number of workers, one after the other. kBusy while another run is under way, kInvalid
  // for options outside their bounds. Whatever happens, the books are balanced again and the row is gone at the end.
  Task<Result<void>> run(LabOptions options);
  static Result<void> check(const LabOptions& options);

  struct Progress {
    bool running = false;
    size_t total = 0;  // points that were asked for
    LabMode mode = LabMode::kOptimistic;
    unsigned workers = 0;           // of the point under way
    std::vector<LabPoint> points;   // of this run, or the last
    std::optional<WallTime> begun;  // empty: there was none since the start
    std::string error;              // why it ended early; empty unless it did
  };
  const Progress& progress() const { return progress_; }

 private:
  struct Measure;
  Task<Result<void>> run_points(const LabOptions& options);
  Task<Result<LabPoint>> run_point(LabMode mode, unsigned workers, Duration duration);
  Task<void> work(LabMode mode, Measure& measure);
  Task<Result<void>> optimistic(Measure& measure);
  Task<Result<void>> pessimistic(Measure& measure);
  Task<Result<void>> single_writer(Measure& measure);
  Task<Result<bool>> change_row();
  Task<Result<void>> make_accounts();
  Task<Result<void>> clean_up();
  Transfer transfer_of(Id debit, Id credit, u128 amount);

  Ledger& ledger_;
  store::Store& store_;
  const store::Keyspace keyspace_;
  const Clock& clock_;
  Random& random_;
  Progress progress_;
};

}  // namespace polis::ledger
