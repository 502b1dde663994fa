// Any text as a proof: parsing it does not crash, what parses can be checked and written, and comes back the same.
#include <cstdlib>

#include "systems/ledger/formats/proof_bundle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size_bytes) {
  using namespace polis::ledger::formats;
  auto proof = parse_signed_proof({reinterpret_cast<const char*>(bytes), size_bytes});
  if (!proof) return 0;
  (void)check(*proof);
  (void)proof_files(*proof);
  const std::string json = to_json(*proof);
  auto again = parse_signed_proof(json);
  if (!again || to_json(*again) != json) std::abort();
  return 0;
}
