// Transfers a second of each export: 1,000 accounts, 100,000 transfers.
#include <benchmark/benchmark.h>

#include "kernel/base/random.h"
#include "systems/ledger/formats/export.h"

namespace polis::ledger::formats {
namespace {

template <ExportFormat kFormat>
void transfers(benchmark::State& state) {
  constexpr size_t kAccounts = 1000, kTransfers = 100'000;
  for (auto _ : state) {
    base::SeededRandom random(1);
    auto exporter = make_exporter(kFormat);
    std::string out;
    exporter->begin(out);
    bool written = exporter->ledger({.id = 1, .asset = "USD", .scale = 2}, out).has_value();
    for (size_t i = 1; i <= kAccounts; ++i)
      written &=
          exporter->account({.id = i, .ledger = 1, .name = "customers:number " + std::to_string(i)}, out).has_value();
    NamedTransfer each{.record = {}, .state = PendingState::kNone, .reference = "order 4711, 3 pieces"};
    for (size_t i = 0; i < kTransfers; ++i) {
      each.record = {.id = i + 1,
                     .debit_account_id = 1 + random.below(kAccounts),
                     .credit_account_id = 1 + random.below(kAccounts),
                     .amount = random.below(1'000'000),
                     .user_data_128 = i,
                     .ledger = 1,
                     .code = 1,
                     .timestamp = 1'795'348'800'000'000'000 + i * 1'000'000};
      written &= exporter->transfer(each, out).has_value();
      if (out.size() > (64 << 10)) out.clear();
    }
    if (!written) state.SkipWithError("a record was refused");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kTransfers));
}
BENCHMARK(transfers<ExportFormat::kLedger>)->Name("export_ledger")->Unit(benchmark::kMillisecond);
BENCHMARK(transfers<ExportFormat::kHledger>)->Name("export_hledger")->Unit(benchmark::kMillisecond);
BENCHMARK(transfers<ExportFormat::kBeancount>)->Name("export_beancount")->Unit(benchmark::kMillisecond);
BENCHMARK(transfers<ExportFormat::kCsv>)->Name("export_csv")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace polis::ledger::formats
