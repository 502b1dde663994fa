// Practice: a market of its own for the commands that trade by themselves (load, bench, the tour): an instrument, an
// account and a FIX session under fixed names, funded out of the issuer accounts of the ledger. Made again each time,
// so whoever trades there twice finds what he needs; nobody else's orders are touched.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernel/base/histogram.h"
#include "systems/command.h"
#include "systems/exchange/faces/fix_client.h"

namespace polis::exchange {

struct PracticeTrader {
  std::string account, session;
};

// Defines `symbol` with ticks of 0.01, lots of 1 and no fees, paid in `quote`, and the traders without any limit; what
// they have open is cancelled, trading is continuous, and each has 10^9 of both assets at least.
Task<Result<void>> set_up_practice(systems::ApiClient& api, std::string symbol, std::string quote,
                                   std::vector<PracticeTrader> traders);
// Ends what is open and closes the instrument.
Task<Result<void>> end_practice(systems::ApiClient& api, std::string symbol, std::vector<PracticeTrader> traders);

struct LoadOptions {
  std::string symbol;
  uint64_t orders = 0;
  double rate = 0;        // a second; 0: as fast as the venue takes them
  size_t window = 4'000;  // unanswered at most, without a rate
  uint64_t seed = 1;
  std::string id_prefix;  // of client order ids: unique in the trading day
  std::function<void(uint64_t done, uint64_t total)> progress;
};

struct LoadOutcome {
  uint64_t orders = 0, accepted = 0, refused = 0, trades = 0, messages = 0;
  double seconds = 0;
  std::string first_refusal;
  // From the moment at which an order was to be sent to its first report, ns.
  base::Histogram latency_ns{60'000'000'000, 3};
};

// Groups of up to eight orders that rest between 100.00 and 100.09 and one that takes them all: every group leaves the
// book as it was. With a rate, arrival times are fixed in advance and a late sender skips none.
Task<Result<LoadOutcome>> run_load(FixClient& client, LoadOptions options);

}  // namespace polis::exchange
