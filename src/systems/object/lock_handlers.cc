// Object lock over HTTP: the bucket's configuration, retention and legal hold of a version, and what requests say of
// them in headers.
#include "kernel/base/time_format.h"
#include "kernel/http/field.h"
#include "systems/object/lock.h"
#include "systems/object/service.h"

namespace polis::object {
namespace {

Answer<void> require_lock(const Bucket& bucket) {
  if (bucket.object_lock) return {};
  return refuse(ErrorCode::kInvalidRequest, "Bucket is missing Object Lock Configuration");
}

Failure no_lock_on_marker(bool by_id) {
  return Failure(by_id ? ErrorCode::kMethodNotAllowed : ErrorCode::kNoSuchKey).header("x-amz-delete-marker", "true");
}

}  // namespace

Answer<LockRequest> Service::lock_of(const Call& call, const Bucket& bucket, const MoreContext& more) {
  LockRequest request =
      ASK(parse_lock_request(call.header("x-amz-object-lock-mode"), call.header("x-amz-object-lock-retain-until-date"),
                             call.header("x-amz-object-lock-legal-hold"), call.now));
  ASK(require_lock_rights(call, bucket, request, more));
  return request;
}

Answer<void> Service::require_lock_rights(const Call& call, const Bucket& bucket, const LockRequest& request,
                                          const MoreContext& more) {
  if (!request.any()) return {};
  ASK(require_lock(bucket));
  if (request.retention) ASK(require(call, bucket, call.key, "s3:PutObjectRetention", nullptr, more));
  if (request.legal_hold) ASK(require(call, bucket, call.key, "s3:PutObjectLegalHold", nullptr, more));
  return {};
}

// What a policy's conditions may ask: from a document if there is one, else from the headers.
void Service::set_lock_keys(auth::Context& context, const Call& call, const MoreContext& more) const {
  std::string mode(call.header("x-amz-object-lock-mode")), until(call.header("x-amz-object-lock-retain-until-date"));
  if (more.retention && *more.retention) {
    mode = name(more.retention->mode);
    until = base::format_rfc3339(more.retention->until);
  }
  std::string hold(call.header("x-amz-object-lock-legal-hold"));
  if (more.legal_hold) hold = *more.legal_hold ? "ON" : "OFF";
  if (!mode.empty()) context.set("s3:object-lock-mode", mode);
  if (!hold.empty()) context.set("s3:object-lock-legal-hold", hold);
  if (until.empty()) return;
  context.set("s3:object-lock-retain-until-date", until);
  if (auto time = base::parse_rfc3339(until)) {
    auto days = std::chrono::ceil<std::chrono::days>(*time - call.now).count();
    context.set("s3:object-lock-remaining-retention-days", std::to_string(days));
  }
}

Answer<bool> Service::bypasses_governance(const Call& call, const Bucket& bucket, std::string_view key) {
  if (!bucket.object_lock || !http::equal_ignoring_case(call.header("x-amz-bypass-governance-retention"), "true"))
    return false;
  return may(call, bucket, key, "s3:BypassGovernanceRetention");
}

Answer<void> Service::set_lock_headers(Call& call, const ObjectVersion& version, const Bucket& bucket) {
  // Who may not ask for them one by one does not learn them here either.
  if (version.retention && ASK(may(call, bucket, call.key, "s3:GetObjectRetention", &version))) {
    call.response.set("x-amz-object-lock-mode", name(version.retention.mode));
    call.response.set("x-amz-object-lock-retain-until-date", base::format_rfc3339(version.retention.until));
  }
  if (version.legal_hold && ASK(may(call, bucket, call.key, "s3:GetObjectLegalHold", &version)))
    call.response.set("x-amz-object-lock-legal-hold", "ON");
  return {};
}

Service::Done Service::get_object_lock(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:GetBucketObjectLockConfiguration", &bucket));
  if (!bucket.object_lock)
    co_return refuse(Failure(ErrorCode::kObjectLockConfigurationNotFound).detail("BucketName", bucket.name));
  co_return co_await send_xml(call, 200, lock_configuration_document(bucket.default_retention));
}

Service::Done Service::put_object_lock(Call& call) {
  Bucket bucket;
  CO_ASK(co_await require_bucket(call, "s3:PutBucketObjectLockConfiguration", &bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, 64 * 1024));
  auto rule = CO_ASK(parse_lock_configuration(document));
  CO_ASK(co_await change([&](Write& write) {
    return update_bucket(write, call, [&](Bucket& one) -> Answer<void> {
      if (one.versioning != Versioning::kEnabled)
        return refuse(ErrorCode::kInvalidBucketState,
                      "Versioning must be 'Enabled' on the bucket to apply a Object "
                      "Lock configuration");
      one.object_lock = true;
      one.default_retention = rule;
      return {};
    });
  }));
  co_return co_await send_empty(call, 200);
}

Service::Done Service::get_retention(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  ObjectVersion version = CO_ASK(co_await find_for_read(call, *txn, bucket, call.key, id, "s3:GetObjectRetention"));
  txn.reset();
  CO_ASK(require_lock(bucket));
  if (version.delete_marker) co_return refuse(no_lock_on_marker(id.has_value()));
  if (!version.retention) co_return refuse(ErrorCode::kNoSuchObjectLockConfiguration);
  XmlWriter xml("Retention");
  xml.element("Mode", name(version.retention.mode));
  xml.element("RetainUntilDate", base::format_rfc3339(version.retention.until));
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::put_retention(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  ObjectVersion found = CO_ASK(co_await find_for_read(call, *txn, bucket, call.key, id, "s3:PutObjectRetention"));
  txn.reset();
  CO_ASK(require_lock(bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, 64 * 1024));
  Retention retention = CO_ASK(parse_retention(document, call.now));
  // Once more, with what the document asks for: policies may limit it.
  CO_ASK(require(call, bucket, call.key, "s3:PutObjectRetention", &found, {.retention = &retention}));
  bool bypass = CO_ASK(bypasses_governance(call, bucket, call.key));
  ObjectVersion changed = CO_ASK(co_await change([&](Write& write) -> Task<Answer<ObjectVersion>> {
    Bucket now = CO_ASK(co_await bucket_for_change(write, call));
    CO_ASK(engine_.remind(write, now, call.key));  // lifecycle rules may have waited for it
    co_return co_await engine_.update_version(write, now.id, call.key, id, [&](ObjectVersion& version) -> Answer<void> {
      if (version.delete_marker) return refuse(no_lock_on_marker(id.has_value()));
      ASK(check_retention_change(version.retention, retention, bypass, write.now));
      version.retention = retention;
      return {};
    });
  }));
  call.response.set("x-amz-version-id", changed.version_id());
  co_return co_await send_empty(call, 200);
}

Service::Done Service::get_legal_hold(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  ObjectVersion version = CO_ASK(co_await find_for_read(call, *txn, bucket, call.key, id, "s3:GetObjectLegalHold"));
  txn.reset();
  CO_ASK(require_lock(bucket));
  if (version.delete_marker) co_return refuse(no_lock_on_marker(id.has_value()));
  XmlWriter xml("LegalHold");
  xml.element("Status", version.legal_hold ? "ON" : "OFF");
  co_return co_await send_xml(call, 200, xml.finish());
}

Service::Done Service::put_legal_hold(Call& call) {
  auto id = CO_ASK(version_of(call));
  auto txn = CO_ASK(co_await begin());
  Bucket bucket = CO_ASK(co_await load_bucket(call, *txn));
  ObjectVersion found = CO_ASK(co_await find_for_read(call, *txn, bucket, call.key, id, "s3:PutObjectLegalHold"));
  txn.reset();
  CO_ASK(require_lock(bucket));
  XmlElement document = CO_ASK(co_await read_xml(call, 64 * 1024));
  bool on = CO_ASK(parse_legal_hold(document));
  CO_ASK(require(call, bucket, call.key, "s3:PutObjectLegalHold", &found, {.legal_hold = on}));
  ObjectVersion changed = CO_ASK(co_await change([&](Write& write) -> Task<Answer<ObjectVersion>> {
    Bucket now = CO_ASK(co_await bucket_for_change(write, call));
    CO_ASK(engine_.remind(write, now, call.key));  // lifecycle rules may have waited for it
    co_return co_await engine_.update_version(write, now.id, call.key, id, [&](ObjectVersion& version) -> Answer<void> {
      if (version.delete_marker) return refuse(no_lock_on_marker(id.has_value()));
      version.legal_hold = on;
      return {};
    });
  }));
  call.response.set("x-amz-version-id", changed.version_id());
  co_return co_await send_empty(call, 200);
}

}  // namespace polis::object
