// VenueRuntime: a venue that lives: sequencer, bus, journal, recovery, shadow.
//
//     submit ─► sequencer ─► Venue ─► bus ─► journaler ─► log::Journal (one sync for all that wait)
//                (seq, time)            ├──► egress listeners: when it is as safe as `ack` says
//                                       └──► whoever attaches
//     shadow: a second Venue, fed by the journal, recomputes every output and compares; writes snapshots; feeds
//     followers
//
// The journal's records are batches of steps (journal_format.h): requests in the order in which they were handled, the
// turns of split threads, and a digest of each step's outputs; outputs themselves are recomputed by whoever wants them.
//
// Threads. `fused`: the application loop is the loop of the shard that opened the runtime; submit() there runs the step
// before it returns. `split`: order manager and engine have a thread and a CPU each (threads.h); submit() hands over.
// Either way all functions here may be called on any shard, but cheapest on the home shard.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "kernel/base/clock.h"
#include "kernel/base/random.h"
#include "kernel/io/file.h"
#include "kernel/io/shard.h"
#include "systems/exchange/bus/bus.h"
#include "systems/exchange/venue/venue.h"

namespace polis::exchange {

enum class ThreadMode : uint8_t { kAuto, kFused, kSplit };  // auto: split from 4 CPUs on
enum class AckMode : uint8_t {
  kDisk,  // reports leave when the request behind them survives power loss
  kBus,   // when it survives the process
};
enum class WaitMode : uint8_t { kSpin, kYield, kFutex };

struct RuntimeOptions {
  std::string journal_directory;   // DIR/journal/exchange
  std::string snapshot_directory;  // DIR/snapshot/exchange
  std::string bus_path;            // DIR/run/exchange.bus
  VenueLimits limits;
  ThreadMode threads = ThreadMode::kAuto;
  AckMode ack = AckMode::kDisk;
  WaitMode wait = WaitMode::kFutex;
  std::vector<unsigned> cpus;  // pinned: order manager, engine; empty: not pinned
  size_t bus_slots = 1 << 16;
  bool lock_memory = true;              // of the bus; failure to is no error
  uint64_t venue_id = 0;                // in the bus's header
  size_t inbound_max = 1 << 14;         // requests handed over and not handled, of each shard; beyond: kBusy
  uint64_t snapshot_every = 5'000'000;  // sequences
  size_t snapshots_kept = 2;
};

// Told on the shard that subscribed, in the order of the bus, about what is as safe as `ack` says.
class EgressListener {
 public:
  virtual ~EgressListener() = default;
  virtual void on_report(Sequence sequence, VenueTime time, const Report& report) = 0;
  virtual void on_event(Sequence, VenueTime, const Event&) {}
  // After each batch: send what was gathered.
  virtual void on_batch_end() = 0;
};

// Told on the shadow's shard, a thread of its own, in order, about what is on disk. May wait and write; the shadow
// waits with it, the path does not. After a restart it goes on at committed().
class Follower {
 public:
  virtual ~Follower() = default;
  // Every step that begins below was taken for good by this follower: where to begin. 0: from the first record.
  virtual Sequence committed() const = 0;
  virtual void on_step(const Stamp& stamp, const Request* request, const Outputs& outputs, const Venue& after) = 0;
  // Called now and then and before each snapshot: make it durable; committed() answers `upto` afterwards. A failure is
  // told in the statistics, and it is asked again a second later; no steps come meanwhile.
  virtual Task<Result<void>> commit(Sequence upto) = 0;
};

struct RuntimeStatistics {
  Sequence sequence = 0;  // next to be given
  Sequence durable = 0;   // everything below is on disk
  Sequence shadow = 0;    // everything below was recomputed and agreed
  Sequence snapshot = 0;  // the newest holds everything below
  uint64_t requests = 0, reports = 0, trades = 0, replayed = 0;
  uint64_t journal_bytes = 0, syncs = 0;
  bool fused = true, halted = false;
  std::string halted_why;
  std::string follower_failure;  // of the newest commit that failed; empty once one went well
};

class VenueRuntime {
 public:
  // Recovers: newest sound snapshot, journal, and the bus's tail if the machine has not started anew; every step's
  // digest is compared, and a difference is kCorrupt with the sequence. `recovered` is told every report behind the
  // snapshot, in order, before this returns. Shard: the home of the runtime from now on.
  static Task<Result<std::unique_ptr<VenueRuntime>>> open(
      io::Disk& disk, const Clock& clock, Random& random, RuntimeOptions options, std::vector<Follower*> followers,
      std::function<void(Sequence, VenueTime, const Report&)> recovered);
  virtual ~VenueRuntime() = default;

  // Any shard. Hands the request over: kBusy when too many wait, kUnavailable when the venue has failed. Reports come
  // to the listeners. From one shard, requests are handled in the order of their submission.
  virtual Result<void> submit(const Request& request) = 0;
  // Home shard, a hint of whoever has several requests to submit: what this one will touch is brought near; `stage` as
  // in Venue::prefetch. Does nothing where another thread handles requests.
  virtual void prefetch(const Request&, unsigned /*stage*/) const {}
  // For operators, REST and timers: submits under a tag of its own (tags with bit 63 are kept for this) and answers the
  // first report of that tag, once it is as safe as `ack` says. kInvalid for a request that no report answers.
  virtual Task<Result<Report>> ask(Request request) = 0;

  // Shard: where the listener wants to be told. Ends with unsubscribe on the same shard.
  virtual void subscribe(EgressListener& listener) = 0;
  virtual void unsubscribe(EgressListener& listener) = 0;

  // Runs `look` between two steps of the live venue; short (under 100 µs), for it delays the path.
  virtual Task<Result<void>> inspect(std::function<void(const Venue&)> look) = 0;
  // The same of the shadow: a little behind, delays nobody.
  virtual Task<Result<void>> inspect_shadow(std::function<void(const Venue&)> look) = 0;

  virtual Result<void> status() const = 0;  // why nothing is accepted any more; ok while healthy
  // Until what stands at `sequence` is on disk.
  virtual Task<Result<void>> wait_durable(Sequence sequence) = 0;
  virtual Task<Result<Sequence>> snapshot() = 0;
  virtual RuntimeStatistics statistics() const = 0;
  virtual Bus& bus() = 0;
  virtual Task<Result<void>> close() = 0;
};

// Reads a journal beside or without its runtime, recomputes everything and compares: `polis exchange replay`.
struct ReplayOptions {
  std::string journal_directory, snapshot_directory;
  VenueLimits limits;
  Sequence to = 0;                             // stop before the first step at or behind it; 0: the end
  bool from_beginning = true;                  // false: from the newest snapshot below `to`
  const std::atomic<bool>* stopped = nullptr;  // once it is true, the replay ends with kCancelled
};
struct Replayed {
  Sequence next = 0;  // behind the last step
  uint64_t steps = 0, reports = 0, events = 0;
  base::Hash128 hash{};  // rolling, of all outputs since the first record
  double seconds = 0;
};
// `each` may be empty. `venue` is fresh, and afterwards as it was at `next`. kCorrupt names the first step that
// differs.
Task<Result<Replayed>> replay(io::Disk& disk, const ReplayOptions& options, Venue& venue,
                              std::function<void(const Stamp&, const Request*, const Outputs&)> each);

}  // namespace polis::exchange
