// Lifecycle configurations over HTTP, and the headers that tell of them.
#include "systems/object/lifecycle.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

constexpr size_t kLifecycleDocumentBytesMax = 1u << 20;  // 1000 rules of 1 KiB

}  // namespace

Service::Done Service::get_lifecycle(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetLifecycleConfiguration", &bucket));
  if (bucket.lifecycle.empty())
    co_return refuse(Failure(ErrorCode::kNoSuchLifecycleConfiguration).detail("BucketName", bucket.name));
  co_return co_await send_xml(call, 200, lifecycle_document(bucket.lifecycle));
}

Service::Done Service::put_lifecycle(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutLifecycleConfiguration", &bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, kLifecycleDocumentBytesMax));
  const std::vector<LifecycleRule> rules = CO_ASK(parse_lifecycle(document, random_.next()));
  for (const LifecycleRule& rule : rules) {
    for (const LifecycleRule::Transition& one : rule.transitions) CO_ASK(scheme_for(one.storage_class));
    for (const LifecycleRule::Transition& one : rule.noncurrent_transitions) CO_ASK(scheme_for(one.storage_class));
  }
  CO_ASK(co_await set_lifecycle(call, rules));
  co_return co_await send_empty(call, 200);
}

Service::Done Service::delete_lifecycle(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutLifecycleConfiguration", &bucket));
  CO_ASK(co_await set_lifecycle(call, {}));
  co_return co_await send_empty(call, 204);
}

Task<Answer<void>> Service::set_lifecycle(Call& call, const std::vector<LifecycleRule>& rules) {
  CO_ASK(co_await change([&](Write& write) -> Task<Answer<bool>> {
    Bucket now = CO_ASK(co_await update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      one.lifecycle = rules;
      return {};
    }));
    CO_ASK(engine_.index_lifecycle(write, now));
    co_return true;
  }));
  co_return Answer<void>();
}

void Service::set_expiration_header(Call& call, const Bucket& bucket, std::string_view key,
                                    const ObjectVersion& version) {
  if (bucket.lifecycle.empty()) return;
  if (std::string value = expiration_header(bucket, key, version); !value.empty())
    call.response.set("x-amz-expiration", value);
}

void Service::set_abort_headers(Call& call, const Bucket& bucket, const Upload& upload) {
  if (bucket.lifecycle.empty()) return;
  if (auto headers = abort_headers(bucket, upload)) {
    call.response.set("x-amz-abort-date", headers->date);
    call.response.set("x-amz-abort-rule-id", headers->rule_id);
  }
}

Answer<blob::Scheme> Service::scheme_for(std::string_view storage_class) const {
  auto known = storage_class_named(storage_class);
  if (!known) return refuse(ErrorCode::kInvalidStorageClass);
  const blob::Scheme scheme = scheme_of(*known);
  if (scheme == blob::Scheme{} || blob_.offers(scheme)) return scheme;
  // Less redundancy than asked for is a broken promise, more is not.
  if (*known == StorageClass::kReducedRedundancy) return blob::Scheme{};
  return refuse(Failure(ErrorCode::kInvalidStorageClass, "The storage class " + std::string(name(*known)) +
                                                             " spreads bytes over " + std::to_string(scheme.units()) +
                                                             " drives; this installation does not have so many")
                    .detail("StorageClassRequested", std::string(name(*known))));
}

}  // namespace polis::object
