#include "systems/object/call.h"
#include "systems/object/post_policy.h"

// Texts from strangers: form policies, tagging headers, copy sources, ranges, version ids. They are understood or refused.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace polis::object;
  std::string_view text(reinterpret_cast<const char*>(bytes), size);
  if (auto policy = PostPolicy::parse(text)) {
    POLIS_ASSERT(policy->size_bytes_min <= policy->size_bytes_max || policy->size_bytes_max < kPutBytesMax);
    (void)policy->check({{"key", "k"}, {"bucket", "b"}}, {});
  }
  (void)parse_tagging_header(text);
  (void)Query::parse(text);
  (void)VersionId::parse(text);
  if (auto source = copy_source_of(text)) POLIS_ASSERT(!source->bucket.empty() && !source->key.empty());
  if (auto range = range_of(text, 1000); range && *range) POLIS_ASSERT((*range)->size > 0 && (*range)->offset + (*range)->size <= 1000);
  if (auto range = copy_range_of(text, 1000)) POLIS_ASSERT(range->size > 0 && range->offset + range->size <= 1000);
  return 0;
}
