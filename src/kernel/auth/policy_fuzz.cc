// Any text as a policy: it is refused, or it evaluates without harm, and its text parses again to the same decisions.
#include <cstdlib>

#include "kernel/auth/policy.h"

using namespace polis;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (auth::PolicyKind kind : {auth::PolicyKind::kIdentity, auth::PolicyKind::kResource}) {
    auto policy = auth::Policy::parse(text, kind);
    if (!policy) continue;
    auth::Principal principal;
    principal.user_id = "AIDA";
    principal.user_name = "alice";
    principal.account_id = "111";
    principal.arn = "arn:aws:iam::111:user/alice";
    if (kind == auth::PolicyKind::kIdentity) principal.policies.push_back({"fuzz", *policy});
    auth::Context context;
    auth::set_global_keys(context, principal, "10.0.0.1", false, WallTime(std::chrono::seconds(1'717'243'200)));
    context.add("s3:prefix", "home/");
    context.add("k", "5");
    context.add("k", "a*");
    auth::AccessRequest request{&principal, "s3:GetObject", "arn:aws:s3:::b/key", "111", &context};
    const auth::Policy* resource = kind == auth::PolicyKind::kResource ? policy->get() : nullptr;
    auth::Decision first = auth::evaluate(request, resource);
    (void)auth::is_public(**policy);
    (void)(*policy)->resources_within("arn:aws:s3:::b");
    auto again = auth::Policy::parse((*policy)->text(), kind);
    if (!again) std::abort();
    if (kind == auth::PolicyKind::kResource && auth::evaluate(request, again->get()).outcome != first.outcome)
      std::abort();
  }
  return 0;
}
