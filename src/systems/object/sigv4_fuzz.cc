// Any bytes as a request line and headers: credentials are found or refused, and checking them harms nothing. What the
// fuzzer's secret did not sign is never accepted.
#include <cstdlib>

#include "systems/object/sigv4.h"

using namespace polis;
using namespace polis::object;

// Input: method LF target LF then name ':' value LF for each header.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto line = [&text] {
    size_t end = text.find('\n');
    std::string_view taken = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    return taken;
  };
  std::string_view method = line(), target = line();
  std::vector<HeaderView> headers;
  while (!text.empty() && headers.size() < 100) {
    std::string_view field = line();
    size_t colon = field.find(':');
    if (colon == std::string_view::npos) continue;
    headers.push_back({field.substr(0, colon), field.substr(colon + 1)});
  }
  RequestView request{method, target, headers};
  constexpr WallTime kNow{std::chrono::seconds(1'369'353'600)};
  for (bool version2 : {false, true}) {
    SigningOptions options{.domains = {"s3.local"}, .version2 = version2};
    auto credentials = find_credentials(request, options);
    if (!credentials || credentials->scheme == AuthScheme::kAnonymous) continue;
    SigningKeyCache cache;
    // Nobody has signed with this secret.
    if (verify(request, *credentials, "a secret that no input of the corpus was signed with", kNow, options, cache))
      std::abort();
  }
  (void)anonymous_payload(request);
  // What sign makes of a sane request with this target is accepted.
  if (target.empty() || target[0] != '/') return 0;
  HeaderView host{"host", "localhost"};
  RequestView plain{"GET", target, {&host, 1}};
  SigningIdentity identity{.access_key = "AKID", .secret_key = "secret"};
  std::vector<OwnedHeader> added = sign(plain, identity, kUnsignedPayload, kNow);
  std::vector<HeaderView> all = {host};
  for (const OwnedHeader& field : added) all.push_back({field.name, field.value});
  RequestView complete{"GET", target, all};
  auto found = find_credentials(complete, {});
  if (!found || found->scheme != AuthScheme::kV4Header) return 0;  // The target carries credentials of its own.
  SigningKeyCache cache;
  if (!verify(complete, *found, "secret", kNow, {}, cache)) std::abort();
  return 0;
}
