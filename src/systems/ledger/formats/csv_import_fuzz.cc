// Any bytes, in pieces of any size: the import neither crashes nor depends on how they are cut, and what it takes as
// transfers comes back the same through an export.
#include <cstdlib>

#include "systems/ledger/formats/csv_import.h"

namespace polis::ledger::formats {
namespace {

struct Outcome {
  std::vector<ImportedTransfer> transfers;
  std::string error;
};

Outcome imported(std::string_view text, size_t piece_bytes) {
  Outcome outcome;
  ImportNames names{.account = [](std::string_view name) -> Result<Id> { return Id{name.size() + 1}; },
                    .ledger = [](Id account) -> Result<uint32_t> { return static_cast<uint32_t>(account % 3) + 1; },
                    .scale = [](uint32_t ledger) -> Result<uint8_t> { return static_cast<uint8_t>(ledger % 39); }};
  auto import = import_transfers(names, [&](ImportedTransfer transfer) -> Result<void> {
    outcome.transfers.push_back(std::move(transfer));
    return {};
  });
  Result<void> result;
  while (result && !text.empty()) {
    const std::string_view piece = text.substr(0, piece_bytes);
    text.remove_prefix(piece.size());
    result = import->feed(piece);
  }
  if (result) result = import->finish();
  if (!result) outcome.error = result.error().text();
  return outcome;
}

bool same(const Outcome& a, const Outcome& b) {
  if (a.error != b.error || a.transfers.size() != b.transfers.size()) return false;
  for (size_t i = 0; i < a.transfers.size(); ++i)
    if (a.transfers[i].transfer != b.transfers[i].transfer || a.transfers[i].reference != b.transfers[i].reference)
      return false;
  return true;
}

void check_round_trip(const std::vector<ImportedTransfer>& transfers) {
  auto exporter = make_exporter(ExportFormat::kCsv);
  std::string csv;
  exporter->begin(csv);
  size_t exported = 0;
  for (const ImportedTransfer& each : transfers) {
    const Transfer& record = each.transfer;
    if (record.id == 0 || each.reference.find('\0') != std::string::npos) return;
    (void)exporter->ledger({.id = record.ledger, .asset = "X", .scale = 2}, csv);
    for (Id id : {record.debit_account_id, record.credit_account_id})
      (void)exporter->account({.id = id, .ledger = record.ledger, .name = "=x"}, csv);
    // An account that was seen in another ledger cannot be exported in this one.
    if (!exporter->transfer({.record = record, .state = PendingState::kNone, .reference = each.reference}, csv)) return;
    ++exported;
  }
  const Outcome again = imported(csv, SIZE_MAX);
  if (!again.error.empty() || again.transfers.size() != exported) std::abort();
  for (size_t i = 0; i < exported; ++i)
    if (again.transfers[i].transfer != transfers[i].transfer || again.transfers[i].reference != transfers[i].reference)
      std::abort();
}

}  // namespace
}  // namespace polis::ledger::formats

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size_bytes) {
  using namespace polis::ledger::formats;
  if (size_bytes == 0) return 0;
  const size_t piece_bytes = 1 + bytes[0] % 32;
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size_bytes - 1);
  const Outcome whole = imported(text, SIZE_MAX);
  if (!same(whole, imported(text, piece_bytes))) std::abort();
  check_round_trip(whole.transfers);
  auto accounts = import_accounts([](ImportedAccount) -> polis::Result<void> { return {}; });
  if (accounts->feed(text)) (void)accounts->finish();
  return 0;
}
